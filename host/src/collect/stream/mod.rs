//! Stream: one family of queries to one source, shared by every pipeline that asks any of them.
//!
//! In: who is interested in which values, and asks for ticks. Out: [`Fetched`], once for all who wait for it.
//! Never: two requests for the same value and tick under way at once, or one waiter's end becoming another's.

mod cuts;
mod fetch;
mod interest;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared, WeakShared};
use tokio::time::Instant;

use crate::model::memory::{Full, Payer};
use crate::model::{Interval, Tick};

use super::gate::Namespace;
use super::origin::Origin;
use super::plan::{Ask, Shape};
use super::table::{Answer, Part, Table, TableConfig};
use super::{Error, lock};
use cuts::Cuts;
use interest::Interests;

/// How long a failure is shared with those who ask for the same tick for the first time: pipelines of one tick do not
/// wake at the same instant.
const FAILURE_SHARED: Duration = Duration::from_secs(1);

/// One family of queries to one source.
#[derive(Debug)]
pub(super) struct Stream {
    shape: Shape,
    origin: Arc<Origin>,
    /// Held while an answer is read: one at a time, in the order of asking.
    table: tokio::sync::Mutex<Table>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    interests: Interests,
    /// What came for the newest tick, for late askers.
    kept: Vec<Arc<Fetched>>,
    /// Held weakly: the waiters own a fetch, and it ends when the last of them leaves.
    under_way: Vec<UnderWay>,
    cuts: Cuts,
}

type Fetch = BoxFuture<'static, Arc<Fetched>>;

#[derive(Debug)]
struct UnderWay {
    tick: Tick,
    values: HashSet<Arc<str>>,
    fetch: WeakShared<Fetch>,
}

/// What one fetch brought.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) tick: Tick,
    pub(super) answer: Arc<Answer>,
    /// Size of the bodies, in bytes.
    pub(super) bytes: u64,
    /// Each value that was asked for, and whether its rows are in the answer.
    values: HashMap<Arc<str>, Result<(), Error>>,
    /// Those who asked and have no room for what came.
    refused: HashMap<Namespace, Full>,
    ended: Instant,
}

/// One pipeline's interest in a stream; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Interest {
    stream: Arc<Stream>,
    id: u64,
    namespace: Namespace,
    values: Vec<Arc<str>>,
}

impl Interest {
    pub(super) fn new(origin: &Arc<Origin>, payer: &Payer, ask: Ask, interval: Interval) -> Interest {
        let stream = origin.stream(&ask.shape);
        let id = lock(&stream.state).interests.add(payer.clone(), ask.values.clone(), interval);
        Interest { stream, id, namespace: payer.name().clone(), values: ask.values }
    }

    /// The rows of all values at one tick, and what brought them.
    pub(super) async fn at(&self, tick: Tick) -> Result<(Vec<Part>, Vec<Arc<Fetched>>), Error> {
        let (mut ready, waiting) = self.stream.enlist(self.id, &self.values, tick);
        ready.extend(futures::future::join_all(waiting).await);
        let mut parts = Vec::with_capacity(self.values.len());
        for value in &self.values {
            parts.push(self.part_of(&ready, value)?);
        }
        lock(&self.stream.state).interests.served(self.id, tick);
        Ok((parts, ready))
    }

    /// A value's rows, from the one of these fetches that covers it; a success before a failure.
    fn part_of(&self, fetched: &[Arc<Fetched>], value: &str) -> Result<Part, Error> {
        let mut failure = None;
        for fetched in fetched {
            let full = fetched.refused.get(&self.namespace);
            match (fetched.values.get(value), full) {
                (Some(Ok(())), None) => return Ok(fetched.answer.part(value)),
                (Some(Ok(())), Some(full)) => {
                    failure = Some(self.stream.origin.error(Arc::new((*full).into())));
                }
                (Some(Err(error)), _) => failure = Some(error.clone()),
                (None, _) => {}
            }
        }
        // Every value is covered by one of the fetches it was enlisted in.
        Err(failure.expect("a fetch that covers each value"))
    }
}

impl Drop for Interest {
    fn drop(&mut self) {
        lock(&self.stream.state).interests.remove(self.id);
    }
}

impl Stream {
    pub(super) fn new(origin: Arc<Origin>, shape: Shape) -> Stream {
        let config = TableConfig::new(&origin.source, shape.hole.clone());
        let table = Table::paid_by(origin.memory.hold_shared(), config);
        Stream { shape, origin, table: table.into(), state: Mutex::default() }
    }

