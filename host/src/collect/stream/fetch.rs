//! Fetch: brings the rows of some values at one tick or at several, in as few requests as the source answers.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::model::memory::Held;
use crate::model::{Span, Timestamp};

use super::super::gate::Namespace;
use super::super::origin::Origin;
use super::super::read::Window;
use super::super::table::Table;
use super::super::{Cause, Error, lock, request, window};
use super::ahead::Ahead;
use super::{Brought, Content, Ending, Ends, Fetched, Stream};

/// How many timeouts of its source one fetch may take: the first failure of a merged query must leave time to find its
/// culprit.
const FETCH_TIMEOUTS_MAX: u32 = 2;

/// How many requests one fetch may make: enough to halve a thousand values around a few culprits.
const FETCH_REQUESTS_MAX: usize = 64;

/// A source that has answered nothing is asked for so many groups of values, and is down then.
const FAILURES_MAX: usize = 3;

/// As long as it answers nothing, its queries are cut into so many: more would only be more to ask.
const GROUPS_MAX: usize = 16;

/// With less time than this left, nothing more is asked.
const TIMEOUT_MIN: Duration = Duration::from_millis(100);

/// What one fetch is to bring.
#[derive(Debug, Clone)]
pub(super) struct Task {
    pub(super) ticks: Span,
    /// Since when samples are wanted.
    pub(super) since: Timestamp,
    pub(super) values: Vec<Arc<str>>,
    /// It is asked in the turn of any of these.
    pub(super) namespaces: Vec<Namespace>,
}

impl Task {
    /// The same for the first tick alone.
    fn of_first(self) -> Task {
        Task { ticks: Span::new(self.ticks.first(), self.ticks.interval(), 1), ..self }
    }
}

/// Fetches, keeps what came for late askers, and hands it to those who wait.
pub(super) async fn run(stream: Arc<Stream>, task: Task) -> Brought {
    let mut table = stream.table.lock().await;
    let asking = lock(&stream.state).interests.asking();
    if let Some(asking) = asking {
        table.split(asking);
    }
    let (ticks, since) = (task.ticks, task.since);
    let brought = match stream.content {
        Content::Values => values(&stream, task, &mut table).await,
        Content::Samples => stored(&stream, task, &mut table).await,
    };
    stream.keep(ticks, since, &brought);
    brought
}

/// One value a series and tick: of all ticks, or of the first one.
async fn values(stream: &Stream, task: Task, table: &mut Table) -> Brought {
    if !task.ticks.is_one()
        && let Some(brought) = several(stream, &task, table).await
    {
        return brought;
    }
    one(stream, task.of_first(), table).await
}

/// All samples up to the last tick, or to the first one. What is kept for late askers makes room for them before anybody is refused.
async fn stored(stream: &Stream, task: Task, table: &mut Table) -> Brought {
    stream.let_go(task.ticks.first());
    let failed = match samples(stream, &task, table).await {
        Ok(brought) => return brought,
        Err(failed) => failed,
    };
    let is_better_now = failed.iter().any(|fetched| fetched.lacks_room()) && stream.make_room();
    if task.ticks.is_one() && !is_better_now {
        return failed;
    }
    drop(failed);
    samples(stream, &task.of_first(), table).await.unwrap_or_else(|failed| failed)
}

/// What there is at a task's only tick.
async fn one(stream: &Stream, task: Task, table: &mut Table) -> Brought {
    let Task { ticks, values, namespaces, .. } = task;
    let mut fetch = Fetch::new(stream, Asked::Ticks(ticks), values, namespaces);
    table.begin();
    fetch.all(table).await;
    let answer = Arc::new(table.finish(ticks.first()));
    let (Fetch { values, bytes, .. }, refused) = (fetch, table.refused());
    let (tick, ended) = (ticks.first(), Instant::now());
    let (since, ends) = (tick.timestamp(), Ending::Absent);
    Arc::new([Arc::new(Fetched { tick, since, ends, answer, bytes, values, refused, ended, _paid: None })])
}

