//! Histogram: native histograms, as a source stores them or as it writes them, in the words of remote write.
//!
//! In: a chunk's data (`tsdb/chunkenc/histogram.go`, `float_histogram.go`), or a message. Out: each histogram as a
//! `prometheus.Histogram`, which is the same message in both versions of remote write. Never: one that is larger than any may be; more
//! memory for a chunk's layout than the chunk has bits; a reset claimed that the receiver finds by itself.

use bytes::Bytes;

use super::chunk::{BREAKS_OFF, Bits, Value};
use super::wire::{self, Broken, Fields, append_bytes, append_varint};
use super::{Columns, Window};
use crate::model::STALE_NAN_BITS;

/// The largest message: at the 160 buckets that clients keep by default one has about a kilobyte.
pub const HISTOGRAM_BYTES_MAX: usize = 64 << 10;

/// The most spans, buckets and bounds of a histogram: each takes a byte of its message at least.
const PARTS_MAX: u64 = HISTOGRAM_BYTES_MAX as u64;

/// The header's bits of a histogram that may go down at any time.
const GAUGE_HEADER: u8 = 0b1100_0000;

/// `prometheus.Histogram.ResetHint`. Of counters none is given: whether there was a reset depends on what the receiver has before.
const HINT_GAUGE: u64 = 3;

/// The schema whose bounds are written out; those from -9 to 52 are exponential.
const CUSTOM_BOUNDS: i64 = -53;

/// What a chunk's counts are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Whole,
    Float,
}

/// Why a chunk was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unreadable {
    Broken(&'static str),
    /// It is laid out in a way that is newer than this.
    Unknown,
    /// Its histograms are too large, whatever they hold.
    TooLarge,
}

impl From<&'static str> for Unreadable {
    fn from(what: &'static str) -> Unreadable {
        Unreadable::Broken(what)
    }
}

/// Reads the histograms of a chunk that are of the window; how many are too large. What is written to find that out counts as well.
pub(super) fn chunk(
    data: &[u8],
    kind: Kind,
    window: &Window,
    columns: &mut Columns,
) -> Result<usize, Unreadable> {
    let (count, rest) = data.split_first_chunk().ok_or(BREAKS_OFF)?;
    let (header, rest) = rest.split_first().ok_or(BREAKS_OFF)?;
    let mut bits = Bits { bytes: rest, at: 0 };
    let (mut reader, mut too_large) = (None, 0);
    let count = u16::from_be_bytes(*count);
    for _ in 0..count {
        let reader = match &mut reader {
            Some(reader) => {
                Reader::next(reader, &mut bits)?;
                reader
            }
            none => match Reader::first(kind, &mut bits) {
                Err(Unreadable::TooLarge) => return Ok(usize::from(count)),
                first => none.insert(first?),
            },
        };
        if window.has(reader.time) {
            let message = reader.message(header & GAUGE_HEADER == GAUGE_HEADER);
            match message.len() <= HISTOGRAM_BYTES_MAX {
                true => columns.push_histogram(reader.time, f64::from_bits(reader.sum.bits), message.into()),
                false => {
                    too_large += 1;
                    columns.leave_out(message.len());
                }
            }
            columns.within_bounds()?;
        }
    }
    Ok(too_large)
}

/// When a message's histogram was, and its sum.
pub(super) fn told(message: &[u8]) -> Result<(i64, f64), Broken> {
    let mut fields = Fields::new(message);
    let (mut time, mut sum) = (0, 0);
    while let Some(field) = fields.next()? {
        match field {
            (3, wire::Value::Fixed64(bits)) => sum = bits,
            (15, wire::Value::Varint(millis)) => time = millis as i64,
            _ => {}
        }
    }
    Ok((time, f64::from_bits(sum)))
}

/// A message as it came.
pub(super) fn copied(message: &[u8]) -> Option<Bytes> {
    (message.len() <= HISTOGRAM_BYTES_MAX).then(|| Bytes::copy_from_slice(message))
}

/// The newest histogram of a chunk.
struct Reader {
    layout: Layout,
    time: i64,
    delta: i64,
    sum: Value,
    counts: Counts,
}

enum Counts {
    Whole { count: Number, zero: Number, buckets: Vec<Number> },
    Float { count: Value, zero: Value, buckets: Vec<Value> },
}

