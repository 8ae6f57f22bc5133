//! Reading: what a source says of its metrics, as far as it is kept.
//!
//! In: an answer's bytes. Out: what its places agree on, metric by metric, and how many there was no room for. Never: more kept than a
//! fixed maximum, or than somebody pays for; nothing at all because there was more.

use std::collections::HashMap;

use serde::Deserialize;

use super::entries::{Entries, Entry, Malformed};
use crate::model::memory::Held;
use crate::model::metadata::{About, Metadata, MetricType};

/// Metrics that are kept of one source.
pub(super) const METRICS_MAX: usize = 50_000;

/// What they may take together.
const KEPT_BYTES_MAX: usize = 16 << 20;

/// What one takes beside its texts, in a table that may have just grown to twice its size.
const METRIC_BYTES: usize = 128;

/// A longer help is left out: it would stand in every request.
pub(super) const HELP_BYTES_MAX: usize = 1_024;

/// An answer that cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error(transparent)]
    Entry(#[from] serde_json::Error),
}

/// What came so far.
#[derive(Debug)]
pub(super) struct Reading {
    entries: Entries,
    kept: Kept,
}

#[derive(Debug)]
struct Kept {
    metrics: HashMap<Box<str>, About>,
    held: Held,
    left_out: usize,
}

#[derive(Deserialize)]
struct Said {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    help: String,
    #[serde(default)]
    unit: String,
}

impl Reading {
    /// Nothing yet; what is kept is paid for with `held`.
    pub(super) fn paid_by(held: Held) -> Reading {
        let kept = Kept { metrics: HashMap::new(), held, left_out: 0 };
        Reading { entries: Entries::new(), kept }
    }

    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let Reading { entries, kept } = self;
        entries.feed(bytes, |entry| kept.add(entry))
    }

    /// What was said, and of how many metrics that is not kept. With `is_cut` more would have come, and is not missed.
    pub(super) fn finish(self, is_cut: bool) -> Result<(Metadata, usize), Error> {
        let Reading { entries, kept } = self;
        if !(is_cut && entries.is_inside()) {
            entries.finish()?;
        }
        let Kept { metrics, held, left_out } = kept;
        Ok((metrics.into_iter().collect::<Metadata>().paid_by(held), left_out))
    }
}

impl Kept {
    fn add(&mut self, entry: Entry<'_>) -> Result<(), Error> {
        let Entry::Whole(bytes) = entry else {
            self.left_out += 1;
            return Ok(());
        };
        // It has one member, whatever that says.
        for (name, said) in serde_json::from_slice::<HashMap<Box<str>, Vec<Said>>>(bytes)? {
            let Some(about) = agreed(said) else { continue };
            match self.has_room(&name, &about) {
                true => _ = self.metrics.insert(name, about),
                false => self.left_out += 1,
            }
        }
        Ok(())
    }

    fn has_room(&mut self, name: &str, about: &About) -> bool {
        let bytes = METRIC_BYTES + name.len() + about.help.len() + about.unit.len();
        self.metrics.len() < METRICS_MAX
            && self.held.bytes() + bytes <= KEPT_BYTES_MAX
            && self.held.take(bytes).is_ok()
    }
}

/// What all places that say something of a metric agree on; nothing if they do not agree on what it is.
fn agreed(all: Vec<Said>) -> Option<About> {
    let mut all = all.into_iter();
    let mut first = all.next()?;
    for Said { kind, help, unit } in all {
        if kind != first.kind {
            return None;
        }
        let keep = |one: &mut String, other: String| {
            if *one != other {
                one.clear();
            }
        };
        keep(&mut first.help, help);
        keep(&mut first.unit, unit);
    }
    let Said { kind, mut help, mut unit } = first;
    [&mut help, &mut unit].into_iter().filter(|text| text.len() > HELP_BYTES_MAX).for_each(String::clear);
    let about = About { kind: MetricType::named(&kind), help: help.into(), unit: unit.into() };
    (about != About::default()).then_some(about)
}