/// What there is at each of them; `None` if it cannot be had at once. Who has no room for all of it is asked for the first one.
async fn several(stream: &Stream, task: &Task, table: &mut Table) -> Option<Brought> {
    let Task { ticks, values, namespaces, .. } = task;
    let samples_max = Ahead::samples_max(*ticks, lock(&stream.state).series());
    let (mut held, room) = (stream.origin.memory.hold_shared(), samples_max * READ_SAMPLE_BYTES);
    held.take_for(room, table.is_modest(values, room)).ok()?;
    let mut fetch = Fetch::new(stream, Asked::Ticks(*ticks), values.clone(), namespaces.clone());
    table.begin_ahead(ticks.count(), samples_max);
    fetch.all(table).await;
    if fetch.is_partial(table) {
        lock(&stream.state).ahead.part();
        return None;
    }
    let samples = table.samples_ahead();
    let answers = table.finish_ahead(*ticks);
    held.give(held.bytes().saturating_sub(samples * KEPT_SAMPLE_BYTES));
    let (paid, ended): (Arc<Held>, _) = (Arc::new(held), Instant::now());
    let bytes = fetch.bytes / ticks.count() as u64;
    let fetched = ticks.ticks().zip(answers).map(|(tick, answer)| {
        let (answer, values, refused) = (Arc::new(answer), fetch.values.clone(), HashMap::new());
        let (since, ends, paid) = (tick.timestamp(), Ending::Absent, Some(paid.clone()));
        Arc::new(Fetched { tick, since, ends, answer, bytes, values, refused, ended, _paid: paid })
    });
    Some(fetched.collect())
}

/// All samples up to the last tick, once for each of them. `Err` holds what could be had, if that is a part.
async fn samples(stream: &Stream, task: &Task, table: &mut Table) -> Result<Brought, Brought> {
    let Task { ticks, since, values, namespaces } = task;
    let asked = Window { since: *since, until: ticks.last().timestamp() };
    let mut fetch = Fetch::new(stream, Asked::Window(asked), values.clone(), namespaces.clone());
    table.begin_runs();
    fetch.all(table).await;
    let is_partial = fetch.is_partial(table);
    if is_partial && !ticks.is_one() {
        lock(&stream.state).ahead.part();
    }
    let (answer, ended) = (Arc::new(table.finish_runs(ticks.last())), Instant::now());
    let (refused, bytes) = (table.refused(), fetch.bytes / ticks.count() as u64);
    let ends = Ending::Marked { but: Arc::new(std::mem::take(&mut fetch.unmarked)) };
    let fetched = ticks.ticks().map(|tick| {
        let (answer, values, refused) = (answer.clone(), fetch.values.clone(), refused.clone());
        let (since, ends) = (*since, ends.clone());
        Arc::new(Fetched { tick, since, ends, answer, bytes, values, refused, ended, _paid: None })
    });
    let brought = fetched.collect();
    if is_partial { Err(brought) } else { Ok(brought) }
}

/// What a sample of several ticks takes while they are read, and in answers that share what they are of.
const READ_SAMPLE_BYTES: usize = 32;
const KEPT_SAMPLE_BYTES: usize = 12;

/// What the source is asked for.
#[derive(Debug, Clone, Copy)]
enum Asked {
    /// What it has at these moments.
    Ticks(Span),
    /// All that it has stored.
    Window(Window),
}

struct Fetch<'a> {
    stream: &'a Stream,
    asked: Asked,
    /// Values whose series' ends are not among their samples.
    unmarked: HashSet<Arc<str>>,
    namespaces: Vec<Namespace>,
    deadline: Instant,
    /// Groups of values, each for one request, in order.
    todo: VecDeque<Vec<Arc<str>>>,
    requests: usize,
    /// How many groups there are to begin with, and how many have failed before anything was answered.
    groups: usize,
    failures: usize,
    values: HashMap<Arc<str>, Result<(), Error>>,
    /// A merged query failed, and will be cut the next time.
    has_cut: bool,
    bytes: u64,
}

