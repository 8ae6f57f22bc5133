//! re2::regex: compiled patterns.
//!
//! In: a pattern. Out: whether a whole text matches, and what its groups took.
//! Never: more than linear time in the text, or more than `COMPILED_BYTES_MAX` compiled.

use std::ops::Range;
use std::sync::Arc;

use regex::bytes;

use super::ast::Node;
use super::budget::Budget;
use super::error::Error;
use super::parse::{Parsed, parse};
use super::shape::Shape;
use super::{COMPILED_BYTES_MAX, NESTING_MAX, emit};

/// A compiled pattern that matches whole texts. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Regex(Arc<Life>);

/// What a pattern became.
#[derive(Debug)]
enum Life {
    /// Literals and gaps only: no automaton needed.
    Shape(Shape),
    /// Everything else. Over bytes, because only there the engine offers ASCII word boundaries; an
    /// anchored search over characters still only ever stops between characters.
    Automaton(bytes::Regex),
}

impl Regex {
    /// See [`super::anchored`].
    pub(super) fn new(pattern: &str) -> Result<Regex, Error> {
        Regex::of(pattern, &parse(pattern, &mut Budget::unlimited())?)
    }

    /// The same, of what was read already.
    pub(super) fn of(pattern: &str, parsed: &Parsed) -> Result<Regex, Error> {
        if let Some(shape) = Shape::of(&parsed.node) {
            return Ok(Regex(Arc::new(Life::Shape(shape))));
        }
        Ok(Regex(Arc::new(Life::Automaton(compile(pattern, &parsed.node)?))))
    }

    /// Whether the whole of `text` matches.
    pub fn is_match(&self, text: &str) -> bool {
        match &*self.0 {
            Life::Shape(shape) => shape.is_match(text),
            Life::Automaton(regex) => regex.is_match(text.as_bytes()),
        }
    }

    /// All the texts that match, if they are few enough to be listed: `a|b`, `node_(cpu|disk)`.
    /// Sorted, every text once.
    pub fn finite(&self) -> Option<&[String]> {
        match &*self.0 {
            Life::Shape(shape) => shape.finite(),
            Life::Automaton(_) => None,
        }
    }
}

/// A compiled pattern that matches whole texts and tells what its groups took. Cheap to clone.
#[derive(Debug, Clone)]
pub struct CapturingRegex {
    regex: bytes::Regex,
    names: Vec<(usize, String)>,
}

/// What the groups of a pattern took of one text.
#[derive(Debug)]
pub struct Captures<'r, 't> {
    text: &'t str,
    locations: bytes::CaptureLocations,
    names: &'r [(usize, String)],
}

impl CapturingRegex {
    /// See [`super::capturing_within`].
    pub(super) fn new(pattern: &str, budget: &mut Budget) -> Result<CapturingRegex, Error> {
        let Parsed { node, names, .. } = parse(pattern, budget)?;
        Ok(CapturingRegex { regex: compile(pattern, &node)?, names })
    }

    /// Whether the whole of `text` matches.
    pub fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text.as_bytes())
    }

    /// The first group that `template` refers to, by the rules of [`Captures::expand`], and that the pattern does not have.
    pub fn missing_group<'t>(&self, template: &'t str) -> Option<&'t str> {
        references(template).find(|name| match is_number(name) {
            true => name.parse().map_or(true, |index: usize| index >= self.regex.captures_len()),
            false => !self.names.iter().any(|(_, known)| known == name),
        })
    }

    /// The pattern's groups as a template refers to them, `$1` or `${name}`, in the order of the pattern.
    pub fn groups(&self) -> impl Iterator<Item = String> {
        (1..self.regex.captures_len()).map(|group| {
            let name = self.names.iter().find_map(|(index, name)| (*index == group).then_some(name));
            name.map_or_else(|| format!("${group}"), |name| format!("${{{name}}}"))
        })
    }

    /// The groups, if the whole of `text` matches.
    pub fn captures<'r, 't>(&'r self, text: &'t str) -> Option<Captures<'r, 't>> {
        let mut locations = self.regex.capture_locations();
        self.regex.captures_read(&mut locations, text.as_bytes())?;
        Some(Captures { text, locations, names: &self.names })
    }
}

impl Captures<'_, '_> {
    /// What group `index` took; 0 is the whole text. None if it does not exist or took no part.
    pub fn get(&self, index: usize) -> Option<&str> {
        let (start, end) = self.locations.get(index)?;
        self.text.get(Range { start, end })
    }

    /// What the first group of this name that took part took.
    pub fn named(&self, name: &str) -> Option<&str> {
        self.names.iter().filter(|(_, n)| n == name).find_map(|&(index, _)| self.get(index))
    }

    /// Appends `template` with `$1`, `${1}`, `$name` and `${name}` replaced by what the groups took, by the
    /// rules of Go's `Regexp.Expand`: the longest name counts (`$1x` is the group `1x`), an unknown group is
    /// empty, `$$` is a dollar, and a `$` that begins no name is itself.
    pub fn expand(&self, template: &str, out: &mut String) {
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('$') {
            out.push_str(before);
            if let Some(after) = after.strip_prefix('$') {
                out.push('$');
                rest = after;
            } else if let Some((name, after)) = group_name(after) {
                out.push_str(self.by_reference(name).unwrap_or_default());
                rest = after;
            } else {
                out.push('$');
                rest = after;
            }
        }
        out.push_str(rest);
    }

    fn by_reference(&self, name: &str) -> Option<&str> {
        if is_number(name) { self.get(name.parse().ok()?) } else { self.named(name) }
    }
}

/// The groups that a template refers to.
fn references(template: &str) -> impl Iterator<Item = &str> {
    let mut rest = template;
    std::iter::from_fn(move || {
        loop {
            let (_, after) = rest.split_once('$')?;
            rest = after;
            if let Some(after) = after.strip_prefix('$') {
                rest = after;
            } else if let Some((name, after)) = group_name(after) {
                rest = after;
                return Some(name);
            }
        }
    })
}

fn is_number(name: &str) -> bool {
    name.bytes().all(|b| b.is_ascii_digit())
}

/// The group reference after a `$`, and what follows it.
fn group_name(after: &str) -> Option<(&str, &str)> {
    let (inside, brace) = match after.strip_prefix('{') {
        Some(inside) => (inside, true),
        None => (after, false),
    };
    // Go takes any Unicode letter or digit into a name, though no group can be called so.
    let end = inside.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(inside.len());
    let (name, rest) = inside.split_at(end);
    let rest = if brace { rest.strip_prefix('}')? } else { rest };
    (!name.is_empty()).then_some((name, rest))
}

fn compile(pattern: &str, node: &Node) -> Result<bytes::Regex, Error> {
    bytes::RegexBuilder::new(&emit::anchored(node))
        .size_limit(COMPILED_BYTES_MAX)
        // Each of our nesting levels is written as at most a few of the engine's.
        .nest_limit(NESTING_MAX as u32 * 4)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => {
                let cause =
                    format!("the regular expression needs more than {COMPILED_BYTES_MAX} bytes compiled");
                Error::at(
                    pattern,
                    0,
                    cause,
                    "use smaller repetition counts, or split it into several entries",
                )
            }
            // Not reached: what `emit` writes is valid. Kept as an error, so that a mistake there is a
            // refused pattern and not a crash.
            other => Error::at(pattern, 0, other.to_string(), "write the expression in another way"),
        })
}
