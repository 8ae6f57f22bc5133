//! Selector: namespaces by their labels, as Kubernetes' `LabelSelector` means it.

use std::collections::{BTreeMap, BTreeSet};

/// Labels of a namespace.
pub type NamespaceLabels = BTreeMap<String, String>;

/// Every pair and every expression must hold; without any, every namespace is selected.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NamespaceSelector {
    /// `matchLabels`.
    pub labels: BTreeMap<String, String>,
    /// `matchExpressions`.
    pub expressions: Vec<Expression>,
}

/// One of `matchExpressions`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expression {
    /// The label's name.
    pub key: String,
    /// What must hold of it.
    pub test: Test,
}

/// What must hold of a label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Test {
    /// It is there, with one of these values.
    In(BTreeSet<String>),
    /// It is not there, or has none of these values.
    NotIn(BTreeSet<String>),
    /// It is there.
    Exists,
    /// It is not there.
    DoesNotExist,
}

impl NamespaceSelector {
    /// Whether a namespace with these labels is selected.
    pub fn selects(&self, labels: &NamespaceLabels) -> bool {
        let pair = |(name, value): (&String, &String)| labels.get(name) == Some(value);
        self.labels.iter().all(pair) && self.expressions.iter().all(|expression| expression.holds(labels))
    }
}

impl Expression {
    fn holds(&self, labels: &NamespaceLabels) -> bool {
        let value = labels.get(&self.key);
        match &self.test {
            Test::In(values) => value.is_some_and(|value| values.contains(value)),
            Test::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
            Test::Exists => value.is_some(),
            Test::DoesNotExist => value.is_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> NamespaceLabels {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn expressions_mean_what_they_mean_in_kubernetes() {
        let set = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
        let (gold, iron, none) = (labels(&[("tier", "gold")]), labels(&[("tier", "iron")]), labels(&[]));
        for (test, expected) in [
            (Test::In(set(&["gold", "silver"])), [true, false, false]),
            (Test::NotIn(set(&["gold"])), [false, true, true]),
            (Test::Exists, [true, true, false]),
            (Test::DoesNotExist, [false, false, true]),
        ] {
            let expressions = vec![Expression { key: "tier".to_owned(), test }];
            let selector = NamespaceSelector { expressions, ..NamespaceSelector::default() };
            assert_eq!(
                [&gold, &iron, &none].map(|labels| selector.selects(labels)),
                expected,
                "{selector:?}"
            );
        }
    }

    #[test]
    fn all_of_a_selector_must_hold() {
        let selector = NamespaceSelector {
            labels: labels(&[("a", "1")]),
            expressions: vec![Expression { key: "b".to_owned(), test: Test::Exists }],
        };
        assert!(selector.selects(&labels(&[("a", "1"), ("b", ""), ("c", "x")])));
        assert!(!selector.selects(&labels(&[("a", "1")])));
        assert!(!selector.selects(&labels(&[("a", "2"), ("b", "")])));
        assert!(NamespaceSelector::default().selects(&labels(&[])));
    }
}
