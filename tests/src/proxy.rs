//! Proxy: an HTTP proxy of our own that makes tunnels, and says which.
//!
//! In: names that it alone knows, and perhaps who may use it. Out: tunnels, and a record of them.
//! Never: a request that it reads.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// A running proxy; it ends, with its tunnels, when dropped.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    /// Where names lead that nobody else knows, by `host:port`.
    names: BTreeMap<String, String>,
    /// `user:password`, if not everybody may use it.
    login: Mutex<Option<String>>,
    asked: Mutex<Vec<String>>,
}

impl Proxy {
    /// A proxy that knows these names, each a `host:port` that leads to another one.
    pub async fn knowing(names: &[(&str, &str)]) -> Proxy {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let names = names.iter().map(|(name, to)| ((*name).to_owned(), (*to).to_owned())).collect();
        let shared = Arc::new(Shared { names, login: Mutex::default(), asked: Mutex::default() });
        Proxy { address, task: tokio::spawn(serve(listener, shared.clone())), shared }
    }

    /// From now on it is for this `user:password` alone.
    pub fn is_for(&self, login: &str) {
        *self.shared.login.lock().expect("no holder panics") = Some(login.to_owned());
    }

    /// Its base URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where tunnels were asked for so far.
    pub fn asked(&self) -> Vec<String> {
        self.shared.asked.lock().expect("no holder panics").clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut tunnels = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        tunnels.spawn(tunnel(client, shared.clone()));
        while tunnels.try_join_next().is_some() {}
    }
}

async fn tunnel(mut client: TcpStream, shared: Arc<Shared>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = client.read_u8().await else { return };
        head.push(byte);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let answer = |status: &str| format!("HTTP/1.1 {status}\r\n\r\n");
    let Some(target) = head.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()) else {
        let _ = client.write_all(answer("405 Method Not Allowed").as_bytes()).await;
        return;
    };
    let login = shared.login.lock().expect("no holder panics").clone();
    let wanted = login.map(|login| base64::engine::general_purpose::STANDARD.encode(login));
    if wanted.is_some_and(|wanted| !head.contains(&format!("proxy-authorization: Basic {wanted}\r\n"))) {
        let _ = client.write_all(answer("407 Proxy Authentication Required").as_bytes()).await;
        return;
    }
    shared.asked.lock().expect("no holder panics").push(target.to_owned());
    let to = shared.names.get(target).map_or(target, String::as_str);
    let Ok(mut server) = TcpStream::connect(to).await else {
        let _ = client.write_all(answer("502 Bad Gateway").as_bytes()).await;
        return;
    };
    if client.write_all(answer("200 Connection established").as_bytes()).await.is_ok() {
        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
    }
}
