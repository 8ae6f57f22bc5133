//! Native: a scrape target with native histograms, in the protobuf exposition that alone can show them, and what they come to.
//!
//! In: histograms by the number of the scrape. Out: `GET /metrics`, delimited `io.prometheus.client.MetricFamily`s; the same histograms as read
//! from remote write. Never: two ways of writing one histogram told apart: servers split and fill up buckets as they like.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::get;
use http::header::CONTENT_TYPE;
use prost::Message;

use crate::series::Value;
use crate::servers::Local;
use crate::strict_receiver::wire;

/// What tells the number of a scrape: a counter that is on every page.
pub const SCRAPES: &str = "native_scrapes_total";

const EXPOSITION: &str =
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";

/// A native histogram, whatever its form: its buckets that have anything, by their index.
#[derive(Debug, Clone, PartialEq)]
pub struct Native {
    /// Whether its counts are floats.
    pub is_float: bool,
    /// Whether it may go down.
    pub is_gauge: bool,
    /// How fine its buckets are.
    pub schema: i32,
    /// The sum of what was observed.
    pub sum: Value,
    /// How often anything was.
    pub count: f64,
    /// How wide the bucket around zero is.
    pub zero_threshold: f64,
    /// How often something in it was.
    pub zero: f64,
    /// Buckets of negative numbers.
    pub negative: BTreeMap<i32, f64>,
    /// Buckets of positive numbers.
    pub positive: BTreeMap<i32, f64>,
}

/// What stands under a name at a scrape.
#[derive(Debug, Clone)]
pub enum Shown {
    /// A float.
    Gauge(f64),
    /// A histogram.
    Histogram(Native),
}

/// What stands under a name at the scrape of this number, if anything does.
pub type Shape = Arc<dyn Fn(u64) -> Option<Shown> + Send + Sync>;

/// A running scrape target; it ends when dropped.
pub struct NativeTarget {
    server: Local,
    page: Arc<Mutex<Page>>,
}

struct Page {
    scrapes: u64,
    shapes: BTreeMap<String, Shape>,
}

