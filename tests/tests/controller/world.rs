//! World: what a scenario plays in: an API server, a shared source, a strict receiver that all tenants send to.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use sluice_tests::apiserver::{FakeApi, Serving};
use sluice_tests::cluster::{Leases, Resources, condition};
use sluice_tests::expectation::{Expectation, Held, every_tick, ticks};
use sluice_tests::series::{self, LabelSet, assert_same};
use sluice_tests::servers::{Pod, Setup, Sluice};
use sluice_tests::stage::Stage;
use sluice_tests::strict_receiver::{StrictReceiver, Violation};
use sluice_tests::wait::{now_ms, within};
use tempfile::TempDir;

/// Every resource's interval.
pub(crate) const INTERVAL_MS: i64 = 1000;
/// Our own namespace.
pub(crate) const OURS: &str = "sluice";
/// The namespace of the tenants.
pub(crate) const TEAM: &str = "team";
/// What [`World::spec`] selects, as a query.
pub(crate) const SELECTED: &str = r#"{__name__=~"http_requests_total|queue_depth"}"#;
/// Long enough for a lease to expire and for what was missed to be delivered.
pub(crate) const TAKEOVER_MAX: Duration = Duration::from_secs(90);

/// An API server, a source and a receiver.
pub(crate) struct World {
    pub(crate) api: FakeApi,
    pub(crate) stage: Stage,
    /// Resources are told apart by the label `tenant`, and by the path they send to.
    pub(crate) receiver: StrictReceiver,
    serving: Serving,
    folder: TempDir,
}

impl World {
    pub(crate) async fn new() -> World {
        World::around(FakeApi::start()).await
    }

    /// With an API server of one's own.
    pub(crate) async fn around(api: FakeApi) -> World {
        for name in [OURS, TEAM] {
            api.create(json!({ "kind": "Namespace", "metadata": { "name": name } }));
        }
        let (stage, receiver, serving) = tokio::join!(Stage::set(), StrictReceiver::start(), api.serve());
        let folder = TempDir::new().expect("a temporary folder can be made");
        World { api, stage, receiver, serving, folder }
    }

    /// What every replica is told: the source, and that receivers may be here.
    pub(crate) fn setup(&self) -> Setup {
        self.setup_as(None)
    }

    /// As [`World::setup`], for whoever has this token.
    pub(crate) fn setup_as(&self, token: Option<&str>) -> Setup {
        let kubeconfig = self.folder.path().join(token.unwrap_or("anybody"));
        std::fs::write(&kubeconfig, self.serving.kubeconfig(token)).expect("the folder is writable");
        Setup::new()
            .source("main", &self.stage.source.url())
            .setting("kubernetes", json!({ "kubeconfig": kubeconfig }))
            .setting("isolation", json!({ "mode": "optional" }))
            .setting("receivers", json!({ "allow": ["127.0.0.0/8"] }))
    }

    /// A replica without anything special.
    pub(crate) async fn replica(&self, pod: &str) -> Sluice {
        replica(pod, self.setup()).await
    }

    /// The tenants' resources.
    pub(crate) fn resources(&self) -> Resources {
        Resources::new(self.api.client(), TEAM)
    }

    /// The members.
    pub(crate) fn leases(&self) -> Leases {
        Leases::new(self.api.client(), OURS)
    }

    /// What a resource of this name asks for, unless a scenario changes it.
    pub(crate) fn spec(&self, name: &str) -> Value {
        self.spec_to("remote_write", "remoteWrite", json!({ "url": self.receiving(name) }), name)
    }

    /// As [`World::spec`], for a target of this type with this block.
    pub(crate) fn spec_to(&self, kind: &str, field: &str, block: Value, name: &str) -> Value {
        json!({
            "source": "team",
            "metrics": ["http_requests_total", "queue_depth"],
            "remoteWrite": {
                "enabled": true,
                "interval": "1s",
                "target": { "type": kind },
                field: block,
                "extraLabels": { "tenant": name },
            },
        })
    }

    /// Where a resource of this name sends to.
    pub(crate) fn receiving(&self, name: &str) -> String {
        format!("{}/{name}", self.receiver.url())
    }

