//! Trial: filters are tried on what the sources have before they replace others.
//!
//! In: modules, and how they are configured. Out: whether they take that, and got through the series of the newest tick that has any. Never: more of them than a sample; a
//! source's failure taken for the filters'.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

use super::workshop::Lanes;
use crate::background;
use crate::collect::{Collected, Subscription};
use crate::filter::{self, Module, Moments, Window};
use crate::model::{Labels, Mode, SourceGroup, Standing, Tenant, Tick};
use crate::pipeline::{self, Deps};

/// Series that filters are tried on, of all source groups together.
const SERIES_MAX: usize = 10_000;
/// Their labels, those that are stamped on them included, in bytes: nobody's account pays for a trial.
const BYTES_MAX: usize = 8 << 20;
/// Of so many tenants at once there are series that wait for their trial. A slow source keeps those waiting who ask it.
const SAMPLED_AT_ONCE_MAX: usize = 16;

/// Ticks that are looked at for series: a scrape may just have failed.
const TICKS_MAX: usize = 3;

/// So many tenants' filters at once: what a trial keeps comes out of what is left for filters without state.
const AT_ONCE_MAX: usize = 4;
/// So many tenants' filters are configured at once: each has a thread.
const FITTED_AT_ONCE_MAX: usize = 64;
/// How long a trial goes on to the next filter, to configure it or to call it. Those that are not reached by then are tried by the pipeline.
const TIME_MAX: Duration = Duration::from_secs(10);

/// Where filters are tried and configured: of each namespace one resource's at a time, so that no namespace waits for
/// another's whole list.
#[derive(Debug)]
pub(super) struct Trials {
    tried: Lanes<String>,
    sampled_at_once: Semaphore,
    tried_at_once: Arc<Semaphore>,
    fitted: Lanes<String>,
    fitted_at_once: Arc<Semaphore>,
}

/// The right to call guests, of one namespace. It goes where the work goes, which ends when it ends, whoever still waits for it.
#[derive(Debug)]
pub(super) struct Turn {
    _namespace: OwnedMutexGuard<()>,
    _machine: OwnedSemaphorePermit,
}

impl Turn {
    async fn of(own: OwnedMutexGuard<()>, at_once: &Arc<Semaphore>) -> Turn {
        let machine = at_once.clone().acquire_owned().await;
        Turn { _namespace: own, _machine: machine.expect("the semaphore is never closed") }
    }
}

impl Trials {
    pub(super) fn new() -> Trials {
        let semaphore = |max| Arc::new(Semaphore::new(max));
        Trials {
            tried: Lanes::default(),
            sampled_at_once: Semaphore::new(SAMPLED_AT_ONCE_MAX),
            tried_at_once: semaphore(AT_ONCE_MAX),
            fitted: Lanes::default(),
            fitted_at_once: semaphore(FITTED_AT_ONCE_MAX),
        }
    }

    /// A namespace's turn to configure filters.
    pub(super) async fn fitting(&self, namespace: &str) -> Turn {
        let own = self.fitted.enter(namespace.to_owned()).await;
        Turn::of(own, &self.fitted_at_once).await
    }

    /// Whether a tenant's filters, whose own ones are `modules`, take their configurations.
    pub(super) async fn configure(
        &self,
        deps: &Arc<Deps>,
        tenant: &Arc<Tenant>,
        modules: &[Module],
    ) -> Result<(), filter::Error> {
        let own = self.tried.enter(tenant.id.namespace.clone()).await;
        self.tried(deps, tenant, modules, Vec::new(), own).await.map(drop)
    }

    /// Tries a tenant's filters on the newest tick that can be asked for. The sources of each group, which are replicas, are asked
    /// one after the other until one answers, those in good health first. Whether all of them went well, on something of every group.
    pub(super) async fn run(
        &self,
        deps: &Arc<Deps>,
        tenant: &Arc<Tenant>,
        groups: &[SourceGroup],
        modules: &[Module],
    ) -> Result<bool, filter::Error> {
        // One resource's of the namespace at a time, and few of all: nobody's account pays for them.
        let own = self.tried.enter(tenant.id.namespace.clone()).await;
        let _some = self.sampled_at_once.acquire().await.expect("the semaphore is never closed");
        let mut samples = Vec::new();
        for group in groups {
            samples.extend(sample(deps, tenant, group, groups.len()).await);
        }
        if samples.is_empty() {
            return Ok(false);
        }
        let of_all = samples.len() == groups.len() && samples.iter().all(|(_, series)| !series.is_empty());
        Ok(self.tried(deps, tenant, modules, samples, own).await? && of_all)
    }

