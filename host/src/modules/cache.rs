//! Cache: content by digest, for those who may have it.
//!
//! In: content, the digest that it has, and by which right it was had. Out: the same content, if it is kept, for the same
//! right. Never: content that was not checked when it was read; content for somebody who merely knows its digest.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::rights::{RECORD_BYTES_MAX, Record, Right};
use crate::cache;
use crate::model::Digest;

/// Content by digest. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Cache {
    files: cache::Cache,
    /// Who changes a record, or one that changes it at the same time would be forgotten.
    noting: Arc<Mutex<()>>,
}

/// What is there for somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// The content, which they had before.
    Theirs(Bytes),
    /// Somebody else had it from the same server, who may [`Cache::admit`] them.
    Withheld,
    /// Nothing that concerns them.
    Nothing,
}

impl Cache {
    /// In files of this process's own.
    pub(super) fn new(files: cache::Cache) -> Cache {
        Cache { files, noting: Arc::default() }
    }

    /// The content, if it is there and at most `bytes_max` long, and was had by this right before.
    pub(super) async fn get(&self, digest: Digest, right: Right, bytes_max: usize) -> Found {
        let get = move |cache: Cache| match cache.record(digest) {
            Some(record) if record.holds(right) => {
                checked(&cache.files, digest, bytes_max).map_or(Found::Nothing, Found::Theirs)
            }
            Some(record) if record.came_from_the_server_of(right) => Found::Withheld,
            _ => Found::Nothing,
        };
        self.blocking(get).await.unwrap_or(Found::Nothing)
    }

    /// Whether [`Cache::get`] would find it for this right now. The content is not read.
    pub(super) async fn holds(&self, digest: Digest, right: Right, bytes_max: usize) -> bool {
        let holds = move |cache: Cache| {
            cache.files.has(&digest.hex(), bytes_max)
                && cache.record(digest).is_some_and(|record| record.holds(right))
        };
        self.blocking(holds).await.unwrap_or_default()
    }

    /// The content, for a right that the server just confirmed.
    pub(super) async fn admit(&self, digest: Digest, right: Right, bytes_max: usize) -> Option<Bytes> {
        let admit = move |cache: Cache| {
            let bytes = checked(&cache.files, digest, bytes_max)?;
            cache.note(digest, right);
            Some(bytes)
        };
        self.blocking(admit).await.flatten()
    }

    /// Keeps content, and by which right it was had. It must have that digest.
    pub(super) async fn put(&self, digest: Digest, right: Right, bytes: Bytes) {
        let put = move |cache: Cache| {
            cache.files.put(&digest.hex(), &bytes);
            cache.note(digest, right);
        };
        let _ = self.blocking(put).await;
    }

    /// What was said of some content by those who signed it. It is checked against keys, whoever kept it, and opens nothing.
    pub(super) async fn signatures(&self, digest: Digest, bytes_max: usize) -> Option<Vec<u8>> {
        self.blocking(move |cache| cache.files.get(&signatures(digest), bytes_max)).await.flatten()
    }

    pub(super) async fn put_signatures(&self, digest: Digest, bytes: Vec<u8>) {
        let _ = self.blocking(move |cache| cache.files.put(&signatures(digest), &bytes)).await;
    }

    /// A panic in there is an entry that is not there, and costs nothing else.
    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce(Cache) -> T + Send + 'static) -> Option<T> {
        let cache = self.clone();
        tokio::task::spawn_blocking(move || work(cache)).await.ok()
    }

    fn record(&self, digest: Digest) -> Option<Record> {
        self.files.get(&rights(digest), RECORD_BYTES_MAX).and_then(|bytes| Record::read(&bytes))
    }

    fn note(&self, digest: Digest, right: Right) {
        let _noting = self.noting.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(mut record) = self.record(digest).or_else(Record::new) else { return };
        if !record.holds(right) {
            record.note(right);
            self.files.put(&rights(digest), &record.bytes());
        }
    }
}

fn rights(digest: Digest) -> String {
    format!("{}.rights", digest.hex())
}

fn signatures(digest: Digest) -> String {
    format!("{}.sig", digest.hex())
}

/// Content that has changed is removed.
fn checked(files: &cache::Cache, digest: Digest, bytes_max: usize) -> Option<Bytes> {
    let name = digest.hex();
    let bytes = files.get(&name, bytes_max)?;
    if Digest::of(&bytes) != digest {
        tracing::warn!(%digest, "a kept module has changed on the disk; it is fetched again");
        files.remove(&name);
        return None;
    }
    Some(bytes.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn right(url: &str) -> Right {
        Right::to_download(&url.parse().unwrap())
    }

    fn cache(bytes_max: u64) -> (tempfile::TempDir, cache::Cache) {
        let folder = tempfile::tempdir().unwrap();
        let files = cache::Cache::open(&cache::Config { folder: folder.path().to_owned(), bytes_max });
        (folder, files)
    }

    #[tokio::test]
    async fn content_that_changed_on_the_disk_is_not_used() {
        let (_folder, files) = cache(10_000);
        let (cache, digest, ours) = (Cache::new(files.clone()), Digest::of(b"content"), right("https://h/"));
        let content = Bytes::from_static(b"content");
        cache.put(digest, ours, content.clone()).await;
        assert_eq!(cache.get(digest, ours, 100).await, Found::Theirs(content));
        files.put(&digest.hex(), b"c0ntent");
        assert_eq!(cache.get(digest, ours, 100).await, Found::Nothing);
        assert_eq!(cache.admit(digest, ours, 100).await, None);
        assert_eq!(files.get(&digest.hex(), 100), None);
    }

    #[tokio::test]
    async fn content_is_for_those_who_had_it_and_whom_its_server_admits() {
        let (_folder, files) = cache(10_000);
        let (cache, digest) = (Cache::new(files.clone()), Digest::of(b"content"));
        let (ours, near, far) = (right("https://h/a"), right("https://h/b"), right("https://i/a"));
        let content = Bytes::from_static(b"content");
        // As an older version kept it: nobody's.
        files.put(&digest.hex(), b"content");
        assert_eq!(cache.get(digest, ours, 100).await, Found::Nothing);
        cache.put(digest, ours, content.clone()).await;
        assert_eq!(cache.get(digest, near, 100).await, Found::Withheld);
        assert_eq!(cache.get(digest, far, 100).await, Found::Nothing);
        assert!(cache.holds(digest, ours, 100).await && !cache.holds(digest, near, 100).await);
        assert!(!cache.holds(digest, ours, 6).await, "larger than is wanted");
        assert_eq!(cache.admit(digest, near, 100).await, Some(content.clone()));
        let next = Cache::new(files.clone());
        for known in [ours, near] {
            assert_eq!(next.get(digest, known, 100).await, Found::Theirs(content.clone()));
        }
        files.put(&rights(digest), b"{");
        assert_eq!(next.get(digest, ours, 100).await, Found::Nothing, "a broken record says nothing");
    }

    #[tokio::test]
    async fn rights_that_are_noted_at_once_are_all_kept() {
        let (_folder, files) = cache(1 << 20);
        let (cache, digest) = (Cache::new(files), Digest::of(b"content"));
        let all: Vec<Right> = (0..20).map(|number| right(&format!("https://h/{number}"))).collect();
        let mut noting = tokio::task::JoinSet::new();
        for right in all.clone() {
            let cache = cache.clone();
            noting.spawn(async move { cache.put(digest, right, Bytes::from_static(b"content")).await });
        }
        noting.join_all().await;
        for right in all {
            assert!(matches!(cache.get(digest, right, 100).await, Found::Theirs(_)));
        }
    }
}
