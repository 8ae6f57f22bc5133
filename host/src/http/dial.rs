//! Connections that know when they were made, so that none outlives a change of its address, and what TLS said last: HTTP/2
//! tells of it in words alone. And how much came over them before an answer: an interim answer (RFC 9110, 15.2) is not read for ever.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::Uri;
use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use tokio::time::Instant;
use tower_service::Service;

/// What is known of the connection that an answer came over; among the answer's extensions.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) made: Instant,
    /// Why TLS ended it, if it did.
    pub(super) broken: Arc<OnceLock<rustls::Error>>,
    unanswered: Arc<Unanswered>,
}

/// The most that is read between a request and the head of its answer: many times a head, and what is read of a body with it.
const UNANSWERED_BYTES_MAX: usize = 1 << 20;

/// So much is read at once until then.
const PIECE_BYTES: usize = 8 << 10;

/// What was read of a connection since the request on it that has no answer yet.
#[derive(Debug, Default)]
struct Unanswered {
    /// Over HTTP/2 answers come beside each other.
    is_http2: bool,
    is_asked: AtomicBool,
    bytes: AtomicUsize,
}

impl Line {
    /// An answer's head has come.
    pub(super) fn answered(&self) {
        self.unanswered.is_asked.store(false, Ordering::Release);
    }
}

impl Unanswered {
    fn asked(&self) {
        if !self.is_asked.swap(true, Ordering::AcqRel) {
            self.bytes.store(0, Ordering::Release);
        }
    }

    fn is_waited_for(&self) -> bool {
        !self.is_http2 && self.is_asked.load(Ordering::Acquire)
    }

    /// Whether so many bytes more are too many.
    fn is_beyond(&self, more: usize) -> bool {
        self.bytes.fetch_add(more, Ordering::AcqRel) + more > UNANSWERED_BYTES_MAX
    }
}

/// A connector that notes the time.
#[derive(Debug, Clone)]
pub(super) struct Dial<C>(pub(super) C);

impl<C> Service<Uri> for Dial<C>
where
    C: Service<Uri>,
    C::Response: Connection,
    C::Future: Send + 'static,
{
    type Response = Dialled<C::Response>;
    type Error = C::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.0.call(uri);
        Box::pin(async move {
            let stream = connecting.await?;
            let is_http2 = stream.connected().is_negotiated_h2();
            let unanswered = Arc::new(Unanswered { is_http2, ..Unanswered::default() });
            Ok(Dialled { stream, line: Line { made: Instant::now(), broken: Arc::default(), unanswered } })
        })
    }
}

/// A stream that knows this of itself.
#[derive(Debug)]
pub(super) struct Dialled<S> {
    stream: S,
    line: Line,
}

impl<S: Connection> Connection for Dialled<S> {
    fn connected(&self) -> Connected {
        self.stream.connected().extra(self.line.clone())
    }
}

impl<S: Read + Unpin> Read for Dialled<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let read = match self.line.unanswered.is_waited_for() {
            true => self.as_mut().read_counted(cx, buffer),
            false => Pin::new(&mut self.stream).poll_read(cx, buffer),
        };
        if let Poll::Ready(Err(error)) = &read
            && let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>())
        {
            let _ = self.line.broken.set(tls.clone());
        }
        read
    }
}

impl<S: Read + Unpin> Dialled<S> {
    fn read_counted(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut piece = [0; PIECE_BYTES];
        let len = buffer.remaining().min(piece.len());
        let mut read = ReadBuf::new(&mut piece[..len]);
        std::task::ready!(Pin::new(&mut self.stream).poll_read(cx, read.unfilled()))?;
        if self.line.unanswered.is_beyond(read.filled().len()) {
            let what = "it sends interim answers without end, and none to the request";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, what)));
        }
        buffer.put_slice(read.filled());
        Poll::Ready(Ok(()))
    }
}

impl<S: Write + Unpin> Write for Dialled<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.line.unanswered.asked();
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.line.unanswered.asked();
        Pin::new(&mut self.stream).poll_write_vectored(cx, pieces)
    }
}
