//! The file's fields, as they are written.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::Deserialize;

use super::access::{BasicAuthFile, CompressionFile, HeaderFile, ProxyFile, TlsFile};
use super::discovery::Discovery;
use crate::document::{ByteSize, GoDuration};
use crate::filter::Wasi;

/// The whole file.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct File {
    #[serde(default)]
    pub(super) sources: Vec<Source>,
    #[serde(default)]
    pub(super) discovery: Discovery,
    pub(super) source_label: Option<String>,
    pub(super) tenants: Option<Tenants>,
    pub(super) kubernetes: Option<Kubernetes>,
    pub(super) secrets: Option<Secrets>,
    #[serde(default)]
    pub(super) endpoints: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) limits: Limits,
    #[serde(default)]
    pub(super) labels: Labels,
    #[serde(default)]
    pub(super) isolation: Isolation,
    #[serde(default)]
    pub(super) targets: Targets,
    #[serde(default)]
    pub(super) receivers: Receivers,
    #[serde(default)]
    pub(super) tenancy: Tenancy,
    #[serde(default)]
    pub(super) delivery: Delivery,
    #[serde(default)]
    pub(super) state: State,
    #[serde(default)]
    pub(super) listen: Listen,
    #[serde(default)]
    pub(super) filters: Filters,
    #[serde(default)]
    pub(super) log: Log,
}

/// One Prometheus server.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Source {
    pub(super) name: String,
    pub(super) url: String,
    #[serde(default)]
    pub(super) labels: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) external_labels: BTreeMap<String, String>,
    pub(super) lag: Option<GoDuration>,
    pub(super) settle: Option<GoDuration>,
    pub(super) timeout: Option<GoDuration>,
    pub(super) max_series: Option<usize>,
    pub(super) replica_group: Option<String>,
    pub(super) tls: Option<TlsFile>,
    pub(super) bearer_token_file: Option<PathBuf>,
    pub(super) basic_auth: Option<BasicAuthFile>,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, HeaderFile>,
    pub(super) proxy: Option<ProxyFile>,
    #[serde(default)]
    pub(super) compression: CompressionFile,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Tenants {
    pub(super) folder: PathBuf,
}

/// The resources of a cluster, in place of a folder.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Kubernetes {
    pub(super) namespaces: Option<BTreeSet<String>>,
    pub(super) namespace: Option<String>,
    pub(super) pod: Option<String>,
    pub(super) kubeconfig: Option<PathBuf>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Secrets {
    pub(super) folder: PathBuf,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Limits {
    pub(super) min_interval: Option<GoDuration>,
    pub(super) max_patterns: Option<usize>,
    pub(super) max_pattern_size: Option<usize>,
    pub(super) max_series: Option<usize>,
    pub(super) max_bytes_per_tick: Option<ByteSize>,
    pub(super) max_memory: Option<ByteSize>,
    pub(super) max_endpoints: Option<usize>,
    pub(super) max_filters: Option<usize>,
    pub(super) target_namespaces: Option<BTreeSet<String>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Labels {
    pub(super) management: Option<BTreeMap<String, String>>,
    pub(super) protected: Option<Vec<String>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Isolation {
    pub(super) mode: Option<IsolationMode>,
    pub(super) label: Option<String>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum IsolationMode {
    Optional,
    Enforced,
}

/// What may be written as a target.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Targets {
    pub(super) types: Option<Vec<TargetKind>>,
    #[serde(default)]
    pub(super) urls: Urls,
    pub(super) require_https: Option<bool>,
    pub(super) headers: Option<Vec<String>>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum TargetKind {
    Prometheus,
    Pushgateway,
    RemoteWrite,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Urls {
    pub(super) allow: Option<Vec<String>>,
    pub(super) deny: Option<Vec<String>>,
}

/// Where the addresses that tenants write may lead.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Receivers {
    #[serde(default)]
    pub(super) allow: Vec<String>,
    #[serde(default)]
    pub(super) deny: Vec<String>,
    pub(super) proxy: Option<EgressFile>,
}

/// The proxy before them.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct EgressFile {
    pub(super) url: String,
    pub(super) username: Option<String>,
    pub(super) password_file: Option<PathBuf>,
    #[serde(default)]
    pub(super) no_proxy: Vec<String>,
    #[serde(default)]
    pub(super) resolve: ResolveFile,
}

/// Who finds out where names lead.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ResolveFile {
    #[default]
    Here,
    Proxy,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Tenancy {
    #[serde(default)]
    pub(super) rules: Vec<Rule>,
}

/// What is different for some namespaces.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Rule {
    pub(super) namespaces: Option<Vec<String>>,
    pub(super) namespace_selector: Option<NamespaceSelector>,
    #[serde(default)]
    pub(super) limits: Limits,
    #[serde(default)]
    pub(super) labels: Labels,
    #[serde(default)]
    pub(super) isolation: Isolation,
    #[serde(default)]
    pub(super) targets: Targets,
}

/// As Kubernetes writes it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct NamespaceSelector {
    #[serde(default)]
    pub(super) match_labels: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) match_expressions: Vec<Expression>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Expression {
    pub(super) key: String,
    pub(super) operator: Operator,
    #[serde(default)]
    pub(super) values: BTreeSet<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Delivery {
    pub(super) max_samples_per_request: Option<usize>,
    pub(super) max_bytes_per_request: Option<ByteSize>,
    pub(super) concurrency: Option<usize>,
    pub(super) timeout: Option<GoDuration>,
    pub(super) max_backfill: Option<GoDuration>,
    pub(super) min_backoff: Option<GoDuration>,
    pub(super) max_backoff: Option<GoDuration>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct State {
    pub(super) file: Option<PathBuf>,
    pub(super) save_interval: Option<GoDuration>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Listen {
    pub(super) address: Option<String>,
    pub(super) debug: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Filters {
    pub(super) max_instances: Option<u32>,
    pub(super) memory: Option<ByteSize>,
    pub(super) timeout: Option<GoDuration>,
    pub(super) wasi: Option<Wasi>,
    pub(super) modules_folder: Option<PathBuf>,
    pub(super) max_module: Option<ByteSize>,
    pub(super) cache_folder: Option<PathBuf>,
    pub(super) max_cache: Option<ByteSize>,
    #[serde(default)]
    pub(super) allow: Vec<Allow>,
}

/// A registry or host that modules may come from.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Allow {
    pub(super) host: String,
    #[serde(default)]
    pub(super) plain_http: bool,
    #[serde(default)]
    pub(super) networks: Vec<String>,
    #[serde(default)]
    pub(super) redirects: Vec<String>,
    pub(super) tls: Option<TlsFile>,
    pub(super) verify: Option<VerifyFile>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct VerifyFile {
    pub(super) keys: Vec<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Log {
    #[serde(default)]
    pub(super) format: LogFormat,
    pub(super) level: Option<String>,
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// One JSON object a line.
    #[default]
    Json,
    /// For people.
    Text,
}
