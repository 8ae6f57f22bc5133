//! Dictionary: what one lane's series are in symbols, remembered from tick to tick.
//!
//! In: a series' encoded labels with a key, and what is said of metrics. Out: the numbers of its texts.
//! Never: a series' labels read again while it keeps its key; more kept than twice what is used, than a fixed maximum, or than there is
//! memory for that nobody needs more: without it every request is learned anew, and nothing is said of metrics.

use std::sync::Arc;

use super::super::encode::{Overflow, append_varint, each_label};
use super::strings::{EMPTY, Strings};
use crate::model::METRIC_NAME;
use crate::model::memory::Held;
use crate::model::metadata::{About, Metadata, MetricType};

/// The most that a dictionary keeps from one request to the next. A lane that needs more has its labels read again.
pub(super) const DICTIONARY_BYTES_MAX: usize = 256 << 20;

/// So much may be out of use before it is worth learning anew what is in use.
const UNUSED_MAX: usize = 4_096;

/// `Metadata.type`, `help_ref` and `unit_ref`.
const TAG_TYPE: u8 = 1 << 3;
const TAG_HELP: u8 = 3 << 3;
const TAG_UNIT: u8 = 4 << 3;

/// What tells a lane's series from each other without their labels: two series with one key have the same labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Its position in the lane's table.
    pub slot: u32,
    /// What tells it from others that had this position, and from itself when what is said here of it changes; never zero.
    pub stamp: u64,
    /// Whether its metric is one of the sources', and so is what they say of it.
    pub name: Name,
}

/// Whether a series is still called as its source calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Name {
    /// As it is called there.
    Sources,
    /// Somebody may have renamed it, or made it.
    #[default]
    Uncertain,
}

/// A series in numbers: its labels' texts, and if it has metadata the texts of that.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Known {
    stamp: u64,
    start: u32,
    labels: u16,
    metadata: Option<MetricType>,
}

/// All series of one lane.
#[derive(Default)]
pub struct Dictionary {
    strings: Strings,
    known: Vec<Known>,
    numbers: Vec<u32>,
    /// What stands behind this is of a series without a key, and gone with the next one.
    kept: usize,
    metadata: Vec<Arc<Metadata>>,
    used: usize,
    is_missing: bool,
    held: Held,
    keeping: Keeping,
}

/// Whether what is learned is kept from one request to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Keeping {
    #[default]
    All,
    /// There is no room for it until the next tick.
    Nothing,
}

impl Dictionary {
    /// An empty one; what it keeps is paid for with `held`.
    pub fn paid_by(held: Held) -> Dictionary {
        Dictionary { held, ..Dictionary::default() }
    }

    /// A tick begins, of which this is said by the sources; the first one that knows a metric is believed.
    pub fn begin(&mut self, metadata: &[Arc<Metadata>]) {
        let is_as_before = metadata.len() == self.metadata.len()
            && metadata.iter().zip(&self.metadata).all(|(new, old)| Arc::ptr_eq(new, old));
        if !is_as_before || self.is_mostly_unused() {
            self.forget();
        }
        if !is_as_before {
            self.metadata = metadata.to_vec();
        }
        (self.used, self.is_missing, self.keeping) = (0, false, Keeping::All);
        self.strings.begin_count();
    }

    /// The tick that was begun last is written. What it taught is paid for, or forgotten.
    pub fn end(&mut self) {
        if !self.is_paid() {
            self.forget();
        }
    }

    /// Pays for what is kept, neither more nor less, if there is room for it.
    fn is_paid(&mut self) -> bool {
        let (due, held) = (self.bytes(), self.held.bytes());
        self.held.give(held.saturating_sub(due));
        due <= DICTIONARY_BYTES_MAX && self.held.take_spare(due.saturating_sub(held))
    }

    /// Whether since [`Dictionary::begin`] a series came of whose metric nobody says anything.
    pub fn is_missing_metadata(&self) -> bool {
        self.is_missing
    }

    fn is_mostly_unused(&self) -> bool {
        self.kept > 2 * self.used + UNUSED_MAX || self.strings.len() > 2 * self.strings.used() + UNUSED_MAX
    }

    fn forget(&mut self) {
        let Dictionary { metadata, used, is_missing, mut held, keeping, .. } = std::mem::take(self);
        held.give(held.bytes());
        *self = Dictionary { metadata, used, is_missing, held, keeping, ..Dictionary::default() };
    }

