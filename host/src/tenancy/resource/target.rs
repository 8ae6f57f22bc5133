//! Target: where a tenant wants its metrics, and with which labels, as it writes it.
//!
//! In: `spec.remoteWrite` and `spec.metricRelabelings` of a document. Out: their fields, typed. Never: a judgement.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::document::GoDuration;
use crate::tenancy::crd::schema;

/// Where metrics are sent, how often, and with which labels.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new(
    "!has(self.enabled) || !self.enabled || has(self.target)"
).message("target is missing: write target: {type: prometheus}, and its block"))]
#[x_kube(validation = Rule::new(
    "!has(self.target) || self.target.type != 'prometheus' || has(self.prometheus) != has(self.target.prometheus)"
).message("target.type is prometheus: write its block, prometheus, once"))]
#[x_kube(validation = Rule::new(
    "!has(self.target) || self.target.type != 'pushgateway' || has(self.pushgateway) != has(self.target.pushgateway)"
).message("target.type is pushgateway: write its block, pushgateway, once"))]
#[x_kube(validation = Rule::new(
    "!has(self.target) || self.target.type != 'remote_write' || has(self.remoteWrite) != has(self.target.remoteWrite)"
).message("target.type is remote_write: write its block, remoteWrite, once"))]
#[x_kube(validation = Rule::new(
    "!has(self.target) || self.target.type == 'prometheus' || !(has(self.prometheus) || has(self.target.prometheus))"
).message("prometheus does not belong to this target.type: remove it, or change the type"))]
#[x_kube(validation = Rule::new(
    "!has(self.target) || self.target.type == 'pushgateway' || !(has(self.pushgateway) || has(self.target.pushgateway))"
).message("pushgateway does not belong to this target.type: remove it, or change the type"))]
#[x_kube(validation = Rule::new(
    "!has(self.target) || self.target.type == 'remote_write' || !(has(self.remoteWrite) || has(self.target.remoteWrite))"
).message("remoteWrite does not belong to this target.type: remove it, or change the type"))]
#[x_kube(validation = Rule::new(
    "!has(self.outOfOrder) || !self.outOfOrder || !has(self.target) || self.target.type != 'pushgateway'"
).message("outOfOrder does not belong to a Pushgateway, which holds the newest value alone: remove it"))]
pub struct RemoteWrite {
    /// Whether anything is sent at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// How far samples are apart: `30s`, `1m30s`. Default `30s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::interval")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1s')")
        .message("the shortest interval is 1s; the operator may have set a longer one"))]
    pub interval: Option<GoDuration>,
    /// The kind of target. Its block stands beside this field or inside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// The block of `type: prometheus`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prometheus: Option<PrometheusTarget>,
    /// The block of `type: pushgateway`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pushgateway: Option<PushgatewayTarget>,
    /// The block of `type: remote_write`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote_write: Option<RemoteWriteTarget>,
    /// Labels added to every series.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::extra_labels")]
    #[x_kube(validation = Rule::new("self.all(name, name.matches('^[a-zA-Z_][a-zA-Z0-9_]*$') && !name.startsWith('__'))")
        .message("a label's name has letters, digits and _, and does not begin with a digit or __"))]
    pub extra_labels: BTreeMap<String, String>,
    /// Whether a source's own label stays when an extra label has its name. Default `false`: the extra label wins, the
    /// source's value is kept as `exported_<label>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub honor_labels: Option<bool>,
    /// What is done when a receiver of remote write refuses a request for what is in it. `bisect`, the default: it is sent in
    /// halves until what is refused stands alone, and all else is delivered. `drop`: the whole request is dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_reject: Option<OnReject>,
    /// Which remote write the receiver is spoken to in. `auto`, the default: 1.0, until the receiver has shown that it takes
    /// 2.0. `"1.0"`, `"2.0"`: that one alone; write them in quotes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// Whether the receiver of remote write takes a series' samples in any order: a Prometheus with
    /// `storage.tsdb.out_of_order_time_window` of at least the operator's `maxBackfill`. After an outage it then gets the newest
    /// ticks first, and those it missed behind them. Not for a Pushgateway, and without effect with `collection.mode: raw`
    /// or a filter that sees samples or remembers. Default `false`: oldest first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out_of_order: Option<bool>,
    /// The same as `spec.metricRelabelings`; give one of the two.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000))]
    pub metric_relabelings: Vec<Relabeling>,
}

/// What is done with a request that a receiver refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnReject {
    /// What is refused is looked for, the rest delivered.
    Bisect,
    /// All of it is dropped.
    Drop,
}

/// A version of remote write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Protocol {
    /// 1.0, until the receiver has shown that it takes 2.0.
    #[serde(rename = "auto")]
    Auto,
    /// 1.0 alone.
    #[serde(rename = "1.0")]
    V1,
    /// 2.0 alone: its metadata and its confirmation of what was written.
    #[serde(rename = "2.0")]
    V2,
}

