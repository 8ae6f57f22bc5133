//! Filters: `/debug/filters`, how far each resource's own filters have come, and what runs in their places.

use serde::Serialize;

use super::health::time;
use crate::status::{FilterReport, FilterStage, Snapshot, TenantStatus};

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

/// A word for where a filter stands.
pub(super) fn state(filter: &FilterReport) -> &'static str {
    match filter.passed {
        _ if filter.failing().is_some() => "failed",
        Some(FilterStage::Configured) => "ready",
        _ => "preparing",
    }
}

impl From<&TenantStatus> for Resource {
    fn from(tenant: &TenantStatus) -> Resource {
        let filters = tenant.filters.iter().cloned().map(Filter::from).collect();
        Resource { namespace: tenant.id.namespace.clone(), name: tenant.id.name.clone(), filters }
    }
}

impl From<FilterReport> for Filter {
    fn from(filter: FilterReport) -> Filter {
        let state = state(&filter);
        let FilterReport { name, resolved, digest, contract, last_good, last_failure, passed: _ } = filter;
        let (last_failure, last_failure_at) =
            last_failure.map(|(_, failure)| (failure.message, time(failure.at))).unzip();
        let last_good_digest = last_good;
        Filter { name, state, resolved, digest, contract, last_good_digest, last_failure, last_failure_at }
    }
}
