//! The `MetricAccess` resource, `observability.ethos.io/v1alpha1`, as a tenant writes it.
//!
//! In: a document. Out: its fields, typed. Never: a judgement; [`super::validate`] makes that.
//! One set of types serves the folder of a standalone installation and the cluster: the CRD's schema is derived from
//! them, with what an API server can check by itself. Its bounds are the outermost; the operator's are in
//! [`super::policy`].

mod filters;
mod target;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::crd::schema;
use super::selectors::LabelSelectors;
use super::status::MetricAccessStatus;
pub use filters::*;
pub use target::*;

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
    /// How the series are taken from their source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collection: Option<Collection>,
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

/// How series are taken from their source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Collection {
    /// Which samples are taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<CollectionMode>,
}

/// `sampled`: one sample a series and interval, with the value that a query at that moment has. `raw`: every stored sample with its
/// own time, stale markers included; not for a Pushgateway. Default `sampled`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CollectionMode {
    /// One a series and tick.
    Sampled,
    /// All that are stored.
    Raw,
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
        let receivers = remote_write.flat_map(|remote_write| {
            let inside = remote_write.target.as_ref().and_then(|t| t.remote_write.as_ref());
            inside.into_iter().chain(&remote_write.remote_write).flat_map(RemoteWriteTarget::secrets)
        });
        let artefacts = self.filters.iter().filter_map(|filter| filter.module.oci.as_ref());
        receivers.cloned().chain(artefacts.filter_map(OciModule::pull_secret)).collect()
    }

    /// The ConfigMaps that the resource names.
    pub fn config_maps(&self) -> Vec<&str> {
        let modules = self.filters.iter().filter_map(|filter| filter.module.config_map.as_ref());
        modules.map(|module| module.name.as_str()).collect()
    }
}
