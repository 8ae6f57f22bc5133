//! Encode: remote-write 1.0 requests, written by hand.
//!
//! In: label sets encoded once for each series, timestamps, values, in the caller's order. Out: snappy blocks of
//! `WriteRequest`s, each within its limits. Never: a label read or allocated for a sample, a value's bits changed.
//!
//! A sample costs one append of ready bytes and at most 18 more at today's timestamps; a value of +0 costs 9 fewer,
//! because protobuf leaves out what is zero. -0 is written: Prometheus reads an absent value as +0.

#[cfg(test)]
mod tests;

use bytes::Bytes;

use super::Version;
use super::piece::Piece;
use super::proto::TimeSeries;
use crate::model::{Labels, Stamped, Timestamp};

/// Samples in one request: one a series and tick, so about 4 MB. Prometheus itself sends 2,000; its receiver commits
/// each request in one transaction, and fewer of them cost it less.
pub const REQUEST_SAMPLES_MAX: usize = 10_000;

/// Bytes of one request before compression.
pub const REQUEST_BYTES_MAX: usize = 4 << 20;

/// What no setting may exceed: Prometheus refuses a request that decodes to more than 32 MiB
/// (`storage/remote/codec.go`, `decodeReadLimit`).
pub const REQUEST_BYTES_HARD_MAX: usize = 31 << 20;

/// Tag, length, tag and value, tag and timestamp: no sample takes more.
const SAMPLE_BYTES_MAX: usize = 2 + 9 + 11;

const TAG_SERIES: u8 = 1 << 3 | 2;
const TAG_LABEL: u8 = 1 << 3 | 2;
const TAG_SAMPLE: u8 = 2 << 3 | 2;
const TAG_HISTOGRAM: u8 = 4 << 3 | 2;
const TAG_NAME: u8 = 1 << 3 | 2;
const TAG_LABEL_VALUE: u8 = 2 << 3 | 2;
const TAG_VALUE: u8 = 1 << 3 | 1;
const TAG_TIMESTAMP: u8 = 2 << 3;

/// Appends a series' labels as the wire has them: the repeated `labels` field of a `TimeSeries`.
pub fn append_labels(series: &Stamped, out: &mut Vec<u8>) {
    append(series.labels(), out);
}

/// Reads what [`append_labels`] wrote.
pub fn read_labels(encoded: &[u8]) -> Option<Labels> {
    let series = <TimeSeries as prost::Message>::decode(encoded).ok()?;
    Labels::from_pairs(series.labels.iter().map(|label| (&*label.name, &*label.value))).ok()
}

/// Shows each label of what [`append_labels`] wrote; `None` if it did not write it.
pub(super) fn each_label(encoded: &[u8], mut show: impl FnMut(&str, &str)) -> Option<()> {
    let mut rest = encoded;
    while !rest.is_empty() {
        let (mut label, after) = field(TAG_LABEL, rest)?;
        let (name, value);
        (name, label) = field(TAG_NAME, label)?;
        (value, label) = field(TAG_LABEL_VALUE, label)?;
        label.is_empty().then_some(())?;
        show(str::from_utf8(name).ok()?, str::from_utf8(value).ok()?);
        rest = after;
    }
    Some(())
}

/// The content of a field of this tag, and what comes behind it.
fn field(tag: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (_, rest) = bytes.split_first().filter(|(first, _)| **first == tag)?;
    let last = rest.iter().take(10).position(|byte| byte & 0x80 == 0)?;
    let length = rest[..=last].iter().rev().fold(0_u64, |number, byte| number << 7 | u64::from(byte & 0x7f));
    rest[last + 1..].split_at_checked(usize::try_from(length).ok()?)
}

pub(crate) fn append(labels: &Labels, out: &mut Vec<u8>) {
    // Three tags and, as long as no text passes 127 bytes, three lengths to each label.
    out.reserve(labels.text_bytes() + 6 * labels.len());
    labels.iter().for_each(|(name, value)| append_label(name, value, out));
}

/// Appends one label of a series.
pub(super) fn append_label(name: &str, value: &str, out: &mut Vec<u8>) {
    let bytes = text_bytes(name) + text_bytes(value);
    out.push(TAG_LABEL);
    append_varint(bytes as u64, out);
    append_text(TAG_NAME, name, out);
    append_text(TAG_LABEL_VALUE, value, out);
}

/// How large one request may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Samples in one request.
    pub samples_max: usize,
    /// Bytes of one request before compression; [`REQUEST_BYTES_HARD_MAX`] bounds it.
    pub bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { samples_max: REQUEST_SAMPLES_MAX, bytes_max: REQUEST_BYTES_MAX }
    }
}

