//! Relabel: a tenant's `metricRelabelings`, as Prometheus applies `metric_relabel_configs`.
//!
//! In: rules in Prometheus's words, `snake_case` or (as the operator's resources write them) `camelCase`.
//! Out: series rewritten or dropped. Never: a series without a metric name, or a label name that a receiver
//! would refuse.

mod config;
mod error;
mod labels;
mod rule;

use serde::Deserialize;
use sluice_filter::schemars::{self, JsonSchema};
use sluice_filter::{LabelFilter, Series, Tenant, Verdict};

pub use config::RuleConfig;
pub use error::Error;
pub use labels::LabelSet;
pub use rule::{Decision, Rule, relabel};

/// How many rules one resource may have.
pub const RULES_MAX: usize = 1_000;

/// What to do, rule by rule.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// As Prometheus's metric_relabel_configs. Applied in order; each sees what the one before it left.
    #[schemars(length(max = RULES_MAX))]
    rules: Vec<RuleConfig>,
}

/// Checks and compiles a list of rules. The error says which rule, which field, and what to write instead.
pub fn compile(rules: &[RuleConfig]) -> Result<Vec<Rule>, Error> {
    if rules.len() > RULES_MAX {
        return Err(Error::too_many(RULES_MAX));
    }
    rules.iter().enumerate().map(|(i, rule)| Rule::compile(rule).map_err(|error| error.in_rule(i))).collect()
}

/// The filter.
#[derive(Debug)]
pub struct Relabel {
    rules: Vec<Rule>,
}

impl LabelFilter for Relabel {
    type Config = Config;

    const CONFIG_SCHEMA: &'static str = include_str!("config.schema.json");

    fn new(config: Config, _tenant: &Tenant) -> Result<Self, String> {
        let rules = compile(&config.rules).map_err(|error| error.to_string())?;
        Ok(Relabel { rules })
    }

    fn classify(&mut self, series: &mut Series<'_>) -> Verdict {
        match relabel(&self.rules, series) {
            Decision::Keep => Verdict::Keep,
            Decision::Drop => Verdict::Drop,
        }
    }
}

sluice_filter::export!(Relabel);

#[cfg(test)]
mod tests;
