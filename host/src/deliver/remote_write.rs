//! Remote write: sends one encoded request to one receiver, once.
//!
//! In: a [`Request`] and the endpoint's address, credentials and headers. Out: the acknowledgement, or what the
//! refusal means. Never: a retry (see [`super::retry`]), a redirect followed, a protocol header overridden.
//!
//! The rules are those of the remote-write specifications 1.0 and 2.0; in which of them a receiver is spoken to is
//! [`super::protocol`]'s to say.

#[cfg(test)]
mod tests;

use std::time::SystemTime;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT};
use http::{HeaderMap, Method, StatusCode, Uri};
use tokio::time::Instant;

use super::encode::Request;
use super::protocol::{Answer, Plan, Reading, Spoken};
use super::{Error, Reason, Version, answer};
use crate::http::{AGENT, Client, Route, Timeouts};
use crate::model::{BasicAuth, Login, OnReject, Order, RESERVED_HEADERS, RemoteWriteEndpoint};

const VERSION: HeaderName = HeaderName::from_static("x-prometheus-remote-write-version");

/// What tells the two messages apart.
const CONTENT_TYPE_V1: &str = "application/x-protobuf";
const CONTENT_TYPE_V2: &str = "application/x-protobuf;proto=io.prometheus.write.v2.Request";

/// The receiver has the whole request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acknowledged {
    /// Any 2xx.
    pub status: StatusCode,
}

/// A receiver of remote write.
#[derive(Debug, Clone)]
pub struct RemoteWrite {
    client: Client,
    uri: Uri,
    headers: HeaderMap,
    timeouts: Timeouts,
    on_reject: OnReject,
    order: Order,
    spoken: Spoken,
}

impl RemoteWrite {
    /// Checks the endpoint and prepares its headers. Nothing is known of what it speaks.
    pub fn new(
        client: Client,
        endpoint: &RemoteWriteEndpoint,
        timeouts: Timeouts,
    ) -> Result<RemoteWrite, Error> {
        let RemoteWriteEndpoint { url, author, dial, login, tls, headers, on_reject, protocol, order } =
            endpoint;
        let uri = super::uri(url)?;
        let route = Route { author: *author, dial: *dial };
        let client = client.for_receiver(route, endpoint.receiver(), tls.clone());
        let headers = all_headers(headers, login.as_ref())?;
        let (on_reject, order, spoken) = (*on_reject, *order, Spoken::new(*protocol));
        Ok(RemoteWrite { client, uri, headers, timeouts, on_reject, order, spoken })
    }

    /// With what is known of the receiver, shared with whoever else sends to it.
    pub fn knowing(self, spoken: Spoken) -> RemoteWrite {
        RemoteWrite { spoken, ..self }
    }

    /// In which version to send what comes next.
    pub fn plan(&self) -> Plan {
        self.spoken.lock().plan(Instant::now())
    }

    /// What the receiver is spoken to in.
    pub fn speaks(&self) -> Version {
        self.spoken.lock().speaks()
    }

    /// What is to become of a request that is refused for what is in it.
    pub fn on_reject(&self) -> OnReject {
        self.on_reject
    }

    /// What an error means. A Prometheus says 500 of a sample that is older than its out-of-order window, and will do so for ever.
    fn meant(&self, error: Error) -> Error {
        match error {
            Error::Unavailable { status: status @ StatusCode::INTERNAL_SERVER_ERROR, message, .. }
                if self.order == Order::Any && Reason::told(&message) == Reason::TooOld =>
            {
                Error::Refused { status, message }
            }
            error => error,
        }
    }

    /// Sends the request once.
    pub async fn send(&self, request: &Request) -> Result<Acknowledged, Error> {
        let mut post = http::Request::new(request.body.clone());
        *post.method_mut() = Method::POST;
        *post.uri_mut() = self.uri.clone();
        *post.headers_mut() = self.headers.clone();
        if request.version == Version::V2 {
            post.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE_V2));
            post.headers_mut().insert(VERSION, HeaderValue::from_static("2.0.0"));
        }
        let (status, written) = match self.client.send(post, &self.timeouts).await {
            Ok(response) => {
                let written = answer::Written::read(&response.headers);
                (answer::judge(response, SystemTime::now()).await, written.0)
            }
            Err(error) => (Err(error.into()), None),
        };
        let status = match written {
            None | Some(0) => status.map_err(|error| of_histograms(request, error)),
            Some(_) => status,
        };
        let heard = heard(&status, written);
        let result = result(request, status.map_err(|error| self.meant(error)), written);
        // Another lane's request may be the one that tells; what this one is taken for is for its own answer to say.
        match (self.spoken.lock().heard(request.version, request.samples, heard, Instant::now()), result) {
            (Reading::Again(version), Err(source)) => Err(Error::InOther { version, source: source.into() }),
            (_, result) => result,
        }
    }
}

