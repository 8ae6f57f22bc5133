//! Table: what every scenario found, as people read it.

use std::io::Write as _;
use std::sync::Mutex;

use super::scene::Account;

const COLUMNS: usize = 13;

static ROWS: Mutex<Vec<[String; COLUMNS]>> = Mutex::new(Vec::new());

/// What the columns are.
const HEAD: [&str; COLUMNS] = [
    "scenario",
    "ticks",
    "samples",
    "missing",
    "other value",
    "surplus",
    "ends wrong",
    "ticks lost",
    "given up",
    "ticks refused",
    "in doubt",
    "late",
    "memory",
];

/// Keeps what a scenario found.
pub(crate) fn note(name: &str, account: &Account) {
    let Account { ticks, samples, missing, wrong, surplus, ends, lost, given_up, .. } = account;
    let Account { refused, doubtful, late, memory, .. } = account;
    let late = late.map_or_else(|| "-".to_owned(), |late| late.to_string());
    let memory = memory.map_or_else(|| "-".to_owned(), |times| format!("{times:.2} x"));
    let counts = [ticks, samples, missing, wrong, surplus, ends, lost, given_up, refused, doubtful];
    let counts = counts.map(ToString::to_string);
    let row = std::iter::once(name.replace('_', " ")).chain(counts).chain([late, memory]);
    let row: Vec<String> = row.collect();
    ROWS.lock().expect("no holder panics").push(row.try_into().expect("a cell for each column"));
}

/// Prints what was kept.
pub(crate) fn print() {
    let mut rows = ROWS.lock().expect("no holder panics");
    if rows.is_empty() {
        return;
    }
    rows.sort();
    let all: Vec<[String; COLUMNS]> =
        std::iter::once(HEAD.map(str::to_owned)).chain(rows.iter().cloned()).collect();
    let width = |at: usize| all.iter().map(|row| row[at].chars().count()).max().unwrap_or_default();
    for row in &all {
        let mut line = format!("{:<1$}", row[0], width(0));
        for (at, cell) in row.iter().enumerate().skip(1) {
            line += &format!("  {cell:>0$}", width(at));
        }
        // Nobody is the worse for not reading it.
        let _ = writeln!(std::io::stdout(), "{line}");
    }
}