impl NativeTarget {
    /// Starts a target with these names.
    pub async fn with(shapes: impl IntoIterator<Item = (&'static str, Shape)>) -> NativeTarget {
        let shapes = shapes.into_iter().map(|(name, shape)| (name.to_owned(), shape)).collect();
        let page = Arc::new(Mutex::new(Page { scrapes: 0, shapes }));
        let app = Router::new().route("/metrics", get(scrape)).with_state(page.clone());
        NativeTarget { server: Local::serve(app).await, page }
    }

    /// `host:port`, as a scrape configuration takes it.
    pub fn address(&self) -> String {
        self.server.address().to_string()
    }

    /// Takes a name off the page.
    pub fn remove(&self, name: &str) {
        self.page.lock().expect("no holder panics").shapes.remove(name);
    }
}

async fn scrape(State(page): State<Arc<Mutex<Page>>>) -> impl IntoResponse {
    let mut page = page.lock().expect("no holder panics");
    page.scrapes += 1;
    let counter = Metric { counter: Some(Number { value: page.scrapes as f64 }), ..Metric::default() };
    let mut families = vec![Family { name: SCRAPES.to_owned(), kind: COUNTER, metric: vec![counter] }];
    for (name, shape) in &page.shapes {
        let Some(shown) = shape(page.scrapes) else { continue };
        let (kind, metric) = match shown {
            Shown::Gauge(value) => (GAUGE, Metric { gauge: Some(Number { value }), ..Metric::default() }),
            Shown::Histogram(native) => {
                let kind = if native.is_gauge { GAUGE_HISTOGRAM } else { HISTOGRAM };
                (kind, Metric { histogram: Some(exposed(&native)), ..Metric::default() })
            }
        };
        families.push(Family { name: name.clone(), kind, metric: vec![metric] });
    }
    let body: Vec<u8> = families.iter().flat_map(Message::encode_length_delimited_to_vec).collect();
    ([(CONTENT_TYPE, EXPOSITION)], body)
}

impl Native {
    /// What a message of remote write says; `None` if it says that the series ended.
    pub fn read(message: &wire::Histogram) -> Option<Native> {
        const GAUGE: i32 = 3;
        let is_float = message.count_float.is_some();
        assert_eq!(message.count_int.is_some(), !is_float, "one count: {message:?}");
        let sum = Value(message.sum);
        let buckets = |spans: &[wire::BucketSpan], deltas: &[i64], counts: &[f64]| {
            let whole = deltas.iter().scan(0, |count, delta| {
                *count += delta;
                Some(*count as f64)
            });
            if is_float { by_index(spans, counts.iter().copied()) } else { by_index(spans, whole) }
        };
        (sum != Value::STALE).then(|| Native {
            is_float,
            is_gauge: message.reset_hint == GAUGE,
            schema: message.schema,
            sum,
            count: message.count_float.unwrap_or(message.count_int.unwrap_or_default() as f64),
            zero_threshold: message.zero_threshold,
            zero: message.zero_count_float.unwrap_or(message.zero_count_int.unwrap_or_default() as f64),
            negative: buckets(&message.negative_spans, &message.negative_deltas, &message.negative_counts),
            positive: buckets(&message.positive_spans, &message.positive_deltas, &message.positive_counts),
        })
    }
}

/// Counts by the buckets' index, where there are any.
fn by_index(spans: &[wire::BucketSpan], counts: impl Iterator<Item = f64>) -> BTreeMap<i32, f64> {
    let (mut next, mut indices) = (0, Vec::new());
    for span in spans {
        next += span.offset;
        indices.extend(next..next + span.length as i32);
        next += span.length as i32;
    }
    let counts: Vec<f64> = counts.collect();
    assert_eq!(indices.len(), counts.len(), "a count for each bucket");
    indices.into_iter().zip(counts).filter(|(_, count)| *count != 0.0).collect()
}

/// A histogram as clients show it.
fn exposed(native: &Native) -> Histogram {
    let Native { is_float, schema, sum, count, zero_threshold, zero, negative, positive, .. } = native;
    let mut shown = Histogram {
        sample_sum: sum.float(),
        schema: *schema,
        zero_threshold: *zero_threshold,
        negative_span: spans(negative),
        positive_span: spans(positive),
        ..Histogram::default()
    };
    match is_float {
        true => {
            (shown.sample_count_float, shown.zero_count_float) = (*count, *zero);
            shown.negative_count = negative.values().copied().collect();
            shown.positive_count = positive.values().copied().collect();
        }
        false => {
            (shown.sample_count, shown.zero_count) = (*count as u64, *zero as u64);
            (shown.negative_delta, shown.positive_delta) = (deltas(negative), deltas(positive));
        }
    }
    shown
}

/// Stretches of indices that follow each other.
fn spans(buckets: &BTreeMap<i32, f64>) -> Vec<wire::BucketSpan> {
    let mut spans: Vec<wire::BucketSpan> = Vec::new();
    let mut next = 0;
    for &index in buckets.keys() {
        match spans.last_mut().filter(|_| index == next) {
            Some(last) => last.length += 1,
            None => spans.push(wire::BucketSpan { offset: index - next, length: 1 }),
        }
        next = index + 1;
    }
    spans
}

fn deltas(buckets: &BTreeMap<i32, f64>) -> Vec<i64> {
    let counts: Vec<i64> = buckets.values().map(|count| *count as i64).collect();
    let before = std::iter::once(&0).chain(&counts);
    counts.iter().zip(before).map(|(count, before)| count - before).collect()
}

const COUNTER: i32 = 0;
const GAUGE: i32 = 1;
const HISTOGRAM: i32 = 4;
const GAUGE_HISTOGRAM: i32 = 5;

/// `io.prometheus.client.MetricFamily`.
#[derive(Clone, PartialEq, Message)]
struct Family {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(int32, tag = "3")]
    kind: i32,
    #[prost(message, repeated, tag = "4")]
    metric: Vec<Metric>,
}

#[derive(Clone, PartialEq, Message)]
struct Metric {
    #[prost(message, optional, tag = "2")]
    gauge: Option<Number>,
    #[prost(message, optional, tag = "3")]
    counter: Option<Number>,
    #[prost(message, optional, tag = "7")]
    histogram: Option<Histogram>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Number {
    #[prost(double, tag = "1")]
    value: f64,
}

#[derive(Clone, PartialEq, Message)]
struct Histogram {
    #[prost(uint64, tag = "1")]
    sample_count: u64,
    #[prost(double, tag = "4")]
    sample_count_float: f64,
    #[prost(double, tag = "2")]
    sample_sum: f64,
    #[prost(sint32, tag = "5")]
    schema: i32,
    #[prost(double, tag = "6")]
    zero_threshold: f64,
    #[prost(uint64, tag = "7")]
    zero_count: u64,
    #[prost(double, tag = "8")]
    zero_count_float: f64,
    #[prost(message, repeated, tag = "9")]
    negative_span: Vec<wire::BucketSpan>,
    #[prost(sint64, repeated, tag = "10")]
    negative_delta: Vec<i64>,
    #[prost(double, repeated, tag = "11")]
    negative_count: Vec<f64>,
    #[prost(message, repeated, tag = "12")]
    positive_span: Vec<wire::BucketSpan>,
    #[prost(sint64, repeated, tag = "13")]
    positive_delta: Vec<i64>,
    #[prost(double, repeated, tag = "14")]
    positive_count: Vec<f64>,
}
