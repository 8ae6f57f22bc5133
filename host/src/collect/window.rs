//! Window: all samples that a source has stored in some time, from the question to rows in the table.
//!
//! In: matchers and a window. Out: the samples, and how their series' ends are told. Never: an answer held that nobody pays for; a source
//! asked again and again for what it cannot do.
//!
//! By remote read, which has the samples as they are stored, stale markers included. A source without it is asked with a query,
//! `selector[window]`, which hides them.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::Request;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE};
use sluice_filter::selector::MatchOp;
use tracing::{info, warn};

use super::forms::{Forms, Known};
use super::origin::Origin;
use super::plan::Shape;
use super::read::{self, Form, Frames, Samples, Silence, Window};
use super::request::{self, Answered};
use super::scan::Scanner;
use super::stream::Ends;
use super::table::Table;
use super::{Cause, http_error, lock};
use crate::http::Response;
use crate::model::memory::Held;
use crate::model::{METRIC_NAME, Timestamp};

/// How long a source that has no remote read is not asked for it again: it may be replaced by another version.
const UNREAD_FOR: Duration = Duration::from_secs(600);

/// The largest answer with plain samples, compressed or not: it has to be there whole before it can be read.
const SAMPLES_BYTES_MAX: usize = 256 << 20;

/// Room for an answer is paid for so many bytes at a time.
const PAID_AT_ONCE: usize = 1 << 20;

/// Series read between two yields take about so many bytes of an answer.
const READ_BYTES_MAX: usize = 256 << 10;

const STREAM: &str = "application/x-streamed-protobuf";
const PROTOBUF: &str = "application/x-protobuf";

/// A question for a window, and the head of what was answered to it.
pub(super) struct Begun {
    asked: Asked,
    begun: request::Begun,
}

impl Begun {
    /// As of [`request::Begun`].
    pub(super) fn took(&self) -> Duration {
        self.begun.took
    }

    /// As [`request::Begun::read_ahead`].
    pub(super) async fn read_ahead(&mut self, timeout: Duration, is_room: impl FnMut(usize) -> bool) {
        self.begun.read_ahead(timeout, is_room).await;
    }

    /// As [`request::Begun::in_time`].
    pub(super) fn in_time(self, origin: &Origin) -> Result<Begun, Cause> {
        Ok(Begun { begun: self.begun.in_time(origin)?, ..self })
    }
}

/// How a window is asked for.
#[derive(Debug, Clone, Copy)]
enum Asked {
    /// By remote read, in the form that is known to be good.
    Read(Option<Known>),
    /// By a query of a range.
    Query,
}

/// Asks for what these values have in the window, and waits until the answer begins.
pub(super) async fn begin(
    origin: &Origin,
    (shape, forms): (&Shape, &Forms),
    values: &[Arc<str>],
    window: Window,
    timeout: Duration,
) -> Begun {
    if can_read(origin) && !forms.is_unread(values) {
        let (known, conditions) =
            (forms.known(values), shape.conditions(values, &origin.source.external_labels));
        let sending = send(origin, known, &conditions, window, timeout);
        return Begun { asked: Asked::Read(known), begun: request::Begun::of(sending).await };
    }
    let selector = shape.query(values);
    let sending = query(origin, &selector, window, timeout);
    Begun { asked: Asked::Query, begun: request::Begun::of(sending).await }
}

/// Puts what comes into the table: the body's size in bytes, and how it tells ends.
pub(super) async fn finish(
    origin: &Origin,
    begun: Begun,
    (shape, forms): (&Shape, &Forms),
    values: &[Arc<str>],
    window: Window,
    timeout: Duration,
    table: &mut Table,
) -> Result<(u64, Ends), Cause> {
    let Begun { asked, begun: request::Begun { began, mut answered, .. } } = begun;
    if let Asked::Read(known) = asked {
        let conditions = shape.conditions(values, &origin.source.external_labels);
        let read = Read { forms, values, conditions: &conditions, window, timeout };
        match read.all(origin, (known, answered), table).await {
            Err(cause) if is_unknown(&cause) => {
                let unread = unread(origin, (forms, values), cause, timeout).await;
                unread.or_else(|cause| told(origin, began, Err(cause)).map(drop))?;
                table.roll_back();
            }
            read => return told(origin, began, read).map(|bytes| (bytes, Ends::Marked)),
        }
        answered = query(origin, &shape.query(values), window, timeout).await;
    }
    let asked = match answered {
        Ok(answered) => request::take(origin, answered, Scanner::of_window(window), timeout, table).await,
        Err(cause) => Err(cause),
    };
    told(origin, began, asked).map(|bytes| (bytes, Ends::Absent))
}

fn told(origin: &Origin, began: Instant, asked: Result<u64, Cause>) -> Result<u64, Cause> {
    request::tell(origin, began, asked.as_ref().copied());
    request::note(origin, asked.as_ref().err(), SystemTime::now().into());
    asked
}

