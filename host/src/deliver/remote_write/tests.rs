//! What goes over the wire, byte for byte, and what each answer is taken for.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::http;
use crate::model::{Author, Secret, Timestamp};

/// Answers every request on every connection with the same bytes and keeps what came.
async fn receiver(answer: &'static str) -> (RemoteWriteEndpoint, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/api/v1/write", listener.local_addr().unwrap());
    let came = Arc::new(Mutex::new(Vec::new()));
    let record = came.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut buffer = [0; 4096];
            while !record.lock().unwrap().ends_with(b"BODY") {
                let read = stream.read(&mut buffer).await.unwrap();
                record.lock().unwrap().extend_from_slice(&buffer[..read]);
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            tokio::spawn(async move { stream.read(&mut buffer).await });
        }
    });
    let (author, dial, basic_auth, headers) = (Author::Operator, None, None, Vec::new());
    (RemoteWriteEndpoint { url: url.parse().unwrap(), author, dial, basic_auth, headers }, came)
}

fn request() -> Request {
    Request {
        body: Bytes::from_static(b"BODY"),
        samples: 1,
        raw_bytes: 4,
        first: Timestamp(1),
        last: Timestamp(1),
    }
}

fn sink(endpoint: &RemoteWriteEndpoint) -> Result<RemoteWrite, Error> {
    RemoteWrite::new(Client::new(&http::Config::default()).unwrap(), endpoint, Timeouts::default())
}

async fn send(answer: &'static str) -> Result<Acknowledged, Error> {
    let (endpoint, _) = receiver(answer).await;
    sink(&endpoint).unwrap().send(&request()).await
}

#[tokio::test]
async fn the_request_is_what_the_specification_asks_for() {
    let (mut endpoint, came) = receiver("HTTP/1.1 204 No Content\r\n\r\n").await;
    endpoint.headers = vec![("X-Scope-OrgID".into(), "a".into())];
    endpoint.basic_auth =
        Some(BasicAuth { username: "Aladdin".into(), password: Secret::new("open sesame") });
    let acknowledged = sink(&endpoint).unwrap().send(&request()).await.unwrap();
    assert_eq!(acknowledged.status, 204);

    let came = String::from_utf8(came.lock().unwrap().clone()).unwrap();
    let (head, body) = came.split_once("\r\n\r\n").unwrap();
    let mut lines: Vec<&str> = head.split("\r\n").collect();
    assert_eq!(lines.remove(0), "POST /api/v1/write HTTP/1.1");
    lines.sort_unstable();
    let host = format!("host: {}", endpoint.url.authority());
    assert_eq!(
        lines,
        [
            "authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
            "content-encoding: snappy",
            "content-length: 4",
            "content-type: application/x-protobuf",
            &*host,
            concat!("user-agent: sluice/", env!("CARGO_PKG_VERSION")),
            "x-prometheus-remote-write-version: 0.1.0",
            "x-scope-orgid: a",
        ]
    );
    assert_eq!(body, "BODY");
}

#[tokio::test]
async fn any_2xx_is_a_success_whatever_its_body_says() {
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nerror";
    assert_eq!(send(answer).await.unwrap().status, 200);
    // A body that breaks off after a success does not undo it.
    let answer = "HTTP/1.1 202 Accepted\r\ntransfer-encoding: chunked\r\n\r\nnonsense";
    assert_eq!(send(answer).await.unwrap().status, 202);
}

#[tokio::test]
async fn server_errors_and_429_may_pass_and_say_when() {
    for (answer, wait) in [
        ("HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n", None),
        ("HTTP/1.1 429 Too Many Requests\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n", Some(7)),
        ("HTTP/1.1 503 Service Unavailable\r\nretry-after: 3\r\ncontent-length: 0\r\n\r\n", Some(3)),
    ] {
        let error = send(answer).await.unwrap_err();
        assert!(error.is_transient(), "{error}");
        assert_eq!(error.retry_after(), wait.map(Duration::from_secs));
    }
}

#[tokio::test]
async fn refusals_are_final_and_say_what_to_do() {
    for (answer, message) in [
        (
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 20\r\n\r\nout of\x07order\nsample\n",
            "the receiver refused the request with 400 Bad Request: out of order sample",
        ),
        (
            "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n",
            "the receiver answered 401 Unauthorized; check basicAuth and headers of the target",
        ),
        (
            "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
            "the receiver answered 404 Not Found; check the URL's path; a Prometheus receives only with \
             --web.enable-remote-write-receiver",
        ),
        (
            "HTTP/1.1 302 Found\r\nlocation: /graph\r\ncontent-length: 0\r\n\r\n",
            "the receiver answered 302 Found, a redirect to \"/graph\", which is not followed; write the final URL",
        ),
    ] {
        let error = send(answer).await.unwrap_err();
        assert!(!error.is_transient());
        assert_eq!(error.to_string(), message);
    }
}

#[tokio::test]
async fn an_error_of_any_length_is_cut() {
    let long: &'static str = Box::leak(
        format!("HTTP/1.1 400 Bad Request\r\ncontent-length: 100000\r\n\r\n{}", "x".repeat(100_000)).into(),
    );
    let Err(Error::Refused { message, .. }) = send(long).await else { panic!("not refused") };
    assert_eq!(message.len(), 1024);
}

#[tokio::test]
async fn headers_of_the_protocol_cannot_be_set() {
    let (endpoint, _) = receiver("").await;
    let with = |name: &str, value: &str| RemoteWriteEndpoint {
        headers: vec![(name.into(), value.into())],
        ..endpoint.clone()
    };
    for (name, value) in [("Content-Type", "a"), ("HOST", "a"), ("X y", "a"), ("X-A", "line\nbreak")] {
        assert!(matches!(sink(&with(name, value)), Err(Error::Header { .. })), "{name}");
    }
    assert!(sink(&with("Authorization", "Bearer t")).is_ok());
    let both = RemoteWriteEndpoint {
        basic_auth: Some(BasicAuth { username: "a".into(), password: Secret::new("b") }),
        ..with("Authorization", "Bearer t")
    };
    assert!(matches!(sink(&both), Err(Error::Header { .. })));
    assert!(!format!("{:?}", sink(&with("Authorization", "Bearer hidden")).unwrap()).contains("hidden"));
}

#[tokio::test]
async fn credentials_in_the_url_are_refused_and_not_shown() {
    let (mut endpoint, _) = receiver("").await;
    endpoint.url.set_password(Some("hidden")).unwrap();
    let error = sink(&endpoint).unwrap_err().to_string();
    assert!(error.contains("basicAuth") && !error.contains("hidden"), "{error}");
}
