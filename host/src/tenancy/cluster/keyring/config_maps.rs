//! ConfigMaps that resources name, for the components of filters in them.
//!
//! Only `binaryData` is looked at: what else a ConfigMap holds is nobody's business here.

use bytes::Bytes;
use k8s_openapi::api::core::v1::ConfigMap as Object;

use super::{Keyring, Kind, Known};
use crate::tenancy::secrets::SecretError;

/// ConfigMaps.
pub(in crate::tenancy::cluster) enum ConfigMaps {}

impl Kind for ConfigMaps {
    type Object = Object;
    type Value = Bytes;

    fn of(object: &Object) -> Known<Bytes> {
        let binary = object.binary_data.iter().flatten();
        Known::Values(binary.map(|(key, value)| (key.clone(), Bytes::copy_from_slice(&value.0))).collect())
    }
}

impl Keyring<ConfigMaps> {
    /// What `key` of `binaryData` holds, in `namespace`.
    pub(in crate::tenancy::cluster) fn value(
        &self,
        namespace: &str,
        name: &str,
        key: &str,
    ) -> Result<Bytes, SecretError> {
        let refuse = |message: String, cure: String| Err(SecretError { message, cure });
        match self.known(namespace, name) {
            Some(Known::Values(values)) => match values.get(key) {
                Some(value) => Ok(value.clone()),
                None => {
                    let keys: Vec<&str> = values.keys().map(String::as_str).collect();
                    let cure = match keys.is_empty() {
                        true => {
                            "make it with kubectl create configmap NAME --from-file=FILTER.wasm".to_owned()
                        }
                        false => format!("name one of its keys: {}", keys.join(", ")),
                    };
                    refuse(format!("has no key {key:?} in its binaryData"), cure)
                }
            },
            Some(Known::Refused(why)) => refuse(
                format!("may not be read by Sluice: {why}"),
                format!("let the operator bind the role sluice-modules-reader in the namespace {namespace}"),
            ),
            Some(Known::Absent | Known::Closed) | None => refuse(
                format!("does not exist in the namespace {namespace}"),
                "make it with kubectl create configmap NAME --from-file=FILTER.wasm".to_owned(),
            ),
        }
    }
}
