//! The main job: what each tenant's resource allows arrives, with the labels it asks for, at every tick, and nothing
//! else does. What is expected is computed from the source's own answers at the same moments.

use std::collections::{BTreeMap, BTreeSet};

use sluice_tests::expectation::{EVERYTHING, Expectation, Held, every_tick, ticks};
use sluice_tests::prom_api::Api;
use sluice_tests::series::{LabelSet, assert_same};
use sluice_tests::servers::{Prometheus, Pushgateway, Setup, Sluice};
use sluice_tests::stage::Stage;
use sluice_tests::strict_receiver::StrictReceiver;
use sluice_tests::wait::{eventually, now_ms};

/// Every resource here has this interval.
const INTERVAL_MS: i64 = 2000;
const TICKS_MIN: usize = 3;

/// A resource of `webapp-team` with this `spec`.
fn resource(spec: &str) -> String {
    named("webapp-metrics", spec)
}

fn named(name: &str, spec: &str) -> String {
    let spec = spec.replace('\n', "\n  ");
    format!(
        "apiVersion: observability.ethos.io/v1alpha1\nkind: MetricAccess\nmetadata:\n  name: {name}\n  \
         namespace: webapp-team\nspec:\n  {spec}\n"
    )
}

async fn held(receiver: &Api) -> Held {
    receiver.raw(EVERYTHING, "10m", now_ms()).await.unwrap()
}

/// Lets the program run until `receiver` holds enough ticks, stops it, and returns what the receiver holds.
async fn run_ticks(sluice: &mut Sluice, receiver: &Api) -> Held {
    eventually("enough ticks arrive", async || {
        (ticks(&held(receiver).await).len() >= TICKS_MIN).then_some(())
    })
    .await;
    assert!(sluice.stop().await.success(), "{}", sluice.log());
    held(receiver).await
}

/// Runs one resource that sends to the Service `prometheus`, and compares what arrives with `selectors` of the
/// source, each series passed through `shape`.
async fn check(setup: Setup, spec: &str, selectors: &[&str], shape: impl Fn(LabelSet) -> Option<LabelSet>) {
    let (stage, receiver) = tokio::join!(Stage::set(), Prometheus::receiver());
    let setup =
        setup.source("main", &stage.source.url()).service("prometheus.webapp-team:9090", &receiver.url());
    let mut sluice = setup.resource("webapp.yaml", &resource(spec)).start().await;
    let found = run_ticks(&mut sluice, &receiver.api()).await;
    let all = every_tick(&ticks(&found), INTERVAL_MS, TICKS_MIN);
    let expected = Expectation::of(&stage.api(), &all, selectors, shape).await.values();
    assert!(!expected.is_empty(), "the test expects something");
    assert_same("the tenant's Prometheus", &expected, &found);
    assert_eq!(receiver.complaints(), [""; 0]);
    assert_eq!(receiver.writes().await.into_keys().collect::<Vec<_>>(), ["204"]);
}

fn managed(series: LabelSet) -> LabelSet {
    series.stamped("managed_by", "multi-tenant-proxy")
}

