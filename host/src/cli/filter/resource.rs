//! Resource: a MetricAccess, at the desk of whoever writes one of its filters.
//!
//! In: a file. Out: the tenant that it would be, and its filters' modules. Never: another reading of a resource than `sluice run`'s;
//! a Secret or a registry asked for a filter beside the one that is tried.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use bytes::Bytes;

use super::desk::{Most, load};
use super::tell;
use crate::filter::{Module, Runtime};
use crate::model::{Filter, FilterLimits, Origin, Secret, Tenant};
use crate::tenancy::resource::SecretKey;
use crate::tenancy::secrets::SecretError;
use crate::tenancy::{self, Effective, Outcome, Review, Surroundings, files};

/// What is elsewhere counts as present: nothing of it is used.
struct Elsewhere;

impl Surroundings for Elsewhere {
    fn secret(&self, _: &str, _: &SecretKey) -> Result<Secret, SecretError> {
        Ok(Secret::new(""))
    }

    fn config_map(&self, _: &str, _: &str, _: &str) -> Result<Bytes, SecretError> {
        Ok(Bytes::new())
    }
}

/// The tenant of the only resource in a file, where the operator has set nothing but `most`. What is doubtful is told.
pub(super) fn read(file: &Path, most: FilterLimits) -> anyhow::Result<Tenant> {
    let text = files::text(file).with_context(|| file.display().to_string())?;
    let resources = tenancy::read(&Arc::from(file), &text).map_err(|problem| anyhow!("{problem}"))?;
    let [resource] = &resources[..] else {
        bail!(
            "{}: it holds {} resources: leave the one that the filter is for",
            file.display(),
            resources.len()
        );
    };
    let policy = Effective { filter_limits: most, ..Effective::default() };
    let Review { outcome, problems, .. } = Review::of(resource, &policy, &Elsewhere);
    let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
    match outcome {
        Outcome::Refused => bail!("{}", problems.join("\n")),
        Outcome::Disabled => {
            let path = file.display();
            bail!("{path}: spec.remoteWrite is not enabled, so no filter runs: write enabled: true");
        }
        Outcome::Run(tenant) => {
            problems.iter().for_each(|problem| tell(problem));
            Ok(*tenant)
        }
    }
}

/// Which of the resource's filters the component stands for.
pub(super) fn chosen(tenant: &Tenant, file: &Path, named: Option<&str>) -> anyhow::Result<usize> {
    let names: Vec<&str> = tenant.filters.iter().map(|filter| filter.name.as_str()).collect();
    let (path, all) = (file.display(), names.join(", "));
    match (named, &names[..]) {
        (_, []) => bail!("{path}: there is no filter: write spec.filters, as docs/using-filters.md shows"),
        (None, [_]) => Ok(0),
        (None, _) => bail!("{path}: there are several filters: say which with --filter: {all}"),
        (Some(named), _) => names
            .iter()
            .position(|name| *name == named)
            .ok_or_else(|| anyhow!("{path}: there is no filter {named}: use one of {all}")),
    }
}

/// The modules of the resource's filters, in their order: `own` in its place, and others as far as they are at hand. The tenant keeps
/// no other filter; which are left out is told.
pub(super) fn modules(
    tenant: &mut Tenant,
    at: usize,
    own: Module,
    runtime: &Runtime,
    folder: &Path,
    most: Most,
) -> anyhow::Result<Vec<Module>> {
    let mut modules = Vec::with_capacity(tenant.filters.len());
    let mut filters = Vec::with_capacity(tenant.filters.len());
    for (number, filter) in std::mem::take(&mut tenant.filters).into_iter().enumerate() {
        let module = match (&filter.origin, number == at) {
            (_, true) => own.clone(),
            (Origin::Builtin { name }, _) => {
                runtime.builtin(name).with_context(|| format!("filter {}", filter.name))?.clone()
            }
            (Origin::File { path }, _) => {
                let loaded = load(runtime, &folder.join(path.as_path()), most);
                loaded.with_context(|| format!("filter {}", filter.name))?
            }
            _ => {
                tell(&left_out(&filter));
                continue;
            }
        };
        modules.push(module);
        filters.push(filter);
    }
    tenant.filters = filters;
    Ok(modules)
}

fn left_out(filter: &Filter) -> String {
    let place = match &filter.origin {
        Origin::ConfigMap { name, key } => format!("{key} of the ConfigMap {name}"),
        Origin::Http { url, .. } => url.to_string(),
        Origin::Oci { reference, .. } => reference.to_string(),
        Origin::Builtin { name } => name.clone(),
        Origin::File { path } => path.to_string(),
    };
    format!(
        "filter {} is left out: it is not at hand ({place}); pull it, and write file for the time being",
        filter.name
    )
}
