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
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use url::Url;

pub use allow::{Allowed, Prefix, PrefixError, Transport};
pub use credentials::Credentials;
pub use error::Error;
pub use known::Known;
pub use net::Reach;
pub use oci::Parts;
pub use signature::{Key, KeyError};

use crate::model::{Digest, Origin, Reference};
use cache::{Cache, Found};
use known::{Key as Of, Memory};
use net::{Net, Within};
use rights::Right;

/// How long a fetch may take, waiting for its turn included.
const FETCH_TIME_MAX: Duration = Duration::from_secs(300);

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
        let fetch = self.inner.fetch(origin, credentials);
        tokio::time::timeout(FETCH_TIME_MAX, fetch).await.unwrap_or_else(|_| Err(Error::Slow(FETCH_TIME_MAX)))
    }

    /// What a fetch answered before, with the same credentials, if it would answer the same today. Nobody is asked.
    pub async fn known(&self, origin: &Origin, credentials: Option<&Credentials>) -> Option<Known> {
        let Inner { folder, known, .. } = &*self.inner;
        let key = match origin {
            Origin::File { path } => Of::File(file::identity(folder.as_ref()?, path).await?),
            Origin::Http { url, sha256 } => Of::Content(*sha256, Right::to_download(url)),
            Origin::Oci { reference, .. } => {
                Of::Content(reference.digest()?, self.inner.pull().right(reference, credentials).ok()?)
            }
            Origin::Builtin { .. } | Origin::ConfigMap { .. } => return None,
        };
        known.get(&key)
    }

    /// Where what was just fetched is to be had again without asking anybody: the operator's folder, or what is kept of it. `None`
    /// if nothing is kept.
    pub fn has_again(&self, origin: &Origin, resolved: &str) -> Option<Origin> {
        match origin {
            Origin::File { .. } => Some(origin.clone()),
            Origin::Http { .. } => self.inner.cache.as_ref().map(|_| origin.clone()),
            Origin::Oci { pull_secret, .. } => {
                let reference = self.inner.cache.as_ref().and_then(|_| resolved.parse().ok())?;
                Some(Origin::Oci { reference, pull_secret: pull_secret.clone() })
            }
            Origin::Builtin { .. } | Origin::ConfigMap { .. } => None,
        }
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
        self.inner.pull().is_signed(reference, credentials).await
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
    fn pull(&self) -> oci::Pull<'_> {
        oci::Pull { net: &self.net, cache: self.cache.as_ref(), bytes_max: self.module_bytes_max }
    }

    async fn fetch(&self, origin: &Origin, credentials: Option<&Credentials>) -> Result<Fetched, Error> {
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
                let fetched = self.download(url, *sha256).await?;
                self.known.note(Of::Content(*sha256, Right::to_download(url)), &fetched);
                Ok(fetched)
            }
            Origin::Oci { reference, .. } => {
                let fetched = self.pull().fetch(reference, credentials).await?;
                if let Some(digest) = reference.digest() {
                    let right = self.pull().right(reference, credentials)?;
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

    async fn download(&self, url: &Url, sha256: Digest) -> Result<Fetched, Error> {
        let (entry, what) = (self.net.entry_of_download(url)?, net::bare(url));
        let (bytes_max, right) = (self.module_bytes_max, Right::to_download(url));
        let fetched = |bytes| Fetched { bytes, digest: sha256, resolved: what.clone(), signed_by: None };
        if let Some(cache) = &self.cache
            && let Found::Theirs(bytes) = cache.get(sha256, right, bytes_max).await
        {
            return Ok(fetched(bytes));
        }
        let _turn = entry.turn().await;
        let answer = self.net.send(entry, net::get(url, None, None)).await?;
        let (answer, at) = self.net.follow(entry, url, answer, Within::Paths).await?;
        if answer.status != StatusCode::OK {
            return Err(net::refusal(net::bare(&at), "correct the address", answer).await);
        }
        let too_large = Error::TooLarge { what: what.clone(), bytes_max, unpacked: false };
        let bytes = answer.read_to(bytes_max).await.map_err(|error| match error {
            crate::http::Error::TooLarge { .. } => too_large,
            error => error.into(),
        })?;
        let actual = Digest::of(&bytes);
        if actual != sha256 {
            return Err(Error::Digest { what, expected: sha256, actual });
        }
        if let Some(cache) = &self.cache {
            cache.put(sha256, right, bytes.clone()).await;
        }
        Ok(fetched(bytes))
    }
}
