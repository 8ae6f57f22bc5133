//! Hostile: speaks the contract without the SDK's help, so that it can break it. Its configuration, a JSON string, says how.
#![cfg(target_family = "wasm")]
#![allow(unsafe_code)]

use std::cell::RefCell;

use sluice_filter::bindings::labels::Guest;
use sluice_filter::bindings::types::{
    Columns, ConfigError, LabelSets, Manifest, State, Symbols, Tenant, Verdicts,
};
use sluice_filter::log;

/// Strings of a guest's own are numbered from here.
const OWN: u32 = 0x8000_0000;
const REMOVE: u32 = u32::MAX;

thread_local! {
    static DEED: RefCell<String> = const { RefCell::new(String::new()) };
}

struct Hostile;

impl Guest for Hostile {
    fn describe() -> Manifest {
        Manifest {
            name: "hostile".into(),
            version: "0".into(),
            config_schema: "{}".into(),
            state: State::None,
            columns: Columns::empty(),
            facts: vec![("a fact".into(), "of a later version".into())],
        }
    }

    fn configure(_tenant: Tenant, config_json: String) -> Result<(), ConfigError> {
        let deed = config_json.trim_matches('"').to_owned();
        match deed.as_str() {
            "loop in configure" => endless(),
            "work in configure" => work(),
            _ => {}
        }
        DEED.set(deed);
        Ok(())
    }

    fn classify(batch: LabelSets) -> Result<Verdicts, String> {
        let deed = DEED.with_borrow(String::clone);
        let honest = honest(batch.ends.len());
        Ok(match deed.as_str() {
            "nothing" => honest,
            "work" => {
                work();
                honest
            }
            "refuse" => return Err("not today".into()),
            "refuse at length" => return Err(format!("not\n{}", "today ".repeat(1 << 20))),
            "refuse in no words" => return Err(no_text()),
            "trap" => core::arch::wasm32::unreachable(),
            "trap at what is broken" => {
                if batch.new_values.text.contains("broken") {
                    core::arch::wasm32::unreachable()
                }
                honest
            }
            "say and trap" => {
                log::error("the reason");
                core::arch::wasm32::unreachable()
            }
            "loop" => endless(),
            "recurse" => Verdicts { edits: vec![recurse(1)], ..honest },
            "take memory" => take_memory(),
            "write a lot" => {
                (0..1_000).for_each(|_| log::info(&"x".repeat(100_000)));
                honest
            }
            "answer a lot" => Verdicts { edits: vec![0; 12 << 20], ..honest },
            "answer with what is not there" => Verdicts { edits: beyond(), ..honest },
            "answer in no words" => {
                Verdicts { new_values: Symbols { text: no_text(), ends: vec![1] }, ..honest }
            }
            "keep too few" => Verdicts { keep: Vec::new(), ..honest },
            "keep too many" => Verdicts { keep: vec![0; 1 << 10], ..honest },
            "keep spare rows" => Verdicts { keep: vec![u64::MAX], ..honest },
            "cut a triple" => Verdicts { edits: vec![0, 0], ..honest },
            "edit no row" => Verdicts { edits: vec![u32::MAX, 0, 0], ..honest },
            "edit backwards" => Verdicts { edits: vec![1, 0, 0, 0, 0, 0], ..honest },
            "edit a dropped row" => Verdicts { keep: vec![0], edits: vec![0, 0, 0], ..honest },
            "edit twice" => Verdicts { edits: vec![0, 0, 0, 0, 0, 0], ..honest },
            "edit an unknown name" => Verdicts { edits: vec![0, 1 << 20, 0], ..honest },
            "edit an unknown value" => Verdicts { edits: vec![0, 0, 1 << 20], ..honest },
            "name its own, which it has not" => Verdicts { edits: vec![0, OWN, 0], ..honest },
            "forge a name" => named("__address__\u{0}", honest),
            "forge an empty name" => named("", honest),
            "forge a name with a dash" => named("a-b", honest),
            "set nothing" => Verdicts { new_values: symbols("", &[0]), edits: vec![0, 0, OWN], ..honest },
            "cut a character" => Verdicts { new_values: symbols("é", &[1, 2]), ..honest },
            "end backwards" => Verdicts { new_values: symbols("ab", &[2, 1]), ..honest },
            "end late" => Verdicts { new_values: symbols("ab", &[3]), ..honest },
            "leave text" => Verdicts { new_values: symbols("ab", &[1]), ..honest },
            "grow" => grow(honest),
            "grow a table" => {
                grow_a_table();
                honest
            }
            "swell" => swell(batch.ends.len(), honest),
            "name a lot" => Verdicts { new_names: symbols("", &[0; 20_000]), ..honest },
            "make all equal" => equal(&batch, honest),
            "forge a stamp" => forge(batch.ends.len(), honest),
            "remove what is not there" => {
                Verdicts { new_names: symbols("zz", &[2]), edits: vec![0, OWN, REMOVE], ..honest }
            }
            "remove everything" => {
                let names = batch.pairs[..batch.ends[0] as usize * 2].chunks(2).map(|pair| pair[0]);
                Verdicts { edits: names.flat_map(|name| [0, name, REMOVE]).collect(), ..honest }
            }
            other => return Err(format!("there is no deed {other:?}")),
        })
    }