fn can_read(origin: &Origin) -> bool {
    lock(&origin.unread_until).is_none_or(|until| until <= tokio::time::Instant::now())
}

fn cannot_read(origin: &Origin, cause: &Cause) {
    let until = tokio::time::Instant::now() + UNREAD_FOR;
    if lock(&origin.unread_until).replace(until).is_none() {
        let source = &origin.source.name;
        info!(%source, %cause, "A source has no remote read: its samples are asked for by queries, and ends without stale markers");
    }
}

/// Whether that is how servers answer that do not know remote read: they have no such page, or another one.
fn is_unknown(cause: &Cause) -> bool {
    match cause {
        Cause::Status { code, .. } => matches!(code, 400 | 403..=406 | 415 | 501),
        Cause::Unread { .. } => true,
        Cause::Query { error_type, .. } => matches!(&**error_type, "not_found" | "404" | "400"),
        _ => false,
    }
}

/// Finds out what a refusal means: that the source has no remote read, or does not let these values be read. `Err`: they are not to be asked
/// for by a query either.
async fn unread(
    origin: &Origin,
    (forms, values): (&Forms, &[Arc<str>]),
    refusal: Cause,
    timeout: Duration,
) -> Result<(), Cause> {
    match reads_at_all(origin, timeout).await {
        Err(unknown) if is_unknown(&unknown) => cannot_read(origin, &unknown),
        Err(failed) => return Err(failed),
        // It is one of them, and they are asked for apart.
        Ok(()) if values.len() > 1 => return Err(refusal),
        Ok(()) => forms.refused(values),
    }
    Ok(())
}

/// Asks for what nobody has: whether the source has remote read must not hang on what some tenant wants of it.
async fn reads_at_all(origin: &Origin, timeout: Duration) -> Result<(), Cause> {
    let nothing = [read::Condition {
        name: METRIC_NAME.to_owned(),
        op: MatchOp::Equal,
        value: "sluice:nothing".to_owned(),
    }];
    let now = Timestamp::from(SystemTime::now());
    let window = Window { since: now.minus(Duration::from_millis(1)), until: now };
    let answered = send(origin, None, &nothing, window, timeout).await?;
    content_type(&accepted(answered, window).await?).map(drop)
}

/// What is asked of remote read.
struct Read<'a> {
    forms: &'a Forms,
    values: &'a [Arc<str>],
    conditions: &'a [read::Condition],
    window: Window,
    timeout: Duration,
}

/// What came of an answer to remote read.
struct Had {
    bytes: u64,
    /// Series came that have nothing, of which the source may have something in another form.
    is_silent: bool,
}

impl Read<'_> {
    /// Puts what comes into the table, whose answer in the first form has begun; the body's size in bytes.
    async fn all(
        &self,
        origin: &Origin,
        (mut known, mut answered): (Option<Known>, Result<Answered, Cause>),
        table: &mut Table,
    ) -> Result<u64, Cause> {
        let Read { forms, values, conditions, window, timeout } = *self;
        loop {
            let read = match answered {
                Ok(answered) => self.take(origin, known, answered, table).await,
                Err(cause) => Err(cause),
            };
            let then = match &read {
                Ok(had) => forms.had(values, known, had.is_silent),
                Err(cause) => forms.failed(values, known, cause),
            };
            let Some(then) = then else { return read.map(|had| had.bytes) };
            if let (Err(cause), Known::Floats) = (&read, then) {
                let source = &origin.source.name;
                warn!(%source, %cause, "A source fails at its native histograms: they are left out for a while");
            }
            known = Some(then);
            table.roll_back();
            answered = send(origin, known, conditions, window, timeout).await;
        }
    }

    async fn take(
        &self,
        origin: &Origin,
        known: Option<Known>,
        answered: Answered,
        table: &mut Table,
    ) -> Result<Had, Cause> {
        let Read { window, timeout, .. } = *self;
        let response = accepted(answered, window).await?;
        match content_type(&response)? {
            ContentType::Stream => {
                let bytes = streamed(origin, response, window, timeout, table).await?;
                Ok(Had { bytes, is_silent: false })
            }
            ContentType::Block => plain(origin, response, (window, known), timeout, table).await,
        }
    }
}

/// How an answer comes.
enum ContentType {
    /// In chunks, frame by frame.
    Stream,
    /// As samples, in one block.
    Block,
}

fn content_type(response: &Response) -> Result<ContentType, Cause> {
    let kind = response.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match &*kind {
        STREAM => Ok(ContentType::Stream),
        PROTOBUF => Ok(ContentType::Block),
        _ => Err(Cause::Unread { content_type: super::text::excerpt(kind.as_bytes(), 64) }),
    }
}

