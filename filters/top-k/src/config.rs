//! top-k::config: rules as people write them, and as they are worked with.

use serde::Deserialize;
use sluice_filter::schemars::{self, JsonSchema};
use sluice_filters_common::{Grouping, Selector};

/// How many rules there may be.
const RULES_MAX: usize = 100;

/// Which series are ranked, and how many of them stay.
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
    /// A PromQL selector: which series are ranked.
    select: String,
    /// How many of each group stay.
    #[schemars(range(min = 1))]
    k: usize,
    /// Labels whose values make a group, beside the metric's name; without any, a metric is a group.
    by: Option<Vec<String>>,
    /// Instead of by: all labels but these make a group.
    without: Option<Vec<String>>,
    /// Which end of the ranking stays.
    #[serde(default)]
    #[schemars(extend("default" = "largest"))]
    order: Order,
    /// By which part of its own value a series that is in may fall behind before another takes its place.
    #[serde(default)]
    #[schemars(range(min = 0, max = 10))]
    hysteresis: f64,
}

/// Which end of the ranking stays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Order {
    #[default]
    Largest,
    Smallest,
}

/// One rule.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) selector: Selector,
    pub(crate) grouping: Grouping,
    pub(crate) k: usize,
    order: Order,
    hysteresis: f64,
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
        let RuleConfig { select, k, by, without, order, hysteresis } = self;
        let selector = Selector::parse(&select).map_err(|cause| format!("select: {cause}"))?;
        if k == 0 {
            return Err("k: none would stay; write 1 or more, or drop the series by relabeling".into());
        }
        if !(0.0..=10.0).contains(&hysteresis) {
            return Err(format!(
                "hysteresis: {hysteresis} is not between 0 and 10; write 0.1 for a lead of a tenth"
            ));
        }
        Ok(Rule { selector, grouping: Grouping::new(by, without)?, k, order, hysteresis })
    }
}

impl Rule {
    /// What a series is ranked by: the higher, the sooner it stays. One that is in already has a lead.
    pub(crate) fn score(&self, value: f64, in_already: bool) -> f64 {
        let score = match self.order {
            Order::Largest => value,
            Order::Smallest => -value,
        };
        let lead = if in_already { self.hysteresis * value.abs() } else { 0.0 };
        // Not-a-number is last, as in PromQL's topk.
        if score.is_nan() { f64::NEG_INFINITY } else { score + lead }
    }
}
