//! Validation: from a resource's fields to a tenant that can run.
//!
//! In: the fields, the operator's policy, Secrets. Out: an [`Outcome`], and every problem on the way.
//! Never: a stop at the first problem. An invalid pattern grants nothing and is reported; every other error
//! refuses the whole resource, as the API server would.

mod filters;
mod labels;
mod login;
mod patterns;
mod receiver;
mod target;
#[cfg(test)]
mod tests;

use sluice_filter::re2::Budget;
use sluice_filter::selector::Selector;
use sluice_filter_relabel::{RULES_MAX, Rule, RuleConfig};

use super::names::{is_dns_label, is_dns_subdomain};
use super::policy::{self, Effective};
use super::resource::{CollectionMode, Metadata, MetricAccessSpec, Relabeling, RemoteWrite, TargetKind};
use super::review::Outcome;
use super::surroundings::Surroundings;
use crate::document::{Blame, GoDuration, Path, Problem};
use crate::model::{
    Endpoint, Interval, LOOKBACK, Mode, PushgatewayEndpoint, PushgatewayGroup, Tenant, TenantId, TickLimits,
    Timestamp,
};

/// A resource counts as new until who puts it beside others knows since when it is there.
const NEW: Timestamp = Timestamp(i64::MAX);

/// Problems as they are found.
#[derive(Debug, Clone, Default)]
pub(super) struct Findings {
    problems: Vec<Problem>,
    fatal: bool,
}

/// Addresses longer than this are refused by many servers; the CustomResourceDefinition says the same.
const URL_BYTES_MAX: usize = 2048;

impl Findings {
    /// An error that refuses the resource.
    fn refuse(&mut self, path: Path, message: impl Into<String>, cure: impl Into<String>) {
        self.fatal = true;
        self.problems.push(Problem::error(path, message, cure));
    }

    /// What the operator does not allow, which refuses the resource. The message names the limit as the configuration
    /// does.
    fn forbid(&mut self, path: Path, message: impl Into<String>, cure: impl Into<String>) {
        self.fatal = true;
        self.problems.push(Problem::error(path, message, cure).blamed_on(Blame::Operator));
    }

    /// Something that is named and not there, which refuses the resource until it is.
    fn absent(&mut self, path: Path, message: impl Into<String>, cure: impl Into<String>) {
        self.fatal = true;
        self.problems.push(Problem::error(path, message, cure).blamed_on(Blame::Absence));
    }

    /// Refuses a text that is longer than an address may be: it is not looked at.
    fn of_an_urls_length(&mut self, text: &str, path: &Path, cure: &str) -> Option<()> {
        if text.len() <= URL_BYTES_MAX {
            return Some(());
        }
        self.refuse(path.clone(), format!("{} bytes are more than {URL_BYTES_MAX}", text.len()), cure);
        None
    }

    /// An error that refuses only the part at `path`.
    fn part(&mut self, path: Path, message: impl Into<String>, cure: impl Into<String>) {
        self.problems.push(Problem::error(path, message, cure));
    }

    fn warn(&mut self, path: Path, message: impl Into<String>, cure: impl Into<String>) {
        self.problems.push(Problem::warning(path, message, cure));
    }

    /// Whether anything refuses the resource.
    pub(super) fn is_fatal(&self) -> bool {
        self.fatal
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems
    }
}

/// Whose resource it is, and since when.
pub(super) fn metadata(metadata: &Metadata, findings: &mut Findings) -> (TenantId, Option<Timestamp>) {
    let Metadata { name, namespace, creation_timestamp } = metadata;
    let place = Path::root().key("metadata");
    if !is_dns_subdomain(name) {
        let cure = "use lower-case letters, digits, - and . (at most 253)";
        findings.refuse(place.key("name"), format!("{name:?} is not a resource's name"), cure);
    }
    if !is_dns_label(namespace) {
        let cure = "use lower-case letters, digits and - (at most 63)";
        findings.refuse(place.key("namespace"), format!("{namespace:?} is not a namespace"), cure);
    }
    let created = creation_timestamp.as_ref().and_then(|text| {
        let parsed = text.parse::<jiff::Timestamp>();
        if parsed.is_err() {
            let cure = "write it as 2026-01-31T12:00:00Z, or remove it";
            findings.refuse(place.key("creationTimestamp"), format!("{text:?} is not a time"), cure);
        }
        parsed.ok().map(|time| Timestamp(time.as_millisecond()))
    });
    (TenantId { namespace: namespace.clone(), name: name.clone() }, created)
}

/// What a resource's regular expressions became: all that takes time to find out.
#[derive(Debug)]
pub(super) struct Expressions {
    selectors: Vec<Selector>,
    relabelings: Vec<serde_json::Value>,
}

