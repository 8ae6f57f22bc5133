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
    compile(workspace, component::TARGET, packages, target_dir)?;
    let module =
        |package: &&str| component::encode(package, &module(target_dir, component::TARGET, package)?);
    packages.iter().map(module).collect()
}

/// As [`build`], of guests that import WASI.
#[allow(dead_code, reason = "the filters that come with the program do without")]
pub(crate) fn build_with_wasi(
    workspace: &Path,
    packages: &[&str],
    target_dir: &Path,
) -> Result<Vec<Vec<u8>>, String> {
    compile(workspace, component::TARGET_WASI, packages, target_dir)?;
    packages.iter().map(|package| module(target_dir, component::TARGET_WASI, package)).collect()
}

fn compile(workspace: &Path, target: &str, packages: &[&str], target_dir: &Path) -> Result<(), String> {
    component::ensure_target(target, clean("RUSTC", "rustc"))?;
    let mut cargo = clean("CARGO", "cargo");
    cargo.args(["build", "--lib", "--quiet", "--locked", "--target", target, "--profile", PROFILE]);
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

fn module(target_dir: &Path, target: &str, package: &str) -> Result<Vec<u8>, String> {
    let folder = target_dir.join(target).join(PROFILE);
    let file: PathBuf = folder.join(package.replace('-', "_")).with_extension("wasm");
    std::fs::read(&file).map_err(|error| format!("{}: {error}", file.display()))
}
