//! Scan: an answer of the query API, into tables.
//!
//! What the scanner takes gives the rows that serde_json reads, wherever it was cut and whatever the table had before; what
//! serde_json reads as a good answer is taken.

use std::collections::BTreeMap;
use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;

use crate::collect::read::Run;
use crate::collect::scan::{Refusal, Rows, Sample, Scanner};
use crate::collect::{Table, TableConfig};
use crate::model::{Interval, Labels, METRIC_NAME, NORMAL_NAN_BITS, Span, Tick, Timestamp};
use crate::reference::{self, Document, Element};

/// When every query was evaluated: `1435781451.781`.
const MILLIS: i64 = 1_435_781_451_781;

/// A range has three ticks, from `1435781451` on.
const FIRST_MILLIS: i64 = 1_435_781_451_000;
const RANGE_TICKS: u32 = 3;

/// The label by which answers are split.
const HOLE: &str = "namespace";
/// What a source adds to its series, and what its own external labels are.
const ADDED: (&str, &str) = ("cluster", "a");
const EXTERNAL: (&str, &str) = ("region", "eu");

/// Beyond this an answer is not cut byte by byte.
const BYTEWISE_MAX: usize = 2_048;

/// What any table had before: series that are likely to come again, in one order.
const BEFORE: &str = r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"up","n":"1"},"value":[1435781451.781,"1"]},{"metric":{"__name__":"up","n":"2","namespace":"b"},"value":[1435781451.781,"2.25"]},{"metric":{"__name__":"up","n":"3"},"value":[1435781451.781,"3.5"]}]}}"#;

/// What became of an answer: values' bits by part and labels, and how many results were left out, by why.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    rows: BTreeMap<(String, String), u64>,
    nameless: u64,
    illegal: u64,
    collisions: u64,
    histograms: u64,
}

/// Panics if something is not as it should be.
pub fn check(body: &[u8]) {
    let document = reference::read(body);
    let parts = document.as_ref().map(parts).unwrap_or_default();
    let whole = absorb(&mut table(), [body], &parts);
    for chunks in cuts(body) {
        assert_eq!(absorb(&mut table(), chunks.iter().copied(), &parts), whole, "cut otherwise");
        let mut known = table();
        let before = absorb(&mut known, [BEFORE.as_bytes()], &["", "b"].map(str::to_owned));
        for _ in 0..2 {
            assert_eq!(
                absorb(&mut known, chunks.iter().copied(), &parts),
                whole,
                "into a table that had others"
            );
        }
        let after = absorb(&mut known, [BEFORE.as_bytes()], &["", "b"].map(str::to_owned));
        assert_eq!((before.is_ok(), after), (true, before), "after it");
    }
    let range = columns([body]);
    for chunks in cuts(body) {
        assert_eq!(columns(chunks.iter().copied()), range, "a range, cut otherwise");
    }
    // A value that is written with escapes is refused, though it need not be.
    let is_odd = depth(body) > 16 || body.windows(2).any(|two| two == b"\\u");
    if let Some(document) = document {
        agree("an answer", expected(&document), whole, is_odd);
        agree("a range", expected_columns(&document), range, is_odd);
    }
}

fn agree<T: PartialEq + std::fmt::Debug>(
    what: &str,
    expected: Option<T>,
    found: Result<T, String>,
    is_odd: bool,
) {
    match (expected, found) {
        (Some(expected), Ok(found)) => assert_eq!(found, expected, "{what}, as serde_json reads it"),
        (None, Ok(found)) => panic!("{what} that is none was taken: {found:?}"),
        (Some(expected), Err(why)) => assert!(is_odd, "{what} was refused: {why}; it has {expected:?}"),
        (None, Err(_)) => {}
    }
}

/// Ways to cut a body: byte by byte if that is not too much, and into pieces of sizes that follow from it.
fn cuts(body: &[u8]) -> Vec<Vec<&[u8]>> {
    let mut state = foldhash::quality::FixedState::default().hash_one(body) | 1;
    let mut size = |max: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        ((state >> 33) % max + 1) as usize
    };
    let mut pieces = |max: u64| {
        let (mut rest, mut pieces) = (body, Vec::new());
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at(size(max).min(rest.len()));
            pieces.push(piece);
            rest = behind;
        }
        pieces
    };
    let mut all = vec![pieces(40), pieces(700)];
    if body.len() <= BYTEWISE_MAX {
        all.push(body.chunks(1).collect());
    }
    all
}

