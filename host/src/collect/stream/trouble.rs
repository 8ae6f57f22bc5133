//! Trouble: which of a stream's values its source has trouble with.
//!
//! In: how long each group of values took, and whether it came. Out: which to ask for last, and which apart from all others.
//! Never: a value that takes long in the way of one that does not.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::ahead::APART_FOR;

/// What takes longer than this part of the source's timeout until its answer begins is slow.
const SLOW_PART: u32 = 4;

/// Likewise, until it is there in whole, which may be because it is large.
const SLOW_WHOLE_PART: u32 = 2;

/// What the source has trouble with.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    /// Values that were asked for in vain last.
    in_vain: HashSet<Arc<str>>,
    /// Values whose answer took long to begin, the last time.
    slow: HashSet<Arc<str>>,
    /// When anything came last that did not take long.
    quick: Option<Instant>,
    /// Until when what is slow is asked for one tick at a time.
    apart_until: Option<Instant>,
}

impl Trouble {
    /// A group came.
    pub(super) fn came(&mut self, group: &[Arc<str>]) {
        if !group.iter().any(|value| self.slow.contains(value)) {
            self.quick = Some(Instant::now());
        }
        group.iter().for_each(|value| _ = self.in_vain.remove(value));
    }

    /// A group did not.
    pub(super) fn failed(&mut self, group: &[Arc<str>]) {
        self.in_vain.extend(group.iter().cloned());
    }

    /// An answer to a group took so long to begin, from a source that may take so long.
    pub(super) fn began(&mut self, group: &[Arc<str>], took: Duration, timeout: Duration) {
        if took > timeout / SLOW_PART {
            self.slow.extend(group.iter().cloned());
        }
    }

    /// It took so long to begin, and so long until it was over, read or broken off.
    pub(super) fn took(
        &mut self,
        group: &[Arc<str>],
        to_begin: Duration,
        whole: Duration,
        timeout: Duration,
    ) {
        if to_begin > timeout / SLOW_PART || whole > timeout / SLOW_WHOLE_PART {
            self.slow.extend(group.iter().cloned());
        } else if !self.slow.is_empty() {
            group.iter().for_each(|value| _ = self.slow.remove(value));
        }
    }

    /// Whether any of these was asked for in vain last.
    pub(super) fn has_failed(&self, group: &[Arc<str>]) -> bool {
        !self.in_vain.is_empty() && group.iter().any(|value| self.in_vain.contains(value))
    }

    /// Whether it is slow.
    pub(super) fn is_slow(&self, value: &Arc<str>) -> bool {
        self.slow.contains(value)
    }

    /// Whether anything is slow.
    pub(super) fn is_any_slow(&self) -> bool {
        !self.slow.is_empty()
    }

    /// Whether anything came within this time that did not take long: then it is not the source that takes long.
    pub(super) fn was_quick_within(&self, time: Duration) -> bool {
        self.quick.is_some_and(|at| at.elapsed() <= time)
    }

    /// Of what is slow, several ticks do not come at once.
    pub(super) fn part(&mut self) {
        self.apart_until = Some(Instant::now() + APART_FOR);
    }

    /// Whether what is slow is asked for one tick at a time.
    pub(super) fn is_apart(&self) -> bool {
        self.apart_until.is_some_and(|until| Instant::now() < until)
    }

    /// Forgets the values that nobody wants any more.
    pub(super) fn forget(&mut self, is_gone: impl Fn(&Arc<str>) -> bool) {
        self.in_vain.retain(|value| !is_gone(value));
        self.slow.retain(|value| !is_gone(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_took_long_is_slow_until_it_does_not() {
        let (mut trouble, second) = (Trouble::default(), Duration::from_secs(1));
        let [a, b] = ["a", "b"].map(|name| [Arc::from(name)]);
        trouble.began(&a, 3 * second, 10 * second);
        trouble.began(&b, 2 * second, 10 * second);
        assert_eq!((trouble.is_slow(&a[0]), trouble.is_slow(&b[0])), (true, false));
        trouble.began(&a, second, 10 * second);
        assert!(trouble.is_slow(&a[0]), "it may take long yet");
        for (to_begin, whole, is_slow) in [(2, 5, false), (2, 6, true), (1, 2, false), (3, 3, true)] {
            trouble.took(&a, to_begin * second, whole * second, 10 * second);
            assert_eq!(trouble.is_slow(&a[0]), is_slow, "{to_begin} {whole}");
        }
        trouble.forget(|value| *value == b[0]);
        assert!(trouble.is_slow(&a[0]));
        trouble.forget(|value| *value == a[0]);
        assert!(!trouble.is_slow(&a[0]));
    }
}
