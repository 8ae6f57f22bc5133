//! What a guest finds in the empty world, through the standard library of `wasm32-wasip2`.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::world::{Output, World};
use crate::filter::fixtures::guests;
use crate::filter::{Chain, Config, Error, Runtime, Step, Tenant, Timing, Wasi};
use crate::model::{FilterLimits, Labels, Timestamp};

const TICK: Timestamp = Timestamp(1_700_000_000_123);

fn runtime(wasi: Wasi) -> Runtime {
    Runtime::new(&Config { instances_max: 8, call_millis_max: 20_000, wasi, ..Config::default() }).unwrap()
}

fn chain(name: &str, deed: &str) -> Chain {
    let runtime = runtime(Wasi::Empty);
    let module = runtime.load("the module", &guests().empty_world).unwrap();
    let tenant = Tenant::alone("shop", "web");
    let limits = FilterLimits { memory_bytes_max: 64 << 20, call_time_max: Duration::from_millis(500) };
    let step = Step { limits: Some(limits), ..Step::new(name, module, json!(deed)) };
    runtime.chain(tenant, vec![step]).unwrap()
}

fn classify(chain: &mut Chain, tick: Timestamp) -> Result<Labels, Error> {
    chain.begin(Timing { now: Timestamp(5), tick });
    let up = Labels::from_pairs([("__name__", "up")]).unwrap();
    let judged = chain.classify(&[&up]);
    chain.rest();
    Ok(judged?.remove(0).unwrap())
}

fn marks(deed: &str, tick: Timestamp) -> String {
    classify(&mut chain("the filter", deed), tick).unwrap().to_string()
}

#[test]
fn there_is_nothing_but_the_time_of_the_tick() {
    let expected = "up{arguments=\"0\",configured=\"0\",connect=\"PermissionDenied\",datagram=\"PermissionDenied\",\
        file=\"NotFound\",folder=\"NotFound\",input=\"true 0\",lookup=\"PermissionDenied\",time=\"1700000000123\",\
        variables=\"0\",write=\"NotFound\"}";
    assert_eq!(marks("look", TICK), expected);
}

#[test]
fn dice_fall_alike_for_the_same_tick_and_otherwise_for_another_tick_or_filter() {
    let first = marks("throw dice", TICK);
    assert_eq!(marks("throw dice", TICK), first);
    assert_ne!(marks("throw dice", Timestamp(TICK.0 + 1)), first);
    let other = classify(&mut chain("another", "throw dice"), TICK).unwrap();
    assert_ne!(other.to_string(), first);
}

#[test]
fn a_tick_that_is_repeated_has_the_same_numbers_and_its_calls_have_their_own() {
    let numbers = |world: &mut World| {
        world.begin_tick(TICK);
        [0; 2].map(|_| {
            world.begin_call();
            [world.random(), world.random()]
        })
    };
    let mut world = World::new("shop/web", "f");
    let first = numbers(&mut world);
    assert_eq!(numbers(&mut world), first);
    assert_eq!(numbers(&mut World::new("shop/web", "f")), first, "on every replica");
    assert_ne!(numbers(&mut World::new("shop/we", "bf")), first);
    let [one, two] = first;
    assert!(one.iter().chain(&two).collect::<std::collections::HashSet<_>>().len() == 4, "{first:?}");
}

#[test]
fn sleep_is_over_at_once() {
    let slept = marks("sleep", TICK);
    assert!(slept.starts_with("up{slept="), "{slept}");
}

#[test]
fn who_waits_for_time_to_pass_misses_the_deadline() {
    let error = classify(&mut chain("f", "wait for time to pass"), TICK).unwrap_err();
    assert!(matches!(error, Error::Deadline { .. }), "{error}");
}

#[test]
fn what_was_printed_last_says_why_a_call_failed() {
    let said = |deed: &str| classify(&mut chain("f", deed), TICK).unwrap_err().to_string();
    assert_eq!(said("fail"), "filter f failed: the reason");
    assert_eq!(said("exit"), "filter f failed: it ended itself with exit");
    let panicked = said("dance");
    assert!(panicked.ends_with("nobody has taught me to dance"), "{panicked}");
}