/// How deep brackets stand in each other at most; those in strings count too.
fn depth(body: &[u8]) -> usize {
    let (mut depth, mut most) = (0usize, 0);
    for byte in body {
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        most = most.max(depth);
    }
    most
}

fn table() -> Table {
    let one = |(name, value)| Labels::from_pairs([(name, value)]).expect("a label");
    Table::new(TableConfig {
        labels: one(ADDED),
        external_labels: one(EXTERNAL),
        hole: Some(HOLE.into()),
        series_max: 10_000,
    })
}

/// Reads an answer into a table; what it shows of these parts, which are all that there are.
fn absorb<'a>(
    table: &mut Table,
    chunks: impl IntoIterator<Item = &'a [u8]>,
    parts: &[String],
) -> Result<Found, String> {
    let millisecond = Interval::new(Duration::from_millis(1)).expect("an interval");
    let tick = Tick::at_or_before(Timestamp(MILLIS), millisecond);
    let answer = Arc::new(table.absorb(tick, chunks).map_err(|cause| cause.to_string())?);
    let (nameless, illegal, collisions) = (answer.nameless(), answer.illegal(), answer.collisions());
    let mut found = Found { nameless, illegal, collisions, ..Found::default() };
    for name in parts {
        let part = answer.part(name);
        found.histograms += part.histograms();
        for row in part.rows() {
            let labels = part.catalog().labels(row.series.slot).to_string();
            let twice = found.rows.insert((name.clone(), labels), row.value.to_bits());
            assert_eq!(twice, None, "a series has two values");
        }
    }
    // Without a document to read them from the parts are not known.
    assert!(parts.is_empty() || found.rows.len() == answer.series(), "rows of another part");
    Ok(found)
}

/// The values of [`HOLE`].
fn parts(document: &Document<'_>) -> Vec<String> {
    let elements = document.results.iter().flatten();
    let pairs = elements.filter_map(|element| reference::pairs(element.metric?));
    let mut parts: Vec<String> = pairs.map(|pairs| value_of(&pairs, HOLE).to_owned()).collect();
    parts.push(String::new());
    parts.sort();
    parts.dedup();
    parts
}

fn value_of<'a>(pairs: &'a [(String, String)], name: &str) -> &'a str {
    pairs.iter().find(|(own, _)| own == name).map_or("", |(_, value)| value)
}

/// Whether the document as a whole is a good answer of this type.
fn is_good(document: &Document<'_>, result_type: &str) -> bool {
    let is_typed = document.result_types.iter().any(|found| found == result_type)
        && document.result_types.iter().all(|found| found == result_type || found.is_empty());
    document.status == "success"
        && !document.is_partial
        && document.warnings == 0
        && is_typed
        && document.results.is_some()
        && !document.twice
}

/// What a table has to show; `None` if the document is no good answer to a query at one moment.
fn expected(document: &Document<'_>) -> Option<Found> {
    if !is_good(document, "vector") {
        return None;
    }
    let mut found = Found::default();
    let mut identities = std::collections::BTreeSet::new();
    for element in document.results.iter().flatten() {
        let pairs = reference::pairs(element.metric?)?;
        let moment = element.value.as_ref().map(|(moment, _)| moment).or(element.histogram.as_ref())?;
        let is_range = element.values.is_some() || element.histograms.is_some();
        if element.twice || is_range || reference::millis(moment)? != MILLIS {
            return None;
        }
        // What a histogram is of is read where there is a value, too.
        element.histogram.map_or(Some(0), reference::millis)?;
        let Some((_, text)) = &element.value else {
            found.histograms += 1;
            continue;
        };
        let bits = bits(text)?;
        let part = value_of(&pairs, HOLE).to_owned();
        match identity(&pairs) {
            Identity::Nameless => found.nameless += 1,
            Identity::Illegal => found.illegal += 1,
            Identity::Labels(labels) if !identities.insert(labels.clone()) => found.collisions += 1,
            Identity::Labels(labels) => _ = found.rows.insert((part, labels), bits),
        }
    }
    Some(found)
}

