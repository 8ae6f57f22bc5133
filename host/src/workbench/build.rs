//! Build: a filter's folder to a component; a crate with cargo alone.
//!
//! In: the folder. Out: the component, as a file beside what Cargo builds. Never: a component that production would not load.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use super::component;
use super::language::{self, Language};

/// A crate's manifest.
const MANIFEST: &str = "Cargo.toml";

/// A filter that was built.
#[derive(Debug)]
pub struct Built {
    /// Where it is.
    pub path: PathBuf,
    /// The component.
    pub bytes: Vec<u8>,
}

/// Why a crate could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A tool is missing, or cannot build for Wasm.
    #[error("{0}")]
    Toolchain(String),
    /// The crate's manifest.
    #[error("{}: {cause}", .manifest.display())]
    Manifest {
        /// The file.
        manifest: PathBuf,
        /// What is wrong and what to write instead.
        cause: String,
    },
    /// There is nothing to build.
    #[error(
        "{}: there is no filter to build, for there is no {}: change into a filter's folder, begin one with `sluice filter new NAME`, \
         or name a component",
        .folder.display(), .looked_for.join(" or ")
    )]
    NoFilter {
        /// Where it was looked for.
        folder: PathBuf,
        /// The files by which a filter is known.
        looked_for: Vec<&'static str>,
    },
    /// The tools have said why.
    #[error("the filter does not compile")]
    Compile,
    /// What came out is no filter.
    #[error("{0}")]
    Component(String),
}

/// What `cargo metadata` says, as far as it is needed.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    target_directory: PathBuf,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    crate_types: Vec<String>,
}

/// Builds the filter in `folder`. Its tools' own messages go to standard error.
///
/// # Errors
/// See [`BuildError`].
pub fn build(folder: &Path) -> Result<Built, BuildError> {
    match Language::of(folder) {
        Language::Rust if !folder.join(MANIFEST).is_file() => {
            let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
            let folder = folder.components().collect();
            Err(BuildError::NoFilter { folder, looked_for: language::markers().collect() })
        }
        Language::Rust => build_crate(folder),
        other => language::build(folder, other),
    }
}

fn build_crate(folder: &Path) -> Result<Built, BuildError> {
    component::ensure_target(component::TARGET, Command::new("rustc")).map_err(BuildError::Toolchain)?;
    let manifest = folder.join(MANIFEST);
    let (package, library, target_directory) = library(&manifest)?;
    let built = Command::new("cargo")
        .args(["build", "--release", "--lib", "--target", component::TARGET, "--package", &package])
        .arg("--manifest-path")
        .arg(&manifest)
        .status()
        .map_err(|error| BuildError::Toolchain(format!("cargo cannot be run: {error}")))?;
    if !built.success() {
        return Err(BuildError::Compile);
    }
    let file = library.replace('-', "_") + ".wasm";
    let module = target_directory.join(component::TARGET).join("release").join(file);
    let broken =
        |error: std::io::Error, path: &Path| BuildError::Component(format!("{}: {error}", path.display()));
    let bytes = std::fs::read(&module).map_err(|error| broken(error, &module))?;
    let bytes = component::encode(&package, &bytes).map_err(BuildError::Component)?;
    let path = target_directory.join(package + ".wasm");
    std::fs::write(&path, &bytes).map_err(|error| broken(error, &path))?;
    Ok(Built { path, bytes })
}

/// The package's name, its library's, and where Cargo builds.
fn library(manifest: &Path) -> Result<(String, String, PathBuf), BuildError> {
    let refuse = |cause: String| BuildError::Manifest { manifest: manifest.to_owned(), cause };
    let asked = Command::new("cargo")
        .args(["metadata", "--no-deps", "--format-version", "1", "--manifest-path"])
        .arg(manifest)
        .output()
        .map_err(|error| BuildError::Toolchain(format!("cargo cannot be run: {error}")))?;
    if !asked.status.success() {
        let said = String::from_utf8_lossy(&asked.stderr);
        return Err(refuse(said.trim().trim_start_matches("error: ").to_owned()));
    }
    let metadata: Metadata =
        serde_json::from_slice(&asked.stdout).map_err(|error| refuse(format!("cargo metadata: {error}")))?;
    let manifest_path = manifest.canonicalize().map_err(|error| refuse(error.to_string()))?;
    let is_this = |package: &Package| package.manifest_path == manifest_path;
    let package = metadata.packages.into_iter().find(is_this);
    let package =
        package.ok_or_else(|| refuse("it has no [package]; name the filter's own folder".into()))?;
    let is_filter = |target: &Target| target.crate_types.iter().any(|kind| kind == "cdylib");
    let Some(library) = package.targets.into_iter().find(is_filter) else {
        return Err(refuse(
            "its library is no cdylib: write [lib] crate-type = [\"cdylib\", \"rlib\"]".into(),
        ));
    };
    Ok((package.name, library.name, metadata.target_directory))
}
