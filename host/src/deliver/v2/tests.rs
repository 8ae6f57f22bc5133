//! What is written by hand is what prost writes of the same series, and what is known of a series stays true.

use std::collections::HashMap;
use std::sync::Arc;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use prost::Message;

use super::translate::translated;
use super::*;
use crate::deliver::encode::{self, Limits, Overflow, REQUEST_BYTES_HARD_MAX, Request, append};
use crate::deliver::{Version, split};
use crate::model::metadata::{About, MetricType};
use crate::model::{Labels, Memory, Metadata, NORMAL_NAN_BITS, STALE_NAN_BITS, Timestamp};

type Samples = Vec<(Timestamp, f64)>;

fn encoded(labels: &Labels) -> Vec<u8> {
    let mut out = Vec::new();
    append(labels, &mut out);
    out
}

fn labels<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Labels {
    Labels::from_pairs(pairs).unwrap()
}

fn key(slot: usize, stamp: u64) -> Option<Key> {
    Some(Key { slot: slot as u32, stamp, name: Name::Sources })
}

fn raw(request: &Request) -> Vec<u8> {
    assert_eq!(request.version, Version::V2);
    let raw = snap::raw::Decoder::new().decompress_vec(&request.body).unwrap();
    assert_eq!(raw.len(), request.raw_bytes);
    raw
}

fn decode(request: &Request) -> proto::Request {
    proto::Request::decode(&*raw(request)).unwrap()
}

/// A series as a receiver reads it: labels; type, help and unit; samples, by bits.
type Came = (Labels, Option<(u32, String, String)>, Vec<(i64, u64)>);

fn read(request: &Request) -> Vec<Came> {
    let message = decode(request);
    let symbol = |at: u32| message.symbols[at as usize].as_str();
    let one = |series: &proto::TimeSeries| {
        let pairs = series.labels_refs.chunks(2).map(|pair| (symbol(pair[0]), symbol(pair[1])));
        let said = series
            .metadata
            .map(|said| (said.kind, symbol(said.help_ref).to_owned(), symbol(said.unit_ref).to_owned()));
        let samples = series.samples.iter().map(|s| (s.timestamp, s.value().to_bits())).collect();
        (labels(pairs), said, samples)
    };
    message.timeseries.iter().map(one).collect()
}

fn metadata(of: &[(&str, MetricType, &str, &str)]) -> Vec<Arc<Metadata>> {
    let about = |&(name, kind, help, unit): &(&str, MetricType, &str, &str)| {
        (name.to_owned(), About { kind, help: help.into(), unit: unit.into() })
    };
    vec![Arc::new(of.iter().map(about).collect())]
}

/// The same request, made of prost's messages: symbols in the order in which they are first used.
#[derive(Default)]
struct ByProst {
    message: proto::Request,
    places: HashMap<String, u32>,
}

impl ByProst {
    fn place(&mut self, text: &str) -> u32 {
        let ByProst { message: proto::Request { symbols, .. }, places } = self;
        *places.entry(text.to_owned()).or_insert_with(|| {
            symbols.push(text.to_owned());
            symbols.len() as u32 - 1
        })
    }

    fn push(&mut self, labels: &Labels, samples: &Samples, said: Option<&About>) {
        self.place("");
        let labels_refs = labels.iter().flat_map(|(n, v)| [n, v]).map(|text| self.place(text)).collect();
        let metadata = said.map(|About { kind, help, unit }| proto::Metadata {
            kind: *kind as u32,
            help_ref: self.place(help),
            unit_ref: self.place(unit),
        });
        let value = |value: f64| (value.to_bits() != 0).then_some(value);
        let samples =
            samples.iter().map(|(t, v)| proto::Sample { value: value(*v), timestamp: t.0 }).collect();
        self.message.timeseries.push(proto::TimeSeries {
            labels_refs,
            samples,
            histograms: Vec::new(),
            metadata,
        });
    }
}

fn any_labels() -> impl Strategy<Value = Labels> {
    (
        prop::sample::select(vec!["up", "jobs", "seconds_sum", "other"]),
        btree_map("[a-e]", "[a-eü]{1,3}", 0..5),
    )
        .prop_map(|(name, pairs)| {
            let pairs = pairs.iter().map(|(n, v)| (n.as_str(), v.as_str()));
            labels(pairs.chain([("__name__", name)]))
        })
}

fn any_long_labels() -> impl Strategy<Value = Labels> {
    btree_map(".{1,20}", ".{1,200}", 0..20).prop_map(|mut pairs| {
        pairs.insert("__name__".into(), "up".into());
        labels(pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())))
    })
}