/// Sends the question.
async fn send(
    origin: &Origin,
    known: Option<Known>,
    conditions: &[read::Condition],
    window: Window,
    timeout: Duration,
) -> Result<Answered, Cause> {
    let uri = request::address(&origin.source.url, "read")?;
    let mut request = Request::post(uri)
        .header(CONTENT_TYPE, PROTOBUF)
        .header(CONTENT_ENCODING, "snappy")
        .header(ACCEPT_ENCODING, "snappy")
        .header("x-prometheus-remote-read-version", "0.1.0");
    if let Some(credentials) = request::basic_auth(&origin.source.url) {
        request = request.header(http::header::AUTHORIZATION, credentials);
    }
    let body = Bytes::from(read::request(conditions, window, known.map(Form::from)));
    let request = request.body(body).map_err(|_| Cause::Unreachable(crate::http::Error::Address))?;
    request::send(origin, request, timeout).await
}

/// The answer, if it is one.
async fn accepted(answered: Answered, window: Window) -> Result<Response, Cause> {
    match answered {
        Answered::Success(response) => Ok(response),
        Answered::Refused(response) => Err(request::refusal(response, Scanner::of_window(window)).await),
    }
}

/// Reads chunks, frame by frame, while they arrive.
async fn streamed(
    origin: &Origin,
    mut response: Response,
    window: Window,
    timeout: Duration,
    table: &mut Table,
) -> Result<u64, Cause> {
    let (mut frames, mut held) = (Frames::new(window), origin.memory.hold_shared());
    let mut bytes = 0;
    while let Some(chunk) = response.chunk().await.map_err(|e| http_error(e, timeout))? {
        bytes = counted(origin, bytes, chunk.len())?;
        pay(table, &mut held, frames.carried() + chunk.len())?;
        for piece in chunk.chunks(READ_BYTES_MAX) {
            frames.feed(piece, table)?;
            tokio::task::yield_now().await;
        }
    }
    frames.finish()?;
    Ok(bytes)
}

/// Reads samples, which are one block.
async fn plain(
    origin: &Origin,
    mut response: Response,
    (window, known): (Window, Option<Known>),
    timeout: Duration,
    table: &mut Table,
) -> Result<Had, Cause> {
    let mut held = origin.memory.hold_shared();
    let mut block = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| http_error(e, timeout))? {
        counted(origin, block.len() as u64, chunk.len())?;
        let len = block.len() + chunk.len();
        if len > SAMPLES_BYTES_MAX {
            return Err(Cause::BodyTooLarge { max: SAMPLES_BYTES_MAX as u64 });
        }
        // It grows to twice its size.
        pay(table, &mut held, 2 * len)?;
        block.extend_from_slice(&chunk);
    }
    let broken = |_| Cause::Malformed { position: 0, what: "expected a snappy block" };
    let len = snap::raw::decompress_len(&block).map_err(broken)?;
    if len > SAMPLES_BYTES_MAX {
        return Err(Cause::BodyTooLarge { max: SAMPLES_BYTES_MAX as u64 });
    }
    pay(table, &mut held, 2 * block.len() + len)?;
    let bytes = block.len() as u64;
    // It takes its time, and others are asked meanwhile; whoever does not wait for it any more pays until it is done.
    let decompress = move || (snap::raw::Decoder::new().decompress_vec(&block), held);
    let done = tokio::task::spawn_blocking(decompress).await;
    let (answer, _held) =
        done.map_err(|_| Cause::Malformed { position: 0, what: "it was not decompressed to its end" })?;
    let answer = answer.map_err(broken)?;
    let silence = if known == Some(Known::Floats) { Silence::Histograms } else { Silence::Nothing };
    let mut samples = Samples::new(&answer, window, silence);
    while samples.read(READ_BYTES_MAX, table)? {
        tokio::task::yield_now().await;
    }
    Ok(Had { bytes, is_silent: samples.silent > 0 })
}

fn counted(origin: &Origin, bytes: u64, more: usize) -> Result<u64, Cause> {
    let (bytes, max) = (bytes + more as u64, origin.config.body_bytes_max);
    if bytes > max { Err(Cause::BodyTooLarge { max }) } else { Ok(bytes) }
}

fn pay(table: &Table, held: &mut Held, bytes: usize) -> Result<(), Cause> {
    let due = bytes.next_multiple_of(PAID_AT_ONCE);
    table.pay(held, due.saturating_sub(held.bytes())).map_err(Cause::Memory)
}

/// Asks with a query of a range.
async fn query(
    origin: &Origin,
    selector: &str,
    window: Window,
    timeout: Duration,
) -> Result<Answered, Cause> {
    let Window { since, until } = window;
    // A range is open at its beginning in newer servers and closed in older ones: what is too old is left out here.
    let range = until.since(since);
    let query = format!("{selector}[{}ms]", range.as_millis());
    let form = request::Form { query: &query, at: request::At::Moment(until), timeout };
    request::send_form(origin, &form).await
}
