//! Pattern: what one entry of `spec.metrics` means.
//!
//! In: entries as a tenant wrote them. Out: selectors, and what to tell the tenant about each entry.
//! Never: a guess. An entry that is not clearly a name, a selector or a regular expression on the name
//! grants nothing, and says what to write instead; the other entries are unaffected.

mod unintended;

use std::collections::HashMap;
use std::fmt;

use promql_parser::parser::{Expr, MatrixSelector, VectorSelector};
use sluice_filter::re2::Budget;
use sluice_filter::selector::{METRIC_NAME, MatchOp, Matcher, ParseError, Selector};

/// The longest entry that is tried as a PromQL expression, in bytes, to explain what is wrong with it. The
/// parser's tree nests as deep as its text is long, and longer entries are lists of names.
const EXPRESSION_BYTES_MAX: usize = 1024;

/// A valid entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// The one compiled form: it makes the upstream query and checks what comes back.
    pub selector: Selector,
    /// What looks unintended, though it is valid.
    pub warnings: Vec<Problem>,
}

/// How bad a [`Problem`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The entry works, but probably not as meant.
    Warning,
    /// The entry grants nothing.
    Invalid,
}

/// Something to tell the tenant about an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Whether the entry still works.
    pub severity: Severity,
    /// Where in the entry, in characters, from 1.
    pub position: usize,
    /// What is wrong, in one line.
    pub cause: String,
    /// What to write instead, in one line.
    pub cure: String,
}

/// Everything that is known of a list of entries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parsed {
    /// The valid entries' selectors, each once, in the order of the list.
    pub selectors: Vec<Selector>,
    /// Problems with the position of their entry in the list, from 0, in the order of the list.
    pub problems: Vec<(usize, Problem)>,
}

impl Parsed {
    /// The entries that grant nothing.
    pub fn invalid(&self) -> impl Iterator<Item = &(usize, Problem)> {
        self.problems.iter().filter(|(_, problem)| problem.severity == Severity::Invalid)
    }
}

/// Reads a list of entries. A bad one never makes another fail; one that repeats another is left out, with a
/// warning. Where the budget is exhausted, the list ends.
pub fn parse_all<S: AsRef<str>>(entries: &[S], budget: &mut Budget) -> Parsed {
    let mut parsed = Parsed::default();
    let mut first_at: HashMap<Selector, usize> = HashMap::new();
    for (index, entry) in entries.iter().enumerate() {
        if budget.is_exhausted() {
            break;
        }
        let Pattern { selector, warnings } = match parse_within(entry.as_ref(), budget) {
            Ok(pattern) => pattern,
            Err(problem) => {
                parsed.problems.push((index, problem));
                continue;
            }
        };
        parsed.problems.extend(warnings.into_iter().map(|warning| (index, warning)));
        let first = *first_at.entry(selector.clone()).or_insert(index);
        if first == index {
            parsed.selectors.push(selector);
        } else {
            let cause = format!("the same as entry {}", first + 1);
            parsed.problems.push((index, Problem::warning(1, cause, "remove one of them")));
        }
    }
    parsed
}

/// Reads one entry.
pub fn parse(entry: &str) -> Result<Pattern, Problem> {
    parse_within(entry, &mut Budget::unlimited())
}

/// [`parse`]; fails as well if there is no room for its regular expressions.
fn parse_within(entry: &str, budget: &mut Budget) -> Result<Pattern, Problem> {
    let trimmed = entry.trim();
    let indent = entry.chars().take_while(|c| c.is_whitespace()).count();
    let moved = |problem: Problem| Problem { position: problem.position + indent, ..problem };
    parse_trimmed(trimmed, budget)
        .map(|pattern| Pattern { warnings: pattern.warnings.into_iter().map(moved).collect(), ..pattern })
        .map_err(moved)
}

fn parse_trimmed(entry: &str, budget: &mut Budget) -> Result<Pattern, Problem> {
    let head = name_length(entry);
    if entry.is_empty() {
        Err(Problem::invalid(1, "the entry is empty", "write a metric's name, or remove the entry"))
    } else if head == entry.len() {
        let selector = Selector::name(entry).map_err(Problem::from)?;
        Ok(Pattern { selector, warnings: Vec::new() })
    } else if entry[head..].starts_with('{') {
        let selector = Selector::parse_within(entry, budget);
        let selector = selector.map_err(|error| selector_problem(entry, head, error, budget))?;
        Ok(Pattern { selector, warnings: Vec::new() })
    } else if let Some(at) = entry.find(char::is_whitespace) {
        Err(white_space(entry, head, at, budget))
    } else if let Some(problem) = expression(entry, budget) {
        Err(problem)
    } else {
        name_regex(entry, budget)
    }
}

/// How many bytes of `entry` are a metric name: `[a-zA-Z_:][a-zA-Z0-9_:]*`.
fn name_length(entry: &str) -> usize {
    let is_name = |(i, b): &(usize, u8)| is_name_byte(*b) && (*i > 0 || !b.is_ascii_digit());
    entry.bytes().enumerate().take_while(is_name).count()
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':'
}

/// An entry that began as a selector and is none.
fn selector_problem(entry: &str, head: usize, error: ParseError, budget: &mut Budget) -> Problem {
    let mut problem = Problem::from(error);
    let count = entry[head..]
        .strip_prefix('{')
        .is_some_and(|inside| inside.starts_with(|c: char| c.is_ascii_digit()));
    if let Some(quoted) = (count && head > 0).then(|| quoted_regex(entry, budget)).flatten() {
        problem.cure = format!("for a repetition in a regular expression write `{quoted}`");
    }
    problem
}

