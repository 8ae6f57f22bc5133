//! Answers of receivers: what each status means, and the little of the body that is worth showing.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{HeaderMap, StatusCode};

use super::Error;
use crate::http::Response;

/// What of an error's body is kept.
const MESSAGE_BYTES_MAX: usize = 1 << 10;

/// How much of a success's body is read so that its connection can be used again.
const SUCCESS_BYTES_MAX: usize = 64 << 10;

/// What a server written in Go answers to whoever speaks to it without TLS.
const TO_A_TLS_SERVER: &str = "Client sent an HTTP request to an HTTPS server";

/// Turns an answer into its status, if it is a success, or into the error it stands for.
pub(super) async fn judge(mut response: Response, now: SystemTime) -> Result<StatusCode, Error> {
    let status = response.status;
    if status.is_success() {
        response.drain(SUCCESS_BYTES_MAX).await;
        return Ok(status);
    }
    let headers = std::mem::take(&mut response.headers);
    let body = if is_shown(&headers) { response.excerpt(MESSAGE_BYTES_MAX).await } else { Bytes::new() };
    Err(Error::told(status, &headers, &body, now))
}

impl Error {
    /// What an answer that is no success says, of whose body this is the beginning.
    pub(crate) fn told(status: StatusCode, headers: &HeaderMap, body: &[u8], now: SystemTime) -> Error {
        let message = clean(body);
        match status.as_u16() {
            300..=399 => {
                let location = headers.get(LOCATION).map(|l| clean(l.as_bytes())).unwrap_or_default();
                Error::Redirected { status, location }
            }
            401 | 403 => Error::Unauthorized { status, message },
            404 => Error::NotFound { message },
            400 if message.starts_with(TO_A_TLS_SERVER) => Error::Cleartext,
            429 | 500.. => Error::Unavailable { status, retry_after: retry_after(headers, now), message },
            _ => Error::Refused { status, message },
        }
    }
}

/// What the receiver says that it wrote of a request: the headers that 2.0 requires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Written(pub(super) Option<u64>);

/// Of the three that there are, the first counts floats and the second native histograms: both are samples to us.
const WRITTEN: [&str; 3] = [
    "x-prometheus-remote-write-samples-written",
    "x-prometheus-remote-write-histograms-written",
    "x-prometheus-remote-write-exemplars-written",
];

impl Written {
    /// None of the headers says nothing; one that is missing beside others says that none of its kind was written.
    pub(super) fn read(headers: &HeaderMap) -> Written {
        let number = |name| headers.get(name)?.to_str().ok()?.trim().parse().ok();
        let [samples, histograms, exemplars]: [Option<u64>; 3] = WRITTEN.map(number);
        Written(match (samples, histograms) {
            (None, None) => exemplars.map(|_| 0),
            (samples, histograms) => {
                Some(samples.unwrap_or_default().saturating_add(histograms.unwrap_or_default()))
            }
        })
    }
}

/// Whether a body of this type is a receiver's word to its client, which goes into logs and the tenant's status.
/// Receivers explain themselves in plain text or JSON; a page is for people with a browser, of a proxy on the way or of
/// something that is no receiver at all and is not to be read through us.
fn is_shown(headers: &HeaderMap) -> bool {
    let Some(given) = headers.get(CONTENT_TYPE) else { return true };
    let essence = given.as_bytes().split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
    let shown: [&[u8]; 3] = [b"text/plain", b"application/json", b"application/problem+json"];
    shown.iter().any(|shown| essence.eq_ignore_ascii_case(shown))
}

/// `Retry-After`, which is a number of seconds or a date (RFC 9110, 10.2.3). A date that has passed asks for no wait.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

/// One line that can be logged: no control characters, no runs of white space.
fn clean(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    fn after(value: &str) -> Option<Duration> {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, value.parse().unwrap())]);
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        retry_after(&headers, now)
    }

    #[test]
    fn a_server_that_speaks_tls_refuses_no_sample() {
        let told = |body: &str| {
            let (status, headers) = (StatusCode::BAD_REQUEST, HeaderMap::new());
            Error::told(status, &headers, body.as_bytes(), SystemTime::UNIX_EPOCH)
        };
        let error = told("Client sent an HTTP request to an HTTPS server.\n");
        assert!(matches!(error, Error::Cleartext) && error.is_to_be_mended() && !error.is_about_content());
        assert!(told("out of order sample").is_about_content());
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(after("120"), Some(Duration::from_secs(120)));
        assert_eq!(after(" 0 "), Some(Duration::ZERO));
        assert_eq!(after("Sun, 06 Nov 1994 08:50:07 GMT"), Some(Duration::from_secs(30)));
        assert_eq!(after("Sun, 06 Nov 1994 08:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(after("soon"), None);
        assert_eq!(after("-5"), None);
    }

    #[test]
    fn only_what_is_written_for_clients_is_shown() {
        let shown = |given: &str| is_shown(&HeaderMap::from_iter([(CONTENT_TYPE, given.parse().unwrap())]));
        for given in ["text/plain", "Text/Plain; charset=utf-8", "application/json;charset=utf-8"] {
            assert!(shown(given), "{given}");
        }
        for given in ["text/html; charset=utf-8", "application/octet-stream", "text/plainish", ""] {
            assert!(!shown(given), "{given}");
        }
        assert!(is_shown(&HeaderMap::new()));
    }

    #[test]
    fn what_was_written_is_said_by_any_of_the_headers() {
        let written = |given: &[(&'static str, &str)]| {
            let pairs =
                given.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
            Written::read(&HeaderMap::from_iter(pairs)).0
        };
        let [samples, histograms, exemplars] = WRITTEN;
        assert_eq!(written(&[]), None);
        assert_eq!(written(&[(samples, "7"), (histograms, "0")]), Some(7));
        assert_eq!(written(&[(samples, "7"), (histograms, "3")]), Some(10));
        assert_eq!(written(&[(histograms, "3")]), Some(3));
        assert_eq!(written(&[(samples, "0")]), Some(0));
        assert_eq!(written(&[(exemplars, "2")]), Some(0), "no samples");
        assert_eq!(written(&[(samples, "many")]), None);
    }

    #[test]
    fn messages_are_one_clean_line() {
        assert_eq!(clean(b"out of\x1b[31m order\r\n\tsample \xff\n"), "out of [31m order sample \u{fffd}");
    }
}
