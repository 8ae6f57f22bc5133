//! `sluice filter run`: a filter over scrapes, by itself or where a resource has it, and what becomes of each sample.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

use super::desk::{Limits, Most, component, load, runtime_within};
use super::input::{config, scrapes};
use super::resource;
use super::show::{Scope, Shown, as_json, print, show, steps, summary, usage_json};
use crate::document::GoDuration;
use crate::filter::{Module, Runtime, Tenant};
use crate::model::Timestamp;
use crate::model::memory::{Memory, Payer};
use crate::pipeline;
use crate::workbench::Trial;

/// How far scrapes are apart, unless somebody says otherwise: the default of a resource.
const INTERVAL: Duration = Duration::from_secs(30);

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
    /// A MetricAccess: its patterns, its filters, its relabelings and its stamps, one after the other, with the component in the
    /// place of one of the filters
    #[arg(long, value_name = "FILE", conflicts_with_all = ["config", "namespace"])]
    resource: Option<PathBuf>,
    /// Which of the resource's filters the component stands for; default: the only one
    #[arg(long, value_name = "NAME", requires = "resource")]
    filter: Option<String>,
    /// Where the files are that other filters of the resource are made of, as the operator's filters.modulesFolder; default: where
    /// the resource is
    #[arg(long, value_name = "DIR", requires = "resource")]
    modules_folder: Option<PathBuf>,
    /// The tenant's namespace, as the filter is told it
    #[arg(long, value_name = "NAMESPACE", default_value = "default")]
    namespace: String,
    /// How far scrapes are apart; default: as the resource says, else 30s
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    interval: Option<Duration>,
    /// Show samples that the filter leaves as they are, too
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    limits: Limits,
    #[command(flatten)]
    most: Most,
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

/// What is tried, and how.
struct Setup {
    trial: Trial,
    interval: Duration,
    scope: Scope,
    memory_bytes_max: usize,
}

fn duration(text: &str) -> Result<Duration, String> {
    let duration = GoDuration::parse(text).map(|duration| duration.0).filter(|d| !d.is_zero());
    duration.ok_or_else(|| "write a duration like 30s or 1m30s".into())
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let path = component(args.module.as_ref())?;
    let runtime = runtime_within(args.limits.get())?;
    let setup = match &args.resource {
        Some(file) => among_others(args, file, &runtime, || load(&runtime, &path, args.most))?,
        None => alone(args, &runtime, &load(&runtime, &path, args.most)?)?,
    };
    let Setup { mut trial, interval, scope, memory_bytes_max } = setup;
    let mut at: Timestamp = std::time::SystemTime::now().into();
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let shown = if args.all { Shown::All } else { Shown::Changed };
    let mut all = Vec::new();
    for (number, scrape) in scrapes(&args.metrics)?.iter().enumerate() {
        let tried = trial.scrape(at, scrape)?;
        match args.output {
            Form::Text => show(&mut out, scrape, &tried, scope, shown)?,
            Form::Prom => {
                if number > 0 {
                    writeln!(out, "# EOF")?;
                }
                print(&mut out, scrape, &tried)?;
            }
            Form::Json => all.push(as_json(scrape, &tried)),
        }
        at = at.plus(interval);
    }
    match (args.output, scope) {
        (Form::Text, Scope::Filter) => {
            trial.usage().try_for_each(|usage| summary(&mut out, usage, memory_bytes_max))?;
        }
        (Form::Text, Scope::Chain) => steps(&mut out, trial.usage())?,
        (Form::Json, Scope::Filter) => {
            let usage = trial.usage().next().map(usage_json);
            writeln!(out, "{:#}", json!({ "scrapes": all, "usage": usage }))?;
        }
        (Form::Json, Scope::Chain) => {
            let steps: Vec<_> = trial.usage().map(usage_json).collect();
            writeln!(out, "{:#}", json!({ "scrapes": all, "steps": steps }))?;
        }
        (Form::Prom, _) => {}
    }
    Ok(out.flush()?)
}

fn alone(args: &Args, runtime: &Runtime, module: &Module) -> anyhow::Result<Setup> {
    let payer = Payer::unlimited(&args.namespace);
    let tenant =
        Tenant { namespace: args.namespace.clone(), name: "metrics".into(), source: String::new(), payer };
    let interval = args.interval.unwrap_or(INTERVAL);
    let trial = Trial::new(runtime, module, config(args.config.as_ref())?, tenant, interval)?;
    let memory_bytes_max = args.limits.get().memory_bytes_max;
    Ok(Setup { trial, interval, scope: Scope::Filter, memory_bytes_max })
}

/// The component is loaded last: what is wrong with the resource shows before.
fn among_others(
    args: &Args,
    file: &std::path::Path,
    runtime: &Runtime,
    own: impl FnOnce() -> anyhow::Result<Module>,
) -> anyhow::Result<Setup> {
    let limits = args.limits.get();
    let mut tenant = resource::read(file, limits)?;
    let at = resource::chosen(&tenant, file, args.filter.as_deref())?;
    let folder = args.modules_folder.as_deref().or_else(|| file.parent()).unwrap_or(file);
    let modules = resource::modules(&mut tenant, at, own()?, runtime, folder, args.most)?;
    let interval = args.interval.unwrap_or(tenant.interval.duration());
    let filters = pipeline::for_trial(runtime, &Memory::default(), &tenant, &modules)?;
    let trial = Trial::of_tenant(filters, tenant.stamps, interval);
    Ok(Setup { trial, interval, scope: Scope::Chain, memory_bytes_max: limits.memory_bytes_max })
}
