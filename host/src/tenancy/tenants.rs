//! Tenants: all resources as they stand beside each other, at one moment.
//!
//! In: judged resources, and how old each is. Out: one snapshot, the same for a folder and for a cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::watch;
use tracing::{info, warn};

use super::Review;
use super::assemble::{Candidate, assemble};
use crate::document::Problem;
use crate::model::{Tenant, TenantId, Timestamp};

/// The tenants that run.
pub type Running = BTreeMap<TenantId, Arc<Tenant>>;

/// Everything that is known of the resources.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tenants {
    /// The resources that run.
    pub running: Arc<Running>,
    /// Valid resources that do not want to run.
    pub disabled: BTreeSet<TenantId>,
    /// Resources that were refused, each with at least one error.
    pub refused: BTreeMap<TenantId, Vec<Problem>>,
    /// What there is to say about resources that were not refused: warnings, and patterns that grant nothing.
    pub remarks: BTreeMap<TenantId, Vec<Problem>>,
    /// Problems of files, and of documents that are no resource.
    pub strays: Vec<Problem>,
}

impl Tenants {
    /// What becomes of these resources together, all of them seen at one moment.
    pub fn of(reviews: &[Review]) -> Tenants {
        // A resource that does not say when it was created counts as new.
        const NOW: Timestamp = Timestamp(i64::MAX);
        let candidates =
            reviews.iter().map(|review| Candidate { review, since: review.created.unwrap_or(NOW) });
        assemble(candidates, &Tenants::default())
    }

    /// The part of it that one replica answers for: it runs those of `runs`, and says what there is to say about the
    /// others of `answers`.
    pub fn part(&self, runs: impl Fn(&TenantId) -> bool, answers: impl Fn(&TenantId) -> bool) -> Tenants {
        let Tenants { running, disabled, refused, remarks, strays } = self;
        let answers = |id: &TenantId| if running.contains_key(id) { runs(id) } else { answers(id) };
        let of = |problems: &BTreeMap<TenantId, Vec<Problem>>| {
            problems.iter().filter(|(id, _)| answers(id)).map(|(id, all)| (id.clone(), all.clone())).collect()
        };
        let own = running.iter().filter(|(id, _)| runs(id)).map(|(id, tenant)| (id.clone(), tenant.clone()));
        Tenants {
            running: Arc::new(own.collect()),
            disabled: disabled.iter().filter(|id| answers(id)).cloned().collect(),
            refused: of(refused),
            remarks: of(remarks),
            strays: strays.clone(),
        }
    }

    /// Every problem of every resource.
    pub fn problems(&self) -> impl Iterator<Item = &Problem> {
        let named = self.refused.values().chain(self.remarks.values()).flatten();
        named.chain(&self.strays)
    }

    /// Logs once what is new since `before`.
    pub(super) fn report_changes_since(&self, before: &Tenants) {
        let known: BTreeSet<String> = before.problems().map(ToString::to_string).collect();
        let is_new = |problem: &&Problem| !known.contains(&problem.to_string());
        for (id, problems) in self.refused.iter().chain(&self.remarks) {
            for problem in problems.iter().filter(is_new) {
                warn!(namespace = %id.namespace, name = %id.name, "{problem}");
            }
        }
        for problem in self.strays.iter().filter(is_new) {
            warn!("{problem}");
        }
        for (id, tenant) in self.running.iter().filter(|(id, tenant)| before.running.get(*id) != Some(tenant))
        {
            info!(namespace = %id.namespace, name = %id.name, target_type = %tenant.target_type, "resource accepted");
        }
        for id in before.running.keys().filter(|id| !self.running.contains_key(*id)) {
            info!(namespace = %id.namespace, name = %id.name, "resource no longer runs");
        }
    }
}

/// What whoever watches the resources publishes.
#[derive(Debug, Clone)]
pub struct Published {
    /// The tenants that run: changes only when one of them does.
    pub running: watch::Receiver<Arc<Running>>,
    /// The same, with everything that is to be said.
    pub tenants: watch::Receiver<Arc<Tenants>>,
}
