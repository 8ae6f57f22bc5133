//! Events: the transitions that a person would want to see, as Kubernetes Events on the resource.
//!
//! In: a status that was written, and the one before. Out: Events of `events.k8s.io/v1`. Never: an Event per tick, one
//! about something that was told before and has not changed, or an Event that holds up a status.
//!
//! Not kube's `Recorder`: its series does not look at the note, so that a second mistake within six minutes would be shown
//! with the first one's words, and it fails for ever once the Event of a series has expired.

use std::collections::VecDeque;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::{Event, EventSeries};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff;
use kube::Client;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::bucket::{Bucket, Rate};
use super::pace::Write;
use super::reason::{Kind, Reason, Truth};
use super::render::shortened;
use super::types::MetricAccessStatus;
use crate::model::chain;
use crate::tenancy::resource::{API_VERSION, KIND};

/// Who reports, in every Event.
pub const CONTROLLER: &str = "observability.ethos.io/sluice";
/// The longest note, in bytes, as the API server checks it.
const NOTE_BYTES_MAX: usize = 1_024;
/// Events that wait; more are left out. An Event is a courtesy, the status is the record.
const WAITING_MAX: usize = 4_096;
/// All Events of this replica together. A thousand resources that are new are all told of within a minute and a half.
const RATE: Rate = Rate { burst: 100.0, per_second: 25.0 };
/// Events that may be told again as a series.
const SERIES_MAX: usize = 1_024;
/// How long after an Event the same one only counts up; client-go's default.
const SERIES_FOR: Duration = Duration::from_secs(600);
/// How long telling an Event may take.
const TELL_TIMEOUT: Duration = Duration::from_secs(10);

/// Who we are.
#[derive(Debug, Clone)]
pub struct Reporter {
    /// This replica's pod.
    pub instance: String,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct News {
    /// `Warning` or `Normal`.
    pub(super) severity: &'static str,
    pub(super) reason: &'static str,
    pub(super) action: &'static str,
    pub(super) note: String,
}

/// What there is to tell when a status follows another one.
pub(super) fn news(before: Option<&MetricAccessStatus>, after: &MetricAccessStatus) -> Vec<News> {
    let step = |kind: Kind| Step::of(kind, before, after);
    let (accepted, delivering) = (step(Kind::Accepted), step(Kind::Delivering));
    let (filters, collecting) = (step(Kind::FiltersReady), step(Kind::Collecting));
    let mut news = Vec::new();
    if accepted.is(Truth::False) && accepted.says_something_new() {
        news.push(accepted.warning("Refused", "Review"));
    } else if accepted.reason == Reason::AcceptedInPart.as_str() && accepted.says_something_new() {
        news.push(accepted.warning("AcceptedInPart", "Review"));
    } else if accepted.becomes(Truth::True) {
        news.push(accepted.normal("Accepted", "Review"));
    }
    if filters.fails_anew() {
        news.push(filters.warning("FilterFailed", "Filter"));
    } else if filters.reason == Reason::FilterIgnored.as_str() && filters.reason != filters.reason_before {
        news.push(filters.warning("FilterIgnored", "Filter"));
    } else if filters.reason == Reason::FilterNotReplaced.as_str() && filters.says_something_new() {
        news.push(filters.warning("FilterNotReplaced", "Filter"));
    } else if filters.recovers() {
        news.push(filters.normal("FilterRecovered", "Filter"));
    }
    if collecting.fails_anew() {
        news.push(collecting.warning("CollectingStopped", "Collect"));
    } else if collecting.recovers() {
        news.push(collecting.normal("CollectingRecovered", "Collect"));
    }
    // What stops further up was told there.
    if delivering.fails_anew() && delivering.reason != Reason::NothingToDeliver.as_str() {
        news.push(delivering.warning("DeliveryStopped", "Deliver"));
    } else if delivering.recovers() && delivering.reason_before != Reason::NothingToDeliver.as_str() {
        news.push(delivering.normal("DeliveryRecovered", "Deliver"));
    } else if delivering.becomes(Truth::True) && !delivering.recovers() {
        news.push(delivering.normal("DeliveryBegan", "Deliver"));
    } else if delivering.reason == Reason::Disabled.as_str() && delivering.becomes(Truth::False) {
        news.push(delivering.normal("Disabled", "Review"));
    }
    news
}

/// One condition, before and after.
struct Step<'a> {
    status_before: &'a str,
    reason_before: &'a str,
    message_before: &'a str,
    status: &'a str,
    reason: &'a str,
    message: &'a str,
}

