//! Config: what the operator's file says, checked.
//!
//! In: `sluice.yaml`. Out: a [`Config`] whose every field can be used as it is, and warnings.
//! Never: a default that is not a named constant, a field that is silently ignored, a secret.

mod access;
mod check;
mod discovery;
mod file;
mod kubernetes;
mod modules;
mod policy;
mod present;
mod sources;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::discover;
use crate::document::{self, Document, Path, Problem};
use crate::filter::{self, Wasi};
use crate::model::Egress;
use crate::model::guard::Receivers;
use crate::tenancy::policy::IsolationMode;
use crate::tenancy::{self, Policy};

pub use file::LogFormat;

/// Everything the program is told.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The shared Prometheus servers: those written down, in the file's order, and those to be found.
    pub discovery: discover::Config,
    /// How the cluster is reached that sources are looked for in; `None` for what the environment says.
    pub kubeconfig: Option<PathBuf>,
    /// Where the resources and Secrets are, and what tenants may do.
    pub tenants: Tenants,
    /// Where the addresses that tenants write may lead.
    pub receivers: Receivers,
    /// The proxy before them.
    pub egress: Option<Egress>,
    /// How requests to receivers are made.
    pub delivery: Delivery,
    /// Where cursors are kept.
    pub state: State,
    /// Where we listen.
    pub listen: Listen,
    /// What a guest may take.
    pub filters: Filters,
    /// Where filters' modules come from.
    pub modules: crate::modules::Config,
    /// Where modules are kept, as they were fetched and as they were compiled.
    pub cache: Option<crate::cache::Config>,
    /// How we log.
    pub log: Log,
}

/// Where the resources and Secrets are, and what tenants may do.
#[derive(Debug, Clone, PartialEq)]
pub enum Tenants {
    /// A standalone installation: `tenants.folder`.
    Folder(tenancy::files::Config),
    /// A cluster: `kubernetes`.
    Cluster(tenancy::cluster::Config),
}

impl Tenants {
    /// What tenants may do.
    pub fn policy(&self) -> &Policy {
        match self {
            Tenants::Folder(config) => &config.policy,
            Tenants::Cluster(config) => &config.policy,
        }
    }

    /// Whether some resource decides alone which series it gets: nothing the operator wrote narrows it.
    pub fn may_ask_for_everything(&self) -> bool {
        let Policy { default, rules } = self.policy();
        let all = rules.iter().map(|rule| &rule.effective).chain([default]);
        all.into_iter()
            .any(|policy| policy.source_label.is_none() && policy.isolation.mode == IsolationMode::Optional)
    }
}

/// How requests to receivers are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    /// Samples in one request.
    pub samples_max: usize,
    /// Bytes of one request before compression.
    pub bytes_max: usize,
    /// Requests of one tick under way at once, per endpoint.
    pub concurrency: usize,
    /// How long one request may take.
    pub timeout: Duration,
    /// How far back missed ticks are asked for again.
    pub backfill_max: Duration,
    /// The pause after a first failure.
    pub backoff_min: Duration,
    /// The longest pause between two attempts.
    pub backoff_max: Duration,
}

/// Where cursors are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// The file; without one, cursors end with the process.
    pub file: Option<PathBuf>,
    /// How often a change is saved.
    pub save_every: Duration,
}

/// Where we listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listen {
    /// For metrics and probes.
    pub address: SocketAddr,
    /// For what shows tenants' data. May be the same.
    pub debug: SocketAddr,
}

/// What a guest may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filters {
    /// Guests alive at once in the whole program.
    pub instances_max: u32,
    /// Memory of one guest, in bytes.
    pub memory_bytes_max: usize,
    /// Time of one call.
    pub timeout: Duration,
    /// What becomes of modules that import WASI.
    pub wasi: Wasi,
}

impl Filters {
    /// As the engine takes them.
    pub fn limits(&self) -> filter::Config {
        let Filters { instances_max, memory_bytes_max, timeout, wasi } = *self;
        let call_millis_max = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        filter::Config { instances_max, memory_bytes_max, call_millis_max, wasi, ..filter::Config::default() }
    }
}

/// How we log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// One JSON object a line, or text for people.
    pub format: LogFormat,
    /// A level, or directives as `RUST_LOG` takes them.
    pub level: String,
}

/// A configuration that cannot be used.
#[derive(Debug, Clone, PartialEq)]
pub struct Invalid(pub Vec<Problem>);

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for Invalid {}

/// What a configuration is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// It is about to be run here: what is missing is an error now, not after the filters were compiled.
    Run,
    /// It is checked where its folders are; who runs it, and where, will be known then.
    Check,
    /// It is checked, and may be meant for another machine.
    CheckElsewhere,
}

impl Config {
    /// Reads the file at `path`, to run it. Blocks on the disk.
    pub fn load(path: &FilePath) -> Result<(Config, Vec<Problem>), Invalid> {
        Config::load_for(path, Purpose::Run)
    }

    /// As [`Config::load`], but not in the place where it will run: who runs it is made up.
    pub fn check(path: &FilePath) -> Result<(Config, Vec<Problem>), Invalid> {
        Config::load_for(path, Purpose::Check)
    }

    fn load_for(path: &FilePath, purpose: Purpose) -> Result<(Config, Vec<Problem>), Invalid> {
        let name: Arc<FilePath> = Arc::from(path);
        let text = std::fs::read_to_string(path).map_err(|e| {
            let message = format!("the configuration cannot be read: {e}");
            Invalid(vec![Problem::error(Path::root(), message, "check --config").in_file(&name)])
        })?;
        Config::read_on(&name, &text, purpose)
    }

    /// Reads the text of `file`, which relative paths in it are relative to. With the configuration come warnings.
    pub fn read(file: &Arc<FilePath>, text: &str) -> Result<(Config, Vec<Problem>), Invalid> {
        Config::read_on(file, text, Purpose::CheckElsewhere)
    }

    fn read_on(
        file: &Arc<FilePath>,
        text: &str,
        purpose: Purpose,
    ) -> Result<(Config, Vec<Problem>), Invalid> {
        let in_file = |problem: Problem| Invalid(vec![problem.in_file(file)]);
        let mut roots = document::parse(text).map_err(in_file)?;
        if roots.len() != 1 {
            let message = format!("the file holds {} documents", roots.len());
            return Err(in_file(Problem::error(Path::root(), message, "write exactly one configuration")));
        }
        let document =
            Document { file: Some(Arc::clone(file)), index: 0, base: Path::root(), root: roots.remove(0) };
        let mut reading = document.read::<file::File>();
        let config = reading.value.take().and_then(|value| {
            let mut found = Vec::new();
            let folder = file.parent().unwrap_or(FilePath::new(""));
            let config = check::config(value, folder, purpose, &mut found);
            reading.report(found);
            config
        });
        match config {
            Some(config) if !reading.problems.iter().any(Problem::is_error) => Ok((config, reading.problems)),
            _ => Err(Invalid(reading.problems)),
        }
    }
}

/// Whether a document is a configuration rather than a resource.
pub fn is_config(root: &document::Node) -> bool {
    let has = |key| root.get(key).is_some();
    !has("kind")
        && !has("apiVersion")
        && (has("sources") || has("discovery") || has("tenants") || has("kubernetes") || has("endpoints"))
}