/// A series was not added to a [`Batch`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Overflow {
    /// The batch is full: [`Batch::finish`] it and push the same again.
    #[error("the request is full")]
    Full,
    /// The series alone is larger than any request may be: it cannot be delivered at all.
    #[error("the series alone is larger than a request may be ({REQUEST_BYTES_HARD_MAX} bytes)")]
    Series,
}

/// One request, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Which message the body is.
    pub version: Version,
    /// The message as one snappy block.
    pub body: Bytes,
    /// How many samples it holds; at least one.
    pub samples: usize,
    /// How many of them are native histograms.
    pub histograms: usize,
    /// Its size before compression.
    pub raw_bytes: usize,
    /// The oldest timestamp in it.
    pub first: Timestamp,
    /// The newest timestamp in it.
    pub last: Timestamp,
}

/// A request being built. It keeps its buffers for the next one, up to about twice the limit in bytes: make one for
/// each worker, not one for each tenant.
pub struct Batch {
    limits: Limits,
    raw: Vec<u8>,
    samples: usize,
    histograms: usize,
    first: Timestamp,
    last: Timestamp,
    snappy: Snappy,
}

impl Batch {
    /// An empty batch.
    pub fn new(limits: Limits) -> Batch {
        let Limits { samples_max, bytes_max } = limits;
        let limits =
            Limits { samples_max: samples_max.max(1), bytes_max: bytes_max.min(REQUEST_BYTES_HARD_MAX) };
        Batch {
            limits,
            raw: Vec::new(),
            samples: 0,
            histograms: 0,
            first: Timestamp(i64::MAX),
            last: Timestamp(i64::MIN),
            snappy: Snappy::default(),
        }
    }

    /// How many samples wait to be finished.
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// Adds one sample of the series whose [`append_labels`] bytes are `labels`.
    #[inline]
    pub fn push(&mut self, labels: &[u8], timestamp: Timestamp, value: f64) -> Result<(), Overflow> {
        let sample = Sample::encode(timestamp, value);
        let sample = sample.bytes();
        self.open_series(labels, sample.len(), 1)?;
        self.raw.extend_from_slice(sample);
        self.note(timestamp);
        Ok(())
    }

    /// Adds several samples of one series, which must be in order of time, as one `TimeSeries`: all of them or none.
    pub fn push_samples(&mut self, labels: &[u8], samples: &[(Timestamp, f64)]) -> Result<(), Overflow> {
        debug_assert!(samples.is_sorted_by(|a, b| a.0 < b.0), "samples out of order");
        let bytes = samples.iter().map(|(t, v)| Sample::encode(*t, *v).bytes().len()).sum();
        if samples.is_empty() {
            return Ok(());
        }
        self.open_series(labels, bytes, samples.len())?;
        for (timestamp, value) in samples {
            self.raw.extend_from_slice(Sample::encode(*timestamp, *value).bytes());
            self.note(*timestamp);
        }
        Ok(())
    }

    /// Adds pieces of one series that follow each other, each as a `TimeSeries`: all of them or none.
    pub fn push_pieces(&mut self, labels: &[u8], pieces: &[Piece]) -> Result<(), Overflow> {
        let encoded: Vec<Vec<u8>> = pieces.iter().map(|piece| piece.encode(TAG_HISTOGRAM)).collect();
        let whole = encoded.iter().map(|samples| series_bytes(labels.len() + samples.len())).sum();
        self.room(whole, pieces.iter().map(Piece::len).sum())?;
        for (piece, samples) in pieces.iter().zip(&encoded) {
            self.append_head(labels, samples.len());
            self.raw.extend_from_slice(samples);
            self.samples += piece.len();
            self.histograms += piece.histograms();
            piece.ends().into_iter().flatten().for_each(|timestamp| self.note(timestamp));
        }
        Ok(())
    }

    /// Compresses what was pushed and starts anew; `None` if nothing was.
    pub fn finish(&mut self) -> Option<Request> {
        if self.samples == 0 {
            return None;
        }
        let request = Request {
            version: Version::V1,
            body: self.snappy.compress(&self.raw),
            samples: std::mem::take(&mut self.samples),
            histograms: std::mem::take(&mut self.histograms),
            raw_bytes: self.raw.len(),
            first: std::mem::replace(&mut self.first, Timestamp(i64::MAX)),
            last: std::mem::replace(&mut self.last, Timestamp(i64::MIN)),
        };
        self.raw.clear();
        Some(request)
    }