impl Reader {
    /// The first one, which says how all are laid out.
    fn first(kind: Kind, bits: &mut Bits<'_>) -> Result<Reader, Unreadable> {
        let layout = Layout::read(bits)?;
        let buckets = layout.buckets(bits)?;
        let time = signed(bits)?;
        let (sum, counts) = match kind {
            Kind::Whole => {
                let [count, zero] = [unsigned(bits)?, unsigned(bits)?].map(|n| Number::new(n as i64));
                let sum = Value::first(bits)?;
                let buckets = (0..buckets).map(|_| signed(bits).map(Number::new));
                (sum, Counts::Whole { count, zero, buckets: buckets.collect::<Result<_, _>>()? })
            }
            Kind::Float => {
                let [count, zero, sum] = [Value::first(bits)?, Value::first(bits)?, Value::first(bits)?];
                let buckets = (0..buckets).map(|_| Value::first(bits));
                (sum, Counts::Float { count, zero, buckets: buckets.collect::<Result<_, _>>()? })
            }
        };
        Ok(Reader { layout, time, delta: 0, sum, counts })
    }

    /// Goes on to the next one. What ends a series has a sum, and nothing else.
    fn next(&mut self, bits: &mut Bits<'_>) -> Result<(), &'static str> {
        self.delta = self.delta.wrapping_add(signed(bits)?);
        self.time = self.time.wrapping_add(self.delta);
        match &mut self.counts {
            Counts::Whole { count, zero, .. } => {
                count.next(bits)?;
                zero.next(bits)?;
            }
            Counts::Float { count, zero, .. } => {
                count.next(bits)?;
                zero.next(bits)?;
            }
        }
        self.sum.next(bits)?;
        if self.is_end() {
            return Ok(());
        }
        match &mut self.counts {
            Counts::Whole { buckets, .. } => buckets.iter_mut().try_for_each(|bucket| bucket.next(bits)),
            Counts::Float { buckets, .. } => buckets.iter_mut().try_for_each(|bucket| bucket.next(bits)),
        }
    }

    fn is_end(&self) -> bool {
        self.sum.bits == STALE_NAN_BITS
    }

    /// It as a `prometheus.Histogram`.
    fn message(&self, is_gauge: bool) -> Vec<u8> {
        let mut out = Vec::new();
        // One of two fields says which kind it is, so it is written also where it is zero.
        let ended = self.is_end();
        match &self.counts {
            Counts::Whole { count, .. } => {
                always_varint(1, if ended { 0 } else { count.value as u64 }, &mut out)
            }
            Counts::Float { count, .. } => append_double(2, if ended { 0 } else { count.bits }, &mut out),
        }
        append_double(3, self.sum.bits, &mut out);
        if !ended {
            append_varint(4, zigzag(self.layout.schema), &mut out);
            append_double(5, self.layout.zero_threshold, &mut out);
        }
        match &self.counts {
            Counts::Whole { zero, .. } => {
                always_varint(6, if ended { 0 } else { zero.value as u64 }, &mut out)
            }
            Counts::Float { zero, .. } => append_double(7, if ended { 0 } else { zero.bits }, &mut out),
        }
        if !ended {
            self.append_buckets(&mut out);
            append_varint(14, if is_gauge { HINT_GAUGE } else { 0 }, &mut out);
        }
        append_varint(15, self.time as u64, &mut out);
        if !ended && !self.layout.bounds.is_empty() {
            append_bytes(16, &doubles(self.layout.bounds.iter().copied()), &mut out);
        }
        out
    }

    fn append_buckets(&self, out: &mut Vec<u8>) {
        let Layout { positive, negative, .. } = &self.layout;
        let (first, total) = (count(positive), count(positive) + count(negative));
        for (spans, range, field) in [(negative, first..total, 8), (positive, 0..first, 11)] {
            for (offset, length) in spans {
                let mut span = Vec::new();
                append_varint(1, zigzag(*offset), &mut span);
                append_varint(2, *length, &mut span);
                append_bytes(field, &span, out);
            }
            match &self.counts {
                _ if range.is_empty() => {}
                Counts::Whole { buckets, .. } => {
                    let mut deltas = Vec::new();
                    buckets[range]
                        .iter()
                        .for_each(|bucket| wire::push_varint(zigzag(bucket.value), &mut deltas));
                    append_bytes(field + 1, &deltas, out);
                }
                Counts::Float { buckets, .. } => {
                    append_bytes(field + 2, &doubles(buckets[range].iter().map(|bucket| bucket.bits)), out);
                }
            }
        }
    }
}

/// What all histograms of a chunk have alike.
struct Layout {
    schema: i64,
    /// Its bits.
    zero_threshold: u64,
    positive: Vec<(i64, u64)>,
    negative: Vec<(i64, u64)>,
    /// Their bits.
    bounds: Vec<u64>,
}

impl Layout {
    fn read(bits: &mut Bits<'_>) -> Result<Layout, Unreadable> {
        let zero_threshold = match bits.take(8)? {
            0 => 0,
            255 => bits.take(64)?,
            // A power of two, by its exponent.
            exponent => (exponent + 1022 - 243) << 52,
        };
        let schema = signed(bits)?;
        if !(-9..=52).contains(&schema) && schema != CUSTOM_BOUNDS {
            return Err(Unreadable::Unknown);
        }
        let (positive, negative) = (spans(bits)?, spans(bits)?);
        let mut bounds = Vec::new();
        if schema == CUSTOM_BOUNDS {
            for _ in 0..few(unsigned(bits)?)? {
                bounds.push(bound(bits)?);
            }
        }
        Ok(Layout { schema, zero_threshold, positive, negative, bounds })
    }

