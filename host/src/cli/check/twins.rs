//! Twins: resources that ask for the same series and would write them to one receiver with the same labels.
//!
//! In: what runs. Out: a warning for each but the oldest of them. Never: a warning about series that only may be the same.

use std::collections::BTreeMap;

use crate::document::{Path, Problem};
use crate::model::conflicts::{conflict_sets, may_collide};
use crate::model::{Endpoint, Receiver, Tenant};
use crate::tenancy::{Review, Tenants};

/// Warnings, each with its place in the younger one's file.
pub(super) fn warnings(reviews: &[Review], tenants: &Tenants) -> Vec<Problem> {
    let running = tenants.running.values().map(|tenant| &**tenant);
    let sets = conflict_sets(running.clone());
    let mut oldest_first: Vec<&Tenant> = running.collect();
    oldest_first.sort_by_key(|tenant| (tenant.since, &tenant.id));
    let mut askers: BTreeMap<(&str, Receiver, String), Vec<&Tenant>> = BTreeMap::new();
    let mut warnings = Vec::new();
    for tenant in oldest_first {
        let places = tenant.endpoints.iter().map(Endpoint::receiver);
        let asked = places.flat_map(|receiver| {
            let selectors = tenant.selectors.iter().map(ToString::to_string);
            selectors.map(move |selector| (receiver.clone(), selector))
        });
        let mut is_told = false;
        for (receiver, selector) in asked {
            let told = format!("{selector} goes to the same place");
            let others = askers.entry((&sets[&tenant.id], receiver, selector)).or_default();
            let older = others.iter().find(|older| older.id != tenant.id && may_collide(older, tenant));
            if let Some(older) = older.filter(|_| !is_told) {
                is_told = true;
                let message = format!(
                    "{told}, with the same labels, as that of {}, and is sent by one of them only",
                    older.id
                );
                let cure = "give each extraLabels of its own, or let one of them have it";
                let problem = Problem::warning(Path::root().keys("spec.remoteWrite"), message, cure);
                let review = reviews.iter().find(|review| review.id.as_ref() == Some(&tenant.id));
                warnings.extend(review.map(|review| review.problem(problem)));
            }
            if others.last().is_none_or(|last| last.id != tenant.id) {
                others.push(tenant);
            }
        }
    }
    warnings
}
