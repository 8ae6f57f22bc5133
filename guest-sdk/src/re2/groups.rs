//! re2::groups: `( … )`, `(?: … )`, `(?P<name> … )`, `(?flags)` and `[ … ]`.

use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};

use super::ast::Node;
use super::budget;
use super::class;
use super::error::Error;
use super::parse::{Flags, Item, Parser};

/// What the inside of `(?` turned out to be.
enum Opened {
    /// `(?i)`: from here on, to the end of the group around it.
    Flags,
    /// `(?:` or `(?i:`.
    Group,
}

impl Parser<'_> {
    /// A group; none if it only set flags.
    pub(super) fn group(&mut self, depth: usize) -> Result<Option<Item>, Error> {
        let start = self.at;
        let outer = self.flags;
        let captures = if self.rest().starts_with("(?P<") || self.rest().starts_with("(?<") {
            self.name()?;
            true
        } else if self.eat("(?") {
            if let Opened::Flags = self.flag_group(start)? {
                return Ok(None);
            }
            false
        } else {
            self.at += 1;
            self.captures += 1;
            true
        };
        let Item { node, weight, size } = self.alternation(depth + 1)?;
        if !self.eat(")") {
            return Err(self.error(start, "`(` is never closed", r"add `)`, or write `\(`"));
        }
        self.flags = outer;
        let node = if captures { Node::Capture(Box::new(node)) } else { node };
        Ok(Some(Item { node, weight, size }))
    }

    /// `(?P<name>` or `(?<name>`.
    fn name(&mut self) -> Result<(), Error> {
        let start = self.at;
        if self.eat("(?<") {
            self.short_names.push(start + 2);
        } else {
            self.at += "(?P<".len();
        }
        let name = self.rest().split_once('>').map(|(name, _)| name).unwrap_or_default();
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            let cause = "a group's name is not closed, or is not made of letters, digits and `_`";
            let cure = "write `(?P<name>…)`; look-behind, as in `(?<=…)`, is not supported";
            return Err(self.error(start, cause, cure));
        }
        let name = name.to_owned();
        self.at += name.len() + 1;
        self.captures += 1;
        self.names.push((self.captures, name));
        Ok(())
    }

    /// The flags after `(?`, up to and including `:` or `)`.
    fn flag_group(&mut self, start: usize) -> Result<Opened, Error> {
        let mut flags = self.flags;
        let (mut on, mut any) = (true, false);
        loop {
            let at = self.at;
            match self.next() {
                Some('-') if on => (on, any) = (false, false),
                Some(flag @ ('i' | 'm' | 's' | 'U')) => {
                    set_flag(&mut flags, flag, on);
                    any = true;
                }
                Some(end @ (':' | ')')) if on || any => {
                    self.flags = flags;
                    return Ok(if end == ':' { Opened::Group } else { Opened::Flags });
                }
                other => return Err(self.bad_flag(start, at, other)),
            }
        }
    }

    fn bad_flag(&self, start: usize, at: usize, found: Option<char>) -> Error {
        let cure = "the flags are i, m, s and U, as in `(?i)` or `(?i:…)`; a plain group is `(?:…)`";
        match found {
            None => self.error(start, "`(?` is never closed", cure),
            Some('=' | '!') => self.error(start, "look-around is not supported", "match the text itself"),
            Some('x') => self.error(at, "the flag `x` does not exist here", cure),
            Some(c) => self.error(at, format!("`{c}` is not a flag"), cure),
        }
    }

    /// `[…]`.
    pub(super) fn class(&mut self) -> Result<Node, Error> {
        let start = self.at;
        self.at += 1;
        let negated = self.eat("^");
        let mut set = ClassUnicode::empty();
        let mut first = true;
        while first || self.peek() != Some(']') {
            first = false;
            let part = if self.rest().starts_with("[:") && self.rest()[2..].contains(":]") {
                self.named_class()?
            } else if let Some(class) = self.escaped_class()? {
                class
            } else {
                self.range(start)?
            };
            set.union(&part);
            self.made(budget::of_ordering(set.ranges().len()))?;
        }
        self.at += 1;
        if negated {
            set.negate();
        }
        Ok(Node::Class(set))
    }

    /// `[:alpha:]` or `[:^alpha:]`, inside a class.
    fn named_class(&mut self) -> Result<ClassUnicode, Error> {
        let start = self.at;
        let inside = self.rest()[2..].split_once(":]").map(|(inside, _)| inside).unwrap_or_default();
        let name = inside.strip_prefix('^').unwrap_or(inside);
        let Some(set) = class::posix(name) else {
            let cause = format!("`[:{inside}:]` is not a class");
            return Err(self.error(start, cause, "use one such as `[:alpha:]`, `[:digit:]`, `[:alnum:]`"));
        };
        let negated = name.len() < inside.len();
        self.at += inside.len() + 4;
        self.signed(set, negated)
    }

    /// A set under the flags and the sign it was written with: case is folded before it is negated.
    pub(super) fn signed(&mut self, mut set: ClassUnicode, negated: bool) -> Result<ClassUnicode, Error> {
        if self.flags.fold_case {
            self.fold(&mut set)?;
        }
        if negated {
            set.negate();
        }
        Ok(set)
    }

    /// `a` or `a-z`, inside the class that began at `class_start`.
    fn range(&mut self, class_start: usize) -> Result<ClassUnicode, Error> {
        let start = self.at;
        let low = self.class_char(class_start)?;
        let mut high = low;
        if self.rest().starts_with('-') && !self.rest()[1..].starts_with(']') && self.rest().len() > 1 {
            self.at += 1;
            high = self.class_char(class_start)?;
            if high < low {
                let cause = format!("the range `{}` runs backwards", &self.text[start..self.at]);
                return Err(self.error(start, cause, r"write the smaller end first, or `\-` for a dash"));
            }
        }
        let mut set = between(low, high);
        if self.flags.fold_case {
            self.fold(&mut set)?;
        }
        Ok(set)
    }

    fn class_char(&mut self, class_start: usize) -> Result<u32, Error> {
        match self.peek() {
            None => Err(self.error(class_start, "`[` is never closed", r"add `]`, or write `\[`")),
            Some('\\') => self.escape(),
            Some(c) => {
                self.at += c.len_utf8();
                Ok(c.into())
            }
        }
    }
}

/// The characters among these code points. Go may name surrogates, but no text has them.
fn between(low: u32, high: u32) -> ClassUnicode {
    let low = if (0xD800..0xE000).contains(&low) { 0xE000 } else { low };
    let high = if (0xD800..0xE000).contains(&high) { 0xD7FF } else { high };
    match (char::from_u32(low), char::from_u32(high)) {
        (Some(low), Some(high)) if low <= high => ClassUnicode::new([ClassUnicodeRange::new(low, high)]),
        _ => ClassUnicode::empty(),
    }
}

fn set_flag(flags: &mut Flags, flag: char, on: bool) {
    match flag {
        'i' => flags.fold_case = on,
        'm' => flags.multi_line = on,
        's' => flags.dot_newline = on,
        _ => flags.ungreedy = on,
    }
}
