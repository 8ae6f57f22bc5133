//! Modules: where a filter's component comes from, as somebody wrote it.

mod digest;
mod path;
mod reference;

use std::collections::BTreeMap;

use url::Url;

pub use digest::{Digest, DigestError};
pub use path::{ModulePath, ModulePathError};
pub use reference::{Reference, ReferenceError, Version};

/// What a tenant's filters were when they were last ready: what their tags stand for, by [`Reference::key`], and by [`TRIED`] what was
/// tried.
pub type Tags = BTreeMap<String, Digest>;

/// No reference has this key.
pub const TRIED: &str = "tried";

/// Where a filter's component comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Origin {
    /// It is part of the program.
    Builtin {
        /// As `builtin` names it.
        name: String,
    },
    /// A file of the operator's.
    File {
        /// Below the operator's folder of modules.
        path: ModulePath,
    },
    /// An entry of a ConfigMap in the resource's namespace.
    ConfigMap {
        /// The ConfigMap.
        name: String,
        /// The entry of its `binaryData`.
        key: String,
    },
    /// A download.
    Http {
        /// `http` or `https`.
        url: Url,
        /// Of the component: what comes from elsewhere is run only if it is what was meant.
        sha256: Digest,
    },
    /// An artefact in a registry.
    Oci {
        /// Registry, repository, and which version.
        reference: Reference,
        /// A Secret in the resource's namespace, of type `kubernetes.io/dockerconfigjson`.
        pull_secret: Option<String>,
    },
}