#[test]
fn what_is_printed_becomes_lines_of_the_log() {
    let mut chain = chain("f", "print");
    let lines = Arc::new(std::sync::Mutex::new(Vec::<u8>::new()));
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .without_time()
        .with_target(false)
        .with_ansi(false)
        .with_writer(move || Sink(writer.clone()))
        .finish();
    tracing::subscriber::with_default(subscriber, || classify(&mut chain, TICK)).unwrap();
    let text = String::from_utf8(lines.lock().unwrap().clone()).unwrap();
    let tags = "tenant=\"shop/web\" filter=\"f\"";
    let expected = format!(
        " INFO filter: to the log {tags}\n WARN filter: and a warning {tags}\n INFO filter: without an end {tags}\n"
    );
    assert_eq!(text, expected);
}

struct Sink(Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn lines_are_cut_and_last_words_are_the_last() {
    let mut world = World::new("t", "f");
    world.begin_call();
    let mut lines = Vec::new();
    for _ in 0..3 {
        world.print(Output::Stderr, "é".repeat(2_000).as_bytes(), |line| lines.push(line.to_owned()));
    }
    world.print(Output::Stderr, b"\n\n  \nValueError: no\n", |line| lines.push(line.to_owned()));
    let sizes: Vec<usize> = lines.iter().map(String::len).collect();
    assert_eq!(sizes, [1_024, 14]);
    let words = world.last_words().unwrap();
    assert!(words.ends_with("é ValueError: no") && words.len() <= 512, "{words}");
    assert_eq!(world.last_words(), None);
}

#[test]
fn handles_are_counted() {
    let mut world = World::new("t", "f");
    let given = (0..1_000).take_while(|_| world.give_handle().is_ok()).count();
    assert_eq!(given, 256);
    world.take_handle();
    assert!(world.give_handle().is_ok());
    let error = world.give_handle().unwrap_err();
    assert_eq!(error.to_string(), "it holds 256 handles of WASI's and wants another");
}

#[test]
fn an_operator_who_wants_no_wasi_has_none() {
    let error = runtime(Wasi::None).load("the module", &guests().empty_world).unwrap_err().to_string();
    assert!(error.starts_with("the module is not a filter: it imports wasi:"), "{error}");
    let (_, after) = error.split_once(',').unwrap();
    assert_eq!(
        after,
        " and this Sluice takes no WASI (filters.wasi: none): build it for wasm32-unknown-unknown, or ask the operator \
         for filters.wasi: empty"
    );
}

/// The component with its imports of WASI renamed; names of the same length, so that nothing else moves.
fn renamed(from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = guests().empty_world.clone();
    let places: Vec<usize> = memchr::memmem::find_iter(&bytes, from).collect();
    assert!(!places.is_empty(), "{from}");
    for place in places {
        bytes[place..place + to.len()].copy_from_slice(to.as_bytes());
    }
    bytes
}

#[test]
fn every_version_of_0_2_is_the_same_world_and_no_other_is() {
    let runtime = runtime(Wasi::Empty);
    let text = String::from_utf8_lossy(&guests().empty_world).into_owned();
    let (_, own) = text.split_once("wasi:cli/environment@0.2.").unwrap();
    let own = format!("@0.2.{}", &own[..1]);
    for patch in 0..=9 {
        let other = renamed(&own, &format!("@0.2.{patch}"));
        runtime.load("the module", &other).unwrap_or_else(|error| panic!("0.2.{patch}: {error}"));
    }
    let error = runtime.load("the module", &renamed(&own, &format!("@0.3{}", &own[4..]))).unwrap_err();
    assert!(error.to_string().contains("of WASI a filter may import cli, clocks, "), "{error}");
    let error = runtime.load("the module", &renamed("wasi:random/", "wasi:rodeos/")).unwrap_err();
    assert!(error.to_string().contains("it imports wasi:rodeos/"), "{error}");
}
