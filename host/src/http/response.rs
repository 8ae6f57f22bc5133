//! An answer: its head, and its body piece by piece until the request's deadline.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::time::Instant;

use super::error::innermost;
use super::{Error, Phase};

/// How long the rest of a body that nobody needs is waited for. The answer itself is known by then.
const DRAIN_MAX: Duration = Duration::from_secs(1);

/// The head of an answer, and what is still to come of its body.
#[derive(Debug)]
pub struct Response {
    /// The answer's status.
    pub status: StatusCode,
    /// The answer's headers.
    pub headers: HeaderMap,
    body: Incoming,
    address: String,
    deadline: Instant,
    whole: Duration,
}

impl Response {
    pub(super) fn new(
        answer: http::Response<Incoming>,
        address: String,
        deadline: Instant,
        whole: Duration,
    ) -> Response {
        let (head, body) = answer.into_parts();
        Response { status: head.status, headers: head.headers, body, address, deadline, whole }
    }

    /// The next piece of the body as it arrives, `None` at its end. Pieces have no fixed size.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            let frame = tokio::time::timeout_at(self.deadline, self.body.frame()).await.map_err(|_| {
                Error::Timeout { address: self.address.clone(), phase: Phase::Body, after: self.whole }
            })?;
            match frame {
                None => return Ok(None),
                Some(Err(e)) => {
                    return Err(Error::Broken { address: self.address.clone(), source: innermost(&e) });
                }
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if data.is_empty() => continue,
                    Ok(data) => return Ok(Some(data)),
                    Err(_trailers) => continue,
                },
            }
        }
    }

    /// The whole body, if it is at most `bytes_max` bytes.
    pub async fn read_to(self, bytes_max: usize) -> Result<Bytes, Error> {
        self.read_telling(bytes_max, |_| ()).await
    }

    /// As [`Response::read_to`]; of each piece `tell` learns how many bytes it has.
    pub async fn read_telling(mut self, bytes_max: usize, tell: impl Fn(usize)) -> Result<Bytes, Error> {
        let too_large = |address: &str| Error::TooLarge { address: address.to_owned(), bytes_max };
        let announced = usize::try_from(self.body.size_hint().lower()).unwrap_or(usize::MAX);
        if announced > bytes_max {
            return Err(too_large(&self.address));
        }
        let mut whole = BytesMut::with_capacity(announced);
        while let Some(chunk) = self.chunk().await? {
            if whole.len() + chunk.len() > bytes_max {
                return Err(too_large(&self.address));
            }
            tell(chunk.len());
            whole.extend_from_slice(&chunk);
        }
        Ok(whole.freeze())
    }

    /// The first `bytes_max` bytes of the body, or what came of them before it broke off: for showing an error.
    pub async fn excerpt(mut self, bytes_max: usize) -> Bytes {
        let mut start = BytesMut::new();
        while start.len() < bytes_max {
            match self.chunk().await {
                Ok(Some(chunk)) => {
                    start.extend_from_slice(&chunk[..chunk.len().min(bytes_max - start.len())])
                }
                Ok(None) | Err(_) => break,
            }
        }
        start.freeze()
    }

    /// Reads the rest of the body and forgets it, so that the connection can be used again. A body of more than
    /// `bytes_max` bytes, or one that breaks off, costs its connection and nothing else.
    pub async fn drain(mut self, bytes_max: usize) {
        let reading = async {
            let mut read = 0;
            while read <= bytes_max {
                match self.chunk().await {
                    Ok(Some(chunk)) => read += chunk.len(),
                    Ok(None) | Err(_) => return,
                }
            }
        };
        // Out of time, the connection is not used again.
        let _ = tokio::time::timeout(DRAIN_MAX, reading).await;
    }
}
