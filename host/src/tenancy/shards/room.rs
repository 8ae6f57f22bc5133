//! Room: which records go where a ConfigMap is full.
//!
//! In: records that nothing needs that runs, and how many bytes are missing. Out: the keys to take away.
//! Never: a record of one namespace before those of another that has more of them.

use std::collections::{BTreeMap, BinaryHeap};

use super::record::Record;
use super::view::SHARD_BYTES_MAX;

/// So much more room than is missing is made at once: making it means writing.
const ROOM_BYTES: usize = SHARD_BYTES_MAX / 20;

/// A record that is not needed by anything that runs. The last in order goes first.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Spare<'a> {
    /// Those without a resource go first, and of these the oldest: minus the time since when there is none.
    rank: Option<i64>,
    key: &'a str,
    bytes: usize,
}

impl<'a> Spare<'a> {
    /// A record at `key`, which takes so many bytes with it.
    pub(super) fn new(key: &'a str, record: &Record, bytes: usize) -> Spare<'a> {
        Spare { rank: record.gone.and_then(i64::checked_neg), key, bytes }
    }

    /// The first part of a key, which no name can hold the end of.
    fn namespace(&self) -> &'a str {
        self.key.split('_').next().unwrap_or_default()
    }
}

/// The keys to take away so that `missing` bytes and some more are free, as far as there are so many: always the next one
/// of the namespace that has most left.
pub(super) fn make<'a>(spare: impl Iterator<Item = Spare<'a>>, missing: usize) -> Vec<String> {
    let mut namespaces = BTreeMap::<&str, (usize, Vec<Spare<'_>>)>::new();
    for spare in spare {
        let (bytes, all) = namespaces.entry(spare.namespace()).or_default();
        *bytes += spare.bytes;
        all.push(spare);
    }
    namespaces.values_mut().for_each(|(_, all)| all.sort_unstable());
    let mut largest: BinaryHeap<_> = namespaces.into_values().collect();
    let (mut taken, mut free) = (Vec::new(), 0);
    while free < missing + ROOM_BYTES
        && let Some((left, mut all)) = largest.pop()
        && let Some(next) = all.pop()
    {
        taken.push(next.key.to_owned());
        free += next.bytes;
        largest.push((left - next.bytes, all));
    }
    taken
}
