//! Store: ConfigMaps read and written, one request each.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use super::place::config_map;
use super::terms::{Current, Outcome, Write};
use crate::model::chain;

/// Who writes them, for the API server.
const FIELD_MANAGER: &str = "sluice";
/// A request that takes longer has failed; less than [`super::HANDOVER_MAX`].
const REQUEST_MAX: Duration = Duration::from_secs(3);
const APP_LABEL: (&str, &str) = ("app.kubernetes.io/name", "sluice");
const CURSORS_LABEL: (&str, &str) = ("observability.ethos.io/cursors", "true");

/// The selector of all our ConfigMaps.
pub(super) fn selector() -> String {
    let ((app, sluice), (cursors, yes)) = (APP_LABEL, CURSORS_LABEL);
    format!("{app}={sluice},{cursors}={yes}")
}

/// A ConfigMap as the book takes it.
pub(super) fn current(object: ConfigMap) -> Current {
    let version = object.resource_version().unwrap_or_default();
    Current { version, data: object.data.unwrap_or_default() }
}

/// Writes, and says what is there if something else was than was thought. The error is to be told.
pub(super) async fn write(api: Api<ConfigMap>, write: &Write) -> (Outcome, Option<Failure>) {
    let written = match &write.base {
        Some(base) => within(patch(&api, write, base)).await,
        None => within(create(&api, write)).await,
    };
    match written {
        Ok(version) => (Outcome::Accepted(version), None),
        Err(failure) if failure.is_conflict() => (Outcome::Conflict(read(&api, write.shard).await), None),
        Err(failure) if failure.is_refusal() => (Outcome::Refused, Some(failure)),
        Err(failure) => (Outcome::Unknown, Some(failure)),
    }
}

/// Why a write failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("{}", chain(.0))]
    Api(#[from] kube::Error),
    #[error("no answer within {} s", REQUEST_MAX.as_secs())]
    Slow,
}

impl Failure {
    /// Somebody else was faster.
    fn is_conflict(&self) -> bool {
        self.status().is_some_and(|code| code == 404 || code == 409)
    }

    /// The API server will not have it, whatever happens.
    fn is_refusal(&self) -> bool {
        self.status().is_some_and(|code| (400..500).contains(&code) && code != 408)
    }

    fn status(&self) -> Option<u16> {
        match self {
            Failure::Api(kube::Error::Api(status)) => Some(status.code),
            Failure::Api(_) | Failure::Slow => None,
        }
    }
}

/// Changes what changed, and has only the metadata sent back: the rest is known.
async fn patch(api: &Api<ConfigMap>, write: &Write, base: &str) -> Result<String, kube::Error> {
    let metadata = json!({ "resourceVersion": base, "labels": labels() });
    let patch = json!({ "metadata": metadata, "data": write.changes });
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
    let answer = api.patch_metadata(&config_map(write.shard), &params, &Patch::Merge(&patch)).await?;
    Ok(answer.resource_version().unwrap_or_default())
}

async fn create(api: &Api<ConfigMap>, write: &Write) -> Result<String, kube::Error> {
    let data = write.changes.iter().filter_map(|(key, value)| Some((key.clone(), value.clone()?)));
    let object = ConfigMap {
        metadata: ObjectMeta {
            name: Some(config_map(write.shard)),
            labels: Some(labels()),
            ..ObjectMeta::default()
        },
        data: Some(data.collect()),
        ..ConfigMap::default()
    };
    let params = PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
    Ok(api.create(&params, &object).await?.resource_version().unwrap_or_default())
}

fn labels() -> BTreeMap<String, String> {
    [APP_LABEL, CURSORS_LABEL].map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

/// What is there; `None` if that cannot be learnt.
async fn read(api: &Api<ConfigMap>, shard: usize) -> Option<Option<Current>> {
    let object = within(api.get_opt(&config_map(shard))).await.ok()?;
    Some(object.map(current))
}

async fn within<T>(request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, Failure> {
    match tokio::time::timeout(REQUEST_MAX, request).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Failure::Slow),
    }
}
