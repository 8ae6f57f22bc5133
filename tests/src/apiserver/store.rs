//! Store: the objects, one version counter over all of them, and what happened to them.
//!
//! In: whole objects to keep or take out. Out: what is there now, what was there at an earlier version, what changed
//! since. Never: two changes with one version, or a change that is not logged.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde_json::Value;

/// Changes kept for watches and for lists of earlier versions; a real server's etcd keeps five minutes of them.
const LOG_CHANGES_MAX: usize = 20_000;

/// Where an object is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    /// The kind's `storage`.
    pub(super) storage: String,
    /// The namespace; empty for none.
    pub(super) namespace: String,
    /// The name.
    pub(super) name: String,
}

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// It came.
    Added,
    /// It changed.
    Modified,
    /// It went.
    Deleted,
}

/// One change.
#[derive(Debug, Clone)]
pub(super) struct Change {
    /// The version it made.
    pub(super) revision: u64,
    /// Which object.
    pub(super) key: Key,
    /// What happened.
    pub(super) what: What,
    /// The object after it; of a deleted one its last state, at this version.
    pub(super) object: Arc<Value>,
    /// The object before it.
    pub(super) previous: Option<Arc<Value>>,
}

/// The version asked for is no longer kept; the oldest that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gone {
    /// The oldest version that could be served.
    pub(super) oldest: u64,
}

/// All objects.
#[derive(Debug, Default)]
pub(super) struct Store {
    revision: u64,
    objects: BTreeMap<Key, Arc<Value>>,
    log: VecDeque<Change>,
    /// Lists at versions before this one are gone.
    compacted: u64,
    /// Watches from versions before this one are gone.
    forgotten: u64,
    uids: u64,
}

impl Store {
    /// The newest version.
    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    /// Moves the counter without a change, as writes elsewhere in a cluster do.
    pub(super) fn advance(&mut self, revision: u64) {
        self.revision = self.revision.max(revision);
    }

    /// A uid nobody has.
    pub(super) fn uid(&mut self) -> String {
        self.uids += 1;
        format!("00000000-0000-4000-8000-{:012}", self.uids)
    }

    /// The object at `key`.
    pub(super) fn get(&self, key: &Key) -> Option<&Arc<Value>> {
        self.objects.get(key)
    }

    /// Keeps `object` at `key`, under a new version; the object as kept.
    pub(super) fn put(&mut self, key: Key, object: Value) -> Arc<Value> {
        let what = if self.objects.contains_key(&key) { What::Modified } else { What::Added };
        let object = self.stamped(object);
        let previous = self.objects.insert(key.clone(), Arc::clone(&object));
        self.log(Change { revision: self.revision, key, what, object: Arc::clone(&object), previous });
        object
    }

    /// Takes out the object at `key`; its last state, under a new version.
    pub(super) fn take(&mut self, key: &Key) -> Option<Arc<Value>> {
        let previous = self.objects.remove(key)?;
        let object = self.stamped(previous.as_ref().clone());
        let change = Change {
            revision: self.revision,
            key: key.clone(),
            what: What::Deleted,
            object: Arc::clone(&object),
            previous: Some(previous),
        };
        self.log(change);
        Some(object)
    }

    /// The objects of a kind, in one namespace or in all, sorted by namespace and name.
    pub(super) fn list(&self, storage: &str, namespace: Option<&str>) -> Vec<(Key, Arc<Value>)> {
        let first =
            Key { storage: storage.into(), namespace: namespace.unwrap_or("").into(), name: String::new() };
        self.objects
            .range(first..)
            .take_while(|(key, _)| is_in(key, storage, namespace))
            .map(|(key, object)| (key.clone(), Arc::clone(object)))
            .collect()
    }

    /// As `list`, at an earlier version: everything since is undone.
    pub(super) fn list_at(
        &self,
        storage: &str,
        namespace: Option<&str>,
        revision: u64,
    ) -> Result<Vec<(Key, Arc<Value>)>, Gone> {
        if revision < self.compacted {
            return Err(Gone { oldest: self.compacted });
        }
        let mut held: BTreeMap<Key, Arc<Value>> = self.list(storage, namespace).into_iter().collect();
        let since = self.log.iter().rev().take_while(|change| change.revision > revision);
        for change in since.filter(|change| is_in(&change.key, storage, namespace)) {
            match &change.previous {
                Some(previous) => held.insert(change.key.clone(), Arc::clone(previous)),
                None => held.remove(&change.key),
            };
        }
        Ok(held.into_iter().collect())
    }

    /// The changes of a kind after `revision`, oldest first.
    pub(super) fn since(
        &self,
        storage: &str,
        namespace: Option<&str>,
        revision: u64,
    ) -> Result<Vec<Change>, Gone> {
        if revision < self.forgotten {
            return Err(Gone { oldest: self.forgotten });
        }
        let first = self.log.partition_point(|change| change.revision <= revision);
        let changes = self.log.range(first..).filter(|change| is_in(&change.key, storage, namespace));
        Ok(changes.cloned().collect())
    }

    /// Whether lists at `revision` are gone.
    pub(super) fn is_compacted(&self, revision: u64) -> bool {
        revision < self.compacted
    }

    /// Gives up lists at earlier versions, as etcd's compaction does; watches still reach back.
    pub(super) fn compact(&mut self) {
        self.compacted = self.revision;
    }

    /// Gives up all history: lists at, and watches from, earlier versions are gone.
    pub(super) fn forget(&mut self) {
        self.compact();
        self.forgotten = self.revision;
    }

    fn stamped(&mut self, mut object: Value) -> Arc<Value> {
        self.revision += 1;
        object["metadata"]["resourceVersion"] = self.revision.to_string().into();
        Arc::new(object)
    }

    fn log(&mut self, change: Change) {
        self.log.push_back(change);
        if self.log.len() > LOG_CHANGES_MAX
            && let Some(oldest) = self.log.pop_front()
        {
            self.forgotten = self.forgotten.max(oldest.revision);
            self.compacted = self.compacted.max(oldest.revision);
        }
    }
}

fn is_in(key: &Key, storage: &str, namespace: Option<&str>) -> bool {
    key.storage == storage && namespace.is_none_or(|namespace| key.namespace == namespace)
}
