//! What a guest may do, and what happens when it does more.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use super::builtin::{ENRICH, PATTERNS, RELABEL};
use super::fixtures::{craft, guests};
use super::*;
use crate::model::{FilterMode, Labels, OnFailure, Timestamp, is_unseen_mark};

fn config() -> Config {
    // A machine that runs other tests too can be slow; what is to time out says so.
    Config { instances_max: 16, call_millis_max: 20_000, ..Config::default() }
}

/// A runtime whose built-in filters are all `component`, so that tests do not depend on what the real ones do.
fn runtime_of(config: &Config, component: &[u8]) -> Runtime {
    Runtime::with(config, all(component), Compiler::here()).unwrap()
}

fn all(component: &[u8]) -> Builtins {
    let put = |builtins: Builtins, name| builtins.with(name, component.to_owned());
    builtin::IN_EVERY_CHAIN.into_iter().fold(Builtins::embedded(), put)
}

fn embedded(name: &str) -> Vec<u8> {
    Builtins::embedded().bytes(name).unwrap().to_owned()
}

fn tenant() -> Tenant {
    Tenant::alone("shop", "web")
}

fn step(name: &str, module: &Module, config: serde_json::Value) -> Step {
    Step::new(name, module.clone(), config)
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied()).unwrap()
}

fn two_series() -> [Labels; 2] {
    [labels(&[("__name__", "up"), ("job", "a")]), labels(&[("__name__", "up"), ("job", "b")])]
}

/// What a hostile filter gets for a deed.
fn punished(deed: &str) -> Error {
    punished_within(20_000, deed)
}

fn punished_within(call_millis_max: u64, deed: &str) -> Error {
    let runtime = runtime_of(&Config { call_millis_max, ..config() }, &guests().hostile);
    let mut chain = hostile(&runtime, deed);
    chain.classify(&two_series().each_ref()).unwrap_err()
}

fn hostile(runtime: &Runtime, deed: &str) -> Chain {
    runtime.chain(tenant(), vec![step("evil", runtime.builtin(PATTERNS).unwrap(), json!(deed))]).unwrap()
}

#[test]
fn a_filter_that_drops_everything_in_place_of_patterns_leaves_nothing() {
    let builtins = Builtins::embedded().with(PATTERNS, guests().drop_everything.clone());
    let runtime = Runtime::with(&config(), builtins, Compiler::here()).unwrap();
    let stamp = json!({"stamps": [["tenant", "shop"]]});
    let steps = vec![
        step("patterns", runtime.builtin(PATTERNS).unwrap(), json!({"selectors": ["up"]})),
        step("enrich", runtime.builtin(ENRICH).unwrap(), stamp),
    ];
    let mut chain = runtime.chain(tenant(), steps).unwrap();
    assert_eq!(chain.classify(&two_series().each_ref()).unwrap(), [None, None]);
    assert_eq!(chain.passed(), [0, 0]);
    let calls: Vec<_> = chain.usage().map(|usage| (usage.rows_in, usage.dropped)).collect();
    assert_eq!(calls, [(2, 2), (0, 0)]);
}

#[test]
fn what_filters_leave_alone_comes_back_as_it_was_and_edits_compose() {
    let runtime = runtime_of(&config(), &embedded(ENRICH));
    let enrich = runtime.builtin(ENRICH).unwrap();
    let stamp = |name: &str| json!({"stamps": [[name, "x"]], "honorLabels": true});
    let steps = vec![step("one", enrich, stamp("job")), step("two", enrich, stamp("zone"))];
    let mut chain = runtime.chain(tenant(), steps).unwrap();
    let [with_job, _] = two_series();
    let without = labels(&[("__name__", "up")]);
    let all = labels(&[("__name__", "up"), ("job", "a"), ("zone", "z")]);
    let judged = chain.classify(&[&with_job, &without, &all]).unwrap();
    assert_eq!(judged[0], Some(labels(&[("__name__", "up"), ("job", "a"), ("zone", "x")])));
    assert_eq!(judged[1], Some(labels(&[("__name__", "up"), ("job", "x"), ("zone", "x")])));
    assert_eq!(judged[2], Some(all.clone()));
    let rewritten: Vec<_> = chain.usage().map(|usage| usage.rewritten).collect();
    assert_eq!(rewritten, [1, 2]);
}

#[test]
fn batches_are_cut_and_strings_start_over_without_a_trace_in_the_answer() {
    let config = Config { batch_rows_max: 7, dictionary_bytes_max: 64, ..config() };
    let runtime = runtime_of(&config, &embedded(ENRICH));
    let steps = vec![step("enrich", runtime.builtin(ENRICH).unwrap(), json!({"stamps": [["tenant", "t"]]}))];
    let mut chain = runtime.chain(tenant(), steps).unwrap();
    let series: Vec<_> = (0..100).map(|i| labels(&[("__name__", "m"), ("i", &i.to_string())])).collect();
    let judged = chain.classify(&series.iter().collect::<Vec<_>>()).unwrap();
    for (i, judged) in judged.into_iter().enumerate() {
        assert_eq!(judged, Some(labels(&[("__name__", "m"), ("i", &i.to_string()), ("tenant", "t")])));
    }
    let usage = chain.usage().next().unwrap();
    assert_eq!(usage.calls, 15);
    assert!(usage.instances > 2, "instances were replaced: {}", usage.instances);
    assert_eq!(usage.restarts, 0, "none was lost");
}

