//! Show: what filters made of a scrape, for people and for programs.
//!
//! In: samples and their fates. Out: lines, JSON, or samples again. Never: a judgement.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::{Paint, size};
use crate::filter::{Usage, builtin};
use crate::model::exposition::{Sample, write_sample, write_untimed};
use crate::model::{FilterMode, Labels, printable};
use crate::workbench::{Fate, Tried};

/// What was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// One filter by itself.
    Filter,
    /// All that a resource's series go through.
    Chain,
}

/// Which samples are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// Those that do not go on as they came; of a whole chain, none that the resource does not ask for.
    Changed,
    /// All.
    All,
}

/// The samples that go on.
pub(super) fn print(out: &mut impl Write, scrape: &[Sample], tried: &Tried) -> io::Result<()> {
    for (sample, fate) in scrape.iter().zip(&tried.fates) {
        if let Fate::Kept(labels, value) = fate {
            out.write_all(line(sample, labels, *value).as_bytes())?;
        }
    }
    for (labels, value, _) in &tried.emitted {
        let mut line = String::new();
        write_untimed(&mut line, labels, *value);
        out.write_all(line.as_bytes())?;
    }
    Ok(())
}

/// Before and after.
pub(super) fn show(
    out: &mut impl Write,
    scrape: &[Sample],
    tried: &Tried,
    scope: Scope,
    shown: Shown,
) -> io::Result<()> {
    let paint = Paint::stdout();
    let (mut kept, mut changed, mut merged, mut hidden) = (0, 0, 0, 0);
    for (sample, fate) in scrape.iter().zip(&tried.fates) {
        let before = seen(&line(sample, &sample.labels, sample.value));
        match fate {
            Fate::Dropped(step) if scope == Scope::Chain && shown == Shown::Changed && is_unasked(step) => {
                hidden += 1;
            }
            Fate::Dropped(step) => {
                writeln!(out, "{}", paint.red(&format!("- {before}")))?;
                if scope == Scope::Chain {
                    writeln!(out, "{}", paint.dim(&format!("    by {step}")))?;
                }
            }
            Fate::Merged => {
                merged += 1;
                writeln!(out, "{}", paint.red(&format!("- {before}")))?;
                writeln!(out, "{}", paint.dim("    another series has become the same"))?;
            }
            Fate::Kept(labels, value) => {
                kept += 1;
                if !is_unchanged(sample, labels, *value) {
                    changed += 1;
                    let after = seen(&line(sample, labels, *value));
                    writeln!(out, "{}", paint.yellow(&format!("~ {after}")))?;
                    writeln!(out, "{}", paint.dim(&format!("    was {before}")))?;
                } else if shown == Shown::All {
                    writeln!(out, "  {before}")?;
                }
            }
        }
    }
    for (labels, value, _) in &tried.emitted {
        let mut line = String::new();
        write_untimed(&mut line, labels, *value);
        writeln!(out, "{}", paint.green(&format!("+ {}", seen(&line))))?;
    }
    let (total, emitted) = (scrape.len(), tried.emitted.len());
    let dropped = total - kept - merged;
    let merged = if merged > 0 { format!(", {merged} merged") } else { String::new() };
    let hidden = match hidden {
        0 => String::new(),
        _ => format!(" ({hidden} of them by the resource's patterns and hidden: --all shows them)"),
    };
    writeln!(
        out,
        "{total} samples: {kept} kept ({changed} of them changed), {dropped} dropped{hidden}{merged}, {emitted} emitted"
    )
}

/// Whether what a step drops is what the resource does not ask for. A filter of somebody's cannot have its name.
fn is_unasked(step: &str) -> bool {
    step == builtin::PATTERNS
}

/// A sample's line, for a terminal.
fn seen(line: &str) -> String {
    printable(line.trim_end()).into_owned()
}