    async fn tried(
        &self,
        deps: &Arc<Deps>,
        tenant: &Arc<Tenant>,
        modules: &[Module],
        samples: Vec<(Tick, Vec<(Labels, f64)>)>,
        own: OwnedMutexGuard<()>,
    ) -> Result<bool, filter::Error> {
        let turn = Turn::of(own, &self.tried_at_once).await;
        let (deps, tenant, modules) = (deps.clone(), tenant.clone(), modules.to_vec());
        // Nobody waits any more once this future is gone.
        let (waiting, waited) = (Arc::new(()), Instant::now());
        let waits = Arc::downgrade(&waiting);
        let trying = move || {
            let _turn = turn;
            let goes_on = || waits.strong_count() > 0 && waited.elapsed() < TIME_MAX;
            let filters = pipeline::for_trial(&deps.runtime, &deps.memory, &tenant, &modules, &goes_on)?;
            let Some(mut filters) = filters else { return Ok(false) };
            let mut well = true;
            for (tick, series) in samples {
                if !goes_on() {
                    return Ok(false);
                }
                let at = tick.timestamp();
                let window =
                    Window { since: at.minus(tenant.interval.duration()), at, moments: Moments::Tick };
                well &= filters.try_out(window, &series, &goes_on)?;
            }
            Ok(well)
        };
        let tried = background::spawn(trying).await;
        drop(waiting);
        match tried {
            // Beside what runs there is no room to try them, so the pipeline is where they are tried.
            Some(Err(filter::Error::Full { .. })) => Ok(false),
            // A panic is no fault of the filters'; the pipeline will say what it is.
            None => Ok(false),
            Some(tried) => tried,
        }
    }
}

/// Some of the series that a group has at the newest tick at which it has any, spread over all of them; `None` if no source
/// answers.
async fn sample(
    deps: &Arc<Deps>,
    tenant: &Arc<Tenant>,
    group: &SourceGroup,
    groups: usize,
) -> Option<(Tick, Vec<(Labels, f64)>)> {
    let newest = Tick::at_or_before((deps.now)().minus(group.lag()), tenant.interval);
    let ticks = std::iter::successors(Some(newest), |tick| Some(tick.previous(tenant.interval)));
    let subscriptions = subscriptions(deps, tenant, group);
    let mut answer = None;
    for tick in ticks.take(TICKS_MAX) {
        let collected = answer_of(&subscriptions, tick).await?;
        let has_any = collected.series > 0;
        answer = Some((tick, collected));
        if has_any {
            break;
        }
    }
    answer.map(|(tick, collected)| (tick, spread(tenant, &collected, groups)))
}

/// One for each source of the group, those in good health first.
fn subscriptions(deps: &Deps, tenant: &Tenant, group: &SourceGroup) -> Vec<Subscription> {
    let payer = deps.memory.payer(&tenant.id.namespace, tenant.limits.memory_max);
    let subscribe =
        |source| deps.collector.subscribe(&payer, source, &tenant.selectors, tenant.interval, Mode::Sampled);
    let mut subscriptions: Vec<_> = group.sources.iter().map(subscribe).collect();
    subscriptions.sort_by_key(|subscription| subscription.standing() != Standing::Preferred);
    subscriptions
}

async fn answer_of(subscriptions: &[Subscription], tick: Tick) -> Option<Collected> {
    for subscription in subscriptions {
        if let Ok(collected) = subscription.at(tick, 0).await {
            return Some(collected);
        }
    }
    None
}

/// As many as are one group's of so many.
fn spread(tenant: &Tenant, collected: &Collected, groups: usize) -> Vec<(Labels, f64)> {
    let stamps: usize = tenant.stamps.labels.iter().map(|(name, value)| name.len() + value.len()).sum();
    let mut bytes = 0;
    let fits = |(labels, _): &(Labels, f64)| {
        bytes += labels.text_bytes() + stamps;
        bytes <= BYTES_MAX / groups
    };
    let step = collected.series.div_ceil((SERIES_MAX / groups).max(1)).max(1);
    let rows = collected
        .parts
        .iter()
        .flat_map(|part| part.rows().map(|row| (part.catalog().labels(row.series.slot).clone(), row.value)));
    rows.step_by(step).take_while(fits).collect()
}
