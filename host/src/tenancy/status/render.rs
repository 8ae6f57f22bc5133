//! Render: from facts to a status.
//!
//! In: [`Facts`], the statuses before, the time. Out: the status that should be there.
//! Never: a clock, or a condition whose transition time moves while its status stays.

use std::collections::BTreeSet;
use std::iter;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff;

use super::facts::{Collected, Decision, Facts, Lane, Pipeline};
use super::flow::{self, Says};
use super::modules::modules;
use super::reason::{Kind, Reason, Truth};
use super::types::{
    ENDPOINTS_MAX, EndpointStatus, ErrorStatus, FILTERS_MAX, FilterStatus, MESSAGE_CHARS_MAX,
    MetricAccessStatus, NAME_CHARS_MAX, PATTERNS_MAX, PatternStatus, SeriesStatus, Severity, TEXT_CHARS_MAX,
};
use crate::document::{self, Blame, GoDuration, Problem, Segment};
use crate::model::Timestamp;

/// How many mistakes one message tells.
const PROBLEMS_TOLD_MAX: usize = 3;

/// The statuses that came before.
#[derive(Debug, Clone, Copy, Default)]
pub struct Before<'a> {
    /// What the cluster has.
    pub stored: Option<&'a MetricAccessStatus>,
    /// What was rendered last, whether or not it was written: it knows since when something is so.
    pub wanted: Option<&'a MetricAccessStatus>,
}

/// The status that a resource should have. What the lanes do not know yet, because their pipeline has only just been
/// taken over, stays as it was.
pub fn render(facts: &Facts, before: Before<'_>, now: Timestamp) -> MetricAccessStatus {
    let generation = facts.subject.generation;
    // What was said of another specification says nothing about this one.
    let is_same = |status: &&MetricAccessStatus| status.observed_generation == Some(generation);
    let carried = before.stored.filter(is_same).filter(|_| facts.decision == Decision::Runs);
    // Nothing is known of lanes that are not there, but what they delivered once is.
    let is_absent = matches!(facts.flow.pipeline, Pipeline::Absent(_));
    let endpoints = match carried {
        Some(carried) if is_absent => carried.endpoints.clone(),
        carried => endpoints(&facts.flow.lanes, carried),
    };
    let known = carried.filter(|_| !is_absent);
    MetricAccessStatus {
        observed_generation: Some(generation),
        conditions: conditions(facts, known, before.wanted.filter(is_same), now)
            .into_iter()
            .map(|(kind, says)| condition(kind, says, generation, before, now))
            .collect(),
        patterns: patterns(facts),
        filters: modules(facts, before, now),
        series: series(&facts.flow.lanes).or_else(|| carried.and_then(|status| status.series.clone())),
        last_delivered: endpoints.iter().map(|e| e.last_delivered_tick.clone()).min().flatten(),
        endpoints: shown(endpoints),
        interval: facts.interval.map(|interval| GoDuration(interval.duration()).to_string()),
        target: facts.target.map(|target| target.as_str().to_owned()),
        owner: Some(shortened(&facts.owner, NAME_CHARS_MAX)),
    }
}

/// All conditions, in the order in which they are shown.
fn conditions(
    facts: &Facts,
    carried: Option<&MetricAccessStatus>,
    wanted: Option<&MetricAccessStatus>,
    now: Timestamp,
) -> [(Kind, Says); 5] {
    let accepted = accepted(facts);
    let [filters, collecting, delivering] = match facts.decision {
        Decision::Refused => [(); 3].map(|()| Says::new(Reason::NotAccepted, "see Accepted")),
        Decision::Disabled => [(); 3].map(|()| {
            Says::new(Reason::Disabled, "nothing is sent; write remoteWrite.enabled: true to begin")
        }),
        Decision::Runs => {
            let said = wanted.and_then(|status| status.condition(Kind::FiltersReady.as_str()));
            flow::conditions(facts, said.map(|condition| condition.reason.as_str()), now)
        }
    };
    let kept = |kind, says| match carried.and_then(|status| known(status, kind)) {
        Some(known) if says == Says::starting() => known,
        _ => says,
    };
    let parts = [
        (Kind::Accepted, accepted),
        (Kind::FiltersReady, kept(Kind::FiltersReady, filters)),
        (Kind::Collecting, kept(Kind::Collecting, collecting)),
        (Kind::Delivering, kept(Kind::Delivering, delivering)),
    ];
    let ready = ready(&parts);
    let [accepted, filters, collecting, delivering] = parts;
    [accepted, filters, collecting, delivering, (Kind::Ready, ready)]
}

