//! selector::matcher: one condition on one label.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use super::error::ParseError;
use super::quote;
use crate::re2::{self, Budget};

/// How a matcher compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`
    Regex,
    /// `!~`
    NotRegex,
}

impl MatchOp {
    /// As PromQL writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            MatchOp::Equal => "=",
            MatchOp::NotEqual => "!=",
            MatchOp::Regex => "=~",
            MatchOp::NotRegex => "!~",
        }
    }
}

/// One condition on one label: `job=~"a|b"`. Equal matchers are written equally.
#[derive(Clone)]
pub struct Matcher {
    name: String,
    op: MatchOp,
    /// One element, so that a comparison is as good as a list of texts that match.
    value: [String; 1],
    regex: Option<re2::Regex>,
}

impl Matcher {
    /// Builds a matcher. Fails if the label has no name or if the regular expression is refused. A group
    /// written `(?<name>…)` is kept as `(?P<name>…)`, which older Prometheus servers understand too.
    pub fn new(name: &str, op: MatchOp, value: &str) -> Result<Matcher, ParseError> {
        Matcher::within(name, op, value, &mut Budget::unlimited())
    }

    /// [`Matcher::new`]; fails as well if there is no room for the regular expression.
    pub fn within(name: &str, op: MatchOp, value: &str, budget: &mut Budget) -> Result<Matcher, ParseError> {
        if name.is_empty() {
            return Err(ParseError::new(1, "a label has no name", "write a name before the operator"));
        }
        let (regex, value) = match op {
            MatchOp::Equal | MatchOp::NotEqual => (None, value.to_owned()),
            MatchOp::Regex | MatchOp::NotRegex => {
                let compiled = re2::anchored_within(value, budget);
                let (regex, value) = compiled.map_err(|error| ParseError::regex(name, error))?;
                (Some(regex), value)
            }
        };
        Ok(Matcher { name: name.to_owned(), op, value: [value], regex })
    }

    /// The label's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it compares.
    pub fn op(&self) -> MatchOp {
        self.op
    }

    /// The text or regular expression it compares with.
    pub fn value(&self) -> &str {
        &self.value[0]
    }

    /// Whether a label's value satisfies the condition; the empty text stands for a missing label.
    pub fn matches(&self, text: &str) -> bool {
        match (&self.regex, self.op) {
            (None, MatchOp::Equal) => self.value() == text,
            (None, _) => self.value() != text,
            (Some(regex), MatchOp::Regex) => regex.is_match(text),
            (Some(regex), _) => !regex.is_match(text),
        }
    }

    /// All texts that satisfy the condition, if they can be listed.
    pub fn accepted(&self) -> Option<&[String]> {
        match (&self.regex, self.op) {
            (None, MatchOp::Equal) => Some(&self.value),
            (Some(regex), MatchOp::Regex) => regex.finite(),
            _ => None,
        }
    }

    fn key(&self) -> (&str, MatchOp, &str) {
        (&self.name, self.op, self.value())
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Matcher) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Matcher {}

impl PartialOrd for Matcher {
    fn partial_cmp(&self, other: &Matcher) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Matcher {
    fn cmp(&self, other: &Matcher) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl Hash for Matcher {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

/// `job=~"a|b"`.
impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if quote::is_label_name(&self.name) {
            f.write_str(&self.name)?;
        } else {
            quote::write(f, &self.name)?;
        }
        f.write_str(self.op.as_str())?;
        quote::write(f, self.value())
    }
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
