//! The client against small servers on loopback that say exactly what the test tells them to.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{AGENT, Client, Config, Error, Phase, Route, Timeouts};
use crate::model::guard::{Place, Receivers};
use crate::model::{Access, Author, Credentials, Egress, Exception, Guard, Names, Proxy, Tls};

const SHORT: Timeouts = Timeouts {
    connect: Duration::from_millis(500),
    first_byte: Duration::from_millis(200),
    whole: Duration::from_millis(400),
};

const LONG: Duration = Duration::from_secs(30);

/// Serves every connection with `serve`, counting them; answers the base address.
async fn server<F, S>(serve: S) -> String
where
    F: Future<Output = ()> + Send,
    S: Fn(usize, TcpStream) -> F + Clone + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            let serve = serve.clone();
            tasks.spawn(async move { serve(n, stream).await });
        }
    });
    address
}

/// Reads one request without a body; `None` when the client closed.
async fn request(stream: &mut TcpStream) -> Option<String> {
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).await.ok()? == 0 {
            return None;
        }
        read.push(byte[0]);
    }
    Some(String::from_utf8(read).unwrap())
}

fn get(url: &str) -> Request<Bytes> {
    Request::get(url).body(Bytes::new()).unwrap()
}

fn client() -> Client {
    Client::new(&Config::default()).unwrap()
}

#[tokio::test]
async fn a_drained_connection_is_used_again_and_the_agent_is_named() {
    let url = server(|n, mut stream| async move {
        while let Some(head) = request(&mut stream).await {
            let body = format!("{n} {}", head.contains("user-agent: sluice/0."));
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    })
    .await;
    let client = client();
    client.send(get(&url), &SHORT).await.unwrap().drain(1024).await;
    for _ in 0..3 {
        let body = client.send(get(&url), &SHORT).await.unwrap().read_to(100).await.unwrap();
        assert_eq!(body, "0 true");
    }
}

#[tokio::test]
async fn a_connection_of_age_finishes_its_exchange_and_is_replaced() {
    let url = server(|n, mut stream| async move {
        while request(&mut stream).await.is_some() {
            stream
                .write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n{n}").as_bytes())
                .await
                .unwrap();
        }
    })
    .await;
    let client = Client::new(&Config { age_max: Duration::ZERO, ..Config::default() }).unwrap();
    for n in ["0", "1", "2"] {
        assert_eq!(client.send(get(&url), &SHORT).await.unwrap().read_to(100).await.unwrap(), n);
    }
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let url = server(|n, mut stream| async move {
        assert_eq!(n, 0, "a second connection was made");
        request(&mut stream).await;
        let answer = "HTTP/1.1 307 Temporary Redirect\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n";
        stream.write_all(answer.as_bytes()).await.unwrap();
        assert_eq!(request(&mut stream).await, None);
    })
    .await;
    assert_eq!(client().send(get(&url), &SHORT).await.unwrap().status, 307);
}

#[tokio::test]
async fn a_body_beyond_the_bound_is_refused_before_it_is_kept() {
    let url = server(|_, mut stream| async move {
        let head = request(&mut stream).await.unwrap();
        let answer: &[u8] = match head.starts_with("GET /announced") {
            true => b"HTTP/1.1 200 OK\r\ncontent-length: 101\r\n\r\n",
            false => b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nff\r\n",
        };
        stream.write_all(answer).await.unwrap();
        stream.write_all(&[b'x'; 255]).await.unwrap();
        request(&mut stream).await;
    })
    .await;
    for path in ["/announced", "/streamed"] {
        let error = client().send(get(&format!("{url}{path}")), &SHORT).await.unwrap().read_to(100).await;
        assert!(matches!(error, Err(Error::TooLarge { bytes_max: 100, .. })), "{path}: {error:?}");
    }
}

#[tokio::test]
async fn each_phase_that_takes_too_long_says_which_it_was() {
    let silent = server(|_, mut stream| async move {
        let head = request(&mut stream).await.unwrap();
        if head.starts_with("GET /half") {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf").await.unwrap();
        }
        request(&mut stream).await;
    })
    .await;
    let error = client().send(get(&silent), &SHORT).await.unwrap_err();
    assert!(matches!(&error, Error::Timeout { phase: Phase::FirstByte, .. }), "{error:?}");
    assert!(error.is_transient());
    assert_eq!(error.to_string(), format!("{silent}: no answer after 0.2 s"));

    let mut half = client().send(get(&format!("{silent}/half")), &SHORT).await.unwrap();
    assert_eq!(half.chunk().await.unwrap().unwrap(), "half");
    let error = half.chunk().await.unwrap_err();
    assert!(matches!(&error, Error::Timeout { phase: Phase::Body, .. }), "{error:?}");
    assert_eq!(error.to_string(), format!("{silent}: the answer was not complete after 0.4 s"));
}

#[tokio::test]
async fn a_handshake_that_never_comes_is_a_connection_that_timed_out() {
    let silent = server(|_, stream| async move {
        tokio::time::sleep(Duration::from_secs(60)).await;
        drop(stream);
    })
    .await;
    let secure = silent.replace("http://", "https://");
    let timeouts = Timeouts { connect: Duration::from_millis(100), ..SHORT };
    let error = client().send(get(&secure), &timeouts).await.unwrap_err();
    assert_eq!(error.to_string(), format!("{secure}: no connection after 0.1 s"));
}

#[tokio::test]
async fn nobody_listening_names_the_address_and_the_cause() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = client().send(get(&format!("{address}/secret?path")), &SHORT).await.unwrap_err();
    assert!(error.is_transient());
    assert_eq!(error.to_string(), format!("cannot connect to {address}: Connection refused (os error 111)"));
}

