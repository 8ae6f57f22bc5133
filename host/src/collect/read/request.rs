//! Request: what is asked, as the protocol writes it.

use sluice_filter::selector::{MatchOp, Matcher};

use super::Window;
use super::wire::{append_bytes, append_varint};

/// One matcher of a query.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Condition {
    /// The label's name.
    pub name: String,
    /// How it is compared.
    pub op: MatchOp,
    /// With what.
    pub value: String,
}

impl From<&Matcher> for Condition {
    fn from(matcher: &Matcher) -> Condition {
        Condition { name: matcher.name().to_owned(), op: matcher.op(), value: matcher.value().to_owned() }
    }
}

/// From windows of this length on, chunks as they are stored cost a source less than samples: a chunk has some 120 of them,
/// and is sent whole.
const CHUNKS_FROM_MILLIS: i64 = 600_000;

/// The form of an answer, by its number in the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Plain samples.
    Samples = 0,
    /// A stream of chunks, as they are stored.
    Chunks = 1,
}

/// A `prometheus.ReadRequest` with one query, as a snappy block; in this form, or in what costs least for the window.
pub fn request(conditions: &[Condition], window: Window, form: Option<Form>) -> Vec<u8> {
    let (since, until) = (window.since.as_millis(), window.until.as_millis());
    let mut query = Vec::new();
    // Both ends belong to it.
    append_varint(1, since.saturating_add(1) as u64, &mut query);
    append_varint(2, until as u64, &mut query);
    for Condition { name, op, value } in conditions {
        let mut matcher = Vec::with_capacity(name.len() + value.len() + 8);
        append_varint(1, code(*op), &mut matcher);
        append_bytes(2, name.as_bytes(), &mut matcher);
        append_bytes(3, value.as_bytes(), &mut matcher);
        append_bytes(3, &matcher, &mut query);
    }
    let forms: &[Form] = match form {
        Some(Form::Samples) => &[Form::Samples],
        // Who cannot stream says so by not doing it.
        Some(Form::Chunks) => &[Form::Chunks, Form::Samples],
        None if until.saturating_sub(since) < CHUNKS_FROM_MILLIS => &[Form::Samples, Form::Chunks],
        None => &[Form::Chunks, Form::Samples],
    };
    let mut request = Vec::with_capacity(query.len() + 8);
    append_bytes(1, &query, &mut request);
    // Packed, so that a zero is written as well.
    append_bytes(2, &forms.iter().map(|form| *form as u8).collect::<Vec<_>>(), &mut request);
    let compressed = snap::raw::Encoder::new().compress_vec(&request);
    compressed.expect("a query is below 4 GiB")
}

fn code(op: MatchOp) -> u64 {
    match op {
        MatchOp::Equal => 0,
        MatchOp::NotEqual => 1,
        MatchOp::Regex => 2,
        MatchOp::NotRegex => 3,
    }
}
