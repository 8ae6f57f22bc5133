//! Render: queries as PromQL text that every Prometheus since 2.0 reads.

use std::sync::Arc;

use sluice_filter::selector::{MatchOp, Matcher};

use crate::model::{Labels, is_label_name};

use super::Shape;
use crate::collect::read::Condition;

/// The longest query: 32 KiB, some thousand values. Longer ones are sent as several: reverse proxies refuse bodies and
/// servers truncate logged queries long before Prometheus itself minds.
pub(in crate::collect) const QUERY_BYTES_MAX: usize = 32 << 10;

/// Characters with a meaning in a regular expression, as Go's `QuoteMeta` has them. Prometheus recognises them escaped
/// when it turns an alternation of literals into look-ups.
const META: &[char] = &['\\', '.', '+', '*', '?', '(', ')', '|', '[', ']', '{', '}', '^', '$'];

impl Shape {
    /// The query for these values of the hole. The values must be sorted, unique, and at least one.
    pub(in crate::collect) fn query(&self, values: &[Arc<str>]) -> String {
        let mut query = format!("{{{}", self.fixed);
        if let Some(hole) = &self.hole {
            if !self.fixed.is_empty() {
                query.push(',');
            }
            push_name(&mut query, hole);
            match values {
                [only] => {
                    query.push('=');
                    push_text(&mut query, only);
                }
                _ => {
                    query.push_str("=~");
                    push_text(&mut query, &alternation(values));
                }
            }
        }
        query.push('}');
        query
    }

    /// What remote read is asked for these values, by a server with these external labels: it takes an equality with one of them for one
    /// that all its series fulfil, which a query does not. As an expression it is looked at like any other.
    pub(in crate::collect) fn conditions(&self, values: &[Arc<str>], external: &Labels) -> Vec<Condition> {
        let mut conditions = self.conditions.to_vec();
        if let Some(hole) = &self.hole {
            let (op, value) = match values {
                [only] => (MatchOp::Equal, only.to_string()),
                _ => (MatchOp::Regex, alternation(values)),
            };
            conditions.push(Condition { name: hole.to_string(), op, value });
        }
        for condition in &mut conditions {
            if condition.op == MatchOp::Equal && external.get(&condition.name).is_some() {
                (condition.op, condition.value) = (MatchOp::Regex, quote_meta(&condition.value));
            }
        }
        conditions
    }

    /// How many of `values`, from the first, fit one query; at least one.
    pub(in crate::collect) fn fitting(&self, values: &[Arc<str>]) -> usize {
        // Escaped twice at worst, once for the expression and once for the string.
        let worst = |value: &Arc<str>| 1 + value.len() + 2 * value.matches(META).count();
        let ends = values.iter().scan(self.fixed.len(), |sum, value| {
            *sum += worst(value);
            Some(*sum)
        });
        ends.take_while(|end| *end <= QUERY_BYTES_MAX).count().max(1)
    }
}

/// Matchers as they stand in a query.
pub(super) fn list<'a>(matchers: impl Iterator<Item = &'a Matcher>) -> String {
    matchers.map(Matcher::to_string).collect::<Vec<_>>().join(",")
}

fn alternation(values: &[Arc<str>]) -> String {
    values.iter().map(|value| quote_meta(value)).collect::<Vec<_>>().join("|")
}

/// A regular expression that matches exactly `text`.
pub(super) fn quote_meta(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    for c in text.chars() {
        if META.contains(&c) {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted
}

fn push_name(query: &mut String, name: &str) {
    match is_label_name(name) {
        true => query.push_str(name),
        false => push_text(query, name),
    }
}

/// A PromQL string.
fn push_text(query: &mut String, text: &str) {
    query.push('"');
    for c in text.chars() {
        match c {
            '"' => query.push_str("\\\""),
            '\\' => query.push_str("\\\\"),
            '\n' => query.push_str("\\n"),
            c => query.push(c),
        }
    }
    query.push('"');
}
