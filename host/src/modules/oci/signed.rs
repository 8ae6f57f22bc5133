//! Signed: what lies beside an artefact in its registry that says who signed it.
//!
//! In: an artefact, the operator's keys. Out: the key that signed it. Never: more of them looked at than the maximum; an
//! artefact taken for an unsigned one because the registry could not answer now.
//!
//! cosign's first form is the tag `sha256-….sig`: a manifest whose layers are payloads, each with its signature as an
//! annotation. From version 3 on each signature is an artefact of its own, a bundle, that refers to what it signs.

use bytes::Bytes;

use super::super::signature::{Artefact, BUNDLE, Claim, SIGNS, bundled, signer};
use super::super::{Error, Key};
use super::Pull;
use super::manifest::{Descriptor, Manifest};
use super::session::{Raw, Session};
use crate::model::{Digest, Version};

/// Signatures of one artefact and of one form that are looked at.
const CLAIMS_MAX: usize = 16;
/// One payload or bundle; payloads have 300 bytes, bundles up to 10 KiB.
const CLAIM_BYTES_MAX: usize = 64 << 10;
/// All that is kept of one artefact's signatures.
const CLAIMS_BYTES_MAX: usize = 4 << 20;

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
            && let Some(kept) = cache.signatures(top.digest, CLAIMS_BYTES_MAX).await
            && let Ok(claims) = serde_json::from_slice::<Vec<Claim>>(&kept)
            && let Ok(key) = signer(artefact, &claims, keys)
        {
            return Ok(key.id());
        }
        let mut claims = payloads(session, top.digest).await?;
        if signer(artefact, &claims, keys).is_err() {
            claims.extend(bundles(session, top.digest).await?);
        }
        let unsigned = |why: &str| Error::Unsigned { what: what.to_owned(), why: why.to_owned() };
        let key = signer(artefact, &claims, keys).map_err(unsigned)?;
        if let (Some(cache), Ok(claims)) = (self.cache, serde_json::to_vec(&claims)) {
            cache.put_signatures(top.digest, claims).await;
        }
        Ok(key.id())
    }
}

/// Whether something beside the artefact says that somebody signed it. Nothing of it is checked.
pub(super) async fn is_signed(session: &mut Session<'_>, artefact: Digest) -> Result<bool, Error> {
    Ok(!payloads(session, artefact).await?.is_empty() || !bundles(session, artefact).await?.is_empty())
}

/// The signatures of cosign's first form.
async fn payloads(session: &mut Session<'_>, artefact: Digest) -> Result<Vec<Claim>, Error> {
    let tag = Version::Tag(format!("sha256-{}.sig", artefact.hex()));
    let layers = layers(session, &tag).await?;
    let mut claims = Vec::new();
    for layer in layers.iter().filter(|layer| layer.media_type == PAYLOAD).take(CLAIMS_MAX) {
        if let Some(signature) = layer.annotations.get(SIGNATURE)
            && let Some(payload) = content(session, layer).await?
        {
            claims.push(Claim::new(&payload, signature));
        }
    }
    Ok(claims)
}

/// The signatures in bundles that refer to the artefact, the newest first: keys change.
async fn bundles(session: &mut Session<'_>, artefact: Digest) -> Result<Vec<Claim>, Error> {
    let mut referrers = match session.referrers(artefact, BUNDLE_NOW).await? {
        Some(referrers) => referrers,
        None => tagged(session, artefact).await?,
    };
    referrers.retain(may_sign);
    referrers.sort_by(|a, b| b.annotations.get(CREATED).cmp(&a.annotations.get(CREATED)));
    let mut claims = Vec::new();
    for referrer in referrers.iter().take(CLAIMS_MAX) {
        let Ok(digest) = referrer.sha256() else { continue };
        let layers = layers(session, &Version::Digest(digest)).await?;
        if let Some(layer) = layers.iter().find(|layer| layer.media_type.starts_with(BUNDLE))
            && let Some(bundle) = content(session, layer).await?
        {
            claims.extend(bundled(&bundle));
        }
    }
    Ok(claims)
}

/// What refers to an artefact where the registry does not know: whoever pushed it has kept a list (OCI distribution
/// specification 1.1, "Referrers Tag Schema").
async fn tagged(session: &mut Session<'_>, artefact: Digest) -> Result<Vec<Descriptor>, Error> {
    let tag = Version::Tag(format!("sha256-{}", artefact.hex()));
    Ok(match read(session, &tag).await? {
        Some(Manifest::Index(manifests)) => manifests,
        Some(Manifest::Image(_)) | None => Vec::new(),
    })
}

/// What a list says of a referrer saves asking for most that sign nothing: bills of materials have megabytes.
fn may_sign(referrer: &Descriptor) -> bool {
    let kind = referrer.artifact_type.as_deref();
    kind.is_none_or(|kind| kind.starts_with(BUNDLE) || kind == EMPTY)
        && referrer.annotations.get(PREDICATE).is_none_or(|predicate| predicate == SIGNS)
}

async fn layers(session: &mut Session<'_>, version: &Version) -> Result<Vec<Descriptor>, Error> {
    Ok(match read(session, version).await? {
        Some(Manifest::Image(layers)) => layers,
        Some(Manifest::Index(_)) | None => Vec::new(),
    })
}

/// A manifest beside the artefact, if it is one. Whoever may push there can put anything beside it, which must not hide a
/// signature.
async fn read(session: &mut Session<'_>, version: &Version) -> Result<Option<Manifest>, Error> {
    let raw = if_usable(session.manifest(version).await)?;
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
    }
}
