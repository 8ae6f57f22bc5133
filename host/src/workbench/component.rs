//! Component: from the core module that a compiler writes to a component.
//!
//! Used by the commands for authors, and by the build script for the built-in filters; so it knows nothing of this program.

use std::path::Path;
use std::process::Command;

/// What filters are compiled for: it imports nothing.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";
/// What those are compiled for that cannot do without WASI: the compiler makes components of them itself.
#[allow(dead_code, reason = "the filters that come with the program do without")]
pub(crate) const TARGET_WASI: &str = "wasm32-wasip2";

/// Everything a filter may import starts with this.
const OURS: &str = "sluice:filter/";

/// Wraps a core module; `name` is what errors call it.
pub(crate) fn encode(name: &str, module: &[u8]) -> Result<Vec<u8>, String> {
    let encode = || {
        let bytes = wit_component::ComponentEncoder::default().module(module)?.validate(true).encode()?;
        let imports = imports(&bytes)?;
        Ok::<_, Box<dyn std::error::Error>>((bytes, imports))
    };
    let (bytes, imports) =
        encode().map_err(|error| format!("{name} does not make a component: {error:?}"))?;
    match imports.iter().find(|import| !import.starts_with(OURS)) {
        None => Ok(bytes),
        Some(stranger) => Err(format!("{name} imports {stranger}; a filter may import {OURS}… only")),
    }
}

fn imports(component: &[u8]) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let wit_component::DecodedWasm::Component(resolve, world) = wit_component::decode(component)? else {
        return Err("not a component".into());
    };
    Ok(resolve.worlds[world].imports.keys().map(|key| resolve.name_world_key(key)).collect())
}

/// Adds a target to the toolchain if it is missing and rustup can. `rustc` is the command that asks the compiler.
pub(crate) fn ensure_target(target: &str, mut rustc: Command) -> Result<(), String> {
    let printed = rustc.args(["--print", "target-libdir", "--target", target]).output();
    let printed = printed.map_err(|error| format!("rustc cannot be run: {error}"))?;
    if Path::new(String::from_utf8_lossy(&printed.stdout).trim()).is_dir() {
        return Ok(());
    }
    match Command::new("rustup").args(["target", "add", target]).output() {
        Ok(added) if added.status.success() => Ok(()),
        _ => Err(format!("this toolchain cannot build filters: run `rustup target add {target}`")),
    }
}
