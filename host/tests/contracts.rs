//! Filters that were built for a version of the contract run as they did then. `tests/fixtures/contracts` holds them.

#![allow(missing_docs)]

use std::fs;
use std::path::{Path, PathBuf};

use sluice::filter::{Config, Runtime};
use sluice::workbench::{Cases, Verdict};

/// What is in a folder, sorted.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut entries: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    entries.sort();
    entries
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

#[test]
fn every_filter_that_was_kept_runs_as_it_did() {
    // A machine that runs other tests too can be slow.
    let limits = Config { instances_max: 8, call_millis_max: 20_000, ..Config::default() };
    let runtime = Runtime::new(&limits).unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/contracts");
    let mut ran = 0;
    for version in entries(&folder) {
        for filter in entries(&version) {
            let what = format!("{} of contract {}", name(&filter), name(&version));
            let bytes = fs::read(filter.join("filter.wasm")).unwrap();
            let module = runtime.load(&what, &bytes).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(module.contract(), name(&version), "{what}");
            for case in Cases::of(&filter.join("tests")).unwrap().cases {
                let verdict = case.run(&runtime, &module, false);
                let verdict = verdict.unwrap_or_else(|error| panic!("{what}, {}: {error}", case.name));
                assert_eq!(verdict, Verdict::Holds, "{what}, {}", case.name);
                ran += 1;
            }
        }
    }
    assert!(ran >= 5, "only {ran} cases ran");
}