fn bits(text: &str) -> Option<u64> {
    let value: f64 = text.parse().ok()?;
    Some(if value.is_nan() { NORMAL_NAN_BITS } else { value.to_bits() })
}

enum Identity {
    Labels(String),
    Nameless,
    Illegal,
}

/// As [`TableConfig`] says: external labels off, added ones on where the series has none of its own.
fn identity(pairs: &[(String, String)]) -> Identity {
    let own = pairs.iter().map(|(name, value)| (&**name, &**value));
    let mut labels: Vec<_> = own.filter(|pair| !pair.1.is_empty() && *pair != EXTERNAL).collect();
    if labels.iter().all(|(name, _)| *name != ADDED.0) {
        labels.push(ADDED);
    }
    labels.sort_unstable();
    let twice = labels.windows(2).any(|two| two[0].0 == two[1].0);
    if twice || labels.iter().any(|(name, _)| name.is_empty()) {
        return Identity::Illegal;
    }
    match labels.iter().any(|(name, _)| *name == METRIC_NAME) {
        true => Identity::Labels(Labels::from_pairs(labels).expect("a label set").to_string()),
        false => Identity::Nameless,
    }
}

/// Series by series: raw labels, and what there is at which tick, as bits; `None` for a native histogram.
type Columns = Vec<(Vec<u8>, Vec<(usize, Option<u64>)>)>;

/// The other life of rows: a list.
#[derive(Default)]
struct List(Columns);

impl Rows for List {
    fn expected(&self) -> &[u8] {
        b""
    }

    fn hit(&mut self, _: f64) -> Result<(), Refusal> {
        unreachable!("nothing is expected")
    }

    fn row(&mut self, _: &[u8], _: Sample) -> Result<(), Refusal> {
        unreachable!("a range has columns")
    }

    fn window(&mut self, _: &[u8], _: Run<'_>, _: usize) -> Result<(), Refusal> {
        unreachable!("no window is asked for")
    }

    fn column(&mut self, metric: &[u8], samples: &[(usize, Sample)]) -> Result<(), Refusal> {
        let bits = |sample: &Sample| match sample {
            Sample::Float(value) => Some(value.to_bits()),
            Sample::Histogram => None,
        };
        self.0.push((metric.to_vec(), samples.iter().map(|(at, sample)| (*at, bits(sample))).collect()));
        Ok(())
    }
}

fn ticks() -> Span {
    let second = Interval::new(Duration::from_secs(1)).expect("an interval");
    Span::new(Tick::at_or_before(Timestamp(FIRST_MILLIS), second), second, RANGE_TICKS)
}

fn columns<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Result<Columns, String> {
    let (mut list, mut scanner) = (List::default(), Scanner::of_range(ticks()));
    let fed = chunks.into_iter().try_for_each(|chunk| scanner.feed(chunk, &mut list));
    fed.and_then(|()| scanner.finish(&mut list)).map_err(|cause| cause.to_string())?;
    Ok(list.0)
}

fn expected_columns(document: &Document<'_>) -> Option<Columns> {
    is_good(document, "matrix").then_some(())?;
    document.results.iter().flatten().map(column).collect()
}

fn column(element: &Element<'_>) -> Option<(Vec<u8>, Vec<(usize, Option<u64>)>)> {
    let is_single = element.value.is_some() || element.histogram.is_some();
    if element.twice || is_single {
        return None;
    }
    let mut samples = Vec::new();
    for (moment, text) in element.values.iter().flatten() {
        samples.push((position(moment)?, Some(bits(text)?)));
    }
    for moment in element.histograms.iter().flatten() {
        samples.push((position(moment)?, None));
    }
    samples.sort_unstable();
    let is_once = samples.windows(2).all(|two| two[0].0 != two[1].0);
    (is_once && !samples.is_empty()).then_some(())?;
    // Not read further here: the table does that.
    Some((element.metric.filter(|metric| metric.get().starts_with('{'))?.get().into(), samples))
}

fn position(moment: &RawValue) -> Option<usize> {
    ticks().position(Timestamp(reference::millis(moment)?))
}
