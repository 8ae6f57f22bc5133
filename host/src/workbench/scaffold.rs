//! Scaffold: a new filter's folder, that builds, tests and runs as it is.
//!
//! In: a name. Out: a folder with all that it needs. Never: a file that was there before.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::{Language, starter};

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

/// Writes the filter `name` into a new folder of that name below `parent`, and says which.
///
/// # Errors
/// See [`ScaffoldError`].
pub fn scaffold(parent: &Path, name: &str, language: Language) -> Result<PathBuf, ScaffoldError> {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || name.len() > 64 || !name.chars().all(legal) {
        return Err(ScaffoldError::Name(name.to_owned()));
    }
    let folder = parent.join(name);
    fs::create_dir(&folder).map_err(|cause| match cause.kind() {
        ErrorKind::AlreadyExists => ScaffoldError::Exists(folder.clone()),
        _ => ScaffoldError::Write { path: folder.clone(), cause },
    })?;
    for (path, bytes) in starter::files(name, language) {
        write(&folder.join(path), &bytes)?;
    }
    Ok(folder)
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), ScaffoldError> {
    let written = fs::create_dir_all(path.parent().expect("a file lies in a folder"));
    let written = written.and_then(|()| fs::write(path, bytes));
    written.map_err(|cause| ScaffoldError::Write { path: path.to_owned(), cause })
}
