//! Cache: files of our own by name, in a private folder.
//!
//! In: a name and bytes. Out: the same bytes, as long as there is room for them. Never: more bytes than its maximum, a
//! half-written file, a folder in which others can write; an error that stops what is done: without a folder, or with one that
//! cannot be used, everything works and more is fetched and compiled again.
//!
//! Whether bytes still are what they were is the reader's to check.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

/// The folder in the operator's: theirs may hold other things, and be open to others. A layout that changes gets another
/// number.
const FOLDER: &str = "modules-1";

/// What is being written has this in front, until it is complete.
const UNFINISHED: &str = "unfinished-";

/// Where, and how much.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The folder; made if it is not there.
    pub folder: PathBuf,
    /// Bytes of all files together.
    pub bytes_max: u64,
}

/// Files by name. Clones share them. Every call blocks on the disk.
#[derive(Debug, Clone)]
pub struct Cache {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    bytes_max: u64,
    /// Whether the folder is there, and nobody else's.
    usable: bool,
    /// Who writes, makes room too.
    writing: Mutex<()>,
    written: AtomicU64,
}

impl Cache {
    /// Makes the folder, and removes what an earlier process left unfinished. One that cannot be used is empty, and logged.
    pub fn open(config: &Config) -> Cache {
        let folder = config.folder.join(FOLDER);
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        let made = made.and_then(|()| is_ours_alone(&folder)).and_then(|()| sweep(&folder));
        if let Err(error) = &made {
            tracing::warn!(folder = %folder.display(), %error, "filters are not kept: the cache's folder cannot be used");
        }
        let (usable, writing, written) = (made.is_ok(), Mutex::new(()), AtomicU64::new(0));
        Cache { inner: Arc::new(Inner { folder, bytes_max: config.bytes_max, usable, writing, written }) }
    }

    /// What was kept under `name`, if it is there and at most `bytes_max` long.
    pub fn get(&self, name: &str, bytes_max: usize) -> Option<Vec<u8>> {
        if !self.inner.usable {
            return None;
        }
        let file = File::open(self.inner.folder.join(name)).ok()?;
        let length = usize::try_from(file.metadata().ok()?.len()).ok()?;
        if length > bytes_max {
            return None;
        }
        let mut bytes = Vec::with_capacity(length);
        (&file).take(length as u64).read_to_end(&mut bytes).ok()?;
        // The time of modification is that of the last use.
        let _ = file.set_modified(SystemTime::now());
        Some(bytes)
    }

    /// Whether [`Cache::get`] would find it now. Nothing is read.
    pub fn has(&self, name: &str, bytes_max: usize) -> bool {
        let fits = |meta: fs::Metadata| meta.is_file() && meta.len() <= bytes_max as u64;
        self.inner.usable && fs::metadata(self.inner.folder.join(name)).is_ok_and(fits)
    }

    /// Keeps `bytes` under `name`, a file's name that does not start with `unfinished-`. What was not used for the longest
    /// time makes room.
    pub fn put(&self, name: &str, bytes: &[u8]) {
        if self.inner.usable
            && bytes.len() as u64 <= self.inner.bytes_max
            && let Err(error) = self.inner.put(name, bytes)
        {
            tracing::debug!(name, %error, "a file is not kept");
        }
    }

    /// Removes what was kept under `name`.
    pub fn remove(&self, name: &str) {
        let _ = fs::remove_file(self.inner.folder.join(name));
    }
}

impl Inner {
    fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        self.make_room(name, bytes.len() as u64)?;
        let number = self.written.fetch_add(1, Ordering::Relaxed);
        let unfinished = self.folder.join(format!("{UNFINISHED}{}-{number}", std::process::id()));
        let written =
            write(&unfinished, bytes).and_then(|()| fs::rename(&unfinished, self.folder.join(name)));
        if written.is_err() {
            let _ = fs::remove_file(&unfinished);
        }
        written
    }

    /// Removes what was not used for the longest time, until `bytes` more fit in place of what `name` has.
    fn make_room(&self, name: &str, bytes: u64) -> io::Result<()> {
        let mut files = Vec::new();
        for found in fs::read_dir(&self.folder)? {
            let found = found?;
            let Ok(meta) = found.metadata() else { continue };
            if meta.is_file() && found.file_name() != name {
                files.push((meta.modified()?, meta.len(), found.path()));
            }
        }
        files.sort();
        let mut total: u64 = files.iter().map(|(_, length, _)| length).sum();
        for (_, length, path) in files {
            if total + bytes <= self.bytes_max {
                break;
            }
            gone(fs::remove_file(path))?;
            total -= length;
        }
        Ok(())
    }
}

