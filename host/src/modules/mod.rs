//! Modules: where filter modules' bytes come from.
//!
//! In: an [`Origin`] that somebody wrote. Out: the component's bytes, their digest, and the origin by digest. Never: bytes
//! that are not what was asked for, or that another one may have and who asks has not shown to; more of them than the maximum, an address dialled that the operator does not allow; a
//! judgement of what the bytes do.
//!
//! What is part of the program, or read from the API server, is handed in by those who have it, with
//! [`Fetched::of_bytes`].

mod allow;
mod cache;
mod credentials;
mod error;
mod file;
mod known;
mod net;
mod oci;
mod place;
mod rights;
mod signature;

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use url::Url;

pub use allow::{Allowed, Prefix, PrefixError, Transport};
pub use credentials::Credentials;
pub use error::Error;
pub use known::Known;
pub use net::Reach;
use oci::Ask;
pub use oci::Parts;
pub use signature::{Key, KeyError};

use crate::model::{Digest, Origin, Reference};
use cache::{Cache, Found};
use known::{Key as Of, Memory};
use net::{Entry, Net, Within};
use rights::Right;

/// The largest module, unless the operator says otherwise: one in JavaScript or Python, which carries its interpreter,
/// has 20 MiB.
pub const MODULE_BYTES_MAX: usize = 32 << 20;

/// Bytes of all that is kept, unless the operator says otherwise.
pub const CACHE_BYTES_MAX: u64 = 1 << 30;

/// Where modules may come from.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The operator's folder of modules.
    pub folder: Option<PathBuf>,
    /// Who may be asked.
    pub reach: Reach,
    /// Bytes of one module, packed and unpacked.
    pub module_bytes_max: usize,
}

/// A module's bytes, and what they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The component.
    pub bytes: Bytes,
    /// Its digest.
    pub digest: Digest,
    /// The origin, so that it means the same tomorrow: a reference by the artefact's digest, or what was written.
    pub resolved: String,
    /// The digest of the key that signed it, where the operator requires one.
    pub signed_by: Option<Digest>,
}

impl Fetched {
    /// Of bytes that somebody else had.
    pub fn of_bytes(bytes: impl Into<Bytes>, resolved: impl Into<String>) -> Fetched {
        let bytes = bytes.into();
        Fetched { digest: Digest::of(&bytes), bytes, resolved: resolved.into(), signed_by: None }
    }
}

/// Fetches modules. Clones share connections, cache and limits.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    folder: Option<PathBuf>,
    cache: Option<Cache>,
    net: Net,
    known: Memory,
    module_bytes_max: usize,
}

impl Store {
    /// Prepares connections; content is kept in `files`. Must be called inside a Tokio runtime.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn new(config: Config, files: Option<crate::cache::Cache>) -> Result<Store, Error> {
        let Config { folder, reach, module_bytes_max } = config;
        let cache = files.map(Cache::new);
        let (net, known) = (Net::new(reach)?, Memory::default());
        Ok(Store { inner: Arc::new(Inner { folder, cache, net, known, module_bytes_max }) })
    }

    /// The bytes of a module. `credentials` are for a registry, and for what it names as its realm. Each entry of the list
    /// is asked for a few modules at a time; what is kept is read at once, so how many are in memory is the caller's to bound.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::is_transient`] says whether to try again.
    pub async fn fetch(&self, origin: &Origin, credentials: Option<&Credentials>) -> Result<Fetched, Error> {
        self.inner.fetch(origin, credentials, Ask::Registry).await
    }

    /// What a fetch answered before, with the same credentials, if it would answer the same today. Nobody is asked.
    pub async fn known(&self, origin: &Origin, credentials: Option<&Credentials>) -> Option<Known> {
        let Inner { folder, known, .. } = &*self.inner;
        let key = match origin {
            Origin::File { path } => Of::File(file::identity(folder.as_ref()?, path).await?),
            Origin::Http { url, sha256 } => Of::Content(*sha256, Right::to_download(url)),
            Origin::Oci { reference, .. } => {
                let right = self.inner.pull(Ask::Nobody).right(reference, credentials).ok()?;
                Of::Content(reference.digest()?, right)
            }
            Origin::Builtin { .. } | Origin::ConfigMap { .. } => return None,
        };
        known.get(&key)
    }

    /// Where [`Store::again`] has what was just fetched without asking anybody: the operator's folder, or what is kept of it.
    /// `None` if it is not kept, as where it is too large, or the disk is full.
    pub async fn has_again(
        &self,
        origin: &Origin,
        resolved: &str,
        credentials: Option<&Credentials>,
    ) -> Option<Origin> {
        let Inner { cache, module_bytes_max, .. } = &*self.inner;
        match origin {
            Origin::File { .. } => Some(origin.clone()),
            Origin::Http { url, sha256 } => {
                let kept = cache.as_ref()?.holds(*sha256, Right::to_download(url), *module_bytes_max).await;
                kept.then(|| origin.clone())
            }
            Origin::Oci { pull_secret, .. } => {
                let reference: Reference = resolved.parse().ok()?;
                let kept = self.inner.pull(Ask::Nobody).holds(&reference, credentials).await;
                kept.ok()?.then(|| Origin::Oci { reference, pull_secret: pull_secret.clone() })
            }
            Origin::Builtin { .. } | Origin::ConfigMap { .. } => None,
        }
    }

    /// As [`Store::fetch`], without asking anybody; `None` if it is not kept any more.
    pub async fn again(&self, origin: &Origin, credentials: Option<&Credentials>) -> Option<Fetched> {
        self.inner.fetch(origin, credentials, Ask::Nobody).await.ok()
    }

    /// Whether what a resource names may be asked for at all. Nobody is asked.
    ///
    /// # Errors
    /// [`Error::NotAllowed`], [`Error::PlainText`], and [`Error::Unsigned`] of a download that cannot be signed.
    pub fn permits(&self, origin: &Origin) -> Result<(), Error> {
        let net = &self.inner.net;
        match origin {
            Origin::Http { url, .. } => net.entry_of_download(url).map(drop),
            Origin::Oci { reference, .. } => net.entry_of(reference).map(drop),
            Origin::Builtin { .. } | Origin::File { .. } | Origin::ConfigMap { .. } => Ok(()),
        }
    }

    /// Whether anything of cosign's lies beside an artefact, of whatever keys; it is not checked.
    ///
    /// # Errors
    /// As [`Store::fetch`].
    pub async fn is_signed(
        &self,
        reference: &Reference,
        credentials: Option<&Credentials>,
    ) -> Result<bool, Error> {
        self.inner.pull(Ask::Registry).is_signed(reference, credentials).await
    }

    /// Bytes that registries have sent so far.
    pub fn received(&self) -> u64 {
        self.inner.net.received()
    }

    /// Uploads a component to a registry. Answers the artefact's digest.
    ///
    /// # Errors
    /// As [`Store::fetch`].
    pub async fn push(
        &self,
        reference: &Reference,
        credentials: Option<&Credentials>,
        parts: &Parts,
    ) -> Result<Digest, Error> {
        oci::push(&self.inner.net, reference, credentials, parts).await
    }
}

