//! Sources: what the operator says about how they are asked.

use std::io::Write as _;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderValue};
use http_body_util::{BodyExt as _, Full};
use serde_json::{Value, json};
use sluice_tests::proxy::Proxy;
use sluice_tests::query_source::{Call, QuerySource};
use sluice_tests::secure::{Answer, Secure, forward};
use sluice_tests::servers::{Setup, Sluice};
use sluice_tests::strict_receiver::StrictReceiver;
use sluice_tests::tls::Authority;
use sluice_tests::wait::eventually;

use super::receivers::{clock, resource, ticks};

fn header(call: &Call, name: &str) -> String {
    call.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

/// Waits until the newest calls, probes and queries, all say this.
async fn says(source: &QuerySource, name: &str, value: &str) {
    eventually(&format!("{name} is {value}"), async || {
        let calls = source.calls();
        let newest = calls.len().checked_sub(6)?;
        calls[newest..].iter().all(|call| header(call, name) == value).then_some(())
    })
    .await;
}

async fn source_error(sluice: &Sluice, name: &str) -> String {
    let report: Value =
        serde_json::from_str(sluice.debug("/debug/targets").await.text()).expect("it is JSON");
    let all = report["targets"].as_array().cloned().unwrap_or_default();
    let mine = all.into_iter().find(|target| target["name"] == name).unwrap_or_default();
    mine["last_error"].as_str().unwrap_or_default().to_owned()
}

fn health() -> Value {
    json!({ "health": { "interval": "1s", "failures": 1, "successes": 1 } })
}

#[tokio::test]
async fn a_source_is_told_what_the_operator_wants_it_told_and_new_files_count_at_once() {
    let (source, receiver) = (clock().await, StrictReceiver::start().await);
    let files = tempfile::tempdir().expect("a temporary folder can be made");
    let token = files.path().join("token");
    std::fs::write(&token, "s3cret-1\n").expect("the folder is writable");
    let headers = json!({ "X-Scope-OrgID": "infra", "X-Token": { "file": token } });
    let mut sluice = Setup::new()
        .setting("discovery", health())
        .source_with("main", &source.url(), json!({ "lag": "1s", "headers": headers }))
        .resource("a.yaml", &resource("a", json!({ "url": format!("{}/w", receiver.url()) })))
        .start()
        .await;
    says(&source, "x-scope-orgid", "infra").await;
    says(&source, "x-token", "s3cret-1").await;
    std::fs::write(&token, "s3cret-2\n").expect("the folder is writable");
    says(&source, "x-token", "s3cret-2").await;
    eventually("it is delivered", async || (ticks(&receiver, "a").len() > 3).then_some(())).await;
    assert!(sluice.stop().await.success());
    assert!(!sluice.log().contains("s3cret"), "{}", sluice.log());
}

#[tokio::test]
async fn an_authority_that_is_written_anew_is_believed_at_the_next_request() {
    let (source, receiver) = (clock().await, StrictReceiver::start().await);
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let front = Secure::before(&source.url(), &ours.certify(&["127.0.0.1"]), None, &["h2"]).await;
    let files = tempfile::tempdir().expect("a temporary folder can be made");
    let ca = files.path().join("ca.pem");
    std::fs::write(&ca, theirs.pem()).expect("the folder is writable");
    let mut sluice = Setup::new()
        .setting("discovery", health())
        .source_with("main", &front.url(), json!({ "lag": "1s", "tls": { "caFile": ca } }))
        .resource("a.yaml", &resource("a", json!({ "url": format!("{}/w", receiver.url()) })))
        .start()
        .await;
    let wrong = "invalid peer certificate: UnknownIssuer";
    eventually("it is not believed", async || {
        source_error(&sluice, "main").await.contains(wrong).then_some(())
    })
    .await;
    std::fs::write(&ca, ours.pem()).expect("the folder is writable");
    eventually("it is delivered", async || (ticks(&receiver, "a").len() > 3).then_some(())).await;
    // And no longer, once it is taken away: connections that were made do not stay.
    std::fs::write(&ca, theirs.pem()).expect("the folder is writable");
    eventually("it is not believed", async || {
        source_error(&sluice, "main").await.contains(wrong).then_some(())
    })
    .await;
    assert!(sluice.stop().await.success());
}

/// Packs what the server says, if that is welcome; some of it is a bomb.
async fn packing(url: String, request: http::Request<hyper::body::Incoming>) -> Answer {
    let welcome = request.headers().get(ACCEPT_ENCODING).is_some_and(|welcome| welcome == "gzip");
    let mut answer = forward(url, request).await;
    if welcome {
        let body = answer.body_mut().collect().await.expect("it is all here").to_bytes();
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&body).expect("memory takes all");
        *answer.body_mut() = Full::new(Bytes::from(encoder.finish().expect("memory takes all")));
        answer.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    answer
}

#[tokio::test]
async fn answers_come_packed_where_the_operator_says_so_and_nowhere_else() {
    let (source, other, receiver) = (clock().await, clock().await, StrictReceiver::start().await);
    let (ours, url) = (Authority::new("ours"), source.url());
    let answer = move |_, request| packing(url.clone(), request);
    let front = Secure::start(&ours.certify(&["127.0.0.1"]), None, &["http/1.1"], answer).await;
    let files = tempfile::tempdir().expect("a temporary folder can be made");
    let ca = files.path().join("ca.pem");
    std::fs::write(&ca, ours.pem()).expect("the folder is writable");
    let packed =
        json!({ "lag": "1s", "labels": { "via": "packed" }, "compression": "gzip", "tls": { "caFile": ca } });
    let mut sluice = Setup::new()
        .source_with("packed", &front.url(), packed)
        .source_with("plain", &other.url(), json!({ "lag": "1s", "labels": { "via": "plain" } }))
        .resource("a.yaml", &resource("a", json!({ "url": format!("{}/w", receiver.url()) })))
        .start()
        .await;
    eventually("both are delivered", async || {
        let held = receiver.samples();
        (held.len() == 2 && held.values().all(|samples| samples.len() >= 3)).then_some(())
    })
    .await;
    assert!(sluice.stop().await.success());
    let queries = |source: &QuerySource| -> Vec<String> {
        let calls = source.calls();
        calls
            .iter()
            .filter(|call| call.path.contains("query"))
            .map(|call| header(call, "accept-encoding"))
            .collect()
    };
    assert!(queries(&source).iter().all(|welcome| welcome == "gzip"), "{:?}", queries(&source));
    assert!(queries(&other).iter().all(String::is_empty), "{:?}", queries(&other));
    for (series, samples) in receiver.samples() {
        let live = samples.iter().filter(|sample| !sample.value.float().is_nan());
        let right = live.clone().all(|sample| sample.value.float() * 1000.0 == sample.at as f64);
        assert!(right, "{series}: {samples:?}");
    }
    assert_eq!(receiver.violations(), []);
}

#[tokio::test]
async fn a_source_may_be_behind_a_proxy_that_alone_knows_its_name() {
    let (source, receiver, ours) = (clock().await, StrictReceiver::start().await, Authority::new("ours"));
    let front = Secure::before(&source.url(), &ours.certify(&["prometheus.invalid"]), None, &["h2"]).await;
    let (clear, secure) = (source.url(), front.url());
    let behind = |url: &'_ str| url.rsplit_once('/').unwrap().1.to_owned();
    let proxy = Proxy::knowing(&[
        ("prometheus.invalid:443", &behind(&secure)),
        ("prometheus.invalid:9090", &behind(&clear)),
    ])
    .await;
    let files = tempfile::tempdir().expect("a temporary folder can be made");
    let ca = files.path().join("ca.pem");
    std::fs::write(&ca, ours.pem()).expect("the folder is writable");
    let through =
        |via: &str| json!({ "lag": "1s", "labels": { "via": via }, "proxy": { "url": proxy.url() } });
    let mut secured = through("secure");
    secured["tls"] = json!({ "caFile": ca });
    let mut sluice = Setup::new()
        .setting("discovery", health())
        .source_with("secure", "https://prometheus.invalid", secured)
        .source_with("clear", "http://prometheus.invalid:9090", through("clear"))
        .source_with("nobody", "http://127.0.0.1:1", through("nobody"))
        .resource("a.yaml", &resource("a", json!({ "url": format!("{}/w", receiver.url()) })))
        .start()
        .await;
    eventually("both are delivered", async || (receiver.samples().len() == 2).then_some(())).await;
    let why = format!("the proxy {} does not let us through to 127.0.0.1:1: 502 Bad Gateway", proxy.url());
    eventually("the proxy is blamed", async || {
        source_error(&sluice, "nobody").await.contains(&why).then_some(())
    })
    .await;
    assert!(sluice.stop().await.success());
    let mut asked = proxy.asked();
    asked.sort();
    asked.dedup();
    assert_eq!(asked, ["127.0.0.1:1", "prometheus.invalid:443", "prometheus.invalid:9090"]);
}
