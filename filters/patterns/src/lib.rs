//! Patterns: keeps what a tenant's resource allows. Always the first step of a chain.
//!
//! In: the resource's selectors. Out: the series that at least one of them takes. Never: an edit; a series without
//! a metric name; an answer that differs from Prometheus's own.
//!
//! A metric's name decides which selectors can take it, and a source has far fewer names than series: what a name
//! leaves to ask is worked out once and remembered by the name's symbol. So are regular expressions, by value.

mod memo;
mod plan;

use serde::Deserialize;
use sluice_filter::schemars::{self, JsonSchema};
use sluice_filter::selector::{METRIC_NAME, Selector};
use sluice_filter::{LabelFilter, Series, Tenant, Verdict};

use crate::memo::Memo;
use crate::plan::{Condition, Left, Plan};

/// How many selectors one resource may have.
pub const SELECTORS_MAX: usize = 10_000;

/// What to keep.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// PromQL selectors; a series is kept if at least one takes it. None at all keeps nothing.
    #[schemars(length(max = SELECTORS_MAX), inner(length(min = 1)))]
    selectors: Vec<String>,
}

/// The filter.
#[derive(Debug)]
pub struct Patterns {
    plan: Plan,
    /// What is left to ask of the series of a name, by the name's symbol.
    left: Vec<Option<Left>>,
    memo: Memo,
}

impl LabelFilter for Patterns {
    type Config = Config;

    const CONFIG_SCHEMA: &'static str = include_str!("config.schema.json");

    fn new(config: Config, _tenant: &Tenant) -> Result<Self, String> {
        let Config { selectors } = config;
        if selectors.len() > SELECTORS_MAX {
            return Err(format!(
                "selectors: more than {SELECTORS_MAX}: combine names as in `{{__name__=~\"a|b\"}}`"
            ));
        }
        let parsed = selectors
            .iter()
            .enumerate()
            .map(|(i, text)| Selector::parse(text).map_err(|error| format!("selectors[{i}]: {error}")));
        let plan = Plan::new(parsed.collect::<Result<_, _>>()?);
        let memo = Memo::new(plan.conditions.len());
        Ok(Patterns { plan, left: Vec::new(), memo })
    }

    fn classify(&mut self, series: &mut Series<'_>) -> Verdict {
        if self.takes(series) { Verdict::Keep } else { Verdict::Drop }
    }
}

impl Patterns {
    fn takes(&mut self, series: &Series<'_>) -> bool {
        let Some(name) = series.symbol(METRIC_NAME) else { return false };
        let Patterns { plan, left, memo } = self;
        if left.len() <= name.index() {
            // As many as the host has sent strings, which it bounds.
            left.resize_with(name.index() + 1, || None);
        }
        match left[name.index()].get_or_insert_with(|| plan.left(series.text(name))) {
            Left::Nothing(taken) => *taken,
            Left::Selectors(selectors) => selectors.iter().any(|&selector| {
                let mut conditions = plan.conditions_of(selector);
                conditions.all(|(number, condition)| holds(series, number, condition, memo))
            }),
        }
    }
}

/// Whether a series satisfies a condition; a missing label is the empty text.
fn holds(series: &Series<'_>, number: usize, condition: &Condition, memo: &mut Memo) -> bool {
    let Condition { matcher, absent, slow } = condition;
    let Some(symbol) = series.symbol(matcher.name()) else { return *absent };
    let decide = || matcher.matches(series.text(symbol));
    if *slow { memo.get(number, symbol, decide) } else { decide() }
}

sluice_filter::export!(Patterns);

#[cfg(test)]
mod tests;
