//! Runs: the samples of an answer that has several of a series.
//!
//! In: rows, each with the samples of one series in time order, while they arrive. Out: the rows, in the order of a layout. Never: a
//! row that goes back in time.

use std::ops::Range;

use super::super::read::{Histogram, Run};

/// What a sample takes: here, in the lane that it is new to, and in a request.
pub(super) const SAMPLE_BYTES: usize = 48;

/// What a native histogram takes beside its message, which is kept once for both, and stands in a request once more.
const HISTOGRAM_BYTES: usize = 96;

/// What the samples of a run take.
pub(super) fn price(run: Run<'_>) -> usize {
    let of_histograms = run.histograms.iter().map(|histogram| HISTOGRAM_BYTES + 2 * histogram.message.len());
    run.at.len() * SAMPLE_BYTES + of_histograms.sum::<usize>()
}

/// Samples in columns, and where each row's end.
#[derive(Debug, Default)]
pub(super) struct Runs {
    at: Vec<i64>,
    values: Vec<f64>,
    ends: Vec<usize>,
    histograms: Vec<Histogram>,
    /// Where each row's end; as long as there are none at all, none.
    histogram_ends: Vec<usize>,
}

impl Runs {
    pub(super) fn rows(&self) -> usize {
        self.ends.len()
    }

    /// Adds a row.
    pub(super) fn push(&mut self, run: Run<'_>) {
        self.ends.push(self.at.len());
        if !self.histogram_ends.is_empty() {
            self.histogram_ends.push(self.histograms.len());
        }
        self.append(run);
    }

    /// Adds samples to the last row, those that are later than what it has.
    pub(super) fn extend(&mut self, run: Run<'_>) {
        let row = row(&self.ends, self.ends.len() - 1);
        let last = self.at[row].last().copied().unwrap_or(i64::MIN);
        let new = run.at.partition_point(|at| *at <= last);
        self.append(run.slice(new..run.at.len()));
    }

    /// Adds samples to the last row.
    fn append(&mut self, run: Run<'_>) {
        self.at.extend_from_slice(run.at);
        self.values.extend_from_slice(run.values);
        *self.ends.last_mut().expect("there is a row") = self.at.len();
        self.histograms.extend_from_slice(run.histograms);
        if !self.histograms.is_empty() {
            self.histogram_ends.resize(self.ends.len(), 0);
            *self.histogram_ends.last_mut().expect("there is a row") = self.histograms.len();
        }
    }

    /// Forgets all but so many rows.
    pub(super) fn truncate(&mut self, rows: usize) {
        self.ends.truncate(rows);
        let samples = self.ends.last().copied().unwrap_or_default();
        self.at.truncate(samples);
        self.values.truncate(samples);
        self.histogram_ends.truncate(rows);
        self.histograms.truncate(self.histogram_ends.last().copied().unwrap_or_default());
    }

    /// The rows as they are grouped: `gather` says which row as it came stands at which place.
    pub(super) fn grouped(self, gather: Option<&[u32]>) -> Grouped {
        let Runs { at, values, ends, histograms, histogram_ends } = self;
        let rows = |ends: &[usize]| match gather {
            _ if ends.is_empty() => Vec::new(),
            Some(gather) => gather.iter().map(|place| row(ends, *place as usize)).collect(),
            None => (0..ends.len()).map(|place| row(ends, place)).collect(),
        };
        let (rows, histogram_rows) = (rows(&ends), rows(&histogram_ends));
        Grouped { at, values, rows, histograms, histogram_rows }
    }
}

/// Where a row is, of rows that end there.
fn row(ends: &[usize], row: usize) -> Range<usize> {
    let start = row.checked_sub(1).map_or(0, |before| ends[before]);
    start..ends[row]
}

/// The rows of an answer.
#[derive(Debug, Default)]
pub(super) struct Grouped {
    at: Vec<i64>,
    values: Vec<f64>,
    rows: Vec<Range<usize>>,
    histograms: Vec<Histogram>,
    /// None where no row has any.
    histogram_rows: Vec<Range<usize>>,
}

impl Grouped {
    pub(super) fn samples(&self) -> usize {
        self.at.len()
    }

    /// A row's samples later than `since` and not later than `until`.
    pub(super) fn row(&self, row: usize, since: i64, until: i64) -> Run<'_> {
        let range = self.rows[row].clone();
        let histograms = self.histogram_rows.get(row).cloned().unwrap_or_default();
        let run = Run {
            at: &self.at[range.clone()],
            values: &self.values[range],
            histograms: &self.histograms[histograms],
        };
        run.slice(run.at.partition_point(|at| *at <= since)..run.at.partition_point(|at| *at <= until))
    }
}
