//! Classify: what a new series costs on its way through the three built-in filters of every chain, all of them in Wasm; through the
//! built-in ones that see labels alone; and through the example in each language, if it was built.
//!
//! The chain as a whole is measured in CPU time beside its floor; each step's guest in elapsed time; and what starting a
//! runtime costs is printed once.
#![allow(clippy::print_stdout)]

mod common;

use std::hash::BuildHasher;
use std::time::Instant;

use common::Group;
use common::examples::{LABELS, examples};
use common::series::series;
use serde_json::{Value, json};
use sluice::filter::{Chain, Config, Module, Runtime, Step, Tenant, builtin};
use sluice::model::Labels;

const SERIES: usize = 100_000;
const ROUNDS: usize = 5;
/// Series for filters in other languages; an interpreter takes its time.
const EXAMPLES: usize = 20_000;

fn main() {
    let start = Instant::now();
    let runtime = Runtime::new(&Config::default()).expect("the engine starts");
    runtime.warm(&builtin::IN_EVERY_CHAIN).expect("the built-in filters load");
    println!("start: three components compiled in {:?}", start.elapsed());
    let series: Vec<Labels> = (0..SERIES).map(series).collect();
    let series: Vec<&Labels> = series.iter().collect();
    for (what, selectors, rules) in [
        ("all kept, no rule", json!([r#"{__name__=~".+"}"#]), json!([])),
        ("half kept by name, no rule", json!([r#"{__name__=~"metric_[0-4]_.*"}"#]), json!([])),
        (
            "all kept, one label replaced, one dropped",
            json!([r#"{__name__=~".+"}"#]),
            json!([
                { "sourceLabels": ["instance"], "regex": "([^:]+):.*", "targetLabel": "host" },
                { "action": "labeldrop", "regex": "container" },
            ]),
        ),
    ] {
        measure(what, &series, || chain(&runtime, &selectors, &rules));
    }
    let names: serde_json::Map<String, Value> =
        (0..5).map(|i| (format!("metric_{i}_http_requests_total"), format!("renamed_{i}").into())).collect();
    for (what, name, config) in [
        (
            "rename: half by name, half by expression",
            "rename",
            json!({ "names": names, "patterns": [{ "regex": "metric_(.+)_total", "to": "$1" }] }),
        ),
        (
            "redact: one label hashed, one masked in part",
            "redact",
            json!({ "salt": "0123456789abcdef", "rules": [
                { "labels": ["pod"], "action": "hash" },
                { "labels": ["instance"], "regex": "([^:]+):.*", "action": "mask" },
            ] }),
        ),
    ] {
        let module = runtime.builtin(name).expect("it is built in");
        measure(what, &series, || alone(&runtime, module, &config));
    }
    for (language, module) in examples(&runtime, &LABELS) {
        let config = json!({ "prefixes": ["metric_7", "go_"] });
        measure(&format!("example in {language}"), &series[..EXAMPLES], || alone(&runtime, &module, &config));
    }
}

/// A chain of one filter.
fn alone(runtime: &Runtime, module: &Module, config: &Value) -> Chain {
    let tenant = Tenant::alone("shop", "web");
    let step = Step::new(&module.manifest().name, module.clone(), config.clone());
    runtime.chain(tenant, vec![step]).expect("the configuration is right")
}

/// The chain every tenant has, without filters of its own.
fn chain(runtime: &Runtime, selectors: &serde_json::Value, rules: &serde_json::Value) -> Chain {
    let tenant = Tenant::alone("shop", "web");
    let stamps = json!({"stamps": [["tenant", "shop"], ["managed_by", "multi-tenant-proxy"]]});
    let step = |name: &str, builtin, config| {
        let module = runtime.builtin(builtin).unwrap().clone();
        Step::new(name, module, config)
    };
    let steps = vec![
        step("patterns", builtin::PATTERNS, json!({ "selectors": selectors })),
        step("relabel", builtin::RELABEL, json!({ "rules": rules })),
        step("enrich", builtin::ENRICH, stamps),
    ];
    runtime.chain(tenant, steps).expect("the configuration is right")
}

/// The whole chain with strings nobody has seen and new instances, beside what no chain can do without: looking at every
/// name and value once.
fn measure(what: &str, series: &[&Labels], chain: impl Fn() -> Chain) {
    let bytes = series.iter().map(|labels| labels.text_bytes()).sum();
    let hasher = foldhash::fast::RandomState::default();
    let mut group = Group::new(&format!("classify, {what}"), series.len(), bytes);
    group.floor("foldhash over every name and value", || {
        let texts = series.iter().flat_map(|labels| labels.iter()).flat_map(|(name, value)| [name, value]);
        texts.fold(0, |sum, text| sum ^ hasher.hash_one(text))
    });
    group.case_with("the chain, in Wasm", &chain, |chain| {
        chain.classify(series).expect("the filters answer").iter().flatten().count()
    });
    group.run(ROUNDS);
    let mut once = chain();
    let kept = once.classify(series).expect("the filters answer").iter().flatten().count();
    println!("{kept} of {} kept; elapsed in each guest, copies in and out included:", series.len());
    for usage in once.usage() {
        let each = usage.guest_time.as_nanos() as usize / series.len();
        println!("{:<48} {each:>12} ns/sample in {} calls", usage.name, usage.calls);
    }
}
