//! Symbols: what remote write 2.0 asks of a request beside what both versions ask of its series.
//!
//! In: a decoded request. Out: its series with their labels in full, what is said of them, and every rule broken.

use std::collections::BTreeSet;

use super::rules::Violation;
use super::wire::{Label, TimeSeries, WireSample, WriteRequest, v2};

/// What a request says of one series: type, help, unit.
pub type Said = (i32, String, String);

/// The request as one of 1.0, and what is said of each of its series.
pub(super) fn resolve(
    request: v2::Request,
    violations: &mut Vec<Violation>,
) -> (WriteRequest, Vec<Option<Said>>) {
    let v2::Request { symbols, timeseries } = request;
    if symbols.first().is_none_or(|first| !first.is_empty()) {
        violations.push(Violation::Symbols("the first one is not empty"));
    }
    if symbols.iter().collect::<BTreeSet<_>>().len() < symbols.len() {
        violations.push(Violation::Symbols("one stands twice"));
    }
    let mut table = Table { used: vec![false; symbols.len()], symbols, violations };
    let series = timeseries.into_iter().map(|series| table.series(series)).unzip();
    let Table { used, violations, .. } = table;
    if used.iter().skip(1).any(|used| !used) {
        violations.push(Violation::Symbols("one is of nothing in the request"));
    }
    let (timeseries, said) = series;
    (WriteRequest { timeseries }, said)
}

struct Table<'a> {
    symbols: Vec<Vec<u8>>,
    used: Vec<bool>,
    violations: &'a mut Vec<Violation>,
}

impl Table<'_> {
    fn series(&mut self, series: v2::TimeSeries) -> (TimeSeries, Option<Said>) {
        let v2::TimeSeries { labels_refs, samples, histograms, metadata } = series;
        if labels_refs.len() % 2 == 1 {
            self.violations.push(Violation::OddReferences(labels_refs.len()));
        }
        let pairs = labels_refs.chunks_exact(2);
        let labels =
            pairs.map(|pair| Label { name: self.symbol(pair[0]), value: self.symbol(pair[1]) }).collect();
        if samples.iter().any(|sample| sample.start_timestamp != 0) {
            self.violations.push(Violation::InventedStart);
        }
        let sample = |v2::Sample { value, timestamp, .. }| WireSample { value, timestamp };
        let said = metadata.map(|v2::Metadata { kind, help_ref, unit_ref }| {
            let mut text = |at| String::from_utf8_lossy(&self.symbol(at)).into_owned();
            (kind, text(help_ref), text(unit_ref))
        });
        (TimeSeries { labels, samples: samples.into_iter().map(sample).collect(), histograms }, said)
    }

    fn symbol(&mut self, at: u32) -> Vec<u8> {
        match self.symbols.get(at as usize) {
            Some(symbol) => {
                self.used[at as usize] = true;
                symbol.clone()
            }
            None => {
                self.violations.push(Violation::Reference(at));
                Vec::new()
            }
        }
    }
}
