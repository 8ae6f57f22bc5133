//! Finalizer: keeps a resource in the cluster until its Pushgateway group is removed.
//!
//! Never: a resource that comes into being again because we wrote to it, or one whose other finalizers are touched.

use kube::api::{Api, Patch, PatchParams};
use kube::{Client, Resource as _, ResourceExt as _};
use serde_json::json;

use super::object::{FINALIZER, api_resource};
use super::raw::Raw;
use crate::model::TenantId;

/// A write that somebody else was faster than is tried so often.
const ATTEMPTS_MAX: u32 = 4;

/// What the finalizers are to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// Ours is there.
    Keep,
    /// Ours is not.
    LetGo,
}

/// Sees to it that ours is there, or not. An object that is gone, or another one of this name, is left alone.
pub async fn set(client: &Client, id: &TenantId, uid: &str, hold: Hold) -> Result<(), kube::Error> {
    let api = Api::<Raw>::namespaced_with(client.clone(), &id.namespace, &api_resource());
    let mut attempt = 0;
    loop {
        attempt += 1;
        let Some(object) = api.get_opt(&id.name).await? else { return Ok(()) };
        let Some(patch) = change(&object, uid, hold) else { return Ok(()) };
        match api.patch(&id.name, &PatchParams::default(), &Patch::Merge(patch)).await {
            Ok(_) => return Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
            Err(kube::Error::Api(status)) if status.code == 409 && attempt < ATTEMPTS_MAX => {}
            Err(error) => return Err(error),
        }
    }
}

/// The change that is needed, bound to the version it was made of.
fn change(object: &Raw, uid: &str, hold: Hold) -> Option<serde_json::Value> {
    let held = object.finalizers();
    let ours = held.iter().any(|name| name == FINALIZER);
    // A terminating object takes no new finalizer.
    let wanted = hold == Hold::Keep && object.meta().deletion_timestamp.is_none();
    if object.uid().as_deref() != Some(uid) || (hold == Hold::Keep && !wanted) || ours == wanted {
        return None;
    }
    let mut finalizers: Vec<&str> =
        held.iter().map(String::as_str).filter(|name| *name != FINALIZER).collect();
    if wanted {
        finalizers.push(FINALIZER);
    }
    let version = object.resource_version();
    Some(json!({ "metadata": { "finalizers": finalizers, "resourceVersion": version } }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change_of(finalizers: &[&str], deleting: bool, uid: &str, hold: Hold) -> Option<Vec<String>> {
        let deleted = deleting.then_some("2026-01-01T00:00:00Z");
        let object = serde_json::from_value(json!({
            "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
            "metadata": {"name": "a", "uid": "u", "resourceVersion": "7", "finalizers": finalizers, "deletionTimestamp": deleted},
        }));
        let patch = change(&object.unwrap(), uid, hold)?;
        assert_eq!(patch["metadata"]["resourceVersion"], "7");
        Some(serde_json::from_value(patch["metadata"]["finalizers"].clone()).unwrap())
    }

    #[test]
    fn only_our_own_comes_and_goes() {
        let ours = FINALIZER.to_owned();
        assert_eq!(change_of(&[], false, "u", Hold::Keep), Some(vec![ours.clone()]));
        assert_eq!(change_of(&["x"], false, "u", Hold::Keep), Some(vec!["x".to_owned(), ours]));
        assert_eq!(change_of(&[FINALIZER], false, "u", Hold::Keep), None);
        assert_eq!(change_of(&["x"], true, "u", Hold::Keep), None, "it is terminating");
        assert_eq!(change_of(&["x", FINALIZER], true, "u", Hold::LetGo), Some(vec!["x".to_owned()]));
        assert_eq!(change_of(&["x"], true, "u", Hold::LetGo), None);
        assert_eq!(change_of(&[FINALIZER], true, "other", Hold::LetGo), None, "it is another object");
    }
}
