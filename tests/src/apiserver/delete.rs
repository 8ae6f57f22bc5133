//! Delete: finalizers, grace, and what goes with an object.
//!
//! In: the target, DeleteOptions. Out: what a real server answers; the object, or what holds it. Never: garbage
//! collection by owner; only namespaces and definitions take others with them.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::errors::Refusal;
use super::kinds::{AnswersDelete, Kind};
use super::metadata;
use super::state::State;
use super::store::Key;
use super::write::Answer;
use super::writing::Write;

impl State {
    /// DELETE of one object; `asked` are DeleteOptions.
    pub(super) fn delete(&mut self, write: &Write, asked: &Value) -> Result<Answer, Refusal> {
        let key = write.key(&write.name);
        let live = self.store.get(&key).cloned().ok_or_else(|| write.missing())?;
        write.meets(&asked["preconditions"], &live)?;
        if write.options.dry_run || asked["dryRun"][0] == "All" {
            return Ok(Answer::ok(live.as_ref().clone()));
        }
        if !metadata::finalizers(&live).is_empty() {
            return Ok(Answer::ok(self.mark(write, &live, Duration::ZERO)));
        }
        if write.kind.kind == "Namespace" {
            return Ok(Answer::ok(self.delete_namespace(write, &live)));
        }
        if write.kind.kind == "Pod" {
            let asked = asked["gracePeriodSeconds"].as_u64().or(write.options.grace_period_seconds);
            let own = live["spec"]["terminationGracePeriodSeconds"].as_u64();
            let on_node = live["spec"]["nodeName"].is_string();
            let grace = if on_node { asked.or(own).unwrap_or_default() } else { 0 };
            let marked = self.mark(write, &live, Duration::from_secs(grace));
            if grace > 0 {
                return Ok(Answer::ok(marked));
            }
        }
        if write.kind.kind == "CustomResourceDefinition" {
            self.uninstall_with_objects(&live);
        }
        let last = self.store.take(&key).expect("it was there");
        self.end_namespace(&write.namespace);
        Ok(match write.kind.answers_delete {
            AnswersDelete::Object => Answer::ok(last.as_ref().clone()),
            AnswersDelete::Status => Answer::ok(write.deleted(&last)),
        })
    }

    /// Serves a definition no longer; its objects go with it, finalizers or not.
    fn uninstall_with_objects(&mut self, crd: &Value) {
        for kind in Kind::of_crd(crd, 0) {
            for (key, _) in self.store.list(&kind.storage(), None) {
                self.store.take(&key);
            }
        }
        self.uninstall(crd);
    }

    /// What the namespace controller of a cluster does: all that is in it is deleted, and it goes when it is empty.
    fn delete_namespace(&mut self, write: &Write, live: &Value) -> Value {
        if metadata::is_terminating(live) {
            return live.clone();
        }
        let mut object = live.clone();
        object["metadata"]["deletionTimestamp"] = self.now().into();
        object["status"]["phase"] = "Terminating".into();
        let marked = self.store.put(write.key(&write.name), object);
        for kind in self.kinds.clone().into_iter().filter(|kind| kind.namespaced && !kind.is_core_event) {
            for (Key { namespace, name, .. }, _) in self.store.list(&kind.storage(), Some(&write.name)) {
                let one = Write { kind: Arc::clone(&kind), namespace, name, ..write.clone() };
                self.delete(&one, &json!({"gracePeriodSeconds": 0})).expect("what is listed can be deleted");
            }
        }
        self.end_namespace(&write.name);
        marked.as_ref().clone()
    }

    /// Takes out a namespace that is terminating, once nothing is in it.
    pub(super) fn end_namespace(&mut self, name: &str) {
        let is_terminating =
            self.namespace(name).is_some_and(|namespace| metadata::is_terminating(namespace));
        let namespaced = self.kinds.iter().filter(|kind| kind.namespaced);
        let is_empty = || {
            namespaced
                .map(|kind| kind.storage())
                .all(|storage| self.store.list(&storage, Some(name)).is_empty())
        };
        if is_terminating && is_empty() {
            self.store.take(&State::namespace_key(name));
        }
    }

    /// Marks an object as being deleted; as it then is.
    fn mark(&mut self, write: &Write, live: &Value, grace: Duration) -> Value {
        let mut object = live.clone();
        let already = metadata::is_terminating(live);
        let at = self.after(grace);
        let held = &mut object["metadata"];
        if already && held["deletionGracePeriodSeconds"].as_u64() <= Some(grace.as_secs()) {
            return object;
        }
        held["deletionTimestamp"] = at.into();
        held["deletionGracePeriodSeconds"] = grace.as_secs().into();
        if write.kind.generation && !already {
            held["generation"] = (held["generation"].as_u64().unwrap_or_default() + 1).into();
        }
        self.store.put(write.key(&write.name), object).as_ref().clone()
    }
}