    /// How many buckets there are; no more than what is left has bits for, or than there can be.
    fn buckets(&self, bits: &Bits<'_>) -> Result<usize, Unreadable> {
        let lengths = self.positive.iter().chain(&self.negative).map(|(_, length)| *length);
        let all = lengths.fold(0_u64, u64::saturating_add);
        usize::try_from(all).ok().filter(|all| *all <= bits.left()).ok_or(BREAKS_OFF)?;
        few(all).map(|all| all as usize)
    }
}

/// Offset and length of each stretch of buckets.
fn spans(bits: &mut Bits<'_>) -> Result<Vec<(i64, u64)>, Unreadable> {
    let mut spans = Vec::new();
    for _ in 0..few(unsigned(bits)?)? {
        let length = unsigned(bits)?;
        spans.push((signed(bits)?, length));
    }
    Ok(spans)
}

/// So many parts of a histogram, unless there are more than any message has room for.
fn few(parts: u64) -> Result<u64, Unreadable> {
    if parts <= PARTS_MAX { Ok(parts) } else { Err(Unreadable::TooLarge) }
}

fn count(spans: &[(i64, u64)]) -> usize {
    spans.iter().map(|(_, length)| *length as usize).sum()
}

/// A bound of a bucket, in thousandths where these say it exactly.
fn bound(bits: &mut Bits<'_>) -> Result<u64, &'static str> {
    match unsigned(bits)? {
        0 => bits.take(64),
        thousandths => Ok(((thousandths - 1) as f64 / 1000.0).to_bits()),
    }
}

/// A whole number of which a chunk has the changes of the changes.
struct Number {
    value: i64,
    delta: i64,
}

impl Number {
    fn new(value: i64) -> Number {
        Number { value, delta: 0 }
    }

    fn next(&mut self, bits: &mut Bits<'_>) -> Result<(), &'static str> {
        self.delta = self.delta.wrapping_add(signed(bits)?);
        self.value = self.value.wrapping_add(self.delta);
        Ok(())
    }
}

/// So many bits has a number behind so many ones (`tsdb/chunkenc/varbit.go`).
const WIDTHS: [u32; 9] = [0, 3, 6, 9, 12, 18, 25, 56, 64];

fn width(bits: &mut Bits<'_>) -> Result<u32, &'static str> {
    let mut ones = 0;
    while ones < 8 && bits.take(1)? == 1 {
        ones += 1;
    }
    Ok(WIDTHS[ones])
}

fn unsigned(bits: &mut Bits<'_>) -> Result<u64, &'static str> {
    let width = width(bits)?;
    bits.take(width)
}

fn signed(bits: &mut Bits<'_>) -> Result<i64, &'static str> {
    match width(bits)? {
        0 => Ok(0),
        64 => Ok(bits.take(64)? as i64),
        width => {
            let number = bits.take(width)? as i64;
            // From -(2^(n-1) - 1) to 2^(n-1).
            Ok(if number > 1 << (width - 1) { number - (1 << width) } else { number })
        }
    }
}

fn zigzag(number: i64) -> u64 {
    (number << 1 ^ number >> 63) as u64
}

fn always_varint(field: u32, number: u64, out: &mut Vec<u8>) {
    wire::push_varint(u64::from(field << 3), out);
    wire::push_varint(number, out);
}

fn append_double(field: u32, bits: u64, out: &mut Vec<u8>) {
    wire::push_varint(u64::from(field << 3 | 1), out);
    out.extend(bits.to_le_bytes());
}

/// Bits of doubles, packed.
fn doubles(bits: impl Iterator<Item = u64>) -> Vec<u8> {
    bits.flat_map(u64::to_le_bytes).collect()
}

#[cfg(test)]
mod tests;
