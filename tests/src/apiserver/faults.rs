//! Faults: what the server does wrong, as a script of rules.
//!
//! In: rules, each for a verb and a resource, for ever or for a number of requests. Out: for a request, its fault.
//! Never: chance. What goes wrong is what the test says goes wrong.

use std::time::Duration;

use super::errors::{About, Refusal};

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Nobody listens: connections are refused, open ones and watches are cut.
    Refused,
    /// 503.
    Unavailable,
    /// 429.
    TooManyRequests {
        /// Its `Retry-After`.
        retry_after_seconds: u64,
    },
    /// 500.
    InternalError,
    /// 409, as if somebody else had written in between.
    Conflict,
    /// 403.
    Forbidden,
    /// The answer comes late.
    Slow(Duration),
}

/// A fault, and the requests it is for.
#[derive(Debug, Clone)]
pub struct Rule {
    fault: Fault,
    verb: String,
    resource: String,
    left: Option<u32>,
}

/// Names a rule, so that it can be lifted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FaultId(u64);

impl Fault {
    /// For this verb (`list`, `watch`, `get`, `create`, `update`, `patch`, `delete`, `deletecollection`) and this
    /// resource (`leases`, `metricaccesses/status`); `*` is any.
    pub fn on(self, verb: &str, resource: &str) -> Rule {
        Rule { verb: verb.into(), resource: resource.into(), ..Rule::from(self) }
    }

    /// For the next `requests` requests, whatever they are.
    pub fn times(self, requests: u32) -> Rule {
        Rule::from(self).times(requests)
    }
}

impl Rule {
    /// For the next `requests` requests only.
    pub fn times(mut self, requests: u32) -> Rule {
        self.left = Some(requests);
        self
    }

    fn is_for(&self, verb: &str, resource: &str) -> bool {
        let fits = |rule: &str, request: &str| rule == "*" || rule == request;
        fits(&self.verb, verb) && fits(&self.resource, resource) && self.left != Some(0)
    }

    fn cuts_everything(&self) -> bool {
        self.fault == Fault::Refused && self.verb == "*" && self.resource == "*" && self.left.is_none()
    }
}

impl From<Fault> for Rule {
    fn from(fault: Fault) -> Rule {
        Rule { fault, verb: "*".into(), resource: "*".into(), left: None }
    }
}

/// The rules in force; the first that fits a request is its fault.
#[derive(Debug, Default)]
pub(super) struct Faults {
    rules: Vec<(FaultId, Rule)>,
    ids: u64,
}

impl Faults {
    /// Adds a rule.
    pub(super) fn add(&mut self, rule: Rule) -> FaultId {
        self.ids += 1;
        self.rules.push((FaultId(self.ids), rule));
        FaultId(self.ids)
    }

    /// Takes a rule out.
    pub(super) fn lift(&mut self, id: FaultId) {
        self.rules.retain(|(other, _)| *other != id);
    }

    /// Takes all rules out.
    pub(super) fn clear(&mut self) {
        self.rules.clear();
    }

    /// Whether nobody listens at all.
    pub(super) fn is_refusing(&self) -> bool {
        self.rules.iter().any(|(_, rule)| rule.cuts_everything())
    }

    /// The fault of a request, counted.
    pub(super) fn of(&mut self, verb: &str, resource: &str) -> Option<Fault> {
        let (_, rule) = self.rules.iter_mut().find(|(_, rule)| rule.is_for(verb, resource))?;
        rule.left = rule.left.map(|left| left - 1);
        Some(rule.fault.clone())
    }
}

/// What a fault is answered with, where it is an answer.
pub(super) fn answer(fault: &Fault, about: About<'_>) -> Option<Refusal> {
    match fault {
        Fault::Refused | Fault::Slow(_) => None,
        Fault::Unavailable => Some(Refusal::unavailable()),
        Fault::TooManyRequests { retry_after_seconds } => {
            Some(Refusal::too_many_requests(*retry_after_seconds))
        }
        Fault::InternalError => Some(Refusal::internal("Internal error occurred: a fault", "InternalError")),
        Fault::Conflict => Some(Refusal::stale(about)),
        Fault::Forbidden => Some(Refusal::forbidden(about, "a fault")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_for_its_requests_as_often_as_it_says() {
        let mut faults = Faults::default();
        faults.add(Fault::Conflict.on("patch", "leases").times(1));
        let slow = faults.add(Fault::Slow(Duration::from_secs(1)).on("*", "leases"));
        assert_eq!(faults.of("patch", "pods"), None);
        assert_eq!(faults.of("patch", "leases"), Some(Fault::Conflict));
        assert_eq!(faults.of("patch", "leases"), Some(Fault::Slow(Duration::from_secs(1))));
        faults.lift(slow);
        assert_eq!(faults.of("patch", "leases"), None);
    }

    #[test]
    fn only_a_fault_of_everything_closes_the_door() {
        let mut faults = Faults::default();
        faults.add(Fault::Refused.on("watch", "*"));
        assert!(!faults.is_refusing());
        faults.add(Fault::Refused.into());
        assert!(faults.is_refusing());
    }
}
