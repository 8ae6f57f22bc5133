//! Rows: the samples of one call of a filter, in columns. Those of a series stand together, in time order.

use super::outputs::OutputId;
use super::verdicts::Verdict;
use crate::collect::read::Run;
use crate::filter::{ROWS_MAX, SampleRows};

/// Samples, a row each.
#[derive(Default)]
pub(super) struct Rows {
    series: Vec<u32>,
    timestamps: Vec<i64>,
    values: Vec<u64>,
    verdicts: Vec<Verdict>,
}

impl Rows {
    /// Whether there is room for so many more in a call.
    pub(super) fn has_room(&self, samples: usize) -> bool {
        self.series.len() + samples <= ROWS_MAX
    }

    /// Adds samples of the series with this number, which go to where `verdict` says if they are kept.
    #[inline]
    pub(super) fn push(&mut self, id: OutputId, verdict: Verdict, run: Run<'_>) {
        for (at, value) in run.at.iter().zip(run.values) {
            self.series.push(id.0);
            self.timestamps.push(*at);
            self.values.push(value.to_bits());
            self.verdicts.push(verdict);
        }
    }

    /// What the filter is shown.
    pub(super) fn columns(&mut self) -> SampleRows<'_> {
        let Rows { series, timestamps, values, .. } = self;
        SampleRows { series, timestamps, values, opaque: &[] }
    }

    /// Gives rows other values; by position, ascending.
    pub(super) fn change(&mut self, changed: &[(u32, u64)]) {
        for (row, bits) in changed {
            self.values[*row as usize] = *bits;
        }
    }

    /// Takes all rows out: position, number, verdict, time and value.
    pub(super) fn drain(&mut self, mut take: impl FnMut(usize, OutputId, Verdict, (i64, f64))) {
        let samples = self.timestamps.drain(..).zip(self.values.drain(..));
        let rows = self.series.drain(..).zip(self.verdicts.drain(..)).zip(samples);
        for (row, ((id, verdict), (at, bits))) in rows.enumerate() {
            take(row, OutputId(id), verdict, (at, f64::from_bits(bits)));
        }
    }
}
