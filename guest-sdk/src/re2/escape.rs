//! re2::escape: everything that begins with a backslash.

use regex_syntax::hir::ClassUnicode;

use super::ast::{Look, Node};
use super::class;
use super::error::Error;
use super::parse::{Item, Parser, leaf};

/// The cure for a backslash before the wrong character.
const ESCAPE_CURE: &str =
    r"write `\\` for a backslash; known are \d \w \s \b, \pL, \n \t, \x41, \Q…\E and \ before punctuation";

impl Parser<'_> {
    /// An escape outside a class.
    pub(super) fn escaped(&mut self, items: &mut Vec<Item>) -> Result<(), Error> {
        if self.rest().starts_with("\\Q") {
            return self.quotation(items);
        }
        if let Some(class) = self.escaped_class()? {
            items.push(leaf(Node::Class(class)));
            return Ok(());
        }
        let look = match self.rest().as_bytes().get(1) {
            Some(b'A') => Some(Look::TextStart),
            Some(b'z') => Some(Look::TextEnd),
            Some(b'b') => Some(Look::WordBoundary),
            Some(b'B') => Some(Look::NotWordBoundary),
            _ => None,
        };
        if let Some(look) = look {
            self.at += 2;
            items.push(leaf(Node::Look(look)));
            return Ok(());
        }
        // A surrogate can be written, but no text has it: it matches nothing.
        let node = match char::from_u32(self.escape()?) {
            Some(c) => self.literal(c),
            None => Node::Class(ClassUnicode::empty()),
        };
        items.push(leaf(node));
        Ok(())
    }

    /// `\Q…\E`: every character stands for itself.
    fn quotation(&mut self, items: &mut Vec<Item>) -> Result<(), Error> {
        let start = self.at;
        self.at += 2;
        // Prometheus puts the pattern into a group, so an open quotation would swallow the group's end.
        let Some(quoted) = self.rest().split_once("\\E").map(|(quoted, _)| quoted.to_owned()) else {
            return Err(self.error(start, r"`\Q` is never closed", r"add `\E`"));
        };
        items.extend(quoted.chars().map(|c| leaf(self.literal(c))));
        self.at += quoted.len() + 2;
        Ok(())
    }

    /// `\d`, `\W`, `\pN`, `\P{Greek}`, inside or outside a class.
    pub(super) fn escaped_class(&mut self) -> Result<Option<ClassUnicode>, Error> {
        let mut chars = self.rest().chars();
        let (Some('\\'), Some(letter)) = (chars.next(), chars.next()) else { return Ok(None) };
        if letter == 'p' || letter == 'P' {
            return self.unicode_class(letter == 'P').map(Some);
        }
        if !letter.is_ascii() {
            return Ok(None);
        }
        let Some(set) = class::perl(letter.to_ascii_lowercase()) else { return Ok(None) };
        self.at += 2;
        self.signed(set, letter.is_ascii_uppercase()).map(Some)
    }

    fn unicode_class(&mut self, negated: bool) -> Result<ClassUnicode, Error> {
        let start = self.at;
        self.at += 2;
        let name = if self.eat("{") {
            let Some(name) = self.rest().split_once('}').map(|(name, _)| name.to_owned()) else {
                return Err(self.error(start, r"`\p{` is never closed", "add `}`"));
            };
            self.at += name.len() + 1;
            name
        } else {
            self.next().map(String::from).unwrap_or_default()
        };
        let plain = name.strip_prefix('^').unwrap_or(&name);
        let Some(set) = class::unicode(plain) else {
            let cause = format!("`{plain}` is not a Unicode class that every Prometheus knows");
            let cure = r"use a general category such as `\p{Lu}`, or a script such as `\p{Greek}`";
            return Err(self.error(start, cause, cure));
        };
        self.made(set.ranges().len())?;
        self.signed(set, negated != (plain.len() < name.len()))
    }

    /// An escape that stands for one code point.
    pub(super) fn escape(&mut self) -> Result<u32, Error> {
        let start = self.at;
        self.at += 1;
        let Some(c) = self.next() else {
            return Err(self.error(start, "a backslash ends the expression", r"write `\\` for a backslash"));
        };
        let code = match c {
            'a' => Some(0x07),
            'f' => Some(0x0C),
            'n' => Some(0x0A),
            'r' => Some(0x0D),
            't' => Some(0x09),
            'v' => Some(0x0B),
            'x' => self.hex(),
            '0'..='7' => self.octal(c),
            _ if c.is_ascii() && !c.is_ascii_alphanumeric() => Some(c.into()),
            _ => None,
        };
        code.ok_or_else(|| {
            let written = &self.text[start..self.at];
            self.error(start, format!("`{written}` is not an escape"), ESCAPE_CURE)
        })
    }

    /// Up to three octal digits. A single one from 1 on would be a back reference.
    fn octal(&mut self, first: char) -> Option<u32> {
        let digit = |p: &Self| p.peek().and_then(|c| c.to_digit(8));
        let mut code = first.to_digit(8)?;
        if first != '0' && digit(self).is_none() {
            return None;
        }
        for _ in 0..2 {
            let Some(value) = digit(self) else { break };
            code = code * 8 + value;
            self.at += 1;
        }
        Some(code)
    }

    /// `\x41` or `\x{1F600}`.
    fn hex(&mut self) -> Option<u32> {
        if !self.eat("{") {
            let high = self.next()?.to_digit(16)?;
            let low = self.next()?.to_digit(16)?;
            return Some(high * 16 + low);
        }
        let mut code = None;
        loop {
            match self.next()? {
                '}' => return code,
                c => {
                    let value = code.unwrap_or(0) * 16 + c.to_digit(16)?;
                    code = (value <= u32::from(char::MAX)).then_some(value);
                    code?;
                }
            }
        }
    }
}
