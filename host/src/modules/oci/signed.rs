//! Signed: what lies beside an artefact in its registry that says who signed it.
//!
//! In: an artefact, the operator's keys. Out: the key that signed it. Never: more looked at than the maximum, or after the first
//! that holds; an artefact taken for an unsigned one because the registry could not answer now.
//!
//! cosign's first form is the tag `sha256-….sig`: a manifest whose layers are payloads, each with its signature as an
//! annotation. From version 3 on each signature is an artefact of its own, a bundle, that refers to what it signs.

use bytes::Bytes;

use super::super::signature::{Artefact, BUNDLE, Claim, SIGNS, bundled, signer};
use super::super::{Error, Key};
use super::Pull;
use super::manifest::{Descriptor, Manifest};
use super::session::{MANIFEST_BYTES_MAX, Raw, Session};
use crate::model::{Digest, Version};

/// Signatures of one artefact and of one form that are looked at. Whoever may push there can add others, so few of them must
/// not hide one; with the bytes that each may have it is 16 MiB.
const CLAIMS_MAX: usize = 128;
/// One payload or bundle; payloads have 300 bytes, bundles up to 10 KiB.
const CLAIM_BYTES_MAX: usize = 64 << 10;
/// The manifest that a bundle is in, which has 1 KiB.
const REFERRER_BYTES_MAX: usize = 64 << 10;
/// Signatures of one artefact that are kept: the one that held, and some of before it, since keys change.
const KEPT_MAX: usize = 16;
/// All that is kept of one artefact's signatures.
const KEPT_BYTES_MAX: usize = 4 << 20;

const PAYLOAD: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";

/// What cosign's bundles are, as their referrer says.
const BUNDLE_NOW: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// What is named instead where tools kept the list of referrers that know no types of artefacts: the configuration's.
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
const PREDICATE: &str = "dev.sigstore.bundle.predicateType";
const CREATED: &str = "org.opencontainers.image.created";

impl Pull<'_> {
    /// The digest of the key that signed an artefact. Kept signatures are checked again: keys change.
    pub(super) async fn signed_by(
        &self,
        session: &mut Session<'_>,
        what: &str,
        top: &Raw,
        keys: &[Key],
    ) -> Result<Digest, Error> {
        let artefact = Artefact { digest: top.digest, manifest: &top.bytes };
        if let Some(cache) = self.cache
            && let Some(kept) = cache.signatures(top.digest, KEPT_BYTES_MAX).await
            && let Ok(claims) = serde_json::from_slice::<Vec<Claim>>(&kept)
            && let Ok(key) = signer(artefact, &claims, keys)
        {
            return Ok(key.id());
        }
        self.may_ask(what)?;
        let mut search = Search::new(artefact, keys);
        search.run(session).await?;
        let key = search.signer().map_err(|why| Error::Unsigned { what: what.to_owned(), why })?;
        search.claims.truncate(KEPT_MAX);
        if let (Some(cache), Ok(claims)) = (self.cache, serde_json::to_vec(&search.claims)) {
            cache.put_signatures(top.digest, claims).await;
        }
        Ok(key)
    }
}

/// Whether something beside the artefact says that somebody signed it. Nothing of it is checked.
pub(super) async fn is_signed(session: &mut Session<'_>, top: &Raw) -> Result<bool, Error> {
    let mut search = Search::new(Artefact { digest: top.digest, manifest: &top.bytes }, &[]);
    search.run(session).await?;
    Ok(!search.claims.is_empty())
}

/// A search for signatures, until one is of a key; without keys, until there is one.
struct Search<'a> {
    artefact: Artefact<'a>,
    keys: &'a [Key],
    key: Option<Digest>,
    /// What was found; the one that holds is the first.
    claims: Vec<Claim>,
    /// How many were there that were not looked at.
    unseen: usize,
}

impl<'a> Search<'a> {
    fn new(artefact: Artefact<'a>, keys: &'a [Key]) -> Search<'a> {
        Search { artefact, keys, key: None, claims: Vec::new(), unseen: 0 }
    }

    async fn run(&mut self, session: &mut Session<'_>) -> Result<(), Error> {
        self.payloads(session).await?;
        if !self.is_over() {
            self.bundles(session).await?;
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.key.is_some() || (self.keys.is_empty() && !self.claims.is_empty())
    }

    fn take(&mut self, claim: Claim) {
        match signer(self.artefact, std::slice::from_ref(&claim), self.keys) {
            Ok(key) => {
                self.key = Some(key.id());
                self.claims.insert(0, claim);
            }
            Err(_) => self.claims.push(claim),
        }
    }

    /// The digest of the key whose signature was found, or why none was.
    fn signer(&self) -> Result<Digest, String> {
        let why = || match signer(self.artefact, &self.claims, self.keys) {
            Ok(_) => String::new(),
            Err(why) if self.unseen == 0 => why.to_owned(),
            Err(why) => {
                format!("{why}; {} more beside it were not looked at: remove those of others", self.unseen)
            }
        };
        self.key.ok_or_else(why)
    }

    /// The signatures of cosign's first form: the newest is the last.
    async fn payloads(&mut self, session: &mut Session<'_>) -> Result<(), Error> {
        let tag = Version::Tag(format!("sha256-{}.sig", self.artefact.digest.hex()));
        let mut layers = layers(session, &tag, MANIFEST_BYTES_MAX).await?;
        layers.retain(|layer| layer.media_type == PAYLOAD);
        self.unseen += layers.len().saturating_sub(CLAIMS_MAX);
        for layer in layers.iter().rev().take(CLAIMS_MAX) {
            if let Some(signature) = layer.annotations.get(SIGNATURE)
                && let Some(payload) = content(session, layer).await?
            {
                self.take(Claim::new(&payload, signature));
            }
            if self.is_over() {
                break;
            }
        }
        Ok(())
    }

    /// The signatures in bundles that refer to the artefact: what says that it is one before what does not, the newest first.
    async fn bundles(&mut self, session: &mut Session<'_>) -> Result<(), Error> {
        let artefact = self.artefact.digest;
        let mut referrers = match session.referrers(artefact, BUNDLE_NOW, may_sign).await? {
            Some(referrers) => referrers,
            None => tagged(session, artefact).await?,
        };
        referrers.sort_by(|a, b| {
            let age = || b.annotations.get(CREATED).cmp(&a.annotations.get(CREATED));
            doubt(a).cmp(&doubt(b)).then_with(age)
        });
        self.unseen += referrers.len().saturating_sub(CLAIMS_MAX);
        for referrer in referrers.iter().take(CLAIMS_MAX) {
            let Ok(digest) = referrer.sha256() else { continue };
            let layers = layers(session, &Version::Digest(digest), REFERRER_BYTES_MAX).await?;
            if let Some(layer) = layers.iter().find(|layer| layer.media_type.starts_with(BUNDLE))
                && let Some(bundle) = content(session, layer).await?
                && let Some(claim) = bundled(&bundle)
            {
                self.take(claim);
            }
            if self.is_over() {
                break;
            }
        }
        Ok(())
    }
}

