//! Request: one instant query, from its text to rows in the table.
//!
//! Never: a body held whole, a read without a bound or a deadline, or compression asked for (the source would pay for it,
//! and sources are near).

use std::time::{Duration, Instant, SystemTime};

use base64::Engine;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, DATE, RETRY_AFTER};
use http::{HeaderMap, Request, Uri};
use tracing::{info, warn};
use url::Url;

use crate::http::{Response, Timeouts};
use crate::model::{Source, Tick, Timestamp};

use super::health::skew_millis;
use super::lock;
use super::origin::Origin;
use super::scan::{Refusal, Rows, Sample, Scanner};
use super::table::Table;
use super::text::excerpt;
use super::{Asked, Cause, http_error};

/// How much of an error's body is read.
const ERROR_BYTES_MAX: usize = 64 << 10;

/// How much of an error's body is shown.
const EXCERPT_BYTES_MAX: usize = 512;

/// Bytes scanned between two yields; about a tenth of a millisecond when nothing is new, a few when all is.
const SCAN_BYTES_MAX: usize = 256 << 10;

/// Asks one query at one tick and puts what comes into the table; the body's size in bytes.
pub(super) async fn ask(
    origin: &Origin,
    query: &str,
    tick: Tick,
    timeout: Duration,
    table: &mut Table,
) -> Result<u64, Cause> {
    let began = Instant::now();
    let result = attempt(origin, query, tick, timeout, table).await;
    let told = result.as_ref().map(|bytes| *bytes);
    origin.observer.tell(Asked { source: &origin.source, took: began.elapsed(), result: told });
    note(origin, result.as_ref().err(), SystemTime::now().into());
    result
}

/// Takes over how the source answered, and says when it begins to fail and when that is over.
fn note(origin: &Origin, failure: Option<&Cause>, now: Timestamp) {
    let source = &origin.source.name;
    let mut health = lock(&origin.health);
    match failure {
        None => {
            if let Some(down) = health.succeeded(now) {
                info!(%source, down_seconds = down.as_secs(), "A source answers queries again");
            }
        }
        Some(error) => {
            if health.failed(error, now) {
                warn!(%source, %error, "A source does not answer queries");
            }
        }
    }
}

async fn attempt(
    origin: &Origin,
    query: &str,
    tick: Tick,
    timeout: Duration,
    table: &mut Table,
) -> Result<u64, Cause> {
    let request = request(&origin.source, query, tick, timeout)?;
    let timeouts =
        Timeouts { connect: timeout.min(Timeouts::default().connect), first_byte: timeout, whole: timeout };
    let sent = Timestamp::from(SystemTime::now());
    let response = origin.client.send(request, &timeouts).await.map_err(|e| http_error(e, timeout))?;
    let now = Timestamp::from(SystemTime::now());
    let date = response.headers.get(DATE).and_then(|date| date.to_str().ok());
    lock(&origin.health).seen(now, date.and_then(|date| skew_millis(date, sent, now)));
    match response.status.is_success() {
        true => read(response, tick, timeout, origin.config.body_bytes_max, table).await,
        false => Err(refusal(response, tick).await),
    }
}

async fn read(
    mut response: Response,
    tick: Tick,
    timeout: Duration,
    bytes_max: u64,
    table: &mut Table,
) -> Result<u64, Cause> {
    let mut scanner = Scanner::new(tick);
    let mut bytes = 0;
    while let Some(chunk) = response.chunk().await.map_err(|e| http_error(e, timeout))? {
        bytes += chunk.len() as u64;
        if bytes > bytes_max {
            return Err(Cause::BodyTooLarge { max: bytes_max });
        }
        for piece in chunk.chunks(SCAN_BYTES_MAX) {
            scanner.feed(piece, table)?;
            tokio::task::yield_now().await;
        }
    }
    scanner.finish(table)?;
    Ok(bytes)
}

