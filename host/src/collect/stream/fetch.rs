//! Fetch: brings the rows of some values at one tick or at several, in as few requests as the source answers.
//!
//! Never: the table held while a source thinks about what is known to take long.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::MutexGuard;
use tokio::time::Instant;

use crate::model::memory::Held;
use crate::model::{Span, Timestamp};

use super::super::gate::{Namespace, Permit};
use super::super::origin::Origin;
use super::super::read::Window;
use super::super::table::{Answer, Table};
use super::super::{Cause, Error, lock, request, window};
use super::ahead::Ahead;
use super::fetched::{Ending, Ends, Fetched};
use super::{Brought, Content, Stream};

/// How many timeouts of its source one fetch may take: the first failure of a merged query must leave time to find its
/// culprit.
const FETCH_TIMEOUTS_MAX: u32 = 2;

/// How many requests one fetch may make: enough to halve a thousand values around a few culprits.
const FETCH_REQUESTS_MAX: usize = 64;

/// A source that has answered nothing is asked for so many groups of values, and is down then.
const FAILURES_MAX: usize = 3;

/// As long as it answers nothing, its queries are cut into so many: more would only be more to ask.
const GROUPS_MAX: usize = 16;

/// So many bytes of a slow answer are kept until the table is free, if there is room.
const AHEAD_BYTES_MAX: usize = 64 << 20;

/// Values that took long together are asked for in so many groups the next time.
const SLOW_PARTS: usize = 8;

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
    /// It took long the last time.
    pub(super) is_slow: bool,
}

impl Task {
    /// The same for the first tick alone.
    fn of_first(self) -> Task {
        Task { ticks: first_of(self.ticks), ..self }
    }
}

/// Fetches, keeps what came for late askers, and hands it to those who wait.
pub(super) async fn run(stream: Arc<Stream>, task: Task) -> Brought {
    let (ticks, since) = (task.ticks, task.since);
    let brought = match (task.is_slow, stream.content) {
        (true, _) => slow(&stream, task).await,
        (false, Content::Values) => values(&stream, task, &mut *open(&stream).await).await,
        (false, Content::Samples) => stored(&stream, task, &mut *open(&stream).await).await,
    };
    stream.keep(ticks, since, &brought);
    brought
}

/// The stream's table, as soon as nobody reads into it.
async fn open(stream: &Stream) -> MutexGuard<'_, Table> {
    let mut table = stream.table.lock().await;
    let asking = lock(&stream.state).interests.asking();
    if let Some(asking) = asking {
        table.split(asking);
    }
    table
}

/// What takes long: the answer is waited for first, and then the table.
async fn slow(stream: &Stream, task: Task) -> Brought {
    let Task { ticks, since, values, namespaces, .. } = task;
    let asked = match stream.content {
        Content::Values => Asked::Ticks(ticks),
        Content::Samples => Asked::Window(Window { since, until: ticks.last().timestamp() }),
    };
    let mut fetch = Fetch::new(stream, asked, values, namespaces);
    fetch.is_slow = true;
    let Some(group) = fetch.todo.front().cloned() else { return fetch.nothing(ticks, since) };
    match fetch.begin_whole(&group).await {
        Ok(begun) => fetch.begun = Some(begun),
        Err(cause) => {
            let (all, were_asked) = (fetch.todo.drain(..).flatten().collect(), fetch.requests > 0);
            fetch.failed(all, cause, were_asked);
            fetch.part(ticks);
            return fetch.nothing(ticks, since);
        }
    }
    let mut table = open(stream).await;
    match stream.content {
        Content::Samples => fetch.samples(ticks, since, &mut table).await.unwrap_or_else(|failed| failed),
        Content::Values if ticks.is_one() => fetch.one(ticks, &mut table).await,
        Content::Values => match fetch.several(ticks, &mut table).await {
            Ok(brought) => brought,
            Err(first) => first.one(first_of(ticks), &mut table).await,
        },
    }
}

/// The first tick alone.
pub(super) fn first_of(ticks: Span) -> Span {
    Span::new(ticks.first(), ticks.interval(), 1)
}

