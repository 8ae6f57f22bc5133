//! Scan: reads the answer to a query while it arrives.
//!
//! In: the body's bytes, cut anywhere. Out: per result, the raw bytes of its `metric` object and its value, or its values at
//! each of several ticks.
//! Never: an allocation per result, a copy of a result that arrived in one piece, a number changed, or an answer taken
//! for complete that is not.

mod envelope;
mod range;
mod template;
#[cfg(test)]
mod tests;
mod value;

use crate::model::memory::Full;
use crate::model::{Span as Ticks, Tick, Timestamp};

use super::Cause;
use super::json::{Cursor, Stop, flat_object_end};
use super::read::{Columns, Run, Window};
use envelope::{Envelope, ResultType, State};
use template::Template;

/// The largest single result, or field beside the results: 1 MiB. Prometheus' own limits on one series' labels are far
/// below, where they are set at all; this bounds what is carried from chunk to chunk.
pub const RESULT_BYTES_MAX: usize = 1 << 20;

/// How far a partial result is filled up at first before it is looked at again; doubled each time it does not do.
const CARRY_BYTES_MIN: usize = 1024;

/// Takes what the scanner finds. Two lives: the series table, and a plain list in tests.
pub trait Rows {
    /// The raw label bytes that are likely to come next; empty if there is no guess.
    fn expected(&self) -> &[u8];
    /// The expected series came, with this value.
    fn hit(&mut self, value: f64) -> Result<(), Refusal>;
    /// A series came with these raw label bytes: a JSON object, not checked inside.
    fn row(&mut self, metric: &[u8], sample: Sample) -> Result<(), Refusal>;
    /// A series came with what it has at some of several ticks, each by its position, in their order.
    fn column(&mut self, metric: &[u8], samples: &[(usize, Sample)]) -> Result<(), Refusal>;
    /// A series came with all its samples of a window, and so many native histograms.
    fn window(&mut self, metric: &[u8], samples: Run<'_>, histograms: usize) -> Result<(), Refusal>;
}

/// What a result holds besides its labels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Sample {
    /// A float; every NaN is Prometheus' ordinary one.
    Float(f64),
    /// A native histogram, which the query API writes in a form that cannot be passed on exactly.
    Histogram,
}

/// Why [`Rows`] takes no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// One row more than this.
    TooMany(usize),
    /// The labels cannot be read.
    Labels(&'static str),
    /// There is no room for another series.
    Memory(Full),
}

/// Reads one answer.
#[derive(Debug)]
pub struct Scanner {
    asked: Asked,
    envelope: Envelope,
    template: Template,
    /// Bytes of the body before what is looked at now.
    offset: u64,
    /// The beginning of an element whose end has not arrived.
    carry: Vec<u8>,
    /// How long `carry` must be before it is looked at again.
    retry_at: usize,
}

/// What the answer is to.
#[derive(Debug)]
enum Asked {
    /// A query evaluated at one tick.
    Tick(Tick),
    /// One evaluated at several, and room for what one result has.
    Ticks(Ticks, Vec<(usize, Sample)>),
    /// One for all samples of a window, and room for what one result has.
    Window(Window, Vec<(Timestamp, Sample)>, Columns),
}

enum Fault {
    Stop(Stop),
    Refusal(Refusal),
}

impl From<Stop> for Fault {
    fn from(stop: Stop) -> Fault {
        Fault::Stop(stop)
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Fault {
        Fault::Refusal(refusal)
    }
}

impl Scanner {
    /// A scanner for the answer to a query evaluated at `tick`.
    pub fn new(tick: Tick) -> Scanner {
        Scanner::of(Asked::Tick(tick), Envelope::new(ResultType::Vector))
    }

    /// A scanner for the answer to a query evaluated at each of these ticks.
    pub fn of_range(ticks: Ticks) -> Scanner {
        Scanner::of(Asked::Ticks(ticks, Vec::new()), Envelope::new(ResultType::Matrix))
    }

    /// A scanner for the answer to a query of a range, of which the samples of this window are wanted.
    pub(super) fn of_window(window: Window) -> Scanner {
        let asked = Asked::Window(window, Vec::new(), Columns::default());
        Scanner::of(asked, Envelope::new(ResultType::Matrix))
    }

    fn of(asked: Asked, envelope: Envelope) -> Scanner {
        Scanner { asked, envelope, template: Template::default(), offset: 0, carry: Vec::new(), retry_at: 0 }
    }

