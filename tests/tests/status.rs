//! What a tenant reads off its resource: statuses and Events as they arrive at an API server.
//!
//! Time is paused: minutes of the program pass in moments of the test.

#![allow(missing_docs)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use sluice::document::{Path, Problem};
use sluice::model::{Interval, TargetType, TenantId, Tick, Timestamp};
use sluice::tenancy::status::events::Reporter;
use sluice::tenancy::status::facts::{Collected, Delivered, Failure, Flow, Lane, Pipeline, Stage};
use sluice::tenancy::status::{self, Decision, Facts, Owned, Subject};
use sluice_tests::apiserver::{FakeApi, Fault};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

const STATUS: &str = "metricaccesses/status";
const INTERVAL: Duration = Duration::from_secs(30);
const SECOND: Duration = Duration::from_secs(1);
/// 2026-01-01T00:00:00Z.
const BEGAN: Timestamp = Timestamp(1_767_225_600_000);

thread_local! {
    /// When the test began; each has a thread and a clock of its own.
    static CLOCK: Instant = Instant::now();
}

/// The program's wall clock.
fn now() -> Timestamp {
    CLOCK.with(|began| BEGAN.plus(began.elapsed()))
}

fn id(n: usize) -> TenantId {
    TenantId { namespace: "web".into(), name: format!("r{n}") }
}

/// An API server, and one replica that writes statuses.
struct Cluster {
    api: FakeApi,
    owned: watch::Sender<Arc<Owned>>,
    stop: CancellationToken,
}

impl Cluster {
    fn open() -> Cluster {
        now();
        let (api, stop) = (FakeApi::start(), CancellationToken::new());
        let (owned, seen) = watch::channel(Arc::default());
        let reporter = Reporter { instance: "sluice-0".into() };
        tokio::spawn(status::run(api.client(), reporter, seen, now, stop.clone()));
        Cluster { api, owned, stop }
    }

    /// A resource that somebody applied.
    fn applied(&self, n: usize) -> Arc<Subject> {
        let TenantId { namespace, name } = id(n);
        let spec = json!({ "source": "web", "metrics": ["up", "http_*"] });
        let metadata = json!({ "namespace": namespace, "name": name });
        let kind = json!({ "apiVersion": "observability.ethos.io/v1alpha1", "kind": "MetricAccess" });
        let mut object = json!({ "metadata": metadata, "spec": spec });
        object.as_object_mut().unwrap().extend(kind.as_object().unwrap().clone());
        subject(&self.api.create(object))
    }

    fn object(&self, n: usize) -> Value {
        self.api.object("MetricAccess", "web", &id(n).name).unwrap()
    }

    fn publish(&self, facts: impl IntoIterator<Item = (usize, Facts)>) {
        let owned: BTreeMap<_, _> = facts.into_iter().map(|(n, facts)| (id(n), facts)).collect();
        self.owned.send_replace(Arc::new(owned));
    }

