//! Status: gathers what the statuses of resources are made of, from the rooms that know it.
//!
//! In: our resources, what became of them, and the board. Out: facts.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::document::{Blame, Path, Problem};
use crate::model::{Tenant, TenantId};
use crate::status::{self as board, FilterStage, Phase, Snapshot, TenantStatus};
use crate::tenancy::Tenants;
use crate::tenancy::status::facts::{Collected, Delivered, Failure, Filter, Flow, Lane, Pipeline, Stage};
use crate::tenancy::status::{Decision, Facts, Owned, Subject};

/// The facts about resources that are ours, with those that are to run here and do not. One that was not reviewed yet, or is being removed, has none.
pub fn owned<'a>(
    ours: impl Iterator<Item = (&'a TenantId, &'a Arc<Subject>)>,
    tenants: &Tenants,
    idle: &[(Arc<Tenant>, &str)],
    board: &Snapshot,
    owner: &Arc<str>,
) -> Owned {
    let shown: BTreeMap<&TenantId, &TenantStatus> = board.tenants.iter().map(|t| (&t.id, t)).collect();
    let facts = ours.filter_map(|(id, subject)| {
        let waiting = idle.iter().find(|(tenant, _)| tenant.id == *id);
        let facts = facts(id, subject, tenants, shown.get(id).copied(), owner)
            .or_else(|| Some(absent(subject, waiting?, owner)))?;
        Some((id.clone(), facts))
    });
    facts.collect()
}

fn facts(
    id: &TenantId,
    subject: &Arc<Subject>,
    tenants: &Tenants,
    shown: Option<&TenantStatus>,
    owner: &Arc<str>,
) -> Option<Facts> {
    let running = tenants.running.get(id);
    let decision = if running.is_some() {
        Decision::Runs
    } else if tenants.disabled.contains(id) {
        Decision::Disabled
    } else if tenants.refused.contains_key(id) {
        Decision::Refused
    } else {
        return None;
    };
    let problems = tenants.refused.get(id).or_else(|| tenants.remarks.get(id));
    let mut problems = problems.cloned().unwrap_or_default();
    problems.extend(running.and(shown).and_then(conflict));
    Some(Facts {
        subject: Arc::clone(subject),
        decision,
        problems: problems.into(),
        target: running.map(|tenant| tenant.target_type),
        interval: running.map(|tenant| tenant.interval),
        flow: running.zip(shown).map(|(tenant, shown)| flow(tenant, shown)).unwrap_or_default(),
        owner: Arc::clone(owner),
    })
}

/// A resource that is to run here, and does not.
fn absent(subject: &Arc<Subject>, (tenant, why): &(Arc<Tenant>, &str), owner: &Arc<str>) -> Facts {
    Facts {
        subject: Arc::clone(subject),
        decision: Decision::Runs,
        problems: Arc::default(),
        target: Some(tenant.target_type),
        interval: Some(tenant.interval),
        flow: Flow { pipeline: Pipeline::Absent((*why).to_owned()), ..Flow::default() },
        owner: Arc::clone(owner),
    }
}

/// The rest of the resource runs, so it is a warning.
fn conflict(shown: &TenantStatus) -> Option<Problem> {
    let said = shown.lanes.iter().find_map(|lane| lane.conflict.clone())?;
    let cure = "give one of the two a label of its own in extraLabels, or select other series";
    let problem = Problem::warning(Path::root().keys("spec.metrics"), said, cure);
    Some(problem.blamed_on(Blame::Rival))
}

fn flow(tenant: &Arc<Tenant>, shown: &TenantStatus) -> Flow {
    let filters: Vec<Filter> = shown.filters.iter().map(filter).collect();
    let is_held_up = filters.iter().any(|filter| filter.failing().is_some());
    let is_its = |built: &Arc<Tenant>| {
        // Filters that are not ready leave those of before in their place.
        let as_before = || Tenant { filters: built.filters.clone(), ..(**tenant).clone() };
        Arc::ptr_eq(built, tenant) || built == tenant || (is_held_up && **built == as_before())
    };
    // What an earlier specification's pipeline did says nothing about this one's.
    if !shown.tenant.as_ref().is_some_and(is_its) {
        return Flow { filters, ..Flow::default() };
    }
    let pipeline = match &shown.phase {
        Phase::Running => Pipeline::Running,
        Phase::Starting | Phase::Disabled => Pipeline::Starting,
        Phase::Refused { problems } => Pipeline::Broken(problems.join("; ")),
    };
    Flow { pipeline, lanes: shown.lanes.iter().map(lane).collect(), filters }
}

fn filter(report: &board::FilterReport) -> Filter {
    let place =
        |stage: FilterStage| FilterStage::ALL.iter().position(|other| *other == stage).unwrap_or_default();
    let board::FilterReport { name, passed, resolved, digest, contract, last_good, last_failure } = report;
    Filter {
        name: name.clone(),
        passed: passed.map_or(0, |stage| place(stage) + 1),
        resolved: resolved.clone(),
        digest: digest.clone(),
        contract: contract.clone(),
        last_good: last_good.clone(),
        last_failure: last_failure.as_ref().map(|(stage, what)| (place(*stage), failure(what))),
    }
}

fn lane(lane: &board::Lane) -> Lane {
    let board::Lane {
        group,
        endpoint,
        lag,
        since,
        collected,
        dropped_by,
        delivered,
        delivered_total: _,
        last_error,
        consecutive_failures,
        conflict,
        bypassed,
        refused,
        protocol,
        order: _,
        missed,
    } = lane;
    Lane {
        group: group.clone(),
        endpoint: endpoint.clone(),
        lag: *lag,
        since: *since,
        collected: collected.as_ref().map(|collected| collected_of(collected, dropped_by)),
        delivered: delivered.map(|board::Delivered { tick, series, at, .. }| Delivered { tick, series, at }),
        last_error: last_error.as_ref().map(failure),
        consecutive_failures: *consecutive_failures,
        conflict: conflict.clone(),
        bypassed: bypassed.clone(),
        refused: refused.clone(),
        protocol: *protocol,
        missed: *missed,
    }
}

fn collected_of(collected: &board::Collected, dropped_by: &[(String, u64)]) -> Collected {
    let board::Collected { tick: _, selected, kept: _, dropped, collided, targets_used: _ } = *collected;
    Collected { selected, dropped, collided, dropped_by: dropped_by.to_vec() }
}

fn failure(failure: &board::Failure) -> Failure {
    let board::Failure { stage, message, at } = failure;
    let stage = match stage {
        board::Stage::Collect => Stage::Collect,
        board::Stage::Filter => Stage::Filter,
        board::Stage::Deliver | board::Stage::Cursor => Stage::Deliver,
    };
    Failure { stage, message: message.clone(), at: *at }
}
