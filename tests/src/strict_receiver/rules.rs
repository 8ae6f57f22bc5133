//! Rules: everything a sender of remote write owes, checked on one request of either version.
//!
//! In: method, headers, body. Out: decoded series, and every violation found; as much is decoded as can be.

use http::{HeaderMap, HeaderName, Method};
use prost::Message as _;

use super::symbols::{self, Said};
use super::version::Version;
use super::wire::{Histogram, Label, TimeSeries, WriteRequest, v2};
use crate::series::{LabelSet, NAME, Sample, Value};

/// Prometheus refuses a decoded body above this.
pub const DECODED_BYTES_MAX: usize = 32 << 20;

/// Prometheus refuses a sample further in the future.
pub const FUTURE_MS_MAX: i64 = 10 * 60 * 1000;

/// One rule broken.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each name is the rule, each field the offender")]
pub enum Violation {
    Method(Method),
    Header { name: HeaderName, found: Vec<String> },
    Framed,
    Snappy(String),
    DecodedBytes(usize),
    Protobuf(String),
    Symbols(&'static str),
    Reference(u32),
    OddReferences(usize),
    InventedStart,
    NoSeries,
    NoSamples(LabelSet),
    FloatsAndHistograms(LabelSet),
    Utf8(String),
    EmptyName(LabelSet),
    EmptyValue { series: LabelSet, label: String },
    LabelName { series: LabelSet, label: String },
    MetricName(LabelSet),
    Unsorted(LabelSet),
    DuplicateName { series: LabelSet, label: String },
    Nameless(LabelSet),
    Future { series: LabelSet, at: i64 },
    OutOfOrder { series: LabelSet, at: i64, newest: i64 },
    Conflict { series: LabelSet, at: i64, held: Value, sent: Value },
}

/// What one request carries.
pub type Decoded = Vec<(LabelSet, Vec<Sample>)>;

/// Checks one request that arrived at `now_ms`; order and duplicates across requests are the store's to check.
pub fn check(method: &Method, headers: &HeaderMap, body: &[u8], now_ms: i64) -> (Decoded, Vec<Violation>) {
    let (decoded, _, violations) = check_saying(method, headers, body, now_ms);
    (decoded, violations)
}

/// As [`check`]; also what a request of 2.0 says of each of its series.
pub fn check_saying(
    method: &Method,
    headers: &HeaderMap,
    body: &[u8],
    now_ms: i64,
) -> (Decoded, Vec<Option<Said>>, Vec<Violation>) {
    let mut violations = Vec::new();
    let version = Version::of(headers);
    if method != Method::POST {
        violations.push(Violation::Method(method.clone()));
    }
    check_headers(version, headers, &mut violations);
    let (decoded, said) = match decode(version, body, &mut violations) {
        Ok((request, said)) => (check_series(request, now_ms, &mut violations), said),
        Err(violation) => {
            violations.push(violation);
            (Vec::new(), Vec::new())
        }
    };
    (decoded, said, violations)
}

fn check_headers(version: Version, headers: &HeaderMap, violations: &mut Vec<Violation>) {
    let exactly = [
        ("content-encoding", "snappy"),
        ("content-type", version.content_type()),
        ("x-prometheus-remote-write-version", version.number()),
    ];
    let mut require = |name: &'static str, holds: &dyn Fn(&str) -> bool| {
        let found: Vec<String> = headers
            .get_all(name)
            .iter()
            .map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned())
            .collect();
        if !matches!(&found[..], [one] if holds(one)) {
            violations.push(Violation::Header { name: HeaderName::from_static(name), found });
        }
    };
    for (name, value) in exactly {
        require(name, &|found| found == value);
    }
    require("user-agent", &is_user_agent);
}

/// RFC 9110, section 10.1.5: `name/version`, possibly followed by more.
fn is_user_agent(text: &str) -> bool {
    let product = text.split(' ').next().unwrap_or_default();
    product.split_once('/').is_some_and(|(name, version)| !name.is_empty() && !version.is_empty())
}

