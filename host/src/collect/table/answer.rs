//! Answer: what a stream held at one tick.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, LazyLock};

use crate::model::memory::Held;
use crate::model::{Tick, Timestamp};

use super::super::read::{Run, Window};
use super::catalog::Catalog;
use super::layout::Layout;
use super::runs::{Grouped, Runs};
use super::{SeriesRef, StreamId};

static NO_SERIES: LazyLock<Arc<[SeriesRef]>> = LazyLock::new(|| Arc::new([]));

/// All rows of one stream at one tick, and the labels they stand for. Immutable.
#[derive(Debug)]
pub struct Answer {
    stream: StreamId,
    tick: Tick,
    layout: Arc<Layout>,
    content: Content,
    histograms: HashMap<Arc<str>, u64>,
    catalog: Arc<Catalog>,
    /// What its samples are paid for with, beside what the table pays for.
    _paid: Vec<Held>,
}

/// What its rows hold, grouped by part.
#[derive(Debug)]
enum Content {
    /// One value each, of the answer's tick.
    Values(Vec<f64>),
    /// All samples that were stored in a window.
    Runs(Grouped),
}

/// The rows of an answer that one query asked for.
#[derive(Debug, Clone)]
pub struct Part {
    answer: Arc<Answer>,
    series: Arc<[SeriesRef]>,
    rows: Range<usize>,
    histograms: u64,
    /// What of the samples is asked for, where there are several of a series.
    window: Window,
}

/// One sample. Its timestamp is the answer's tick.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row {
    /// Whose sample it is.
    pub series: SeriesRef,
    /// Its value; every NaN is Prometheus' ordinary one.
    pub value: f64,
}

impl Answer {
    pub(super) fn new(
        stream: StreamId,
        tick: Tick,
        layout: Arc<Layout>,
        values: Vec<f64>,
        histograms: HashMap<Arc<str>, u64>,
        catalog: Arc<Catalog>,
    ) -> Answer {
        let values = match &layout.gather {
            Some(gather) => gather.iter().map(|row| values[*row as usize]).collect(),
            None => values,
        };
        let content = Content::Values(values);
        Answer { stream, tick, layout, content, histograms, catalog, _paid: Vec::new() }
    }

    pub(super) fn of_runs(
        stream: StreamId,
        tick: Tick,
        layout: Arc<Layout>,
        runs: Runs,
        histograms: HashMap<Arc<str>, u64>,
        catalog: Arc<Catalog>,
    ) -> Answer {
        let content = Content::Runs(runs.grouped(layout.gather.as_deref()));
        Answer { stream, tick, layout, content, histograms, catalog, _paid: Vec::new() }
    }

    /// What there is where nothing came.
    pub(in super::super) fn nothing(tick: Tick) -> Answer {
        let content = Content::Values(Vec::new());
        let (layout, histograms, catalog) = Default::default();
        Answer { stream: StreamId::NONE, tick, layout, content, histograms, catalog, _paid: Vec::new() }
    }

    /// The same, paid for with this as long as anybody has it.
    pub(super) fn paid_by(self, paid: Vec<Held>) -> Answer {
        Answer { _paid: paid, ..self }
    }

    /// The rows whose hole has this value; `""` for a stream without a hole.
    pub fn part(self: &Arc<Answer>, name: &str) -> Part {
        let histograms = self.histograms.get(name).copied().unwrap_or_default();
        let found = self.layout.parts.get(name);
        let (series, rows) = match found {
            Some(part) => (part.series.clone(), part.rows.clone()),
            None => (NO_SERIES.clone(), 0..0),
        };
        let window = Window { since: Timestamp(i64::MIN), until: Timestamp(i64::MAX) };
        Part { answer: self.clone(), series, rows, histograms, window }
    }

    /// Samples of all series.
    pub fn samples(&self) -> usize {
        match &self.content {
            Content::Values(values) => values.len(),
            Content::Runs(runs) => runs.samples(),
        }
    }

    /// The tick it was asked for.
    pub fn tick(&self) -> Tick {
        self.tick
    }

    /// Series of all parts.
    pub fn series(&self) -> usize {
        self.layout.rows()
    }

    /// Results that had no metric name and were left out.
    pub fn nameless(&self) -> u64 {
        self.layout.nameless
    }

    /// Results that had a label twice, or one without a name, and were left out.
    pub fn illegal(&self) -> u64 {
        self.layout.illegal
    }

    /// Results left out because they were equal to another one once external labels were taken off.
    pub fn collisions(&self) -> u64 {
        self.layout.collisions
    }
}

impl Part {
    /// The stream that its series references belong to.
    pub fn stream(&self) -> StreamId {
        self.answer.stream
    }

    /// The answer it is a part of.
    pub fn answer(&self) -> &Arc<Answer> {
        &self.answer
    }

    /// Its series, row by row. As long as they and their order do not change, ticks share one allocation:
    /// `Arc::ptr_eq` with the last tick's proves that nothing came, went or moved.
    pub fn series(&self) -> &Arc<[SeriesRef]> {
        &self.series
    }

    /// Its values, row by row; none where it has several samples of a series.
    pub fn values(&self) -> &[f64] {
        match &self.answer.content {
            Content::Values(values) => &values[self.rows.clone()],
            Content::Runs(_) => &[],
        }
    }

    /// The same rows, with no other samples than those of this window.
    pub(in crate::collect) fn within(self, window: Window) -> Part {
        Part { window, ..self }
    }

    /// Its rows where each can have several samples, without those that have none in the window. Empty where each has one value.
    pub fn runs(&self) -> impl Iterator<Item = (SeriesRef, Run<'_>)> {
        let runs = match &self.answer.content {
            Content::Values(_) => None,
            Content::Runs(runs) => Some(runs),
        };
        let (since, until) = (self.window.since.as_millis(), self.window.until.as_millis());
        let rows = runs.into_iter().flat_map(move |runs| {
            let rows = self.series.iter().zip(self.rows.clone());
            rows.map(move |(series, row)| (*series, runs.row(row, since, until)))
        });
        rows.filter(|(_, run)| !run.at.is_empty())
    }

    /// How many series it has.
    pub fn len(&self) -> usize {
        self.series.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// Its rows.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = Row> + '_ {
        self.series.iter().zip(self.values()).map(|(series, value)| Row { series: *series, value: *value })
    }

    /// The labels its slots stand for.
    pub fn catalog(&self) -> &Catalog {
        &self.answer.catalog
    }

    /// Native histograms that were left out of it.
    pub fn histograms(&self) -> u64 {
        self.histograms
    }
}
