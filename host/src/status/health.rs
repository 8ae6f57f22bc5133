//! Health: one rule, from what is known to `ok`, `degraded` or `unhealthy`.
//!
//! The rule, as `/health` documents it:
//! - a remote write is **unhealthy** when one of its lanes has delivered nothing for three intervals, or its last
//!   three attempts failed; **degraded** when something it asks for is not done: its last attempt failed, it is more
//!   than three intervals behind, ticks that it missed are still to be sent, a part of it is refused, no source is there for it, an older resource writes some of
//!   its series, or it is refused as a whole. A warning is shown and changes nothing;
//! - a source is **degraded** when its last query failed, or its probes do;
//! - the whole is `starting` or `stopping` while it is not ready and nothing is wrong; else as bad as the worst remote write, degraded when a source or a document is or discovery has a problem,
//!   and unhealthy when no source answers at all.

use std::time::Duration;

use super::{Delivered, Lane, Phase, Snapshot, SourceStatus, TenantStatus};
use crate::model::Timestamp;

/// Without a delivery for this many intervals a lane is unhealthy.
pub const INTERVALS_WITHOUT_DELIVERY_MAX: u32 = 3;
/// After this many failed attempts in a row a lane is unhealthy.
const FAILURES_MAX: u32 = 3;
/// A lane of a resource whose interval is not known (it is refused) is never judged late.
const NO_INTERVAL: Duration = Duration::MAX;

/// How well something does; the worse one is the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    /// As it should be.
    Ok,
    /// Something is wrong, data still flows.
    Degraded,
    /// Data does not flow.
    Unhealthy,
}

impl Health {
    /// The word shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Health::Ok => "ok",
            Health::Degraded => "degraded",
            Health::Unhealthy => "unhealthy",
        }
    }
}

/// Whether Sluice should get traffic, for `/readyz`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// The resources were read and every pipeline started.
    Ready,
    /// Not yet: why.
    Starting(String),
    /// No longer.
    Stopping,
}

impl Readiness {
    /// Why not, in words.
    pub fn why_not(&self) -> Option<&str> {
        match self {
            Readiness::Ready => None,
            Readiness::Starting(why) => Some(why),
            Readiness::Stopping => Some("stopping"),
        }
    }
}

impl Lane {
    /// The lane's health and, if it is not ok, why.
    pub fn health(&self, interval: Option<Duration>, now: Timestamp) -> (Health, Option<String>) {
        let patience = interval.map_or(NO_INTERVAL, |i| i.saturating_mul(INTERVALS_WITHOUT_DELIVERY_MAX));
        let failing = || {
            let failure = self.last_error.as_ref()?;
            (self.consecutive_failures > 0)
                .then(|| format!("{}: {}", failure.stage.as_str(), failure.message))
        };
        // The first tick may be a whole interval away, and is asked for `lag` after its time.
        let (since, patience, begun) = match &self.delivered {
            Some(delivered) => (delivered.at, patience, ""),
            None => (self.since, patience.saturating_add(self.lag), ", since it was begun"),
        };
        let idle = now.since(since);
        if idle > patience {
            let why = failing().map(|why| format!(", {why}")).unwrap_or_default();
            return (Health::Unhealthy, Some(format!("nothing delivered for {}{begun}{why}", seconds(idle))));
        }
        if let Some(why) = failing() {
            let health =
                if self.consecutive_failures >= FAILURES_MAX { Health::Unhealthy } else { Health::Degraded };
            return (health, Some(why));
        }
        let late = |d: &Delivered| d.at.since(d.tick.timestamp()) > patience.saturating_add(self.lag);
        if self.delivered.as_ref().is_some_and(late) {
            let behind = self.behind(now).unwrap_or_default();
            return (Health::Degraded, Some(format!("catching up, {} behind", seconds(behind))));
        }
        if let (Some(ticks), None) = (self.missed, &self.refused) {
            return (Health::Degraded, Some(format!("{ticks} missed ticks are sent behind the newest ones")));
        }
        if let Some(what) = &self.refused {
            return (Health::Degraded, Some(format!("refused in part: {what}")));
        }
        if let Some(why) = &self.bypassed {
            return (Health::Degraded, Some(format!("series go past a filter that fails: {why}")));
        }
        if let (Some(conflict), Some(collected)) = (&self.conflict, &self.collected) {
            let series = collected.collided;
            return (Health::Degraded, Some(format!("{series} series are not sent: {conflict}")));
        }
        (Health::Ok, None)
    }

