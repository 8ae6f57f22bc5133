//! Key: a public key that the operator trusts.
//!
//! In: PEM that somebody wrote. Out: whether bytes were signed with it. Never: a choice of algorithm by a signature; the
//! key alone says it.

use std::fmt;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ECDSA_P521_SHA512_ASN1, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, VerificationAlgorithm,
};
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject as _;

use crate::model::Digest;

/// What cosign signs with, by the kind of key. With Ed25519 it signs a hash of what it is given (RFC 8032, Ed25519ph),
/// which our library does not have.
static ALGORITHMS: [&dyn VerificationAlgorithm; 4] =
    [&ECDSA_P256_SHA256_ASN1, &ECDSA_P384_SHA384_ASN1, &ECDSA_P521_SHA512_ASN1, &RSA_PKCS1_2048_8192_SHA256];

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
    /// Ed25519, another curve.
    #[error(
        "is neither RSA nor ECDSA on P-256, P-384 or P-521; use one that cosign generate-key-pair has made"
    )]
    Algorithm,
}

impl Key {
    /// Reads a public key: PEM of a SubjectPublicKeyInfo.
    pub fn from_pem(pem: &str) -> Result<Key, KeyError> {
        let der = SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes()).map_err(|_| KeyError::Pem)?;
        let of =
            |algorithm: &&'static dyn VerificationAlgorithm| ParsedPublicKey::new(*algorithm, &*der).ok();
        let key = ALGORITHMS.iter().find_map(of).ok_or(KeyError::Algorithm)?;
        Ok(Key { key, id: Digest::of(&der) })
    }

    /// The digest of the key in DER form: what people compare keys by.
    pub fn id(&self) -> Digest {
        self.id
    }

    /// Whether `signature` is this key's, of `bytes`.
    pub(super) fn has_signed(&self, bytes: &[u8], signature: &[u8]) -> bool {
        self.key.verify_sig(bytes, signature).is_ok()
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

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::AsDer as _;
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::signature::{
        ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
        KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
    };

    use super::super::tests::{pair, pem, public};
    use super::*;

    #[test]
    fn every_kind_of_key_that_cosign_signs_with_is_taken() {
        let random = SystemRandom::new();
        for algorithm in [&ECDSA_P384_SHA384_ASN1_SIGNING, &ECDSA_P521_SHA512_ASN1_SIGNING] {
            let pair = EcdsaKeyPair::generate(algorithm).unwrap();
            let signature = pair.sign(&random, b"bytes").unwrap();
            let key = public(&pair);
            assert!(
                key.has_signed(b"bytes", signature.as_ref()) && !key.has_signed(b"other", signature.as_ref())
            );
        }
        let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let mut signature = vec![0; rsa.public_modulus_len()];
        rsa.sign(&RSA_PKCS1_SHA256, &random, b"bytes", &mut signature).unwrap();
        let key = Key::from_pem(&pem("PUBLIC KEY", rsa.public_key().as_der().unwrap().as_ref())).unwrap();
        assert!(key.has_signed(b"bytes", &signature) && !key.has_signed(b"other", &signature));
        assert!(!public(&pair()).has_signed(b"bytes", &signature));
    }

    #[test]
    fn what_is_no_key_says_why() {
        let ecdsa = pair();
        let ecdsa = ecdsa.public_key().as_der().unwrap();
        let edwards = Ed25519KeyPair::generate().unwrap();
        let edwards = edwards.public_key().as_der().unwrap();
        for (text, why) in [
            (String::new(), KeyError::Pem),
            ("MFkwEwYHKoZIzj0CAQ".to_owned(), KeyError::Pem),
            (pem("CERTIFICATE", ecdsa.as_ref()), KeyError::Pem),
            (pem("PUBLIC KEY", b"?"), KeyError::Algorithm),
            (pem("PUBLIC KEY", edwards.as_ref()), KeyError::Algorithm),
        ] {
            assert_eq!(Key::from_pem(&text), Err(why), "{text}");
        }
    }
}
