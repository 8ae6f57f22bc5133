//! Statement: what somebody signed, by an in-toto statement in an envelope (cosign's form from version 3 on).
//!
//! In: a payload. Out: the bytes that its signature is of, and whether it says that an artefact is signed. Never: another
//! thing that is said of an artefact, such as that it was scanned, taken for a signature of it.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::model::Digest;

/// What an envelope says of its payload; it is signed with it.
pub(super) const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

const STATEMENT: &str = "https://in-toto.io/Statement/v1";
/// What `cosign sign` says of an artefact. What `cosign attest` says has types of its own.
pub(in crate::modules) const SIGNS: &str = "https://sigstore.dev/cosign/sign/v1";

#[derive(Deserialize)]
struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
}

#[derive(Deserialize)]
struct Subject {
    #[serde(default)]
    digest: BTreeMap<String, String>,
}

/// What the signature of an envelope is of (DSSE protocol, "Signature Definition").
pub(super) fn signed(payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {PAYLOAD_TYPE} {} ", PAYLOAD_TYPE.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

/// Whether a payload signs `artefact`.
pub(super) fn signs(payload: &[u8], artefact: Digest) -> Result<(), &'static str> {
    let Statement { kind, subject, predicate_type } =
        serde_json::from_slice(payload).map_err(|_| "a signed statement is not of in-toto's form")?;
    if kind != STATEMENT {
        return Err("a signed statement is not of in-toto's form");
    }
    if predicate_type != SIGNS {
        return Err("a signed statement is no signature; sign the artefact with cosign sign");
    }
    let hex = artefact.hex();
    let is_meant = |subject: &Subject| subject.digest.get("sha256") == Some(&hex);
    let about_another = "a signed statement is about another artefact";
    subject.iter().any(is_meant).then_some(()).ok_or(about_another)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_type_and_the_lengths_are_signed_with_the_payload() {
        // DSSE protocol, "Test Vectors", with our type.
        let signed = String::from_utf8(signed(b"hello world")).unwrap();
        assert_eq!(signed, "DSSEv1 28 application/vnd.in-toto+json 11 hello world");
    }

    #[test]
    fn only_a_statement_that_signs_this_artefact_does() {
        let artefact = Digest::of(b"manifest");
        let of = |kind: &str, predicate: &str, digests: &[(&str, String)]| {
            let subject: Vec<_> =
                digests.iter().map(|(name, hex)| json!({ "digest": { *name: hex } })).collect();
            json!({ "_type": kind, "subject": subject, "predicateType": predicate, "predicate": {} })
                .to_string()
        };
        let (ours, other) = (("sha256", artefact.hex()), ("sha256", Digest::of(b"x").hex()));
        let no_form = "a signed statement is not of in-toto's form";
        let another = "a signed statement is about another artefact";
        for (payload, outcome) in [
            (of(STATEMENT, SIGNS, std::slice::from_ref(&ours)), Ok(())),
            (of(STATEMENT, SIGNS, &[other.clone(), ours.clone()]), Ok(())),
            (of(STATEMENT, SIGNS, &[other]), Err(another)),
            (of(STATEMENT, SIGNS, &[("sha512", artefact.hex())]), Err(another)),
            (of(STATEMENT, SIGNS, &[]), Err(another)),
            (of("https://in-toto.io/Statement/v0.1", SIGNS, std::slice::from_ref(&ours)), Err(no_form)),
            (
                of(STATEMENT, "https://cosign.sigstore.dev/attestation/vuln/v1", &[ours]),
                Err("a signed statement is no signature; sign the artefact with cosign sign"),
            ),
            (r#"{"_type": "https://in-toto.io/Statement/v1"}"#.to_owned(), Err(no_form)),
            (String::new(), Err(no_form)),
        ] {
            assert_eq!(signs(payload.as_bytes(), artefact), outcome, "{payload}");
        }
    }
}
