//! Pace: which status is written when.
//!
//! In: the statuses that should be there, the answers to earlier writes, the time. Out: the next write, and when to ask
//! again. Never: IO, a clock, or two writes of one resource at a time.
//!
//! Two kinds of change share the API server's patience. A **transition** (another status or reason of a condition,
//! another generation, finding or owner; a filter that is another module, or failed for the first time) is written at once, after a pause in which several become one. **Counts** change at every
//! tick; they are written a minute after the last write at the earliest, and all resources together not more often than
//! [`COUNTS_PER_SECOND`], the one that waited longest first. A thousand resources are then refreshed every 34 minutes, ten
//! every minute. A resource whose conditions flip all the time uses up an allowance of its own.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::bucket::{Bucket, Rate};
use super::facts::Subject;
use super::types::{MetricAccessStatus, ModuleStatus};
use crate::model::TenantId;

/// Writes of counts, all resources together: half of the one request per second that a replica may cost in the steady
/// state; watches and their renewal need a tenth of the rest.
pub const COUNTS_PER_SECOND: f64 = 0.5;
const COUNTS: Rate = Rate { burst: 5.0, per_second: COUNTS_PER_SECOND };
/// How long after the last write of a resource its counts are written again, at the earliest.
pub const COUNTS_EVERY: Duration = Duration::from_secs(60);

/// Writes of transitions, all resources together. A source that fails can make every resource change at once; a thousand
/// are written in less than half a minute.
const TRANSITIONS: Rate = Rate { burst: 100.0, per_second: 50.0 };
/// Writes of one resource's transitions: six at once, then one per half minute.
const TRANSITIONS_OF_ONE: Rate = Rate { burst: 6.0, per_second: 1.0 / 30.0 };
/// How long a transition waits for others, so that they are written together, and for its own undoing.
pub const DEBOUNCE: Duration = Duration::from_millis(200);

/// The pauses of one resource after failed writes, doubling from the first to the longest.
const BACKOFF_FIRST: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(60);
/// After no answer at all nothing is sent for so long: whoever cannot be reached need not be asked about every resource.
const UNREACHABLE_PAUSE: Duration = Duration::from_secs(2);

/// How many of our own earlier statuses are known again when the watch brings them late.
const EARLIER_MAX: usize = 4;

/// What a write would change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Counts,
    Transition,
}

/// One status to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct Write {
    /// Whose.
    pub id: TenantId,
    /// The very object; another one of the same name must not get it.
    pub uid: String,
    /// What is there now, as far as is known.
    pub before: Option<Arc<MetricAccessStatus>>,
    /// What is to be there.
    pub status: Arc<MetricAccessStatus>,
    /// Tells this write from every other one.
    pub number: u64,
}

/// How a write ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is there.
    Written,
    /// The API server refused it, for now or for good; it may ask for a pause.
    Refused {
        /// How long the server asks us to wait.
        retry_after: Option<Duration>,
    },
    /// There was no answer.
    Unreachable,
}

/// What is to be written, and what is known to be there.
#[derive(Debug)]
pub struct Pace {
    entries: HashMap<TenantId, Entry>,
    counts: Bucket,
    transitions: Bucket,
    reachable_at: Instant,
    numbers: u64,
}

#[derive(Debug)]
struct Entry {
    subject: Arc<Subject>,
    /// What the cluster has, as far as is known.
    written: Option<Arc<MetricAccessStatus>>,
    /// What we wrote before that, oldest first: the watch may still be on its way with it.
    earlier: VecDeque<Arc<MetricAccessStatus>>,
    wanted: Arc<MetricAccessStatus>,
    /// What a write would change, and since when.
    change: Option<(Change, Instant)>,
    sending: Option<(u64, Arc<MetricAccessStatus>)>,
    transitions: Bucket,
    /// When its counts may be written.
    counts_at: Instant,
    not_before: Instant,
    failures: u32,
}

impl Pace {
    /// Nothing is known and nothing wanted.
    pub fn new(now: Instant) -> Pace {
        Pace {
            entries: HashMap::new(),
            counts: Bucket::full(COUNTS, now),
            transitions: Bucket::full(TRANSITIONS, now),
            reachable_at: now,
            numbers: 0,
        }
    }

