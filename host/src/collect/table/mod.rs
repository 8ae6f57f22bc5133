//! Table: the series of one stream.
//!
//! In: what the scanner finds. Out: an [`Answer`] per tick, its rows by slot. Never: a label parsed twice while its
//! series is seen, or a slot whose meaning changes within a generation.

mod account;
mod ahead;
mod answer;
mod catalog;
mod forms;
mod layout;
mod metric;
mod rows;
mod runs;
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
use crate::model::{Labels, Source, Span, Tick};

use super::Cause;
use super::read::{self, Window};
use super::scan::Scanner;
use ahead::Ahead;
use forms::{Form, Forms};
use layout::{Layout, PartNames};
use metric::Metric;
use runs::Runs;
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

impl StreamId {
    /// Of an answer that is no stream's, because nothing came.
    const NONE: StreamId = StreamId(u64::MAX);
}

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
    /// Counts answers; those of several ticks that came at once are one.
    epoch: u32,
    /// Counts layouts.
    layouts: u32,
    /// What samples of the answer that is being read are paid for with: part and bytes.
    charges: Vec<(u32, usize)>,
    /// Those before this request.
    charged_before: usize,
    /// The parts that this request is for.
    asked: Vec<Arc<str>>,
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
    /// Forms of the native histograms that are left out.
    histograms: Vec<u32>,
    /// What came for several ticks at once.
    ahead: Ahead,
    /// What came of a window.
    runs: Runs,
    /// Results before this request.
    before: Mark,
    /// The forms that this request has made.
    made: HashSet<u32>,
    /// The forms that came in this request of a window, as far as they have to be told from those that come.
    came: HashSet<u32>,
}

/// A point in an answer to which it can be taken back.
#[derive(Debug, Clone, Copy, Default)]
struct Mark {
    previous: u32,
    rows: usize,
    runs: usize,
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
            layouts: 0,
            charges: Vec::new(),
            charged_before: 0,
            asked: Vec::new(),
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

    /// Reads one whole answer to remote read, uncompressed: what a stream does for one request, without a network.
    pub fn absorb_samples(&mut self, tick: Tick, window: Window, response: &[u8]) -> Result<Answer, Cause> {
        self.begin_runs();
        read::samples(response, window, read::Silence::Nothing, self)?;
        Ok(self.finish_runs(tick))
    }

    /// As [`Table::absorb`], of an answer to a range query: what there is at each tick.
    pub fn absorb_range<'a>(
        &mut self,
        ticks: Span,
        samples_max: usize,
        chunks: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Vec<Answer>, Cause> {
        self.begin_ahead(ticks.count(), samples_max);
        let mut scanner = Scanner::of_range(ticks);
        for chunk in chunks {
            scanner.feed(chunk, self)?;
        }
        scanner.finish(self)?;
        Ok(self.finish_ahead(ticks))
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

    /// Begins the answers of so many ticks, all of which come at once, with so many samples at most.
    pub(super) fn begin_ahead(&mut self, ticks: usize, samples_max: usize) {
        self.begin();
        self.scan.ahead = Ahead::new(ticks, samples_max);
    }

    /// Begins an answer with all samples of a window.
    pub(super) fn begin_runs(&mut self) {
        self.give_back(0);
        self.begin();
    }

    /// Begins the next request of the answer, which is for these parts.
    pub(super) fn begin_request(&mut self, parts: &[Arc<str>]) {
        parts.clone_into(&mut self.asked);
        let (rows, histograms) = (self.scan.values.len(), self.scan.histograms.len());
        let (previous, runs) = (self.scan.previous, self.scan.runs.rows());
        self.scan.before = Mark { previous, rows, runs, histograms };
        self.charged_before = self.charges.len();
        self.scan.ahead.begin_request();
        self.scan.made.clear();
    }

    /// Forgets what the request that was begun last has brought.
    pub(super) fn roll_back(&mut self) {
        let Mark { previous, rows, runs, histograms } = self.scan.before;
        self.scan.previous = previous;
        self.scan.ahead.roll_back();
        self.scan.values.truncate(rows);
        self.scan.runs.truncate(runs);
        self.give_back(self.charged_before);
        self.scan.histograms.truncate(histograms);
        if let Some(forms) = &mut self.scan.forms {
            forms.truncate(rows.max(runs));
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
        let Mark { rows, runs, histograms, .. } = self.scan.before;
        let Scan { ahead, values, runs: came, histograms: opaque, .. } = &self.scan;
        // Where there can be several samples of a series it has its row anyway.
        let opaque = if came.rows() > 0 { 0 } else { opaque.len() - histograms };
        values.len() - rows + came.rows() - runs + opaque + ahead.request_columns()
    }

    /// Samples that came for several ticks at once, so far.
    pub(super) fn samples_ahead(&self) -> usize {
        self.scan.ahead.samples()
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

    /// Ends an answer with all samples of a window that ends with `tick`. They are paid for as long as anybody has it.
    pub(super) fn finish_runs(&mut self, tick: Tick) -> Answer {
        let Scan { runs, forms, histograms, .. } = std::mem::take(&mut self.scan);
        if forms.is_some() || runs.rows() != self.sequence.len() {
            self.new_sequence(forms, runs.rows());
        }
        let histograms = self.count_by_part(&histograms);
        let paid = self.split_off();
        Answer::of_runs(self.id, tick, self.layout.clone(), runs, histograms, self.slots.catalog.clone())
            .paid_by(paid)
    }

    /// Ends the answers of several ticks.
    pub(super) fn finish_ahead(&mut self, ticks: Span) -> Vec<Answer> {
        let rows = std::mem::take(&mut self.scan).ahead.into_rows();
        let answers = ticks.ticks().zip(rows).map(|(tick, rows)| {
            // As long as nothing comes or goes the answers share a layout.
            let forms = (rows.forms != self.sequence).then_some(rows.forms);
            self.scan = Scan { forms, values: rows.values, histograms: rows.histograms, ..Scan::default() };
            self.finish(tick)
        });
        answers.collect()
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
        self.layouts = self.layouts.wrapping_add(1).max(1);
        self.layout = Arc::new(Layout::build(
            &self.sequence,
            &self.forms,
            &mut self.slots,
            &self.parts,
            self.layouts,
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
}
