//! Sizes as Kubernetes writes them: `64Mi`, `4M`, or a plain number of bytes.

use std::fmt;

use serde::de::{self, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub usize);

/// Kubernetes' suffixes for whole quantities.
const UNITS: [(&str, usize); 7] = [
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("k", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("", 1),
];

impl ByteSize {
    /// Reads a whole number with or without a unit.
    pub fn parse(text: &str) -> Option<ByteSize> {
        let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
        let (_, scale) = UNITS.into_iter().find(|(name, _)| *name == unit)?;
        number.parse::<usize>().ok()?.checked_mul(scale).map(ByteSize)
    }
}

/// In the largest binary unit that divides it.
impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |(_, scale): &&(&str, usize)| self.0 >= *scale && self.0.is_multiple_of(*scale);
        match UNITS[..3].iter().rev().find(fits) {
            Some((unit, scale)) => write!(f, "{}{unit}", self.0 / scale),
            None => write!(f, "{}", self.0),
        }
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ByteSize, D::Error> {
        deserializer.deserialize_any(SizeVisitor)
    }
}

struct SizeVisitor;

impl Visitor<'_> for SizeVisitor {
    type Value = ByteSize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a size; write \"64Mi\", or a number of bytes")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<ByteSize, E> {
        ByteSize::parse(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }

    fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<ByteSize, E> {
        usize::try_from(bytes).map(ByteSize).map_err(|_| E::invalid_value(Unexpected::Unsigned(bytes), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::ByteSize;

    #[test]
    fn sizes_are_read_as_kubernetes_reads_them() {
        for (text, bytes) in
            [("64Mi", Some(64 << 20)), ("4M", Some(4_000_000)), ("7", Some(7)), ("1 Mi", None)]
        {
            assert_eq!(ByteSize::parse(text), bytes.map(ByteSize), "{text}");
        }
        assert_eq!(ByteSize::parse("1.5Gi"), None);
        assert_eq!(ByteSize::parse("99999999999999999999Gi"), None);
        assert_eq!(ByteSize(64 << 20).to_string(), "64Mi");
        assert_eq!(ByteSize(1000).to_string(), "1000");
    }
}