    /// The statuses of a resource before: what the cluster has or is about to have, and what was last wanted.
    pub fn before<'a>(&'a self, id: &TenantId, subject: &'a Subject) -> [Option<&'a MetricAccessStatus>; 2] {
        match self.entries.get(id).filter(|entry| entry.subject.uid == subject.uid) {
            Some(entry) => {
                let sending = entry.sending.as_ref().map(|(_, status)| status);
                [sending.or(entry.written.as_ref()).map(Arc::as_ref), Some(&entry.wanted)]
            }
            None => [subject.status.as_ref(), None],
        }
    }

    /// What `subject` should have as its status, from now on.
    pub fn want(&mut self, id: &TenantId, subject: &Arc<Subject>, status: MetricAccessStatus, now: Instant) {
        let known = self.entries.get_mut(id).filter(|entry| entry.subject.uid == subject.uid);
        let entry = match known {
            Some(entry) => entry,
            None => {
                let entry = Entry::new(subject, now);
                self.entries.insert(id.clone(), entry);
                self.entries.get_mut(id).expect("it was just put there")
            }
        };
        entry.see(subject, now);
        if *entry.wanted != status {
            entry.wanted = Arc::new(status);
        }
        entry.compare(now);
    }

    /// Forgets every resource but these: the others are gone, or another replica's.
    pub fn retain(&mut self, keep: impl Fn(&TenantId) -> bool) {
        self.entries.retain(|id, _| keep(id));
    }

    /// The next write, if one is due. Its end must be told to [`Pace::done`].
    pub fn next(&mut self, now: Instant) -> Option<Write> {
        if now < self.reachable_at {
            return None;
        }
        let (id, change) = self.due(now)?;
        let entry = self.entries.get_mut(&id)?;
        match change {
            Change::Counts => self.counts.take(now),
            Change::Transition => {
                self.transitions.take(now);
                entry.transitions.take(now);
            }
        }
        self.numbers += 1;
        entry.sending = Some((self.numbers, Arc::clone(&entry.wanted)));
        Some(Write {
            id,
            uid: entry.subject.uid.clone(),
            before: entry.written.clone(),
            status: Arc::clone(&entry.wanted),
            number: self.numbers,
        })
    }

    /// A write has ended. `jitter` is from 0 to 1. Whether the write was still wanted.
    pub fn done(&mut self, write: &Write, outcome: Outcome, jitter: f64, now: Instant) -> bool {
        if outcome == Outcome::Unreachable {
            self.reachable_at = now + UNREACHABLE_PAUSE;
        }
        let mine = |entry: &&mut Entry| entry.sending.as_ref().is_some_and(|(n, _)| *n == write.number);
        let Some(entry) = self.entries.get_mut(&write.id).filter(mine) else { return false };
        entry.sending = None;
        match outcome {
            Outcome::Written => {
                let before = entry.written.replace(Arc::clone(&write.status));
                entry.earlier.extend(before);
                if entry.earlier.len() > EARLIER_MAX {
                    entry.earlier.pop_front();
                }
                entry.counts_at = now + COUNTS_EVERY;
                entry.failures = 0;
            }
            Outcome::Refused { retry_after } => entry.back_off(retry_after.unwrap_or_default(), jitter, now),
            Outcome::Unreachable => entry.back_off(Duration::ZERO, jitter, now),
        }
        entry.change = None;
        entry.compare(now);
        true
    }

    /// When to ask for the next write again; `None` if nothing waits.
    pub fn wake_at(&mut self, now: Instant) -> Option<Instant> {
        let counts = self.counts.ready_at(now);
        let transitions = self.transitions.ready_at(now);
        let at = |entry: &mut Entry| {
            let own = entry.ready_at(now)?;
            Some(own.max(match entry.change?.0 {
                Change::Counts => counts,
                Change::Transition => transitions,
            }))
        };
        let first = self.entries.values_mut().filter_map(at).min()?;
        Some(first.max(self.reachable_at))
    }

    /// Transitions first, each kind in the order in which it waits.
    fn due(&mut self, now: Instant) -> Option<(TenantId, Change)> {
        let mut first: Option<(&TenantId, Change, Instant)> = None;
        let (counts, transitions) = (self.counts.has(now), self.transitions.has(now));
        for (id, entry) in &mut self.entries {
            let Some((change, since)) = entry.change else { continue };
            let affordable = if change == Change::Counts { counts } else { transitions };
            if !affordable || entry.ready_at(now).is_none_or(|at| at > now) {
                continue;
            }
            let rank = |change, since| (change == Change::Counts, since);
            if first.is_none_or(|(_, c, s)| rank(change, since) < rank(c, s)) {
                first = Some((id, change, since));
            }
        }
        first.map(|(id, change, _)| (id.clone(), change))
    }
}

