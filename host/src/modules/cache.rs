//! Cache: content by digest, in a folder of our own.
//!
//! In: content and the digest that it has. Out: the same content, if it still has it. Never: more bytes than its maximum,
//! content that was not checked when it was read, a half-written file, an error that stops a fetch: without a folder, or
//! with one that cannot be written, everything works and more is fetched.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use bytes::Bytes;

use crate::model::Digest;

/// The folder in the operator's: theirs may hold other things, and be open to others. A layout that changes gets another
/// number.
const FOLDER: &str = "modules-1";

/// What is being written has this in front, until it is complete.
const UNFINISHED: &str = "unfinished-";

/// Where, and how much.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheConfig {
    /// The folder; made if it is not there.
    pub folder: PathBuf,
    /// Bytes of all files together.
    pub bytes_max: u64,
}

/// Content by digest. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Cache {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    bytes_max: u64,
    /// Who writes, makes room too.
    writing: Mutex<()>,
    written: AtomicU64,
}

/// What a file holds. Signatures have no digest of their own: they are checked against keys, whoever kept them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    /// Content.
    Content(Digest),
    /// What was said of some content by those who signed it.
    Signatures(Digest),
}

impl Entry {
    fn name(self) -> String {
        match self {
            Entry::Content(digest) => digest.hex(),
            Entry::Signatures(digest) => format!("{}.sig", digest.hex()),
        }
    }
}

impl Cache {
    /// Makes the folder, and removes what an earlier process left unfinished.
    pub(super) fn open(config: &CacheConfig) -> Cache {
        let folder = config.folder.join(FOLDER);
        // A folder that cannot be made is one that is empty.
        let made =
            DirBuilder::new().recursive(true).mode(0o700).create(&folder).and_then(|()| sweep(&folder));
        if let Err(error) = made {
            tracing::warn!(folder = %folder.display(), %error, "modules are not kept: the cache's folder cannot be written");
        }
        let (bytes_max, writing) = (config.bytes_max, Mutex::new(()));
        Cache { inner: Arc::new(Inner { folder, bytes_max, writing, written: AtomicU64::new(0) }) }
    }

    /// The content, if it is there and at most `bytes_max` long. Content that has changed is removed.
    pub(super) async fn get(&self, entry: Entry, bytes_max: usize) -> Option<Bytes> {
        let inner = self.inner.clone();
        tokio::task::spawn_blocking(move || inner.get(entry, bytes_max)).await.ok().flatten()
    }

    /// Keeps content. It must have the digest that its name says.
    pub(super) async fn put(&self, entry: Entry, bytes: Bytes) {
        let inner = self.inner.clone();
        let put = move || {
            if let Err(error) = inner.put(entry, &bytes) {
                tracing::debug!(%error, "a module is not kept");
            }
        };
        // A panic in there costs the entry and nothing else.
        let _ = tokio::task::spawn_blocking(put).await;
    }
}

impl Inner {
    fn get(&self, entry: Entry, bytes_max: usize) -> Option<Bytes> {
        let path = self.folder.join(entry.name());
        let file = File::open(&path).ok()?;
        let mut bytes = Vec::new();
        (&file).take(bytes_max as u64 + 1).read_to_end(&mut bytes).ok()?;
        if bytes.len() > bytes_max {
            return None;
        }
        if let Entry::Content(digest) = entry
            && Digest::of(&bytes) != digest
        {
            tracing::warn!(%digest, "a kept module has changed on the disk; it is fetched again");
            let _ = fs::remove_file(&path);
            return None;
        }
        // The time of modification is that of the last use. On a folder that cannot be written it stays.
        let _ = file.set_modified(SystemTime::now());
        Some(bytes.into())
    }

    fn put(&self, entry: Entry, bytes: &[u8]) -> io::Result<()> {
        if bytes.len() as u64 > self.bytes_max {
            return Ok(());
        }
        let _writing = self.writing.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let name = entry.name();
        self.make_room(&name, bytes.len() as u64)?;
        let number = self.written.fetch_add(1, Ordering::Relaxed);
        let unfinished = self.folder.join(format!("{UNFINISHED}{}-{number}", std::process::id()));
        let written =
            write(&unfinished, bytes).and_then(|()| fs::rename(&unfinished, self.folder.join(&name)));
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
            let meta = found.metadata()?;
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
            fs::remove_file(path)?;
            total -= length;
        }
        Ok(())
    }
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    // A name that outlives a crash without its content would be found out by its digest; this saves the second fetch.
    file.sync_data()
}

fn sweep(folder: &Path) -> io::Result<()> {
    for found in fs::read_dir(folder)? {
        let found = found?;
        if found.file_name().to_string_lossy().starts_with(UNFINISHED) {
            fs::remove_file(found.path())?;
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
        Cache::open(&CacheConfig { folder: folder.to_owned(), bytes_max })
    }

    async fn put(cache: &Cache, bytes: &'static [u8]) -> Entry {
        let entry = Entry::Content(Digest::of(bytes));
        cache.put(entry, Bytes::from_static(bytes)).await;
        entry
    }

    #[tokio::test]
    async fn content_is_kept_for_the_next_process_and_for_nobody_else() {
        let folder = tempfile::tempdir().unwrap();
        let entry = put(&cache(folder.path(), 100), b"content").await;
        let next = cache(folder.path(), 100);
        assert_eq!(next.get(entry, 100).await.unwrap(), "content");
        assert_eq!(next.get(entry, 6).await, None, "larger than is wanted");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let own = folder.path().join(FOLDER);
        assert_eq!((mode(&own), mode(&own.join(entry.name()))), (0o700, 0o600));
    }

    #[tokio::test]
    async fn content_that_changed_on_the_disk_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(folder.path(), 100);
        let entry = put(&cache, b"content").await;
        let path = folder.path().join(FOLDER).join(entry.name());
        fs::write(&path, b"c0ntent").unwrap();
        assert_eq!(cache.get(entry, 100).await, None);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn what_was_not_used_for_the_longest_time_makes_room() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(folder.path(), 10);
        let (old, used) = (put(&cache, b"aaaa").await, put(&cache, b"bbbb").await);
        let long_ago = SystemTime::now() - Duration::from_secs(3_600);
        for entry in [old, used] {
            let file = File::open(folder.path().join(FOLDER).join(entry.name())).unwrap();
            file.set_modified(long_ago).unwrap();
        }
        assert!(cache.get(used, 10).await.is_some());
        let new = put(&cache, b"cccc").await;
        assert!(cache.get(old, 10).await.is_none());
        assert!(cache.get(used, 10).await.is_some() && cache.get(new, 10).await.is_some());
        let huge = put(&cache, b"eleven bytes").await;
        assert!(cache.get(huge, 100).await.is_none() && cache.get(new, 10).await.is_some());
        put(&cache, b"cccc").await;
        assert!(cache.get(used, 10).await.is_some(), "what is there already needs no more room");
    }

    #[tokio::test]
    async fn what_is_unfinished_is_removed_and_a_folder_that_cannot_be_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join(FOLDER);
        fs::create_dir(&own).unwrap();
        fs::write(own.join("unfinished-1-1"), "half").unwrap();
        cache(folder.path(), 10);
        assert_eq!(fs::read_dir(&own).unwrap().count(), 0);
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let none = cache(&file, 10);
        let entry = put(&none, b"a").await;
        assert_eq!(none.get(entry, 10).await, None);
    }
}
