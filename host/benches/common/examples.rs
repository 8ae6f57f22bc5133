//! The examples in other languages, as far as they were built.

use std::path::Path;

use sluice::filter::{Module, Runtime};

/// Where tests leave what they have built.
const FOLDER: &str = env!("CARGO_TARGET_TMPDIR");

/// A language, where the component is, and what puts it there.
type Example = (&'static str, &'static str, &'static str);

/// Those that decide by labels.
pub const LABELS: [Example; 4] = [
    ("Rust", "filter-tools/drop-go.wasm", "make test"),
    ("C", "examples/labels-c.wasm", "make examples"),
    ("JavaScript", "examples/labels-javascript.wasm", "make examples"),
    ("Python", "examples/labels-python.wasm", "make examples"),
];

/// Those that see samples, beside the one in Rust.
pub const SAMPLES: [Example; 3] = [
    ("C", "examples/samples-c.wasm", "make examples"),
    ("JavaScript", "examples/samples-javascript.wasm", "make examples"),
    ("Python", "examples/samples-python.wasm", "make examples SAMPLES=1"),
];

/// Those that are there, each with its language. Of the others is told what puts them there.
pub fn examples(runtime: &Runtime, wanted: &[Example]) -> Vec<(&'static str, Module)> {
    let mut found = Vec::new();
    for (language, path, command) in wanted {
        let file = Path::new(FOLDER).join(path);
        match std::fs::read(&file) {
            Ok(bytes) => found.push((*language, runtime.load(language, &bytes).expect("its cases held"))),
            Err(_) => println!("{language}: no figures without {}: {command}", file.display()),
        }
    }
    found
}
