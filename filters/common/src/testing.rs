//! common::testing: a filter of samples over several ticks, natively, through the same code as in Wasm.
//!
//! In: for each tick, lines `metric{label="value"} 1`, or `… 1 -10` for a sample ten seconds before the tick, or `… opaque`.
//! Out: what goes on and what is emitted, sorted, in the same form; `stale` is what ends a series. Never: quotes in a value.

use std::collections::{BTreeMap, HashMap};

use sluice_filter::bindings::{samples, types};
use sluice_filter::guest::Guest;
use sluice_filter::{Columns, SampleFilter};

use crate::STALE_BITS;

/// Ticks are a minute apart.
const STEP_MILLIS: i64 = 60_000;
/// Numbers from here on are strings of the answer they stand in.
const OWN: u32 = 0x8000_0000;
/// As a value: the label is removed.
const REMOVE: u32 = u32::MAX;

/// A filter at work.
#[derive(Debug)]
pub struct Ticks<F> {
    guest: Guest<F>,
    at: i64,
    batch_rows: usize,
    names: Vec<String>,
    values: Vec<String>,
    /// By the series as it comes, its number and, unless it was dropped, what it goes on as.
    series: HashMap<String, (u32, Option<String>)>,
    emitted: Vec<String>,
}

type Labels = BTreeMap<String, String>;

impl<F: SampleFilter> Ticks<F> {
    /// A filter with this configuration.
    ///
    /// # Panics
    /// If the filter refuses it.
    pub fn new(config: &str) -> Ticks<F> {
        let mut guest = Guest::default();
        let tenant = types::Tenant { namespace: "test".into(), name: "test".into(), source: String::new() };
        guest.configure(tenant, config).expect("the configuration is right");
        let (names, values) = (Vec::new(), Vec::new());
        Ticks { guest, at: 0, batch_rows: 8_192, names, values, series: HashMap::new(), emitted: Vec::new() }
    }

    /// Sends so many rows at once.
    #[must_use]
    pub fn in_batches_of(self, batch_rows: usize) -> Ticks<F> {
        Ticks { batch_rows, ..self }
    }

    /// The next tick; series that are not there have ended.
    ///
    /// # Panics
    /// If a line is no sample.
    pub fn tick(&mut self, lines: &str) -> String {
        self.at += STEP_MILLIS;
        let lines = lines.lines().map(str::trim).filter(|line| !line.is_empty());
        let rows: Vec<Vec<&str>> = lines.map(|line| line.split(' ').collect()).collect();
        let gone = |series: &String| !rows.iter().any(|row| row[0] == series);
        let ended: Vec<String> = self.series.keys().filter(|series| gone(series)).cloned().collect();
        let ended = ended.iter().filter_map(|series| self.series.remove(series)).map(|(number, _)| number);
        self.guest.forget(ended.collect());
        self.classify(&rows);
        let kept = rows.iter().filter(|row| self.series[row[0]].1.is_some()).collect::<Vec<_>>();
        let mut batches = kept.chunks(self.batch_rows).peekable();
        let mut out = Vec::new();
        loop {
            let batch = batches.next().unwrap_or_default();
            let last = batches.peek().is_none();
            self.process(batch, last, &mut out);
            if last {
                out.sort();
                return out.concat();
            }
        }
    }

    fn classify(&mut self, rows: &[Vec<&str>]) {
        for row in rows {
            if self.series.contains_key(row[0]) {
                continue;
            }
            let taken: Vec<u32> = self.series.values().map(|(number, _)| *number).collect();
            let number = (0..).find(|number| !taken.contains(number)).expect("there are few");
            let mut labels = read(row[0]);
            let (names, values) = (self.names.len(), self.values.len());
            let pairs = labels.iter().flat_map(|(name, value)| {
                [number_of(&mut self.names, name), number_of(&mut self.values, value)]
            });
            let pairs: Vec<u32> = pairs.collect();
            let verdicts = self.guest.classify(&types::LabelSets {
                new_names: symbols(&self.names[names..]),
                new_values: symbols(&self.values[values..]),
                ends: vec![pairs.len() as u32 / 2],
                pairs,
                series: vec![number],
            });
            let verdicts = verdicts.expect("the filter judges");
            for &[_, name, value] in verdicts.edits.as_chunks::<3>().0 {
                let name = text(name, &self.names, &verdicts.new_names);
                if value == REMOVE {
                    labels.remove(&name);
                } else {
                    labels.insert(name, text(value, &self.values, &verdicts.new_values));
                }
            }
            let kept = (verdicts.keep == [1]).then(|| print(labels));
            self.series.insert(row[0].to_owned(), (number, kept));
        }
    }

