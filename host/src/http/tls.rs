//! Tls: from what an operator asks for to what rustls takes.

use std::sync::Arc;

use hyper_rustls::ConfigBuilderExt;
use rustls::client::WantsClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ConfigBuilder, DigitallySignedStruct, RootCertStore, SignatureScheme, WantsVerifier,
};

use super::Error;
use crate::model::Verify;

/// The content of the files that TLS settings name; `None` where none is named. All PEM.
#[derive(PartialEq, Eq, Default)]
pub(super) struct Material {
    pub(super) roots: Option<Vec<u8>>,
    /// Our certificate and its key.
    pub(super) identity: Option<(Vec<u8>, Vec<u8>)>,
}

/// What cannot be used, and why.
pub(super) enum Unusable {
    Roots(String),
    Certificate(String),
    Key(String),
    Setup(rustls::Error),
}

/// Certificates are checked against the system's roots. A machine without any can still speak plain HTTP: the error
/// then names the certificate, at the first connection that needs one.
pub(super) fn usual() -> Result<ClientConfig, Error> {
    Ok(system_roots(builder().map_err(Error::Setup)?).with_no_client_auth())
}

/// As an operator asks for.
pub(super) fn special(material: &Material, verify: Verify) -> Result<ClientConfig, Unusable> {
    let builder = builder().map_err(Unusable::Setup)?;
    let builder = match (&material.roots, verify) {
        (_, Verify::Nothing) => {
            let anyone = Arc::new(Anyone(aws_lc_rs::default_provider()));
            builder.dangerous().with_custom_certificate_verifier(anyone)
        }
        (Some(pem), Verify::Certificate) => builder.with_root_certificates(roots(pem)?),
        (None, Verify::Certificate) => system_roots(builder),
    };
    let Some((certificate, key)) = &material.identity else { return Ok(builder.with_no_client_auth()) };
    let chain = certificates(certificate).map_err(Unusable::Certificate)?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| Unusable::Key(error.to_string()))?;
    // Both files were read: what remains is that they do not belong together.
    builder.with_client_auth_cert(chain, key).map_err(|error| Unusable::Key(error.to_string()))
}

fn builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, rustls::Error> {
    ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()
}

fn system_roots(
    builder: ConfigBuilder<ClientConfig, WantsVerifier>,
) -> ConfigBuilder<ClientConfig, WantsClientCert> {
    builder.clone().with_native_roots().unwrap_or_else(|error| {
        tracing::warn!(%error, "no root certificate found, so no https:// address can be trusted; set SSL_CERT_FILE");
        builder.with_root_certificates(RootCertStore::empty())
    })
}

fn roots(pem: &[u8]) -> Result<RootCertStore, Unusable> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(pem).map_err(Unusable::Roots)? {
        store.add(certificate).map_err(|error| Unusable::Roots(error.to_string()))?;
    }
    Ok(store)
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match read {
        Ok(none) if none.is_empty() => Err("holds no certificate in PEM form".to_owned()),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(error.to_string()),
    }
}

/// Takes any certificate, since the operator said so; what is signed with it is still checked.
#[derive(Debug)]
struct Anyone(CryptoProvider);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
