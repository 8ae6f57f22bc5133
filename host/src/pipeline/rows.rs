//! Rows: the samples of one call of a filter, in columns.

use super::outputs::OutputId;
use super::verdicts::Verdict;
use crate::filter::{ROWS_MAX, SampleRows};
use crate::model::Timestamp;

/// Samples of one moment, one a series.
pub(super) struct Rows {
    at: i64,
    series: Vec<u32>,
    timestamps: Vec<i64>,
    values: Vec<u64>,
    verdicts: Vec<Verdict>,
}

impl Rows {
    pub(super) fn new(at: Timestamp) -> Rows {
        let (series, timestamps, values, verdicts) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Rows { at: at.as_millis(), series, timestamps, values, verdicts }
    }

    /// Whether a call takes no more.
    pub(super) fn is_full(&self) -> bool {
        self.series.len() == ROWS_MAX
    }

    /// Adds a sample of the series with this number, which goes to where `verdict` says if it is kept.
    #[inline]
    pub(super) fn push(&mut self, id: OutputId, verdict: Verdict, value: f64) {
        self.series.push(id.0);
        self.values.push(value.to_bits());
        self.verdicts.push(verdict);
    }

    /// What the filter is shown.
    pub(super) fn columns(&mut self) -> SampleRows<'_> {
        self.timestamps.resize(self.series.len(), self.at);
        let Rows { series, timestamps, values, .. } = self;
        SampleRows { series, timestamps, values, opaque: &[] }
    }

    /// Gives rows other values; by position, ascending.
    pub(super) fn change(&mut self, changed: &[(u32, u64)]) {
        for (row, bits) in changed {
            self.values[*row as usize] = *bits;
        }
    }

    /// Takes all rows out: position, number, verdict, value.
    pub(super) fn drain(&mut self, mut take: impl FnMut(usize, OutputId, Verdict, f64)) {
        let rows = self.series.drain(..).zip(self.verdicts.drain(..)).zip(self.values.drain(..));
        for (at, ((id, verdict), bits)) in rows.enumerate() {
            take(at, OutputId(id), verdict, f64::from_bits(bits));
        }
    }
}
