//! An answer: its head, and its body piece by piece until the request's deadline.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::CONTENT_ENCODING;
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper_util::client::legacy::connect::CaptureConnection;
use tokio::time::Instant;

use super::error::innermost;
use super::gzip::Gunzip;
use super::{Error, Phase, Unpacks, abandon};

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
    /// What has come of the body and was not asked for yet.
    ahead: VecDeque<Bytes>,
    is_whole: bool,
    packed: Option<Gunzip>,
    address: String,
    until: Until,
}

/// By when the body must have come, and over what.
#[derive(Debug)]
pub(super) struct Until {
    pub(super) deadline: Instant,
    pub(super) whole: Duration,
    pub(super) connection: CaptureConnection,
}

impl Response {
    pub(super) fn new(
        answer: http::Response<Incoming>,
        address: String,
        until: Until,
        unpacks: Unpacks,
    ) -> Response {
        let (head, body) = answer.into_parts();
        let packed =
            unpacks == Unpacks::Gzip && head.headers.get(CONTENT_ENCODING).is_some_and(|it| it == "gzip");
        let packed = packed.then(Gunzip::new);
        let (ahead, is_whole) = (VecDeque::new(), false);
        Response { status: head.status, headers: head.headers, body, ahead, is_whole, packed, address, until }
    }

    /// The next piece of the body as it arrives, `None` at its end. Pieces have no fixed size.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            if let Some(piece) = self.unpacked(Gunzip::next)? {
                return Ok(Some(piece));
            }
            match (self.arrived().await?, &mut self.packed) {
                (None, None) => return Ok(None),
                (None, Some(_)) => {
                    let rest = self.unpacked(Gunzip::finish)?;
                    self.packed = None;
                    return Ok(rest);
                }
                (Some(piece), None) => return Ok(Some(piece)),
                (Some(piece), Some(packed)) => packed.feed(piece),
            }
        }
    }

    fn unpacked(
        &mut self,
        next: impl FnOnce(&mut Gunzip) -> io::Result<Option<Bytes>>,
    ) -> Result<Option<Bytes>, Error> {
        let piece = self.packed.as_mut().map(next).transpose();
        piece.map(Option::flatten).map_err(|error| Error::Broken {
            address: self.address.clone(),
            source: format!("its gzip cannot be unpacked: {error}").into(),
        })
    }

    /// Waits for the whole body and keeps it for whoever asks for its pieces, as long as there `is_room` for so many bytes more.
    pub async fn read_ahead(&mut self, mut is_room: impl FnMut(usize) -> bool) -> Result<(), Error> {
        while let Some(piece) = self.next().await? {
            let bytes = piece.len();
            self.ahead.push_back(piece);
            if !is_room(bytes) {
                return Ok(());
            }
        }
        self.is_whole = true;
        Ok(())
    }

    /// What arrives next, as it is on the wire.
    async fn arrived(&mut self) -> Result<Option<Bytes>, Error> {
        match self.ahead.pop_front() {
            Some(piece) => Ok(Some(piece)),
            None if self.is_whole => Ok(None),
            None => self.next().await,
        }
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let Until { deadline, whole, connection } = &self.until;
        loop {
            let frame = tokio::time::timeout_at(*deadline, self.body.frame()).await.map_err(|_| {
                abandon(connection);
                Error::Timeout { address: self.address.clone(), phase: Phase::Body, after: *whole }
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
