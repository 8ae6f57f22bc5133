//! Bench: a filter over several ticks, natively, through the same code as in Wasm.
//!
//! In: one exposition a tick. Out: what goes on and what is emitted, in canonical order. Never: an answer the host would refuse.

use std::collections::{BTreeMap, BTreeSet};

use super::exposition::{self, Sample};
use super::{Error, configured, edited, symbols, text_of};
use crate::bindings::samples::{Outcome, Rows, Tick};
use crate::bindings::types::{LabelSets, Tenant as WireTenant};
use crate::guest::Guest;
use crate::rows::STALE_BITS;
use crate::{Columns, LabelFilter, SampleFilter, Tenant};

/// Rows of one call, as the host sends them.
const ROWS_MAX: usize = 8_192;
/// Ticks are so far apart.
const STEP_MILLIS: i64 = 60_000;

type Labels = Vec<(String, String)>;
type Process<F> = fn(&mut Guest<F>, Tick, Rows) -> Result<Outcome, String>;

/// A filter at work, tick after tick. What a tick gives is text in one order, so that it can be compared as it is, or
/// handed to `insta::assert_snapshot!`.
///
/// ```
/// use sluice_filter::testing::Bench;
/// # use sluice_filter::*;
/// # struct Doubles;
/// # impl LabelFilter for Doubles {
/// #     type Config = serde_json::Value;
/// #     fn new(_: serde_json::Value, _: &Tenant) -> Result<Self, String> { Ok(Doubles) }
/// #     fn classify(&mut self, _: &mut Series<'_>) -> Verdict { Verdict::Keep }
/// # }
/// # impl SampleFilter for Doubles {
/// #     fn process(&mut self, _: Tick, rows: &mut Rows<'_>) {
/// #         for row in 0..rows.len() {
/// #             if let Some(value) = rows.get(row).value { rows.set(row, 2.0 * value) }
/// #         }
/// #     }
/// # }
/// let mut bench = Bench::<Doubles>::samples("{}")?;
/// assert_eq!(bench.tick("b 2\na 1.5\n")?, "a 3\nb 4\n");
/// assert_eq!(bench.tick("a 0.5\n")?, "a 1\n");
/// # Ok::<(), sluice_filter::testing::Error>(())
/// ```
#[derive(Debug)]
pub struct Bench<F> {
    guest: Guest<F>,
    /// What it looks at, if it processes samples.
    level: Option<(Columns, Process<F>)>,
    at: i64,
    batch_rows: usize,
    names: Vec<String>,
    values: Vec<String>,
    known: BTreeMap<Labels, Known>,
    emitted: Vec<Labels>,
}

/// A series that the filter has judged.
#[derive(Debug)]
struct Known {
    number: u32,
    /// What it goes on as, unless it was dropped.
    kept: Option<Labels>,
}

/// One sample of a tick.
#[derive(Debug)]
struct Point {
    labels: Labels,
    at: i64,
    /// `None` if no float expresses it.
    bits: Option<u64>,
}

impl<F: LabelFilter> Bench<F> {
    /// A filter that is exported with `export!(F)`, for a tenant named `test/test`.
    ///
    /// # Errors
    /// The filter refuses its configuration: `config: `, where, and what.
    pub fn labels(config_json: &str) -> Result<Bench<F>, Error> {
        Bench::new(config_json, None)
    }

    fn new(config_json: &str, level: Option<(Columns, Process<F>)>) -> Result<Bench<F>, Error> {
        let tenant = Tenant { namespace: "test".into(), name: "test".into(), source: String::new() };
        let Tenant { namespace, name, source } = tenant;
        let guest = configured(WireTenant { namespace, name, source }, config_json)?;
        Ok(Bench {
            guest,
            level,
            at: 0,
            batch_rows: ROWS_MAX,
            names: Vec::new(),
            values: Vec::new(),
            known: BTreeMap::new(),
            emitted: Vec::new(),
        })
    }

    /// Sends at most so many rows at once, so that a tick comes in several batches. The rows of one series stay together.
    #[must_use]
    pub fn in_batches_of(self, batch_rows: usize) -> Bench<F> {
        Bench { batch_rows, ..self }
    }

    /// Shows the filter the next tick, a minute after the one before; the first is at 60000. In a line, `name{label="value"} 1`, a
    /// timestamp in milliseconds may follow, which must be of the tick's minute; without it, the sample is the tick's own. The
    /// value `stale` is a stale marker, `opaque` what no float expresses. A series without a sample has ended.
    ///
    /// # Errors
    /// A line is no sample, or there is one twice; the filter refuses the batch (its reason); its answer is one that the host
    /// would refuse or could not deliver: it says which.
    pub fn tick(&mut self, exposition: &str) -> Result<String, Error> {
        self.at += STEP_MILLIS;
        let points = self.points(exposition)?;
        self.forget(&points);
        self.classify(&points)?;
        let mut out = BTreeMap::new();
        let Some((columns, process)) = self.level else {
            for point in &points {
                self.pass(point, point.bits, &mut out)?;
            }
            return Ok(self.print(&out));
        };
        let kept: Vec<&Point> =
            points.iter().filter(|point| self.known[&point.labels].kept.is_some()).collect();
        let batches = batches(&kept, self.batch_rows);
        for (i, batch) in batches.iter().enumerate() {
            let tick = Tick { since: self.at - STEP_MILLIS, at: self.at, last: i + 1 == batches.len() };
            let rows = self.rows(batch, columns);
            let outcome =
                process(&mut self.guest, tick, rows).map_err(|cause| Error(format!("process: {cause}")))?;
            self.apply(batch, &outcome, &mut out)?;
        }
        Ok(self.print(&out))
    }

