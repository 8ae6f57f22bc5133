//! `sluice check`: every mistake in resources and configurations, without running anything.

mod filters;
mod twins;

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::{Path as FilePath, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::ValueEnum;
use serde_json::{Value, json};

use crate::config::{self, Config, Invalid};
use crate::document::{self, GoDuration, Path, Problem};
use crate::model::{Endpoint, Tenant};
use crate::tenancy::Surroundings;
use crate::tenancy::files::{list, text};
use crate::tenancy::policy::NamespaceLabels;
use crate::tenancy::secrets::{Folder, Unchecked};
use crate::tenancy::{self, Policy, Resource, Review, Tenants};
use crate::{filter, modules};

/// Selectors shown of one resource; the rest are counted.
const SELECTORS_SHOWN_MAX: usize = 10;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Files or folders of MetricAccess resources, or configuration files; with --config, its tenants' folder if none is
    /// given
    #[arg(value_name = "FILE", required_unless_present = "config")]
    files: Vec<PathBuf>,
    /// The configuration whose limits, endpoints and Secrets to check against
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

/// What resources are checked against.
struct Site {
    policy: Policy,
    secrets: Box<dyn Surroundings>,
    /// Limits and modules, where they are known.
    installed: Option<(filter::Config, modules::Config)>,
}

/// What was found so far.
#[derive(Default)]
struct Findings {
    looked_at: BTreeSet<PathBuf>,
    files: Vec<Checked>,
    problems: Vec<Problem>,
    reviews: Vec<Review>,
}

/// A file that could be read.
struct Checked {
    file: Arc<FilePath>,
    holds: Content,
}

enum Content {
    Configuration,
    Resources(usize),
}

pub(super) fn run(args: &Args) -> ExitCode {
    let mut findings = Findings::default();
    let mut files = args.files.clone();
    // Without an installation at hand, Services resolve as in a cluster and every Secret counts as present.
    let mut site = Site { policy: Policy::default(), secrets: Box::new(Unchecked), installed: None };
    if let Some(path) = &args.config
        && let Some(config) = findings.config(&Arc::from(path.as_path()), Config::check(path))
    {
        let installed = Some((config.filters.limits(), config.modules));
        site = match config.tenants {
            config::Tenants::Folder(tenants) => {
                if files.is_empty() {
                    files.push(tenants.folder);
                }
                Site { policy: tenants.policy, secrets: Box::new(Folder(tenants.secrets)), installed }
            }
            config::Tenants::Cluster(cluster) => Site { policy: cluster.policy, installed, ..site },
        };
    }
    for file in &files {
        findings.path(file, &site);
    }
    let mut bench = filters::Bench::new(site.installed);
    findings.reviews.iter_mut().for_each(|review| bench.judge(review));
    let tenants = Tenants::of(&findings.reviews);
    findings.problems.extend(tenants.problems().cloned());
    findings.problems.extend(twins::warnings(&findings.reviews, &tenants));
    findings.problems.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
    let failed = findings.problems.iter().any(Problem::is_error);
    let printed = match args.output {
        Output::Text => print_text(&findings, &tenants, args.config.as_deref()),
        Output::Json => print_json(&findings.problems, &tenants),
    };
    match printed {
        // A reader that went away (`sluice check … | head`) is no mistake in the files.
        Ok(()) | Err(_) if !failed => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

impl Findings {
    fn config(
        &mut self,
        file: &Arc<FilePath>,
        loaded: Result<(Config, Vec<Problem>), Invalid>,
    ) -> Option<Config> {
        self.files.push(Checked { file: Arc::clone(file), holds: Content::Configuration });
        match loaded {
            Ok((config, warnings)) => {
                self.problems.extend(warnings);
                Some(config)
            }
            Err(Invalid(problems)) => {
                self.problems.extend(problems);
                None
            }
        }
    }

    fn path(&mut self, path: &FilePath, site: &Site) {
        if !path.is_dir() {
            return self.file(path, site);
        }
        match list(path) {
            Ok((files, too_many)) => {
                if too_many {
                    let message = "the folder holds more files than are read";
                    self.refuse(path, message, "put several resources into one file");
                }
                for file in files {
                    self.file(&file, site);
                }
            }
            Err(error) => self.refuse(path, &format!("the folder cannot be read: {error}"), ""),
        }
    }

    /// A file that is named twice, or stands in a folder that is named too, is one file.
    fn file(&mut self, path: &FilePath, site: &Site) {
        if !self.looked_at.insert(path.to_owned()) {
            return;
        }
        let text = match text(path) {
            Ok(text) => text,
            Err(error) => return self.refuse(path, &format!("the file cannot be read: {error}"), ""),
        };
        let name: Arc<FilePath> = Arc::from(path);
        if document::parse(&text).is_ok_and(|roots| roots.first().is_some_and(config::is_config)) {
            self.config(&name, Config::read(&name, &text));
            return;
        }
        match tenancy::read(&name, &text) {
            Ok(resources) if resources.is_empty() => {
                self.problems.push(Problem::warning(Path::root(), "the file is empty", "").in_file(&name));
            }
            Ok(resources) => {
                let ours = resources.iter().filter(|resource| matches!(resource, Resource::MetricAccess(_)));
                let holds = Content::Resources(ours.count());
                self.files.push(Checked { file: Arc::clone(&name), holds });
                let review = |resource: &Resource| {
                    // What labels the namespaces of a cluster have is not known here.
                    let policy = site.policy.for_namespace(resource.namespace(), &NamespaceLabels::new());
                    Review::of(resource, &policy, &*site.secrets)
                };
                self.reviews.extend(resources.iter().map(review));
            }
            Err(problem) => self.problems.push(problem),
        }
    }

    fn refuse(&mut self, path: &FilePath, message: &str, cure: &str) {
        self.problems.push(Problem::error(Path::root(), message, cure).in_file(&Arc::from(path)));
    }
}

impl Checked {
    /// `web.yaml: ok, 2 resources, 1 warning`; nothing if there is an error in it.
    fn verdict(&self, problems: &[Problem]) -> Option<String> {
        let of_this = || problems.iter().filter(|problem| problem.file.as_deref() == Some(&*self.file));
        if of_this().any(Problem::is_error) {
            return None;
        }
        let holds = match self.holds {
            Content::Configuration => "a configuration".to_owned(),
            Content::Resources(count) => counted(count, "resource"),
        };
        let warnings = match of_this().count() {
            0 => String::new(),
            count => format!(", {}", counted(count, "warning")),
        };
        Some(format!("{}: ok, {holds}{warnings}", self.file.display()))
    }
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Problems to standard error; which files are good and what their resources would do to standard output.
fn print_text(findings: &Findings, tenants: &Tenants, config: Option<&FilePath>) -> io::Result<()> {
    let Findings { files, problems, reviews, .. } = findings;
    let mut err = io::stderr().lock();
    for problem in problems {
        writeln!(err, "{problem}")?;
    }
    let mut out = io::stdout().lock();
    for verdict in files.iter().filter_map(|file| file.verdict(problems)) {
        writeln!(out, "{verdict}")?;
    }
    print_tenants(&mut out, tenants)?;
    if config.is_none() && !reviews.is_empty() {
        writeln!(out, "Secrets and endpoints were not checked: add --config sluice.yaml")?;
    }
    out.flush()
}

fn print_tenants(out: &mut impl Write, tenants: &Tenants) -> io::Result<()> {
    for tenant in tenants.running.values() {
        let interval = GoDuration(tenant.interval.duration());
        writeln!(
            out,
            "{}: every {interval} to {} at {}",
            tenant.id,
            tenant.target_type,
            keys(tenant).join(" and ")
        )?;
        for selector in tenant.selectors.iter().take(SELECTORS_SHOWN_MAX) {
            writeln!(out, "    {selector}")?;
        }
        if let Some(more) = tenant.selectors.len().checked_sub(SELECTORS_SHOWN_MAX).filter(|more| *more > 0) {
            writeln!(out, "    and {more} more")?;
        }
    }
    for id in &tenants.disabled {
        writeln!(out, "{id}: disabled")?;
    }
    Ok(())
}

fn print_json(problems: &[Problem], tenants: &Tenants) -> io::Result<()> {
    let named = |id: &crate::model::TenantId, state: &str| json!({"namespace": id.namespace, "name": id.name, "state": state});
    let running = tenants.running.values().map(|tenant| described(tenant, named(&tenant.id, "runs")));
    let disabled = tenants.disabled.iter().map(|id| named(id, "disabled"));
    let refused = tenants.refused.keys().map(|id| named(id, "refused"));
    let resources: Vec<Value> = running.chain(disabled).chain(refused).collect();
    let ok = !problems.iter().any(Problem::is_error);
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, &json!({"ok": ok, "problems": problems, "resources": resources}))?;
    writeln!(out)
}

fn described(tenant: &Tenant, mut named: Value) -> Value {
    named["interval"] = json!(GoDuration(tenant.interval.duration()));
    named["target"] = json!(tenant.target_type.as_str());
    named["endpoints"] = json!(keys(tenant));
    named["selectors"] = json!(tenant.selectors.iter().map(ToString::to_string).collect::<Vec<_>>());
    named
}

fn keys(tenant: &Tenant) -> Vec<String> {
    tenant.endpoints.iter().map(Endpoint::key).collect()
}
