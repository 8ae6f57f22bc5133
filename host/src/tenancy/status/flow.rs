//! Flow: what lanes do, judged: which conditions it makes, and the counts.
//!
//! Never: a condition that flips at every hiccup. A failed attempt counts once the tick it delays is overdue; a filter that was
//! said to fail does so until what it held up is delivered.

use std::collections::BTreeSet;
use std::time::Duration;

use super::facts::{Facts, Failure, Filter, Lane, Pipeline, Stage};
use super::reason::Reason;
use crate::model::outage::QUIET;
use crate::model::{Interval, Timestamp};

/// How long after a tick is due its delivery may take before a failing lane says so: several attempts, and well below
/// what an alert waits for.
const OVERDUE_AFTER: Duration = Duration::from_secs(5);
/// Without a delivery for this many intervals a lane stalls; `/health` has the same rule.
const INTERVALS_WITHOUT_DELIVERY_MAX: u32 = 3;

/// How one lane stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing<'a> {
    Starting,
    Delivers,
    CatchingUp,
    Fails(&'a Failure),
    Stalls,
}

impl Lane {
    /// What is not sent because it is an older resource's: one of the series with whose it is, and how many there are.
    fn withheld(&self) -> Option<(&str, u64)> {
        self.conflict.as_deref().zip(self.collected.as_ref().map(|collected| collected.collided))
    }

    /// The failure of a filter that is not over although the newest attempt went well: what it held up was late, and it was not long
    /// ago. One that fails at every second tick is one outage, not many.
    fn lingering(&self, interval: Interval, now: Timestamp) -> Option<&Failure> {
        let failure = self.last_error.as_ref().filter(|failure| failure.stage == Stage::Filter)?;
        let delivered = self.delivered?;
        let is_late = delivered.at > delivered.tick.next(interval).timestamp().plus(self.lag);
        let is_recent = now.since(failure.at) < QUIET.max(interval.duration() * 2);
        (is_late && is_recent).then_some(failure)
    }

    pub(super) fn standing(&self, interval: Interval, now: Timestamp) -> Standing<'_> {
        let patience = interval.duration() * INTERVALS_WITHOUT_DELIVERY_MAX;
        let failure = self.last_error.as_ref().filter(|_| self.consecutive_failures > 0);
        let Some(delivered) = self.delivered else {
            // The first tick may be a whole interval away, and is asked for `lag` after its time.
            return match failure {
                Some(failure) => Standing::Fails(failure),
                None if now.since(self.since) > patience + self.lag => Standing::Stalls,
                None => Standing::Starting,
            };
        };
        let due = delivered.tick.next(interval).timestamp().plus(self.lag);
        match failure {
            Some(failure) if now > due.plus(OVERDUE_AFTER) => Standing::Fails(failure),
            _ if now.since(delivered.at) > patience => Standing::Stalls,
            _ if delivered.at > due.plus(OVERDUE_AFTER) => Standing::CatchingUp,
            _ => Standing::Delivers,
        }
    }
}

/// What a condition says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Says {
    pub(super) reason: Reason,
    pub(super) message: String,
}

impl Says {
    pub(super) fn new(reason: Reason, message: impl Into<String>) -> Says {
        Says { reason, message: message.into() }
    }

    pub(super) fn starting() -> Says {
        Says::new(Reason::Starting, "the first tick has not ended yet")
    }
}

/// `FiltersReady`, `Collecting` and `Delivering` of a resource that runs; `said` is what was said of its filters before.
pub(super) fn conditions(facts: &Facts, said: Option<&str>, now: Timestamp) -> [Says; 3] {
    let lanes = &facts.flow.lanes;
    match (&facts.flow.pipeline, facts.interval) {
        (Pipeline::Broken(error), _) => [
            Says::new(Reason::FilterFailing, format!("the pipeline cannot be built: {error}")),
            Says::starting(),
            Says::new(Reason::NothingToDeliver, "the pipeline cannot be built"),
        ],
        (Pipeline::Absent(why), _) => [
            Says::starting(),
            Says::starting(),
            Says::new(Reason::Stalled, format!("no replica runs it: {why}; tell the operator if it lasts")),
        ],
        (Pipeline::Running, Some(interval)) => {
            let judged: Vec<_> = lanes.iter().map(|lane| (lane, lane.standing(interval, now))).collect();
            let said_failing = said == Some(Reason::FilterFailing.as_str());
            let lingering =
                lanes.iter().find_map(|lane| lane.lingering(interval, now)).filter(|_| said_failing);
            [filters(facts, &judged, lingering), collecting(&judged), delivering(&judged)]
        }
        _ => [Says::starting(), Says::starting(), Says::starting()],
    }
}

type Judged<'a> = [(&'a Lane, Standing<'a>)];

