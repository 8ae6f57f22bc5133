//! `sluice filter run`: a filter over scrapes, by itself or where a resource has it, and what becomes of each sample.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use super::desk::{Subject, load};
use super::input::{config, scrapes};
use super::json::document;
use super::progress::patiently;
use super::resource;
use super::show::{Scope, Shown, as_json, print, show, steps, summary, usage_json};
use crate::document::GoDuration;
use crate::filter::{self, Module, Runtime, Usage};
use crate::model::exposition::Sample;
use crate::model::memory::Memory;
use crate::model::{FilterMode, Tenant, Timestamp};
use crate::pipeline;
use crate::workbench::{self, Configuration, Error, Trial, Tried, narrow};

/// How far scrapes are apart, unless somebody says otherwise: the default of a resource.
const INTERVAL: Duration = Duration::from_secs(30);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    subject: Subject,
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
    /// Show samples that the filter leaves as they are, too, and what the resource's patterns do not select
    #[arg(long)]
    all: bool,
    /// How to print: before and after for people, the samples that go on, or everything for programs
    #[arg(short, long, value_enum, default_value_t = Form::Text)]
    pub(super) output: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Form {
    Text,
    Prom,
    Json,
}

/// What is tried, and how.
struct Setup<'a> {
    runtime: &'a Runtime,
    tried: Filters,
    interval: Duration,
    memory_bytes_max: usize,
}

/// The filters that are tried.
enum Filters {
    /// One by itself.
    One { module: Module, config: Configuration, tenant: filter::Tenant },
    /// All of a resource's.
    Chain { tenant: Box<Tenant>, modules: Vec<Module> },
}

impl Setup<'_> {
    /// Filters that have seen nothing.
    fn trial(&self) -> Result<Trial, Error> {
        match &self.tried {
            Filters::One { module, config, tenant } => {
                Trial::new(self.runtime, module, config, tenant.clone(), self.interval)
            }
            Filters::Chain { tenant, modules } => {
                let filters =
                    pipeline::for_trial(self.runtime, &Memory::default(), tenant, modules, &|| true)?;
                let filters = filters.expect("nothing stops it");
                Ok(Trial::of_tenant(filters, tenant.stamps.clone(), self.interval))
            }
        }
    }

    fn scope(&self) -> Scope {
        match self.tried {
            Filters::One { .. } => Scope::Filter,
            Filters::Chain { .. } => Scope::Chain,
        }
    }

    /// Whether what a step says is done.
    fn mode(&self, step: &Usage) -> FilterMode {
        let own = match &self.tried {
            Filters::One { .. } => None,
            Filters::Chain { tenant, .. } => tenant.filters.iter().find(|filter| filter.name == step.name),
        };
        own.map_or(FilterMode::Enforce, |filter| filter.mode)
    }

    /// What failed in the last of these scrapes, with the series that brings it about.
    fn narrowed(&self, error: Error, from: Timestamp, scrapes: &[Vec<Sample>]) -> Error {
        let Error::Failed(failed) = error else { return error };
        let shown = workbench::Shown { from, interval: self.interval, scrapes };
        let what = || "looking for the series with which it fails".to_owned();
        patiently(what, || narrow(failed, shown, || self.trial())).into()
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let duration = GoDuration::parse(text).map(|duration| duration.0).filter(|d| !d.is_zero());
    duration.ok_or_else(|| "write a duration like 30s or 1m30s".into())
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let path = args.subject.path()?;
    let runtime = args.subject.runtime()?;
    let setup = match &args.resource {
        Some(file) => among_others(args, file, &runtime, || load(&runtime, &path, args.subject.most))?,
        None => alone(args, &runtime, load(&runtime, &path, args.subject.most)?)?,
    };
    let mut trial = setup.trial()?;
    let from: Timestamp = std::time::SystemTime::now().into();
    let mut at = from;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let mut all = Vec::new();
    let scrapes = scrapes(&args.metrics)?;
    for (number, scrape) in scrapes.iter().enumerate() {
        let tried = match trial.scrape(at, scrape) {
            Ok(tried) => tried,
            Err(error) => {
                // What it made of earlier scrapes is worth seeing.
                out.flush()?;
                drop(trial);
                return Err(setup.narrowed(error, from, &scrapes[..=number]).into());
            }
        };
        match args.output {
            Form::Text => as_text(&mut out, scrape, &tried, setup.scope(), args)?,
            Form::Prom => {
                if number > 0 {
                    writeln!(out, "# EOF")?;
                }
                print(&mut out, scrape, &tried)?;
            }
            Form::Json => all.push(as_json(scrape, &tried)),
        }
        at = at.plus(setup.interval);
    }
    match args.output {
        Form::Text => totals(&mut out, &setup, &trial)?,
        Form::Json => writeln!(out, "{}", document(&totals_json(&setup, &trial, &all)))?,
        Form::Prom => {}
    }
    Ok(out.flush()?)
}

fn as_text(
    out: &mut impl Write,
    scrape: &[Sample],
    tried: &Tried,
    scope: Scope,
    args: &Args,
) -> std::io::Result<()> {
    let shown = if args.all { Shown::All } else { Shown::Changed };
    show(out, scrape, tried, scope, shown)
}

/// What the filters did and took.
fn totals(out: &mut impl Write, setup: &Setup<'_>, trial: &Trial) -> std::io::Result<()> {
    match setup.scope() {
        Scope::Filter => trial.usage().try_for_each(|usage| summary(out, usage, setup.memory_bytes_max)),
        Scope::Chain => steps(out, trial.usage().map(|usage| (usage, setup.mode(usage)))),
    }
}

fn totals_json(setup: &Setup<'_>, trial: &Trial, scrapes: &[Value]) -> Value {
    let mut steps = trial.usage().map(|usage| usage_json(usage, setup.mode(usage)));
    match setup.scope() {
        Scope::Filter => json!({ "scrapes": scrapes, "usage": steps.next() }),
        Scope::Chain => json!({ "scrapes": scrapes, "steps": steps.collect::<Vec<_>>() }),
    }
}

fn alone<'a>(args: &Args, runtime: &'a Runtime, module: Module) -> anyhow::Result<Setup<'a>> {
    let tenant = filter::Tenant::alone(&args.namespace, "metrics");
    let tried = Filters::One { module, config: config(args.config.as_ref())?, tenant };
    let interval = args.interval.unwrap_or(INTERVAL);
    Ok(Setup { runtime, tried, interval, memory_bytes_max: args.subject.limits().memory_bytes_max })
}

/// The component is loaded last: what is wrong with the resource shows before.
fn among_others<'a>(
    args: &Args,
    file: &std::path::Path,
    runtime: &'a Runtime,
    own: impl FnOnce() -> anyhow::Result<Module>,
) -> anyhow::Result<Setup<'a>> {
    let limits = args.subject.limits();
    let mut tenant = resource::read(file, limits)?;
    let at = resource::chosen(&tenant, file, args.filter.as_deref())?;
    let folder = args.modules_folder.as_deref().or_else(|| file.parent()).unwrap_or(file);
    let modules = resource::modules(&mut tenant, at, own()?, runtime, folder, args.subject.most)?;
    let interval = args.interval.unwrap_or(tenant.interval.duration());
    let tried = Filters::Chain { tenant: Box::new(tenant), modules };
    Ok(Setup { runtime, tried, interval, memory_bytes_max: limits.memory_bytes_max })
}