#[test]
fn an_idle_chain_holds_no_instance() {
    let runtime = runtime_of(&Config { instances_max: 3, ..config() }, &guests().hostile);
    let mut chains: Vec<_> = (0..10).map(|_| hostile(&runtime, "nothing")).collect();
    for chain in &mut chains {
        chain.classify(&two_series().each_ref()).unwrap();
        chain.rest();
    }
}

#[test]
fn a_chain_that_finds_no_free_instance_can_try_again() {
    let runtime = runtime_of(&Config { instances_max: 3, ..config() }, &guests().hostile);
    let mut chains: Vec<_> = (0..4).map(|_| hostile(&runtime, "nothing")).collect();
    let input = two_series();
    let mut answers: Vec<_> = chains.iter_mut().map(|chain| chain.classify(&input.each_ref())).collect();
    let error = answers.pop().unwrap().unwrap_err();
    assert!(matches!(error, Error::Busy { limit: 3, .. }) && error.is_transient(), "{error}");
    chains[0].rest();
    assert!(chains[3].classify(&input.each_ref()).is_ok());
}

#[test]
fn a_configuration_is_refused_with_its_place() {
    let runtime = runtime_of(&config(), &embedded(ENRICH));
    let steps =
        vec![step("stamp", runtime.builtin(ENRICH).unwrap(), json!({"stamps": [["a", "b"], ["c", 1]]}))];
    let error = runtime.chain(tenant(), steps).unwrap_err();
    let told = "filter stamp: config.stamps[1][1]: 1 is not text: write \"1\"";
    assert_eq!(error.to_string(), told);
    assert!(!error.is_transient());

    // What a filter finds wrong itself has its place too, seen from the resource.
    let runtime = Runtime::new(&config()).unwrap();
    let rules =
        json!({"rules": [{"action": "labeldrop", "regex": "a"}, {"action": "labeldrop", "regex": "("}]});
    let config_at = "spec.filters[2].config".to_owned();
    let own = Step { config_at, ..step("own", runtime.builtin(RELABEL).unwrap(), rules) };
    let error = runtime.chain(tenant(), vec![own]).unwrap_err();
    let told = "filter own: spec.filters[2].config.rules[1].regex: ";
    assert!(error.to_string().starts_with(told), "{error}");
}

#[test]
fn a_trap_costs_the_batch_and_the_next_call_has_a_new_instance() {
    let runtime = runtime_of(&config(), &guests().hostile);
    let mut chain = hostile(&runtime, "say and trap");
    for _ in 0..2 {
        let error = chain.classify(&two_series().each_ref()).unwrap_err();
        assert_eq!(error.to_string(), "filter evil failed: the reason");
    }
    let usage = chain.usage().next().unwrap();
    assert_eq!((usage.traps, usage.instances, usage.restarts), (2, 3, 2));
}

#[test]
fn a_trap_without_a_word_says_what_the_engine_knows() {
    assert_eq!(
        punished("trap").to_string(),
        "filter evil failed: wasm trap: wasm `unreachable` instruction executed"
    );
    assert!(punished("recurse").to_string().contains("call stack exhausted"));
}

