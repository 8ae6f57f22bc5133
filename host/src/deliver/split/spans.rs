//! Spans: where series stand in the body of a request of 1.0.
//!
//! In: the body. Out: places in it, and another body of some of them, byte for byte. Never: a series understood further than to its labels.

use bytes::Bytes;

use crate::deliver::Version;
use crate::deliver::encode::{REQUEST_BYTES_HARD_MAX, Request};
use crate::deliver::piece;
use crate::deliver::proto::WriteRequest;
use crate::model::Timestamp;

/// The content of each series, or piece of one, of a 1.0 request.
pub(in crate::deliver) fn each_series(raw: &[u8]) -> Option<impl Iterator<Item = &[u8]>> {
    Some(pieces(raw)?.into_iter().map(|Span { body, end, .. }| &raw[body..end]))
}

/// The part of a series that is its labels: they come first, under the same tag as series in a request.
pub(in crate::deliver) fn labels_of(series: &[u8]) -> Option<&[u8]> {
    let mut rest = series;
    while rest.first() == Some(&TAG) {
        let (bytes, used) = varint(&rest[1..])?;
        rest = rest.get(1 + used + usize::try_from(bytes).ok()?..)?;
    }
    Some(&series[..series.len() - rest.len()])
}

/// Of a request's series, and of a series' labels.
const TAG: u8 = 1 << 3 | 2;

/// Where one series stands: its tag and length, its content, and its end.
#[derive(Clone, Copy)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) body: usize,
    pub(super) end: usize,
}

/// The body of a request of 1.0 as it was before it was compressed.
pub(in crate::deliver) fn raw(request: &Request) -> Option<Vec<u8>> {
    let bytes = snap::raw::decompress_len(&request.body).ok()?;
    if bytes > REQUEST_BYTES_HARD_MAX {
        return None;
    }
    snap::raw::Decoder::new().decompress_vec(&request.body).ok()
}

/// The series of a `WriteRequest`, the pieces of each together, which are of floats and of histograms in turns: the content of the first one begins with the labels of all.
pub(super) fn series(raw: &[u8]) -> Option<Vec<Span>> {
    let mut series: Vec<Span> = Vec::new();
    let mut before = None;
    for piece in pieces(raw)? {
        let content = &raw[piece.body..piece.end];
        let labels = labels_of(content)?;
        let kind = content.get(labels.len());
        let is_more = before.is_some_and(|(last, of)| last == labels && of != kind);
        match series.last_mut().filter(|_| is_more) {
            Some(whole) => whole.end = piece.end,
            None => series.push(piece),
        }
        before = Some((labels, kind));
    }
    Some(series)
}

/// Every `TimeSeries` of a `WriteRequest` that has nothing else.
pub(super) fn pieces(raw: &[u8]) -> Option<Vec<Span>> {
    let (mut at, mut spans) = (0, Vec::new());
    while at < raw.len() {
        let length = raw.get(at + 1..).filter(|_| raw[at] == TAG)?;
        let (bytes, used) = varint(length)?;
        let body = at + 1 + used;
        let end = body.checked_add(usize::try_from(bytes).ok()?).filter(|end| *end <= raw.len())?;
        spans.push(Span { start: at, body, end });
        at = end;
    }
    Some(spans)
}

fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let last = bytes.iter().take(10).position(|byte| byte & 0x80 == 0)?;
    let number = bytes[..=last].iter().rev().fold(0_u64, |number, byte| number << 7 | u64::from(byte & 0x7f));
    Some((number, last + 1))
}

/// A request of these series of another one.
pub(super) fn encode(raw: &[u8], series: &[Span]) -> Option<Request> {
    let (mut times, mut histograms) = (Vec::new(), 0);
    let mut part = Vec::with_capacity(series.last()?.end - series.first()?.start);
    for Span { start, end, .. } in series {
        part.extend_from_slice(&raw[*start..*end]);
        for piece in <WriteRequest as prost::Message>::decode(&raw[*start..*end]).ok()?.timeseries {
            times.extend(piece.samples.iter().map(|sample| Timestamp(sample.timestamp)));
            histograms += piece.histograms.len();
            for message in &piece.histograms {
                times.push(piece::moment(message)?);
            }
        }
    }
    let body = Bytes::from(snap::raw::Encoder::new().compress_vec(&part).ok()?);
    let (samples, raw_bytes) = (times.len(), part.len());
    let (first, last) = (*times.iter().min()?, *times.iter().max()?);
    Some(Request { version: Version::V1, body, samples, histograms, raw_bytes, first, last })
}
