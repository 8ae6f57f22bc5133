//! Answers: what kube's watcher keeps to itself, that the API server has taken a watch.
//!
//! In: a client. Out: a client that notes it, and the watcher's stream with the notes in it. Never: a request of its own.
//!
//! A watcher tells every failure, and of what follows only the changes. Where nothing changes, a watch that goes on
//! cannot be told from one that still waits for an answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use futures::{FutureExt, Stream, StreamExt};
use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use tower_service::Service;

/// Whether a watch was taken since this was last looked at.
#[derive(Clone, Default)]
pub(super) struct Taken(Arc<AtomicBool>);

/// A client that notes when a watch is taken.
#[derive(Clone)]
struct Noting {
    client: Client,
    taken: Taken,
}

/// As `client`, and it notes in `taken` when a watch is taken.
pub(super) fn noting(client: &Client, taken: &Taken) -> Client {
    let namespace = client.default_namespace().to_owned();
    Client::new(Noting { client: client.clone(), taken: taken.clone() }, namespace)
}

/// What `events` tells, and a `note` wherever a watch was taken in between. The watcher's requests run inside of its
/// stream, so a note stands where it belongs.
pub(super) fn noted<T>(
    events: impl Stream<Item = T>,
    taken: Taken,
    note: fn() -> T,
) -> impl Stream<Item = T> {
    let (mut events, mut held) = (Box::pin(events), None);
    futures::stream::poll_fn(move |cx| {
        if let Some(event) = held.take() {
            return Poll::Ready(event);
        }
        let polled = events.poll_next_unpin(cx);
        if !taken.0.swap(false, Ordering::Relaxed) {
            return polled;
        }
        if let Poll::Ready(event) = polled {
            held = Some(event);
        }
        Poll::Ready(Some(note()))
    })
}

impl Service<Request<Body>> for Noting {
    type Response = Response<Body>;
    type Error = kube::Error;
    type Future = BoxFuture<'static, Result<Response<Body>, kube::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), kube::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Noting { client, taken } = self.clone();
        let is_watch = request.uri().query().is_some_and(|query| query.split('&').any(|p| p == "watch=true"));
        async move {
            let answer = client.send(request).await?;
            if is_watch && answer.status().is_success() {
                taken.0.store(true, Ordering::Relaxed);
            }
            Ok(answer)
        }
        .boxed()
    }
}