fn any_samples() -> impl Strategy<Value = Samples> {
    let value = prop_oneof![
        any::<u64>(),
        Just(0),
        Just((-0.0_f64).to_bits()),
        Just(STALE_NAN_BITS),
        Just(NORMAL_NAN_BITS)
    ];
    btree_map(any::<i64>(), value, 1..4).prop_map(|samples| {
        samples.into_iter().map(|(t, bits)| (Timestamp(t), f64::from_bits(bits))).collect()
    })
}

/// What is said of the metrics of [`any_labels`]: a text that is a label's too, nothing, and an empty unit.
fn said() -> Vec<Arc<Metadata>> {
    metadata(&[
        ("up", MetricType::Gauge, "a", ""),
        ("jobs", MetricType::Unspecified, "help, and ünit", "jobs"),
        ("seconds", MetricType::Histogram, "", "seconds"),
    ])
}

proptest! {
    #[test]
    fn the_bytes_are_those_of_prost_tick_after_tick(
        series in vec(prop_oneof![any_labels(), any_long_labels()], 1..20),
        ticks in vec(vec(any_samples(), 20), 1..4),
    ) {
        let said = said();
        let (mut batch, mut dictionary) = (Batch::new(Limits::default()), Dictionary::default());
        for tick in &ticks {
            dictionary.begin(&said);
            let mut expected = ByProst::default();
            for (slot, (labels, samples)) in series.iter().zip(tick).enumerate() {
                let bytes = encoded(labels);
                match samples[..] {
                    [(at, value)] => batch.push(&mut dictionary, key(slot, 1), &bytes, at, value).unwrap(),
                    _ => batch.push_samples(&mut dictionary, key(slot, 1), &bytes, samples).unwrap(),
                }
                expected.push(labels, samples, said[0].of(labels.metric_name().unwrap()));
            }
            let request = batch.finish().unwrap();
            prop_assert_eq!(raw(&request), expected.message.encode_to_vec());
            let times = || tick.iter().take(series.len()).flatten().map(|(t, _)| *t);
            prop_assert_eq!((Some(request.first), Some(request.last)), (times().min(), times().max()));
            prop_assert_eq!(request.samples, times().count());
        }
    }

    #[test]
    fn requests_are_bounded_and_each_stands_alone(
        series in vec(any_labels(), 1..60),
        samples_max in 1_usize..8,
        bytes_max in 60_usize..400,
    ) {
        let limits = Limits { samples_max, bytes_max };
        let (mut batch, mut dictionary) = (Batch::new(limits), Dictionary::default());
        let mut requests = Vec::new();
        for (slot, labels) in series.iter().enumerate() {
            let mut push = |batch: &mut Batch| {
                batch.push(&mut dictionary, key(slot, 1), &encoded(labels), Timestamp(7), slot as f64)
            };
            if push(&mut batch) == Err(Overflow::Full) {
                prop_assert_eq!(push(&mut batch), Err(Overflow::Full), "full until it is finished");
                requests.extend(batch.finish());
                push(&mut batch).unwrap();
            }
        }
        requests.extend(batch.finish());
        let mut came = Vec::new();
        for request in &requests {
            prop_assert!(request.samples <= samples_max);
            prop_assert!(request.raw_bytes <= bytes_max || request.samples == 1);
            obeys(request);
            came.extend(read(request).into_iter().map(|(labels, ..)| labels));
        }
        prop_assert_eq!(came, series);
    }

    #[test]
    fn the_other_version_says_the_same_and_back_again(
        series in vec((any_labels(), any_samples()), 1..30),
        samples_max in 4_usize..100,
    ) {
        let mut batch = encode::Batch::new(Limits::default());
        for (labels, samples) in &series {
            batch.push_samples(&encoded(labels), samples).unwrap();
        }
        let v1 = batch.finish().unwrap();
        let limits = Limits { samples_max, ..Limits::default() };
        let v2 = translated(&v1, limits).unwrap();
        v2.iter().for_each(obeys);
        prop_assert!(v2.iter().all(|request| request.samples <= samples_max));
        prop_assert_eq!(v2.iter().map(|request| request.samples).sum::<usize>(), v1.samples);
        let back: Vec<_> = v2.iter().flat_map(|v2| translated(v2, limits).unwrap()).collect();
        let series_of = |requests: &[Request]| -> Vec<u8> {
            let raw = |one: &Request| snap::raw::Decoder::new().decompress_vec(&one.body).unwrap();
            requests.iter().flat_map(raw).collect()
        };
        prop_assert_eq!(series_of(&back), series_of(&[v1]), "byte for byte");
    }

    #[test]
    fn both_halves_are_the_whole(series in vec((any_labels(), any_samples()), 2..30)) {
        let (mut batch, mut dictionary) = (Batch::new(Limits::default()), Dictionary::default());
        dictionary.begin(&said());
        for (slot, (labels, samples)) in series.iter().enumerate() {
            batch.push_samples(&mut dictionary, key(slot, 1), &encoded(labels), samples).unwrap();
        }
        let whole = batch.finish().unwrap();
        let [first, second] = split::halves(&whole, None).unwrap();
        obeys(&first);
        obeys(&second);
        prop_assert_eq!(first.samples + second.samples, whole.samples);
        prop_assert_eq!(read(&first).len(), series.len() / 2);
        let both: Vec<_> = read(&first).into_iter().chain(read(&second)).collect();
        prop_assert_eq!(both, read(&whole));
        let names: Vec<_> = series.iter().map(|(labels, _)| encoded(labels)).collect();
        prop_assert_eq!(split::labels(&whole, 100), names, "they are named as in 1.0");
    }
}

