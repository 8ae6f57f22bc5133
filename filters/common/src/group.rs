//! common::group: which series belong together, by the values of labels.

use std::rc::Rc;

use sluice_filter::Series;

use crate::metric::{METRIC_NAME, is_label_name};

/// No text has this byte.
const SEPARATOR: u8 = 0xff;

/// The labels of a group, the metric's name among them. One piece of memory, which clones share: there can be as many groups
/// as series.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Group(Rc<[u8]>);

impl<'a> FromIterator<(&'a str, &'a str)> for Group {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(labels: I) -> Group {
        let mut bytes = Vec::new();
        for text in labels.into_iter().flat_map(|(name, value)| [name, value]) {
            bytes.extend_from_slice(text.as_bytes());
            bytes.push(SEPARATOR);
        }
        Group(bytes.into())
    }
}

impl Group {
    /// Names and values.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        let texts = self.0.split(|byte| *byte == SEPARATOR);
        let mut texts = texts.map(|text| str::from_utf8(text).expect("it was made of texts"));
        std::iter::from_fn(move || Some((texts.next()?, texts.next()?)))
    }
}

/// By which labels series are grouped. The metric's name is none of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grouping {
    /// By these.
    By(Vec<String>),
    /// By all but these.
    Without(Vec<String>),
}

impl Grouping {
    /// Reads `by` and `without`, of which at most one is given. None is one group for all.
    ///
    /// # Errors
    /// What is wrong, beginning with the field.
    pub fn new(by: Option<Vec<String>>, without: Option<Vec<String>>) -> Result<Grouping, String> {
        let (field, grouping) = match (by, without) {
            (Some(_), Some(_)) => return Err("by: without is given, too; write one of them".into()),
            (by, None) => ("by", Grouping::By(by.unwrap_or_default())),
            (None, Some(without)) => ("without", Grouping::Without(without)),
        };
        let (Grouping::By(labels) | Grouping::Without(labels)) = &grouping;
        for (i, label) in labels.iter().enumerate() {
            if label == METRIC_NAME {
                return Err(format!("{field}[{i}]: the metric's name always counts; leave it out"));
            }
            if !is_label_name(label) {
                return Err(format!("{field}[{i}]: {label:?} is no label name; use [a-zA-Z_][a-zA-Z0-9_]*"));
            }
        }
        Ok(grouping)
    }

    /// The group that a series belongs to, for a metric of this name.
    pub fn of(&self, series: &Series<'_>, metric: &str) -> Group {
        let counts = |name: &str| match self {
            Grouping::By(labels) => labels.iter().any(|label| label == name),
            Grouping::Without(labels) => name != METRIC_NAME && !labels.iter().any(|label| label == name),
        };
        series.iter().filter(|(name, _)| counts(name)).chain([(METRIC_NAME, metric)]).collect()
    }
}
