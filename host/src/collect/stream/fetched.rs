//! Fetched: what one fetch brought for one tick, and to whom it is an answer.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::super::Error;
use super::super::gate::Namespace;
use super::super::table::Answer;
use crate::model::memory::{Full, Held};
use crate::model::{Tick, Timestamp};

/// How long a failure is shared with those who ask for the same tick for the first time: pipelines of one tick do not
/// wake at the same instant.
const FAILURE_SHARED: Duration = Duration::from_secs(1);

/// What one fetch brought for one tick.
#[derive(Debug)]
pub(in super::super) struct Fetched {
    pub(in super::super) tick: Tick,
    /// Since when it has samples; the tick itself where there is one a tick.
    pub(super) since: Timestamp,
    /// Whether the end of a series is among its samples.
    pub(super) ends: Ending,
    pub(in super::super) answer: Arc<Answer>,
    /// Size of the bodies, in bytes.
    pub(in super::super) bytes: u64,
    /// Each value that was asked for, and whether its rows are in the answer.
    pub(super) values: HashMap<Arc<str>, Result<(), Error>>,
    /// Those who asked and have no room for what came.
    pub(super) refused: HashMap<Namespace, Full>,
    pub(super) ended: Instant,
    /// Who pays for it as long as it is kept for those who catch up.
    pub(super) _paid: Option<Arc<Held>>,
}

/// How an answer says that a series has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    /// By a stale marker, which is a sample.
    Marked,
    /// By not having it.
    Absent,
}

/// The same of all values of a fetch.
#[derive(Debug, Clone)]
pub(super) enum Ending {
    Absent,
    /// Of all values but these.
    Marked {
        but: Arc<HashSet<Arc<str>>>,
    },
}

impl Ending {
    pub(super) fn of(&self, value: &str) -> Ends {
        match self {
            Ending::Marked { but } if !but.contains(value) => Ends::Marked,
            Ending::Marked { .. } | Ending::Absent => Ends::Absent,
        }
    }
}

impl Fetched {
    pub(super) fn size(&self) -> Size {
        let reach = self.tick.timestamp().since(self.since);
        Size { series: self.answer.series(), samples: self.answer.samples(), reach }
    }

    /// Whether something of it is missing for want of memory.
    pub(super) fn lacks_room(&self) -> bool {
        let is_full = |error: &Error| error.full().is_some();
        !self.refused.is_empty() || self.values.values().any(|value| value.as_ref().is_err_and(is_full))
    }

    /// Whether an asker takes this for its answer. A failure only if it is fresh and the asker's first try.
    pub(super) fn serves(&self, value: &str, first: bool) -> bool {
        match self.values.get(value) {
            Some(Ok(())) => true,
            Some(Err(_)) => first && self.ended.elapsed() < FAILURE_SHARED,
            None => false,
        }
    }

    /// Whether everything `other` has is here too, and not worse.
    pub(super) fn replaces(&self, other: &Fetched) -> bool {
        let is_worse = self.since > other.since;
        let mut values = other.values.iter();
        !is_worse
            && values
                .all(|(value, old)| self.values.get(value).is_some_and(|new| new.is_ok() || old.is_err()))
    }
}

/// How large an answer is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) series: usize,
    pub(super) samples: usize,
    /// The time that its samples are of; nothing where there is one a series.
    reach: Duration,
}

impl Size {
    /// How many samples there are in so much time.
    pub(super) fn in_time(self, time: Duration) -> usize {
        (self.samples as f64 * time.div_duration_f64(self.reach.max(time))).ceil() as usize
    }
}
