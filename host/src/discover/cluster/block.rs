//! Block: what an operator says about the servers to be found in a cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use super::Selector;
use crate::model::{Access, Compression, Labels};

/// The label that a StatefulSet puts on its pods: their name.
pub const POD_NAME_LABEL: &str = "statefulset.kubernetes.io/pod-name";

/// The label that a StatefulSet puts on its pods: their number.
pub const POD_INDEX_LABEL: &str = "apps.kubernetes.io/pod-index";

/// One entry of `discovery.kubernetes`.
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    /// The operator's name for it, the beginning of its sources' names.
    pub name: String,
    /// Which objects stand for servers.
    pub kind: Kind,
    /// Where they are; `None` is everywhere.
    pub namespaces: Option<BTreeSet<String>>,
    /// Which of them, by label; asked of the API server.
    pub labels: Selector,
    /// Which of them, by annotation; checked here.
    pub annotations: Selector,
    /// Which port; without it an object's only one.
    pub port: Option<Port>,
    /// Unless an annotation says otherwise.
    pub scheme: Scheme,
    /// Below which path `/api/v1/query` is, unless an annotation says otherwise.
    pub path: String,
    /// The annotation that names the scheme; empty for none.
    pub scheme_annotation: String,
    /// The annotation that names the path; empty for none.
    pub path_annotation: String,
    /// Labels for every source of the block.
    pub source_labels: Labels,
    /// Labels for a source by the object's label that holds the value.
    pub labels_from: BTreeMap<String, String>,
    /// The label of a source by which tenants pick it.
    pub audience_label: Option<String>,
    /// The object's label by which replicas differ.
    pub replica_label: Option<String>,
    /// How long a source outlives its object.
    pub keep_absent: Duration,
    /// As in `Source`.
    pub external_labels: Labels,
    /// As in `Source`.
    pub lag: Duration,
    /// As [`Source::settle`].
    pub settle: Duration,
    /// As in `Source`.
    pub timeout: Duration,
    /// As in `Source`.
    pub series_max: usize,
    /// As in `Source`.
    pub access: Access,
    /// Whether their answers come compressed.
    pub compression: Compression,
}

/// The kind of object that stands for a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A Service is one server, by its DNS name.
    Service,
    /// Every pod is one, by its address.
    Pod,
    /// Every endpoint is one, by its address.
    EndpointSlice,
}

impl Kind {
    /// The plural, as an RBAC rule names it.
    pub fn resource(self) -> &'static str {
        match self {
            Kind::Service => "services",
            Kind::Pod => "pods",
            Kind::EndpointSlice => "endpointslices",
        }
    }
}

/// A port by name or number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Port {
    /// `web`.
    Name(String),
    /// `9090`.
    Number(u16),
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Port::Name(name) => f.write_str(name),
            Port::Number(number) => number.fmt(f),
        }
    }
}

/// How a server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// In the clear.
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    /// As in an address.
    pub fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }
}