/// Code is run that comes from here: nobody else may have put it there.
fn is_ours_alone(folder: &Path) -> io::Result<()> {
    let meta = fs::symlink_metadata(folder)?;
    let ours = meta.is_dir() && meta.uid() == rustix::process::geteuid().as_raw() && meta.mode() & 0o022 == 0;
    let why = "it is not a folder that this user alone may write in: remove it, or name another cacheFolder";
    if ours { Ok(()) } else { Err(io::Error::new(io::ErrorKind::PermissionDenied, why)) }
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    // A name that outlives a crash without its content would be found out by who reads it; this saves doing it again.
    file.sync_data()
}

/// Another process may have removed it: commands share their user's cache.
fn gone(removed: io::Result<()>) -> io::Result<()> {
    removed.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

fn sweep(folder: &Path) -> io::Result<()> {
    for found in fs::read_dir(folder)? {
        let found = found?;
        if found.file_name().to_string_lossy().starts_with(UNFINISHED) {
            gone(fs::remove_file(found.path()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::time::Duration;

    use super::*;

    fn cache(folder: &Path, bytes_max: u64) -> Cache {
        Cache::open(&Config { folder: folder.to_owned(), bytes_max })
    }

    #[test]
    fn what_is_kept_is_there_for_the_next_process_and_for_nobody_else() {
        let folder = tempfile::tempdir().unwrap();
        cache(folder.path(), 100).put("a", b"content");
        let next = cache(folder.path(), 100);
        assert_eq!(next.get("a", 100).unwrap(), b"content");
        assert_eq!(next.get("a", 6), None, "larger than is wanted");
        assert!(next.has("a", 7) && !next.has("a", 6));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let own = folder.path().join(FOLDER);
        assert_eq!((mode(&own), mode(&own.join("a"))), (0o700, 0o600));
        next.remove("a");
        assert_eq!(next.get("a", 100), None);
    }

    #[test]
    fn a_folder_that_others_may_write_in_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join(FOLDER);
        cache(folder.path(), 100).put("a", b"content");
        fs::set_permissions(&own, fs::Permissions::from_mode(0o770)).unwrap();
        let open = cache(folder.path(), 100);
        open.put("b", b"more");
        assert_eq!((open.get("a", 100), open.get("b", 100)), (None, None));
        assert!(!open.has("a", 100));
        assert!(!own.join("b").exists());
        fs::remove_dir_all(&own).unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), &own).unwrap();
        cache(folder.path(), 100).put("a", b"content");
        assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0, "a link leads elsewhere");
    }

    #[test]
    fn what_was_not_used_for_the_longest_time_makes_room() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(folder.path(), 10);
        cache.put("old", b"aaaa");
        cache.put("used", b"bbbb");
        let long_ago = SystemTime::now() - Duration::from_secs(3_600);
        for name in ["old", "used"] {
            let file = File::open(folder.path().join(FOLDER).join(name)).unwrap();
            file.set_modified(long_ago).unwrap();
        }
        assert!(cache.get("used", 10).is_some());
        cache.put("new", b"cccc");
        assert!(cache.get("old", 10).is_none());
        assert!(cache.get("used", 10).is_some() && cache.get("new", 10).is_some());
        cache.put("huge", b"eleven bytes");
        assert!(cache.get("huge", 100).is_none() && cache.get("new", 10).is_some());
        cache.put("new", b"cccc");
        assert!(cache.get("used", 10).is_some(), "what is there already needs no more room");
    }

    #[test]
    fn what_is_unfinished_is_removed_and_a_folder_that_cannot_be_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join(FOLDER);
        DirBuilder::new().mode(0o700).create(&own).unwrap();
        fs::write(own.join("unfinished-1-1"), "half").unwrap();
        cache(folder.path(), 10);
        assert_eq!(fs::read_dir(&own).unwrap().count(), 0);
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let none = cache(&file, 10);
        none.put("a", b"a");
        assert_eq!(none.get("a", 10), None);
    }
}
