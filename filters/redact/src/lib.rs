//! Redact: hides what label values say.
//!
//! In: rules, and a salt. Out: series whose values were replaced by a text, or by a keyed hash that is the same for the same value.
//! Never: a hash that somebody without the salt can look up; a metric's name.

mod config;
mod keyed;

use sluice_filter::{LabelFilter, Series, Tenant, Verdict};

pub use config::Config;
use config::{Action, GROUPS_MAX, Rule};

/// The filter.
#[derive(Debug)]
pub struct Redact {
    rules: Vec<Rule>,
}

impl LabelFilter for Redact {
    type Config = Config;

    const CONFIG_SCHEMA: &'static str = include_str!("config.schema.json");

    fn new(config: Config, _tenant: &Tenant) -> Result<Self, String> {
        Ok(Redact { rules: config.rules()? })
    }

    fn classify(&mut self, series: &mut Series<'_>) -> Verdict {
        for rule in &self.rules {
            let redacted = |(name, value): (&str, &str)| Some((name.to_owned(), rule.redacted(name, value)?));
            let redacted: Vec<_> = series.iter().filter_map(redacted).collect();
            for (name, value) in redacted {
                series.set(&name, &value);
            }
        }
        Verdict::Keep
    }
}

impl Rule {
    /// What a label's value becomes, if the rule is for it.
    fn redacted(&self, name: &str, value: &str) -> Option<String> {
        if !self.is_for(name) {
            return None;
        }
        let Some(regex) = &self.regex else { return Some(self.action.replace(value)) };
        let captures = regex.captures(value)?;
        let groups = (1..=GROUPS_MAX).filter_map(|group| captures.get(group));
        Some(replace_all(value, groups, &self.action))
    }
}

impl Action {
    fn replace(&self, text: &str) -> String {
        match self {
            Action::Hash(key) => key.hash(text),
            Action::Mask(with) => with.clone(),
        }
    }
}

/// `value` with each of these parts of it replaced; all of it if there are none. Of parts inside of parts the outer counts.
fn replace_all<'v>(value: &'v str, parts: impl Iterator<Item = &'v str>, action: &Action) -> String {
    // The expression tells what its groups took as pieces of the value itself.
    let start = |part: &str| part.as_ptr() as usize - value.as_ptr() as usize;
    let mut parts: Vec<&str> = parts.collect();
    if parts.is_empty() {
        return action.replace(value);
    }
    parts.sort_by_key(|part| (start(part), usize::MAX - part.len()));
    let (mut out, mut done) = (String::new(), 0);
    for part in parts.into_iter().filter(|part| !part.is_empty()) {
        if start(part) >= done {
            out += &value[done..start(part)];
            out += &action.replace(part);
            done = start(part) + part.len();
        }
    }
    out + &value[done..]
}

sluice_filter::export!(Redact);

#[cfg(test)]
mod tests;
