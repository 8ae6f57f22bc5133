//! The labels to stamp: the resource's `extraLabels` and the operator's management labels.

use std::collections::BTreeMap;

use super::Findings;
use crate::document::Path;
use crate::model::{HonorLabels, Labels, Stamps, TargetType, is_label_name};
use crate::tenancy::policy::Effective;
use crate::tenancy::resource::RemoteWrite;

/// Labels one resource may add. Prometheus itself has no bound; thirty is a lot.
const EXTRA_LABELS_MAX: usize = 64;

pub(super) fn stamps(
    remote_write: &RemoteWrite,
    namespace: &str,
    policy: &Effective,
    kind: Option<TargetType>,
    place: &Path,
    findings: &mut Findings,
) -> Option<Stamps> {
    let place = place.key("extraLabels");
    let extra = &remote_write.extra_labels;
    if extra.len() > EXTRA_LABELS_MAX {
        let message = format!("{} labels are more than {EXTRA_LABELS_MAX}", extra.len());
        findings.refuse(place.clone(), message, "remove some");
    }
    let management = policy.management_of(namespace);
    for (name, value) in extra {
        check(name, value, &management, &place.key(name), findings);
    }
    if kind == Some(TargetType::Pushgateway) && extra.contains_key("job") {
        let cure = "remove it, and set pushgateway.jobName";
        findings.warn(place.key("job"), "has no effect: a Pushgateway sets job to the group's", cure);
    }
    let mut all: BTreeMap<&str, &str> = extra.iter().map(|(name, value)| (&**name, &**value)).collect();
    all.extend(management.iter().map(|(name, value)| (*name, &**value)));
    let labels = Labels::from_pairs(all).map_err(|e| findings.refuse(place, e.to_string(), "")).ok()?;
    let protected = policy.protected.iter().chain(policy.management.keys()).cloned();
    let protected: std::collections::BTreeSet<String> = protected.collect();
    let honor =
        if remote_write.honor_labels == Some(true) { HonorLabels::Source } else { HonorLabels::Stamp };
    Some(Stamps { labels, honor, protected: protected.into_iter().collect() })
}

/// It goes with every series of every tick.
const VALUE_BYTES_MAX: usize = 2 << 10;

fn check(
    name: &str,
    value: &str,
    management: &BTreeMap<&str, String>,
    place: &Path,
    findings: &mut Findings,
) {
    if !is_label_name(name) {
        let cure = match legal(name) {
            Some(legal) => format!("write {legal}"),
            None => "use letters, digits and _, not beginning with a digit".to_owned(),
        };
        findings.refuse(place.clone(), "Prometheus would refuse this label name", cure);
    } else if name.starts_with("__") {
        let cure = "use a name that does not begin with __";
        findings.refuse(place.clone(), "names that begin with __ are Prometheus' own", cure);
    }
    if value.len() > VALUE_BYTES_MAX {
        let message = format!("a value of {} bytes is too long", value.len());
        findings.refuse(place.clone(), message, format!("write at most {VALUE_BYTES_MAX} bytes"));
    }
    if value.is_empty() {
        let cure = "write a value, or remove the label";
        findings.refuse(place.clone(), "an empty label is no label", cure);
    }
    if let Some(theirs) = management.get(name).filter(|theirs| *theirs != value) {
        let message = format!("{value:?} is not the operator's value of this label");
        findings.refuse(place.clone(), message, format!("write {theirs:?}, or remove it"));
    }
}

/// The name with everything illegal replaced, as Prometheus does it.
fn legal(name: &str) -> Option<String> {
    let legal: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    (is_label_name(&legal) && !legal.starts_with("__")).then_some(legal)
}