    /// Every sample that a resource delivered.
    pub(crate) fn held(&self, name: &str) -> Held {
        let of = |series: &LabelSet| series.get("tenant") == name;
        self.receiver.samples().into_iter().filter(|(series, _)| of(series)).collect()
    }

    /// The names of a resource's series whose newest sample is no stale marker.
    pub(crate) fn live(&self, name: &str) -> BTreeSet<String> {
        let held = self.held(name);
        let live =
            held.iter().filter(|(_, s)| s.last().is_some_and(|last| last.value != series::Value::STALE));
        live.map(|(series, _)| series.name().to_owned()).collect()
    }

    /// Waits until exactly these metrics of a resource are alive.
    pub(crate) async fn delivers(&self, name: &str, metrics: &[&str]) {
        let wanted: BTreeSet<String> = metrics.iter().map(|metric| (*metric).to_owned()).collect();
        within(TAKEOVER_MAX, &format!("{name} delivers {wanted:?}"), async || {
            (self.live(name) == wanted).then_some(())
        })
        .await;
    }

    /// Waits until a resource delivered `count` more ticks than it had.
    pub(crate) async fn more_ticks(&self, name: &str, count: usize) {
        let wanted = ticks(&self.held(name)).len() + count;
        within(TAKEOVER_MAX, &format!("{name} delivers {count} more ticks"), async || {
            (ticks(&self.held(name)).len() >= wanted).then_some(())
        })
        .await;
    }

    /// Waits until a resource delivered every tick up to now.
    pub(crate) async fn up_to_date(&self, name: &str) {
        let now = now_ms();
        within(TAKEOVER_MAX, &format!("{name} is up to date"), async || {
            ticks(&self.held(name)).last().is_some_and(|last| *last >= now).then_some(())
        })
        .await;
    }

    /// Every tick of a resource arrived, at least `count`, with the source's series and values and nothing else: no
    /// tick twice with another value, no end of a series that the source does not show.
    pub(crate) async fn assert_complete(&self, name: &str, count: usize) {
        let held = self.held(name);
        let all = every_tick(&ticks(&held), INTERVAL_MS, count);
        let shape = |series: LabelSet| {
            Some(series.stamped("managed_by", "multi-tenant-proxy").stamped("tenant", name))
        };
        let expected = Expectation::of(&self.stage.api(), &all, &[SELECTED], shape).await.samples();
        assert_same(name, &expected, &held);
    }

    /// No rule of remote write was broken, and nothing sent twice.
    #[track_caller]
    pub(crate) fn assert_no_complaints(&self) {
        assert_eq!((self.receiver.violations(), self.receiver.resends()), (vec![], 0));
    }

    /// Nothing was sent twice with another value; twice with the same one may be, where somebody died.
    #[track_caller]
    pub(crate) fn assert_no_contradiction(&self) {
        let harmless = |violation: &Violation| matches!(violation, Violation::OutOfOrder { .. });
        let found: Vec<_> = self.receiver.violations().into_iter().filter(|v| !harmless(v)).collect();
        assert_eq!(found, []);
    }

    /// A resource's object, as it is stored.
    pub(crate) fn object(&self, name: &str) -> Value {
        self.api.object("MetricAccess", TEAM, name).unwrap_or_else(|| panic!("there is no {name}"))
    }

    /// The message of a resource's condition, once it has this reason.
    pub(crate) async fn says(&self, name: &str, kind: &str, reason: &str, words: &str) -> String {
        let what = format!("{kind} is {reason} with {words:?}");
        self.resources()
            .shows(name, &what, |resource| {
                let found = condition(resource.status(), kind)?;
                let message = found["message"].as_str().unwrap_or_default();
                (found["reason"] == reason && message.contains(words)).then(|| message.to_owned())
            })
            .await
    }
}

/// Starts a replica as the pod `pod`.
pub(crate) async fn replica(pod: &str, setup: Setup) -> Sluice {
    setup.pod(Pod { name: pod.to_owned(), namespace: OURS.to_owned() }).start().await
}
