//! Stream: one family of queries to one source, shared by every pipeline that asks any of them.
//!
//! In: who is interested in which values, and asks for ticks. Out: [`Fetched`], once for all who wait for it.
//! Never: two requests for the same value and tick under way at once, or one waiter's end becoming another's.

mod ahead;
mod cuts;
mod fetch;
mod fetched;
mod interest;
mod trouble;

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared, WeakShared};
use tokio::time::Instant;

use crate::model::memory::Payer;
use crate::model::{Interval, Span, Tick, Timestamp};

use super::forms::Forms;
use super::gate::Namespace;
use super::origin::Origin;
use super::plan::{Ask, Shape};
use super::read::{Run, Window};
use super::scan::{Refusal, Rows, Sample};
use super::table::{Part, Table, TableConfig};
use super::{Error, lock, request};
use ahead::Ahead;
use cuts::Cuts;
use fetch::{Task, first_of};
pub use fetched::Ends;
pub(super) use fetched::Fetched;
use fetched::Size;
use interest::Interests;
use trouble::Trouble;

/// What a stream's answers hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Content {
    /// One value a series and tick.
    Values,
    /// All samples that were stored up to a tick, from some time before it on.
    Samples,
}

/// What somebody asks a stream for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) tick: Tick,
    /// So many ticks behind it are due already and will be asked for next: they may be fetched at once.
    pub(super) behind: u32,
    /// How long before the tick samples are asked for; nothing where there is one a tick.
    pub(super) reach: Duration,
}

impl Wanted {
    fn since(&self) -> Timestamp {
        self.tick.timestamp().minus(self.reach)
    }
}

/// One family of queries to one source.
#[derive(Debug)]
pub(super) struct Stream {
    shape: Shape,
    content: Content,
    origin: Arc<Origin>,
    /// In which form its stored samples are to be had.
    forms: Forms,
    /// Held while an answer is read: one at a time, in the order of asking.
    table: tokio::sync::Mutex<Table>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    interests: Interests,
    /// What came for the newest tick, for late askers.
    kept: Vec<Arc<Fetched>>,
    /// How large that is, or was before it made room for what is fetched now.
    sizes: Vec<Size>,
    /// What came for several ticks at once, for those who catch up.
    ahead: Ahead,
    /// Held weakly: the waiters own a fetch, and it ends when the last of them leaves.
    under_way: Vec<UnderWay>,
    cuts: Cuts,
    trouble: Trouble,
}

/// What one fetch brought: for each tick that it was for, the oldest first.
type Brought = Arc<[Arc<Fetched>]>;

type Fetch = BoxFuture<'static, Brought>;

#[derive(Debug)]
struct UnderWay {
    ticks: Span,
    since: Timestamp,
    values: HashSet<Arc<str>>,
    fetch: WeakShared<Fetch>,
}

/// What an interest has of one tick.
pub(super) struct Had {
    pub(super) parts: Vec<Part>,
    /// Of all parts.
    pub(super) ends: Ends,
    /// What brought them.
    pub(super) fetched: Vec<Arc<Fetched>>,
}

/// One pipeline's interest in a stream; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Interest {
    stream: Arc<Stream>,
    id: u64,
    namespace: Namespace,
    values: Vec<Arc<str>>,
    interval: Interval,
}

impl Interest {
    pub(super) fn new(
        origin: &Arc<Origin>,
        payer: &Payer,
        ask: Ask,
        interval: Interval,
        content: Content,
    ) -> Interest {
        let stream = origin.stream(&ask.shape, content);
        let id = lock(&stream.state).interests.add(payer.clone(), ask.values.clone(), interval);
        Interest { stream, id, namespace: payer.name().clone(), values: ask.values, interval }
    }

    /// The rows of all values at one tick.
    pub(super) async fn at(&self, wanted: Wanted) -> Result<Had, Error> {
        let tick = wanted.tick;
        let (mut ready, waiting) = self.stream.enlist(self, wanted);
        let brought = futures::future::join_all(waiting).await;
        ready.extend(brought.iter().flat_map(|ticks| ticks.iter()).filter(|of| of.tick == tick).cloned());
        let window = Window { since: wanted.since(), until: tick.timestamp() };
        let (mut parts, mut ends) = (Vec::with_capacity(self.values.len()), Ends::Marked);
        for value in &self.values {
            let fetched = self.covering(&ready, value)?;
            parts.push(fetched.answer.part(value).within(window));
            if fetched.ends.of(value) == Ends::Absent {
                ends = Ends::Absent;
            }
        }
        lock(&self.stream.state).interests.served(self.id, tick);
        Ok(Had { parts, ends, fetched: ready })
    }

