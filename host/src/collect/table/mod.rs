//! Table: the series of one stream.
//!
//! In: what the scanner finds. Out: an [`Answer`] per tick, its rows by slot. Never: a label parsed twice while its
//! series is seen, or a slot whose meaning changes within a generation.

mod answer;
mod catalog;
mod forms;
mod layout;
mod metric;
mod slots;
mod tab;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub use answer::{Answer, Part, Row};
pub use catalog::Catalog;
pub(super) use tab::Asking;

use crate::model::memory::{Full, Held};
use crate::model::{Labels, Source, Tick};

use super::Cause;
use super::scan::{Refusal, Rows, Sample, Scanner};
use forms::{Form, Forms, HEAD};
use layout::{Layout, PartNames};
use metric::{Metric, Void};
use slots::Slots;
use tab::{Tab, price};

/// A series of one stream: as long as slot and generation stay, so do its labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesRef {
    /// A small number, used again when the series is gone.
    pub slot: u32,
    /// How many series had the slot before.
    pub generation: u32,
}

/// Which stream a series reference belongs to; unique in the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(u64);

/// A series that is in none of so many answers of its stream loses its slot. Long enough for a target that restarts
/// or flaps not to be classified again; 20 ticks are ten minutes at the default interval.
pub const SLOT_IDLE_TICKS_MAX: u32 = 20;

/// Every so many answers idle series are looked for.
const SWEEP_TICKS: u32 = 8;

/// What a crowded table still keeps: streams asked at several intervals skip the slower ones' series in some answers.
const CROWDED_IDLE_TICKS_MAX: u32 = 4;

/// Marks in place of a slot, for results that are no series.
const NAMELESS: u32 = u32::MAX;
const ILLEGAL: u32 = u32::MAX - 1;

/// What a table is for.
#[derive(Debug, Clone, Default)]
pub struct TableConfig {
    /// Labels to add, see [`Source::labels`].
    pub labels: Labels,
    /// Labels to take off, see [`Source::external_labels`].
    pub external_labels: Labels,
    /// The label by whose value (as the source has it) answers are split into parts.
    pub hole: Option<Arc<str>>,
    /// The most results of one request.
    pub series_max: usize,
}

impl TableConfig {
    /// The table of a stream of `source` that is split by `hole`.
    pub fn new(source: &Source, hole: Option<Arc<str>>) -> TableConfig {
        let (labels, external_labels) = (source.labels.clone(), source.external_labels.clone());
        TableConfig { labels, external_labels, hole, series_max: source.series_max }
    }
}

/// The series of one stream, and the answer that is being read.
#[derive(Debug)]
pub struct Table {
    id: StreamId,
    config: TableConfig,
    forms: Forms,
    slots: Slots,
    parts: PartNames,
    metric: Metric,
    tab: Tab,
    /// The forms of the last answer, in its order.
    sequence: Vec<u32>,
    layout: Arc<Layout>,
    /// Counts answers.
    epoch: u32,
    scan: Scan,
}

/// The answer that is being read.
#[derive(Debug, Default)]
struct Scan {
    /// The form that came last.
    previous: u32,
    values: Vec<f64>,
    /// The forms, once they differ from the last answer's; until then, `None`.
    forms: Option<Vec<u32>>,
    /// Forms of the native histograms.
    histograms: Vec<u32>,
    /// Results before this request.
    before: Mark,
    /// The forms that this request has made.
    made: HashSet<u32>,
}

/// A point in an answer to which it can be taken back.
#[derive(Debug, Clone, Copy, Default)]
struct Mark {
    previous: u32,
    rows: usize,
    histograms: usize,
}

impl Table {
    /// An empty table without a limit.
    pub fn new(config: TableConfig) -> Table {
        Table::paid_by(Held::default(), config)
    }

    /// An empty table that may take what `process` may hold, and those who ask: see [`Table::split`].
    pub(super) fn paid_by(process: Held, config: TableConfig) -> Table {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Table {
            id: StreamId(NEXT.fetch_add(1, Ordering::Relaxed)),
            config,
            forms: Forms::default(),
            slots: Slots::default(),
            parts: PartNames::default(),
            metric: Metric::default(),
            tab: Tab::new(process),
            sequence: Vec::new(),
            layout: Arc::default(),
            epoch: 0,
            scan: Scan::default(),
        }
    }

