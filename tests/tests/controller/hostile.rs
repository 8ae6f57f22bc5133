//! Hostile: modules that mean harm, all at once, each with its own status, while teams that share the process with them miss no tick.
//!
//! Most hostility shows while filters are made ready, on the newest tick's series. What waits until it runs (`… on 666`) is let
//! loose by a value at the source.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::time::Duration;

use futures::future::join_all;
use serde_json::{Value, json};
use sluice_tests::cluster::{Resource, Resources, condition};
use sluice_tests::expectation::{Expectation, ticks};
use sluice_tests::guests;
use sluice_tests::series::{self, LabelSet, assert_same, series};
use sluice_tests::servers::Sluice;
use sluice_tests::strict_receiver::{Seen, StrictReceiver};
use sluice_tests::wait::within;
use tempfile::TempDir;

use super::world::{INTERVAL_MS, SELECTED, TEAM, World, replica};

#[path = "../../filters/craft.rs"]
mod craft;

/// Teams that do no harm.
const GOOD: usize = 10;
/// How long after its time a tick of theirs is asked for, as the source of a [`sluice_tests::servers::Setup`] has it.
const LAG_MS: i64 = 3000;
/// What the process may come to: two hundred without anybody hostile, and a part of it for each guest that fills its own memory
/// before it is stopped. A gigabyte would have been mapped, or copied, otherwise.
const PEAK_MIB_MAX: usize = 700;
/// A gigabyte, in a section that nobody reads.
const CUSTOM_SECTION_BYTES: u32 = 1 << 30;
/// Everybody's turn at the compiler, and a failure's at the status.
const PATIENCE: Duration = Duration::from_secs(120);

