//! Payload: what somebody signed, by cosign's first form ("simple signing").
//!
//! In: a payload. Out: whether it is about an artefact. Never: a payload that was not checked before, which is the caller's
//! to see to.

use serde::Deserialize;

use crate::model::Digest;

/// What a payload says it is.
pub(super) const KIND: &str = "cosign container image signature";

#[derive(Deserialize)]
struct Payload {
    critical: Critical,
}

#[derive(Deserialize)]
struct Critical {
    image: Image,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct Image {
    #[serde(rename = "docker-manifest-digest")]
    digest: String,
}

/// Whether a payload signs `artefact`.
pub(super) fn signs(payload: &[u8], artefact: Digest) -> Result<(), &'static str> {
    let Payload { critical: Critical { image, kind } } =
        serde_json::from_slice(payload).map_err(|_| "a signed payload is not of cosign's form")?;
    if kind != KIND {
        return Err("a signed payload is about something else than an artefact");
    }
    let about_another = "a signed payload is about another artefact";
    (image.digest.parse() == Ok(artefact)).then_some(()).ok_or(about_another)
}
