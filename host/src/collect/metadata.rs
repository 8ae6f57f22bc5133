//! Metadata: what a source says of its metrics, asked for rarely and shared by all who ask.
//!
//! In: that somebody wants it. Out: what is known now; and, when it is time, one request beside everything else.
//! Never: somebody who waits for it; a source called ill because it does not say; more kept than a fixed maximum; an answer thrown away
//! because it says too much.

mod entries;
mod reading;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION};
use http::{Request, Uri};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::lock;
use super::origin::Origin;
use super::request::{basic_auth, below};
use crate::http::Timeouts;
use crate::model::Metadata;
use reading::Reading;

/// It changes when programs do: help and types are asked for again so often.
const AGE_MAX: Duration = Duration::from_secs(300);

/// A metric that nobody said anything of may be a new one. Many have no metadata at all, so not at each.
const AGE_MIN: Duration = Duration::from_secs(30);

/// So much of an answer is read: three hundred thousand metrics at 200 bytes each.
const BODY_BYTES_MAX: usize = 64 << 20;

/// So much is read between two yields: a millisecond's.
const PIECE_BYTES: usize = 64 << 10;

/// A source that takes longer is asked again later.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Answers read at once, over all sources: of each a metric is held while it is read, and it takes the processor.
const READ_AT_ONCE_MAX: usize = 2;

/// How much somebody wants to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Curiosity {
    /// What is known is enough, as long as it is not old.
    Idle,
    /// There is a metric that nothing is known of.
    Awake,
}

/// What is known of one source's metrics.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    newest: Arc<Metadata>,
    asked_at: Option<Instant>,
    /// Whether it was told that there is more than is kept.
    told: bool,
}

/// What an answer says, and how much of it is not kept.
#[derive(Debug)]
struct Answer {
    metadata: Metadata,
    left_out: usize,
    /// Whether its end was not read.
    is_cut: bool,
}

/// Turns to read answers in, for all sources.
#[derive(Debug, Clone)]
pub(super) struct Turns(Arc<Semaphore>);

impl Default for Turns {
    fn default() -> Turns {
        Turns(Arc::new(Semaphore::new(READ_AT_ONCE_MAX)))
    }
}

/// What is known, at once. If it is time, the source is asked; what it says is known the next time.
pub(super) fn known(origin: &Arc<Origin>, curiosity: Curiosity) -> Arc<Metadata> {
    let mut state = lock(&origin.metadata.0);
    if is_due(state.asked_at, curiosity, Instant::now()) {
        state.asked_at = Some(Instant::now());
        // It ends within its timeout, and nobody waits for it.
        tokio::spawn(refresh(origin.clone()));
    }
    state.newest.clone()
}

fn is_due(asked_at: Option<Instant>, curiosity: Curiosity, now: Instant) -> bool {
    let age = asked_at.map_or(Duration::MAX, |at| now.duration_since(at));
    age >= if curiosity == Curiosity::Awake { AGE_MIN } else { AGE_MAX }
}

async fn refresh(origin: Arc<Origin>) {
    let source = &origin.source.name;
    match tokio::time::timeout(TIMEOUT, asked(&origin)).await {
        Ok(Ok(answer)) => learn(&origin, answer),
        // Samples are worth more than what is said of them: without it they are sent all the same.
        Ok(Err(error)) => debug!(%source, %error, "A source does not say what its metrics are"),
        Err(_) => debug!(%source, "A source does not say in time what its metrics are"),
    }
}

fn learn(origin: &Origin, answer: Answer) {
    let Answer { metadata, left_out, is_cut } = answer;
    let mut state = lock(&origin.metadata.0);
    let is_too_much = left_out > 0 || is_cut;
    if is_too_much && !state.told {
        let (source, kept) = (&origin.source.name, metadata.len());
        warn!(%source, kept, left_out, is_cut, "A source says more of its metrics than there is room for; series of the others go without type, help and unit");
    }
    state.told = is_too_much;
    // The same as before is the very same, so that whoever has it sees that nothing has changed.
    if *state.newest != metadata {
        state.newest = Arc::new(metadata);
    }
}

/// Why there is no metadata; for the log alone.
#[derive(Debug, thiserror::Error)]
enum Unsaid {
    #[error(transparent)]
    Http(#[from] crate::http::Error),
    #[error("its address is none: {0}")]
    Address(#[from] http::Error),
    #[error("it answered with HTTP status {0}")]
    Status(http::StatusCode),
    #[error("its answer is not what /api/v1/metadata answers: {0}")]
    Malformed(#[from] reading::Error),
}

async fn asked(origin: &Origin) -> Result<Answer, Unsaid> {
    let _turn = origin.turns.0.acquire().await.expect("it is never closed");
    let mut request = Request::get(uri(origin)?).header(ACCEPT, "application/json");
    if let Some(credentials) = basic_auth(&origin.source.url) {
        request = request.header(AUTHORIZATION, credentials);
    }
    let timeouts = Timeouts { connect: TIMEOUT, first_byte: TIMEOUT, whole: TIMEOUT };
    let mut response = origin.client.send(request.body(Bytes::new())?, &timeouts).await?;
    if !response.status.is_success() {
        return Err(Unsaid::Status(response.status));
    }
    let mut reading = Reading::paid_by(origin.memory.hold_shared());
    let (mut bytes, mut is_cut) = (0, false);
    while let Some(chunk) = response.chunk().await? {
        let chunk = &chunk[..chunk.len().min(BODY_BYTES_MAX - bytes)];
        bytes += chunk.len();
        for piece in chunk.chunks(PIECE_BYTES) {
            reading.feed(piece)?;
            tokio::task::yield_now().await;
        }
        is_cut = bytes == BODY_BYTES_MAX;
        if is_cut {
            break;
        }
    }
    let (metadata, left_out) = reading.finish(is_cut)?;
    Ok(Answer { metadata, left_out, is_cut })
}

fn uri(origin: &Origin) -> Result<Uri, http::Error> {
    let mut url = below(&origin.source.url, "metadata");
    // Who knows it need not list what is said differently in several places; others ignore it.
    url.query_pairs_mut().append_pair("limit_per_metric", "2");
    Ok(url.as_str().parse::<Uri>()?)
}
