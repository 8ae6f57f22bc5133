//! Trials: what one namespace's new filters cost while they are made ready, and what others notice of it.

use std::collections::BTreeSet;
use std::time::Duration;

use http::StatusCode;
use serde_json::{Value as Json, json};
use sluice_tests::filtered::{marked, resource, tagging};
use sluice_tests::guests;
use sluice_tests::query_source::{Call, QuerySource, vector};
use sluice_tests::registry::{Lock, Registry};
use sluice_tests::series::Value;
use sluice_tests::servers::{Setup, Sluice};
use sluice_tests::strict_receiver::StrictReceiver;
use sluice_tests::wait::{eventually, within};
use tempfile::TempDir;

/// Series under the name `many`; of `one` there is one.
const MANY: usize = 10_000;
/// Filters of a resource that take their time.
const SLOW: usize = 8;
/// Source groups, each of which is a part of a trial.
const SOURCES: usize = 8;
/// Trials that there are at once.
const TRIALS: usize = 4;
/// An edit beside them takes a few seconds, and 200 and more if a trial has no end.
const EDIT_MAX: Duration = Duration::from_secs(60);
/// Modules of 30 MiB that wait for the compiler: 1.2 GiB if all of them were in memory. The process takes 120 to 250.
const LARGE: usize = 40;
const LARGE_BYTES: usize = 30 << 20;
const PEAK_MIB_MAX: usize = 384;

