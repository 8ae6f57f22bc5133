//! Connections that know when they were made, so that none outlives a change of its address, and what TLS said last: HTTP/2
//! tells of it in words alone.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use tokio::time::Instant;
use tower_service::Service;

/// What is known of the connection that an answer came over; among the answer's extensions.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) made: Instant,
    /// Why TLS ended it, if it did.
    pub(super) broken: Arc<OnceLock<rustls::Error>>,
}

/// A connector that notes the time.
#[derive(Debug, Clone)]
pub(super) struct Dial<C>(pub(super) C);

impl<C> Service<Uri> for Dial<C>
where
    C: Service<Uri>,
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
            Ok(Dialled {
                stream: connecting.await?,
                line: Line { made: Instant::now(), broken: Arc::default() },
            })
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
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if let Poll::Ready(Err(error)) = &read
            && let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>())
        {
            let _ = self.line.broken.set(tls.clone());
        }
        read
    }
}

impl<S: Write + Unpin> Write for Dialled<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
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
        Pin::new(&mut self.stream).poll_write_vectored(cx, pieces)
    }
}
