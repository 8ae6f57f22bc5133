//! Assembling: from judged resources to one snapshot in which no two of them are in each other's way.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::tenants::{Running, Tenants};
use super::{Outcome, Review};
use crate::document::{Blame, Path, Problem};
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
    let mut endpoints = BTreeMap::new();
    for Candidate { review, since } in candidates {
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
            Outcome::Run(tenant) => {
                let problem = too_many_endpoints(id, tenant, review, &mut endpoints)
                    .or_else(|| same_group(id, tenant, review, &mut groups));
                if let Some(problem) = problem {
                    problems.push(problem);
                    next.refused.insert(id.clone(), problems);
                    continue;
                }
                *endpoints.entry(&id.namespace).or_default() += tenant.endpoints.len();
                let tenant = Tenant { since, ..(**tenant).clone() };
                running.insert(id.clone(), kept_or_new(tenant, last));
            }
        }
        if !problems.is_empty() {
            next.remarks.insert(id.clone(), problems);
        }
    }
    next.running = if *last.running == running { Arc::clone(&last.running) } else { Arc::new(running) };
    next
}

fn kept_or_new(tenant: Tenant, last: &Tenants) -> Arc<Tenant> {
    match last.running.get(&tenant.id) {
        Some(known) if **known == tenant => Arc::clone(known),
        _ => Arc::new(tenant),
    }
}

/// A namespace has room for so many endpoints; who came first has them.
fn too_many_endpoints<'a>(
    id: &'a TenantId,
    tenant: &Tenant,
    review: &Review,
    endpoints: &mut BTreeMap<&'a String, usize>,
) -> Option<Problem> {
    let (own, most) = (tenant.endpoints.len(), review.endpoints_max);
    let older = endpoints.get(&id.namespace).copied().unwrap_or(0);
    if older + own <= most {
        return None;
    }
    let message = format!(
        "{own} endpoints, with {older} of older resources in {}, are more than {most} (limits.maxEndpoints)",
        id.namespace
    );
    let cure = "remove a resource, or ask the operator to allow more";
    let problem = Problem::error(Path::root().keys("spec.remoteWrite"), message, cure);
    Some(review.problem(problem.blamed_on(Blame::Operator)))
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
            let problem = Problem::error(path, message, "give one of them another name");
            Some(review.problem(problem.blamed_on(Blame::Rival)))
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
        let problem = Problem::error(path, message, "write another jobName");
        return Some(review.problem(problem.blamed_on(Blame::Rival)));
    }
    groups.extend(keys.into_iter().map(|key| (key, id)));
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tenancy::policy::Effective;
    use crate::tenancy::secrets::Unchecked;

    fn review(name: &str, namespace: &str, port: u16, endpoints_max: usize) -> Review {
        let text = format!(
            "apiVersion: observability.ethos.io/v1alpha1\nkind: MetricAccess\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {{source: s, metrics: [up], remoteWrite: {{enabled: true, target: {{type: remote_write}}, remoteWrite: {{url: 'http://127.0.0.1:{port}/'}}}}}}\n"
        );
        let resources = crate::tenancy::read(&std::path::Path::new("a.yaml").into(), &text).unwrap();
        Review::of(&resources[0], &Effective { endpoints_max, ..Effective::default() }, &Unchecked)
    }

    #[test]
    fn beyond_a_namespaces_endpoints_the_youngest_resources_are_refused() {
        let reviews = [
            (review("young", "a", 1, 2), 30),
            (review("old", "a", 2, 2), 10),
            (review("middle", "a", 3, 2), 20),
            (review("other", "b", 4, 2), 40),
        ];
        let since = |millis: &i64| Timestamp(*millis);
        let candidates = || reviews.iter().map(|(review, at)| Candidate { review, since: since(at) });
        let tenants = assemble(candidates(), &Tenants::default());
        let running: Vec<_> =
            tenants.running.iter().map(|(id, tenant)| (&*id.name, tenant.since.0)).collect();
        assert_eq!(running, [("middle", 20), ("old", 10), ("other", 40)]);
        let refused: Vec<_> =
            tenants.refused.iter().map(|(id, all)| (&*id.name, all[0].to_string())).collect();
        assert_eq!(refused.len(), 1);
        assert_eq!(refused[0].0, "young");
        assert_eq!(
            refused[0].1,
            "a.yaml:4: spec.remoteWrite: 1 endpoints, with 2 of older resources in a, are more than 2 (limits.maxEndpoints); remove a resource, or ask the operator to allow more"
        );
        // Room that an older one leaves is taken by the next.
        let without_old = candidates().filter(|candidate| candidate.since != Timestamp(10));
        assert!(assemble(without_old, &tenants).refused.is_empty());
    }
}