impl<'a> Fetch<'a> {
    fn new(stream: &'a Stream, asked: Asked, values: Vec<Arc<str>>, namespaces: Vec<Namespace>) -> Fetch<'a> {
        let now = Instant::now();
        let groups = lock(&stream.state).cuts.groups(values, now);
        let mut todo = VecDeque::new();
        let apart = |group| match asked {
            Asked::Window(_) => stream.forms.apart(group),
            Asked::Ticks(_) => vec![group],
        };
        for mut group in groups.into_iter().flat_map(apart) {
            while !group.is_empty() {
                let rest = group.split_off(stream.shape.fitting(&group));
                todo.push_back(std::mem::replace(&mut group, rest));
            }
        }
        let deadline = now + stream.origin.source.timeout * FETCH_TIMEOUTS_MAX;
        // What failed is asked for last, so that it takes nobody's time but its own.
        let state = lock(&stream.state);
        let is_troubled = |group: &Vec<Arc<str>>| group.iter().any(|value| state.troubled.contains(value));
        let (last, mut todo): (VecDeque<_>, VecDeque<_>) = todo.into_iter().partition(is_troubled);
        drop(state);
        todo.extend(last);
        let groups = todo.len();
        let (unmarked, values) = (HashSet::new(), HashMap::new());
        Fetch {
            stream,
            asked,
            unmarked,
            namespaces,
            deadline,
            todo,
            requests: 0,
            groups,
            failures: 0,
            values,
            has_cut: false,
            bytes: 0,
        }
    }

    /// Whether something that was asked for did not come, or has no room.
    fn is_partial(&self, table: &Table) -> bool {
        !table.refused().is_empty() || self.values.values().any(Result::is_err)
    }

    async fn all(&mut self, table: &mut Table) {
        while let Some(group) = self.todo.pop_front() {
            self.group(table, group).await;
        }
    }

    async fn group(&mut self, table: &mut Table, group: Vec<Arc<str>>) {
        table.begin_request(&group);
        let asked_before = self.requests;
        let asked = self.ask(table, &group).await;
        match asked {
            Ok(bytes) => {
                self.bytes += bytes;
                let mut state = lock(&self.stream.state);
                group.iter().for_each(|value| _ = state.troubled.remove(value));
                drop(state);
                self.values.extend(group.into_iter().map(|value| (value, Ok(()))));
            }
            Err(cause) => {
                match cause {
                    Cause::Memory(_) => table.take_back(),
                    _ => table.roll_back(),
                }
                self.failed(group, cause, self.requests > asked_before);
            }
        }
    }

    async fn ask(&mut self, table: &mut Table, group: &[Arc<str>]) -> Result<u64, Cause> {
        let origin: &Origin = &self.stream.origin;
        let whole = origin.source.timeout;
        let permit = tokio::time::timeout_at(self.deadline, origin.gate.pass(&self.namespaces)).await;
        let timeout = whole.min(self.time_left());
        if permit.is_err() || timeout < TIMEOUT_MIN.min(whole) {
            return Err(Cause::Timeout(whole));
        }
        self.requests += 1;
        match self.asked {
            Asked::Ticks(ticks) => {
                request::ask(origin, &self.stream.shape.query(group), ticks, timeout, table).await
            }
            Asked::Window(asked) => {
                let Stream { shape, forms, .. } = self.stream;
                let (bytes, ends) = window::ask(origin, (shape, forms), group, asked, timeout, table).await?;
                if ends == Ends::Absent {
                    self.unmarked.extend(group.iter().cloned());
                }
                Ok(bytes)
            }
        }
    }

    fn time_left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// What becomes of values of which nothing came, though they `were_asked` for, or for want of time.
    fn failed(&mut self, group: Vec<Arc<str>>, cause: Cause, were_asked: bool) {
        // Out of time, the cause may as well be the queue in front of the source.
        let may_ask = self.requests < FETCH_REQUESTS_MAX && self.time_left() >= TIMEOUT_MIN;
        let is_merged = group.len() > 1;
        let is_the_question = is_merged && cause.may_be_the_question();
        let has_answered = self.values.values().any(Result::is_ok);
        let may_cut = is_the_question && !has_answered && self.groups < GROUPS_MAX;
        if may_cut && !std::mem::replace(&mut self.has_cut, true) {
            // Nobody knows yet whether it is the source: the next time they are asked for apart.
            lock(&self.stream.state).cuts.halve(group.clone(), Instant::now());
        }
        if may_ask && (is_merged && cause.may_be_its_size() || is_the_question && has_answered) {
            tracing::debug!(source = %self.stream.origin.source.name, values = group.len(), %cause, "merged query split");
            let halves = lock(&self.stream.state).cuts.halve(group, Instant::now());
            for half in halves.into_iter().rev() {
                self.todo.push_front(half);
            }
            return;
        }
        if were_asked {
            lock(&self.stream.state).troubled.extend(group.iter().cloned());
        }
        self.failures += usize::from(!has_answered && cause.is_the_sources());
        let unreachable = matches!(&cause, Cause::Unreachable(why) if !why.is_of_an_answer());
        let error = self.stream.origin.error(Arc::new(cause));
        // A source that cannot be reached is not asked again for the other groups, nor one that answers for none.
        let is_down = unreachable || !has_answered && self.failures >= FAILURES_MAX;
        let others = if is_down { std::mem::take(&mut self.todo) } else { VecDeque::new() };
        let failed = others.into_iter().flatten().chain(group);
        self.values.extend(failed.map(|value| (value, Err(error.clone()))));
    }
}
