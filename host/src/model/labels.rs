//! A label set: name-sorted, every name once, no empty value.
//!
//! In: pairs in any order. Out: one immutable set in two allocations, cheap to compare and to hash.
//! Never: a set that breaks the invariant; Prometheus answers such a set with a refusal of the whole request.

use std::fmt;

/// The label that carries a metric's name.
pub const METRIC_NAME: &str = "__name__";

/// Whether `name` is a label name Prometheus 2 accepts: `[a-zA-Z_][a-zA-Z0-9_]*`.
pub fn is_label_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// A label set could not be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LabelsError {
    /// A name stands twice, so the set is ambiguous.
    #[error("label {0:?} is given twice")]
    Duplicate(String),
    /// A label without a name.
    #[error("a label has an empty name")]
    EmptyName,
    /// More than 4 GiB of text.
    #[error("the label set is too large")]
    TooLarge,
}

/// A label set, sorted by name (bytewise), every name once, no empty value.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Labels {
    /// All names and values, one after the other: name, value, name, value, …
    text: Box<str>,
    /// Where each piece of `text` ends, in bytes; two entries a label.
    ends: Box<[u32]>,
}

impl Labels {
    /// Builds a set from pairs in any order. A pair with an empty value is left out: in Prometheus an
    /// empty label and an absent one are the same.
    pub fn from_pairs<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Labels, LabelsError> {
        let mut pairs: Vec<_> = pairs.into_iter().collect();
        Self::from_vec(&mut pairs)
    }

    /// As [`Labels::from_pairs`], reordering the caller's scratch vector in place.
    pub fn from_vec(pairs: &mut Vec<(&str, &str)>) -> Result<Labels, LabelsError> {
        pairs.retain(|(_, value)| !value.is_empty());
        if !pairs.is_sorted_by(|a, b| a.0 < b.0) {
            pairs.sort_unstable_by(|a, b| a.0.cmp(b.0));
            if let Some(twice) = pairs.windows(2).find(|w| w[0].0 == w[1].0) {
                return Err(LabelsError::Duplicate(twice[0].0.to_owned()));
            }
        }
        if pairs.first().is_some_and(|(name, _)| name.is_empty()) {
            return Err(LabelsError::EmptyName);
        }
        let bytes = pairs.iter().map(|(n, v)| n.len() + v.len()).sum::<usize>();
        if u32::try_from(bytes).is_err() {
            return Err(LabelsError::TooLarge);
        }
        let mut text = String::with_capacity(bytes);
        let mut ends = Vec::with_capacity(pairs.len() * 2);
        for (name, value) in pairs.iter() {
            text.push_str(name);
            ends.push(text.len() as u32);
            text.push_str(value);
            ends.push(text.len() as u32);
        }
        Ok(Labels { text: text.into(), ends: ends.into() })
    }

    /// How many labels the set has.
    pub fn len(&self) -> usize {
        self.ends.len() / 2
    }

    /// Whether the set has no label at all.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Bytes of all names and values together.
    pub fn text_bytes(&self) -> usize {
        self.text.len()
    }

    /// The pairs, sorted by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> + Clone {
        let mut start = 0;
        self.ends.chunks_exact(2).map(move |ends| {
            let (middle, end) = (ends[0] as usize, ends[1] as usize);
            let pair = (&self.text[start..middle], &self.text[middle..end]);
            start = end;
            pair
        })
    }

    /// The value of `name`, if the set has it.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(n, _)| *n == name).map(|(_, value)| value)
    }

    /// The metric's name, if the set has one.
    pub fn metric_name(&self) -> Option<&str> {
        self.get(METRIC_NAME)
    }
}

/// A label's name and value, in bytes, before them in [`Labels::pack`]'s form.
const LENGTH_BYTES: usize = size_of::<u32>();

impl Labels {
    /// Appends the set in a form of our own, which is the same for equal sets and never leaves the process.
    pub fn pack(&self, out: &mut Vec<u8>) {
        out.reserve(LENGTH_BYTES * self.ends.len() + self.text.len());
        for text in self.iter().flat_map(|(name, value)| [name, value]) {
            out.extend_from_slice(&(text.len() as u32).to_le_bytes());
            out.extend_from_slice(text.as_bytes());
        }
    }

    /// Reads what [`Labels::pack`] wrote; `None` if it is something else.
    pub fn unpack(mut packed: &[u8]) -> Option<Labels> {
        let mut piece = || {
            let (length, rest) = packed.split_first_chunk::<LENGTH_BYTES>()?;
            let (piece, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
            packed = rest;
            std::str::from_utf8(piece).ok()
        };
        let mut pairs = Vec::new();
        while let Some(name) = piece() {
            pairs.push((name, piece()?));
        }
        if packed.is_empty() { Labels::from_vec(&mut pairs).ok() } else { None }
    }
}

/// As Prometheus prints a series: `name{label="value",…}`.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.metric_name().unwrap_or_default())?;
        f.write_str("{")?;
        let rest = self.iter().filter(|(name, _)| *name != METRIC_NAME);
        for (i, (name, value)) in rest.enumerate() {
            let comma = if i == 0 { "" } else { "," };
            write!(f, "{comma}{name}={value:?}")?;
        }
        f.write_str("}")
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_sorted_and_empty_values_are_absent() {
        let labels = Labels::from_pairs([("b", "2"), ("__name__", "up"), ("a", "1"), ("c", "")]).unwrap();
        assert_eq!(labels.iter().collect::<Vec<_>>(), [("__name__", "up"), ("a", "1"), ("b", "2")]);
        assert_eq!(labels.to_string(), r#"up{a="1",b="2"}"#);
        assert_eq!(labels.get("b"), Some("2"));
        assert_eq!(labels.get("c"), None);
    }

    #[test]
    fn order_of_arrival_does_not_matter_to_equality() {
        let one = Labels::from_pairs([("a", "1"), ("b", "2")]).unwrap();
        assert_eq!(one, Labels::from_pairs([("b", "2"), ("a", "1")]).unwrap());
        assert_ne!(one, Labels::from_pairs([("a", "1b"), ("b", "2")]).unwrap());
        assert_ne!(one, Labels::from_pairs([("a1", "b"), ("b", "2")]).unwrap());
    }

    #[test]
    fn what_is_packed_is_read_again() {
        for pairs in [&[][..], &[("__name__", "up")], &[("a", "1"), ("b", "ü\0"), ("c", "")]] {
            let labels = Labels::from_pairs(pairs.iter().copied()).unwrap();
            let mut packed = Vec::new();
            labels.pack(&mut packed);
            assert_eq!(Labels::unpack(&packed), Some(labels));
        }
        assert_eq!(Labels::unpack(b"\x01\0\0\0a"), None, "a name without a value");
        assert_eq!(Labels::unpack(b"\x05\0\0\0a"), None, "a name that is cut off");
    }

    #[test]
    fn a_name_given_twice_is_refused() {
        assert_eq!(Labels::from_pairs([("a", "1"), ("a", "1")]), Err(LabelsError::Duplicate("a".into())));
        assert_eq!(Labels::from_pairs([("", "1")]), Err(LabelsError::EmptyName));
    }
}
