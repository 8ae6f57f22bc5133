//! Error: why a module's bytes did not come, whose turn it is, and whether asking again can help.

use std::io;
use std::time::Duration;

use crate::http;
use crate::model::guard::Forbidden;
use crate::model::{Digest, chain};

/// A module could not be had, or must not be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The program was built, or is configured, without such a source.
    #[error("{what} cannot be fetched: {why}")]
    Source {
        /// The origin.
        what: String,
        /// What is missing.
        why: &'static str,
    },
    /// The operator's list does not have it.
    #[error("{what} is not in filters.allow; ask the operator to add {host}")]
    NotAllowed {
        /// What was asked for.
        what: String,
        /// The host, as an entry would name it.
        host: String,
    },
    /// The operator's entry wants an encrypted connection.
    #[error(
        "{what} would be fetched in plain text; write https://, or ask the operator for plainHttp in filters.allow"
    )]
    PlainText {
        /// What was asked for.
        what: String,
    },
    /// A registry or server sends us where its entry does not reach.
    #[error(
        "{from} sends us to {to}, which filters.allow does not have; ask the operator to add {host} to redirects"
    )]
    Redirect {
        /// Where we were.
        from: String,
        /// What for, and where to.
        to: String,
        /// The host, as an entry would name it.
        host: String,
    },
    /// It goes round and round.
    #[error("{from} redirects more than {max} times")]
    Redirects {
        /// Where it began.
        from: String,
        /// The limit.
        max: usize,
    },
    /// A name leads where no module may come from.
    #[error("{address} is not dialled: {at} is in {range} ({name}); ask the operator to open it with networks in filters.allow", at = .source.address, range = .source.range, name = short(.source.name))]
    Forbidden {
        /// Scheme, host and port.
        address: String,
        /// The address it leads to, and the range that forbids it.
        #[source]
        source: Forbidden,
    },
    /// No usable answer.
    #[error(transparent)]
    Http(http::Error),
    /// The connections could not be set up.
    #[error("connections for modules cannot be set up: {0}")]
    Setup(#[source] http::Error),
    /// The server wants to know who we are, or does not let us.
    #[error("{what}: access is denied ({said}); {cure}")]
    Denied {
        /// What was asked for.
        what: String,
        /// What the server said.
        said: String,
        /// What to do about it.
        cure: &'static str,
    },
    /// An address whose path nobody needs to be so long, and takes long to be read in every way.
    #[error("an address at {host} has a path of more than {bytes_max} bytes; write a shorter one")]
    Long {
        /// Where.
        host: String,
        /// The limit.
        bytes_max: usize,
    },
    /// It is not there.
    #[error("{what} is not there: {said}; correct its name, or put it there first")]
    NotFound {
        /// What was asked for.
        what: String,
        /// What the server said.
        said: String,
    },
    /// The server cannot answer now.
    #[error("{what} cannot be had now: {said}")]
    Unavailable {
        /// What was asked for.
        what: String,
        /// What the server said.
        said: String,
        /// How long the server wants to be left alone.
        retry_after: Option<Duration>,
    },
    /// All of it together took too long.
    #[error("the module did not come within {} s", .0.as_secs())]
    Slow(Duration),
    /// The server's answer is not what the protocol says.
    #[error("{what}: the answer cannot be used: {why}")]
    Answer {
        /// What was asked for.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// What came is something else.
    #[error("{what} has digest {actual}, not {expected}: it was changed, or the digest is another version's")]
    Digest {
        /// What was fetched.
        what: String,
        /// What it must have.
        expected: Digest,
        /// What it has.
        actual: Digest,
    },
    /// More than a module may have.
    #[error("{what} has more than {bytes_max} bytes{}: make it smaller, or raise filters.maxModule", form(.unpacked))]
    TooLarge {
        /// What was fetched.
        what: String,
        /// The limit.
        bytes_max: usize,
        /// Whether it is so only after decompression.
        unpacked: bool,
    },
    /// An artefact of another kind.
    #[error("{what} holds no module: {why}")]
    Layout {
        /// The artefact.
        what: String,
        /// What it holds instead.
        why: String,
    },
    /// Nobody whom the operator trusts has signed it.
    #[error("{what} is not signed as filters.allow requires: {why}")]
    Unsigned {
        /// The artefact.
        what: String,
        /// What was looked for, and found.
        why: String,
    },
    /// A file of the operator's cannot be read.
    #[error("{path} cannot be read from the folder of modules: {source}")]
    File {
        /// As it was written.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file that is a way out of the folder.
    #[error("{path} leads out of the folder of modules; put the file itself there")]
    Outside {
        /// As it was written.
        path: String,
    },
    /// A pull secret that is none.
    #[error("the registries' credentials cannot be read: {0}")]
    Credentials(String),
}

/// What a range is, without the advice that is for those who name receivers.
fn short(name: &str) -> &str {
    name.split(':').next().unwrap_or(name)
}

fn form(unpacked: &bool) -> &'static str {
    if *unpacked { " when it is unpacked" } else { "" }
}

impl Error {
    /// Whether the same request may succeed later, with nothing changed on our side.
    pub fn is_transient(&self) -> bool {
        match self {
            Error::Http(error) => error.is_transient(),
            Error::Unavailable { .. } | Error::Slow(_) | Error::File { .. } => true,
            // A tag that is pushed, a right that is given, a signature that is added: somebody else may be at work.
            Error::Denied { .. } | Error::NotFound { .. } | Error::Unsigned { .. } => true,
            _ => false,
        }
    }

    /// How long the server wants to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Error::Unavailable { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    pub(super) fn of_layout(what: impl Into<String>, why: impl Into<String>) -> Error {
        Error::Layout { what: what.into(), why: why.into() }
    }

    pub(super) fn of_answer(what: impl Into<String>, why: &(dyn std::error::Error + 'static)) -> Error {
        Error::Answer { what: what.into(), why: chain(why) }
    }
}

/// What the client refuses is told in the words of this room: whoever reads them mends another part of the configuration.
impl From<http::Error> for Error {
    fn from(error: http::Error) -> Error {
        match error {
            http::Error::Forbidden { address, source } => Error::Forbidden { address, source },
            error => Error::Http(error),
        }
    }
}
