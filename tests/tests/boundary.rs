//! The boundary between tenants: where a tenant's words may lead, how much it may have, and whose an identity is.

use std::collections::BTreeSet;

use serde_json::json;
use sluice_tests::series::Value;
use sluice_tests::servers::{Setup, Sluice};
use sluice_tests::stage::Stage;
use sluice_tests::strict_receiver::StrictReceiver;
use sluice_tests::wait::eventually;

/// A resource of the namespace `team` that selects `metrics` and writes to `url`.
fn resource(name: &str, created: &str, metrics: &str, url: &str) -> String {
    format!(
        r#"apiVersion: observability.ethos.io/v1alpha1
kind: MetricAccess
metadata: {{ name: {name}, namespace: team, creationTimestamp: "{created}" }}
spec:
  source: team
  metrics: {metrics}
  remoteWrite:
    enabled: true
    interval: "1s"
    target: {{ type: remote_write }}
    remoteWrite: {{ url: "{url}" }}
"#
    )
}

const LONG_AGO: &str = "2026-01-01T00:00:00Z";
const LATER: &str = "2026-02-01T00:00:00Z";

/// What `/health` says of the resource `name`, once it says `word`.
async fn said(sluice: &Sluice, name: &str, word: &str) -> String {
    eventually(&format!("{name} says {word:?}"), async || {
        let health: serde_json::Value = serde_json::from_str(sluice.get("/health").await.text()).unwrap();
        let all = health.as_object()?.values().find_map(serde_json::Value::as_array)?.clone();
        let one = all.into_iter().find(|one| one["name"] == name)?.to_string();
        one.contains(word).then_some(one)
    })
    .await
}

/// The names of the metrics whose newest sample is not a stale marker.
fn live(receiver: &StrictReceiver) -> BTreeSet<String> {
    let samples = receiver.samples();
    let alive = samples.iter().filter(|(_, s)| s.last().is_some_and(|last| last.value != Value::STALE));
    alive.map(|(labels, _)| labels.name().to_owned()).collect()
}

async fn becomes(receiver: &StrictReceiver, names: &[&str]) {
    let names: BTreeSet<String> = names.iter().map(|name| (*name).to_owned()).collect();
    eventually(&format!("the receiver holds {names:?}"), async || (live(receiver) == names).then_some(()))
        .await;
}

async fn goes_on(receiver: &StrictReceiver, requests: usize) {
    let before = receiver.seen().len();
    eventually("it goes on", async || (receiver.seen().len() >= before + requests).then_some(())).await;
}

/// A name, other than `localhost`, that this machine takes for its own loopback address.
fn name_of_loopback() -> Option<String> {
    let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    let lines = hosts.lines().map(|line| line.split('#').next().unwrap_or_default().split_whitespace());
    let names = lines.filter_map(|mut words| words.next().filter(|ip| ip.starts_with("127.")).map(|_| words));
    let legal = |name: &&str| {
        !name.contains("localhost")
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.')
    };
    names.flatten().find(legal).map(str::to_owned)
}

#[tokio::test]
async fn a_tenants_address_leads_to_no_forbidden_place() {
    let (stage, receiver) = tokio::join!(Stage::set(), StrictReceiver::start());
    let port = receiver.url().rsplit_once(':').unwrap().1.to_owned();
    let to = |name: &str, host: &str| {
        resource(name, LONG_AGO, "[db_rows]", &format!("http://{host}:{port}/write"))
    };
    // As in a cluster, where nobody's receiver is on our own loopback.
    let setup = Setup::new()
        .source("main", &stage.source.url())
        .setting("receivers", json!({ "deny": ["127.0.0.0/8", "::1"] }))
        .service("p.team:9090", &receiver.url())
        .resource("literal.yaml", &to("literal", "127.0.0.1"))
        .resource("odd.yaml", &to("odd", "0x7f.1"))
        .resource("mapped.yaml", &to("mapped", "[::ffff:127.0.0.1]"))
        .resource("localhost.yaml", &to("localhost", "localhost"))
        .resource("metadata.yaml", &to("metadata", "169.254.169.254"))
        .resource(
            "operators.yaml",
            &to("operators", "unused")
                .replace("type: remote_write", "type: prometheus")
                .replace("remoteWrite: { url", "prometheus: { serviceName: p } #"),
        );
    let name = name_of_loopback();
    let setup = match &name {
        Some(host) => setup.resource("named.yaml", &to("named", host)),
        None => setup,
    };
    let sluice = setup.start().await;
    for name in ["literal", "odd", "mapped", "localhost"] {
        said(&sluice, name, "127.0.0.1 is in 127.0.0.0/8 (denied by the operator), where no receiver may be")
            .await;
    }
    said(&sluice, "metadata", "169.254.169.254 is in 169.254.169.254/32 (a cloud's metadata)").await;
    if name.is_some() {
        said(&sluice, "named", "is not dialled: 127.0.0.1 is in 127.0.0.0/8 (denied by the operator)").await;
    } else {
        eprintln!("no name but localhost leads to loopback here");
    }
    // What the operator wrote is dialled, and nothing else was.
    becomes(&receiver, &["db_rows"]).await;
    goes_on(&receiver, 3).await;
    assert!(receiver.seen().iter().all(|seen| seen.uri == "/api/v1/write"), "{:?}", receiver.seen());
    assert_eq!(receiver.violations(), []);
}

