//! Signature: whether somebody whom the operator trusts has signed an artefact.
//!
//! In: what lies beside the artefact, and the operator's keys. Out: the key that signed it. Never: a key of a tenant's, a
//! word of what is said about a signature before it was checked, a signature of another artefact.
//!
//! The forms are those that cosign makes with keys: payloads beside signatures in its first one, and bundles from version 3
//! on, with a statement or the artefact itself signed.

mod bundle;
mod key;
mod payload;
mod statement;

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub(super) use bundle::{TYPE as BUNDLE, claim as bundled};
pub use key::{Key, KeyError};
pub(super) use statement::SIGNS;

use crate::model::Digest;

/// What is to be signed: the manifest of an artefact, and its digest.
#[derive(Debug, Clone, Copy)]
pub(super) struct Artefact<'a> {
    pub(super) digest: Digest,
    pub(super) manifest: &'a [u8],
}

/// One signature as it was found: not to be believed yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claim {
    #[serde(default)]
    form: Form,
    /// The payload's bytes, in base64.
    payload: String,
    /// The signature, in base64.
    signature: String,
}

/// What a signature is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Form {
    /// A payload of cosign's first form.
    #[default]
    Payload,
    /// An in-toto statement, in its envelope.
    Statement,
    /// The artefact's manifest itself.
    Manifest,
}

impl Claim {
    /// Of cosign's first form; the signature as the annotation has it.
    pub(super) fn new(payload: &Bytes, signature: &str) -> Claim {
        let payload = STANDARD.encode(payload);
        Claim { form: Form::Payload, payload, signature: signature.trim().to_owned() }
    }

    /// The key that signed it, if it is about `artefact`.
    fn verify<'k>(&self, artefact: Artefact<'_>, keys: &'k [Key]) -> Result<&'k Key, &'static str> {
        let payload = STANDARD.decode(&self.payload).map_err(|_| "a payload is not base64")?;
        let signature = STANDARD.decode(&self.signature).map_err(|_| "a signature is not base64")?;
        let signed = match self.form {
            Form::Payload => Cow::Borrowed(&payload[..]),
            Form::Statement => Cow::Owned(statement::signed(&payload)),
            Form::Manifest => Cow::Borrowed(artefact.manifest),
        };
        let key = keys.iter().find(|key| key.has_signed(&signed, &signature));
        let key = key.ok_or("a signature is of none of the keys")?;
        // Only now it is somebody's word.
        match self.form {
            Form::Payload => payload::signs(&payload, artefact.digest)?,
            Form::Statement => statement::signs(&payload, artefact.digest)?,
            Form::Manifest => {}
        }
        Ok(key)
    }
}