fn answer(call: &Call) -> (StatusCode, String) {
    let Some(time) = call.form.get("time") else { return (StatusCode::OK, String::new()) };
    let one = format!(r#"{{"metric":{{"__name__":"one"}},"value":[{time},"7"]}}"#);
    if !call.form.get("query").is_some_and(|query| query.contains("many")) {
        return vector(&one);
    }
    let many = (0..MANY)
        .map(|n| format!(r#"{{"metric":{{"__name__":"many","n":"{n}"}},"value":[{time},"7"]}}"#))
        .collect::<Vec<_>>();
    vector(&many.join(","))
}

fn modules() -> TempDir {
    let [hostile] = guests::built(["test-filter-hostile"]);
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("hostile.wasm"), hostile).unwrap();
    folder
}

fn hostile(name: &str, deed: &str) -> Json {
    json!({ "name": name, "module": { "file": { "path": "hostile.wasm" } }, "config": deed })
}

/// The tags of the series that go on are this one.
async fn tagged(receiver: &StrictReceiver, tag: &str) {
    let wanted = BTreeSet::from([tag.to_owned()]);
    within(EDIT_MAX, &format!("tagged {tag:?}"), async || {
        let goes_on = receiver
            .samples()
            .into_iter()
            .filter(|(_, samples)| samples.last().is_some_and(|newest| newest.value != Value::STALE));
        let tags: BTreeSet<String> = goes_on.map(|(series, _)| series.get("tag").to_owned()).collect();
        (tags == wanted).then_some(())
    })
    .await;
}

fn refusals(sluice: &Sluice) -> usize {
    sluice.log().matches("Filters are not ready").count()
}

#[tokio::test]
async fn a_filter_that_was_passed_over_in_its_trial_is_tried_again_once_it_may_not_be() {
    let (source, receiver, modules) =
        (QuerySource::start(answer).await, StrictReceiver::start().await, modules());
    let write = |filters: &Json| resource("team/team", &receiver, "one", filters);
    let evil = |key: &str, value: &str| {
        let mut filter = hostile("tag", "say and trap");
        filter[key] = json!(value);
        json!([filter])
    };
    let mut sluice = Setup::new()
        .source("main", &source.url())
        .setting("filters", json!({ "modulesFolder": modules.path() }))
        .resource("own.yaml", &write(&tagging("one")))
        .start()
        .await;
    tagged(&receiver, "one").await;
    sluice.write("own.yaml", &write(&evil("failurePolicy", "Ignore")));
    tagged(&receiver, "").await;
    for (key, value) in [("failurePolicy", "Fail"), ("mode", "Monitor")] {
        let before = refusals(&sluice);
        sluice.write("own.yaml", &write(&evil(key, value)));
        eventually("it does not replace what runs", async || (refusals(&sluice) > before).then_some(()))
            .await;
    }
    sluice.write("own.yaml", &write(&tagging("two")));
    tagged(&receiver, "two").await;
    assert!(sluice.stop().await.success());
    assert_eq!(receiver.violations(), []);
}

#[tokio::test]
async fn namespaces_whose_trials_are_long_hold_up_nobodys_edit() {
    let (source, theirs, modules) =
        (QuerySource::start(answer).await, StrictReceiver::start().await, modules());
    let (filtered, bare) = tokio::join!(StrictReceiver::start(), StrictReceiver::start());
    let setup = Setup::new().setting("filters", json!({ "modulesFolder": modules.path() }));
    let setup = (0..SOURCES).fold(setup, |setup, n| setup.source(&format!("source-{n}"), &source.url()));
    let mut sluice = setup
        .resource("filtered.yaml", &resource("filtered/filtered", &filtered, "one", &tagging("one")))
        .resource("bare.yaml", &resource("bare/bare", &bare, "one", &json!([])))
        .start()
        .await;
    tagged(&filtered, "one").await;
    tagged(&bare, "").await;
    let slow: Json = (0..SLOW).map(|n| hostile(&format!("f{n}"), "work")).collect();
    for n in 0..TRIALS {
        let slow = resource(&format!("slow-{n}/slow-{n}"), &theirs, r#"{__name__=~"many"}"#, &slow);
        sluice.write(&format!("slow-{n}.yaml"), &slow);
    }
    let answered = source.calls().len();
    eventually("their trials begin", async || (source.calls().len() > answered + 2 * SLOW).then_some(()))
        .await;
    sluice.write("filtered.yaml", &resource("filtered/filtered", &filtered, "one", &tagging("two")));
    tagged(&filtered, "two").await;
    sluice.write("bare.yaml", &resource("bare/bare", &bare, "nothing_of_this_name", &json!([])));
    within(EDIT_MAX, "what is not asked for any more ends", async || {
        let ended =
            |samples: Vec<sluice_tests::series::Sample>| samples.last().unwrap().value == Value::STALE;
        bare.samples().into_values().all(ended).then_some(())
    })
    .await;
    assert!(sluice.stop().await.success());
    assert_eq!((filtered.violations(), bare.violations()), (vec![], vec![]));
}

#[tokio::test]
async fn modules_that_wait_for_the_compiler_are_not_in_memory() {
    let (source, theirs, own) =
        (QuerySource::start(answer).await, StrictReceiver::start().await, StrictReceiver::start().await);
    let [totals] = guests::built(["test-filter-totals"]);
    let (registry, cache) = (Registry::start(Lock::Open).await, TempDir::new().unwrap());
    let host = registry.host();
    for n in 0..LARGE {
        let packed = layer(&marked(&totals, n, LARGE_BYTES));
        registry.put_artefact(
            "a",
            &n.to_string(),
            &[("application/vnd.oci.image.layer.v1.tar+gzip", &packed)],
        );
    }
    let allow = json!([{ "host": host, "plainHttp": true, "networks": ["127.0.0.0/8"] }]);
    let setup = Setup::new()
        .source("main", &source.url())
        .setting("filters", json!({ "allow": allow, "cacheFolder": cache.path() }))
        .setting("limits", json!({ "maxMemory": "64Mi" }))
        .resource("own.yaml", &resource("own/own", &own, "one", &json!([])));
    let greedy = |setup: Setup, n: usize| {
        let module = json!({ "oci": { "ref": format!("{host}/a:{n}") } });
        let filters = json!([{ "name": "sums", "module": module, "config": { "by": "job" } }]);
        let text = resource(&format!("greedy/greedy-{n}"), &theirs, "one", &filters);
        setup.resource(&format!("{n}.yaml"), &text)
    };
    let mut sluice = (0..LARGE).fold(setup, greedy).start().await;
    let pulled = |n: usize| registry.calls().iter().filter(|call| call.line.contains("/blobs/")).count() >= n;
    within(Duration::from_secs(120), "many were pulled", async || pulled(LARGE / 4).then_some(())).await;
    let ticks = || own.samples().into_values().flatten().count();
    let before = ticks();
    eventually("the other goes on", async || (ticks() >= before + 5).then_some(())).await;
    let peak = sluice.memory_bytes("VmHWM") >> 20;
    assert!(peak < PEAK_MIB_MAX, "{peak} MiB");
    assert!(sluice.stop().await.success());
    assert_eq!(own.violations(), []);
}

fn layer(component: &[u8]) -> Vec<u8> {
    let packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut archive = tar::Builder::new(packer);
    let mut header = tar::Header::new_gnu();
    header.set_size(component.len() as u64);
    archive.append_data(&mut header, "filter.wasm", component).unwrap();
    archive.into_inner().unwrap().finish().unwrap()
}
