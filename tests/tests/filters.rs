//! Filters: a team's own filters in the path of its own metrics, as its receiver sees them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value as Json, json};
use sha2::{Digest as _, Sha256};
use sluice_tests::expectation::{EVERYTHING, Expectation, Held, assert_every_tick, ticks};
use sluice_tests::exposition::Motion;
use sluice_tests::filtered::{marked, resource, tagging};
use sluice_tests::guests;
use sluice_tests::registry::{Lock, Registry, digest};
use sluice_tests::series::{LabelSet, Sample, Value, series};
use sluice_tests::servers::{Setup, Sluice};
use sluice_tests::stage::{Stage, shop};
use sluice_tests::strict_receiver::StrictReceiver;
use sluice_tests::wait::{eventually, now_ms, within};
use tempfile::TempDir;

const INTERVAL_MS: i64 = 1000;
/// How long after its time a tick is asked for, as [`Setup::source`] has it.
const LAG_MS: i64 = 3000;
/// Modules that replace each other. `SLUICE_SWAPS` asks for another number.
const SWAPS: usize = 12;
/// Series that go through them at every tick.
const CROWD: usize = 2_000;

/// The operator's folder of modules, with the filter `totals`: sums by a label.
fn modules() -> TempDir {
    let built = guests::built(["test-filter-totals", "test-filter-hostile"]);
    let folder = TempDir::new().unwrap();
    for (name, bytes) in ["totals.wasm", "hostile.wasm"].iter().zip(built) {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

fn totals(by: &str) -> Json {
    json!([{ "name": "sums", "module": { "file": { "path": "totals.wasm" } }, "config": { "by": by } }])
}

async fn start(stage: &Stage, modules: &TempDir, resources: &[(&str, String)]) -> Sluice {
    let setup = Setup::new()
        .source("main", &stage.source.url())
        .setting("filters", json!({ "modulesFolder": modules.path() }));
    let with = |setup: Setup, (file, text): &(&str, String)| setup.resource(file, text);
    resources.iter().fold(setup, with).start().await
}

/// The newest value of each series that has not ended.
fn live(receiver: &StrictReceiver) -> BTreeMap<LabelSet, Value> {
    let newest = |(labels, samples): (LabelSet, Vec<Sample>)| {
        let value = samples.last()?.value;
        (value != Value::STALE).then_some((labels, value))
    };
    receiver.samples().into_iter().filter_map(newest).collect()
}

fn tags(receiver: &StrictReceiver) -> BTreeSet<String> {
    live(receiver).keys().map(|series| series.get("tag").to_owned()).collect()
}

async fn tagged(receiver: &StrictReceiver, value: &str) {
    let expected = BTreeSet::from([value.to_owned()]);
    eventually(&format!("everything is tagged {value:?}"), async || {
        (tags(receiver) == expected).then_some(())
    })
    .await;
}

async fn several_ticks(receiver: &StrictReceiver) {
    let before = ticks(&receiver.samples()).len();
    eventually("five more ticks arrive", async || {
        (ticks(&receiver.samples()).len() >= before + 5).then_some(())
    })
    .await;
}

#[tokio::test]
async fn samples_go_through_a_teams_own_filter_and_what_it_emits_arrives_too() {
    let (stage, receiver, modules) = tokio::join!(Stage::set(), StrictReceiver::start(), async { modules() });
    let text = resource("team/sums", &receiver, "queue_depth|db_rows", &totals("job"));
    let mut sluice = start(&stage, &modules, &[("sums.yaml", text)]).await;
    several_ticks(&receiver).await;
    assert!(sluice.stop().await.success());
    let held = receiver.samples();
    // What the filter keeps, and the sums of what it keeps, of the source's own answers at the same ticks.
    let source = stage.api();
    let selectors = [r#"{__name__=~"queue_depth|db_rows"}"#];
    let stamped = |series: LabelSet| Some(series.with("managed_by", "multi-tenant-proxy"));
    let taken = Expectation::of(&source, &ticks(&held), &selectors, stamped).await.samples();
    let mut expected = Held::new();
    let mut sums: BTreeMap<String, BTreeMap<i64, f64>> = BTreeMap::new();
    for (series, samples) in taken {
        let job = sums.entry(series.get("job").to_owned()).or_default();
        for sample in samples.into_iter().filter(|sample| sample.value.float() >= 0.0) {
            *job.entry(sample.at).or_default() += sample.value.float();
            expected.entry(series.clone()).or_default().push(sample);
        }
    }
    for (job, sums) in sums.into_iter().filter(|(_, sums)| !sums.is_empty()) {
        let labels = [("job", job.as_str()), ("managed_by", "multi-tenant-proxy")];
        let total = expected.entry(series("total", labels)).or_default();
        total.extend(sums.iter().map(|(&at, &sum)| Sample { at, value: Value::from(sum) }));
        // It ends when there is nothing to sum any more; a sample that is held back ends nothing.
        let last = *sums.keys().last().unwrap();
        total.extend(
            ticks(&held).into_iter().find(|at| *at > last).map(|at| Sample { at, value: Value::STALE }),
        );
    }
    assert_eq!(held, expected);
    assert_every_tick(&ticks(&held), INTERVAL_MS, 5);
    assert_eq!((receiver.resends(), receiver.violations()), (0, vec![]));
}

/// How often the filter `tag` of either resource was asked about a series, and those of every chain.
async fn asked(sluice: &Sluice) -> [u64; 4] {
    let mut asked = [0; 4];
    let filters = [("tag", Some("own")), ("tag", Some("other")), ("patterns", None), ("enrich", None)];
    for (count, (filter, resource)) in asked.iter_mut().zip(filters) {
        let resource = resource.map(|name| ("resource", name));
        let labels: Vec<_> = [("filter", filter), ("call", "classify")].into_iter().chain(resource).collect();
        *count = sluice.counted("sluice_filter_rows_total", &labels).await;
    }
    asked
}

#[tokio::test]
async fn a_series_is_shown_to_filters_once_and_again_only_where_they_were_swapped() {
    let (stage, modules) = (Stage::set().await, TempDir::new().unwrap());
    let (own, other) = tokio::join!(StrictReceiver::start(), StrictReceiver::start());
    let write = |value| resource("team/own", &own, "queue_depth", &tagging(value));
    let resources = [
        ("own.yaml", write("one")),
        ("other.yaml", resource("team/other", &other, "queue_depth", &tagging("one"))),
    ];
    let mut sluice = start(&stage, &modules, &resources).await;
    tokio::join!(tagged(&own, "one"), tagged(&other, "one"));
    assert_eq!(asked(&sluice).await, [3, 3, 6, 6], "each has three series");
    tokio::join!(several_ticks(&own), several_ticks(&other));
    assert_eq!(asked(&sluice).await, [3, 3, 6, 6], "samples of series that are known cost no call");

    sluice.write("own.yaml", &write("two"));
    tagged(&own, "two").await;
    several_ticks(&other).await;
    assert_eq!(asked(&sluice).await, [6, 3, 9, 9], "what is said of the other one's series still holds");

    stage.target.set(series("queue_depth", [("job", "webapp"), ("zone", "new")]), 7.0);
    eventually("both have the new series", async || {
        (live(&own).len() == 4 && live(&other).len() == 4).then_some(())
    })
    .await;
    assert_eq!(asked(&sluice).await, [7, 4, 11, 11]);
    assert!(sluice.stop().await.success());
    assert_eq!((own.violations(), other.violations()), (vec![], vec![]));
}

/// A resource with rules of its own behind its filters.
fn relabelled(resource: &str, rules: &Json) -> String {
    let mut resource: Json = serde_json::from_str(resource).unwrap();
    resource["spec"]["remoteWrite"]["metricRelabelings"] = rules.clone();
    resource.to_string()
}

#[tokio::test]
async fn a_teams_filters_stand_between_what_is_selected_and_what_is_stamped() {
    let (stage, receiver, modules) =
        tokio::join!(Stage::set(), StrictReceiver::start(), async { TempDir::new().unwrap() });
    // Nobody selected a `depth`; the rules see the new name; and a stamp that they forge is written over.
    let rename = json!([{
        "name": "rename", "module": { "builtin": { "name": "rename" } },
        "config": { "names": { "queue_depth": "depth" } },
    }]);
    let rules = json!([
        { "sourceLabels": ["__name__"], "targetLabel": "seen" },
        { "targetLabel": "managed_by", "replacement": "nobody" },
    ]);
    let text = relabelled(&resource("team/order", &receiver, "queue_depth", &rename), &rules);
    let mut sluice = start(&stage, &modules, &[("order.yaml", text)]).await;
    several_ticks(&receiver).await;
    assert!(sluice.stop().await.success());
    let held = receiver.samples();
    let shape = |series: LabelSet| {
        let series =
            series.with("__name__", "depth").with("seen", "depth").with("exported_managed_by", "nobody");
        Some(series.with("managed_by", "multi-tenant-proxy"))
    };
    let expected = Expectation::of(&stage.api(), &ticks(&held), &["queue_depth"], shape).await.samples();
    assert_eq!(held, expected);
}

/// A resource's filter that is only watched: it would drop one of three series, and tag the others.
fn watched() -> Json {
    let rules = json!([
        { "sourceLabels": ["zone"], "regex": "a", "action": "drop" },
        { "targetLabel": "tag", "replacement": "one" },
    ]);
    json!([{
        "name": "own", "module": { "builtin": { "name": "relabel" } }, "mode": "Monitor", "config": { "rules": rules },
    }])
}

/// One that always fails, and may.
fn ignored() -> Json {
    json!([{
        "name": "own", "module": { "file": { "path": "hostile.wasm" } }, "failurePolicy": "Ignore",
        "config": "say and trap",
    }])
}

#[tokio::test]
async fn what_is_only_watched_or_may_fail_changes_nothing_and_is_counted() {
    let (stage, modules) = tokio::join!(Stage::set(), async { modules() });
    let receivers = tokio::join!(StrictReceiver::start(), StrictReceiver::start(), StrictReceiver::start());
    let (watching, ignoring, summing) = receivers;
    let resources = [
        ("watched.yaml", resource("team/watched", &watching, "queue_depth", &watched())),
        ("ignored.yaml", resource("team/ignored", &ignoring, "queue_depth", &ignored())),
        ("summed.yaml", resource("team/summed", &summing, "db_rows", &totals("job"))),
    ];
    let mut sluice = start(&stage, &modules, &resources).await;
    let counted = async |metric: &str, resource: &str, word: (&str, &str)| {
        let labels = [("tenant", "team"), ("resource", resource), word];
        sluice.counted(&format!("sluice_filter_{metric}"), &labels).await
    };
    let own = ("filter", "own");
    let gone_by = async || counted("bypassed_total", "ignored", own).await;
    // It is asked again at every tick, until it is left alone.
    let trapped = [("tenant", "team"), ("resource", "ignored"), ("reason", "trap")];
    eventually("it failed five times", async || {
        let traps = sluice.counted_so_far("sluice_filter_traps_total", &trapped).await;
        (traps == Some(5)).then_some(())
    })
    .await;
    tokio::join!(several_ticks(&watching), several_ticks(&ignoring), several_ticks(&summing));
    for (result, count) in [("kept", 0), ("rewritten", 2), ("dropped", 1)] {
        assert_eq!(counted("series_total", "watched", ("result", result)).await, count, "{result}");
    }
    assert_eq!(counted("rows_total", "watched", ("call", "classify")).await, 3);
    assert_eq!((counted("restarts_total", "watched", own).await, gone_by().await), (0, 5 * 3));
    assert_eq!(counted("traps_total", "ignored", ("reason", "trap")).await, 5, "it is left alone");
    assert_eq!(counted("restarts_total", "ignored", own).await, 5);
    assert_eq!(counted("instances_total", "ignored", own).await, 6, "the first one took the configuration");
    assert!(counted("memory_peak_bytes", "ignored", own).await > 0);

    // What is counted as added arrives, and nothing else does.
    let total =
        |(series, samples): (LabelSet, Vec<Sample>)| (series.name() == "total").then_some(samples.len());
    let totals = || summing.samples().into_iter().filter_map(total).sum::<usize>();
    let arrived = totals();
    let added = counted("samples_total", "summed", ("result", "added")).await as usize;
    assert!(added >= arrived, "{arrived} arrived, {added} were counted");
    eventually("all that was added arrives", async || (totals() >= added).then_some(())).await;
    assert!(sluice.stop().await.success());
    let stamped = |series: LabelSet| Some(series.with("managed_by", "multi-tenant-proxy"));
    for receiver in [&watching, &ignoring] {
        let held = receiver.samples();
        let expected =
            Expectation::of(&stage.api(), &ticks(&held), &["queue_depth"], stamped).await.samples();
        assert_eq!(held, expected);
        assert_every_tick(&ticks(&held), INTERVAL_MS, 5);
    }
}

#[tokio::test]
async fn what_filters_take_while_they_are_configured_is_their_namespaces() {
    const GREEDY: usize = 6;
    let built = guests::built(["test-filter-hostile-samples"]);
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("samples.wasm"), &built[0]).unwrap();
    let holding = |filters: usize| {
        let module = json!({ "file": { "path": "samples.wasm" } });
        let one = |n| json!({ "name": format!("f{n}"), "module": module, "config": "hold 40 MiB" });
        Json::Array((0..filters).map(one).collect())
    };
    let (stage, good, greedy) = tokio::join!(Stage::set(), StrictReceiver::start(), StrictReceiver::start());
    let others = |n: usize, filters| {
        resource(&format!("team/greedy-{n}"), &greedy, "queue_depth", &holding(filters))
            .replace("\"namespace\":\"team\"", "\"namespace\":\"greedy\"")
    };
    let setup = Setup::new()
        .source("main", &stage.source.url())
        .setting("filters", json!({ "modulesFolder": folder.path() }))
        .setting("limits", json!({ "maxMemory": "64Mi" }))
        .resource("good.yaml", &resource("team/good", &good, "queue_depth", &holding(1)));
    let setup = (0..GREEDY).fold(setup, |setup, n| setup.resource(&format!("{n}.yaml"), &others(n, 3)));
    let sluice = setup.start().await;
    let words = "f1 gets no more memory: all series of the namespace, with their labels, and its filters take more than \
                 67108864 bytes (limits.maxMemory)";
    eventually("all of them say why they do not run", async || {
        let health = sluice.get("/health").await.text().to_owned();
        (health.matches(words).count() >= GREEDY).then_some(())
    })
    .await;
    has(&good, "who takes no more than he may runs", &["queue_depth"]).await;
    assert!(greedy.seen().is_empty());
    let peak = sluice.memory_bytes("VmHWM") >> 20;
    // 18 times 40 MiB, and as much again while they are tried, if nobody asked who pays.
    assert!(peak < 450, "{peak} MiB");
    // All that they had is given back: one of them has room for what it may.
    for n in 1..GREEDY {
        sluice.remove(&format!("{n}.yaml"));
    }
    sluice.write("0.yaml", &others(0, 1));
    has(&greedy, "who takes less runs", &["queue_depth"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "takes all cores; prints how late teams are whose neighbours' filters take long, and never too long"]
async fn filters_that_take_long_hold_up_nobody_who_is_quick() {
    const GOOD: usize = 10;
    const SECONDS: usize = 20;
    let slow = 6 * std::thread::available_parallelism().map_or(2, usize::from);
    let built = guests::built(["test-filter-hostile-samples"]);
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("samples.wasm"), &built[0]).unwrap();
    let filters = |deed: &str| {
        let module = json!({ "file": { "path": "samples.wasm" } });
        json!([{ "name": "f", "module": module, "config": deed }])
    };
    let (stage, good, busy) = tokio::join!(Stage::set(), StrictReceiver::start(), StrictReceiver::start());
    let kept = json!({ "modulesFolder": folder.path(), "timeout": "2s" });
    let mut setup = Setup::new().source("main", &stage.source.url()).setting("filters", kept);
    for n in 0..GOOD {
        let text = resource(&format!("team/good-{n}"), &good, "queue_depth", &filters("nothing"));
        setup = setup.resource(&format!("good-{n}.yaml"), &text);
    }
    for n in 0..slow {
        let id = format!("slow-{n}/slow-{n}");
        let text = resource(&id, &busy, "queue_depth", &filters("work for half a second"));
        setup = setup.resource(&format!("slow-{n}.yaml"), &text);
    }
    let sluice = setup.start().await;
    eventually("the slow ones have begun", async || (busy.seen().len() >= 2 * slow).then_some(())).await;
    let before = good.seen().len();
    eventually("the good ones went on", async || {
        (good.seen().len() >= before + GOOD * SECONDS).then_some(())
    })
    .await;
    let mut ages: Vec<i64> =
        good.seen()[before..].iter().filter_map(|seen| Some(seen.at - seen.oldest?)).collect();
    ages.sort_unstable();
    let at = |part: usize| ages[(ages.len() - 1) * part / 100];
    let late = sluice.counted("sluice_ticks_total", &[("tenant", "team"), ("outcome", "late")]).await;
    eprintln!(
        "{slow} slow ones; of {} ticks of the good ones' {late} late; ms after their time: median {}, 99 % {}, all {}",
        ages.len(),
        at(50),
        at(99),
        at(100),
    );
    let ticks: BTreeSet<i64> = ticks(&good.samples());
    assert_every_tick(&ticks, 1_000, SECONDS);
}

#[tokio::test]
async fn a_filter_that_is_not_ready_leaves_the_last_good_one_in_its_place() {
    let (stage, receiver, modules) = tokio::join!(Stage::set(), StrictReceiver::start(), async { modules() });
    let write = |filters: &Json| resource("team/own", &receiver, "queue_depth", filters);
    let mut sluice = start(&stage, &modules, &[("own.yaml", write(&tagging("one")))]).await;
    tagged(&receiver, "one").await;
    for (what, filters) in [
        ("no such file", json!([{ "name": "tag", "module": { "file": { "path": "none.wasm" } } }])),
        ("no such filter", json!([{ "name": "tag", "module": { "builtin": { "name": "none" } } }])),
        (
            "a configuration that is refused",
            json!([{ "name": "tag", "module": { "builtin": { "name": "relabel" } }, "config": { "rulez": [] } }]),
        ),
        (
            "a filter that fails on what the source has",
            json!([{ "name": "tag", "module": { "file": { "path": "hostile.wasm" } }, "config": "say and trap" }]),
        ),
    ] {
        sluice.write("own.yaml", &write(&filters));
        eventually(&format!("the log speaks of {what}"), async || {
            sluice.log().contains("Filters are not ready").then_some(())
        })
        .await;
        several_ticks(&receiver).await;
        assert_eq!(tags(&receiver), BTreeSet::from(["one".to_owned()]), "{what}");
    }
    sluice.write("own.yaml", &write(&tagging("two")));
    tagged(&receiver, "two").await;
    assert!(sluice.stop().await.success());
    assert_every_tick(&ticks(&receiver.samples()), INTERVAL_MS, 20);
    assert_eq!((receiver.resends(), receiver.violations()), (0, vec![]));
}

#[tokio::test]
async fn nothing_runs_past_a_filter_that_was_never_ready() {
    let (stage, receiver, modules) = tokio::join!(Stage::set(), StrictReceiver::start(), async { modules() });
    let other = StrictReceiver::start().await;
    let filters = json!([{ "name": "hide", "module": { "file": { "path": "none.wasm" } } }]);
    let resources = [
        ("bad.yaml", resource("team/bad", &receiver, EVERYTHING, &filters)),
        ("good.yaml", resource("team/good", &other, "queue_depth", &tagging("one"))),
    ];
    let mut sluice = start(&stage, &modules, &resources).await;
    several_ticks(&other).await;
    assert_eq!(receiver.seen().len(), 0, "nothing was sent to the one without its filter");
    // It starts once the operator puts the module there, by itself.
    std::fs::copy(modules.path().join("totals.wasm"), modules.path().join("none.wasm")).unwrap();
    sluice.write(
        "bad.yaml",
        &resource(
            "team/bad",
            &receiver,
            "db_rows",
            &json!([{
                "name": "hide", "module": { "file": { "path": "none.wasm" } }, "config": { "by": "job" },
            }]),
        ),
    );
    several_ticks(&receiver).await;
    assert!(sluice.stop().await.success());
    assert_eq!((other.violations(), receiver.violations()), (vec![], vec![]));
}

#[tokio::test]
async fn what_was_tried_is_not_tried_again_after_a_restart() {
    let (stage, receiver, modules) = tokio::join!(Stage::set(), StrictReceiver::start(), async { modules() });
    let [hostile] = guests::built(["test-filter-hostile-samples"]);
    std::fs::write(modules.path().join("samples.wasm"), hostile).unwrap();
    let mood = || series("mood", [("job", "web")]);
    stage.target.set(mood(), 0.0);
    let has_mood = async |value: f64| {
        eventually("the source has it at the newest tick that is asked for", async || {
            let found = stage.api().instant("mood", now_ms() - LAG_MS - INTERVAL_MS).await.ok()?;
            found.values().any(|found| *found == Value::from(value)).then_some(())
        })
        .await;
    };
    has_mood(0.0).await;
    let filters = json!([{ "name": "evil", "module": { "file": { "path": "samples.wasm" } }, "config": "recurse on 666" }]);
    let write =
        |name: &str| resource(&format!("team/{name}"), &receiver, r#"{__name__=~"mood|db_rows"}"#, &filters);
    let mut sluice = start(&stage, &modules, &[("old.yaml", write("old"))]).await;
    several_ticks(&receiver).await;
    assert!(sluice.stop().await.success());

    stage.target.set(mood(), 666.0);
    has_mood(666.0).await;
    sluice.restart().await;
    // It runs, and fails there; one that is new is found out before.
    let of = |resource, reason| [("resource", resource), ("filter", "evil"), ("reason", reason)];
    eventually("it is called at every tick", async || {
        let traps = sluice.counted_so_far("sluice_filter_traps_total", &of("old", "trap")).await;
        (traps? >= 2).then_some(())
    })
    .await;
    sluice.write("new.yaml", &write("new").replace("team", "other-team"));
    eventually("the new one is not ready", async || {
        let log = sluice.log();
        let said = |line: &&str| line.contains("Filters are not ready");
        let who: Vec<_> = log.lines().filter(said).map(|line| line.contains(r#""name":"new""#)).collect();
        (!who.is_empty()).then(|| assert!(!who.contains(&false), "{log}"))
    })
    .await;
    assert_eq!(sluice.counted_so_far("sluice_filter_traps_total", &of("new", "trap")).await.unwrap_or(0), 0);
    assert!(sluice.stop().await.success());
}

/// The digest of the component that runs in the place of the only filter.
async fn running_digest(sluice: &Sluice) -> Option<String> {
    let report: Json = serde_json::from_str(sluice.debug("/debug/filters").await.text()).unwrap();
    Some(report[0]["filters"][0]["last_good_digest"].as_str()?.to_owned())
}

/// The shop, and so many series more.
fn crowd(more: usize) -> Vec<(LabelSet, Motion)> {
    let one = |n: usize| {
        let labels = [("job", ["web", "db"][n % 2]), ("n", &n.to_string())].map(|(k, v)| (k, v.to_owned()));
        let labels = labels.iter().map(|(name, value)| (*name, value.as_str()));
        (series("crowd", labels), Motion::Counter { start: 1e6 + n as f64, step: 1.0 })
    };
    shop().into_iter().chain((0..more).map(one)).collect()
}

#[tokio::test]
async fn a_module_that_is_replaced_again_and_again_costs_no_tick_and_no_memory() {
    let swaps = std::env::var("SLUICE_SWAPS").ok().and_then(|n| n.parse().ok()).unwrap_or(SWAPS);
    let (stage, receiver, modules) =
        tokio::join!(Stage::with(crowd(CROWD)), StrictReceiver::start(), async { modules() });
    let totals = std::fs::read(modules.path().join("totals.wasm")).unwrap();
    // Every one is another component, that is fetched, compiled, configured and tried.
    let swap_to = |n: usize| {
        let bytes = marked(&totals, n, 0);
        std::fs::write(modules.path().join(format!("{n}.wasm")), &bytes).unwrap();
        let module = json!({ "file": { "path": format!("{n}.wasm") } });
        let filters = json!([{ "name": "sums", "module": module, "config": { "by": "job" } }]);
        (
            resource("team/own", &receiver, "crowd", &filters),
            format!("sha256:{}", hex(&Sha256::digest(&bytes))),
        )
    };
    let mut sluice = start(&stage, &modules, &[("own.yaml", swap_to(0).0)]).await;
    several_ticks(&receiver).await;
    let mut early = 0;
    for n in 1..=swaps {
        let (text, digest) = swap_to(n);
        sluice.write("own.yaml", &text);
        eventually(&format!("module {n} runs"), async || {
            (running_digest(&sluice).await.as_ref() == Some(&digest)).then_some(())
        })
        .await;
        std::fs::remove_file(modules.path().join(format!("{}.wasm", n - 1))).unwrap();
        if n == swaps.div_ceil(4) {
            early = sluice.memory_bytes("VmRSS");
        }
    }
    let late = sluice.memory_bytes("VmRSS");
    several_ticks(&receiver).await;
    assert!(sluice.stop().await.success());
    let held = receiver.samples();
    let all = ticks(&held);
    eprintln!(
        "{swaps} modules in {} ticks of {CROWD} series; {} MiB after a quarter of them, {} MiB after all",
        all.len(),
        early >> 20,
        late >> 20,
    );
    assert_every_tick(&all, INTERVAL_MS, 10);
    for (series, samples) in held.iter().filter(|(series, _)| series.get("__name__") == "crowd") {
        assert_eq!(samples.len(), all.len(), "{series:?} at every tick");
    }
    // An edit cuts a request that takes long; it is sent again then.
    assert_eq!(receiver.violations(), []);
    // Sixty-four compiled modules are kept although nobody uses them; with all of these, memory stays as it is.
    let grown = if swaps >= 4 * 64 { early / 20 } else { 64 << 20 };
    assert!(late < early + grown, "{early} bytes became {late}");
}

#[tokio::test]
async fn an_edit_finds_its_place_where_as_many_instances_are_kept_as_may_be() {
    let (stage, receiver, modules) = tokio::join!(Stage::set(), StrictReceiver::start(), async { modules() });
    // Of 16 instances 12 may be kept, 3 of them by one namespace.
    let setup = Setup::new()
        .source("main", &stage.source.url())
        .setting("filters", json!({ "modulesFolder": modules.path(), "maxInstances": 16 }));
    let sums = |name: &str, by: &str| {
        let module = json!({ "file": { "path": "totals.wasm" } });
        json!({ "name": name, "module": module, "config": { "by": by } })
    };
    let write = |filters: &[Json]| {
        resource("team/own", &receiver, "http_request_duration_seconds_bucket", &json!(filters))
    };
    let full = [sums("a", "job"), sums("b", "path"), sums("c", "job")];
    let mut sluice = setup.resource("own.yaml", &write(&full)).start().await;
    several_ticks(&receiver).await;
    sluice.write("own.yaml", &write(&[sums("a", "job"), sums("b", "path"), sums("c", "namespace")]));
    eventually("the edit is in force", async || {
        let emitted = |series: &LabelSet| series.name() == "total" && !series.get("namespace").is_empty();
        live(&receiver).keys().any(emitted).then_some(())
    })
    .await;
    // There is no room for a fourth one, so the three go on.
    sluice.write("own.yaml", &write(&[&full[..], &[sums("d", "job")]].concat()));
    eventually("the status says why", async || {
        sluice.debug("/debug/filters").await.text().contains("3 instances are kept already").then_some(())
    })
    .await;
    several_ticks(&receiver).await;
    assert!(sluice.stop().await.success());
    assert_every_tick(&ticks(&receiver.samples()), INTERVAL_MS, 10);
    assert_eq!(receiver.violations(), []);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a start takes: until it says that it is ready, which is when all resources run; and of the processor until then.
async fn started(sluice: &Sluice, start: std::time::Instant, resources: usize) -> String {
    within(std::time::Duration::from_secs(600), "it is ready", async || {
        sluice.get("/readyz").await.status.is_success().then_some(())
    })
    .await;
    let took = start.elapsed();
    let metrics = sluice.get("/metrics").await.text().to_owned();
    let running = format!("sluice_tenants{{state=\"running\"}} {resources}");
    assert!(metrics.lines().any(|line| line == running), "all of them run");
    let cpu = metrics.lines().find(|line| line.starts_with("process_cpu_seconds_total")).unwrap_or_default();
    format!("{took:.2?} after it was started, {cpu}, {} MiB", sluice.memory_bytes("VmRSS") >> 20)
}

#[tokio::test]
#[ignore = "takes minutes; prints what a start of many filters takes, with and without what was compiled before"]
async fn a_thousand_resources_with_three_filters_each_are_ready_at_once() {
    const RESOURCES: usize = 1_000;
    const MINUTE_MS: i64 = 60_000;
    let (stage, receiver, modules) = tokio::join!(Stage::set(), StrictReceiver::start(), async { modules() });
    let cache = TempDir::new().unwrap();
    let totals = std::fs::read(modules.path().join("totals.wasm")).unwrap();
    // Filters are tried on what there is at the newest tick.
    within(std::time::Duration::from_secs(120), "the source has a tick", async || {
        let newest = (now_ms() - LAG_MS) / MINUTE_MS * MINUTE_MS;
        let found = stage.api().instant("queue_depth", newest).await.ok()?;
        (!found.is_empty()).then_some(())
    })
    .await;
    // Of the same three modules; and of as many modules as there are resources.
    for distinct in [3, RESOURCES] {
        for n in 0..distinct {
            std::fs::write(modules.path().join(format!("{n}.wasm")), marked(&totals, n, 0)).unwrap();
        }
        let filter = |n: usize| {
            json!({ "name": format!("f{n}"), "config": { "by": "job" },
                    "module": { "file": { "path": format!("{}.wasm", n % distinct) } } })
        };
        let resources = |setup: Setup, n: usize| {
            let filters = Json::Array((3 * n..3 * n + 3).map(filter).collect());
            let text = resource(&format!("team/r{n}"), &receiver, "queue_depth", &filters);
            let text = text.replace("\"team\"", &format!("\"team-{n}\"")).replace("\"1s\"", "\"60s\"");
            setup.resource(&format!("r{n}.yaml"), &text)
        };
        let kept =
            json!({ "modulesFolder": modules.path(), "cacheFolder": cache.path(), "maxInstances": 5_000 });
        let setup = Setup::new().source("main", &stage.source.url()).setting("filters", kept);
        let setup = (0..RESOURCES).fold(setup, resources);
        let start = std::time::Instant::now();
        let mut sluice = setup.start().await;
        eprintln!("{distinct} modules, nothing kept: {}", started(&sluice, start, RESOURCES).await);
        assert!(sluice.stop().await.success());
        let start = std::time::Instant::now();
        sluice.restart().await;
        eprintln!("{distinct} modules, compiled before: {}", started(&sluice, start, RESOURCES).await);
        assert!(sluice.stop().await.success());
    }
}

/// The names of the series that a receiver has, once they are these.
async fn has(receiver: &StrictReceiver, what: &str, names: &[&str]) {
    let expected: BTreeSet<String> = names.iter().map(|name| (*name).to_owned()).collect();
    eventually(what, async || {
        let names: BTreeSet<String> = live(receiver).keys().map(|series| series.name().to_owned()).collect();
        (names == expected).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_download_runs_and_a_tag_means_what_it_meant_until_its_filter_is_written_anew() {
    let built = guests::built(["test-filter-totals", "test-filter-drop-everything"]);
    let (stage, loads, pulls) = tokio::join!(Stage::set(), StrictReceiver::start(), StrictReceiver::start());
    let registry = Registry::start(Lock::Open).await;
    let (host, sums) = (registry.host(), digest(&built[0]));
    registry.put_artefact("a", "1", &[("application/wasm", &built[0])]);
    let through = |module: Json| json!([{ "name": "sums", "module": module, "config": { "by": "job" } }]);
    // A registry is a web server too.
    let url = format!("http://{host}/v2/a/blobs/{sums}");
    let hex = sums.trim_start_matches("sha256:");
    let loaded = resource(
        "team/loaded",
        &loads,
        "db_rows",
        &through(json!({ "http": { "url": url, "sha256": hex } })),
    );
    let pulled = |filters: &Json| resource("team/pulled", &pulls, "db_rows", filters);
    let tagged = pulled(&through(json!({ "oci": { "ref": format!("{host}/a:1") } })));
    let allow = json!([{ "host": host, "plainHttp": true, "networks": ["127.0.0.0/8"] }]);
    let setup =
        Setup::new().source("main", &stage.source.url()).setting("filters", json!({ "allow": allow }));
    let setup = setup.resource("loaded.yaml", &loaded).resource("pulled.yaml", &tagged);
    let mut sluice = setup.start().await;
    has(&loads, "what was downloaded runs", &["db_rows", "total"]).await;
    has(&pulls, "what was pulled runs", &["db_rows", "total"]).await;

    registry.put_artefact("a", "1", &[("application/wasm", &built[1])]);
    assert!(sluice.stop().await.success());
    sluice.restart().await;
    several_ticks(&pulls).await;
    has(&pulls, "the tag means what it meant", &["db_rows", "total"]).await;
    sluice.write("pulled.yaml", &pulled(&json!([])));
    has(&pulls, "the filter is gone", &["db_rows"]).await;
    sluice.write("pulled.yaml", &tagged);
    has(&pulls, "the tag means what it means now", &[]).await;
    assert!(sluice.stop().await.success());
    has(&loads, "what was downloaded went on", &["db_rows", "total"]).await;
    assert_eq!((loads.violations(), pulls.violations()), (vec![], vec![]));
}
