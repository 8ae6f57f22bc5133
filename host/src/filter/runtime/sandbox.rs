//! What the engine cannot do, whatever a module asks for.

use wasmtime::component::Component;

use crate::filter::{Config, Runtime};

const MODULE: &[u8] = b"\0asm\x01\0\0\0";
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

/// Why the engine does not take what begins so and has this one section.
fn refusal(header: &[u8], section: &[u8]) -> Option<String> {
    let runtime = Runtime::new(&Config { instances_max: 8, ..Config::default() }).unwrap();
    let bytes = [header, section].concat();
    let engine = &runtime.shared.engine;
    let read = if header == MODULE {
        wasmtime::Module::validate(engine, &bytes)
    } else {
        Component::new(engine, &bytes).map(drop)
    };
    read.err().map(|error| format!("{error:#}"))
}

#[test]
fn memories_are_small_and_a_threads_own() {
    let memory = |flags: &[u8]| refusal(MODULE, &[&[5, 2 + flags.len() as u8, 1], flags, &[1]].concat());
    assert_eq!(memory(&[0]), None, "an ordinary one is taken");
    let large = memory(&[4]).unwrap();
    assert!(large.contains("memory64 must be enabled"), "{large}");
    let shared = memory(&[3, 1]).unwrap();
    assert!(shared.contains("threads must be enabled"), "{shared}");
}

#[test]
fn components_have_no_asynchronous_functions_and_no_threads() {
    let builtin = |op: &[u8]| refusal(COMPONENT, &[&[8, 1 + op.len() as u8, 1], op].concat());
    assert_eq!(refusal(COMPONENT, &[]), None, "an empty one is taken");
    for (name, op) in [("subtask.drop", &[0x0d][..]), ("backpressure.inc", &[0x24])] {
        let said = builtin(op).unwrap();
        assert!(said.contains("async"), "{name}: {said}");
    }
    let said = builtin(&[0x26]).unwrap();
    assert!(said.contains("threading") || said.contains("async"), "thread.index: {said}");
}

/// What is not compiled in cannot be turned on by mistake: no threads, asynchronous functions, core dumps, profiler, or cache
/// that the environment points to.
#[test]
fn the_engine_is_built_with_what_it_needs_and_no_more() {
    let manifest = include_str!("../../../../Cargo.toml");
    let line = manifest.lines().find(|line| line.starts_with("wasmtime = ")).unwrap();
    let (_, features) = line.split_once("features = [").unwrap();
    let mut features: Vec<&str> = features.split('"').skip(1).step_by(2).collect();
    features.sort_unstable();
    let needed = [
        "anyhow",
        "component-model",
        "cranelift",
        "parallel-compilation",
        "pooling-allocator",
        "runtime",
        "std",
    ];
    assert_eq!(features, needed);
    assert!(line.contains("default-features = false"), "{line}");
}
