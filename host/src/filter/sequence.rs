//! Sequence: one tenant's filters in order, cut where one has to be kept.
//!
//! In: steps. Out: chains of filters without state, and between them each filter that remembers or sees samples. A series
//! that leaves a chain gets a number there, so between two of them the caller has a table. Never: a filter that remembers
//! behind another one's back: each has a table of its own before it.

use std::iter;
use std::sync::Arc;

use super::Error;
use super::chain::Chain;
use super::instance::Tenant;
use super::runtime::Shared;
use super::samples::Window;
use super::slots::Keep;
use super::stateful::Stateful;
use super::step::{Step, Timing};
use super::usage::Usage;
use crate::model::Labels;

/// One tenant's filters.
#[derive(Debug)]
pub struct Sequence {
    /// Those before the first one that is kept; often all of them.
    pub first: Chain,
    /// Each filter that is kept, and those behind it, up to the next one.
    pub then: Vec<(Stateful, Chain)>,
}

impl Sequence {
    /// As long as it `goes_on`, which is asked before every filter that is configured; `None` once it does not.
    pub(super) fn new(
        shared: &Arc<Shared>,
        tenant: &Tenant,
        steps: Vec<Step>,
        keep: Keep,
        goes_on: &dyn Fn() -> bool,
    ) -> Result<Option<Sequence>, Error> {
        let mut steps = steps.into_iter().peekable();
        let mut chain = || {
            let stateless = std::iter::from_fn(|| steps.next_if(|step| !step.module.is_stateful()));
            let chain = Chain::new(shared, tenant.clone(), stateless.collect(), goes_on)?;
            Ok::<_, Error>(chain.map(|chain| (chain, steps.next())))
        };
        let Some((first, mut next)) = chain()? else { return Ok(None) };
        let mut then = Vec::new();
        while let Some(step) = next {
            if !goes_on() {
                return Ok(None);
            }
            let kept = Stateful::new(shared, tenant.clone(), step, keep)?;
            let Some((behind, after)) = chain()? else { return Ok(None) };
            then.push((kept, behind));
            next = after;
        }
        Ok(Some(Sequence { first, then }))
    }

    /// Shows all filters these series, as a tick would, one after the other as long as it `goes_on`. What they make of them is
    /// not told; but whether they came to the end, and none of them was passed over because it failed.
    ///
    /// # Errors
    /// The first filter that fails.
    pub fn try_out(
        &mut self,
        window: Window,
        series: &[(Labels, f64)],
        goes_on: &dyn Fn() -> bool,
    ) -> Result<bool, Error> {
        let timing = Timing { now: window.at, tick: window.at };
        self.first.begin(timing);
        for (filter, behind) in &mut self.then {
            filter.begin(timing);
            behind.begin(timing);
        }
        let Some(mut rows) = tried(&mut self.first, series, goes_on)? else { return Ok(false) };
        for (filter, behind) in &mut self.then {
            let Some(kept) = filter.try_out(window, &rows, goes_on)? else { return Ok(false) };
            let Some(kept) = tried(behind, &kept, goes_on)? else { return Ok(false) };
            rows = kept;
        }
        Ok(self.usage().all(|usage| usage.bypassed == 0))
    }

    fn usage(&self) -> impl Iterator<Item = &Usage> {
        let then =
            self.then.iter().flat_map(|(filter, behind)| iter::once(filter.usage()).chain(behind.usage()));
        self.first.usage().chain(then)
    }
}

/// What a chain leaves of these rows; `None` if it did not go on to the end.
fn tried(
    chain: &mut Chain,
    rows: &[(Labels, f64)],
    goes_on: &dyn Fn() -> bool,
) -> Result<Option<Vec<(Labels, f64)>>, Error> {
    let labels: Vec<&Labels> = rows.iter().map(|(labels, _)| labels).collect();
    let kept = chain.classify_while(&labels, goes_on)?;
    chain.rest();
    let left = |kept: Vec<Option<Labels>>| {
        kept.into_iter().zip(rows).filter_map(|(kept, (_, value))| Some((kept?, *value))).collect()
    };
    Ok(kept.map(left))
}
