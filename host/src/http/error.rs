//! What can go wrong between us and a server, in words a person can act on.

use std::error::Error as StdError;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use hyper_util::client::legacy;

use super::route;
use crate::model::guard::Forbidden;

type Cause = Box<dyn StdError + Send + Sync>;

/// The part of an exchange that took too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Name, connection, handshake.
    Connect,
    /// Sending the request and waiting for the answer's head.
    FirstByte,
    /// The answer's body.
    Body,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Phase::Connect => "no connection",
            Phase::FirstByte => "no answer",
            Phase::Body => "the answer was not complete",
        })
    }
}

/// A request that got no usable answer. The messages name the address and the innermost cause.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The client could not be built.
    #[error("TLS cannot be set up: {0}")]
    Setup(#[source] rustls::Error),
    /// A file that holds a certificate or a secret cannot be used. Never says what it holds.
    #[error("cannot use {}: {why}", path.display())]
    File {
        /// As the operator named it.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// What a tenant's Secret holds cannot be used. Never says what it holds.
    #[error("{field} of the target {why}; correct the Secret")]
    Secret {
        /// The field of the resource that names it.
        field: &'static str,
        /// What is wrong, as the end of a sentence that begins with the field.
        why: String,
    },
    /// A header that the operator wants sent cannot be.
    #[error(
        "the header {name:?} cannot be sent: use letters, digits and - for names, printable ASCII for values"
    )]
    Header {
        /// As the operator wrote it.
        name: String,
    },
    /// The request's address has no host, or a scheme that is not spoken.
    #[error("the address must begin with http:// or https:// and name a host")]
    Address,
    /// A tenant's address leads to where no receiver may be. A name can lead elsewhere later; until somebody mends it
    /// there is no point in asking often.
    #[error(
        "{address} is not dialled: {source}; write another address, or ask the operator to allow it in receivers.allow"
    )]
    Forbidden {
        /// Scheme, host and port.
        address: String,
        /// The address it leads to, and the range that forbids it.
        #[source]
        source: Forbidden,
    },
    /// Nobody listens there, the name is unknown, or the network is down.
    #[error("cannot connect to {address}: {source}")]
    Connect {
        /// Scheme, host and port.
        address: String,
        /// What the system said.
        #[source]
        source: Cause,
    },
    /// The certificate is not trusted, or the other side does not speak TLS.
    #[error("cannot trust {address}: {}", tls_words(.source))]
    Tls {
        /// Scheme, host and port.
        address: String,
        /// What TLS said.
        #[source]
        source: Cause,
    },
    /// The server refuses to talk to us, for the certificate that we showed or did not show. TLS 1.3 says so only after
    /// the handshake, in place of an answer.
    #[error("{address} wants a client certificate, or does not accept ours: {source}")]
    Unidentified {
        /// Scheme, host and port.
        address: String,
        /// What TLS said.
        #[source]
        source: Cause,
    },
    /// It took too long.
    #[error("{address}: {phase} after {} s", after.as_secs_f64())]
    Timeout {
        /// Scheme, host and port.
        address: String,
        /// What was not done in time.
        phase: Phase,
        /// The limit.
        after: Duration,
    },
    /// The connection broke before the answer was complete; the request may or may not have had its effect.
    #[error("{address} broke the connection before the answer was complete: {source}")]
    Broken {
        /// Scheme, host and port.
        address: String,
        /// What the connection said.
        #[source]
        source: Cause,
    },
    /// The answer's body is larger than the caller allows.
    #[error("{address} answered with more than {bytes_max} bytes")]
    TooLarge {
        /// Scheme, host and port.
        address: String,
        /// The limit.
        bytes_max: usize,
    },
}

impl Error {
    /// Whether the same request may succeed later, with nothing changed on our side. A certificate can be renewed
    /// and a name can appear while we wait, so these count.
    pub fn is_transient(&self) -> bool {
        match self {
            Error::Connect { .. } | Error::Timeout { .. } | Error::Broken { .. } => true,
            Error::Tls { .. } | Error::Unidentified { .. } => true,
            // Files are read again, and somebody may have mended this one.
            Error::File { .. } => true,
            Error::Setup(_) | Error::Secret { .. } | Error::Header { .. } | Error::Address => false,
            Error::Forbidden { .. } | Error::TooLarge { .. } => false,
        }
    }

    /// Whether the server had the request, and did not answer it to the end.
    pub fn is_of_an_answer(&self) -> bool {
        matches!(self, Error::Broken { .. })
    }

    /// The same once more, of those that are found before anything is sent.
    pub(super) fn again(&self) -> Error {
        match self {
            Error::Secret { field, why } => Error::Secret { field, why: why.clone() },
            Error::Setup(error) => Error::Setup(error.clone()),
            other => Error::Setup(rustls::Error::General(other.to_string())),
        }
    }

    pub(super) fn from_client(address: &str, error: legacy::Error, broken: Option<rustls::Error>) -> Error {
        let address = address.to_owned();
        if let Some(source) = route::forbidden(causes(&error)) {
            return Error::Forbidden { address, source };
        }
        let source = innermost(&error);
        if causes(&error).filter_map(|cause| cause.downcast_ref()).chain(&broken).any(is_about_us) {
            return Error::Unidentified { address, source };
        }
        match error.is_connect() {
            true if causes(&error).any(|e| e.is::<rustls::Error>()) => Error::Tls { address, source },
            true => Error::Connect { address, source },
            false => Error::Broken { address, source },
        }
    }
}

/// Whether the server complains about a certificate. It has seen one at most: ours.
fn is_about_us(error: &rustls::Error) -> bool {
    use rustls::AlertDescription as Alert;
    let rustls::Error::AlertReceived(alert) = error else { return false };
    matches!(
        alert,
        Alert::CertificateRequired
            | Alert::NoCertificate
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied
    )
}

/// An error and everything under it. `io::Error` hides the error it wraps from `source()`, so it is opened here.
fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |e: &&'a (dyn StdError + 'static)| {
        let e: &'a (dyn StdError + 'static) = *e;
        match e.downcast_ref::<std::io::Error>() {
            Some(io) => io.get_ref().map(|inner| inner as &(dyn StdError + 'static)),
            None => e.source(),
        }
    })
}

/// What the system said. The layers of the client above it only say which of them it went through.
pub(super) fn innermost(error: &(dyn StdError + 'static)) -> Cause {
    causes(error).last().unwrap_or(error).to_string().into()
}

/// What TLS said, in words that say what to do where people meet it often.
fn tls_words(said: &Cause) -> String {
    let said = said.to_string();
    let cure = match () {
        () if said.contains("InvalidContentType") => {
            "it does not speak TLS there: write http:// in place of https://"
        }
        () if said.contains("CaUsedAsEndEntity") => {
            "its certificate is an authority's: it needs one of its own, signed by that authority"
        }
        () => return said,
    };
    format!("{cure} ({said})")
}
