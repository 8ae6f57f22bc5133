//! Tls: authorities of a test's own, and fronts that speak TLS before servers that do not.
//!
//! In: names to certify, the address of a server in the clear. Out: files' contents in PEM, an `https://` address.
//! Never: a key that outlives the test.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

/// Somebody who says who is who.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its key, in PEM.
#[derive(Debug, Clone)]
pub struct Certified {
    /// For everybody.
    pub certificate: String,
    /// For its owner.
    pub key: String,
}

impl Authority {
    /// One of this name, with a key of its own.
    pub fn new(name: &str) -> Authority {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().expect("a key can be made");
        let pem = parameters.self_signed(&key).expect("a key can sign").pem();
        Authority { issuer: Issuer::new(parameters, key), pem }
    }

    /// Its own certificate: what trusts it has to know.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Says that somebody has these names or addresses.
    pub fn certify(&self, names: &[&str]) -> Certified {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate().expect("a key can be made");
        let parameters = CertificateParams::new(names).expect("the names are legal");
        let certificate = parameters.signed_by(&key, &self.issuer).expect("a key can sign");
        Certified { certificate: certificate.pem(), key: key.serialize_pem() }
    }
}

/// Speaks TLS before a server; it ends when dropped.
pub struct Front {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Front {
    /// Before the server at `url`, as whoever `own` says, for everybody.
    pub async fn before(url: &str, own: &Certified) -> Front {
        Front::start(url, own, None, rustls::ALL_VERSIONS).await
    }

    /// As [`Front::before`], for those alone who have a certificate of `known`, in one version of TLS.
    pub async fn guarded(
        url: &str,
        own: &Certified,
        known: &Authority,
        version: &'static SupportedProtocolVersion,
    ) -> Front {
        Front::start(url, own, Some(known), &[version]).await
    }

    /// Its base URL, without a slash at the end.
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Its port on loopback.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    async fn start(
        url: &str,
        own: &Certified,
        known: Option<&Authority>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Front {
        let acceptor = TlsAcceptor::from(Arc::new(config(own, known, versions)));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let behind = url.strip_prefix("http://").expect("a server in the clear").to_owned();
        Front { address, task: tokio::spawn(serve(listener, acceptor, behind)) }
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) fn config(
    own: &Certified,
    known: Option<&Authority>,
    versions: &[&'static SupportedProtocolVersion],
) -> ServerConfig {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone());
    let builder = builder.with_protocol_versions(versions).expect("the provider has these versions");
    let builder = match known {
        None => builder.with_no_client_auth(),
        Some(known) => builder.with_client_cert_verifier(verifier(known, provider)),
    };
    let certificate = CertificateDer::from_pem_slice(own.certificate.as_bytes()).expect("it is PEM");
    let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).expect("it is PEM");
    builder.with_single_cert(vec![certificate], key).expect("the two belong together")
}

fn verifier(known: &Authority, provider: Arc<CryptoProvider>) -> Arc<dyn ClientCertVerifier> {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_slice(known.pem.as_bytes()).expect("it is PEM");
    roots.add(certificate).expect("it is an authority's");
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().expect("there is a root")
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, behind: String) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let (acceptor, behind) = (acceptor.clone(), behind.clone());
        connections.spawn(async move {
            // Whom TLS refuses was told so by TLS.
            let Ok(mut client) = acceptor.accept(client).await else { return };
            let Ok(mut server) = TcpStream::connect(behind).await else { return };
            let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
        });
        while connections.try_join_next().is_some() {}
    }
}