    fn process(&mut self, batch: &[&Vec<&str>], last: bool, out: &mut Vec<String>) {
        let Columns { timestamps, values } = F::COLUMNS;
        let offset =
            |row: &Vec<&str>| row.get(2).map_or(0, |seconds| seconds.parse::<i64>().expect("seconds"));
        let stamps: Vec<i64> = batch.iter().map(|row| self.at + 1_000 * offset(row)).collect();
        let bits: Vec<u64> = batch.iter().map(|row| bits(row[1])).collect();
        let mut opaque = vec![0; batch.len().div_ceil(64)];
        for (i, _) in batch.iter().enumerate().filter(|(_, row)| row[1] == "opaque") {
            opaque[i / 64] |= 1 << (i % 64);
        }
        let sent = samples::Rows {
            series: batch.iter().map(|row| self.series[row[0]].0).collect(),
            timestamps: if timestamps { stamps } else { Vec::new() },
            values: if values { bits.clone() } else { Vec::new() },
            opaque,
        };
        let tick = samples::Tick { since: self.at - STEP_MILLIS, at: self.at, last };
        let outcome = self.guest.process(tick, sent).expect("the filter answers");
        for (i, row) in batch.iter().enumerate().filter(|(i, _)| outcome.keep[i / 64] >> (i % 64) & 1 == 1) {
            let changed = outcome.changed.iter().position(|changed| *changed as usize == i);
            let bits = changed.map_or(bits[i], |changed| outcome.changed_values[changed]);
            let value = if row[1] == "opaque" { "opaque".into() } else { show(bits) };
            let labels = self.series[row[0]].1.as_ref().expect("only what was kept is sent");
            out.push(format!("{labels} {value}\n"));
        }
        let mut start = 0;
        for end in &outcome.new_ends {
            let pairs = &outcome.new_pairs[start..*end as usize * 2];
            start = *end as usize * 2;
            let pair = |&[name, value]: &[u32; 2]| {
                (text(name, &self.names, &outcome.new_names), text(value, &self.values, &outcome.new_values))
            };
            let labels: Labels = pairs.as_chunks::<2>().0.iter().map(pair).collect();
            assert_eq!(labels.len(), pairs.len() / 2, "a label stands twice in {labels:?}");
            let labels = print(labels);
            assert!(!self.emitted.contains(&labels), "{labels} is announced twice");
            self.emitted.push(labels);
        }
        for (series, bits) in outcome.emitted_series.iter().zip(&outcome.emitted_values) {
            out.push(format!("{} {}\n", self.emitted[*series as usize], show(*bits)));
        }
    }
}

fn bits(value: &str) -> u64 {
    match value {
        "stale" => STALE_BITS,
        "opaque" => 0,
        number => number.parse::<f64>().expect("a number").to_bits(),
    }
}

fn show(bits: u64) -> String {
    if bits == STALE_BITS { "stale".into() } else { f64::from_bits(bits).to_string() }
}

fn read(series: &str) -> Labels {
    let (metric, labels) = series.split_once('{').unwrap_or((series, "}"));
    let labels = labels.trim_end_matches('}').split(',').filter(|label| !label.is_empty());
    let labels = labels.map(|label| {
        let (name, value) = label.split_once('=').expect("a label has a value");
        (name.to_owned(), value.trim_matches('"').to_owned())
    });
    labels.chain([("__name__".to_owned(), metric.to_owned())]).collect()
}

fn print(mut labels: Labels) -> String {
    let metric = labels.remove("__name__").unwrap_or_default();
    let labels: Vec<_> = labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    if labels.is_empty() { metric } else { format!("{metric}{{{}}}", labels.join(",")) }
}

fn number_of(known: &mut Vec<String>, text: &str) -> u32 {
    known.iter().position(|other| other == text).unwrap_or_else(|| {
        known.push(text.to_owned());
        known.len() - 1
    }) as u32
}

fn symbols(texts: &[String]) -> types::Symbols {
    let ends = texts.iter().scan(0, |end, text| {
        *end += text.len() as u32;
        Some(*end)
    });
    types::Symbols { ends: ends.collect(), text: texts.concat() }
}

fn text(number: u32, known: &[String], own: &types::Symbols) -> String {
    let Some(own_number) = number.checked_sub(OWN) else { return known[number as usize].clone() };
    let end = |i: usize| own.ends[i] as usize;
    let start = (own_number as usize).checked_sub(1).map_or(0, end);
    own.text[start..end(own_number as usize)].to_owned()
}
