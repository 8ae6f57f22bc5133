//! common::pattern: the regular expressions that selectors are mostly made of.
//!
//! In: alternatives, groups, `.`, `.*`, `.+` and characters, in RE2's syntax. Out: whether a whole text matches, as Prometheus
//! says. Never: an expression read in another way than RE2 reads it; what is not known is refused.

use std::iter::Peekable;
use std::str::Chars;

/// Alternatives of one expression, groups multiplied out.
const ALTERNATIVES_MAX: usize = 1_000;
/// How deep groups may nest.
const NESTING_MAX: usize = 16;

/// A compiled expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern(Vec<Vec<Piece>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    /// This character.
    Char(char),
    /// One character.
    One,
    /// Any number of characters.
    Many,
}

impl Pattern {
    /// Reads an expression; the error says what it holds that is not known here.
    pub(crate) fn new(text: &str) -> Result<Pattern, String> {
        let mut chars = text.chars().peekable();
        let alternatives = alternatives(&mut chars, 0)?;
        match chars.next() {
            None => Ok(Pattern(alternatives)),
            Some(_) => Err("`)` closes nothing; write `\\)` for the character".into()),
        }
    }

    /// Whether the whole of `text` matches.
    pub(crate) fn matches(&self, text: &str) -> bool {
        self.0.iter().any(|pieces| matches(pieces, text))
    }
}

/// Up to the end, or up to the parenthesis that closes the group.
fn alternatives(chars: &mut Peekable<Chars<'_>>, depth: usize) -> Result<Vec<Vec<Piece>>, String> {
    let (mut all, mut current) = (Vec::new(), vec![Vec::new()]);
    while let Some(&c) = chars.peek() {
        if c == ')' {
            break;
        }
        chars.next();
        match c {
            '|' => all.append(&mut std::mem::replace(&mut current, vec![Vec::new()])),
            '(' => current = product(&current, &group(chars, depth + 1)?)?,
            '.' => {
                let pieces = match chars.next_if(|next| matches!(next, '*' | '+')) {
                    Some('*') => vec![Piece::Many],
                    Some(_) => vec![Piece::One, Piece::Many],
                    None => vec![Piece::One],
                };
                current = product(&current, &[pieces])?;
            }
            c => {
                let piece = Piece::Char(character(c, chars)?);
                current.iter_mut().for_each(|pieces| pieces.push(piece));
            }
        }
    }
    all.append(&mut current);
    if all.len() > ALTERNATIVES_MAX { Err(too_many()) } else { Ok(all) }
}

fn group(chars: &mut Peekable<Chars<'_>>, depth: usize) -> Result<Vec<Vec<Piece>>, String> {
    if depth > NESTING_MAX {
        return Err(format!("groups nest deeper than {NESTING_MAX}"));
    }
    if chars.next_if_eq(&'?').is_some() && chars.next() != Some(':') {
        return Err(unknown("(?"));
    }
    let inside = alternatives(chars, depth)?;
    if chars.next().is_none() {
        return Err("`(` is never closed; write `\\(` for the character".into());
    }
    Ok(inside)
}

/// The character that `c` stands for.
fn character(c: char, chars: &mut Peekable<Chars<'_>>) -> Result<char, String> {
    match c {
        '\\' => match chars.next() {
            Some(escaped) if escaped.is_ascii_punctuation() => Ok(escaped),
            Some(escaped) => Err(unknown(&format!("\\{escaped}"))),
            None => Err("it ends with a single `\\`".into()),
        },
        '^' | '$' => Err(format!("`{c}` is not needed: a value has to match as a whole")),
        '[' | ']' | '{' | '}' | '*' | '+' | '?' => Err(unknown(&c.to_string())),
        c => Ok(c),
    }
}

fn unknown(what: &str) -> String {
    format!(
        "`{what}` is not known here; use `|`, groups, `.`, `.*`, `.+`, and `\\` before a character that means itself"
    )
}

fn too_many() -> String {
    format!("it stands for more than {ALTERNATIVES_MAX} alternatives; use `.*`, or several rules")
}

/// Everything of the one, followed by everything of the other.
fn product(left: &[Vec<Piece>], right: &[Vec<Piece>]) -> Result<Vec<Vec<Piece>>, String> {
    if left.len() * right.len() > ALTERNATIVES_MAX {
        return Err(too_many());
    }
    Ok(left.iter().flat_map(|left| right.iter().map(|right| [&left[..], right].concat())).collect())
}

/// Goes back only to the last `Many` it passed, which is enough: time is bounded by pieces × characters.
fn matches(pieces: &[Piece], text: &str) -> bool {
    let (mut place, mut rest) = (0, text);
    let mut last_many: Option<(usize, &str)> = None;
    loop {
        match (pieces.get(place), rest.chars().next()) {
            (None, None) => return true,
            (Some(Piece::Many), _) => {
                place += 1;
                last_many = Some((place, rest));
            }
            (Some(Piece::One), Some(c)) => (place, rest) = (place + 1, &rest[c.len_utf8()..]),
            (Some(Piece::Char(due)), Some(c)) if *due == c => {
                (place, rest) = (place + 1, &rest[c.len_utf8()..]);
            }
            _ => {
                // The last `Many` takes one character more.
                let Some((after, from)) = last_many else { return false };
                let Some(c) = from.chars().next() else { return false };
                (place, rest) = (after, &from[c.len_utf8()..]);
                last_many = Some((after, rest));
            }
        }
    }
}
