//! Read: remote read, Prometheus' protocol for stored samples.
//!
//! In: matchers and a window; the answer's bytes. Out: per series its raw label bytes, and its samples of the window in time
//! order. Never: a sample outside the window, two of one moment, a value's bits changed, or an answer taken for complete
//! that is not.
//!
//! A source answers with plain samples (one snappy block) or with a stream of frames that hold its chunks as it stores
//! them (`prompb/remote.proto`); it is asked for the form that costs it least for the window, and read in either.

mod chunk;
mod frames;
mod histogram;
mod request;
mod samples;
mod wire;

use std::ops::Range;

use bytes::Bytes;

use crate::model::Timestamp;

use super::Cause;
use super::scan::Refusal;
pub use frames::Frames;
pub use histogram::HISTOGRAM_BYTES_MAX;
pub use request::{Condition, Form, request};
pub use samples::{Samples, Silence, samples};
pub(super) use wire::{Fields, Value};

/// The byte with which every label in a `TimeSeries` begins: field 1, bytes.
pub(super) const LABEL: u8 = 1 << 3 | 2;

/// A window in which every sample is wanted: later than `since`, not later than `until`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Exclusive.
    pub since: Timestamp,
    /// Inclusive.
    pub until: Timestamp,
}

impl Window {
    pub(in crate::collect) fn has(&self, at: i64) -> bool {
        self.since.as_millis() < at && at <= self.until.as_millis()
    }
}

/// Samples of one series in columns, in time order.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Run<'a> {
    /// Milliseconds since 1970.
    pub at: &'a [i64],
    /// The values, their bits as the source has them; of a native histogram its sum, which is a stale marker where the series ended.
    pub values: &'a [f64],
    /// Those of the samples that are native histograms.
    pub histograms: &'a [Histogram],
}

/// A native histogram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram {
    /// Milliseconds since 1970.
    pub at: i64,
    /// A `prometheus.Histogram`, of which nothing is understood but when it was and whether it ends its series.
    pub message: Bytes,
}

/// One sample of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample<'a> {
    /// Milliseconds since 1970.
    pub at: i64,
    /// Its value, or its histogram's sum.
    pub value: f64,
    /// The histogram, if it is one.
    pub histogram: Option<&'a Bytes>,
}

impl<'a> Run<'a> {
    /// The same samples, so many at a time.
    pub fn chunks(self, samples: usize) -> impl Iterator<Item = Run<'a>> {
        (0..self.at.len())
            .step_by(samples)
            .map(move |start| self.slice(start..self.at.len().min(start + samples)))
    }

    /// The samples of these places.
    pub fn slice(self, range: Range<usize>) -> Run<'a> {
        let (at, values) = (&self.at[range.clone()], &self.values[range]);
        let before = |moment: &i64| self.histograms.partition_point(|histogram| histogram.at < *moment);
        let histograms = match (at.first(), at.last()) {
            (Some(first), Some(last)) => before(first)..before(&last.saturating_add(1)),
            _ => 0..0,
        };
        Run { at, values, histograms: &self.histograms[histograms] }
    }

    /// The same samples in pieces that follow each other, each of floats alone or of histograms alone.
    pub fn pieces(self) -> impl Iterator<Item = Run<'a>> {
        let mut rest = self;
        std::iter::from_fn(move || {
            let is_histogram =
                |at: &i64| rest.histograms.binary_search_by_key(at, |histogram| histogram.at).is_ok();
            let first = is_histogram(rest.at.first()?);
            let end = match rest.histograms {
                [] => rest.at.len(),
                _ => rest.at.iter().position(|at| is_histogram(at) != first).unwrap_or(rest.at.len()),
            };
            let piece = rest.slice(0..end);
            rest = rest.slice(end..rest.at.len());
            Some(piece)
        })
    }

    /// One sample after the other.
    pub fn samples(self) -> impl Iterator<Item = Sample<'a>> {
        let mut histograms = self.histograms.iter().peekable();
        self.at.iter().zip(self.values).map(move |(at, value)| {
            let histogram = histograms.next_if(|histogram| histogram.at == *at);
            Sample { at: *at, value: *value, histogram: histogram.map(|histogram| &histogram.message) }
        })
    }
}

