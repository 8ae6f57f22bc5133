//! World: what a scenario plays in: an installation, a shared source, a receiver that all its tenants send to.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use sluice_tests::cluster::{Cluster, Installation, Replica, Resources};
use sluice_tests::expectation::{Expectation, Held, every_tick, ticks};
use sluice_tests::series::{LabelSet, Sample, assert_same};
use sluice_tests::servers::{Prometheus, Setup};
use sluice_tests::stage::Stage;
use sluice_tests::wait::{now_ms, within};

/// Every resource's interval.
pub(crate) const INTERVAL_MS: i64 = 2000;

/// Long enough for a lease to expire and for what was missed to be delivered.
pub(crate) const TAKEOVER_MAX: Duration = Duration::from_secs(90);

/// All there is, but for what an earlier test's clock could make ambiguous.
const SELECTED: &str = r#"{__name__=~"http_requests_total|queue_depth"}"#;

/// An installation, what it collects from, and what its tenants send to.
pub(crate) struct World {
    /// The installation.
    pub(crate) installation: Installation,
    /// The shared Prometheus.
    pub(crate) stage: Stage,
    /// Every tenant's Prometheus; resources are told apart by the label `tenant`.
    pub(crate) receiver: Prometheus,
}

impl World {
    /// With a namespace for each of `tenants`.
    pub(crate) async fn new(cluster: &Cluster, tenants: &[&str]) -> World {
        let (installation, stage, receiver) =
            tokio::join!(Installation::new(cluster, tenants), Stage::set(), Prometheus::receiver());
        World { installation, stage, receiver }
    }

    /// What replicas are started with, where `tenants` have their Prometheus.
    pub(crate) fn setup(&self, tenants: &[&str]) -> Setup {
        let setup = self.installation.setup().source("main", &self.stage.source.url());
        tenants.iter().fold(setup, |setup, tenant| {
            setup.service(
                &format!("prometheus.{}:9090", self.installation.tenant(tenant)),
                &self.receiver.url(),
            )
        })
    }

    /// A replica for `tenants`, without anything special.
    pub(crate) async fn replica(&self, pod: &str, tenants: &[&str]) -> Replica {
        self.installation.replica(pod, &self.setup(tenants)).await
    }

    /// A tenant's resources.
    pub(crate) fn resources(&self, tenant: &str) -> Resources {
        self.installation.resources(tenant)
    }

    /// Every sample that a resource delivered.
    pub(crate) async fn delivered(&self, resource: &str) -> Held {
        let selector = format!(r#"{{tenant="{resource}"}}"#);
        self.receiver.api().raw(&selector, "15m", now_ms()).await.expect("the receiver answers")
    }

    /// Waits until a resource delivered `count` more ticks than it had.
    pub(crate) async fn more_ticks(&self, resource: &str, count: usize) {
        let before = ticks(&self.delivered(resource).await).len();
        within(TAKEOVER_MAX, &format!("{resource} delivers {count} more ticks"), async || {
            (ticks(&self.delivered(resource).await).len() >= before + count).then_some(())
        })
        .await;
    }

    /// Waits until a resource delivered every tick up to now.
    pub(crate) async fn up_to_date(&self, resource: &str) {
        let now = now_ms();
        within(TAKEOVER_MAX, &format!("{resource} is up to date"), async || {
            let last = ticks(&self.delivered(resource).await).last().copied();
            last.is_some_and(|last| last >= now).then_some(())
        })
        .await;
    }

    /// Every tick of a resource arrived, with the source's series and values and nothing else.
    pub(crate) async fn assert_complete(&self, resource: &str, count: usize) {
        let held = self.delivered(resource).await;
        let all = every_tick(&ticks(&held), INTERVAL_MS, count);
        let shape = |series: LabelSet| {
            Some(series.stamped("managed_by", "multi-tenant-proxy").stamped("tenant", resource))
        };
        let expected = Expectation::of(&self.stage.api(), &all, &[SELECTED], shape).await.values();
        assert_same(resource, &expected, &held);
    }

    /// The names of a resource's series that are alive at the receiver.
    pub(crate) async fn alive(&self, resource: &str) -> BTreeSet<String> {
        let selector = format!(r#"{{tenant="{resource}"}}"#);
        let found = self.receiver.api().instant(&selector, now_ms()).await.expect("the receiver answers");
        found.keys().map(|series| series.name().to_owned()).collect()
    }

    /// The last sample of a resource.
    pub(crate) async fn newest(&self, resource: &str) -> Option<Sample> {
        self.delivered(resource).await.into_values().flatten().max_by_key(|sample| sample.at)
    }
}

/// A resource that takes what [`World::assert_complete`] compares, and sends it to its own namespace's Prometheus.
pub(crate) fn spec(resource: &str) -> Value {
    spec_to(resource, "prometheus", json!({ "serviceName": "prometheus", "servicePort": 9090 }))
}

/// As [`spec`], for its own namespace's Pushgateway.
pub(crate) fn spec_to_pushgateway(resource: &str, job: &str) -> Value {
    spec_to(resource, "pushgateway", json!({ "serviceName": "pushgateway", "jobName": job }))
}

/// As [`spec`], for a target of this kind with this block.
pub(crate) fn spec_to(resource: &str, kind: &str, block: Value) -> Value {
    let field = if kind == "remote_write" { "remoteWrite" } else { kind };
    json!({
        "source": "team",
        "metrics": ["http_requests_total", "queue_depth"],
        "remoteWrite": {
            "enabled": true,
            "interval": format!("{}s", INTERVAL_MS / 1000),
            "target": { "type": kind },
            field: block,
            "extraLabels": { "tenant": resource },
        },
    })
}

/// No replica was refused anything it wanted.
#[track_caller]
pub(crate) fn assert_no_refusals(replicas: &[&Replica]) {
    for replica in replicas {
        assert_eq!(replica.refusals(), [""; 0], "{} wants more than deploy/ gives it", replica.pod);
    }
}
