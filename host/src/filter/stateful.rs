//! Stateful: one tenant's filter that remembers, or that sees samples, and its only instance.
//!
//! In: labels of series, by the caller's numbers; samples of those it kept. Out: for each series the labels it leaves with,
//! or nothing; for each batch of samples an edit script. Never: an instance that is replaced in silence.

use std::sync::Arc;

use super::batch::{Batch, batch_rows};
use super::instance::Tenant;
use super::module::Columns;
use super::runtime::Shared;
use super::samples::{self, Emitted, ROWS_MAX, SampleEdits, SampleRows, Window};
use super::slots::{Keep, Slot};
use super::step::{Running, Step, Timing};
use super::symbols::Symbols;
use super::usage::Usage;
use super::{Error, check, wire};
use crate::model::{FilterMode, Labels};

/// Series that a filter emits in a trial and that the filters behind it are shown.
const TRIED_EMITTED_MAX: usize = 1_000;

/// A filter whose instance is kept between calls.
///
/// When the instance had to be replaced, [`Stateful::generation`] grows: all that it said before is void.
#[derive(Debug)]
pub struct Stateful {
    shared: Arc<Shared>,
    tenant: Tenant,
    step: Running,
    columns: Option<Columns>,
    symbols: Symbols,
    rows: Batch,
    spare: Batch,
    generation: u64,
    emitted: Emitted,
    /// The numbers of the series that the filter kept.
    kept: Vec<bool>,
    /// The right to keep the instance.
    _slot: Option<Slot>,
}

impl Stateful {
    pub(super) fn new(
        shared: &Arc<Shared>,
        tenant: Tenant,
        step: Step,
        keep: Keep,
    ) -> Result<Stateful, Error> {
        let columns = step.module.manifest().samples;
        let slot = (keep == Keep::ForTicks).then(|| shared.slots.take(&tenant.namespace)).transpose();
        let slot = slot.map_err(|limit| Error::Kept { filter: step.name.clone(), limit })?;
        let step = Running::new(step, &tenant)?;
        Ok(Stateful {
            shared: shared.clone(),
            tenant,
            step,
            columns,
            symbols: Symbols::default(),
            rows: Batch::default(),
            spare: Batch::default(),
            generation: 0,
            emitted: Emitted::default(),
            kept: Vec::new(),
            _slot: slot,
        })
    }

    /// Judges series; each goes by its number from now on. The answer has one entry for each: the labels it leaves with, or
    /// `None` if it is dropped. A number is dense, and another series' only after [`Stateful::forget`].
    ///
    /// # Errors
    /// As [`super::Chain::classify`].
    pub fn classify(&mut self, series: &[(u32, &Labels)]) -> Result<Vec<Option<Labels>>, Error> {
        let judged = self.classify_while(series, &|| true)?;
        Ok(judged.expect("nothing stops it"))
    }

    /// As [`Stateful::classify`], as long as it `goes_on`, which is asked before every call of the guest; `None` once it does not.
    fn classify_while(
        &mut self,
        series: &[(u32, &Labels)],
        goes_on: &dyn Fn() -> bool,
    ) -> Result<Option<Vec<Option<Labels>>>, Error> {
        let mut out = Vec::with_capacity(series.len());
        let labels: Vec<&Labels> = series.iter().map(|(_, labels)| *labels).collect();
        let mut start = 0;
        while start < series.len() {
            if !goes_on() {
                return Ok(None);
            }
            let end = start + batch_rows(&labels[start..], self.shared.config.batch_rows_max);
            if let Err(error) = self.judge(&series[start..end], &labels[start..end]) {
                // Of those before it the caller learns nothing, so their numbers may be given to others.
                let judged: Vec<u32> = series[..start].iter().map(|(number, _)| *number).collect();
                if !judged.is_empty() {
                    self.forget(&judged);
                }
                return Err(error);
            }
            self.rows.unload(&labels[start..end], &self.symbols, &mut out);
            start = end;
        }
        Ok(Some(out))
    }

    fn judge(&mut self, series: &[(u32, &Labels)], labels: &[&Labels]) -> Result<(), Error> {
        if self.symbols.is_full(self.shared.config.dictionary_bytes_max) {
            self.lose();
            return Err(Error::Forgotten { filter: self.step.filter.to_string() });
        }
        self.rows.load(labels, &mut self.symbols);
        self.rows.series.extend(series.iter().map(|(number, _)| number));
        let judged = self.step.classify(&self.tenant, &mut self.rows, &mut self.spare, &mut self.symbols);
        let kept = self.or_lost(judged)?;
        for (row, (number, _)) in series.iter().enumerate() {
            let number = *number as usize;
            if number >= self.kept.len() {
                self.kept.resize(number + 1, false);
            }
            self.kept[number] = kept.as_ref().is_some_and(|kept| check::is_set(kept, row));
        }
        Ok(())
    }

    /// What follows is done then. If samples or series went past the filter because it failed, and it is worth another try,
    /// it begins anew.
    pub fn begin(&mut self, timing: Timing) {
        self.step.begin(timing);
        if self.step.wants_again() {
            self.step.is_bypassed = false;
            self.lose();
        }
    }

    /// Whether the samples of a series are to be shown to it: it is one that the filter kept. Others pass.
    pub fn is_to_see(&self, number: u32) -> bool {
        self.columns.is_some() && self.kept.get(number as usize).is_some_and(|kept| *kept)
    }

