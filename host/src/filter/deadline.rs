//! Deadline: how long one call of a guest may go on.
//!
//! In: what the call may take of a processor. Out: whether it has taken it. Never: a guest that is stopped because others had the
//! processor meanwhile, up to a few times the time; one that goes on for ever because it gets none.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use super::ticker::{PERIOD, Ticker};

/// The time by the clock, in times of what may be taken of a processor: of a call, and of a compilation.
pub(super) const TIMES_MAX: u32 = 5;

/// Of one call, which is made and ends on one thread.
#[derive(Debug)]
pub(super) struct Deadline {
    limit: Duration,
    processor: Duration,
    clock: Instant,
}

impl Deadline {
    /// Of a call that begins here and now.
    pub(super) fn of(limit: Duration) -> Deadline {
        Deadline { limit, processor: processor_time(), clock: Instant::now() }
    }

    /// After how many ticks of the engine's clock it can be reached at the earliest.
    pub(super) fn ticks(&self) -> u64 {
        Ticker::ticks(self.limit)
    }

    /// After how many more ticks it can be reached, if it is not.
    pub(super) fn ticks_left(&self) -> Option<u64> {
        left(self.limit, processor_time().saturating_sub(self.processor), self.clock.elapsed())
            .map(Ticker::ticks)
    }
}

fn left(limit: Duration, processor: Duration, clock: Duration) -> Option<Duration> {
    let left = limit.saturating_sub(processor).min((limit * TIMES_MAX).saturating_sub(clock));
    // The engine's clock is no better than that.
    (left > PERIOD).then_some(left)
}

/// What this thread has had of a processor.
pub(super) fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_over_when_it_had_its_time_or_waited_for_it_too_long() {
        let ms = Duration::from_millis;
        for (processor, clock, left_ms) in [
            (0, 0, Some(300)),
            (300, 300, None),
            (295, 310, None),
            (100, 300, Some(200)),
            (100, 1_400, Some(100)),
            (100, 1_450, Some(50)),
            (100, 1_500, None),
            (0, 9_999, None),
        ] {
            assert_eq!(left(ms(300), ms(processor), ms(clock)), left_ms.map(ms), "{processor} {clock}");
        }
    }
}
