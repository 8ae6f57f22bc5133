//! What can go wrong while delivering, and what it means for the next attempt.

use std::path::PathBuf;
use std::time::Duration;

use ::http::StatusCode;

use super::Version;
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
    #[error(
        "the receiver answered {status}{}; check basicAuth, bearerTokenSecret, tls and headers of the target",
        said(message)
    )]
    Unauthorized {
        /// 401 or 403.
        status: StatusCode,
        /// The start of the answer's body, cleaned.
        message: String,
    },
    /// It speaks TLS, and was spoken to without.
    #[error("the receiver speaks TLS: write https:// in place of http://")]
    Cleartext,
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
    /// The receiver takes no native histograms, and none of what stands beside them.
    #[error(
        "the receiver takes no native histograms{}; a Prometheus takes them with --enable-feature=native-histograms",
        said(message)
    )]
    Histograms {
        /// The start of the answer's body, cleaned.
        message: String,
    },
    /// The receiver wrote some of a request that it refused.
    #[error("{source}; of its {samples} samples it wrote {written}")]
    Partial {
        /// How many it wrote, by its own word.
        written: u64,
        /// How many there were.
        samples: usize,
        /// What it refused the request with.
        source: Box<Error>,
    },
    /// A success of which the receiver says that it was none of all samples.
    #[error("the receiver answered {status}, and says that it wrote {written} of {samples} samples")]
    Short {
        /// 2xx.
        status: StatusCode,
        /// How many it wrote, by its own word.
        written: u64,
        /// How many there were.
        samples: usize,
    },
    /// 415, or a success of a receiver that took 2.0 for 1.0 and so found nothing to write.
    #[error(
        "the receiver does not take remote write {version}: it answered {status}{}{}; write protocol: {}",
        unsaid(*status),
        said(message),
        other(*version)
    )]
    Unsupported {
        /// Which version it was sent.
        version: Version,
        /// 415, or 2xx.
        status: StatusCode,
        /// The start of the answer's body, cleaned.
        message: String,
    },
    /// The same is to be sent in another version.
    #[error("{source}; it is sent in remote write {version} now")]
    InOther {
        /// In which.
        version: Version,
        /// What the receiver said to the version before.
        source: Box<Error>,
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
        let of_the_address =
            matches!(self, Error::Http(http::Error::Forbidden { .. } | http::Error::Secret { .. }));
        of_the_address
            || matches!(
                self,
                Error::Unauthorized { .. }
                    | Error::NotFound { .. }
                    | Error::Cleartext
                    | Error::Redirected { .. }
                    | Error::Unsupported { .. }
            )
    }

    /// Whether the request was refused for something in it, or for its size: sent in parts, some of it may be taken.
    /// 409 is what Thanos says of samples that are out of order, 500 what Prometheus says of those that are older than its window, and
    /// Prometheus 2 of native histograms that are no good to it.
    pub fn is_about_content(&self) -> bool {
        match self {
            Error::Refused { status, .. } => matches!(status.as_u16(), 400 | 409 | 413 | 422 | 500),
            Error::Histograms { .. } => true,
            Error::Partial { source, .. } => source.is_about_content(),
            _ => false,
        }
    }

    /// How many of the request's samples the receiver wrote all the same, if it says so.
    pub fn written(&self) -> usize {
        match self {
            Error::Partial { written, samples, .. } | Error::Short { written, samples, .. } => {
                usize::try_from(*written).unwrap_or(usize::MAX).min(*samples)
            }
            _ => 0,
        }
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
            | Error::Short { status, .. }
            | Error::Unsupported { status, .. }
            | Error::Refused { status, .. } => Some(*status),
            Error::NotFound { .. } => Some(StatusCode::NOT_FOUND),
            Error::Cleartext => Some(StatusCode::BAD_REQUEST),
            Error::Stopped(source)
            | Error::GaveUp { source, .. }
            | Error::Partial { source, .. }
            | Error::InOther { source, .. } => source.status(),
            Error::Http(_)
            | Error::Url { .. }
            | Error::Header { .. }
            | Error::GroupTooLarge { .. }
            | Error::Histograms { .. }
            | Error::CutOff
            | Error::State { .. } => None,
        }
    }
}

fn unsaid(status: StatusCode) -> &'static str {
    if status.is_success() { ", and does not say that it wrote anything" } else { "" }
}

fn other(version: Version) -> &'static str {
    match version {
        Version::V1 => "auto, or \"2.0\"",
        Version::V2 => "auto, or \"1.0\"",
    }
}

fn said(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}