    /// From now on these ask, and pay for their parts.
    pub(super) fn split(&mut self, asking: Vec<Asking>) {
        self.tab.split(asking, |part| self.parts.bytes(part));
    }

    /// Who has no room for all it asks for, as of the answer that was read last: what is there may be used by the others.
    pub(super) fn refused(&self) -> HashMap<Arc<str>, Full> {
        self.tab.refused().map(|(name, full)| (name.clone(), full)).collect()
    }

    /// Reads one whole answer: what a stream does for one request, without a network.
    pub fn absorb<'a>(
        &mut self,
        tick: Tick,
        chunks: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Answer, Cause> {
        self.begin();
        let mut scanner = Scanner::new(tick);
        for chunk in chunks {
            scanner.feed(chunk, self)?;
        }
        scanner.finish(self)?;
        Ok(self.finish(tick))
    }

    /// Begins an answer; one that was begun and never finished is forgotten.
    pub(super) fn begin(&mut self) {
        self.epoch = self.epoch.wrapping_add(1).max(1);
        if self.epoch.is_multiple_of(SWEEP_TICKS) {
            self.sweep(SLOT_IDLE_TICKS_MAX);
        }
        for idle_max in [CROWDED_IDLE_TICKS_MAX, 0] {
            if self.slots.len() > 2 * self.sequence.len().max(self.config.series_max) {
                self.sweep(idle_max);
            }
        }
        self.tab.retry(|part| self.parts.bytes(part));
        self.scan = Scan { values: Vec::with_capacity(self.sequence.len() + 64), ..Scan::default() };
    }

    /// Begins the next request of the answer.
    pub(super) fn begin_request(&mut self) {
        let (rows, histograms) = (self.scan.values.len(), self.scan.histograms.len());
        self.scan.before = Mark { previous: self.scan.previous, rows, histograms };
        self.scan.made.clear();
    }

    /// Forgets what the request that was begun last has brought.
    pub(super) fn roll_back(&mut self) {
        let Mark { previous, rows, histograms } = self.scan.before;
        self.scan.previous = previous;
        self.scan.values.truncate(rows);
        self.scan.histograms.truncate(histograms);
        if let Some(forms) = &mut self.scan.forms {
            forms.truncate(rows);
        }
    }

    /// As [`Table::roll_back`], and frees what the request that was begun last has made: there is no room for all of it.
    pub(super) fn take_back(&mut self) {
        self.roll_back();
        let made = std::mem::take(&mut self.scan.made);
        self.remove_if(|id, _| made.contains(&id));
    }

    /// Results of the request that was begun last, so far.
    pub(super) fn request_rows(&self) -> usize {
        let Mark { rows, histograms, .. } = self.scan.before;
        self.scan.values.len() - rows + self.scan.histograms.len() - histograms
    }

    /// Ends the answer.
    pub(super) fn finish(&mut self, tick: Tick) -> Answer {
        let Scan { values, forms, histograms, .. } = std::mem::take(&mut self.scan);
        if forms.is_some() || values.len() != self.sequence.len() {
            self.new_sequence(forms, values.len());
        }
        let histograms = self.count_by_part(&histograms);
        Answer::new(self.id, tick, self.layout.clone(), values, histograms, self.slots.catalog.clone())
    }

    /// Bytes of labels held, raw.
    pub fn raw_bytes(&self) -> usize {
        self.forms.bytes()
    }

    /// Series held, those included that were not in the last answer.
    pub fn series(&self) -> usize {
        self.slots.len()
    }

    fn new_sequence(&mut self, forms: Option<Vec<u32>>, rows: usize) {
        self.stamp_sequence(self.epoch.wrapping_sub(1));
        match forms {
            Some(forms) => self.sequence = forms,
            None => self.sequence.truncate(rows),
        }
        self.stamp_sequence(self.epoch);
        self.layout = Arc::new(Layout::build(
            &self.sequence,
            &self.forms,
            &mut self.slots,
            &self.parts,
            self.epoch,
            &self.layout,
        ));
        if self.forms.is_wasteful() || self.is_shuffled() {
            self.forms.compact(&self.sequence);
        }
    }

    /// Whether the arena's order has so little to do with the answers' that a copy pays.
    fn is_shuffled(&self) -> bool {
        self.epoch.is_multiple_of(SWEEP_TICKS) && self.forms.jumps(&self.sequence) > self.sequence.len() / 8
    }

