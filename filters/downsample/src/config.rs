//! downsample::config: rules as people write them, and as they are worked with.

use serde::Deserialize;
use sluice_filter::Tick;
use sluice_filter::schemars::{self, JsonSchema};
use sluice_filters_common::Selector;

/// How many rules there may be.
const RULES_MAX: usize = 100;
/// The longest interval, in milliseconds: a day, as of a resource.
const INTERVAL_MILLIS_MAX: i64 = 24 * 60 * 60 * 1_000;
/// The longest row of ticks of which one is kept.
const EVERY_MAX: u32 = 100_000;

/// Which series are downsampled, and how far.
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
    /// A PromQL selector: which series are downsampled.
    select: String,
    /// Of so many ticks one stays: the first after each multiple of their length.
    #[schemars(range(min = 1, max = EVERY_MAX))]
    every: Option<u32>,
    /// Instead of every: one sample in so much time, as in 90s, 5m or 1h.
    #[schemars(regex(pattern = "^[0-9]+[smh]$"))]
    interval: Option<String>,
}

/// One rule.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) selector: Selector,
    step: Step,
}

/// How far apart samples are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Ticks(i64),
    Millis(i64),
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
        let RuleConfig { select, every, interval } = self;
        let step = match (every, interval) {
            (Some(_), Some(_)) => return Err("interval: every is given, too; write one of them".into()),
            (None, None) => return Err("every: how far is not said; write every: 10, or interval: 5m".into()),
            (Some(every), None) if !(1..=EVERY_MAX).contains(&every) => {
                return Err(format!("every: {every} is not between 1 and {EVERY_MAX}"));
            }
            (Some(every), None) => Step::Ticks(i64::from(every)),
            (None, Some(interval)) => Step::Millis(millis(&interval).ok_or_else(|| {
                format!("interval: {interval:?} is no duration up to a day; write one like 90s, 5m or 1h")
            })?),
        };
        let selector = Selector::parse(&select).map_err(|cause| format!("select: {cause}"))?;
        Ok(Rule { selector, step })
    }
}

impl Rule {
    /// Whether samples of this tick stay: those of the first tick at or after each multiple of the step since 1970. So
    /// it does not matter when the filter began, and a tick that was left out costs no other one.
    pub(crate) fn keeps(&self, tick: Tick) -> bool {
        let Tick { since, at, .. } = tick;
        let step = match self.step {
            Step::Ticks(ticks) => ticks.saturating_mul((at - since).max(1)),
            Step::Millis(millis) => millis,
        };
        at.div_euclid(step) != since.div_euclid(step)
    }
}

/// A whole number with a unit, in milliseconds.
fn millis(text: &str) -> Option<i64> {
    let unit = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(unit);
    let unit = match unit {
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    let millis = number.parse::<i64>().ok()?.checked_mul(unit)?;
    (1..=INTERVAL_MILLIS_MAX).contains(&millis).then_some(millis)
}
