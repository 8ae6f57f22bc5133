//! Split: one request in two, so that what a receiver refuses can be found.
//!
//! In: an encoded request. Out: two with half of its series each, or none where there is one series only.
//! Never: a series in both or in none. Of a 1.0 request's body nothing is understood but where a series begins, and no byte of
//! one is changed: whoever refuses may refuse because we encode it wrongly. A 2.0 series is written anew, since it is nothing
//! without the request's symbols; it keeps those alone that are its own, so that a part is as small as it can be.
//! A series that stands in pieces, of floats and of native histograms in turns, is one.

use std::ops::Range;

use bytes::Bytes;

use super::Version;
use super::encode::{REQUEST_BYTES_HARD_MAX, Request};
use super::piece;
use super::proto::WriteRequest;
use super::v2::proto::{Request as Message, TimeSeries as SeriesV2};
use super::v2::translate;
use crate::model::Timestamp;

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

/// A request that was read, as far as it takes to part it.
enum Whole {
    V1 { raw: Vec<u8>, series: Vec<Span> },
    V2 { symbols: Vec<String>, series: Vec<Vec<SeriesV2>> },
}

impl Whole {
    fn read(request: &Request) -> Option<Whole> {
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

    fn len(&self) -> usize {
        match self {
            Whole::V1 { series, .. } => series.len(),
            Whole::V2 { series, .. } => series.len(),
        }
    }

    fn remove(&mut self, at: usize) {
        match self {
            Whole::V1 { series, .. } => _ = series.remove(at),
            Whole::V2 { series, .. } => _ = series.remove(at),
        }
    }

    fn part(&self, range: Range<usize>) -> Option<Request> {
        match self {
            Whole::V1 { raw, series } => encode(raw, &series[range]),
            Whole::V2 { symbols, series } => translate::part(symbols, &series[range].concat()),
        }
    }

    /// The samples that are wanted, by their time and that of their series' newest.
    fn filtered(&self, is_wanted: impl Fn(i64, i64) -> bool) -> Option<Request> {
        match self {
            Whole::V1 { raw, series } => {
                let mut kept = Vec::new();
                for Span { start, end, .. } in series {
                    let pieces =
                        <WriteRequest as prost::Message>::decode(&raw[*start..*end]).ok()?.timeseries;
                    let last = pieces.last()?;
                    let newest = newest(last.samples.last().map(|last| last.timestamp), &last.histograms);
                    for mut piece in pieces {
                        piece.samples.retain(|sample| is_wanted(sample.timestamp, newest));
                        piece.histograms.retain(|message| is_wanted(moment(message), newest));
                        if !(piece.samples.is_empty() && piece.histograms.is_empty()) {
                            prost::encoding::message::encode(1, &piece, &mut kept);
                        }
                    }
                }
                let pieces = pieces(&kept)?;
                encode(&kept, &pieces)
            }
            Whole::V2 { symbols, series } => {
                let mut kept = Vec::new();
                for pieces in series {
                    let last = pieces.last()?;
                    let newest = newest(last.samples.last().map(|last| last.timestamp), &last.histograms);
                    for mut piece in pieces.iter().cloned() {
                        piece.samples.retain(|sample| is_wanted(sample.timestamp, newest));
                        piece.histograms.retain(|message| is_wanted(moment(message), newest));
                        if !(piece.samples.is_empty() && piece.histograms.is_empty()) {
                            kept.push(piece);
                        }
                    }
                }
                translate::part(symbols, &kept)
            }
        }
    }

    fn labels(&self, at: usize) -> Option<Vec<u8>> {
        match self {
            Whole::V1 { raw, series } => {
                let Span { body, end, .. } = series[at];
                Some(labels_of(&raw[body..end])?.to_vec())
            }
            Whole::V2 { symbols, series } => translate::labels_of(symbols, series[at].first()?),
        }
    }
}

/// The content of each series, or piece of one, of a 1.0 request.
pub(super) fn each_series(raw: &[u8]) -> Option<impl Iterator<Item = &[u8]>> {
    Some(pieces(raw)?.into_iter().map(|Span { body, end, .. }| &raw[body..end]))
}

/// The part of a series that is its labels: they come first, under the same tag as series in a request.
pub(super) fn labels_of(series: &[u8]) -> Option<&[u8]> {
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
struct Span {
    start: usize,
    body: usize,
    end: usize,
}

pub(super) fn raw(request: &Request) -> Option<Vec<u8>> {
    let bytes = snap::raw::decompress_len(&request.body).ok()?;
    if bytes > REQUEST_BYTES_HARD_MAX {
        return None;
    }
    snap::raw::Decoder::new().decompress_vec(&request.body).ok()
}

/// The series of a `WriteRequest`, the pieces of each together, which are of floats and of histograms in turns: the content of the first one begins with the labels of all.
fn series(raw: &[u8]) -> Option<Vec<Span>> {
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
fn pieces(raw: &[u8]) -> Option<Vec<Span>> {
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

/// When the newest one was of a piece with samples or with native histograms.
fn newest(sample: Option<i64>, histograms: &[Bytes]) -> i64 {
    sample.or(histograms.last().map(moment)).unwrap_or(i64::MIN)
}

/// When a native histogram was; we wrote it.
fn moment(message: &Bytes) -> i64 {
    piece::moment(message).map_or(i64::MIN, Timestamp::as_millis)
}

fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let last = bytes.iter().take(10).position(|byte| byte & 0x80 == 0)?;
    let number = bytes[..=last].iter().rev().fold(0_u64, |number, byte| number << 7 | u64::from(byte & 0x7f));
    Some((number, last + 1))
}

fn encode(raw: &[u8], series: &[Span]) -> Option<Request> {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::encode::{Batch, Limits, append, read_labels};
    use super::super::proto::TimeSeries;
    use super::*;
    use crate::model::Labels;

    fn labels(n: usize) -> Labels {
        Labels::from_pairs([("__name__", "up"), ("n", &*n.to_string())]).unwrap()
    }

    fn request(series: usize, samples_each: usize) -> Request {
        let mut batch = Batch::new(Limits::default());
        for n in 0..series {
            let mut encoded = Vec::new();
            append(&labels(n), &mut encoded);
            let samples: Vec<_> =
                (0..samples_each).map(|s| (Timestamp((n + s) as i64), s as f64 - 0.5)).collect();
            batch.push_samples(&encoded, &samples).unwrap();
        }
        batch.finish().unwrap()
    }

    fn decoded(request: &Request) -> Vec<TimeSeries> {
        super::super::encode::decoded(request).timeseries
    }

    fn names(request: &Request) -> Vec<Labels> {
        super::labels(request, 100).iter().map(|encoded| read_labels(encoded).unwrap()).collect()
    }

    #[test]
    fn one_series_is_not_split_and_says_which_it_is() {
        let one = request(1, 3);
        assert!(halves(&one, None).is_none());
        assert_eq!(names(&one), [labels(0)]);
        assert!(super::labels(&request(101, 1), 100).is_empty(), "too many to be named");
    }

    #[test]
    fn what_is_no_request_of_ours_is_not_split() {
        let mut broken = request(4, 1);
        broken.body = Bytes::from_static(b"\x05nonsense");
        assert!(halves(&broken, None).is_none());
    }

    #[test]
    fn witnesses_stand_for_the_whole() {
        let whole = request(100, 1);
        let chosen = witnesses(&whole, 8).unwrap();
        let places = [0, 14, 28, 42, 56, 70, 84, 99];
        assert_eq!(chosen.iter().map(|(place, _)| *place).collect::<Vec<_>>(), places);
        assert_eq!(chosen.iter().flat_map(|(_, one)| names(one)).collect::<Vec<_>>(), places.map(labels));
        assert!(chosen.iter().all(|(_, one)| one.samples == 1));
        assert!(witnesses(&request(15, 1), 8).is_none(), "so few are looked at one by one");
    }

    #[test]
    fn what_was_taken_alone_is_in_neither_half() {
        let [first, second] = halves(&request(5, 2), Some(2)).unwrap();
        assert_eq!((names(&first), names(&second)), (vec![labels(0), labels(1)], vec![labels(3), labels(4)]));
        assert_eq!((first.samples, second.samples), (4, 4));
        assert!(halves(&request(2, 1), Some(0)).is_none());
    }

    #[test]
    fn the_ends_are_the_newest_samples() {
        let whole = request(3, 4);
        let ends = ends(&whole).unwrap();
        assert_eq!((ends.samples, ends.first, ends.last), (3, Timestamp(3), Timestamp(5)));
        assert_eq!(names(&ends), names(&whole));
    }

    #[test]
    fn what_is_up_to_a_moment_stands_before_what_is_after_it() {
        let whole = request(3, 3);
        let [earlier, later] = at(&whole, Timestamp(1)).unwrap();
        assert_eq!(
            (earlier.samples, earlier.last, names(&earlier)),
            (3, Timestamp(1), vec![labels(0), labels(1)])
        );
        assert_eq!((later.samples, later.first, names(&later)), (6, Timestamp(2), names(&whole)));
        assert!(at(&whole, Timestamp(-1)).is_none() && at(&whole, Timestamp(4)).is_none());
    }

    fn message(at: i64) -> Bytes {
        let mut message = vec![15 << 3];
        super::super::encode::append_varint(at as u64, &mut message);
        Bytes::from(message)
    }

    /// Series of floats and of histograms in turns, and one of both.
    fn mixed() -> Request {
        use super::super::piece::Piece;
        let mut batch = Batch::new(Limits::default());
        let floats = |at: &[i64]| Piece::Floats(at.iter().map(|at| (Timestamp(*at), 0.5)).collect());
        let opaque =
            |at: &[i64]| Piece::Histograms(at.iter().map(|at| (Timestamp(*at), message(*at))).collect());
        for (n, pieces) in [
            vec![floats(&[1, 2])],
            vec![opaque(&[3, 4])],
            vec![opaque(&[5]), floats(&[6, 7]), opaque(&[8])],
            vec![floats(&[9])],
        ]
        .iter()
        .enumerate()
        {
            let mut encoded = Vec::new();
            append(&labels(n), &mut encoded);
            batch.push_pieces(&encoded, pieces).unwrap();
        }
        batch.finish().unwrap()
    }

    /// Each piece: which series, the floats' times, the histograms' times.
    fn pieces_of(request: &Request) -> Vec<(String, Vec<i64>, Vec<i64>)> {
        let v1 = match request.version {
            Version::V1 => request.clone(),
            Version::V2 => {
                let [v1] = &translate::translated(request, Limits::default()).unwrap()[..] else { panic!() };
                v1.clone()
            }
        };
        let piece = |piece: TimeSeries| {
            let number = piece.labels.into_iter().find(|label| label.name == "n").unwrap().value;
            let histograms = piece.histograms.iter().map(|message| piece::moment(message).unwrap().0);
            (number, piece.samples.iter().map(|sample| sample.timestamp).collect(), histograms.collect())
        };
        decoded(&v1).into_iter().map(piece).collect()
    }

    fn both_versions(of: Request) -> [Request; 2] {
        let translated = translate::translated(&of, Limits::default()).unwrap();
        let [v2] = &translated[..] else { panic!("one request") };
        [of, v2.clone()]
    }

    #[test]
    fn a_series_in_pieces_is_one_and_histograms_are_counted_in_both_versions() {
        for whole in both_versions(mixed()) {
            assert_eq!((whole.samples, whole.histograms), (9, 4));
            assert_eq!((whole.first, whole.last), (Timestamp(1), Timestamp(9)));
            let [first, second] = halves(&whole, Some(0)).unwrap();
            assert_eq!(pieces_of(&first), [("1".to_owned(), vec![], vec![3, 4])]);
            let two = || "2".to_owned();
            let expected = [
                (two(), vec![], vec![5]),
                (two(), vec![6, 7], vec![]),
                (two(), vec![], vec![8]),
                ("3".to_owned(), vec![9], vec![]),
            ];
            assert_eq!(pieces_of(&second), expected);
            assert_eq!((second.samples, second.histograms), (5, 2));
            let ends = ends(&whole).unwrap();
            let times: Vec<_> =
                pieces_of(&ends).into_iter().map(|(_, floats, opaque)| (floats, opaque)).collect();
            let expected = [(vec![2], vec![]), (vec![], vec![4]), (vec![], vec![8]), (vec![9], vec![])];
            assert_eq!(times, expected);
        }
    }

    #[test]
    fn without_its_histograms_a_request_has_its_floats() {
        for whole in both_versions(mixed()) {
            let Stripped { rest, example } = without_histograms(&whole).unwrap();
            let rest = rest.unwrap();
            assert_eq!((rest.version, rest.samples, rest.histograms), (whole.version, 5, 0));
            let expected = [("0", vec![1, 2]), ("2", vec![6, 7]), ("3", vec![9])];
            let expected = expected.map(|(n, floats)| (n.to_owned(), floats, vec![]));
            assert_eq!(pieces_of(&rest), expected);
            assert_eq!(read_labels(&example).unwrap(), labels(1));
            assert!(without_histograms(&rest).is_none());
            let [_, opaque] = halves(&halves(&whole, None).unwrap()[0], None).unwrap();
            assert!(without_histograms(&opaque).unwrap().rest.is_none(), "it has nothing else");
        }
    }

    proptest! {
        #[test]
        fn both_halves_are_the_whole(series in 2_usize..40, samples in 1_usize..4) {
            let whole = request(series, samples);
            let [first, second] = halves(&whole, None).unwrap();
            prop_assert_eq!(first.samples + second.samples, whole.samples);
            prop_assert_eq!(first.raw_bytes + second.raw_bytes, whole.raw_bytes);
            prop_assert_eq!(first.first.min(second.first), whole.first);
            prop_assert_eq!(first.last.max(second.last), whole.last);
            prop_assert_eq!(decoded(&first).len(), series / 2);
            let both: Vec<_> = decoded(&first).into_iter().chain(decoded(&second)).collect();
            prop_assert_eq!(both, decoded(&whole));
        }
    }
}
