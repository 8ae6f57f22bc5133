//! Trial: filters are tried on what the sources have before they replace others.
//!
//! In: filters, configured. Out: whether they got through the newest tick's series. Never: more of them than a sample; a
//! source's failure taken for the filters'.

use std::sync::Arc;

use crate::filter::{self, Moments, Sequence, Window};
use crate::model::{Labels, SourceGroup, Standing, Tenant, Tick};
use crate::pipeline::Deps;

/// Series that filters are tried on, of each source group.
const SERIES_MAX: usize = 10_000;
/// Their labels, those that are stamped on them included, in bytes: nobody's account pays for a trial.
const BYTES_MAX: usize = 8 << 20;

/// Tries `filters` on the newest tick that can be asked for. The sources of each group, which are replicas, are asked one after
/// the other until one answers, those in good health first; where none does there is nothing to try.
pub(super) async fn run(
    deps: &Arc<Deps>,
    tenant: &Arc<Tenant>,
    groups: &[SourceGroup],
    mut filters: Sequence,
) -> Result<(), filter::Error> {
    for group in groups {
        let newest = (deps.now)().minus(group.lag());
        let tick = Tick::at_or_before(newest, tenant.interval);
        let Some(series) = sample(deps, tenant, group, tick).await else { continue };
        let at = tick.timestamp();
        let window = Window { since: at.minus(tenant.interval.duration()), at, moments: Moments::Tick };
        let tried = tokio::task::spawn_blocking(move || {
            let tried = filters.try_out(window, &series);
            (filters, tried)
        });
        // A panic is no fault of the filters'; the pipeline will say what it is.
        let Ok((back, tried)) = tried.await else { return Ok(()) };
        tried?;
        filters = back;
    }
    Ok(())
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
