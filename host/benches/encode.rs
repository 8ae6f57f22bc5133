//! Encoding a tick: from encoded labels and samples to the bodies of remote-write requests, of both versions.
//!
//! The floor is the compression that the protocol asks for, of the same bytes in the same pieces; those of 1.0, which has more.

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use common::response::metric;
use common::{Group, ROUNDS};
use sluice::deliver::encode::{Batch, Limits, Overflow, Request, append_labels};
use sluice::deliver::v2::{self, Dictionary, Key, Name};
use sluice::model::metadata::{About, Metadata, MetricType};
use sluice::model::{HonorLabels, Labels, Stamped, Stamps, Timestamp};

const SERIES: usize = 100_000;

const TIMESTAMP: Timestamp = Timestamp(1_763_800_000_000);

fn main() {
    let series: Vec<Stamped> = (0..SERIES).map(stamped).collect();
    let (labels, ends) = encode_all(&series);
    let values: Vec<f64> = (0..SERIES).map(|n| n as f64 * 17.25).collect();

    let mut batch = Batch::new(Limits::default());
    let requests = tick(&mut batch, &labels, &ends, &values);
    let raw: Vec<Vec<u8>> = requests.iter().map(decompressed).collect();
    let bytes = raw.iter().map(Vec::len).sum();
    let mut arena = Vec::new();
    let mut anew = Batch::new(Limits::default());
    let mut block = vec![0; snap::raw::max_compress_len(raw.iter().map(Vec::len).max().unwrap_or(0))];
    let mut compressor = snap::raw::Encoder::new();
    let metadata = metadata(&series);
    let (mut batch_v2, mut dictionary) = (v2::Batch::new(Limits::default()), Dictionary::default());
    let mut anew_v2 = v2::Batch::new(Limits::default());
    let requests_v2 = tick_v2(&mut batch_v2, &mut dictionary, &metadata, &labels, &ends, &values);
    print_sizes("1.0", &requests);
    print_sizes("2.0", &requests_v2);
    let raw_v2: Vec<Vec<u8>> = requests_v2.iter().map(decompressed).collect();
    let mut compressor_v2 = snap::raw::Encoder::new();
    let mut block_v2 = vec![0; snap::raw::max_compress_len(raw_v2.iter().map(Vec::len).max().unwrap_or(0))];
    let mut group = Group::new("encode", SERIES, bytes);

    group.floor("snap of the same bytes", || {
        raw.iter().map(|raw| compressor.compress(raw, &mut block).unwrap()).sum::<usize>()
    });
    group.case("steady: append and compress", || tick(&mut batch, &labels, &ends, &values));
    group.case("2.0, snap of the same bytes", || {
        raw_v2.iter().map(|raw| compressor_v2.compress(raw, &mut block_v2).unwrap()).sum::<usize>()
    });
    group.case("2.0, steady: append and compress", || {
        tick_v2(&mut batch_v2, &mut dictionary, &metadata, &labels, &ends, &values)
    });
    group.case("2.0, all new: labels read too", || {
        tick_v2(&mut anew_v2, &mut Dictionary::default(), &metadata, &labels, &ends, &values)
    });
    group.case("labels of new series alone", || {
        arena.clear();
        series.iter().for_each(|series| append_labels(series, &mut arena));
        arena.len()
    });
    group.case("all new: labels encoded too", || {
        let (labels, ends) = encode_all(&series);
        tick(&mut anew, &labels, &ends, &values)
    });
    group.run(ROUNDS);
}

/// All requests of one tick.
fn tick(batch: &mut Batch, labels: &[u8], ends: &[usize], values: &[f64]) -> Vec<Request> {
    let mut requests = Vec::new();
    each(labels, ends, |n, labels| {
        if batch.push(labels, TIMESTAMP, values[n]) == Err(Overflow::Full) {
            requests.extend(batch.finish());
            batch.push(labels, TIMESTAMP, values[n]).expect("an empty batch takes a series");
        }
    });
    requests.extend(batch.finish());
    requests
}

/// As [`tick`], in 2.0, with metadata of every metric.
fn tick_v2(
    batch: &mut v2::Batch,
    dictionary: &mut Dictionary,
    metadata: &[Arc<Metadata>],
    labels: &[u8],
    ends: &[usize],
    values: &[f64],
) -> Vec<Request> {
    let mut requests = Vec::new();
    dictionary.begin(metadata);
    each(labels, ends, |n, labels| {
        let key = Some(Key { slot: n as u32, stamp: 1, name: Name::Sources });
        if batch.push(dictionary, key, labels, TIMESTAMP, values[n]) == Err(Overflow::Full) {
            requests.extend(batch.finish());
            batch.push(dictionary, key, labels, TIMESTAMP, values[n]).expect("an empty batch takes a series");
        }
    });
    requests.extend(batch.finish());
    requests
}

fn metadata(series: &[Stamped]) -> Vec<Arc<Metadata>> {
    let about = |series: &Stamped| {
        let name = series.labels().metric_name()?.to_owned();
        let help = format!("What {name} is about, in as many words as people write").into();
        Some((name, About { kind: MetricType::Counter, help, unit: "".into() }))
    };
    vec![Arc::new(series.iter().filter_map(about).collect())]
}

#[allow(clippy::print_stdout)]
fn print_sizes(version: &str, requests: &[Request]) {
    let sum = |of: fn(&Request) -> usize| requests.iter().map(of).sum::<usize>() as f64 / SERIES as f64;
    let (raw, sent) = (sum(|request| request.raw_bytes), sum(|request| request.body.len()));
    println!("{version}: {raw:.1} bytes a sample, {sent:.1} on the wire, {} requests", requests.len());
}

fn each(labels: &[u8], ends: &[usize], mut visit: impl FnMut(usize, &[u8])) {
    let mut start = 0;
    for (n, end) in ends.iter().enumerate() {
        visit(n, &labels[start..*end]);
        start = *end;
    }
}

/// As a pipeline holds them: one arena.
fn encode_all(series: &[Stamped]) -> (Vec<u8>, Vec<usize>) {
    let (mut arena, mut ends) = (Vec::new(), Vec::with_capacity(series.len()));
    for series in series {
        append_labels(series, &mut arena);
        ends.push(arena.len());
    }
    (arena, ends)
}

fn stamped(number: usize) -> Stamped {
    let pairs: BTreeMap<String, String> = serde_json::from_str(&metric(number)).expect("a label object");
    let labels =
        Labels::from_pairs(pairs.iter().map(|(n, v)| (n.as_str(), v.as_str()))).expect("valid labels");
    let stamps = Stamps { labels: Labels::default(), honor: HonorLabels::Stamp, protected: Vec::new() };
    Stamped::vouch(labels, &stamps).expect("no stamps are owed")
}

fn decompressed(request: &Request) -> Vec<u8> {
    snap::raw::Decoder::new().decompress_vec(&request.body).expect("what was just compressed")
}
