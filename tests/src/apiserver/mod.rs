//! Apiserver: a fake Kubernetes API server that behaves as a real one, and misbehaves as told.
//!
//! In: requests of a real `kube::Client` in this process, or of programs through a socket; objects that a test writes
//! as an outside actor; faults. Out: the answers of a real server: versions, conflicts, ownership, watches, errors.
//! Never: controllers, CEL rules, tables, OpenAPI; see each file for what it leaves out. What it does is held against
//! recorded exchanges of a real server in `tests/apiserver.rs`.
//!
//! ```
//! # use serde_json::json;
//! # use sluice_tests::apiserver::{FakeApi, Fault};
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! use k8s_openapi::api::core::v1::ConfigMap;
//!
//! let api = FakeApi::start();
//! api.create(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "team"}}));
//!
//! let maps: kube::Api<ConfigMap> = kube::Api::namespaced(api.client(), "team");
//! assert_eq!(maps.list(&Default::default()).await.unwrap().items.len(), 1);
//!
//! let outage = api.fault(Fault::Unavailable);
//! assert!(maps.get("a").await.is_err());
//! api.lift(outage);
//! assert!(maps.get("a").await.is_ok());
//! assert_eq!(api.requests().count("get", "configmaps"), 2);
//! # });
//! ```

mod apply;
mod decode;
mod delete;
mod errors;
mod faults;
mod fields;
mod kinds;
mod merge;
mod metadata;
mod options;
mod pages;
mod patch;
mod rbac;
mod read;
mod requests;
mod routes;
mod rules;
mod schema;
mod selectors;
mod serve;
mod server;
mod state;
mod store;
mod validate;
mod view;
mod watch;
mod write;
mod writing;

use std::sync::Arc;

use axum::body::Body;
use http::{Request, Response};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

pub use faults::{Fault, FaultId, Rule};
pub use requests::Requests;
pub use serve::Serving;

use errors::Refusal;
use options::Options;
use server::Server;
use state::{Anonymous, State};
use store::Key;
use writing::Write;

/// Who a test is, in `managedFields`.
const OUTSIDER: &str = "test";

/// A fake API server. Clones are the same server.
#[derive(Debug, Clone)]
pub struct FakeApi {
    server: Arc<Server>,
}

impl FakeApi {
    /// A server with the built-in kinds and the program's own MetricAccess.
    pub fn start() -> FakeApi {
        let api = FakeApi::bare();
        let crd = sluice::tenancy::crd::definition();
        api.create(serde_json::to_value(crd).expect("a definition is JSON"));
        api
    }

    /// A server with the built-in kinds only.
    pub fn bare() -> FakeApi {
        FakeApi { server: Arc::new(Server::new()) }
    }

    /// A real client that talks to this server without a socket.
    pub fn client(&self) -> kube::Client {
        let server = Arc::clone(&self.server);
        let service = tower::service_fn(move |request: Request<kube::client::Body>| {
            Arc::clone(&server).answer(request.map(Body::new))
        });
        kube::Client::new(service, "default")
    }

    /// Answers one request, as over a socket; an error is a connection refused or broken.
    pub async fn answer(&self, request: Request<Body>) -> std::io::Result<Response<Body>> {
        Arc::clone(&self.server).answer(request).await
    }

    /// Serves on a free loopback port until the handle is dropped.
    pub async fn serve(&self) -> Serving {
        Serving::start(Arc::clone(&self.server)).await
    }