/// What is said of native histograms is said of what is in the request, whatever the status: Prometheus 2 answers 500.
fn of_histograms(request: &Request, error: Error) -> Error {
    let (status, message) = match &error {
        Error::Refused { status, message } | Error::Unavailable { status, message, .. } => (*status, message),
        _ => return error,
    };
    let is_failure = status == StatusCode::INTERNAL_SERVER_ERROR;
    match Reason::told(message) {
        _ if request.histograms == 0 || !(is_failure || status == StatusCode::BAD_REQUEST) => error,
        Reason::Histograms => Error::Histograms { message: message.clone() },
        _ if is_failure && message.to_ascii_lowercase().contains("histogram") => {
            Error::Refused { status, message: message.clone() }
        }
        _ => error,
    }
}

/// What an answer tells of the receiver.
fn heard(status: &Result<StatusCode, Error>, written: Option<u64>) -> Answer {
    let error = match status {
        Ok(_) => return Answer::Taken { written },
        Err(Error::Histograms { .. }) => return Answer::BadRequest { written },
        Err(error) => error,
    };
    match error.status().map(|status| status.as_u16()) {
        None | Some(429) => Answer::Unavailable,
        Some(400) => Answer::BadRequest { written },
        Some(415) => Answer::Unsupported,
        Some(500..) => Answer::Failing,
        Some(_) => Answer::Other,
    }
}

/// What it means for the request. What a receiver of 1.0 says that it wrote says nothing: it need not say so.
fn result(
    request: &Request,
    status: Result<StatusCode, Error>,
    written: Option<u64>,
) -> Result<Acknowledged, Error> {
    let (version, samples) = (request.version, request.samples);
    match (status, written) {
        (Err(Error::Refused { status: StatusCode::UNSUPPORTED_MEDIA_TYPE, message }), _) => {
            Err(Error::Unsupported { version, status: StatusCode::UNSUPPORTED_MEDIA_TYPE, message })
        }
        (status, _) if version == Version::V1 => status.map(|status| Acknowledged { status }),
        (Ok(status), None) => Err(Error::Unsupported { version, status, message: String::new() }),
        (Ok(status), Some(written)) if written < samples as u64 => {
            Err(Error::Short { status, written, samples })
        }
        (Ok(status), Some(_)) => Ok(Acknowledged { status }),
        (Err(source @ Error::Refused { .. }), Some(written)) if written > 0 => {
            Err(Error::Partial { written, samples, source: source.into() })
        }
        (Err(error), _) => Err(error),
    }
}

fn all_headers(given: &[(String, String)], login: Option<&Login>) -> Result<HeaderMap, Error> {
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        let refused = |cause| Error::Header { name: name.clone(), cause };
        let key: HeaderName = name.parse().map_err(|_| refused("this is no header name"))?;
        if RESERVED_HEADERS.contains(&key.as_str()) {
            return Err(refused("the protocol sets it; remove it"));
        }
        if key == AUTHORIZATION && login.is_some() {
            return Err(refused("basicAuth or bearerTokenSecret sets it; remove one of the two"));
        }
        let mut value: HeaderValue =
            value.parse().map_err(|_| refused("its value has characters that no header may have"))?;
        value.set_sensitive(key == AUTHORIZATION);
        headers.append(key, value);
    }
    if let Some(login) = login {
        headers.insert(AUTHORIZATION, authorization(login)?);
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE_V1));
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("snappy"));
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    headers.insert(VERSION, HeaderValue::from_static("0.1.0"));
    Ok(headers)
}

fn authorization(login: &Login) -> Result<HeaderValue, Error> {
    let text = match login {
        Login::Basic(BasicAuth { username, password }) => {
            format!("Basic {}", BASE64_STANDARD.encode(format!("{username}:{}", password.reveal())))
        }
        Login::Bearer(token) => format!("Bearer {}", token.reveal()),
    };
    let cause = "the token has characters that no header may have";
    let mut value =
        HeaderValue::try_from(text).map_err(|_| Error::Header { name: AUTHORIZATION.to_string(), cause })?;
    value.set_sensitive(true);
    Ok(value)
}
