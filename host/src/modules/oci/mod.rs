//! Oci: modules in registries, by the OCI distribution specification.
//!
//! In: a reference, credentials, the operator's keys. Out: the module, and the reference by digest. Never: content without
//! the digest that names it, a layer of an artefact whose signature is missing.

mod auth;
mod manifest;
mod push;
mod referrers;
mod session;
mod signed;
mod unpack;

use bytes::Bytes;

pub use push::Parts;
pub(super) use push::push;

use super::cache::{Cache, Found};
use super::net::Net;
use super::rights::Right;
use super::{Credentials, Error, Fetched};
use crate::model::{Digest, Reference, Version};
use manifest::{Descriptor, Manifest, Packing};
use session::{Action, MANIFEST_BYTES_MAX, Raw, Session};

/// What a fetch works with.
pub(super) struct Pull<'a> {
    pub(super) net: &'a Net,
    pub(super) cache: Option<&'a Cache>,
    pub(super) bytes_max: usize,
    pub(super) ask: Ask,
}

/// Who may be asked for what is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask {
    Registry,
    /// It is an error then.
    Nobody,
}

/// Why nothing is had where nobody may be asked.
pub(super) const NOT_KEPT: &str = "it is not kept";

/// Where a module is in its artefact.
struct Place {
    resolved: String,
    signed_by: Option<Digest>,
    layer: Descriptor,
    packing: Packing,
}

impl Pull<'_> {
    /// The module of an artefact. One that is named by its digest and kept needs no network, for whoever had it before.
    pub(super) async fn fetch(
        &self,
        reference: &Reference,
        credentials: Option<&Credentials>,
    ) -> Result<Fetched, Error> {
        let mut session = Session::new(self.net, reference, credentials, Action::Pull)?;
        let Place { resolved, signed_by, layer, packing } = self.find(&mut session, reference).await?;
        let packed = self.blob(&mut session, &resolved, &layer, self.bytes_max).await?;
        let (what, bytes_max) = (resolved.clone(), self.bytes_max);
        // Unpacking and hashing tens of megabytes takes a while.
        let unpacked = tokio::task::spawn_blocking(move || {
            let bytes = unpack::module(&what, packed, packing, bytes_max)?;
            Ok(Fetched { digest: Digest::of(&bytes), bytes, resolved: what, signed_by })
        });
        unpacked.await.unwrap_or_else(|error| Err(Error::of_answer(resolved, &error)))
    }

    /// Whether all that makes a module of an artefact is kept, for whoever had it before. Of the module nothing is read.
    pub(super) async fn holds(
        &self,
        reference: &Reference,
        credentials: Option<&Credentials>,
    ) -> Result<bool, Error> {
        let pull = Pull { ask: Ask::Nobody, ..*self };
        let mut session = Session::new(self.net, reference, credentials, Action::Pull)?;
        let Place { resolved, layer, .. } = pull.find(&mut session, reference).await?;
        let digest = layer.sha256().map_err(|why| Error::of_layout(&resolved, why))?;
        let Some(cache) = self.cache else { return Ok(false) };
        Ok(cache.holds(digest, session.right(), self.bytes_max).await)
    }

    /// What an artefact says of its module, and who has signed it, where somebody must have.
    async fn find(&self, session: &mut Session<'_>, reference: &Reference) -> Result<Place, Error> {
        let entry = self.net.entry_of(reference)?;
        let top = self.manifest(session, reference.version()).await?;
        let resolved = reference.at(top.digest).to_string();
        let signed_by = match entry.allowed.keys.as_slice() {
            [] => None,
            keys => Some(self.signed_by(session, &resolved, &top, keys).await?),
        };
        let layers = self.layers(session, &resolved, top).await?;
        let (layer, packing) = manifest::module(&layers).map_err(|why| Error::of_layout(&resolved, why))?;
        let layer = layer.clone();
        Ok(Place { resolved, signed_by, layer, packing })
    }

    /// Before a registry is asked.
    fn may_ask(&self, what: &str) -> Result<(), Error> {
        match self.ask {
            Ask::Registry => Ok(()),
            Ask::Nobody => Err(Error::Source { what: what.to_owned(), why: NOT_KEPT }),
        }
    }

    /// What a fetch would show to have.
    pub(super) fn right(
        &self,
        reference: &Reference,
        credentials: Option<&Credentials>,
    ) -> Result<Right, Error> {
        Ok(Session::new(self.net, reference, credentials, Action::Pull)?.right())
    }

    /// Whether there is a signature beside the artefact, of whomever.
    pub(super) async fn is_signed(
        &self,
        reference: &Reference,
        credentials: Option<&Credentials>,
    ) -> Result<bool, Error> {
        let mut session = Session::new(self.net, reference, credentials, Action::Pull)?;
        let top = self.manifest(&mut session, reference.version()).await?;
        signed::is_signed(&mut session, &top).await
    }

    /// The layers of the artefact, or of the one in an index that is meant for us.
    async fn layers(
        &self,
        session: &mut Session<'_>,
        what: &str,
        top: Raw,
    ) -> Result<Vec<Descriptor>, Error> {
        let refuse = |why: String| Error::of_layout(what, why);
        let read = |raw: &Raw| Manifest::read(&raw.bytes, raw.content_type.as_deref()).map_err(refuse);
        let manifests = match read(&top)? {
            Manifest::Image(layers) => return Ok(layers),
            Manifest::Index(manifests) => manifests,
        };
        let digest = manifest::wasm_platform(&manifests).and_then(Descriptor::sha256).map_err(refuse)?;
        let inner = self.manifest(session, &Version::Digest(digest)).await?;
        match read(&inner)? {
            Manifest::Image(layers) => Ok(layers),
            Manifest::Index(_) => Err(refuse("it is an index of indexes".to_owned())),
        }
    }

    /// A manifest is small: whoever has it not yet shows their right by getting it.
    async fn manifest(&self, session: &mut Session<'_>, version: &Version) -> Result<Raw, Error> {
        if let (Some(cache), Version::Digest(digest)) = (self.cache, version)
            && let Found::Theirs(bytes) = cache.get(*digest, session.right(), MANIFEST_BYTES_MAX).await
        {
            return Ok(Raw { digest: *digest, bytes, content_type: None });
        }
        self.may_ask("a manifest")?;
        let raw = session.manifest(version).await?;
        self.keep(raw.digest, session, &raw.bytes).await;
        Ok(raw)
    }

    async fn blob(
        &self,
        session: &mut Session<'_>,
        what: &str,
        layer: &Descriptor,
        bytes_max: usize,
    ) -> Result<Bytes, Error> {
        let digest = layer.sha256().map_err(|why| Error::of_layout(what, why))?;
        if let Some(cache) = self.cache {
            let right = session.right();
            match cache.get(digest, right, bytes_max).await {
                Found::Theirs(bytes) => return Ok(bytes),
                // The registry's word is enough about what it gave itself; of a refusal it says more when it is asked for all.
                Found::Withheld if self.may_ask(what).is_ok() && session.has(digest).await? => {
                    if let Some(bytes) = cache.admit(digest, right, bytes_max).await {
                        return Ok(bytes);
                    }
                }
                Found::Withheld | Found::Nothing => {}
            }
        }
        self.may_ask(what)?;
        let bytes = session.blob(layer, bytes_max).await?;
        self.keep(digest, session, &bytes).await;
        Ok(bytes)
    }

    async fn keep(&self, digest: Digest, session: &Session<'_>, bytes: &Bytes) {
        if let Some(cache) = self.cache {
            cache.put(digest, session.right(), bytes.clone()).await;
        }
    }
}
