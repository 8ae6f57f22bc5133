//! Ahead: the rows of several ticks while they arrive, series by series.
//!
//! In: columns: one series with what it has at some of the ticks. Out: per tick its rows, in the order of the columns. Never: more
//! samples than the maximum.

use super::super::scan::{Refusal, Sample};

/// What came so far.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    ticks: Vec<Rows>,
    columns: usize,
    samples: usize,
    samples_max: usize,
    /// How much of it there was before the request that was begun last.
    before: Vec<[usize; 2]>,
    columns_before: usize,
}

/// One tick's rows.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) forms: Vec<u32>,
    pub(super) values: Vec<f64>,
    /// Forms of native histograms.
    pub(super) histograms: Vec<u32>,
}

impl Ahead {
    pub(super) fn new(ticks: usize, samples_max: usize) -> Ahead {
        let mut ahead = Ahead { samples_max, ..Ahead::default() };
        ahead.ticks.resize_with(ticks, Rows::default);
        ahead
    }

    /// Begins a request.
    pub(super) fn begin_request(&mut self) {
        self.before.clear();
        self.before.extend(self.ticks.iter().map(|rows| [rows.values.len(), rows.histograms.len()]));
        self.columns_before = self.columns;
    }

    /// Forgets what the request that was begun last has brought.
    pub(super) fn roll_back(&mut self) {
        for (rows, [values, histograms]) in self.ticks.iter_mut().zip(&self.before) {
            rows.forms.truncate(*values);
            rows.values.truncate(*values);
            rows.histograms.truncate(*histograms);
        }
        self.columns = self.columns_before;
        self.samples = self.ticks.iter().map(|rows| rows.values.len() + rows.histograms.len()).sum();
    }

    /// Columns of the request that was begun last, so far.
    pub(super) fn request_columns(&self) -> usize {
        self.columns - self.columns_before
    }

    pub(super) fn samples(&self) -> usize {
        self.samples
    }

    /// Takes what one series has.
    pub(super) fn push(&mut self, form: u32, samples: &[(usize, Sample)]) -> Result<(), Refusal> {
        if self.samples + samples.len() > self.samples_max {
            return Err(Refusal::TooMany(self.samples_max));
        }
        self.columns += 1;
        self.samples += samples.len();
        for (at, sample) in samples {
            let rows = &mut self.ticks[*at];
            match sample {
                Sample::Float(value) => {
                    rows.forms.push(form);
                    rows.values.push(*value);
                }
                Sample::Histogram => rows.histograms.push(form),
            }
        }
        Ok(())
    }

    pub(super) fn into_rows(self) -> Vec<Rows> {
        self.ticks
    }
}
