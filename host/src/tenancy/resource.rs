//! The `MetricAccess` resource, `observability.ethos.io/v1alpha1`, as a tenant writes it.
//!
//! In: a document. Out: its fields, typed. Never: a judgement; [`super::validate`] makes that.
//! One set of types serves the folder of a standalone installation and the cluster: the CRD's schema is derived from
//! them, with what an API server can check by itself. Its bounds are the outermost; the operator's are in
//! [`super::policy`].

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::crd::schema;
use super::selectors::LabelSelectors;
use super::status::MetricAccessStatus;
use crate::document::{ByteSize, GoDuration};

/// The resource's group and version.
pub const API_VERSION: &str = "observability.ethos.io/v1alpha1";
/// The resource's kind.
pub const KIND: &str = "MetricAccess";

/// A whole `MetricAccess` document.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MetricAccess {
    /// [`API_VERSION`].
    pub api_version: String,
    /// [`KIND`].
    pub kind: String,
    /// Whose it is.
    pub metadata: Metadata,
    /// What is asked for.
    pub spec: MetricAccessSpec,
    /// Written by the cluster's controller; a file that was exported from a cluster has it.
    #[serde(default)]
    pub status: IgnoredAny,
}

/// The part of Kubernetes' object metadata that means something here; the rest is accepted and ignored.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// The resource's name.
    pub name: String,
    /// The team's namespace.
    pub namespace: String,
    /// RFC 3339; decides which of two conflicting resources is the younger.
    pub creation_timestamp: Option<String>,
}

/// What a team may have of the shared Prometheus servers' metrics, and where it is sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "observability.ethos.io",
    version = "v1alpha1",
    kind = "MetricAccess",
    plural = "metricaccesses",
    root = "Object",
    derive = "PartialEq",
    doc = "What a team may have of the shared Prometheus servers' metrics, how it is enriched, and where it is sent.",
    shortname = "ma",
    category = "observability",
    status = "MetricAccessStatus",
    printcolumn(name = "Target", type_ = "string", json_path = ".spec.remoteWrite.target.type"),
    printcolumn(name = "Interval", type_ = "string", json_path = ".status.interval"),
    printcolumn(name = "Series", type_ = "integer", json_path = ".status.series.delivered"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        priority = "1"
    ),
    printcolumn(name = "Last delivered", type_ = "date", json_path = ".status.lastDelivered"),
    printcolumn(name = "Owner", type_ = "string", json_path = ".status.owner", priority = "1"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    namespaced
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new(
    "!has(self.metricRelabelings) || !has(self.remoteWrite) || !has(self.remoteWrite.metricRelabelings)"
).message("metricRelabelings stands in spec and in spec.remoteWrite: keep one of the two"))]
pub struct MetricAccessSpec {
    /// An identifier of where the metrics come from, usually the team's name. Where the operator configures a
    /// `sourceLabel`, only series that carry it with this value are taken.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^\S+$"))]
    pub source: String,
    /// What is taken. Each entry is a metric's name (`up`), a regular expression on the name (`http_.*`), or a PromQL
    /// selector (`{job="webapp"}`); a series is taken if any entry matches.
    #[schemars(length(min = 1, max = 1000), inner(length(min = 1, max = 4096)))]
    pub metrics: Vec<String>,
    /// Further conditions that every series must meet: `label: value` pairs, or a list of matchers such as
    /// `zone=~"a|b"`.
    #[serde(default, skip_serializing_if = "LabelSelectors::is_empty")]
    #[schemars(schema_with = "schema::label_selectors")]
    pub label_selectors: LabelSelectors,
    /// Whether only series of the resource's own namespace are taken. The operator may enforce it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric_isolation: Option<bool>,
    /// The team's own filters, applied in order, before the relabeling rules.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = FILTERS_MAX),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub filters: Vec<FilterSpec>,
    /// Prometheus' relabeling rules, applied in order before the extra labels are added.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000))]
    pub metric_relabelings: Vec<Relabeling>,
    /// Where the metrics are sent. Without it the resource is valid and nothing runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote_write: Option<RemoteWrite>,
}

/// Filters of one resource.
pub const FILTERS_MAX: usize = 16;

/// A filter: a WebAssembly component that drops, rewrites or sums up series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FilterSpec {
    /// What it is called in the status, in logs and in metrics.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    #[x_kube(validation = Rule::new("!(self in ['patterns', 'relabel', 'enrich'])")
        .message("patterns, relabel and enrich are the chain's own steps: choose another name"))]
    pub name: String,
    /// Where the component comes from: exactly one of these.
    pub module: ModuleSpec,
    /// Its configuration, whatever the filter takes. `sluice filter inspect` shows what that is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::anything")]
    pub config: Option<serde_json::Value>,
    /// `Enforce`: what it says is done. `Monitor`: it runs and is counted, and everything goes on unchanged. Default
    /// `Enforce`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<FilterMode>,
    /// What happens where it fails. `Fail`: nothing is delivered until it works again. `Ignore`: its series go on without it. Default
    /// `Fail`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_policy: Option<FailurePolicy>,
    /// What it may take; the operator's limits are the outermost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<FilterLimits>,
}