    /// Creates an object as an outside actor; its namespace too, if it is not there. The object as stored. A CRD is
    /// served at once. A status is written in a second step, as its controller would. Panics where a real server
    /// would refuse.
    pub fn create(&self, object: Value) -> Value {
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default().to_owned();
        if !namespace.is_empty() && self.object("Namespace", "", &namespace).is_none() {
            self.create(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}));
        }
        let status = object.get("status").cloned();
        let created = self.write(&object, |state, write| {
            let decoded = decode::fields(&write.kind, named(&object, write), &write.options)?;
            state.create(write, decoded)
        });
        match status {
            Some(status) if created["status"] != status => self.set_status(&created, status),
            _ => created,
        }
    }

    /// Lays `object` over what is there, or creates it: server-side apply, forced, as an outside actor. A `status` goes
    /// to the status of the object.
    pub fn apply(&self, object: Value) -> Value {
        let name = text(&object, "name");
        if self
            .object(object["kind"].as_str().unwrap_or_default(), &text(&object, "namespace"), &name)
            .is_none()
        {
            return self.create(object);
        }
        let body = object.to_string();
        let has_status = object.get("status").is_some();
        let applied = self.write(&object, |state, write| state.apply(write, body.as_bytes()));
        if !has_status {
            return applied;
        }
        self.write(&object, |state, write| {
            state.apply(&Write { is_status: true, ..write.clone() }, body.as_bytes())
        })
    }

    /// Merges `patch` into an object, as an outside actor: null removes.
    pub fn merge(&self, kind: &str, namespace: &str, name: &str, patch: Value) -> Value {
        let object = json!({"kind": kind, "metadata": {"namespace": namespace, "name": name}});
        self.write(&object, |state, write| {
            state.patch(write, patch.to_string().as_bytes(), write::PatchFormat::Merge)
        })
    }

    /// Deletes an object as an outside actor, without grace. Finalizers hold it, as ever.
    pub fn delete(&self, kind: &str, namespace: &str, name: &str) {
        let object = json!({"kind": kind, "metadata": {"namespace": namespace, "name": name}});
        self.write(&object, |state, write| state.delete(write, &json!({"gracePeriodSeconds": 0})));
    }

    /// An object, if it is there. `namespace` is empty for cluster scope.
    pub fn object(&self, kind: &str, namespace: &str, name: &str) -> Option<Value> {
        let state = self.server.state();
        let kind = state.kind_named(kind)?;
        let key = Key { storage: kind.storage(), namespace: namespace.into(), name: name.into() };
        state.store.get(&key).map(|object| object.as_ref().clone())
    }

    /// All objects of a kind, sorted by namespace and name.
    pub fn objects(&self, kind: &str) -> Vec<Value> {
        let state = self.server.state();
        let Some(kind) = state.kind_named(kind) else { return Vec::new() };
        state
            .store
            .list(&kind.storage(), None)
            .into_iter()
            .map(|(_, object)| object.as_ref().clone())
            .collect()
    }

    /// What was asked for since the start; what a test writes through this handle does not count.
    pub fn requests(&self) -> Requests {
        self.server.state().requests.clone()
    }

    /// Lets something go wrong, until it is lifted or used up.
    pub fn fault(&self, rule: impl Into<Rule>) -> FaultId {
        self.server.change(|state| state.faults.add(rule.into()))
    }

    /// Ends a fault.
    pub fn lift(&self, fault: FaultId) {
        self.server.change(|state| state.faults.lift(fault));
    }

    /// Ends all faults.
    pub fn lift_all(&self) {
        self.server.change(|state| state.faults.clear());
    }

    /// Cuts every open watch in the middle, as a restart does.
    pub fn drop_watches(&self) {
        self.server.cut();
    }

    /// Forgets all history: a watch from an earlier version gets its 410, and so does a later page of a list.
    /// Open watches that are up to date notice nothing.
    pub fn compact(&self) {
        self.server.change(|state| state.store.forget());
    }

    /// Forgets lists at earlier versions, as etcd's compaction does; watches still reach back.
    pub fn compact_storage(&self) {
        self.server.change(|state| state.store.compact());
    }

    /// Moves the version counter to at least `revision`, as writes elsewhere in the cluster do.
    pub fn advance(&self, revision: u64) {
        self.server.change(|state| state.store.advance(revision));
    }

    /// The newest version.
    pub fn revision(&self) -> u64 {
        self.server.state().store.revision()
    }

    /// Stops the clock that dates objects at `at`. Watches and bookmarks go by the runtime's clock.
    pub fn set_clock(&self, at: Timestamp) {
        self.server.change(|state| state.set_clock(at));
    }

    /// Makes `token` the bearer token of `user`, who may do what the stored roles and bindings let it. A request
    /// without a token may do everything, until `forbid_anonymous`.
    pub fn user(&self, token: &str, user: &str) {
        self.server.change(|state| state.tokens.insert(token.into(), user.into()));
    }

    /// Takes all rights from requests without a token.
    pub fn forbid_anonymous(&self) {
        self.server.change(|state| state.anonymous = Anonymous::Nobody);
    }

    fn set_status(&self, object: &Value, status: Value) -> Value {
        let body = json!({"status": status}).to_string();
        self.write(object, |state, write| {
            state.patch(
                &Write { is_status: true, ..write.clone() },
                body.as_bytes(),
                write::PatchFormat::Merge,
            )
        })
    }

    /// Writes what `object` names; its answer, or a panic that says what was refused.
    fn write(
        &self,
        object: &Value,
        act: impl FnOnce(&mut State, &Write) -> Result<write::Answer, Refusal>,
    ) -> Value {
        let kind = object["kind"].as_str().unwrap_or_default();
        let done = self.server.change(|state| {
            let kind = state.kind_named(kind).unwrap_or_else(|| panic!("the fake has no kind {kind:?}"));
            let options = Options { force: true, field_manager: Some(OUTSIDER.into()), ..Options::default() };
            let (namespace, name) = (text(object, "namespace"), text(object, "name"));
            let write = Write { kind, namespace, name, is_status: false, manager: OUTSIDER.into(), options };
            act(state, &write)
        });
        let place = format!("{kind} {}/{}", text(object, "namespace"), text(object, "name"));
        done.unwrap_or_else(|refusal| panic!("{place} was refused: {}", refusal.status()["message"])).object
    }
}

/// `object` with the version of its kind, which tests may leave out.
fn named(object: &Value, write: &Write) -> Value {
    let mut object = object.clone();
    object["apiVersion"] = write.kind.group_version.clone().into();
    object["kind"] = write.kind.kind.clone().into();
    object
}

fn text(object: &Value, name: &str) -> String {
    object["metadata"][name].as_str().unwrap_or_default().to_owned()
}
