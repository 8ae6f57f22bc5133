//! Batch: remote-write 2.0 requests, written by hand.
//!
//! In: series by their labels and keys, timestamps, values. Out: snappy blocks of `Request`s, each within its limits.
//! Never: a symbol twice, or one that no series refers to but the empty one; a value's bits changed.
//!
//! A sample of a series that is known costs a look at the place of each of its texts and a byte or two for each; a text is
//! copied once a request. Symbols stand before the series, as readers that do not hold a request need it.

use super::super::Version;
use super::super::encode::{
    Limits, Overflow, REQUEST_BYTES_HARD_MAX, Request, Sample, Snappy, append_varint, varint_bytes,
};
use super::super::piece::Piece;
use super::dictionary::{Dictionary, Key};
use crate::model::Timestamp;

/// `Request.timeseries`, and in it `labels_refs` and `metadata`.
const TAG_SERIES: u8 = 5 << 3 | 2;
const TAG_LABELS: u8 = 1 << 3 | 2;
const TAG_HISTOGRAM: u8 = 3 << 3 | 2;
const TAG_METADATA: u8 = 5 << 3 | 2;

/// A request being built, with one [`Dictionary`] until it is finished. It keeps its buffers, as [`super::super::encode::Batch`].
pub struct Batch {
    limits: Limits,
    /// `Request.symbols`; empty where no request was begun.
    symbols: Vec<u8>,
    series: Vec<u8>,
    labels: Vec<u8>,
    metadata: Vec<u8>,
    samples: usize,
    histograms: usize,
    first: Timestamp,
    last: Timestamp,
    /// A series was begun that found no room: what it left behind goes with the request.
    is_full: bool,
    snappy: Snappy,
}

impl Batch {
    /// An empty batch.
    pub fn new(limits: Limits) -> Batch {
        let Limits { samples_max, bytes_max } = limits;
        Batch {
            limits: Limits {
                samples_max: samples_max.max(1),
                bytes_max: bytes_max.min(REQUEST_BYTES_HARD_MAX),
            },
            symbols: Vec::new(),
            series: Vec::new(),
            labels: Vec::new(),
            metadata: Vec::new(),
            samples: 0,
            histograms: 0,
            first: Timestamp(i64::MAX),
            last: Timestamp(i64::MIN),
            is_full: false,
            snappy: Snappy::default(),
        }
    }

    /// How many samples wait to be finished.
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// Adds one sample of the series whose [`append_labels`](super::super::encode::append_labels) bytes are `labels`.
    #[inline]
    pub fn push(
        &mut self,
        dictionary: &mut Dictionary,
        key: Option<Key>,
        labels: &[u8],
        timestamp: Timestamp,
        value: f64,
    ) -> Result<(), Overflow> {
        let sample = Sample::encode(timestamp, value);
        self.open_series(dictionary, key, labels, &[sample.bytes()], 1)?;
        self.note(timestamp);
        Ok(())
    }

    /// Adds several samples of one series, which must be in order of time: all of them or none.
    pub fn push_samples(
        &mut self,
        dictionary: &mut Dictionary,
        key: Option<Key>,
        labels: &[u8],
        samples: &[(Timestamp, f64)],
    ) -> Result<(), Overflow> {
        debug_assert!(samples.is_sorted_by(|a, b| a.0 < b.0), "samples out of order");
        if samples.is_empty() {
            return Ok(());
        }
        let encoded = samples.iter().flat_map(|(t, v)| Sample::encode(*t, *v).bytes().to_vec());
        let encoded: Vec<u8> = encoded.collect();
        self.open_series(dictionary, key, labels, &[&encoded], samples.len())?;
        samples.iter().for_each(|(timestamp, _)| self.note(*timestamp));
        Ok(())
    }

