//! Request: one query, at one tick or at several, from its text to rows in the table.
//!
//! Never: a body held whole, a read without a bound (of what it is unpacked, too) or a deadline, or compression asked for
//! unless the operator says so: the source would pay for it, and sources are near.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use base64::Engine;
use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, DATE, RETRY_AFTER};
use http::{HeaderMap, Request, Uri};
use tracing::{info, warn};
use url::Url;

use crate::http::{Response, Timeouts};
use crate::model::{Compression, Source, Span, Timestamp};

use super::health::skew_millis;
use super::lock;
use super::origin::Origin;
use super::read::Run;
use super::scan::{Refusal, Rows, Sample, Scanner};
use super::text::excerpt;
use super::{Asked, Cause, http_error};

/// How much of an error's body is read.
const ERROR_BYTES_MAX: usize = 64 << 10;

/// How much of an error's body is shown.
const EXCERPT_BYTES_MAX: usize = 512;

/// A header of VictoriaMetrics'. Asked for a range it looks back by the scrape interval that it guesses, asked for a moment by
/// five minutes (seen with 1.79): what ends, or has a gap, ends at another tick.
const LOOKS_BACK_BY_GUESS: &str = "x-server-hostname";

/// Bytes scanned between two yields; about a tenth of a millisecond when nothing is new, a few when all is.
const SCAN_BYTES_MAX: usize = 256 << 10;

/// When a query is evaluated.
#[derive(Debug, Clone, Copy)]
pub(super) enum At {
    Moment(Timestamp),
    Ticks(Span),
}

/// A query, as the API takes it.
#[derive(Debug)]
pub(super) struct Form<'a> {
    pub(super) query: &'a str,
    pub(super) at: At,
    pub(super) timeout: Duration,
}

/// A source's answer before its body is read.
pub(super) enum Answered {
    Success(Response),
    Refused(Response),
}

/// A question, and the head of what was answered to it.
pub(super) struct Begun {
    pub(super) began: Instant,
    /// Until the answer began, or it was known that there is none.
    pub(super) took: Duration,
    pub(super) answered: Result<Answered, Cause>,
}

impl Begun {
    pub(super) async fn of(asking: impl Future<Output = Result<Answered, Cause>>) -> Begun {
        let began = Instant::now();
        let answered = asking.await;
        Begun { began, took: began.elapsed(), answered }
    }

    /// Waits for the whole answer, as long as there is room for it.
    pub(super) async fn read_ahead(&mut self, timeout: Duration, is_room: impl FnMut(usize) -> bool) {
        if let Ok(Answered::Success(response)) = &mut self.answered
            && let Err(error) = response.read_ahead(is_room).await
        {
            self.answered = Err(http_error(error, timeout));
        }
    }

    /// It, unless there was no answer in time, of which nothing is left but to tell.
    pub(super) fn in_time(self, origin: &Origin) -> Result<Begun, Cause> {
        match self.answered {
            Err(cause @ Cause::Timeout(_)) => {
                tell(origin, self.began, Err(&cause));
                note(origin, Some(&cause), SystemTime::now().into());
                Err(cause)
            }
            answered => Ok(Begun { answered, ..self }),
        }
    }
}

/// Asks one query at these ticks and gives what comes to `rows`; the body's size in bytes.
pub(super) async fn ask(
    origin: &Origin,
    query: &str,
    ticks: Span,
    timeout: Duration,
    rows: &mut impl Rows,
) -> Result<u64, Cause> {
    finish(origin, begin(origin, query, ticks, timeout).await, ticks, timeout, rows).await
}

/// Asks one query at these ticks, and waits until its answer begins.
pub(super) async fn begin(origin: &Origin, query: &str, ticks: Span, timeout: Duration) -> Begun {
    let at = if ticks.is_one() { At::Moment(ticks.first().timestamp()) } else { At::Ticks(ticks) };
    let form = Form { query, at, timeout };
    Begun::of(send_form(origin, &form)).await
}

/// Gives what comes to `rows`; the body's size in bytes.
pub(super) async fn finish(
    origin: &Origin,
    begun: Begun,
    ticks: Span,
    timeout: Duration,
    rows: &mut impl Rows,
) -> Result<u64, Cause> {
    let Begun { began, answered, .. } = begun;
    let result = match answered {
        Ok(answered) => take(origin, answered, scanner(ticks), timeout, rows).await,
        Err(cause) => Err(cause),
    };
    tell(origin, began, result.as_ref().copied());
    // What is not to be had for several ticks at once is asked for tick by tick.
    if ticks.is_one() || result.is_ok() {
        note(origin, result.as_ref().err(), SystemTime::now().into());
    }
    result
}

/// Tells whoever observes the source what came of a question.
pub(super) fn tell(origin: &Origin, began: Instant, result: Result<u64, &Cause>) {
    origin.observer.tell(Asked { source: &origin.source, took: began.elapsed(), result });
}