    #[cfg(test)]
    pub(super) fn texts(&self) -> usize {
        self.strings.len()
    }

    /// What it takes in memory, roughly.
    fn bytes(&self) -> usize {
        self.strings.bytes() + 4 * self.numbers.capacity() + size_of::<Known>() * self.known.capacity()
    }

    /// Begins another request with these symbols.
    pub(super) fn begin_request(&mut self, symbols: &mut Vec<u8>) {
        if self.keeping == Keeping::All && !self.is_paid() {
            self.keeping = Keeping::Nothing;
        }
        if self.keeping == Keeping::Nothing {
            self.forget();
        }
        self.strings.begin_request(symbols);
    }

    /// The series in numbers, learned if it is not known.
    #[inline]
    pub(super) fn find(&mut self, key: Option<Key>, labels: &[u8]) -> Result<Known, Overflow> {
        let key = key.filter(|_| self.keeping == Keeping::All);
        let known = key.and_then(|key| self.known.get(key.slot as usize).filter(|k| k.stamp == key.stamp));
        let known = match known {
            Some(known) => *known,
            None => self.learn(key, labels)?,
        };
        self.used += known.len();
        Ok(known)
    }

    fn learn(&mut self, key: Option<Key>, labels: &[u8]) -> Result<Known, Overflow> {
        self.numbers.truncate(self.kept);
        let Dictionary { strings, numbers, .. } = self;
        let start = numbers.len();
        let mut metric = None;
        let read = each_label(labels, |name, value| {
            if name == METRIC_NAME {
                metric = Some(value.to_owned());
            }
            numbers.extend([strings.learn(name), strings.learn(value)]);
        });
        let count = u16::try_from(numbers.len() - start).ok().filter(|_| read.is_some());
        let (Some(count), Ok(first)) = (count, u32::try_from(start)) else { return Err(Overflow::Series) };
        let metric = metric.filter(|_| key.is_some_and(|key| key.name == Name::Sources));
        let metadata = metric.and_then(|metric| self.learn_metadata(&metric));
        let stamp = key.map_or(0, |key| key.stamp);
        let known = Known { stamp, start: first, labels: count, metadata };
        if let Some(key) = key {
            self.remember(key, known);
        }
        Ok(known)
    }

    fn learn_metadata(&mut self, metric: &str) -> Option<MetricType> {
        let Some(About { kind, help, unit }) = self.metadata.iter().find_map(|said| said.of(metric)) else {
            self.is_missing = true;
            return None;
        };
        let numbers = [self.strings.learn(help), self.strings.learn(unit)];
        self.numbers.extend(numbers);
        Some(*kind)
    }

    fn remember(&mut self, key: Key, known: Known) {
        let slot = key.slot as usize;
        if self.known.len() <= slot {
            self.known.resize(slot + 1, Known::default());
        }
        self.known[slot] = known;
        self.kept = self.numbers.len();
    }

    /// Appends the series' `labels_refs`, without their head, and whatever symbols of it the request has not yet.
    #[inline]
    pub(super) fn write_labels(&mut self, known: Known, symbols: &mut Vec<u8>, out: &mut Vec<u8>) {
        let Dictionary { strings, numbers, .. } = self;
        let start = known.start as usize;
        for number in &numbers[start..start + usize::from(known.labels)] {
            append_varint(strings.place(*number, symbols).into(), out);
        }
    }

    /// Appends the series' `Metadata`, without its head; nothing if it has none.
    #[inline]
    pub(super) fn write_metadata(&mut self, known: Known, symbols: &mut Vec<u8>, out: &mut Vec<u8>) {
        let Some(kind) = known.metadata else { return };
        let at = known.start as usize + usize::from(known.labels);
        let places = [self.numbers[at], self.numbers[at + 1]].map(|number| match number {
            EMPTY => 0,
            number => self.strings.place(number, symbols),
        });
        for (tag, number) in [(TAG_TYPE, kind as u32), (TAG_HELP, places[0]), (TAG_UNIT, places[1])] {
            if number != 0 {
                out.push(tag);
                append_varint(number.into(), out);
            }
        }
    }
}

impl Known {
    fn len(self) -> usize {
        usize::from(self.labels) + if self.has_metadata() { 2 } else { 0 }
    }

    pub(super) fn has_metadata(self) -> bool {
        self.metadata.is_some()
    }
}
