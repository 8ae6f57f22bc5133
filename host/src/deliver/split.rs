//! Split: one request in two, so that what a receiver refuses can be found.
//!
//! In: an encoded request. Out: two with half of its series each, or none where there is one series only.
//! Never: a series in both or in none. Of a 1.0 request's body nothing is understood but where a series begins, and no byte of
//! one is changed: whoever refuses may refuse because we encode it wrongly. A 2.0 series is written anew, since it is nothing
//! without the request's symbols; it keeps those alone that are its own, so that a part is as small as it can be.
//! A series that stands in pieces, of floats and of native histograms in turns, is one.

mod spans;
mod whole;

use super::Version;
use super::encode::Request;
use super::proto::WriteRequest;
use super::v2::proto::Request as Message;
use super::v2::translate;
use crate::model::Timestamp;
use spans::{Span, encode, pieces};
pub(super) use spans::{each_series, labels_of, raw};
use whole::Whole;

/// The request's series in two requests, in their order, without the one in place `left_out`; `None` if there is one, or it is none
/// of ours.
pub fn halves(request: &Request, left_out: Option<usize>) -> Option<[Request; 2]> {
    let mut whole = Whole::read(request)?;
    if let Some(place) = left_out.filter(|place| *place < whole.len()) {
        whole.remove(place);
    }
    let (middle, end) = (whole.len() / 2, whole.len());
    (middle > 0).then(|| Some([whole.part(0..middle)?, whole.part(middle..end)?]))?
}

/// The request's samples up to a moment, and those after it; `None` if one of these is nothing.
pub fn at(request: &Request, moment: Timestamp) -> Option<[Request; 2]> {
    if request.last <= moment || request.first > moment {
        return None;
    }
    let whole = Whole::read(request)?;
    let earlier = whole.filtered(|at, _| at <= moment.as_millis())?;
    Some([earlier, whole.filtered(|at, _| at > moment.as_millis())?])
}

/// Some of the request's series, the first and the last among them, each by its place and in a request of its own; nothing if there are
/// no more than that.
pub fn witnesses(request: &Request, count: usize) -> Option<Vec<(usize, Request)>> {
    let whole = Whole::read(request)?;
    let (count, last) = (count.max(2), whole.len().checked_sub(1)?);
    (whole.len() >= 2 * count).then(|| {
        let places = (0..count).map(|n| n * last / (count - 1));
        places.map(|place| Some((place, whole.part(place..place + 1)?))).collect()
    })?
}

/// The newest sample of each of the request's series.
pub fn ends(request: &Request) -> Option<Request> {
    Whole::read(request)?.filtered(|at, newest| at == newest)
}

/// What is left of a request without its native histograms.
#[derive(Debug)]
pub struct Stripped {
    /// The rest, if there is any.
    pub rest: Option<Request>,
    /// The labels of a series that had some, as they stand in a request of 1.0.
    pub example: Vec<u8>,
}

/// The request without its native histograms; `None` if it has none, or is none of ours.
pub fn without_histograms(request: &Request) -> Option<Stripped> {
    if request.histograms == 0 {
        return None;
    }
    match request.version {
        Version::V1 => {
            let (raw, mut kept, mut example) = (raw(request)?, Vec::new(), None);
            for Span { start, body, end } in pieces(&raw)? {
                let piece = <WriteRequest as prost::Message>::decode(&raw[start..end]).ok()?;
                match piece.timeseries.iter().any(|piece| !piece.histograms.is_empty()) {
                    true => example = example.or(Some(labels_of(&raw[body..end])?.to_vec())),
                    false => kept.push(Span { start, body, end }),
                }
            }
            let rest = if kept.is_empty() { None } else { Some(encode(&raw, &kept)?) };
            Some(Stripped { rest, example: example? })
        }
        Version::V2 => {
            let Message { symbols, timeseries } = translate::read(request)?;
            let (with, without): (Vec<_>, Vec<_>) =
                timeseries.into_iter().partition(|piece| !piece.histograms.is_empty());
            let example = translate::labels_of(&symbols, with.first()?)?;
            let rest = if without.is_empty() { None } else { Some(translate::part(&symbols, &without)?) };
            Some(Stripped { rest, example })
        }
    }
}

/// The labels of each of the request's series, as they stand in a request of 1.0; none where there are more than `max`.
pub fn labels(request: &Request, max: usize) -> Vec<Vec<u8>> {
    let whole = Whole::read(request).filter(|whole| whole.len() <= max);
    whole.and_then(|whole| (0..whole.len()).map(|at| whole.labels(at)).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