/// Takes over how the source answered, and says when it begins to fail and when that is over.
pub(super) fn note(origin: &Origin, failure: Option<&Cause>, now: Timestamp) {
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

/// Asks one query, and waits until its answer begins.
pub(super) async fn send_form(origin: &Origin, form: &Form<'_>) -> Result<Answered, Cause> {
    let answered = send(origin, request(&origin.source, form)?, form.timeout).await?;
    if let Answered::Success(response) = &answered
        && response.headers.contains_key(LOOKS_BACK_BY_GUESS)
    {
        origin.ranges_differ.store(true, Ordering::Relaxed);
    }
    Ok(answered)
}

/// Gives what `scanner` finds in an answer to `rows`; the body's size in bytes.
pub(super) async fn take(
    origin: &Origin,
    answered: Answered,
    scanner: Scanner,
    timeout: Duration,
    rows: &mut impl Rows,
) -> Result<u64, Cause> {
    match answered {
        Answered::Success(response) => {
            read(response, scanner, timeout, origin.config.body_bytes_max, rows).await
        }
        Answered::Refused(response) => Err(refusal(response, scanner).await),
    }
}

/// Sends a request to a source, and looks at what the answer's head says of its clock.
pub(super) async fn send(
    origin: &Origin,
    request: Request<Bytes>,
    timeout: Duration,
) -> Result<Answered, Cause> {
    let timeouts =
        Timeouts { connect: timeout.min(Timeouts::default().connect), first_byte: timeout, whole: timeout };
    let sent = Timestamp::from(SystemTime::now());
    let response = origin.client.send(request, &timeouts).await.map_err(|e| http_error(e, timeout))?;
    let now = Timestamp::from(SystemTime::now());
    let date = response.headers.get(DATE).and_then(|date| date.to_str().ok());
    lock(&origin.health).seen(now, date.and_then(|date| skew_millis(date, sent, now)));
    Ok(match response.status.is_success() {
        true => Answered::Success(response),
        false => Answered::Refused(response),
    })
}

async fn read(
    mut response: Response,
    mut scanner: Scanner,
    timeout: Duration,
    bytes_max: u64,
    rows: &mut impl Rows,
) -> Result<u64, Cause> {
    let mut bytes = 0;
    while let Some(chunk) = response.chunk().await.map_err(|e| http_error(e, timeout))? {
        bytes += chunk.len() as u64;
        if bytes > bytes_max {
            return Err(Cause::BodyTooLarge { max: bytes_max });
        }
        for piece in chunk.chunks(SCAN_BYTES_MAX) {
            scanner.feed(piece, rows)?;
            tokio::task::yield_now().await;
        }
    }
    scanner.finish(rows)?;
    Ok(bytes)
}

/// What an answer with an error status says.
pub(super) async fn refusal(mut response: Response, scanner: Scanner) -> Cause {
    let (code, headers) = (response.status.as_u16(), std::mem::take(&mut response.headers));
    Cause::told(code, &headers, &response.excerpt(ERROR_BYTES_MAX).await, scanner)
}

impl Cause {
    /// What an answer with an error status says, of whose body this is the beginning.
    pub(crate) fn told(code: u16, headers: &HeaderMap, body: &[u8], mut scanner: Scanner) -> Cause {
        let scanned = scanner.feed(body, &mut Nothing).and_then(|()| scanner.finish(&mut Nothing));
        match scanned {
            // The limits that can pass are told by the status, not by the API's own error.
            Err(cause @ Cause::Query { .. }) if code != 429 => cause,
            _ => Cause::Status {
                code,
                body: excerpt(body, EXCERPT_BYTES_MAX),
                retry_after: retry_after(headers),
            },
        }
    }
}

fn scanner(ticks: Span) -> Scanner {
    if ticks.is_one() { Scanner::new(ticks.first()) } else { Scanner::of_range(ticks) }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

fn request(source: &Source, form: &Form<'_>) -> Result<Request<Bytes>, Cause> {
    let below = match form.at {
        At::Moment(_) => "query",
        At::Ticks(_) => "query_range",
    };
    let mut request = Request::post(address(&source.url, below)?)
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(ACCEPT, "application/json");
    if let Some(credentials) = basic_auth(&source.url) {
        request = request.header(AUTHORIZATION, credentials);
    }
    if source.compression == Compression::Gzip {
        request = request.header(ACCEPT_ENCODING, "gzip");
    }
    let body = Bytes::from(form.encode(source.series_max));
    request.body(body).map_err(|_| Cause::Unreachable(crate::http::Error::Address))
}

impl Form<'_> {
    fn encode(&self, series_max: usize) -> String {
        let Form { query, at, timeout } = self;
        let mut form =
            url::form_urlencoded::Serializer::new(String::with_capacity(query.len() * 3 / 2 + 128));
        form.append_pair("query", query);
        match at {
            At::Moment(time) => form.append_pair("time", &time.to_string()),
            At::Ticks(ticks) => form
                .append_pair("start", &ticks.first().to_string())
                .append_pair("end", &ticks.last().to_string())
                .append_pair("step", &ticks.interval().duration().as_secs_f64().to_string()),
        };
        form.append_pair("timeout", &format!("{}ms", timeout.as_millis()))
            .append_pair("limit", &(series_max.saturating_add(1)).to_string())
            // VictoriaMetrics otherwise evaluates a query of the last 30 s at another moment than the one it then stamps.
            .append_pair("nocache", "1")
            .finish()
    }
}

/// The address of what lies below the API of a source.
pub(super) fn address(base: &Url, below: &str) -> Result<Uri, Cause> {
    let uri = self::below(base, below).as_str().parse();
    uri.map_err(|_| Cause::Unreachable(crate::http::Error::Address))
}

/// What lies below the API of a source with this base address, without what may not go into a request's target.
pub(super) fn below(base: &Url, name: &str) -> Url {
    let mut url = base.clone();
    let path = format!("{}/api/v1/{name}", base.path().trim_end_matches('/'));
    url.set_path(&path);
    url.set_fragment(None);
    // Neither can fail: the address has a host, or the client refuses it.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url
}

/// Credentials that the operator wrote into the source's address.
pub(super) fn basic_auth(base: &Url) -> Option<String> {
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

    fn column(&mut self, _: &[u8], _: &[(usize, Sample)]) -> Result<(), Refusal> {
        Ok(())
    }

    fn window(&mut self, _: &[u8], _: Run<'_>, _: usize) -> Result<(), Refusal> {
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
            assert_eq!(below(&base.parse().unwrap(), "query").as_str(), target, "{base}");
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
