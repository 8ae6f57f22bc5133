//! Outage: when a failure is worth a line in a log, and when its end is.
//!
//! In: failures and successes as they happen, each with its time. Out: the moments to be told.
//! Never: a line per failure. However something flaps, an outage is told at most once a minute, and each of its faults
//! once.

use std::time::Duration;

use super::Timestamp;

/// An outage that begins sooner than this after the last line is told only once it has lasted until then.
pub const QUIET: Duration = Duration::from_secs(60);

/// Whether something that succeeded again has also made up for what it missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standstill {
    /// It has.
    Over,
    /// It is still behind.
    CatchingUp,
}

/// The outages of one thing. `F` is what may be wrong with it, of which there are few.
#[derive(Debug)]
pub struct Outages<F> {
    current: Option<Outage<F>>,
    told_at: Option<Timestamp>,
}

#[derive(Debug)]
struct Outage<F> {
    since: Timestamp,
    failures: u32,
    told: Vec<F>,
    /// Somebody else told of it before.
    was_told: bool,
    /// When it succeeded again, if it did not fail since.
    back_at: Option<Timestamp>,
    successes: u64,
}

/// The end of an outage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recovery {
    /// From its first failure to the first success behind its last one.
    pub down: Duration,
    /// How many successes it took to make up for what was missed.
    pub successes: u64,
}

impl<F> Default for Outages<F> {
    fn default() -> Outages<F> {
        Outages { current: None, told_at: None }
    }
}

impl<F: PartialEq> Outages<F> {
    /// For whoever goes on under other terms: what is still wrong is told anew, and that it is over if it was told before.
    pub fn handed_on(mut self) -> Outages<F> {
        if let Some(outage) = &mut self.current {
            outage.was_told |= !outage.told.is_empty();
            outage.told.clear();
        }
        Outages { told_at: None, ..self }
    }

    /// It failed. Whether to say so: `fault` is new in this outage, which has now at least `patience` failures.
    pub fn failed(&mut self, fault: F, patience: u32, now: Timestamp) -> bool {
        let quiet = self.told_at.is_some_and(|told| now.since(told) < QUIET);
        let outage = self.current.get_or_insert_with(|| Outage {
            since: now,
            failures: 0,
            told: Vec::new(),
            was_told: false,
            back_at: None,
            successes: 0,
        });
        outage.failures = outage.failures.saturating_add(1);
        outage.back_at = None;
        let too_soon = outage.failures < patience || (outage.told.is_empty() && quiet);
        if too_soon || outage.told.contains(&fault) {
            return false;
        }
        outage.told.push(fault);
        self.told_at = Some(now);
        true
    }

    /// It succeeded. The outage that this ends, if it was told.
    pub fn succeeded(&mut self, standstill: Standstill, now: Timestamp) -> Option<Recovery> {
        let outage = self.current.as_mut()?;
        outage.successes += 1;
        let back_at = *outage.back_at.get_or_insert(now);
        if standstill == Standstill::CatchingUp {
            return None;
        }
        let Outage { since, told, was_told, successes, .. } = self.current.take()?;
        (was_told || !told.is_empty()).then(|| Recovery { down: back_at.since(since), successes })
    }
}

#[cfg(test)]
mod tests {
    use super::Standstill::{CatchingUp, Over};
    use super::*;

    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Fault {
        Refused,
        Away,
    }
    use Fault::{Away, Refused};

    fn at(seconds: i64) -> Timestamp {
        Timestamp(seconds * 1000)
    }

    fn recovery(seconds: u64, successes: u64) -> Option<Recovery> {
        Some(Recovery { down: Duration::from_secs(seconds), successes })
    }

    #[test]
    fn an_outage_is_told_once_and_so_is_its_end() {
        let mut outages = Outages::default();
        assert_eq!([0, 1, 2, 500].map(|s| outages.failed(Away, 1, at(s))), [true, false, false, false]);
        assert_eq!(outages.succeeded(Over, at(900)), recovery(900, 1));
        assert_eq!(outages.succeeded(Over, at(901)), None);
    }

    #[test]
    fn who_goes_on_tells_what_is_still_wrong_and_that_it_is_over() {
        let failed = || {
            let mut outages = Outages::default();
            assert!(outages.failed(Away, 1, at(0)));
            outages.handed_on()
        };
        assert_eq!(failed().succeeded(Over, at(30)), recovery(30, 1));
        let mut outages = failed();
        assert_eq!([10, 11].map(|s| outages.failed(Away, 1, at(s))), [true, false]);
        assert_eq!(outages.succeeded(Over, at(40)), recovery(40, 1));
        let mut outages = Outages::<Fault>::default();
        assert!(!outages.failed(Away, 2, at(0)));
        assert_eq!(outages.handed_on().succeeded(Over, at(1)), None, "nobody was told");
    }

    #[test]
    fn a_hiccup_is_no_news() {
        let mut outages = Outages::default();
        assert!(!outages.failed(Away, 2, at(0)));
        assert_eq!(outages.succeeded(Over, at(1)), None);
        assert!(!outages.failed(Away, 2, at(2)));
        assert!(outages.failed(Away, 2, at(3)));
    }

    #[test]
    fn each_fault_of_an_outage_is_told_once() {
        let mut outages = Outages::default();
        let faults = [Away, Away, Refused, Away, Refused];
        assert_eq!(faults.map(|fault| outages.failed(fault, 1, at(1))), [true, false, true, false, false]);
    }

    #[test]
    fn the_end_is_told_when_what_was_missed_is_made_up_for() {
        let mut outages = Outages::default();
        assert!(outages.failed(Away, 1, at(0)));
        assert_eq!(outages.succeeded(CatchingUp, at(600)), None);
        assert!(!outages.failed(Away, 1, at(610)), "it is the same outage");
        assert_eq!(outages.succeeded(CatchingUp, at(620)), None);
        assert_eq!(outages.succeeded(CatchingUp, at(630)), None);
        assert_eq!(outages.succeeded(Over, at(640)), recovery(620, 4));
    }

    #[test]
    fn what_flaps_is_told_once_a_minute() {
        let mut outages = Outages::default();
        let (mut begun, mut ended) = (0, 0);
        for second in 0..600 {
            match second % 2 {
                0 => begun += u32::from(outages.failed(Away, 1, at(second))),
                _ => ended += u32::from(outages.succeeded(Over, at(second)).is_some()),
            }
        }
        assert_eq!((begun, ended), (10, 10));
        // One that lasts is told even if it began too soon.
        assert!(!outages.failed(Away, 1, at(590)));
        assert!(outages.failed(Away, 1, at(602)));
    }
}
