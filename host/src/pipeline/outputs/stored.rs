//! Stored: the samples that one tick has of each output, where it can have several.
//!
//! In: runs of samples, of the whole time that was read. Out: what of them is new. Never: a sample of a time for which one was handed on
//! before, or a step back in time.

use std::ops::Range;

use super::OutputId;
use super::hot::NEVER;
use crate::collect::read::{Histogram, Run, Sample};
use crate::model::{STALE_NAN_BITS, Tick, Timestamp};

/// Since when samples are new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Floor {
    /// Later than this.
    pub(crate) at: Timestamp,
    /// Of a series that nobody knows here, the newest sample up to there is handed on all the same if it is later than this: it may
    /// have been stored after somebody else looked, and whoever has it takes it again.
    pub(crate) again: Option<Timestamp>,
}

/// What the tick at work has, and how far each output has come.
#[derive(Debug)]
pub(super) struct Stored {
    tick: i64,
    at: Vec<i64>,
    values: Vec<f64>,
    histograms: Vec<Histogram>,
    /// What their messages take.
    message_bytes: usize,
    entries: Vec<Entry>,
    floor: Floor,
    /// Whether what is new of an output stands behind the newest sample that was handed on before.
    repeats: bool,
}

/// Samples that there is always room for.
const ROOM_MIN: usize = 1_024;

#[derive(Debug, Clone, Copy)]
struct Entry {
    /// The tick that the samples are of.
    tick: i64,
    start: u32,
    samples: u32,
    /// Those of them that are native histograms.
    opaque_start: u32,
    opaque: u32,
    /// The time of the newest sample of all ticks before.
    newest: i64,
}

impl Entry {
    const NEW: Entry = Entry { tick: NEVER, start: 0, samples: 0, opaque_start: 0, opaque: 0, newest: NEVER };

    fn samples(&self) -> Range<usize> {
        self.start as usize..(self.start + self.samples) as usize
    }

    fn opaque(&self) -> Range<usize> {
        self.opaque_start as usize..(self.opaque_start + self.opaque) as usize
    }
}

impl Stored {
    pub(super) fn new(floor: Floor) -> Stored {
        Stored {
            tick: NEVER,
            at: Vec::new(),
            values: Vec::new(),
            histograms: Vec::new(),
            message_bytes: 0,
            entries: Vec::new(),
            floor,
            repeats: false,
        }
    }

    /// The output's number is another one's from now on.
    pub(super) fn renew(&mut self, OutputId(id): OutputId) {
        let id = id as usize;
        if id >= self.entries.len() {
            self.entries.resize(id + 1, Entry::NEW);
        }
        self.entries[id] = Entry::NEW;
    }

    /// Whether there is anything of an output at `tick` yet.
    pub(super) fn has(&self, id: OutputId, tick: Tick) -> bool {
        self.entries.get(id.0 as usize).is_some_and(|entry| entry.tick == tick.timestamp().as_millis())
    }

    /// Takes what there is of an output at `tick`, in place of what there was of it at that tick.
    pub(super) fn set(&mut self, id: OutputId, tick: Tick, run: Run<'_>) {
        self.begin(tick);
        let Entry { newest, .. } = self.entries[id.0 as usize];
        let mut first = run.at.partition_point(|at| *at <= self.since(newest));
        if newest != NEVER {
            first -= usize::from(self.repeats && first > 0);
        } else {
            let is_again = |at: i64| self.floor.again.is_some_and(|since| at > since.as_millis());
            if first > 0 && is_again(run.at[first - 1]) {
                first -= 1;
            } else if self.floor.again.is_none() && run.values[first..].iter().all(|value| is_stale(*value)) {
                // Its end alone tells nobody anything, unless somebody else delivered the rest.
                first = run.at.len();
            }
        }
        let new = run.slice(first..run.at.len());
        let (start, opaque_start) = (self.at.len() as u32, self.histograms.len() as u32);
        self.at.extend_from_slice(new.at);
        self.values.extend_from_slice(new.values);
        self.keep(new.histograms);
        let entry = &mut self.entries[id.0 as usize];
        (entry.tick, entry.start, entry.samples) = (self.tick, start, new.at.len() as u32);
        (entry.opaque_start, entry.opaque) = (opaque_start, new.histograms.len() as u32);
    }