    fn points(&self, exposition: &str) -> Result<Vec<Point>, Error> {
        let mut points = Vec::new();
        for sample in exposition::parse(exposition).map_err(Error)? {
            let shown = show(&sample.labels);
            let point = point(sample, self.at).map_err(|cause| Error(format!("{shown}: {cause}")))?;
            if point.at <= self.at - STEP_MILLIS || point.at > self.at {
                let (since, at) = (self.at - STEP_MILLIS, self.at);
                return Err(Error(format!("{shown}: {} is not of the tick, ({since}, {at}]", point.at)));
            }
            points.push(point);
        }
        points.sort_by(|a, b| (&a.labels, a.at).cmp(&(&b.labels, b.at)));
        match points.windows(2).find(|pair| pair[0].labels == pair[1].labels && pair[0].at == pair[1].at) {
            Some(twice) => Err(Error(format!("{} stands twice at {}", show(&twice[0].labels), twice[0].at))),
            None => Ok(points),
        }
    }

    fn forget(&mut self, points: &[Point]) {
        let there: BTreeSet<&Labels> = points.iter().map(|point| &point.labels).collect();
        let gone = self.known.extract_if(.., |labels, _| !there.contains(labels));
        let gone: Vec<u32> = gone.map(|(_, known)| known.number).collect();
        if !gone.is_empty() {
            self.guest.forget(gone);
        }
    }

    fn classify(&mut self, points: &[Point]) -> Result<(), Error> {
        let new: BTreeSet<&Labels> = points.iter().map(|point| &point.labels).collect();
        let new: Vec<&Labels> = new.into_iter().filter(|labels| !self.known.contains_key(*labels)).collect();
        for batch in new.chunks(self.batch_rows) {
            let taken: BTreeSet<u32> = self.known.values().map(|known| known.number).collect();
            let free: Vec<u32> = (0..).filter(|number| !taken.contains(number)).take(batch.len()).collect();
            let (names, values) = (self.names.len(), self.values.len());
            let (mut pairs, mut ends) = (Vec::new(), Vec::new());
            for labels in batch {
                for (name, value) in *labels {
                    pairs.extend([number(&mut self.names, name), number(&mut self.values, value)]);
                }
                ends.push(pairs.len() as u32 / 2);
            }
            let (new_names, new_values) = (symbols(&self.names[names..]), symbols(&self.values[values..]));
            let verdicts =
                self.guest.classify(&LabelSets { new_names, new_values, pairs, ends, series: free.clone() });
            let verdicts = verdicts.map_err(|cause| Error(format!("classify: {cause}")))?;
            for (row, (labels, number)) in batch.iter().zip(free).enumerate() {
                let kept = is_set(&verdicts.keep, row)
                    .then(|| edited(row, labels, &verdicts, &self.names, &self.values))
                    .transpose()?;
                self.known.insert((*labels).clone(), Known { number, kept });
            }
        }
        Ok(())
    }

    fn rows(&self, batch: &[&Point], Columns { timestamps, values }: Columns) -> Rows {
        let mut opaque = Vec::new();
        if batch.iter().any(|point| point.bits.is_none()) {
            opaque = vec![0; batch.len().div_ceil(64)];
            for (row, _) in batch.iter().enumerate().filter(|(_, point)| point.bits.is_none()) {
                opaque[row / 64] |= 1 << (row % 64);
            }
        }
        let stamps = batch.iter().map(|point| point.at).filter(|_| timestamps);
        let bits = batch.iter().map(|point| point.bits.unwrap_or_default()).filter(|_| values);
        Rows {
            series: batch.iter().map(|point| self.known[&point.labels].number).collect(),
            timestamps: stamps.collect(),
            values: bits.collect(),
            opaque,
        }
    }