    /// Series in the newest answers.
    pub(super) fn series(&self) -> usize {
        lock(&self.state).kept.iter().map(|fetched| fetched.answer.series()).sum()
    }

    /// What is there already for these values, and what has to be awaited: fetches under way, and a new one for what
    /// none of them covers.
    fn enlist(
        self: &Arc<Stream>,
        id: u64,
        values: &[Arc<str>],
        tick: Tick,
    ) -> (Vec<Arc<Fetched>>, Vec<Shared<Fetch>>) {
        let mut state = lock(&self.state);
        let first = state.interests.asked(id, tick);
        let mut missing: HashSet<&Arc<str>> = values.iter().collect();
        let mut ready = Vec::new();
        let kept = state.kept.iter().filter(|fetched| fetched.tick == tick);
        for fetched in kept {
            let before = missing.len();
            missing.retain(|value| !fetched.serves(value, first));
            if missing.len() < before {
                ready.push(fetched.clone());
            }
        }
        let mut waiting = Vec::new();
        state.under_way.retain(|other| {
            // Held from here on, so that a fetch that counts as coming does come.
            let Some(fetch) = other.fetch.upgrade() else { return false };
            let before = missing.len();
            if other.tick == tick {
                missing.retain(|value| !other.values.contains(*value));
            }
            if missing.len() < before {
                waiting.push(fetch);
            }
            true
        });
        if !missing.is_empty() {
            let values = state.wanted(tick, missing);
            waiting.push(self.start(&mut state, id, tick, values));
        }
        (ready, waiting)
    }

    fn start(
        self: &Arc<Stream>,
        state: &mut State,
        asker: u64,
        tick: Tick,
        values: Vec<Arc<str>>,
    ) -> Shared<Fetch> {
        let covered = values.iter().cloned().collect();
        let namespaces = state.interests.namespaces(asker);
        let fetch = fetch::run(self.clone(), tick, values, namespaces).boxed().shared();
        if let Some(weak) = fetch.downgrade() {
            state.under_way.push(UnderWay { tick, values: covered, fetch: weak });
        }
        fetch
    }

    /// A fetch has ended: it is kept if it is of the newest tick.
    fn keep(&self, fetched: &Arc<Fetched>) {
        let mut state = lock(&self.state);
        let newest = state.kept.iter().map(|kept| kept.tick).max();
        if newest.is_none_or(|newest| newest <= fetched.tick) {
            // Of an older tick nothing is kept, of this one what the new fetch does not repeat.
            state.kept.retain(|kept| kept.tick == fetched.tick && !fetched.replaces(kept));
            state.kept.push(fetched.clone());
        }
        // The fetch that ends here is still under way by its waiters' count, but has nothing more to share.
        let values: HashSet<_> = fetched.values.keys().cloned().collect();
        state.under_way.retain(|other| other.tick != fetched.tick || other.values != values);
    }
}

impl State {
    /// What a fetch for `missing` had better bring too: what others are about to ask for at that tick.
    fn wanted(&self, tick: Tick, missing: HashSet<&Arc<str>>) -> Vec<Arc<str>> {
        let mut values: HashSet<&Arc<str>> = missing;
        values.extend(self.interests.expected(tick).filter(|value| {
            let kept =
                self.kept.iter().any(|f| f.tick == tick && matches!(f.values.get(*value), Some(Ok(()))));
            let coming = self.under_way.iter().any(|u| u.tick == tick && u.values.contains(*value));
            !kept && !coming
        }));
        let mut values: Vec<_> = values.into_iter().cloned().collect();
        values.sort_unstable();
        values
    }
}

impl Fetched {
    /// Whether an asker takes this for its answer. A failure only if it is fresh and the asker's first try.
    fn serves(&self, value: &str, first: bool) -> bool {
        match self.values.get(value) {
            Some(Ok(())) => true,
            Some(Err(_)) => first && self.ended.elapsed() < FAILURE_SHARED,
            None => false,
        }
    }

    /// Whether everything `other` has is here too, and not worse.
    fn replaces(&self, other: &Fetched) -> bool {
        other
            .values
            .iter()
            .all(|(value, old)| self.values.get(value).is_some_and(|new| new.is_ok() || old.is_err()))
    }
}