#[tokio::test]
async fn a_tick_beyond_the_limit_is_not_delivered_at_all_and_says_so() {
    let (stage, receiver) = tokio::join!(Stage::set(), StrictReceiver::start());
    let url = format!("{}/write", receiver.url());
    let rule = |limits| json!({ "rules": [{ "namespaces": ["te*"], "limits": limits }] });
    for (limits, word) in [
        (json!({ "maxSeries": 4 }), "5 series at one tick are more than 4 (limits.maxSeries)"),
        (json!({ "maxBytesPerTick": 100 }), "are more than 100 (limits.maxBytesPerTick)"),
        (json!({ "maxMemory": 500 }), "take more than 500 bytes (limits.maxMemory)"),
    ] {
        let sluice = Setup::new()
            .source("main", &stage.source.url())
            .setting("tenancy", rule(limits))
            .resource("much.yaml", &resource("much", LONG_AGO, "[db_rows, queue_depth]", &url))
            .start()
            .await;
        said(&sluice, "much", word).await;
        assert_eq!(receiver.seen().len(), 0);
    }
    let sluice = Setup::new()
        .source("main", &stage.source.url())
        .setting("tenancy", rule(json!({ "maxSeries": 4 })))
        .resource("much.yaml", &resource("much", LONG_AGO, "[db_rows, queue_depth]", &url))
        .start()
        .await;
    said(&sluice, "much", "limits.maxSeries").await;
    sluice.write("much.yaml", &resource("much", LONG_AGO, "[db_rows]", &url));
    becomes(&receiver, &["db_rows"]).await;
    assert_eq!(receiver.violations(), []);
}

#[tokio::test]
async fn of_two_resources_with_one_identity_the_older_one_writes_it() {
    let (stage, receiver) = tokio::join!(Stage::set(), StrictReceiver::start());
    let url = format!("{}/write", receiver.url());
    let sluice = Setup::new()
        .source("main", &stage.source.url())
        .resource("young.yaml", &resource("young", LATER, "[db_rows, queue_depth]", &url))
        .start()
        .await;
    becomes(&receiver, &["db_rows", "queue_depth"]).await;

    // The older one comes later, and takes over without a gap.
    sluice.write("old.yaml", &resource("old", LONG_AGO, "[db_rows, taken_labels]", &url));
    becomes(&receiver, &["db_rows", "queue_depth", "taken_labels"]).await;
    said(&sluice, "young", "2 series are not sent: db_rows").await;
    let reasons = said(&sluice, "young", "belongs to team/old, which is older").await;
    assert!(reasons.contains("degraded"), "{reasons}");
    assert!(!said(&sluice, "old", "running").await.contains("which is older"));
    goes_on(&receiver, 8).await;
    let ended = receiver.samples().values().flatten().any(|sample| sample.value == Value::STALE);
    assert!(!ended, "what goes on has no end");

    // Without the older one the younger's arrive.
    sluice.remove("old.yaml");
    becomes(&receiver, &["db_rows", "queue_depth"]).await;
    said(&sluice, "young", "running").await;
    goes_on(&receiver, 4).await;
    assert_eq!(live(&receiver), BTreeSet::from(["db_rows".to_owned(), "queue_depth".to_owned()]));
    assert_eq!((receiver.violations(), receiver.resends()), (vec![], 0));
}
