//! Sequence: one tenant's filters in order, cut where one has to be kept.
//!
//! In: steps. Out: chains of filters without state, and between them each filter that remembers or sees samples. A series
//! that leaves a chain gets a number there, so between two of them the caller has a table. Never: a filter that remembers
//! behind another one's back: each has a table of its own before it.

use std::sync::Arc;

use super::Error;
use super::chain::Chain;
use super::instance::Tenant;
use super::runtime::Shared;
use super::samples::Window;
use super::slots::Keep;
use super::stateful::Stateful;
use super::step::{Step, Timing};
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
    pub(super) fn new(
        shared: &Arc<Shared>,
        tenant: &Tenant,
        steps: Vec<Step>,
        keep: Keep,
    ) -> Result<Sequence, Error> {
        let mut steps = steps.into_iter().peekable();
        let mut chain = || {
            let stateless = std::iter::from_fn(|| steps.next_if(|step| !step.module.is_stateful()));
            let chain = Chain::new(shared, tenant.clone(), stateless.collect())?;
            Ok::<_, Error>((chain, steps.next()))
        };
        let (first, mut next) = chain()?;
        let mut then = Vec::new();
        while let Some(step) = next {
            let kept = Stateful::new(shared, tenant.clone(), step, keep)?;
            let behind;
            (behind, next) = chain()?;
            then.push((kept, behind));
        }
        Ok(Sequence { first, then })
    }

    /// Shows all filters these series, as a tick would, one after the other as long as it `goes_on`. What they make of them is
    /// not told.
    ///
    /// # Errors
    /// The first filter that fails.
    pub fn try_out(
        &mut self,
        window: Window,
        series: &[(Labels, f64)],
        goes_on: impl Fn() -> bool,
    ) -> Result<(), Error> {
        let timing = Timing { now: window.at, tick: window.at };
        self.first.begin(timing);
        for (filter, behind) in &mut self.then {
            filter.begin(timing);
            behind.begin(timing);
        }
        let labels: Vec<&Labels> = series.iter().map(|(labels, _)| labels).collect();
        let kept = self.first.classify(&labels)?;
        self.first.rest();
        let mut rows: Vec<(Labels, f64)> =
            kept.into_iter().zip(series).filter_map(|(kept, (_, value))| Some((kept?, *value))).collect();
        for (filter, behind) in &mut self.then {
            if !goes_on() {
                break;
            }
            rows = filter.try_out(window, &rows)?;
            let labels: Vec<&Labels> = rows.iter().map(|(labels, _)| labels).collect();
            let kept = behind.classify(&labels)?;
            behind.rest();
            rows = kept.into_iter().zip(rows).filter_map(|(kept, (_, value))| Some((kept?, value))).collect();
        }
        Ok(())
    }
}