    /// Adds one sample of an output at `tick`, unless it is not later than what there is.
    pub(super) fn push(&mut self, id: OutputId, tick: Tick, sample: Sample<'_>) {
        let Sample { at, value, histogram } = sample;
        self.begin(tick);
        let entry = self.entries[id.0 as usize];
        let mut entry = if entry.tick == self.tick {
            entry
        } else {
            Entry { tick: self.tick, newest: entry.newest, ..Entry::NEW }
        };
        let range = entry.samples();
        let last = self.at[range.clone()].last().copied().unwrap_or(self.since(entry.newest));
        if at > last {
            if range.end != self.at.len() || range.is_empty() {
                // Others came behind it.
                entry.start = self.at.len() as u32;
                self.at.extend_from_within(range.clone());
                self.values.extend_from_within(range);
            }
            self.at.push(at);
            self.values.push(value);
            entry.samples += 1;
            if let Some(message) = histogram {
                self.push_histogram(&mut entry, Histogram { at, message: message.clone() });
            }
        }
        self.entries[id.0 as usize] = entry;
    }

    /// What is new of an output at `tick`.
    #[inline]
    pub(super) fn run(&self, id: u32, tick: i64) -> Run<'_> {
        let Some(entry) = self.entries.get(id as usize).filter(|entry| entry.tick == tick) else {
            return Run::default();
        };
        let (range, histograms) = (entry.samples(), &self.histograms[entry.opaque()]);
        Run { at: &self.at[range.clone()], values: &self.values[range], histograms }
    }

    fn push_histogram(&mut self, entry: &mut Entry, histogram: Histogram) {
        let range = entry.opaque();
        if range.end != self.histograms.len() || range.is_empty() {
            entry.opaque_start = self.histograms.len() as u32;
            self.histograms.extend_from_within(range);
        }
        self.keep(&[histogram]);
        entry.opaque += 1;
    }

    fn keep(&mut self, histograms: &[Histogram]) {
        self.message_bytes += histograms.iter().map(|histogram| histogram.message.len()).sum::<usize>();
        self.histograms.extend_from_slice(histograms);
    }

    /// The time of the newest sample that was handed on before this tick, or of the floor.
    pub(super) fn newest(&self, id: u32) -> i64 {
        self.since(self.entries.get(id as usize).map_or(NEVER, |entry| entry.newest))
    }

    /// After which time samples are new, where the newest one that was handed on is of this time.
    fn since(&self, newest: i64) -> i64 {
        if newest == NEVER { self.floor.at.as_millis() } else { newest }
    }

    /// From now on outputs that are new begin here; those that are known go on where they are.
    pub(super) fn rise(&mut self, floor: Floor) {
        let before = self.floor.at.as_millis();
        for entry in &mut self.entries {
            if entry.newest != NEVER {
                entry.newest = entry.newest.max(before);
            }
        }
        self.floor = floor;
    }

    /// Says whether the newest sample that was handed on is handed on once more, before those that are new.
    pub(super) fn repeat(&mut self, repeats: bool) {
        self.repeats = repeats;
    }

    /// What is held of the tick at work, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let of_samples = (self.at.capacity() + self.values.capacity()) * size_of::<i64>();
        of_samples + self.histograms.capacity() * size_of::<Histogram>() + self.message_bytes
    }

    /// A sample of this time was handed on.
    pub(super) fn hand_on(&mut self, id: u32, at: i64) {
        if let Some(entry) = self.entries.get_mut(id as usize) {
            entry.newest = entry.newest.max(at);
        }
    }

    /// What `tick` has is handed on.
    pub(super) fn advance(&mut self, tick: i64) {
        let floor = self.floor.at.as_millis();
        for entry in self.entries.iter_mut().filter(|entry| entry.tick == tick) {
            let end = (entry.start + entry.samples) as usize;
            let last = if entry.samples > 0 { self.at[end - 1] } else { floor };
            entry.newest = entry.newest.max(last);
        }
    }

    fn begin(&mut self, tick: Tick) {
        let tick = tick.timestamp().as_millis();
        if self.tick != tick {
            self.tick = tick;
            // One tick that had much more than this one costs nothing afterwards.
            let usual = 4 * self.at.len().max(ROOM_MIN);
            self.at.shrink_to(usual);
            self.values.shrink_to(usual);
            self.histograms.shrink_to(4 * self.histograms.len());
            self.message_bytes = 0;
            self.at.clear();
            self.values.clear();
            self.histograms.clear();
        }
    }
}