#[tokio::test]
async fn the_documented_resource_gets_exactly_its_metrics_and_labels() {
    let spec = r#"source: webapp-team
metrics:
  - "http_requests_total"
  - "http_request_duration_seconds"
  - '{job="webapp"}'

remoteWrite:
  enabled: true
  interval: "2s"
  target:
    type: "prometheus"
  prometheus:
    serviceName: "prometheus"
    servicePort: 9090
  extraLabels:
    tenant: "webapp-team"
    managed_by: "multi-tenant-proxy""#;
    let selectors = ["http_requests_total", "http_request_duration_seconds", r#"{job="webapp"}"#];
    check(Setup::new(), spec, &selectors, |s| Some(managed(s.stamped("tenant", "webapp-team")))).await;
}

#[tokio::test]
async fn patterns_are_names_regular_expressions_and_selectors() {
    let spec = r#"source: webapp-team
metrics: ["db_rows", "http_.*_bucket", "queue_depth{zone!=\"b\"}", "http_requests_total{code=~\"5..\"}"]
remoteWrite:
  enabled: true
  interval: 2s
  target: { type: prometheus, prometheus: { serviceName: prometheus } }"#;
    let selectors = [
        "db_rows",
        r#"{__name__=~"http_.*_bucket"}"#,
        r#"queue_depth{zone!="b"}"#,
        r#"http_requests_total{code=~"5.."}"#,
    ];
    check(Setup::new(), spec, &selectors, |s| Some(managed(s))).await;
}

#[tokio::test]
async fn honoured_labels_stay_but_protected_ones_are_stamped() {
    let spec = r#"source: webapp-team
metrics: ["taken_labels", "queue_depth"]
remoteWrite:
  enabled: true
  interval: 2s
  honorLabels: true
  target: { type: prometheus }
  prometheus: { serviceName: prometheus, servicePort: 9090 }
  extraLabels: { tenant: webapp-team, zone: stamped, region: eu }"#;
    check(Setup::new(), spec, &["taken_labels", "queue_depth"], |s| {
        let zone = if s.get("zone").is_empty() { "stamped".to_owned() } else { s.get("zone").to_owned() };
        let region = s.with("zone", &zone).with("region", "eu");
        Some(managed(region.stamped("tenant", "webapp-team")))
    })
    .await;
}

#[tokio::test]
async fn label_selectors_and_isolation_narrow_every_pattern() {
    let spec = r#"source: webapp-team
metrics: ["http_requests_total", "http_.*_bucket", '{job="webapp"}']
metricIsolation: true
labelSelectors:
  job: webapp
remoteWrite:
  enabled: true
  interval: 2s
  target: { type: prometheus }
  prometheus: { serviceName: prometheus }"#;
    let selectors = [r#"{job="webapp",namespace="webapp-team"}"#];
    check(Setup::new(), spec, &selectors, |s| Some(managed(s))).await;
}

#[tokio::test]
async fn label_selectors_may_be_matchers() {
    let spec = r#"source: webapp-team
metrics: ["queue_depth", "http_request_duration_seconds", "taken_labels"]
labelSelectors: ['zone=~"a|b"', 'path!="/"']
remoteWrite:
  enabled: true
  interval: 2s
  target: { type: prometheus }
  prometheus: { serviceName: prometheus }"#;
    let selectors = [
        r#"queue_depth{zone=~"a|b",path!="/"}"#,
        r#"http_request_duration_seconds{zone=~"a|b",path!="/"}"#,
        r#"taken_labels{zone=~"a|b",path!="/"}"#,
    ];
    check(Setup::new(), spec, &selectors, |s| Some(managed(s))).await;
}

#[tokio::test]
async fn relabelings_follow_prometheus_and_come_before_the_stamps() {
    let spec = r#"source: webapp-team
metrics: ['{job="webapp"}']
metricRelabelings:
  - { sourceLabels: [__name__], regex: "http_request_duration_.*", action: drop }
  - { sourceLabels: [path, code], separator: "-", regex: "/(.*)-(.)..", targetLabel: class, replacement: "${2}xx/$1" }
  - { regex: "(na)mespace", replacement: "${1}ms", action: labelmap }
  - { regex: "namespace|code", action: labeldrop }
  - { sourceLabels: [zone], targetLabel: zone, action: uppercase }
  - { sourceLabels: [__name__], regex: "taken_(.*)", targetLabel: __name__, replacement: "given_$1" }
remoteWrite:
  enabled: true
  interval: 2s
  target: { type: prometheus }
  prometheus: { serviceName: prometheus }
  extraLabels: { code: stamped }"#;
    // `code` is dropped, so these would be equal to each other but for `class`, which keeps its first digit.
    check(Setup::new(), spec, &[r#"{job="webapp"}"#], |s| {
        if s.name().starts_with("http_request_duration_") {
            return None;
        }
        let mut shaped = s.clone().without("namespace").without("code");
        if let (Some(path), Some(class)) = (s.get("path").strip_prefix('/'), s.get("code").get(..1)) {
            shaped = shaped.with("class", &format!("{class}xx/{path}"));
        }
        if !s.get("namespace").is_empty() {
            shaped = shaped.with("nams", s.get("namespace"));
        }
        if !s.get("zone").is_empty() {
            shaped = shaped.with("zone", &s.get("zone").to_uppercase());
        }
        if s.name() == "taken_labels" {
            shaped = shaped.with("__name__", "given_labels");
        }
        Some(managed(shaped.stamped("code", "stamped")))
    })
    .await;
}

#[tokio::test]
async fn operators_choose_the_management_labels_and_what_is_protected() {
    let setup = Setup::new().setting(
        "labels",
        serde_json::json!({ "management": { "via": "sluice" }, "protected": ["tenant", "zone"] }),
    );
    let spec = r#"source: webapp-team
metrics: ["taken_labels"]
remoteWrite:
  enabled: true
  interval: 2s
  honorLabels: true
  target: { type: prometheus }
  prometheus: { serviceName: prometheus }
  extraLabels: { tenant: webapp-team, zone: z, managed_by: stamped }"#;
    check(setup, spec, &["taken_labels"], |s| {
        Some(s.stamped("tenant", "webapp-team").stamped("zone", "z").with("via", "sluice"))
    })
    .await;
}

#[tokio::test]
async fn a_source_label_narrows_to_the_resources_source() {
    let setup = Setup::new().setting("sourceLabel", serde_json::json!("job"));
    let spec = r#"source: db
metrics: [".+"]
remoteWrite:
  enabled: true
  interval: 2s
  target: { type: prometheus }
  prometheus: { serviceName: prometheus }"#;
    check(setup, spec, &[r#"{job="db"}"#], |s| Some(managed(s))).await;
}

#[tokio::test]
async fn every_replica_of_a_stateful_set_gets_everything() {
    let (stage, zero, one) = tokio::join!(Stage::set(), Prometheus::receiver(), Prometheus::receiver());
    let spec = r#"source: webapp-team
metrics: ["http_requests_total"]
remoteWrite:
  enabled: true
  interval: 2s
  target: { type: prometheus }
  prometheus:
    serviceName: prometheus
    statefulSetName: prom
    replicas: 2
    targetNamespace: shared"#;
    let mut sluice = Setup::new()
        .source("main", &stage.source.url())
        .service("prom-0.prometheus.shared:9090", &zero.url())
        .service("prom-1.prometheus.shared:9090", &one.url())
        .resource("webapp.yaml", &resource(spec))
        .start()
        .await;
    eventually("enough ticks arrive at the second", async || {
        (ticks(&held(&one.api()).await).len() >= TICKS_MIN).then_some(())
    })
    .await;
    run_ticks(&mut sluice, &zero.api()).await;
    for receiver in [&zero, &one] {
        let found = held(&receiver.api()).await;
        let all = every_tick(&ticks(&found), INTERVAL_MS, TICKS_MIN);
        let shape = |s| Some(managed(s));
        let expected = Expectation::of(&stage.api(), &all, &["http_requests_total"], shape).await;
        assert_same("a replica", &expected.values(), &found);
    }
}

#[tokio::test]
async fn an_external_endpoint_gets_the_credentials_and_headers_and_breaks_no_rule() {
    let (stage, receiver) = tokio::join!(Stage::set(), StrictReceiver::start());
    let spec = format!(
        r#"source: webapp-team
metrics: [".+"]
remoteWrite:
  enabled: true
  interval: 2s
  target:
    type: "remote_write"
  remoteWrite:
    url: "{}/api/v1/write"
    basicAuth:
      username: "monitoring-user"
      passwordSecret:
        name: "prometheus-auth"
        key: "password"
    headers:
      X-Tenant: "my-team"
  extraLabels:
    source_cluster: "production""#,
        receiver.url()
    );
    let mut sluice = Setup::new()
        .source("main", &stage.source.url())
        .secret("webapp-team/prometheus-auth/password", "pass:wörd\n")
        .resource("webapp.yaml", &resource(&spec))
        .start()
        .await;
    let gone = sluice_tests::stage::shop().pop().unwrap().0;
    eventually("a tick arrives", async || (!receiver.samples().is_empty()).then_some(())).await;
    stage.target.remove(&gone);
    eventually("the end of a series arrives", async || {
        let stale = |samples: &Vec<_>| samples.iter().any(is_stale);
        receiver.samples().values().any(stale).then_some(())
    })
    .await;
    eventually("enough ticks arrive", async || (ticks(&receiver.samples()).len() > TICKS_MIN).then_some(()))
        .await;
    assert!(sluice.stop().await.success());

    let found = receiver.samples();
    let all = every_tick(&ticks(&found), INTERVAL_MS, TICKS_MIN);
    let shape = |s: LabelSet| Some(managed(s.with("source_cluster", "production")));
    let expected = Expectation::of(&stage.api(), &all, &[EVERYTHING], shape).await;
    assert_same("the receiver", &expected.samples(), &found);
    assert_eq!(receiver.violations(), []);
    assert_eq!(receiver.resends(), 0);
    for seen in receiver.seen() {
        assert_eq!((seen.status, seen.uri.as_str()), (http::StatusCode::NO_CONTENT, "/api/v1/write"));
        assert_eq!(seen.headers["x-tenant"], "my-team");
        // monitoring-user:pass:wörd, in UTF-8 as RFC 7617 wants it.
        assert_eq!(seen.headers["authorization"], "Basic bW9uaXRvcmluZy11c2VyOnBhc3M6d8O2cmQ=");
    }
}

fn is_stale(sample: &sluice_tests::series::Sample) -> bool {
    sample.value == sluice_tests::series::Value::STALE
}

#[tokio::test]
async fn three_tenants_with_three_kinds_of_target_each_get_exactly_their_own() {
    let (stage, prometheus, gateway, strict) =
        tokio::join!(Stage::set(), Prometheus::receiver(), Pushgateway::start(), StrictReceiver::start());
    let spec = |metrics: &str, kind: &str, block: &str| {
        format!(
            "source: webapp-team\nmetrics: [{metrics}]\nremoteWrite:\n  enabled: true\n  interval: 2s\n  \
             target: {{ type: {kind} }}\n  {block}\n  extraLabels: {{ tenant: {kind} }}"
        )
    };
    let to_prometheus = spec("queue_depth", "prometheus", "prometheus: { serviceName: prometheus }");
    let to_gateway = spec(
        "db_rows",
        "pushgateway",
        "pushgateway: { serviceName: gateway, jobName: remote-write-metrics }",
    );
    let block = format!("remoteWrite: {{ url: \"{}/write\" }}", strict.url());
    let to_strict = spec("'{zone=\"a\"}'", "remote_write", &block);
    let mut sluice = Setup::new()
        .source("main", &stage.source.url())
        .service("prometheus.webapp-team:9090", &prometheus.url())
        .service("gateway.webapp-team:9091", &gateway.url())
        .resource("a.yaml", &named("a", &to_prometheus))
        .resource("b.yaml", &named("b", &to_gateway))
        .resource("c.yaml", &named("c", &to_strict))
        .start()
        .await;
    eventually("enough ticks arrive", async || {
        let pushed = gateway.pushed().await;
        let enough = ticks(&strict.samples()).len() >= TICKS_MIN && !pushed.is_empty();
        enough.then_some(())
    })
    .await;
    let found = run_ticks(&mut sluice, &prometheus.api()).await;
    let api = stage.api();
    let expect = async |ticks: &BTreeSet<i64>, selector: &str, kind: &str| {
        let shape = |s: LabelSet| Some(managed(s.stamped("tenant", kind)));
        Expectation::of(&api, ticks, &[selector], shape).await
    };
    assert_same("prometheus", &expect(&ticks(&found), "queue_depth", "prometheus").await.values(), &found);

    let found = strict.samples();
    let all = every_tick(&ticks(&found), INTERVAL_MS, TICKS_MIN);
    assert_same("remote_write", &expect(&all, r#"{zone="a"}"#, "remote_write").await.samples(), &found);
    assert_eq!(strict.violations(), []);

    // A gateway keeps no timestamps: its values must be those of one tick.
    let pushed = gateway.pushed().await;
    let candidates = found.values().flatten().map(|s| s.at).collect();
    let ticks_tried = expect(&candidates, "db_rows", "pushgateway").await.values();
    let at_tick = |at: i64| -> BTreeMap<_, _> {
        let shape = |s: &LabelSet| s.clone().stamped("job", "remote-write-metrics");
        let value = |samples: &Vec<sluice_tests::series::Sample>| {
            samples.iter().find(|s| s.at == at).map(|s| s.value)
        };
        ticks_tried.iter().filter_map(|(s, samples)| Some((shape(s), value(samples)?))).collect()
    };
    assert!(candidates.iter().any(|&at| at_tick(at) == pushed), "{pushed:?}\nis none of {ticks_tried:?}");
}
