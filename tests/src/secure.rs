//! Secure: a server that speaks TLS, and HTTP/2 where it is told to offer it, and says over what each request came.
//!
//! In: a certificate, whom to let in, what to offer, an answer to each request. Out: an `https://` address.
//! Never: an answer to somebody whom TLS refuses.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Request, Response, StatusCode, Version};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::tls::{Authority, Certified, config};

/// What a server answers.
pub type Answer = Response<Full<Bytes>>;

/// Over what a request came; among its extensions, and given to whoever answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// The number of the connection, from 0.
    pub connection: usize,
    /// The version of HTTP.
    pub version: Version,
    /// The certificate that the client showed, in DER.
    pub certificate: Option<Vec<u8>>,
}

/// A running server; it ends when dropped.
pub struct Secure {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Secure {
    /// A server that is whoever `own` says and answers those alone who have a certificate of `known`, or everybody. It offers
    /// these protocols, the best one first: `h2`, `http/1.1`.
    pub async fn start<F, A>(own: &Certified, known: Option<&Authority>, offers: &[&str], answer: F) -> Secure
    where
        F: Fn(Peer, Request<Incoming>) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Answer> + Send + 'static,
    {
        let mut tls = config(own, known, rustls::ALL_VERSIONS);
        tls.alpn_protocols = offers.iter().map(|offer| offer.as_bytes().to_vec()).collect();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let connections = Arc::new(AtomicUsize::new(0));
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let task = tokio::spawn(serve(listener, acceptor, connections.clone(), answer));
        Secure { address, connections, task }
    }

    /// A server that passes every request on to the one at `url`.
    pub async fn before(url: &str, own: &Certified, known: Option<&Authority>, offers: &[&str]) -> Secure {
        let url = url.to_owned();
        Secure::start(own, known, offers, move |_, request| forward(url.clone(), request)).await
    }

    /// Its base URL, without a slash at the end.
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Its port on loopback.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// How many connections were made to it.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Secure {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve<F, A>(listener: TcpListener, acceptor: TlsAcceptor, made: Arc<AtomicUsize>, answer: F)
where
    F: Fn(Peer, Request<Incoming>) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Answer> + Send + 'static,
{
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let (acceptor, answer, made) = (acceptor.clone(), answer.clone(), made.clone());
        connections.spawn(async move {
            // Whom TLS refuses was told so by TLS.
            let Ok(stream) = acceptor.accept(client).await else { return };
            let connection = made.fetch_add(1, Ordering::SeqCst);
            let shown = stream.get_ref().1.peer_certificates().and_then(|all| all.first());
            let certificate = shown.map(|shown| shown.to_vec());
            let service = service_fn(move |request: Request<Incoming>| {
                let version = request.version();
                let peer = Peer { connection, version, certificate: certificate.clone() };
                let answering = answer(peer, request);
                async move { Ok::<_, Infallible>(answering.await) }
            });
            let _ = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

/// What the server at `url` answers.
pub async fn forward(url: String, request: Request<Incoming>) -> Answer {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else { return status(StatusCode::BAD_REQUEST) };
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    let headers: Vec<(&str, &str)> = head
        .headers
        .iter()
        .filter(|(name, _)| !matches!(name.as_str(), "host" | "content-length" | "connection"))
        .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
        .collect();
    let asked = crate::http::request(head.method, &format!("{url}{path}"), &headers, body.to_bytes()).await;
    let Ok(asked) = asked else { return status(StatusCode::BAD_GATEWAY) };
    let mut answer = Response::new(Full::new(asked.body));
    *answer.status_mut() = asked.status;
    for (name, value) in &asked.headers {
        if !matches!(name.as_str(), "content-length" | "connection" | "transfer-encoding") {
            answer.headers_mut().append(name, value.clone());
        }
    }
    answer
}

/// An answer of nothing but this.
pub fn status(status: StatusCode) -> Answer {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = status;
    answer
}