    /// Adds pieces of one series that follow each other, each as a `TimeSeries`: all of them or none.
    pub fn push_pieces(
        &mut self,
        dictionary: &mut Dictionary,
        key: Option<Key>,
        labels: &[u8],
        pieces: &[Piece],
    ) -> Result<(), Overflow> {
        let encoded: Vec<Vec<u8>> = pieces.iter().map(|piece| piece.encode(TAG_HISTOGRAM)).collect();
        let encoded: Vec<&[u8]> = encoded.iter().map(Vec::as_slice).collect();
        self.open_series(dictionary, key, labels, &encoded, pieces.iter().map(Piece::len).sum())?;
        self.histograms += pieces.iter().map(Piece::histograms).sum::<usize>();
        pieces.iter().filter_map(Piece::ends).flatten().for_each(|timestamp| self.note(timestamp));
        Ok(())
    }

    /// Compresses what was pushed and starts anew; `None` if nothing was.
    pub fn finish(&mut self) -> Option<Request> {
        let samples = std::mem::take(&mut self.samples);
        let histograms = std::mem::take(&mut self.histograms);
        self.is_full = false;
        self.symbols.append(&mut self.series);
        let request = (samples > 0).then(|| Request {
            version: Version::V2,
            body: self.snappy.compress(&self.symbols),
            samples,
            histograms,
            raw_bytes: self.symbols.len(),
            first: std::mem::replace(&mut self.first, Timestamp(i64::MAX)),
            last: std::mem::replace(&mut self.last, Timestamp(i64::MIN)),
        });
        self.symbols.clear();
        request
    }

    /// Writes a series with its samples, each piece of them by itself, if it fits.
    #[inline]
    fn open_series(
        &mut self,
        dictionary: &mut Dictionary,
        key: Option<Key>,
        labels: &[u8],
        pieces: &[&[u8]],
        count: usize,
    ) -> Result<(), Overflow> {
        if self.is_full {
            return Err(Overflow::Full);
        }
        if self.symbols.is_empty() {
            dictionary.begin_request(&mut self.symbols);
        }
        let known = dictionary.find(key, labels)?;
        let before = self.symbols.len();
        self.labels.clear();
        dictionary.write_labels(known, &mut self.symbols, &mut self.labels);
        self.metadata.clear();
        dictionary.write_metadata(known, &mut self.symbols, &mut self.metadata);
        let mut beside = field_bytes(self.labels.len());
        if known.has_metadata() {
            beside += field_bytes(self.metadata.len());
        }
        let whole = pieces.iter().map(|samples| field_bytes(beside + samples.len())).sum();
        self.room(before, whole, count)?;
        let Batch { series, labels, metadata, .. } = self;
        series.reserve(whole);
        for samples in pieces {
            append_head(TAG_SERIES, beside + samples.len(), series);
            append_head(TAG_LABELS, labels.len(), series);
            series.extend_from_slice(labels);
            series.extend_from_slice(samples);
            if known.has_metadata() {
                append_head(TAG_METADATA, metadata.len(), series);
                series.extend_from_slice(metadata);
            }
        }
        self.samples += count;
        Ok(())
    }

    /// Whether a series of so many bytes fits, whose symbols stand behind the first `before` bytes of them.
    #[inline]
    fn room(&mut self, before: usize, series_bytes: usize, samples: usize) -> Result<(), Overflow> {
        let whole = self.symbols.len() + self.series.len() + series_bytes;
        if self.samples + samples <= self.limits.samples_max && whole <= self.limits.bytes_max {
            return Ok(());
        }
        if self.samples > 0 {
            self.symbols.truncate(before);
            self.is_full = true;
            return Err(Overflow::Full);
        }
        if whole > REQUEST_BYTES_HARD_MAX {
            // What it left among the symbols goes with the request, which has nothing else.
            self.symbols.clear();
            return Err(Overflow::Series);
        }
        Ok(())
    }

    #[inline]
    fn note(&mut self, timestamp: Timestamp) {
        self.first = self.first.min(timestamp);
        self.last = self.last.max(timestamp);
    }
}

/// Bytes of a field with its tag and length.
#[inline]
fn field_bytes(inside: usize) -> usize {
    1 + varint_bytes(inside as u64) + inside
}

#[inline]
fn append_head(tag: u8, bytes: usize, out: &mut Vec<u8>) {
    out.push(tag);
    append_varint(bytes as u64, out);
}