    /// Tells the filter which series have ended. A failure only shows in [`Stateful::usage`] and [`Stateful::generation`]:
    /// there is nothing to repeat.
    pub fn forget(&mut self, numbers: &[u32]) {
        for number in numbers {
            if let Some(kept) = self.kept.get_mut(*number as usize) {
                *kept = false;
            }
        }
        let Some(instance) = &mut self.step.instance else { return };
        if instance.forget(numbers, &mut self.step.usage).is_err() {
            self.lose();
        }
    }

    /// Grows whenever the filter lost its memory. What it said about series before is void then, and what it emitted: ask
    /// again about all of them.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether it is to be shown samples.
    pub fn sees_samples(&self) -> bool {
        self.columns.is_some()
    }

    /// What it has us keep, in bytes: labels of series that it emits, and the strings that it has been told. The memory of its
    /// instance is paid for by the tenant's payer.
    pub fn kept_bytes(&self) -> usize {
        self.emitted.bytes + self.symbols.bytes() + self.rows.bytes() + self.spare.bytes()
    }

    /// It begins anew, because there is no room for what it has.
    pub fn begin_anew(&mut self) {
        self.lose();
    }

    /// What the filter has done so far.
    pub fn usage(&self) -> &Usage {
        &self.step.usage
    }

    /// The series that the filter emits, since its instance was made.
    pub fn emitted(&self) -> &[Labels] {
        &self.emitted.series
    }

    /// Shows the filter samples, at most 8,192 at a time. Every tick ends with one call that has `last`, if need be without rows.
    /// Only for a filter that [sees samples](Stateful::sees_samples).
    ///
    /// # Errors
    /// As [`Stateful::classify`]; [`Error::Forgotten`] if the series were judged by an instance that is gone.
    pub fn process(
        &mut self,
        window: Window,
        last: bool,
        rows: SampleRows<'_>,
    ) -> Result<SampleEdits, Error> {
        debug_assert!(rows.series.len() <= ROWS_MAX, "the caller cuts batches");
        let columns = self.columns.expect("the filter sees samples");
        let tick = wire::Tick { since: window.since.as_millis(), at: window.at.as_millis(), last };
        let Stateful { step, symbols, emitted, .. } = self;
        let edits = step.called(|Running { instance, usage, filter, .. }| {
            let forgotten = || Error::Forgotten { filter: filter.to_string() };
            let instance = instance.as_mut().ok_or_else(forgotten)?;
            let outcome = instance.process(tick, rows.wire(columns), usage)?;
            samples::edits(outcome, rows, window, symbols, emitted, usage).map_err(|cause| {
                usage.nonsense += 1;
                Error::Nonsense { filter: filter.to_string(), cause }
            })
        });
        match self.or_lost(edits)? {
            Some(edits) if self.step.mode == FilterMode::Enforce => Ok(edits),
            passed => {
                self.step.usage.bypassed += if passed.is_none() { rows.series.len() as u64 } else { 0 };
                Ok(SampleEdits::none(rows.series.len()))
            }
        }
    }

    /// Shows the filter a tick of series that it has not seen; what it leaves of them, and what it emits.
    pub(super) fn try_out(
        &mut self,
        window: Window,
        series: &[(Labels, f64)],
        goes_on: &dyn Fn() -> bool,
    ) -> Result<Option<Vec<(Labels, f64)>>, Error> {
        let numbered: Vec<_> = (0..).zip(series.iter().map(|(labels, _)| labels)).collect();
        let Some(kept) = self.classify_while(&numbered, goes_on)? else { return Ok(None) };
        let kept = (0..).zip(kept.into_iter().zip(series));
        let kept = kept.filter_map(|(number, (kept, (_, value)))| Some((number, kept?, *value)));
        let kept: Vec<(u32, Labels, f64)> = kept.collect();
        if self.sees_samples() {
            let mut batches = kept.chunks(ROWS_MAX).peekable();
            loop {
                if !goes_on() {
                    return Ok(None);
                }
                let batch = batches.next().unwrap_or_default();
                let series: Vec<u32> = batch.iter().map(|(number, ..)| *number).collect();
                let values: Vec<u64> = batch.iter().map(|(.., value)| value.to_bits()).collect();
                let timestamps = vec![window.at.as_millis(); batch.len()];
                let rows =
                    SampleRows { series: &series, timestamps: &timestamps, values: &values, opaque: &[] };
                let last = batches.peek().is_none();
                self.process(window, last, rows)?;
                if last {
                    break;
                }
            }
        }
        // No more of them than a trial begins with.
        let emitted = self.emitted.series.iter().take(TRIED_EMITTED_MAX).map(|labels| (labels.clone(), 0.0));
        Ok(Some(kept.into_iter().map(|(_, labels, value)| (labels, value)).chain(emitted).collect()))
    }

    /// After an error that cost the instance, everything it knew is void.
    fn or_lost<T>(&mut self, answer: Result<Option<T>, Error>) -> Result<Option<T>, Error> {
        if !matches!(answer, Ok(Some(_))) && self.step.instance.is_none() {
            self.lose();
        }
        answer
    }

    fn lose(&mut self) {
        self.step.lose();
        self.symbols = Symbols::default();
        self.emitted = Emitted::default();
        self.kept.clear();
        self.generation += 1;
    }
}
