//! common::select: PromQL selectors.
//!
//! In: `metric{label="value",other=~"a|b.*"}`. Out: whether a series is selected, as Prometheus says. Never: another reading than
//! the SDK's selectors have, which know all of RE2; what these do not know they refuse.

use sluice_filter::Series;

use crate::metric::{METRIC_NAME, is_label_name, is_metric_name};
use crate::pattern::Pattern;

/// A selector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector(Vec<Matcher>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Matcher {
    label: String,
    test: Test,
    negated: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    Is(String),
    Like(Pattern),
}

impl Selector {
    /// Reads a selector.
    ///
    /// # Errors
    /// What is wrong with it and what to write instead, in one line.
    pub fn parse(text: &str) -> Result<Selector, String> {
        Reader { text, rest: text }.selector().map_err(|cause| format!("`{text}`: {cause}"))
    }

    /// Whether it selects a series, edits included.
    pub fn matches(&self, series: &Series<'_>) -> bool {
        self.takes(|label| series.get(label).unwrap_or_default())
    }

    fn takes<'a>(&self, value: impl Fn(&str) -> &'a str) -> bool {
        self.0.iter().all(|matcher| matcher.matches(value(&matcher.label)))
    }
}

impl Matcher {
    fn matches(&self, value: &str) -> bool {
        let holds = match &self.test {
            Test::Is(due) => due == value,
            Test::Like(pattern) => pattern.matches(value),
        };
        holds != self.negated
    }
}

struct Reader<'a> {
    text: &'a str,
    rest: &'a str,
}

impl Reader<'_> {
    fn selector(mut self) -> Result<Selector, String> {
        let mut matchers = Vec::new();
        self.skip();
        let metric = self.word();
        let named = !metric.is_empty();
        if named {
            if !is_metric_name(&metric) {
                return Err(format!("{metric:?} is no metric name; use [a-zA-Z_:][a-zA-Z0-9_:]*"));
            }
            matchers.push(Matcher { label: METRIC_NAME.into(), test: Test::Is(metric), negated: false });
        }
        if self.eat("{") {
            self.matchers(&mut matchers)?;
        }
        if !self.rest.is_empty() {
            return Err(self.expected("nothing more"));
        }
        if named && matchers[1..].iter().any(|matcher| matcher.label == METRIC_NAME) {
            return Err("the metric's name is given twice; write it once".into());
        }
        if matchers.iter().all(|matcher| matcher.matches("")) {
            return Err("it selects everything; name a metric, or a label that is not empty".into());
        }
        Ok(Selector(matchers))
    }

    fn matchers(&mut self, matchers: &mut Vec<Matcher>) -> Result<(), String> {
        while !self.eat("}") {
            let label = self.word();
            if !is_label_name(&label) {
                return Err(self.expected("a label's name or `}`"));
            }
            let op = ["=~", "!~", "!=", "="].into_iter().find(|op| self.eat(op));
            let op = op.ok_or_else(|| self.expected("one of =, !=, =~, !~"))?;
            let value = self.string()?;
            let test = if op.ends_with('~') {
                Test::Like(Pattern::new(&value).map_err(|cause| format!("in {value:?}, {cause}"))?)
            } else {
                Test::Is(value)
            };
            matchers.push(Matcher { label, test, negated: op.starts_with('!') });
            if !self.eat(",") && !self.rest.starts_with('}') {
                return Err(self.expected("`,` or `}`"));
            }
        }
        Ok(())
    }

    /// A text in quotes, and the space behind it.
    fn string(&mut self) -> Result<String, String> {
        let Some(quote) = self.rest.chars().next().filter(|c| "\"'`".contains(*c)) else {
            return Err(self.expected("a value in quotes"));
        };
        let mut chars = self.rest.char_indices().skip(1);
        let mut value = String::new();
        while let Some((at, c)) = chars.next() {
            match c {
                c if c == quote => {
                    self.rest = &self.rest[at + 1..];
                    self.skip();
                    return Ok(value);
                }
                '\\' if quote != '`' => match chars.next() {
                    Some((_, c @ ('\\' | '"' | '\''))) => value.push(c),
                    Some((_, 'n')) => value.push('\n'),
                    Some((_, 't')) => value.push('\t'),
                    _ => {
                        return Err(
                            "after `\\` in quotes stands one of \\ \" ' n t; write `…` around it".into()
                        );
                    }
                },
                c => value.push(c),
            }
        }
        Err(format!("a value is not closed; end it with {quote}"))
    }

    /// A name, and the space behind it; empty if there is none.
    fn word(&mut self) -> String {
        let part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        let (word, rest) = self.rest.split_at(self.rest.find(|c| !part(c)).unwrap_or(self.rest.len()));
        self.rest = rest;
        self.skip();
        word.to_owned()
    }

    fn eat(&mut self, token: &str) -> bool {
        let rest = self.rest.strip_prefix(token);
        if let Some(rest) = rest {
            self.rest = rest;
            self.skip();
        }
        rest.is_some()
    }

    fn skip(&mut self) {
        // PromQL's white space.
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    fn expected(&self, what: &str) -> String {
        let at = self.text.len() - self.rest.len();
        match self.rest.chars().next() {
            Some(c) => {
                format!("at character {}, {what} is expected, not `{c}`", self.text[..at].chars().count() + 1)
            }
            None => format!("it ends where {what} is expected"),
        }
    }
}

#[cfg(test)]
mod tests;
