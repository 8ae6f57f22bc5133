//! Filters, as a tenant writes them.
//!
//! In: `spec.filters` of a document. Out: its fields, typed. Never: a judgement.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::SecretKey;
use crate::document::{ByteSize, GoDuration};
use crate::tenancy::crd::schema;

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

impl OciModule {
    /// What a Secret of type `kubernetes.io/dockerconfigjson` keeps its credentials under.
    const CREDENTIALS_KEY: &str = ".dockerconfigjson";

    /// The value of the pull secret.
    pub fn pull_secret(&self) -> Option<SecretKey> {
        let SecretName { name } = self.pull_secret_ref.as_ref()?;
        Some(SecretKey { name: name.clone(), key: OciModule::CREDENTIALS_KEY.to_owned() })
    }
}
