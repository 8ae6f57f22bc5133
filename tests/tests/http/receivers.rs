//! Receivers: what a resource says about TLS and about who it is, and the operator's proxy before them.

use std::sync::{Arc, Mutex};

use http::StatusCode;
use serde_json::{Value, json};
use sluice_tests::exposition::{Exposition, Motion};
use sluice_tests::proxy::Proxy;
use sluice_tests::query_source::{QuerySource, vector};
use sluice_tests::secure::{Secure, forward, status};
use sluice_tests::series::series;
use sluice_tests::servers::{Prometheus, ScrapeJob, Setup, Sluice};
use sluice_tests::strict_receiver::StrictReceiver;
use sluice_tests::tls::{Authority, Certified};
use sluice_tests::wait::{eventually, now_ms};

const H2: &[&str] = &["h2", "http/1.1"];

/// A source with one series, whose value is the moment that it is asked about.
pub(crate) async fn clock() -> QuerySource {
    QuerySource::start(|call| match call.path.ends_with("/-/ready") {
        true => (StatusCode::OK, "ready".to_owned()),
        false => {
            let time = call.form.get("time").map_or("0", String::as_str);
            vector(&format!(r#"{{"metric":{{"__name__":"m_one"}},"value":[{time},"{time}"]}}"#))
        }
    })
    .await
}

/// A resource that sends to `target`, the block `remoteWrite`.
pub(crate) fn resource(name: &str, target: Value) -> String {
    let document = json!({
        "apiVersion": "observability.ethos.io/v1alpha1", "kind": "MetricAccess",
        "metadata": { "name": name, "namespace": "team" },
        "spec": {
            "source": "team", "metrics": ["m_.*"],
            "remoteWrite": {
                "enabled": true, "interval": "1s", "target": { "type": "remote_write" }, "remoteWrite": target,
                "extraLabels": { "tenant": name },
            },
        },
    });
    // JSON is YAML.
    format!("{document:#}\n")
}

pub(crate) fn key(name: &str, key: &str) -> Value {
    json!({ "name": name, "key": key })
}

/// The ticks that a receiver holds of one resource, in seconds; there is none missing between them.
pub(crate) fn ticks(receiver: &StrictReceiver, tenant: &str) -> Vec<i64> {
    let held = receiver.samples();
    let of: Vec<_> = held.iter().filter(|(series, _)| series.get("tenant") == tenant).collect();
    let ticks: Vec<i64> =
        of.first().map(|(_, samples)| samples.iter().map(|s| s.at / 1000).collect()).unwrap_or_default();
    assert!(of.len() <= 1 && ticks.windows(2).all(|two| two[1] == two[0] + 1), "{ticks:?}");
    ticks
}

/// Waits until so many ticks more have come.
async fn more(receiver: &StrictReceiver, tenant: &str, count: usize) {
    let before = ticks(receiver, tenant).len();
    let came = async || (ticks(receiver, tenant).len() >= before + count).then_some(());
    eventually(&format!("{count} ticks more of {tenant}"), came).await;
}

async fn health_of(sluice: &Sluice, name: &str) -> String {
    let health: Value = serde_json::from_str(sluice.get("/health").await.text()).expect("it is JSON");
    let all = health["remote_writes"].as_array().cloned().unwrap_or_default();
    let texts = all.iter().filter(|one| one["name"] == name).map(|one| one.to_string().replace("\\\"", "\""));
    texts.collect()
}

async fn says(sluice: &Sluice, name: &str, words: &str) {
    let mut last = String::new();
    eventually(&format!("{name} says {words}"), async || {
        last = health_of(sluice, name).await;
        last.contains(words).then_some(())
    })
    .await;
}

#[tokio::test]
async fn both_ends_may_be_real_servers_that_ask_for_certificates() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let target = Exposition::start().await;
    target.set(series("m_count", []), Motion::Of(Arc::new(|n| Some(n as f64))));
    let own = ours.certify(&["127.0.0.1"]);
    let source = Prometheus::secured(&[ScrapeJob::new("fake", target.address())], &own, &ours).await;
    let mut receiver = Prometheus::secured(&[], &theirs.certify(&["prometheus.team"]), &theirs).await;
    let files = tempfile::tempdir().expect("a temporary folder can be made");
    let us = ours.certify(&["sluice"]);
    for (name, text) in [("ca", ours.pem()), ("crt", &*us.certificate), ("key", &*us.key)] {
        std::fs::write(files.path().join(name), text).expect("the folder is writable");
    }
    let at = |name: &str| files.path().join(name);
    let tls = json!({ "caFile": at("ca"), "certFile": at("crt"), "keyFile": at("key") });
    let team = theirs.certify(&["team"]);
    let block = json!({
        "url": format!("{}/api/v1/write", receiver.url()),
        "tls": {
            "caSecret": key("tls", "ca.crt"), "certSecret": key("tls", "tls.crt"), "keySecret": key("tls", "tls.key"),
            "serverName": "prometheus.team",
        },
    });
    let mut sluice = Setup::new()
        .source_with("main", &source.url(), json!({ "tls": tls, "compression": "gzip" }))
        .secret("team/tls/ca.crt", theirs.pem())
        .secret("team/tls/tls.crt", &team.certificate)
        .secret("team/tls/tls.key", &team.key)
        .resource("a.yaml", &resource("a", block))
        .start()
        .await;
    eventually("ticks are delivered", async || {
        let delivered = sluice
            .counted_so_far("remote_write_requests_total", &[("tenant", "team"), ("status", "success")])
            .await;
        (delivered.unwrap_or(0) >= 6).then_some(())
    })
    .await;
    assert!(sluice.stop().await.success());
    assert_eq!(receiver.complaints(), [""; 0]);
    receiver.restart_in_the_clear().await;
    let held = receiver.api().raw("m_count", "5m", now_ms()).await.expect("it answers");
    let (labels, samples) = held.first_key_value().expect("one series arrived");
    assert_eq!((held.len(), labels.get("tenant"), labels.get("job")), (1, "a", "fake"));
    let live: Vec<_> = samples.iter().filter(|sample| !sample.value.float().is_nan()).collect();
    let steady = live
        .windows(2)
        .all(|two| two[1].at == two[0].at + 1000 && two[1].value.float() > two[0].value.float());
    assert!(live.len() >= 6 && steady, "{samples:?}");
}

/// A receiver that takes what carries the token, from whoever has the certificate, that are right at the moment.
struct Turnstile {
    server: Secure,
    now: Arc<Mutex<(String, Vec<u8>)>>,
    wrong: Arc<Mutex<usize>>,
}

impl Turnstile {
    async fn before(receiver: &StrictReceiver, ours: &Authority, token: &str, who: &Certified) -> Turnstile {
        let now = Arc::new(Mutex::new((token.to_owned(), der(who))));
        let (wrong, url) = (Arc::new(Mutex::new(0)), receiver.url());
        let (right, count) = (now.clone(), wrong.clone());
        let answer = move |peer: sluice_tests::secure::Peer,
                           request: http::Request<hyper::body::Incoming>| {
            let (token, certificate) = right.lock().unwrap().clone();
            let told = request.headers().get("authorization").map(|told| told.as_bytes().to_vec());
            let known =
                told == Some(format!("Bearer {token}").into_bytes()) && peer.certificate == Some(certificate);
            if !known {
                *count.lock().unwrap() += 1;
            }
            let url = url.clone();
            async move {
                match known {
                    true => forward(url, request).await,
                    false => status(StatusCode::UNAUTHORIZED),
                }
            }
        };
        let server = Secure::start(&ours.certify(&["127.0.0.1"]), Some(ours), H2, answer).await;
        Turnstile { server, now, wrong }
    }

    fn turn(&self, token: &str, who: &Certified) {
        *self.now.lock().unwrap() = (token.to_owned(), der(who));
    }

    fn refused(&self) -> usize {
        *self.wrong.lock().unwrap()
    }
}

fn der(who: &Certified) -> Vec<u8> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;
    CertificateDer::from_pem_slice(who.certificate.as_bytes()).expect("it is PEM").to_vec()
}