/// Where a component comes from.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new(
    "[has(self.oci), has(self.configMap), has(self.http), has(self.file), has(self.builtin)].filter(is, is).size() == 1"
).message("write exactly one of oci, configMap, http, file and builtin"))]
pub struct ModuleSpec {
    /// An artefact in a registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oci: Option<OciModule>,
    /// An entry of a ConfigMap's `binaryData`, in the resource's own namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<ConfigMapModule>,
    /// A download.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpModule>,
    /// A file below the operator's folder of modules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<FileModule>,
    /// A filter that comes with Sluice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub builtin: Option<BuiltinModule>,
}

/// An artefact in a registry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OciModule {
    /// `ghcr.io/acme/drop-go@sha256:…`, or with a tag, which is looked up once.
    #[serde(rename = "ref")]
    #[schemars(length(min = 1, max = 512))]
    pub reference: String,
    /// A Secret of type `kubernetes.io/dockerconfigjson` in the resource's own namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_secret_ref: Option<SecretName>,
}

/// A Secret in the resource's own namespace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretName {
    /// The Secret's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// An entry of a ConfigMap.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConfigMapModule {
    /// The ConfigMap's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key in its `binaryData`.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// A download.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpModule {
    /// Where it is.
    #[schemars(length(max = 2048))]
    #[x_kube(validation = Rule::new("isURL(self) && url(self).getScheme() in ['http', 'https']")
        .message("write the address as https://host/path/filter.wasm"))]
    pub url: String,
    /// Its SHA-256, in 64 hexadecimal digits; what has another one is not run.
    #[schemars(regex(pattern = r"^(sha256:)?[0-9a-f]{64}$"))]
    pub sha256: String,
}

/// A file of the operator's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FileModule {
    /// Its path below the operator's folder of modules.
    #[schemars(length(min = 1, max = 512))]
    pub path: String,
}

/// A filter that comes with Sluice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BuiltinModule {
    /// Its name, such as `top-k`.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
}

/// Whether what a filter says is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum FilterMode {
    /// It is.
    Enforce,
    /// It is only counted.
    Monitor,
}

/// What happens where a filter fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum FailurePolicy {
    /// Nothing is delivered until it works again.
    Fail,
    /// Its series go on without it.
    Ignore,
}

/// What a filter may take.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FilterLimits {
    /// Memory of one instance: `64Mi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::bytes")]
    pub memory: Option<ByteSize>,
    /// How long one call may take: `1s`, `250ms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::interval")]
    pub timeout: Option<GoDuration>,
}

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
    /// The same as `spec.metricRelabelings`; give one of the two.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000))]
    pub metric_relabelings: Vec<Relabeling>,
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
    /// Headers of every request.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::headers")]
    pub headers: BTreeMap<String, String>,
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

impl MetricAccessSpec {
    /// The Services the resource names, each with its namespace; its own is `namespace`.
    pub fn services(&self, namespace: &str) -> Vec<(String, String)> {
        let Some(remote_write) = &self.remote_write else { return Vec::new() };
        let target = remote_write.target.as_ref();
        let inside = target.and_then(|target| target.prometheus.as_ref());
        let prometheus = remote_write.prometheus.iter().chain(inside).map(|block| {
            (block.target_namespace.as_deref().unwrap_or(namespace), block.service_name.as_str())
        });
        let inside = target.and_then(|target| target.pushgateway.as_ref());
        let gateways = remote_write.pushgateway.iter().chain(inside);
        let gateways = gateways.map(|block| (namespace, block.service_name.as_str()));
        let owned = |(namespace, name): (&str, &str)| (namespace.to_owned(), name.to_owned());
        prometheus.chain(gateways).map(owned).collect()
    }

    /// The values of Secrets that the resource names.
    pub fn secrets(&self) -> Vec<SecretKey> {
        let remote_write = self.remote_write.iter();
        let passwords = remote_write.flat_map(|remote_write| {
            let inside = remote_write.target.as_ref().and_then(|t| t.remote_write.as_ref());
            let blocks = inside.into_iter().chain(&remote_write.remote_write);
            blocks.filter_map(|block| block.basic_auth.as_ref()).map(|auth| auth.password_secret.clone())
        });
        let artefacts = self.filters.iter().filter_map(|filter| filter.module.oci.as_ref());
        passwords.chain(artefacts.filter_map(OciModule::pull_secret)).collect()
    }

    /// The ConfigMaps that the resource names.
    pub fn config_maps(&self) -> Vec<&str> {
        let modules = self.filters.iter().filter_map(|filter| filter.module.config_map.as_ref());
        modules.map(|module| module.name.as_str()).collect()
    }
}

impl OciModule {
    /// What a Secret of type `kubernetes.io/dockerconfigjson` keeps its credentials under.
    const CREDENTIALS_KEY: &str = ".dockerconfigjson";

    /// The value of the pull secret.
    pub fn pull_secret(&self) -> Option<SecretKey> {
        let SecretName { name } = self.pull_secret_ref.as_ref()?;
        Some(SecretKey { name: name.clone(), key: OciModule::CREDENTIALS_KEY.to_owned() })
    }
}
