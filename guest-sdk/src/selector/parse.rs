//! selector::parse: PromQL's grammar of one bare vector selector.
//!
//! In: text. Out: a selector, or where and why it is none. Never: more than one pass.

use super::error::ParseError;
use super::matcher::{MatchOp, Matcher};
use super::{METRIC_NAME, SELECTOR_BYTES_MAX, Selector, quote};
use crate::re2::Budget;

/// Reads `text`, all of it.
pub(super) fn parse(text: &str, budget: &mut Budget) -> Result<Selector, ParseError> {
    if text.len() > SELECTOR_BYTES_MAX {
        let cause = format!("the selector is longer than {SELECTOR_BYTES_MAX} bytes");
        return Err(ParseError::new(1, cause, "split it into several entries"));
    }
    Parser { text, at: 0, budget }.selector()
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
    budget: &'t mut Budget,
}

/// What stood inside the braces.
#[derive(Default)]
struct Inside {
    /// `{"http.requests"}`, with where it stood.
    name: Option<(String, usize)>,
    matchers: Vec<Matcher>,
    /// Where `__name__` stood as a label, if it did.
    name_label: Option<usize>,
}

impl Parser<'_> {
    fn selector(mut self) -> Result<Selector, ParseError> {
        self.space();
        let start = self.at;
        let name = self.word(|b| b == b':').to_owned();
        self.space();
        if name.is_empty() && self.peek() != Some('{') {
            return Err(self.no_selector());
        }
        let inside = if self.eat("{") { self.braces()? } else { Inside::default() };
        self.space();
        self.end(&name)?;
        let Inside { name: quoted, mut matchers, name_label } = inside;
        let twice = match (&quoted, name_label) {
            (Some((_, at)), _) if !name.is_empty() => Some(*at),
            (Some(_), Some(at)) => Some(at),
            (None, Some(at)) if !name.is_empty() => Some(at),
            _ => None,
        };
        if let Some(at) = twice {
            let cure = "give the name once: before the braces, in quotes, or as `__name__` matchers";
            return Err(self.error(at, "the metric's name is given twice", cure));
        }
        let name = quoted.map(|(name, _)| name).or((!name.is_empty()).then_some(name));
        if let Some(name) = name {
            matchers.push(Matcher::new(METRIC_NAME, MatchOp::Equal, &name)?);
        }
        Selector::from_matchers(matchers).map_err(|error| error.moved_to(self.position(start)))
    }

    /// Everything from after `{` up to and including `}`.
    fn braces(&mut self) -> Result<Inside, ParseError> {
        let open = self.at - 1;
        let mut inside = Inside::default();
        loop {
            self.space();
            if self.eat("}") {
                return Ok(inside);
            }
            self.item(open, &mut inside)?;
            self.space();
            if !self.eat(",") && self.peek() != Some('}') {
                return Err(self.after_item(open));
            }
        }
    }

    /// One matcher, or the metric's name in quotes.
    fn item(&mut self, open: usize, inside: &mut Inside) -> Result<(), ParseError> {
        let start = self.at;
        let quoted = matches!(self.peek(), Some('"' | '\'' | '`'));
        let label = if quoted { self.string()? } else { self.word(|_| false).to_owned() };
        if label.is_empty() && !quoted {
            return Err(self.no_label(open));
        }
        self.space();
        let Some(op) = self.operator() else {
            if !quoted {
                return Err(self.no_operator(open, &label));
            }
            if inside.name.is_some() {
                let cure = "give one name, or write `__name__=~\"a|b\"` for either";
                return Err(self.error(start, "the metric's name is given twice", cure));
            }
            inside.name = Some((label, start));
            return Ok(());
        };
        self.space();
        if !matches!(self.peek(), Some('"' | '\'' | '`')) {
            let cause = format!("the value of `{label}` is not in quotes");
            return Err(self.error(self.at, cause, format!("write `{label}{}\"value\"`", op.as_str())));
        }
        let value_at = self.at;
        let value = self.string()?;
        let position = self.position(value_at);
        inside.matchers.push(
            Matcher::within(&label, op, &value, self.budget).map_err(|error| error.moved_to(position))?,
        );
        if label == METRIC_NAME {
            inside.name_label.get_or_insert(start);
        }
        Ok(())
    }

    fn operator(&mut self) -> Option<MatchOp> {
        let all = [MatchOp::Regex, MatchOp::NotRegex, MatchOp::NotEqual, MatchOp::Equal];
        all.into_iter().find(|op| self.eat(op.as_str()))
    }

    fn string(&mut self) -> Result<String, ParseError> {
        let (value, bytes) =
            quote::read(self.rest()).map_err(|bad| self.error(self.at + bad.at, bad.cause, bad.cure))?;
        self.at += bytes;
        Ok(value)
    }

    /// A name: `[a-zA-Z_][a-zA-Z0-9_]*`, with further bytes allowed by `also`.
    fn word(&mut self, also: impl Fn(u8) -> bool) -> &str {
        let start = self.at;
        let is_first = |b: u8| b.is_ascii_alphabetic() || b == b'_' || also(b);
        let bytes = self.rest().bytes().enumerate();
        let length = bytes.take_while(|&(i, b)| is_first(b) || (i > 0 && b.is_ascii_digit())).count();
        self.at += length;
        &self.text[start..self.at]
    }

    /// Steps over white space and comments.
    fn space(&mut self) {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start_matches([' ', '\t', '\n', '\r']);
            let comment =
                if trimmed.starts_with('#') { trimmed.find('\n').unwrap_or(trimmed.len()) } else { 0 };
            let step = rest.len() - trimmed.len() + comment;
            if step == 0 {
                return;
            }
            self.at += step;
        }
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn eat(&mut self, prefix: &str) -> bool {
        let found = self.rest().starts_with(prefix);
        if found {
            self.at += prefix.len();
        }
        found
    }

    fn position(&self, at: usize) -> usize {
        self.text[..at].chars().count() + 1
    }

    fn error(&self, at: usize, cause: impl Into<String>, cure: impl Into<String>) -> ParseError {
        ParseError::new(self.position(at), cause, cure)
    }
}

