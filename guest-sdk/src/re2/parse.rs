//! re2::parse: Go's regular expression syntax, read as `regexp/syntax` reads it with Perl flags.
//!
//! In: a pattern. Out: its tree and its groups' names. Never: recursion deeper than `NESTING_MAX`.

use regex_syntax::hir::ClassUnicode;

use super::ast::{Look, Node};
use super::budget::{self, Budget};
use super::error::Error;
use super::{NESTING_MAX, PATTERN_BYTES_MAX};

/// Go's largest repetition count, also for the product of nested ones.
const REPEAT_MAX: u64 = 1000;

/// A pattern and what is known of its groups.
pub(super) struct Parsed {
    /// The tree.
    pub(super) node: Node,
    /// Group number and name, in order; Go lets two groups share a name.
    pub(super) names: Vec<(usize, String)>,
    /// Byte positions after the `?` of every `(?<name>`.
    pub(super) short_names: Vec<usize>,
}

/// The flags that can be switched inside a pattern.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flags {
    pub(super) fold_case: bool,
    pub(super) multi_line: bool,
    pub(super) dot_newline: bool,
    pub(super) ungreedy: bool,
}

/// A part of a sequence.
pub(super) struct Item {
    pub(super) node: Node,
    /// The largest product of nested repetition counts in it.
    pub(super) weight: u64,
    /// Its size; see [`budget`].
    pub(super) size: usize,
}

/// The state of reading one pattern.
pub(super) struct Parser<'p> {
    pub(super) text: &'p str,
    pub(super) at: usize,
    pub(super) flags: Flags,
    pub(super) captures: usize,
    pub(super) names: Vec<(usize, String)>,
    pub(super) short_names: Vec<usize>,
    /// What there is room for.
    room: usize,
    /// What making its sets took, in the same measure.
    made: usize,
}

/// Reads a pattern as if it stood in `^(?s:…)$`, and takes its size out of the budget.
pub(super) fn parse(pattern: &str, budget: &mut Budget) -> Result<Parsed, Error> {
    if pattern.len() > PATTERN_BYTES_MAX {
        let cause = format!("the regular expression is longer than {PATTERN_BYTES_MAX} bytes");
        return Err(Error::at(pattern, 0, cause, "split it into several entries"));
    }
    let flags = Flags { fold_case: false, multi_line: false, dot_newline: true, ungreedy: false };
    let (names, short_names) = (Vec::new(), Vec::new());
    let (room, made) = (budget.left(), 0);
    let mut parser = Parser { text: pattern, at: 0, flags, captures: 0, names, short_names, room, made };
    let read = parser.alternation(0);
    budget.spend(read.as_ref().map_or(0, |item| item.size).max(parser.made));
    if budget.is_exhausted() {
        let cause = format!("the regular expressions come to more than a size of {}", budget.size_max());
        return Err(Error::at(pattern, 0, cause, "use smaller counts and sets, or fewer expressions"));
    }
    Ok(Parsed { node: read?.node, names: parser.names, short_names: parser.short_names })
}

