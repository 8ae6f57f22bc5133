//! Samples: shows a tick's samples to a filter that asked for them, and checks its edit script.
//!
//! In: columns. Out: which rows stay, which got another value, and samples of series the filter emits. Never: a value that
//! went through a float; a sample outside the tick's window; an opaque value that changed.

use super::check::{self, Own, at_most, bitmap, is_set, label_name, length};
use super::module::Columns;
use super::symbols::Symbols;
use super::usage::Usage;
use super::{Nonsense, wire};
use crate::model::{Labels, LabelsError, Timestamp};

/// Rows of one call, by the contract.
pub const ROWS_MAX: usize = 8_192;
/// Series one instance may emit, and samples it may emit in one tick.
const EMITTED_MAX: usize = 100_000;
/// Labels of the series that one instance emits, in bytes.
const EMITTED_BYTES_MAX: usize = 32 << 20;

/// The tick at work: samples are of the window (`since`, `at`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// When the tick before was.
    pub since: Timestamp,
    /// When the tick is.
    pub at: Timestamp,
    /// Whether a series can have a sample at any moment of the window, or only at its end.
    pub moments: Moments,
}

/// When a series can have a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moments {
    /// Whenever it was scraped.
    Any,
    /// At the tick: sources are asked for one sample a tick.
    Tick,
}

/// Samples in columns, one a row, at most 8,192. The rows of one series stand together, in time order.
#[derive(Debug, Clone, Copy, Default)]
pub struct SampleRows<'a> {
    /// The series, by the number [`super::Stateful::classify`] was given.
    pub series: &'a [u32],
    /// Milliseconds since 1970.
    pub timestamps: &'a [i64],
    /// The bits of the values; zero where opaque.
    pub values: &'a [u64],
    /// Bitmap of rows that no float expresses; empty if there are none.
    pub opaque: &'a [u64],
}

/// What became of [`SampleRows`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SampleEdits {
    /// Bitmap of rows that stay.
    pub keep: Vec<u64>,
    /// Rows with another value, ascending, and its bits.
    pub changed: Vec<(u32, u64)>,
    /// Samples of series that the filter emits, in the order it gave them.
    pub emitted: Vec<Emission>,
}

impl SampleEdits {
    /// Of so many rows, all stay as they are.
    pub(super) fn none(rows: usize) -> SampleEdits {
        let mut keep = vec![u64::MAX; rows.div_ceil(64)];
        if let Some(last) = keep.last_mut().filter(|_| !rows.is_multiple_of(64)) {
            *last >>= 64 - rows % 64;
        }
        SampleEdits { keep, ..SampleEdits::default() }
    }
}

/// What an instance emits.
#[derive(Debug, Default)]
pub(super) struct Emitted {
    /// The series, since it was made, by their numbers.
    pub(super) series: Vec<Labels>,
    /// Their labels, in bytes.
    pub(super) bytes: usize,
    /// The tick at work, and the samples of it so far.
    tick: i64,
    samples: usize,
}

/// A sample of a series that a filter emits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Emission {
    /// The series, an index into [`super::Stateful::emitted`].
    pub series: u32,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// The bits of the value.
    pub bits: u64,
}

impl<'a> SampleRows<'a> {
    /// In the form of the contract, with the columns that were asked for.
    pub(super) fn wire(self, columns: Columns) -> wire::Rows<'a> {
        let SampleRows { series, timestamps, values, opaque } = self;
        wire::Rows {
            series,
            timestamps: if columns.timestamps { timestamps } else { &[] },
            values: if columns.values { values } else { &[] },
            opaque,
        }
    }
}

/// Checks an answer of `process`, and learns the series it announces.
pub(super) fn edits(
    outcome: wire::Outcome,
    rows: SampleRows<'_>,
    window: Window,
    symbols: &mut Symbols,
    emitted: &mut Emitted,
    usage: &mut Usage,
) -> Result<SampleEdits, Nonsense> {
    let changed = changes(&outcome, rows)?;
    announce(&outcome, symbols, emitted)?;
    let samples = emissions(&outcome, window, emitted.series.len())?;
    emitted.count(window, samples.len())?;
    let kept: u64 = outcome.keep.iter().map(|word| u64::from(word.count_ones())).sum();
    usage.samples_in += rows.series.len() as u64;
    usage.samples_dropped += rows.series.len() as u64 - kept;
    usage.samples_changed += changed.len() as u64;
    usage.samples_emitted += samples.len() as u64;
    Ok(SampleEdits { keep: outcome.keep, changed, emitted: samples })
}

