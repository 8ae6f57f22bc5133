//! Check's filters: whether a resource's own filters can be had, and take what it configures them with.
//!
//! In: reviews. Out: the same, with what filters refuse among their problems. Never: a request, or a compiler of its own: what comes
//! from registries, downloads and ConfigMaps is found out where it is run.

use std::collections::HashMap;

use crate::document::{Path, Problem};
use crate::filter::{self, Module, Runtime};
use crate::model::guard::Receivers;
use crate::model::memory::Memory;
use crate::model::{Filter, ModulePath, Origin, Tenant};
use crate::modules::{self, Fetched, Reach, Store};
use crate::pipeline;
use crate::tenancy::{Outcome, Review};

/// Filters are tried one after the other.
const INSTANCES_MAX: u32 = 4;

/// What filters are tried with.
pub(super) struct Bench {
    limits: filter::Config,
    /// Where an installation's modules are; nothing is known of files without one.
    modules: Option<modules::Config>,
    /// The engine starts when there is a filter.
    runtime: Option<Runtime>,
    files: HashMap<ModulePath, Result<Module, Problem>>,
}

impl Bench {
    /// With the limits and the modules' folder of an installation, if one is given.
    pub(super) fn new(installed: Option<(filter::Config, modules::Config)>) -> Bench {
        let (limits, modules) =
            installed.map(|(limits, modules)| (limits, Some(modules))).unwrap_or_default();
        let limits = filter::Config { instances_max: INSTANCES_MAX, ..limits };
        Bench { limits, modules, runtime: None, files: HashMap::new() }
    }

    /// Refuses what one of its filters would refuse.
    pub(super) fn judge(&mut self, review: &mut Review) {
        let Outcome::Run(tenant) = &review.outcome else { return };
        let filters = tenant.filters.iter().enumerate();
        let found: Vec<_> = filters.filter_map(|(index, filter)| self.tried(tenant, index, filter)).collect();
        if !found.is_empty() {
            review
                .problems
                .extend(found.into_iter().map(|problem| review.problem(problem)).collect::<Vec<_>>());
            review.outcome = Outcome::Refused;
        }
    }

    /// What is wrong with one filter.
    fn tried(&mut self, tenant: &Tenant, index: usize, filter: &Filter) -> Option<Problem> {
        let at = Path::root().keys("spec.filters").index(index);
        let module = match self.module(&filter.origin, &at.key("module")) {
            Ok(module) => module?,
            Err(problem) => return Some(problem),
        };
        let step = pipeline::own_filter(index, filter, &module);
        let of = filter::Tenant {
            namespace: tenant.id.namespace.clone(),
            name: tenant.id.name.clone(),
            source: tenant.source.clone(),
            payer: Memory::default().payer(&tenant.id.namespace, tenant.limits.memory_max),
        };
        let tried = self.runtime().and_then(|runtime| runtime.sequence(&of, vec![step]).map(drop));
        tried.err().map(|error| refusal(error, &at))
    }

    /// The module; `None` if it cannot be known here.
    fn module(&mut self, origin: &Origin, at: &Path) -> Result<Option<Module>, Problem> {
        match origin {
            Origin::Builtin { name } => {
                let module = self.runtime().and_then(|runtime| runtime.builtin(name).cloned());
                module.map(Some).map_err(|error| refusal(error, at))
            }
            Origin::File { path } => {
                let folder = self.modules.as_ref().map(|modules| &modules.folder);
                // That the folder is not there was said of the configuration.
                if folder.is_none_or(|folder| folder.as_ref().is_some_and(|folder| !folder.is_dir())) {
                    return Ok(None);
                }
                if let Some(known) = self.files.get(path) {
                    return known.clone().map(Some);
                }
                let loaded = self.file(origin, &at.keys("file.path"));
                self.files.insert(path.clone(), loaded.clone());
                loaded.map(Some)
            }
            Origin::Oci { .. } => self.permitted(origin, &at.keys("oci.ref")),
            Origin::Http { .. } => self.permitted(origin, &at.keys("http.url")),
            Origin::ConfigMap { .. } => Ok(None),
        }
    }

    /// Whether the installation lets anybody ask for it; what it is shows where it is run.
    fn permitted(&self, origin: &Origin, at: &Path) -> Result<Option<Module>, Problem> {
        let Some(modules) = self.modules.clone() else { return Ok(None) };
        let permitted = here(async { Ok(Store::new(modules, None)?.permits(origin)?) });
        permitted.map(|()| None).map_err(|error| Problem::error(at.clone(), error.to_string(), ""))
    }

    fn file(&mut self, origin: &Origin, at: &Path) -> Result<Module, Problem> {
        let refuse = |error: &dyn std::fmt::Display| Problem::error(at.clone(), error.to_string(), "");
        let Fetched { bytes, resolved, .. } = self.read(origin).map_err(|error| refuse(&error))?;
        let loaded = self.runtime().and_then(|runtime| runtime.load(&resolved, &bytes));
        loaded.map_err(|error| refuse(&error))
    }

    /// Reads a file of the modules' folder, as the program would; nobody is reached.
    fn read(&self, origin: &Origin) -> anyhow::Result<Fetched> {
        let modules = self.modules.clone().expect("it was looked at before");
        let reach = Reach::Listed { allow: Vec::new(), receivers: Receivers::default() };
        here(async {
            let store = Store::new(modules::Config { reach, ..modules }, None)?;
            Ok(store.fetch(origin, None).await?)
        })
    }

    fn runtime(&mut self) -> Result<&Runtime, filter::Error> {
        if self.runtime.is_none() {
            self.runtime = Some(Runtime::new(&self.limits)?);
        }
        Ok(self.runtime.as_ref().expect("it was just made"))
    }
}

/// Runs what wants a runtime, and waits for nobody else.
fn here<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

/// What a filter says, at its place in the resource. `at` is the filter, or what names its module.
fn refusal(error: filter::Error, at: &Path) -> Problem {
    match error {
        filter::Error::Config { filter, path, message, .. } => {
            Problem::error(at.key("config").below(&path), format!("filter {filter}: {message}"), "")
        }
        filter::Error::NoBuiltin { name, known } => {
            let message = format!("there is no built-in filter {name:?}");
            Problem::error(at.keys("builtin.name"), message, format!("use one of {known}"))
        }
        error => Problem::error(at.clone(), error.to_string(), ""),
    }
}