impl Inner {
    fn pull(&self, ask: Ask) -> oci::Pull<'_> {
        oci::Pull { net: &self.net, cache: self.cache.as_ref(), bytes_max: self.module_bytes_max, ask }
    }

    async fn fetch(
        &self,
        origin: &Origin,
        credentials: Option<&Credentials>,
        ask: Ask,
    ) -> Result<Fetched, Error> {
        match origin {
            Origin::File { path } => {
                let why = "the operator has not set filters.modulesFolder";
                let folder = self.folder.as_ref();
                let folder = folder.ok_or_else(|| Error::Source { what: path.to_string(), why })?;
                let (bytes, identity) = file::read(folder, path, self.module_bytes_max).await?;
                let fetched = Fetched::of_bytes(bytes, path.to_string());
                if let Some(identity) = identity {
                    self.known.note(Of::File(identity), &fetched);
                }
                Ok(fetched)
            }
            Origin::Http { url, sha256 } => {
                let fetched = self.download(url, *sha256, ask).await?;
                self.known.note(Of::Content(*sha256, Right::to_download(url)), &fetched);
                Ok(fetched)
            }
            Origin::Oci { reference, .. } => {
                let pull = self.pull(ask);
                let fetched = pull.fetch(reference, credentials).await?;
                if let Some(digest) = reference.digest() {
                    let right = pull.right(reference, credentials)?;
                    self.known.note(Of::Content(digest, right), &fetched);
                }
                Ok(fetched)
            }
            Origin::Builtin { name } => Err(Error::Source {
                what: format!("the built-in module {name}"),
                why: "it is part of the program",
            }),
            Origin::ConfigMap { name, key } => Err(Error::Source {
                what: format!("{key} of the ConfigMap {name}"),
                why: "it is read where the resource is",
            }),
        }
    }

    async fn download(&self, url: &Url, sha256: Digest, ask: Ask) -> Result<Fetched, Error> {
        let (entry, what) = (self.net.entry_of_download(url)?, net::bare(url));
        let (bytes_max, right) = (self.module_bytes_max, Right::to_download(url));
        let fetched = |bytes| Fetched { bytes, digest: sha256, resolved: what.clone(), signed_by: None };
        if let Some(cache) = &self.cache
            && let Found::Theirs(bytes) = cache.get(sha256, right, bytes_max).await
        {
            return Ok(fetched(bytes));
        }
        if ask == Ask::Nobody {
            return Err(Error::Source { what, why: oci::NOT_KEPT });
        }
        let turn = entry.turn().await;
        let bytes = net::within(turn.until(), self.downloaded(entry, url)).await?;
        drop(turn);
        let actual = Digest::of(&bytes);
        if actual != sha256 {
            return Err(Error::Digest { what, expected: sha256, actual });
        }
        if let Some(cache) = &self.cache {
            cache.put(sha256, right, bytes.clone()).await;
        }
        Ok(fetched(bytes))
    }

    /// What is at a URL, whatever it is.
    async fn downloaded(&self, entry: &Entry, url: &Url) -> Result<Bytes, Error> {
        let answer = self.net.send(entry, net::get(url, None, None)).await?;
        let (answer, at) = self.net.follow(entry, url, answer, Within::Paths).await?;
        if answer.status != StatusCode::OK {
            return Err(net::refusal(net::bare(&at), "correct the address", answer).await);
        }
        let bytes_max = self.module_bytes_max;
        let read = answer.read_to(bytes_max).await;
        read.map_err(|error| match error {
            crate::http::Error::TooLarge { .. } => {
                Error::TooLarge { what: net::bare(url), bytes_max, unpacked: false }
            }
            error => error.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const MODULE: &[u8] = b"\0asm\x0d\0\x01\0";

    /// A store, what it keeps, and a server that takes connections and never answers.
    async fn store(bytes_max: u64) -> (Store, Cache, tempfile::TempDir, tokio::net::TcpListener) {
        let folder = tempfile::tempdir().unwrap();
        let files =
            crate::cache::Cache::open(&crate::cache::Config { folder: folder.path().into(), bytes_max });
        let reach = Reach::Anything { transport: Transport::PlainHttp, keys: Vec::new() };
        let config = Config { folder: None, reach, module_bytes_max: 1_000 };
        let store = Store::new(config, Some(files)).unwrap();
        let cache = store.inner.cache.clone().unwrap();
        (store, cache, folder, tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    async fn again(store: &Store, origin: &Origin) -> Option<Bytes> {
        let again = tokio::time::timeout(Duration::from_secs(5), store.again(origin, None));
        again.await.expect("nobody is asked").map(|fetched| fetched.bytes)
    }

    fn forget(folder: &tempfile::TempDir, digest: Digest) {
        std::fs::remove_file(folder.path().join("modules-1").join(digest.hex())).unwrap();
    }

    #[tokio::test]
    async fn a_download_is_had_again_only_while_it_is_kept() {
        let (small, full, _folder, server) = store(100).await;
        let url: Url = format!("http://{}/a.wasm", server.local_addr().unwrap()).parse().unwrap();
        let (sha256, right) = (Digest::of(MODULE), Right::to_download(&url));
        let origin = Origin::Http { url, sha256 };
        // More than all that is kept may have, as a write that failed.
        full.put(sha256, right, vec![0; 101].into()).await;
        assert_eq!(small.has_again(&origin, "", None).await, None);
        assert_eq!(again(&small, &origin).await, None);
        let (store, cache, folder, _server) = store(10_000).await;
        cache.put(sha256, Right::to_download(&"http://other/".parse().unwrap()), MODULE.into()).await;
        assert_eq!(store.has_again(&origin, "", None).await, None, "somebody else's");
        cache.put(sha256, right, MODULE.into()).await;
        assert_eq!(store.has_again(&origin, "", None).await, Some(origin.clone()));
        assert_eq!(again(&store, &origin).await.as_deref(), Some(MODULE));
        forget(&folder, sha256);
        assert_eq!(store.has_again(&origin, "", None).await, None);
    }

    #[tokio::test]
    async fn an_artefact_is_had_again_only_while_all_of_it_is_kept() {
        let (store, cache, folder, server) = store(10_000).await;
        let layer = Digest::of(MODULE);
        let manifest = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "layers": [{ "mediaType": "application/wasm", "digest": layer.to_string(), "size": MODULE.len() }],
        });
        let manifest = Bytes::from(manifest.to_string());
        let digest = Digest::of(&manifest);
        let resolved = format!("{}/acme/a@{digest}", server.local_addr().unwrap());
        let reference: Reference = resolved.parse().unwrap();
        let right = store.inner.pull(Ask::Nobody).right(&reference, None).unwrap();
        let tagged = resolved.replace(&format!("@{digest}"), ":1").parse().unwrap();
        let origin = Origin::Oci { reference: tagged, pull_secret: None };
        let settled = Origin::Oci { reference, pull_secret: None };
        cache.put(digest, right, manifest).await;
        assert_eq!(store.has_again(&origin, &resolved, None).await, None);
        cache.put(layer, right, MODULE.into()).await;
        assert_eq!(store.has_again(&origin, &resolved, None).await, Some(settled.clone()));
        assert_eq!(again(&store, &settled).await.as_deref(), Some(MODULE));
        assert_eq!(again(&store, &origin).await, None, "nobody is asked what a tag stands for");
        forget(&folder, layer);
        assert_eq!(again(&store, &settled).await, None);
        assert_eq!(store.has_again(&origin, &resolved, None).await, None);
    }
}
