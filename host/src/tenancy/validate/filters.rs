//! A resource's own filters: names, where their components come from, what they may take.
//!
//! Never: a look at a component; whether it can be had, and takes its configuration, is found out where it is run.

use std::collections::BTreeSet;
use std::str::FromStr;

use bytes::Bytes;
use url::Url;

use super::Findings;
use crate::document::{ByteSize, GoDuration, Path};
use crate::model::{Digest, Filter, FilterLimits, FilterMode, OnFailure, Origin, Secret, TenantId};
use crate::tenancy::names::is_dns_label;
use crate::tenancy::policy::Effective;
use crate::tenancy::resource::{self, FilterSpec, ModuleSpec};
use crate::tenancy::surroundings::Surroundings;

/// What a chain has by itself; filters of these names could not be told from it in a status.
const OWN_STEPS: [&str; 3] = ["patterns", "relabel", "enrich"];
/// A component needs so much before it does anything.
const MEMORY_BYTES_MIN: usize = 1 << 20;

/// Where a component comes from, and what of it the API server holds.
struct Module {
    origin: Origin,
    content: Option<Bytes>,
    pull_secret: Option<Secret>,
}

/// The filters, as far as they are right.
pub(super) fn filters(
    id: &TenantId,
    given: &[FilterSpec],
    policy: &Effective,
    around: &dyn Surroundings,
    findings: &mut Findings,
) -> Vec<Filter> {
    let place = Path::root().keys("spec.filters");
    if given.len() > policy.filters_max {
        let (count, most) = (given.len(), policy.filters_max);
        let message = format!("{count} filters are more than {most} (limits.maxFilters)");
        findings.forbid(place.clone(), message, "remove some, or write one filter that does what several do");
        return Vec::new();
    }
    let (mut names, mut filters) = (BTreeSet::new(), Vec::with_capacity(given.len()));
    for (index, spec) in given.iter().enumerate() {
        let at = place.index(index);
        name(&spec.name, &mut names, &at, findings);
        let limits = limits(spec.limits.as_ref(), &policy.filter_limits, &at.key("limits"), findings);
        let module = module(id, &spec.module, around, &at.key("module"), findings);
        filters.extend(module.map(|module| filter(spec, module, limits)));
    }
    filters
}

fn filter(spec: &FilterSpec, module: Module, limits: FilterLimits) -> Filter {
    let Module { origin, content, pull_secret } = module;
    Filter {
        name: spec.name.clone(),
        origin,
        content,
        pull_secret,
        // What is not written is no document; filters without a configuration take an empty one.
        config: spec.config.clone().unwrap_or_else(|| serde_json::json!({})),
        mode: match spec.mode {
            Some(resource::FilterMode::Monitor) => FilterMode::Monitor,
            Some(resource::FilterMode::Enforce) | None => FilterMode::Enforce,
        },
        on_failure: match spec.failure_policy {
            Some(resource::FailurePolicy::Ignore) => OnFailure::Ignore,
            Some(resource::FailurePolicy::Fail) | None => OnFailure::Fail,
        },
        limits,
    }
}

fn name<'a>(name: &'a str, names: &mut BTreeSet<&'a str>, at: &Path, findings: &mut Findings) {
    let at = at.key("name");
    if !is_dns_label(name) {
        let cure = "use lower-case letters, digits and - (at most 63)";
        findings.refuse(at, format!("{name:?} is not a filter's name"), cure);
    } else if OWN_STEPS.contains(&name) {
        findings.refuse(at, format!("{name:?} is a step that every chain has"), "choose another name");
    } else if !names.insert(name) {
        findings.refuse(
            at,
            format!("{name:?} is another filter's name too"),
            "give one of them another name",
        );
    }
}

fn limits(
    given: Option<&resource::FilterLimits>,
    most: &FilterLimits,
    at: &Path,
    findings: &mut Findings,
) -> FilterLimits {
    let mut limits = *most;
    if let Some(ByteSize(memory)) = given.and_then(|given| given.memory) {
        let largest = ByteSize(most.memory_bytes_max);
        if memory > most.memory_bytes_max {
            let message = format!("{} is more than {largest} (filters.memory)", ByteSize(memory));
            findings.forbid(at.key("memory"), message, format!("write \"{largest}\" or less"));
        } else if memory < MEMORY_BYTES_MIN {
            let message = format!("{} is less than an empty filter needs", ByteSize(memory));
            findings.refuse(at.key("memory"), message, "write \"16Mi\" or more");
        }
        limits.memory_bytes_max = memory;
    }
    if let Some(timeout) = given.and_then(|given| given.timeout) {
        let longest = GoDuration(most.call_time_max);
        if timeout.0 > most.call_time_max {
            let message = format!("\"{timeout}\" is more than {longest} (filters.timeout)");
            findings.forbid(at.key("timeout"), message, format!("write \"{longest}\" or less"));
        } else if timeout.0.is_zero() {
            findings.refuse(at.key("timeout"), "is no time at all", "write \"100ms\" or more");
        }
        limits.call_time_max = timeout.0;
    }
    limits
}

