//! Cache: content by digest.
//!
//! In: content and the digest that it has. Out: the same content, if it is kept. Never: content that was not checked when it
//! was read.

use bytes::Bytes;

use crate::cache;
use crate::model::Digest;

/// Content by digest. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Cache(cache::Cache);

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
    /// In files of this process's own.
    pub(super) fn new(files: cache::Cache) -> Cache {
        Cache(files)
    }

    /// The content, if it is there and at most `bytes_max` long. Content that has changed is removed.
    pub(super) async fn get(&self, entry: Entry, bytes_max: usize) -> Option<Bytes> {
        let files = self.0.clone();
        let get = move || checked(&files, entry, bytes_max);
        // A panic in there is an entry that is not there.
        tokio::task::spawn_blocking(get).await.ok().flatten()
    }

    /// Keeps content. It must have the digest that its name says.
    pub(super) async fn put(&self, entry: Entry, bytes: Bytes) {
        let files = self.0.clone();
        // A panic in there costs the entry and nothing else.
        let _ = tokio::task::spawn_blocking(move || files.put(&entry.name(), &bytes)).await;
    }
}

fn checked(files: &cache::Cache, entry: Entry, bytes_max: usize) -> Option<Bytes> {
    let name = entry.name();
    let bytes = files.get(&name, bytes_max)?;
    if let Entry::Content(digest) = entry
        && Digest::of(&bytes) != digest
    {
        tracing::warn!(%digest, "a kept module has changed on the disk; it is fetched again");
        files.remove(&name);
        return None;
    }
    Some(bytes.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn content_that_changed_on_the_disk_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let files = cache::Cache::open(&cache::Config { folder: folder.path().to_owned(), bytes_max: 100 });
        let cache = Cache::new(files.clone());
        let entry = Entry::Content(Digest::of(b"content"));
        cache.put(entry, Bytes::from_static(b"content")).await;
        assert_eq!(cache.get(entry, 100).await.unwrap(), "content");
        files.put(&entry.name(), b"c0ntent");
        assert_eq!(cache.get(entry, 100).await, None);
        assert_eq!(files.get(&entry.name(), 100), None);
    }
}
