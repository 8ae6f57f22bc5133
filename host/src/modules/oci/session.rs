//! Session: one conversation with one registry about one repository.
//!
//! In: paths below the repository. Out: answers whose content has the digest that was asked for. Never: credentials for
//! another server than the registry and its realm; a body beyond its maximum.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use tokio::time::Instant;
use url::Url;

use super::super::net::{DRAIN_BYTES_MAX, Entry, Net, Turn, Within, bare, refusal, request, within};
use super::super::place::Repository;
use super::super::rights::Right;
use super::super::{Credentials, Error};
use super::auth;
use super::manifest::{ACCEPT, Descriptor};
use crate::http::Response;
use crate::model::{Digest, Reference, Version};

/// The largest manifest (OCI distribution specification, "Pushing Manifests": at least this must be taken).
pub(super) const MANIFEST_BYTES_MAX: usize = 4 << 20;

const DIGEST: &str = "docker-content-digest";

/// What we want to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Pull,
    Push,
}

/// One conversation.
pub(super) struct Session<'a> {
    net: &'a Net,
    entry: &'a Entry,
    credentials: Option<&'a Credentials>,
    /// The repository's address, with a slash at its end.
    base: Url,
    scope: String,
    authorization: Option<HeaderValue>,
    /// Taken with the first request: what is kept waits for nobody.
    turn: Option<Turn<'a>>,
}

