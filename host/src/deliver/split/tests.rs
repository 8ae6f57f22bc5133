//! What a request is parted into, in both versions of the protocol.

use bytes::Bytes;
use proptest::prelude::*;

use super::super::encode::{Batch, Limits, append, read_labels};
use super::super::proto::TimeSeries;
use super::*;
use crate::deliver::piece;
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
    let opaque = |at: &[i64]| Piece::Histograms(at.iter().map(|at| (Timestamp(*at), message(*at))).collect());
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
