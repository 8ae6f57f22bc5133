//! Rows: one batch of a tick's samples as a filter sees and edits them.
//!
//! In: the contract's columns. Out: an edit script, and samples of new series. Never: a float on its way to the host;
//! the bits of every value that the filter does not touch are the ones that came.

use crate::SeriesId;
use crate::bindings::samples::{Outcome, Rows as Columns};
use crate::dictionary::{Dictionary, Own};

/// The tick at work; its samples were collected for the window (`since`, `at`], in milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tick {
    /// Where the window starts, exclusive.
    pub since: i64,
    /// Where it ends, inclusive.
    pub at: i64,
    /// Whether this is the tick's last batch.
    pub last: bool,
}

/// The bits of the value that ends a series: it is gone, or its target was not scraped. The number is Prometheus's,
/// `value.StaleNaN`.
pub const STALE_BITS: u64 = 0x7ff0_0000_0000_0002;

/// How many series one instance may emit, and how many samples in one answer; the host refuses more.
pub const EMITTED_MAX: usize = 100_000;

/// The filter emits as many series as the host lets one instance have: see [`Rows::try_announce`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooManySeries;

impl std::fmt::Display for TooManySeries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "the filter emits {EMITTED_MAX} series, which is all that an instance may: make them of fewer labels"
        )
    }
}

impl std::error::Error for TooManySeries {}

/// One sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row {
    /// Its series, by the number that [`crate::Series::id`] had in `classify`.
    pub series: SeriesId,
    /// Milliseconds since 1970; 0 if the filter did not ask for timestamps.
    pub timestamp: i64,
    /// `None` for what a float does not express (a native histogram), and if the filter did not ask for values.
    pub value: Option<f64>,
}

impl Row {
    /// Whether the sample ends its series, as it came. It is no number to calculate with.
    pub fn is_stale(&self) -> bool {
        self.value.is_some_and(|value| value.to_bits() == STALE_BITS)
    }
}

/// A series that the filter emits. It is good for as long as the filter lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Emitted(u32);

/// The series that a filter has announced, and the labels of those that the host does not know yet: what was announced in a
/// batch that was refused stands in the next answer, so that the filter can keep its [`Emitted`].
#[derive(Debug, Default)]
pub(crate) struct Announced {
    own: Own,
    pairs: Vec<u32>,
    ends: Vec<u32>,
    count: usize,
}

/// A batch of samples, and what the filter makes of it.
#[derive(Debug)]
pub struct Rows<'a> {
    columns: Columns,
    host: &'a Dictionary,
    announced: &'a mut Announced,
    outcome: Outcome,
    refusal: Option<String>,
    /// The changed rows and their values' bits, in the order of change.
    changed: Vec<(u32, u64)>,
}

impl<'a> Rows<'a> {
    pub(crate) fn new(columns: Columns, host: &'a Dictionary, announced: &'a mut Announced) -> Self {
        let rows = columns.series.len();
        let mut keep = vec![u64::MAX; rows.div_ceil(64)];
        if let (Some(last), spare @ 1..) = (keep.last_mut(), rows % 64) {
            *last = (1 << spare) - 1;
        }
        Rows { columns, host, announced, outcome: empty(keep), refusal: None, changed: Vec::new() }
    }

    /// How many samples there are.
    pub fn len(&self) -> usize {
        self.columns.series.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The sample at `row`, as it came.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn get(&self, row: usize) -> Row {
        let bits = self.columns.values.get(row).copied().filter(|_| !self.is_opaque(row));
        Row {
            series: SeriesId(self.columns.series[row]),
            timestamp: self.columns.timestamps.get(row).copied().unwrap_or_default(),
            value: bits.map(f64::from_bits),
        }
    }

    /// All samples, as they came.
    pub fn iter(&self) -> impl Iterator<Item = Row> {
        (0..self.len()).map(|row| self.get(row))
    }

    /// Drops a sample.
    pub fn drop(&mut self, row: usize) {
        self.outcome.keep[row / 64] &= !(1 << (row % 64));
    }

    /// Gives a sample another value. A sample that a float does not express stays as it is.
    pub fn set(&mut self, row: usize, value: f64) {
        if !self.is_opaque(row) {
            self.changed.push((row as u32, value.to_bits()));
        }
    }

    /// Refuses the whole batch, with a reason for people: nothing of the tick is delivered. What this call dropped, changed and
    /// emitted is void. What it announced is not: an [`Emitted`] stays good. The filter's own memory is its own affair: what it
    /// has added up of the refused rows stays there unless it takes it back.
    pub fn refuse(&mut self, reason: impl Into<String>) {
        self.refusal.get_or_insert(reason.into());
    }

    /// Announces a series of the filter's own, once; its samples are then added by [`Rows::emit`], at this tick and
    /// later ones. The filter keeps the answer: announcing the same labels twice makes two series that collide.
    ///
    /// # Panics
    /// If the filter emits [`EMITTED_MAX`] series already. The batch is refused with these words then, and the host replaces
    /// the instance. A filter that can do better than begin anew uses [`Rows::try_announce`].
    pub fn announce<'l>(&mut self, labels: impl IntoIterator<Item = (&'l str, &'l str)>) -> Emitted {
        self.try_announce(labels).unwrap_or_else(|error| panic!("{error}"))
    }

