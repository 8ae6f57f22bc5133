//! Scaffold: a new filter's crate, that builds, tests and runs as it is.
//!
//! In: a name. Out: a folder with the template and the SDK. Never: a file that was there before.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The SDK's files, by their paths.
mod sdk {
    include!(concat!(env!("OUT_DIR"), "/sdk.rs"));
}

/// The template's files; `{name}` and `{version}` are filled in.
const TEMPLATE: &[(&str, &str)] = &[
    ("Cargo.toml", include_str!("template/Cargo.toml.txt")),
    ("README.md", include_str!("template/README.md.txt")),
    ("src/lib.rs", include_str!("template/lib.rs.txt")),
    (".gitignore", "/target\n"),
    ("tests/drops/config.yaml", "prefixes: [go_]\n"),
    ("tests/drops/metrics.prom", "go_goroutines 7\nhttp_requests_total{code=\"200\"} 12\nup 1\n"),
    (
        "tests/drops/expected.prom",
        "http_requests_total{code=\"200\",filtered_by=\"{name}\"} 12\nup{filtered_by=\"{name}\"} 1\n",
    ),
];

/// Why no crate was written.
#[derive(Debug, thiserror::Error)]
pub enum ScaffoldError {
    /// A name that a crate, a metric and a resource cannot all have.
    #[error("{0:?} is no name for a filter: use [a-z][a-z0-9-]*, at most 64 characters")]
    Name(String),
    /// There is something already.
    #[error("{}: it is there already; choose another name, or remove it", .0.display())]
    Exists(PathBuf),
    /// A file cannot be written.
    #[error("{}: {cause}", .path.display())]
    Write {
        /// Which one.
        path: PathBuf,
        /// The system's words.
        cause: std::io::Error,
    },
}

/// Writes the crate `name` into a new folder of that name below `parent`, and says which.
///
/// # Errors
/// See [`ScaffoldError`].
pub fn scaffold(parent: &Path, name: &str) -> Result<PathBuf, ScaffoldError> {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || name.len() > 64 || !name.chars().all(legal) {
        return Err(ScaffoldError::Name(name.to_owned()));
    }
    let folder = parent.join(name);
    fs::create_dir(&folder).map_err(|cause| match cause.kind() {
        ErrorKind::AlreadyExists => ScaffoldError::Exists(folder.clone()),
        _ => ScaffoldError::Write { path: folder.clone(), cause },
    })?;
    for (path, text) in TEMPLATE {
        let text = text.replace("{name}", name).replace("{version}", env!("CARGO_PKG_VERSION"));
        write(&folder.join(path), &text)?;
    }
    for (path, text) in sdk::FILES {
        write(&folder.join(".sluice/sdk").join(path), text)?;
    }
    Ok(folder)
}

fn write(path: &Path, text: &str) -> Result<(), ScaffoldError> {
    let written = fs::create_dir_all(path.parent().expect("a file lies in a folder"));
    let written = written.and_then(|()| fs::write(path, text));
    written.map_err(|cause| ScaffoldError::Write { path: path.to_owned(), cause })
}
