//! Clients that are well, and others.

use axum::routing::get;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;
use tokio::sync::Notify;

use super::*;

/// What a client of HTTP/2 says first, without asking whether it may.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";

struct Served {
    address: SocketAddr,
    stop: CancellationToken,
    /// Lets `/slow` answer.
    go: Arc<Notify>,
    serving: tokio::task::JoinHandle<()>,
}

async fn served() -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, stop, go) =
        (listener.local_addr().unwrap(), CancellationToken::new(), Arc::<Notify>::default());
    let wait = go.clone();
    let slow = move || async move {
        wait.notified().await;
        "at last"
    };
    let router = Router::new().route("/", get(|| async { "here" })).route("/slow", get(slow));
    let serving = tokio::spawn(serve(listener, router, stop.clone()));
    Served { address, stop, go, serving }
}

async fn from(client: &str, served: &Served) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(client.parse().unwrap(), 0)).unwrap();
    socket.connect(served.address).await.unwrap()
}

/// Says it, and reads until the server has no more to say.
async fn all(stream: &mut TcpStream, said: &[u8]) -> String {
    // It may have been turned away before it said a word.
    let _ = stream.write_all(said).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// Asks on a connection that stays.
async fn ask(stream: &mut TcpStream) -> bool {
    let _ = stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let mut answer = [0; 512];
    let read = stream.read(&mut answer).await.unwrap_or_default();
    answer[..read].ends_with(b"here")
}

#[tokio::test]
async fn nobody_speaks_http_2() {
    let served = served().await;
    let mut client = from("127.0.0.1", &served).await;
    let answer = timeout(HEAD_MAX / 3, all(&mut client, PREFACE)).await.expect("it is let go at once");
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_says_half_of_what_it_wants_is_let_go() {
    let served = served().await;
    let began = Instant::now();
    for said in [&b"GET / HTTP/1.1\r\nhost: a"[..], b""] {
        let mut client = from("127.0.0.1", &served).await;
        let answer = timeout(3 * HEAD_MAX, all(&mut client, said)).await.expect("it is let go");
        assert!(!answer.contains("here"), "{answer}");
    }
    assert!(began.elapsed() >= HEAD_MAX, "{:?}", began.elapsed());
}

#[tokio::test]
async fn an_address_has_so_many_places_and_who_is_idle_leaves_for_somebody_new() {
    let served = served().await;
    let (mut idle, mut slow) = (from("127.0.0.2", &served).await, Vec::new());
    assert!(ask(&mut idle).await);
    for _ in 1..CLIENTS_OF_ADDRESS_MAX {
        let mut client = from("127.0.0.2", &served).await;
        client.write_all(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        slow.push(client);
    }
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    let mut new = from("127.0.0.2", &served).await;
    assert!(ask(&mut new).await && !ask(&mut idle).await, "one is idle, and leaves");
    new.write_all(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    slow.push(new);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!ask(&mut from("127.0.0.2", &served).await).await, "it has all that it may have");
    assert!(ask(&mut from("127.0.0.3", &served).await).await, "another address has its own");
    served.go.notify_waiters();
    served.stop.cancel();
    for client in &mut slow {
        assert!(all(client, b"").await.ends_with("at last"), "nobody loses an answer that is under way");
    }
}

#[tokio::test]
async fn an_answer_under_way_ends_after_stop_and_nobody_is_waited_for() {
    let served = served().await;
    let (mut idle, mut slow) = (from("127.0.0.1", &served).await, from("127.0.0.1", &served).await);
    assert!(ask(&mut idle).await);
    slow.write_all(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    served.stop.cancel();
    assert_eq!(all(&mut idle, b"").await, "", "it had its answer");
    served.go.notify_one();
    assert!(all(&mut slow, b"").await.ends_with("at last"));
    served.serving.await.unwrap();
}
