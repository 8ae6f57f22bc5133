//! Error: why a tick was not collected.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::model::SourceName;
use crate::model::memory::Full;

/// A tick was not collected from one source. Nothing of it may be used, and no stale marker concluded from it.
/// Cheap to clone: pipelines that waited for one request share its failure.
#[derive(Debug, Clone)]
pub struct Error {
    /// The source that was asked.
    pub server: SourceName,
    /// What went wrong.
    pub cause: Arc<Cause>,
}

/// What went wrong when a source was asked.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// Discovery says that nothing of the source is left at its address. It was not asked.
    #[error("has no address in the cluster now: its ticks wait until it has one again")]
    Gone,
    /// No answer, or one that broke off.
    #[error("cannot be reached: {0}")]
    Unreachable(#[source] crate::http::Error),
    /// No complete answer in time.
    #[error("no complete answer within {} s", .0.as_secs_f64())]
    Timeout(Duration),
    /// An HTTP status other than success, without the query API's own error.
    #[error("answered with HTTP status {code}: {body}")]
    Status {
        /// The status.
        code: u16,
        /// The beginning of the body.
        body: String,
        /// What the server asks us to wait.
        retry_after: Option<Duration>,
    },
    /// The query API's own error.
    #[error("refused the query ({error_type}): {message}")]
    Query {
        /// `bad_data`, `execution`, `timeout`, …
        error_type: String,
        /// The server's words, shortened.
        message: String,
    },
    /// The source says that something is missing.
    #[error("answered with a part only: {}", .0.join("; "))]
    Partial(Vec<String>),
    /// More series than the source's maximum.
    #[error("more than {max} series: narrow the patterns, or raise the source's series maximum")]
    TooManySeries {
        /// The source's maximum for one query.
        max: usize,
    },
    /// More series than whoever asked may have in memory.
    #[error(transparent)]
    Memory(#[from] Full),
    /// A larger body than is read.
    #[error("an answer of more than {max} bytes: narrow the patterns")]
    BodyTooLarge {
        /// The maximum, in bytes.
        max: u64,
    },
    /// A tick that is still to come by the source's clock.
    #[error(
        "its clock is {seconds} s behind ours, and by it this tick is still to come; set the clocks right, or give the \
         source a longer lag"
    )]
    ClockBehind {
        /// How far.
        seconds: u64,
    },
    /// Remote read was answered with something else.
    #[error("answers remote read with {content_type:?}")]
    Unread {
        /// The answer's content type.
        content_type: String,
    },
    /// Remote read was answered with chunks of a form that is not known.
    #[error("answers remote read with chunks of an encoding that is newer than this version of Sluice")]
    Encoding,
    /// An answer that is not the query API's.
    #[error("not an answer of the query API: {what} (at byte {position} of the body)")]
    Malformed {
        /// Where in the body, in bytes.
        position: u64,
        /// What was expected there.
        what: &'static str,
    },
}

impl Error {
    /// Whether the same question may be answered later.
    pub fn is_transient(&self) -> bool {
        self.cause.is_transient()
    }

    /// Whether it is for want of memory: then not the source failed, but who asks for so much.
    pub fn full(&self) -> Option<Full> {
        match &*self.cause {
            Cause::Memory(full) => Some(*full),
            _ => None,
        }
    }

    /// How long the source asks us to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match &*self.cause {
            Cause::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

impl Cause {
    /// Whether the same question may be answered later. A malformed answer counts: it comes from a proxy's error page or
    /// a broken connection far more often than from a server that never answers otherwise.
    pub fn is_transient(&self) -> bool {
        match self {
            Cause::Unreachable(cause) => cause.is_transient(),
            Cause::Gone | Cause::Timeout(_) | Cause::Partial(_) | Cause::Malformed { .. } => true,
            Cause::Unread { .. } | Cause::Encoding => true,
            Cause::ClockBehind { .. } => true,
            Cause::Status { code, .. } => *code >= 500 || matches!(*code, 408 | 425 | 429),
            Cause::Query { error_type, .. } => !is_final(error_type),
            Cause::TooManySeries { .. } | Cause::BodyTooLarge { .. } | Cause::Memory(_) => false,
        }
    }

    /// Whether asking for less could help: then a merged query is split, until the culprit stands alone.
    pub(super) fn may_be_its_size(&self) -> bool {
        let timeout = match self {
            Cause::Query { error_type, .. } => error_type == "timeout",
            Cause::Timeout(_) => true,
            _ => false,
        };
        timeout || !self.is_transient()
    }

    /// Whether something in what was asked for may be why this is the answer, though it may as well be the source: then it is found out
    /// whether others who are asked for beside it have theirs.
    pub(super) fn may_be_the_question(&self) -> bool {
        match self {
            Cause::Malformed { .. } | Cause::Encoding | Cause::Unread { .. } | Cause::Partial(_) => true,
            // What stands before a source says so of one slow query as well.
            Cause::Status { code, .. } => *code >= 500 || *code == 429,
            Cause::Unreachable(cause) => cause.is_of_an_answer(),
            Cause::Query { error_type, .. } => {
                matches!(&**error_type, "internal" | "canceled" | "unavailable")
            }
            _ => false,
        }
    }

    /// Whether the source itself is to blame, rather than what it was asked.
    pub(super) fn is_the_sources(&self) -> bool {
        self.is_transient()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "source {}: {}", self.server, self.cause)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause.source()
    }
}

/// Error types by which the same query fails again. VictoriaMetrics writes the status in their place.
fn is_final(error_type: &str) -> bool {
    matches!(error_type, "bad_data" | "execution" | "not_acceptable" | "not_found" | "400" | "422")
}
