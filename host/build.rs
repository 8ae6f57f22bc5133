//! Build script: compiles the built-in filters to components, which the program embeds, and packs the SDK for authors.

#[path = "build/guests.rs"]
mod guests;
#[path = "build/sdk.rs"]
mod sdk;

use std::env;
use std::path::PathBuf;

/// The built-in filters: for each, `filters/NAME` is the package `sluice-filter-NAME`.
const BUILTINS: &[&str] = &[
    "aggregate",
    "cardinality-limit",
    "downsample",
    "enrich",
    "patterns",
    "rate",
    "redact",
    "relabel",
    "rename",
    "top-k",
];
/// What the components are made of, beside the toolchain.
const SOURCES: [&str; 7] = [
    "filters/common",
    "guest-sdk",
    "wit",
    "Cargo.lock",
    "Cargo.toml",
    "host/build",
    "host/src/workbench/component.rs",
];

fn main() {
    let folder = |name| PathBuf::from(env::var_os(name).expect("Cargo sets it"));
    let workspace = folder("CARGO_MANIFEST_DIR").join("..");
    let out = folder("OUT_DIR");
    println!("cargo::rerun-if-changed=build.rs");
    // Their pages and cases are in the same folders, and change nothing here.
    let own =
        BUILTINS.iter().flat_map(|name| ["src", "Cargo.toml"].map(|part| format!("filters/{name}/{part}")));
    for source in SOURCES.into_iter().map(str::to_owned).chain(own) {
        println!("cargo::rerun-if-changed={}", workspace.join(source).display());
    }
    let packages: Vec<_> = BUILTINS.iter().map(|name| format!("sluice-filter-{name}")).collect();
    let packages: Vec<_> = packages.iter().map(String::as_str).collect();
    // A target directory of its own: the outer build holds the lock of the other one.
    let built = guests::build(&workspace, &packages, &out.join("filters"))
        .and_then(|components| Ok((components, sdk::pack(&workspace)?)));
    match built {
        Ok((components, sdk)) => {
            for (name, bytes) in BUILTINS.iter().zip(components) {
                std::fs::write(out.join(name).with_extension("wasm"), bytes).expect("OUT_DIR can be written");
            }
            std::fs::write(out.join("builtins.rs"), table()).expect("OUT_DIR can be written");
            std::fs::write(out.join("sdk.rs"), sdk).expect("OUT_DIR can be written");
        }
        // Each line is printed as an error of its own by Cargo, without a panic's noise.
        Err(error) => {
            for line in error.lines() {
                println!("cargo::error={line}");
            }
        }
    }
}

/// The text of a Rust expression, a list of names and bytes, in the order of `BUILTINS`.
fn table() -> String {
    let mut table = String::from("&[\n");
    for name in BUILTINS {
        table += &format!("    ({name:?}, include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{name}.wasm\"))),\n");
    }
    table + "]\n"
}
