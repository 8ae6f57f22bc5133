//! Trial: filters are tried on what the sources have before they replace others.
//!
//! In: modules, and how they are configured. Out: whether they take that, and got through the newest tick's series. Never: more of them than a sample; a
//! source's failure taken for the filters'.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedMutexGuard, Semaphore};

use super::workshop::Lanes;
use crate::filter::{self, Module, Moments, Window};
use crate::model::{Labels, SourceGroup, Standing, Tenant, Tick};
use crate::pipeline::{self, Deps};

/// Series that filters are tried on, of each source group.
const SERIES_MAX: usize = 10_000;
/// Their labels, those that are stamped on them included, in bytes: nobody's account pays for a trial.
const BYTES_MAX: usize = 8 << 20;

/// So many tenants' filters at once: what a trial keeps comes out of what is left for filters without state.
const AT_ONCE_MAX: usize = 4;
/// How long a trial goes on to the next filter. Those that are not reached by then are tried by the pipeline.
const TIME_MAX: Duration = Duration::from_secs(10);

/// Where filters are tried and configured: of each namespace one resource's at a time, so that no namespace waits for
/// another's whole list.
#[derive(Debug)]
pub(super) struct Trials {
    namespaces: Lanes<String>,
    at_once: Arc<Semaphore>,
}

impl Trials {
    pub(super) fn new() -> Trials {
        Trials { namespaces: Lanes::default(), at_once: Arc::new(Semaphore::new(AT_ONCE_MAX)) }
    }

    /// A namespace's own turn. It goes where the work goes, which ends when it ends, whoever still waits for it.
    pub(super) async fn turn(&self, namespace: &str) -> OwnedMutexGuard<()> {
        self.namespaces.enter(namespace.to_owned()).await
    }

    /// Tries a tenant's filters, whose own ones are `modules`: whether they take their configurations, and then the newest tick
    /// that can be asked for. The sources of each group, which are replicas, are asked one after the other until one answers, those
    /// in good health first; where none does there is nothing more to try.
    pub(super) async fn run(
        &self,
        deps: &Arc<Deps>,
        tenant: &Arc<Tenant>,
        groups: &[SourceGroup],
        modules: &[Module],
    ) -> Result<(), filter::Error> {
        // A mistake in a configuration waits for no source, and a slow source keeps nobody's trial waiting.
        self.tried(deps, tenant, modules, Vec::new()).await?;
        let mut samples = Vec::new();
        for group in groups {
            let tick = Tick::at_or_before((deps.now)().minus(group.lag()), tenant.interval);
            samples.extend(sample(deps, tenant, group, tick).await.map(|series| (tick, series)));
        }
        if samples.is_empty() {
            return Ok(());
        }
        self.tried(deps, tenant, modules, samples).await
    }

    async fn tried(
        &self,
        deps: &Arc<Deps>,
        tenant: &Arc<Tenant>,
        modules: &[Module],
        samples: Vec<(Tick, Vec<(Labels, f64)>)>,
    ) -> Result<(), filter::Error> {
        let own = self.turn(&tenant.id.namespace).await;
        let turn = self.at_once.clone().acquire_owned().await.expect("the semaphore is never closed");
        let (deps, tenant, modules) = (deps.clone(), tenant.clone(), modules.to_vec());
        // Nobody waits any more once this future is gone.
        let (waiting, waited) = (Arc::new(()), Instant::now());
        let waits = Arc::downgrade(&waiting);
        let trying = move || {
            let _turns = (own, turn);
            let goes_on = || waits.strong_count() > 0 && waited.elapsed() < TIME_MAX;
            let mut filters = pipeline::for_trial(&deps.runtime, &tenant, &modules)?;
            for (tick, series) in samples {
                let at = tick.timestamp();
                let window =
                    Window { since: at.minus(tenant.interval.duration()), at, moments: Moments::Tick };
                filters.try_out(window, &series, goes_on)?;
            }
            Ok(())
        };
        // A panic is no fault of the filters'; the pipeline will say what it is.
        let tried = tokio::task::spawn_blocking(trying).await.unwrap_or(Ok(()));
        drop(waiting);
        tried
    }
}

/// Some of the series that a group has at `tick`, spread over all of them; `None` if no source answers.
async fn sample(
    deps: &Arc<Deps>,
    tenant: &Arc<Tenant>,
    group: &SourceGroup,
    tick: Tick,
) -> Option<Vec<(Labels, f64)>> {
    let payer = deps.memory.payer(&tenant.id.namespace, tenant.limits.memory_max);
    let subscribe = |source| deps.collector.subscribe(&payer, source, &tenant.selectors, tenant.interval);
    let mut subscriptions: Vec<_> = group.sources.iter().map(subscribe).collect();
    subscriptions.sort_by_key(|subscription| subscription.standing() != Standing::Preferred);
    let mut newest = None;
    for subscription in subscriptions {
        newest = subscription.at(tick).await.ok();
        if newest.is_some() {
            break;
        }
    }
    let collected = newest?;
    let stamps: usize = tenant.stamps.labels.iter().map(|(name, value)| name.len() + value.len()).sum();
    let mut bytes = 0;
    let fits = |(labels, _): &(Labels, f64)| {
        bytes += labels.text_bytes() + stamps;
        bytes <= BYTES_MAX
    };
    let step = collected.series.div_ceil(SERIES_MAX).max(1);
    let rows = collected
        .parts
        .iter()
        .flat_map(|part| part.rows().map(|row| (part.catalog().labels(row.series.slot).clone(), row.value)));
    Some(rows.step_by(step).take_while(fits).collect())
}
