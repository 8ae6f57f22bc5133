//! Filters: `/debug/filters`, how far each resource's own filters have come, and what runs in their places.

use serde::Serialize;

use super::health::time;
use crate::status::{FilterReport, FilterStage, Lane, Phase, Snapshot, Stage, TenantStatus};

/// One resource's filters, in their order. Resources without any are not listed.
#[derive(Debug, Serialize)]
pub(super) struct Resource {
    namespace: String,
    name: String,
    filters: Vec<Filter>,
}

/// One filter. The digests are of components; the last good one runs, or ran last.
#[derive(Debug, Serialize)]
struct Filter {
    name: String,
    state: &'static str,
    resolved: Option<String>,
    digest: Option<String>,
    contract: Option<String>,
    last_good_digest: Option<String>,
    last_failure: Option<String>,
    last_failure_at: Option<String>,
}

pub(super) fn report(snapshot: &Snapshot) -> Vec<Resource> {
    snapshot.tenants.iter().filter(|tenant| !tenant.filters.is_empty()).map(Resource::from).collect()
}

/// A word for where a filter of a resource stands.
pub(super) fn state(tenant: &TenantStatus, filter: &FilterReport) -> &'static str {
    let failed_last = matches!(filter.last_failure, Some((FilterStage::Configured, _)));
    match filter.passed {
        _ if filter.failing().is_some() => "failed",
        Some(FilterStage::Configured) => match tenant.phase {
            Phase::Running if failed_last && tenant.lanes.iter().any(fails_in_a_filter) => "failing",
            Phase::Running | Phase::Starting => "ready",
            _ => "stopped",
        },
        _ => "preparing",
    }
}

fn fails_in_a_filter(lane: &Lane) -> bool {
    let is_filters = lane.last_error.as_ref().is_some_and(|failure| failure.stage == Stage::Filter);
    lane.bypassed.is_some() || (is_filters && lane.consecutive_failures > 0)
}

impl From<&TenantStatus> for Resource {
    fn from(tenant: &TenantStatus) -> Resource {
        let told = |filter: &FilterReport| Filter::of(state(tenant, filter), filter.clone());
        let filters = tenant.filters.iter().map(told).collect();
        Resource { namespace: tenant.id.namespace.clone(), name: tenant.id.name.clone(), filters }
    }
}

impl Filter {
    fn of(state: &'static str, filter: FilterReport) -> Filter {
        let FilterReport { name, resolved, digest, contract, last_good, last_failure, passed: _ } = filter;
        let (last_failure, last_failure_at) =
            last_failure.map(|(_, failure)| (failure.message, time(failure.at))).unzip();
        let last_good_digest = last_good;
        Filter { name, state, resolved, digest, contract, last_good_digest, last_failure, last_failure_at }
    }
}