/// A manifest as it came.
#[derive(Debug, Clone)]
pub(super) struct Raw {
    pub(super) digest: Digest,
    pub(super) bytes: Bytes,
    pub(super) content_type: Option<String>,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        net: &'a Net,
        reference: &Reference,
        credentials: Option<&'a Credentials>,
        action: Action,
    ) -> Result<Session<'a>, Error> {
        let entry = net.entry_of(reference)?;
        let repository = Repository::of(reference);
        let base = repository.address(entry.allowed.transport);
        let base = base.map_err(|error| Error::of_answer(reference.to_string(), &error))?;
        let actions = match action {
            Action::Pull => "pull",
            Action::Push => "pull,push",
        };
        let scope = format!("repository:{}:{actions}", repository.name);
        Ok(Session { net, entry, credentials, base, scope, authorization: None, turn: None })
    }

    /// The manifest that `version` stands for, now. By a digest it has that digest.
    pub(super) async fn manifest(&mut self, version: &Version) -> Result<Raw, Error> {
        self.manifest_within(version, MANIFEST_BYTES_MAX).await
    }

    /// The same of a manifest that should be small.
    pub(super) async fn manifest_within(
        &mut self,
        version: &Version,
        bytes_max: usize,
    ) -> Result<Raw, Error> {
        let url = match version {
            Version::Tag(tag) => self.at(&format!("manifests/{tag}")),
            Version::Digest(digest) => self.at(&format!("manifests/{digest}")),
        };
        let (headers, bytes) = self.get(&url, Some(ACCEPT), bytes_max).await?;
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let promised = match version {
            Version::Digest(digest) => Some(*digest),
            // Of another algorithm it says nothing that we could check.
            Version::Tag(_) => text(DIGEST).and_then(|text| text.parse().ok()),
        };
        let digest = Digest::of(&bytes);
        if let Some(expected) = promised.filter(|expected| *expected != digest) {
            return Err(Error::Digest { what: bare(&url), expected, actual: digest });
        }
        Ok(Raw { digest, bytes, content_type: text(CONTENT_TYPE.as_str()).map(str::to_owned) })
    }

    /// Whether the registry has this content in the repository, and for us. Where it sends us elsewhere it has said nothing.
    pub(super) async fn has(&mut self, blob: Digest) -> Result<bool, Error> {
        let url = self.at(&format!("blobs/{blob}"));
        let head = |authorization: Option<&HeaderValue>| {
            request(Method::HEAD, &url, None, authorization, Bytes::new())
        };
        match within(self.begun().await, self.exchange(head)).await {
            Ok(answer) => {
                let has = answer.status == StatusCode::OK;
                answer.drain(DRAIN_BYTES_MAX).await;
                Ok(has)
            }
            // A token that is refused; the same is said when the content is asked for.
            Err(Error::Denied { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// By which right content is asked for here.
    pub(super) fn right(&self) -> Right {
        Right::to_pull(&self.base, self.credentials)
    }

    /// Content of exactly this digest and size.
    pub(super) async fn blob(&mut self, layer: &Descriptor, bytes_max: usize) -> Result<Bytes, Error> {
        let url = self.at(&format!("blobs/{}", layer.digest));
        let what = bare(&url);
        let expected = layer.sha256().map_err(|why| Error::Answer { what: what.clone(), why })?;
        let size = usize::try_from(layer.size).unwrap_or(usize::MAX);
        if size > bytes_max {
            return Err(Error::TooLarge { what, bytes_max, unpacked: false });
        }
        let (_, bytes) = self.get(&url, None, size).await?;
        let actual = Digest::of(&bytes);
        if actual != expected {
            return Err(Error::Digest { what, expected, actual });
        }
        Ok(bytes)
    }

    /// Gets what is there, following to where the registry keeps it.
    async fn get(
        &mut self,
        url: &Url,
        accept: Option<&'static str>,
        bytes_max: usize,
    ) -> Result<(HeaderMap, Bytes), Error> {
        within(self.begun().await, self.got(url, accept, bytes_max)).await
    }

    async fn got(
        &mut self,
        url: &Url,
        accept: Option<&'static str>,
        bytes_max: usize,
    ) -> Result<(HeaderMap, Bytes), Error> {
        let answer =
            self.exchange(|authorization| request(Method::GET, url, accept, authorization, Bytes::new()));
        let answer = answer.await?;
        let (answer, at) = self.net.follow(self.entry, url, answer, Within::Registry).await?;
        if answer.status != StatusCode::OK {
            return Err(refusal(bare(&at), auth::CURE, answer).await);
        }
        let headers = answer.headers.clone();
        let read = answer.read_telling(bytes_max, |bytes| self.net.receives(bytes));
        let bytes = read.await.map_err(|error| match error {
            crate::http::Error::TooLarge { bytes_max, .. } => {
                let why = format!("it has more than the {bytes_max} bytes that were said or may be");
                Error::Answer { what: bare(&at), why }
            }
            error => error.into(),
        })?;
        Ok((headers, bytes))
    }

    /// Sends a request to the registry; one that it refuses for want of a token is sent again with one.
    pub(super) async fn exchange(
        &mut self,
        build: impl Fn(Option<&HeaderValue>) -> Request<Bytes>,
    ) -> Result<Response, Error> {
        self.begun().await;
        let answer = self.net.send(self.entry, build(self.authorization.as_ref())).await?;
        if answer.status != StatusCode::UNAUTHORIZED || self.authorization.is_some() {
            return Ok(answer);
        }
        let headers = answer.headers.clone();
        answer.drain(DRAIN_BYTES_MAX).await;
        let (net, entry) = (self.net, self.entry);
        let authorization =
            auth::answer(net, entry, &self.base, &headers, &self.scope, self.credentials).await?;
        let authorization = self.authorization.insert(authorization);
        net.send(entry, build(Some(authorization))).await
    }

    /// Waits for the turn, the first time. By when what is fetched must have come.
    async fn begun(&mut self) -> Instant {
        let turn = match self.turn.take() {
            Some(turn) => turn,
            None => self.entry.turn().await,
        };
        self.turn.insert(turn).until()
    }

    /// Whether a URL is the registry's own, so that our credentials may go there.
    pub(super) fn is_own(&self, url: &Url) -> bool {
        url.origin() == self.base.origin()
    }

    /// Who may be asked when the registry sends us elsewhere.
    pub(super) fn onward(&self, from: &Url, to: &Url) -> Result<&'a Entry, Error> {
        self.net.onward(self.entry, from, to)
    }

    /// An address below the repository's. What it is made of was checked: no part of it is a step upwards.
    pub(super) fn at(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path()));
        url
    }
}
