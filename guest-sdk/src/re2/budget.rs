//! re2::budget: what the patterns of one author may come to together.
//!
//! In: a bound. Out: whether a pattern still fits, before it is compiled.
//! Never: time spent on what does not fit.
//!
//! A pattern's size is the characters and the ranges of sets in it, each as often as it is repeated. Memory and time for
//! compiling it grow with that, and not with its text: `\pL{40}` has seven bytes and a size of 26,000. Under `(?i)` the
//! characters of a set are looked at one by one, and count too.

/// Characters of a set that `(?i)` looks at in the time that one range takes to compile.
const FOLDED_CHARACTERS: usize = 64;

/// Ranges that are put in order in the time that one takes to compile.
const ORDERED_RANGES: usize = 32;

/// Room for patterns.
#[derive(Debug, Clone)]
pub struct Budget {
    size_max: usize,
    left: usize,
    exhausted: bool,
}

impl Budget {
    /// Patterns of this size in all.
    pub const fn new(size_max: usize) -> Budget {
        Budget { size_max, left: size_max, exhausted: false }
    }

    /// No bound beside each pattern's own, [`super::COMPILED_BYTES_MAX`].
    pub const fn unlimited() -> Budget {
        Budget::new(usize::MAX)
    }

    /// Whether some pattern had no room.
    pub fn is_exhausted(&self) -> bool {
        self.exhausted
    }

    /// The size of all patterns.
    pub fn size_max(&self) -> usize {
        self.size_max
    }

    /// What there is still room for.
    pub(super) fn left(&self) -> usize {
        self.left
    }

    /// Takes room. What does not fit takes all of it: nothing that comes after is to be compiled either.
    pub(super) fn spend(&mut self, size: usize) {
        self.exhausted |= size > self.left;
        self.left = if self.exhausted { 0 } else { self.left - size };
    }
}

/// What it costs to add to a set that has this many ranges then: all of them are put in order.
pub(super) fn of_ordering(ranges: usize) -> usize {
    1 + ranges / ORDERED_RANGES
}

/// What it costs to fold the case of this many characters.
pub(super) fn of_folding(characters: usize) -> usize {
    characters / FOLDED_CHARACTERS
}
