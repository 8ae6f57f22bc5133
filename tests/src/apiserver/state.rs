//! State: everything the server knows, behind one lock.
//!
//! In: who asks for what. Out: the kinds, the objects, the faults, the counts. Never: waiting; whatever waits does so
//! outside.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::faults::Faults;
use super::kinds::{Kind, Origin, built_in};
use super::requests::Requests;
use super::store::{Key, Store};

/// The server.
#[derive(Debug)]
pub(super) struct State {
    /// The objects.
    pub(super) store: Store,
    /// The kinds it has.
    pub(super) kinds: Vec<Arc<Kind>>,
    /// What goes wrong.
    pub(super) faults: Faults,
    /// What was asked for.
    pub(super) requests: Requests,
    /// Bearer tokens and whose they are.
    pub(super) tokens: BTreeMap<String, String>,
    /// Who a request without a token is.
    pub(super) anonymous: Anonymous,
    clock: Clock,
    ips: u8,
}

/// Who a request without a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anonymous {
    /// Somebody who may do everything.
    Administrator,
    /// `system:anonymous`, who may do nothing.
    Nobody,
}

#[derive(Debug, Clone, Copy)]
enum Clock {
    System,
    Set(Timestamp),
}

impl State {
    /// A server with the built-in kinds.
    pub(super) fn new() -> State {
        State {
            store: Store::default(),
            kinds: built_in(),
            faults: Faults::default(),
            requests: Requests::default(),
            tokens: BTreeMap::new(),
            anonymous: Anonymous::Administrator,
            clock: Clock::System,
            ips: 0,
        }
    }

    /// Now, in whole seconds, as objects carry it.
    pub(super) fn now(&self) -> String {
        self.after(Duration::ZERO)
    }

    /// A time from now, in whole seconds.
    pub(super) fn after(&self, span: Duration) -> String {
        let now = match self.clock {
            Clock::System => Timestamp::try_from(SystemTime::now()).expect("the clock is within range"),
            Clock::Set(at) => at,
        };
        let seconds = now.as_second() + span.as_secs() as i64;
        Timestamp::from_second(seconds).expect("the clock is within range").to_string()
    }

    /// Stops the clock at `at`.
    pub(super) fn set_clock(&mut self, at: Timestamp) {
        self.clock = Clock::Set(at);
    }

    /// The kind called `kind`; of events, the `events.k8s.io` one.
    pub(super) fn kind_named(&self, kind: &str) -> Option<Arc<Kind>> {
        self.kinds.iter().find(|held| held.kind == kind).cloned()
    }

    /// The kind at a path.
    pub(super) fn kind_at(&self, group: &str, version: &str, plural: &str) -> Option<Arc<Kind>> {
        let fits =
            |kind: &&Arc<Kind>| kind.group == group && kind.version == version && kind.plural == plural;
        self.kinds.iter().find(fits).cloned()
    }

    /// Serves what a CRD describes; what it described before is forgotten.
    pub(super) fn install(&mut self, crd: &Value) {
        self.uninstall(crd);
        let since = self.store.revision();
        self.kinds.extend(Kind::of_crd(crd, since).into_iter().map(Arc::new));
    }

    /// Serves it no longer.
    pub(super) fn uninstall(&mut self, crd: &Value) {
        let group = crd["spec"]["group"].as_str().unwrap_or_default();
        let plural = crd["spec"]["names"]["plural"].as_str().unwrap_or_default();
        let is_of_crd =
            |kind: &Kind| kind.origin == Origin::Custom && kind.group == group && kind.plural == plural;
        self.kinds.retain(|kind| !is_of_crd(kind));
    }

    /// Where a namespace is.
    pub(super) fn namespace_key(name: &str) -> Key {
        Key { storage: "/namespaces".into(), namespace: String::new(), name: name.into() }
    }

    /// A namespace, if it is there.
    pub(super) fn namespace(&self, name: &str) -> Option<&Arc<Value>> {
        self.store.get(&State::namespace_key(name))
    }

    /// An address of the service network that no service has yet.
    pub(super) fn next_ip(&mut self) -> String {
        self.ips = self.ips.wrapping_add(1);
        format!("10.0.0.{}", self.ips)
    }
}
