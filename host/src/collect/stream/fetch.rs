//! Fetch: brings the rows of some values at one tick, in as few requests as the source answers.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::model::Tick;

use super::super::gate::Namespace;
use super::super::origin::Origin;
use super::super::table::Table;
use super::super::{Cause, Error, lock, request};
use super::{Fetched, Stream};

/// How many timeouts of its source one fetch may take: the first failure of a merged query must leave time to find its
/// culprit.
const FETCH_TIMEOUTS_MAX: u32 = 2;

/// How many requests one fetch may make: enough to halve a thousand values around a few culprits.
const FETCH_REQUESTS_MAX: usize = 64;

/// With less time than this left, nothing more is asked.
const TIMEOUT_MIN: Duration = Duration::from_millis(100);

/// Fetches, keeps what came for late askers, and hands it to those who wait.
///
/// It is asked in the turn of any of these namespaces.
pub(super) async fn run(
    stream: Arc<Stream>,
    tick: Tick,
    values: Vec<Arc<str>>,
    namespaces: Vec<Namespace>,
) -> Arc<Fetched> {
    let mut table = stream.table.lock().await;
    let mut fetch = Fetch::new(&stream, tick, values, namespaces);
    let asking = lock(&stream.state).interests.asking();
    if let Some(asking) = asking {
        table.split(asking);
    }
    table.begin();
    while let Some(group) = fetch.todo.pop_front() {
        fetch.group(&mut table, group).await;
    }
    let answer = Arc::new(table.finish(tick));
    let (Fetch { values, bytes, .. }, refused) = (fetch, table.refused());
    let fetched = Arc::new(Fetched { tick, answer, bytes, values, refused, ended: Instant::now() });
    stream.keep(&fetched);
    fetched
}

struct Fetch<'a> {
    stream: &'a Stream,
    tick: Tick,
    namespaces: Vec<Namespace>,
    deadline: Instant,
    /// Groups of values, each for one request, in order.
    todo: VecDeque<Vec<Arc<str>>>,
    requests: usize,
    values: HashMap<Arc<str>, Result<(), Error>>,
    bytes: u64,
}

impl<'a> Fetch<'a> {
    fn new(stream: &'a Stream, tick: Tick, values: Vec<Arc<str>>, namespaces: Vec<Namespace>) -> Fetch<'a> {
        let now = Instant::now();
        let groups = lock(&stream.state).cuts.groups(values, now);
        let mut todo = VecDeque::new();
        for mut group in groups {
            while !group.is_empty() {
                let rest = group.split_off(stream.shape.fitting(&group));
                todo.push_back(std::mem::replace(&mut group, rest));
            }
        }
        let deadline = now + stream.origin.source.timeout * FETCH_TIMEOUTS_MAX;
        Fetch { stream, tick, namespaces, deadline, todo, requests: 0, values: HashMap::new(), bytes: 0 }
    }

    async fn group(&mut self, table: &mut Table, group: Vec<Arc<str>>) {
        table.begin_request();
        let asked = self.ask(table, &group).await;
        match asked {
            Ok(bytes) => {
                self.bytes += bytes;
                self.values.extend(group.into_iter().map(|value| (value, Ok(()))));
            }
            Err(cause) => {
                match cause {
                    Cause::Memory(_) => table.take_back(),
                    _ => table.roll_back(),
                }
                self.failed(group, cause);
            }
        }
    }

    async fn ask(&mut self, table: &mut Table, group: &[Arc<str>]) -> Result<u64, Cause> {
        let origin: &Origin = &self.stream.origin;
        let query = self.stream.shape.query(group);
        let whole = origin.source.timeout;
        let permit = tokio::time::timeout_at(self.deadline, origin.gate.pass(&self.namespaces)).await;
        let timeout = whole.min(self.time_left());
        if permit.is_err() || timeout < TIMEOUT_MIN.min(whole) {
            return Err(Cause::Timeout(whole));
        }
        self.requests += 1;
        request::ask(origin, &query, self.tick, timeout, table).await
    }

    fn time_left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    fn failed(&mut self, group: Vec<Arc<str>>, cause: Cause) {
        // Out of time, the cause may as well be the queue in front of the source.
        let may_ask = self.requests < FETCH_REQUESTS_MAX && self.time_left() >= TIMEOUT_MIN;
        if may_ask && group.len() > 1 && cause.may_be_its_size() {
            tracing::debug!(source = %self.stream.origin.source.name, values = group.len(), %cause, "merged query split");
            let halves = lock(&self.stream.state).cuts.halve(group, Instant::now());
            for half in halves.into_iter().rev() {
                self.todo.push_front(half);
            }
            return;
        }
        let unreachable = matches!(cause, Cause::Unreachable(_));
        let error = self.stream.origin.error(Arc::new(cause));
        // A source that cannot be reached is not asked again for the other groups.
        let others = if unreachable { std::mem::take(&mut self.todo) } else { VecDeque::new() };
        let failed = others.into_iter().flatten().chain(group);
        self.values.extend(failed.map(|value| (value, Err(error.clone()))));
    }
}
