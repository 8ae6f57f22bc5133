//! Station: a part of a tenant's filters, and what it said of each series.
//!
//! In: the samples of a scrape, on their way. Out: those that go on, and what became of the others. Never: a filter asked
//! twice about a series that stays; a sample shown to a filter that has not kept its series.

use std::collections::{HashMap, HashSet};

use super::failed::{Call, Failed};
use super::trial::Fate;
use crate::filter::{self, Chain, ROWS_MAX, SampleRows, Stateful, Timing, Usage, Window};
use crate::model::{Labels, Timestamp};

/// Series in one call of a filter, unless an operator says otherwise. Cut like this, what fails is known to the call.
fn batch_rows_max() -> usize {
    filter::Config::default().batch_rows_max
}

/// A sample on its way.
#[derive(Debug)]
pub(super) struct Row {
    /// Which sample of the scrape it was; `None` if a filter emits it.
    pub(super) origin: Option<usize>,
    pub(super) labels: Labels,
    pub(super) value: f64,
    pub(super) at: Timestamp,
}

impl Row {
    fn meets(&self, fates: &mut [Fate], fate: Fate) {
        if let Some(origin) = self.origin {
            fates[origin] = fate;
        }
    }
}

/// A part of the filters.
#[derive(Debug)]
pub(super) enum Station {
    Judging(Box<Judging>),
    Kept(Box<Kept>),
}

/// Filters without state, and what they said of each series: its labels, or the number of the one that dropped it.
#[derive(Debug)]
pub(super) struct Judging {
    chain: Chain,
    names: Vec<String>,
    verdicts: HashMap<Labels, Result<Labels, u8>>,
}

/// A filter that remembers or sees samples, and for each series its number and what the filter said of it.
#[derive(Debug)]
pub(super) struct Kept {
    filter: Stateful,
    verdicts: HashMap<Labels, (u32, Option<Labels>)>,
    free: Vec<u32>,
    generation: u64,
}

impl Station {
    pub(super) fn judging(chain: Chain) -> Station {
        let names = chain.usage().map(|usage| usage.name.clone()).collect();
        Station::Judging(Box::new(Judging { chain, names, verdicts: HashMap::new() }))
    }

    pub(super) fn kept(filter: Stateful) -> Station {
        let (verdicts, free, generation) = (HashMap::new(), Vec::new(), filter.generation());
        Station::Kept(Box::new(Kept { filter, verdicts, free, generation }))
    }

    /// The rows that go on. Of the others `fates` says what became of them.
    pub(super) fn pass(
        &mut self,
        timing: Timing,
        window: Window,
        rows: Vec<Row>,
        fates: &mut [Fate],
    ) -> Result<Vec<Row>, Box<Failed>> {
        match self {
            Station::Judging(part) => part.pass(timing, rows, fates),
            Station::Kept(part) => part.pass(timing, window, rows, fates),
        }
    }

    pub(super) fn usage(&self) -> Vec<&Usage> {
        match self {
            Station::Judging(part) => part.chain.usage().collect(),
            Station::Kept(part) => vec![part.filter.usage()],
        }
    }
}

/// One row of each series: the first.
pub(super) fn distinct(rows: Vec<Row>, fates: &mut [Fate]) -> Vec<Row> {
    let is_first: Vec<bool> = {
        let mut seen = HashSet::new();
        rows.iter().map(|row| seen.insert(&row.labels)).collect()
    };
    let mut left = Vec::with_capacity(rows.len());
    for (row, is_first) in rows.into_iter().zip(is_first) {
        match is_first {
            true => left.push(row),
            false => row.meets(fates, Fate::Merged),
        }
    }
    left
}

impl Judging {
    fn pass(&mut self, timing: Timing, rows: Vec<Row>, fates: &mut [Fate]) -> Result<Vec<Row>, Box<Failed>> {
        if self.chain.begin(timing) {
            self.verdicts.clear();
        }
        self.judge(&rows)?;
        let mut left = Vec::with_capacity(rows.len());
        for row in rows {
            match &self.verdicts[&row.labels] {
                Ok(labels) => left.push(Row { labels: labels.clone(), ..row }),
                Err(step) => row.meets(fates, Fate::Dropped(self.names[*step as usize].clone())),
            }
        }
        Ok(left)
    }

    /// Asks about the series that are new, and forgets those that are gone.
    fn judge(&mut self, rows: &[Row]) -> Result<(), Box<Failed>> {
        let seen = series(rows);
        self.verdicts.retain(|labels, _| seen.contains(labels));
        for batch in unknown(rows, &self.verdicts).chunks(batch_rows_max()) {
            let failed = |cause| Failed::among(cause, Call::Classify, batch.iter().copied());
            let kept = self.chain.classify(batch).map_err(failed)?;
            let passed = self.chain.passed();
            let verdicts = kept.into_iter().zip(passed).map(|(kept, passed)| kept.ok_or(*passed));
            self.verdicts.extend(batch.iter().copied().cloned().zip(verdicts));
        }
        Ok(())
    }
}

