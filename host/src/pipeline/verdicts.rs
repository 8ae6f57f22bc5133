//! Verdicts: what was decided about each input series of one stream, remembered by slot.
//!
//! In: a series reference. Out: the output it became, or that it is dropped, or that nobody knows yet.
//! Never: a verdict of a series that ended answering for the one that got its slot (generations differ).

use super::outputs::{OutputId, Swept};
use crate::collect::SeriesRef;

/// What happens to a series' samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Delivered as this output.
    Keep(OutputId),
    /// The step of this number dropped it, or [`NO_STEP`].
    Drop(u8),
    /// Its identity is another series'.
    Collided,
}

/// Stands for a step where none did it: the series was not shown to any.
pub(crate) const NO_STEP: u8 = u8::MAX;

/// Words that are no output; an output's bytes would fill its arena long before its number comes near them.
const UNKNOWN: u32 = u32::MAX;
const COLLIDED: u32 = u32::MAX - 1;
const DROP_LAST: u32 = u32::MAX - 2;
const DROP_FIRST: u32 = DROP_LAST - u8::MAX as u32;

#[derive(Debug, Clone, Copy)]
struct Entry {
    generation: u32,
    word: u32,
}

/// The verdicts of one stream's series.
#[derive(Default, Clone)]
pub(crate) struct Verdicts {
    entries: Vec<Entry>,
}

impl Verdicts {
    /// What was decided, if this very series was ever seen.
    #[inline]
    pub(crate) fn get(&self, series: SeriesRef) -> Option<Verdict> {
        let entry = self.entries.get(series.slot as usize)?;
        if entry.generation != series.generation {
            return None;
        }
        match entry.word {
            UNKNOWN => None,
            DROP_FIRST..=DROP_LAST => Some(Verdict::Drop((entry.word - DROP_FIRST) as u8)),
            COLLIDED => Some(Verdict::Collided),
            id => Some(Verdict::Keep(OutputId(id))),
        }
    }

    /// Remembers a verdict.
    pub(crate) fn set(&mut self, series: SeriesRef, verdict: Verdict) {
        let at = series.slot as usize;
        if at >= self.entries.len() {
            self.entries.resize(at + 1, Entry { generation: 0, word: UNKNOWN });
        }
        let word = match verdict {
            Verdict::Keep(id) => id.0,
            Verdict::Drop(step) => DROP_FIRST + u32::from(step),
            Verdict::Collided => COLLIDED,
        };
        self.entries[at] = Entry { generation: series.generation, word };
    }

    /// Forgets what was decided of a series.
    pub(crate) fn forget(&mut self, slot: usize) {
        if let Some(entry) = self.entries.get_mut(slot) {
            entry.word = UNKNOWN;
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }

    /// Forgets verdicts that name a freed output, and, if one of those was contested, who lost it.
    pub(crate) fn release(&mut self, swept: &Swept) {
        for entry in &mut self.entries {
            let freed = entry.word < DROP_FIRST && swept.has(OutputId(entry.word));
            if freed || (swept.contested && entry.word == COLLIDED) {
                entry.word = UNKNOWN;
            }
        }
    }

    /// Forgets who collided, so that they ask again.
    pub(crate) fn forget_collided(&mut self) {
        for entry in self.entries.iter_mut().filter(|e| e.word == COLLIDED) {
            entry.word = UNKNOWN;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_that_changed_hands_is_unknown() {
        let mut verdicts = Verdicts::default();
        let first = SeriesRef { slot: 3, generation: 1 };
        assert_eq!(verdicts.get(first), None);
        verdicts.set(first, Verdict::Keep(OutputId(9)));
        assert_eq!(verdicts.get(first), Some(Verdict::Keep(OutputId(9))));
        assert_eq!(verdicts.get(SeriesRef { slot: 3, generation: 2 }), None);
        assert_eq!(verdicts.get(SeriesRef { slot: 2, generation: 0 }), None);
    }

    #[test]
    fn collisions_can_be_asked_again() {
        let mut verdicts = Verdicts::default();
        let (a, b) = (SeriesRef { slot: 0, generation: 0 }, SeriesRef { slot: 1, generation: 0 });
        verdicts.set(a, Verdict::Collided);
        verdicts.set(b, Verdict::Drop(2));
        verdicts.forget_collided();
        assert_eq!((verdicts.get(a), verdicts.get(b)), (None, Some(Verdict::Drop(2))));
    }

    #[test]
    fn who_dropped_a_series_is_remembered() {
        let mut verdicts = Verdicts::default();
        for step in [0, 1, NO_STEP] {
            let series = SeriesRef { slot: step.into(), generation: 0 };
            verdicts.set(series, Verdict::Drop(step));
            assert_eq!(verdicts.get(series), Some(Verdict::Drop(step)));
        }
    }
}