    fn apply(&mut self, batch: &[&Point], outcome: &Outcome, out: &mut Out) -> Result<(), Error> {
        for (row, point) in batch.iter().enumerate().filter(|(row, _)| is_set(&outcome.keep, *row)) {
            let changed =
                outcome.changed.binary_search(&(row as u32)).ok().map(|i| outcome.changed_values[i]);
            self.pass(point, changed.or(point.bits), out)?;
        }
        let mut start = 0;
        for &end in &outcome.new_ends {
            let pairs = outcome.new_pairs[start * 2..end as usize * 2].as_chunks::<2>().0;
            start = end as usize;
            let labels = pairs.iter().map(|&[name, value]| {
                let name = text_of(name, &self.names, &outcome.new_names);
                (name, text_of(value, &self.values, &outcome.new_values))
            });
            let labels = legal(labels.collect())?;
            self.emitted.push(labels);
        }
        let stamps = outcome.emitted_timestamps.iter().zip(&outcome.emitted_values);
        for (&series, (&at, &bits)) in outcome.emitted_series.iter().zip(stamps) {
            let labels = &self.emitted[series as usize];
            if at <= self.at - STEP_MILLIS || at > self.at {
                let place = show(labels);
                return Err(Error(format!("{place} is emitted at {at}, which is outside the tick's window")));
            }
            insert(out, labels, at, Some(bits))?;
        }
        Ok(())
    }

    /// A sample goes on, as what its series was made.
    fn pass(&self, point: &Point, bits: Option<u64>, out: &mut Out) -> Result<(), Error> {
        match &self.known[&point.labels].kept {
            Some(labels) => insert(out, labels, point.at, bits),
            None => Ok(()),
        }
    }

    fn print(&self, out: &Out) -> String {
        let mut text = String::new();
        for ((labels, at), bits) in out {
            let value = match bits {
                None => "opaque".to_owned(),
                Some(STALE_BITS) => "stale".to_owned(),
                Some(bits) => number_text(f64::from_bits(*bits)),
            };
            let rest = if *at == self.at { value } else { format!("{value} {at}") };
            exposition::print(&mut text, labels, &rest);
        }
        text
    }
}

impl<F: SampleFilter> Bench<F> {
    /// A filter that is exported with `export!(F, sample)`, for a tenant named `test/test`.
    ///
    /// # Errors
    /// As [`Bench::labels`].
    pub fn samples(config_json: &str) -> Result<Bench<F>, Error> {
        Bench::new(config_json, Some((F::COLUMNS, Guest::process)))
    }
}

/// The tick's samples by what is sorted: labels, then time.
type Out = BTreeMap<(Labels, i64), Option<u64>>;

fn insert(out: &mut Out, labels: &Labels, at: i64, bits: Option<u64>) -> Result<(), Error> {
    match out.insert((labels.clone(), at), bits) {
        Some(_) => Err(Error(format!("two samples become {} at {at}: only one is delivered", show(labels)))),
        None => Ok(()),
    }
}

fn point(Sample { labels, rest }: Sample, tick: i64) -> Result<Point, String> {
    let mut words = rest.split_whitespace();
    let value = words.next().unwrap_or_default();
    let bits = match value {
        "opaque" => None,
        "stale" => Some(STALE_BITS),
        number => Some(number.parse::<f64>().map_err(|_| format!("{number} is no value"))?.to_bits()),
    };
    let at = match words.next() {
        Some(stamp) => stamp.parse().map_err(|_| format!("{stamp} is no timestamp in milliseconds"))?,
        None => tick,
    };
    match words.next() {
        Some(more) => Err(format!("{more:?} after the timestamp")),
        None => Ok(Point { labels, at, bits }),
    }
}

/// Batches of at most so many rows, in which no series is cut; the last one may be empty.
fn batches<'p>(points: &[&'p Point], rows_max: usize) -> Vec<Vec<&'p Point>> {
    let mut batches: Vec<Vec<&Point>> = vec![Vec::new()];
    for series in points.chunk_by(|a, b| a.labels == b.labels) {
        let batch = batches.last_mut().expect("there is one");
        if !batch.is_empty() && batch.len() + series.len() > rows_max {
            batches.push(series.to_vec());
        } else {
            batch.extend(series);
        }
    }
    batches
}

/// What the host asks of a series that a filter emits.
fn legal(labels: Labels) -> Result<Labels, Error> {
    let refused = |cause: String| Err(Error(format!("the filter announces {}: {cause}", show(&labels))));
    if !labels.iter().any(|(name, _)| name == "__name__") {
        return refused("it has no __name__".into());
    }
    if let Some(twice) = labels.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return refused(format!("label {} stands twice", twice[0].0));
    }
    if let Some((name, _)) = labels.iter().find(|(name, _)| !exposition::is_label_name(name)) {
        return refused(format!("{name:?} is no label name: use [a-zA-Z_][a-zA-Z0-9_]*"));
    }
    Ok(labels)
}

fn number(known: &mut Vec<String>, text: &str) -> u32 {
    known.iter().position(|other| other == text).unwrap_or_else(|| {
        known.push(text.to_owned());
        known.len() - 1
    }) as u32
}

fn show(labels: &Labels) -> String {
    let mut text = String::new();
    exposition::print(&mut text, labels, "");
    text.trim_end().to_owned()
}

fn number_text(value: f64) -> String {
    match value {
        f64::INFINITY => "+Inf".into(),
        f64::NEG_INFINITY => "-Inf".into(),
        value => value.to_string(),
    }
}

fn is_set(bitmap: &[u64], row: usize) -> bool {
    bitmap[row / 64] >> (row % 64) & 1 == 1
}

#[cfg(test)]
#[path = "bench/tests.rs"]
mod tests;
