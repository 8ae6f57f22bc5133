//! aggregate::config: rules as people write them, and as they are worked with.

use serde::Deserialize;
use sluice_filter::Series;
use sluice_filter::schemars::{self, JsonSchema};
use sluice_filters_common::{Group, Grouping, Selector, is_counter, is_metric_name};

/// How many rules there may be.
const RULES_MAX: usize = 100;

/// What to aggregate.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// A series goes into the results of every rule that selects it.
    #[schemars(length(max = RULES_MAX))]
    rules: Vec<RuleConfig>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RuleConfig {
    /// A PromQL selector: which series go in.
    select: String,
    /// What is made of them.
    operation: Operation,
    /// The labels the results keep; of all series with the same values of these, one is made.
    by: Option<Vec<String>>,
    /// Instead of by: the labels the results lose.
    without: Option<Vec<String>>,
    /// What the results are called; without it, what the inputs are called.
    name: Option<String>,
    /// Instead of name: what is appended to the inputs' name.
    suffix: Option<String>,
    /// Whether the inputs stay beside the results.
    #[serde(default)]
    keep_inputs: bool,
    /// Whether what is summed are counters; without it, those that end in _total, _count, _sum or _bucket.
    counter: Option<bool>,
}

/// What is made of a group's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Operation {
    Sum,
    Avg,
    Min,
    Max,
    Count,
}

/// One rule.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) selector: Selector,
    pub(crate) operation: Operation,
    pub(crate) keep_inputs: bool,
    grouping: Grouping,
    name: Name,
    counter: Option<bool>,
}

#[derive(Debug)]
enum Name {
    Is(String),
    WithSuffix(String),
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
        let RuleConfig { select, operation, by, without, name, suffix, keep_inputs, counter } = self;
        if keep_inputs && name.is_none() && suffix.is_none() {
            return Err("keepInputs: the result needs a name of its own then; add name or suffix".into());
        }
        if counter == Some(true) && operation != Operation::Sum {
            return Err("counter: only a sum of counters is a counter; leave it out".into());
        }
        let name = match (name, suffix) {
            (Some(_), Some(_)) => return Err("suffix: name is given, too; write one of them".into()),
            (Some(name), None) if !is_metric_name(&name) => {
                return Err(format!("name: {name:?} is no metric name; use [a-zA-Z_:][a-zA-Z0-9_:]*"));
            }
            (Some(name), None) => Name::Is(name),
            (None, suffix) => Name::WithSuffix(suffix.unwrap_or_default()),
        };
        if let Name::WithSuffix(suffix) = &name
            && !is_metric_name(&format!("_{suffix}"))
        {
            return Err(format!("suffix: {suffix:?} cannot end a metric name; use [a-zA-Z0-9_:]"));
        }
        let selector = Selector::parse(&select).map_err(|cause| format!("select: {cause}"))?;
        Ok(Rule { selector, operation, keep_inputs, grouping: Grouping::new(by, without)?, name, counter })
    }
}

impl Rule {
    /// The result that a series goes into. Its name takes part: what is called differently afterwards is not one result.
    pub(crate) fn result(&self, series: &Series<'_>) -> Group {
        let name = match &self.name {
            Name::Is(name) => name.clone(),
            Name::WithSuffix(suffix) => format!("{}{suffix}", series.metric()),
        };
        self.grouping.of(series, &name)
    }

    /// Whether a series of that metric is added as a counter: what it grows by, rather than what it is.
    pub(crate) fn is_counter(&self, metric: &str) -> bool {
        self.operation == Operation::Sum && self.counter.unwrap_or_else(|| is_counter(metric))
    }
}
