//! Selectors over labels and annotations, in Kubernetes' own syntax
//! (<https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors>).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use kube::core::{Expression, SelectorExt};

/// Conditions that must all be met; without any, everything is selected.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selector(Vec<Expression>);

impl Selector {
    /// Reads `app=prometheus,tier in (infra, edge),!canary`. The error says what is wrong with which condition.
    pub fn parse(text: &str) -> Result<Selector, String> {
        if text.trim().is_empty() {
            return Ok(Selector::default());
        }
        conditions(text)
            .into_iter()
            .map(|condition| expression(condition.trim()))
            .collect::<Result<_, _>>()
            .map(Selector)
    }

    /// Whether all conditions are met.
    pub fn matches(&self, pairs: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|condition| condition.matches(pairs))
    }

    /// Whether there is no condition.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let conditions: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&conditions.join(","))
    }
}

/// Splits at the commas outside of parentheses.
fn conditions(text: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    text.split(|c| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    })
    .collect()
}

fn expression(text: &str) -> Result<Expression, String> {
    if let Some(name) = text.strip_prefix('!') {
        return Ok(Expression::DoesNotExist(key(name, text)?));
    }
    if let Some((name, value)) = text.split_once("!=") {
        return Ok(Expression::NotEqual(key(name, text)?, one(value, text)?));
    }
    if let Some((name, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
        return Ok(Expression::Equal(key(name, text)?, one(value, text)?));
    }
    let Some((name, set)) = text.strip_suffix(')').and_then(|text| text.split_once('(')) else {
        return Ok(Expression::Exists(key(text, text)?));
    };
    let values = set.split(',').map(|value| one(value, text)).collect::<Result<BTreeSet<_>, _>>()?;
    match name.trim_end().rsplit_once(char::is_whitespace) {
        Some((name, "in")) => Ok(Expression::In(key(name, text)?, values)),
        Some((name, "notin")) => Ok(Expression::NotIn(key(name, text)?, values)),
        _ => Err(format!("{text:?} has a list of values without \"in\" or \"notin\" before it")),
    }
}

/// A label's or annotation's name, with or without a prefix.
fn key(name: &str, condition: &str) -> Result<String, String> {
    let name = name.trim();
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
    match !name.is_empty() && name.chars().all(legal) && name.matches('/').count() <= 1 {
        true => Ok(name.to_owned()),
        false => Err(format!("{name:?} in {condition:?} is not the name of a label or annotation")),
    }
}

fn one(value: &str, condition: &str) -> Result<String, String> {
    let value = value.trim();
    match value.contains(['=', '!', '(', ')', ',']) {
        true => Err(format!("{value:?} in {condition:?} is not a value")),
        false => Ok(value.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> BTreeMap<String, String> {
        let pair = |pair: &str| pair.split_once('=').map(|(n, v)| (n.to_owned(), v.to_owned()));
        text.split_whitespace().filter_map(pair).collect()
    }

    #[test]
    fn conditions_are_those_of_kubernetes() {
        for (selector, yes, no) in [
            ("", "a=b", ""),
            ("app=prom", "app=prom x=y", "app=other"),
            ("app == prom", "app=prom", ""),
            ("app!=prom", "", "app=prom"),
            ("tier in (infra, edge), app", "tier=edge app=", "tier=edge"),
            ("tier notin (infra)", "app=x", "tier=infra"),
            ("!canary,x.io/y=z", "x.io/y=z", "x.io/y=z canary=1"),
        ] {
            let parsed = Selector::parse(selector).unwrap();
            assert!(parsed.matches(&pairs(yes)), "{selector} should match {yes}");
            assert!(no.is_empty() || !parsed.matches(&pairs(no)), "{selector} should not match {no}");
            assert_eq!(Selector::parse(&parsed.to_string()).unwrap(), parsed, "{selector}");
        }
    }

    #[test]
    fn what_is_no_selector_is_named() {
        for (selector, error) in [
            ("a=b,", "\"\" in \"\" is not the name of a label or annotation"),
            ("a b", "\"a b\" in \"a b\" is not the name of a label or annotation"),
            ("a (b)", "\"a (b)\" has a list of values without \"in\" or \"notin\" before it"),
            ("a=b=c", "\"b=c\" in \"a=b=c\" is not a value"),
            ("a in (b", "\"a in (b\" in \"a in (b\" is not the name of a label or annotation"),
        ] {
            assert_eq!(Selector::parse(selector).unwrap_err(), error);
        }
    }
}
