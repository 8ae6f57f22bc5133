//! What may be taken: `spec.metrics`, narrowed by `labelSelectors`, isolation and the source's label.

use sluice_filter::selector::{MatchOp, Matcher, Selector};

use super::{Findings, Room};
use crate::document::Path;
use crate::model::pattern::{self, Severity};
use crate::model::{TenantId, is_label_name};
use crate::tenancy::LabelSelectors;
use crate::tenancy::policy::{Effective, IsolationMode};
use crate::tenancy::resource::MetricAccessSpec;

/// How much of an entry a message repeats.
const ENTRY_CHARS_MAX: usize = 80;

/// The selectors of all valid entries, each with everything that narrows it.
pub(super) fn selectors(
    id: &TenantId,
    spec: &MetricAccessSpec,
    policy: &Effective,
    room: &mut Room,
    place: &Path,
    findings: &mut Findings,
) -> Vec<Selector> {
    let mut extra = label_selectors(&spec.label_selectors, room, &place.key("labelSelectors"), findings);
    extra.extend(isolation(id, spec, policy, place, findings));
    if let Some(label) = &policy.source_label {
        extra.extend(equal(label, &spec.source, &place.key("source"), findings));
    }
    let place = place.key("metrics");
    if spec.metrics.len() > policy.patterns_max {
        let (entries, most) = (spec.metrics.len(), policy.patterns_max);
        let message = format!("{entries} entries are more than {most} (limits.maxPatterns)");
        findings.forbid(place, message, "join some of them into regular expressions, as in \"http_.*\"");
        return Vec::new();
    }
    let parsed = pattern::parse_all(&spec.metrics, &mut room.budget);
    if !room.is_left(&place, findings) {
        return Vec::new();
    }
    for (index, problem) in parsed.problems {
        let entry = short(&spec.metrics[index]);
        let place = place.index(index);
        match problem.severity {
            Severity::Warning => findings.warn(place, format!("{entry:?}: {}", problem.cause), problem.cure),
            Severity::Invalid => {
                let message = format!("{entry:?} is invalid and grants nothing: {}", problem.cause);
                findings.part(place, message, problem.cure);
            }
        }
    }
    if parsed.selectors.is_empty() {
        findings.refuse(
            place,
            "there is no valid entry, so nothing would be collected",
            "write a metric's name",
        );
    }
    parsed.selectors.iter().map(|selector| selector.and(&extra)).collect()
}

fn short(entry: &str) -> String {
    match entry.char_indices().nth(ENTRY_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &entry[..end]),
        None => entry.to_owned(),
    }
}

fn label_selectors(
    selectors: &LabelSelectors,
    room: &mut Room,
    place: &Path,
    findings: &mut Findings,
) -> Vec<Matcher> {
    let mut matchers = Vec::new();
    match selectors {
        LabelSelectors::Equal(pairs) => {
            for (name, value) in pairs {
                matchers.extend(equal(name, value, &place.key(name), findings));
            }
        }
        LabelSelectors::Matchers(texts) => {
            for (index, text) in texts.iter().enumerate() {
                matchers.extend(matcher(text, room, &place.index(index), findings));
            }
        }
    }
    matchers
}

/// `name="value"`.
fn equal(name: &str, value: &str, place: &Path, findings: &mut Findings) -> Option<Matcher> {
    if !is_label_name(name) {
        let cure = "use letters, digits and _, not beginning with a digit";
        findings.refuse(place.clone(), format!("{name:?} is not a label's name"), cure);
        return None;
    }
    Matcher::new(name, MatchOp::Equal, value)
        .map_err(|e| findings.refuse(place.clone(), e.cause, e.cure))
        .ok()
}

/// One matcher as PromQL writes it. It is read inside a selector of its own; the name keeps that selector from
/// being refused for matching the empty text.
fn matcher(text: &str, room: &mut Room, place: &Path, findings: &mut Findings) -> Vec<Matcher> {
    const NAME: &str = "x";
    let inner = text.trim().trim_start_matches('{').trim_end_matches('}');
    let selector = Selector::parse_within(&format!("{NAME}{{{inner}}}"), &mut room.budget);
    if !room.is_left(place, findings) {
        return Vec::new();
    }
    match selector {
        Ok(selector) => {
            let is_ours =
                |m: &&Matcher| m.name() == "__name__" && m.op() == MatchOp::Equal && m.value() == NAME;
            selector.matchers().iter().filter(|m| !is_ours(m)).cloned().collect()
        }
        Err(error) => {
            let message = format!("{:?} is not a matcher: {}", short(text), error.cause);
            findings.refuse(place.clone(), message, "write it as zone=~\"a|b\", without braces");
            Vec::new()
        }
    }
}

/// Own namespace only: if the resource wants it, or if the operator does.
fn isolation(
    id: &TenantId,
    spec: &MetricAccessSpec,
    policy: &Effective,
    place: &Path,
    findings: &mut Findings,
) -> Option<Matcher> {
    let place = place.key("metricIsolation");
    let wanted = match (policy.isolation.mode, spec.metric_isolation) {
        (IsolationMode::Enforced, Some(false)) => {
            findings.warn(place.clone(), "false has no effect: the operator enforces isolation", "remove it");
            true
        }
        (IsolationMode::Enforced, _) | (IsolationMode::Optional, Some(true)) => true,
        (IsolationMode::Optional, _) => false,
    };
    wanted.then(|| equal(&policy.isolation.label, &id.namespace, &place, findings)).flatten()
}