    /// Writes a series' head and labels, if it and its samples fit.
    #[inline]
    fn open_series(&mut self, labels: &[u8], sample_bytes: usize, samples: usize) -> Result<(), Overflow> {
        self.room(series_bytes(labels.len() + sample_bytes), samples)?;
        self.append_head(labels, sample_bytes);
        self.samples += samples;
        Ok(())
    }

    /// Whether so much fits.
    #[inline]
    fn room(&self, whole: usize, samples: usize) -> Result<(), Overflow> {
        if whole > REQUEST_BYTES_HARD_MAX {
            return Err(Overflow::Series);
        }
        let fits = self.samples + samples <= self.limits.samples_max
            && self.raw.len() + whole <= self.limits.bytes_max;
        if !fits && self.samples > 0 {
            return Err(Overflow::Full);
        }
        Ok(())
    }

    #[inline]
    fn append_head(&mut self, labels: &[u8], sample_bytes: usize) {
        let inside = labels.len() + sample_bytes;
        self.raw.reserve(series_bytes(inside));
        self.raw.push(TAG_SERIES);
        append_varint(inside as u64, &mut self.raw);
        self.raw.extend_from_slice(labels);
    }

    #[inline]
    fn note(&mut self, timestamp: Timestamp) {
        self.first = self.first.min(timestamp);
        self.last = self.last.max(timestamp);
    }
}

/// Bytes of a series with its tag and length.
#[inline]
fn series_bytes(inside: usize) -> usize {
    1 + varint_bytes(inside as u64) + inside
}

/// Compresses into a block that it keeps for the next time.
pub(super) struct Snappy {
    encoder: snap::raw::Encoder,
    block: Vec<u8>,
}

impl Default for Snappy {
    fn default() -> Snappy {
        Snappy { encoder: snap::raw::Encoder::new(), block: Vec::new() }
    }
}

impl Snappy {
    /// `raw` as one block.
    pub(super) fn compress(&mut self, raw: &[u8]) -> Bytes {
        let room = snap::raw::max_compress_len(raw.len());
        if self.block.len() < room {
            self.block.resize(room, 0);
        }
        let written = self.encoder.compress(raw, &mut self.block);
        let written = written.expect("the block has room for the worst case, and the input is below 4 GiB");
        Bytes::copy_from_slice(&self.block[..written])
    }
}

/// One encoded `Sample` with its field tag, on the stack: the same in both versions of a series.
pub(super) struct Sample {
    bytes: [u8; SAMPLE_BYTES_MAX],
    len: usize,
}

impl Sample {
    #[inline]
    pub(super) fn encode(timestamp: Timestamp, value: f64) -> Sample {
        let mut bytes = [0; SAMPLE_BYTES_MAX];
        let mut len = 2;
        if value.to_bits() != 0 {
            bytes[len] = TAG_VALUE;
            bytes[len + 1..len + 9].copy_from_slice(&value.to_bits().to_le_bytes());
            len += 9;
        }
        if timestamp.0 != 0 {
            bytes[len] = TAG_TIMESTAMP;
            len += 1;
            // Protobuf's int64: a negative number takes all ten bytes.
            let mut rest = timestamp.0 as u64;
            while rest >= 0x80 {
                bytes[len] = rest as u8 | 0x80;
                rest >>= 7;
                len += 1;
            }
            bytes[len] = rest as u8;
            len += 1;
        }
        bytes[0] = TAG_SAMPLE;
        bytes[1] = (len - 2) as u8;
        Sample { bytes, len }
    }

    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Bytes of a text field with its tag and length.
fn text_bytes(text: &str) -> usize {
    1 + varint_bytes(text.len() as u64) + text.len()
}

pub(super) fn append_text(tag: u8, text: &str, out: &mut Vec<u8>) {
    out.push(tag);
    append_varint(text.len() as u64, out);
    out.extend_from_slice(text.as_bytes());
}

#[inline]
pub(super) fn varint_bytes(number: u64) -> usize {
    (64 - (number | 1).leading_zeros() as usize).div_ceil(7)
}

#[inline]
pub(super) fn append_varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// What a request says, for those who play its receiver.
#[cfg(test)]
pub(crate) fn decoded(request: &Request) -> super::proto::WriteRequest {
    let raw = snap::raw::Decoder::new().decompress_vec(&request.body).unwrap();
    assert_eq!(raw.len(), request.raw_bytes);
    prost::Message::decode(&*raw).unwrap()
}

/// An answer to remote read with these series, for those who play a source: its result has the form of a request of remote write.
#[cfg(test)]
pub(crate) fn as_read(series: &super::proto::WriteRequest) -> Vec<u8> {
    let mut response = Vec::new();
    prost::encoding::message::encode(1, series, &mut response);
    response
}