/// Exactly one of the sources, read.
fn module(
    id: &TenantId,
    given: &ModuleSpec,
    around: &dyn Surroundings,
    at: &Path,
    findings: &mut Findings,
) -> Option<Module> {
    let alone = |origin| Module { origin, content: None, pull_secret: None };
    match given {
        ModuleSpec { oci: Some(oci), config_map: None, http: None, file: None, builtin: None } => {
            let reference = parsed(&oci.reference, &at.keys("oci.ref"), findings)?;
            let pull_secret = match oci.pull_secret() {
                None => None,
                Some(key) => match around.secret(&id.namespace, &key) {
                    Ok(secret) => Some(secret),
                    Err(error) => {
                        let message = format!("the Secret {} {}", key.name, error.message);
                        findings.absent(at.keys("oci.pullSecretRef"), message, error.cure);
                        return None;
                    }
                },
            };
            let named = oci.pull_secret_ref.as_ref().map(|secret| secret.name.clone());
            Some(Module { pull_secret, ..alone(Origin::Oci { reference, pull_secret: named }) })
        }
        ModuleSpec { oci: None, config_map: Some(map), http: None, file: None, builtin: None } => {
            let resource::ConfigMapModule { name, key } = map;
            match around.config_map(&id.namespace, name, key) {
                Ok(bytes) => {
                    let origin = Origin::ConfigMap { name: name.clone(), key: key.clone() };
                    Some(Module { content: Some(bytes), ..alone(origin) })
                }
                Err(error) => {
                    let message = format!("the ConfigMap {name} {}", error.message);
                    findings.absent(at.key("configMap"), message, error.cure);
                    None
                }
            }
        }
        ModuleSpec { oci: None, config_map: None, http: Some(http), file: None, builtin: None } => {
            findings.of_an_urls_length(&http.url, &at.keys("http.url"), "write a shorter address")?;
            let url = parsed::<Url>(&http.url, &at.keys("http.url"), findings);
            let url = url.filter(|url| may_be_asked(url, &at.keys("http.url"), findings));
            let digits = http.sha256.strip_prefix("sha256:").unwrap_or(&http.sha256);
            let sha256 = Digest::from_hex(digits);
            if let Err(error) = &sha256 {
                let cure = "write what sha256sum prints for the file";
                findings.refuse(at.keys("http.sha256"), format!("{:?} {error}", http.sha256), cure);
            }
            Some(alone(Origin::Http { url: url?, sha256: sha256.ok()? }))
        }
        ModuleSpec { oci: None, config_map: None, http: None, file: Some(file), builtin: None } => {
            let path = parsed(&file.path, &at.keys("file.path"), findings)?;
            Some(alone(Origin::File { path }))
        }
        ModuleSpec { oci: None, config_map: None, http: None, file: None, builtin: Some(builtin) } => {
            Some(alone(Origin::Builtin { name: builtin.name.clone() }))
        }
        _ => {
            let cure = "write exactly one of oci, configMap, http, file and builtin";
            findings.refuse(at.clone(), "does not say once where the component comes from", cure);
            None
        }
    }
}

/// Whether a download can be asked for there.
fn may_be_asked(url: &Url, at: &Path, findings: &mut Findings) -> bool {
    let (message, cure) = if !matches!(url.scheme(), "http" | "https") {
        (format!("{:?} is no scheme to fetch with", url.scheme()), "write an https address")
    } else if !url.username().is_empty() || url.password().is_some() {
        let message = "holds credentials, which everyone who reads the resource would see".to_owned();
        (message, "push the component to a registry, and write oci with a pullSecretRef")
    } else {
        return true;
    };
    findings.refuse(at.clone(), message, cure);
    false
}

/// What a text says; its errors are the end of a sentence that begins with it, and say what to write.
fn parsed<T>(text: &str, at: &Path, findings: &mut Findings) -> Option<T>
where
    T: FromStr<Err: std::fmt::Display>,
{
    let parsed = text.parse::<T>();
    if let Err(error) = &parsed {
        let said = error.to_string();
        let (message, cure) = said.split_once("; ").unwrap_or((&said, "write it as the documentation shows"));
        findings.refuse(at.clone(), format!("{text:?} {message}"), cure);
    }
    parsed.ok()
}