    /// Whether the source has anything of it at a tick, whatever is kept of that: asked anew.
    pub(super) async fn holds(&self, tick: Tick) -> Result<bool, Error> {
        let Stream { origin, shape, .. } = &*self.stream;
        let (ticks, timeout) = (Span::new(tick, self.interval, 1), origin.source.timeout);
        let mut rest = &self.values[..];
        while !rest.is_empty() {
            let (some, others) = rest.split_at(shape.fitting(rest));
            let _turn = origin.gate.pass(std::slice::from_ref(&self.namespace)).await;
            let mut found = Count::default();
            let asked = request::ask(origin, &shape.query(some), ticks, timeout, &mut found).await;
            asked.map_err(|cause| origin.error(Arc::new(cause)))?;
            if found.rows > 0 {
                return Ok(true);
            }
            rest = others;
        }
        Ok(false)
    }

    /// The one of these fetches that has a value's rows; a success before a failure.
    fn covering<'a>(&self, fetched: &'a [Arc<Fetched>], value: &str) -> Result<&'a Fetched, Error> {
        let mut failure = None;
        for fetched in fetched {
            let full = fetched.refused.get(&self.namespace);
            match (fetched.values.get(value), full) {
                (Some(Ok(())), None) => return Ok(fetched),
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

/// Counts rows.
#[derive(Debug, Default)]
struct Count {
    rows: usize,
}

impl Rows for Count {
    fn expected(&self) -> &[u8] {
        b""
    }

    fn hit(&mut self, _: f64) -> Result<(), Refusal> {
        self.rows += 1;
        Ok(())
    }

    fn row(&mut self, _: &[u8], _: Sample) -> Result<(), Refusal> {
        self.rows += 1;
        Ok(())
    }

    fn column(&mut self, _: &[u8], _: &[(usize, Sample)]) -> Result<(), Refusal> {
        self.rows += 1;
        Ok(())
    }

    fn window(&mut self, _: &[u8], _: Run<'_>, _: usize) -> Result<(), Refusal> {
        self.rows += 1;
        Ok(())
    }
}

impl Drop for Interest {
    fn drop(&mut self) {
        let mut state = lock(&self.stream.state);
        let State { interests, trouble, .. } = &mut *state;
        let gone = interests.remove(self.id);
        trouble.forget(|value| gone.contains(value) && !interests.want(value));
    }
}

impl Stream {
    pub(super) fn new(origin: Arc<Origin>, shape: Shape, content: Content) -> Stream {
        let config = TableConfig::new(&origin.source, shape.hole.clone());
        let table = Table::paid_by(origin.memory.hold_shared(), config);
        Stream {
            shape,
            content,
            origin,
            forms: Forms::default(),
            table: table.into(),
            state: Mutex::default(),
        }
    }

    /// Series in the newest answers.
    pub(super) fn series(&self) -> usize {
        lock(&self.state).series().unwrap_or_default()
    }

    /// What is there already for these values, and what has to be awaited: fetches under way, and a new one for what
    /// none of them covers.
    fn enlist(
        self: &Arc<Stream>,
        interest: &Interest,
        wanted: Wanted,
    ) -> (Vec<Arc<Fetched>>, Vec<Shared<Fetch>>) {
        let Wanted { tick, behind, .. } = wanted;
        let since = wanted.since();
        let mut state = lock(&self.state);
        let first = state.interests.asked(interest.id, tick);
        if self.content == Content::Samples
            && let Some(oldest) = state.interests.oldest_asked()
        {
            state.ahead.let_go(oldest);
        }
        let mut missing: HashSet<&Arc<str>> = interest.values.iter().collect();
        let mut ready = Vec::new();
        let kept = state.kept.iter().filter(|fetched| fetched.tick == tick);
        let kept = kept.chain(state.ahead.of(tick)).filter(|fetched| fetched.since <= since);
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
            if other.covers(tick, since) {
                missing.retain(|value| !other.values.contains(*value));
            }
            if missing.len() < before {
                waiting.push(fetch);
            }
            true
        });
        if missing.is_empty() {
            return (ready, waiting);
        }
        let own: Vec<Arc<str>> = missing.iter().map(|value| (*value).clone()).collect();
        let values = state.wanted(tick, since, missing);
        let (together, slow) = state.apart(values);
        let is_own = |values: &[Arc<str>]| values.iter().any(|value| own.contains(value));
        let ranges_differ = self.origin.ranges_differ.load(Ordering::Relaxed);
        let behind = if self.content == Content::Values && ranges_differ { 0 } else { behind };
        let samples = state.samples_of_a_tick(interest.interval);
        let ticks = state.ahead.ticks(tick, interest.interval, behind, samples);
        if is_own(&together) {
            let namespaces = state.interests.namespaces(interest.id);
            let task = Task { ticks, since, values: together, namespaces, is_slow: false };
            waiting.push(self.start(&mut state, task));
        }
        // Nobody waits for what takes long but who wants it.
        for values in slow.into_iter().filter(|values| is_own(values)) {
            let ticks = if state.trouble.is_apart() { first_of(ticks) } else { ticks };
            let namespaces = vec![interest.namespace.clone()];
            let task = Task { ticks, since, values, namespaces, is_slow: true };
            waiting.push(self.start(&mut state, task));
        }
        (ready, waiting)
    }

    fn start(self: &Arc<Stream>, state: &mut State, task: Task) -> Shared<Fetch> {
        let covered = task.values.iter().cloned().collect();
        let Task { ticks, since, .. } = task;
        let fetch = fetch::run(self.clone(), task).boxed().shared();
        if let Some(weak) = fetch.downgrade() {
            state.under_way.push(UnderWay { ticks, since, values: covered, fetch: weak });
        }
        fetch
    }

    /// Nobody asks any more for what is kept of ticks before this one, as a newer one is about to be kept. What is told of how large it
    /// was stays.
    fn let_go(&self, tick: Tick) {
        lock(&self.state).kept.retain(|kept| kept.tick >= tick);
    }

    /// Lets go of all that is kept for late askers; whether that was anything.
    fn make_room(&self) -> bool {
        let mut state = lock(&self.state);
        let kept = std::mem::take(&mut state.kept);
        let was_ahead = state.ahead.clear();
        !kept.is_empty() || was_ahead
    }

    /// A fetch for these ticks has ended: it is kept if it is of the newest tick, or of several, and of none that is still to
    /// come by the source's clock.
    fn keep(&self, ticks: Span, since: Timestamp, brought: &Brought) {
        let now = Timestamp::from(SystemTime::now());
        let has_passed = |fetched: &&Arc<Fetched>| self.origin.has_passed(fetched.tick, now);
        let passed: Vec<Arc<Fetched>> = brought.iter().filter(has_passed).cloned().collect();
        let mut state = lock(&self.state);
        let Some(fetched) = brought.last() else { return };
        if brought.len() > 1 {
            state.ahead.keep(&passed);
        }
        let newest = state.kept.iter().map(|kept| kept.tick).max();
        if let Some(last) = passed.last().filter(|last| newest.is_none_or(|newest| newest <= last.tick)) {
            // Of an older tick nothing is kept, of this one what the new fetch does not repeat.
            state.kept.retain(|kept| kept.tick == last.tick && !last.replaces(kept));
            state.kept.push(last.clone());
            state.sizes = state.kept.iter().map(|kept| kept.size()).collect();
        }
        // The fetch that ends here is still under way by its waiters' count, but has nothing more to share.
        let values: HashSet<_> = fetched.values.keys().cloned().collect();
        let is_it = |other: &UnderWay| other.ticks == ticks && other.since == since && other.values == values;
        state.under_way.retain(|other| !is_it(other));
    }
}