/// What the specification asks of a request beside its series.
fn obeys(request: &Request) {
    let message = decode(request);
    assert_eq!(message.symbols[0], "");
    let mut distinct = message.symbols.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), message.symbols.len(), "no symbol twice");
    let mut used = vec![false; message.symbols.len()];
    used[0] = true;
    for series in &message.timeseries {
        assert_eq!(series.labels_refs.len() % 2, 0);
        assert!(!series.samples.is_empty());
        let said = series.metadata.into_iter().flat_map(|said| [said.help_ref, said.unit_ref]);
        series.labels_refs.iter().copied().chain(said).for_each(|at| used[at as usize] = true);
    }
    assert!(used.iter().all(|used| *used), "no symbol that nobody refers to");
}

#[test]
fn witnesses_carry_no_symbols_but_their_own() {
    let (mut batch, mut dictionary) = (Batch::new(Limits::default()), Dictionary::default());
    for n in 0..100 {
        let labels = labels([("__name__", "up"), ("n", &*n.to_string())]);
        batch.push(&mut dictionary, key(n, 1), &encoded(&labels), Timestamp(1), 1.0).unwrap();
    }
    let chosen = split::witnesses(&batch.finish().unwrap(), 8).unwrap();
    assert_eq!(chosen.len(), 8);
    chosen.iter().for_each(|(_, one)| obeys(one));
    assert!(chosen.iter().all(|(_, one)| one.samples == 1 && one.raw_bytes < 50));
}

/// What one series is read as, pushed with this key and these labels.
fn pushed(dictionary: &mut Dictionary, key: Option<Key>, labels: &Labels) -> (Labels, Option<u32>) {
    let mut batch = Batch::new(Limits::default());
    batch.push(dictionary, key, &encoded(labels), Timestamp(1), 1.0).unwrap();
    let (labels, said, _) = read(&batch.finish().unwrap()).remove(0);
    (labels, said.map(|(kind, ..)| kind))
}

#[test]
fn a_place_that_others_have_now_is_learned_anew() {
    let (a, b) = (labels([("__name__", "a")]), labels([("__name__", "b"), ("c", "d")]));
    let mut dictionary = Dictionary::default();
    assert_eq!(pushed(&mut dictionary, key(3, 1), &a).0, a);
    assert_eq!(pushed(&mut dictionary, key(3, 2), &b).0, b);
    assert_eq!(pushed(&mut dictionary, None, &a).0, a);
    assert_eq!(pushed(&mut dictionary, None, &b).0, b);
    assert_eq!(pushed(&mut dictionary, key(3, 2), &a).0, b, "the key says what it is");
    assert_eq!(pushed(&mut dictionary, key(4, 1), &a).0, a);
}

#[test]
fn metadata_is_said_of_what_is_certainly_the_sources_metric() {
    let up = labels([("__name__", "up")]);
    let mut dictionary = Dictionary::default();
    dictionary.begin(&[]);
    assert_eq!(pushed(&mut dictionary, key(0, 1), &up).1, None);
    assert!(dictionary.is_missing_metadata());
    let known = metadata(&[("up", MetricType::Gauge, "", "")]);
    dictionary.begin(&known);
    assert_eq!(pushed(&mut dictionary, key(0, 1), &up).1, Some(2), "it is known by now");
    assert!(!dictionary.is_missing_metadata());
    let renamed = Some(Key { slot: 1, stamp: 1, name: Name::Uncertain });
    assert_eq!(pushed(&mut dictionary, renamed, &up).1, None);
    assert_eq!(pushed(&mut dictionary, None, &up).1, None);
    assert!(!dictionary.is_missing_metadata(), "nobody could say anything of it");
    let changed = metadata(&[("up", MetricType::Counter, "", "")]);
    dictionary.begin(&changed);
    assert_eq!(pushed(&mut dictionary, key(0, 1), &up).1, Some(1));
}

