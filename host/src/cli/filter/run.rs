//! `sluice filter run`: one filter over scrapes, and what it makes of each sample.

use std::io::{Read as _, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use serde_json::json;

use super::{Paint, component, load, runtime, size};
use crate::document::{self, GoDuration};
use crate::filter::{self, Tenant, Usage};
use crate::http;
use crate::model::Timestamp;
use crate::model::exposition::{self, Sample, write_sample, write_untimed};
use crate::workbench::{Fate, Trial, Tried};

/// The largest scrape that is read.
const SCRAPE_BYTES_MAX: usize = 256 << 20;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The component, or builtin:NAME; without it, the crate in this folder is built
    #[arg(value_name = "M.wasm")]
    module: Option<PathBuf>,
    /// A scrape: a file, a URL, or - for standard input; several are one after the other in time
    #[arg(long, value_name = "FILE|URL|-", required = true)]
    metrics: Vec<String>,
    /// The filter's configuration, as YAML or JSON
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The tenant's namespace, as the filter is told it
    #[arg(long, value_name = "NAMESPACE", default_value = "default")]
    namespace: String,
    /// How far scrapes are apart
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    interval: Duration,
    /// Show samples that the filter leaves as they are, too
    #[arg(long)]
    all: bool,
    /// How to print: before and after for people, the samples that go on, or everything for programs
    #[arg(short, long, value_enum, default_value_t = Form::Text)]
    output: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    Text,
    Prom,
    Json,
}

fn duration(text: &str) -> Result<Duration, String> {
    let duration = GoDuration::parse(text).map(|duration| duration.0).filter(|d| !d.is_zero());
    duration.ok_or_else(|| "write a duration like 30s or 1m30s".into())
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let path = component(args.module.as_ref())?;
    let config = match &args.config {
        Some(path) => read_config(path)?,
        None => json!({}),
    };
    let scrapes = scrapes(&args.metrics)?;
    let runtime = runtime()?;
    let (module, _) = load(&runtime, &path)?;
    let tenant = Tenant { namespace: args.namespace.clone(), name: "metrics".into(), source: String::new() };
    let mut trial = Trial::new(&runtime, &module, config, tenant, args.interval)?;
    let mut at: Timestamp = std::time::SystemTime::now().into();
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let mut all = Vec::new();
    for (number, scrape) in scrapes.iter().enumerate() {
        let tried = trial.scrape(at, scrape)?;
        match args.output {
            Form::Text => show(&mut out, scrape, &tried, args.all)?,
            Form::Prom => {
                if number > 0 {
                    writeln!(out, "# EOF")?;
                }
                print(&mut out, scrape, &tried)?;
            }
            Form::Json => all.push(as_json(scrape, &tried)),
        }
        at = at.plus(args.interval);
    }
    match args.output {
        Form::Text => summary(&mut out, trial.usage())?,
        Form::Json => writeln!(out, "{:#}", json!({ "scrapes": all, "usage": usage_json(trial.usage()) }))?,
        Form::Prom => {}
    }
    Ok(out.flush()?)
}

fn read_config(path: &Path) -> anyhow::Result<serde_json::Value> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    document::to_json(&text).map_err(|problem| anyhow::anyhow!("{}: {problem}", path.display()))
}

/// All scrapes, in the order of time.
fn scrapes(from: &[String]) -> anyhow::Result<Vec<Vec<Sample>>> {
    let mut scrapes = Vec::new();
    for from in from {
        let text = match from.as_str() {
            "-" => {
                let mut text = String::new();
                std::io::stdin().take(SCRAPE_BYTES_MAX as u64).read_to_string(&mut text)?;
                text
            }
            url if url.starts_with("http://") || url.starts_with("https://") => fetch(url)?,
            file => std::fs::read_to_string(file).with_context(|| file.to_owned())?,
        };
        scrapes.extend(exposition::parse(&text).with_context(|| from.clone())?);
    }
    Ok(scrapes)
}

fn fetch(url: &str) -> anyhow::Result<String> {
    let client = http::Client::new(&http::Config::default())?;
    let request = ::http::Request::get(url).body(Bytes::new()).with_context(|| url.to_owned())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let response = client.send(request, &http::Timeouts::default()).await?;
        let status = response.status;
        if !status.is_success() {
            bail!("{url}: answered with HTTP status {status}");
        }
        let body = response.read_to(SCRAPE_BYTES_MAX).await?;
        String::from_utf8(body.to_vec()).with_context(|| format!("{url}: its answer is not UTF-8"))
    })
}

/// A kept sample's line; its time is the scrape's own, if it had one.
fn line(sample: &Sample, labels: &crate::model::Labels, value: f64) -> String {
    let mut line = String::new();
    match sample.at {
        Some(at) => write_sample(&mut line, labels, value, at),
        None => write_untimed(&mut line, labels, value),
    }
    line
}

fn print(out: &mut impl Write, scrape: &[Sample], tried: &Tried) -> std::io::Result<()> {
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

/// Whether the filter left a sample as it is.
fn is_unchanged(sample: &Sample, labels: &crate::model::Labels, value: f64) -> bool {
    *labels == sample.labels && value.to_bits() == sample.value.to_bits()
}

fn show(out: &mut impl Write, scrape: &[Sample], tried: &Tried, all: bool) -> std::io::Result<()> {
    let paint = Paint::stdout();
    let (mut kept, mut changed) = (0, 0);
    for (sample, fate) in scrape.iter().zip(&tried.fates) {
        let before = line(sample, &sample.labels, sample.value);
        let before = before.trim_end();
        match fate {
            Fate::Dropped => writeln!(out, "{}", paint.red(&format!("- {before}")))?,
            Fate::Kept(labels, value) => {
                kept += 1;
                if !is_unchanged(sample, labels, *value) {
                    changed += 1;
                    let after = line(sample, labels, *value);
                    writeln!(out, "{}", paint.yellow(&format!("~ {}", after.trim_end())))?;
                    writeln!(out, "{}", paint.dim(&format!("    was {before}")))?;
                } else if all {
                    writeln!(out, "  {before}")?;
                }
            }
        }
    }
    for (labels, value, _) in &tried.emitted {
        let mut line = String::new();
        write_untimed(&mut line, labels, *value);
        writeln!(out, "{}", paint.green(&format!("+ {}", line.trim_end())))?;
    }
    let (dropped, emitted) = (scrape.len() - kept, tried.emitted.len());
    let total = scrape.len();
    writeln!(
        out,
        "{total} samples: {kept} kept ({changed} of them changed), {dropped} dropped, {emitted} emitted"
    )
}

fn summary(out: &mut impl Write, usage: &Usage) -> std::io::Result<()> {
    let filter::Config { memory_bytes_max, .. } = filter::Config::default();
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

fn as_json(scrape: &[Sample], tried: &Tried) -> serde_json::Value {
    let text = |labels: &crate::model::Labels| labels.to_string();
    let samples = scrape.iter().zip(&tried.fates).map(|(sample, fate)| {
        let before = json!({ "series": text(&sample.labels), "value": sample.value.to_string() });
        match fate {
            Fate::Dropped => json!({ "before": before, "after": null }),
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

fn usage_json(usage: &Usage) -> serde_json::Value {
    json!({
        "rowsIn": usage.rows_in, "kept": usage.kept, "dropped": usage.dropped, "rewritten": usage.rewritten,
        "calls": usage.calls, "guestSeconds": usage.guest_time.as_secs_f64(),
        "memoryBytesPeak": usage.memory_bytes_peak, "logLinesLeftOut": usage.log_lines_left_out,
    })
}
