//! What is read of answers to remote read, in both forms, and what is refused.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::wire::{append_bytes, append_varint};
use super::*;
use crate::model::STALE_NAN_BITS;

type Found = Vec<(String, Vec<(i64, u64)>, usize)>;

/// A plain list of what was found, pieces of one series joined.
#[derive(Default)]
struct List(Found);

impl Runs for List {
    fn run(&mut self, labels: &[u8], samples: Run<'_>, histograms: usize) -> Result<(), Refusal> {
        let labels = named(labels);
        let samples = samples.at.iter().copied().zip(samples.values.iter().map(|value| value.to_bits()));
        match self.0.last_mut().filter(|last| last.0 == labels) {
            Some((_, all, opaque)) => {
                all.extend(samples);
                *opaque += histograms;
            }
            None => self.0.push((labels, samples.collect(), histograms)),
        }
        Ok(())
    }
}

/// `a=1,b=2`
fn named(labels: &[u8]) -> String {
    let mut fields = Fields::new(labels);
    let mut names = Vec::new();
    while let Some((_, Value::Bytes(label))) = fields.next().unwrap() {
        let mut parts = Fields::new(label);
        let mut texts = Vec::new();
        while let Some((_, Value::Bytes(text))) = parts.next().unwrap() {
            texts.push(str::from_utf8(text).unwrap());
        }
        names.push(texts.join("="));
    }
    names.join(",")
}

fn labels(name: &str) -> Vec<u8> {
    let (mut label, mut all) = (Vec::new(), Vec::new());
    append_bytes(1, b"n", &mut label);
    append_bytes(2, name.as_bytes(), &mut label);
    append_bytes(1, &label, &mut all);
    all
}

fn message(field: u32, parts: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut message = Vec::new();
    parts.into_iter().for_each(|part| append_bytes(field, &part, &mut message));
    message
}

fn sample((at, bits): (i64, u64)) -> Vec<u8> {
    let mut sample = vec![1 << 3 | 1];
    sample.extend(bits.to_le_bytes());
    append_varint(2, at as u64, &mut sample);
    sample
}

fn plain(series: &[(&str, Vec<(i64, u64)>)]) -> Vec<u8> {
    let all = series.iter().map(|(name, samples)| {
        let mut series = labels(name);
        series.extend(message(2, samples.iter().copied().map(sample)));
        series
    });
    message(1, [message(1, all)])
}

fn read(response: &[u8], window: Window) -> Result<Found, Cause> {
    let mut list = List::default();
    samples(response, window, Silence::Nothing, &mut list)?;
    // In turns with other work it is the same.
    let (mut turns, mut parts) = (List::default(), Samples::new(response, window, Silence::Nothing));
    while parts.read(1, &mut turns)? {}
    assert_eq!(turns.0, list.0);
    Ok(list.0)
}

fn window(since: i64, until: i64) -> Window {
    Window { since: Timestamp(since), until: Timestamp(until) }
}

const EVER: (i64, i64) = (i64::MIN, i64::MAX);

/// Bits, written as Prometheus writes them.
#[derive(Default)]
struct Writer(Vec<bool>);

impl Writer {
    fn bits(&mut self, number: u64, count: u32) {
        self.0.extend((0..count).rev().map(|bit| number >> bit & 1 == 1));
    }

    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.bits(number & 0x7f | 0x80, 8);
            number >>= 7;
        }
        self.bits(number, 8);
    }

    fn value(&mut self, before: &mut (u64, u32, u32), bits: u64) {
        let (last, leading, trailing) = *before;
        let changed = last ^ bits;
        before.0 = bits;
        if changed == 0 {
            return self.bits(0, 1);
        }
        let (new_leading, new_trailing) = (changed.leading_zeros().min(31), changed.trailing_zeros());
        if leading != u32::MAX && new_leading >= leading && new_trailing >= trailing {
            self.bits(0b10, 2);
            return self.bits(changed >> trailing, 64 - leading - trailing);
        }
        let meaningful = 64 - new_leading - new_trailing;
        self.bits(0b11, 2);
        self.bits(u64::from(new_leading), 5);
        self.bits(u64::from(meaningful % 64), 6);
        self.bits(changed >> new_trailing, meaningful);
        (before.1, before.2) = (new_leading, new_trailing);
    }

    fn step(&mut self, change: i64) {
        let fits = |width: u32| -(1 << (width - 1)) < change && change <= 1 << (width - 1);
        let masked = |width: u32| change as u64 & (u64::MAX >> (64 - width));
        match change {
            0 => self.bits(0, 1),
            _ if fits(14) => {
                self.bits(0b10, 2);
                self.bits(masked(14), 14);
            }
            _ if fits(17) => {
                self.bits(0b110, 3);
                self.bits(masked(17), 17);
            }
            _ if fits(20) => {
                self.bits(0b1110, 4);
                self.bits(masked(20), 20);
            }
            _ => {
                self.bits(0b1111, 4);
                self.bits(change as u64, 64);
            }
        }
    }

    fn chunk(samples: &[(i64, u64)]) -> Vec<u8> {
        let mut writer = Writer::default();
        let (mut time, mut delta, mut value) = (0, 0, (0, u32::MAX, 0));
        for (n, (at, bits)) in samples.iter().enumerate() {
            match n {
                0 => {
                    writer.varint((at << 1 ^ at >> 63) as u64);
                    writer.bits(*bits, 64);
                    value.0 = *bits;
                }
                1 => {
                    delta = at - time;
                    writer.varint(delta as u64);
                    writer.value(&mut value, *bits);
                }
                _ => {
                    let step = at - time;
                    writer.step(step - delta);
                    delta = step;
                    writer.value(&mut value, *bits);
                }
            }
            time = *at;
        }
        let mut bytes = (samples.len() as u16).to_be_bytes().to_vec();
        bytes.extend(writer.0.chunks(8).map(|bits| {
            bits.iter().enumerate().fold(0_u8, |byte, (at, bit)| byte | u8::from(*bit) << (7 - at))
        }));
        bytes
    }
}

