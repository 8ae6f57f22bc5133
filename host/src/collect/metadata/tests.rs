//! What answers are read as, and when a source is asked.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::reading::{HELP_BYTES_MAX, METRICS_MAX};
use super::*;
use crate::http::Client;
use crate::model::Memory;
use crate::model::metadata::{About, MetricType};

fn read(body: &str, memory: &Memory) -> Result<(Metadata, usize), reading::Error> {
    let mut reading = Reading::paid_by(memory.hold_shared());
    reading.feed(body.as_bytes())?;
    reading.finish(false)
}

fn said(body: &str) -> Metadata {
    read(body, &Memory::default()).unwrap().0
}

fn about(kind: MetricType, help: &str, unit: &str) -> About {
    About { kind, help: help.into(), unit: unit.into() }
}

#[test]
fn an_answer_says_type_help_and_unit() {
    let metadata = said(
        r#"{"status":"success","data":{
            "up":[{"type":"gauge","help":"Is it \"up\"?","unit":""}],
            "seconds":[{"type":"histogram","help":"","unit":"seconds"}],
            "nothing":[{"type":"unknown","help":"","unit":""}],
            "none":[],
            "short":[{"type":"counter"}]
        },"more":1}"#,
    );
    assert_eq!(metadata.of("up"), Some(&about(MetricType::Gauge, "Is it \"up\"?", "")));
    assert_eq!(metadata.of("seconds_sum"), Some(&about(MetricType::Histogram, "", "seconds")));
    assert_eq!(metadata.of("short"), Some(&about(MetricType::Counter, "", "")));
    assert_eq!(metadata.len(), 3);
}

#[test]
fn of_what_places_say_differently_nothing_is_taken() {
    let metadata = said(
        r#"{"data":{
            "help":[{"type":"gauge","help":"a","unit":"s"},{"type":"gauge","help":"b","unit":"s"}],
            "type":[{"type":"gauge","help":"a"},{"type":"counter","help":"a"}]
        }}"#,
    );
    assert_eq!(metadata.of("help"), Some(&about(MetricType::Gauge, "", "s")));
    assert_eq!(metadata.of("type"), None);
}

#[test]
fn what_is_kept_is_bounded() {
    let long = "x".repeat(HELP_BYTES_MAX + 1);
    let metadata = said(&format!(r#"{{"data":{{"a":[{{"type":"gauge","help":"{long}"}}]}}}}"#));
    assert_eq!(metadata.of("a"), Some(&about(MetricType::Gauge, "", "")));
    let (kept, left_out) = read(&many(METRICS_MAX + 10, ""), &Memory::default()).unwrap();
    assert_eq!((kept.len(), left_out), (METRICS_MAX, 10));
    let help = "h".repeat(HELP_BYTES_MAX);
    let (kept, left_out) = read(&many(20_000, &help), &Memory::default()).unwrap();
    assert!(kept.len() < 15_000 && kept.len() + left_out == 20_000, "{} and {left_out}", kept.len());
}

/// An answer about so many metrics, in the order of their numbers.
fn many(metrics: usize, help: &str) -> String {
    let all: Vec<String> =
        (0..metrics).map(|n| format!(r#""m{n}":[{{"type":"gauge","help":"{help}","unit":""}}]"#)).collect();
    format!(r#"{{"status":"success","data":{{{}}}}}"#, all.join(","))
}

#[test]
fn what_is_kept_is_paid_for_until_nobody_has_it_and_what_has_no_room_is_left_out() {
    let memory = Memory::new(4_000);
    let (kept, left_out) = read(&many(100, "help"), &memory).unwrap();
    assert!((10..30).contains(&kept.len()) && kept.len() + left_out == 100, "{} kept", kept.len());
    assert!(memory.hold_shared().take(200).is_err(), "it is held");
    drop(kept);
    assert_eq!(memory.hold_shared().take(3_000), Ok(()));
}

/// A source that says this of its metrics to everybody, and its head alone as fast as it likes.
async fn origin(body: String) -> Arc<Origin> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let _ = connection.read(&mut [0; 4096]).await;
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
            let _ = connection.write_all(head.as_bytes()).await;
            let _ = connection.write_all(body.as_bytes()).await;
        }
    });
    let client = Client::new(&crate::http::Config::default()).unwrap();
    let source = Arc::new(crate::collect::tests::source(&url));
    let (observer, memory) = (crate::collect::Observer::default(), Memory::default());
    Arc::new(Origin::new(
        source,
        client,
        crate::collect::Config::default(),
        observer,
        memory,
        Turns::default(),
    ))
}

#[tokio::test]
async fn a_source_that_says_very_much_is_listened_to_all_the_same() {
    let help = "h".repeat(HELP_BYTES_MAX);
    let answer = asked(&*origin(many(12_000, &help)).await).await.unwrap();
    assert!(!answer.is_cut && answer.left_out == 0, "{answer:?}");
    assert_eq!(answer.metadata.of("m11999"), Some(&about(MetricType::Gauge, &help, "")));
}

#[tokio::test]
async fn of_an_answer_without_end_the_beginning_is_used_and_its_rest_is_told_once() {
    // One metric that takes all that is read is followed by others.
    let long = "h".repeat(BODY_BYTES_MAX);
    let body = many(10, "").replacen(r#""m5":"#, &format!(r#""m4a":[{{"help":"{long}"}}],"m5":"#), 1);
    let origin = origin(body).await;
    let answer = asked(&origin).await.unwrap();
    assert_eq!((answer.metadata.len(), answer.is_cut), (5, true));
    learn(&origin, answer);
    assert!(lock(&origin.metadata.0).told);
    assert!(lock(&origin.metadata.0).newest.of("m4").is_some());
}

#[test]
fn what_is_no_answer_is_none() {
    for body in ["", "<html>", r#"{"status":"error"}"#, r#"{"data":[]}"#, r#"{"data":{"a":{}}}"#] {
        assert!(read(body, &Memory::default()).is_err(), "{body}");
    }
}

#[test]
fn a_source_is_asked_first_then_rarely_and_sooner_for_what_is_new() {
    let now = Instant::now();
    let due = |age: u64, curiosity| is_due(Some(now), curiosity, now + Duration::from_secs(age));
    assert!(is_due(None, Curiosity::Idle, now));
    assert_eq!([29, 30].map(|age| due(age, Curiosity::Awake)), [false, true]);
    assert_eq!([299, 300].map(|age| due(age, Curiosity::Idle)), [false, true]);
}
