//! What is written by hand reads back as prost reads it, and is what prost writes.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use prost::Message;

use super::super::proto::{self, WriteRequest};
use super::*;
use crate::model::{HonorLabels, Labels, NORMAL_NAN_BITS, STALE_NAN_BITS, Stamps};

fn stamped<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Stamped {
    let labels = Labels::from_pairs(pairs).unwrap();
    let stamps = Stamps { labels: Labels::default(), honor: HonorLabels::Stamp, protected: Vec::new() };
    Stamped::vouch(labels, &stamps).unwrap()
}

fn encoded(series: &Stamped) -> Vec<u8> {
    let mut out = Vec::new();
    append_labels(series, &mut out);
    out
}

fn raw(request: &Request) -> Vec<u8> {
    let raw = snap::raw::Decoder::new().decompress_vec(&request.body).unwrap();
    assert_eq!(raw.len(), request.raw_bytes);
    raw
}

fn decode(request: &Request) -> WriteRequest {
    WriteRequest::decode(&*raw(request)).unwrap()
}

fn by_prost(series: &Stamped, samples: &[(Timestamp, f64)]) -> proto::TimeSeries {
    let label = |(name, value): (&str, &str)| proto::Label { name: name.into(), value: value.into() };
    let sample =
        |(timestamp, value): &(Timestamp, f64)| proto::Sample { value: *value, timestamp: timestamp.0 };
    proto::TimeSeries {
        labels: series.labels().iter().map(label).collect(),
        samples: samples.iter().map(sample).collect(),
        histograms: Vec::new(),
    }
}

fn any_series() -> impl Strategy<Value = Stamped> {
    btree_map(".{1,20}", ".{0,200}", 0..20).prop_map(|mut pairs| {
        pairs.insert("__name__".into(), "up".into());
        stamped(pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())))
    })
}

fn any_samples() -> impl Strategy<Value = Vec<(Timestamp, f64)>> {
    btree_map(any::<i64>(), any::<u64>(), 1..5).prop_map(|samples| {
        samples.into_iter().map(|(t, bits)| (Timestamp(t), f64::from_bits(bits))).collect()
    })
}

proptest! {
    #[test]
    fn the_bytes_are_those_of_prost(
        tick in vec((any_series(), any_samples()), 1..20),
    ) {
        let mut batch = Batch::new(Limits::default());
        let mut expected = WriteRequest::default();
        for (series, samples) in &tick {
            match samples[..] {
                [(timestamp, value)] => batch.push(&encoded(series), timestamp, value).unwrap(),
                _ => batch.push_samples(&encoded(series), samples).unwrap(),
            }
            expected.timeseries.push(by_prost(series, samples));
        }
        let request = batch.finish().unwrap();
        prop_assert_eq!(raw(&request), expected.encode_to_vec());
        let timestamps = || tick.iter().flat_map(|(_, samples)| samples).map(|(t, _)| *t);
        prop_assert_eq!(Some(request.first), timestamps().min());
        prop_assert_eq!(Some(request.last), timestamps().max());
        prop_assert_eq!(request.samples, timestamps().count());
    }
}

#[test]
fn every_value_survives_bit_for_bit() {
    let labels = encoded(&stamped([("__name__", "up")]));
    let bits = [
        0,
        (-0.0f64).to_bits(),
        1,
        f64::MIN_POSITIVE.to_bits(),
        f64::INFINITY.to_bits(),
        f64::NEG_INFINITY.to_bits(),
        STALE_NAN_BITS,
        NORMAL_NAN_BITS,
        f64::MAX.to_bits(),
    ];
    let mut batch = Batch::new(Limits::default());
    for bits in bits {
        batch.push(&labels, Timestamp(0), f64::from_bits(bits)).unwrap();
    }
    let read = decode(&batch.finish().unwrap());
    assert_eq!(read.timeseries.iter().map(|s| s.samples[0].value.to_bits()).collect::<Vec<_>>(), bits);
}

#[test]
fn a_sample_of_today_takes_eighteen_bytes() {
    let sample = Sample::encode(Timestamp(1_800_000_000_000), 1.5);
    assert_eq!(sample.bytes().len(), 18);
    assert_eq!(Sample::encode(Timestamp(i64::MIN), f64::MAX).bytes().len(), SAMPLE_BYTES_MAX);
}

#[test]
fn a_tick_is_split_by_samples_and_by_bytes_and_keeps_its_order() {
    let names: Vec<String> = (0..100).map(|n| format!("metric_{n:03}")).collect();
    for limits in [
        Limits { samples_max: 7, ..Limits::default() },
        Limits { bytes_max: 300, ..Limits::default() },
        Limits { samples_max: 1, bytes_max: 0 },
    ] {
        let (mut batch, mut requests) = (Batch::new(limits), Vec::new());
        for name in &names {
            let labels = encoded(&stamped([("__name__", name.as_str())]));
            if batch.push(&labels, Timestamp(7), 1.0) == Err(Overflow::Full) {
                requests.extend(batch.finish());
                batch.push(&labels, Timestamp(7), 1.0).unwrap();
            }
        }
        requests.extend(batch.finish());
        assert!(requests.iter().all(|r| r.samples <= limits.samples_max));
        assert!(requests.iter().all(|r| r.samples == 1 || r.raw_bytes <= limits.bytes_max));
        let sent = requests.iter().flat_map(|r| decode(r).timeseries).map(|s| s.labels[0].value.clone());
        assert_eq!(sent.collect::<Vec<_>>(), names);
        assert_eq!(batch.finish(), None);
    }
}

#[test]
fn several_samples_of_one_series_stay_together() {
    let labels = encoded(&stamped([("__name__", "up")]));
    let samples = [(Timestamp(1), 1.0), (Timestamp(2), 2.0), (Timestamp(3), 3.0)];
    let mut batch = Batch::new(Limits { samples_max: 4, ..Limits::default() });
    batch.push_samples(&labels, &samples).unwrap();
    assert_eq!(batch.push_samples(&labels, &samples), Err(Overflow::Full));
    assert_eq!(batch.push_samples(&labels, &[]), Ok(()));
    assert_eq!(decode(&batch.finish().unwrap()).timeseries.len(), 1);
}

#[test]
fn a_series_that_no_request_can_hold_is_refused_for_good() {
    let huge = vec![0; REQUEST_BYTES_HARD_MAX];
    let mut batch = Batch::new(Limits::default());
    assert_eq!(batch.push(&huge, Timestamp(1), 1.0), Err(Overflow::Series));
    assert_eq!(batch.finish(), None);
}