/// Takes what the readers find. Two lives: the series table, and a plain list in tests and under a fuzzer.
pub trait Runs {
    /// A series came with these raw label bytes (the `labels` of a `prometheus.TimeSeries`, not checked inside), its samples in the window, and
    /// so many native histograms that are
    /// left out. One that came in several pieces comes several times in a row, in time order.
    fn run(&mut self, labels: &[u8], samples: Run<'_>, histograms: usize) -> Result<(), Refusal>;
}

fn malformed(position: usize, what: &'static str) -> Cause {
    Cause::Malformed { position: position as u64, what }
}

fn refused(position: usize, refusal: Refusal) -> Cause {
    match refusal {
        Refusal::TooMany(max) => Cause::TooManySeries { max },
        Refusal::Memory(full) => Cause::Memory(full),
        Refusal::Labels(what) => malformed(position, what),
    }
}

/// The samples of one series while they are read.
#[derive(Debug, Default)]
pub(super) struct Columns {
    at: Vec<i64>,
    values: Vec<f64>,
    /// Which of them are histograms.
    opaque: Vec<(usize, Bytes)>,
    opaque_bytes: usize,
    /// The same, once all have come.
    histograms: Vec<Histogram>,
    is_out_of_order: bool,
}

/// Samples of one series in one answer: more than two weeks of a scrape a second. What has more is no answer to what is asked.
const SERIES_SAMPLES_MAX: usize = 1 << 20;

/// Native histograms of one series in one answer: no request could carry more of them.
const SERIES_HISTOGRAM_BYTES_MAX: usize = 32 << 20;

impl Columns {
    /// An error where one series has more samples than any window.
    pub(super) fn within_bounds(&self) -> Result<(), &'static str> {
        if self.at.len() > SERIES_SAMPLES_MAX {
            return Err("a series has more than a million samples");
        }
        match self.opaque_bytes <= SERIES_HISTOGRAM_BYTES_MAX {
            true => Ok(()),
            false => Err("a series has more than 32 MiB of native histograms"),
        }
    }

    /// A histogram of so many bytes was written and is none of them.
    fn leave_out(&mut self, bytes: usize) {
        self.opaque_bytes += bytes;
    }

    pub(super) fn clear(&mut self) {
        self.at.clear();
        self.values.clear();
        self.opaque.clear();
        self.opaque_bytes = 0;
        self.is_out_of_order = false;
    }

    /// Adds a sample if it is of the window.
    #[inline]
    pub(super) fn push(&mut self, window: &Window, at: i64, value: f64) {
        if window.has(at) {
            self.add(at, value);
        }
    }

    /// Adds a native histogram, which is of the window.
    pub(super) fn push_histogram(&mut self, at: i64, sum: f64, message: Bytes) {
        self.opaque_bytes += message.len();
        self.opaque.push((self.at.len(), message));
        self.add(at, sum);
    }

    #[inline]
    fn add(&mut self, at: i64, value: f64) {
        self.is_out_of_order |= self.at.last().is_some_and(|last| *last >= at);
        self.at.push(at);
        self.values.push(value);
    }

    /// What there is, in time order. Of chunks that overlap, as servers behind a proxy have them, the first one's sample of a moment counts.
    pub(super) fn run(&mut self) -> Run<'_> {
        if std::mem::take(&mut self.is_out_of_order) {
            self.sort();
        }
        self.histograms.clear();
        let Columns { at, opaque, histograms, .. } = self;
        histograms.extend(opaque.drain(..).map(|(place, message)| Histogram { at: at[place], message }));
        Run { at: &self.at, values: &self.values, histograms: &self.histograms }
    }

    fn sort(&mut self) {
        let mut opaque = std::mem::take(&mut self.opaque).into_iter().peekable();
        let samples = self.at.drain(..).zip(self.values.drain(..)).enumerate();
        let samples = samples.map(|(place, (at, value))| {
            (at, value, opaque.next_if(|(of, _)| *of == place).map(|(_, message)| message))
        });
        let mut samples: Vec<(i64, f64, Option<Bytes>)> = samples.collect();
        samples.sort_by_key(|(at, ..)| *at);
        samples.dedup_by_key(|(at, ..)| *at);
        for (at, value, message) in samples {
            self.opaque.extend(message.map(|message| (self.at.len(), message)));
            self.at.push(at);
            self.values.push(value);
        }
    }
}

#[cfg(test)]
mod tests;
