//! Plan: from selectors to the fewest queries that bring all they select.
//!
//! In: one pipeline's selectors. Out: [`Ask`]s: a [`Shape`], which pipelines can share, and the values of its hole,
//! in which they differ. Never: a query that brings less than the selectors (it may bring more; the `patterns` filter
//! looks at every series again).

mod local;
mod names;
mod render;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use sluice_filter::selector::{MatchOp, Matcher, Selector};

use super::read::Condition;
use crate::model::{METRIC_NAME, Source};

/// A family of queries that differ only in the value of one equality matcher.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Shape {
    /// The label whose value differs; none if there is only one such query.
    pub(super) hole: Option<Arc<str>>,
    /// The matchers that are the same in all of them, as PromQL writes them, one after the other.
    fixed: String,
    /// The same ones.
    conditions: Arc<[Condition]>,
}

/// What a pipeline asks of one family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ask {
    pub(super) shape: Shape,
    /// The hole's values, sorted; one empty value if there is no hole.
    pub(super) values: Vec<Arc<str>>,
}

/// Plans the queries for one pipeline's selectors on one source. `preferred` names the label to differ in, where a
/// selector has several equality matchers.
pub(super) fn plan(selectors: &[Selector], source: &Source, preferred: &str) -> Vec<Ask> {
    let local = selectors.iter().map(|selector| local::as_stored(selector, &source.labels));
    let mut asks: BTreeMap<Shape, Vec<Arc<str>>> = BTreeMap::new();
    for selector in names::merge(local) {
        let (shape, value) = Shape::of(&selector, preferred);
        asks.entry(shape).or_default().push(value);
    }
    let sorted = |(shape, mut values): (Shape, Vec<Arc<str>>)| {
        values.sort_unstable();
        values.dedup();
        Ask { shape, values }
    };
    asks.into_iter().map(sorted).collect()
}

impl Shape {
    /// The family a selector belongs to, and its value there.
    fn of(selector: &Selector, preferred: &str) -> (Shape, Arc<str>) {
        let matchers = selector.matchers();
        let hole = hole(matchers, preferred);
        let fixed = matchers.iter().enumerate().filter(|(i, _)| Some(*i) != hole).map(|(_, matcher)| matcher);
        let conditions = fixed.clone().map(Condition::from).collect();
        let fixed = render::list(fixed);
        match hole.map(|hole| &matchers[hole]) {
            Some(matcher) => {
                let hole = Some(matcher.name().into());
                (Shape { hole, fixed, conditions }, matcher.value().into())
            }
            None => (Shape { hole: None, fixed, conditions }, "".into()),
        }
    }
}

/// Which matcher to differ in: an equality on another label than the name, the preferred one if there are several; the
/// name, if it is all there is.
fn hole(matchers: &[Matcher], preferred: &str) -> Option<usize> {
    if let [only] = matchers {
        return (only.op() == MatchOp::Equal).then_some(0);
    }
    let is_candidate =
        |m: &Matcher| m.op() == MatchOp::Equal && m.name() != METRIC_NAME && !m.value().is_empty();
    let candidates = || matchers.iter().enumerate().filter(|(_, m)| is_candidate(m));
    let chosen = candidates().find(|(_, m)| m.name() == preferred);
    chosen.or_else(|| candidates().min_by_key(|(_, m)| m.name())).map(|(i, _)| i)
}