/// What refers to an artefact where the registry does not know: whoever pushed it has kept a list (OCI distribution
/// specification 1.1, "Referrers Tag Schema").
async fn tagged(session: &mut Session<'_>, artefact: Digest) -> Result<Vec<Descriptor>, Error> {
    let tag = Version::Tag(format!("sha256-{}", artefact.hex()));
    let mut listed = match read(session, &tag, MANIFEST_BYTES_MAX).await? {
        Some(Manifest::Index(manifests)) => manifests,
        Some(Manifest::Image(_)) | None => Vec::new(),
    };
    listed.retain(may_sign);
    Ok(listed)
}

/// What a list says of a referrer saves asking for most that sign nothing: bills of materials have megabytes.
fn may_sign(referrer: &Descriptor) -> bool {
    let kind = referrer.artifact_type.as_deref();
    kind.is_none_or(|kind| kind.starts_with(BUNDLE) || kind == EMPTY)
        && referrer.annotations.get(PREDICATE).is_none_or(|predicate| predicate == SIGNS)
}

/// How little its list says of a referrer that it signs: that it does, that it is a bundle, neither.
fn doubt(referrer: &Descriptor) -> u8 {
    let is_bundle = referrer.artifact_type.as_deref().is_some_and(|kind| kind.starts_with(BUNDLE));
    match (is_bundle, referrer.annotations.contains_key(PREDICATE)) {
        (true, true) => 0,
        (true, false) => 1,
        (false, _) => 2,
    }
}

async fn layers(
    session: &mut Session<'_>,
    version: &Version,
    bytes_max: usize,
) -> Result<Vec<Descriptor>, Error> {
    Ok(match read(session, version, bytes_max).await? {
        Some(Manifest::Image(layers)) => layers,
        Some(Manifest::Index(_)) | None => Vec::new(),
    })
}

/// A manifest beside the artefact, if it is one. Whoever may push there can put anything beside it, which must not hide a
/// signature.
async fn read(
    session: &mut Session<'_>,
    version: &Version,
    bytes_max: usize,
) -> Result<Option<Manifest>, Error> {
    let raw = if_usable(session.manifest_within(version, bytes_max).await)?;
    Ok(raw.and_then(|raw| Manifest::read(&raw.bytes, raw.content_type.as_deref()).ok()))
}

async fn content(session: &mut Session<'_>, layer: &Descriptor) -> Result<Option<Bytes>, Error> {
    if_usable(session.blob(layer, CLAIM_BYTES_MAX).await)
}

/// What cannot be used is not there; that it cannot be had now, or not by us, is no word about it.
fn if_usable<T>(found: Result<T, Error>) -> Result<Option<T>, Error> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(
            Error::NotFound { .. } | Error::Answer { .. } | Error::Digest { .. } | Error::TooLarge { .. },
        ) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_refers_to_an_artefact_only_what_may_sign_it_is_asked_for() {
        let referrer = |kind: Option<&str>, predicate: Option<&str>| Descriptor {
            media_type: super::super::manifest::MANIFEST.into(),
            digest: Digest::of(b"").to_string(),
            size: 1,
            annotations: predicate.map(|text| (PREDICATE.to_owned(), text.to_owned())).into_iter().collect(),
            platform: None,
            artifact_type: kind.map(str::to_owned),
        };
        for (kind, predicate, may) in [
            (Some(BUNDLE_NOW), Some(SIGNS), true),
            (Some("application/vnd.dev.sigstore.bundle.v0.4+json"), None, true),
            (Some(EMPTY), None, true),
            (None, None, true),
            (Some(BUNDLE_NOW), Some("https://spdx.dev/Document"), false),
            (Some("application/spdx+json"), None, false),
        ] {
            assert_eq!(may_sign(&referrer(kind, predicate)), may, "{kind:?} {predicate:?}");
        }
        let doubts = [(Some(BUNDLE_NOW), Some(SIGNS)), (Some(BUNDLE_NOW), None), (Some(EMPTY), Some(SIGNS))];
        assert_eq!(doubts.map(|(kind, predicate)| doubt(&referrer(kind, predicate))), [0, 1, 2]);
    }
}
