//! pattern::unintended: what in a regular expression was probably meant otherwise.
//!
//! In: an entry that is a regular expression on the name, or failed as one. Out: a warning, or a better spelling.
//! Never: a change to what the entry means.

use sluice_filter::re2::Budget;
use sluice_filter::selector::{METRIC_NAME, MatchOp, Matcher};

use super::{Problem, is_name_byte, quoted_regex};

/// What in a valid regular expression was probably meant otherwise.
pub(super) fn warning(entry: &str, budget: &mut Budget) -> Option<Problem> {
    let position = |at: usize| entry[..at].chars().count() + 1;
    let suggested = bare_wildcard(entry).and_then(|at| Some((at, wildcards_spelled_out(entry, budget)?)));
    if let Some((at, suggestion)) = suggested {
        let before = entry[..at].chars().next_back()?;
        let cause = format!("`*` repeats the `{before}` before it and is no wildcard");
        return Some(Problem::warning(position(at), cause, format!("write `{suggestion}`")));
    }
    if let Some(at) = entry.find("{").filter(|at| entry[*at..].contains(['"', '\'', '`'])) {
        let cause = "braces and quotes inside a regular expression stand for themselves";
        let regex = Matcher::within(METRIC_NAME, MatchOp::Regex, &entry[..at], budget).ok()?;
        let inside = &entry[at + 1..];
        return Some(Problem::warning(position(at), cause, format!("write `{{{regex},{inside}`")));
    }
    let dotted = entry.bytes().all(|b| is_name_byte(b) || b == b'.');
    let at = entry.find('.').filter(|_| dotted)?;
    let cause = "`.` matches any character";
    let cure = format!("write `{{\"{entry}\"}}` for exactly this name, or `[.]` for a dot");
    Some(Problem::warning(position(at), cause, cure))
}

/// Where a `*` follows a character of a name (`http_*`) or nothing (`*_total`), as in a file name.
fn bare_wildcard(entry: &str) -> Option<usize> {
    let bytes = entry.as_bytes();
    let mut in_class = false;
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 1,
            b'[' => in_class = true,
            b']' => in_class = false,
            b'*' if !in_class && (at == 0 || is_name_byte(bytes[at - 1])) && !escaped(bytes, at) => {
                return Some(at);
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// Whether the character before `at` is the letter of an escape such as `\w`.
fn escaped(bytes: &[u8], at: usize) -> bool {
    at >= 2 && bytes[at - 2] == b'\\'
}

/// The entry with every wildcard of a file name made one of a regular expression, if that is valid.
pub(super) fn wildcards_spelled_out(entry: &str, budget: &mut Budget) -> Option<String> {
    let mut text = entry.to_owned();
    while let Some(at) = bare_wildcard(&text) {
        text.insert(at, '.');
    }
    (text != entry && quoted_regex(&text, budget).is_some()).then_some(text)
}
