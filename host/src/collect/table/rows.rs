//! Rows: what arrives, put into the answer that is being read.
//!
//! In: label bytes and samples, as the readers find them. Out: rows, each of a form, in the order in which they came. Never: more rows of one
//! request than the maximum; a sample that nobody pays for.

use super::forms::HEAD;
use super::metric::Void;
use super::tab::price;
use super::{ILLEGAL, NAMELESS, Scan, Table};
use crate::collect::read::{self, Run};
use crate::collect::scan::{Refusal, Rows, Sample};

impl Table {
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
        self.note(self.scan.values.len(), form);
        self.scan.values.push(value);
        Ok(())
    }

    /// An error if the form that was noted last came before in this request. As long as an answer repeats the one before none does.
    fn comes_once(&mut self, form: u32) -> Result<(), Refusal> {
        let Scan { forms: Some(forms), came, before, .. } = &mut self.scan else { return Ok(()) };
        let others = &forms[before.runs..forms.len() - 1];
        if came.len() != others.len() {
            *came = others.iter().copied().collect();
        }
        match came.insert(form) {
            true => Ok(()),
            false => Err(Refusal::Labels("a series comes twice, with others in between")),
        }
    }

    /// A form comes in this row.
    #[inline]
    fn note(&mut self, row: usize, form: u32) {
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
        self.scan.previous = form;
    }

    /// The form of raw label bytes, and that it comes behind the one before it.
    fn follow(&mut self, raw: &[u8]) -> Result<u32, Refusal> {
        let form = self.form(raw)?;
        let previous = self.scan.previous;
        let guess = std::mem::replace(&mut self.forms.get_mut(previous).next, form);
        // A new series stands between two that are known: behind it comes what came behind the one before.
        let here = self.forms.get_mut(form);
        if here.next == HEAD {
            here.next = guess;
        }
        Ok(form)
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
        let Sample::Float(value) = sample else {
            let form = self.form(metric)?;
            if self.request_rows() >= self.config.series_max {
                return Err(Refusal::TooMany(self.config.series_max));
            }
            self.scan.histograms.push(form);
            self.forms.get_mut(form).seen = self.epoch;
            return Ok(());
        };
        let form = self.follow(metric)?;
        self.push(form, value)
    }

    fn column(&mut self, metric: &[u8], samples: &[(usize, Sample)]) -> Result<(), Refusal> {
        let form = self.form(metric)?;
        if self.request_rows() >= self.config.series_max {
            return Err(Refusal::TooMany(self.config.series_max));
        }
        self.forms.get_mut(form).seen = self.epoch;
        self.scan.ahead.push(form, samples)
    }

    fn window(&mut self, metric: &[u8], samples: Run<'_>, histograms: usize) -> Result<(), Refusal> {
        read::Runs::run(self, metric, samples, histograms)
    }
}

impl read::Runs for Table {
    fn run(&mut self, labels: &[u8], samples: Run<'_>, histograms: usize) -> Result<(), Refusal> {
        // A series without a label is one without a name.
        let raw = if labels.is_empty() { b"{}" } else { labels };
        let expected = self.forms.get(self.scan.previous).next;
        let is_another_piece =
            self.scan.runs.rows() > self.scan.before.runs && self.forms.raw(self.scan.previous) == raw;
        if is_another_piece {
            self.charge(self.scan.previous, samples)?;
            self.scan.histograms.extend(std::iter::repeat_n(self.scan.previous, histograms));
            self.scan.runs.extend(samples);
            return Ok(());
        }
        if self.request_rows() >= self.config.series_max {
            return Err(Refusal::TooMany(self.config.series_max));
        }
        let form = if self.forms.raw(expected) == raw { expected } else { self.follow(raw)? };
        self.charge(form, samples)?;
        self.scan.histograms.extend(std::iter::repeat_n(form, histograms));
        self.note(self.scan.runs.rows(), form);
        self.comes_once(form)?;
        self.scan.runs.push(samples);
        Ok(())
    }
}