/// The lanes that fail at one of `stages`, each with why.
fn failing<'a>(judged: &'a Judged<'_>, stages: &'a [Stage]) -> impl Iterator<Item = (&'a Lane, &'a Failure)> {
    judged.iter().filter_map(move |(lane, standing)| match standing {
        Standing::Fails(failure) if stages.contains(&failure.stage) => Some((*lane, *failure)),
        _ => None,
    })
}

fn filters(facts: &Facts, judged: &Judged<'_>, lingering: Option<&Failure>) -> Says {
    let mut failing = failing(judged, &[Stage::Filter]).map(|(_, failure)| failure);
    if let Some(failure) = failing.next().or(lingering) {
        return Says::new(Reason::FilterFailing, &failure.message);
    }
    if let Some(why) = judged.iter().find_map(|(lane, _)| lane.bypassed.as_deref()) {
        return Says::new(Reason::FilterIgnored, why);
    }
    match facts.flow.filters.iter().find_map(Filter::failing) {
        Some((_, failure)) => {
            let message = format!("the last filters that were ready go on: {}", failure.message);
            Says::new(Reason::FilterNotReplaced, message)
        }
        None => Says::new(Reason::FiltersRunning, "every filter runs"),
    }
}

fn collecting(judged: &Judged<'_>) -> Says {
    if judged.is_empty() {
        return Says::new(Reason::NoSource, "there is no source to collect from; ask the operator");
    }
    let groups: BTreeSet<_> = judged.iter().map(|(lane, _)| lane.group.as_str()).collect();
    let silent: BTreeSet<_> =
        failing(judged, &[Stage::Collect]).map(|(lane, _)| lane.group.as_str()).collect();
    if let Some((_, failure)) = failing(judged, &[Stage::Collect]).next() {
        let share = share(silent.len(), groups.len(), "source groups");
        return Says::new(Reason::SourceFailing, format!("{}{share}", failure.message));
    }
    // Filters see only complete answers, so a lane that fails there has collected.
    let filtering: Vec<_> = failing(judged, &[Stage::Filter]).map(|(lane, _)| lane).collect();
    let waits = |lane: &Lane| lane.collected.is_none() && !filtering.contains(&lane);
    if judged.iter().any(|(lane, _)| waits(lane)) {
        return Says::starting();
    }
    let selected = |lane: &Lane| lane.collected.as_ref().is_none_or(|collected| collected.selected > 0);
    match judged.iter().any(|(lane, _)| selected(lane)) {
        true => Says::new(Reason::SourcesAnswer, "every source answers"),
        false => Says::new(
            Reason::NothingSelected,
            "the sources answer, but no series matches; compare spec.metrics, labelSelectors and source with what the \
             shared server has",
        ),
    }
}

fn delivering(judged: &Judged<'_>) -> Says {
    let refusing = failing(judged, &[Stage::Deliver]).count();
    if let Some((lane, failure)) = failing(judged, &[Stage::Deliver]).next() {
        let share = share(refusing, judged.len(), "endpoints");
        return Says::new(Reason::EndpointFailing, format!("{}: {}{share}", lane.endpoint, failure.message));
    }
    let is = |wanted: Standing<'_>| judged.iter().find(|(_, standing)| *standing == wanted);
    if judged.is_empty() || failing(judged, &[Stage::Collect, Stage::Filter]).next().is_some() {
        Says::new(
            Reason::NothingToDeliver,
            "nothing arrives to be delivered; see Collecting and FiltersReady",
        )
    } else if let Some((lane, _)) = is(Standing::Stalls) {
        let message = format!(
            "{}: nothing was delivered for {INTERVALS_WITHOUT_DELIVERY_MAX} intervals, and no attempt has failed",
            lane.endpoint
        );
        Says::new(Reason::Stalled, message)
    } else if is(Standing::Starting).is_some() {
        Says::starting()
    } else if let Some((lane, _)) = is(Standing::CatchingUp) {
        Says::new(Reason::CatchingUp, format!("{}: ticks are delivered late, oldest first", lane.endpoint))
    } else if let Some((said, series)) = judged.iter().find_map(|(lane, _)| lane.withheld()) {
        Says::new(Reason::Conflict, format!("{series} series are not sent: {said}"))
    } else if let Some((lane, what)) =
        judged.iter().find_map(|(lane, _)| lane.refused.as_ref().map(|what| (lane, what)))
    {
        Says::new(Reason::RefusedInPart, format!("{}: {what}", lane.endpoint))
    } else if let Some((lane, ticks)) =
        judged.iter().find_map(|(lane, _)| lane.missed.map(|ticks| (lane, ticks)))
    {
        let message =
            format!("{}: the newest ticks arrive, and {ticks} that were missed follow", lane.endpoint);
        Says::new(Reason::CatchingUp, message)
    } else {
        Says::new(Reason::EndpointsAnswer, "every endpoint takes what it is sent")
    }
}

/// Says how many others are not affected, where there are others.
fn share(some: usize, all: usize, of: &str) -> String {
    if all > 1 { format!(" ({some} of {all} {of})") } else { String::new() }
}
