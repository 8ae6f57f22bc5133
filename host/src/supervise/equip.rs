//! Equip: from what a tenant's filters are said to be to modules that are ready.
//!
//! In: a tenant. Out: for each of its filters a compiled module, for each of its lanes filters that took their configurations, and on
//! the board how far each came. Never: work on the data path; a module compiled twice; a tag looked up again for a filter that did
//! not change, be it by another process.

use std::sync::Arc;

use serde_json::json;

use super::trial::Trials;
use super::workshop::Workshop;
use crate::background;
use crate::filter::{self, Module, Share};
use crate::model::{Digest, Filter, FilterLimits, Origin, Reference, SourceGroup, TRIED, Tags, Tenant};
use crate::modules::{self, Credentials, Fetched, Known, Store};
use crate::pipeline::{self, Deps, Fitted};
use crate::status::{FilterReport, FilterStage};

/// What filters are made ready with. All tenants share it.
pub struct Equipment {
    store: Store,
    workshop: Workshop,
    trials: Trials,
}

/// A tenant's filters, ready to run.
#[derive(Debug, Clone, Default)]
pub(super) struct Outfit {
    filters: Vec<Filter>,
    modules: Vec<Module>,
    resolved: Vec<String>,
    /// The namespace pays for their code from the moment it is there.
    shares: Vec<Share>,
}

/// What a pipeline can be built with.
#[derive(Debug)]
pub(super) struct Equipped {
    pub(super) outfit: Outfit,
    /// Configured for each lane; `None` if there is no room for them beside the pipeline that runs.
    pub(super) fitted: Option<Fitted>,
}

impl Outfit {
    #[cfg(test)]
    pub(super) fn of(filters: &[Filter], modules: &[Module]) -> Outfit {
        let resolved = vec![String::new(); modules.len()];
        Outfit { filters: filters.to_vec(), modules: modules.to_vec(), resolved, ..Outfit::default() }
    }

    /// What their tags stand for.
    fn tags(&self) -> Tags {
        let tag = |(filter, resolved): (&Filter, &String)| match &filter.origin {
            Origin::Oci { reference, .. } if reference.digest().is_none() => {
                Some((reference.key(), resolved.parse::<Reference>().ok()?.digest()?))
            }
            _ => None,
        };
        self.filters.iter().zip(&self.resolved).filter_map(tag).collect()
    }

    /// What a trial says something of: these components, configured like this, on what the tenant selects from these sources, between what it rewrites and stamps, in this version.
    pub(super) fn trial(&self, tenant: &Tenant, groups: &[SourceGroup]) -> Digest {
        let filter = |(filter, module): (&Filter, &Module)| {
            let FilterLimits { memory_bytes_max, call_time_max } = filter.limits;
            let policy = (format!("{:?}", filter.mode), format!("{:?}", filter.on_failure));
            json!([module.digest(), filter.config, memory_bytes_max, call_time_max.as_micros(), policy])
        };
        let filters: Vec<_> = self.filters.iter().zip(&self.modules).map(filter).collect();
        let selectors: Vec<_> = tenant.selectors.iter().map(ToString::to_string).collect();
        let stamps: Vec<_> = tenant.stamps.labels.iter().collect();
        let mut groups: Vec<_> = groups.iter().map(|group| &*group.name).collect();
        groups.sort_unstable();
        let sources = (&tenant.source, groups);
        let rest = (selectors, sources, &tenant.relabelings, stamps, tenant.interval.duration().as_millis());
        Digest::of(json!([env!("CARGO_PKG_VERSION"), filters, rest]).to_string().as_bytes())
    }

    /// What is known of a filter whose component comes from the same place.
    fn known(&self, filter: &Filter) -> Option<(Module, String)> {
        let same = |known: &Filter| {
            (&known.origin, &known.content) == (&filter.origin, &filter.content)
                // A file may have been replaced.
                && !matches!(known.origin, Origin::File { .. })
        };
        let at = self.filters.iter().position(same)?;
        Some((self.modules[at].clone(), self.resolved[at].clone()))
    }
}

