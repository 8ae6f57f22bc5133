//! Watch: a watch of one kind of object that goes on after errors, ever more patiently.

use std::fmt::Debug;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::tenancy::WATCH_SECONDS;

/// The first pause after an error, doubled with every further one.
const PAUSE_FIRST: Duration = Duration::from_millis(250);
/// No pause is longer: this is how late a change can be heard of after an outage.
const PAUSE_MAX: Duration = Duration::from_secs(4);

/// A watch that can be begun anew.
pub(in crate::tenancy) struct Watch<K> {
    api: Api<K>,
    config: watcher::Config,
    events: BoxStream<'static, watcher::Result<Event<K>>>,
    failures: u32,
    resume_at: Option<Instant>,
}

impl<K> Watch<K>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    /// Watches the objects with these labels.
    pub(in crate::tenancy) fn new(api: Api<K>, labels: &str) -> Watch<K> {
        let config = watcher::Config::default().timeout(WATCH_SECONDS).labels(labels);
        let events = watcher::watcher(api.clone(), config.clone()).boxed();
        Watch { api, config, events, failures: 0, resume_at: None }
    }

    /// The next event. An error is given out, and the next call goes on after a pause. Can be dropped and called
    /// again without losing an event.
    pub(in crate::tenancy) async fn next(&mut self) -> watcher::Result<Event<K>> {
        if let Some(at) = self.resume_at {
            tokio::time::sleep_until(at).await;
            self.resume_at = None;
        }
        match self.events.next().await {
            // The beginning of a list says nothing yet: it is announced before it is asked for.
            Some(Ok(Event::Init)) => Ok(Event::Init),
            Some(Ok(event)) => {
                self.failures = 0;
                Ok(event)
            }
            Some(Err(error)) => {
                self.resume_at = Some(Instant::now() + pause(self.failures, PAUSE_FIRST, PAUSE_MAX));
                self.failures = self.failures.saturating_add(1);
                Err(error)
            }
            None => {
                self.restart();
                Err(watcher::Error::NoResourceVersion)
            }
        }
    }

    /// Begins anew with a list, at once.
    pub(in crate::tenancy) fn restart(&mut self) {
        self.events = watcher::watcher(self.api.clone(), self.config.clone()).boxed();
        self.resume_at = None;
    }
}

/// How long to wait after this many failures: `first`, doubled each time up to `max`, and up to a quarter less, so
/// that replicas do not come back in step.
pub(in crate::tenancy) fn pause(failures: u32, first: Duration, max: Duration) -> Duration {
    let whole = first.saturating_mul(1 << failures.min(16)).min(max);
    whole.mul_f64(1.0 - 0.25 * rand::random::<f64>())
}
