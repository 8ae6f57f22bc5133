//! What is read of chunks of native histograms, written by a server and by a writer of our own, and what is refused.

use proptest::prelude::*;
use prost::Message as _;

use super::super::Run;
use super::*;
use crate::model::Timestamp;

/// `prometheus.Histogram`, as prost reads it.
#[derive(Clone, PartialEq, prost::Message)]
struct Message {
    #[prost(uint64, optional, tag = "1")]
    count_int: Option<u64>,
    #[prost(fixed64, optional, tag = "2")]
    count_float: Option<u64>,
    #[prost(fixed64, tag = "3")]
    sum: u64,
    #[prost(sint32, tag = "4")]
    schema: i32,
    #[prost(fixed64, tag = "5")]
    zero_threshold: u64,
    #[prost(uint64, optional, tag = "6")]
    zero_int: Option<u64>,
    #[prost(fixed64, optional, tag = "7")]
    zero_float: Option<u64>,
    #[prost(message, repeated, tag = "8")]
    negative_spans: Vec<Span>,
    #[prost(sint64, repeated, tag = "9")]
    negative_deltas: Vec<i64>,
    #[prost(fixed64, repeated, tag = "10")]
    negative_counts: Vec<u64>,
    #[prost(message, repeated, tag = "11")]
    positive_spans: Vec<Span>,
    #[prost(sint64, repeated, tag = "12")]
    positive_deltas: Vec<i64>,
    #[prost(fixed64, repeated, tag = "13")]
    positive_counts: Vec<u64>,
    #[prost(int32, tag = "14")]
    reset_hint: i32,
    #[prost(int64, tag = "15")]
    timestamp: i64,
    #[prost(fixed64, repeated, tag = "16")]
    custom_values: Vec<u64>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct Span {
    #[prost(sint32, tag = "1")]
    offset: i32,
    #[prost(uint32, tag = "2")]
    length: u32,
}

const EVER: Window = Window { since: Timestamp(i64::MIN), until: Timestamp(i64::MAX) };

/// The histograms of a chunk, and how many were too large.
fn read_in(data: &[u8], kind: Kind, window: Window) -> Result<(Vec<Message>, usize), Unreadable> {
    let mut columns = Columns::default();
    let too_large = chunk(data, kind, &window, &mut columns)?;
    let Run { at, values, histograms } = columns.run();
    let messages: Vec<Message> =
        histograms.iter().map(|histogram| Message::decode(&*histogram.message).unwrap()).collect();
    for (place, message) in messages.iter().enumerate() {
        assert_eq!((at[place], values[place].to_bits()), (message.timestamp, message.sum));
        assert_eq!(told(&histograms[place].message).unwrap().0, message.timestamp);
    }
    assert_eq!(at.len(), messages.len());
    Ok((messages, too_large))
}

fn read(data: &[u8], kind: Kind) -> Result<Vec<Message>, Unreadable> {
    read_in(data, kind, EVER).map(|(messages, _)| messages)
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// What the target of the chunks below showed at its `n`-th scrape.
fn shown(n: u64) -> Message {
    Message {
        count_int: Some(12 + 2 * n),
        sum: (1.5 * n as f64).to_bits(),
        schema: 1,
        zero_threshold: 0.001_f64.to_bits(),
        zero_int: Some(2),
        positive_spans: vec![Span { offset: 0, length: 2 }],
        positive_deltas: vec![5 + n as i64, -2],
        timestamp: 1_795_976_273_386 + 1_000 * n as i64,
        ..Message::default()
    }
}

#[test]
fn chunks_that_prometheus_2_42_sent_are_what_its_target_showed() {
    let whole = "000400ff3f50624dd2f1a9fc8c647f0000d1144390e963a47ff000000000000186b78fa24c25fff886b13418bdff88000000000008";
    let end = Message {
        count_int: Some(0),
        zero_int: Some(0),
        sum: STALE_NAN_BITS,
        timestamp: 1_795_976_277_386,
        ..Message::default()
    };
    let expected = [shown(1), shown(2), shown(3), end.clone()];
    assert_eq!(read(&bytes(whole), Kind::Whole).unwrap(), expected);
    let gauge = "0003c0ff3f50624dd2f1a9fc8c647f0000d1144390e963a47ff000000000000186b78fa24c25fff886b134";
    let expected = [1, 2, 3].map(|n| Message { reset_hint: 3, ..shown(n) });
    assert_eq!(read(&bytes(gauge), Kind::Whole).unwrap(), expected);
    let ended = "000100001fc000344510e5b143ff80000000000010";
    assert_eq!(read(&bytes(ended), Kind::Whole).unwrap(), [end]);
    let float = "000400ff3f50624dd2f1a9fc8c647f0000d1144390e9201380000000000020000000000000001ffc000000000000200a800000000000200880000000000078fa3607d84bfffb02c8b589b2613e015e1078bdff88000000000008";
    let expected = [1.0, 2.0, 3.0].map(|n: f64| Message {
        count_int: None,
        count_float: Some((10.5 + n).to_bits()),
        zero_int: None,
        zero_float: Some(2.0_f64.to_bits()),
        positive_deltas: Vec::new(),
        positive_counts: vec![(4.25 + n).to_bits(), 4.25_f64.to_bits()],
        ..shown(n as u64)
    });
    let read = read(&bytes(float), Kind::Float).unwrap();
    assert_eq!(read[..3], expected);
    assert_eq!((read[3].sum, read[3].count_float, read[3].zero_float), (STALE_NAN_BITS, Some(0), Some(0)));
}

#[test]
fn only_what_is_of_the_window_is_read() {
    let gauge = "0003c0ff3f50624dd2f1a9fc8c647f0000d1144390e963a47ff000000000000186b78fa24c25fff886b134";
    let window = Window { since: Timestamp(1_795_976_274_386), until: Timestamp(1_795_976_275_386) };
    let (messages, _) = read_in(&bytes(gauge), Kind::Whole, window).unwrap();
    assert_eq!(messages, [Message { reset_hint: 3, ..shown(2) }]);
}

/// Bits, written as Prometheus writes them.
#[derive(Default)]
struct Writer(Vec<bool>);

impl Writer {
    fn bits(&mut self, number: u64, count: u32) {
        self.0.extend((0..count).rev().map(|bit| number >> bit & 1 == 1));
    }

    fn prefixed(&mut self, number: u64, fits: impl Fn(u32) -> bool) {
        let widths = [3, 6, 9, 12, 18, 25, 56];
        if number == 0 {
            return self.bits(0, 1);
        }
        match widths.iter().position(|width| fits(*width)) {
            Some(at) => {
                // So many ones, and a zero.
                self.bits((1 << (at + 2)) - 2, at as u32 + 2);
                self.bits(number & ((1 << widths[at]) - 1), widths[at]);
            }
            None => {
                self.bits(0xff, 8);
                self.bits(number, 64);
            }
        }
    }

    fn unsigned(&mut self, number: u64) {
        self.prefixed(number, |width| number < 1 << width);
    }

    fn signed(&mut self, number: i64) {
        self.prefixed(number as u64, |width| -(1 << (width - 1)) < number && number <= 1 << (width - 1));
    }

    /// Always with new bounds, which is one way of writing it.
    fn changed(&mut self, before: u64, bits: u64) {
        let changed = before ^ bits;
        if changed == 0 {
            return self.bits(0, 1);
        }
        let (leading, trailing) = (changed.leading_zeros().min(31), changed.trailing_zeros());
        let meaningful = 64 - leading - trailing;
        self.bits(0b11, 2);
        self.bits(u64::from(leading), 5);
        self.bits(u64::from(meaningful % 64), 6);
        self.bits(changed >> trailing, meaningful);
    }

    fn layout(&mut self, first: &Message) {
        self.bits(255, 8);
        self.bits(first.zero_threshold, 64);
        self.signed(first.schema.into());
        for spans in [&first.positive_spans, &first.negative_spans] {
            self.unsigned(spans.len() as u64);
            for Span { offset, length } in spans {
                self.unsigned((*length).into());
                self.signed((*offset).into());
            }
        }
        if first.schema == -53 {
            self.unsigned(first.custom_values.len() as u64);
            for bound in &first.custom_values {
                let value = f64::from_bits(*bound);
                let thousandths = (value * 1000.0).round();
                let is_exact = thousandths / 1000.0 == value && value.is_sign_positive();
                match is_exact && thousandths <= 33_554_430.0 {
                    true => self.unsigned(thousandths as u64 + 1),
                    false => {
                        self.bits(0, 1);
                        self.bits(*bound, 64);
                    }
                }
            }
        }
    }

    fn chunk(header: u8, messages: &[Message]) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.layout(&messages[0]);
        let whole = |message: &Message| {
            let counts = [message.count_int.unwrap() as i64, message.zero_int.unwrap() as i64];
            let buckets = message.positive_deltas.iter().chain(&message.negative_deltas).copied();
            counts.into_iter().chain(buckets).collect::<Vec<i64>>()
        };
        let is_float = messages[0].count_float.is_some();
        for (n, message) in messages.iter().enumerate() {
            let times: Vec<i64> = (n.saturating_sub(2)..=n).rev().map(|at| messages[at].timestamp).collect();
            let time = match times[..] {
                [first] => first,
                [now, before] if n == 1 => now - before,
                [now, before, long_before] => (now - before) - (before - long_before),
                _ => unreachable!(),
            };
            writer.signed(time);
            if is_float {
                let before = (n > 0).then(|| &messages[n - 1]);
                let mut value = |of: &dyn Fn(&Message) -> u64| match before {
                    None => writer.bits(of(message), 64),
                    Some(before) => writer.changed(of(before), of(message)),
                };
                value(&|message| message.count_float.unwrap());
                value(&|message| message.zero_float.unwrap());
                value(&|message| message.sum);
                (0..message.positive_counts.len())
                    .for_each(|at| value(&|message| message.positive_counts[at]));
                (0..message.negative_counts.len())
                    .for_each(|at| value(&|message| message.negative_counts[at]));
                continue;
            }
            let all: Vec<Vec<i64>> = (n.saturating_sub(2)..=n).rev().map(|at| whole(&messages[at])).collect();
            let number = |at: usize| match &all[..] {
                [first] => first[at],
                [now, before] => now[at].wrapping_sub(before[at]),
                [now, before, long_before] => {
                    now[at].wrapping_sub(before[at]).wrapping_sub(before[at].wrapping_sub(long_before[at]))
                }
                _ => unreachable!(),
            };
            for at in 0..2 {
                if n == 0 { writer.unsigned(number(at) as u64) } else { writer.signed(number(at)) }
            }
            if n == 0 {
                writer.bits(message.sum, 64)
            } else {
                writer.changed(messages[n - 1].sum, message.sum)
            }
            (2..all[0].len()).for_each(|at| writer.signed(number(at)));
        }
        let mut bytes = (messages.len() as u16).to_be_bytes().to_vec();
        bytes.push(header);
        bytes.extend(writer.0.chunks(8).map(|bits| {
            bits.iter().enumerate().fold(0_u8, |byte, (at, bit)| byte | u8::from(*bit) << (7 - at))
        }));
        bytes
    }
}

fn any_spans() -> impl Strategy<Value = Vec<Span>> {
    let span = (-300..3_000_i32, 0..6_u32).prop_map(|(offset, length)| Span { offset, length });
    prop::collection::vec(span, 0..4)
}

/// Histograms of one chunk: alike in layout, at growing times.
fn any_chunk() -> impl Strategy<Value = Vec<Message>> {
    let bound = prop_oneof![(0..40_000_000_u32).prop_map(|n| f64::from(n) / 1000.0), any::<f64>()];
    let bounds = prop::collection::vec(bound.prop_map(f64::to_bits), 1..6);
    let schema = prop_oneof![3 => -4..=8_i32, 1 => Just(-53)];
    let layout = (any::<bool>(), schema, any_spans(), any_spans(), any::<u64>(), bounds);
    layout.prop_flat_map(|(is_float, schema, positive_spans, negative_spans, zero_threshold, bounds)| {
        let count = |spans: &[Span]| spans.iter().map(|span| span.length as usize).sum::<usize>();
        let (positive, negative) = (count(&positive_spans), count(&negative_spans));
        let numbers =
            prop::collection::vec(any::<i64>().prop_map(|n| n >> (n & 63)), positive + negative + 3);
        prop::collection::vec((numbers, 1..5_000_000_i64), 1..12).prop_map(move |all| {
            let mut time = -7_000_000;
            let one = |(numbers, step): (Vec<i64>, i64)| {
                time += step;
                let bits = |at: usize| numbers[at] as u64;
                let (first, then) = numbers[3..].split_at(positive);
                let halves = |some: &[i64], is_wanted: bool| {
                    if is_wanted { some.to_vec() } else { Vec::new() }
                };
                let as_bits = |some: Vec<i64>| some.into_iter().map(|n| n as u64).collect::<Vec<u64>>();
                Message {
                    count_int: (!is_float).then(|| bits(0)),
                    count_float: is_float.then(|| bits(0)),
                    sum: if bits(1) == STALE_NAN_BITS { 0 } else { bits(1) },
                    schema,
                    zero_threshold,
                    zero_int: (!is_float).then(|| bits(2)),
                    zero_float: is_float.then(|| bits(2)),
                    negative_spans: negative_spans.clone(),
                    negative_deltas: halves(then, !is_float),
                    negative_counts: as_bits(halves(then, is_float)),
                    positive_spans: positive_spans.clone(),
                    positive_deltas: halves(first, !is_float),
                    positive_counts: as_bits(halves(first, is_float)),
                    reset_hint: 0,
                    timestamp: time,
                    custom_values: if schema == -53 { bounds.clone() } else { Vec::new() },
                }
            };
            all.into_iter().map(one).collect()
        })
    })
}

fn kind(messages: &[Message]) -> Kind {
    if messages[0].count_float.is_some() { Kind::Float } else { Kind::Whole }
}

#[test]
fn a_layout_that_nobody_knows_is_no_answer_to_be_read() {
    let messages = [Message { schema: 53, count_int: Some(1), zero_int: Some(0), ..Message::default() }];
    assert_eq!(read(&Writer::chunk(0, &messages), Kind::Whole), Err(Unreadable::Unknown));
}

#[test]
fn more_buckets_than_a_chunk_has_bits_for_take_no_memory() {
    let mut writer = Writer::default();
    writer.bits(0, 8);
    writer.signed(0);
    writer.unsigned(2);
    for _ in 0..2 {
        writer.unsigned(u64::MAX);
        writer.signed(0);
    }
    writer.bits(0, 64);
    let mut data = vec![0, 1, 0];
    data.extend(
        writer.0.chunks(8).map(|bits| bits.iter().fold(0_u8, |byte, bit| byte << 1 | u8::from(*bit))),
    );
    assert_eq!(read(&data, Kind::Whole), Err(Unreadable::Broken(BREAKS_OFF)));
    assert_eq!(read(&data, Kind::Float), Err(Unreadable::Broken(BREAKS_OFF)));
}

#[test]
fn a_histogram_larger_than_any_may_be_is_left_out() {
    let of = |length: u32, timestamp| Message {
        count_int: Some(1),
        zero_int: Some(0),
        positive_spans: vec![Span { offset: 0, length }],
        positive_deltas: vec![1; length as usize],
        timestamp,
        ..Message::default()
    };
    let largest = HISTOGRAM_BYTES_MAX as u32 - 40;
    for (length, left_out) in [(largest, 0), (largest + 40, 2)] {
        let (messages, too_large) =
            read_in(&Writer::chunk(0, &[of(length, 1), of(length, 2)]), Kind::Whole, EVER).unwrap();
        assert_eq!((messages.len(), too_large), (2 - left_out, left_out));
    }
    assert_eq!(copied(&[0; HISTOGRAM_BYTES_MAX]).map(|message| message.len()), Some(HISTOGRAM_BYTES_MAX));
    assert_eq!(copied(&[0; HISTOGRAM_BYTES_MAX + 1]), None);
}

#[test]
fn a_layout_larger_than_any_message_is_not_even_read() {
    let mut writer = Writer::default();
    writer.bits(0, 8);
    writer.signed(0);
    writer.unsigned(1_000_000);
    for _ in 0..1_000_000 {
        writer.unsigned(0);
        writer.signed(0);
    }
    let mut data = vec![0xff, 0xff, 0];
    data.extend(
        writer.0.chunks(8).map(|bits| bits.iter().fold(0_u8, |byte, bit| byte << 1 | u8::from(*bit))),
    );
    for kind in [Kind::Whole, Kind::Float] {
        let (messages, too_large) = read_in(&data, kind, EVER).unwrap();
        assert_eq!((messages.len(), too_large), (0, 65_535));
    }
}

#[test]
fn histograms_that_are_too_large_one_by_one_are_too_many_together() {
    let length = HISTOGRAM_BYTES_MAX as u32;
    let of = |timestamp| Message {
        count_int: Some(1),
        zero_int: Some(0),
        positive_spans: vec![Span { offset: 0, length }],
        positive_deltas: vec![1; length as usize],
        timestamp,
        ..Message::default()
    };
    let messages: Vec<Message> = (1..600).map(of).collect();
    let data = Writer::chunk(0, &messages);
    assert!(matches!(read_in(&data, Kind::Whole, EVER), Err(Unreadable::Broken(_))));
}

proptest! {
    #[test]
    fn every_histogram_is_read_bit_for_bit(messages in any_chunk(), is_gauge: bool) {
        let data = Writer::chunk(if is_gauge { GAUGE_HEADER } else { 0b1000_0000 }, &messages);
        let hint = if is_gauge { 3 } else { 0 };
        let expected: Vec<Message> =
            messages.iter().map(|message| Message { reset_hint: hint, ..message.clone() }).collect();
        prop_assert_eq!(read(&data, kind(&messages)).unwrap(), expected);
    }

    #[test]
    fn what_breaks_off_is_refused(messages in any_chunk(), cut in any::<prop::sample::Index>()) {
        let data = Writer::chunk(0, &messages);
        let cut = &data[..cut.index(data.len())];
        prop_assert!(read(cut, kind(&messages)).is_err());
    }

    #[test]
    fn nonsense_is_refused_without_a_panic(data in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = (read(&data, Kind::Whole), read(&data, Kind::Float));
    }
}
