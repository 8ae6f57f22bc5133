//! Answers: one that is no success, as a receiver's and as a source's.
//!
//! It is written as HTTP writes it: a status, headers, an empty line, the body. What it means follows from the status alone, what
//! it says is short and one line, and what the query API says of an error is what serde_json reads.

use std::time::{Duration, SystemTime};

use ::http::header::{HeaderName, HeaderValue, RETRY_AFTER};
use ::http::{HeaderMap, StatusCode};

use crate::collect::Cause;
use crate::collect::scan::Scanner;
use crate::deliver::{Error, Reason};
use crate::model::{Interval, Span, Tick, Timestamp};

/// How much of a body receivers' answers are judged by.
const MESSAGE_BYTES_MAX: usize = 1 << 10;
/// How much of a source's words is kept.
const EXCERPT_BYTES_MAX: usize = 512;

/// Panics if something is not as it should be.
pub fn check(answer: &[u8]) {
    let Some((status, headers, body)) = read(answer) else { return };
    of_a_receiver(status, &headers, &body[..body.len().min(MESSAGE_BYTES_MAX)]);
    for count in [1, 3] {
        of_a_source(status, &headers, body, count);
    }
}

fn read(answer: &[u8]) -> Option<(StatusCode, HeaderMap, &[u8])> {
    let end = answer.windows(2).position(|two| two == b"\n\n")?;
    let (head, body) = (std::str::from_utf8(&answer[..end]).ok()?, &answer[end + 2..]);
    let mut lines = head.lines();
    let status: StatusCode = lines.next()?.parse().ok().filter(|status: &StatusCode| !status.is_success())?;
    let header = |line: &str| {
        let (name, value) = line.split_once(": ")?;
        Some((name.parse::<HeaderName>().ok()?, value.parse::<HeaderValue>().ok()?))
    };
    Some((status, lines.filter_map(header).collect(), body))
}

fn of_a_receiver(status: StatusCode, headers: &HeaderMap, body: &[u8]) {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_435_781_451);
    let error = Error::told(status, headers, body, now);
    assert_eq!(error.status(), Some(status));
    let code = status.as_u16();
    assert_eq!(error.is_transient(), code == 429 || code >= 500, "{error}");
    assert_eq!(error.is_to_be_mended(), matches!(code, 300..=399 | 401 | 403 | 404), "{error}");
    assert_eq!(error.is_about_content(), matches!(code, 400 | 409 | 413 | 422), "{error}");
    let text = error.to_string();
    assert!(!text.contains(char::is_control), "{text:?}");
    // What is no text becomes a mark of three bytes.
    assert!(text.len() < 3 * MESSAGE_BYTES_MAX + 300 + headers.values().map(HeaderValue::len).sum::<usize>());
    patience(&error, headers, now);
    if let Error::Refused { message, .. } = &error {
        let reason = if code == 413 { Reason::Limit } else { Reason::told(message) };
        assert_eq!(error.reason(), reason);
        // Receivers' punctuation and capitals say nothing.
        let plain: String = message.chars().filter(char::is_ascii_alphabetic).collect();
        assert_eq!(Reason::told(message), Reason::told(&plain.to_ascii_uppercase()));
    }
}

/// `Retry-After` is read as it stands, of answers alone that ask for another try.
fn patience(error: &Error, headers: &HeaderMap, now: SystemTime) {
    let text = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()).unwrap_or_default().trim();
    let expected = match text.parse::<u64>() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => {
            httpdate::parse_http_date(text).ok().map(|date| date.duration_since(now).unwrap_or_default())
        }
    };
    assert_eq!(error.retry_after(), expected.filter(|_| error.is_transient()), "{text:?}");
}

fn of_a_source(status: StatusCode, headers: &HeaderMap, body: &[u8], count: u32) {
    let second = Interval::new(Duration::from_secs(1)).expect("an interval");
    let ticks = Span::new(Tick::at_or_before(Timestamp(1_435_781_451_000), second), second, count);
    let cause = Cause::told(status.as_u16(), headers, body, Scanner::of_range(ticks));
    let _ = (cause.to_string(), cause.is_transient());
    match &cause {
        Cause::Query { error_type, message } => {
            assert_ne!(status.as_u16(), 429);
            assert!(error_type.len().max(message.len()) <= EXCERPT_BYTES_MAX + '…'.len_utf8());
            said(body, error_type, message);
        }
        Cause::Status { code, body: excerpt, .. } => {
            assert_eq!(*code, status.as_u16());
            assert!(excerpt.len() <= EXCERPT_BYTES_MAX + '…'.len_utf8());
        }
        other => panic!("a status is no {other:?}"),
    }
}

/// What serde_json reads, if it reads anything, and if it is short enough to have been kept whole.
fn said(body: &[u8], error_type: &str, message: &str) {
    let Ok(serde_json::Value::Object(document)) = serde_json::from_slice(body) else { return };
    // Keys are compared as they stand.
    if body.contains(&b'\\') {
        return;
    }
    assert_eq!(document.get("status").and_then(|status| status.as_str()), Some("error"));
    for (field, found) in [("errorType", error_type), ("error", message)] {
        let said = document.get(field).and_then(|text| text.as_str()).unwrap_or_default();
        assert!(said == found || said.len() > EXCERPT_BYTES_MAX, "{field}: {said:?}, not {found:?}");
    }
}
