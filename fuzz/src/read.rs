//! Read: an answer to remote read, in either form.
//!
//! What the reader of samples takes is what prost reads. A stream of frames gives the same wherever it is cut, and ends in an error where a
//! byte of it is another one; a chunk gives its samples once each, in time order.

use prost::Message;

use crate::collect::read::{Frames, HISTOGRAM_BYTES_MAX, Run, Runs, Silence, Window, samples};
use crate::collect::scan::Refusal;
use crate::collect::{Table, TableConfig};
use crate::model::{Interval, Tick, Timestamp};

/// Every other moment of fuzzed answers is in it.
const WINDOW: Window = Window { since: Timestamp(1_000), until: Timestamp(1_435_781_451_781) };

/// Panics if something is not as it should be.
pub fn check(data: &[u8]) {
    let found = plain(data);
    if let (Ok(found), Ok(response)) = (&found, Response::decode(data))
        && let Some(expected) = expected(&response)
    {
        assert_eq!(*found, expected, "as prost reads it");
    }
    let tick = Tick::at_or_before(
        WINDOW.until,
        Interval::new(std::time::Duration::from_millis(1)).expect("an interval"),
    );
    let mut table = Table::new(TableConfig { series_max: 10_000, ..TableConfig::default() });
    for _ in 0..2 {
        let answer = table.absorb_samples(tick, WINDOW, data);
        // A table refuses labels that are no labels, too.
        assert!(answer.is_err() || found.is_ok(), "a table took what the reader refuses");
    }
    let _ = stream(&[data]);
    let framed: Vec<u8> = data.split(|byte| *byte == 0xff).flat_map(frame).collect();
    let whole = stream(&[&framed]);
    for size in [1, 7, 100] {
        let pieces: Vec<&[u8]> = framed.chunks(size).collect();
        assert_eq!(stream(&pieces).ok(), whole.as_ref().ok().cloned(), "cut otherwise");
    }
    if whole.as_ref().is_ok_and(|found| !found.is_empty()) {
        let mut changed = framed.clone();
        let at = data.len() % framed.len();
        changed[at] ^= 1 << (data.len() % 8);
        assert_ne!(stream(&[&changed]), whole, "a byte is another one");
    }
}

/// Labels, not read further, samples by time and bits, the histograms among them by time, and how many were left out.
type Found = Vec<(Vec<Vec<u8>>, Vec<(i64, u64)>, Vec<(i64, Vec<u8>)>, usize)>;

#[derive(Default)]
struct List(Found);

impl Runs for List {
    fn run(&mut self, labels: &[u8], run: Run<'_>, left_out: usize) -> Result<(), Refusal> {
        assert!(run.at.windows(2).all(|two| two[0] < two[1]), "not in the order of time");
        assert_eq!(run.at.len(), run.values.len());
        let within = |at: &i64| WINDOW.since.as_millis() < *at && *at <= WINDOW.until.as_millis();
        assert!(run.at.iter().all(within), "outside the window");
        let opaque = |sample: &crate::collect::read::Sample<'_>| sample.histogram.is_some();
        assert_eq!(run.samples().filter(opaque).count(), run.histograms.len(), "each is a sample");
        let pieces = run.pieces().map(|piece| (piece.at.len(), piece.histograms.len()));
        assert!(pieces.into_iter().all(|(all, some)| some == 0 || some == all), "a piece is of one kind");
        assert!(run.histograms.iter().all(|histogram| histogram.message.len() <= HISTOGRAM_BYTES_MAX));
        let histograms = run.histograms.iter().map(|histogram| (histogram.at, histogram.message.to_vec()));
        let samples = run.at.iter().copied().zip(run.values.iter().map(|value| value.to_bits()));
        // A length can be written in several ways.
        let Labels { labels } = Labels::decode(labels).expect("labels are fields");
        self.0.push((labels, samples.collect(), histograms.collect(), left_out));
        Ok(())
    }
}

fn plain(data: &[u8]) -> Result<Found, String> {
    let mut list = List::default();
    samples(data, WINDOW, Silence::Nothing, &mut list).map_err(|cause| cause.to_string())?;
    Ok(list.0)
}

fn stream(pieces: &[&[u8]]) -> Result<Found, String> {
    let (mut list, mut frames) = (List::default(), Frames::new(WINDOW));
    for piece in pieces {
        frames.feed(piece, &mut list).map_err(|cause| cause.to_string())?;
    }
    frames.finish().map_err(|cause| cause.to_string())?;
    Ok(list.0)
}

/// A frame around a message.
fn frame(message: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    prost::encoding::encode_varint(message.len() as u64, &mut frame);
    // CRC-32C, bit by bit.
    let checksum = !message.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| crc >> 1 ^ 0x82f6_3b78 & (crc & 1).wrapping_neg())
    });
    frame.extend(checksum.to_be_bytes());
    frame.extend(message);
    frame
}

/// What prost finds; `None` where it does not say which of a float and a histogram of one moment came first.
fn expected(response: &Response) -> Option<Found> {
    assert_eq!(response.results.len(), 1, "an answer to one query");
    let within = |at: i64| WINDOW.since.as_millis() < at && at <= WINDOW.until.as_millis();
    let one = |series: &TimeSeries| {
        let mut samples: Vec<(i64, u64, Option<&Vec<u8>>)> =
            series.samples.iter().map(|sample| (sample.timestamp, sample.value.to_bits(), None)).collect();
        let mut left_out = 0;
        for message in &series.histograms {
            let Histogram { sum, timestamp } = Histogram::decode(&**message).ok()?;
            match message.len() <= HISTOGRAM_BYTES_MAX {
                true => samples.push((timestamp, sum, Some(message))),
                false => left_out += usize::from(within(timestamp)),
            }
        }
        samples.retain(|(at, ..)| within(*at));
        samples.sort_by_key(|(at, ..)| *at);
        let is_told = |two: &[(i64, u64, Option<&Vec<u8>>)]| {
            two[0].0 != two[1].0 || two[0].2.is_some() == two[1].2.is_some()
        };
        if !samples.windows(2).all(is_told) {
            return None;
        }
        samples.dedup_by_key(|(at, ..)| *at);
        let histograms = samples.iter().filter_map(|(at, _, message)| Some((*at, message.as_ref()?.to_vec())));
        let histograms = histograms.collect();
        let samples = samples.iter().map(|(at, bits, _)| (*at, *bits)).collect();
        Some((series.labels.clone(), samples, histograms, left_out))
    };
    response.results[0].timeseries.iter().map(one).collect()
}

#[derive(Clone, PartialEq, Message)]
struct Response {
    #[prost(message, repeated, tag = "1")]
    results: Vec<QueryResult>,
}

#[derive(Clone, PartialEq, Message)]
struct QueryResult {
    #[prost(message, repeated, tag = "1")]
    timeseries: Vec<TimeSeries>,
}

#[derive(Clone, PartialEq, Message)]
struct Labels {
    #[prost(bytes = "vec", repeated, tag = "1")]
    labels: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
struct TimeSeries {
    /// Not read further.
    #[prost(bytes = "vec", repeated, tag = "1")]
    labels: Vec<Vec<u8>>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Sample>,
    #[prost(bytes = "vec", repeated, tag = "4")]
    histograms: Vec<Vec<u8>>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Sample {
    #[prost(double, tag = "1")]
    value: f64,
    #[prost(int64, tag = "2")]
    timestamp: i64,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Histogram {
    #[prost(fixed64, tag = "3")]
    sum: u64,
    #[prost(int64, tag = "15")]
    timestamp: i64,
}