    /// Writes down that the forms of the last answer were seen, which is not done while answers repeat.
    fn stamp_sequence(&mut self, epoch: u32) {
        for form in &self.sequence {
            self.forms.get_mut(*form).seen = epoch;
        }
    }

    /// Frees what was in none of the last `idle_max` answers.
    fn sweep(&mut self, idle_max: u32) {
        let before = self.epoch.wrapping_sub(1);
        self.stamp_sequence(before);
        self.remove_if(|_, form| before.wrapping_sub(form.seen) > idle_max);
    }

    fn remove_if(&mut self, is_gone: impl Fn(u32, &Form) -> bool) {
        let (slots, parts, tab) = (&mut self.slots, &mut self.parts, &mut self.tab);
        self.forms.remove_if(is_gone, |form| {
            let bytes = price(form.len());
            tab.give(&parts.name(form.part), bytes);
            parts.release(form.part, bytes);
            if form.slot < ILLEGAL {
                slots.release(form.slot);
            }
        });
    }

    fn count_by_part(&self, forms: &[u32]) -> HashMap<Arc<str>, u64> {
        let mut counts = HashMap::new();
        for form in forms {
            *counts.entry(self.parts.name(self.forms.get(*form).part)).or_default() += 1;
        }
        counts
    }

    /// The form of raw label bytes, known or new.
    fn form(&mut self, raw: &[u8]) -> Result<u32, Refusal> {
        let hash = self.forms.hash(raw);
        match self.forms.find(hash, raw) {
            Some(form) => Ok(form),
            None => self.new_form(hash, raw),
        }
    }

    fn new_form(&mut self, hash: u64, raw: &[u8]) -> Result<u32, Refusal> {
        if !self.forms.has_room(raw) {
            return Err(Refusal::Labels("the series of this query have more than 4 GiB of labels"));
        }
        self.metric.read(raw).map_err(Refusal::Labels)?;
        let part = self.config.hole.as_deref().map_or("", |hole| self.metric.value(hole));
        let bytes = price(raw.len());
        self.tab.take(part, bytes).map_err(Refusal::Memory)?;
        let part = self.parts.take(part, bytes);
        let slot = match self.metric.identity(&self.config.external_labels, &self.config.labels) {
            Ok(labels) => self.slots.take(labels),
            Err(Void::Nameless) => NAMELESS,
            Err(Void::Illegal) => ILLEGAL,
        };
        let form = self.forms.insert(hash, raw, slot, part);
        self.forms.get_mut(form).seen = self.epoch;
        self.scan.made.insert(form);
        Ok(form)
    }

    #[inline]
    fn push(&mut self, form: u32, value: f64) -> Result<(), Refusal> {
        if self.request_rows() >= self.config.series_max {
            return Err(Refusal::TooMany(self.config.series_max));
        }
        let row = self.scan.values.len();
        match &mut self.scan.forms {
            Some(forms) => forms.push(form),
            None if self.sequence.get(row) == Some(&form) => {}
            None => {
                let mut forms = Vec::with_capacity(self.sequence.len() + 64);
                forms.extend_from_slice(&self.sequence[..row]);
                forms.push(form);
                self.scan.forms = Some(forms);
            }
        }
        self.scan.values.push(value);
        self.scan.previous = form;
        Ok(())
    }
}

impl Rows for Table {
    #[inline]
    fn expected(&self) -> &[u8] {
        self.forms.raw(self.forms.get(self.scan.previous).next)
    }

    #[inline]
    fn hit(&mut self, value: f64) -> Result<(), Refusal> {
        self.push(self.forms.get(self.scan.previous).next, value)
    }

    fn row(&mut self, metric: &[u8], sample: Sample) -> Result<(), Refusal> {
        let form = self.form(metric)?;
        let Sample::Float(value) = sample else {
            if self.request_rows() >= self.config.series_max {
                return Err(Refusal::TooMany(self.config.series_max));
            }
            self.scan.histograms.push(form);
            self.forms.get_mut(form).seen = self.epoch;
            return Ok(());
        };
        let previous = self.scan.previous;
        let guess = std::mem::replace(&mut self.forms.get_mut(previous).next, form);
        // A new series stands between two that are known: behind it comes what came behind the one before.
        let here = self.forms.get_mut(form);
        if here.next == HEAD {
            here.next = guess;
        }
        self.push(form, value)
    }
}
