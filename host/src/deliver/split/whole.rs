//! Whole: a request that was read, as far as it takes to part it.
//!
//! In: an encoded request of either version. Out: requests with some of its series, or of its samples. Never: a series in pieces of which one is
//! lost.

use std::ops::Range;

use bytes::Bytes;

use super::spans::{Span, encode, labels_of, pieces, raw, series};
use crate::deliver::Version;
use crate::deliver::encode::Request;
use crate::deliver::piece;
use crate::deliver::proto::{TimeSeries, WriteRequest};
use crate::deliver::v2::proto::{Request as Message, TimeSeries as SeriesV2};
use crate::deliver::v2::translate;
use crate::model::Timestamp;

/// A request that was read, as far as it takes to part it.
pub(super) enum Whole {
    V1 { raw: Vec<u8>, series: Vec<Span> },
    V2 { symbols: Vec<String>, series: Vec<Vec<SeriesV2>> },
}

impl Whole {
    /// `None` if it is none of ours.
    pub(super) fn read(request: &Request) -> Option<Whole> {
        match request.version {
            Version::V1 => {
                let raw = raw(request)?;
                let series = series(&raw)?;
                Some(Whole::V1 { raw, series })
            }
            Version::V2 => {
                let Message { symbols, timeseries } = translate::read(request)?;
                let mut series: Vec<Vec<SeriesV2>> = Vec::new();
                for piece in timeseries {
                    let is_more = |last: &SeriesV2| {
                        last.labels_refs == piece.labels_refs
                            && last.histograms.is_empty() != piece.histograms.is_empty()
                    };
                    match series.last_mut().filter(|pieces| pieces.last().is_some_and(is_more)) {
                        Some(last) => last.push(piece),
                        None => series.push(vec![piece]),
                    }
                }
                Some(Whole::V2 { symbols, series })
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Whole::V1 { series, .. } => series.len(),
            Whole::V2 { series, .. } => series.len(),
        }
    }

    pub(super) fn remove(&mut self, at: usize) {
        match self {
            Whole::V1 { series, .. } => _ = series.remove(at),
            Whole::V2 { series, .. } => _ = series.remove(at),
        }
    }

    pub(super) fn part(&self, range: Range<usize>) -> Option<Request> {
        match self {
            Whole::V1 { raw, series } => encode(raw, &series[range]),
            Whole::V2 { symbols, series } => translate::part(symbols, &series[range].concat()),
        }
    }

    /// The samples that are wanted, by their time and that of their series' newest.
    pub(super) fn filtered(&self, is_wanted: impl Fn(i64, i64) -> bool) -> Option<Request> {
        match self {
            Whole::V1 { raw, series } => {
                let mut kept = Vec::new();
                for Span { start, end, .. } in series {
                    let pieces =
                        <WriteRequest as prost::Message>::decode(&raw[*start..*end]).ok()?.timeseries;
                    for piece in left(pieces, &is_wanted)? {
                        prost::encoding::message::encode(1, &piece, &mut kept);
                    }
                }
                let pieces = pieces(&kept)?;
                encode(&kept, &pieces)
            }
            Whole::V2 { symbols, series } => {
                let mut kept = Vec::new();
                for pieces in series {
                    kept.extend(left(pieces.clone(), &is_wanted)?);
                }
                translate::part(symbols, &kept)
            }
        }
    }

    pub(super) fn labels(&self, at: usize) -> Option<Vec<u8>> {
        match self {
            Whole::V1 { raw, series } => {
                let Span { body, end, .. } = series[at];
                Some(labels_of(&raw[body..end])?.to_vec())
            }
            Whole::V2 { symbols, series } => translate::labels_of(symbols, series[at].first()?),
        }
    }
}

/// A piece of a series: floats, or native histograms. Two lives: one for each version.
trait Piece {
    /// The times of what is in it, in order.
    fn times(&self) -> impl DoubleEndedIterator<Item = i64>;
    /// Keeps what has these times.
    fn retain(&mut self, is_kept: impl Fn(i64) -> bool);
}

impl Piece for TimeSeries {
    fn times(&self) -> impl DoubleEndedIterator<Item = i64> {
        let samples = self.samples.iter().map(|sample| sample.timestamp);
        samples.chain(self.histograms.iter().map(moment))
    }

    fn retain(&mut self, is_kept: impl Fn(i64) -> bool) {
        self.samples.retain(|sample| is_kept(sample.timestamp));
        self.histograms.retain(|message| is_kept(moment(message)));
    }
}

impl Piece for SeriesV2 {
    fn times(&self) -> impl DoubleEndedIterator<Item = i64> {
        let samples = self.samples.iter().map(|sample| sample.timestamp);
        samples.chain(self.histograms.iter().map(moment))
    }

    fn retain(&mut self, is_kept: impl Fn(i64) -> bool) {
        self.samples.retain(|sample| is_kept(sample.timestamp));
        self.histograms.retain(|message| is_kept(moment(message)));
    }
}

/// What is left of a series' pieces, in order.
fn left<P: Piece>(mut pieces: Vec<P>, is_wanted: impl Fn(i64, i64) -> bool) -> Option<Vec<P>> {
    let newest = pieces.last()?.times().next_back().unwrap_or(i64::MIN);
    pieces.iter_mut().for_each(|piece| piece.retain(|at| is_wanted(at, newest)));
    pieces.retain(|piece| piece.times().next().is_some());
    Some(pieces)
}

/// When a native histogram was; we wrote it.
fn moment(message: &Bytes) -> i64 {
    piece::moment(message).map_or(i64::MIN, Timestamp::as_millis)
}
