//! Metadata: what a source says of its metrics: their type, unit and help.
//!
//! In: what it says of each family. Out: what that means for one series' name.
//! Never: a guess. A name that only looks like one of a family's is none unless the family's type has such a one.

use std::collections::HashMap;

use super::memory::Held;

/// What a metric is, by the numbers that remote write 2.0 gives the types (`Metadata.MetricType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(u8)]
pub enum MetricType {
    /// Nobody says.
    #[default]
    Unspecified = 0,
    /// It only grows.
    Counter = 1,
    /// It goes up and down.
    Gauge = 2,
    /// Buckets, their sum and their count.
    Histogram = 3,
    /// Buckets of what may go down again.
    GaugeHistogram = 4,
    /// Quantiles, their sum and their count.
    Summary = 5,
    /// Labels are all that it says.
    Info = 6,
    /// One of several states.
    StateSet = 7,
}

impl MetricType {
    /// The type of this name, as sources write it.
    pub fn named(name: &str) -> MetricType {
        match name {
            "counter" => MetricType::Counter,
            "gauge" => MetricType::Gauge,
            "histogram" => MetricType::Histogram,
            "gaugehistogram" => MetricType::GaugeHistogram,
            "summary" => MetricType::Summary,
            "info" => MetricType::Info,
            "stateset" => MetricType::StateSet,
            _ => MetricType::Unspecified,
        }
    }
}

/// What is said of one metric.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct About {
    /// What it is.
    pub kind: MetricType,
    /// What it means, for people; often empty.
    pub help: Box<str>,
    /// What it is measured in; mostly empty.
    pub unit: Box<str>,
}

/// What is said of many metrics.
#[derive(Debug, Default)]
pub struct Metadata {
    about: HashMap<Box<str>, About>,
    /// What it is paid for with, as long as anybody has it.
    _paid: Held,
}

/// What is said counts, and not who pays for it.
impl PartialEq for Metadata {
    fn eq(&self, other: &Metadata) -> bool {
        self.about == other.about
    }
}

/// What the series of a family may be called beside its own name, and of which types such families are.
const SUFFIXES: [(&str, &[MetricType]); 7] = [
    ("_bucket", &[MetricType::Histogram, MetricType::GaugeHistogram]),
    ("_sum", &[MetricType::Histogram, MetricType::Summary]),
    ("_count", &[MetricType::Histogram, MetricType::Summary]),
    ("_gsum", &[MetricType::GaugeHistogram]),
    ("_gcount", &[MetricType::GaugeHistogram]),
    ("_total", &[MetricType::Counter]),
    ("_info", &[MetricType::Info]),
];

impl Metadata {
    /// What is said of the series of this name: of a metric that is called so, or of the family that it belongs to.
    pub fn of(&self, name: &str) -> Option<&About> {
        self.about.get(name).or_else(|| {
            SUFFIXES.iter().find_map(|(suffix, kinds)| {
                let about = self.about.get(name.strip_suffix(suffix)?)?;
                kinds.contains(&about.kind).then_some(about)
            })
        })
    }

    /// The same, paid for with `held`.
    pub fn paid_by(self, held: Held) -> Metadata {
        Metadata { _paid: held, ..self }
    }

    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        self.about.is_empty()
    }

    /// How many metrics it is about.
    pub fn len(&self) -> usize {
        self.about.len()
    }
}

impl<N: Into<Box<str>>> FromIterator<(N, About)> for Metadata {
    fn from_iter<I: IntoIterator<Item = (N, About)>>(metrics: I) -> Metadata {
        let about = metrics.into_iter().map(|(name, about)| (name.into(), about)).collect();
        Metadata { about, _paid: Held::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Metadata {
        let about = |kind| About { kind, ..About::default() };
        Metadata::from_iter([
            ("up", about(MetricType::Gauge)),
            ("seconds", about(MetricType::Histogram)),
            ("quantiles", about(MetricType::Summary)),
            ("jobs", about(MetricType::Counter)),
            ("up_count", about(MetricType::Counter)),
        ])
    }

    fn kind(name: &str) -> Option<MetricType> {
        all().of(name).map(|about| about.kind)
    }

    #[test]
    fn a_series_is_told_by_its_own_name_or_its_familys() {
        for (name, kind_of_it) in [
            ("up", MetricType::Gauge),
            ("seconds_bucket", MetricType::Histogram),
            ("seconds_sum", MetricType::Histogram),
            ("quantiles", MetricType::Summary),
            ("quantiles_count", MetricType::Summary),
            ("jobs_total", MetricType::Counter),
            ("up_count", MetricType::Counter),
        ] {
            assert_eq!(kind(name), Some(kind_of_it), "{name}");
        }
    }

    #[test]
    fn a_name_that_only_looks_like_a_familys_is_none() {
        for name in
            ["up_sum", "up_total", "quantiles_bucket", "seconds_total", "seconds_bucket_total", "_total", ""]
        {
            assert_eq!(kind(name), None, "{name}");
        }
    }
}
