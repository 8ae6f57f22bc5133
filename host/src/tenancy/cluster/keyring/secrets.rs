//! Secrets that resources name.
//!
//! Never: one that is not labelled for our use. Who may write a `MetricAccess` could otherwise send any Secret beside it to an
//! address of their choice: the label is the consent of whoever may write the Secret.

use k8s_openapi::api::core::v1::Secret as Object;
use kube::ResourceExt as _;

use super::{Keyring, Kind, Known};
use crate::model::Secret;
use crate::tenancy::resource::SecretKey;
use crate::tenancy::secrets::SecretError;

/// The label that opens a Secret to us, with the value `"true"`.
pub const SECRET_LABEL: &str = "observability.ethos.io/metricaccess";
/// The longest value that is kept.
const VALUE_BYTES_MAX: usize = 64 << 10;

/// Secrets.
pub(in crate::tenancy::cluster) enum Secrets {}

impl Kind for Secrets {
    type Object = Object;
    type Value = Secret;

    fn of(object: &Object) -> Known<Secret> {
        if object.labels().get(SECRET_LABEL).map(String::as_str) != Some("true") {
            return Known::Closed;
        }
        let values = object.data.iter().flatten().filter(|(_, value)| value.0.len() <= VALUE_BYTES_MAX);
        let text = |bytes: &[u8]| {
            let text = std::str::from_utf8(bytes).ok()?;
            // Many a value was made with a newline at its end, which no password has.
            Some(Secret::new(text.strip_suffix('\n').unwrap_or(text)))
        };
        Known::Values(values.filter_map(|(key, value)| Some((key.clone(), text(&value.0)?))).collect())
    }
}

impl Keyring<Secrets> {
    /// The value of `key`, in `namespace`.
    pub(in crate::tenancy::cluster) fn value(
        &self,
        namespace: &str,
        key: &SecretKey,
    ) -> Result<Secret, SecretError> {
        let refuse = |message: String, cure: String| Err(SecretError { message, cure });
        match self.known(namespace, &key.name) {
            Some(Known::Values(values)) => match values.get(&key.key) {
                Some(value) if value.reveal().is_empty() => refuse(
                    format!("has nothing in its key {:?}", key.key),
                    "put the value into it".to_owned(),
                ),
                Some(value) => Ok(value.clone()),
                None => {
                    let keys: Vec<&str> = values.keys().map(String::as_str).collect();
                    let cure = match keys.is_empty() {
                        true => format!("put the value into its key {:?}", key.key),
                        false => format!("name one of its keys: {}", keys.join(", ")),
                    };
                    refuse(format!("has no key {:?}", key.key), cure)
                }
            },
            Some(Known::Absent) | None => refuse(
                format!("does not exist in the namespace {namespace}"),
                format!("create it, with the label {SECRET_LABEL}: \"true\""),
            ),
            Some(Known::Closed) => refuse(
                "is not open to metric access".to_owned(),
                format!("label it {SECRET_LABEL}: \"true\""),
            ),
            Some(Known::Refused(why)) => refuse(
                format!("may not be read by Sluice: {why}"),
                format!("let the operator bind the role sluice-secrets-reader in the namespace {namespace}"),
            ),
        }
    }
}
