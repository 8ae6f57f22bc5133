//! Translate: a request of one version in the other, and parts of one of 2.0.
//!
//! In: an encoded request. Out: the same series and samples, bit for bit. Never: one of them left out.
//!
//! It is for the moments at which a receiver shows what it speaks, and for refusals: everything is read and written anew.

use super::super::encode::{self, Limits, Overflow, REQUEST_BYTES_HARD_MAX, Request, Snappy, append_label};
use super::super::piece::{self, Piece};
use super::super::{Version, proto as v1, split};
use super::batch::Batch;
use super::dictionary::Dictionary;
use super::proto::{Metadata, Request as Message, TimeSeries};
use bytes::Bytes;

use crate::model::Timestamp;

/// The request's series in the other version; several requests where they take more room in it, none if it is none of ours.
pub fn translated(request: &Request, limits: Limits) -> Option<Vec<Request>> {
    match request.version {
        Version::V1 => to_v2(request, limits),
        Version::V2 => to_v1(request, limits),
    }
}

fn to_v1(request: &Request, limits: Limits) -> Option<Vec<Request>> {
    let message = read(request)?;
    let mut batch = encode::Batch::new(limits);
    let mut requests = Vec::new();
    for series in &message.timeseries {
        let labels = labels_of(&message.symbols, series)?;
        let samples = series.samples.iter().map(|sample| (Timestamp(sample.timestamp), sample.value()));
        let pieces = pieces(samples, &series.histograms)?;
        match batch.push_pieces(&labels, &pieces) {
            Ok(()) => {}
            Err(Overflow::Full) => {
                requests.extend(batch.finish());
                batch.push_pieces(&labels, &pieces).ok()?;
            }
            Err(Overflow::Series) => return None,
        }
    }
    requests.extend(batch.finish());
    Some(requests)
}

fn to_v2(request: &Request, limits: Limits) -> Option<Vec<Request>> {
    let (mut batch, mut dictionary) = (Batch::new(limits), Dictionary::default());
    let mut requests = Vec::new();
    let raw = split::raw(request)?;
    for series in split::each_series(&raw)? {
        let labels = split::labels_of(series)?;
        let read = <v1::TimeSeries as prost::Message>::decode(series).ok()?;
        let samples = read.samples.iter().map(|sample| (Timestamp(sample.timestamp), sample.value));
        let pieces = pieces(samples, &read.histograms)?;
        match batch.push_pieces(&mut dictionary, None, labels, &pieces) {
            Ok(()) => {}
            Err(Overflow::Full) => {
                requests.extend(batch.finish());
                batch.push_pieces(&mut dictionary, None, labels, &pieces).ok()?;
            }
            Err(Overflow::Series) => return None,
        }
    }
    requests.extend(batch.finish());
    Some(requests)
}

/// What a series has, of each kind that it has; we write series of one kind alone.
fn pieces(samples: impl Iterator<Item = (Timestamp, f64)>, histograms: &[Bytes]) -> Option<Vec<Piece>> {
    let pieces = [Piece::Floats(samples.collect()), piece::timed(histograms)?];
    Some(pieces.into_iter().filter(|piece| !piece.is_empty()).collect())
}

/// A request as it was written; `None` if it is none of ours, or too large to be.
pub(in super::super) fn read(request: &Request) -> Option<Message> {
    if snap::raw::decompress_len(&request.body).ok()? > REQUEST_BYTES_HARD_MAX {
        return None;
    }
    let raw = snap::raw::Decoder::new().decompress_vec(&request.body).ok()?;
    prost::Message::decode(&*raw).ok()
}

/// A series' labels as 1.0 has them.
pub(in super::super) fn labels_of(symbols: &[String], series: &TimeSeries) -> Option<Vec<u8>> {
    let mut labels = Vec::new();
    let (pairs, rest) = series.labels_refs.as_chunks();
    for [name, value] in pairs {
        append_label(symbols.get(*name as usize)?, symbols.get(*value as usize)?, &mut labels);
    }
    rest.is_empty().then_some(labels)
}

/// A request of some of another one's series, with no symbols but theirs.
pub(in super::super) fn part(symbols: &[String], series: &[TimeSeries]) -> Option<Request> {
    let (mut own, mut places) = (vec![String::new()], vec![None; symbols.len()]);
    let mut place = |number: u32| {
        let (number, symbol) = (number as usize, symbols.get(number as usize)?);
        if symbol.is_empty() {
            return Some(0);
        }
        Some(*places[number].get_or_insert_with(|| {
            own.push(symbol.clone());
            own.len() as u32 - 1
        }))
    };
    let mut timeseries = Vec::new();
    for TimeSeries { labels_refs, samples, histograms, metadata } in series {
        let labels_refs = labels_refs.iter().map(|number| place(*number)).collect::<Option<_>>()?;
        let metadata = match metadata {
            Some(Metadata { kind, help_ref, unit_ref }) => {
                Some(Metadata { kind: *kind, help_ref: place(*help_ref)?, unit_ref: place(*unit_ref)? })
            }
            None => None,
        };
        let (samples, histograms) = (samples.clone(), histograms.clone());
        timeseries.push(TimeSeries { labels_refs, samples, histograms, metadata });
    }
    written(Message { symbols: own, timeseries })
}

fn written(message: Message) -> Option<Request> {
    let samples = message.timeseries.iter().flat_map(|series| &series.samples);
    let mut times: Vec<Timestamp> = samples.map(|sample| Timestamp(sample.timestamp)).collect();
    let floats = times.len();
    for message in message.timeseries.iter().flat_map(|series| &series.histograms) {
        times.push(piece::moment(message)?);
    }
    let raw = prost::Message::encode_to_vec(&message);
    Some(Request {
        version: Version::V2,
        body: Snappy::default().compress(&raw),
        samples: times.len(),
        histograms: times.len() - floats,
        raw_bytes: raw.len(),
        first: *times.iter().min()?,
        last: *times.iter().max()?,
    })
}
