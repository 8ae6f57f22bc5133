//! Assembling: from judged resources to one snapshot in which no two of them are in each other's way.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::tenants::{Running, Tenants};
use super::{Outcome, Review};
use crate::document::{Path, Problem};
use crate::model::{Endpoint, Tenant, TenantId, Timestamp};

/// A judged resource, and how old it is.
pub(super) struct Candidate<'a> {
    pub(super) review: &'a Review,
    /// Its creation if it says so, else when it was first seen.
    pub(super) since: Timestamp,
}

/// Of two resources with one name, or with one Pushgateway group, the younger is refused: who was there first must
/// not lose anything to who comes later. Candidates of one age keep their order. `last` gives unchanged tenants the
/// very same `Arc`.
pub(super) fn assemble<'a>(candidates: impl Iterator<Item = Candidate<'a>>, last: &Tenants) -> Tenants {
    let mut candidates: Vec<_> = candidates.collect();
    candidates.sort_by_key(|candidate| candidate.since);
    let mut next = Tenants::default();
    let mut running = Running::new();
    let mut taken = BTreeMap::new();
    let mut groups = BTreeMap::new();
    for Candidate { review, .. } in candidates {
        let Some(id) = &review.id else {
            next.strays.extend(review.problems.iter().cloned());
            continue;
        };
        if let Some(problem) = same_name(id, review, &mut taken) {
            next.strays.push(problem);
            continue;
        }
        let mut problems = review.problems.clone();
        match &review.outcome {
            Outcome::Refused => {
                next.refused.insert(id.clone(), problems);
                continue;
            }
            Outcome::Disabled => {
                next.disabled.insert(id.clone());
            }
            Outcome::Run(tenant) => match same_group(id, tenant, review, &mut groups) {
                Some(problem) => {
                    problems.push(problem);
                    next.refused.insert(id.clone(), problems);
                    continue;
                }
                None => {
                    running.insert(id.clone(), kept_or_new(tenant, last));
                }
            },
        }
        if !problems.is_empty() {
            next.remarks.insert(id.clone(), problems);
        }
    }
    next.running = if *last.running == running { Arc::clone(&last.running) } else { Arc::new(running) };
    next
}

fn kept_or_new(tenant: &Tenant, last: &Tenants) -> Arc<Tenant> {
    match last.running.get(&tenant.id) {
        Some(known) if **known == *tenant => Arc::clone(known),
        _ => Arc::new(tenant.clone()),
    }
}

/// Each name once.
fn same_name<'a>(
    id: &'a TenantId,
    review: &'a Review,
    taken: &mut BTreeMap<&'a TenantId, &'a Review>,
) -> Option<Problem> {
    match taken.entry(id) {
        Entry::Vacant(free) => {
            free.insert(review);
            None
        }
        Entry::Occupied(older) => {
            let message = format!("{id} is also defined in {}, and that one is older", older.get().origin());
            let path = Path::root().keys("metadata.name");
            Some(review.problem(Problem::error(path, message, "give one of them another name")))
        }
    }
}

/// Each Pushgateway group once: every push replaces the whole group.
fn same_group<'a>(
    id: &'a TenantId,
    tenant: &Tenant,
    review: &Review,
    groups: &mut BTreeMap<String, &'a TenantId>,
) -> Option<Problem> {
    let keys: BTreeSet<String> = tenant
        .endpoints
        .iter()
        .filter(|e| matches!(e, Endpoint::Pushgateway(_)))
        .map(Endpoint::key)
        .collect();
    if let Some(older) = keys.iter().find_map(|key| groups.get(key)) {
        let message =
            format!("{older} pushes to the same group and is older; each push would erase the other's");
        let path = Path::root().keys("spec.remoteWrite");
        return Some(review.problem(Problem::error(path, message, "write another jobName")));
    }
    groups.extend(keys.into_iter().map(|key| (key, id)));
    None
}
