//! TLS: whom the program believes, whom it tells who it is, and what it says where that goes wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::{Value, json};
use sluice_tests::apiserver::FakeApi;
use sluice_tests::query_source::{Call, QuerySource, vector};
use sluice_tests::servers::{Setup, Sluice};
use sluice_tests::strict_receiver::StrictReceiver;
use sluice_tests::tls::{Authority, Certified, Front};
use sluice_tests::wait::eventually;
use tempfile::TempDir;

/// A server with one series.
async fn server() -> QuerySource {
    QuerySource::start(|call| match call.path.ends_with("/-/ready") {
        true => (http::StatusCode::OK, "ready".to_owned()),
        false => {
            let time = call.form.get("time").map_or("0", String::as_str);
            vector(&format!(r#"{{"metric":{{"__name__":"m_one"}},"value":[{time},"1"]}}"#))
        }
    })
    .await
}

/// A folder for certificates and keys.
struct Files(TempDir);

impl Files {
    fn new() -> Files {
        Files(TempDir::new().expect("a temporary folder can be made"))
    }

    fn with(&self, name: &str, text: &str) -> PathBuf {
        let (part, file) = (self.0.path().join("part"), self.0.path().join(name));
        std::fs::write(&part, text).expect("the folder is writable");
        std::fs::rename(part, &file).expect("the folder is writable");
        file
    }

    fn identity(&self, name: &str, who: &Certified) -> Value {
        let certificate = self.with(&format!("{name}.crt"), &who.certificate);
        json!({ "certFile": certificate, "keyFile": self.with(&format!("{name}.key"), &who.key) })
    }
}

fn resource(name: &str, url: &str) -> String {
    format!(
        r#"apiVersion: observability.ethos.io/v1alpha1
kind: MetricAccess
metadata: {{ name: {name}, namespace: team }}
spec:
  source: team
  metrics: ["m_.*"]
  remoteWrite:
    enabled: true
    interval: "1s"
    target: {{ type: remote_write }}
    remoteWrite: {{ url: "{url}" }}
    extraLabels: {{ tenant: {name} }}
"#
    )
}

async fn targets(sluice: &Sluice) -> BTreeMap<String, Value> {
    let report: Value =
        serde_json::from_str(sluice.debug("/debug/targets").await.text()).expect("the report is JSON");
    let all = report["targets"].as_array().expect("targets are listed").clone();
    all.into_iter().map(|target| (target["name"].as_str().unwrap_or_default().to_owned(), target)).collect()
}

/// Waits until a target is up, and nothing was ever wrong with it.
async fn is_up(sluice: &Sluice, name: &str) {
    eventually(&format!("{name} is up"), async || {
        let target = targets(sluice).await.remove(name)?;
        (target["health"] == "up" && target["last_error"].is_null()).then_some(())
    })
    .await;
}

/// The series that a receiver holds, by their label `via`.
fn via(receiver: &StrictReceiver) -> Vec<String> {
    receiver.samples().keys().map(|series| series.get("via").to_owned()).collect()
}

#[tokio::test]
async fn a_source_is_asked_if_both_sides_accept_each_others_certificates() {
    let (server, receiver, files) = (server().await, StrictReceiver::start().await, Files::new());
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let here = ours.certify(&["127.0.0.1"]);
    let open = Front::before(&server.url(), &here).await;
    let named = Front::before(&server.url(), &ours.certify(&["prometheus.example"])).await;
    let guarded = Front::guarded(&server.url(), &here, &ours, &rustls::version::TLS13).await;
    let guarded_12 = Front::guarded(&server.url(), &here, &ours, &rustls::version::TLS12).await;

    let ca = json!({ "caFile": files.with("ours.pem", ours.pem()) });
    let wrong = json!({ "caFile": files.with("theirs.pem", theirs.pem()) });
    let us = files.identity("us", &ours.certify(&["sluice"]));
    let stranger = files.identity("stranger", &theirs.certify(&["sluice"]));
    let both = |a: &Value, b: &Value| {
        let (mut both, b) = (a.clone(), b.as_object().expect("an object").clone());
        both.as_object_mut().expect("an object").extend(b);
        both
    };
    let cannot_trust = |front: &Front, why: &str| {
        Some(format!("cannot trust {}: invalid peer certificate: {why}", front.url()))
    };
    let refused = |front: &Front, alert: &str| {
        let alert = format!("received fatal alert: {alert}");
        Some(format!("{} wants a client certificate, or does not accept ours: {alert}", front.url()))
    };
    let cases: Vec<(&str, &Front, Value, Option<String>)> = vec![
        ("right", &open, ca.clone(), None),
        ("wrong-authority", &open, wrong.clone(), cannot_trust(&open, "UnknownIssuer")),
        ("system", &open, json!(null), cannot_trust(&open, "UnknownIssuer")),
        ("unchecked", &open, json!({ "insecureSkipVerify": true }), None),
        (
            "wrong-name",
            &named,
            ca.clone(),
            cannot_trust(
                &named,
                "certificate not valid for name \"127.0.0.1\"; certificate is only valid for DnsName(\"prometheus.example\")",
            ),
        ),
        ("named", &named, both(&ca, &json!({ "serverName": "prometheus.example" })), None),
        ("known", &guarded, both(&ca, &us), None),
        ("known-12", &guarded_12, both(&ca, &us), None),
        ("anonymous", &guarded, ca.clone(), refused(&guarded, "CertificateRequired")),
        ("anonymous-12", &guarded_12, ca.clone(), refused(&guarded_12, "CertificateRequired")),
        ("stranger", &guarded, both(&ca, &stranger), refused(&guarded, "UnknownCA")),
        ("stranger-12", &guarded_12, both(&ca, &stranger), refused(&guarded_12, "UnknownCA")),
    ];
    let setup = cases.iter().fold(Setup::new(), |setup, (name, front, tls, _)| {
        let mut more = json!({ "lag": "1s", "labels": { "via": name } });
        if !tls.is_null() {
            more["tls"] = tls.clone();
        }
        setup.source_with(name, &front.url(), more)
    });
    let health = json!({ "health": { "interval": "1s", "failures": 1, "successes": 1 } });
    let mut sluice =
        setup.setting("discovery", health).resource("a.yaml", &resource("a", &receiver.url())).start().await;
    for (name, _, _, error) in &cases {
        match error {
            None => is_up(&sluice, name).await,
            // A query was refused as the probe was.
            Some(error) => {
                let (probe, query) = (error.clone(), format!("cannot be reached: {error}"));
                eventually(&format!("{name}: {error}"), async || {
                    let target = targets(&sluice).await.remove(*name)?;
                    let said = target["last_error"].as_str()?.to_owned();
                    (target["health"] == "down" && (said == probe || said == query)).then_some(())
                })
                .await;
            }
        }
    }
    let up = ["known", "known-12", "named", "right", "unchecked"];
    eventually("all that are up are delivered", async || (via(&receiver).len() == up.len()).then_some(()))
        .await;
    assert!(sluice.stop().await.success());
    assert_eq!(via(&receiver), up);
    assert_eq!(receiver.violations(), []);
}

/// Who a call says it is from.
fn token(call: &Call) -> String {
    let value = call.headers.get("authorization").and_then(|value| value.to_str().ok());
    value.unwrap_or("nobody").to_owned()
}

#[tokio::test]
async fn a_discovered_server_is_asked_by_its_blocks_terms_and_a_new_token_is_used_at_once() {
    let (server, receiver, files) = (server().await, StrictReceiver::start().await, Files::new());
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let front =
        Front::guarded(&server.url(), &ours.certify(&["prometheus.example"]), &ours, &rustls::version::TLS13)
            .await;
    let api = FakeApi::start();
    let serving = api.serve().await;
    api.create(json!({
        "kind": "Pod", "metadata": { "name": "p-0", "namespace": "mon", "labels": { "app": "prometheus" } },
        "spec": { "containers": [
            { "name": "p", "image": "p", "ports": [{ "name": "web", "containerPort": front.port() }] },
        ]},
        "status": {
            "phase": "Running", "podIP": "127.0.0.1", "conditions": [{ "type": "Ready", "status": "True" }],
        },
    }));
    let token_file = files.with("token", "s3cret-1\n");
    let us = files.identity("us", &ours.certify(&["sluice"]));
    let block = |name: &str, ca: PathBuf| {
        json!({
            "name": name, "kind": "pod", "namespaces": ["mon"], "labelSelector": "app=prometheus", "port": "web",
            "lag": "1s", "labels": { "via": name }, "bearerTokenFile": token_file,
            "tls": {
                "caFile": ca, "serverName": "prometheus.example", "certFile": us["certFile"], "keyFile": us["keyFile"],
            },
        })
    };
    let blocks = [
        block("right", files.with("ours.pem", ours.pem())),
        block("wrong", files.with("theirs.pem", theirs.pem())),
    ];
    let discovery = json!({
        "kubeconfig": files.with("kubeconfig", &serving.kubeconfig(None)), "kubernetes": blocks,
        "health": { "interval": "1s", "failures": 1, "successes": 1 },
    });
    let mut sluice = Setup::new()
        .setting("discovery", discovery)
        .resource("a.yaml", &resource("a", &receiver.url()))
        .start()
        .await;
    is_up(&sluice, "right/mon/p-0").await;
    eventually("the wrong authority is named", async || {
        let target = targets(&sluice).await.remove("wrong/mon/p-0")?;
        let words = format!("cannot trust {}: invalid peer certificate: UnknownIssuer", front.url());
        (target["health"] == "down" && target["last_error"].as_str()?.contains(&words)).then_some(())
    })
    .await;
    eventually("it is delivered", async || (!via(&receiver).is_empty()).then_some(())).await;

    let used = async |token_of: &str| {
        // Probes and queries each look at the file.
        eventually(&format!("{token_of} is all that is used"), async || {
            let calls = server.calls();
            let newest = calls.len().checked_sub(6)?;
            calls[newest..].iter().all(|call| token(call) == token_of).then_some(())
        })
        .await;
    };
    used("Bearer s3cret-1").await;
    files.with("token", "s3cret-2\n");
    used("Bearer s3cret-2").await;
    files.with("token", "");
    let why = format!("cannot use {}: is empty", token_file.display());
    eventually("an empty file is named", async || {
        let target = targets(&sluice).await.remove("right/mon/p-0")?;
        target["last_error"].as_str()?.contains(&why).then_some(())
    })
    .await;
    files.with("token", "s3cret-3\n");
    used("Bearer s3cret-3").await;
    assert!(sluice.stop().await.success());
    let all: BTreeSet<String> = server.calls().iter().map(token).collect();
    assert_eq!(all, ["Bearer s3cret-1", "Bearer s3cret-2", "Bearer s3cret-3"].map(str::to_owned).into());
    assert_eq!(via(&receiver), ["right"]);
    assert_eq!(receiver.violations(), []);
    let log = sluice.log();
    assert!(!log.contains("s3cret"), "a token is in the log: {log}");
}

#[tokio::test]
async fn a_receiver_is_sent_to_if_the_systems_authorities_vouch_for_its_name() {
    let (server, receiver, files) = (server().await, StrictReceiver::start().await, Files::new());
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let trusted = Front::before(&receiver.url(), &ours.certify(&["localhost"])).await;
    let misnamed = Front::before(&receiver.url(), &ours.certify(&["other.example"])).await;
    let foreign = Front::before(&receiver.url(), &theirs.certify(&["localhost"])).await;
    let url = |front: &Front| format!("https://localhost:{}/api/v1/write", front.port());
    let mut sluice = Setup::new()
        .source_with("main", &server.url(), json!({ "lag": "1s" }))
        .variable("SSL_CERT_FILE", files.with("ours.pem", ours.pem()).to_str().expect("a path is text"))
        .resource("trusted.yaml", &resource("trusted", &url(&trusted)))
        .resource("misnamed.yaml", &resource("misnamed", &url(&misnamed)))
        .resource("foreign.yaml", &resource("foreign", &url(&foreign)))
        .start()
        .await;
    eventually("what is trusted is delivered", async || (!receiver.samples().is_empty()).then_some(())).await;
    for (name, why) in
        [("misnamed", "certificate not valid for name \"localhost\""), ("foreign", "UnknownIssuer")]
    {
        eventually(&format!("{name}: {why}"), async || {
            let health: Value = serde_json::from_str(sluice.get("/health").await.text()).ok()?;
            let mine =
                health["remote_writes"].as_array()?.iter().find(|one| one["name"] == name)?.to_string();
            (mine.contains("cannot trust https://localhost:") && mine.contains(&why.replace('"', "\\\"")))
                .then_some(())
        })
        .await;
    }
    assert!(sluice.stop().await.success());
    let tenants: Vec<String> =
        receiver.samples().keys().map(|series| series.get("tenant").to_owned()).collect();
    assert_eq!(tenants, ["trusted"]);
    assert_eq!(receiver.violations(), []);
}