/// Why filters are not ready.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) error: Error,
    /// Whether it can pass by itself.
    pub(super) may_pass: bool,
}

/// A filter is not ready.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// Its component cannot be had.
    #[error("filter {filter}: {source}")]
    Fetch {
        /// The filter's name.
        filter: String,
        /// Why.
        source: modules::Error,
    },
    /// Its component is none, or refuses its configuration or what it was tried on.
    #[error(transparent)]
    Filter(#[from] filter::Error),
    /// What compiled or configured it is gone, which is a mistake of Sluice.
    #[error("filter {filter} was not made ready: what compiles and configures it broke down")]
    Broken {
        /// The filter's name.
        filter: String,
    },
}

impl Error {
    /// Whether it can pass by itself.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Error::Fetch { source, .. } => source.is_transient(),
            Error::Filter(error) => error.is_transient(),
            Error::Broken { .. } => true,
        }
    }

    /// Writes on the board that filters which were ready found no place after all.
    pub(super) fn show(&self, deps: &Deps, tenant: &Tenant) {
        let entry = deps.board.tenant(&tenant.id);
        entry.filter_not_ready(fault(self).unwrap_or_default(), self.stage(), self, (deps.now)());
    }

    fn stage(&self) -> FilterStage {
        match self {
            Error::Fetch { source, .. } if is_verdict(source) => FilterStage::Verified,
            Error::Fetch { .. } => FilterStage::Resolved,
            Error::Filter(filter::Error::NotAFilter { .. }) | Error::Broken { .. } => FilterStage::Compiled,
            Error::Filter(_) => FilterStage::Configured,
        }
    }
}

/// Whether something came that is not what was meant, or not from whom it must be.
fn is_verdict(error: &modules::Error) -> bool {
    matches!(error, modules::Error::Digest { .. } | modules::Error::Unsigned { .. })
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Trouble {
        Trouble { may_pass: error.may_pass(), error }
    }
}

impl Equipment {
    /// Modules come from `store`.
    pub fn new(store: Store, compiled_at_once_max: usize) -> Equipment {
        Equipment { store, workshop: Workshop::new(compiled_at_once_max), trials: Trials::new() }
    }

    /// Gets the tenant's filters ready: each is fetched, verified and compiled, then all are tried on what the sources have, and
    /// configured for each lane. What is known of filters that did not change is taken from `known`.
    pub(super) async fn outfit(
        &self,
        deps: &Arc<Deps>,
        tenant: &Arc<Tenant>,
        groups: &[SourceGroup],
        known: &Outfit,
    ) -> Result<Equipped, Trouble> {
        let (entry, tags) =
            (deps.board.tenant(&tenant.id), deps.cursors.tags(&tenant.id).unwrap_or_default());
        let mut reports: Vec<_> =
            tenant.filters.iter().map(|filter| FilterReport::new(&filter.name)).collect();
        let mut outfit = Outfit { filters: tenant.filters.clone(), ..Outfit::default() };
        let mut trouble = None;
        for (filter, report) in tenant.filters.iter().zip(&mut reports) {
            match self.module(deps, tenant, filter, (known, &tags), report).await {
                Ok((module, resolved, share)) => {
                    outfit.modules.push(module);
                    outfit.resolved.push(resolved);
                    outfit.shares.push(share);
                }
                Err(error) => {
                    // Even to be asked what it is may be too much for it.
                    let stage = error.stage().min(FilterStage::Compiled);
                    report.fails(stage, &error, (deps.now)());
                    let is_full = matches!(error, Error::Filter(filter::Error::Full { .. }));
                    trouble.get_or_insert(error);
                    if is_full {
                        // There is no room for the others either.
                        break;
                    }
                }
            }
        }
        let mut fitted = None;
        if trouble.is_none() {
            match self.configured(deps, tenant, groups, &outfit, &tags).await {
                Ok((configured, tried)) => {
                    reports.iter_mut().for_each(|report| report.comes_to(FilterStage::Configured));
                    let tried = tried.map(|trial| (TRIED.to_owned(), trial));
                    deps.cursors.set_tags(&tenant.id, outfit.tags().into_iter().chain(tried).collect());
                    fitted = configured;
                }
                Err(error) => {
                    let at_fault = |report: &&mut FilterReport| Some(&*report.name) == fault(&error);
                    if let Some(report) = reports.iter_mut().find(at_fault) {
                        report.fails(error.stage(), &error, (deps.now)());
                    }
                    trouble = Some(error);
                }
            }
        }
        entry.filters(reports);
        if let Some(error) = trouble {
            return Err(error.into());
        }
        Ok(Equipped { outfit, fitted })
    }

