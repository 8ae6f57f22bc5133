//! Remote write: sends one encoded request to one receiver, once.
//!
//! In: a [`Request`] and the endpoint's address, credentials and headers. Out: the acknowledgement, or what the
//! refusal means. Never: a retry (see [`super::retry`]), a redirect followed, a protocol header overridden.
//!
//! The rules are those of the remote-write 1.0 specification.

#[cfg(test)]
mod tests;

use std::time::SystemTime;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT};
use http::{HeaderMap, Method, StatusCode, Uri};

use super::encode::Request;
use super::{Error, answer};
use crate::http::{AGENT, Client, Route, Timeouts};
use crate::model::{BasicAuth, RESERVED_HEADERS, RemoteWriteEndpoint};

const VERSION: HeaderName = HeaderName::from_static("x-prometheus-remote-write-version");

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
}

impl RemoteWrite {
    /// Checks the endpoint and prepares its headers.
    pub fn new(
        client: Client,
        endpoint: &RemoteWriteEndpoint,
        timeouts: Timeouts,
    ) -> Result<RemoteWrite, Error> {
        let RemoteWriteEndpoint { url, author, dial, basic_auth, headers } = endpoint;
        let uri = super::uri(url)?;
        let client = client.via(Route { author: *author, dial: *dial });
        let headers = all_headers(headers, basic_auth.as_ref())?;
        Ok(RemoteWrite { client, uri, headers, timeouts })
    }

    /// Sends the request once.
    pub async fn send(&self, request: &Request) -> Result<Acknowledged, Error> {
        let mut post = http::Request::new(request.body.clone());
        *post.method_mut() = Method::POST;
        *post.uri_mut() = self.uri.clone();
        *post.headers_mut() = self.headers.clone();
        let response = self.client.send(post, &self.timeouts).await?;
        let status = answer::judge(response, SystemTime::now()).await?;
        Ok(Acknowledged { status })
    }
}

fn all_headers(given: &[(String, String)], auth: Option<&BasicAuth>) -> Result<HeaderMap, Error> {
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        let refused = |cause| Error::Header { name: name.clone(), cause };
        let key: HeaderName = name.parse().map_err(|_| refused("this is no header name"))?;
        if RESERVED_HEADERS.contains(&key.as_str()) {
            return Err(refused("the protocol sets it; remove it"));
        }
        if key == AUTHORIZATION && auth.is_some() {
            return Err(refused("basicAuth sets it; remove one of the two"));
        }
        let mut value: HeaderValue =
            value.parse().map_err(|_| refused("its value has characters that no header may have"))?;
        value.set_sensitive(key == AUTHORIZATION);
        headers.append(key, value);
    }
    headers.extend(auth.map(|auth| (AUTHORIZATION, basic(auth))));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("snappy"));
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    headers.insert(VERSION, HeaderValue::from_static("0.1.0"));
    Ok(headers)
}

fn basic(auth: &BasicAuth) -> HeaderValue {
    let pair = BASE64_STANDARD.encode(format!("{}:{}", auth.username, auth.password.reveal()));
    let mut value = HeaderValue::try_from(format!("Basic {pair}")).expect("base64 is ASCII");
    value.set_sensitive(true);
    value
}