/// What a running pipeline was last said to do; a taken-over pipeline does the same until it is known better.
fn known(status: &MetricAccessStatus, kind: Kind) -> Option<Says> {
    let condition = status.condition(kind.as_str())?;
    let reason = Reason::ALL.iter().find(|reason| reason.as_str() == condition.reason)?;
    let of_a_pipeline = !matches!(reason, Reason::NotAccepted | Reason::Disabled);
    of_a_pipeline.then(|| Says::new(*reason, &condition.message))
}

fn accepted(facts: &Facts) -> Says {
    let problems = &facts.problems;
    match facts.decision {
        Decision::Refused => {
            let errors = || problems.iter().filter(|problem| problem.is_error());
            // Single patterns never refuse a resource.
            let decisive = errors().find(|problem| pattern_index(problem).is_none());
            let others = errors().filter(|problem| !decisive.is_some_and(|d| std::ptr::eq(d, *problem)));
            let reason = decisive.map_or(Reason::Invalid, |problem| match problem.blame {
                Blame::Document => Reason::Invalid,
                Blame::Operator => Reason::NotAllowed,
                Blame::Rival => Reason::Conflict,
                Blame::Absence => Reason::ReferenceMissing,
            });
            Says::new(reason, told(decisive.into_iter().chain(others), "it may not run"))
        }
        Decision::Runs | Decision::Disabled => {
            let reason = match problems.iter().map(|problem| problem.severity).min() {
                None => Reason::Accepted,
                Some(document::Severity::Warning) => Reason::AcceptedWithWarnings,
                Some(document::Severity::Error) => Reason::AcceptedInPart,
            };
            let mut ordered: Vec<_> = problems.iter().collect();
            ordered.sort_by_key(|problem| problem.severity);
            Says::new(reason, told(ordered.into_iter(), "the resource is valid"))
        }
    }
}

/// Some problems in one line.
fn told<'a>(problems: impl Iterator<Item = &'a Problem>, otherwise: &str) -> String {
    let all: Vec<_> = problems.collect();
    if all.is_empty() {
        return otherwise.to_owned();
    }
    let mut text: Vec<_> = all.iter().take(PROBLEMS_TOLD_MAX).map(ToString::to_string).collect();
    if all.len() > text.len() {
        text.push(format!("and {} more", all.len() - text.len()));
    }
    text.join(". ")
}

/// The worst of the others: what is false before what is unknown, and in the order in which they depend on each other.
/// Reasons for which somebody may look for metrics in vain though every condition is true.
const NOTEWORTHY: [Reason; 4] =
    [Reason::FilterIgnored, Reason::FilterNotReplaced, Reason::NothingSelected, Reason::CatchingUp];

fn ready(parts: &[(Kind, Says); 4]) -> Says {
    let worst = |truth| parts.iter().find(|(_, says)| says.reason.truth() == truth);
    match worst(Truth::False).or_else(|| worst(Truth::Unknown)) {
        Some((Kind::Accepted, says)) => Says::new(Reason::NotAccepted, &says.message),
        Some((_, says)) => says.clone(),
        // Nothing is wrong, and still there is something to know.
        None => match parts.iter().find(|(_, says)| NOTEWORTHY.contains(&says.reason)) {
            Some((_, says)) => says.clone(),
            None => Says::new(Reason::Running, "metrics flow"),
        },
    }
}

fn condition(kind: Kind, says: Says, generation: i64, before: Before<'_>, now: Timestamp) -> Condition {
    let status = says.reason.truth().as_str();
    let since = [before.stored, before.wanted]
        .into_iter()
        .flatten()
        .filter_map(|before| before.condition(kind.as_str()))
        .find(|before| before.status == status)
        .map_or_else(|| time(now), |before| before.last_transition_time.clone());
    Condition {
        type_: kind.as_str().to_owned(),
        status: status.to_owned(),
        reason: says.reason.as_str().to_owned(),
        message: shortened(&says.message, MESSAGE_CHARS_MAX),
        last_transition_time: since,
        observed_generation: Some(generation),
    }
}

fn patterns(facts: &Facts) -> Vec<PatternStatus> {
    let of = |problem: &Problem| {
        let index = pattern_index(problem)?;
        let pattern = facts.subject.metrics.get(index).map(String::as_str).unwrap_or_default();
        Some(PatternStatus {
            index: i64::try_from(index).ok()?,
            pattern: shortened(pattern, TEXT_CHARS_MAX),
            severity: match problem.severity {
                document::Severity::Error => Severity::Error,
                document::Severity::Warning => Severity::Warning,
            },
            message: shortened(&problem.message, MESSAGE_CHARS_MAX),
            cure: shortened(&problem.cure, TEXT_CHARS_MAX),
        })
    };
    facts.problems.iter().filter_map(of).take(PATTERNS_MAX).collect()
}

