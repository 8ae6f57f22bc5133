//! Hostile with samples: breaks the contract in `process`. Its configuration, a JSON string, says how, and whether only at the
//! sight of the value 666: `"loop on 666"`. Otherwise it keeps everything, and breaks if the host breaks the contract.
#![cfg(target_family = "wasm")]
#![allow(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use sluice_filter::bindings::labels::Guest as LabelGuest;
use sluice_filter::bindings::samples::{Guest, Outcome, Rows, Tick};
use sluice_filter::bindings::types::{
    Columns, ConfigError, LabelSets, Manifest, State, Symbols, Tenant, Verdicts,
};

/// Strings of a guest's own are numbered from here.
const OWN: u32 = 0x8000_0000;

thread_local! {
    static DEED: RefCell<String> = const { RefCell::new(String::new()) };
    static WAITS: Cell<bool> = const { Cell::new(false) };
    static CALLS: Cell<u32> = const { Cell::new(0) };
    /// Series that it was asked about and that have not ended.
    static KNOWN: RefCell<BTreeSet<u32>> = const { RefCell::new(BTreeSet::new()) };
    static BATCHES: Cell<u32> = const { Cell::new(0) };
    static HOARD: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

struct Hostile;

impl LabelGuest for Hostile {
    fn describe() -> Manifest {
        Manifest {
            name: "hostile-samples".into(),
            version: "0".into(),
            config_schema: "{}".into(),
            state: State::Sample,
            columns: Columns::VALUES,
            facts: Vec::new(),
        }
    }

    fn configure(_tenant: Tenant, config_json: String) -> Result<(), ConfigError> {
        let config = config_json.trim_matches('"');
        let deed = config.strip_suffix(" on 666");
        WAITS.set(deed.is_some());
        DEED.set(deed.unwrap_or(config).to_owned());
        if config == "hold 40 MiB" {
            hoard(40 << 20);
        }
        Ok(())
    }

    fn classify(batch: LabelSets) -> Result<Verdicts, String> {
        BATCHES.set(BATCHES.get() + 1);
        if DEED.with_borrow(|deed| deed == "refuse the second batch") && BATCHES.get() == 2 {
            return Err("not the second".into());
        }
        for number in batch.series {
            let is_new = KNOWN.with_borrow_mut(|known| known.insert(number));
            assert!(is_new, "the number {number} is another series'");
        }
        let (new_names, new_values) = (symbols("", &[]), symbols("", &[]));
        Ok(Verdicts { keep: all(batch.ends.len()), new_names, new_values, edits: Vec::new() })
    }

    fn forget(series: Vec<u32>) {
        KNOWN.with_borrow_mut(|known| known.retain(|number| !series.contains(number)));
    }
}

impl Guest for Hostile {
    fn process(tick: Tick, rows: Rows) -> Result<Outcome, String> {
        let calls = CALLS.get();
        CALLS.set(calls + 1);
        let is_time = !WAITS.get() || rows.values.contains(&666_f64.to_bits());
        let honest = honest(rows.series.len());
        if !is_time {
            return Ok(honest);
        }
        let deed = DEED.with_borrow(String::clone);
        Ok(match deed.as_str() {
            "nothing" | "hold 40 MiB" => honest,
            "work for half a second" => {
                work();
                honest
            }
            "loop" => endless(),
            "recurse" => Outcome { changed: vec![recurse(1)], ..honest },
            "trap every second" if calls % 2 == 0 => honest,
            "trap every second" => panic!("every second time"),
            "take memory" => loop {
                hoard(1 << 20);
            },
            "hoard" => {
                hoard(1 << 20);
                honest
            }
            "answer a lot" => Outcome { keep: vec![0; 6 << 20], ..honest },
            "answer with what is not there" => Outcome { keep: beyond(), ..honest },
            "answer in no words" => {
                Outcome { new_values: Symbols { text: no_text(), ends: vec![1] }, ..honest }
            }
            "keep too few" => Outcome { keep: Vec::new(), ..honest },
            "change without a value" => Outcome { changed: vec![0], ..honest },
            "change no row" => Outcome { changed: vec![1 << 20], changed_values: vec![0], ..honest },
            "emit what was not announced" => emit(tick.at, &[0], honest),
            "emit a label twice" => {
                announce(&["__name__", "l"], "x", &[OWN, OWN, OWN + 1, OWN, OWN + 1, OWN], honest)
            }
            "emit an illegal name" => announce(&["__name__", "a-b"], "x", &[OWN, OWN, OWN + 1, OWN], honest),
            "emit yesterday" => emit(tick.at - 86_400_000, &[0], named("x", honest)),
            "emit at length" => {
                let long = named(&"x".repeat(40_000), honest);
                Outcome { new_pairs: [OWN, OWN].repeat(1_000), new_ends: (1..=1_000).collect(), ..long }
            }
            "emit a million" => Outcome { new_ends: vec![0; 1_000_000], ..honest },
            "emit more and more" => more(tick.at, calls, honest),
            other => return Err(format!("there is no deed {other:?}")),
        })
    }
}

fn symbols(text: &str, ends: &[u32]) -> Symbols {
    Symbols { text: text.into(), ends: ends.into() }
}

fn all(rows: usize) -> Vec<u64> {
    let word = |word: usize| match rows - word * 64 {
        rest @ ..64 => (1 << rest) - 1,
        _ => u64::MAX,
    };
    (0..rows.div_ceil(64)).map(word).collect()
}

fn honest(rows: usize) -> Outcome {
    Outcome {
        keep: all(rows),
        changed: Vec::new(),
        changed_values: Vec::new(),
        new_names: symbols("", &[]),
        new_values: symbols("", &[]),
        new_pairs: Vec::new(),
        new_ends: Vec::new(),
        emitted_series: Vec::new(),
        emitted_timestamps: Vec::new(),
        emitted_values: Vec::new(),
    }
}

/// Emits a sample of each of these series.
fn emit(at: i64, series: &[u32], outcome: Outcome) -> Outcome {
    Outcome {
        emitted_series: series.to_vec(),
        emitted_timestamps: vec![at; series.len()],
        emitted_values: vec![0; series.len()],
        ..outcome
    }
}

/// Announces one series of these pairs, of these names and one value.
fn announce(names: &[&str], value: &str, pairs: &[u32], outcome: Outcome) -> Outcome {
    let mut end = 0;
    let ends: Vec<u32> = names.iter().map(|name| (end += name.len() as u32, end).1).collect();
    Outcome {
        new_names: symbols(&names.concat(), &ends),
        new_values: symbols(value, &[value.len() as u32]),
        new_pairs: pairs.to_vec(),
        new_ends: vec![pairs.len() as u32 / 2],
        ..outcome
    }
}

fn named(metric: &str, outcome: Outcome) -> Outcome {
    announce(&["__name__"], metric, &[OWN, OWN], outcome)
}

/// Twenty thousand series that there were not before, every time.
fn more(at: i64, call: u32, outcome: Outcome) -> Outcome {
    const COUNT: u32 = 20_000;
    let numbers = call * COUNT..(call + 1) * COUNT;
    let texts: Vec<String> = numbers.clone().map(|n| format!("more:{n:08}")).collect();
    let outcome = Outcome {
        new_names: symbols("__name__", &[8]),
        new_values: symbols(&texts.concat(), &(1..=COUNT).map(|n| n * 13).collect::<Vec<_>>()),
        new_pairs: (0..COUNT).flat_map(|n| [OWN, OWN + n]).collect(),
        new_ends: (1..=COUNT).collect(),
        ..outcome
    };
    emit(at, &numbers.collect::<Vec<_>>(), outcome)
}

fn hoard(bytes: usize) {
    HOARD.with_borrow_mut(|hoard| hoard.push(std::hint::black_box(vec![1; bytes])));
}

/// On a core of some gigahertz.
fn work() {
    let steps =
        (0..500_000_000_u64).fold(1_u64, |state, step| std::hint::black_box(state.wrapping_mul(step | 1)));
    std::hint::black_box(steps);
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

/// A string that is none.
fn no_text() -> String {
    // SAFETY: nobody here looks into it; what the other side makes of it is the question.
    unsafe { String::from_utf8_unchecked(vec![0xff]) }
}

/// A list of which most is beyond this memory.
fn beyond() -> Vec<u64> {
    // SAFETY: it is not looked into and not freed here: its place and length go to the other side, which refuses them.
    unsafe { Vec::from_raw_parts(8 as *mut u64, 1 << 28, 1 << 28) }
}

sluice_filter::bindings::label::export_label_filter!(Hostile with_types_in sluice_filter::bindings::label);
sluice_filter::bindings::sample::export_sample_part!(Hostile with_types_in sluice_filter::bindings::sample);
