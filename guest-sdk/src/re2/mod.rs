//! re2: regular expressions as Prometheus reads them, run by Rust's `regex`.
//!
//! In: a pattern in Go's RE2 syntax (`regexp/syntax` with Perl flags). Out: an anchored, case-sensitive
//! [`Regex`] of bounded size that matches in time linear in the text.
//! Never: Rust's reading of a pattern where Go's differs. The pattern is parsed as Go parses it and written
//! down again with explicit sets and groups, so that nothing is left to the engine's interpretation.
//!
//! Anchoring is Prometheus 3's, `^(?s:…)$`: a dot matches a newline too.

mod ast;
mod budget;
mod class;
mod emit;
mod error;
mod escape;
mod groups;
mod parse;
mod regex;
mod shape;

pub use budget::Budget;
pub use error::Error;
pub use regex::{Captures, CapturingRegex, Regex};

/// The longest pattern that is read, in bytes. Go has no such limit; five hundred long names fit.
pub const PATTERN_BYTES_MAX: usize = 64 << 10;

/// The largest compiled form that is accepted, in bytes.
pub const COMPILED_BYTES_MAX: usize = 1 << 20;

/// How deep groups may nest. Go's limit is 1,000; ours keeps the stack of a filter safe.
pub const NESTING_MAX: usize = 200;

/// Compiles `pattern` for whole-text matching.
pub fn anchored(pattern: &str) -> Result<Regex, Error> {
    Regex::new(pattern)
}

/// [`anchored`] and [`portable`] at once, if there is room for the pattern.
pub(crate) fn anchored_within(pattern: &str, budget: &mut Budget) -> Result<(Regex, String), Error> {
    let parsed = parse::parse(pattern, budget)?;
    Ok((Regex::of(pattern, &parsed)?, respelled(pattern, &parsed)))
}

/// Compiles `pattern` for whole-text matching with groups, as relabeling needs it.
pub fn capturing(pattern: &str) -> Result<CapturingRegex, Error> {
    capturing_within(pattern, &mut Budget::unlimited())
}

/// [`capturing`], if there is room for the pattern.
pub fn capturing_within(pattern: &str, budget: &mut Budget) -> Result<CapturingRegex, Error> {
    CapturingRegex::new(pattern, budget)
}

/// `pattern` in the spelling that every Prometheus understands: `(?<name>…)` came with Go 1.22 and
/// becomes `(?P<name>…)`. Nothing else changes.
pub fn portable(pattern: &str) -> Result<String, Error> {
    parse::parse(pattern, &mut Budget::unlimited()).map(|parsed| respelled(pattern, &parsed))
}

fn respelled(pattern: &str, parsed: &parse::Parsed) -> String {
    let mut text = pattern.to_owned();
    for &at in parsed.short_names.iter().rev() {
        text.insert(at, 'P');
    }
    text
}

/// `text` as a pattern that matches exactly it, as Go's `regexp.QuoteMeta` writes it.
pub fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted
}

#[cfg(test)]
mod tests;