impl State {
    /// Series of one tick, if any is known.
    fn series(&self) -> Option<usize> {
        (!self.sizes.is_empty()).then(|| self.sizes.iter().map(|size| size.series).sum())
    }

    /// Samples that a tick more brings, if that is known.
    fn samples_of_a_tick(&self, interval: Interval) -> Option<usize> {
        (!self.sizes.is_empty())
            .then(|| self.sizes.iter().map(|size| size.in_time(interval.duration())).sum())
    }

    /// What a fetch for `missing` had better bring too: what others are about to ask for at that tick.
    fn wanted(&self, tick: Tick, since: Timestamp, missing: HashSet<&Arc<str>>) -> Vec<Arc<str>> {
        let mut values: HashSet<&Arc<str>> = missing;
        values.extend(self.interests.expected(tick).filter(|value| {
            let kept =
                self.kept.iter().any(|f| f.tick == tick && matches!(f.values.get(*value), Some(Ok(()))));
            let coming = self.under_way.iter().any(|u| u.covers(tick, since) && u.values.contains(*value));
            !kept && !coming
        }));
        let mut values: Vec<_> = values.into_iter().cloned().collect();
        values.sort_unstable();
        values
    }

    /// Which of them to ask for together, and groups of those that take long.
    fn apart(&mut self, values: Vec<Arc<str>>) -> (Vec<Arc<str>>, Vec<Vec<Arc<str>>>) {
        if !self.trouble.is_any_slow() {
            return (values, Vec::new());
        }
        let (slow, together) = values.into_iter().partition(|value| self.trouble.is_slow(value));
        (together, self.cuts.groups(slow, Instant::now()))
    }
}

impl UnderWay {
    fn covers(&self, tick: Tick, since: Timestamp) -> bool {
        self.ticks.position(tick.timestamp()).is_some() && self.since <= since
    }
}
