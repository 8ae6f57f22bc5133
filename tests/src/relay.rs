//! Relay: a TCP line of our own to a server, to be cut.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use futures::future::{Either, select};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// What becomes of what is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// It arrives.
    Open,
    /// Connections are closed, new ones at once.
    Cut,
    /// Each connection breaks once so many bytes have gone to the server, or, of those that come back, to the client.
    Torn(Side, usize),
    /// Nothing arrives and nobody says so, as behind a broken switch. What was sent meanwhile arrives when it is open again.
    Silent,
}

/// Whose bytes count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Those that the client sends.
    Client,
    /// Those that the server sends.
    Server,
}

/// A running relay; it ends, with its connections, when dropped.
pub struct Relay {
    address: SocketAddr,
    line: watch::Sender<Line>,
    task: JoinHandle<()>,
}

impl Relay {
    /// A relay on a free loopback port to `target`, a `host:port`.
    pub async fn to(target: &str) -> Relay {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let line = watch::Sender::new(Line::Open);
        let task = tokio::spawn(serve(listener, target.to_owned(), line.subscribe()));
        Relay { address, line, task }
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts, silences or opens the line.
    pub fn set(&self, line: Line) {
        self.line.send_replace(line);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, target: String, line: watch::Receiver<Line>) {
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((client, _)) => connections.spawn(connect(client, target.clone(), line.clone())),
            // The system is out of something for a moment.
            Err(_) => {
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
        };
        while connections.try_join_next().is_some() {}
    }
}

async fn connect(client: TcpStream, target: String, mut line: watch::Receiver<Line>) {
    if !open(&mut line).await {
        return;
    }
    let Ok(server) = TcpStream::connect(&target).await else { return };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let mut cut = line.clone();
    // Of a line that is torn the first half to break takes the other one with it.
    let up = pass(from_client, to_server, Side::Client, line.clone());
    let down = pass(from_server, to_client, Side::Server, line.clone());
    let both = async {
        tokio::pin!(up, down);
        match select(up, down).await {
            Either::Left((Ended::Orderly, other)) => _ = other.await,
            Either::Right((Ended::Orderly, other)) => _ = other.await,
            Either::Left((Ended::Torn, _)) | Either::Right((Ended::Torn, _)) => {}
        }
    };
    tokio::select! {
        _ = cut.wait_for(|line| *line == Line::Cut) => {}
        () = both => {}
    }
}

/// How one way of a connection came to its end.
enum Ended {
    /// The sender was done.
    Orderly,
    /// The line was torn.
    Torn,
}

/// Carries bytes one way until the sender is done.
async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    side: Side,
    mut line: watch::Receiver<Line>,
) -> Ended {
    const BYTES_MAX: usize = 16 << 10;
    let mut bytes = vec![0; BYTES_MAX];
    let mut carried = 0;
    loop {
        let count = from.read(&mut bytes).await.unwrap_or(0);
        if !open(&mut line).await || count == 0 {
            let _ = to.shutdown().await;
            return Ended::Orderly;
        }
        let torn = match *line.borrow() {
            Line::Torn(of, bytes_max) if of == side => bytes_max.saturating_sub(carried),
            _ => usize::MAX,
        };
        if to.write_all(&bytes[..count.min(torn)]).await.is_err() {
            return Ended::Orderly;
        }
        if count > torn {
            return Ended::Torn;
        }
        carried += count;
    }
}

/// Waits while the line is silent; whether it is open then.
async fn open(line: &mut watch::Receiver<Line>) -> bool {
    line.wait_for(|line| *line != Line::Silent).await.is_ok_and(|line| *line != Line::Cut)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that sends back what it gets, and a relay to it.
    async fn echo() -> Relay {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.into_split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        Relay::to(&address.to_string()).await
    }

    /// What comes back for a letter: the letter, nothing because it was closed, or nothing at all.
    async fn ask(stream: &mut TcpStream, letter: u8) -> Option<Option<u8>> {
        let _ = stream.write_all(&[letter]).await;
        let mut answer = [0];
        let read = stream.read(&mut answer);
        let count = tokio::time::timeout(Duration::from_millis(300), read).await.ok()?.unwrap_or(0);
        Some((count == 1).then_some(answer[0]))
    }

    #[tokio::test]
    async fn a_cut_line_closes_what_is_open_and_takes_nothing_new() {
        let relay = echo().await;
        let mut before = TcpStream::connect(relay.address()).await.unwrap();
        assert_eq!(ask(&mut before, b'a').await, Some(Some(b'a')));
        relay.set(Line::Cut);
        assert_eq!(ask(&mut before, b'b').await, Some(None));
        let mut meanwhile = TcpStream::connect(relay.address()).await.unwrap();
        assert_eq!(ask(&mut meanwhile, b'c').await, Some(None));
        relay.set(Line::Open);
        let mut after = TcpStream::connect(relay.address()).await.unwrap();
        assert_eq!(ask(&mut after, b'd').await, Some(Some(b'd')));
    }

    #[tokio::test]
    async fn a_torn_line_carries_so_much_and_breaks() {
        for side in [Side::Client, Side::Server] {
            let relay = echo().await;
            relay.set(Line::Torn(side, 2));
            let mut stream = TcpStream::connect(relay.address()).await.unwrap();
            assert_eq!(ask(&mut stream, b'a').await, Some(Some(b'a')));
            assert_eq!(ask(&mut stream, b'b').await, Some(Some(b'b')));
            assert_eq!(ask(&mut stream, b'c').await, Some(None), "{side:?}");
        }
    }

    #[tokio::test]
    async fn a_silent_line_says_nothing_and_delivers_late() {
        let relay = echo().await;
        let mut before = TcpStream::connect(relay.address()).await.unwrap();
        assert_eq!(ask(&mut before, b'a').await, Some(Some(b'a')));
        relay.set(Line::Silent);
        assert_eq!(ask(&mut before, b'b').await, None);
        let mut meanwhile = TcpStream::connect(relay.address()).await.unwrap();
        assert_eq!(ask(&mut meanwhile, b'c').await, None);
        relay.set(Line::Open);
        let mut late = [0];
        before.read_exact(&mut late).await.unwrap();
        meanwhile.read_exact(&mut late).await.unwrap();
        assert_eq!(late, *b"c");
    }
}
