//! What a sample costs in filters that see samples, at every tick: one that does hardly more than look at each, which has a bound;
//! the same one in other languages, if they were built; the built-in ones. 100,000 series of twelve labels, in Wasm, one core, copies in
//! and out included; a filter that selects nothing shows what the boundary costs.
#![allow(clippy::print_stdout, missing_docs)]

mod common;
#[path = "../build/guests.rs"]
mod guests;

use std::hint::black_box;
use std::path::Path;

use common::examples::{SAMPLES, examples};
use common::series::series;
use common::{Bounds, Group};
use serde_json::json;
use sluice::filter::{
    Config, Module, Moments, ROWS_MAX, Runtime, SampleRows, Stateful, Step, Tenant, Window,
};
use sluice::model::{Labels, Timestamp};

const SERIES: usize = 100_000;
/// An interpreter takes more memory for each than a filter has for all of them.
const EXAMPLE_SERIES: usize = 20_000;
const ROUNDS: usize = 9;
const TICK_MILLIS: i64 = 30_000;
/// All of them are counters by their names.
const ALL: &str = r#"{__name__=~"metric_.*"}"#;
/// What a sample that a filter in Rust looks at may cost, in nanoseconds.
const BOUND: u32 = 40;

fn main() -> Bounds {
    let runtime = Runtime::new(&Config::default()).expect("the engine starts");
    let labels: Vec<Labels> = (0..SERIES).map(series).collect();
    let numbers: Vec<u32> = (0..SERIES as u32).collect();
    let columns = Columns::new(&numbers);
    let mut group = Group::new("process", SERIES, 24 * SERIES);
    group.floor("copying the columns", || {
        let copied = (columns.series.to_vec(), columns.timestamps.clone(), columns.values.clone());
        black_box(copied).0.len()
    });
    let rust = to_seconds(&runtime);
    group.bounded(
        "Rust: each looked at",
        BOUND,
        ticks(configured(&runtime, &rust, json!({}), &labels), &columns),
    );
    let old: Vec<Labels> = labels.iter().map(in_milliseconds).collect();
    group.bounded(
        "Rust: each looked at and changed",
        BOUND,
        ticks(configured(&runtime, &rust, json!({}), &old), &columns),
    );
    for (what, name, config) in [
        ("nothing selected", "rate", json!({ "rules": [{ "select": "none" }] })),
        ("downsample", "downsample", json!({ "rules": [{ "select": ALL, "every": 10 }] })),
        ("rate", "rate", json!({ "rules": [{ "select": ALL }] })),
        (
            "aggregate: 1,000 sums of counters",
            "aggregate",
            json!({ "rules": [{ "select": ALL, "operation": "sum", "by": ["job", "namespace", "code"] }] }),
        ),
        (
            "aggregate: 1,000 averages",
            "aggregate",
            json!({ "rules": [{ "select": ALL, "operation": "avg", "by": ["job", "namespace", "code"] }] }),
        ),
        (
            "top-k: 10 of each 100",
            "top-k",
            json!({ "rules": [{ "select": ALL, "k": 10, "by": ["namespace"], "hysteresis": 0.1 }] }),
        ),
        ("top-k: 10 of each 10,000", "top-k", json!({ "rules": [{ "select": ALL, "k": 10 }] })),
        (
            "cardinality-limit: a tenth through",
            "cardinality-limit",
            json!({ "limits": [{ "label": "pod", "max": 1_000 }, { "label": "instance", "max": 1_000 }] }),
        ),
    ] {
        let module = runtime.builtin(name).expect("it is built in");
        let filter = configured(&runtime, module, config, &labels);
        println!("{what:<40} {:>8} KiB of memory", filter.usage().memory_bytes_peak >> 10);
        group.case(what, ticks(filter, &columns));
    }
    let bounds = group.run(ROUNDS);
    in_other_languages(&runtime, &rust, &old[..EXAMPLE_SERIES], &numbers[..EXAMPLE_SERIES]);
    bounds
}