impl Entry {
    fn new(subject: &Arc<Subject>, now: Instant) -> Entry {
        Entry {
            subject: Arc::clone(subject),
            written: subject.status.clone().map(Arc::new),
            earlier: VecDeque::new(),
            wanted: Arc::default(),
            change: None,
            sending: None,
            transitions: Bucket::full(TRANSITIONS_OF_ONE, now),
            counts_at: now + COUNTS_EVERY,
            not_before: now,
            failures: 0,
        }
    }

    /// What the cluster shows may be older than what was written since, and is then something that we wrote. What we
    /// did not write is somebody else's: of a replica that had not heard yet, or of a hand; it is to be written over.
    fn see(&mut self, subject: &Arc<Subject>, now: Instant) {
        if Arc::ptr_eq(&self.subject, subject) {
            return;
        }
        let seen = std::mem::replace(&mut self.subject, Arc::clone(subject));
        if seen.generation != subject.generation {
            // Whoever edits wants to see what comes of it; the allowance is for what flips by itself.
            self.transitions = Bucket::full(TRANSITIONS_OF_ONE, now);
        }
        if seen.status != subject.status && !self.is_ours(subject.status.as_ref()) {
            self.written = subject.status.clone().map(Arc::new);
        }
    }

    /// Whether we wrote this, or are about to. That there was no status was so before we wrote one.
    fn is_ours(&self, status: Option<&MetricAccessStatus>) -> bool {
        let Some(status) = status else { return self.written.is_none() };
        let sending = self.sending.iter().map(|(_, status)| status);
        let mut known = self.written.iter().chain(&self.earlier).chain(sending);
        known.any(|ours| **ours == *status)
    }

    /// Compares what is there with what is wanted. What waits already goes on waiting since then.
    fn compare(&mut self, now: Instant) {
        let change = change(self.written.as_deref(), &self.wanted);
        self.change = match (change, self.change) {
            (Some(change), Some((same, since))) if change == same => Some((change, since)),
            (change, _) => change.map(|change| (change, now)),
        };
    }

    fn back_off(&mut self, at_least: Duration, jitter: f64, now: Instant) {
        let doubled = BACKOFF_FIRST.saturating_mul(1 << self.failures.min(16)).min(BACKOFF_MAX);
        self.failures = self.failures.saturating_add(1);
        self.not_before = now + doubled.mul_f64(0.5 + jitter / 2.0).max(at_least.min(BACKOFF_MAX));
    }

    /// When the pending change may be written as far as this resource is concerned.
    fn ready_at(&mut self, now: Instant) -> Option<Instant> {
        if self.sending.is_some() {
            return None;
        }
        let at = match self.change? {
            (Change::Counts, _) => self.counts_at,
            (Change::Transition, since) => (since + DEBOUNCE).max(self.transitions.ready_at(now)),
        };
        Some(at.max(self.not_before))
    }
}

/// What a write would change.
fn change(written: Option<&MetricAccessStatus>, wanted: &MetricAccessStatus) -> Option<Change> {
    let Some(written) = written else { return Some(Change::Transition) };
    if written == wanted {
        return None;
    }
    let gist = |status: &MetricAccessStatus| {
        let of_filters = status.filters.iter().flat_map(|filter| &filter.conditions);
        let conditions = status.conditions.iter().chain(of_filters);
        let conditions: Vec<_> =
            conditions.map(|c| (c.type_.clone(), c.status.clone(), c.reason.clone())).collect();
        let module = |filter: &ModuleStatus| (filter.digest.clone(), filter.last_failure.is_some());
        let modules: Vec<_> = status.filters.iter().map(module).collect();
        (conditions, modules)
    };
    // The review's words change only with what was reviewed; other messages repeat what servers say.
    let verdict =
        |status: &MetricAccessStatus| status.condition("Accepted").map(|accepted| accepted.message.clone());
    let same = written.observed_generation == wanted.observed_generation
        && written.patterns == wanted.patterns
        && written.interval == wanted.interval
        && written.target == wanted.target
        && written.owner == wanted.owner
        && gist(written) == gist(wanted)
        && verdict(written) == verdict(wanted);
    Some(if same { Change::Counts } else { Change::Transition })
}