    /// As [`Rows::announce`], for filters that can do without: they add to a series for everything else, say.
    ///
    /// ```
    /// # use sluice_filter::{Emitted, Rows};
    /// fn series(rows: &mut Rows<'_>, user: &str, others: Emitted) -> Emitted {
    ///     rows.try_announce([("__name__", "requests"), ("user", user)]).unwrap_or(others)
    /// }
    /// ```
    ///
    /// # Errors
    /// The filter emits [`EMITTED_MAX`] series already. A series that has ended counts too: what was announced cannot be taken back.
    pub fn try_announce<'l>(
        &mut self,
        labels: impl IntoIterator<Item = (&'l str, &'l str)>,
    ) -> Result<Emitted, TooManySeries> {
        let Announced { own, pairs, ends, count } = &mut *self.announced;
        if *count == EMITTED_MAX {
            return Err(TooManySeries);
        }
        let mut labels: Vec<_> = labels.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        labels.sort_unstable();
        for (name, value) in labels {
            let name = self.host.find_name(name).unwrap_or_else(|| own.name(name));
            pairs.extend([name, own.value(value)]);
        }
        ends.push(pairs.len() as u32 / 2);
        *count += 1;
        Ok(Emitted(*count as u32 - 1))
    }

    /// Adds a sample of a series of the filter's own, inside the tick's window, ascending in time. More than [`EMITTED_MAX`]
    /// samples in one call of `process` refuse the batch.
    pub fn emit(&mut self, series: Emitted, timestamp: i64, value: f64) {
        self.emit_bits(series, timestamp, value.to_bits());
    }

    /// Ends a series of the filter's own: adds a stale marker, after which people's queries no longer see it. It may go on later.
    pub fn emit_stale(&mut self, series: Emitted, timestamp: i64) {
        self.emit_bits(series, timestamp, STALE_BITS);
    }

    fn emit_bits(&mut self, series: Emitted, timestamp: i64, bits: u64) {
        if self.outcome.emitted_series.len() == EMITTED_MAX {
            return self.refuse(format!("the filter emits more than {EMITTED_MAX} samples in one answer"));
        }
        self.outcome.emitted_series.push(series.0);
        self.outcome.emitted_timestamps.push(timestamp);
        self.outcome.emitted_values.push(bits);
    }

    pub(crate) fn into_outcome(mut self) -> Result<Outcome, String> {
        if let Some(reason) = self.refusal {
            return Err(reason);
        }
        // The last change of a row counts; a stable sort keeps it last.
        self.changed.sort_by_key(|(row, _)| *row);
        for (i, (row, bits)) in self.changed.iter().enumerate() {
            let overruled = self.changed.get(i + 1).is_some_and(|(next, _)| next == row);
            let kept = self.outcome.keep[*row as usize / 64] >> (row % 64) & 1 == 1;
            if kept && !overruled {
                self.outcome.changed.push(*row);
                self.outcome.changed_values.push(*bits);
            }
        }
        let Announced { own, pairs, ends, count: _ } = self.announced;
        (self.outcome.new_names, self.outcome.new_values) = own.take();
        self.outcome.new_pairs = std::mem::take(pairs);
        self.outcome.new_ends = std::mem::take(ends);
        Ok(self.outcome)
    }

    fn is_opaque(&self, row: usize) -> bool {
        self.columns.opaque.get(row / 64).is_some_and(|word| word >> (row % 64) & 1 == 1)
    }
}

fn empty(keep: Vec<u64>) -> Outcome {
    let none = || crate::bindings::types::Symbols { text: String::new(), ends: Vec::new() };
    Outcome {
        keep,
        changed: Vec::new(),
        changed_values: Vec::new(),
        new_names: none(),
        new_values: none(),
        new_pairs: Vec::new(),
        new_ends: Vec::new(),
        emitted_series: Vec::new(),
        emitted_timestamps: Vec::new(),
        emitted_values: Vec::new(),
    }
}