/// What an answer with an error status says.
async fn refusal(response: Response, tick: Tick) -> Cause {
    let (code, retry_after) = (response.status.as_u16(), retry_after(&response.headers));
    let body = response.excerpt(ERROR_BYTES_MAX).await;
    let mut scanner = Scanner::new(tick);
    let scanned = scanner.feed(&body, &mut Nothing).and_then(|()| scanner.finish(&mut Nothing));
    match scanned {
        // The limits that can pass are told by the status, not by the API's own error.
        Err(cause @ Cause::Query { .. }) if code != 429 => cause,
        _ => Cause::Status { code, body: excerpt(&body, EXCERPT_BYTES_MAX), retry_after },
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

fn request(source: &Source, query: &str, tick: Tick, timeout: Duration) -> Result<Request<Bytes>, Cause> {
    let body = form(source, query, tick, timeout);
    let address = |_| Cause::Unreachable(crate::http::Error::Address);
    let uri: Uri =
        endpoint(&source.url).as_str().parse().map_err(|e: http::uri::InvalidUri| address(e.into()))?;
    let mut request = Request::post(uri)
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(ACCEPT, "application/json");
    if let Some(credentials) = basic_auth(&source.url) {
        request = request.header(AUTHORIZATION, credentials);
    }
    request.body(Bytes::from(body)).map_err(address)
}

fn form(source: &Source, query: &str, tick: Tick, timeout: Duration) -> String {
    url::form_urlencoded::Serializer::new(String::with_capacity(query.len() * 3 / 2 + 128))
        .append_pair("query", query)
        .append_pair("time", &tick.to_string())
        .append_pair("timeout", &format!("{}ms", timeout.as_millis()))
        .append_pair("limit", &(source.series_max.saturating_add(1)).to_string())
        // VictoriaMetrics otherwise evaluates a query of the last 30 s at another moment than the one it then stamps.
        .append_pair("nocache", "1")
        .finish()
}

/// The query API below a source's base address, without what may not go into a request's target.
fn endpoint(base: &Url) -> Url {
    let mut url = base.clone();
    let path = format!("{}/api/v1/query", base.path().trim_end_matches('/'));
    url.set_path(&path);
    url.set_fragment(None);
    // Neither can fail: the address has a host, or the client refuses it.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url
}

/// Credentials that the operator wrote into the source's address.
fn basic_auth(base: &Url) -> Option<String> {
    let decode = |text: &str| percent_decode(text);
    let password = base.password().unwrap_or_default();
    (!base.username().is_empty() || !password.is_empty()).then(|| {
        let pair = format!("{}:{}", decode(base.username()), decode(password));
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
    })
}

fn percent_decode(text: &str) -> String {
    // A form's pair is decoded in the same way, but for the plus sign.
    let escaped = format!("={}", text.replace('+', "%2B").replace('&', "%26"));
    url::form_urlencoded::parse(escaped.as_bytes()).map(|(_, value)| value.into_owned()).collect()
}

/// Takes no rows: an error has none.
struct Nothing;

impl Rows for Nothing {
    fn expected(&self) -> &[u8] {
        b""
    }

    fn hit(&mut self, _: f64) -> Result<(), Refusal> {
        Ok(())
    }

    fn row(&mut self, _: &[u8], _: Sample) -> Result<(), Refusal> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_api_lies_below_the_base_address() {
        for (base, target) in [
            ("http://h:9090", "http://h:9090/api/v1/query"),
            ("http://h:9090/", "http://h:9090/api/v1/query"),
            ("http://u:p@h/select/0/prometheus/", "http://h/select/0/prometheus/api/v1/query"),
            ("http://h/x?tenant=1#y", "http://h/x/api/v1/query?tenant=1"),
        ] {
            assert_eq!(endpoint(&base.parse().unwrap()).as_str(), target, "{base}");
        }
    }

    #[test]
    fn credentials_in_the_address_become_a_header() {
        let header = |base: &str| basic_auth(&base.parse().unwrap());
        assert_eq!(header("http://h"), None);
        assert_eq!(header("http://Aladdin:open%20sesame@h").unwrap(), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert_eq!(percent_decode("a+b&c%2Fd=e"), "a+b&c/d=e");
    }
}
