//! Stamps: the labels that say whose series this is, and the proof that a series carries them.
//!
//! The `enrich` filter adds them, as the last step of every chain; this module checks that it did.
//! Never: a [`Stamped`] made in any other way, and only a [`Stamped`] can be delivered.

use super::Labels;

/// What happens when a source's series already has a label that is to be stamped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HonorLabels {
    /// The stamp wins; the source's value is kept as `exported_<label>` (`honorLabels: false`).
    Stamp,
    /// The source's value stays, except for protected labels (`honorLabels: true`).
    Source,
}

/// The labels to stamp on every series of one tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamps {
    /// Name and value, sorted by name; values are never empty.
    pub labels: Labels,
    /// Who wins a collision.
    pub honor: HonorLabels,
    /// Names whose stamp always wins, by the operator's word.
    pub protected: Vec<String>,
}

impl Stamps {
    /// The stamps that every delivered series carries with exactly this value, sorted by name.
    pub fn winning(&self) -> impl Iterator<Item = (&str, &str)> + Clone {
        self.labels.iter().filter(|(name, _)| self.wins(name))
    }

    fn wins(&self, name: &str) -> bool {
        self.honor == HonorLabels::Stamp || self.protected.iter().any(|protected| protected == name)
    }
}

/// A series came out of the filter chain without the stamps it owes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unstamped {
    /// The label is missing, or carries another value than the one to be stamped.
    #[error("series {series} left the filters without {name}={value:?}")]
    Missing {
        /// The stamp's name.
        name: String,
        /// The stamp's value.
        value: String,
        /// The series as it came out.
        series: String,
    },
    /// A series without a metric name.
    #[error("series {0} left the filters without a metric name")]
    Nameless(String),
}

/// Labels that carry every stamp of their tenant: the only thing that can be delivered.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Stamped(Labels);

impl Stamped {
    /// Checks a series that left the chain. An error means that the chain must deliver nothing (fail closed).
    pub fn vouch(labels: Labels, stamps: &Stamps) -> Result<Stamped, Unstamped> {
        if labels.metric_name().is_none() {
            return Err(Unstamped::Nameless(labels.to_string()));
        }
        for (name, value) in stamps.labels.iter() {
            let held = match labels.get(name) {
                Some(_) if !stamps.wins(name) => true,
                found => found == Some(value),
            };
            if !held {
                let (name, value) = (name.to_owned(), value.to_owned());
                return Err(Unstamped::Missing { name, value, series: labels.to_string() });
            }
        }
        Ok(Stamped(labels))
    }

    /// The labels.
    pub fn labels(&self) -> &Labels {
        &self.0
    }

    /// The labels, which are nothing but labels from here on.
    pub fn into_labels(self) -> Labels {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamps(honor: HonorLabels) -> Stamps {
        let labels = Labels::from_pairs([("tenant", "a"), ("zone", "z")]).unwrap();
        Stamps { labels, honor, protected: vec!["tenant".into()] }
    }

    fn vouch(honor: HonorLabels, pairs: &[(&str, &str)]) -> bool {
        Stamped::vouch(Labels::from_pairs(pairs.iter().copied()).unwrap(), &stamps(honor)).is_ok()
    }

    #[test]
    fn only_a_series_with_every_stamp_can_be_delivered() {
        let all = [("__name__", "up"), ("tenant", "a"), ("zone", "z")];
        assert!(vouch(HonorLabels::Stamp, &all));
        assert!(!vouch(HonorLabels::Stamp, &all[..2]));
        assert!(!vouch(HonorLabels::Stamp, &all[1..]));
        assert!(!vouch(HonorLabels::Stamp, &[("__name__", "up"), ("tenant", "b"), ("zone", "z")]));
    }

    #[test]
    fn a_honoured_source_value_may_stay_but_a_protected_one_may_not() {
        assert!(vouch(HonorLabels::Source, &[("__name__", "up"), ("tenant", "a"), ("zone", "theirs")]));
        assert!(!vouch(HonorLabels::Source, &[("__name__", "up"), ("tenant", "b"), ("zone", "z")]));
    }
}