impl Parser<'_> {
    pub(super) fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub(super) fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    /// Whether the text goes on with `prefix`; if so, steps over it.
    pub(super) fn eat(&mut self, prefix: &str) -> bool {
        let found = self.rest().starts_with(prefix);
        if found {
            self.at += prefix.len();
        }
        found
    }

    pub(super) fn error(&self, at: usize, cause: impl Into<String>, cure: impl Into<String>) -> Error {
        Error::at(self.text, at, cause, cure)
    }

    /// Counts the making of a set. Fails if there is no room for it, which [`parse`] then tells.
    pub(super) fn made(&mut self, size: usize) -> Result<(), Error> {
        self.made = self.made.saturating_add(size);
        if self.made <= self.room { Ok(()) } else { Err(self.error(self.at, "there is no room", "")) }
    }

    /// Adds to a set every character that is the same as one of it but for case.
    pub(super) fn fold(&mut self, class: &mut ClassUnicode) -> Result<(), Error> {
        let characters = class.ranges().iter().map(|range| range.end() as usize - range.start() as usize + 1);
        self.made(budget::of_folding(characters.sum()))?;
        fold(class);
        Ok(())
    }

    /// Everything up to the end of the pattern, or to the `)` of the group that is open.
    pub(super) fn alternation(&mut self, depth: usize) -> Result<Item, Error> {
        if depth > NESTING_MAX {
            let cause = format!("groups nest deeper than {NESTING_MAX}");
            return Err(self.error(self.at, cause, "flatten the expression"));
        }
        let mut branches = Vec::new();
        let mut items = Vec::new();
        let mut after_repeat = false;
        while let Some(c) = self.peek() {
            let start = self.at;
            let repeats = match c {
                ')' if depth == 0 => {
                    return Err(self.error(start, "`)` closes nothing", r"remove it, or write `\)`"));
                }
                ')' => break,
                '|' => {
                    self.at += 1;
                    branches.push(sequence(std::mem::take(&mut items)));
                    false
                }
                '*' | '+' | '?' | '{' => self.repetition(&mut items, after_repeat)?,
                _ => {
                    self.atom(c, &mut items, depth)?;
                    false
                }
            };
            after_repeat = repeats;
        }
        branches.push(sequence(items));
        let (weight, size) = measure(&branches);
        let mut nodes: Vec<Node> = branches.into_iter().map(|branch| branch.node).collect();
        let node = if nodes.len() == 1 { nodes.remove(0) } else { Node::Alternate(nodes) };
        Ok(Item { node, weight, size })
    }

    /// One element of a sequence; a flag group or an empty quotation adds nothing.
    fn atom(&mut self, c: char, items: &mut Vec<Item>, depth: usize) -> Result<(), Error> {
        match c {
            '(' => items.extend(self.group(depth)?),
            '[' => items.push(leaf(self.class()?)),
            '\\' => self.escaped(items)?,
            _ => {
                self.at += c.len_utf8();
                let node = match c {
                    '^' if self.flags.multi_line => Node::Look(Look::LineStart),
                    '^' => Node::Look(Look::TextStart),
                    '$' if self.flags.multi_line => Node::Look(Look::LineEnd),
                    '$' => Node::Look(Look::TextEnd),
                    '.' if self.flags.dot_newline => Node::AnyChar,
                    '.' => Node::AnyCharButNewline,
                    _ => self.literal(c),
                };
                items.push(leaf(node));
            }
        }
        Ok(())
    }

    /// `c` itself, or with `i` every character that is the same but for case.
    pub(super) fn literal(&self, c: char) -> Node {
        if !self.flags.fold_case {
            return Node::Literal(c);
        }
        let mut class = super::class::set(&[(c, c)]);
        fold(&mut class);
        match class.ranges() {
            [only] if only.start() == only.end() => Node::Literal(c),
            _ => Node::Class(class),
        }
    }

    /// `*`, `+`, `?`, `{2,3}`, applied to the last item. A brace that is no count is itself.
    fn repetition(&mut self, items: &mut Vec<Item>, after_repeat: bool) -> Result<bool, Error> {
        let start = self.at;
        let Some((min, max)) = self.counts()? else {
            self.at += 1;
            items.push(leaf(self.literal('{')));
            return Ok(false);
        };
        let lazy = self.eat("?");
        let written = &self.text[start..self.at];
        if after_repeat {
            let cause = format!("`{written}` repeats a repetition");
            return Err(self.error(start, cause, "put the first one into a group: `(?:…)`"));
        }
        let Some(Item { node, weight, size }) = items.pop() else {
            let cause = format!("nothing stands before `{written}` to repeat");
            let cure = match written {
                "*" => r"write `.*` for any text, or `\*` for the character",
                _ => r"put what to repeat before it, or `\` for the character itself",
            };
            return Err(self.error(start, cause, cure));
        };
        let counted = self.text.as_bytes()[start] == b'{';
        let weight = if counted { weight.saturating_mul(factor(min, max)) } else { weight };
        if counted && (min >= 2 || max.is_some_and(|max| max >= 2)) && weight > REPEAT_MAX {
            let cause = format!("nested counts repeat more than {REPEAT_MAX} times in all");
            return Err(self.error(start, cause, "use smaller counts, or `*`"));
        }
        let greedy = lazy == self.flags.ungreedy;
        let size = size.saturating_mul(factor(min, max) as usize);
        items.push(Item { node: Node::Repeat { node: Box::new(node), min, max, greedy }, weight, size });
        Ok(true)
    }

    /// The counts of the repetition here, stepping over it; none if a brace opens no count.
    fn counts(&mut self) -> Result<Option<(u32, Option<u32>)>, Error> {
        let simple = match self.peek() {
            Some('*') => Some((0, None)),
            Some('+') => Some((1, None)),
            Some('?') => Some((0, Some(1))),
            _ => None,
        };
        if simple.is_some() {
            self.at += 1;
            return Ok(simple);
        }
        let Some(inside) = self.rest()[1..].split_once('}').map(|(inside, _)| inside) else {
            return Ok(None);
        };
        let (min, max) = match inside.split_once(',') {
            None => (number(inside), Some(number(inside))),
            Some((min, "")) => (number(min), None),
            Some((min, max)) => (number(min), Some(number(max))),
        };
        let (Some(min), true) = (min, max.is_none_or(|max| max.is_some())) else { return Ok(None) };
        let max = max.flatten();
        let start = self.at;
        self.at += inside.len() + 2;
        let written = &self.text[start..self.at];
        if min.max(max.unwrap_or(0)) > REPEAT_MAX {
            let cause = format!("`{written}` repeats more than {REPEAT_MAX} times");
            return Err(self.error(start, cause, format!("use at most {REPEAT_MAX}, or `*`")));
        }
        if max.is_some_and(|max| max < min) {
            let cause = format!("`{written}` has its larger count first");
            return Err(self.error(start, cause, "write the smaller count first"));
        }
        Ok(Some((min as u32, max.map(|max| max as u32))))
    }
}

