//! Scaffold: a new filter's folder, that builds, tests and runs as it is.
//!
//! In: a name. Out: a folder with all that it needs. Never: a file overwritten that somebody wrote.

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
    /// A folder without an SDK.
    #[error("{}: there is no such folder: only filters in Rust have one, that `sluice filter new` wrote", .0.display())]
    NoSdk(PathBuf),
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

/// Whether a filter's folder has the SDK of another version of this program.
pub fn has_another_sdk(folder: &Path) -> bool {
    let differs = |(path, text): (String, &str)| {
        fs::read(folder.join(path)).ok().is_none_or(|own| own != text.as_bytes())
    };
    folder.join(starter::SDK).is_dir() && starter::sdk().any(differs)
}

/// Puts this program's SDK in the place of the one that a filter's folder has.
///
/// # Errors
/// There is none; a file cannot be removed or written.
pub fn renew_sdk(folder: &Path) -> Result<(), ScaffoldError> {
    let place = folder.join(starter::SDK);
    fs::remove_dir_all(&place).map_err(|cause| match cause.kind() {
        ErrorKind::NotFound => ScaffoldError::NoSdk(place.clone()),
        _ => ScaffoldError::Write { path: place.clone(), cause },
    })?;
    starter::sdk().try_for_each(|(path, text)| write(&folder.join(path), text.as_bytes()))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), ScaffoldError> {
    let written = fs::create_dir_all(path.parent().expect("a file lies in a folder"));
    let written = written.and_then(|()| fs::write(path, bytes));
    written.map_err(|cause| ScaffoldError::Write { path: path.to_owned(), cause })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sdk_of_another_version_is_noticed_and_replaced() {
        let parent = tempfile::tempdir().unwrap();
        let folder = scaffold(parent.path(), "mine", Language::Rust).unwrap();
        assert!(!has_another_sdk(&folder));
        let sdk = folder.join(starter::SDK);
        let (own, changed) = (folder.join("src/lib.rs"), sdk.join("src/lib.rs"));
        fs::write(&own, "// mine").unwrap();
        fs::write(&changed, "// older").unwrap();
        fs::write(sdk.join("src/gone.rs"), "").unwrap();
        assert!(has_another_sdk(&folder));
        renew_sdk(&folder).unwrap();
        assert!(!has_another_sdk(&folder) && !sdk.join("src/gone.rs").exists());
        assert_eq!(fs::read_to_string(own).unwrap(), "// mine");
        let in_python = scaffold(parent.path(), "other", Language::Python).unwrap();
        assert!(!has_another_sdk(&in_python), "it has none");
        assert!(matches!(renew_sdk(&in_python), Err(ScaffoldError::NoSdk(_))));
    }
}
