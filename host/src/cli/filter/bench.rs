//! `sluice filter bench`: what a filter takes, beside one that does nothing and beside what it may take.

use std::collections::HashSet;
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::bail;
use serde_json::{Value, json};

use super::desk::{Subject, load};
use super::input::{config, scrapes};
use super::json::document;
use super::progress::patiently;
use super::{Output, size, tell};
use crate::filter::{Module, Tenant};
use crate::model::FilterLimits;
use crate::model::exposition::Sample;
use crate::workbench::{Bench, Figure, Figures, name, series};

/// Rounds that give a steady median, and take seconds with an interpreter.
const ROUNDS: usize = 9;
/// Synthetic series, unless somebody says otherwise: a few batches.
const SERIES: usize = 20_000;
const SERIES_MAX: usize = 1_000_000;
/// With fewer of them the way into the sandbox is most of what is measured, and a disturbance as long as a round.
const SERIES_WORTH: usize = 1_000;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    subject: Subject,
    /// The filter's configuration, as YAML or JSON
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A scrape whose series the filter is shown: a file, a URL, or - for standard input; default: made-up ones of twelve labels
    #[arg(long, value_name = "FILE|URL|-")]
    metrics: Vec<String>,
    /// How many series to make up
    #[arg(long, value_name = "N", default_value_t = SERIES, conflicts_with = "metrics", value_parser = count)]
    series: usize,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub(super) output: Output,
}

fn count(text: &str) -> Result<usize, String> {
    let count = text.parse().ok().filter(|count| (1..=SERIES_MAX).contains(count));
    count.ok_or_else(|| format!("write a number from 1 to {SERIES_MAX}"))
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let path = args.subject.path()?;
    let (config, samples) = (config(args.config.as_ref())?, samples(args)?);
    if samples.len() < SERIES_WORTH {
        tell(&format!(
            "{} series say little of what a filter takes: measure it with at least {SERIES_WORTH}",
            samples.len()
        ));
    }
    let limits = args.subject.limits();
    let runtime = args.subject.runtime()?;
    let module = load(&runtime, &path, args.subject.most)?;
    let tenant = Tenant::alone("default", "bench");
    let (runtime, module, config, tenant, samples) = (&runtime, &module, &config, &tenant, &samples[..]);
    let bench = Bench { runtime, module, config, tenant, samples, rounds: ROUNDS };
    let round = AtomicUsize::new(0);
    let said = || {
        let (name, round) = (name(module), round.load(Ordering::Relaxed));
        format!("measuring {name} over {} series, round {round} of {ROUNDS}", samples.len())
    };
    let figures = patiently(said, || bench.run(|number| round.store(number, Ordering::Relaxed)))?;
    let mut out = std::io::stdout().lock();
    match args.output {
        Output::Text => show(&mut out, module, samples.len(), &figures, limits)?,
        Output::Json => writeln!(out, "{}", document(&as_json(module, samples.len(), &figures, limits)))?,
    }
    Ok(())
}

/// A sample of each series, the first one that comes.
fn samples(args: &Args) -> anyhow::Result<Vec<Sample>> {
    if args.metrics.is_empty() {
        let sample = |i: usize| Sample { labels: series(i), value: (i % 1_009) as f64, at: None };
        return Ok((0..args.series).map(sample).collect());
    }
    let mut known = HashSet::new();
    let all =
        scrapes(&args.metrics)?.into_iter().flatten().filter(|sample| known.insert(sample.labels.clone()));
    // A scrape's own times would stand still while ticks go on.
    let samples: Vec<Sample> = all.map(|sample| Sample { at: None, ..sample }).collect();
    if samples.is_empty() {
        bail!("{}: there is no sample to show the filter", args.metrics.join(", "));
    }
    Ok(samples)
}

fn show(
    out: &mut impl Write,
    module: &Module,
    series: usize,
    figures: &Figures,
    limits: FilterLimits,
) -> std::io::Result<()> {
    let Figures { classify, process, memory_bytes_peak } = figures;
    let (name, version) = (name(module), &module.manifest().version);
    writeln!(out, "{name} {version}, {series} series, medians of {ROUNDS} rounds")?;
    writeln!(out, "{:<32}{:>14}{:>14}", "", "the filter", "an empty one")?;
    let row = |out: &mut dyn Write, what: &str, figure: &Figure| {
        let Figure { nanos, empty_nanos, .. } = figure;
        writeln!(out, "{what:<32}{:>14}{:>14}", format!("{nanos:.0} ns"), format!("{empty_nanos:.0} ns"))
    };
    row(out, "classify, a new series", classify)?;
    match process {
        Some(process) => row(out, "process, a sample at each tick", process)?,
        None if module.manifest().samples.is_some() => {
            writeln!(out, "process: it keeps no series, so it was shown no sample")?;
        }
        None => {}
    }
    writeln!(out, "{:<32}{:>14}{:>14}", "", "it takes", "it may take")?;
    let batches = [("classify", Some(classify)), ("process", process.as_ref())];
    for (what, figure) in batches.into_iter().filter_map(|(what, figure)| Some((what, figure?))) {
        let what = format!("{what}, {} at once", figure.batch_rows);
        let (takes, may) = (millis(figure.batch_time()), millis(limits.call_time_max));
        writeln!(out, "{what:<32}{takes:>14}{may:>14}")?;
    }
    let (peak, most) = (size(*memory_bytes_peak), size(limits.memory_bytes_max));
    writeln!(out, "{:<32}{peak:>14}{most:>14}", "memory")
}

fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

fn as_json(module: &Module, series: usize, figures: &Figures, limits: FilterLimits) -> Value {
    let Figures { classify, process, memory_bytes_peak } = figures;
    let figure = |figure: &Figure| {
        json!({
            "nanoseconds": figure.nanos, "emptyNanoseconds": figure.empty_nanos,
            "batchRows": figure.batch_rows, "batchSeconds": figure.batch_time().as_secs_f64(),
        })
    };
    json!({
        "name": name(module), "version": module.manifest().version,
        "component": { "digest": module.digest(), "bytes": module.bytes() },
        "series": series, "rounds": ROUNDS,
        "classify": figure(classify), "process": process.as_ref().map(figure),
        "memoryBytesPeak": memory_bytes_peak,
        "limits": { "memoryBytes": limits.memory_bytes_max, "seconds": limits.call_time_max.as_secs_f64() },
    })
}
