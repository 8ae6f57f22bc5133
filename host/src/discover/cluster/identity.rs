//! Identity: what a discovered server is called, and which others are replicas of it.
//!
//! Both names are in metrics and cursors, so they must outlive a restart: a StatefulSet's pod keeps its name, a
//! Deployment's does not, and only the Deployment does.

use std::collections::BTreeMap;

use super::block::{Block, POD_INDEX_LABEL, POD_NAME_LABEL};

/// What an object is, as far as names go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Identity<'a> {
    pub(super) namespace: &'a str,
    /// Unique in the namespace.
    pub(super) object: String,
    /// The StatefulSet, Deployment or Service that it is one of.
    pub(super) workload: Option<&'a str>,
    /// Whether the workload's pods are copies of each other whose names do not last.
    pub(super) interchangeable: bool,
}

impl Identity<'_> {
    /// The source's name.
    pub(super) fn source(&self, block: &Block) -> String {
        format!("{}/{}/{}", block.name, self.namespace, self.object)
    }

    /// The replica group's name, if the object is one of several. No object's name has a `*`.
    ///
    /// - A Deployment's pods are replicas of each other: nothing that lasts tells them apart.
    /// - A replica label that the StatefulSet itself sets makes replicas of that StatefulSet's pods.
    /// - Any other replica label makes replicas of all objects of the block and namespace that carry it; labels that
    ///   the block takes from the object tell several such groups apart.
    pub(super) fn group(&self, block: &Block, labels: &BTreeMap<String, String>) -> Option<String> {
        let Block { name, replica_label, .. } = block;
        let by_label = replica_label.as_deref().filter(|label| labels.contains_key(*label));
        let workload = match (by_label, self.workload) {
            (Some(POD_NAME_LABEL | POD_INDEX_LABEL), Some(workload)) => format!("{workload}-"),
            (Some(_), _) => String::new(),
            (None, Some(workload)) if self.interchangeable => format!("{workload}-"),
            (None, _) => return None,
        };
        let told_apart = told_apart(block, labels);
        Some(format!("{name}/{}/{workload}*{told_apart}", self.namespace))
    }
}

/// `{cluster=eu}`: the labels that the block takes from the object.
fn told_apart(block: &Block, labels: &BTreeMap<String, String>) -> String {
    let taken = block.labels_from.iter().filter_map(|(name, from)| Some((name, labels.get(from)?)));
    let pairs: Vec<_> = taken.map(|(name, value)| format!("{name}={value}")).collect();
    if pairs.is_empty() { String::new() } else { format!("{{{}}}", pairs.join(",")) }
}

/// The StatefulSet that a pod of this name is one of: `prometheus-k8s-0` is one of `prometheus-k8s`. What a Deployment
/// makes up ends in five characters.
pub(super) fn stateful_set(pod: &str) -> Option<&str> {
    const ORDINAL_DIGITS_MAX: usize = 4;
    let (name, ordinal) = pod.rsplit_once('-')?;
    let is_number = !ordinal.is_empty() && ordinal.bytes().all(|b| b.is_ascii_digit());
    let is_canonical = ordinal == "0" || !ordinal.starts_with('0');
    (is_number && is_canonical && ordinal.len() <= ORDINAL_DIGITS_MAX).then_some(name)
}