/// The key of the first claim that holds; or why the last one does not.
pub(super) fn signer<'k>(
    artefact: Artefact<'_>,
    claims: &[Claim],
    keys: &'k [Key],
) -> Result<&'k Key, &'static str> {
    let mut why = "it has no signature of cosign's beside it";
    for claim in claims {
        match claim.verify(artefact, keys) {
            Ok(key) => return Ok(key),
            Err(reason) => why = reason,
        }
    }
    Err(why)
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
    use serde_json::json;

    use super::payload::KIND;
    use super::*;

    const NONE_OF_THE_KEYS: &str = "a signature is of none of the keys";

    pub(super) fn pair() -> EcdsaKeyPair {
        EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap()
    }

    pub(super) fn pem(label: &str, der: &[u8]) -> String {
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
    }

    pub(super) fn public(pair: &EcdsaKeyPair) -> Key {
        let der: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        Key::from_pem(&pem("PUBLIC KEY", der.as_ref())).unwrap()
    }
    fn artefact() -> Artefact<'static> {
        Artefact { digest: Digest::of(b"manifest"), manifest: b"manifest" }
    }

    fn sign(pair: &EcdsaKeyPair, bytes: &[u8]) -> String {
        STANDARD.encode(pair.sign(&SystemRandom::new(), bytes).unwrap())
    }

    fn payload(kind: &str, digest: &str) -> Bytes {
        let critical = json!({
            "identity": { "docker-reference": "ghcr.io/acme/a" },
            "image": { "docker-manifest-digest": digest },
            "type": kind,
        });
        json!({ "critical": critical, "optional": null }).to_string().into()
    }

    fn signed(pair: &EcdsaKeyPair, payload: &Bytes) -> Claim {
        Claim::new(payload, &sign(pair, payload))
    }

    fn stated(pair: &EcdsaKeyPair, about: Digest) -> Claim {
        let payload = json!({
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{ "digest": { "sha256": about.hex() }, "annotations": {} }],
            "predicateType": SIGNS,
            "predicate": {},
        });
        let payload = payload.to_string().into_bytes();
        let signature = sign(pair, &statement::signed(&payload));
        Claim { form: Form::Statement, payload: STANDARD.encode(payload), signature }
    }

    fn check(claims: &[Claim], keys: &[Key], outcome: Result<&Key, &str>) {
        assert_eq!(signer(artefact(), claims, keys), outcome, "{claims:?}");
    }

    #[test]
    fn who_signed_an_artefact_is_found_among_the_keys() {
        let (ours, theirs) = (pair(), pair());
        let keys = [public(&theirs), public(&ours)];
        let digest = artefact().digest.to_string();
        let good = signed(&ours, &payload(KIND, &digest));
        let stranger = signed(&pair(), &payload(KIND, &digest));
        check(&[stranger.clone(), good.clone()], &keys, Ok(&keys[1]));
        for (claims, why) in [
            (vec![], "it has no signature of cosign's beside it"),
            (vec![stranger], NONE_OF_THE_KEYS),
            (
                vec![signed(&ours, &payload(KIND, &Digest::of(b"x").to_string()))],
                "a signed payload is about another artefact",
            ),
            (
                vec![signed(&ours, &payload("x", &digest))],
                "a signed payload is about something else than an artefact",
            ),
            (vec![signed(&ours, &Bytes::from_static(b"{}"))], "a signed payload is not of cosign's form"),
            (
                vec![Claim { payload: STANDARD.encode(payload(KIND, "sha256:")), ..good.clone() }],
                NONE_OF_THE_KEYS,
            ),
            (vec![Claim { signature: "?".into(), ..good }], "a signature is not base64"),
        ] {
            check(&claims, &keys, Err(why));
        }
    }

    #[test]
    fn a_statement_or_the_manifest_itself_may_be_signed_and_is_what_its_form_says() {
        let ours = pair();
        let keys = [public(&ours)];
        let good = stated(&ours, artefact().digest);
        let manifest =
            |bytes| Claim { form: Form::Manifest, payload: String::new(), signature: sign(&ours, bytes) };
        check(std::slice::from_ref(&good), &keys, Ok(&keys[0]));
        check(&[manifest(b"manifest")], &keys, Ok(&keys[0]));
        let another = "a signed statement is about another artefact";
        for (claim, why) in [
            (manifest(b"another"), NONE_OF_THE_KEYS),
            (stated(&ours, Digest::of(b"x")), another),
            (stated(&pair(), artefact().digest), NONE_OF_THE_KEYS),
            (Claim { payload: stated(&ours, Digest::of(b"x")).payload, ..good.clone() }, NONE_OF_THE_KEYS),
            // Its bytes are signed with their type in front.
            (Claim { form: Form::Payload, ..good.clone() }, NONE_OF_THE_KEYS),
            (Claim { form: Form::Statement, ..signed(&ours, &Bytes::from_static(b"{}")) }, NONE_OF_THE_KEYS),
        ] {
            check(&[claim], &keys, Err(why));
        }
    }

    #[test]
    fn what_an_earlier_version_kept_is_read_as_the_form_that_it_knew() {
        let kept = r#"{"payload":"cA==","signature":"cw=="}"#;
        let claim: Claim = serde_json::from_str(kept).unwrap();
        assert_eq!(claim, Claim::new(&Bytes::from_static(b"p"), "cw=="));
    }

    /// `testdata` was made with `@sigstore/sign` 5.1, Sigstore's own library, of the artefact `manifest`.
    #[test]
    fn what_sigstores_own_library_signs_is_taken() {
        let keys = [Key::from_pem(include_str!("testdata/cosign.pub")).unwrap()];
        for bundle in
            [include_bytes!("testdata/statement.json").as_slice(), include_bytes!("testdata/message.json")]
        {
            let claim = bundled(bundle).unwrap();
            check(std::slice::from_ref(&claim), &keys, Ok(&keys[0]));
            let other = Artefact { digest: Digest::of(b"x"), manifest: b"x" };
            assert!(signer(other, &[claim], &keys).is_err());
        }
    }
}
