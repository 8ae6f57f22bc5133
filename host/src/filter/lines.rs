//! Lines: how many lines guests may write into our log, by namespace.
//!
//! In: who wants to write a line, and when. Out: whether it is written, and what is to be told of those that were not. Never: more
//! of one namespace than [`BURST`] and then [`EVERY`] so often, however many filters it has; anything kept of who was quiet for a
//! while.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Lines of one namespace that are written at once: all filters of a resource that say why they fail.
const BURST: u32 = 100;
/// The time between two lines of a namespace that goes on writing. 20 a second are two megabytes a minute at the longest.
const EVERY: Duration = Duration::from_millis(50);

/// Whose lines were written of late. One for the whole process.
#[derive(Debug, Default)]
pub(super) struct Lines(Mutex<HashMap<String, Bucket>>);

/// What becomes of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    /// It is written.
    Written,
    /// It is written, and so many before it were not.
    WrittenAgain { left_out: u64 },
    /// It is the first that is left out.
    FirstLeftOut,
    /// It is left out, as those before it.
    LeftOut,
}

/// A bucket of tokens, told by when it is full: each token that was taken moves that by what it takes to come back.
#[derive(Debug)]
struct Bucket {
    full_at: Instant,
    left_out: u64,
}

impl Lines {
    /// A line that `namespace` wants to write.
    pub(super) fn take(&self, namespace: &str, now: Instant) -> Line {
        let mut buckets = self.lock();
        if !buckets.contains_key(namespace) {
            // Those that are full are as good as new. What was left out each filter counts for itself.
            buckets.retain(|_, bucket| bucket.full_at > now);
            buckets.insert(namespace.to_owned(), Bucket { full_at: now, left_out: 0 });
        }
        buckets.get_mut(namespace).expect("it was just put there").take(now)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Bucket>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bucket {
    fn take(&mut self, now: Instant) -> Line {
        // Told when it is full again and not with the next token, or two lines would be told for each that is written.
        let left_out = if self.full_at <= now { std::mem::take(&mut self.left_out) } else { 0 };
        let full_at = self.full_at.max(now) + EVERY;
        if full_at > now + EVERY * BURST {
            self.left_out += 1;
            return if self.left_out == 1 { Line::FirstLeftOut } else { Line::LeftOut };
        }
        self.full_at = full_at;
        if left_out > 0 { Line::WrittenAgain { left_out } } else { Line::Written }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(lines: &Lines, namespace: &str, wanted: u32, now: Instant) -> usize {
        let is_written = |line: &Line| matches!(line, Line::Written | Line::WrittenAgain { .. });
        (0..wanted).map(|_| lines.take(namespace, now)).filter(is_written).count()
    }

    #[test]
    fn a_namespace_that_writes_without_end_is_cut_short_and_others_are_not() {
        let (lines, start) = (Lines::default(), Instant::now());
        assert_eq!(written(&lines, "loud", 1_000, start), BURST as usize);
        assert_eq!(written(&lines, "quiet", 10, start), 10);
        let seconds =
            (1..=40).map(|second| written(&lines, "loud", 1_000, start + Duration::from_secs(second)));
        assert_eq!(seconds.sum::<usize>(), 40 * 20);
    }

    #[test]
    fn what_is_left_out_is_told_when_it_begins_and_once_it_is_over() {
        let (lines, start) = (Lines::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(written(&lines, "loud", BURST, start), BURST as usize);
        assert_eq!(lines.take("loud", start), Line::FirstLeftOut);
        assert_eq!(lines.take("loud", start), Line::LeftOut);
        assert_eq!(lines.take("loud", at(1)), Line::Written, "it is not over yet");
        assert_eq!(lines.take("loud", at(10)), Line::WrittenAgain { left_out: 2 });
        assert_eq!(lines.take("loud", at(10)), Line::Written);
    }

    #[test]
    fn who_was_quiet_for_a_while_is_forgotten() {
        let (lines, start) = (Lines::default(), Instant::now());
        for namespace in 0..1_000 {
            lines.take(&namespace.to_string(), start);
        }
        lines.take("another", start + EVERY);
        assert_eq!(lines.lock().len(), 1);
    }
}
