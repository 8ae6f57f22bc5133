//! Answers of receivers: what each status means, and the little of the body that is worth showing.

use std::time::{Duration, SystemTime};

use http::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{HeaderMap, StatusCode};

use super::Error;
use crate::http::Response;

/// What of an error's body is kept.
const MESSAGE_BYTES_MAX: usize = 1 << 10;

/// How much of a success's body is read so that its connection can be used again.
const SUCCESS_BYTES_MAX: usize = 64 << 10;

/// Turns an answer into its status, if it is a success, or into the error it stands for.
pub(super) async fn judge(response: Response, now: SystemTime) -> Result<StatusCode, Error> {
    let status = response.status;
    if status.is_success() {
        response.drain(SUCCESS_BYTES_MAX).await;
        return Ok(status);
    }
    let retry_after = retry_after(&response.headers, now);
    let location = response.headers.get(LOCATION).map(|l| clean(l.as_bytes())).unwrap_or_default();
    let shown = is_shown(&response.headers);
    let message = if shown { clean(&response.excerpt(MESSAGE_BYTES_MAX).await) } else { String::new() };
    Err(match status.as_u16() {
        300..=399 => Error::Redirected { status, location },
        401 | 403 => Error::Unauthorized { status, message },
        404 => Error::NotFound { message },
        429 | 500.. => Error::Unavailable { status, retry_after, message },
        _ => Error::Refused { status, message },
    })
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
    use super::*;

    fn after(value: &str) -> Option<Duration> {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, value.parse().unwrap())]);
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        retry_after(&headers, now)
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
    fn messages_are_one_clean_line() {
        assert_eq!(clean(b"out of\x1b[31m order\r\n\tsample \xff\n"), "out of [31m order sample \u{fffd}");
    }
}