    /// How old the newest delivered tick is.
    pub fn behind(&self, now: Timestamp) -> Option<Duration> {
        self.delivered.map(|delivered| now.since(delivered.tick.timestamp()))
    }
}

impl TenantStatus {
    /// The resource's health, and every reason why it is not ok.
    pub fn health(&self, now: Timestamp) -> (Health, Vec<String>) {
        match &self.phase {
            Phase::Refused { problems } => return (Health::Degraded, problems.clone()),
            Phase::Disabled => return (Health::Ok, Vec::new()),
            Phase::Starting | Phase::Running => {}
        }
        let interval = self.facts.as_ref().map(|facts| facts.interval.duration());
        let mut reasons = self.unmet.clone();
        let mut worst = if reasons.is_empty() { Health::Ok } else { Health::Degraded };
        if self.phase == Phase::Running && self.lanes.is_empty() {
            worst = worst.max(Health::Degraded);
            reasons.push("no source is there for this resource, so nothing is collected".to_owned());
        }
        for (filter, failure) in self.filters.iter().filter_map(|f| Some((f, f.failing()?.1))) {
            worst = worst.max(Health::Degraded);
            // The error names the filter.
            let (why, name) = (&failure.message, &filter.name);
            let kept = if self.lanes.is_empty() { "" } else { "; what was ready before goes on" };
            reasons.push(format!("filter {name} is not ready: {why}{kept}"));
        }
        for lane in &self.lanes {
            let (health, reason) = lane.health(interval, now);
            worst = worst.max(health);
            reasons.extend(reason.map(|reason| format!("{} → {}: {reason}", lane.group, lane.endpoint)));
        }
        (worst, reasons)
    }

    /// How far its slowest lane is behind: the age of the newest tick there, or of the lane where none was delivered
    /// yet. It grows while nothing is delivered. `None` without lanes.
    pub fn behind(&self, now: Timestamp) -> Option<Duration> {
        self.lanes.iter().map(|lane| lane.behind(now).unwrap_or_else(|| now.since(lane.since))).max()
    }

    /// One word: `starting`, `running`, `degraded`, `unhealthy`, `refused` or `disabled`.
    pub fn state(&self, now: Timestamp) -> &'static str {
        match (&self.phase, self.health(now).0) {
            (Phase::Refused { .. }, _) => "refused",
            (Phase::Disabled, _) => "disabled",
            (_, Health::Unhealthy) => "unhealthy",
            (_, Health::Degraded) => "degraded",
            (Phase::Starting, Health::Ok) => "starting",
            (Phase::Running, Health::Ok) => "running",
        }
    }

    /// Every word [`TenantStatus::state`] may answer.
    pub const STATES: [&str; 6] = ["starting", "running", "degraded", "unhealthy", "refused", "disabled"];
}

impl SourceStatus {
    /// `unknown` until it was asked, then whether it answers.
    pub fn state(&self) -> &'static str {
        match (self.healthy, self.last_seen) {
            (true, None) => "unknown",
            (true, Some(_)) => "up",
            (false, _) => "down",
        }
    }
}

impl Snapshot {
    /// The health of the whole, by the rule above.
    pub fn health(&self) -> Health {
        let tenants = self.tenants.iter().map(|tenant| tenant.health(self.now).0);
        let down = self.sources.iter().filter(|source| source.state() == "down").count();
        let sources = match down {
            0 => Health::Ok,
            all if all == self.sources.len() => Health::Unhealthy,
            _ => Health::Degraded,
        };
        let written = self.unreadable.is_empty() && self.discovery.is_empty();
        let written = if written { Health::Ok } else { Health::Degraded };
        tenants.fold(sources.max(written), Health::max)
    }
}

/// A duration for people: `42 s`, `7 min`, `3 h`.
pub(super) fn seconds(duration: Duration) -> String {
    match duration.as_secs() {
        s @ 0..180 => format!("{s} s"),
        s @ 180..10_800 => format!("{} min", s / 60),
        s => format!("{} h", s / 3600),
    }
}