/// What a filter took; its memory may be `memory_bytes_max`.
pub(super) fn summary(out: &mut impl Write, usage: &Usage, memory_bytes_max: usize) -> io::Result<()> {
    let Usage { calls, guest_time, memory_bytes_peak, log_lines_left_out, .. } = usage;
    let (peak, max) = (size(*memory_bytes_peak), size(memory_bytes_max));
    writeln!(
        out,
        "{calls} calls, {:.1} ms in the filter; memory {peak} of {max}",
        guest_time.as_secs_f64() * 1000.0
    )?;
    if *log_lines_left_out > 0 {
        writeln!(out, "{log_lines_left_out} lines of its log were left out")?;
    }
    Ok(())
}

/// What each step of a chain said and took. One that only watches says what it would have done.
pub(super) fn steps<'a>(
    out: &mut impl Write,
    all: impl Iterator<Item = (&'a Usage, FilterMode)>,
) -> io::Result<()> {
    for (usage, mode) in all {
        let Usage { name, rows_in, dropped, rewritten, bypassed, failing, .. } = usage;
        let did = match mode {
            FilterMode::Enforce => format!("{dropped} dropped, {rewritten} rewritten"),
            FilterMode::Monitor => {
                format!("would have dropped {dropped} and rewritten {rewritten} (mode: Monitor)")
            }
        };
        let millis = usage.guest_time.as_secs_f64() * 1000.0;
        let peak = size(usage.memory_bytes_peak);
        writeln!(out, "{name}: {rows_in} series, {did}; {millis:.1} ms, memory {peak}")?;
        if let Some(failing) = failing {
            writeln!(out, "    {bypassed} went past it, because it fails: {}", printable(&failing.message))?;
        }
    }
    Ok(())
}

/// A scrape and what came of it.
pub(super) fn as_json(scrape: &[Sample], tried: &Tried) -> Value {
    let text = |labels: &Labels| labels.to_string();
    let samples = scrape.iter().zip(&tried.fates).map(|(sample, fate)| {
        let before = json!({ "series": text(&sample.labels), "value": sample.value.to_string() });
        match fate {
            Fate::Dropped(step) => json!({ "before": before, "after": null, "droppedBy": step }),
            Fate::Merged => json!({ "before": before, "after": null, "isMerged": true }),
            Fate::Kept(labels, value) => {
                json!({ "before": before, "after": { "series": text(labels), "value": value.to_string() } })
            }
        }
    });
    let emitted = tried.emitted.iter().map(|(labels, value, at)| {
        json!({ "series": text(labels), "value": value.to_string(), "timestamp": at.as_millis() })
    });
    json!({ "samples": samples.collect::<Vec<_>>(), "emitted": emitted.collect::<Vec<_>>() })
}

/// What a filter did and took; one in `Monitor`, what it would have done.
pub(super) fn usage_json(usage: &Usage, mode: FilterMode) -> Value {
    json!({
        "name": usage.name, "mode": match mode { FilterMode::Enforce => "Enforce", FilterMode::Monitor => "Monitor" },
        "rowsIn": usage.rows_in, "kept": usage.kept, "dropped": usage.dropped, "rewritten": usage.rewritten,
        "calls": usage.calls, "guestSeconds": usage.guest_time.as_secs_f64(),
        "memoryBytesPeak": usage.memory_bytes_peak, "logLinesLeftOut": usage.log_lines_left_out,
        "bypassed": usage.bypassed, "failing": usage.failing.as_ref().map(|failing| &failing.message),
    })
}

/// A kept sample's line; its time is the scrape's own, if it had one.
fn line(sample: &Sample, labels: &Labels, value: f64) -> String {
    let mut line = String::new();
    match sample.at {
        Some(at) => write_sample(&mut line, labels, value, at),
        None => write_untimed(&mut line, labels, value),
    }
    line
}

/// Whether a sample goes on as it came.
fn is_unchanged(sample: &Sample, labels: &Labels, value: f64) -> bool {
    *labels == sample.labels && value.to_bits() == sample.value.to_bits()
}
