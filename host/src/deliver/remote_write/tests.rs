//! What goes over the wire, byte for byte, and what each answer is taken for.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::http;
use crate::model::{Author, BasicAuth, Login, Protocol, Secret, Timestamp};

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
    (RemoteWriteEndpoint::plain(url.parse().unwrap(), Author::Operator), came)
}

fn request() -> Request {
    Request {
        version: Version::V1,
        body: Bytes::from_static(b"BODY"),
        samples: 1,
        histograms: 0,
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
    endpoint.login =
        Some(Login::Basic(BasicAuth { username: "Aladdin".into(), password: Secret::new("open sesame") }));
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
async fn what_is_said_of_native_histograms_is_said_of_what_is_in_the_request() {
    let said = async |status: &str, body: &str, histograms| {
        let length = body.len();
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}");
        let (endpoint, _) = receiver(answer.leak()).await;
        let request = Request { histograms, ..request() };
        sink(&endpoint).unwrap().send(&request).await.unwrap_err()
    };
    let disabled = "native histograms are disabled";
    for status in ["500 Internal Server Error", "400 Bad Request"] {
        let error = said(status, disabled, 1).await;
        assert!(matches!(error, Error::Histograms { .. }) && error.is_about_content(), "{error}");
        assert_eq!(
            error.to_string(),
            "the receiver takes no native histograms: native histograms are disabled; a Prometheus takes them with \
             --enable-feature=native-histograms"
        );
    }
    let mismatch = "histogram spans specify different number of buckets than provided";
    let error = said("500 Internal Server Error", mismatch, 1).await;
    assert!(!error.is_transient() && error.is_about_content(), "{error}");
    for (status, body, histograms) in [
        ("500 Internal Server Error", disabled, 0),
        ("500 Internal Server Error", "database is locked", 1),
        ("503 Service Unavailable", disabled, 1),
    ] {
        let error = said(status, body, histograms).await;
        assert!(error.is_transient(), "{status} {body}: {error}");
    }
}

#[tokio::test]
async fn what_is_older_than_a_receivers_window_is_refused_though_it_says_500() {
    let too_old = "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 14\r\n\r\ntoo old sample";
    let (endpoint, _) = receiver(too_old).await;
    let any = RemoteWriteEndpoint { order: Order::Any, ..endpoint.clone() };
    let error = sink(&any).unwrap().send(&request()).await.unwrap_err();
    assert!(!error.is_transient() && error.is_about_content() && error.reason() == Reason::TooOld, "{error}");
    let (endpoint, _) = receiver(too_old).await;
    assert!(sink(&endpoint).unwrap().send(&request()).await.unwrap_err().is_transient(), "nobody said so");
    let (endpoint, _) = receiver("HTTP/1.1 500 Internal Server Error\r\ncontent-length: 4\r\n\r\noops").await;
    let any = RemoteWriteEndpoint { order: Order::Any, ..endpoint };
    assert!(sink(&any).unwrap().send(&request()).await.unwrap_err().is_transient());
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
            "the receiver answered 401 Unauthorized; check basicAuth, bearerTokenSecret, tls and headers of the target",
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
        login: Some(Login::Bearer(Secret::new("b"))),
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

/// A request of ten samples, and how the receiver of an endpoint that wants `protocol` answers it.
async fn told(protocol: Protocol, version: Version, answer: &'static str) -> Result<Acknowledged, Error> {
    let (mut endpoint, _) = receiver(answer).await;
    endpoint.protocol = protocol;
    sink(&endpoint).unwrap().send(&Request { version, samples: 10, ..request() }).await
}

#[tokio::test]
async fn a_request_of_2_0_says_so_in_both_headers() {
    let (mut endpoint, came) = receiver("HTTP/1.1 204 No Content\r\n\r\n").await;
    endpoint.protocol = Protocol::V2;
    sink(&endpoint).unwrap().send(&Request { version: Version::V2, ..request() }).await.unwrap_err();
    let came = String::from_utf8(came.lock().unwrap().clone()).unwrap();
    for (line, times) in [
        ("content-type: application/x-protobuf;proto=io.prometheus.write.v2.Request\r\n", 1),
        ("x-prometheus-remote-write-version: 2.0.0\r\n", 1),
        ("content-type:", 1),
        ("x-prometheus-remote-write-version:", 1),
    ] {
        assert_eq!(came.matches(line).count(), times, "{line}");
    }
}

#[tokio::test]
async fn what_a_receiver_of_2_0_says_that_it_wrote_counts() {
    let taken = "HTTP/1.1 204 No Content\r\nX-Prometheus-Remote-Write-Samples-Written: 10\r\n\r\n";
    assert_eq!(told(Protocol::V2, Version::V2, taken).await.unwrap().status, 204);
    for (answer, written, is_about_content, message) in [
        (
            "HTTP/1.1 200 OK\r\nX-Prometheus-Remote-Write-Samples-Written: 7\r\ncontent-length: 0\r\n\r\n",
            7,
            false,
            "the receiver answered 200 OK, and says that it wrote 7 of 10 samples",
        ),
        (
            "HTTP/1.1 200 OK\r\nX-Prometheus-Remote-Write-Histograms-Written: 0\r\ncontent-length: 0\r\n\r\n",
            0,
            false,
            "the receiver answered 200 OK, and says that it wrote 0 of 10 samples",
        ),
        (
            "HTTP/1.1 400 Bad Request\r\nX-Prometheus-Remote-Write-Samples-Written: 7\r\ncontent-length: 3\r\n\r\nold",
            7,
            true,
            "the receiver refused the request with 400 Bad Request: old; of its 10 samples it wrote 7",
        ),
        (
            "HTTP/1.1 400 Bad Request\r\nX-Prometheus-Remote-Write-Samples-Written: 0\r\ncontent-length: 3\r\n\r\nold",
            0,
            true,
            "the receiver refused the request with 400 Bad Request: old",
        ),
    ] {
        let error = told(Protocol::V2, Version::V2, answer).await.unwrap_err();
        assert_eq!((error.written(), error.is_about_content()), (written, is_about_content), "{answer}");
        assert_eq!(error.to_string(), message);
        assert!(!error.is_transient() && !error.is_to_be_mended());
    }
    // Of 1.0 it is not asked, so that what it says is not heard.
    let short = "HTTP/1.1 204 No Content\r\nX-Prometheus-Remote-Write-Samples-Written: 7\r\n\r\n";
    assert_eq!(told(Protocol::V1, Version::V1, short).await.unwrap().status, 204);
}

#[tokio::test]
async fn a_version_that_is_not_taken_is_to_be_mended_or_sent_in_the_other() {
    let unsaid = "HTTP/1.1 204 No Content\r\n\r\n";
    let unsupported = "HTTP/1.1 415 Unsupported Media Type\r\ncontent-length: 4\r\n\r\nwhat";
    for (protocol, version, answer, message) in [
        (
            Protocol::V2,
            Version::V2,
            unsaid,
            "the receiver does not take remote write 2.0: it answered 204 No Content, and does not say that it wrote \
             anything; write protocol: auto, or \"1.0\"",
        ),
        (
            Protocol::V1,
            Version::V1,
            unsupported,
            "the receiver does not take remote write 1.0: it answered 415 Unsupported Media Type: what; write \
             protocol: auto, or \"2.0\"",
        ),
    ] {
        let error = told(protocol, version, answer).await.unwrap_err();
        assert!(error.is_to_be_mended() && !error.is_transient() && !error.is_about_content());
        assert_eq!(error.to_string(), message);
    }
    for (version, other, answer) in [
        (Version::V2, Version::V1, unsaid),
        (Version::V2, Version::V1, unsupported),
        (Version::V1, Version::V2, unsupported),
        (Version::V2, Version::V1, "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"),
        (Version::V2, Version::V1, "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"),
    ] {
        let error = told(Protocol::Auto, version, answer).await.unwrap_err();
        let Error::InOther { version: again, .. } = &error else { panic!("{version}: {error}") };
        assert_eq!(*again, other, "{version}, {answer}");
        assert!(!error.is_to_be_mended() && !error.is_transient());
    }
}
