//! Build script: compiles the built-in filters to components, which the program embeds, and packs the SDK for authors.

#[path = "build/guests.rs"]
mod guests;
#[path = "build/sdk.rs"]
mod sdk;

use std::env;
use std::path::PathBuf;

const BUILTINS: [&str; 3] = ["patterns", "relabel", "enrich"];
/// What the components are made of, beside the toolchain.
const SOURCES: [&str; 7] = [
    "filters",
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
    for source in SOURCES {
        println!("cargo::rerun-if-changed={}", workspace.join(source).display());
    }
    let packages = BUILTINS.map(|name| format!("sluice-filter-{name}"));
    let packages = packages.each_ref().map(String::as_str);
    // A target directory of its own: the outer build holds the lock of the other one.
    let built = guests::build(&workspace, &packages, &out.join("filters"))
        .and_then(|components| Ok((components, sdk::pack(&workspace)?)));
    match built {
        Ok((components, sdk)) => {
            for (name, bytes) in BUILTINS.iter().zip(components) {
                std::fs::write(out.join(name).with_extension("wasm"), bytes).expect("OUT_DIR can be written");
            }
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