impl Kept {
    fn pass(
        &mut self,
        timing: Timing,
        window: Window,
        rows: Vec<Row>,
        fates: &mut [Fate],
    ) -> Result<Vec<Row>, Box<Failed>> {
        self.filter.begin(timing);
        let rows = distinct(rows, fates);
        self.forget(&series(&rows));
        self.judge(&rows)?;
        let (mut left, mut shown) = (Vec::with_capacity(rows.len()), Vec::new());
        for row in rows {
            match &self.verdicts[&row.labels] {
                (_, None) => row.meets(fates, Fate::Dropped(self.filter.usage().name.clone())),
                (number, Some(labels)) => {
                    let row = Row { labels: labels.clone(), ..row };
                    match self.filter.is_to_see(*number) {
                        true => shown.push((*number, row)),
                        false => left.push(row),
                    }
                }
            }
        }
        if self.filter.sees_samples() {
            process(&mut self.filter, window, shown, &mut left, fates)?;
        }
        Ok(left)
    }

    /// Takes leave of the series that are not in this scrape.
    fn forget(&mut self, seen: &HashSet<&Labels>) {
        let ended = self.verdicts.extract_if(|labels, _| !seen.contains(labels));
        let ended: Vec<u32> = ended.map(|(_, (number, _))| number).collect();
        self.filter.forget(&ended);
        self.free.extend(ended);
    }

    /// Asks about the series that the filter does not know.
    fn judge(&mut self, rows: &[Row]) -> Result<(), Box<Failed>> {
        if std::mem::replace(&mut self.generation, self.filter.generation()) != self.filter.generation() {
            self.verdicts.clear();
            self.free.clear();
        }
        let mut next = (self.verdicts.len() + self.free.len()) as u32;
        let mut number = || {
            self.free.pop().unwrap_or_else(|| {
                next += 1;
                next - 1
            })
        };
        let new: Vec<_> =
            unknown(rows, &self.verdicts).into_iter().map(|labels| (number(), labels)).collect();
        for batch in new.chunks(batch_rows_max()) {
            let labels = batch.iter().map(|(_, labels)| *labels);
            let failed = |cause| Failed::among(cause, Call::Classify, labels);
            let verdicts = self.filter.classify(batch).map_err(failed)?;
            let judged = batch.iter().zip(verdicts);
            let judged = judged.map(|((number, labels), kept)| ((*labels).clone(), (*number, kept)));
            self.verdicts.extend(judged);
        }
        Ok(())
    }
}

/// Shows the filter the samples of the series it kept; what it leaves and emits goes on.
fn process(
    filter: &mut Stateful,
    window: Window,
    shown: Vec<(u32, Row)>,
    left: &mut Vec<Row>,
    fates: &mut [Fate],
) -> Result<(), Box<Failed>> {
    let mut shown = shown.into_iter().peekable();
    loop {
        let mut batch: Vec<(u32, Row)> = shown.by_ref().take(ROWS_MAX).collect();
        let last = shown.peek().is_none();
        let labels = batch.iter().map(|(_, row)| &row.labels);
        let failed = |cause| Failed::among(cause, Call::Process, labels);
        let edits = filter.process(window, last, Columns::of(&batch).rows()).map_err(failed)?;
        for (index, bits) in &edits.changed {
            batch[*index as usize].1.value = f64::from_bits(*bits);
        }
        for (index, (_, row)) in batch.into_iter().enumerate() {
            match edits.keep[index / 64] >> (index % 64) & 1 {
                0 => row.meets(fates, Fate::Dropped(filter.usage().name.clone())),
                _ => left.push(row),
            }
        }
        let series = filter.emitted();
        left.extend(edits.emitted.iter().map(|emission| Row {
            origin: None,
            labels: series[emission.series as usize].clone(),
            value: f64::from_bits(emission.bits),
            at: Timestamp(emission.timestamp),
        }));
        if last {
            return Ok(());
        }
    }
}

/// The columns of one batch.
struct Columns {
    series: Vec<u32>,
    timestamps: Vec<i64>,
    values: Vec<u64>,
}

impl Columns {
    fn of(batch: &[(u32, Row)]) -> Columns {
        Columns {
            series: batch.iter().map(|(number, _)| *number).collect(),
            timestamps: batch.iter().map(|(_, row)| row.at.as_millis()).collect(),
            values: batch.iter().map(|(_, row)| row.value.to_bits()).collect(),
        }
    }

    fn rows(&self) -> SampleRows<'_> {
        let Columns { series, timestamps, values } = self;
        SampleRows { series, timestamps, values, opaque: &[] }
    }
}

fn series(rows: &[Row]) -> HashSet<&Labels> {
    rows.iter().map(|row| &row.labels).collect()
}

fn unknown<'a, V>(rows: &'a [Row], verdicts: &HashMap<Labels, V>) -> Vec<&'a Labels> {
    rows.iter().map(|row| &row.labels).filter(|labels| !verdicts.contains_key(labels)).collect()
}