/// The entry of `spec.metrics` that a problem is about.
fn pattern_index(problem: &Problem) -> Option<usize> {
    match problem.path.segments() {
        [Segment::Key(spec), Segment::Key(metrics), Segment::Index(index), ..]
            if spec == "spec" && metrics == "metrics" =>
        {
            Some(*index)
        }
        _ => None,
    }
}

/// The counts of the newest ticks; `None` before the first. Lanes of one source group carry the same series.
fn series(lanes: &[Lane]) -> Option<SeriesStatus> {
    let mut seen = BTreeSet::new();
    let collected: Vec<&Collected> = lanes
        .iter()
        .filter_map(|lane| Some((lane.group.as_str(), lane.collected.as_ref()?)))
        .filter(|(group, _)| seen.insert(*group))
        .map(|(_, collected)| collected)
        .collect();
    if collected.is_empty() {
        return None;
    }
    let sum = |of: fn(&Collected) -> u64| count(collected.iter().map(|collected| of(collected)).sum());
    Some(SeriesStatus {
        selected: sum(|collected| collected.selected),
        dropped: sum(|collected| collected.dropped),
        collided: sum(|collected| collected.collided),
        delivered: delivered(lanes),
        dropped_by: dropped_by(&collected),
    })
}

/// What the endpoint that took least has.
fn delivered(lanes: &[Lane]) -> i64 {
    let endpoints: BTreeSet<_> = lanes.iter().map(|lane| lane.endpoint.as_str()).collect();
    let of = |endpoint: &str| {
        let mine = lanes.iter().filter(|lane| lane.endpoint == endpoint);
        mine.filter_map(|lane| lane.delivered).map(|delivered| delivered.series).sum()
    };
    count(endpoints.into_iter().map(of).min().unwrap_or_default())
}

fn dropped_by(collected: &[&Collected]) -> Vec<FilterStatus> {
    let mut filters: Vec<FilterStatus> = Vec::new();
    for (name, dropped) in collected.iter().flat_map(|collected| &collected.dropped_by) {
        let (filter, dropped) = (shortened(name, NAME_CHARS_MAX), count(*dropped));
        match filters.iter().position(|known| known.filter == filter) {
            Some(at) => filters[at].dropped += dropped,
            None if filters.len() == FILTERS_MAX => {}
            None => filters.push(FilterStatus { filter, dropped }),
        }
    }
    filters
}

fn endpoints(lanes: &[Lane], carried: Option<&MetricAccessStatus>) -> Vec<EndpointStatus> {
    let before = carried.map(|status| status.endpoints.as_slice()).unwrap_or_default();
    let of = |lane: &Lane| {
        let endpoint = shortened(&lane.endpoint, TEXT_CHARS_MAX);
        let source_group = shortened(&lane.group, NAME_CHARS_MAX);
        let before = before.iter().find(|e| e.endpoint == endpoint && e.source_group == source_group);
        EndpointStatus {
            last_delivered_tick: lane
                .delivered
                .map(|delivered| time(delivered.tick.timestamp()))
                .or_else(|| before?.last_delivered_tick.clone()),
            last_error: lane.last_error.as_ref().map(|failure| ErrorStatus {
                message: shortened(&failure.message, MESSAGE_CHARS_MAX),
                time: time(failure.at),
            }),
            consecutive_failures: lane.consecutive_failures.into(),
            protocol: lane.protocol.map(str::to_owned).or_else(|| before?.protocol.clone()),
            endpoint,
            source_group,
        }
    };
    lanes.iter().map(of).collect()
}

/// Those with errors first, and no more than can be shown.
fn shown(mut endpoints: Vec<EndpointStatus>) -> Vec<EndpointStatus> {
    endpoints.sort_by_key(|endpoint| endpoint.consecutive_failures == 0);
    endpoints.truncate(ENDPOINTS_MAX);
    endpoints
}

fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// As Kubernetes writes times: whole seconds, so that what is read back equals what was written.
pub(super) fn time(moment: Timestamp) -> Time {
    Time(jiff::Timestamp::from_second(moment.as_millis().div_euclid(1000)).unwrap_or_default())
}

/// At most `max` characters, the last of them `…` if something is missing.
pub(super) fn shortened(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        None => text.to_owned(),
        Some(_) => text.chars().take(max - 1).chain(iter::once('…')).collect(),
    }
}
