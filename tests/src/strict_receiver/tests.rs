//! The receiver refuses every breach: one test per rule, on crafted bytes.

use http::{HeaderMap, HeaderValue, Method};
use prost::Message as _;

use super::wire::{self, Crafted, Label, TimeSeries, WireSample, WriteRequest};
use super::*;
use crate::series::series;

const NOW: i64 = 1_700_000_000_000;

fn headers() -> HeaderMap {
    let pairs = [
        ("content-type", "application/x-protobuf"),
        ("content-encoding", "snappy"),
        ("x-prometheus-remote-write-version", "0.1.0"),
        ("user-agent", "sender/1.0"),
    ];
    pairs.into_iter().map(|(n, v)| (n.parse().unwrap(), HeaderValue::from_static(v))).collect()
}

fn pack(request: &WriteRequest) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(&request.encode_to_vec()).unwrap()
}

fn check_body(body: &[u8]) -> Vec<Violation> {
    rules::check(&Method::POST, &headers(), body, NOW).1
}

fn check_labels(labels: &[(&str, &str)]) -> Vec<Violation> {
    check_body(&pack(&wire::request(&[(labels, &[(NOW, 1.0)])])))
}

fn good() -> Vec<u8> {
    pack(&wire::request(&[(&[("__name__", "up"), ("a", "ü")], &[(NOW, 1.0)])]))
}

