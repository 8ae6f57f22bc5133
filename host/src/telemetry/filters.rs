//! Filters: what is counted of filters. Those that come with every chain are counted for the whole; a team's own for its
//! resource, and go with it.
//!
//! In: what a filter has done so far. Out: counters. Never: label sets of a filter that its resource has no more: their names are
//! tenants' to choose.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, LabelSetEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::families::{Registrar, SecondsSpent};
use crate::model::TenantId;

/// A resource's filter; or one of every chain, which has no tenant and no resource.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Labels {
    resource: Option<[Arc<str>; 2]>,
    filter: Arc<str>,
}

/// A label with one of a few words.
type Word = [(&'static str, &'static str); 1];

impl EncodeLabelSet for Labels {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), std::fmt::Error> {
        if let Some([tenant, resource]) = &self.resource {
            [("tenant", &**tenant), ("resource", &**resource)].encode(encoder)?;
        }
        [("filter", &*self.filter)].encode(encoder)
    }
}

impl Labels {
    fn of(id: &TenantId, filter: &Arc<str>) -> Labels {
        let resource = [id.namespace.as_str().into(), id.name.as_str().into()];
        Labels { resource: Some(resource), filter: filter.clone() }
    }

    fn with(&self, name: &'static str, word: &'static str) -> (Labels, Word) {
        (self.clone(), [(name, word)])
    }
}

/// Whose a filter is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FilterOwner<'a> {
    /// It is in every chain; what it does is counted for all resources together, what it fails to do for this one.
    Everyone(&'a TenantId),
    /// It is this resource's own.
    Resource(&'a TenantId),
}

/// What a filter has done since it was made. Everything only grows, but for the memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FilterWork {
    /// Series it was asked about, and the time that took.
    pub classified: (u64, Duration),
    /// Samples it was shown, and the time that took.
    pub processed: (u64, Duration),
    /// Series it kept as they were, kept with other labels, and dropped.
    pub series: [u64; 3],
    /// Samples it kept as they were, changed, dropped, and added.
    pub samples: [u64; 4],
    /// Calls that trapped, that did not end in time, that the filter refused, and whose answers broke the contract.
    pub failed: [u64; 4],
    /// Series and samples that went past it because it failed.
    pub bypassed: u64,
    /// Instances made.
    pub instances: u64,
    /// Instances lost to a failure.
    pub restarts: u64,
    /// The most memory an instance has had, in bytes.
    pub memory_bytes_peak: usize,
}

/// The labels with few words, and the words.
const CALL: &str = "call";
const RESULT: &str = "result";
const REASON: &str = "reason";
const CALLS: [&str; 2] = ["classify", "process"];
const OF_SERIES: [&str; 3] = ["kept", "rewritten", "dropped"];
const OF_SAMPLES: [&str; 4] = ["kept", "changed", "dropped", "added"];
const REASONS: [&str; 4] = ["trap", "deadline", "refused", "nonsense"];

/// The families, and which label sets there are.
pub(super) struct Filters {
    rows: Family<(Labels, Word), Counter>,
    busy: Family<(Labels, Word), SecondsSpent>,
    traps: Family<(Labels, Word), Counter>,
    series: Family<(Labels, Word), Counter>,
    samples: Family<(Labels, Word), Counter>,
    bypassed: Family<Labels, Counter>,
    instances: Family<Labels, Counter>,
    restarts: Family<Labels, Counter>,
    memory: Family<Labels, Gauge>,
    known: Mutex<HashMap<TenantId, BTreeSet<Arc<str>>>>,
}

/// One filter's counters in one lane.
#[derive(Debug)]
pub struct FilterMetrics {
    rows: [Counter; 2],
    busy: [SecondsSpent; 2],
    traps: [Counter; 4],
    own: Option<Own>,
    counted: FilterWork,
}

/// What is counted of a team's own only.
#[derive(Debug)]
struct Own {
    series: [Counter; 3],
    samples: [Counter; 4],
    bypassed: Counter,
    instances: Counter,
    restarts: Counter,
    memory: Gauge,
}

impl Filters {
    #[rustfmt::skip] // one metric a line, as a table
    pub(super) fn register(registry: &mut Registry) -> Filters {
        let mut r = Registrar(registry);
        Filters {
            rows: r.add("sluice_filter_rows", "Series (classify) or samples (process) that went into a filter"),
            busy: r.add_in(Unit::Seconds, "sluice_filter_busy", "Time spent inside a filter", Family::default()),
            traps: r.add("sluice_filter_traps", "Calls of a filter that failed: a trap, a missed deadline, a refused batch or nonsense"),
            series: r.add("sluice_filter_series", "What a resource's own filter made of series it was asked about: kept, rewritten or dropped"),
            samples: r.add("sluice_filter_samples", "What a resource's own filter made of samples: kept, changed, dropped or added"),
            bypassed: r.add("sluice_filter_bypassed", "Series and samples that went past a resource's own filter because it failed and may be ignored"),
            instances: r.add("sluice_filter_instances", "Instances made of a resource's own filter; one that remembers needs one until it fails"),
            restarts: r.add("sluice_filter_restarts", "Instances of a resource's own filter that were lost because it failed, with all that it remembered"),
            memory: r.add_in(Unit::Bytes, "sluice_filter_memory_peak", "The most memory an instance of a resource's own filter has had", Family::default()),
            known: Mutex::default(),
        }
    }