#[tokio::test]
async fn a_connection_that_breaks_and_one_that_is_not_tls_are_told_apart() {
    let rude = server(|_, mut stream| async move {
        let mut byte = [0];
        stream.read_exact(&mut byte).await.unwrap();
        if byte != *b"G" {
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        }
    })
    .await;
    let broken = client().send(get(&rude), &SHORT).await.unwrap_err();
    assert!(matches!(&broken, Error::Broken { .. }) && broken.is_transient(), "{broken:?}");
    let secure = rude.replace("http://", "https://");
    let untrusted = client().send(get(&secure), &SHORT).await.unwrap_err();
    assert!(matches!(&untrusted, Error::Tls { .. }), "{untrusted:?}");
    assert!(untrusted.to_string().starts_with(&format!("cannot trust {secure}: ")), "{untrusted}");
}

#[tokio::test]
async fn interim_answers_without_end_are_none_and_some_before_an_answer_are_passed_over() {
    let said = Arc::new(Mutex::new(0));
    let counted = said.clone();
    let url = server(move |n, mut stream| {
        let counted = counted.clone();
        async move {
            request(&mut stream).await;
            let interim = b"HTTP/1.1 100 Continue\r\n\r\n".repeat(100);
            while stream.write_all(&interim).await.is_ok() {
                *counted.lock().unwrap() += interim.len();
                if n == 0 {
                    let body = vec![b'x'; 3 << 20];
                    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
                    stream.write_all(head.as_bytes()).await.unwrap();
                    let _ = stream.write_all(&body).await;
                    return;
                }
            }
        }
    })
    .await;
    let long = Timeouts { connect: LONG, first_byte: LONG, whole: LONG };
    let answer = client().send(get(&url), &long).await.unwrap();
    assert_eq!(answer.read_to(4 << 20).await.unwrap().len(), 3 << 20, "bodies are as long as they are");
    let error = client().send(get(&url), &long).await.err().unwrap();
    assert!(
        matches!(error, Error::Broken { .. }) && error.to_string().contains("interim answers"),
        "{error}"
    );
    // What the system keeps of it is beyond what was read.
    let said = *said.lock().unwrap();
    assert!(said < 32 << 20, "{said} bytes were taken");
}

#[tokio::test]
async fn an_address_without_host_or_with_another_scheme_is_refused() {
    for url in ["/only/a/path", "ftp://example.com/"] {
        assert!(matches!(client().send(get(url), &SHORT).await, Err(Error::Address)), "{url}");
    }
}

