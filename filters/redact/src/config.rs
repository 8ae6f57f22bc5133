//! redact::config: rules as people write them, and as they are worked with.

use serde::Deserialize;
use sluice_filter::re2::{self, CapturingRegex};
use sluice_filter::schemars::{self, JsonSchema};

use crate::keyed::Key;

/// How many rules there may be.
const RULES_MAX: usize = 100;
/// How many groups an expression may have; what a further one takes would stay to be read.
pub(crate) const GROUPS_MAX: usize = 32;
/// Below that, a salt can be guessed.
const SALT_BYTES_MIN: usize = 16;
/// What stands for a value that is masked.
const MASK: &str = "***";
/// The label that carries a metric's name.
const METRIC_NAME: &str = "__name__";
/// Every label but the metric's name.
const EVERY: &str = "*";

/// What is hidden.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What hashes are made with; who does not know it cannot look a hash up. Another salt gives other hashes.
    #[schemars(length(min = SALT_BYTES_MIN))]
    salt: Option<String>,
    /// Rule after rule.
    #[schemars(length(max = RULES_MAX))]
    rules: Vec<RuleConfig>,
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config").field("rules", &self.rules).finish_non_exhaustive()
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RuleConfig {
    /// The labels whose values are hidden; "*" is all but the metric's name.
    #[schemars(length(min = 1))]
    labels: Vec<String>,
    /// RE2 expression, anchored at both ends: only values that match. What its groups take is hidden; without groups, all of the value.
    regex: Option<String>,
    /// Whether a keyed hash or a fixed text takes its place.
    action: ActionConfig,
    /// For mask: the text; empty removes the label.
    #[schemars(extend("default" = MASK))]
    with: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum ActionConfig {
    Hash,
    Mask,
}

/// One rule.
#[derive(Debug)]
pub(crate) struct Rule {
    labels: Vec<String>,
    pub(crate) regex: Option<CapturingRegex>,
    pub(crate) action: Action,
}

/// What takes the place of what is hidden.
#[derive(Debug)]
pub(crate) enum Action {
    Hash(Key),
    Mask(String),
}

impl Config {
    /// The rules, checked and compiled.
    pub(crate) fn rules(self) -> Result<Vec<Rule>, String> {
        let Config { salt, rules } = self;
        if rules.len() > RULES_MAX {
            return Err(format!("rules: there are more than {RULES_MAX}; list several labels in one"));
        }
        if salt.as_ref().is_some_and(|salt| salt.len() < SALT_BYTES_MIN) {
            return Err(format!("salt: it can be guessed; write {SALT_BYTES_MIN} random characters or more"));
        }
        let key = salt.as_deref().map(Key::new);
        let rules = rules.into_iter().enumerate();
        rules
            .map(|(i, rule)| rule.check(key.as_ref()).map_err(|cause| format!("rules[{i}].{cause}")))
            .collect()
    }
}

impl RuleConfig {
    fn check(self, key: Option<&Key>) -> Result<Rule, String> {
        let RuleConfig { labels, regex, action, with } = self;
        if labels.is_empty() {
            return Err(format!("labels: none is named; name some, or write {EVERY:?} for all"));
        }
        if let Some(i) = labels.iter().position(|label| label == METRIC_NAME) {
            return Err(format!("labels[{i}]: a metric's name cannot be hidden; use the filter rename"));
        }
        let action = match (action, with, key) {
            (ActionConfig::Hash, Some(_), _) => {
                return Err("with: only a mask is a text; leave it out".into());
            }
            (ActionConfig::Hash, None, None) => {
                return Err("action: a hash without a salt can be looked up; write salt beside rules".into());
            }
            (ActionConfig::Hash, None, Some(key)) => Action::Hash(key.clone()),
            (ActionConfig::Mask, with, _) => Action::Mask(with.unwrap_or_else(|| MASK.to_owned())),
        };
        let regex =
            regex.as_deref().map(expression).transpose().map_err(|cause| format!("regex: {cause}"))?;
        Ok(Rule { labels, regex, action })
    }
}

fn expression(regex: &str) -> Result<CapturingRegex, String> {
    // Some of these open no group that takes anything; then there is room for fewer.
    if regex.matches('(').count() > GROUPS_MAX {
        return Err(format!("it may have more than {GROUPS_MAX} groups; write several rules"));
    }
    re2::capturing(regex).map_err(|error| error.to_string())
}

impl Rule {
    /// Whether the rule is for the label of this name.
    pub(crate) fn is_for(&self, name: &str) -> bool {
        name != METRIC_NAME && self.labels.iter().any(|label| label == name || label == EVERY)
    }
}