    async fn module(
        &self,
        deps: &Arc<Deps>,
        tenant: &Tenant,
        filter: &Filter,
        (known, tags): (&Outfit, &Tags),
        report: &mut FilterReport,
    ) -> Result<(Module, String, Share), Error> {
        let namespace = &tenant.id.namespace;
        let (module, resolved) = match (known.known(filter), &filter.origin) {
            (Some(known), _) => known,
            (None, Origin::Builtin { name }) => {
                (deps.runtime.builtin(name)?.clone(), format!("builtin {name}"))
            }
            (None, _) => self.own(deps, namespace, filter, tags, report).await?,
        };
        report.comes_to(FilterStage::Compiled);
        (report.resolved, report.digest) = (Some(resolved.clone()), Some(module.digest().to_owned()));
        report.contract = Some(module.contract().to_owned());
        let payer = deps.memory.payer(namespace, tenant.limits.memory_max);
        let share = deps.runtime.share(&payer, &filter.name, &module)?;
        Ok((module, resolved, share))
    }

    /// A module that is no part of the program.
    async fn own(
        &self,
        deps: &Arc<Deps>,
        namespace: &str,
        filter: &Filter,
        tags: &Tags,
        report: &mut FilterReport,
    ) -> Result<(Module, String), Error> {
        let failed = |source| Error::Fetch { filter: filter.name.clone(), source };
        let (origin, credentials) = (settled(&filter.origin, tags), credentials(filter).map_err(failed)?);
        if let Some(known) = self.known_module(&origin, credentials.as_ref()).await {
            return Ok(known);
        }
        let entered = self.workshop.enter(namespace).await;
        if let Some(known) = self.known_module(&origin, credentials.as_ref()).await {
            return Ok(known);
        }
        let fetched = match (&origin, &filter.content) {
            (Origin::ConfigMap { name, key }, Some(bytes)) => {
                Fetched::of_bytes(bytes.clone(), format!("{key} of the ConfigMap {name}"))
            }
            _ => self.store.fetch(&origin, credentials.as_ref()).await.map_err(failed)?,
        };
        let Fetched { bytes, digest, resolved, .. } = fetched;
        report.comes_to(FilterStage::Verified);
        (report.resolved, report.digest) = (Some(resolved.clone()), Some(digest.to_string()));
        // Until it is its turn it waits without them where they can be had again.
        let again = self.store.has_again(&origin, &resolved, credentials.as_ref()).await;
        let held = if again.is_some() { None } else { Some(bytes) };
        let origin = again.unwrap_or(origin);
        let parts = |Fetched { digest, bytes, .. }: Fetched| (digest, bytes);
        let kept = async || match held {
            Some(bytes) => Some((digest, bytes)),
            None => self.store.again(&origin, credentials.as_ref()).await.map(parts),
        };
        let anew = async || self.store.fetch(&origin, credentials.as_ref()).await.map(parts).map_err(failed);
        let module = self.workshop.module(&deps.runtime, &filter.name, digest, entered, kept, anew).await;
        let broken = || Error::Broken { filter: filter.name.clone() };
        Ok((module.ok_or_else(broken)??, resolved))
    }

