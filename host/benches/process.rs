//! What a sample costs in the built-in filters that see samples, at every tick. 100,000 series of twelve labels, in Wasm, one core,
//! copies in and out included; a filter that selects nothing shows what the boundary costs.
#![allow(clippy::print_stdout, missing_docs)]

mod common;

use std::cell::Cell;
use std::hint::black_box;

use common::Group;
use common::series::series;
use serde_json::json;
use sluice::filter::{Config, Moments, ROWS_MAX, Runtime, SampleRows, Stateful, Step, Tenant, Window};
use sluice::model::{Labels, Timestamp};

const SERIES: usize = 100_000;
const ROUNDS: usize = 9;
const TICK_MILLIS: i64 = 30_000;
/// All of them are counters by their names.
const ALL: &str = r#"{__name__=~"metric_.*"}"#;

fn main() {
    let runtime = Runtime::new(&Config::default()).expect("the engine starts");
    let labels: Vec<Labels> = (0..SERIES).map(series).collect();
    let numbers: Vec<u32> = (0..SERIES as u32).collect();
    let columns = Columns::new(&numbers);
    let mut group = Group::new("process", SERIES, 24 * SERIES);
    group.floor("copying the columns", || {
        let copied = (columns.series.to_vec(), columns.timestamps.clone(), columns.values.clone());
        black_box(copied).0.len()
    });
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
        let mut filter = filter(&runtime, name, config, &labels);
        println!("{what:<40} {:>8} KiB of memory", filter.usage().memory_bytes_peak >> 10);
        let at = Cell::new(0);
        let columns = &columns;
        group.case(what, move || {
            at.set(at.get() + TICK_MILLIS);
            tick(&mut filter, at.get(), columns)
        });
    }
    group.run(ROUNDS);
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
fn filter(runtime: &Runtime, name: &str, config: serde_json::Value, labels: &[Labels]) -> Stateful {
    let tenant = Tenant { namespace: "shop".into(), name: "web".into(), source: String::new() };
    let module = runtime.builtin(name).expect("it is built in").clone();
    let step = Step::new(name, module, config);
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
