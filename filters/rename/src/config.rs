//! rename::config: what people write, checked and compiled.

use std::collections::HashMap;

use serde::Deserialize;
use sluice_filter::re2::{self, CapturingRegex};
use sluice_filter::schemars::{self, JsonSchema};

/// How many patterns there may be; each is tried on every name once.
const PATTERNS_MAX: usize = 1_000;
/// How many names there may be.
const NAMES_MAX: usize = 100_000;

/// Which names become which.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Old names and what they become.
    #[serde(default)]
    names: HashMap<String, String>,
    /// For names that are not listed: the first expression that matches counts.
    #[serde(default)]
    #[schemars(length(max = PATTERNS_MAX))]
    patterns: Vec<PatternConfig>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PatternConfig {
    /// RE2 expression, anchored at both ends.
    regex: String,
    /// The new name, with $1 or ${name} for groups of the expression.
    to: String,
}

/// Which names become which.
#[derive(Debug)]
pub(crate) struct Rules {
    names: HashMap<String, String>,
    patterns: Vec<Pattern>,
}

#[derive(Debug)]
struct Pattern {
    regex: CapturingRegex,
    to: String,
}

impl Config {
    /// The rules, checked and compiled.
    pub(crate) fn rules(self) -> Result<Rules, String> {
        let Config { names, patterns } = self;
        if names.len() > NAMES_MAX {
            return Err(format!("names: there are more than {NAMES_MAX}; use patterns"));
        }
        if patterns.len() > PATTERNS_MAX {
            return Err(format!("patterns: there are more than {PATTERNS_MAX}; combine them as in `a|b`"));
        }
        // The first by name, so that the same mistake is told every time.
        let wrong = names.iter().filter(|(_, new)| !is_metric_name(new)).min();
        if let Some((old, new)) = wrong {
            return Err(format!("names.{old}: {}", no_name(new)));
        }
        let patterns = patterns.into_iter().enumerate().map(|(i, pattern)| {
            pattern.compile().map_err(|(field, cause)| format!("patterns[{i}].{field}: {cause}"))
        });
        Ok(Rules { names, patterns: patterns.collect::<Result<_, _>>()? })
    }
}

impl PatternConfig {
    fn compile(self) -> Result<Pattern, (&'static str, String)> {
        let PatternConfig { regex, to } = self;
        if !to.contains('$') && !is_metric_name(&to) {
            return Err(("to", no_name(&to)));
        }
        let regex = re2::capturing(&regex).map_err(|error| ("regex", error.to_string()))?;
        if let Some(group) = regex.missing_group(&to) {
            return Err(("to", no_group(group, &regex)));
        }
        Ok(Pattern { regex, to })
    }
}

impl Rules {
    /// What a name becomes; none if it stays. A name that is listed is not tried on patterns, and of patterns the first
    /// that matches counts. A name that would be none stays.
    pub(crate) fn apply(&self, name: &str) -> Option<String> {
        let new = match self.names.get(name) {
            Some(new) => new.clone(),
            None => self.patterns.iter().find_map(|pattern| pattern.apply(name))?,
        };
        is_metric_name(&new).then_some(new)
    }
}

impl Pattern {
    fn apply(&self, name: &str) -> Option<String> {
        let mut new = String::new();
        self.regex.captures(name)?.expand(&self.to, &mut new);
        Some(new)
    }
}

fn no_group(group: &str, regex: &CapturingRegex) -> String {
    let known: Vec<String> = regex.groups().collect();
    let (digits, behind) = group.split_at(group.bytes().take_while(u8::is_ascii_digit).count());
    let is_run_on = !digits.is_empty() && !behind.is_empty();
    let cure = match known.is_empty() {
        // `$1_total` is the group that is called `1_total`.
        _ if is_run_on => format!("to have text behind a group, write ${{{digits}}}{behind}"),
        true => "it has none; put ( ) around what is to be taken over".to_owned(),
        false => format!("it has {}", known.join(", ")),
    };
    format!("the expression has no group {group:?}: {cure}")
}

fn no_name(name: &str) -> String {
    format!("{name:?} is no metric name; use [a-zA-Z_:][a-zA-Z0-9_:]*")
}

/// `[a-zA-Z_:][a-zA-Z0-9_:]*`.
fn is_metric_name(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':';
    !name.starts_with(|c: char| c.is_ascii_digit()) && !name.is_empty() && name.bytes().all(legal)
}
