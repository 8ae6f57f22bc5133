//! Metrics: every number Sluice shows about itself, in one registry.
//!
//! In: handles count, one per tenant, source and limit. Out: an exposition.
//! Never: label sets of a tenant or source that is gone, or a name outside this file.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use super::families::{Parts, Sources, Targets, labels};
use super::filters::{FilterMetrics, FilterOwner, Filters};
use super::handles::{Limit, SourceMetrics, TenantMetrics, Usage};
use super::process::Process;
use super::text::{Exposition, classic};
use crate::model::{SourceName, TargetType, TenantId};

/// All metrics; a clone is the same metrics.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    targets: Targets,
    sources: Sources,
    filters: Filters,
    parts: Parts,
    /// Who counts where: label sets go when the last resource with the same namespace and kind of target goes.
    tenants: Mutex<HashMap<TenantId, TargetType>>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// A registry of its own, with the version and the process' numbers in it.
    pub fn new() -> Metrics {
        let mut registry = Registry::default();
        let targets = Targets::register(&mut registry);
        let sources = Sources::register(&mut registry);
        let filters = Filters::register(&mut registry);
        let parts = Parts::register(&mut registry);
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        registry.register("sluice_build", "The running version", Info::new(version));
        registry.register_collector(Box::new(Process::new(SystemTime::now())));
        let tenants = Mutex::default();
        Metrics(Arc::new(Inner { registry, targets, sources, filters, parts, tenants }))
    }

    /// The handle one resource counts with. The `tenant` label is its namespace. Asking again, after a restart or
    /// with another target, continues the same counters where the labels are the same.
    pub fn for_tenant(&self, id: &TenantId, target_type: TargetType) -> TenantMetrics {
        let before = lock(&self.0.tenants).insert(id.clone(), target_type);
        if let Some(before) = before.filter(|before| *before != target_type) {
            self.remove_if_unused(&id.namespace, before);
        }
        TenantMetrics::new(&self.0.targets, id, target_type)
    }

    /// Removes the label sets of a resource that is gone, unless another resource counts under them too.
    pub fn forget(&self, id: &TenantId) {
        let Some(target_type) = lock(&self.0.tenants).remove(id) else { return };
        self.0.targets.remove_resource(id);
        self.0.filters.keep(id, []);
        self.remove_if_unused(&id.namespace, target_type);
    }

    /// The handle one source counts with.
    pub fn for_source(&self, name: &SourceName) -> SourceMetrics {
        SourceMetrics::new(&self.0.sources, name.as_str().into())
    }

    /// Removes the label sets of a source that is gone.
    pub fn forget_source(&self, name: &SourceName) {
        self.0.sources.remove(name.as_str().into());
    }

    /// The handle that one lane counts a filter with.
    pub fn for_filter(&self, owner: FilterOwner<'_>, filter: &str) -> FilterMetrics {
        self.0.filters.of(owner, filter)
    }

    /// Removes the label sets of filters that a resource has no more: all but those named.
    pub fn keep_filters<'a>(&self, id: &TenantId, filters: impl IntoIterator<Item = &'a str>) {
        self.0.filters.keep(id, filters);
    }

    /// Shows what the operator allows a resource; the handle tells how near it comes to that.
    pub fn limit(&self, id: &TenantId, limit: Limit, max: usize) -> Usage {
        let labels = labels::Limit::of(id, limit);
        let targets = &self.0.targets;
        // What is not limited is not shown.
        if max < usize::MAX {
            targets.limit_max.get_or_create(&labels).set(i64::try_from(max).unwrap_or(i64::MAX));
        }
        Usage::new(targets.limit_used.get_or_create_owned(&labels))
    }

    /// How far each resource is behind. One that nobody counts for, because it just ended, is left out.
    pub fn cursor_lags<'a>(&self, lags: impl IntoIterator<Item = (&'a TenantId, Duration)>) {
        let tenants = lock(&self.0.tenants);
        for (id, lag) in lags.into_iter().filter(|(id, _)| tenants.contains_key(*id)) {
            let gauge = self.0.targets.cursor_lag.get_or_create_owned(&labels::Resource::of(id));
            gauge.set(lag.as_secs_f64());
        }
    }

    /// How many ticks each resource is still to send behind newer ones. One that nobody counts for is left out.
    pub fn missed_ticks<'a>(&self, missed: impl IntoIterator<Item = (&'a TenantId, u64)>) {
        let tenants = lock(&self.0.tenants);
        for (id, ticks) in missed.into_iter().filter(|(id, _)| tenants.contains_key(*id)) {
            let gauge = self.0.targets.missed.get_or_create_owned(&labels::Resource::of(id));
            gauge.set(i64::try_from(ticks).unwrap_or(i64::MAX));
        }
    }

    /// How many series of the newest ticks each resource's filters kept and dropped. One that nobody counts for is left out.
    pub fn series<'a>(&self, series: impl IntoIterator<Item = (&'a TenantId, (u64, u64))>) {
        let tenants = lock(&self.0.tenants);
        for (id, (kept, dropped)) in series.into_iter().filter(|(id, _)| tenants.contains_key(*id)) {
            let (labels, targets) = (labels::Resource::of(id), &self.0.targets);
            let set = |gauge: Gauge, count: u64| gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
            set(targets.series_kept.get_or_create_owned(&labels), kept);
            set(targets.series_dropped.get_or_create_owned(&labels), dropped);
        }
    }

    /// How many resources are in each state.
    pub fn tenants_by_state(&self, counts: impl IntoIterator<Item = (&'static str, u64)>) {
        for (state, count) in counts {
            let gauge = self.0.parts.tenants.get_or_create_owned(&labels::State { state });
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// How many resources' cursors there is no room for: after a crash these start at the present.
    pub fn cursors_left_out(&self, count: usize) {
        self.0.parts.cursors_left_out.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// How many Pushgateway groups nobody pushes to any more that this replica is to remove.
    pub fn groups_left(&self, count: usize) {
        self.0.parts.groups_left.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// How many resources are to run and have been run by nobody for longer than a takeover takes.
    pub fn not_running(&self, count: usize) {
        self.0.parts.not_running.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Everything, as text.
    pub fn encode(&self, format: Exposition) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.0.registry)
            .expect("writing to a string does not fail");
        match format {
            Exposition::OpenMetrics => text,
            Exposition::Classic => classic(&text),
        }
    }

    fn remove_if_unused(&self, namespace: &str, target_type: TargetType) {
        let tenants = lock(&self.0.tenants);
        let mut others = tenants.iter().filter(|(id, _)| id.namespace == namespace);
        if !others.any(|(_, kind)| *kind == target_type) {
            self.0.targets.remove_target(namespace, target_type.as_str());
        }
    }
}

/// Counting goes on after a panic elsewhere.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