/// The kind of target, and its block if it does not stand beside it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Target {
    /// `prometheus`, `pushgateway` or `remote_write`.
    #[serde(rename = "type")]
    pub kind: TargetKind,
    /// The block of `type: prometheus`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prometheus: Option<PrometheusTarget>,
    /// The block of `type: pushgateway`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pushgateway: Option<PushgatewayTarget>,
    /// The block of `type: remote_write`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote_write: Option<RemoteWriteTarget>,
}

/// The kinds of target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TargetKind {
    /// A Prometheus in the cluster, with its remote-write receiver enabled.
    Prometheus,
    /// A Pushgateway in the cluster.
    Pushgateway,
    /// Any remote-write endpoint, by URL.
    RemoteWrite,
}

/// A Prometheus in the cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PrometheusTarget {
    /// The Service's name.
    #[schemars(length(min = 1, max = 63))]
    pub service_name: String,
    /// The Service's port. Default 9090.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub service_port: Option<i32>,
    /// How many pods of the StatefulSet each get everything. Needs `statefulSetName`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 16))]
    pub replicas: Option<i32>,
    /// The StatefulSet whose pods are addressed one by one, behind the (headless) Service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub stateful_set_name: Option<String>,
    /// The Service's namespace. Default: the resource's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub target_namespace: Option<String>,
}

/// A Pushgateway in the cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PushgatewayTarget {
    /// The Service's name.
    #[schemars(length(min = 1, max = 63))]
    pub service_name: String,
    /// The Service's port. Default 9091.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub service_port: Option<i32>,
    /// The group's job; no other resource may push to the same one.
    #[schemars(length(min = 1, max = 1024))]
    pub job_name: String,
}

/// Any remote-write endpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RemoteWriteTarget {
    /// Its full address.
    #[schemars(length(max = 2048))]
    #[x_kube(validation = Rule::new("isURL(self) && url(self).getScheme() in ['http', 'https']")
        .message("write the address as https://host:port/api/v1/write"))]
    pub url: String,
    /// User name and password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basic_auth: Option<BasicAuth>,
    /// Where a bearer token is kept, in the resource's own namespace; in place of `basicAuth`. The Secret carries the label
    /// `observability.ethos.io/metricaccess: "true"`. A new token is in use within seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bearer_token_secret: Option<SecretKey>,
    /// TLS settings of an `https://` address, where the usual ones do not do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TargetTls>,
    /// Headers of every request.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::headers")]
    pub headers: BTreeMap<String, String>,
}

/// TLS settings of a receiver. What they name is in PEM, in Secrets that carry the label
/// `observability.ethos.io/metricaccess: "true"`; new certificates are in use within seconds.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.certSecret) == has(self.keySecret)")
    .message("a client certificate needs both: write certSecret and keySecret"))]
pub struct TargetTls {
    /// The certificates that sign the receiver's, in place of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret: Option<SecretKey>,
    /// Our certificate, for receivers that ask for one, then those between it and its root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert_secret: Option<SecretKey>,
    /// Its private key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_secret: Option<SecretKey>,
    /// The name in the receiver's certificate. Default: the address' host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub server_name: Option<String>,
    /// Whether anybody may answer in the receiver's place: the certificate is not checked. Default `false`. Not where the
    /// operator requires https.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub insecure_skip_verify: Option<bool>,
}

/// User name and password for HTTP basic authentication.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BasicAuth {
    /// The user's name.
    #[schemars(length(max = 1024))]
    pub username: String,
    /// Where the password is kept, in the resource's own namespace.
    pub password_secret: SecretKey,
}

/// One value of a Secret in the resource's own namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretKey {
    /// The Secret's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key in it.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// One of Prometheus' relabeling rules, with its defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Relabeling {
    /// The labels whose values are joined and matched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), inner(length(max = 1024)))]
    pub source_labels: Option<Vec<String>>,
    /// Between the joined values. Default `;`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub separator: Option<String>,
    /// Matched against the joined values, anchored. Default `(.*)`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16384))]
    pub regex: Option<String>,
    /// For `hashmod`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::modulus")]
    pub modulus: Option<u64>,
    /// The label that is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub target_label: Option<String>,
    /// What is written; `$1` is the first group. Default `$1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub replacement: Option<String>,
    /// Prometheus' actions. Default `replace`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub action: Option<String>,
}

impl RemoteWriteTarget {
    pub(super) fn secrets(&self) -> impl Iterator<Item = &SecretKey> {
        let password = self.basic_auth.as_ref().map(|auth| &auth.password_secret);
        let tls = self.tls.iter().flat_map(|tls| [&tls.ca_secret, &tls.cert_secret, &tls.key_secret]);
        password.into_iter().chain(&self.bearer_token_secret).chain(tls.flatten())
    }
}