#[tokio::test]
async fn tokens_and_certificates_that_change_are_followed_and_cost_no_tick() {
    let (source, receiver, ours) = (clock().await, StrictReceiver::start().await, Authority::new("ours"));
    let (first, second) = (ours.certify(&["first"]), ours.certify(&["second"]));
    let turnstile = Turnstile::before(&receiver, &ours, "s3cret-1", &first).await;
    let block = json!({
        "url": format!("{}/write", turnstile.server.url()),
        "bearerTokenSecret": key("login", "token"),
        "tls": {
            "caSecret": key("login", "ca"), "certSecret": key("login", "crt"), "keySecret": key("login", "key"),
        },
    });
    let mut sluice = Setup::new()
        .source_with("main", &source.url(), json!({ "lag": "1s" }))
        .secret("team/login/token", "s3cret-1\n")
        .secret("team/login/ca", ours.pem())
        .secret("team/login/crt", &first.certificate)
        .secret("team/login/key", &first.key)
        .resource("a.yaml", &resource("a", block))
        .start()
        .await;
    more(&receiver, "a", 3).await;
    assert_eq!(turnstile.refused(), 0);
    // The receiver is the first to change: until the Secret does, nothing is taken, and nothing is lost.
    turnstile.turn("s3cret-2", &second);
    says(&sluice, "a", "401 Unauthorized; check basicAuth, bearerTokenSecret, tls and headers").await;
    sluice.write_secret("team/login/token", "s3cret-2\n");
    sluice.write_secret("team/login/crt", &second.certificate);
    sluice.write_secret("team/login/key", &second.key);
    more(&receiver, "a", 6).await;
    // One that cannot be used stops the resource where it is, and says why.
    sluice.write_secret("team/login/key", "nonsense");
    eventually("the key is named", async || {
        let problems =
            sluice.debug("/debug/tenants").await.text().to_owned() + sluice.get("/health").await.text();
        problems.contains("tls.keySecret: login/key holds no private key in PEM form").then_some(())
    })
    .await;
    sluice.write_secret("team/login/key", &second.key);
    more(&receiver, "a", 6).await;
    assert!(sluice.stop().await.success());
    assert_eq!(receiver.violations(), []);
    let (log, body) = (sluice.log(), second.key.lines().nth(1).expect("a key has lines"));
    assert!(!log.contains("s3cret") && !log.contains(body), "a secret is in the log: {log}");
}

