//! What can go wrong while delivering, and what it means for the next attempt.

use std::path::PathBuf;
use std::time::Duration;

use ::http::StatusCode;

use crate::http;

/// A delivery that was not acknowledged, or a sink that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No answer.
    #[error(transparent)]
    Http(#[from] http::Error),
    /// 5xx or 429: the receiver may take the same request later.
    #[error("the receiver answered {status}{}", said(message))]
    Unavailable {
        /// 429 or 5xx.
        status: StatusCode,
        /// How long the receiver asks us to wait.
        retry_after: Option<Duration>,
        /// The start of the answer's body, cleaned.
        message: String,
    },
    /// 401 or 403.
    #[error("the receiver answered {status}{}; check basicAuth and headers of the target", said(message))]
    Unauthorized {
        /// 401 or 403.
        status: StatusCode,
        /// The start of the answer's body, cleaned.
        message: String,
    },
    /// 404: a Prometheus without the flag answers so, and any server at a wrong path.
    #[error(
        "the receiver answered 404 Not Found{}; check the URL's path; a Prometheus receives only with \
         --web.enable-remote-write-receiver",
        said(message)
    )]
    NotFound {
        /// The start of the answer's body, cleaned.
        message: String,
    },
    /// 3xx: redirects are not followed.
    #[error(
        "the receiver answered {status}, a redirect to {location:?}, which is not followed; write the final URL"
    )]
    Redirected {
        /// 3xx.
        status: StatusCode,
        /// Where to, cleaned.
        location: String,
    },
    /// Any other status: the receiver will not take this request, however often it is sent.
    #[error("the receiver refused the request with {status}{}", said(message))]
    Refused {
        /// Mostly 400.
        status: StatusCode,
        /// The start of the answer's body, cleaned.
        message: String,
    },
    /// The endpoint's address cannot be sent to.
    #[error("the target's URL {url:?} cannot be used: {cause}")]
    Url {
        /// Without credentials.
        url: String,
        /// What is wrong, and what to write instead.
        cause: &'static str,
    },
    /// A header of the endpoint cannot be sent.
    #[error("header {name:?} of the target cannot be used: {cause}")]
    Header {
        /// As it was written.
        name: String,
        /// What is wrong, and what to write instead.
        cause: &'static str,
    },
    /// A Pushgateway group is replaced as a whole and so cannot be split.
    #[error(
        "the group takes more than {bytes_max} bytes; a Pushgateway group is one request, so select fewer series or \
         use a remote-write target"
    )]
    GroupTooLarge {
        /// The limit.
        bytes_max: usize,
    },
    /// We are stopping; the last attempt failed.
    #[error("stopped before the receiver took it; the last attempt: {0}")]
    Stopped(#[source] Box<Error>),
    /// We are stopping, and the receiver has not answered in time.
    #[error("the receiver had not answered yet")]
    CutOff,
    /// Too late to be of use to the receiver.
    #[error("given up after {attempts} attempts; the last: {source}")]
    GaveUp {
        /// How many times it was sent.
        attempts: u32,
        /// What the last attempt said.
        source: Box<Error>,
    },
    /// The cursor file cannot be read or written.
    #[error("the state file {}: {source}", path.display())]
    State {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl Error {
    /// Whether the same request may be taken later.
    pub fn is_transient(&self) -> bool {
        match self {
            Error::Http(error) => error.is_transient(),
            Error::Unavailable { .. } => true,
            _ => false,
        }
    }

    /// Whether somebody has to mend the endpoint first: refused credentials, a wrong or forbidden address, a receiver
    /// that is not enabled. Nothing is wrong with what was sent.
    pub fn is_to_be_mended(&self) -> bool {
        let forbidden = matches!(self, Error::Http(http::Error::Forbidden { .. }));
        forbidden
            || matches!(self, Error::Unauthorized { .. } | Error::NotFound { .. } | Error::Redirected { .. })
    }

    /// How long the receiver asks us to wait before the next attempt.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Error::Unavailable { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// The status of the receiver's answer, if it gave one.
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Error::Unavailable { status, .. }
            | Error::Unauthorized { status, .. }
            | Error::Redirected { status, .. }
            | Error::Refused { status, .. } => Some(*status),
            Error::NotFound { .. } => Some(StatusCode::NOT_FOUND),
            Error::Stopped(source) | Error::GaveUp { source, .. } => source.status(),
            Error::Http(_)
            | Error::Url { .. }
            | Error::Header { .. }
            | Error::GroupTooLarge { .. }
            | Error::CutOff
            | Error::State { .. } => None,
        }
    }
}

fn said(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}