#[test]
fn a_guest_does_not_outlive_its_deadline() {
    let start = Instant::now();
    let error = punished_within(300, "loop");
    assert!(matches!(error, Error::Deadline { .. }) && error.is_transient(), "{error}");
    let runtime = runtime_of(&Config { call_millis_max: 300, ..config() }, &guests().hostile);
    let evil = vec![step("evil", runtime.builtin(PATTERNS).unwrap(), json!("loop in configure"))];
    assert!(matches!(runtime.chain(tenant(), evil), Err(Error::Deadline { .. })));
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_guest_does_not_grow_past_its_memory() {
    let error = punished("take memory");
    assert!(matches!(error, Error::Memory { .. }), "{error}");
}

#[test]
fn a_guest_does_not_grow_past_its_table_entries() {
    let runtime = Runtime::new(&config()).unwrap();
    let evil = runtime.load("the module", &craft::growing_a_table(&guests().hostile)).unwrap();
    let mut chain = runtime.chain(tenant(), vec![step("evil", &evil, json!("grow a table"))]).unwrap();
    let error = chain.classify(&two_series().each_ref()).unwrap_err();
    let told = "filter evil needs more than 20000 table entries: call fewer functions by pointer";
    assert_eq!(error.to_string(), told);
}

#[test]
fn a_guest_cannot_make_the_host_take_memory_for_an_answer() {
    let error = punished("answer a lot");
    assert!(matches!(error, Error::Nonsense { cause: Nonsense::TooLong(33_554_432), .. }), "{error}");
    // One long string for a thousand labels would be sixty megabytes of ours.
    let error = punished("swell");
    let told = "bytes of changed series are more than 33554432";
    assert!(error.to_string().ends_with(told), "{error}");
    let error = punished("name a lot").to_string();
    assert!(error.ends_with("20000 new names are more than 16384"), "{error}");
}

#[test]
fn what_a_guest_says_is_one_line_that_ends() {
    let Error::Refused { message, .. } = punished("refuse at length") else { panic!("it refuses") };
    assert!(message.starts_with("not today today ") && message.len() == 1_024, "{message}");
}

#[test]
fn an_answer_that_cannot_be_read_is_none() {
    for (deed, why) in [
        ("refuse in no words", "it cannot be read: invalid utf-8 sequence of 1 bytes from index 0"),
        ("answer in no words", "it cannot be read: invalid utf-8 sequence of 1 bytes from index 0"),
        ("answer with what is not there", "it cannot be read: list pointer/length out of bounds of memory"),
    ] {
        let error = punished(deed).to_string();
        assert_eq!(error, format!("filter evil gave an answer that breaks the contract: {why}"), "{deed}");
    }
}

/// What a filter that sees samples gets for a deed, at the first call that fails of so many.
fn punished_with_samples(deed: &str, calls: i64) -> Result<(), Error> {
    let runtime = runtime_of(&config(), &guests().hostile_samples);
    let step = step("evil", runtime.builtin(PATTERNS).unwrap(), json!(deed));
    let mut filter = runtime.stateful(tenant(), step).unwrap();
    filter.classify(&[(0, &two_series()[0])]).unwrap();
    let rows = SampleRows { series: &[0], timestamps: &[2_000], values: &[0], opaque: &[] };
    (0..calls).try_for_each(|call| {
        let window = Window {
            since: Timestamp(call * 1_000),
            at: Timestamp(call * 1_000 + 1_000),
            moments: Moments::Tick,
        };
        filter.process(window, true, rows).map(drop)
    })
}

#[test]
fn nonsense_about_samples_is_refused_with_its_cause() {
    for (deed, cause) in [
        ("keep too few", "keep has 0 entries where 1 are due"),
        ("change without a value", "changed-values has 0 entries where 1 are due"),
        ("change no row", "changed names row 1048576, which does not exist"),
        ("emit what was not announced", "emitted-series names series 0, which does not exist"),
        ("emit a label twice", "label \"l\" is set twice in one series"),
        ("emit an illegal name", "\"a-b\" is no label name: use [a-zA-Z_][a-zA-Z0-9_]*"),
        ("emit yesterday", "row 0 of emitted-series: its timestamp is outside the tick's window"),
        ("emit a million", "1000000 emitted series are more than 100000"),
        ("emit more and more", "120000 emitted series are more than 100000"),
        ("emit at length", "33566712 bytes of emitted series are more than 33554432"),
        ("answer a lot", "it has more than 33554432 bytes"),
        ("answer in no words", "it cannot be read: invalid utf-8 sequence of 1 bytes from index 0"),
        ("answer with what is not there", "it cannot be read: list pointer/length out of bounds of memory"),
    ] {
        match punished_with_samples(deed, 10).unwrap_err() {
            Error::Nonsense { cause: actual, .. } => assert_eq!(actual.to_string(), cause, "{deed}"),
            other => panic!("{deed}: {other}"),
        }
    }
    let error = punished_with_samples("take memory", 1).unwrap_err();
    assert!(matches!(error, Error::Memory { .. }), "{error}");
    assert!(matches!(punished_with_samples("hoard", 100).unwrap_err(), Error::Memory { .. }));
    punished_with_samples("loop on 666", 3).unwrap();
}

#[test]
fn of_a_call_that_fails_a_filter_forgets_what_it_was_asked_before() {
    let config = Config { batch_rows_max: 1, ..config() };
    let runtime = runtime_of(&config, &guests().hostile_samples);
    let step = step("evil", runtime.builtin(PATTERNS).unwrap(), json!("refuse the second batch"));
    let mut filter = runtime.stateful(tenant(), step).unwrap();
    let [a, b] = two_series();
    let error = filter.classify(&[(0, &a), (1, &b)]).unwrap_err().to_string();
    assert_eq!(error, "filter evil refuses the batch: not the second");
    // It breaks where a number is given to another series before it was told that the first one ended.
    assert_eq!(filter.classify(&[(0, &b), (1, &a)]).unwrap(), [Some(b), Some(a)]);
    assert_eq!(filter.generation(), 0);
}

#[test]
fn a_namespace_pays_once_for_the_code_of_its_filters_and_nobody_for_the_programs_own() {
    let runtime = runtime_of(&config(), &guests().totals);
    let module = runtime.load("filter own", &guests().totals).unwrap();
    let code = module.code_bytes();
    assert!(code > 10_000, "{code} bytes");
    let memory = crate::model::Memory::new(usize::MAX >> 1);
    let of = |namespace: &str, max: usize| Tenant { payer: memory.payer(namespace, max), ..tenant() };
    let chain = |tenant: &Tenant, module: &Module| {
        runtime.stateful(tenant.clone(), step("own", module, json!({ "by": "job" })))
    };
    let web = of("web", usize::MAX >> 1);
    let held = || web.payer.hold().of_namespace();
    let alone = chain(&web, runtime.builtin(PATTERNS).unwrap()).unwrap();
    let instance = held();
    drop(alone);
    let one = chain(&web, &module).unwrap();
    assert_eq!(held(), code + instance);
    let two = chain(&web, &module).unwrap();
    assert_eq!(held(), code + 2 * instance, "once");
    drop((one, two));
    assert_eq!(held(), 0);
    let refused = chain(&of("poor", code - 1), &module).unwrap_err();
    assert!(matches!(refused, Error::Full { .. }), "{refused}");
}

#[test]
fn what_is_done_with_answers_is_counted_as_the_filters_time() {
    let runtime = runtime_of(&config(), &guests().hostile);
    let evil = step("evil", runtime.builtin(PATTERNS).unwrap(), json!("grow"));
    let mut chain = runtime.chain(tenant(), vec![evil]).unwrap();
    let [a, _] = two_series();
    chain.classify(&[&a]).unwrap_err();
    assert!(chain.usage().next().unwrap().checking_time > Duration::ZERO);
}

#[test]
fn what_a_guest_has_us_keep_is_counted() {
    let runtime = runtime_of(&config(), &guests().hostile_samples);
    let evil = step("evil", runtime.builtin(PATTERNS).unwrap(), json!("emit more and more"));
    let mut filter = runtime.stateful(tenant(), evil).unwrap();
    filter.classify(&[]).unwrap();
    let window = Window { since: Timestamp(0), at: Timestamp(1_000), moments: Moments::Tick };
    filter.process(window, true, SampleRows::default()).unwrap();
    let labels: usize = filter.emitted().iter().map(Labels::text_bytes).sum();
    assert_eq!((filter.emitted().len(), labels), (20_000, 20_000 * 21));
    assert!(filter.kept_bytes() >= labels);
}

#[test]
fn modules_that_ask_for_too_much_are_refused_before_they_run() {
    let runtime = runtime_of(&Config { call_millis_max: 300, ..config() }, &guests().hostile);
    let good = &guests().hostile;
    for (module, why) in [
        (
            craft::with_a_table_bomb(good),
            "it does not compile as a component: table index 0 has a minimum element size of 100000000 which exceeds the limit of 20000",
        ),
        (
            craft::with_a_memory_bomb(good),
            "memory has a minimum byte size of 4294967296 which exceeds the limit of 0x4000000 bytes",
        ),
        (craft::with_many_tables(good), "tables count of 5 exceeds the per-instance limit of 4"),
        (craft::with_many_modules(good), "core module instances, which exceeds the configured maximum of 32"),
        (craft::with_two_memories(good), "multiple memories"),
        (craft::with_threads(good), "threads must be enabled for shared memories"),
        (craft::with_memory64(good), "memory64 must be enabled for 64-bit memories"),
        (craft::with_async(good), "requires the component model async feature"),
        (
            craft::of_another_contract(good),
            "it was built for version 0.9.0 of the contract, and this Sluice knows 0.1.0",
        ),
        (craft::core_module(good), "it is a core module; make a component of it"),
        (good[..good.len() / 2].to_vec(), "it is cut off"),
        (runtime.machine_code(good), "it is machine code, which is run only if Sluice made it here"),
        (b"PK\x03\x04".to_vec(), "it does not begin as a WebAssembly component does"),
        (Vec::new(), "it is empty"),
    ] {
        let error = runtime.load("filter evil", &module).unwrap_err();
        assert!(
            matches!(error, Error::NotAFilter { .. }) && error.to_string().contains(why),
            "{why}: {error}"
        );
    }
    let padding = vec![0; 1 << 20];
    let padded = [good.as_slice(), &craft::custom_section_head(1 << 20), &padding].concat();
    runtime.load("filter evil", &padded).expect("what is beside the code is passed over");
    let error = runtime.load("filter evil", &craft::looping_at_the_start(good)).unwrap_err();
    assert_eq!(error.to_string().split(':').next().unwrap(), "filter evil did not answer within 300ms");
}

#[test]
fn a_guest_that_writes_a_lot_is_cut_short() {
    let runtime = runtime_of(&config(), &guests().hostile);
    let mut chain = hostile(&runtime, "write a lot");
    assert_eq!(chain.classify(&two_series().each_ref()).unwrap().len(), 2);
    assert_eq!(chain.usage().next().unwrap().log_lines_left_out, 992);
}

#[test]
fn filters_of_a_namespace_write_together_no_more_than_one_may_and_what_is_left_out_is_told_once() {
    let runtime = Runtime::new(&config()).unwrap();
    let module = runtime.load("prints three lines", &guests().empty_world).unwrap();
    let chain = |namespace: &str, name: &str| {
        let steps = vec![step("a", &module, json!("print")), step("b", &module, json!("print"))];
        runtime.chain(Tenant::alone(namespace, name), steps).unwrap()
    };
    let judge = |chain: &mut Chain| {
        chain.classify(&[&two_series()[0]]).unwrap();
        chain.rest();
    };
    let mut loud: Vec<Chain> = ["web", "db", "app"].iter().map(|name| chain("shop", name)).collect();
    let mut other = chain("bank", "web");
    let start = std::time::Instant::now();
    let text = logged(|| {
        (0..30).for_each(|_| loud.iter_mut().for_each(judge));
        judge(&mut other);
    });
    let seconds = start.elapsed().as_secs() as usize;
    let lines = |part: &str| text.lines().filter(|line| line.contains(part)).count();
    let written = lines("tenant=\"shop/");
    assert!((100..=120 + 20 * seconds).contains(&written) && written < 540, "{written} in {seconds} s");
    let left_out: u64 = loud.iter().flat_map(Chain::usage).map(|usage| usage.log_lines_left_out).sum();
    assert_eq!((left_out, lines("too many lines")), (540 - written as u64, 1));
    assert_eq!(lines("tenant=\"bank/web\""), 6);
}

/// What is logged meanwhile, as text.
fn logged(work: impl FnOnce()) -> String {
    let (mut log, writer) = std::io::pipe().unwrap();
    let reading = std::thread::spawn(move || std::io::read_to_string(&mut log).unwrap());
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(std::sync::Mutex::new(writer));
    tracing::subscriber::with_default(subscriber.finish(), work);
    reading.join().unwrap()
}

#[test]
fn a_refusal_is_told_in_the_filters_words() {
    let error = punished("refuse");
    assert_eq!(error.to_string(), "filter evil refuses the batch: not today");
    assert!(error.is_transient());
}

#[test]
fn nonsense_is_refused_with_its_cause() {
    for (deed, cause) in [
        ("keep too few", "keep has 0 entries where 1 are due"),
        ("keep too many", "keep has 1024 entries where 1 are due"),
        ("keep spare rows", "keep has bits beyond the last row"),
        ("cut a triple", "edits (the last triple) has 2 entries where 0 are due"),
        ("edit no row", "edits names row 4294967295, which does not exist"),
        ("edit backwards", "the rows of edits are not in ascending order"),
        ("edit a dropped row", "edits changes row 0, which is dropped"),
        ("edit twice", "label \"__name__\" is set twice in one series"),
        ("edit an unknown name", "new-names names name 1048576, which does not exist"),
        ("edit an unknown value", "new-values names value 1048576, which does not exist"),
        ("name its own, which it has not", "new-names names name 2147483648, which does not exist"),
        ("forge a name", "\"__address__\\0\" is no label name: use [a-zA-Z_][a-zA-Z0-9_]*"),
        ("forge an empty name", "\"\" is no label name: use [a-zA-Z_][a-zA-Z0-9_]*"),
        ("forge a name with a dash", "\"a-b\" is no label name: use [a-zA-Z_][a-zA-Z0-9_]*"),
        ("set nothing", "label \"__name__\" is set to the empty value"),
        ("cut a character", "the ends of new-values do not cut it into pieces"),
        ("end backwards", "the ends of new-values do not cut it into pieces"),
        ("end late", "the ends of new-values do not cut it into pieces"),
        ("leave text", "the ends of new-values do not cut it into pieces"),
        ("grow", "1000 edits of one series are more than 512"),
    ] {
        match punished(deed) {
            Error::Nonsense { filter, cause: actual } => {
                assert_eq!((filter.as_str(), actual.to_string()), ("evil", cause.to_string()), "{deed}");
            }
            other => panic!("{deed}: {other}"),
        }
    }
}

#[test]
fn removing_is_allowed_even_of_what_is_not_there() {
    let runtime = runtime_of(&config(), &guests().hostile);
    let [first, second] = two_series();
    let judged = |deed| hostile(&runtime, deed).classify(&[&first, &second]).unwrap();
    assert_eq!(judged("remove what is not there"), [Some(first.clone()), Some(second.clone())]);
    assert_eq!(judged("remove everything"), [Some(Labels::default()), Some(second.clone())]);
}

#[test]
fn what_is_no_filter_is_refused_with_a_reason() {
    let runtime = runtime_of(&config(), &guests().hostile);
    let refusal = |bytes: &[u8]| runtime.load("the module", bytes).unwrap_err().to_string();
    let broken = [guests().hostile[..8].to_vec(), vec![0xff, 0]].concat();
    assert!(refusal(&broken).starts_with("the module is not a filter: it does not compile as a component: "));
    let module = runtime.load("the module", &guests().totals).unwrap();
    assert_eq!(module.manifest().name, "test-filter-totals");
    assert_eq!(module.manifest().state, State::Sample);
    assert_eq!(module.digest().len(), "sha256:".len() + 64);
}

#[test]
fn filters_are_configured_one_after_the_other_as_long_as_it_goes_on() {
    let runtime = runtime_of(&config(), &guests().hostile);
    let totals = runtime.load("the module", &guests().totals).unwrap();
    let steps = || {
        let hostile = |deed: &str| step("evil", runtime.builtin(PATTERNS).unwrap(), json!(deed));
        let kept = || step("totals", &totals, json!({"by": "job"}));
        vec![hostile("nothing"), kept(), hostile("nothing"), hostile("nothing"), kept()]
    };
    for most in 0..=5 {
        let asked = std::cell::Cell::new(0);
        let goes_on = || asked.replace(asked.get() + 1) < most;
        let is_whole = runtime.sequence_while(&tenant(), steps(), &goes_on).unwrap().is_some();
        assert_eq!((is_whole, asked.take()), (most == 5, (most + 1).min(5)));
        let is_whole = runtime.trial(&tenant(), steps(), &goes_on).unwrap().is_some();
        assert_eq!((is_whole, asked.take()), (most == 5, (most + 1).min(5)));
    }
}

#[test]
fn names_in_a_component_are_shown_and_do_nothing() {
    let load = |wasi, name: &str| {
        let runtime = Runtime::new(&Config { wasi, ..config() }).unwrap();
        runtime.load("filter evil", &craft::that_imports(name)).unwrap_err().to_string()
    };
    let acting = "url=<http://\x1b[2J\u{202e}\u{9b}31m\nevil>";
    let refused = load(Wasi::Empty, acting);
    let shown = r"it imports url=<http://\u{1b}[2J\u{202e}\u{9b}31m evil>; a filter may import";
    assert!(refused.contains(shown), "{refused}");
    let bad = load(Wasi::Empty, "\x1b[2J\u{202e}");
    let long = load(Wasi::Empty, &format!("url=<{}>", "a".repeat(50_000)));
    assert!(long.len() < 300 && long.contains("aaa…; a filter may import"), "{long}");
    for refused in [refused, bad, long, load(Wasi::None, "wasi:cli/run@0.2.0")] {
        assert!(!refused.contains(|c: char| c.is_control() || is_unseen_mark(c)), "{refused:?}");
    }
}

#[test]
fn samples_are_dropped_changed_and_emitted() {
    let runtime = runtime_of(&config(), &guests().hostile);
    let totals = runtime.load("the module", &guests().totals).unwrap();
    let mut filter = runtime.stateful(tenant(), step("totals", &totals, json!({"by": "job"}))).unwrap();
    let [a, b] = two_series();
    let twice = labels(&[("__name__", "up"), ("job", "b"), ("twice", "1")]);
    let nothing = labels(&[("__name__", "up")]);
    let judged = filter.classify(&[(0, &a), (1, &twice), (2, &nothing)]).unwrap();
    assert_eq!(judged, [Some(a.clone()), Some(b), None]);

    let stale = crate::model::STALE_NAN_BITS;
    let window = Window { since: Timestamp(1_000), at: Timestamp(2_000), moments: Moments::Any };
    let values = [1.5_f64.to_bits(), stale, 3_f64.to_bits(), (-1_f64).to_bits(), 0];
    let rows = SampleRows {
        series: &[0, 0, 1, 1, 1],
        timestamps: &[1_500, 2_000, 1_500, 1_600, 2_000],
        values: &values,
        opaque: &[0b10000],
    };
    let edits = filter.process(window, false, rows).unwrap();
    assert_eq!(
        edits,
        SampleEdits { keep: vec![0b10111], changed: vec![(2, 6_f64.to_bits())], emitted: vec![] }
    );

    let edits = filter.process(window, true, SampleRows::default()).unwrap();
    assert_eq!(
        edits.emitted.iter().map(|e| (e.series, e.timestamp)).collect::<Vec<_>>(),
        [(0, 2_000), (1, 2_000)]
    );
    assert_eq!(edits.emitted[1].bits, 6_f64.to_bits());
    assert_eq!(filter.emitted()[1], labels(&[("__name__", "total"), ("job", "b")]));

    // Forgotten numbers go to others.
    filter.forget(&[0]);
    let c = labels(&[("job", "c")]);
    assert_eq!(filter.classify(&[(0, &c)]).unwrap(), [Some(c)]);
    assert_eq!(filter.generation(), 0);
    let usage = filter.usage();
    assert_eq!((usage.samples_in, usage.samples_dropped, usage.samples_changed), (5, 1, 1));
    assert_eq!(usage.samples_emitted, 2);
}

#[test]
fn a_filter_refuses_in_its_own_words_and_goes_on_with_what_it_announced() {
    let runtime = runtime_of(&config(), &guests().hostile);
    let totals = runtime.load("the module", &guests().totals).unwrap();
    let mut filter = runtime.stateful(tenant(), step("totals", &totals, json!({"by": "job"}))).unwrap();
    let [a, b] = two_series();
    let refused = labels(&[("__name__", "up"), ("job", "refused")]);
    let error = filter.classify(&[(0, &a), (1, &refused)]).unwrap_err();
    assert_eq!(error.to_string(), "filter totals refuses the batch: not this group");
    assert_eq!(filter.classify(&[(0, &a)]).unwrap(), [Some(a)]);

    let at = |since, value: f64| {
        let window = Window { since: Timestamp(since), at: Timestamp(since + 1_000), moments: Moments::Tick };
        (window, [since + 1_000], [value.to_bits()])
    };
    let (window, timestamps, values) = at(1_000, 667.0);
    let rows = SampleRows { series: &[0], timestamps: &timestamps, values: &values, opaque: &[] };
    let error = filter.process(window, true, rows).unwrap_err();
    assert_eq!(error.to_string(), "filter totals refuses the batch: the neighbour of the beast");
    assert_eq!(filter.emitted(), []);

    // The answer to this comes between, with strings of its own.
    filter.classify(&[(1, &b)]).unwrap();
    let (window, timestamps, values) = at(2_000, 1.0);
    let rows = SampleRows { series: &[0], timestamps: &timestamps, values: &values, opaque: &[] };
    assert_eq!(filter.process(window, true, rows).unwrap().emitted.len(), 1);
    assert_eq!(filter.emitted(), [labels(&[("__name__", "total"), ("job", "a")])]);
    assert_eq!((filter.generation(), filter.usage().refused), (0, 2));
}

#[test]
fn a_panic_is_told_in_its_own_words_wherever_it_is() {
    let runtime = runtime_of(&config(), &guests().hostile);
    let totals = runtime.load("the module", &guests().totals).unwrap();
    let error = runtime.stateful(tenant(), step("totals", &totals, json!({"by": "panic"}))).unwrap_err();
    assert!(error.to_string().ends_with("do not"), "{error}");
}

#[test]
fn where_there_is_one_sample_a_tick_nothing_is_emitted_between_ticks() {
    let runtime = runtime_of(&config(), &guests().hostile);
    let totals = runtime.load("the module", &guests().totals).unwrap();
    let mut filter = runtime.stateful(tenant(), step("totals", &totals, json!({"by": "job"}))).unwrap();
    let [a, _] = two_series();
    filter.classify(&[(0, &a)]).unwrap();
    let window = Window { since: Timestamp(1_000), at: Timestamp(2_000), moments: Moments::Tick };
    let rows = SampleRows { series: &[0], timestamps: &[2_000], values: &[0], opaque: &[] };
    let emitted = filter.process(window, true, rows).unwrap().emitted;
    assert_eq!(emitted, [Emission { series: 0, timestamp: 2_000, bits: 0 }]);
}

#[test]
fn a_filter_that_is_only_watched_changes_nothing_and_is_counted() {
    let runtime = Runtime::new(&config()).unwrap();
    let selectors = json!({"selectors": ["up{job=\"a\"}"]});
    let patterns = step("own", runtime.builtin(builtin::PATTERNS).unwrap(), selectors);
    let watched = Step { mode: FilterMode::Monitor, ..patterns };
    let mut chain = runtime.chain(tenant(), vec![watched]).unwrap();
    let [a, b] = two_series();
    assert_eq!(chain.classify(&[&a, &b]).unwrap(), [Some(a.clone()), Some(b.clone())]);
    let usage = chain.usage().next().unwrap();
    assert_eq!((usage.rows_in, usage.kept, usage.dropped), (2, 1, 1));

    let totals = runtime.load("the module", &guests().totals).unwrap();
    let watched = Step { mode: FilterMode::Monitor, ..step("totals", &totals, json!({"by": "job"})) };
    let mut filter = runtime.stateful(tenant(), watched).unwrap();
    let nothing = labels(&[("__name__", "up")]);
    let judged = filter.classify(&[(0, &a), (1, &nothing)]).unwrap();
    assert_eq!(judged, [Some(a), Some(nothing)]);
    assert!(filter.is_to_see(0) && !filter.is_to_see(1), "only what it kept is shown to it");
    let window = Window { since: Timestamp(1_000), at: Timestamp(2_000), moments: Moments::Tick };
    let rows = SampleRows { series: &[0], timestamps: &[2_000], values: &[(-1_f64).to_bits()], opaque: &[] };
    assert_eq!(
        filter.process(window, true, rows).unwrap(),
        SampleEdits { keep: vec![1], ..Default::default() }
    );
    assert_eq!(filter.usage().samples_dropped, 1, "it would have been");
}

#[test]
fn series_go_past_a_filter_that_fails_and_may_and_are_asked_about_again() {
    let runtime = Runtime::new(&config()).unwrap();
    let evil = runtime.load("the module", &guests().hostile).unwrap();
    let failing = Step { on_failure: OnFailure::Ignore, ..step("evil", &evil, json!("say and trap")) };
    let mut chain = runtime.chain(tenant(), vec![failing]).unwrap();
    let [a, b] = two_series();
    let mut now = Timestamp(0);
    let mut asked = Vec::new();
    for _ in 0..40 {
        now = now.plus(Duration::from_secs(1));
        asked.push(chain.begin(Timing { now, tick: now }));
        assert_eq!(chain.classify(&[&a, &b]).unwrap(), [Some(a.clone()), Some(b.clone())]);
    }
    let usage = chain.usage().next().unwrap();
    assert_eq!((usage.traps, usage.bypassed), (6, 80), "five, and one after half a minute");
    let failing = usage.failing.as_ref().unwrap();
    assert_eq!((failing.attempts, failing.since), (6, Timestamp(1_000)));
    assert_eq!(failing.message, "filter evil failed: the reason");
    assert_eq!(asked.iter().filter(|again| **again).count(), 5, "not while it is held off");
}

#[test]
fn a_filter_that_must_not_fail_is_held_off_too() {
    let runtime = Runtime::new(&config()).unwrap();
    let evil = runtime.load("the module", &guests().hostile).unwrap();
    let mut chain = runtime.chain(tenant(), vec![step("evil", &evil, json!("say and trap"))]).unwrap();
    let errors = (0..6).map(|second| {
        let now = Timestamp(second * 1_000);
        chain.begin(Timing { now, tick: now });
        chain.classify(&two_series().each_ref()).unwrap_err().to_string()
    });
    let errors: Vec<String> = errors.collect();
    assert_eq!(errors[4], "filter evil failed: the reason");
    assert_eq!(
        errors[5],
        "filter evil failed 5 times running and is left alone for a while; the last time: filter evil failed: the reason"
    );
    assert_eq!(chain.usage().next().unwrap().traps, 5);
}

#[test]
fn a_step_has_limits_of_its_own_within_the_runtimes() {
    let runtime = Runtime::new(&config()).unwrap();
    let evil = runtime.load("the module", &guests().hostile).unwrap();
    let limited = |deed: &str, memory_bytes_max, call_time_max| {
        let limits = Some(crate::model::FilterLimits { memory_bytes_max, call_time_max });
        let step = Step { limits, ..step("evil", &evil, json!(deed)) };
        runtime.chain(tenant(), vec![step]).unwrap().classify(&two_series().each_ref()).unwrap_err()
    };
    let minute = Duration::from_secs(60);
    let error = limited("take memory", 8 << 20, minute);
    assert!(matches!(error, Error::Memory { limit: 8_388_608, .. }), "{error}");
    let error = limited("take memory", 1 << 40, minute);
    assert!(matches!(error, Error::Memory { limit: 67_108_864, .. }), "{error}");
    let short = Duration::from_millis(50);
    let error = limited("loop", 8 << 20, short);
    assert!(matches!(error, Error::Deadline { limit, .. } if limit == short), "{error}");
}

#[test]
fn the_clock_stops_with_its_runtime() {
    let runtime = runtime_of(&config(), &guests().hostile);
    let chain = hostile(&runtime, "nothing");
    drop((runtime, chain));
}

#[test]
fn a_built_in_filter_is_compiled_once_whoever_asks_and_others_are_not() {
    let broken = Builtins::embedded().with(builtin::RELABEL, b"no component".as_slice());
    let runtime = Runtime::with(&config(), broken, Compiler::here()).unwrap();
    let [one, other]: [&Module; 2] = std::thread::scope(|scope| {
        let ask = || runtime.builtin(ENRICH).unwrap();
        [scope.spawn(ask), scope.spawn(ask)].map(|thread| thread.join().unwrap())
    });
    assert!(std::ptr::eq(one, other));
    assert!(std::ptr::eq(one, runtime.clone().builtin(ENRICH).unwrap()));
    let refusals: Vec<_> = (0..2).map(|_| runtime.builtin(builtin::RELABEL).unwrap_err()).collect();
    let [Error::Builtin(first), Error::Builtin(again)] = &refusals[..] else { panic!("{refusals:?}") };
    assert!(Arc::ptr_eq(first, again), "what is no filter is not compiled again");
    let text = refusals[0].to_string();
    assert!(text.starts_with("the built-in filter relabel is not a filter: it does not begin"), "{text}");
    let warm = runtime.warm(&[ENRICH, builtin::RELABEL]).unwrap_err();
    assert_eq!(warm.to_string(), text);
    runtime.warm(&[ENRICH]).unwrap();
}

#[test]
fn what_there_is_not_is_answered_with_what_there_is() {
    let error = Runtime::new(&config()).unwrap().builtin("topk").unwrap_err();
    let known = Builtins::embedded().names().collect::<Vec<_>>().join(", ");
    assert_eq!(error.to_string(), format!("there is no built-in filter \"topk\": use one of {known}"));
}

#[test]
fn every_filter_of_the_workspace_is_embedded() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../filters");
    let folders = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    // A library that filters share has no component.
    let filters = folders
        .filter(|folder| std::fs::read_to_string(folder.join("Cargo.toml")).unwrap().contains("cdylib"));
    let mut filters: Vec<_> = filters.map(|f| f.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    filters.sort();
    assert_eq!(filters, Builtins::embedded().names().collect::<Vec<_>>());
}
