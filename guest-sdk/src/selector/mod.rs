//! selector: one bare PromQL vector selector: read, match, print.
//!
//! In: `up`, `up{job="a"}`, `{__name__=~"x|y"}`, `{"http.requests"}`. Out: a [`Selector`] that decides series
//! exactly as Prometheus does, and that prints itself so that every Prometheus reads it the same way.
//! Never: offsets, ranges, functions or `or`; those are refused with the right words.

mod error;
mod matcher;
mod parse;
mod quote;

use std::fmt;

pub use error::ParseError;
pub use matcher::{MatchOp, Matcher};

use crate::re2::Budget;

/// The label that carries a metric's name.
pub const METRIC_NAME: &str = "__name__";

/// The longest text that is read as a selector, in bytes.
pub const SELECTOR_BYTES_MAX: usize = 128 << 10;

/// How many matchers one selector may have.
pub const MATCHERS_MAX: usize = 128;

/// One vector selector: matchers that must all hold. At least one of them refuses the empty text.
///
/// Two selectors are equal if they have the same matchers, in whatever order they were written.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Selector {
    /// Sorted, the metric's name first, every matcher once.
    matchers: Vec<Matcher>,
}

impl Selector {
    /// Reads PromQL selector text.
    pub fn parse(text: &str) -> Result<Selector, ParseError> {
        Selector::parse_within(text, &mut Budget::unlimited())
    }

    /// [`Selector::parse`]; fails as well if there is no room for its regular expressions.
    pub fn parse_within(text: &str, budget: &mut Budget) -> Result<Selector, ParseError> {
        parse::parse(text, budget)
    }

    /// The selector of exactly this metric name. Fails for the empty name.
    pub fn name(name: &str) -> Result<Selector, ParseError> {
        let matcher = Matcher::new(METRIC_NAME, MatchOp::Equal, name)?;
        Selector::from_matchers(vec![matcher])
    }

    /// Builds a selector. Fails if every matcher matches the empty text (Prometheus refuses such a selector:
    /// it would take nearly everything), or if there are more than `MATCHERS_MAX`.
    pub fn from_matchers(mut matchers: Vec<Matcher>) -> Result<Selector, ParseError> {
        if matchers.len() > MATCHERS_MAX {
            let cause = format!("the selector has more than {MATCHERS_MAX} matchers");
            return Err(ParseError::new(1, cause, "combine values with `=~\"a|b\"`"));
        }
        if matchers.iter().all(|matcher| matcher.matches("")) {
            return Err(error::matches_empty(&matchers));
        }
        arrange(&mut matchers);
        Ok(Selector { matchers })
    }

    /// The matchers, the metric's name first.
    pub fn matchers(&self) -> &[Matcher] {
        &self.matchers
    }

    /// This selector, narrowed by further matchers.
    #[must_use]
    pub fn and(&self, extra: &[Matcher]) -> Selector {
        let mut matchers = self.matchers.clone();
        matchers.extend_from_slice(extra);
        arrange(&mut matchers);
        Selector { matchers }
    }

    /// The only metric name that can match, if there is exactly one by an `=` matcher.
    pub fn exact_name(&self) -> Option<&str> {
        self.names().and_then(|names| match names {
            [only] => Some(only.as_str()),
            _ => None,
        })
    }

    /// All metric names that can match, if they can be listed (`__name__="a"`, `__name__=~"a|b"`).
    /// Further matchers may refuse some of them still.
    pub fn names(&self) -> Option<&[String]> {
        let on_name = self.matchers.iter().take_while(|matcher| matcher.name() == METRIC_NAME);
        on_name.filter_map(Matcher::accepted).min_by_key(|names| names.len())
    }

    /// Whether a series is taken. `get` answers the value of a label; a missing label is the empty text.
    /// A series without a metric name is never taken.
    pub fn matches<'a>(&self, get: impl Fn(&str) -> Option<&'a str>) -> bool {
        get(METRIC_NAME).is_some_and(|name| !name.is_empty())
            && self.matchers.iter().all(|matcher| matcher.matches(get(matcher.name()).unwrap_or_default()))
    }
}

/// Puts matchers into their one order.
fn arrange(matchers: &mut Vec<Matcher>) {
    matchers.sort_by(|a, b| (a.name() != METRIC_NAME).cmp(&(b.name() != METRIC_NAME)).then_with(|| a.cmp(b)));
    matchers.dedup();
}

/// Canonical PromQL, understood by every Prometheus since 2.0: `{__name__="up",job="a"}`. Only a label name
/// outside `[a-zA-Z_][a-zA-Z0-9_]*` is printed in the quotes that came with Prometheus 3.
impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (i, matcher) in self.matchers.iter().enumerate() {
            f.write_str(if i == 0 { "" } else { "," })?;
            fmt::Display::fmt(matcher, f)?;
        }
        f.write_str("}")
    }
}

impl fmt::Debug for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for Selector {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Selector, ParseError> {
        Selector::parse(text)
    }
}

#[cfg(test)]
mod tests;
