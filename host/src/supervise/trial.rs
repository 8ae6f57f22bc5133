//! Trial: filters are tried on what the sources have before they replace others.
//!
//! In: filters, configured. Out: whether they got through the newest tick's series. Never: more of them than a sample; a
//! source's failure taken for the filters'.

use std::sync::Arc;

use crate::filter::{self, Moments, Sequence, Window};
use crate::model::{Labels, SourceGroup, Tenant, Tick};
use crate::pipeline::Deps;

/// Series that filters are tried on, of each source group.
const SERIES_MAX: usize = 10_000;

/// Tries `filters` on the newest tick that can be asked for. One source of each group is asked once more than the pipeline
/// asks; where none answers there is nothing to try.
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
    let source = group.sources.first()?;
    let subscription = deps.collector.subscribe(&payer, source, &tenant.selectors, tenant.interval);
    let collected = subscription.at(tick).await.ok()?;
    let step = collected.series.div_ceil(SERIES_MAX).max(1);
    let rows = collected
        .parts
        .iter()
        .flat_map(|part| part.rows().map(|row| (part.catalog().labels(row.series.slot).clone(), row.value)));
    Some(rows.step_by(step).collect())
}