/// Compiles a resource's expressions, as far as there is room for them.
pub(super) fn expressions(
    id: &TenantId,
    spec: &MetricAccessSpec,
    policy: &Effective,
    findings: &mut Findings,
) -> Expressions {
    let place = Path::root().key("spec");
    let mut room = Room { budget: Budget::new(policy.patterns_size_max), told: false };
    source(&spec.source, &place, findings);
    let selectors = patterns::selectors(id, spec, policy, &mut room, &place, findings);
    let relabelings = chosen_relabelings(spec, &mut room, &place, findings);
    Expressions { selectors, relabelings }
}

/// Room for the expressions of one resource.
struct Room {
    budget: Budget,
    told: bool,
}

impl Room {
    /// Whether there is any; if there is none, the first who asks says so.
    fn is_left(&mut self, place: &Path, findings: &mut Findings) -> bool {
        let exhausted = self.budget.is_exhausted();
        if exhausted && !std::mem::replace(&mut self.told, true) {
            let most = self.budget.size_max();
            let message =
                format!("the regular expressions come to more than a size of {most} (limits.maxPatternSize)");
            let cure = "use smaller repetition counts and sets, or fewer expressions";
            findings.forbid(place.clone(), message, cure);
        }
        !exhausted
    }
}

/// Where a resource sends to, whatever else is wrong with it.
pub(super) fn endpoints(
    id: &TenantId,
    spec: &MetricAccessSpec,
    policy: &Effective,
    around: &dyn Surroundings,
) -> Vec<Endpoint> {
    let Some(remote_write) = &spec.remote_write else { return Vec::new() };
    let (place, findings) = (&Path::root(), &mut Findings::default());
    let target = target::endpoints(id, remote_write, policy, around, true, place, findings);
    target.map(|target| target.endpoints).unwrap_or_default()
}

/// Where a group is that a resource once pushed to, by the rules for one that asks for it now; `None` if it may not be
/// pushed to.
pub(super) fn group(
    id: &TenantId,
    group: &PushgatewayGroup,
    policy: &Effective,
    around: &dyn Surroundings,
) -> Option<PushgatewayEndpoint> {
    target::group(id, group, policy, around)
}

/// What becomes of a resource with these fields. Everything is checked, also of a resource that does not want to
/// run, so that enabling it holds no surprise.
pub(super) fn spec(
    id: &TenantId,
    spec: &MetricAccessSpec,
    policy: &Effective,
    around: &dyn Surroundings,
    expressions: &Expressions,
    findings: &mut Findings,
) -> Outcome {
    let Some(remote_write) = &spec.remote_write else { return Outcome::Disabled };
    let place_of_write = Path::root().keys("spec.remoteWrite");
    let Expressions { selectors, relabelings } = expressions;
    let taken = spec.collection.and_then(|collection| collection.mode).unwrap_or(CollectionMode::Sampled);
    let interval = interval(remote_write, taken, policy, &place_of_write, findings);
    let enabled = enabled(remote_write, &place_of_write, findings);
    let target = target::endpoints(id, remote_write, policy, around, enabled, &place_of_write, findings);
    let kind = target.as_ref().map(|target| target.kind);
    let mode = mode(taken, remote_write.target.as_ref().map(|target| target.kind), findings);
    if mode == Some(Mode::Raw) && remote_write.out_of_order == Some(true) {
        let message = "has no effect with collection.mode: raw, which is always sent oldest first";
        findings.warn(place_of_write.key("outOfOrder"), message, "remove it, or write mode: sampled");
    }
    let filters = filters::filters(id, &spec.filters, policy, around, findings);
    let stamps = labels::stamps(remote_write, &id.namespace, policy, kind, &place_of_write, findings);
    if !enabled {
        return Outcome::Disabled;
    }
    match (target, interval, mode, stamps) {
        (Some(target), Some(interval), Some(mode), Some(stamps)) if !selectors.is_empty() => {
            Outcome::Run(Box::new(Tenant {
                id: id.clone(),
                source: spec.source.clone(),
                selectors: selectors.clone(),
                interval,
                mode,
                target_type: target.kind,
                endpoints: target.endpoints,
                filters,
                relabelings: relabelings.clone(),
                stamps,
                since: NEW,
                limits: TickLimits {
                    series_max: policy.series_max,
                    bytes_max: policy.tick_bytes_max,
                    memory_max: policy.memory_max,
                },
            }))
        }
        _ => Outcome::Refused,
    }
}

fn source(source: &str, spec: &Path, findings: &mut Findings) {
    const SOURCE_BYTES_MAX: usize = 253;
    let legal = |c: char| !c.is_whitespace() && !c.is_control();
    if source.is_empty() || source.len() > SOURCE_BYTES_MAX || !source.chars().all(legal) {
        let cure = "write one word, usually the team's name (at most 253 bytes)";
        findings.refuse(spec.key("source"), format!("{source:?} is not an identifier"), cure);
    }
}

fn enabled(remote_write: &RemoteWrite, place: &Path, findings: &mut Findings) -> bool {
    if remote_write.enabled.is_none() {
        findings.warn(place.key("enabled"), "is missing, so nothing is sent", "write enabled: true");
    }
    remote_write.enabled.unwrap_or(false)
}