/// The same filter in other languages, which have no bound, beside the one in Rust.
fn in_other_languages(runtime: &Runtime, rust: &Module, labels: &[Labels], numbers: &[u32]) {
    let columns = Columns::new(numbers);
    let mut group = Group::new("process, by language", numbers.len(), 24 * numbers.len());
    group.floor(
        "Rust: each looked at and changed",
        ticks(configured(runtime, rust, json!({}), labels), &columns),
    );
    let found = examples(runtime, &SAMPLES);
    for (language, module) in &found {
        let what = format!("{language}: each looked at and changed");
        group.case(&what, ticks(configured(runtime, module, json!({}), labels), &columns));
    }
    group.run(ROUNDS);
}

/// The least that a filter of samples does, made with the SDK.
fn to_seconds(runtime: &Runtime) -> Module {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let target_dir = Path::new(concat!(env!("OUT_DIR"), "/filters"));
    let built = guests::build(&workspace, &["test-filter-to-seconds"], target_dir).expect("it compiles");
    runtime.load("to-seconds", &built[0]).expect("it is a filter")
}

/// The same series, called so that `to-seconds` changes them.
fn in_milliseconds(labels: &Labels) -> Labels {
    let renamed = labels.iter().map(|(name, value)| match name {
        "__name__" => (name, format!("{value}_milliseconds")),
        _ => (name, value.to_owned()),
    });
    let renamed: Vec<_> = renamed.collect();
    Labels::from_pairs(renamed.iter().map(|(name, value)| (*name, value.as_str())))
        .expect("every name stands once")
}

/// One tick after the other.
fn ticks<'a>(mut filter: Stateful, columns: &'a Columns<'a>) -> impl FnMut() -> u32 + 'a {
    let mut at = 0;
    move || {
        at += TICK_MILLIS;
        tick(&mut filter, at, columns)
    }
}

/// A tick's samples.
struct Columns<'a> {
    series: &'a [u32],
    timestamps: Vec<i64>,
    values: Vec<u64>,
}

impl Columns<'_> {
    fn new(series: &[u32]) -> Columns<'_> {
        let value = |i: &u32| f64::from(i.wrapping_mul(2_654_435_761) % 1_000_003).to_bits();
        Columns { series, timestamps: vec![0; series.len()], values: series.iter().map(value).collect() }
    }
}

/// A filter that has judged all series.
fn configured(runtime: &Runtime, module: &Module, config: serde_json::Value, labels: &[Labels]) -> Stateful {
    let tenant = Tenant::alone("shop", "web");
    let step = Step::new(&module.manifest().name, module.clone(), config);
    let mut filter = runtime.stateful(tenant, step).expect("the configuration is right");
    let numbered: Vec<(u32, &Labels)> = (0..).zip(labels).collect();
    filter.classify(&numbered).expect("the filter answers");
    filter
}

/// One tick, in batches; how many samples went on.
fn tick(filter: &mut Stateful, at: i64, columns: &Columns<'_>) -> u32 {
    let (since, at) = (Timestamp(at - TICK_MILLIS), Timestamp(at));
    let window = Window { since, at, moments: Moments::Tick };
    let timestamps = vec![at.as_millis(); ROWS_MAX];
    let batches = columns.series.len().div_ceil(ROWS_MAX);
    let mut left = 0;
    for (i, series) in columns.series.chunks(ROWS_MAX).enumerate() {
        let values = &columns.values[i * ROWS_MAX..][..series.len()];
        let rows = SampleRows { series, timestamps: &timestamps[..series.len()], values, opaque: &[] };
        let edits = filter.process(window, i + 1 == batches, rows).expect("the filter answers");
        left += edits.keep.iter().map(|word| word.count_ones()).sum::<u32>() + edits.emitted.len() as u32;
    }
    left
}