#[tokio::test]
async fn credentials_are_sent_by_the_client_made_for_them_and_follow_their_file() {
    let url = server(|_, mut stream| async move {
        while let Some(head) = request(&mut stream).await {
            let named = |line: &&str| line.to_ascii_lowercase().starts_with("authorization: ");
            let told = head.lines().find(named).map_or("nobody", |line| &line["authorization: ".len()..]);
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{told}", told.len());
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let plain = client();
    let told =
        async |client: &Client| client.send(get(&url), &SHORT).await.unwrap().read_to(100).await.unwrap();
    let with =
        |credentials| plain.for_access(&Access { credentials: Some(credentials), ..Access::default() });

    std::fs::write(&file, "first\n").unwrap();
    let bearer = with(Credentials::Bearer { token_file: file.clone() });
    assert_eq!(told(&bearer).await, "Bearer first");
    assert_eq!(told(&plain).await, "nobody");
    std::fs::write(&file, "second\n").unwrap();
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(told(&bearer).await, "Bearer second");
    let basic = with(Credentials::Basic { username: "Aladdin".into(), password_file: file.clone() });
    assert_eq!(told(&basic).await, "Basic QWxhZGRpbjpzZWNvbmQ=");
    assert!(!format!("{bearer:?}{basic:?}").contains("second"), "a secret is in what is shown");
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_named_and_what_it_holds_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let file = folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        file
    };
    let bearer =
        |token_file| Access { credentials: Some(Credentials::Bearer { token_file }), ..Access::default() };
    let ca = |file| Access { tls: Some(Tls { ca_file: Some(file), ..Tls::default() }), ..Access::default() };
    for (access, why) in [
        (bearer(folder.path().join("missing")), "missing: No such file or directory (os error 2)"),
        (bearer(write("empty", " \n")), "empty: is empty"),
        (
            bearer(write("lines", "s3cret\nline")),
            "lines: holds what no header may: write one line of plain characters",
        ),
        (ca(write("ca.pem", "s3cret")), "ca.pem: holds no certificate in PEM form"),
    ] {
        let error = client().for_access(&access).send(get("http://127.0.0.1:1/"), &SHORT).await.unwrap_err();
        assert!(matches!(error, Error::File { .. }) && error.is_transient(), "{error:?}");
        assert_eq!(error.to_string(), format!("cannot use {}/{why}", folder.path().display()));
    }
}

/// Answers every request with the `Host` it was sent with.
async fn echo(_: usize, mut stream: TcpStream) {
    while let Some(head) = request(&mut stream).await {
        let host = head.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default();
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{host}", host.len());
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
}

fn in_a_cluster(allow: &[&str]) -> Client {
    let allow = allow.iter().map(|range| range.parse().unwrap()).collect();
    let guard = Arc::new(Guard::new(&Receivers { allow, place: Place::Cluster, ..Receivers::default() }));
    Client::new(&Config { guard, ..Config::default() }).unwrap()
}

const TENANTS: Route = Route { author: Author::Tenant, dial: None };

#[tokio::test]
async fn what_a_tenant_wrote_is_checked_in_every_form_and_never_dialled() {
    let url = server(|n, _| async move { panic!("connection {n} was made") }).await;
    let port = url.rsplit_once(':').unwrap().1.to_owned();
    let client = in_a_cluster(&[]).via(TENANTS);
    for host in [
        "127.0.0.1",
        "localhost",
        "LOCALHOST.",
        "x.localhost",
        "[::ffff:127.0.0.1]",
        "127.1",
        "operator@127.0.0.1",
    ] {
        let error = client.send(get(&format!("http://{host}:{port}/")), &SHORT).await.unwrap_err();
        if host == "x.localhost" || host == "127.1" {
            // Whether a resolver knows these is its own affair; where they lead is not.
            assert!(matches!(error, Error::Forbidden { .. } | Error::Connect { .. }), "{host}: {error:?}");
            continue;
        }
        assert!(matches!(&error, Error::Forbidden { .. }) && !error.is_transient(), "{host}: {error:?}");
        assert!(
            error.to_string().contains("127.0.0.1 is in 127.0.0.0/8 (loopback)")
                || error.to_string().contains("::1 is in"),
            "{error}"
        );
    }
    let pinned = Route { dial: Some("169.254.169.254".parse().unwrap()), ..TENANTS };
    let error = client.via(pinned).send(get("https://example.com/"), &SHORT).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "https://example.com:443 is not dialled: 169.254.169.254 is in 169.254.169.254/32 (a cloud's metadata), where no receiver may be; write another address, or ask the operator to allow it in receivers.allow"
    );
}

#[tokio::test]
async fn what_the_operator_wrote_or_allows_is_dialled() {
    let url = server(echo).await;
    let host = url.trim_start_matches("http://").to_owned();
    for client in [in_a_cluster(&[]), in_a_cluster(&["127.0.0.0/8"]).via(TENANTS), client().via(TENANTS)] {
        assert_eq!(client.send(get(&url), &SHORT).await.unwrap().read_to(100).await.unwrap(), host);
    }
    // The same address by the same client: a connection of the operator's serves no tenant.
    let client = in_a_cluster(&[]);
    client.send(get(&url), &SHORT).await.unwrap().drain(100).await;
    let error = client.via(TENANTS).send(get(&url), &SHORT).await.unwrap_err();
    assert!(matches!(error, Error::Forbidden { .. }), "{error:?}");
}

#[tokio::test]
async fn a_pinned_address_is_dialled_under_the_urls_name_and_shared_with_no_other() {
    async fn says(word: &'static str, listener: TcpListener) {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                while let Some(head) = request(&mut stream).await {
                    assert!(head.contains("host: prometheus.web.svc.cluster.local:"), "{head}");
                    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n{word}");
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            });
        }
    }
    let one = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = one.local_addr().unwrap().port();
    let two = TcpListener::bind(("127.0.0.2", port)).await.unwrap();
    tokio::spawn(says("1", one));
    tokio::spawn(says("2", two));
    let url = format!("http://prometheus.web.svc.cluster.local:{port}/api/v1/write");
    let client = in_a_cluster(&["127.0.0.0/8"]);
    for _ in 0..2 {
        for (ip, word) in [("127.0.0.1", "1"), ("127.0.0.2", "2")] {
            let route = Route { dial: Some(ip.parse().unwrap()), ..TENANTS };
            let body = client.via(route).send(get(&url), &SHORT).await.unwrap().read_to(9).await.unwrap();
            assert_eq!(body, word);
        }
    }
}

