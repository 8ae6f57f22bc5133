//! What a tenant sends is compiled within bounds, and what goes beyond them is told in its own words.

#![allow(missing_docs)]

use sluice::filter::{Builtins, CPU_SECONDS_MAX, Compiler, Config, Pace, Program, Runtime};

/// Plenty, for what is to run into another bound.
const MEMORY_BYTES_MAX: usize = 4 << 30;

/// A number in LEB128.
fn leb(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn section(id: u8, content: &[u8]) -> Vec<u8> {
    [&[id], leb(content.len()).as_slice(), content].concat()
}

/// A component of one function, of which a compiler has a lot to think: each of so many times it adds to a number, or does not.
fn bomb(times: usize) -> Vec<u8> {
    // One local, an i32. local.get 0, if, local.get 0, i32.const 1, i32.add, local.set 0, end
    let time = [0x20, 0, 0x04, 0x40, 0x20, 0, 0x41, 1, 0x6a, 0x21, 0, 0x0b];
    let body = [&[1, 1, 0x7f][..], &time.repeat(times), &[0x0b]].concat();
    let code = [&[1], leb(body.len()).as_slice(), &body].concat();
    let sections = [section(1, &[1, 0x60, 0, 0]), section(3, &[1, 0]), section(10, &code)];
    let module = [b"\0asm\x01\0\0\0".as_slice(), &sections.concat()].concat();
    [b"\0asm\x0d\0\x01\0".as_slice(), &section(1, &module)].concat()
}

/// What is said of a component that is compiled within these bounds.
fn refusal(memory_bytes_max: usize, cpu_seconds_max: u64, component: &[u8]) -> String {
    let path = env!("CARGO_BIN_EXE_sluice").into();
    let compiler = Compiler::here().with_program(Program {
        path,
        memory_bytes_max,
        cpu_seconds_max,
        pace: Pace::Behind,
    });
    let config = Config { instances_max: 4, ..Config::default() };
    let runtime = Runtime::with(&config, Builtins::embedded(), compiler).unwrap();
    runtime.load("evil.wasm", component).unwrap_err().to_string()
}

#[test]
fn what_takes_the_compiler_too_long_is_refused_with_the_time_it_had() {
    let told =
        "evil.wasm is not a filter: it takes more than 1 s of processor time to compile: make it smaller";
    assert_eq!(refusal(MEMORY_BYTES_MAX, 1, &bomb(500_000)), told);
}

#[test]
fn what_takes_the_compiler_too_much_memory_is_refused_with_what_it_had() {
    let told = "evil.wasm is not a filter: it takes more than 64 MiB of memory to compile: make it smaller, or have \
                Sluice's memory raised, of which one compilation may take a quarter";
    assert_eq!(refusal(64 << 20, CPU_SECONDS_MAX, &bomb(500_000)), told);
}

/// A component that imports one name twice, which is told with the name.
fn with_a_long_name(bytes: usize) -> Vec<u8> {
    let import = [&[0][..], &leb(bytes), &vec![b'a'; bytes], &[1, 0]].concat();
    let imports = [&[2][..], &import, &import].concat();
    [b"\0asm\x0d\0\x01\0".as_slice(), &section(7, &[1, 0x40, 0, 1, 0]), &section(10, &imports)].concat()
}

#[test]
fn what_takes_long_to_tell_is_told_in_part_and_holds_nobody_up() {
    let said = refusal(MEMORY_BYTES_MAX, CPU_SECONDS_MAX, &with_a_long_name(95_000));
    assert!(said.starts_with("evil.wasm is not a filter: it does not compile as a component"), "{said}");
    assert!(said.len() < 5_000, "{} bytes", said.len());
}

#[test]
fn what_stays_within_is_compiled_and_then_judged() {
    let told = "evil.wasm is not a filter: ";
    let said = refusal(MEMORY_BYTES_MAX, CPU_SECONDS_MAX, &bomb(100));
    assert!(said.starts_with(told) && !said.contains("to compile"), "{said}");
}