fn framed(message: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    // Prefixed with its length, as a field is behind its key.
    append_bytes(1, message, &mut frame);
    frame.remove(0);
    frame.truncate(frame.len() - message.len());
    frame.extend(frames::castagnoli(message).to_be_bytes());
    frame.extend(message);
    frame
}

/// A frame for every piece of a series.
fn stream(pieces: &[(&str, Vec<(i64, u64)>)]) -> Vec<u8> {
    let frames = pieces.iter().map(|(name, samples)| {
        let chunks = samples.chunks(3).map(|samples| {
            let mut chunk = Vec::new();
            append_varint(3, 1, &mut chunk);
            append_bytes(4, &Writer::chunk(samples), &mut chunk);
            chunk
        });
        let mut series = labels(name);
        series.extend(message(2, chunks));
        framed(&message(1, [series]))
    });
    frames.flatten().collect()
}

fn read_stream(body: &[u8], size: usize, window: Window) -> Result<Found, Cause> {
    let (mut list, mut frames) = (List::default(), Frames::new(window));
    for chunk in body.chunks(size) {
        frames.feed(chunk, &mut list)?;
    }
    frames.finish().map(|()| list.0)
}

#[test]
fn every_bit_of_a_value_is_kept_and_nothing_outside_the_window() {
    let one = 1.0_f64.to_bits();
    let samples = vec![(999, one), (1_000, one), (1_001, STALE_NAN_BITS), (2_000, u64::MAX), (2_001, one)];
    let (series, window) = ([("x", samples)], window(1_000, 2_000));
    let expected = vec![("n=x".to_owned(), vec![(1_001, STALE_NAN_BITS), (2_000, u64::MAX)], 0)];
    assert_eq!(read(&plain(&series), window).unwrap(), expected);
    assert_eq!(read_stream(&stream(&series), 7, window).unwrap(), expected);
}

#[test]
fn the_checksum_is_castagnolis() {
    assert_eq!(frames::castagnoli(b"123456789"), 0xe306_9283);
}

#[test]
fn chunks_that_overlap_are_one_series_in_order() {
    let series = [("x", vec![(3, 1), (4, 2), (5, 3), (1, 4), (3, 5), (6, 6)])];
    let expected = vec![("n=x".to_owned(), vec![(1, 4), (3, 1), (4, 2), (5, 3), (6, 6)], 0)];
    let ever = window(EVER.0, EVER.1);
    assert_eq!(read_stream(&stream(&series), 100, ever).unwrap(), expected);
    assert_eq!(read(&plain(&series), ever).unwrap(), expected);
}

#[test]
fn what_breaks_off_or_was_changed_is_no_answer() {
    let ever = window(EVER.0, EVER.1);
    let whole = stream(&[("x", vec![(1, 1), (2, 2)]), ("y", vec![(1, 1)])]);
    for end in 1..whole.len() {
        let is_boundary = end == stream(&[("x", vec![(1, 1), (2, 2)])]).len();
        assert_eq!(read_stream(&whole[..end], 5, ever).is_ok(), is_boundary, "{end}: HTTP tells of that one");
    }
    let mut changed = whole.clone();
    *changed.last_mut().unwrap() ^= 1;
    assert!(matches!(read_stream(&changed, 9, ever), Err(Cause::Malformed { .. })));
    let whole = plain(&[("x", vec![(1, 1)])]);
    for end in 0..whole.len() {
        assert!(read(&whole[..end], ever).is_err(), "{end}");
    }
    assert!(read(&[whole.clone(), whole].concat(), ever).is_err(), "two results");
}

/// Native histograms by the time of each.
#[derive(Default)]
struct Opaque(Vec<(i64, Vec<u8>)>, usize);

impl Runs for Opaque {
    fn run(&mut self, _: &[u8], samples: Run<'_>, left_out: usize) -> Result<(), Refusal> {
        self.0.extend(samples.histograms.iter().map(|histogram| (histogram.at, histogram.message.to_vec())));
        self.1 += left_out;
        Ok(())
    }
}