pub(super) fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE_NAN_BITS
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::Interval;

    const STALE: f64 = f64::from_bits(STALE_NAN_BITS);

    fn tick(seconds: i64) -> Tick {
        Tick::at_or_before(Timestamp(seconds * 1000), Interval::new(Duration::from_secs(1)).unwrap())
    }

    fn stored(floor: i64, again: Option<i64>) -> Stored {
        let floor = Floor { at: Timestamp(floor), again: again.map(Timestamp) };
        let mut stored = Stored::new(floor);
        (0..3).for_each(|id| stored.renew(OutputId(id)));
        stored
    }

    fn float(at: i64) -> Sample<'static> {
        Sample { at, value: 1.0, histogram: None }
    }

    fn times(stored: &Stored, id: u32, at: i64) -> Vec<i64> {
        stored.run(id, at * 1000).at.to_vec()
    }

    fn set(stored: &mut Stored, at: i64, samples: &[(i64, f64)]) -> Vec<i64> {
        let (times_of, values): (Vec<i64>, Vec<f64>) = samples.iter().copied().unzip();
        stored.set(OutputId(0), tick(at), Run { at: &times_of, values: &values, histograms: &[] });
        times(stored, 0, at)
    }

    #[test]
    fn only_what_is_later_than_all_that_was_handed_on_is_new() {
        let mut stored = stored(1_000, None);
        assert_eq!(set(&mut stored, 2, &[(900, 1.0), (1_000, 1.0), (1_500, 1.0)]), [1_500]);
        assert_eq!(set(&mut stored, 2, &[(1_500, 1.0), (1_700, 1.0)]), [1_500, 1_700], "the same tick again");
        stored.advance(2_000);
        assert_eq!(set(&mut stored, 3, &[(1_500, 1.0), (1_600, 1.0), (1_700, 1.0), (2_500, 1.0)]), [2_500]);
        assert_eq!(set(&mut stored, 4, &[(2_500, 1.0)]), [2_500], "what was not handed on comes again");
        stored.renew(OutputId(0));
        assert_eq!(set(&mut stored, 4, &[(900, 1.0), (2_500, 1.0)]), [2_500], "another series");
    }

    #[test]
    fn the_end_of_a_series_that_nobody_knows_is_told_only_where_somebody_may_have_delivered_it() {
        assert_eq!(set(&mut stored(1_000, None), 2, &[(900, 1.0), (1_500, STALE)]), [0; 0]);
        assert_eq!(set(&mut stored(1_000, None), 2, &[(1_400, 1.0), (1_500, STALE)]), [1_400, 1_500]);
        assert_eq!(set(&mut stored(1_000, Some(500)), 2, &[(900, 1.0), (950, STALE)]), [950]);
        assert_eq!(set(&mut stored(1_000, Some(500)), 2, &[(400, 1.0), (450, STALE)]), [0; 0]);
        assert_eq!(set(&mut stored(1_000, Some(500)), 2, &[(400, 1.0), (1_450, STALE)]), [1_450]);
        assert_eq!(set(&mut stored(1_000, Some(500)), 2, &[]), [0; 0]);
    }

    #[test]
    fn what_may_have_been_stored_after_a_former_life_looked_is_handed_on_once_more() {
        let samples = [(400, 1.0), (900, 1.0), (1_500, 1.0)];
        let mut stored = stored(1_000, Some(500));
        assert_eq!(set(&mut stored, 2, &samples), [900, 1_500]);
        assert_eq!(set(&mut stored, 3, &samples), [900, 1_500], "nobody took it");
        stored.advance(3_000);
        assert_eq!(set(&mut stored, 4, &samples), [0; 0]);
        stored.renew(OutputId(0));
        assert_eq!(set(&mut stored, 4, &[(900, 1.0)]), [900]);
        stored.renew(OutputId(0));
        stored.hand_on(0, 950);
        assert_eq!(set(&mut stored, 5, &samples), [1_500], "another lane sent it");
    }

    #[test]
    fn in_doubt_the_newest_sample_that_was_handed_on_stands_before_what_is_new() {
        let samples = [(900, 1.0), (1_500, 1.0), (2_500, 1.0)];
        let mut stored = stored(1_000, None);
        assert_eq!(set(&mut stored, 2, &samples[..2]), [1_500]);
        stored.advance(2_000);
        stored.repeat(true);
        assert_eq!(set(&mut stored, 3, &samples), [1_500, 2_500]);
        assert_eq!(set(&mut stored, 3, &samples[2..]), [2_500], "it was not read any more");
        stored.repeat(false);
        assert_eq!(set(&mut stored, 3, &samples), [2_500]);
    }

    #[test]
    fn of_what_is_taken_over_what_the_other_sent_is_not_new() {
        let mut stored = stored(1_000, None);
        stored.hand_on(0, 3_000);
        assert_eq!(set(&mut stored, 4, &[(1_500, 1.0), (3_000, 1.0), (3_001, 1.0)]), [3_001]);
    }

    #[test]
    fn whose_specification_was_edited_has_what_is_stored_late_all_the_same() {
        let mut stored = stored(1_000, None);
        assert_eq!(set(&mut stored, 2, &[(1_200, 1.0)]), [1_200]);
        stored.advance(2_000);
        stored.rise(Floor { at: Timestamp(9_000), again: None });
        assert_eq!(set(&mut stored, 10, &[(1_200, 1.0), (8_500, 1.0), (9_500, 1.0)]), [8_500, 9_500]);
        stored.renew(OutputId(0));
        assert_eq!(set(&mut stored, 10, &[(8_500, 1.0), (9_500, 1.0)]), [9_500], "a series that is new");
    }

    #[test]
    fn samples_one_by_one_stand_together_and_never_go_back() {
        let mut stored = stored(1_000, None);
        for (id, at) in [(0, 1_100), (1, 1_100), (0, 1_200), (0, 1_200), (0, 1_150), (2, 900)] {
            stored.push(OutputId(id), tick(2), float(at));
        }
        assert_eq!([0, 1, 2].map(|id| times(&stored, id, 2)), [vec![1_100, 1_200], vec![1_100], vec![]]);
        stored.push(OutputId(1), tick(3), float(1_100));
        assert_eq!(times(&stored, 1, 3), [1_100], "it was not handed on");
        assert_eq!(times(&stored, 0, 3), [0; 0]);
    }

    #[test]
    fn native_histograms_are_samples_that_bring_their_message_along() {
        let histograms = [1_200, 1_500].map(|at| Histogram { at, message: vec![at as u8; 100].into() });
        let (at, values) = ([900, 1_200, 1_400, 1_500], [1.0, 2.0, 3.0, STALE]);
        let run = Run { at: &at, values: &values, histograms: &histograms };
        let mut stored = stored(1_000, None);
        let bytes = stored.bytes();
        stored.set(OutputId(0), tick(2), run);
        for sample in run.samples() {
            stored.push(OutputId(1), tick(2), sample);
            stored.push(OutputId(2), tick(2), sample);
        }
        for id in 0..3 {
            let run = stored.run(id, 2_000);
            assert_eq!((run.at, run.histograms), (&at[1..], &histograms[..]), "{id}");
        }
        assert!(stored.bytes() >= bytes + 3 * 200, "their messages are paid for");
        stored.advance(2_000);
        stored.set(OutputId(0), tick(3), run);
        assert_eq!(stored.run(0, 3_000), Run::default(), "they were handed on");
    }
}
