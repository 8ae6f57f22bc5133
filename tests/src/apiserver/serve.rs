//! Serve: the server on a loopback socket, for programs of their own.
//!
//! In: a server. Out: its address, until the handle is dropped. Never: TLS, or another address than loopback.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::body::Body;
use http::Request;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use super::server::Server;

/// A served API server; it ends when dropped.
pub struct Serving {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Serving {
    pub(super) async fn start(server: Arc<Server>) -> Serving {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let task = tokio::spawn(run(server, listener, address));
        Serving { address, task }
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its base URL, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A kubeconfig that leads to it, with `token` as the user's where one is given.
    pub fn kubeconfig(&self, token: Option<&str>) -> String {
        let user = token.map_or_else(|| "{}".to_owned(), |token| format!("{{token: {token}}}"));
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: fake\n\
             clusters:\n- name: fake\n  cluster: {{server: \"{}\"}}\n\
             users:\n- name: fake\n  user: {user}\n\
             contexts:\n- name: fake\n  context: {{cluster: fake, user: fake}}\n",
            self.url()
        )
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Listens, except while nobody is to listen: then the port is closed and every connection cut.
async fn run(server: Arc<Server>, listener: TcpListener, address: SocketAddr) {
    let mut refusing = server.refusing.subscribe();
    let mut listener = Some(listener);
    loop {
        let open = match listener.take() {
            Some(open) => open,
            None => TcpListener::bind(address).await.expect("the port is still ours"),
        };
        let mut connections = JoinSet::new();
        while !*refusing.borrow_and_update() {
            tokio::select! {
                accepted = open.accept() => {
                    if let Ok((stream, _)) = accepted {
                        connections.spawn(connection(Arc::clone(&server), stream));
                    }
                }
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
                changed = refusing.changed() => if changed.is_err() { return },
            }
        }
        drop(open);
        drop(connections);
        while *refusing.borrow_and_update() {
            if refusing.changed().await.is_err() {
                return;
            }
        }
    }
}

/// One connection; a fault that is no answer ends it.
async fn connection(server: Arc<Server>, stream: TcpStream) {
    let service = tower::service_fn(move |request: Request<hyper::body::Incoming>| {
        let server = Arc::clone(&server);
        async move { server.answer(request.map(Body::new)).await }
    });
    let http = hyper_util::server::conn::auto::Builder::new(hyper_util::rt::TokioExecutor::new());
    let served = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)).await;
    // A client that goes away, or a fault, ends a connection like this; neither is news.
    let _: Result<(), Infallible> = served.map_or(Ok(()), Ok);
}