fn changes(outcome: &wire::Outcome, rows: SampleRows<'_>) -> Result<Vec<(u32, u64)>, Nonsense> {
    const LIST: &str = "changed";
    let wire::Outcome { keep, changed, changed_values, .. } = outcome;
    bitmap("keep", keep, rows.series.len())?;
    length("changed-values", changed_values.len(), changed.len())?;
    if !changed.is_sorted_by(|a, b| a < b) {
        return Err(Nonsense::Order("the rows of changed"));
    }
    for &row in changed {
        if row as usize >= rows.series.len() {
            return Err(Nonsense::Unknown { list: LIST, what: "row", number: row });
        }
        if !is_set(keep, row as usize) {
            return Err(Nonsense::DroppedRow { list: LIST, row });
        }
        if !rows.opaque.is_empty() && is_set(rows.opaque, row as usize) {
            let cause = "its value is opaque, it can be kept or dropped only";
            return Err(Nonsense::Sample { list: LIST, row: row as usize, cause });
        }
    }
    Ok(changed.iter().copied().zip(changed_values.iter().copied()).collect())
}

/// Learns the labels of series that the filter emits from now on.
fn announce(outcome: &wire::Outcome, symbols: &mut Symbols, emitted: &mut Emitted) -> Result<(), Nonsense> {
    let wire::Outcome { new_names, new_values, new_pairs, new_ends, .. } = outcome;
    at_most("emitted series", emitted.series.len() + new_ends.len(), EMITTED_MAX)?;
    let (pairs, rest) = new_pairs.as_chunks::<2>();
    length("new-pairs (the last pair)", rest.len(), 0)?;
    let mut names = Own::new("new-names", "name", new_names)?;
    let mut values = Own::new("new-values", "value", new_values)?;
    let mut start = 0;
    for end in new_ends {
        let row = pairs.get(start..*end as usize).ok_or(Nonsense::Ends("new-ends"))?;
        at_most("labels of one series", row.len(), check::LABELS_MAX)?;
        let mut labels = Vec::with_capacity(row.len());
        for &[name, value] in row {
            let name = names.number(name, &mut symbols.names, label_name)?;
            labels.push((name, values.number(value, &mut symbols.values, |_| Ok(()))?));
        }
        let texts = labels.iter().map(|(name, value)| (symbols.names.get(*name), symbols.values.get(*value)));
        // Before they are copied: an answer can name one long string for all of them.
        emitted.bytes += texts.clone().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        at_most("bytes of emitted series", emitted.bytes, EMITTED_BYTES_MAX)?;
        let labels = Labels::from_pairs(texts).map_err(|error| match error {
            LabelsError::Duplicate(name) => Nonsense::Twice(check::cut(&name).to_owned()),
            LabelsError::EmptyName => Nonsense::LabelName(String::new()),
            LabelsError::TooLarge => Nonsense::TooLong(EMITTED_BYTES_MAX),
        })?;
        if labels.metric_name().is_none() {
            return Err(Nonsense::EmptyValue("__name__".into()));
        }
        emitted.series.push(labels);
        start = *end as usize;
    }
    if start == pairs.len() { Ok(()) } else { Err(Nonsense::Ends("new-ends")) }
}

impl Emitted {
    /// A tick can have many answers.
    fn count(&mut self, window: Window, samples: usize) -> Result<(), Nonsense> {
        let at = window.at.as_millis();
        let before = if self.tick == at { self.samples } else { 0 };
        (self.tick, self.samples) = (at, before + samples);
        at_most("emitted samples of one tick", self.samples, EMITTED_MAX)
    }
}

fn emissions(outcome: &wire::Outcome, window: Window, known: usize) -> Result<Vec<Emission>, Nonsense> {
    const LIST: &str = "emitted-series";
    let wire::Outcome { emitted_series, emitted_timestamps, emitted_values, .. } = outcome;
    at_most("emitted samples", emitted_series.len(), EMITTED_MAX)?;
    length("emitted-timestamps", emitted_timestamps.len(), emitted_series.len())?;
    length("emitted-values", emitted_values.len(), emitted_series.len())?;
    let mut newest = vec![i64::MIN; known];
    let mut samples = Vec::with_capacity(emitted_series.len());
    for (row, (&series, (&timestamp, &bits))) in
        emitted_series.iter().zip(emitted_timestamps.iter().zip(emitted_values)).enumerate()
    {
        let Some(newest) = newest.get_mut(series as usize) else {
            return Err(Nonsense::Unknown { list: LIST, what: "series", number: series });
        };
        let sample = |cause| Nonsense::Sample { list: LIST, row, cause };
        if timestamp <= window.since.as_millis() || timestamp > window.at.as_millis() {
            return Err(sample("its timestamp is outside the tick's window"));
        }
        if window.moments == Moments::Tick && timestamp != window.at.as_millis() {
            return Err(sample("its timestamp is not the tick's: sources are asked for one sample a tick"));
        }
        if timestamp <= std::mem::replace(newest, timestamp) {
            return Err(sample("its timestamp is not after the one before"));
        }
        samples.push(Emission { series, timestamp, bits });
    }
    Ok(samples)
}
