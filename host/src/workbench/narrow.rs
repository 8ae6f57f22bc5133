//! Narrow: with which series of a scrape a filter begins to fail.
//!
//! In: a way to begin anew, and the scrapes up to the one that failed. Out: the failure, with that series' name. Never: more time than
//! somebody waits for; a series named that does not make it fail again.

use std::time::{Duration, Instant};

use super::{Error, Failed, Trial};
use crate::model::Timestamp;
use crate::model::exposition::Sample;

/// A filter that fails by taking too long does so a dozen times meanwhile, a second each.
const TIME_MAX: Duration = Duration::from_secs(20);

/// What was shown to a filter until it failed.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a> {
    /// When the first scrape was made.
    pub from: Timestamp,
    /// How far they are apart.
    pub interval: Duration,
    /// All of them; the last one is the one that failed.
    pub scrapes: &'a [Vec<Sample>],
}

/// The failure with the series that brings it about: of those that the last scrape begins with, the fewest that fail are looked for,
/// each time by an instance that has seen nothing else. What does not repeat, or takes too long, stays as it is.
pub fn narrow(
    failed: Box<Failed>,
    shown: Shown<'_>,
    begin: impl Fn() -> Result<Trial, Error>,
) -> Box<Failed> {
    match first_failing(shown, begin) {
        Some(sample) => failed.because_of(&sample.labels),
        None => failed,
    }
}

fn first_failing<'a>(shown: Shown<'a>, begin: impl Fn() -> Result<Trial, Error>) -> Option<&'a Sample> {
    let (last, before) = shown.scrapes.split_last()?;
    let start = Instant::now();
    let fails = |count: usize| -> Option<bool> {
        let mut trial = begin().ok()?;
        let mut at = shown.from;
        for scrape in before {
            trial.scrape(at, scrape).ok()?;
            at = at.plus(shown.interval);
        }
        let failed = matches!(trial.scrape(at, &last[..count]), Err(Error::Failed(_)));
        (start.elapsed() < TIME_MAX).then_some(failed)
    };
    let (mut passing, mut failing) = (0, last.len());
    if fails(passing)? || !fails(failing)? {
        return None;
    }
    while failing - passing > 1 {
        let middle = passing.midpoint(failing);
        match fails(middle)? {
            true => failing = middle,
            false => passing = middle,
        }
    }
    last.get(failing - 1)
}
