//! The built-in filters do what their pages say: every case in `filters/*/tests` holds, in the engine, and what the page
//! shows is one of these cases. Their schemas describe what they take.

#![allow(missing_docs)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sluice::filter::{Builtins, Config, Error, Runtime, Step, Tenant};
use sluice::workbench::{Cases, Verdict};

fn folders() -> Vec<(String, PathBuf)> {
    let filters = Path::new(env!("CARGO_MANIFEST_DIR")).join("../filters");
    let builtins = Builtins::embedded();
    builtins.names().map(|name| (name.to_owned(), filters.join(name))).collect()
}

#[test]
fn every_case_of_every_built_in_filter_holds() {
    // A machine that runs other tests too can be slow.
    let limits = Config { instances_max: 8, call_millis_max: 20_000, ..Config::default() };
    let runtime = Runtime::new(&limits).unwrap();
    let mut differing = Vec::new();
    for (name, folder) in folders() {
        let cases = Cases::of(&folder.join("tests")).unwrap().cases;
        assert!(!cases.is_empty(), "{name} has no case");
        let module = runtime.builtin(&name).unwrap();
        for case in cases {
            let verdict = case.run(&runtime, module, false).unwrap();
            if verdict != Verdict::Holds {
                differing.push(format!("{name}/{}: {:?}", case.name, verdict.differences()));
            }
        }
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

#[test]
fn what_the_pages_show_is_what_the_filters_do() {
    for (name, folder) in folders() {
        let page = fs::read_to_string(folder.join("README.md")).unwrap();
        for file in ["config.yaml", "metrics.prom", "expected.prom"] {
            let text = fs::read_to_string(folder.join("tests/example").join(file)).unwrap();
            assert!(
                page.contains(&format!("\n```{}\n{text}```\n", language(file))),
                "{name}: {file} is not shown"
            );
        }
    }
}

fn language(file: &str) -> &str {
    if file.ends_with(".yaml") { "yaml" } else { "text" }
}

/// What a filter says when it is configured with `config`, which it must not take.
fn refusal(runtime: &Runtime, name: &str, config: Value) -> String {
    let module = runtime.builtin(name).unwrap().clone();
    let tenant = Tenant::alone("test", "test");
    match runtime.sequence(&tenant, vec![Step::new(name, module, config.clone())]) {
        Err(Error::Config { message, .. }) => message,
        other => panic!("{name} takes {config}: {other:?}"),
    }
}

/// The fields that an object's schema knows.
fn described(schema: &Value) -> BTreeSet<String> {
    schema["properties"].as_object().unwrap().keys().cloned().collect()
}

/// The fields that the filter says it expected.
fn expected(refusal: &str) -> BTreeSet<String> {
    let (_, expected) = refusal.split_once(", expected ").unwrap_or_else(|| panic!("{refusal}"));
    expected.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn the_schemas_describe_the_fields_that_the_filters_take() {
    let runtime = Runtime::new(&Config { instances_max: 8, ..Config::default() }).unwrap();
    for name in runtime.builtins() {
        let schema: Value =
            serde_json::from_str(&runtime.builtin(name).unwrap().manifest().config_schema).unwrap();
        let unknown = json!({ "nothing": 0 });
        assert_eq!(described(&schema), expected(&refusal(&runtime, name, unknown.clone())), "{name}");
        for (field, about) in schema["properties"].as_object().unwrap() {
            let item = &about["items"];
            if item["type"] == "object" {
                let refused = refusal(&runtime, name, json!({ field: [unknown.clone()] }));
                assert_eq!(described(item), expected(&refused), "{name}: {field}");
            }
        }
    }
}