/// What becomes of a hostile filter.
enum Fate {
    /// It never runs: this condition of it is false, for this reason. Nothing of its resource is sent.
    NeverReady(&'static str, &'static str),
    /// It runs until it does what it came for, and is told of then. Of the ticks since nothing is sent.
    Stopped(&'static str),
    /// It is stopped and begins anew, again and again: its resource is late, and has every tick.
    Replaced(&'static str),
    /// It does nothing that a filter may not do, and gains nothing by it.
    Harmless,
}

use Fate::{Harmless, NeverReady, Replaced, Stopped};

struct Case {
    name: &'static str,
    module: &'static str,
    deed: &'static str,
    limits: Value,
    fate: Fate,
}

const LABELS: &str = "labels.wasm";
pub(super) const SAMPLES: &str = "samples.wasm";

fn case(name: &'static str, module: &'static str, deed: &'static str, fate: Fate) -> Case {
    Case { name, module, deed, limits: json!({}), fate }
}

impl Case {
    fn within(self, limits: Value) -> Case {
        Case { limits, ..self }
    }
}

#[rustfmt::skip]
fn cases() -> Vec<Case> {
    let soon = || json!({ "timeout": "300ms" });
    let late = "did not answer within 300ms";
    let compiled = |words| NeverReady("Compiled", words);
    let configured = |words| NeverReady("Configured", words);
    vec![
        case("loop-in-start", "start.wasm", "", compiled("did not answer within 5s")),
        case("loop-in-configure", LABELS, "loop in configure", configured(late)).within(soon()),
        case("loop-in-classify", LABELS, "loop", configured(late)).within(soon()),
        case("loop-in-process", SAMPLES, "loop", configured(late)).within(soon()),
        case("loop-later", SAMPLES, "loop on 666", Stopped(late)).within(soon()),
        case("memory-bomb", LABELS, "take memory", configured("needs more than 16777216 bytes of memory")).within(json!({ "memory": "16Mi" })),
        case("memory-bomb-later", SAMPLES, "take memory on 666", Stopped("needs more than 16777216 bytes of memory")).within(json!({ "memory": "16Mi" })),
        case("memory-at-once", "memory.wasm", "", compiled("memory has a minimum byte size of 4294967296")),
        case("table-bomb", "table.wasm", "", compiled("a minimum element size of 100000000")),
        case("table-growth", "growth.wasm", "grow a table", configured("needs more than 20000 table entries")),
        case("many-tables", "tables.wasm", "", compiled("tables count of 5 exceeds the per-instance limit of 4")),
        case("many-modules", "modules.wasm", "", compiled("core module instances, which exceeds the configured maximum of 32")),
        case("recursion", LABELS, "recurse", configured("call stack exhausted")),
        case("recursion-later", SAMPLES, "recurse on 666", Stopped("call stack exhausted")),
        case("huge-lists", LABELS, "answer a lot", configured("it has more than 33554432 bytes")),
        case("huge-lists-later", SAMPLES, "answer a lot on 666", Stopped("it has more than 33554432 bytes")),
        case("many-copies", LABELS, "swell", configured("bytes of changed series are more than 33554432")),
        case("wrong-lengths", LABELS, "keep too few", configured("keep has 0 entries where 1 are due")),
        case("wrong-lengths-later", SAMPLES, "change without a value on 666", Stopped("changed-values has 0 entries where 1 are due")),
        case("lists-of-nothing", SAMPLES, "answer with what is not there on 666", Stopped("list pointer/length out of bounds of memory")),
        case("ids-out-of-range", LABELS, "edit an unknown name", configured("new-names names name 1048576, which does not exist")),
        case("ids-later", SAMPLES, "emit what was not announced on 666", Stopped("emitted-series names series 0, which does not exist")),
        case("bad-utf8", LABELS, "answer in no words", configured("invalid utf-8")),
        case("bad-utf8-later", SAMPLES, "answer in no words on 666", Stopped("invalid utf-8")),
        case("duplicate-labels", LABELS, "edit twice", configured("is set twice in one series")),
        case("duplicate-labels-later", SAMPLES, "emit a label twice on 666", Stopped("is set twice in one series")),
        case("duplicate-series", LABELS, "make all equal", Harmless),
        case("illegal-names", LABELS, "forge a name", configured("is no label name")),
        case("illegal-names-later", SAMPLES, "emit an illegal name on 666", Stopped("\"a-b\" is no label name")),
        case("stamps", LABELS, "forge a stamp", Harmless),
        case("a-million", SAMPLES, "emit a million on 666", Stopped("1000000 emitted series are more than 100000")),
        case("more-and-more", SAMPLES, "emit more and more", Replaced("120000 emitted series are more than 100000")),
        case("every-second", SAMPLES, "trap every second", Replaced("failed")),
        case("growing", SAMPLES, "hoard", Replaced("needs more than 6291456 bytes of memory")).within(json!({ "memory": "6Mi" })),
        case("wrong-contract", "contract.wasm", "", compiled("it was built for version 0.9.0 of the contract, and this Sluice knows 0.1.0")),
        case("core-module", "core.wasm", "", compiled("it is a core module; make a component of it")),
        case("truncated", "truncated.wasm", "", compiled("it is cut off")),
        case("machine-code", "machine.wasm", "", compiled("it is machine code, which is run only if Sluice made it here")),
        case("gigabyte", "gigabyte.wasm", "", NeverReady("Resolved", "has more than 33554432 bytes")),
        case("two-memories", "memories.wasm", "", compiled("multiple memories")),
        case("threads", "threads.wasm", "", compiled("threads must be enabled")),
        case("memory64", "memory64.wasm", "", compiled("memory64 must be enabled")),
        case("async", "async.wasm", "", compiled("component model async feature")),
        case("name", "name.wasm", "", compiled(r"it imports url=<http://\u{1b}[2J\u{202e}evil>; a filter")),
    ]
}

/// The two that most of the others are made of, built.
pub(super) fn built() -> [Vec<u8>; 2] {
    guests::built(["test-filter-hostile", "test-filter-hostile-samples"])
}

/// The operator's folder, with all of that in it.
fn modules() -> TempDir {
    let [labels, samples] = built();
    let folder = TempDir::new().expect("a temporary folder can be made");
    let engine = wasmtime::Engine::default();
    for (name, bytes) in [
        ("start.wasm", craft::looping_at_the_start(&labels)),
        ("memory.wasm", craft::with_a_memory_bomb(&labels)),
        ("table.wasm", craft::with_a_table_bomb(&labels)),
        ("growth.wasm", craft::growing_a_table(&labels)),
        ("tables.wasm", craft::with_many_tables(&labels)),
        ("modules.wasm", craft::with_many_modules(&labels)),
        ("contract.wasm", craft::of_another_contract(&labels)),
        ("core.wasm", craft::core_module(&labels)),
        ("truncated.wasm", labels[..labels.len() / 2].to_vec()),
        ("machine.wasm", engine.precompile_component(&labels).expect("it compiles")),
        ("gigabyte.wasm", [labels.as_slice(), &craft::custom_section_head(CUSTOM_SECTION_BYTES)].concat()),
        ("memories.wasm", craft::with_two_memories(&labels)),
        ("threads.wasm", craft::with_threads(&labels)),
        ("memory64.wasm", craft::with_memory64(&labels)),
        ("async.wasm", craft::with_async(&labels)),
        ("name.wasm", craft::that_imports("url=<http://\x1b[2J\u{202e}evil>")),
        (LABELS, labels.clone()),
        (SAMPLES, samples),
    ] {
        fs::write(folder.path().join(name), bytes).expect("the folder is writable");
    }
    let gigabyte = OpenOptions::new().write(true).open(folder.path().join("gigabyte.wasm"));
    let gigabyte = gigabyte.expect("it was just written");
    let head = gigabyte.metadata().expect("it is open").len();
    // A file with a hole takes no room on the disk.
    gigabyte.set_len(head + u64::from(CUSTOM_SECTION_BYTES)).expect("the folder takes files with holes");
    folder
}

pub(super) fn filter(module: &str, deed: &str, limits: &Value) -> Value {
    json!({ "name": "evil", "module": { "file": { "path": module } }, "config": deed, "limits": limits })
}

/// What lets those loose that wait for it.
pub(super) fn mood() -> LabelSet {
    series("mood", [("job", "shop")])
}

fn good(at: usize) -> String {
    format!("good-{at}")
}

/// A good team's filters: a relabeling, and the module of half of the hostile ones, which behaves here.
fn good_filters() -> Value {
    let rules = json!({ "rules": [{ "targetLabel": "tag", "replacement": "one" }] });
    json!([
        { "name": "tag", "module": { "builtin": { "name": "relabel" } }, "config": rules },
        { "name": "watch", "module": { "file": { "path": SAMPLES } }, "config": "nothing" },
    ])
}

/// The stage, those who do no harm, and the others, each with a receiver of its own.
struct Hostilities {
    world: World,
    cases: Vec<(Case, StrictReceiver)>,
    sluice: Sluice,
    /// What the good teams' receiver had seen, and how many of their ticks were late, before anybody else was there.
    before: (usize, u64),
}

impl Hostilities {
    /// Ten good teams deliver.
    async fn begin(folder: &TempDir) -> Hostilities {
        let world = World::new().await;
        world.stage.target.set(mood(), 0.0);
        for at in 0..GOOD {
            let mut spec = world.spec(&good(at));
            spec["filters"] = good_filters();
            world.resources().apply(&good(at), spec).await;
        }
        let filters = json!({ "modulesFolder": folder.path(), "timeout": "5s" });
        let sluice = replica("sluice-0", world.setup().setting("filters", filters)).await;
        for at in 0..GOOD {
            world.more_ticks(&good(at), 3).await;
        }
        let before = (world.receiver.seen().len(), late(&sluice).await);
        let receivers = join_all(cases().into_iter().map(async |case| (case, StrictReceiver::start().await)));
        Hostilities { world, cases: receivers.await, sluice, before }
    }

    fn resources(&self, case: &Case) -> Resources {
        Resources::new(self.world.api.client(), &namespace(case))
    }

    async fn apply_all(&self) {
        for (case, receiver) in &self.cases {
            self.world.api.create(json!({ "kind": "Namespace", "metadata": { "name": namespace(case) } }));
            let url = json!({ "url": receiver.url() });
            let mut spec = self.world.spec_to("remote_write", "remoteWrite", url, case.name);
            spec["metrics"] = json!(["queue_depth", "db_rows", "mood"]);
            spec["filters"] = json!([filter(case.module, case.deed, &case.limits)]);
            self.resources(case).apply(case.name, spec).await;
        }
    }

    /// Each says what is the matter with it, in its own words.
    async fn says_why(&self, case: &Case) -> String {
        let looks = |resource: &Resource| {
            let status = resource.status();
            let own = &status["filters"][0];
            match &case.fate {
                NeverReady(kind, words) => {
                    let said = said(condition(own, kind)?, "False", "Failed", words)?;
                    said_of(status, "FiltersReady", "False", "FilterFailing", words)?;
                    Some(format!("{kind}: {said}"))
                }
                Stopped(words) => said_of(status, "FiltersReady", "False", "FilterFailing", words),
                Replaced(words) => {
                    said(condition(own, "Configured")?, "True", "Done", "")?;
                    let last = own["lastFailure"]["message"].as_str()?;
                    last.contains(words).then(|| format!("it runs; last: {last}"))
                }
                Harmless => said_of(status, "FiltersReady", "True", "FiltersRunning", ""),
            }
        };
        let what = format!("it is as hostile as {}", case.name);
        self.resources(case).shows(case.name, &what, looks).await
    }

    /// Those that wait have delivered, and are let loose.
    async fn let_loose(&self) {
        for (case, receiver) in &self.cases {
            if !matches!(case.fate, NeverReady(..)) {
                within(PATIENCE, &format!("{} delivers", case.name), async || {
                    (ticks(&receiver.samples()).len() >= 3).then_some(())
                })
                .await;
            }
        }
        self.world.stage.target.set(mood(), 666.0);
    }

    /// A good team has every tick, with the source's values and its own filters' work, and nothing else.
    async fn assert_complete(&self, name: &str) {
        let held = self.world.held(name);
        // Everything is on this one machine: a scrape may come too late for the source, which then has nothing of that moment,
        // and the series end there, with a stale marker each, and begin again.
        let shape = |series: LabelSet| {
            let series = series.with("tag", "one").stamped("managed_by", "multi-tenant-proxy");
            Some(series.stamped("tenant", name))
        };
        let ticks = every_tick(&ticks(&held));
        assert!(ticks.len() >= 10, "{name} has only {ticks:?}");
        let expected = Expectation::of(&self.world.stage.api(), &ticks, &[SELECTED], shape).await;
        assert_same(name, &expected.samples(), &held);
    }

    /// How many intervals after it could be asked for the latest of the good teams' ticks arrived.
    fn worst_delay(&self) -> f64 {
        let seen = self.world.receiver.seen();
        let age = |seen: &Seen| seen.at - seen.oldest.unwrap_or(seen.at);
        let worst = seen[self.before.0..].iter().map(age).max().expect("they were sent something");
        (worst - LAG_MS) as f64 / INTERVAL_MS as f64
    }

    /// What a hostile filter's receiver got is no more than its fate allows, and nothing in anybody else's name.
    async fn assert_contained(&self, case: &Case, receiver: &StrictReceiver) {
        let held = receiver.samples();
        let stamps =
            |series: &LabelSet| (series.get("tenant") == case.name, series.get("managed_by").to_owned());
        let own = (true, "multi-tenant-proxy".to_owned());
        assert!(held.keys().all(|series| stamps(series) == own), "{}: {:?}", case.name, held.keys());
        assert_eq!(receiver.violations(), [], "{}", case.name);
        let ticks = ticks(&held);
        // Where the source has nothing twice running, the markers came the first time.
        for at in every_tick(&ticks).difference(&ticks) {
            let there = self.world.stage.api().instant(SELECTED, *at).await.expect("the source answers");
            assert!(there.is_empty(), "{} has nothing of {at}, and the source has {there:?}", case.name);
        }
        match case.fate {
            NeverReady(..) => assert!(receiver.seen().is_empty(), "{} was sent something", case.name),
            Stopped(_) => {
                assert!(ticks.len() >= 3, "{}: {ticks:?}", case.name);
                let moods = held.iter().filter(|(series, _)| series.name() == "mood");
                let mut moods = moods.flat_map(|(_, samples)| samples);
                let harmless = |value| [series::Value::from(0.0), series::Value::STALE].contains(&value);
                assert!(moods.all(|sample| harmless(sample.value)), "{} went on", case.name);
            }
            Replaced(_) | Harmless => assert!(ticks.len() >= 5, "{}: {ticks:?}", case.name),
        }
    }
}

// On threads of its own: what a hostile filter sends takes its receiver a second to read, and the target, and the good teams'
// receiver, have to answer meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn hostile_filters_are_contained_and_told_of_while_ten_teams_miss_no_tick() {
    let folder = modules();
    let mut scene = Hostilities::begin(&folder).await;
    scene.apply_all().await;
    scene.let_loose().await;
    let mut table = Vec::new();
    for (case, _) in &scene.cases {
        table.push(format!("{:24} {}", case.name, scene.says_why(case).await));
    }
    for at in 0..GOOD {
        scene.world.up_to_date(&good(at)).await;
    }
    let (peak, late, delay) =
        (scene.sluice.memory_bytes("VmHWM") >> 20, late(&scene.sluice).await, scene.worst_delay());
    eprintln!(
        "{}\nthe process took {peak} MiB at most; of the others' ticks {} were late, the latest by {delay:.2} intervals",
        table.join("\n"),
        late - scene.before.1,
    );
    assert!(scene.sluice.stop().await.success());
    for at in 0..GOOD {
        scene.assert_complete(&good(at)).await;
    }
    for (case, receiver) in &scene.cases {
        scene.assert_contained(case, receiver).await;
    }
    scene.world.assert_no_complaints();
    assert!(peak < PEAK_MIB_MAX, "{peak} MiB");
}

/// From the first of them to the last.
fn every_tick(ticks: &BTreeSet<i64>) -> BTreeSet<i64> {
    let (Some(first), Some(last)) = (ticks.first(), ticks.last()) else { return BTreeSet::new() };
    (*first..=*last).step_by(INTERVAL_MS as usize).collect()
}

/// How many of the good teams' ticks were delivered more than an interval after they could be asked for.
async fn late(sluice: &Sluice) -> u64 {
    sluice.counted("sluice_ticks_total", &[("tenant", TEAM), ("outcome", "late")]).await
}

fn namespace(case: &Case) -> String {
    format!("evil-{}", case.name)
}

fn said_of(status: &Value, kind: &str, truth: &str, reason: &str, words: &str) -> Option<String> {
    said(condition(status, kind)?, truth, reason, words)
}

/// A condition's message, if it is this one.
fn said(condition: &Value, truth: &str, reason: &str, words: &str) -> Option<String> {
    let message = condition["message"].as_str().unwrap_or_default();
    let is = condition["status"] == truth && condition["reason"] == reason && message.contains(words);
    is.then(|| message.to_owned())
}