/// One value a series and tick: of all ticks, or of the first one.
async fn values(stream: &Stream, task: Task, table: &mut Table) -> Brought {
    let Task { ticks, values, namespaces, .. } = task;
    let fetch = Fetch::new(stream, Asked::Ticks(ticks), values, namespaces);
    if ticks.is_one() {
        return fetch.one(ticks, table).await;
    }
    match fetch.several(ticks, table).await {
        Ok(brought) => brought,
        Err(first) => first.one(first_of(ticks), table).await,
    }
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

/// All samples up to the last tick, once for each of them. `Err` holds what could be had, if that is a part.
async fn samples(stream: &Stream, task: &Task, table: &mut Table) -> Result<Brought, Brought> {
    let Task { ticks, since, values, namespaces, .. } = task;
    let asked = Asked::Window(Window { since: *since, until: ticks.last().timestamp() });
    let fetch = Fetch::new(stream, asked, values.clone(), namespaces.clone());
    fetch.samples(*ticks, *since, table).await
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

/// A question for a group of values, and what was answered to it so far.
struct Begun {
    head: Head,
    timeout: Duration,
    at: Instant,
    /// What pays for what has come.
    held: Held,
    permit: Option<Permit>,
}

enum Head {
    Ticks(Span, request::Begun),
    Window(Window, window::Begun),
}

impl Head {
    fn took(&self) -> Duration {
        match self {
            Head::Ticks(_, begun) => begun.took,
            Head::Window(_, begun) => begun.took(),
        }
    }
}

impl Begun {
    /// Waits for the whole answer, as long as there is room for it. An error if it does not come in time.
    async fn read_ahead(self, origin: &Origin) -> Result<Begun, Cause> {
        let Begun { head, timeout, at, mut held, permit } = self;
        let is_room = |bytes| held.bytes() + bytes <= AHEAD_BYTES_MAX && held.take_spare(bytes);
        let head = match head {
            Head::Ticks(ticks, mut begun) => {
                begun.read_ahead(timeout, is_room).await;
                Head::Ticks(ticks, begun.in_time(origin)?)
            }
            Head::Window(asked, mut begun) => {
                begun.read_ahead(timeout, is_room).await;
                Head::Window(asked, begun.in_time(origin)?)
            }
        };
        // Whoever has the table may have to wait for a permit.
        drop(permit);
        Ok(Begun { head, timeout, at, held, permit: None })
    }
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
    is_slow: bool,
    /// What was asked first, if its answer was waited for before all else.
    begun: Option<Begun>,
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
        let has_failed = |group: &Vec<Arc<str>>| state.trouble.has_failed(group);
        let (last, mut todo): (VecDeque<_>, VecDeque<_>) = todo.into_iter().partition(has_failed);
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
            is_slow: false,
            begun: None,
            has_cut: false,
            bytes: 0,
        }
    }

    /// Whether something that was asked for did not come, or has no room.
    fn is_partial(&self, table: &Table) -> bool {
        !table.refused().is_empty() || self.values.values().any(Result::is_err)
    }

    /// What there is at a tick.
    async fn one(mut self, ticks: Span, table: &mut Table) -> Brought {
        table.begin();
        self.all(table).await;
        let answer = Arc::new(table.finish(ticks.first()));
        let (Fetch { values, bytes, .. }, refused) = (self, table.refused());
        let (tick, ended) = (ticks.first(), Instant::now());
        let (since, ends) = (tick.timestamp(), Ending::Absent);
        Arc::new([Arc::new(Fetched {
            tick,
            since,
            ends,
            answer,
            bytes,
            values,
            refused,
            ended,
            _paid: None,
        })])
    }

    /// What there is at each of several ticks; if it cannot be had at once, what is to be asked for the first one. So is who has no
    /// room for all of it.
    async fn several(mut self, ticks: Span, table: &mut Table) -> Result<Brought, Fetch<'a>> {
        let stream = self.stream;
        let asked: Vec<Arc<str>> = self.todo.iter().flatten().cloned().collect();
        let (namespaces, is_slow) = (self.namespaces.clone(), self.is_slow);
        let first = || {
            let ticks = Asked::Ticks(first_of(ticks));
            Fetch { is_slow, ..Fetch::new(stream, ticks, asked.clone(), namespaces.clone()) }
        };
        let samples_max = Ahead::samples_max(ticks, lock(&stream.state).series());
        let (mut held, room) = (stream.origin.memory.hold_shared(), samples_max * READ_SAMPLE_BYTES);
        if held.take_for(room, table.is_modest(&asked, room)).is_err() {
            return Err(first());
        }
        table.begin_ahead(ticks.count(), samples_max);
        self.all(table).await;
        if self.is_partial(table) {
            self.part(ticks);
            return Err(first());
        }
        let samples = table.samples_ahead();
        let answers = table.finish_ahead(ticks);
        held.give(held.bytes().saturating_sub(samples * KEPT_SAMPLE_BYTES));
        let (paid, ended): (Arc<Held>, _) = (Arc::new(held), Instant::now());
        let bytes = self.bytes / ticks.count() as u64;
        let fetched = ticks.ticks().zip(answers).map(|(tick, answer)| {
            let (answer, values, refused) = (Arc::new(answer), self.values.clone(), HashMap::new());
            let (since, ends, paid) = (tick.timestamp(), Ending::Absent, Some(paid.clone()));
            Arc::new(Fetched { tick, since, ends, answer, bytes, values, refused, ended, _paid: paid })
        });
        Ok(fetched.collect())
    }

    /// All samples up to the last tick, once for each of them. `Err` holds what could be had, if that is a part.
    async fn samples(mut self, ticks: Span, since: Timestamp, table: &mut Table) -> Result<Brought, Brought> {
        table.begin_runs();
        self.all(table).await;
        let is_partial = self.is_partial(table);
        if is_partial {
            self.part(ticks);
        }
        let (answer, ended) = (Arc::new(table.finish_runs(ticks.last())), Instant::now());
        let (refused, bytes) = (table.refused(), self.bytes / ticks.count() as u64);
        let ends = Ending::Marked { but: Arc::new(self.unmarked) };
        let fetched = ticks.ticks().map(|tick| {
            let (answer, values, refused, ends) =
                (answer.clone(), self.values.clone(), refused.clone(), ends.clone());
            Arc::new(Fetched { tick, since, ends, answer, bytes, values, refused, ended, _paid: None })
        });
        let brought = fetched.collect();
        if is_partial { Err(brought) } else { Ok(brought) }
    }

    /// If these are several ticks, they cannot be had at once.
    fn part(&self, ticks: Span) {
        let mut state = lock(&self.stream.state);
        match self.is_slow {
            _ if ticks.is_one() => {}
            true => state.trouble.part(),
            false => state.ahead.part(),
        }
    }

    /// Nothing came.
    fn nothing(self, ticks: Span, since: Timestamp) -> Brought {
        let (tick, ended, ends) = (ticks.first(), Instant::now(), Ending::Absent);
        let (answer, values, refused) = (Arc::new(Answer::nothing(tick)), self.values, HashMap::new());
        Arc::new([Arc::new(Fetched {
            tick,
            since,
            ends,
            answer,
            bytes: 0,
            values,
            refused,
            ended,
            _paid: None,
        })])
    }

    async fn all(&mut self, table: &mut Table) {
        while let Some(group) = self.todo.pop_front() {
            self.group(table, group).await;
        }
    }

    async fn group(&mut self, table: &mut Table, group: Vec<Arc<str>>) {
        table.begin_request(&group);
        let asked_before = self.requests - usize::from(self.begun.is_some());
        let asked = self.ask(table, &group).await;
        match asked {
            Ok(bytes) => {
                self.bytes += bytes;
                let mut state = lock(&self.stream.state);
                state.trouble.came(&group);
                let is_first = state.cuts.count() == 0;
                if state.trouble.is_slow(&group[0])
                    && (is_first || state.trouble.was_quick_within(self.age()))
                {
                    state.cuts.cut(&group, SLOW_PARTS, Instant::now());
                }
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

    /// Asks for a group as soon as that may be, and waits until its answer begins. An error if it cannot be asked for in time.
    async fn begin(&mut self, group: &[Arc<str>]) -> Result<Begun, Cause> {
        let Stream { origin, shape, forms, state, .. } = self.stream;
        let whole = origin.source.timeout;
        let permit = tokio::time::timeout_at(self.deadline, origin.gate.pass(&self.namespaces)).await;
        let timeout = whole.min(self.time_left());
        let Some(permit) = permit.ok().filter(|_| timeout >= TIMEOUT_MIN.min(whole)) else {
            return Err(Cause::Timeout(whole));
        };
        self.requests += 1;
        let (at, held) = (Instant::now(), origin.memory.hold_shared());
        let head = match self.asked {
            Asked::Ticks(ticks) => {
                Head::Ticks(ticks, request::begin(origin, &shape.query(group), ticks, timeout).await)
            }
            Asked::Window(asked) => {
                Head::Window(asked, window::begin(origin, (shape, forms), group, asked, timeout).await)
            }
        };
        lock(state).trouble.began(group, head.took(), whole);
        Ok(Begun { head, timeout, at, held, permit: Some(permit) })
    }

    /// As [`Fetch::begin`], until the whole answer is there, if there is room for it.
    async fn begin_whole(&mut self, group: &[Arc<str>]) -> Result<Begun, Cause> {
        let begun = self.begin(group).await?;
        let (Stream { origin, state, .. }, at, to_begin) = (self.stream, begun.at, begun.head.took());
        let whole = begun.read_ahead(origin).await;
        if whole.is_err() {
            lock(state).trouble.took(group, to_begin, at.elapsed(), origin.source.timeout);
        }
        whole
    }

    async fn ask(&mut self, table: &mut Table, group: &[Arc<str>]) -> Result<u64, Cause> {
        let begun = match self.begun.take() {
            Some(begun) => begun,
            None => self.begin(group).await?,
        };
        let Begun { head, timeout, at, held: _held, permit: _permit } = begun;
        let Stream { origin, shape, forms, state, .. } = self.stream;
        let to_begin = head.took();
        let asked = match head {
            Head::Ticks(ticks, begun) => request::finish(origin, begun, ticks, timeout, table).await,
            Head::Window(asked, begun) => {
                let read = window::finish(origin, begun, (shape, forms), group, asked, timeout, table).await;
                if let Ok((_, Ends::Absent)) = read {
                    self.unmarked.extend(group.iter().cloned());
                }
                read.map(|(bytes, _)| bytes)
            }
        };
        lock(state).trouble.took(group, to_begin, at.elapsed(), origin.source.timeout);
        asked
    }

    fn age(&self) -> Duration {
        (self.deadline - self.stream.origin.source.timeout * FETCH_TIMEOUTS_MAX).elapsed()
    }

    fn time_left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// What becomes of values of which nothing came, though they `were_asked` for, or for want of time.
    fn failed(&mut self, group: Vec<Arc<str>>, cause: Cause, were_asked: bool) {
        let unreachable = matches!(&cause, Cause::Unreachable(why) if !why.is_of_an_answer());
        // The group was asked for as one.
        let took_long = were_asked && lock(&self.stream.state).trouble.is_slow(&group[0]);
        if self.is_slow || took_long && !unreachable {
            return self.failed_slowly(group, cause, were_asked);
        }
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
            lock(&self.stream.state).trouble.failed(&group);
        }
        self.failures += usize::from(!has_answered && cause.is_the_sources());
        let error = self.stream.origin.error(Arc::new(cause));
        // A source that cannot be reached is not asked again for the other groups, nor one that answers for none.
        let is_down = unreachable || !has_answered && self.failures >= FAILURES_MAX;
        let others = if is_down { std::mem::take(&mut self.todo) } else { VecDeque::new() };
        let failed = others.into_iter().flatten().chain(group);
        self.values.extend(failed.map(|value| (value, Err(error.clone()))));
    }

    /// As [`Fetch::failed`], of values that take long: they are asked for in smaller groups the next time, all at once.
    fn failed_slowly(&mut self, group: Vec<Arc<str>>, cause: Cause, were_asked: bool) {
        let mut state = lock(&self.stream.state);
        let may_cut = state.trouble.was_quick_within(self.age()) || state.cuts.count() < GROUPS_MAX;
        if were_asked {
            state.trouble.failed(&group);
            if may_cut && (cause.may_be_the_question() || cause.may_be_its_size()) {
                state.cuts.cut(&group, SLOW_PARTS, Instant::now());
            }
        }
        drop(state);
        let error = self.stream.origin.error(Arc::new(cause));
        self.values.extend(group.into_iter().map(|value| (value, Err(error.clone()))));
    }
}