impl<'a> Step<'a> {
    fn of(kind: Kind, before: Option<&'a MetricAccessStatus>, after: &'a MetricAccessStatus) -> Step<'a> {
        let parts = |status: Option<&'a MetricAccessStatus>| {
            let condition = status.and_then(|status| status.condition(kind.as_str()));
            condition.map_or(("", "", ""), |c| (c.status.as_str(), c.reason.as_str(), c.message.as_str()))
        };
        let (status_before, reason_before, message_before) = parts(before);
        let (status, reason, message) = parts(Some(after));
        Step { status_before, reason_before, message_before, status, reason, message }
    }

    fn is(&self, truth: Truth) -> bool {
        self.status == truth.as_str()
    }

    fn becomes(&self, truth: Truth) -> bool {
        self.is(truth) && self.status_before != truth.as_str()
    }

    fn says_something_new(&self) -> bool {
        (self.status, self.reason, self.message)
            != (self.status_before, self.reason_before, self.message_before)
    }

    /// Whether the condition is false because something broke, and was not before.
    fn fails_anew(&self) -> bool {
        is_failure(self.status, self.reason) && self.reason != self.reason_before
    }

    /// Whether something that broke works again.
    fn recovers(&self) -> bool {
        self.is(Truth::True) && is_failure(self.status_before, self.reason_before)
    }

    fn normal(&self, reason: &'static str, action: &'static str) -> News {
        News { severity: "Normal", reason, action, note: self.message.to_owned() }
    }

    fn warning(&self, reason: &'static str, action: &'static str) -> News {
        News { severity: "Warning", ..self.normal(reason, action) }
    }
}

/// A resource that is off, or not accepted, has not failed at what it does not do.
fn is_failure(status: &str, reason: &str) -> bool {
    let idle = [Reason::Disabled, Reason::NotAccepted].iter().any(|idle| idle.as_str() == reason);
    status == Truth::False.as_str() && !idle
}

/// Where news are told. Nobody waits for them to be told.
#[derive(Debug, Clone)]
pub(super) struct Events(mpsc::Sender<Told>);

/// One thing to tell about one resource.
#[derive(Debug)]
struct Told {
    regarding: ObjectReference,
    news: News,
}

impl Events {
    /// Where to tell news, and who passes them on.
    pub(super) fn new(client: Client, reporter: Reporter) -> (Events, Teller) {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        let teller = Teller { client, reporter, waiting: receiver, series: VecDeque::new() };
        (Events(sender), teller)
    }

    /// Tells what is new with a status that was written.
    pub(super) fn tell(&self, write: &Write) {
        for news in news(write.before.as_deref(), &write.status) {
            let regarding = ObjectReference {
                api_version: Some(API_VERSION.to_owned()),
                kind: Some(KIND.to_owned()),
                name: Some(write.id.name.clone()),
                namespace: Some(write.id.namespace.clone()),
                uid: Some(write.uid.clone()),
                ..ObjectReference::default()
            };
            if self.0.try_send(Told { regarding, news }).is_err() {
                debug!(
                    namespace = write.id.namespace,
                    name = write.id.name,
                    "too many events; one is left out"
                );
            }
        }
    }
}

