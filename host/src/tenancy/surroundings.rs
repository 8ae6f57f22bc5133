//! Surroundings: what a resource names but does not hold: values of Secrets, and Services.
//!
//! Never: a Secret of another namespace than the resource's own.

use std::net::IpAddr;

use bytes::Bytes;

use super::resource::SecretKey;
use super::secrets::SecretError;
use crate::model::Secret;

/// Where a resource is judged.
pub trait Surroundings {
    /// The value of `key`, in `namespace`.
    fn secret(&self, namespace: &str, key: &SecretKey) -> Result<Secret, SecretError>;

    /// What `key` of a ConfigMap holds, in `namespace`. There are none outside of a cluster.
    fn config_map(&self, namespace: &str, name: &str, key: &str) -> Result<Bytes, SecretError> {
        let (_, _, _) = (namespace, name, key);
        Err(SecretError {
            message: "cannot be read: only a cluster has ConfigMaps".to_owned(),
            cure: "put the component into the operator's folder of modules, and write file: {path: …}"
                .to_owned(),
        })
    }

    /// What the Service `name` of `namespace` is. Nobody knows, outside of a cluster.
    fn service(&self, namespace: &str, name: &str) -> Service {
        let (_, _) = (namespace, name);
        Service::Unknown
    }
}

/// What a Service is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Service {
    /// Nobody looks: its name is believed, and where it leads is checked when it is dialled.
    Unknown,
    /// It has an address of its own, which is dialled, and these ports.
    Cluster {
        /// The cluster IP.
        ip: IpAddr,
        /// What it listens on.
        ports: Vec<i32>,
    },
    /// It is the names of its pods.
    Headless,
    /// It is another name for something else, which may be anything.
    External,
    /// There is none.
    Missing,
}