    /// A module of which the bytes are not needed: it was fetched before, and is compiled.
    async fn known_module(
        &self,
        origin: &Origin,
        credentials: Option<&Credentials>,
    ) -> Option<(Module, String)> {
        let Known { digest, resolved } = self.store.known(origin, credentials).await?;
        Some((self.workshop.known(digest)?, resolved))
    }

    /// The filters, once they took their configurations and what the sources have; and what was tried, now or before. What went
    /// well before is not tried again: a replica that goes on with a thousand resources asks no source twice.
    async fn configured(
        &self,
        deps: &Arc<Deps>,
        tenant: &Arc<Tenant>,
        groups: &[SourceGroup],
        outfit: &Outfit,
        tags: &Tags,
    ) -> Result<(Option<Fitted>, Option<Digest>), Error> {
        // A mistake in a configuration waits for no source.
        let fitted = match self.fitted(deps, tenant, groups, outfit).await {
            Err(Error::Filter(filter::Error::Kept { .. } | filter::Error::Full { .. })) => {
                self.trials.configure(deps, tenant, &outfit.modules).await?;
                None
            }
            fitted => Some(fitted?),
        };
        if outfit.modules.is_empty() {
            return Ok((fitted, None));
        }
        let trial = outfit.trial(tenant, groups);
        let tried =
            tags.get(TRIED) == Some(&trial) || self.trials.run(deps, tenant, groups, &outfit.modules).await?;
        Ok((fitted, tried.then_some(trial)))
    }

    /// The filters of every lane, configured where nobody waits for the thread, as long as somebody waits for them.
    pub(super) async fn fitted(
        &self,
        deps: &Arc<Deps>,
        tenant: &Arc<Tenant>,
        groups: &[SourceGroup],
        outfit: &Outfit,
    ) -> Result<Fitted, Error> {
        let turn = self.trials.fitting(&tenant.id.namespace).await;
        let (with, of, modules) = (deps.clone(), tenant.clone(), outfit.modules.clone());
        let groups = groups.to_vec();
        // Nobody waits any more once this future is gone.
        let waiting = Arc::new(());
        let waits = Arc::downgrade(&waiting);
        let fitting = background::spawn(move || {
            let _turn = turn;
            let goes_on = || waits.strong_count() > 0;
            pipeline::fit(&with.runtime, &with.memory, &of, &modules, &groups, &goes_on)
        });
        let fitted = fitting.await.transpose()?.flatten();
        drop(waiting);
        let first = || tenant.filters.first().map_or_else(|| "patterns".to_owned(), |own| own.name.clone());
        fitted.ok_or_else(|| Error::Broken { filter: first() })
    }
}

/// Who we say we are to the registry of a filter's module.
fn credentials(filter: &Filter) -> Result<Option<Credentials>, modules::Error> {
    match (&filter.origin, &filter.pull_secret) {
        (Origin::Oci { reference, .. }, Some(secret)) => {
            Credentials::from_docker_config(secret.reveal().as_bytes(), reference.registry())
        }
        _ => Ok(None),
    }
}

/// The origin, by what its tag stood for when filters were first ready with it.
fn settled(origin: &Origin, tags: &Tags) -> Origin {
    match origin {
        Origin::Oci { reference, pull_secret } => {
            let digest = tags.get(&reference.key());
            let reference = digest.map_or_else(|| reference.clone(), |digest| reference.at(*digest));
            Origin::Oci { reference, pull_secret: pull_secret.clone() }
        }
        other => other.clone(),
    }
}

fn fault(error: &Error) -> Option<&str> {
    match error {
        Error::Fetch { filter, .. } | Error::Broken { filter } => Some(filter),
        Error::Filter(error) => error.filter(),
    }
}
