//! The built-in filters do what their pages say: every case in `filters/*/tests` holds, in the engine, and what the page
//! shows is one of these cases.

#![allow(missing_docs)]

use std::fs;
use std::path::{Path, PathBuf};

use sluice::filter::{Builtins, Config, Runtime};
use sluice::workbench::{Cases, Verdict};

/// Those that every chain has are shown by the resource that configures them.
const WITHOUT_CASES: [&str; 3] = sluice::filter::builtin::IN_EVERY_CHAIN;

fn folders() -> Vec<(String, PathBuf)> {
    let filters = Path::new(env!("CARGO_MANIFEST_DIR")).join("../filters");
    let builtins = Builtins::embedded();
    let names = builtins.names().filter(|name| !WITHOUT_CASES.contains(name));
    names.map(|name| (name.to_owned(), filters.join(name))).collect()
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
