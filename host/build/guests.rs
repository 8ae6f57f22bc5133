//! Guests: compiles filter crates of this workspace into components.
//!
//! In: package names. Out: the bytes of one component each. Never: an import that is not the contract's, a lock on the
//! outer build's target directory, or flags that were meant for the host.
//! Used by the build script for the built-in filters, and by tests for theirs.

// A test of the program has it twice: as a room's, and here.
#[allow(clippy::duplicate_mod)]
#[path = "../src/workbench/component.rs"]
mod component;

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use component::TARGET;

const PROFILE: &str = "filter";
/// What Cargo reads and the inner build should have too; every other variable of Cargo's tells the outer build's affairs.
const CARGO_VARIABLES_KEPT: [&str; 7] = [
    "CARGO_HOME",
    "CARGO_MAKEFLAGS",
    "CARGO_BUILD_JOBS",
    "CARGO_NET_",
    "CARGO_HTTP_",
    "CARGO_REGISTR",
    "CARGO_TERM_",
];

/// Builds the packages, all with one run of Cargo, and makes each a component. `target_dir` must be the build's own.
pub(crate) fn build(workspace: &Path, packages: &[&str], target_dir: &Path) -> Result<Vec<Vec<u8>>, String> {
    component::ensure_target(clean("RUSTC", "rustc"))?;
    compile(workspace, packages, target_dir)?;
    let folder = target_dir.join(TARGET).join(PROFILE);
    packages.iter().map(|package| component(&folder, package)).collect()
}

fn compile(workspace: &Path, packages: &[&str], target_dir: &Path) -> Result<(), String> {
    let mut cargo = clean("CARGO", "cargo");
    cargo.args(["build", "--lib", "--quiet", "--locked", "--target", TARGET, "--profile", PROFILE]);
    cargo.arg("--manifest-path").arg(workspace.join("Cargo.toml")).arg("--target-dir").arg(target_dir);
    for package in packages {
        cargo.args(["--package", package]);
    }
    let run = cargo.output().map_err(|error| format!("cargo cannot be run: {error}"))?;
    if run.status.success() {
        return Ok(());
    }
    Err(format!(
        "the filters {} do not compile:\n{}",
        packages.join(", "),
        String::from_utf8_lossy(&run.stderr)
    ))
}

/// A command without what the outer build says to its own compiler: wrappers (clippy's), flags, profiles, targets.
fn clean(variable: &str, default: &str) -> Command {
    let mut command = Command::new(env::var_os(variable).unwrap_or_else(|| default.into()));
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy();
        let cargos =
            name.starts_with("CARGO_") && !CARGO_VARIABLES_KEPT.iter().any(|kept| name.starts_with(kept));
        let compilers =
            ["RUSTFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "CLIPPY_ARGS"].contains(&&*name);
        if cargos || compilers {
            command.env_remove(&*name);
        }
    }
    command
}

fn component(folder: &Path, package: &str) -> Result<Vec<u8>, String> {
    let file: PathBuf = folder.join(package.replace('-', "_")).with_extension("wasm");
    let module = std::fs::read(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    component::encode(package, &module)
}