fn histogram(at: i64, more: &[u8]) -> Vec<u8> {
    let mut histogram = vec![3 << 3 | 1];
    histogram.extend(2.5_f64.to_le_bytes());
    append_varint(15, at as u64, &mut histogram);
    append_bytes(8, more, &mut histogram);
    histogram
}

#[test]
fn native_histograms_come_as_they_are_in_order_of_time_with_the_floats_beside_them() {
    let mut series = labels("x");
    for at in [2, 5] {
        append_bytes(2, &sample((at, 1)), &mut series);
    }
    for at in [1, 3, 4, 9] {
        append_bytes(4, &histogram(at, &[at as u8; 20]), &mut series);
    }
    append_bytes(4, &histogram(6, &vec![0; HISTOGRAM_BYTES_MAX]), &mut series);
    let response = message(1, [message(1, [series])]);
    let sum = 2.5_f64.to_bits();
    let expected = vec![(2, 1), (3, sum), (4, sum), (5, 1)];
    assert_eq!(read(&response, window(1, 8)).unwrap(), [("n=x".to_owned(), expected, 1)]);
    let mut opaque = Opaque::default();
    assert_eq!(samples(&response, window(1, 8), Silence::Nothing, &mut opaque).unwrap(), 0);
    assert_eq!(opaque.0, [3, 4].map(|at| (at, histogram(at, &[at as u8; 20]))));
}

#[test]
fn a_series_that_comes_with_nothing_at_all_is_told_of() {
    let response = message(1, [message(1, [labels("x"), labels("y")])]);
    for (silence, left_out) in [(Silence::Nothing, 0), (Silence::Histograms, 2)] {
        let mut opaque = Opaque::default();
        assert_eq!(samples(&response, window(1, 8), silence, &mut opaque).unwrap(), 2);
        assert_eq!(opaque.1, left_out);
    }
    let elsewhere = plain(&[("x", vec![(99, 1)])]);
    assert_eq!(samples(&elsewhere, window(1, 8), Silence::Nothing, &mut Opaque::default()).unwrap(), 0);
}

#[test]
fn a_run_is_cut_where_floats_and_histograms_meet_and_where_anybody_likes() {
    let at = [1, 2, 3, 4, 5, 6];
    let of = |at| Histogram { at, message: Bytes::new() };
    let histograms = [of(1), of(2), of(5)];
    let run = Run { at: &at, values: &[0.0; 6], histograms: &histograms };
    let shown = |run: Run<'_>| (run.at.to_vec(), run.histograms.iter().map(|h| h.at).collect::<Vec<_>>());
    let pieces: Vec<_> = run.pieces().map(shown).collect();
    let expected = [(vec![1, 2], vec![1, 2]), (vec![3, 4], vec![]), (vec![5], vec![5]), (vec![6], vec![])];
    assert_eq!(pieces, expected);
    let chunks: Vec<_> = run.chunks(4).map(shown).collect();
    assert_eq!(chunks, [(vec![1, 2, 3, 4], vec![1, 2]), (vec![5, 6], vec![5])]);
    let opaque: Vec<bool> = run.samples().map(|sample| sample.histogram.is_some()).collect();
    assert_eq!(opaque, [true, true, false, false, true, false]);
    assert_eq!(shown(run.slice(3..3)), (vec![], vec![]));
}

proptest! {
    #[test]
    fn both_forms_say_the_same(
        series in prop::collection::btree_map("[a-z]{1,3}", prop::collection::btree_map(-5_000_000_i64..5_000_000_000_000, any::<u64>(), 1..20), 0..5),
        size in 1_usize..300,
        bounds in (any::<i32>(), 0_i64..9_000_000_000),
    ) {
        let series: Vec<(&str, Vec<(i64, u64)>)> =
            series.iter().map(|(name, samples)| (&**name, samples.iter().map(|(at, bits)| (*at, *bits)).collect())).collect();
        let since = i64::from(bounds.0);
        let window = window(since, since + bounds.1);
        let expected: Found = series
            .iter()
            .map(|(name, samples)| {
                let within = samples.iter().copied().filter(|(at, _)| since < *at && *at <= since + bounds.1);
                (format!("n={name}"), within.collect(), 0)
            })
            .collect();
        prop_assert_eq!(&read(&plain(&series), window).unwrap(), &expected);
        prop_assert_eq!(&read_stream(&stream(&series), size, window).unwrap(), &expected);
    }

    #[test]
    fn nonsense_is_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), size in 1_usize..50) {
        let ever = window(EVER.0, EVER.1);
        let _ = read(&bytes, ever);
        let _ = read_stream(&bytes, size, ever);
        let _ = read_stream(&framed(&bytes), size, ever);
        let mut found = BTreeMap::new();
        let _ = chunk::xor(&bytes, |at, value| _ = found.insert(at, value.to_bits()));
    }
}
