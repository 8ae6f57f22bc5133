//! Modules: how far a resource's own filters have come, as its status shows it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::facts::{FILTER_STEPS, Facts, Filter};
use super::reason::Truth;
use super::render::{Before, shortened, time};
use super::types::{
    ErrorStatus, FILTERS_MAX, MESSAGE_CHARS_MAX, ModuleStatus, NAME_CHARS_MAX, TEXT_CHARS_MAX,
};
use crate::model::Timestamp;

/// Why a step has its status. These are closed lists too, see `docs/status.md`.
const DONE: &str = "Done";
const FAILED: &str = "Failed";
const WAITING: &str = "Waiting";

/// The filters of the status. What a pipeline that was only just taken over does not know yet stays as it was.
pub(super) fn modules(facts: &Facts, before: Before<'_>, now: Timestamp) -> Vec<ModuleStatus> {
    let status = |filter: &Filter| {
        let known = [before.stored, before.wanted].into_iter().flatten();
        let known: Vec<&ModuleStatus> =
            known.flat_map(|status| &status.filters).filter(|known| known.name == filter.name).collect();
        let text = |text: &Option<String>, max| text.as_deref().map(|text| shortened(text, max));
        let last_good = filter.last_good.clone().or_else(|| known.first()?.last_good_digest.clone());
        let failure = filter.last_failure.as_ref().map(|(_, failure)| ErrorStatus {
            message: shortened(&failure.message, MESSAGE_CHARS_MAX),
            time: time(failure.at),
        });
        ModuleStatus {
            name: shortened(&filter.name, NAME_CHARS_MAX),
            resolved: text(&filter.resolved, TEXT_CHARS_MAX),
            digest: text(&filter.digest, NAME_CHARS_MAX),
            contract: text(&filter.contract, NAME_CHARS_MAX),
            last_good_digest: text(&last_good, NAME_CHARS_MAX),
            last_failure: failure.or_else(|| known.first()?.last_failure.clone()),
            conditions: (0..FILTER_STEPS.len())
                .map(|step| condition(filter, step, &known, facts, now))
                .collect(),
        }
    };
    facts.flow.filters.iter().take(FILTERS_MAX).map(status).collect()
}

fn condition(
    filter: &Filter,
    step: usize,
    known: &[&ModuleStatus],
    facts: &Facts,
    now: Timestamp,
) -> Condition {
    let kind = FILTER_STEPS[step];
    let (truth, reason, message) = match filter.failing() {
        _ if step < filter.passed => (Truth::True, DONE, String::new()),
        Some((at, failure)) if at == step => (Truth::False, FAILED, failure.message.clone()),
        Some((at, _)) => (Truth::Unknown, WAITING, format!("see {}", FILTER_STEPS[at])),
        None => (Truth::Unknown, WAITING, "it is being made ready".to_owned()),
    };
    let since = known
        .iter()
        .filter_map(|known| known.conditions.iter().find(|condition| condition.type_ == kind))
        .find(|condition| condition.status == truth.as_str())
        .map_or_else(|| time(now), |condition| condition.last_transition_time.clone());
    Condition {
        type_: kind.to_owned(),
        status: truth.as_str().to_owned(),
        reason: reason.to_owned(),
        message: shortened(&message, MESSAGE_CHARS_MAX),
        last_transition_time: since,
        observed_generation: Some(facts.subject.generation),
    }
}