    /// Reads the next bytes of the body.
    pub fn feed(&mut self, chunk: &[u8], rows: &mut impl Rows) -> Result<(), Cause> {
        let rest = self.fill_up(chunk, rows)?;
        if !rest.is_empty() {
            let used = self.run(rest, rows)?;
            self.carry.extend_from_slice(&rest[used..]);
            self.carry_more()?;
        }
        Ok(())
    }

    /// The body has ended. An error unless it was a complete, successful answer without warnings.
    pub fn finish(mut self, rows: &mut impl Rows) -> Result<(), Cause> {
        let carry = std::mem::take(&mut self.carry);
        let used = self.run(&carry, rows)?;
        let ended = carry[used..].iter().all(u8::is_ascii_whitespace);
        self.envelope.conclude(ended, self.offset)
    }

    /// Completes the carried element from the chunk; the part of the chunk that was not used for it.
    fn fill_up<'a>(&mut self, chunk: &'a [u8], rows: &mut impl Rows) -> Result<&'a [u8], Cause> {
        let mut rest = chunk;
        while !self.carry.is_empty() && !rest.is_empty() {
            let carried = self.carry.len();
            let more = rest.len().min(self.retry_at.saturating_sub(carried).max(1));
            self.carry.extend_from_slice(&rest[..more]);
            if self.carry.len() < self.retry_at {
                return Ok(&[]);
            }
            let mut carry = std::mem::take(&mut self.carry);
            let used = self.run(&carry, rows)?;
            if used >= carried {
                carry.clear();
                self.carry = carry;
                // What lies behind in the carry lies in the chunk too, and is read from there.
                return Ok(&rest[used - carried..]);
            }
            carry.drain(..used);
            self.carry = carry;
            self.carry_more()?;
            rest = &rest[more..];
        }
        Ok(rest)
    }

    fn carry_more(&mut self) -> Result<(), Cause> {
        let carried = self.carry.len();
        self.retry_at = (2 * carried).max(CARRY_BYTES_MIN);
        match carried > RESULT_BYTES_MAX {
            true => Err(self.malformed(0, "a single result or field is larger than 1 MiB")),
            false => Ok(()),
        }
    }

    /// Reads every complete element of `bytes`; how many bytes they take.
    fn run(&mut self, bytes: &[u8], rows: &mut impl Rows) -> Result<usize, Cause> {
        let mut at = 0;
        loop {
            if self.envelope.state == State::Element {
                at = self.steady(bytes, at, rows)?;
            }
            let mut cursor = Cursor::new(bytes, at);
            let step = match self.envelope.state {
                State::Element => self.element(&mut cursor, rows),
                _ => self.envelope.step(&mut cursor).map_err(Fault::Stop),
            };
            match step {
                Ok(()) => at = cursor.at,
                Err(Fault::Stop(Stop::Incomplete)) => break,
                Err(Fault::Stop(Stop::Malformed(what))) => return Err(self.malformed(cursor.at, what)),
                Err(Fault::Refusal(refusal)) => return Err(self.refused(at, refusal)),
            }
        }
        self.offset += at as u64;
        Ok(at)
    }

    /// Reads elements that look like the one before, as nearly all do; where it stopped.
    fn steady(&mut self, bytes: &[u8], from: usize, rows: &mut impl Rows) -> Result<usize, Cause> {
        let mut at = from;
        loop {
            let rest = &bytes[at..];
            let expected = rows.expected();
            let taken = match self.template.expected(rest, expected) {
                Some((value, len)) => rows.hit(value).map(|()| len),
                None => match self.template.any(rest) {
                    Some((metric, value, len)) => rows.row(metric, Sample::Float(value)).map(|()| len),
                    None => return Ok(at),
                },
            };
            at += taken.map_err(|refusal| self.refused(at, refusal))?;
        }
    }

    /// Reads one element of the result, however it is written, and the comma or bracket behind it.
    fn element(&mut self, cursor: &mut Cursor<'_>, rows: &mut impl Rows) -> Result<(), Fault> {
        let start = cursor.at;
        let tick = match &mut self.asked {
            Asked::Tick(tick) => *tick,
            Asked::Ticks(ticks, samples) => {
                let ticks = *ticks;
                let position = |moment| ticks.position(moment).ok_or(NOT_ASKED_FOR);
                let metric = range::element(cursor, position, samples)?;
                let more = cursor.more(b']')?;
                rows.column(&cursor.bytes[metric], samples)?;
                self.envelope.state = if more { State::Element } else { State::DataNext };
                return Ok(());
            }
            Asked::Window(window, samples, columns) => {
                let metric = range::element(cursor, Ok, samples)?;
                let more = cursor.more(b']')?;
                columns.clear();
                let mut histograms = 0;
                for (at, sample) in &*samples {
                    match sample {
                        Sample::Float(value) => columns.push(window, at.as_millis(), *value),
                        Sample::Histogram => histograms += usize::from(window.has(at.as_millis())),
                    }
                }
                rows.window(&cursor.bytes[metric], columns.run(), histograms)?;
                self.envelope.state = if more { State::Element } else { State::DataNext };
                return Ok(());
            }
        };
        let element = Element::read(cursor)?;
        let end = cursor.at;
        let more = cursor.more(b']')?;
        let bytes = cursor.bytes;
        let metric = element.metric.ok_or(Stop::Malformed("a result without 'metric'"))?;
        let (timestamp, sample) = match (&element.value, element.histogram) {
            (Some((timestamp, text)), _) => {
                let value = value::value(&bytes[text.clone()]);
                (*timestamp, Sample::Float(value.ok_or(Stop::Malformed("expected a sample value"))?))
            }
            (None, Some(timestamp)) => (timestamp, Sample::Histogram),
            (None, None) => return Err(Stop::Malformed("a result without 'value'").into()),
        };
        if value::seconds(timestamp) != Some(tick.timestamp()) {
            return Err(Stop::Malformed("a result is not of the moment that was asked for").into());
        }
        rows.row(&bytes[metric.clone()], sample)?;
        if let Some((_, text)) = element.value {
            self.template.learn(&bytes[..end], start, metric, text);
        }
        self.envelope.state = if more { State::Element } else { State::DataNext };
        Ok(())
    }

    fn malformed(&self, at: usize, what: &'static str) -> Cause {
        Cause::Malformed { position: self.offset + at as u64, what }
    }

    fn refused(&self, at: usize, refusal: Refusal) -> Cause {
        match refusal {
            Refusal::TooMany(max) => Cause::TooManySeries { max },
            Refusal::Memory(full) => Cause::Memory(full),
            Refusal::Labels(what) => self.malformed(at, what),
        }
    }
}