#[tokio::test]
async fn whom_a_receiver_is_trusted_by_is_its_resources_to_say() {
    let (source, receiver) = (clock().await, StrictReceiver::start().await);
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let front = Secure::before(&receiver.url(), &ours.certify(&["prometheus.team"]), None, H2).await;
    let url = format!("{}/write", front.url());
    let ca = |name: &str| json!({ "caSecret": key(name, "ca"), "serverName": "prometheus.team" });
    let cases = [
        ("right", ca("ours"), None),
        ("foreign", ca("theirs"), Some("invalid peer certificate: UnknownIssuer")),
        (
            "misnamed",
            json!({ "caSecret": key("ours", "ca") }),
            Some("certificate not valid for name \"127.0.0.1\""),
        ),
        (
            "systems",
            json!({ "serverName": "prometheus.team" }),
            Some("invalid peer certificate: UnknownIssuer"),
        ),
        ("unchecked", json!({ "insecureSkipVerify": true }), None),
    ];
    let setup = Setup::new()
        .source_with("main", &source.url(), json!({ "lag": "1s" }))
        .secret("team/ours/ca", ours.pem())
        .secret("team/theirs/ca", theirs.pem());
    let setup = cases.iter().fold(setup, |setup, (name, tls, _)| {
        setup.resource(&format!("{name}.yaml"), &resource(name, json!({ "url": url, "tls": tls })))
    });
    let mut sluice = setup.start().await;
    for (name, _, error) in &cases {
        match error {
            None => more(&receiver, name, 2).await,
            Some(why) => says(&sluice, name, why).await,
        }
    }
    assert!(sluice.stop().await.success());
    let held = receiver.samples();
    let tenants: Vec<&str> = held.keys().map(|series| series.get("tenant")).collect();
    assert_eq!(tenants, ["right", "unchecked"]);
    assert_eq!(receiver.violations(), []);
}

#[tokio::test]
async fn receivers_are_sent_to_through_the_operators_proxy_at_addresses_that_were_judged() {
    let (source, receiver, ours) = (clock().await, StrictReceiver::start().await, Authority::new("ours"));
    let front = Secure::before(&receiver.url(), &ours.certify(&["localhost"]), None, H2).await;
    let proxy = Proxy::knowing(&[]).await;
    proxy.is_for("sluice:s3cret");
    let port = receiver.url().rsplit_once(':').unwrap().1.to_owned();
    let tls = json!({ "caSecret": key("ours", "ca") });
    let files = tempfile::tempdir().expect("a temporary folder can be made");
    let password = files.path().join("password");
    std::fs::write(&password, "wrong").expect("the folder is writable");
    let through = json!({
        "url": proxy.url(), "username": "sluice", "passwordFile": password, "noProxy": ["direct.localhost", "127.0.0.3/32"],
    });
    let receivers = json!({ "proxy": through, "deny": ["127.0.0.2/32"] });
    let mut sluice = Setup::new()
        .source_with("main", &source.url(), json!({ "lag": "1s" }))
        .setting("receivers", receivers)
        .variable("http_proxy", "http://127.0.0.1:1")
        .variable("https_proxy", "http://127.0.0.1:1")
        .variable("ALL_PROXY", "http://127.0.0.1:1")
        .secret("team/ours/ca", ours.pem())
        .resource(
            "secure.yaml",
            &resource(
                "secure",
                json!({ "url": format!("https://localhost:{}/w", front.port()), "tls": tls }),
            ),
        )
        .resource("clear.yaml", &resource("clear", json!({ "url": format!("http://127.0.0.1:{port}/w") })))
        .resource("denied.yaml", &resource("denied", json!({ "url": format!("http://127.0.0.2:{port}/w") })))
        .start()
        .await;
    says(&sluice, "clear", "407 Proxy Authentication Required; check username and passwordFile of the proxy")
        .await;
    assert_eq!(proxy.asked(), [""; 0]);
    std::fs::write(&password, "s3cret\n").expect("the folder is writable");
    more(&receiver, "clear", 2).await;
    more(&receiver, "secure", 2).await;
    says(&sluice, "denied", "127.0.0.2 is in 127.0.0.2/32 (denied by the operator)").await;
    assert!(sluice.stop().await.success());
    let asked = proxy.asked();
    // The names are not told: where they lead was judged here.
    let expected = [format!("127.0.0.1:{}", front.port()), format!("127.0.0.1:{port}")];
    assert!(expected.iter().all(|target| asked.contains(target)), "{asked:?}");
    assert!(asked.iter().all(|target| expected.contains(target)), "{asked:?}");
    assert_eq!(receiver.violations(), []);
    assert!(!sluice.log().contains("s3cret"), "{}", sluice.log());
}
