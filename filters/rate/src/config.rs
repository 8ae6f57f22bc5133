//! rate::config: rules as people write them, and as they are worked with.

use serde::Deserialize;
use sluice_filter::schemars::{self, JsonSchema};
use sluice_filters_common::{Selector, is_metric_name};

/// How many rules there may be.
const RULES_MAX: usize = 100;
/// What the name of a rate ends with; a colon is in the names of things that were computed.
const SUFFIX: &str = ":rate";
/// What it loses: a rate is no total.
const TOTAL: &str = "_total";

/// Which counters become rates.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The first rule that selects a series has it; what none selects stays.
    #[schemars(length(max = RULES_MAX))]
    rules: Vec<RuleConfig>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RuleConfig {
    /// A PromQL selector: which counters.
    select: String,
    /// What the rates are called.
    name: Option<String>,
    /// Instead of name: what takes the place of _total, or is appended.
    #[schemars(extend("default" = SUFFIX))]
    suffix: Option<String>,
}

/// One rule.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) selector: Selector,
    name: Name,
}

#[derive(Debug)]
enum Name {
    Is(String),
    EndsWith(String),
}

impl Config {
    /// The rules, checked.
    pub(crate) fn rules(self) -> Result<Vec<Rule>, String> {
        if self.rules.len() > RULES_MAX {
            return Err(format!("rules: there are more than {RULES_MAX}; select more series with one"));
        }
        let rules = self.rules.into_iter().enumerate();
        rules.map(|(i, rule)| rule.check().map_err(|cause| format!("rules[{i}].{cause}"))).collect()
    }
}

impl RuleConfig {
    fn check(self) -> Result<Rule, String> {
        let RuleConfig { select, name, suffix } = self;
        let name = match (name, suffix) {
            (Some(_), Some(_)) => return Err("suffix: name is given, too; write one of them".into()),
            (Some(name), None) if !is_metric_name(&name) => {
                return Err(format!("name: {name:?} is no metric name; use [a-zA-Z_:][a-zA-Z0-9_:]*"));
            }
            (Some(name), None) => Name::Is(name),
            (None, Some(suffix)) if suffix.is_empty() || !is_metric_name(&format!("_{suffix}")) => {
                return Err(format!("suffix: {suffix:?} cannot end a metric name; use [a-zA-Z0-9_:]+"));
            }
            (None, suffix) => Name::EndsWith(suffix.unwrap_or_else(|| SUFFIX.to_owned())),
        };
        let selector = Selector::parse(&select).map_err(|cause| format!("select: {cause}"))?;
        Ok(Rule { selector, name })
    }
}

impl Rule {
    /// What the rate of a counter is called.
    pub(crate) fn name(&self, metric: &str) -> String {
        match &self.name {
            Name::Is(name) => name.clone(),
            Name::EndsWith(suffix) => format!("{}{suffix}", metric.strip_suffix(TOTAL).unwrap_or(metric)),
        }
    }
}