/// A count without leading zeros, as Go reads it; a huge one is just too large.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let leading_zero = text.len() > 1 && text.starts_with('0');
    (digits && !leading_zero).then(|| text.parse().unwrap_or(u64::MAX))
}

/// What a counted repetition multiplies the counts inside it by.
fn factor(min: u32, max: Option<u32>) -> u64 {
    max.unwrap_or(min.max(1)).into()
}

/// An item without repetitions in it.
pub(super) fn leaf(node: Node) -> Item {
    let size = match &node {
        Node::Class(class) => class.ranges().len().max(1),
        // As many ranges of bytes encode any character.
        Node::AnyChar | Node::AnyCharButNewline => 4,
        _ => 1,
    };
    Item { node, weight: 1, size }
}

/// The weight and the size of several items.
fn measure(items: &[Item]) -> (u64, usize) {
    let weight = items.iter().map(|item| item.weight).max().unwrap_or(1);
    (weight, items.iter().fold(0, |size, item| size.saturating_add(item.size)))
}

fn sequence(items: Vec<Item>) -> Item {
    let (weight, size) = measure(&items);
    let mut nodes: Vec<Node> = items.into_iter().map(|item| item.node).collect();
    let node = match nodes.len() {
        0 => Node::Empty,
        1 => nodes.remove(0),
        _ => Node::Concat(nodes),
    };
    Item { node, weight, size }
}

/// Adds to a set every character that is the same as one of it but for case (Unicode's simple folding,
/// which is Go's `unicode.SimpleFold`).
fn fold(class: &mut ClassUnicode) {
    // The tables are compiled in (feature `unicode-case`), so folding cannot fail.
    let folded = class.try_case_fold_simple();
    debug_assert!(folded.is_ok(), "regex-syntax was built without its case folding tables");
}
