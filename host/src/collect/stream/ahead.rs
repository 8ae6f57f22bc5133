//! Ahead: ticks that somebody who catches up will ask for next are fetched in one request.
//!
//! In: a tick, and how many behind it are due already. Out: which of them to ask for at once, and what came for them, as long as
//! it is fresh. Never: more samples at once than the maximum; a source asked for several ticks that just refused to.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Fetched;
use crate::model::{Interval, Span, Tick};

/// Ticks of one request. A source has fewer samples in memory for them than a dashboard asks for.
const TICKS_MAX: u32 = 60;

/// Samples of one request.
const SAMPLES_MAX: usize = 1 << 20;
/// There is always room for so many.
const SAMPLES_MIN: usize = 1 << 12;
/// Series come and go: so many times as there are at one tick there may be at several.
const CHURN: usize = 2;

/// How long what came is kept for whoever asks for it: a receiver may take a second for each tick.
const KEPT_FOR: Duration = Duration::from_secs(120);

/// Ticks that are kept; those that came first make room.
const KEPT_MAX: usize = 4 * TICKS_MAX as usize;

/// How long a source that could not answer for several ticks is asked for one at a time.
pub(super) const APART_FOR: Duration = Duration::from_secs(60);

/// What is there for those who catch up.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    kept: Vec<Arc<Fetched>>,
    apart_until: Option<Instant>,
}

impl Ahead {
    /// Which ticks to ask for, beginning with `tick`: of the `behind` that follow it as many as one request may have, of
    /// so many `samples` each. While it is not known how many there are, one.
    pub(super) fn ticks(
        &mut self,
        tick: Tick,
        interval: Interval,
        behind: u32,
        samples: Option<usize>,
    ) -> Span {
        let now = Instant::now();
        self.drop_stale(now);
        let is_apart = self.apart_until.is_some_and(|until| now < until);
        let room = match samples.filter(|_| !is_apart) {
            Some(samples) => u32::try_from(SAMPLES_MAX / CHURN / samples.max(1)).unwrap_or(TICKS_MAX),
            None => 1,
        };
        Span::new(tick, interval, behind.saturating_add(1).min(room.min(TICKS_MAX)))
    }

    /// How many samples a request for these ticks may bring.
    pub(super) fn samples_max(ticks: Span, series: Option<usize>) -> usize {
        let expected = series.unwrap_or_default().saturating_mul(ticks.count()).saturating_mul(CHURN);
        expected.clamp(SAMPLES_MIN, SAMPLES_MAX)
    }

    /// The source does not answer for several ticks at once.
    pub(super) fn part(&mut self) {
        self.apart_until = Some(Instant::now() + APART_FOR);
    }

    pub(super) fn keep(&mut self, brought: &[Arc<Fetched>]) {
        self.drop_stale(Instant::now());
        self.kept.extend(brought.iter().cloned());
        let excess = self.kept.len().saturating_sub(KEPT_MAX);
        self.kept.drain(..excess);
    }

    /// Nobody asks any more for ticks before this one.
    pub(super) fn let_go(&mut self, tick: Tick) {
        self.kept.retain(|fetched| fetched.tick >= tick);
    }

    /// Lets go of all that is there; whether there was anything.
    pub(super) fn clear(&mut self) -> bool {
        !std::mem::take(&mut self.kept).is_empty()
    }

    /// What came for a tick, the newest first.
    pub(super) fn of(&self, tick: Tick) -> impl Iterator<Item = &Arc<Fetched>> {
        self.kept.iter().rev().filter(move |fetched| fetched.tick == tick)
    }

    fn drop_stale(&mut self, now: Instant) {
        self.kept.retain(|fetched| now.duration_since(fetched.ended) < KEPT_FOR);
    }
}
