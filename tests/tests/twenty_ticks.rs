//! Twenty ticks of 20,000 series for three tenants: none missing, none extra, none out of order.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use sluice_tests::expectation::{EVERYTHING, Expectation, every_tick, ticks};
use sluice_tests::exposition::Motion;
use sluice_tests::series::{LabelSet, assert_same, series};
use sluice_tests::servers::{Prometheus, Setup};
use sluice_tests::stage::Stage;
use sluice_tests::wait::{now_ms, within};

const SERIES: u32 = 20_000;
const TICKS: usize = 20;
const INTERVAL_MS: i64 = 2000;

/// A minute on an idle machine; a loaded one falls behind and catches up.
const PATIENCE: Duration = Duration::from_secs(300);

/// One of 20,000 series; each value differs from scrape to scrape and from series to series.
fn load(i: u32) -> (LabelSet, Motion) {
    let name =
        ["requests_total", "latency_seconds_sum", "queue_depth", "requests_failed_total"][i as usize % 4];
    let (id, shard, zone) = (i.to_string(), (i / 4 % 10).to_string(), ["a", "b", "c"][i as usize % 3]);
    let labels = [("id", &*id), ("shard", &*shard), ("zone", zone), ("job", "load"), ("tenant", "theirs")];
    let value = move |scrape: u64| Some(f64::from(i) / 7.0 + scrape as f64);
    (series(name, labels), Motion::Of(Arc::new(value)))
}

/// Two entries that overlap, and one that names its series outright.
const A: (&str, &[&str]) = ("a", &["requests_.*", "requests_total{zone=\"a\"}", "queue_depth"]);
const B: (&str, &[&str]) = ("b", &["{shard=~\"1|2|3\"}"]);
const C: (&str, &[&str]) = ("c", &[".+"]);

/// The same in PromQL, written by hand.
const A_SELECTORS: &[&str] = &[r#"{__name__=~"requests_.*"}"#, "queue_depth"];
const B_SELECTORS: &[&str] = &[r#"{shard=~"1|2|3"}"#];
const C_SELECTORS: &[&str] = &[EVERYTHING];

fn resource((tenant, patterns): (&str, &[&str])) -> String {
    let patterns: String = patterns.iter().map(|p| format!("    - '{p}'\n")).collect();
    format!(
        "apiVersion: observability.ethos.io/v1alpha1\nkind: MetricAccess\nmetadata:\n  name: load\n  \
         namespace: team-{tenant}\nspec:\n  source: team-{tenant}\n  metrics:\n{patterns}  remoteWrite:\n    \
         enabled: true\n    interval: 2s\n    target: {{ type: prometheus }}\n    \
         prometheus: {{ serviceName: prometheus }}\n    extraLabels: {{ tenant: team-{tenant} }}\n"
    )
}

async fn ticks_of_one(receiver: &Prometheus) -> BTreeSet<i64> {
    let one = receiver.api().raw(r#"{id="4"}"#, "15m", now_ms()).await.unwrap();
    one.values().flatten().map(|s| s.at).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_tenant_holds_exactly_its_series_at_every_tick() {
    let (stage, a, b, c) = tokio::join!(
        Stage::with((0..SERIES).map(load).collect()),
        Prometheus::receiver(),
        Prometheus::receiver(),
        Prometheus::receiver(),
    );
    let tenants = [(A, A_SELECTORS, &a), (B, B_SELECTORS, &b), (C, C_SELECTORS, &c)];
    // A scrape of 20,000 series takes its time on a loaded machine.
    let lag = serde_json::json!({ "lag": "8s" });
    let mut setup = Setup::new().source_with("main", &stage.source.url(), lag);
    for (tenant, _, receiver) in tenants {
        let file = format!("{}.yaml", tenant.0);
        setup = setup.service(&format!("prometheus.team-{}:9090", tenant.0), &receiver.url());
        setup = setup.resource(&file, &resource(tenant));
    }
    let mut sluice = setup.start().await;
    let enough = async |count: usize| {
        within(PATIENCE, "ticks arrive at every tenant", async || {
            for receiver in [&a, &b, &c] {
                if ticks_of_one(receiver).await.len() < count {
                    return None;
                }
            }
            Some(())
        })
        .await;
    };
    // Some series end and some begin on the way.
    enough(TICKS / 2).await;
    (0..50).for_each(|i| stage.target.remove(&load(i * 8).0));
    (SERIES..SERIES + 50).map(load).for_each(|(labels, motion)| stage.target.set(labels, motion));
    enough(TICKS).await;
    assert!(sluice.stop().await.success());

    for (tenant, selectors, receiver) in tenants {
        let found = receiver.api().raw(EVERYTHING, "15m", now_ms()).await.unwrap();
        let ticks = every_tick(&ticks(&found), INTERVAL_MS, TICKS);
        let stamp = format!("team-{}", tenant.0);
        let shape = |s: LabelSet| Some(s.stamped("tenant", &stamp).with("managed_by", "multi-tenant-proxy"));
        let expected = Expectation::of(&stage.api(), &ticks, selectors, shape).await;
        assert_same(tenant.0, &expected.values(), &found);
        // What ended is not there any more at the last tick: its stale marker arrived.
        let last = *ticks.last().unwrap();
        let live = receiver.api().instant(EVERYTHING, last).await.unwrap();
        let shown: Vec<_> =
            found.iter().filter(|(_, s)| s.last().unwrap().at == last).map(|(l, _)| l).collect();
        assert_eq!(shown.len(), live.len(), "{}: series at the last tick", tenant.0);
        assert_eq!(receiver.complaints(), [""; 0]);
        assert_eq!(receiver.writes().await.into_keys().collect::<Vec<_>>(), ["204"]);
    }
}