/// A proxy that writes down where it is asked to lead, and says the same itself to whoever comes through.
async fn proxy() -> (Proxy, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let record = asked.clone();
    let url = server(move |_, mut stream| {
        let record = record.clone();
        async move {
            let head = request(&mut stream).await.unwrap();
            let target = head.split(' ').nth(1).unwrap().to_owned();
            assert_eq!(
                head,
                format!("CONNECT {target} HTTP/1.1\r\nhost: {target}\r\nuser-agent: {AGENT}\r\n\r\n")
            );
            record.lock().unwrap().push(target);
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            echo(0, stream).await;
        }
    })
    .await;
    let port = url.rsplit_once(':').unwrap().1.parse().unwrap();
    (Proxy { host: "127.0.0.1".into(), port, login: None }, asked)
}

#[tokio::test]
async fn a_proxy_is_led_to_no_address_that_was_not_judged() {
    let (proxy, asked) = proxy().await;
    let with = |allow: &[&str], names, except| {
        let allow = allow.iter().map(|range| range.parse().unwrap()).collect();
        let guard = Arc::new(Guard::new(&Receivers { allow, place: Place::Cluster, ..Receivers::default() }));
        let egress = Some(Arc::new(Egress { proxy: proxy.clone(), except, names }));
        Client::new(&Config { guard, egress, ..Config::default() }).unwrap()
    };
    let told = || std::mem::take(&mut *asked.lock().unwrap());
    for names in [Names::Here, Names::Proxy] {
        let client = with(&[], names, Vec::new()).via(TENANTS);
        for host in ["127.0.0.1", "localhost", "169.254.169.254", "10.0.0.1", "[::ffff:10.0.0.1]"] {
            let error = client.send(get(&format!("http://{host}:7/")), &SHORT).await.unwrap_err();
            assert!(matches!(error, Error::Forbidden { .. }), "{host}: {error:?}");
        }
        assert_eq!(told(), [""; 0]);
    }
    let text = async |client: &Client, url: &str| {
        client.send(get(url), &SHORT).await.unwrap().read_to(100).await.unwrap()
    };
    // A name that leads to a forbidden place, if this machine's resolver takes it for one.
    let deny = vec!["127.0.0.0/8".parse().unwrap()];
    let guard = Arc::new(Guard::new(&Receivers { deny, ..Receivers::default() }));
    let egress = Some(Arc::new(Egress { names: Names::Here, ..Egress::always(proxy.clone()) }));
    let denying = Client::new(&Config { guard, egress, ..Config::default() }).unwrap().via(TENANTS);
    let error = denying.send(get("http://127.1:7/"), &SHORT).await.unwrap_err();
    assert!(matches!(error, Error::Forbidden { .. } | Error::Connect { .. }), "{error:?}");
    assert_eq!(told(), [""; 0]);
    // What was judged is what the proxy is told; the server is told the name.
    let open = with(&["127.0.0.0/8", "::1/128"], Names::Here, Vec::new()).via(TENANTS);
    assert_eq!(text(&open, "http://localhost:7/").await, "localhost:7");
    assert!(["127.0.0.1:7", "[::1]:7"].contains(&&*told()[0]));
    let trusting = with(&[], Names::Proxy, Vec::new()).via(TENANTS);
    assert_eq!(text(&trusting, "http://nowhere.invalid/").await, "nowhere.invalid");
    assert_eq!(told(), ["nowhere.invalid:80"]);
    // Neither the operator's own addresses nor Services go through it, nor what it is not for.
    let url = server(echo).await;
    let host = url.trim_start_matches("http://").to_owned();
    let except = vec![Exception::Range("127.0.0.0/8".parse().unwrap())];
    for client in [
        with(&[], Names::Here, Vec::new()),
        with(&["127.0.0.0/8"], Names::Here, Vec::new()).via(Route { author: Author::Cluster, dial: None }),
        with(&["127.0.0.0/8"], Names::Here, except).via(TENANTS),
    ] {
        assert_eq!(text(&client, &url).await, host);
    }
    assert_eq!(told(), [""; 0]);
}

