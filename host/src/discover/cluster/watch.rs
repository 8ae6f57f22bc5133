//! Watch: one kind of object in one namespace, for as long as the program runs.
//!
//! A list, then a watch with bookmarks, resumed where it ended; listed anew only when the API server has forgotten
//! that far back. Errors are told and waited out, and what is known stays.

use std::fmt::Debug;
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{BoxStream, StreamExt};
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::core::NamespaceResourceScope;
use kube::runtime::WatchStreamExt;
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::answers::{Taken, noted, noting};
use super::block::{Block, Kind};
use super::objects::{Object, is_selected, key};
use super::registry::Change;
use crate::model::chain;

/// How long one watch request lasts. A connection that died without a word is noticed a little after it.
pub const WATCH_SECONDS: u32 = 90;

/// The first pause after an error; it doubles.
const PAUSE_MIN: Duration = Duration::from_millis(500);

/// The longest pause: a change that came while the API server was away is in force this long after it returned.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// `410 Gone`.
const GONE: u16 = 410;

/// Changes of the block's objects in `namespace`, or in all of them. Never ends.
pub(super) fn changes(
    client: &Client,
    block: &Arc<Block>,
    namespace: Option<&str>,
) -> BoxStream<'static, Change> {
    match block.kind {
        Kind::Service => of::<Service>(client, block, namespace),
        Kind::Pod => of::<Pod>(client, block, namespace),
        Kind::EndpointSlice => of::<EndpointSlice>(client, block, namespace),
    }
}

fn of<K>(client: &Client, block: &Arc<Block>, namespace: Option<&str>) -> BoxStream<'static, Change>
where
    K: Object + Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    K: Clone + Debug + DeserializeOwned + Send + 'static,
{
    let taken = Taken::default();
    let client = noting(client, &taken);
    let api: Api<K> = match namespace {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    };
    let mut config = watcher::Config::default().timeout(WATCH_SECONDS);
    if !block.labels.is_empty() {
        config = config.labels(&block.labels.to_string());
    }
    let block = block.clone();
    let changes =
        watcher(api, config).backoff(Pauses::default()).filter_map(move |event| ready(change(&block, event)));
    noted(changes, taken, || Change::Watching).boxed()
}

fn change<K: Object + Resource>(block: &Block, event: watcher::Result<Event<K>>) -> Option<Change> {
    let mapped = |object: &K| {
        let selected = is_selected(block, object.meta());
        if selected { object.map(block) } else { Vec::new() }
    };
    Some(match event {
        Ok(Event::Init) => Change::Listing,
        Ok(Event::InitApply(object)) => Change::Listed(key(object.meta()), mapped(&object)),
        Ok(Event::InitDone) => Change::ListEnded,
        Ok(Event::Apply(object)) => Change::Applied(key(object.meta()), mapped(&object)),
        Ok(Event::Delete(object)) => Change::Deleted(key(object.meta())),
        // The API server has forgotten that far back, as it does; what follows is a new list.
        Err(watcher::Error::WatchError(status)) if status.code == GONE => return None,
        Err(error) => Change::Failed(told(block, &error)),
    })
}

/// What went wrong, and for what an operator can mend, how.
fn told(block: &Block, error: &watcher::Error) -> String {
    use watcher::Error::{InitialListFailed, NoResourceVersion, WatchError, WatchFailed, WatchStartFailed};
    let (status, text) = match error {
        InitialListFailed(error) | WatchStartFailed(error) | WatchFailed(error) => match error {
            kube::Error::Api(status) => (Some(status), status.message.clone()),
            other => (None, chain(other)),
        },
        WatchError(status) => (Some(status), status.message.clone()),
        NoResourceVersion => (None, error.to_string()),
    };
    let kind = block.kind.resource();
    match status.map(|status| status.code) {
        Some(401 | 403) => format!("{text}; allow our ServiceAccount to list and watch {kind} there"),
        _ => format!("{kind} cannot be watched: {text}; what is known of them stays"),
    }
}

/// Doubling pauses with jitter, so that replicas do not come back in step. They are short again only after a while
/// without an error. The watcher resets them at every success, and counts the beginning of a list as one: a list that
/// fails every time would be asked for without end.
#[derive(Default)]
struct Pauses {
    last: Option<(Instant, Duration)>,
}

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let now = Instant::now();
        let recent = self.last.filter(|(at, pause)| now < *at + *pause + PAUSE_MAX * 2);
        let pause = recent.map_or(PAUSE_MIN, |(_, pause)| (pause * 2).min(PAUSE_MAX));
        self.last = Some((now, pause));
        Some(pause.mul_f64(rand::random_range(0.75..1.0)))
    }
}

impl Backoff for Pauses {
    fn reset(&mut self) {}
}
