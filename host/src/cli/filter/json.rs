//! Json: what programs are told.
//!
//! In: values, errors. Out: a document. Never: a character in it that a terminal acts on, for people look at it too.

use std::error::Error as StdError;

use anyhow::Error;
use serde_json::{Value, json};

use crate::filter;
use crate::model::{chain, inert};
use crate::workbench;

/// The document of a value. What JSON itself lets stand of characters that act is escaped as well; outside of strings there are none.
pub(super) fn document(value: &Value) -> String {
    escaped(&format!("{value:#}"))
}

/// The same in one line, which YAML reads as well.
pub(super) fn one_line(value: &Value) -> String {
    escaped(&value.to_string())
}

fn escaped(text: &str) -> String {
    // All of them have four digits.
    let escape = |c, out: &mut String| out.push_str(&format!("\\u{:04x}", u32::from(c)));
    inert(text, escape).into_owned()
}

/// Why a command failed: `error`, and as far as it is known `filter`, and `at`: where in its configuration, or at which series.
pub(super) fn failure(error: &Error) -> Value {
    let mut told = json!({ "error": chain(error.as_ref()) });
    let (filter, at) = error.chain().find_map(place).unwrap_or_default();
    for (field, known) in [("filter", filter), ("at", at)] {
        if let Some(known) = known {
            told[field] = json!(known);
        }
    }
    told
}

/// The filter, and the place.
fn place(cause: &(dyn StdError + 'static)) -> Option<(Option<String>, Option<String>)> {
    let failed = match cause.downcast_ref::<workbench::Error>() {
        Some(workbench::Error::Failed(failed)) => Some(failed.at()),
        _ => None,
    };
    let error = match cause.downcast_ref::<workbench::Error>() {
        Some(error) => error.filter()?,
        None => cause.downcast_ref::<filter::Error>()?,
    };
    Some((error.filter().map(str::to_owned), failed.or_else(|| error.at())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_holds_nothing_that_acts_and_says_the_same() {
        let value = json!({ "a": "\x1b\u{9b}2J\u{7f}\u{202e}ü\n" });
        let text = document(&value);
        assert_eq!(text, "{\n  \"a\": \"\\u001b\\u009b2J\\u007f\\u202eü\\n\"\n}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }

    #[test]
    fn a_failure_is_told_with_the_filter_and_the_place() {
        let config = filter::Error::Config {
            filter: "mine".into(),
            at: "config".into(),
            path: "rules[0]".into(),
            message: "no".into(),
        };
        let told = failure(&Error::from(workbench::Error::from(config)).context("a"));
        let expected = json!({ "error": "a: filter mine: config.rules[0]: no", "filter": "mine", "at": "config.rules[0]" });
        assert_eq!(told, expected);
        assert_eq!(failure(&anyhow::anyhow!("b")), json!({ "error": "b" }));
    }
}
