//! Config: the files the demo runs on, as an operator and two teams would write them.

use std::collections::BTreeMap;
use std::net::SocketAddr;

/// The teams, in the order they are shown.
pub(super) const TEAMS: [&str; 2] = ["webapp-team", "data-team"];

/// Where the second team's metrics go.
#[derive(Debug, Clone)]
pub(super) enum DataTarget {
    /// An address outside the cluster.
    RemoteWrite(String),
    /// A Pushgateway.
    Pushgateway,
}

/// `sluice.yaml`.
pub(super) fn sluice(
    source: &str,
    lag_seconds: u64,
    endpoints: &BTreeMap<String, String>,
    listen: SocketAddr,
) -> String {
    let endpoints: String = endpoints.iter().map(|(name, url)| format!("  {name}: {url}\n")).collect();
    format!(
        "\
# The operator's file: which shared servers there are, and where the teams' services are reached.
listen:
  address: {listen}
  debug: {listen}
sources:
  - name: infrastructure
    url: {source}
    lag: {lag_seconds}s
tenants:
  folder: resources
secrets:
  folder: secrets
state:
  file: sluice.state
endpoints:
{endpoints}\
log:
  format: text
  level: error
"
    )
}

/// The web team's resource: three patterns, no client errors, no label that changes with every pod.
pub(super) fn webapp() -> String {
    "\
# What the web team may have, and where it goes. Edit and save: it takes effect within a second.
apiVersion: observability.ethos.io/v1alpha1
kind: MetricAccess
metadata:
  name: webapp-metrics
  namespace: webapp-team
spec:
  source: webapp-team
  metrics:
    - http_requests_total
    - http_request_duration_seconds_(sum|count)
    - 'up{job=\"webapp\"}'
  labelSelectors:
    namespace: webapp-team
  metricRelabelings:
    - action: drop
      sourceLabels: [code]
      regex: 4..
    - action: labeldrop
      regex: pod_uid
  remoteWrite:
    enabled: true
    interval: 5s
    target:
      type: prometheus
    prometheus:
      serviceName: prometheus
      servicePort: 9090
    extraLabels:
      tenant: webapp-team
"
    .to_owned()
}

/// The data team's resource: by regular expression, and with a label renamed.
pub(super) fn data(target: &DataTarget) -> String {
    let target = match target {
        DataTarget::RemoteWrite(url) => {
            format!("    target:\n      type: remote_write\n    remoteWrite:\n      url: {url}\n")
        }
        DataTarget::Pushgateway => "    target:\n      type: pushgateway\n    pushgateway:\n      \
             serviceName: pushgateway\n      servicePort: 9091\n      jobName: data-team-metrics\n"
            .to_owned(),
    };
    format!(
        "\
# What the data team may have: everything of Kafka and Spark, and how busy the nodes are.
apiVersion: observability.ethos.io/v1alpha1
kind: MetricAccess
metadata:
  name: pipelines
  namespace: data-team
spec:
  source: data-team
  metrics:
    - kafka_.+
    - spark_.+
    - 'node_cpu_seconds_total{{mode!=\"idle\"}}'
  metricRelabelings:
    - sourceLabels: [instance]
      regex: '(.+):\\d+'
      targetLabel: host
      replacement: $1
  remoteWrite:
    enabled: true
    interval: 5s
{target}    extraLabels:
      tenant: data-team
      cost_center: analytics
"
    )
}

/// What each team asks for, and what is stamped on it, for people.
pub(super) fn summary(team: &str) -> (&'static str, &'static str) {
    match team {
        "webapp-team" => (
            "http_requests_total, http_request_duration_seconds_(sum|count), up{job=\"webapp\"}; not code=4xx",
            "tenant=\"webapp-team\", managed_by=\"multi-tenant-proxy\"",
        ),
        _ => (
            "kafka_.+, spark_.+, node_cpu_seconds_total{mode!=\"idle\"}; instance copied to host",
            "tenant=\"data-team\", cost_center=\"analytics\", managed_by=\"multi-tenant-proxy\"",
        ),
    }
}