/// White space is only possible inside braces and quotes.
fn white_space(entry: &str, head: usize, at: usize, budget: &mut Budget) -> Problem {
    let position = entry[..at].chars().count() + 1;
    let rest = entry[head..].trim_start();
    if rest.starts_with('{') {
        let closer = format!("{}{rest}", &entry[..head]);
        let cure = if Selector::parse_within(&closer, budget).is_ok() {
            format!("write `{closer}`")
        } else {
            "write the name directly before the braces".to_owned()
        };
        return Problem::invalid(position, "white space between the name and the braces", cure);
    }
    if let Some(problem) = expression(entry, budget) {
        return problem;
    }
    let cure = "make each name an entry of its own; select by labels as in `up{job=\"webapp\"}`";
    Problem::invalid(position, "white space in a name or regular expression", cure)
}

/// What is wrong with an entry that is a PromQL expression. None if it is not one.
fn expression(entry: &str, budget: &mut Budget) -> Option<Problem> {
    if entry.len() > EXPRESSION_BYTES_MAX {
        return None;
    }
    let (what, instead) = match promql(entry)? {
        Expr::Call(_) | Expr::Aggregate(_) => ("a function", None),
        Expr::MatrixSelector(MatrixSelector { vs, .. }) => ("a range", vs.name),
        Expr::VectorSelector(VectorSelector { name, .. }) => ("a selector with a time", name),
        Expr::Subquery(_) => ("a subquery", None),
        Expr::StringLiteral(text) => ("a quoted text", Some(format!("{{{:?}}}", text.val))),
        Expr::NumberLiteral(_) => ("a number", None),
        Expr::Binary(_) | Expr::Unary(_) => ("a calculation", None),
        Expr::Paren(_) => ("an expression in parentheses", None),
        Expr::Extension(_) => ("an expression", None),
    };
    let instead = instead.unwrap_or_else(|| "only the names of the series it reads".to_owned());
    let mut cure = format!("write {}", tick(&instead));
    // Whatever parses by accident (`a*b`) can still be said as a regular expression.
    let is_word = !entry.contains(char::is_whitespace);
    if let Some(quoted) = is_word.then(|| quoted_regex(entry, budget)).flatten() {
        cure.push_str(&format!(", or `{quoted}` if it is a regular expression on the name"));
    }
    Some(Problem::invalid(1, format!("this is {what}, not a selector"), cure))
}

/// The entry as PromQL has it. Its parser compiles regular expressions, without a bound on their size; what kind of
/// expression it is does not depend on them.
fn promql(entry: &str) -> Option<Expr> {
    let plain = entry.replace("=~", "=").replace("!~", "!=");
    match promql_parser::parser::parse(&plain).ok()? {
        Expr::StringLiteral(_) => promql_parser::parser::parse(entry).ok(),
        other => Some(other),
    }
}

/// Backticks around what can be written as it stands.
fn tick(text: &str) -> String {
    if text.contains(' ') { text.to_owned() } else { format!("`{text}`") }
}

/// `{__name__=~"entry"}`, if that would be valid.
fn quoted_regex(entry: &str, budget: &mut Budget) -> Option<Selector> {
    let matcher = Matcher::within(METRIC_NAME, MatchOp::Regex, entry, budget).ok()?;
    Selector::from_matchers(vec![matcher]).ok()
}

/// An entry that can only be a regular expression on the metric's name.
fn name_regex(entry: &str, budget: &mut Budget) -> Result<Pattern, Problem> {
    let matcher = Matcher::within(METRIC_NAME, MatchOp::Regex, entry, budget).map_err(|error| {
        let mut problem = Problem::from(error);
        if let Some(suggestion) = unintended::wildcards_spelled_out(entry, budget) {
            problem.cure = format!("`*` repeats what stands before it; write `{suggestion}`");
        }
        problem
    })?;
    if matcher.matches("") {
        let cause = "the regular expression also matches the empty name";
        let cure = match entry {
            ".*" | "(.*)" | "^.*$" => "write `.+` for every metric".to_owned(),
            _ => "make it match at least one character, for example with `+` for `*`".to_owned(),
        };
        return Err(Problem::invalid(1, cause, cure));
    }
    let selector = Selector::from_matchers(vec![matcher]).map_err(Problem::from)?;
    Ok(Pattern { selector, warnings: unintended::warning(entry, budget).into_iter().collect() })
}

impl Problem {
    fn invalid(position: usize, cause: impl Into<String>, cure: impl Into<String>) -> Problem {
        Problem { severity: Severity::Invalid, position, cause: cause.into(), cure: cure.into() }
    }

    fn warning(position: usize, cause: impl Into<String>, cure: impl Into<String>) -> Problem {
        Problem { severity: Severity::Warning, position, cause: cause.into(), cure: cure.into() }
    }
}

impl From<ParseError> for Problem {
    fn from(error: ParseError) -> Problem {
        let ParseError { position, cause, cure } = error;
        Problem { severity: Severity::Invalid, position, cause, cure }
    }
}

/// One line: `character 1: …; write …`.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "character {}: {}; {}", self.position, self.cause, self.cure)
    }
}

impl std::error::Error for Problem {}

#[cfg(test)]
mod tests;
