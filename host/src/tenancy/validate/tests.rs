//! What is told of each mistake in a resource, and what a right one becomes.

use std::path::Path as FilePath;
use std::sync::Arc;

use super::*;
use crate::document::Blame;
use crate::model::guard::{Place, Receivers};
use crate::model::{
    Author, Endpoint, FilterLimits, FilterMode, Guard, HonorLabels, Login, OnFailure, Order, Origin, Secret,
    TargetType, Verify,
};
use crate::tenancy::policy::{Glob, Isolation, IsolationMode, Services, Transport, Urls};
use crate::tenancy::resource::SecretKey;
use crate::tenancy::secrets::SecretError;
use crate::tenancy::{Review, Service, read};

/// Holds the Secrets `auth` and `tls` in the namespace `web`, nothing else.
struct TwoSecrets;

impl Surroundings for TwoSecrets {
    fn secret(&self, namespace: &str, key: &SecretKey) -> Result<Secret, SecretError> {
        match (namespace, key.name.as_str(), key.key.as_str()) {
            ("web", "auth", "password") => Ok(Secret::new("hush")),
            ("web", "auth", "lines") => Ok(Secret::new("hush\nhush")),
            ("web", "tls", "tls.crt") => Ok(Secret::new("-----BEGIN CERTIFICATE-----\n…")),
            ("web", "tls", "tls.key") => Ok(Secret::new("-----BEGIN PRIVATE KEY-----\n…")),
            _ => Err(SecretError { message: "is not there".into(), cure: "put it there".into() }),
        }
    }
}

fn review_with(text: &str, policy: &Effective) -> Review {
    let file: Arc<FilePath> = Arc::from(FilePath::new("web.yaml"));
    let resources = read(&file, text).unwrap();
    assert_eq!(resources.len(), 1);
    Review::of(&resources[0], policy, &TwoSecrets)
}

fn review(text: &str) -> Review {
    review_with(text, &Effective::default())
}

fn said(review: &Review) -> Vec<String> {
    review.problems.iter().map(ToString::to_string).collect()
}

fn tenant(review: Review) -> Tenant {
    match review.outcome {
        Outcome::Run(tenant) => *tenant,
        other => panic!("{other:?}: {:#?}", review.problems),
    }
}

/// A good resource; `spec` is its spec in YAML, indented by two.
fn resource(spec: &str) -> String {
    format!(
        "apiVersion: observability.ethos.io/v1alpha1\nkind: MetricAccess\nmetadata: {{name: m, namespace: web}}\nspec:\n{spec}"
    )
}

/// A good spec around one `remoteWrite` block, indented by four. The block begins on line 8.
fn writing(block: &str) -> String {
    resource(&format!("  source: s\n  metrics: [up]\n  remoteWrite:\n{block}"))
}

const PROMETHEUS: &str =
    "    enabled: true\n    target: {type: prometheus}\n    prometheus: {serviceName: p}\n";