#[tokio::test]
async fn a_tunnel_that_never_comes_is_a_connection_that_timed_out() {
    let silent = server(|_, mut stream| async move {
        request(&mut stream).await;
        request(&mut stream).await;
    })
    .await;
    let port = silent.rsplit_once(':').unwrap().1.parse().unwrap();
    let proxy = Some(Proxy { host: "127.0.0.1".into(), port, login: None });
    let client = client().for_access(&Access { proxy, ..Access::default() });
    let timeouts = Timeouts { connect: Duration::from_millis(100), ..SHORT };
    let error = client.send(get("https://h.invalid/"), &timeouts).await.unwrap_err();
    assert_eq!(error.to_string(), "https://h.invalid:443: no connection after 0.1 s");
}

#[tokio::test]
async fn what_a_proxy_says_instead_of_a_tunnel_is_told() {
    for (answer, said) in [
        ("HTTP/1.1 403 Forbidden\r\n\r\n", "does not let us through to h.invalid:80: 403 Forbidden"),
        (
            "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
            "407 Proxy Authentication Required; check username and passwordFile of the proxy",
        ),
        ("SSH-2.0-OpenSSH\r\n\r\n", "is no HTTP proxy"),
        ("", "broke the connection before it answered"),
    ] {
        let url = server(move |_, mut stream| async move {
            request(&mut stream).await;
            stream.write_all(answer.as_bytes()).await.unwrap();
        })
        .await;
        let port = url.rsplit_once(':').unwrap().1.parse().unwrap();
        let proxy = Proxy { host: "127.0.0.1".into(), port, login: None };
        let access = Access { proxy: Some(proxy), ..Access::default() };
        let error = client().for_access(&access).send(get("http://h.invalid/"), &SHORT).await.unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("cannot connect to http://h.invalid:80: ") && text.contains(said), "{text}");
        assert!(text.contains(&format!("http://127.0.0.1:{port}")) && error.is_transient(), "{text}");
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = Proxy { host: "127.0.0.1".into(), port: listener.local_addr().unwrap().port(), login: None };
    drop(listener);
    let access = Access { proxy: Some(proxy.clone()), ..Access::default() };
    let error = client().for_access(&access).send(get("https://h.invalid/"), &SHORT).await.unwrap_err();
    let why = format!("the proxy {proxy} cannot be reached: Connection refused (os error 111)");
    assert_eq!(error.to_string(), format!("cannot connect to https://h.invalid:443: {why}"));
}

#[tokio::test]
async fn a_packed_body_is_unpacked_only_if_that_was_asked_for_and_counts_as_what_it_is() {
    use std::io::Write as _;
    let url = server(|_, mut stream| async move {
        while let Some(head) = request(&mut stream).await {
            let zeros = if head.contains("/bomb") { 64 << 20 } else { 1000 };
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(&vec![b'0'; zeros]).unwrap();
            let mut body = encoder.finish().unwrap();
            if head.contains("/cut") {
                body.truncate(body.len() - 3);
            }
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all(head.as_bytes()).await.unwrap();
            stream.write_all(&body).await.unwrap();
        }
    })
    .await;
    let patient = Timeouts { first_byte: Duration::from_secs(60), whole: Duration::from_secs(60), ..SHORT };
    let asked = async |path: &str, welcome: bool| {
        let mut request = get(&format!("{url}{path}"));
        if welcome {
            request.headers_mut().insert("accept-encoding", "gzip".parse().unwrap());
        }
        client().send(request, &patient).await.unwrap().read_to(2000).await
    };
    assert_eq!(asked("/", true).await.unwrap(), vec![b'0'; 1000]);
    assert!(asked("/", false).await.unwrap().starts_with(&[0x1f, 0x8b]));
    assert!(matches!(asked("/bomb", true).await, Err(Error::TooLarge { bytes_max: 2000, .. })));
    let error = asked("/cut", true).await.unwrap_err();
    assert!(
        matches!(error, Error::Broken { .. }) && error.to_string().contains("its gzip cannot be unpacked"),
        "{error}"
    );
}
