//! cardinality-limit::config: limits as people write them, and as they are worked with.

use serde::Deserialize;
use sluice_filter::schemars::{self, JsonSchema};
use sluice_filters_common::{METRIC_NAME, Selector, is_label_name};

/// How many limits there may be.
const LIMITS_MAX: usize = 100;
/// How many values a limit may let through, for each metric.
const VALUES_MAX: usize = 1_000_000;
/// Into how many series the rest may be spread.
const BUCKETS_MAX: u32 = 1_000;
/// The value that stands for those that found no place.
const OVERFLOW: &str = "__overflow__";
/// The same, before a bucket's number.
const OVERFLOW_BUCKET: &str = "__overflow_";

/// What is limited.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Every limit is for each series that has its label.
    #[schemars(length(max = LIMITS_MAX))]
    limits: Vec<LimitConfig>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[schemars(transform = with_alias)]
struct LimitConfig {
    /// The label whose values are counted, for each metric.
    label: String,
    /// How many values go through as they are.
    #[schemars(range(max = VALUES_MAX))]
    max: usize,
    /// A PromQL selector: the limit is for these series only.
    select: Option<String>,
    /// The label's value on the sum.
    #[schemars(extend("default" = OVERFLOW))]
    overflow: Option<String>,
    /// Instead of overflow: over so many sums the values are spread, __overflow_0 and so on.
    #[serde(alias = "hash_buckets")]
    #[schemars(range(min = 1, max = BUCKETS_MAX))]
    hash_buckets: Option<u32>,
    /// What becomes of further values: they are folded into a sum, or dropped.
    #[serde(default)]
    #[schemars(extend("default" = "fold"))]
    action: Action,
}

/// A schema does not learn of aliases by itself.
fn with_alias(schema: &mut schemars::Schema) {
    if let Some(fields) = schema.get_mut("properties").and_then(|fields| fields.as_object_mut()) {
        let hash_buckets = fields["hashBuckets"].clone();
        fields.insert("hash_buckets".into(), hash_buckets);
    }
}

/// What becomes of values that find no place.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Action {
    #[default]
    Fold,
    Drop,
}

/// One limit.
#[derive(Debug)]
pub(crate) struct Limit {
    pub(crate) label: String,
    pub(crate) max: usize,
    pub(crate) selector: Option<Selector>,
    pub(crate) rest: Rest,
}

/// What becomes of values that find no place.
#[derive(Debug)]
pub(crate) enum Rest {
    Dropped,
    /// This value stands for all of them.
    Folded(String),
    /// One of so many values stands for each.
    Spread(u32),
}

impl Config {
    /// The limits, checked.
    pub(crate) fn limits(self) -> Result<Vec<Limit>, String> {
        if self.limits.len() > LIMITS_MAX {
            return Err(format!(
                "limits: there are more than {LIMITS_MAX}; leave out select, and one is for all metrics"
            ));
        }
        let limits = self.limits.into_iter().enumerate();
        limits.map(|(i, limit)| limit.check().map_err(|cause| format!("limits[{i}].{cause}"))).collect()
    }
}

impl LimitConfig {
    fn check(self) -> Result<Limit, String> {
        let LimitConfig { label, max, select, overflow, hash_buckets, action } = self;
        if label == METRIC_NAME {
            return Err("label: how many metrics there are is no label's affair; name another one".into());
        }
        if !is_label_name(&label) {
            return Err(format!("label: {label:?} is no label name; use [a-zA-Z_][a-zA-Z0-9_]*"));
        }
        if max > VALUES_MAX {
            return Err(format!("max: {max} is more than {VALUES_MAX}; write less"));
        }
        let rest = Rest::new(action, overflow, hash_buckets)?;
        let selector = select.map(|select| Selector::parse(&select)).transpose();
        Ok(Limit { label, max, selector: selector.map_err(|cause| format!("select: {cause}"))?, rest })
    }
}

impl Rest {
    fn new(action: Action, overflow: Option<String>, hash_buckets: Option<u32>) -> Result<Rest, String> {
        match (action, overflow, hash_buckets) {
            (Action::Drop, Some(_), _) => Err("overflow: what is dropped has no value; leave it out".into()),
            (Action::Drop, _, Some(_)) => Err("hashBuckets: what is dropped has none; leave it out".into()),
            (Action::Drop, None, None) => Ok(Rest::Dropped),
            (Action::Fold, Some(_), Some(_)) => {
                Err(format!("overflow: buckets are called {OVERFLOW_BUCKET}0 and so on; leave it out"))
            }
            (Action::Fold, _, Some(buckets)) if !(1..=BUCKETS_MAX).contains(&buckets) => {
                Err(format!("hashBuckets: {buckets} is not between 1 and {BUCKETS_MAX}"))
            }
            (Action::Fold, None, Some(buckets)) => Ok(Rest::Spread(buckets)),
            (Action::Fold, Some(overflow), None) if overflow.is_empty() => {
                Err("overflow: an empty value is none; write another, or leave it out".into())
            }
            (Action::Fold, overflow, None) => {
                Ok(Rest::Folded(overflow.unwrap_or_else(|| OVERFLOW.to_owned())))
            }
        }
    }

    /// The value that stands for `value`; none if it is dropped.
    pub(crate) fn stands_for(&self, value: &str) -> Option<String> {
        match self {
            Rest::Dropped => None,
            Rest::Folded(overflow) => Some(overflow.clone()),
            Rest::Spread(buckets) => Some(format!("{OVERFLOW_BUCKET}{}", hash(value) % u64::from(*buckets))),
        }
    }
}

/// The same on every machine and in every version, so that a value stays in its bucket: FNV-1a, 64 bits. Its low bits know only
/// the low bits of the text, so Murmur's finalizer mixes them.
fn hash(text: &str) -> u64 {
    let fnv = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mixed = (fnv ^ fnv >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed ^ mixed >> 33
}
