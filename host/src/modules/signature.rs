//! Signature: whether somebody whom the operator trusts has signed an artefact.
//!
//! In: what lies beside the artefact, and the operator's keys. Out: the key that signed it. Never: a key of a tenant's, a
//! word of what is said about a signature before it was checked, a signature of another artefact.
//!
//! The form is cosign's first one, with keys: the tag `sha256-….sig` holds a manifest whose layers are payloads ("simple
//! signing"), each with an annotation that signs its bytes (ECDSA on P-256 with SHA-256).

use std::fmt;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ParsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject as _;
use serde::{Deserialize, Serialize};

use crate::model::Digest;

/// What a payload says it is.
const KIND: &str = "cosign container image signature";

/// A key that the operator trusts.
#[derive(Clone)]
pub struct Key {
    key: ParsedPublicKey,
    id: Digest,
}

/// What is wrong with a key, as the end of a sentence that begins with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Something else in the file, such as a certificate or the private key.
    #[error(
        "is not a public key in PEM form; write what cosign.pub holds, -----BEGIN PUBLIC KEY----- and all"
    )]
    Pem,
    /// RSA, Ed25519, another curve.
    #[error("is not an ECDSA key on the curve P-256, which cosign generate-key-pair makes")]
    Algorithm,
}

impl Key {
    /// Reads a public key: PEM of a SubjectPublicKeyInfo.
    pub fn from_pem(pem: &str) -> Result<Key, KeyError> {
        let der = SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes()).map_err(|_| KeyError::Pem)?;
        let key = ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &*der).map_err(|_| KeyError::Algorithm)?;
        Ok(Key { key, id: Digest::of(&der) })
    }

    /// The digest of the key in DER form: what people compare keys by.
    pub fn id(&self) -> Digest {
        self.id
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        self.id == other.id
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.id)
    }
}

/// One signature as it was found: not to be believed yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claim {
    /// The payload's bytes, in base64.
    payload: String,
    /// The signature of these bytes, in base64, as the annotation has it.
    signature: String,
}

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

impl Claim {
    pub(super) fn new(payload: &Bytes, signature: &str) -> Claim {
        Claim { payload: STANDARD.encode(payload), signature: signature.to_owned() }
    }

    /// The key that signed it, if it is about `artefact`.
    fn verify<'a>(&self, artefact: Digest, keys: &'a [Key]) -> Result<&'a Key, &'static str> {
        let payload = STANDARD.decode(&self.payload).map_err(|_| "a payload is not base64")?;
        let signature = STANDARD.decode(self.signature.trim()).map_err(|_| "a signature is not base64")?;
        let key = keys.iter().find(|key| key.key.verify_sig(&payload, &signature).is_ok());
        let key = key.ok_or("a signature is of none of the keys")?;
        // Only now it is somebody's word.
        let Payload { critical: Critical { image, kind } } =
            serde_json::from_slice(&payload).map_err(|_| "a signed payload is not of cosign's form")?;
        if kind != KIND {
            return Err("a signed payload is about something else than an artefact");
        }
        if image.digest.parse() != Ok(artefact) {
            return Err("a signed payload is about another artefact");
        }
        Ok(key)
    }
}

/// The key of the first claim that holds; or why the last one does not.
pub(super) fn signer<'a>(
    artefact: Digest,
    claims: &[Claim],
    keys: &'a [Key],
) -> Result<&'a Key, &'static str> {
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

    use super::*;

    fn pair() -> EcdsaKeyPair {
        EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap()
    }

    fn pem(label: &str, der: &[u8]) -> String {
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
    }

    fn public(pair: &EcdsaKeyPair) -> Key {
        let der: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        Key::from_pem(&pem("PUBLIC KEY", der.as_ref())).unwrap()
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
        let signature = pair.sign(&SystemRandom::new(), payload).unwrap();
        Claim::new(payload, &STANDARD.encode(signature))
    }

    #[test]
    fn who_signed_an_artefact_is_found_among_the_keys() {
        let (ours, theirs) = (pair(), pair());
        let keys = [public(&theirs), public(&ours)];
        let artefact = Digest::of(b"manifest");
        let good = signed(&ours, &payload(KIND, &artefact.to_string()));
        let stranger = signed(&pair(), &payload(KIND, &artefact.to_string()));
        assert_eq!(signer(artefact, &[stranger.clone(), good.clone()], &keys), Ok(&keys[1]));
        for (claims, why) in [
            (vec![], "it has no signature of cosign's beside it"),
            (vec![stranger], "a signature is of none of the keys"),
            (
                vec![signed(&ours, &payload(KIND, &Digest::of(b"x").to_string()))],
                "a signed payload is about another artefact",
            ),
            (
                vec![signed(&ours, &payload("x", &artefact.to_string()))],
                "a signed payload is about something else than an artefact",
            ),
            (vec![signed(&ours, &Bytes::from_static(b"{}"))], "a signed payload is not of cosign's form"),
            (
                vec![Claim { payload: STANDARD.encode(payload(KIND, "sha256:")), ..good.clone() }],
                "a signature is of none of the keys",
            ),
            (vec![Claim { signature: "?".into(), ..good }], "a signature is not base64"),
        ] {
            assert_eq!(signer(artefact, &claims, &keys), Err(why));
        }
    }

    #[test]
    fn what_is_no_key_says_why() {
        let other = EcdsaKeyPair::generate(&aws_lc_rs::signature::ECDSA_P384_SHA384_ASN1_SIGNING).unwrap();
        let der: PublicKeyX509Der<'_> = other.public_key().as_der().unwrap();
        for (text, why) in [
            (String::new(), KeyError::Pem),
            ("MFkwEwYHKoZIzj0CAQ".to_owned(), KeyError::Pem),
            (pem("CERTIFICATE", der.as_ref()), KeyError::Pem),
            (pem("PUBLIC KEY", b"?"), KeyError::Algorithm),
            (pem("PUBLIC KEY", der.as_ref()), KeyError::Algorithm),
        ] {
            assert_eq!(Key::from_pem(&text), Err(why), "{text}");
        }
    }
}