#[test]
fn what_is_out_of_use_is_not_kept_for_ever() {
    let (mut batch, mut dictionary) = (Batch::new(Limits::default()), Dictionary::default());
    let mut most = 0;
    for tick in 0..40 {
        dictionary.begin(&[]);
        for slot in 0..1_000 {
            let labels = labels([("__name__", "up"), ("pod", &*format!("{tick}-{slot}"))]);
            batch.push(&mut dictionary, key(slot, tick + 1), &encoded(&labels), Timestamp(1), 1.0).unwrap();
        }
        obeys(&batch.finish().unwrap());
        most = most.max(dictionary.texts());
    }
    assert!(most < 10_000, "{most} of 40,000 texts at once");
}

#[test]
fn what_is_kept_is_paid_for_and_without_room_a_request_is_told_alone_and_of_no_metric() {
    let memory = Memory::new(1 << 30);
    let payer = memory.payer("web", 1 << 20);
    let mut dictionary = Dictionary::paid_by(payer.hold_own());
    let mut batch = Batch::new(Limits { samples_max: 100, ..Limits::default() });
    let said = metadata(&[("up", MetricType::Gauge, "", "")]);
    // One tick in requests of a hundred: how many of them carry what is said of the metric.
    let mut tick = |dictionary: &mut Dictionary| {
        dictionary.begin(&said);
        let mut carry = Vec::new();
        for slot in 0..1_000 {
            let labels = labels([("__name__", "up"), ("pod", &*format!("{slot}"))]);
            batch.push(dictionary, key(slot, 1), &encoded(&labels), Timestamp(1), 1.0).unwrap();
            if slot % 100 == 99 {
                let request = batch.finish().unwrap();
                obeys(&request);
                let read = read(&request);
                assert!(
                    read.iter().all(|(labels, ..)| labels.get("__name__") == Some("up")) && read.len() == 100
                );
                carry.push(read.iter().filter(|(_, said, _)| said.is_some()).count());
            }
        }
        dictionary.end();
        carry
    };
    assert_eq!(tick(&mut dictionary), [100; 10]);
    let held = payer.hold().of_namespace();
    assert!(held > 1_000 * 40, "{held}");
    assert_eq!((tick(&mut dictionary), payer.hold().of_namespace()), (vec![100; 10], held));
    // Others of the namespace need more: nothing of theirs is taken, and all is delivered.
    let mut tables = payer.hold_own();
    tables.take((1 << 20) - held).unwrap();
    let carry = tick(&mut dictionary);
    assert!(carry.last() == Some(&0) && carry[0] <= 100, "{carry:?}");
    assert_eq!(payer.hold().of_namespace(), tables.bytes());
    drop(tables);
    assert_eq!((tick(&mut dictionary), payer.hold().of_namespace()), (vec![100; 10], held));
    drop(dictionary);
    assert_eq!(payer.hold().of_namespace(), 0);
}

#[test]
fn what_is_too_large_for_any_request_leaves_no_trace() {
    let huge = labels([("__name__", &*"x".repeat(REQUEST_BYTES_HARD_MAX))]);
    let up = labels([("__name__", "up")]);
    let (mut batch, mut dictionary) = (Batch::new(Limits::default()), Dictionary::default());
    let mut push = |batch: &mut Batch, slot, labels: &Labels| {
        batch.push(&mut dictionary, key(slot, 1), &encoded(labels), Timestamp(1), 1.0)
    };
    assert_eq!(push(&mut batch, 0, &huge), Err(Overflow::Series));
    push(&mut batch, 1, &up).unwrap();
    assert_eq!(push(&mut batch, 0, &huge), Err(Overflow::Full), "not beside others, at any rate");
    let request = batch.finish().unwrap();
    obeys(&request);
    assert_eq!(read(&request).len(), 1);
    assert!(batch.finish().is_none());
}

#[test]
fn what_is_none_of_our_labels_is_no_series() {
    let (mut batch, mut dictionary) = (Batch::new(Limits::default()), Dictionary::default());
    for broken in [&b"nonsense"[..], &[10], &[10, 4, 10, 1, b'a'], &[10, 200]] {
        let pushed = batch.push(&mut dictionary, None, broken, Timestamp(1), 1.0);
        assert_eq!(pushed, Err(Overflow::Series), "{broken:?}");
    }
}
