//! Keys: what an API server of our own needs to prove who it is, made for one run.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};

/// Files and texts of one run.
pub(super) struct Keys {
    /// The server's certificate.
    pub(super) certificate: PathBuf,
    /// Whom clients trust, in PEM.
    pub(super) authority_pem: String,
    /// The server's key.
    pub(super) key: PathBuf,
    /// Signs the tokens of ServiceAccounts.
    pub(super) accounts: PathBuf,
    /// Tells their tokens from others.
    pub(super) accounts_public: PathBuf,
    /// Who is who, by token.
    pub(super) tokens: PathBuf,
    /// The token of somebody who may do everything.
    pub(super) admin_token: String,
}

impl Keys {
    /// Makes all of them in `folder`.
    pub(super) fn make(folder: &Path) -> Keys {
        let signer = KeyPair::generate().expect("a key can be made");
        let authority_pem = authority().self_signed(&signer).expect("a key can sign").pem();
        let key = KeyPair::generate().expect("a key can be made");
        let certificate =
            server().signed_by(&key, &Issuer::new(authority(), signer)).expect("a key can sign");
        let accounts = KeyPair::generate().expect("a key can be made");
        let admin_token = format!("{:032x}", rand::random::<u128>());
        let file = |name: &str, text: &str| {
            let file = folder.join(name);
            std::fs::write(&file, text).expect("the temporary folder is writable");
            file
        };
        Keys {
            certificate: file("server.crt", &certificate.pem()),
            key: file("server.key", &key.serialize_pem()),
            accounts: file("accounts.key", &accounts.serialize_pem()),
            accounts_public: file("accounts.pub", &accounts.public_key_pem()),
            tokens: file("tokens.csv", &format!("{admin_token},admin,admin,system:masters\n")),
            authority_pem,
            admin_token,
        }
    }
}

/// An authority of its own for every run.
fn authority() -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name.push(DnType::CommonName, "sluice-tests");
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign];
    parameters
}

/// A server on loopback.
fn server() -> CertificateParams {
    let mut parameters = CertificateParams::new(["localhost".to_owned()]).expect("a legal name");
    parameters.distinguished_name.push(DnType::CommonName, "kube-apiserver");
    parameters.subject_alt_names.push(SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)));
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    parameters
}