/// The words for what is not there.
impl Parser<'_> {
    /// Nothing may follow the selector.
    fn end(&self, name: &str) -> Result<(), ParseError> {
        let rest = self.rest();
        let Some(next) = rest.chars().next() else { return Ok(()) };
        let is_word = |word: &str| {
            rest.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
                && !rest[word.len()..].starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        };
        let (cause, cure) = match next {
            '[' => {
                ("a range is not allowed here", "leave out `[…]`: a selector names series, not a time window")
            }
            '@' => ("`@` is not allowed here", "leave it out: samples are taken at each tick"),
            '(' => ("a function is not allowed here", "name the series it would read, without the function"),
            '}' => ("`}` closes nothing", "remove it"),
            '{' => ("a second pair of braces", "put all matchers into one pair, separated by commas"),
            _ if is_word("offset") => {
                ("an offset is not allowed here", "leave it out: samples are taken at each tick")
            }
            _ if is_word("or") || is_word("and") || is_word("unless") => {
                ("two selectors in one entry", "make each selector an entry of its own")
            }
            _ if name.is_empty() || next != ',' => {
                ("an expression is not allowed here", "keep only the selector")
            }
            _ => ("two selectors in one entry", "make each selector an entry of its own"),
        };
        Err(self.error(self.at, cause, cure))
    }

    fn no_selector(&self) -> ParseError {
        let cure = "write a metric name, or matchers in braces, such as `{job=\"webapp\"}`";
        match self.peek() {
            None => self.error(self.at, "there is nothing to select", cure),
            Some(c) => self.error(self.at, format!("a selector cannot begin with `{c}`"), cure),
        }
    }

    fn no_label(&self, open: usize) -> ParseError {
        match self.peek() {
            None => self.unbalanced(open),
            Some(',') => self.error(self.at, "a comma without a matcher before it", "remove the comma"),
            Some('{') => self.error(self.at, "braces inside braces", "write one pair of braces"),
            Some('=' | '!') => {
                self.error(self.at, "a label's name is missing", "write it before the operator")
            }
            Some(c) => {
                let cause = format!("a label's name cannot begin with `{c}`");
                self.error(self.at, cause, "write letters, digits and `_`, or put the name in quotes")
            }
        }
    }

    fn no_operator(&self, open: usize, label: &str) -> ParseError {
        let cause = match self.peek() {
            None => return self.unbalanced(open),
            Some(',' | '}') => format!("`{label}` has no operator and no value"),
            Some(c) => format!("`{c}` after `{label}` is not an operator"),
        };
        let cure =
            format!("write `{label}=\"value\"`, `{label}!=\"\"`, or a quoted metric name `\"{label}\"`");
        self.error(self.at, cause, cure)
    }

    fn after_item(&self, open: usize) -> ParseError {
        let rest = self.rest();
        if rest.is_empty() {
            return self.unbalanced(open);
        }
        let word = rest.get(..2).is_some_and(|word| word.eq_ignore_ascii_case("or"));
        if word && rest[2..].starts_with(|c: char| c.is_ascii_whitespace()) {
            return self.error(self.at, "`or` between matchers", "make each alternative an entry of its own");
        }
        self.error(self.at, "a comma is missing between two matchers", "separate matchers by commas")
    }

    fn unbalanced(&self, open: usize) -> ParseError {
        self.error(open, "`{` is never closed", "add `}` at the end")
    }
}