#[test]
fn every_example_is_accepted_as_it_stands() {
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/examples");
    let mut seen = 0;
    for entry in std::fs::read_dir(examples).unwrap() {
        let path = entry.unwrap().path();
        // Folders hold installations, which are the manifest tests' business.
        if path.is_dir() {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        if !text.contains("kind: MetricAccess") {
            continue;
        }
        let file: Arc<FilePath> = Arc::from(path);
        for resource in read(&file, &text).unwrap() {
            let review = Review::of(&resource, &Effective::default(), &super::super::secrets::Unchecked);
            assert_eq!(said(&review), [""; 0], "{}", file.display());
            assert!(matches!(review.outcome, Outcome::Run(_)));
            seen += 1;
        }
    }
    assert_eq!(seen, 5);
}

#[test]
fn the_first_example_means_what_its_document_says() {
    let text = include_str!("../../../../deploy/examples/prometheus.yaml");
    let tenant = tenant(review(text));
    assert_eq!(tenant.id.to_string(), "webapp-team/webapp-metrics");
    let selectors: Vec<_> = tenant.selectors.iter().map(ToString::to_string).collect();
    assert_eq!(
        selectors,
        [
            r#"{__name__="http_requests_total"}"#,
            r#"{__name__=~"http_request_duration_seconds_(bucket|sum|count)"}"#,
            r#"{job="webapp"}"#
        ]
    );
    assert_eq!(tenant.interval.duration().as_secs(), 30);
    assert_eq!(tenant.target_type, TargetType::Prometheus);
    let keys: Vec<_> = tenant.endpoints.iter().map(Endpoint::key).collect();
    assert_eq!(keys, ["http://prometheus.webapp-team.svc.cluster.local:9090/api/v1/write"]);
    let stamps: Vec<_> = tenant.stamps.labels.iter().collect();
    assert_eq!(stamps, [("managed_by", "multi-tenant-proxy"), ("tenant", "webapp-team")]);
    assert_eq!(tenant.stamps.honor, HonorLabels::Stamp);
    assert_eq!(tenant.stamps.protected, ["managed_by", "tenant"]);
}

#[test]
fn every_replica_is_an_endpoint() {
    let tenant = tenant(review(include_str!("../../../../deploy/examples/everything.yaml")));
    let keys: Vec<_> = tenant.endpoints.iter().map(Endpoint::key).collect();
    let url = |i| {
        format!(
            "http://prometheus-main-{i}.prometheus-operated.monitoring.svc.cluster.local:9090/api/v1/write"
        )
    };
    assert_eq!(keys, [url(0), url(1)]);
    assert_eq!(tenant.selectors[0].to_string(), r#"{__name__="up",cluster="production"}"#);
    assert_eq!(tenant.relabelings.len(), 3);
}

#[test]
fn a_pushgateway_and_an_external_endpoint_are_understood() {
    let pushed = tenant(review(include_str!("../../../../deploy/examples/pushgateway.yaml")));
    assert_eq!(
        pushed.endpoints[0].key(),
        "http://pushgateway.batch-team.svc.cluster.local:9091/#job=remote-write-metrics"
    );
    let block = "    enabled: true\n    target: {type: remote_write, remoteWrite: {url: 'https://x/w', basicAuth: {username: u, passwordSecret: {name: auth, key: password}}, headers: {X-Tenant: t}}}\n";
    let Endpoint::RemoteWrite(external) = tenant(review(&writing(block))).endpoints.remove(0) else {
        panic!()
    };
    assert_eq!(external.url.as_str(), "https://x/w");
    let Some(Login::Basic(auth)) = external.login else { panic!() };
    assert_eq!(auth.password.reveal(), "hush");
    assert_eq!(external.headers, [("x-tenant".to_owned(), "t".to_owned())]);
}

#[test]
fn a_token_and_certificates_are_read_from_secrets_and_named_as_read() {
    let block = "    enabled: true\n    target: {type: remote_write, remoteWrite: {url: 'https://x/w', bearerTokenSecret: {name: auth, key: password}, tls: {caSecret: {name: tls, key: tls.crt}, certSecret: {name: tls, key: tls.crt}, keySecret: {name: tls, key: tls.key}, serverName: y}}}\n";
    let review = review(&writing(block));
    let named: Vec<String> = review.secrets.iter().map(|key| format!("{}/{}", key.name, key.key)).collect();
    assert_eq!(named, ["auth/password", "tls/tls.crt", "tls/tls.crt", "tls/tls.key"]);
    let Endpoint::RemoteWrite(external) = tenant(review).endpoints.remove(0) else { panic!() };
    assert_eq!(external.login, Some(Login::Bearer(Secret::new("hush"))));
    let tls = external.tls.unwrap();
    assert_eq!((tls.server_name.as_deref(), tls.verify), (Some("y"), Verify::Certificate));
    assert!(tls.identity.as_ref().unwrap().key.reveal().contains("PRIVATE KEY"));
    assert!(!format!("{tls:?}").contains("PRIVATE KEY"));
}

#[test]
fn what_narrows_is_added_to_every_selector() {
    let policy = Effective {
        source_label: Some("team".into()),
        isolation: Isolation { mode: IsolationMode::Enforced, label: "ns".into() },
        ..Effective::default()
    };
    let spec = format!(
        "  source: s\n  metrics: [up, '{{job=\"a\"}}']\n  metricIsolation: false\n  labelSelectors: ['zone=~\"a|b\"', 'x!=\"1\"']\n  remoteWrite:\n{PROMETHEUS}"
    );
    let review = review_with(&resource(&spec), &policy);
    assert_eq!(
        said(&review),
        [
            "web.yaml:7: warning: spec.metricIsolation: false has no effect: the operator enforces isolation; remove it"
        ]
    );
    let selectors: Vec<_> = tenant(review).selectors.iter().map(ToString::to_string).collect();
    let extra = r#"ns="web",team="s",x!="1",zone=~"a|b"}"#;
    assert_eq!(selectors, [format!("{{__name__=\"up\",{extra}"), format!("{{job=\"a\",{extra}")]);
}

#[test]
fn a_resource_that_does_not_want_to_run_is_disabled() {
    assert_eq!(review(&resource("  source: s\n  metrics: [up]\n")).outcome, Outcome::Disabled);
    assert_eq!(review(&writing("    enabled: false\n")).outcome, Outcome::Disabled);
    let review = review(&writing("    target: {type: prometheus}\n    prometheus: {serviceName: p}\n"));
    assert_eq!(review.outcome, Outcome::Disabled);
    assert_eq!(
        said(&review),
        [
            "web.yaml:7: warning: spec.remoteWrite.enabled: is missing, so nothing is sent; write enabled: true"
        ]
    );
}

#[test]
fn an_invalid_pattern_grants_nothing_and_harms_no_other() {
    let text = resource(&format!(
        "  source: s\n  metrics:\n  - up\n  - '*_total'\n  - http_*\n  remoteWrite:\n{PROMETHEUS}"
    ));
    let review = review(&text);
    let said = said(&review);
    assert_eq!(said.len(), 2, "{said:#?}");
    assert!(
        said[0].starts_with(r#"web.yaml:8: spec.metrics[1]: "*_total" is invalid and grants nothing: "#),
        "{said:?}"
    );
    assert!(said[0].contains(".*_total"), "{said:?}");
    assert!(said[1].starts_with(r#"web.yaml:9: warning: spec.metrics[2]: "http_*": "#), "{said:?}");
    assert_eq!(tenant(review).selectors.len(), 2);
}

#[test]
fn outside_of_a_cluster_services_are_looked_up() {
    let map = [("p.web:9090", "http://127.0.0.1:9190"), ("s-0.p.web:9090", "http://127.0.0.1:1/base/")];
    let map = map.map(|(key, url)| (key.to_owned(), url.parse().unwrap()));
    let policy = Effective { services: Services::Map(map.into()), ..Effective::default() };
    let key = |text: &str| tenant(review_with(&writing(text), &policy)).endpoints[0].key();
    assert_eq!(key(PROMETHEUS), "http://127.0.0.1:9190/api/v1/write");
    let one_pod = "    enabled: true\n    target: {type: prometheus}\n    prometheus: {serviceName: p, replicas: 1, statefulSetName: s}\n";
    assert_eq!(key(one_pod), "http://127.0.0.1:1/base/api/v1/write");
    let gateway =
        "    enabled: true\n    target: {type: pushgateway}\n    pushgateway: {serviceName: g, jobName: j}\n";
    assert_eq!(
        said(&review_with(&writing(gateway), &policy)),
        [
            r#"web.yaml:10: spec.remoteWrite.pushgateway.serviceName: the Service g.web:9091 has no address outside of a cluster; add "g.web:9091": "http://…" to endpoints in the configuration"#
        ]
    );
}

#[test]
fn the_operators_management_labels_are_stamped_and_guarded() {
    let policy = Effective { management: [("via".into(), "sluice".into())].into(), ..Effective::default() };
    let block = format!("{PROMETHEUS}    honorLabels: true\n    extraLabels: {{zone: z}}\n");
    let stamps = tenant(review_with(&writing(&block), &policy)).stamps;
    assert_eq!(stamps.labels.iter().collect::<Vec<_>>(), [("via", "sluice"), ("zone", "z")]);
    assert_eq!(stamps.protected, ["managed_by", "tenant", "via"]);
    assert_eq!(stamps.honor, HonorLabels::Source);
}

/// Each row: a `remoteWrite` block, and the one thing that is to be said about it.
#[test]
fn bad_blocks_are_refused_with_a_cure() {
    let external = |inner: &str| {
        format!("    enabled: true\n    target: {{type: remote_write}}\n    remoteWrite:\n{inner}")
    };
    let rows = [
        ("    enabled: true\n    interval: 30 s\n    target: {type: prometheus}\n    prometheus: {serviceName: p}\n".to_owned(),
         r#"web.yaml:9: spec.remoteWrite.interval: "30 s" is not a duration; write "30s""#),
        (format!("{PROMETHEUS}    interval: 30\n"),
         r#"web.yaml:11: spec.remoteWrite.interval: 30 is not a duration; write "30s""#),
        (format!("{PROMETHEUS}    interval: 1s\n"),
         r#"web.yaml:11: spec.remoteWrite.interval: "1s" is below the minimum of 5s (limits.minInterval); write "5s" or more"#),
        (format!("{PROMETHEUS}    interval: 1h\n"),
         r#"web.yaml:11: warning: spec.remoteWrite.interval: "1h" is longer than Prometheus looks back for a sample (5m); write "4m" or less, or graphs will have gaps"#),
        (format!("{PROMETHEUS}    filters: []\n"),
         r#"web.yaml:11: spec.remoteWrite.filters: unknown field; known here: enabled, interval, target, prometheus, pushgateway, remoteWrite, extraLabels, honorLabels, onReject, protocol, outOfOrder, metricRelabelings"#),
        ("    enabled: true\n".to_owned(),
         r#"web.yaml:7: spec.remoteWrite.target: is missing; write target: {type: prometheus}, and its block"#),
        ("    enabled: true\n    target: {type: prometeus}\n    prometheus: {serviceName: p}\n".to_owned(),
         r#"web.yaml:9: spec.remoteWrite.target.type: "prometeus" is not known here; did you mean "prometheus"?"#),
        ("    enabled: true\n    target: {type: pushgateway}\n".to_owned(),
         r#"web.yaml:7: spec.remoteWrite.pushgateway: is missing, and target.type is pushgateway; write pushgateway: {serviceName: pushgateway, servicePort: 9091, jobName: my-job}"#),
        ("    enabled: true\n    target: {type: prometheus, prometheus: {serviceName: p}}\n    prometheus: {serviceName: p}\n".to_owned(),
         r#"web.yaml:9: spec.remoteWrite.target.prometheus: the same block also stands at spec.remoteWrite.prometheus; keep one of them"#),
        (format!("{PROMETHEUS}    pushgateway: {{serviceName: p, jobName: j}}\n"),
         r#"web.yaml:11: spec.remoteWrite.pushgateway: does not belong to target.type prometheus; remove it, or change the type"#),
        ("    enabled: true\n    target: {type: prometheus}\n    prometheus: {servicePort: 1}\n".to_owned(),
         r#"web.yaml:10: spec.remoteWrite.prometheus.serviceName: is missing; write serviceName: …"#),
        ("    enabled: true\n    target: {type: prometheus}\n    prometheus: {serviceName: p.web, servicePort: 9090}\n".to_owned(),
         r#"web.yaml:10: spec.remoteWrite.prometheus.serviceName: "p.web" is not a Service's name; write the Service's name alone, in lower case, as kubectl get services shows it"#),
        ("    enabled: true\n    target: {type: prometheus}\n    prometheus: {serviceName: p, servicePort: 70000}\n".to_owned(),
         r#"web.yaml:10: spec.remoteWrite.prometheus.servicePort: 70000 is not a port; write a number from 1 to 65535"#),
        ("    enabled: true\n    target: {type: prometheus}\n    prometheus: {serviceName: p, servicePort: \"9090\"}\n".to_owned(),
         r#"web.yaml:10: spec.remoteWrite.prometheus.servicePort: "9090" is not a whole number; write digits only, without quotes"#),
        ("    enabled: true\n    target: {type: prometheus}\n    prometheus: {serviceName: p, replicas: 2}\n".to_owned(),
         r#"web.yaml:10: spec.remoteWrite.prometheus.statefulSetName: is missing, and replicas needs it; write the StatefulSet whose pods are to be written to, or remove replicas"#),
        ("    enabled: true\n    target: {type: prometheus}\n    prometheus: {serviceName: p, replicas: 99, statefulSetName: s}\n".to_owned(),
         r#"web.yaml:10: spec.remoteWrite.prometheus.replicas: 99 replicas cannot be served; write a number from 1 to 16"#),
        ("    enabled: true\n    target: {type: prometheus}\n    prometheus: {serviceName: p, statefulSetName: s}\n".to_owned(),
         r#"web.yaml:10: warning: spec.remoteWrite.prometheus.statefulSetName: has no effect without replicas; write replicas: 1 or more, or remove it"#),
        ("    enabled: true\n    target: {type: prometheus}\n    prometheus: {serviceName: p, targetNamespace: a/b}\n".to_owned(),
         r#"web.yaml:10: spec.remoteWrite.prometheus.targetNamespace: "a/b" is not a namespace; use lower-case letters, digits and - (at most 63)"#),
        ("    enabled: true\n    target: {type: pushgateway}\n    pushgateway: {serviceName: p, jobName: \"\"}\n".to_owned(),
         r#"web.yaml:10: spec.remoteWrite.pushgateway.jobName: is empty; write the job that the group shall have"#),
        ("    enabled: true\n    target: {type: pushgateway}\n    pushgateway: {serviceName: p, jobName: \"a\\nb\"}\n".to_owned(),
         r#"web.yaml:10: spec.remoteWrite.pushgateway.jobName: "a\nb" holds a control character; write the job in one line of text"#),
        (format!("{PROMETHEUS}    interval: 25h\n"),
         r#"web.yaml:11: spec.remoteWrite.interval: "25h" is more than 24h; write "5m" or less"#),
        ("    enabled: true\n    target: {type: pushgateway}\n    pushgateway: {serviceName: p, jobName: j}\n    extraLabels: {job: x}\n".to_owned(),
         r#"web.yaml:11: warning: spec.remoteWrite.extraLabels.job: has no effect: a Pushgateway sets job to the group's; remove it, and set pushgateway.jobName"#),
        (format!("{PROMETHEUS}    extraLabels: {{a-b: x}}\n"),
         r#"web.yaml:11: spec.remoteWrite.extraLabels.a-b: Prometheus would refuse this label name; write a_b"#),
        (format!("{PROMETHEUS}    extraLabels: {{__name__: x}}\n"),
         r#"web.yaml:11: spec.remoteWrite.extraLabels.__name__: names that begin with __ are Prometheus' own; use a name that does not begin with __"#),
        (format!("{PROMETHEUS}    extraLabels: {{a: \"\"}}\n"),
         r#"web.yaml:11: spec.remoteWrite.extraLabels.a: an empty label is no label; write a value, or remove the label"#),
        (format!("{PROMETHEUS}    extraLabels: {{a: 1}}\n"),
         r#"web.yaml:11: spec.remoteWrite.extraLabels.a: 1 is not text; write "1", in quotes"#),
        (format!("{PROMETHEUS}    extraLabels: {{managed_by: me}}\n"),
         r#"web.yaml:11: spec.remoteWrite.extraLabels.managed_by: "me" is not the operator's value of this label; write "multi-tenant-proxy", or remove it"#),
        (format!("{PROMETHEUS}    protocol: 2.0\n"),
         r#"web.yaml:11: spec.remoteWrite.protocol: 2 is not a word; write one of "auto", "1.0", "2.0", in quotes"#),
        (format!("{PROMETHEUS}    protocol: \"3.0\"\n"),
         r#"web.yaml:11: spec.remoteWrite.protocol: "3.0" is not known here; write one of "auto", "1.0", "2.0", in quotes"#),
        (format!("{PROMETHEUS}    honorLabels: \"true\"\n"),
         r#"web.yaml:11: spec.remoteWrite.honorLabels: "true" is not true or false; write true, without quotes"#),
        (external("      url: x.example.com\n"),
         r#"web.yaml:11: spec.remoteWrite.remoteWrite.url: "x.example.com" is not an address: relative URL without a base; write it as https://host:port/api/v1/write"#),
        (external("      url: ftp://x/y\n"),
         r#"web.yaml:11: spec.remoteWrite.remoteWrite.url: "ftp://x/y" is not an http address; write it as https://host:port/api/v1/write"#),
        (external("      url: https://u:p@x/y\n"),
         r#"web.yaml:11: spec.remoteWrite.remoteWrite.url: holds credentials, which everyone who reads the resource would see; use basicAuth"#),
        (external("      url: https://x/y\n      headers: {Content-Type: a}\n"),
         r#"web.yaml:12: spec.remoteWrite.remoteWrite.headers.Content-Type: the protocol sets this header; remove it"#),
        (external("      url: https://x/y\n      headers: {\"a b\": a}\n"),
         r#"web.yaml:12: spec.remoteWrite.remoteWrite.headers["a b"]: is not a header's name; use letters, digits and -"#),
        (external("      url: https://x/y\n      headers: {X-A: \"a\\nb\"}\n"),
         r#"web.yaml:12: spec.remoteWrite.remoteWrite.headers.X-A: the value has characters that no header may have; use printable ASCII"#),
        (external("      url: https://x/y\n      basicAuth: {username: u, passwordSecret: {name: other, key: password}}\n"),
         r#"web.yaml:12: spec.remoteWrite.remoteWrite.basicAuth.passwordSecret: other/password is not there; put it there"#),
        (external("      url: https://x/y\n      basicAuth: {username: u, passwordSecret: {name: ../x, key: password}}\n"),
         r#"web.yaml:12: spec.remoteWrite.remoteWrite.basicAuth.passwordSecret.name: "../x" is not a Secret's name; write the Secret's name in lower case, as kubectl get secrets shows it"#),
        (external("      url: https://x/y\n      basicAuth: {username: 'u:p', passwordSecret: {name: auth, key: password}}\n"),
         r#"web.yaml:12: spec.remoteWrite.remoteWrite.basicAuth.username: "u:p" cannot be sent: a user name has no colon and no control character; write the user name alone; the password stands in the Secret"#),
        (external("      url: https://x/y\n      headers: {authorization: b}\n      basicAuth: {username: u, passwordSecret: {name: auth, key: password}}\n"),
         r#"web.yaml:12: spec.remoteWrite.remoteWrite.headers.authorization: basicAuth sets this header; remove one of the two"#),
        (external("      url: https://x/y\n      bearerTokenSecret: {name: other, key: token}\n"),
         r#"web.yaml:12: spec.remoteWrite.remoteWrite.bearerTokenSecret: other/token is not there; put it there"#),
        (external("      url: https://x/y\n      bearerTokenSecret: {name: auth, key: lines}\n"),
         r#"web.yaml:12: spec.remoteWrite.remoteWrite.bearerTokenSecret: auth/lines has control characters, which HTTP cannot carry; put one line of text into it"#),
        (external("      url: https://x/y\n      tls: {caSecret: {name: auth, key: password}}\n"),
         r#"web.yaml:12: spec.remoteWrite.remoteWrite.tls.caSecret: auth/password holds no certificate in PEM form; put -----BEGIN CERTIFICATE----- and what follows into it"#),
        (external("      url: https://x/y\n      tls: {certSecret: {name: tls, key: tls.crt}, keySecret: {name: auth, key: password}}\n"),
         r#"web.yaml:12: spec.remoteWrite.remoteWrite.tls.keySecret: auth/password holds no private key in PEM form; put -----BEGIN PRIVATE KEY----- and what follows into it"#),
        (external("      url: https://x/y\n      tls: {certSecret: {name: tls, key: tls.crt}}\n"),
         r#"web.yaml:12: spec.remoteWrite.remoteWrite.tls.keySecret: is missing beside certSecret; write keySecret: {name, key}"#),
        (external("      url: https://x/y\n      tls: {keySecret: {name: tls, key: tls.key}}\n"),
         r#"web.yaml:12: spec.remoteWrite.remoteWrite.tls.certSecret: is missing beside keySecret; write certSecret: {name, key}"#),
        (external("      url: https://x/y\n      tls: {caSecret: {name: A, key: ca}}\n"),
         r#"web.yaml:12: spec.remoteWrite.remoteWrite.tls.caSecret.name: "A" is not a Secret's name; write the Secret's name in lower case, as kubectl get secrets shows it"#),
        (external("      url: https://x/y\n      tls: {serverName: 'https://x'}\n"),
         r#"web.yaml:12: spec.remoteWrite.remoteWrite.tls.serverName: is not a host's name; write the name in the receiver's certificate, without scheme and port"#),
        (external("      url: http://x/y\n      tls: {serverName: x}\n"),
         r#"web.yaml:12: spec.remoteWrite.remoteWrite.tls: means nothing beside an http:// address; write https://…"#),
        (external("      url: https://x/y\n      basicAuth: {username: u, passwordSecret: {name: auth, key: password}}\n      bearerTokenSecret: {name: auth, key: password}\n"),
         r#"web.yaml:13: spec.remoteWrite.remoteWrite.bearerTokenSecret: stands beside basicAuth; keep one of the two: a request has one Authorization header"#),
        (external("      url: https://x/y\n      headers: {authorization: b}\n      bearerTokenSecret: {name: auth, key: password}\n"),
         r#"web.yaml:12: spec.remoteWrite.remoteWrite.headers.authorization: bearerTokenSecret sets this header; remove one of the two"#),
        (external("      url: https://x/y\n      tls: {insecureSkipVerify: true}\n"),
         r#"web.yaml:12: warning: spec.remoteWrite.remoteWrite.tls.insecureSkipVerify: lets anyone answer in the receiver's place; write caSecret, unless this is meant"#),
        (external("      url: http://x/y\n      basicAuth: {username: u, passwordSecret: {name: auth, key: password}}\n"),
         r#"web.yaml:11: warning: spec.remoteWrite.remoteWrite.url: the credentials travel unencrypted over http; write https://…"#),
    ];
    for (block, expected) in rows {
        let review = review(&writing(&block));
        assert_eq!(said(&review), [expected], "{block}");
        assert_eq!(review.outcome == Outcome::Refused, !expected.contains(": warning: "), "{block}");
    }
}

#[test]
fn a_receiver_that_takes_any_order_says_so_once() {
    let spec = |more: &str| {
        resource(&format!(
            "  source: s\n  metrics: [up]\n{more}  remoteWrite:\n    enabled: true\n    outOfOrder: true\n    target: {{type: prometheus}}\n    prometheus: {{serviceName: p}}\n"
        ))
    };
    let sampled = review(&spec(""));
    assert_eq!(said(&sampled), [""; 0]);
    let [Endpoint::RemoteWrite(endpoint)] = &tenant(sampled).endpoints[..] else { panic!("one endpoint") };
    assert_eq!(endpoint.order, Order::Any);
    let raw = review(&spec("  collection: {mode: raw}\n"));
    assert_eq!(
        said(&raw),
        [
            "web.yaml:10: warning: spec.remoteWrite.outOfOrder: has no effect with collection.mode: raw, which is always sent oldest first; remove it, or write mode: sampled"
        ]
    );
    tenant(raw);
}

/// Each row: a whole spec, and the one thing that is to be said about it.
#[test]
fn bad_specs_are_refused_with_a_cure() {
    let rows = [
        ("  metrics: [up]\n".to_owned(), "web.yaml:4: spec.source: is missing; write source: …"),
        ("  source: s\n".to_owned(), "web.yaml:4: spec.metrics: is missing; write metrics: …"),
        (
            "  source: two words\n  metrics: [up]\n".to_owned(),
            r#"web.yaml:5: spec.source: "two words" is not an identifier; write one word, usually the team's name (at most 253 bytes)"#,
        ),
        (
            "  source: s\n  metrics: [up]\n  collection: {mode: raw}\n  remoteWrite:\n    enabled: true\n    target: {type: pushgateway}\n    pushgateway: {serviceName: p, jobName: j}\n".to_owned(),
            r#"web.yaml:7: spec.collection.mode: "raw" means nothing at a Pushgateway, which holds the newest value of a series alone; write mode: sampled, or send to a Prometheus"#,
        ),
        (
            "  source: s\n  metrics: [up]\n  collection: {mode: raw}\n  remoteWrite:\n    enabled: true\n    interval: 24h\n    target: {type: prometheus}\n    prometheus: {serviceName: p}\n".to_owned(),
            r#"web.yaml:10: spec.remoteWrite.interval: "24h" is more than 30m, the most where every stored sample is taken (collection.mode: raw): each tick brings all of them at once; write "5m" or less, or mode: sampled"#,
        ),
        (
            "  source: s\n  metrics: [up]\n  remoteWrite:\n    enabled: true\n    outOfOrder: true\n    target: {type: pushgateway}\n    pushgateway: {serviceName: p, jobName: j}\n".to_owned(),
            "web.yaml:9: spec.remoteWrite.outOfOrder: does not belong to a Pushgateway, which holds the newest value alone; remove it",
        ),
        (
            "  source: s\n  metrics: []\n".to_owned(),
            "web.yaml:6: spec.metrics: there is no valid entry, so nothing would be collected; write a metric's name",
        ),
        (
            "  source: s\n  metrics: up\n".to_owned(),
            r#"web.yaml:6: spec.metrics: "up" is not a list; write each entry on a line of its own, after "- ""#,
        ),
        (
            "  source: s\n  metrics:\n  - up\n  - {job=\"a\"}\n".to_owned(),
            "web.yaml:8: spec.metrics[1]: a mapping is not text; write one value, in quotes if it begins with {",
        ),
        (
            "  source: s\n  metrics: [up]\n  labelSelectors: {a-b: x}\n".to_owned(),
            r#"web.yaml:7: spec.labelSelectors.a-b: "a-b" is not a label's name; use letters, digits and _, not beginning with a digit"#,
        ),
        (
            "  source: s\n  metrics: [up]\n  labelSelectors: 3\n".to_owned(),
            r#"web.yaml:7: spec.labelSelectors: 3 is not a mapping of labels to values; write "label: value" lines below it"#,
        ),
        (
            "  source: s\n  metric: [up]\n".to_owned(),
            r#"web.yaml:6: spec.metric: unknown field; did you mean "metrics"?"#,
        ),
        (
            "  source: s\n  metrics: [up]\n  sinks: [{name: x}]\n".to_owned(),
            "web.yaml:7: spec.sinks: unknown field; known here: source, metrics, labelSelectors, metricIsolation, collection, filters, metricRelabelings, remoteWrite",
        ),
        (
            "  source: s\n  metrics: [up]\n  metricRelabelings: [{source_labels: [a], targetLabel: b}]\n".to_owned(),
            r#"web.yaml:7: spec.metricRelabelings[0].source_labels: unknown field; did you mean "sourceLabels"?"#,
        ),
        (
            "  source: s\n  metrics: [up]\n  metricRelabelings: [{action: labeldrop, regex: a}, {regex: '('}]\n".to_owned(),
            "web.yaml:7: spec.metricRelabelings[1].targetLabel: replace needs a target_label; name the label to write or compare",
        ),
        (
            "  source: s\n  metrics: [up]\n  metricRelabelings: [{targetLabel: a-b, sourceLabels: [x]}]\n".to_owned(),
            r#"web.yaml:7: spec.metricRelabelings[0].targetLabel: "a-b" is no label name; use letters, digits and `_`, beginning with no digit; a group is `$1` or `${1}`"#,
        ),
        (
            format!(
                "  source: s\n  metrics: [up]\n  metricRelabelings: [{{regex: a, action: labeldrop}}]\n  remoteWrite:\n{PROMETHEUS}    metricRelabelings: [{{regex: a, action: labeldrop}}]\n"
            ),
            "web.yaml:12: spec.remoteWrite.metricRelabelings: there are rules at spec.metricRelabelings as well; move all rules to spec.metricRelabelings",
        ),
    ];
    for (spec, expected) in rows {
        let review = review(&resource(&spec));
        assert_eq!(said(&review), [expected], "{spec}");
        assert_eq!(review.outcome, Outcome::Refused, "{spec}");
    }
}

#[test]
fn bad_heads_are_refused_with_a_cure() {
    let body = "spec: {source: s, metrics: [up]}\n";
    let rows = [
        (
            "kind: MetricAccess\n",
            "web.yaml:1: apiVersion: is missing; write apiVersion: observability.ethos.io/v1alpha1",
        ),
        (
            "apiVersion: observability.ethos.io/v1\nkind: MetricAccess\n",
            r#"web.yaml:1: apiVersion: "observability.ethos.io/v1" is not known; write observability.ethos.io/v1alpha1"#,
        ),
        (
            "apiVersion: v1\nkind: Secret\n",
            "web.yaml:2: warning: kind: Secret is not read from here; put each value into the file <secrets folder>/<namespace>/<name>/<key>",
        ),
        (
            "apiVersion: v1\nkind: metricAccess\n",
            "web.yaml:2: kind: metricAccess is not MetricAccess; write MetricAccess",
        ),
        (
            "apiVersion: v1\nkind: Service\n",
            "web.yaml:2: warning: kind: Service is not MetricAccess, and passed over",
        ),
        (
            "apiVersion: observability.ethos.io/v1alpha1\nkind: Access\n",
            "web.yaml:2: kind: Access is not MetricAccess; write MetricAccess",
        ),
        (
            "apiVersion: observability.ethos.io/v1alpha1\nkind: MetricAccess\nmetadata: {name: m}\n",
            "web.yaml:3: metadata.namespace: is missing; write namespace: …",
        ),
        (
            "apiVersion: observability.ethos.io/v1alpha1\nkind: MetricAccess\nmetadata: {name: M, namespace: web}\n",
            r#"web.yaml:3: metadata.name: "M" is not a resource's name; use lower-case letters, digits, - and . (at most 253)"#,
        ),
        (
            "apiVersion: observability.ethos.io/v1alpha1\nkind: MetricAccess\nmetadata: {name: m, namespace: web, creationTimestamp: today}\n",
            r#"web.yaml:3: metadata.creationTimestamp: "today" is not a time; write it as 2026-01-31T12:00:00Z, or remove it"#,
        ),
    ];
    for (head, expected) in rows {
        let review = review(&format!("{head}{body}"));
        assert_eq!(said(&review), [expected], "{head}");
        let is_passed_over = review.problems.iter().all(|problem| !problem.is_error());
        assert_eq!(review.outcome, if is_passed_over { Outcome::Disabled } else { Outcome::Refused });
    }
}

#[test]
fn one_mistake_hides_no_other() {
    let text = resource(
        "  source: s\n  metrics: [up]\n  collection: {mode: raw}\n  remoteWrite:\n    enabled: true\n    interval: 1h\n    target: {type: pushgateway}\n",
    );
    let said = said(&review(&text));
    for place in ["spec.collection.mode: ", "spec.remoteWrite.interval: ", "spec.remoteWrite.pushgateway: "] {
        assert!(said.iter().any(|problem| problem.contains(place)), "{place}: {said:#?}");
    }
}

#[test]
fn what_kubectl_prints_is_understood() {
    let text = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: observability.ethos.io/v1alpha1\n  kind: MetricAccess\n  metadata: {name: a, namespace: web, uid: x, resourceVersion: \"1\", generation: 2, managedFields: [], creationTimestamp: \"2026-01-01T00:00:00Z\"}\n  spec: {source: s, metrics: [up]}\n  status: {anything: [1]}\n- {apiVersion: v1, kind: Pod}\n";
    let file: Arc<FilePath> = Arc::from(FilePath::new("web.yaml"));
    let resources = read(&file, text).unwrap();
    let reviews: Vec<_> =
        resources.iter().map(|r| Review::of(r, &Effective::default(), &TwoSecrets)).collect();
    assert_eq!(said(&reviews[0]), [""; 0]);
    assert_eq!(reviews[0].created, Some(Timestamp(1_767_225_600_000)));
    assert_eq!(
        said(&reviews[1]),
        ["web.yaml:9: warning: items[1].kind: Pod is not MetricAccess, and passed over"]
    );
}

#[test]
fn target_namespaces_are_the_operators_choice() {
    let policy = Effective { target_namespaces: Some(vec![Glob::new("shared")]), ..Effective::default() };
    let to = |ns: &str| {
        writing(&format!(
            "    enabled: true\n    target: {{type: prometheus}}\n    prometheus: {{serviceName: p, targetNamespace: {ns}}}\n"
        ))
    };
    assert!(matches!(review_with(&to("shared"), &policy).outcome, Outcome::Run(_)));
    assert!(matches!(review_with(&to("web"), &policy).outcome, Outcome::Run(_)));
    assert_eq!(
        said(&review_with(&to("other"), &policy)),
        [
            r#"web.yaml:10: spec.remoteWrite.prometheus.targetNamespace: the operator does not allow "other" (limits.targetNamespaces); remove it to send to web, or ask the operator to allow it"#
        ]
    );
}

/// What an operator could say who trusts nobody.
fn strict() -> Effective {
    let patterns = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    Effective {
        patterns_max: 1,
        targets: [TargetType::RemoteWrite].into(),
        urls: Urls {
            allow: Some(patterns(&[
                "*://*.example.com",
                "*://127.*",
                "*://[*",
                "*://*.svc",
                "*://localhost",
            ])),
            deny: patterns(&["*://*/admin/*"]),
            transport: Transport::Any,
        },
        target_namespaces: Some(vec![Glob::new("shared-*")]),
        receivers: Arc::new(Guard::new(&Receivers { place: Place::Cluster, ..Receivers::default() })),
        ..Effective::default()
    }
}

fn to_url(url: &str) -> String {
    writing(&format!(
        "    enabled: true\n    target: {{type: remote_write, remoteWrite: {{url: '{url}'}}}}\n"
    ))
}

#[test]
fn every_breach_names_its_limit() {
    let at = "web.yaml:9: spec.remoteWrite.target.remoteWrite.url:";
    let ask = "write another address, or ask the operator to allow it";
    let in_namespace = |ns| {
        format!(
            "{at} is in the namespace {ns}, which the operator does not allow (limits.targetNamespaces); {ask}"
        )
    };
    let loopback = |ip| format!("{at} {ip}, where no receiver may be (receivers); {ask}");
    for (text, expected) in [
        (
            resource("  source: s\n  metrics: [up, down]\n"),
            r#"web.yaml:6: spec.metrics: 2 entries are more than 1 (limits.maxPatterns); join some of them into regular expressions, as in "http_.*""#.to_owned(),
        ),
        (
            writing(PROMETHEUS),
            "web.yaml:9: spec.remoteWrite.target.type: the operator does not allow prometheus (targets.types); write remote_write, or ask the operator to allow it".to_owned(),
        ),
        (to_url("http://example.org/w"), format!("{at} is none that the operator allows (targets.urls.allow: *://*.example.com, *://127.*, *://[*, *://*.svc, *://localhost); {ask}")),
        (to_url("http://a.example.com/x/../admin/w"), format!("{at} the operator denies *://*/admin/* (targets.urls.deny); {ask}")),
        (to_url("http://p.other.svc/w"), in_namespace("other")),
        (to_url("http://127.1/w"), loopback("127.0.0.1 is in 127.0.0.0/8 (loopback)")),
        (to_url("http://0x7f.0.0.1/w"), loopback("127.0.0.1 is in 127.0.0.0/8 (loopback)")),
        (to_url("http://[::ffff:127.0.0.1]/w"), loopback("127.0.0.1 is in 127.0.0.0/8 (loopback)")),
        (to_url("http://localhost./w"), loopback("127.0.0.1 is in 127.0.0.0/8 (loopback)")),
    ] {
        let review = review_with(&text, &strict());
        let said = said(&review);
        assert!(said.contains(&expected), "{text}\nexpected {expected}\nsaid {said:#?}");
        assert_eq!(review.outcome, Outcome::Refused);
        assert!(review.problems.iter().all(|problem| problem.blame == Blame::Operator), "{:?}", review.problems);
    }
    let https = Urls { transport: Transport::Https, ..Urls::default() };
    let policy = Effective { urls: https, ..Effective::default() };
    assert_eq!(
        said(&review_with(&to_url("http://a.example.com/w"), &policy)),
        [format!("{at} the operator allows https only (targets.requireHttps); write https://…")]
    );
    let block = "    enabled: true\n    target: {type: remote_write, remoteWrite: {url: 'https://x/w', tls: {insecureSkipVerify: true}}}\n";
    let review = review_with(&writing(block), &policy);
    let said = said(&review);
    assert!(said[0].ends_with("tls.insecureSkipVerify: lets anyone answer, and the operator wants https (targets.requireHttps); remove it, and write caSecret"), "{said:?}");
    assert!(review.problems.iter().all(|problem| problem.blame == Blame::Operator), "{:?}", review.problems);
}

#[test]
fn what_the_operator_allows_runs_and_is_the_tenants_word() {
    for (url, author) in [
        ("http://a.example.com/w", Author::Tenant),
        ("http://p.web.svc/w", Author::Cluster),
        ("http://p.shared-1.svc/w", Author::Cluster),
    ] {
        let tenant = tenant(review_with(&to_url(url), &strict()));
        let Endpoint::RemoteWrite(endpoint) = &tenant.endpoints[0] else { panic!() };
        assert_eq!((endpoint.author, endpoint.dial), (author, None), "{url}");
    }
    let map = [("p.web:9090".to_owned(), "http://127.0.0.1:1".parse().unwrap())];
    let policy = Effective { services: Services::ClusterDns(map.into()), ..Effective::default() };
    for (text, author) in
        [(PROMETHEUS.to_owned(), Author::Operator), (PROMETHEUS.replace("p}", "q}"), Author::Cluster)]
    {
        let tenant = tenant(review_with(&writing(&text), &policy));
        let Endpoint::RemoteWrite(endpoint) = &tenant.endpoints[0] else { panic!() };
        assert_eq!(endpoint.author, author, "{}", endpoint.url);
    }
}

#[test]
fn a_management_label_can_be_the_namespace_and_is_never_the_tenants_choice() {
    let management = [("ns".to_owned(), "team {namespace}".to_owned())];
    let policy = Effective { management: management.into(), ..Effective::default() };
    let tenant = tenant(review_with(&writing(PROMETHEUS), &policy));
    assert_eq!(tenant.stamps.labels.get("ns"), Some("team web"));
    assert!(tenant.stamps.protected.contains(&"ns".to_owned()), "{:?}", tenant.stamps);
    let forged = writing(&format!("{PROMETHEUS}    extraLabels: {{ns: team other}}\n"));
    let said = said(&review_with(&forged, &policy));
    assert!(said[0].contains("not the operator's value of this label; write \"team web\""), "{said:?}");
}

#[test]
fn headers_that_name_somebody_are_the_operators_choice() {
    let with = |header: &str| {
        writing(&format!(
            "    enabled: true\n    target: {{type: remote_write, remoteWrite: {{url: 'https://x/w', headers: {{{header}: a}}}}}}\n"
        ))
    };
    for header in
        ["X-Scope-OrgID", "THANOS-TENANT", "Authorization", "X-Forwarded-For", "Cookie", "AccountID"]
    {
        let said = said(&review(&with(header)));
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].contains("the operator does not allow this header (targets.headers)"), "{said:?}");
    }
    let policy = Effective { headers: ["x-scope-orgid".to_owned()].into(), ..Effective::default() };
    assert!(matches!(review_with(&with("X-Scope-OrgID"), &policy).outcome, Outcome::Run(_)));
    assert_eq!(review_with(&with("X-Tenant"), &policy).outcome, Outcome::Refused);
    // What the protocol or the connection needs is nobody's choice.
    let policy = Effective { headers: ["host".to_owned()].into(), ..Effective::default() };
    assert_eq!(review_with(&with("Host"), &policy).outcome, Outcome::Refused);
}

#[test]
fn a_tenants_text_stays_text_in_queries_and_in_messages() {
    let policy = Effective { source_label: Some("team".into()), ..Effective::default() };
    let spec = format!(
        "  source: 'a\"}}or{{x=\"\\'\n  metrics: [up]\n  labelSelectors: {{zone: \"b\\\"}} or up{{a=\\\"\\n\"}}\n  remoteWrite:\n{PROMETHEUS}"
    );
    let tenant = tenant(review_with(&resource(&spec), &policy));
    let selector = tenant.selectors[0].to_string();
    let again = sluice_filter::selector::Selector::parse(&selector).expect("one selector, not two");
    assert_eq!(again, tenant.selectors[0]);
    let values: Vec<_> = again.matchers().iter().map(|m| (m.name(), m.value())).collect();
    assert!(
        values.contains(&("team", "a\"}or{x=\"\\")) && values.contains(&("zone", "b\"} or up{a=\"\n")),
        "{values:?}"
    );
    // A message is one line whatever it repeats.
    for spec in [
        "  source: \"a\\nlevel=error\"\n  metrics: [up]\n",
        "  source: s\n  metrics: [\"a\\nb{\"]\n",
        "  source: s\n  metrics: [up]\n  \"x\\ny\": 1\n",
        "  source: s\n  metrics: [up]\n  labelSelectors: {\"x\\ny\": a}\n",
        "  source: s\n  metrics: [up]\n  remoteWrite: {extraLabels: {\"x\\n\\e[31m\": a}}\n",
        "  source: s\n  metrics: [up]\n  remoteWrite: {target: {type: remote_write, remoteWrite: {url: \"http://x\\ny z\", headers: {\"a\\nb\": c}}}}\n",
        "  source: s\n  metrics: [up]\n  remoteWrite: {target: {type: \"x\\ny\"}}\n",
    ] {
        let said = said(&review(&resource(spec)));
        assert!(!said.is_empty(), "{spec}");
        assert!(!said.iter().any(|line| line.contains(|c: char| c.is_control())), "{said:?}");
    }
}

proptest::proptest! {
    #[test]
    fn no_document_makes_the_review_panic(
        words in proptest::collection::vec(
            proptest::sample::select(vec![
                "apiVersion: observability.ethos.io/v1alpha1\n", "kind: MetricAccess\n", "metadata:\n", "spec:\n", "  name: a\n",
                "  namespace: b\n", "  source: s\n", "  metrics:\n", "  - up\n", "    - '{a=\"b\"}'\n", "  remoteWrite:\n",
                "    enabled: true\n", "    target:\n", "      type: prometheus\n", "    interval: 1s\n", "      prometheus: {serviceName: x}\n",
                "    extraLabels: {a: 1}\n", "---\n", "  - 3\n", "  labelSelectors: [a]\n", "  labelSelectors: {a: b}\n", ": ", "[", "}", "&a ", "*a\n",
            ]),
            0..24,
        )
    ) {
        let file: Arc<FilePath> = Arc::from(FilePath::new("web.yaml"));
        for resource in read(&file, &words.concat()).unwrap_or_default() {
            let review = Review::of(&resource, &Effective::default(), &TwoSecrets);
            proptest::prop_assert!(review.outcome != Outcome::Refused || review.problems.iter().any(Problem::is_error));
        }
    }
}

#[test]
fn expressions_have_room_by_their_compiled_size_all_of_them_together() {
    let small = Effective { patterns_size_max: 100, ..Effective::default() };
    let spec = |metrics: &str, selectors: &str, regex: &str| {
        resource(&format!(
            "  source: s\n  metrics: {metrics}\n  labelSelectors: {selectors}\n  metricRelabelings: [{{sourceLabels: [a], regex: '{regex}', action: keep}}]\n"
        ))
    };
    let cure = "use smaller repetition counts and sets, or fewer expressions";
    for (metrics, selectors, regex, place) in [
        ("[node_.+, up]", "['zone=~\"a|b\"']", "a{40}", None),
        ("[node_.+, up]", "['zone=~\"a|b\"']", "a{90}", Some("8: spec.metricRelabelings")),
        ("[node_.+, 'a[b-c]{95}', '(', up]", "['zone=~\"a|b\"']", "a{40}", Some("6: spec.metrics")),
        ("[node_.+, up]", "['zone=~\"\\\\pL\"', 'zone=~\"(\"']", "a{40}", Some("7: spec.labelSelectors[0]")),
    ] {
        let place = place.map(|place| place.to_owned());
        let review = review_with(&spec(metrics, selectors, regex), &small);
        let expected = place.map(|place| {
            format!("web.yaml:{place}: the regular expressions come to more than a size of 100 (limits.maxPatternSize); {cure}")
        });
        assert_eq!(said(&review), Vec::from_iter(expected), "{metrics} {selectors} {regex}");
        assert!(review.problems.iter().all(|problem| problem.blame == Blame::Operator));
    }
}

#[test]
fn what_people_write_has_room_by_far() {
    let metrics: Vec<String> = (0..500)
        .map(|index| match index % 4 {
            0 => format!("some_quite_long_name_of_a_metric_{index}_seconds_total"),
            1 => format!("(?i)http_(requests|responses)_{index}_.+"),
            2 => format!(r#"{{__name__=~"node_(cpu|disk|memory|network)_[a-z_]+_{index}",job=~"a|b|c.*"}}"#),
            _ => format!(r"api_\w{{1,40}}_v\d+_{index}"),
        })
        .collect();
    let text = resource(&format!("  source: s\n  metrics: {}\n", serde_json::to_string(&metrics).unwrap()));
    let third = Effective { patterns_size_max: policy::PATTERNS_SIZE_MAX / 3, ..Effective::default() };
    assert_eq!(said(&review_with(&text, &third)), [""; 0]);
}

#[test]
fn a_group_that_is_remembered_is_looked_at_like_one_that_is_asked_for() {
    /// `pushgateway` has an address, `abroad` leads anywhere.
    struct Services;

    impl Surroundings for Services {
        fn secret(&self, _: &str, _: &SecretKey) -> Result<Secret, SecretError> {
            unreachable!("a gateway takes no credentials")
        }

        fn service(&self, namespace: &str, name: &str) -> Service {
            match (namespace, name) {
                ("web", "pushgateway") => Service::Cluster { ip: [10, 96, 0, 7].into(), ports: vec![9091] },
                ("web", "abroad") => Service::External,
                _ => Service::Missing,
            }
        }
    }

    let at = |namespace: &str, service: &str, port, job: &str| {
        let id = TenantId { namespace: namespace.into(), name: "m".into() };
        let group = PushgatewayGroup { service: service.into(), port, job: job.into() };
        let policy =
            Effective { services: policy::Services::ClusterDns(Default::default()), ..Effective::default() };
        super::group(&id, &group, &policy, &Services)
    };
    let found = at("web", "pushgateway", 9091, "a/b").expect("a resource may push there");
    assert_eq!(found.url.as_str(), "http://pushgateway.web.svc.cluster.local:9091/");
    assert_eq!((found.author, found.dial), (Author::Cluster, Some([10, 96, 0, 7].into())));
    for (namespace, service, port, job) in [
        ("web", "abroad", 9091, "j"),
        ("web", "missing", 9091, "j"),
        ("web", "pushgateway", 443, "j"),
        ("web", "pushgateway", 0, "j"),
        ("web", "pushgateway", 9091, ""),
        ("web", "pushgateway", 9091, "a\nb"),
        ("web", "127.0.0.1", 9091, "j"),
        ("web", "pushgateway.other", 9091, "j"),
        ("other", "pushgateway", 9091, "j"),
        ("web.svc", "pushgateway", 9091, "j"),
    ] {
        assert_eq!(at(namespace, service, port, job), None, "{namespace} {service} {port} {job:?}");
    }
}

/// A running resource with these filters, in YAML of one line.
fn filtering(filters: &str) -> String {
    writing(PROMETHEUS).replace("  metrics: [up]\n", &format!("  metrics: [up]\n  filters: {filters}\n"))
}

#[test]
fn filters_are_read_from_wherever_they_come() {
    let digest = "ab".repeat(32);
    let text = format!(
        "[{{name: a, module: {{builtin: {{name: top-k}}}}, config: {{k: 3}}}}, \
         {{name: b, module: {{http: {{url: 'https://x/f.wasm', sha256: '{digest}'}}}}, mode: Monitor, failurePolicy: Ignore}}, \
         {{name: c, module: {{file: {{path: team/f.wasm}}}}, limits: {{memory: 16Mi, timeout: 200ms}}}}, \
         {{name: d, module: {{oci: {{ref: 'ghcr.io/acme/f:1', pullSecretRef: {{name: none}}}}}}}}]"
    );
    let filters = tenant(review(&filtering(&text.replace(", pullSecretRef: {name: none}", "")))).filters;
    let names: Vec<_> = filters.iter().map(|filter| filter.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c", "d"]);
    assert_eq!(filters[0].origin, Origin::Builtin { name: "top-k".into() });
    assert_eq!(
        (&filters[0].config, filters[0].limits),
        (&serde_json::json!({"k": 3}), policy::FILTER_LIMITS)
    );
    assert_eq!((filters[1].mode, filters[1].on_failure), (FilterMode::Monitor, OnFailure::Ignore));
    assert_eq!(filters[1].config, serde_json::json!({}));
    let limits =
        FilterLimits { memory_bytes_max: 16 << 20, call_time_max: std::time::Duration::from_millis(200) };
    assert_eq!(filters[2].limits, limits);
    assert_eq!(
        said(&review(&filtering(&text)))[0],
        "web.yaml:7: spec.filters[3].module.oci.pullSecretRef: the Secret none is not there; put it there"
    );
}

#[test]
fn what_is_wrong_with_a_filter_is_told_with_its_place() {
    for (filters, expected) in [
        (
            "[{name: A, module: {builtin: {name: x}}}]",
            r#"[0].name: "A" is not a filter's name; use lower-case letters, digits and - (at most 63)"#,
        ),
        (
            "[{name: enrich, module: {builtin: {name: x}}}]",
            r#"[0].name: "enrich" is a step that every chain has; choose another name"#,
        ),
        (
            "[{name: a, module: {builtin: {name: x}}}, {name: a, module: {builtin: {name: x}}}]",
            r#"[1].name: "a" is another filter's name too; give one of them another name"#,
        ),
        (
            "[{name: a, module: {}}]",
            "[0].module: does not say once where the component comes from; write exactly one of oci, configMap, http, file and builtin",
        ),
        (
            "[{name: a, module: {builtin: {name: x}, file: {path: y}}}]",
            "[0].module: does not say once where the component comes from; write exactly one of oci, configMap, http, file and builtin",
        ),
        (
            "[{name: a, module: {file: {path: ../x}}}]",
            r#"[0].module.file.path: "../x" leads out of the folder of modules; write a relative path without .."#,
        ),
        (
            "[{name: a, module: {oci: {ref: acme/x}}}]",
            r#"[0].module.oci.ref: "acme/x" names no registry; write it first, as in ghcr.io/acme/drop-go:1.0"#,
        ),
        (
            "[{name: a, module: {http: {url: 'https://x/', sha256: ab}}}]",
            r#"[0].module.http.sha256: "ab" has no 64 hexadecimal digits in lower case; write what sha256sum prints for the file"#,
        ),
        (
            "[{name: a, module: {http: {url: 'https://u:p@x/', sha256: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}}}]",
            "[0].module.http.url: holds credentials, which everyone who reads the resource would see; push the component to a registry, and write oci with a pullSecretRef",
        ),
        (
            "[{name: a, module: {http: {url: 'ftp://x/', sha256: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}}}]",
            r#"[0].module.http.url: "ftp" is no scheme to fetch with; write an https address"#,
        ),
        (
            "[{name: a, module: {configMap: {name: m, key: k}}}]",
            "[0].module.configMap: the ConfigMap m cannot be read: only a cluster has ConfigMaps; put the component into the operator's folder of modules, and write file: {path: …}",
        ),
        (
            "[{name: a, module: {builtin: {name: x}}, limits: {memory: 1Gi}}]",
            r#"[0].limits.memory: 1Gi is more than 64Mi (filters.memory); write "64Mi" or less"#,
        ),
        (
            "[{name: a, module: {builtin: {name: x}}, limits: {timeout: 2s}}]",
            r#"[0].limits.timeout: "2s" is more than 1s (filters.timeout); write "1s" or less"#,
        ),
    ] {
        let problems = said(&review(&filtering(filters)));
        assert_eq!(problems, [format!("web.yaml:7: spec.filters{expected}")], "{filters}");
    }
    let none = Effective { filters_max: 0, ..Effective::default() };
    let problems = said(&review_with(&filtering("[{name: a, module: {builtin: {name: x}}}]"), &none));
    assert_eq!(
        problems,
        [
            "web.yaml:7: spec.filters: 1 filters are more than 0 (limits.maxFilters); remove some, or write one filter that does what several do"
        ]
    );
}