/// The store's judgement on the last of several requests.
fn append(requests: &[&[Crafted<'_>]]) -> Vec<Violation> {
    let mut store = Store::default();
    let mut last = Vec::new();
    for request in requests {
        let body = pack(&wire::request(request));
        last = store.append(rules::check(&Method::POST, &headers(), &body, NOW).0);
    }
    last
}

#[test]
fn a_right_request_breaks_no_rule() {
    let (decoded, violations) = rules::check(&Method::POST, &headers(), &good(), NOW);
    assert_eq!(violations, []);
    assert_eq!(decoded, [(series("up", [("a", "ü")]), vec![Sample { at: NOW, value: Value::from(1.0) }])]);
}

#[test]
fn another_method_is_refused() {
    let (_, violations) = rules::check(&Method::PUT, &headers(), &good(), NOW);
    assert_eq!(violations, [Violation::Method(Method::PUT)]);
}

#[test]
fn each_header_must_be_there_once_with_its_value() {
    for name in ["content-type", "content-encoding", "x-prometheus-remote-write-version", "user-agent"] {
        let check = |headers: &HeaderMap| rules::check(&Method::POST, headers, &good(), NOW).1;
        let breach = |found: &[&str]| {
            let found = found.iter().map(|s| (*s).to_owned()).collect();
            [Violation::Header { name: name.parse().unwrap(), found }]
        };
        let mut altered = headers();
        altered.remove(name);
        assert_eq!(check(&altered), breach(&[]));
        altered.insert(name, HeaderValue::from_static("other"));
        assert_eq!(check(&altered), breach(&["other"]));
        let mut twice = headers();
        let right = twice[name].clone();
        twice.append(name, right.clone());
        assert_eq!(check(&twice), breach(&[right.to_str().unwrap(); 2]));
    }
}

#[test]
fn framed_snappy_is_refused() {
    use std::io::Write as _;
    let mut framed = snap::write::FrameEncoder::new(Vec::new());
    framed.write_all(b"anything").unwrap();
    assert_eq!(check_body(&framed.into_inner().unwrap()), [Violation::Framed]);
}

#[test]
fn a_body_that_is_not_snappy_is_refused() {
    assert!(matches!(check_body(b"\x05plain")[..], [Violation::Snappy(_)]));
    assert!(matches!(check_body(b"")[..], [Violation::Snappy(_)]));
}

#[test]
fn a_body_that_is_not_protobuf_is_refused() {
    let body = snap::raw::Encoder::new().compress_vec(b"\x0a\xff").unwrap();
    assert!(matches!(check_body(&body)[..], [Violation::Protobuf(_)]));
}

#[test]
fn a_decoded_body_above_the_bound_is_refused() {
    let body = snap::raw::Encoder::new().compress_vec(&vec![0; rules::DECODED_BYTES_MAX + 1]).unwrap();
    assert_eq!(check_body(&body), [Violation::DecodedBytes(rules::DECODED_BYTES_MAX + 1)]);
}

#[test]
fn a_request_without_series_and_a_series_without_samples_are_refused() {
    assert_eq!(check_body(&pack(&wire::request(&[]))), [Violation::NoSeries]);
    let body = pack(&wire::request(&[(&[("__name__", "up")], &[])]));
    assert_eq!(check_body(&body), [Violation::NoSamples(series("up", []))]);
}

#[test]
fn names_and_values_must_be_utf8() {
    let label = |name: &[u8], value: &[u8]| Label { name: name.into(), value: value.into() };
    let labels = vec![label(b"__name__", b"up"), label(b"a", b"\xff")];
    let samples = vec![WireSample { value: Some(1.0), timestamp: NOW }];
    let body =
        pack(&WriteRequest { timeseries: vec![TimeSeries { labels, samples, histograms: Vec::new() }] });
    assert_eq!(check_body(&body), [Violation::Utf8("\u{fffd}".into())]);
}

#[test]
fn names_must_be_sorted() {
    let found = check_labels(&[("b", "1"), ("__name__", "up")]);
    assert_eq!(found, [Violation::Unsorted(series("up", [("b", "1")]))]);
}

#[test]
fn upper_case_sorts_before_the_underscore() {
    assert_eq!(check_labels(&[("A", "1"), ("__name__", "up")]), []);
}

#[test]
fn a_name_may_not_stand_twice() {
    let found = check_labels(&[("__name__", "up"), ("a", "1"), ("a", "1")]);
    assert_eq!(found, [Violation::DuplicateName { series: series("up", [("a", "1")]), label: "a".into() }]);
}

#[test]
fn an_empty_name_is_refused() {
    let found = check_labels(&[("", "1"), ("__name__", "up")]);
    assert_eq!(found, [Violation::EmptyName(series("up", [("", "1")]))]);
}

#[test]
fn an_empty_value_is_refused() {
    let found = check_labels(&[("__name__", "up"), ("a", "")]);
    assert_eq!(found, [Violation::EmptyValue { series: series("up", [("a", "")]), label: "a".into() }]);
}

#[test]
fn odd_label_and_metric_names_are_refused() {
    let odd = [("__name__", "up"), ("a.b", "1")];
    let set = series("up", [("a.b", "1")]);
    assert_eq!(check_labels(&odd), [Violation::LabelName { series: set, label: "a.b".into() }]);
    assert_eq!(check_labels(&[("__name__", "1up")]), [Violation::MetricName(series("1up", []))]);
    assert_eq!(check_labels(&[("__name__", "a:b")]), []);
}

#[test]
fn a_series_needs_a_metric_name() {
    let set = [("a", "1")].into_iter().collect();
    assert_eq!(check_labels(&[("a", "1")]), [Violation::Nameless(set)]);
}

#[test]
fn a_sample_far_in_the_future_is_refused() {
    let check = |at| check_body(&pack(&wire::request(&[(&[("__name__", "up")], &[(at, 1.0)])])));
    assert_eq!(check(NOW + rules::FUTURE_MS_MAX), []);
    let at = NOW + rules::FUTURE_MS_MAX + 1;
    assert_eq!(check(at), [Violation::Future { series: series("up", []), at }]);
}

#[test]
fn timestamps_of_a_series_never_go_back() {
    let up: &[(&str, &str)] = &[("__name__", "up")];
    let late = [Violation::OutOfOrder { series: series("up", []), at: 1, newest: 2 }];
    assert_eq!(append(&[&[(up, &[(1, 1.0), (2, 1.0)])]]), []);
    assert_eq!(append(&[&[(up, &[(2, 1.0), (1, 1.0)])]]), late);
    assert_eq!(append(&[&[(up, &[(2, 1.0)])], &[(up, &[(1, 1.0)])]]), late);
    assert_eq!(append(&[&[(up, &[(2, 1.0)]), (up, &[(1, 1.0)])]]), late);
}

#[test]
fn one_timestamp_never_gets_a_second_value() {
    let up: &[(&str, &str)] = &[("__name__", "up")];
    assert_eq!(append(&[&[(up, &[(1, 1.0)])], &[(up, &[(1, 1.0)])]]), []);
    let (held, sent) = (Value::from(0.0), Value::from(-0.0));
    let conflict = Violation::Conflict { series: series("up", []), at: 1, held, sent };
    assert_eq!(append(&[&[(up, &[(1, 0.0)])], &[(up, &[(1, -0.0)])]]), [conflict]);
}

#[test]
fn a_refused_request_leaves_nothing_behind() {
    let (up, down): (&[_], &[_]) = (&[("__name__", "up")], &[("__name__", "down")]);
    let mut store = Store::default();
    let mut send = |request: &[Crafted<'_>]| {
        store.append(rules::check(&Method::POST, &headers(), &pack(&wire::request(request)), NOW).0).len()
    };
    assert_eq!(send(&[(up, &[(2, 1.0)])]), 0);
    assert_eq!(send(&[(down, &[(2, 1.0)]), (up, &[(1, 1.0)])]), 1);
    assert_eq!(store.samples().into_keys().collect::<Vec<_>>(), [series("up", [])]);
}

#[tokio::test]
async fn samples_are_kept_bit_for_bit_and_requests_are_recorded() {
    let receiver = StrictReceiver::start().await;
    let values = [f64::from_bits(Value::STALE.0), -0.0, 5e-324, f64::INFINITY, f64::from_bits(Value::NAN.0)];
    let samples: Vec<_> = (1..).zip(values).collect();
    let body = pack(&wire::request(&[(&[("__name__", "up")], &samples)]));
    let answer = post(&receiver, body).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    let held = &receiver.samples()[&series("up", [])];
    let bits: Vec<_> = held.iter().map(|s| s.value.0).collect();
    assert_eq!(bits, values.map(f64::to_bits));
    let seen = receiver.seen();
    assert_eq!((seen.len(), seen[0].samples, seen[0].uri.as_str()), (1, 5, "/any/path"));
    assert_eq!(seen[0].headers["x-tenant"], "a");
}

#[tokio::test]
async fn answers_follow_the_script() {
    let receiver = StrictReceiver::start().await;
    let busy = StatusCode::TOO_MANY_REQUESTS;
    receiver.reply_next([
        Reply::Refuse { status: busy, retry_after: Some("7".into()), body: "later".into() },
        Reply::KeepButAnswer(StatusCode::BAD_GATEWAY),
    ]);
    let refused = post(&receiver, good()).await;
    assert_eq!((refused.status, refused.text()), (busy, "later"));
    assert_eq!(refused.headers["retry-after"], "7");
    assert!(receiver.samples().is_empty());
    assert_eq!(post(&receiver, good()).await.status, StatusCode::BAD_GATEWAY);
    assert_eq!(post(&receiver, good()).await.status, StatusCode::NO_CONTENT);
    assert_eq!((receiver.samples().len(), receiver.resends()), (1, 1));
    receiver.reply_always(Reply::refuse(StatusCode::INTERNAL_SERVER_ERROR));
    assert_eq!(post(&receiver, good()).await.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(receiver.violations(), []);
}

#[tokio::test]
async fn a_breach_is_answered_with_400_whatever_the_script_says() {
    let receiver = StrictReceiver::start().await;
    let body = pack(&wire::request(&[]));
    let answer = post(&receiver, body).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(receiver.violations(), [Violation::NoSeries]);
}

async fn post(receiver: &StrictReceiver, body: Vec<u8>) -> crate::http::Answer {
    post_with(receiver, &headers(), body).await
}

async fn post_with(receiver: &StrictReceiver, headers: &HeaderMap, body: Vec<u8>) -> crate::http::Answer {
    let url = format!("{}/any/path", receiver.url());
    let mut pairs: Vec<(String, String)> =
        headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
    pairs.push(("x-tenant".into(), "a".into()));
    let pairs: Vec<_> = pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    crate::http::request(Method::POST, &url, &pairs, body).await.unwrap()
}

/// A request of 2.0 with these symbols, and one series of these references.
fn of_v2(symbols: &[&str], labels_refs: &[u32], change: impl Fn(&mut wire::v2::TimeSeries)) -> Vec<u8> {
    let sample = wire::v2::Sample { value: Some(1.0), timestamp: NOW, start_timestamp: 0 };
    let mut series = wire::v2::TimeSeries {
        labels_refs: labels_refs.to_vec(),
        samples: vec![sample],
        histograms: Vec::new(),
        metadata: None,
    };
    change(&mut series);
    let symbols = symbols.iter().map(|symbol| symbol.as_bytes().to_vec()).collect();
    let request = wire::v2::Request { symbols, timeseries: vec![series] };
    snap::raw::Encoder::new().compress_vec(&request.encode_to_vec()).unwrap()
}

fn headers_v2() -> HeaderMap {
    let mut headers = headers();
    headers.insert("content-type", HeaderValue::from_static(Version::V2.content_type()));
    headers.insert("x-prometheus-remote-write-version", HeaderValue::from_static("2.0.0"));
    headers
}

fn check_v2(body: &[u8]) -> Vec<Violation> {
    rules::check(&Method::POST, &headers_v2(), body, NOW).1
}

const UP: [&str; 5] = ["", "__name__", "up", "a", "b"];

#[test]
fn a_right_request_of_2_0_is_read_as_one_of_1_0_and_says_what_its_metrics_are() {
    let said = wire::v2::Metadata { kind: 2, help_ref: 4, unit_ref: 0 };
    let body = of_v2(&UP, &[1, 2, 3, 4], |series| series.metadata = Some(said));
    let (decoded, told, violations) = rules::check_saying(&Method::POST, &headers_v2(), &body, NOW);
    assert_eq!(violations, []);
    assert_eq!(decoded, [(series("up", [("a", "b")]), vec![Sample { at: NOW, value: Value::from(1.0) }])]);
    assert_eq!(told, [Some((2, "b".to_owned(), String::new()))]);
}

#[test]
fn the_symbols_of_2_0_obey_its_rules() {
    let same = |_: &mut wire::v2::TimeSeries| {};
    let symbols = |why| vec![Violation::Symbols(why)];
    for (body, found) in [
        (of_v2(&UP, &[1, 2, 3, 4], same), vec![]),
        (of_v2(&UP[1..], &[0, 1, 2, 3], same), symbols("the first one is not empty")),
        (of_v2(&["", "__name__", "up", "a", "a"], &[1, 2, 3, 4], same), symbols("one stands twice")),
        (of_v2(&UP, &[1, 2], same), symbols("one is of nothing in the request")),
        (of_v2(&UP[..3], &[1, 2, 1], same), vec![Violation::OddReferences(3)]),
        (of_v2(&UP[..3], &[1, 2], |s| s.samples[0].start_timestamp = 1), vec![Violation::InventedStart]),
        (of_v2(&UP[..3], &[1, 2], |s| s.samples.clear()), vec![Violation::NoSamples(series("up", []))]),
    ] {
        assert_eq!(check_v2(&body), found);
    }
    assert!(check_v2(&of_v2(&UP[..3], &[1, 2, 7, 2], same)).contains(&Violation::Reference(7)));
    assert!(matches!(check_v2(&of_v2(&UP, &[3, 4, 1, 2], same))[..], [Violation::Unsorted(_)]));
}

#[test]
fn both_headers_of_a_version_belong_together() {
    let body = of_v2(&UP[..3], &[1, 2], |_| {});
    let mut mixed = headers_v2();
    mixed.insert("x-prometheus-remote-write-version", HeaderValue::from_static("0.1.0"));
    let found = rules::check(&Method::POST, &mixed, &body, NOW).1;
    assert!(matches!(&found[..], [Violation::Header { .. }]), "{found:?}");
}

#[tokio::test]
async fn a_receiver_answers_as_the_versions_have_it_that_it_speaks() {
    let receiver = StrictReceiver::start().await;
    let v2 = of_v2(&UP[..3], &[1, 2], |_| {});
    let written = |answer: &crate::http::Answer| {
        answer
            .headers
            .get("x-prometheus-remote-write-samples-written")
            .map(|n| n.to_str().unwrap().to_owned())
    };
    for (speaks, of_v1, of_v2, confirmed) in [
        (Speaks::V1, 204, 415, None),
        (Speaks::V1Blindly, 204, 204, None),
        (Speaks::Both, 204, 204, Some("1")),
        (Speaks::V2, 415, 204, Some("1")),
    ] {
        receiver.speak(speaks);
        assert_eq!(post(&receiver, good()).await.status, of_v1, "{speaks:?}");
        let answer = post_with(&receiver, &headers_v2(), v2.clone()).await;
        assert_eq!((answer.status.as_u16(), written(&answer).as_deref()), (of_v2, confirmed), "{speaks:?}");
    }
    assert_eq!((receiver.unspoken(), receiver.violations()), (3, Vec::new()));
}