/// Which samples are taken; a Pushgateway holds one value of a series, and no time.
fn mode(taken: CollectionMode, target: Option<TargetKind>, findings: &mut Findings) -> Option<Mode> {
    match taken {
        CollectionMode::Sampled => Some(Mode::Sampled),
        CollectionMode::Raw if target == Some(TargetKind::Pushgateway) => {
            let message =
                "\"raw\" means nothing at a Pushgateway, which holds the newest value of a series alone";
            let cure = "write mode: sampled, or send to a Prometheus";
            findings.refuse(Path::root().keys("spec.collection.mode"), message, cure);
            None
        }
        CollectionMode::Raw => Some(Mode::Raw),
    }
}

fn interval(
    remote_write: &RemoteWrite,
    taken: CollectionMode,
    policy: &Effective,
    place: &Path,
    findings: &mut Findings,
) -> Option<Interval> {
    let place = place.key("interval");
    let asked =
        remote_write.interval.unwrap_or(GoDuration(policy::INTERVAL_DEFAULT.max(policy.interval_min)));
    if asked.0 < policy.interval_min {
        let least = GoDuration(policy.interval_min);
        let message = format!("\"{asked}\" is below the minimum of {least} (limits.minInterval)");
        findings.forbid(place, message, format!("write \"{least}\" or more"));
        return None;
    }
    if asked.0 > policy::INTERVAL_MAX {
        let most = GoDuration(policy::INTERVAL_MAX);
        findings.refuse(place, format!("\"{asked}\" is more than {most}"), "write \"5m\" or less");
        return None;
    }
    if taken == CollectionMode::Raw && asked.0 > policy::RAW_INTERVAL_MAX {
        let most = GoDuration(policy::RAW_INTERVAL_MAX);
        let message = format!(
            "\"{asked}\" is more than {most}, the most where every stored sample is taken (collection.mode: raw): each tick brings all of them at once"
        );
        findings.refuse(place, message, "write \"5m\" or less, or mode: sampled");
        return None;
    }
    if asked.0 > LOOKBACK && taken == CollectionMode::Sampled {
        let message = format!("\"{asked}\" is longer than Prometheus looks back for a sample (5m)");
        findings.warn(place.clone(), message, "write \"4m\" or less, or graphs will have gaps");
    }
    let interval = Interval::new(asked.0);
    if interval.is_none() {
        findings.refuse(place, format!("\"{asked}\" is below a millisecond"), "write \"30s\"");
    }
    interval
}

/// The rules stand in either of two places; in both they would have no order.
fn chosen_relabelings(
    spec: &MetricAccessSpec,
    room: &mut Room,
    place: &Path,
    findings: &mut Findings,
) -> Vec<serde_json::Value> {
    let outer = place.key("metricRelabelings");
    let inner = place.keys("remoteWrite.metricRelabelings");
    let Some(remote_write) = &spec.remote_write else {
        return relabelings(&spec.metric_relabelings, room, &outer, findings);
    };
    if !spec.metric_relabelings.is_empty() && !remote_write.metric_relabelings.is_empty() {
        let cure = format!("move all rules to {outer}");
        findings.refuse(inner.clone(), format!("there are rules at {outer} as well"), cure);
    }
    let mut rules = relabelings(&spec.metric_relabelings, room, &outer, findings);
    rules.extend(relabelings(&remote_write.metric_relabelings, room, &inner, findings));
    rules
}

/// The rules as the `relabel` filter's configuration takes them, each compiled once to see that it can be.
fn relabelings(
    rules: &[Relabeling],
    room: &mut Room,
    place: &Path,
    findings: &mut Findings,
) -> Vec<serde_json::Value> {
    if rules.len() > RULES_MAX {
        let message = format!("{} rules are more than {RULES_MAX}", rules.len());
        findings.refuse(place.clone(), message, "combine rules, for example with a|b in their regex");
        return Vec::new();
    }
    let mut checked = Vec::with_capacity(rules.len());
    for (index, rule) in rules.iter().enumerate() {
        let rule = filter_rule(rule);
        let compiled = Rule::compile_within(&rule, &mut room.budget);
        if !room.is_left(place, findings) {
            return Vec::new();
        } else if let Err(error) = compiled {
            let place = place.index(index);
            let place = if error.field.is_empty() { place } else { place.key(camel_case(error.field)) };
            findings.refuse(place, error.cause, error.cure);
        } else if let Ok(value) = serde_json::to_value(rule) {
            checked.push(value);
        }
    }
    checked
}

fn filter_rule(rule: &Relabeling) -> RuleConfig {
    let Relabeling { source_labels, separator, regex, modulus, target_label, replacement, action } =
        rule.clone();
    RuleConfig { source_labels, separator, regex, modulus, target_label, replacement, action }
}

/// `target_label` as the resource writes it.
fn camel_case(field: &str) -> String {
    let mut words = field.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| {
        let (initial, rest) = word.split_at(word.len().min(1));
        name + &initial.to_ascii_uppercase() + rest
    })
}