    /// The handle that one lane counts a filter with.
    pub(super) fn of(&self, owner: FilterOwner<'_>, filter: &str) -> FilterMetrics {
        let (FilterOwner::Everyone(id) | FilterOwner::Resource(id)) = owner;
        let filter: Arc<str> = filter.into();
        self.lock().entry(id.clone()).or_default().insert(filter.clone());
        let of_resource = Labels::of(id, &filter);
        let of_everyone = Labels { resource: None, filter };
        let own = matches!(owner, FilterOwner::Resource(_)).then(|| self.own(&of_resource));
        let labels = if own.is_some() { &of_resource } else { &of_everyone };
        FilterMetrics {
            rows: CALLS.map(|call| self.rows.get_or_create_owned(&labels.with(CALL, call))),
            busy: CALLS.map(|call| self.busy.get_or_create_owned(&labels.with(CALL, call))),
            traps: REASONS.map(|reason| self.traps.get_or_create_owned(&of_resource.with(REASON, reason))),
            own,
            counted: FilterWork::default(),
        }
    }

    fn own(&self, labels: &Labels) -> Own {
        Own {
            series: OF_SERIES.map(|result| self.series.get_or_create_owned(&labels.with(RESULT, result))),
            samples: OF_SAMPLES.map(|result| self.samples.get_or_create_owned(&labels.with(RESULT, result))),
            bypassed: self.bypassed.get_or_create_owned(labels),
            instances: self.instances.get_or_create_owned(labels),
            restarts: self.restarts.get_or_create_owned(labels),
            memory: self.memory.get_or_create_owned(labels),
        }
    }

    /// Removes the label sets of filters that a resource has no more: all but those named.
    pub(super) fn keep<'a>(&self, id: &TenantId, filters: impl IntoIterator<Item = &'a str>) {
        let mut known = self.lock();
        let Some(names) = known.get_mut(id) else { return };
        let kept: BTreeSet<&str> = filters.into_iter().collect();
        names.retain(|filter| {
            let stays = kept.contains(&**filter);
            if !stays {
                self.remove(id, filter);
            }
            stays
        });
        if names.is_empty() {
            known.remove(id);
        }
    }

    fn remove(&self, id: &TenantId, filter: &Arc<str>) {
        let labels = Labels::of(id, filter);
        for call in CALLS {
            self.rows.remove(&labels.with(CALL, call));
            self.busy.remove(&labels.with(CALL, call));
        }
        for reason in REASONS {
            self.traps.remove(&labels.with(REASON, reason));
        }
        for result in OF_SERIES {
            self.series.remove(&labels.with(RESULT, result));
        }
        for result in OF_SAMPLES {
            self.samples.remove(&labels.with(RESULT, result));
        }
        self.bypassed.remove(&labels);
        self.instances.remove(&labels);
        self.restarts.remove(&labels);
        self.memory.remove(&labels);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TenantId, BTreeSet<Arc<str>>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FilterMetrics {
    /// Counts what came to what was counted before.
    pub fn count(&mut self, now: FilterWork) {
        let before = std::mem::replace(&mut self.counted, now);
        if now == before {
            return;
        }
        let calls = [(now.classified, before.classified), (now.processed, before.processed)];
        for ((rows, busy), (now, before)) in self.rows.iter().zip(&self.busy).zip(calls) {
            rows.inc_by(now.0.saturating_sub(before.0));
            busy.inc_by(now.1.saturating_sub(before.1).as_secs_f64());
        }
        grow(&self.traps, now.failed, before.failed);
        let Some(own) = &self.own else { return };
        grow(&own.series, now.series, before.series);
        grow(&own.samples, now.samples, before.samples);
        own.bypassed.inc_by(now.bypassed.saturating_sub(before.bypassed));
        own.instances.inc_by(now.instances.saturating_sub(before.instances));
        own.restarts.inc_by(now.restarts.saturating_sub(before.restarts));
        own.memory.set(i64::try_from(now.memory_bytes_peak).unwrap_or(i64::MAX));
    }
}

fn grow<const N: usize>(counters: &[Counter; N], now: [u64; N], before: [u64; N]) {
    for (counter, (now, before)) in counters.iter().zip(now.iter().zip(before)) {
        counter.inc_by(now.saturating_sub(before));
    }
}