/// Passes news on to the API server, one after the other.
pub(super) struct Teller {
    client: Client,
    reporter: Reporter,
    waiting: mpsc::Receiver<Told>,
    /// What was told not long ago, oldest first.
    series: VecDeque<Series>,
}

/// An Event that is there, and how often it happened.
struct Series {
    uid: Option<String>,
    news: News,
    namespace: String,
    name: String,
    count: i32,
    at: Instant,
}

impl Teller {
    /// Tells news until `stop` or until nobody has any more.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut tokens = Bucket::full(RATE, Instant::now());
        loop {
            let told = tokio::select! {
                () = stop.cancelled() => return,
                told = self.waiting.recv() => match told {
                    Some(told) => told,
                    None => return,
                },
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep_until(tokens.ready_at(Instant::now())) => {}
            }
            let now = Instant::now();
            if tokens.has(now) {
                tokens.take(now);
            }
            let id = (told.regarding.namespace.clone(), told.regarding.name.clone());
            match tokio::time::timeout(TELL_TIMEOUT, self.tell(told)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    warn!(namespace = id.0, name = id.1, error = chain(&error), "event not told")
                }
                Err(_) => warn!(namespace = id.0, name = id.1, "event not told: no answer"),
            }
        }
    }

    async fn tell(&mut self, told: Told) -> Result<(), kube::Error> {
        let now = Instant::now();
        self.series.retain(|series| now.duration_since(series.at) < SERIES_FOR);
        let Told { regarding, news } = told;
        let same = self.series.iter().position(|s| s.uid == regarding.uid && s.news == news);
        if let Some(mut series) = same.and_then(|at| self.series.remove(at))
            && self.count_up(&series).await?
        {
            (series.count, series.at) = (series.count + 1, now);
            self.series.push_back(series);
            return Ok(());
        }
        let event = self.event(&regarding, &news);
        let (namespace, name) = (regarding.namespace.unwrap_or_default(), event.metadata.name.clone());
        self.events(&namespace).create(&PostParams::default(), &event).await?;
        if self.series.len() == SERIES_MAX {
            self.series.pop_front();
        }
        let name = name.unwrap_or_default();
        self.series.push_back(Series { uid: regarding.uid, news, namespace, name, count: 1, at: now });
        Ok(())
    }

    /// Whether the Event was still there.
    async fn count_up(&self, series: &Series) -> Result<bool, kube::Error> {
        let count = EventSeries { count: series.count + 1, last_observed_time: now() };
        let patch = Patch::Merge(json!({ "series": count }));
        let events = self.events(&series.namespace);
        match events.patch(&series.name, &PatchParams::default(), &patch).await {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn events(&self, namespace: &str) -> Api<Event> {
        Api::namespaced(self.client.clone(), namespace)
    }

    fn event(&self, regarding: &ObjectReference, news: &News) -> Event {
        let now = now();
        let name = regarding.name.as_deref().unwrap_or_default();
        Event {
            metadata: ObjectMeta {
                namespace: regarding.namespace.clone(),
                // As client-go names them.
                name: Some(format!("{name}.{:x}", now.0.as_nanosecond())),
                ..ObjectMeta::default()
            },
            action: Some(news.action.to_owned()),
            event_time: Some(now),
            note: Some(note(&news.note)),
            reason: Some(news.reason.to_owned()),
            regarding: Some(regarding.clone()),
            reporting_controller: Some(CONTROLLER.to_owned()),
            reporting_instance: Some(self.reporter.instance.clone()),
            type_: Some(news.severity.to_owned()),
            ..Event::default()
        }
    }
}

/// The edge of the program: an Event's time is when it is told.
fn now() -> MicroTime {
    MicroTime(jiff::Timestamp::now())
}

fn note(text: &str) -> String {
    let mut max = NOTE_BYTES_MAX;
    let mut note = shortened(text, max);
    while note.len() > NOTE_BYTES_MAX {
        max -= (note.len() - NOTE_BYTES_MAX).div_ceil(4);
        note = shortened(text, max);
    }
    note
}
