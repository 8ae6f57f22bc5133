//! Tls: from what an operator asks for to what rustls takes.

use std::sync::Arc;

use hyper_rustls::ConfigBuilderExt;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WantsClientCert};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    ClientConfig, ConfigBuilder, DigitallySignedStruct, RootCertStore, SignatureScheme, WantsVerifier,
};

use super::Error;
use crate::model::Verify;

/// Sessions that are kept to go on with; whoever has settings of their own has one server, or a few at one name.
const SESSIONS_MAX: usize = 8;

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

/// As somebody asks for. The system's roots are shared with `usual`; sessions are not, since one of them says who we are.
pub(super) fn special(
    usual: &ClientConfig,
    material: &Material,
    verify: Verify,
) -> Result<ClientConfig, Unusable> {
    let mut config = match (&material.roots, verify) {
        (_, Verify::Nothing) => {
            let anyone = Arc::new(Anyone(aws_lc_rs::default_provider()));
            let builder = builder().map_err(Unusable::Setup)?.dangerous();
            builder.with_custom_certificate_verifier(anyone).with_no_client_auth()
        }
        (Some(pem), Verify::Certificate) => {
            builder().map_err(Unusable::Setup)?.with_root_certificates(roots(pem)?).with_no_client_auth()
        }
        (None, Verify::Certificate) => usual.clone(),
    };
    config.resumption = Resumption::in_memory_sessions(SESSIONS_MAX);
    if let Some((certificate, key)) = &material.identity {
        config.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(identity(certificate, key)?));
    }
    Ok(config)
}

fn identity(certificate: &[u8], key: &[u8]) -> Result<CertifiedKey, Unusable> {
    let chain = certificates(certificate).map_err(Unusable::Certificate)?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| Unusable::Key(error.to_string()))?;
    // Both could be read: what remains is that they do not belong together.
    CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())
        .map_err(|error| Unusable::Key(error.to_string()))
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