    fn forget(_series: Vec<u32>) {}
}

/// Takes some tenths of a second of a processor.
fn work() {
    let steps =
        (0..300_000_000_u64).fold(1_u64, |state, step| std::hint::black_box(state.wrapping_mul(step | 1)));
    std::hint::black_box(steps);
}

fn honest(rows: usize) -> Verdicts {
    let keep = (0..rows.div_ceil(64)).map(|word| match rows - word * 64 {
        rest @ ..64 => (1 << rest) - 1,
        _ => u64::MAX,
    });
    Verdicts {
        keep: keep.collect(),
        new_names: symbols("", &[]),
        new_values: symbols("", &[]),
        edits: Vec::new(),
    }
}

fn symbols(text: &str, ends: &[u32]) -> Symbols {
    Symbols { text: text.into(), ends: ends.into() }
}

fn named(name: &str, honest: Verdicts) -> Verdicts {
    Verdicts { new_names: symbols(name, &[name.len() as u32]), edits: vec![0, OWN, 0], ..honest }
}

/// A thousand labels on one series.
fn grow(honest: Verdicts) -> Verdicts {
    let names: Vec<String> = (0..1_000).map(|i| format!("l{i:03}")).collect();
    let ends: Vec<u32> = (1..=1_000).map(|i| i * 4).collect();
    let edits = (0..1_000).flat_map(|i| [0, OWN + i, 0]).collect();
    Verdicts { new_names: symbols(&names.concat(), &ends), edits, ..honest }
}

/// Five hundred labels on every series, and one long string as the value of each.
fn swell(rows: usize, honest: Verdicts) -> Verdicts {
    let names: Vec<String> = (0..500).map(|i| format!("l{i:03}")).collect();
    let ends: Vec<u32> = (1..=500).map(|i| i * 4).collect();
    let edits = (0..rows as u32).flat_map(|row| (0..500).flat_map(move |i| [row, OWN + i, OWN])).collect();
    let value = "x".repeat(60_000);
    let new_values = symbols(&value, &[60_000]);
    Verdicts { new_names: symbols(&names.concat(), &ends), new_values, edits, ..honest }
}

/// Series lose everything but their names.
fn equal(batch: &LabelSets, honest: Verdicts) -> Verdicts {
    let mut edits = Vec::new();
    let mut start = 0;
    for (row, &end) in batch.ends.iter().enumerate() {
        // The metric's name sorts first: the labels of these tests are in lower case.
        let rest = &batch.pairs[start as usize * 2 + 2..end as usize * 2];
        edits.extend(rest.chunks(2).flat_map(|pair| [row as u32, pair[0], REMOVE]));
        start = end;
    }
    Verdicts { edits, ..honest }
}

/// Every series says that it is another team's.
fn forge(rows: usize, honest: Verdicts) -> Verdicts {
    let (names, values) = (symbols("tenantmanaged_by", &[6, 16]), symbols("good-0somebody", &[6, 14]));
    let edits = (0..rows as u32).flat_map(|row| [row, OWN, OWN, row, OWN + 1, OWN + 1]).collect();
    Verdicts { new_names: names, new_values: values, edits, ..honest }
}

/// A string that is none.
fn no_text() -> String {
    // SAFETY: nobody here looks into it; what the other side makes of it is the question.
    unsafe { String::from_utf8_unchecked(vec![0xff]) }
}

/// A list of which most is beyond this memory.
fn beyond() -> Vec<u32> {
    // SAFETY: it is not looked into and not freed here: its place and length go to the other side, which refuses them.
    unsafe { Vec::from_raw_parts(8 as *mut u32, 1 << 29, 1 << 29) }
}

/// For who makes this module call it at its start.
#[unsafe(no_mangle)]
pub extern "C" fn loop_at_the_start() {
    endless()
}

/// For who gives this another body.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn grow_a_table() {
    std::hint::black_box("a table");
}

fn endless() -> ! {
    loop {
        std::hint::black_box(());
    }
}

#[allow(unconditional_recursion)]
fn recurse(depth: u32) -> u32 {
    std::hint::black_box(recurse(std::hint::black_box(depth + 1))) + 1
}

fn take_memory() -> ! {
    let mut hoard = Vec::new();
    loop {
        hoard.push(std::hint::black_box(vec![1_u8; 1 << 20]));
    }
}

sluice_filter::bindings::label::export_label_filter!(Hostile with_types_in sluice_filter::bindings::label);