fn decode(
    version: Version,
    body: &[u8],
    violations: &mut Vec<Violation>,
) -> Result<(WriteRequest, Vec<Option<Said>>), Violation> {
    const STREAM_IDENTIFIER: &[u8] = b"\xff\x06\x00\x00sNaPpY";
    if body.starts_with(STREAM_IDENTIFIER) {
        return Err(Violation::Framed);
    }
    let bytes = snap::raw::decompress_len(body).map_err(|e| Violation::Snappy(e.to_string()))?;
    if bytes > DECODED_BYTES_MAX {
        return Err(Violation::DecodedBytes(bytes));
    }
    let raw = snap::raw::Decoder::new().decompress_vec(body).map_err(|e| Violation::Snappy(e.to_string()))?;
    let broken = |e: prost::DecodeError| Violation::Protobuf(e.to_string());
    match version {
        Version::V1 => Ok((WriteRequest::decode(&*raw).map_err(broken)?, Vec::new())),
        Version::V2 => {
            const SYMBOLS: u8 = 4 << 3 | 2;
            if raw.first() != Some(&SYMBOLS) {
                violations.push(Violation::Symbols("they do not stand first"));
            }
            Ok(symbols::resolve(v2::Request::decode(&*raw).map_err(broken)?, violations))
        }
    }
}

/// The native histograms of a request.
pub(super) fn histograms(headers: &HeaderMap, body: &[u8]) -> Vec<(LabelSet, Histogram)> {
    let Ok((request, _)) = decode(Version::of(headers), body, &mut Vec::new()) else { return Vec::new() };
    let of = |series: TimeSeries| {
        let set = check_labels(&series.labels, &mut Vec::new());
        series.histograms.into_iter().map(move |histogram| (set.clone(), histogram))
    };
    request.timeseries.into_iter().flat_map(of).collect()
}

fn check_series(request: WriteRequest, now_ms: i64, violations: &mut Vec<Violation>) -> Decoded {
    if request.timeseries.is_empty() {
        violations.push(Violation::NoSeries);
    }
    request.timeseries.into_iter().map(|series| check_one(series, now_ms, violations)).collect()
}

fn check_one(series: TimeSeries, now_ms: i64, violations: &mut Vec<Violation>) -> (LabelSet, Vec<Sample>) {
    let TimeSeries { labels, samples, histograms } = series;
    let set = check_labels(&labels, violations);
    match (samples.is_empty(), histograms.is_empty()) {
        (true, true) => violations.push(Violation::NoSamples(set.clone())),
        (false, false) => violations.push(Violation::FloatsAndHistograms(set.clone())),
        _ => {}
    }
    let floats =
        samples.iter().map(|s| Sample { at: s.timestamp, value: Value::from(s.value.unwrap_or(0.0)) });
    let sums = histograms.iter().map(|h| Sample { at: h.timestamp, value: Value(h.sum) });
    let samples: Vec<_> = floats.chain(sums).collect();
    let future = samples.iter().filter(|s| s.at > now_ms + FUTURE_MS_MAX);
    violations.extend(future.map(|s| Violation::Future { series: set.clone(), at: s.at }));
    (set, samples)
}

fn check_labels(labels: &[Label], violations: &mut Vec<Violation>) -> LabelSet {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let pairs: Vec<_> = labels.iter().map(|l| (text(&l.name), text(&l.value))).collect();
    let set = LabelSet(pairs.iter().cloned().collect());
    let series = || set.clone();
    let not_utf8 = |bytes: &&Vec<u8>| std::str::from_utf8(bytes).is_err();
    violations.extend(
        labels.iter().flat_map(|l| [&l.name, &l.value]).filter(not_utf8).map(|b| Violation::Utf8(text(b))),
    );
    for (name, value) in &pairs {
        if name.is_empty() {
            violations.push(Violation::EmptyName(series()));
        } else if !is_label_name(name) {
            violations.push(Violation::LabelName { series: series(), label: name.clone() });
        }
        if value.is_empty() {
            violations.push(Violation::EmptyValue { series: series(), label: name.clone() });
        }
    }
    // Bytewise, as Prometheus sorts; a name given twice is its own violation.
    if !labels.is_sorted_by(|a, b| a.name <= b.name) {
        violations.push(Violation::Unsorted(series()));
    }
    for (i, (name, _)) in pairs.iter().enumerate() {
        if pairs[..i].iter().any(|(earlier, _)| earlier == name) {
            violations.push(Violation::DuplicateName { series: series(), label: name.clone() });
        }
    }
    match set.name() {
        "" if !set.0.contains_key(NAME) => violations.push(Violation::Nameless(series())),
        name if !is_metric_name(name) => violations.push(Violation::MetricName(series())),
        _ => {}
    }
    set
}

fn is_label_name(name: &str) -> bool {
    is_metric_name(name) && !name.contains(':')
}

fn is_metric_name(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b':')
}
