//! Pace: whether a lane's filters are as quick as others may expect.
//!
//! In: what they took of the processor, tick by tick. Out: where the next tick is worked on. Never: a lane that holds up others
//! on its thread; one whose filters take long, or never end, at the expense of those that are on time.

use std::time::Duration;

use crate::background;
use crate::model::Timestamp;

/// What guests may take at one tick without being in anybody's way.
const QUICK: Duration = Duration::from_millis(50);
/// For so long after it took more a lane yields to all others.
const YIELDS_FOR: Duration = Duration::from_secs(600);

/// One lane's.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// What its guests have taken so far.
    taken: Duration,
    slow_at: Option<Timestamp>,
}

/// Who has the processor first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Priority {
    /// Who comes first.
    Equal,
    /// All others.
    Last,
}

impl Pace {
    /// The lane's, at the next tick.
    pub(crate) fn priority(&self, now: Timestamp) -> Priority {
        let yields = self.slow_at.is_some_and(|at| now.since(at) < YIELDS_FOR);
        if yields { Priority::Last } else { Priority::Equal }
    }

    /// What the lane's filters have taken, when a tick is over.
    pub(crate) fn took(&mut self, now: Timestamp, taken: Duration) {
        if taken > self.taken + QUICK {
            self.slow_at = Some(now);
        }
        self.taken = taken;
    }
}

impl Priority {
    /// Runs work that takes milliseconds without holding up other tasks of this thread.
    pub(crate) fn compute<T: Send>(self, work: impl FnOnce() -> T + Send) -> T {
        use tokio::runtime::{Handle, RuntimeFlavor};
        let work = || match self {
            Priority::Equal => work(),
            Priority::Last => background::run(work),
        };
        match Handle::current().runtime_flavor() {
            RuntimeFlavor::CurrentThread => work(),
            _ => tokio::task::block_in_place(work),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Priority::{Equal, Last};
    use super::*;

    #[test]
    fn who_took_long_yields_for_a_while() {
        let mut pace = Pace::default();
        let mut taken = Duration::ZERO;
        let mut tick = |seconds: i64, took_ms| {
            let now = Timestamp(seconds * 1_000);
            let before = pace.priority(now);
            taken += Duration::from_millis(took_ms);
            pace.took(now, taken);
            before
        };
        assert_eq!([tick(1, 50), tick(2, 50), tick(3, 51)], [Equal; 3]);
        assert_eq!([tick(4, 0), tick(602, 0), tick(603, 0)], [Last, Last, Equal]);
    }
}
