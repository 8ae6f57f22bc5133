//! Sdk: packs the SDK's sources, so that the program can write them beside a new filter: the one that it was built with.
//!
//! In: `guest-sdk/`. Out: Rust source, a list of paths and texts. Never: a manifest that needs this workspace, or tests.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

const PACKAGE: &str = "sluice-filter";

/// The text of a Rust file with `FILES: &[(path, text)]`.
pub(crate) fn pack(workspace: &Path) -> Result<String, String> {
    let folder = workspace.join("guest-sdk");
    let mut files = vec![("Cargo.toml".to_owned(), manifest(workspace)?)];
    for part in ["src", "wit"] {
        collect(&folder, &folder.join(part), &mut files)?;
    }
    let tutorial = folder.join("README.md");
    let text = fs::read_to_string(&tutorial).map_err(|error| format!("{}: {error}", tutorial.display()))?;
    files.push(("README.md".to_owned(), text));
    files.sort();
    let mut out = String::from("pub(super) const FILES: &[(&str, &str)] = &[\n");
    for (path, text) in files {
        writeln!(out, "    ({path:?}, {text:?}),").expect("a String takes everything");
    }
    Ok(out + "];\n")
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<(String, String)>) -> Result<(), String> {
    let said = |error: std::io::Error| format!("{}: {error}", folder.display());
    for entry in fs::read_dir(folder).map_err(said)? {
        let path: PathBuf = entry.map_err(said)?.path();
        let is_test = path.file_name().is_some_and(|name| name == "tests.rs");
        if path.is_dir() {
            collect(root, &path, files)?;
        } else if !is_test {
            let name = path.strip_prefix(root).expect("it lies below").display().to_string();
            files.push((name, fs::read_to_string(&path).map_err(said)?));
        }
    }
    Ok(())
}

/// The SDK's manifest with everything that it takes from the workspace written out, as Cargo resolves it.
fn manifest(workspace: &Path) -> Result<String, String> {
    let run = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["metadata", "--no-deps", "--format-version", "1", "--locked", "--manifest-path"])
        .arg(workspace.join("Cargo.toml"))
        .output()
        .map_err(|error| format!("cargo cannot be run: {error}"))?;
    let metadata: Value =
        serde_json::from_slice(&run.stdout).map_err(|error| format!("cargo metadata: {error}"))?;
    let packages = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let package = packages.iter().find(|package| package["name"] == PACKAGE);
    let package = package.ok_or_else(|| format!("cargo metadata knows no {PACKAGE}"))?;
    let mut out = String::from("[package]\n");
    for (key, field) in [
        ("name", "name"),
        ("version", "version"),
        ("edition", "edition"),
        ("rust-version", "rust_version"),
        ("license", "license"),
        ("description", "description"),
    ] {
        writeln!(out, "{key} = {}", package[field]).expect("a String takes everything");
    }
    out.push_str("\n[dependencies]\n");
    let dependencies = package["dependencies"].as_array().map(Vec::as_slice).unwrap_or_default();
    for dependency in dependencies.iter().filter(|dependency| dependency["kind"].is_null()) {
        let name = dependency["name"].as_str().unwrap_or_default();
        let (version, features) = (&dependency["req"], &dependency["features"]);
        let defaults = &dependency["uses_default_features"];
        writeln!(
            out,
            "{name} = {{ version = {version}, default-features = {defaults}, features = {features} }}"
        )
        .expect("a String takes everything");
    }
    Ok(out)
}