const NOT_ASKED_FOR: Stop = Stop::Malformed("a sample is not of a moment that was asked for");

type Span = std::ops::Range<usize>;

/// Where the parts of one result stand.
#[derive(Default)]
struct Element<'a> {
    metric: Option<Span>,
    /// The timestamp, and where the value's text stands.
    value: Option<(&'a [u8], Span)>,
    /// The timestamp of a native histogram.
    histogram: Option<&'a [u8]>,
}

impl<'a> Element<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Result<Element<'a>, Stop> {
        let mut element = Element::default();
        let mut more = cursor.open(b'{', b'}', "expected a result: is it a vector?")?;
        while more {
            match cursor.key()? {
                b"metric" if element.metric.is_none() => element.metric = Some(labels(cursor)?),
                b"value" if element.value.is_none() => {
                    cursor.take(b'[', "expected [timestamp, \"value\"]")?;
                    let timestamp = cursor.number()?;
                    cursor.take(b',', "expected ',' and a value")?;
                    let text = cursor.string()?;
                    let end = cursor.at - 1;
                    cursor.take(b']', "expected ']'")?;
                    element.value = Some((timestamp, end - text.len()..end));
                }
                b"histogram" if element.histogram.is_none() => {
                    cursor.take(b'[', "expected [timestamp, histogram]")?;
                    element.histogram = Some(cursor.number()?);
                    cursor.take(b',', "expected ',' and a histogram")?;
                    cursor.value()?;
                    cursor.take(b']', "expected ']'")?;
                }
                b"metric" | b"value" | b"histogram" => return Err(Stop::Malformed("a field is given twice")),
                b"values" | b"histograms" => return Err(Stop::Malformed("a range instead of one sample")),
                _ => drop(cursor.value()?),
            }
            more = cursor.more(b'}')?;
        }
        Ok(element)
    }
}

fn labels(cursor: &mut Cursor<'_>) -> Result<Span, Stop> {
    if cursor.peek()? != b'{' {
        return Err(Stop::Malformed("expected an object of labels"));
    }
    let start = cursor.at;
    cursor.at = flat_object_end(cursor.bytes, start).ok_or(Stop::Incomplete)?;
    Ok(start..cursor.at)
}