    /// Publishes the same facts again and again, as the program does.
    async fn go_on(&self, facts: impl Fn() -> Vec<(usize, Facts)>, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.publish(facts());
            sleep(SECOND / 2).await;
        }
    }

    fn writes(&self) -> u64 {
        self.api.requests().count("patch", STATUS)
    }

    /// `type=status/reason` of every condition.
    fn gist(&self, n: usize) -> Vec<String> {
        let object = self.object(n);
        let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        conditions
            .iter()
            .map(|c| format!("{}={}/{}", text(&c["type"]), text(&c["status"]), text(&c["reason"])))
            .collect()
    }

    /// Every Event, as `name reason ×count: note`.
    fn events(&self) -> Vec<String> {
        let mut events = self.api.objects("Event");
        events.sort_by_key(|event| event["eventTime"].as_str().unwrap_or_default().to_owned());
        let of = |event: &Value| {
            let count = event["series"]["count"].as_i64().unwrap_or(1);
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            format!(
                "{} {} {} ×{count}: {}",
                text(&event["regarding"]["name"]),
                text(&event["type"]),
                text(&event["reason"]),
                text(&event["note"])
            )
        };
        events.iter().map(of).collect()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// What the watch shows of an object.
fn subject(object: &Value) -> Arc<Subject> {
    let metadata = &object["metadata"];
    let generation = metadata["generation"].as_i64().unwrap();
    Arc::new(Subject::of(metadata["uid"].as_str().unwrap(), generation, object))
}

fn interval() -> Interval {
    Interval::new(INTERVAL).unwrap()
}

/// A resource whose newest tick was delivered a moment ago.
fn delivering(subject: &Arc<Subject>) -> Facts {
    let tick = Tick::at_or_before(now(), interval());
    let selected = 100 + (tick.timestamp().as_millis() / 30_000 % 10) as u64;
    let lane = Lane {
        group: "infra".into(),
        endpoint: "http://prometheus.web:9090/api/v1/write".into(),
        lag: Duration::ZERO,
        since: BEGAN,
        collected: Some(Collected { selected, dropped: 0, collided: 0, dropped_by: Vec::new() }),
        delivered: Some(Delivered { tick, series: selected, at: tick.timestamp() }),
        last_error: None,
        consecutive_failures: 0,
        conflict: None,
        bypassed: None,
        refused: None,
        protocol: None,
        missed: None,
    };
    Facts {
        subject: Arc::clone(subject),
        decision: Decision::Runs,
        problems: Arc::default(),
        target: Some(TargetType::Prometheus),
        interval: Some(interval()),
        flow: Flow { pipeline: Pipeline::Running, lanes: vec![lane], filters: Vec::new() },
        owner: "sluice-0".into(),
    }
}

/// A resource whose endpoint has answered nothing but 503 for longer than an interval.
fn failing(subject: &Arc<Subject>) -> Facts {
    let mut facts = delivering(subject);
    let lane = &mut facts.flow.lanes[0];
    let tick = Tick::at_or_before(now().minus(2 * INTERVAL), interval());
    lane.delivered = Some(Delivered { tick, series: 1, at: tick.timestamp() });
    lane.last_error =
        Some(Failure { stage: Stage::Deliver, message: "the receiver answered 503".into(), at: BEGAN });
    lane.consecutive_failures = 3;
    facts
}

fn refused(subject: &Arc<Subject>, message: &str) -> Facts {
    let problem = Problem::error(Path::root().keys("spec.source"), message, "write one word");
    Facts {
        decision: Decision::Refused,
        problems: vec![problem].into(),
        target: None,
        interval: None,
        flow: Flow::default(),
        ..delivering(subject)
    }
}

#[tokio::test(start_paused = true)]
async fn a_tenant_sees_within_a_second_what_became_of_its_resource() {
    let cluster = Cluster::open();
    let subject = cluster.applied(1);
    cluster.publish([(1, refused(&subject, "\"a b\" is not an identifier"))]);
    sleep(SECOND / 2).await;
    let status = &cluster.object(1)["status"];
    assert_eq!(status["observedGeneration"], 1);
    assert_eq!(status["owner"], "sluice-0");
    assert_eq!(
        status["conditions"][0]["message"],
        "spec.source: \"a b\" is not an identifier; write one word"
    );
    assert_eq!(cluster.gist(1)[4], "Ready=False/NotAccepted");
    cluster.publish([(1, delivering(&subject))]);
    sleep(SECOND / 2).await;
    assert_eq!(cluster.gist(1)[4], "Ready=True/Running");
    let managers = &cluster.object(1)["metadata"]["managedFields"];
    let ours = |entry: &&Value| entry["manager"] == "sluice";
    let entry = managers.as_array().unwrap().iter().find(ours).unwrap();
    assert_eq!((&entry["operation"], &entry["subresource"]), (&json!("Apply"), &json!("status")));
}

#[tokio::test(start_paused = true)]
async fn only_changes_are_written() {
    let cluster = Cluster::open();
    let subject = cluster.applied(1);
    let off = Facts { decision: Decision::Disabled, ..refused(&subject, "") };
    let off = Facts { problems: Arc::default(), ..off };
    cluster.go_on(|| vec![(1, off.clone())], 600 * SECOND).await;
    assert_eq!(cluster.writes(), 1);
    // Counts change with every tick, and are written once a minute.
    cluster.go_on(|| vec![(1, delivering(&subject))], 600 * SECOND).await;
    let writes = cluster.writes() - 1;
    assert!((9..=11).contains(&writes), "{writes} writes in ten minutes");
}

#[tokio::test(start_paused = true)]
async fn what_others_wrote_into_the_status_does_not_stand_in_the_way() {
    let cluster = Cluster::open();
    let condition = |of: &str| {
        json!({
            "type": of, "status": "False", "reason": "Mine", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z",
        })
    };
    cluster.applied(1);
    cluster.api.apply(json!({
        "apiVersion": "observability.ethos.io/v1alpha1", "kind": "MetricAccess",
        "metadata": { "namespace": "web", "name": "r1" },
        "status": { "conditions": [condition("Ready"), condition("Audited")] },
    }));
    let subject = subject(&cluster.object(1));
    cluster.publish([(1, delivering(&subject))]);
    sleep(SECOND).await;
    let gist = cluster.gist(1);
    assert!(gist.contains(&"Ready=True/Running".to_owned()), "{gist:?}");
    assert!(gist.contains(&"Audited=False/Mine".to_owned()), "{gist:?}");
}

#[tokio::test(start_paused = true)]
async fn every_refusal_is_tried_again_and_holds_up_nobody_else() {
    for fault in [
        Fault::Conflict,
        Fault::TooManyRequests { retry_after_seconds: 1 },
        Fault::InternalError,
        Fault::Unavailable,
        Fault::Refused,
        Fault::Slow(30 * SECOND),
    ] {
        let cluster = Cluster::open();
        let (first, second) = (cluster.applied(1), cluster.applied(2));
        cluster.api.fault(fault.clone().on("patch", STATUS).times(1));
        cluster.publish([(1, delivering(&first)), (2, delivering(&second))]);
        sleep(40 * SECOND).await;
        assert_eq!(cluster.gist(1).len(), 5, "{fault:?}");
        assert_eq!(cluster.gist(2).len(), 5, "{fault:?}");
        assert!(cluster.writes() <= 4, "{fault:?}: {}", cluster.api.requests());
    }
}

#[tokio::test(start_paused = true)]
async fn a_resource_that_is_gone_or_another_ones_is_left_alone() {
    let cluster = Cluster::open();
    let subject = cluster.applied(1);
    cluster.publish([(1, delivering(&subject))]);
    sleep(SECOND).await;
    cluster.api.delete("MetricAccess", "web", "r1");
    cluster.publish([(1, refused(&subject, "nobody sees this"))]);
    sleep(SECOND).await;
    // A new resource of the same name, which the watch has not shown yet.
    let reborn = cluster.applied(1);
    sleep(120 * SECOND).await;
    assert_eq!(cluster.object(1)["status"], Value::Null);
    assert!(cluster.writes() < 12, "{}", cluster.writes());
    cluster.publish([(1, delivering(&reborn))]);
    sleep(SECOND).await;
    assert_eq!(cluster.gist(1)[4], "Ready=True/Running");
    // Now another replica owns it.
    let before = cluster.writes();
    cluster.publish([(1, failing(&reborn))]);
    cluster.publish([]);
    sleep(600 * SECOND).await;
    assert_eq!(cluster.writes(), before);
    assert_eq!(cluster.gist(1)[4], "Ready=True/Running");
}

#[tokio::test(start_paused = true)]
async fn events_tell_a_life_and_nothing_twice() {
    let cluster = Cluster::open();
    let subject = cluster.applied(1);
    cluster.publish([(1, refused(&subject, "\"a b\" is not an identifier"))]);
    sleep(SECOND).await;
    cluster.go_on(|| vec![(1, delivering(&subject))], 120 * SECOND).await;
    for _ in 0..2 {
        cluster.go_on(|| vec![(1, failing(&subject))], 60 * SECOND).await;
        cluster.go_on(|| vec![(1, delivering(&subject))], 60 * SECOND).await;
    }
    let endpoint = "http://prometheus.web:9090/api/v1/write";
    let expected = [
        "r1 Warning Refused ×1: spec.source: \"a b\" is not an identifier; write one word".to_owned(),
        "r1 Normal Accepted ×1: the resource is valid".to_owned(),
        "r1 Normal DeliveryBegan ×1: every endpoint takes what it is sent".to_owned(),
        format!("r1 Warning DeliveryStopped ×2: {endpoint}: the receiver answered 503"),
        "r1 Normal DeliveryRecovered ×2: every endpoint takes what it is sent".to_owned(),
    ];
    assert_eq!(cluster.events(), expected);
    let event = &cluster.api.objects("Event")[0];
    assert_eq!(event["regarding"]["uid"], cluster.object(1)["metadata"]["uid"]);
    assert_eq!(event["reportingInstance"], "sluice-0");
    // An Event that expired is told anew.
    for event in cluster.api.objects("Event") {
        cluster.api.delete("Event", "web", event["metadata"]["name"].as_str().unwrap());
    }
    cluster.go_on(|| vec![(1, failing(&subject))], 60 * SECOND).await;
    assert_eq!(
        cluster.events(),
        [format!("r1 Warning DeliveryStopped ×1: {endpoint}: the receiver answered 503")]
    );
}

#[tokio::test(start_paused = true)]
async fn a_thousand_resources_cost_less_than_a_request_per_second() {
    const RESOURCES: usize = 1_000;
    const MINUTES: u64 = 10;
    let cluster = Cluster::open();
    let subjects: Vec<_> = (0..RESOURCES).map(|n| cluster.applied(n)).collect();
    let all = || subjects.iter().enumerate().map(|(n, subject)| (n, delivering(subject)));
    cluster.publish(all());
    sleep(40 * SECOND).await;
    assert!((0..RESOURCES).all(|n| cluster.gist(n).len() == 5), "all are told within 40 s");
    // Until the last Event of the beginning was told.
    sleep(120 * SECOND).await;
    assert_eq!(cluster.api.objects("Event").len(), 2 * RESOURCES);
    let before = cluster.api.requests();
    for _ in 0..2 * MINUTES {
        cluster.publish(all());
        sleep(INTERVAL).await;
    }
    let steady = cluster.api.requests().since(&before);
    let budget = (MINUTES * 60) as f64 * status::pace::COUNTS_PER_SECOND + 5.0;
    assert!(steady.total() as f64 <= budget, "{steady}");
    assert!(steady.count("patch", STATUS) as f64 >= budget * 0.9, "the allowance is used: {steady}");
}
