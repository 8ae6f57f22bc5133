//! Board: where the facts are written and snapshots are taken.
//!
//! In: calls from pipelines, collectors and the supervisor, each through an entry it keeps. Out: a [`Snapshot`].
//! Never: a lock held longer than one entry's copy takes, or two locks at once in the other order.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::broadcast;

use super::{
    Collected, Delivered, Failure, FilterReport, FilterStage, Lane, Latest, Phase, REPORTS_MAX, Readiness,
    Snapshot, SourceEntry, Stage, TenantFacts, TenantStatus, TickReport,
};
use crate::model::{Endpoint, Source, SourceGroup, SourceName, Tenant, TenantId, Timestamp, chain};

/// The longest error text that is kept, or logged.
const ERROR_BYTES_MAX: usize = 1_000;
/// The most problems or warnings that are kept per resource or document.
const PROBLEMS_MAX: usize = 50;

/// All that is known; a clone is the same board.
#[derive(Clone)]
pub struct Board(Arc<Inner>);

struct Inner {
    tenants: Mutex<BTreeMap<TenantId, TenantEntry>>,
    sources: Mutex<BTreeMap<SourceName, SourceEntry>>,
    unreadable: Mutex<BTreeMap<String, Vec<String>>>,
    discovery: Mutex<BTreeMap<String, String>>,
    boot: Mutex<Boot>,
    reports: broadcast::Sender<TickReport>,
}

/// How far the program's start, or its end, has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Boot {
    Compiling,
    Loading,
    Starting,
    Ready,
    Stopping,
}

impl Default for Board {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Board").finish_non_exhaustive()
    }
}

impl Board {
    /// A board that knows nothing.
    pub fn new() -> Board {
        Board(Arc::new(Inner {
            tenants: Mutex::default(),
            sources: Mutex::default(),
            unreadable: Mutex::default(),
            discovery: Mutex::default(),
            boot: Mutex::new(Boot::Compiling),
            reports: broadcast::Sender::new(REPORTS_MAX),
        }))
    }

    /// The entry of a resource, made if there is none.
    pub fn tenant(&self, id: &TenantId) -> TenantEntry {
        let mut tenants = lock(&self.0.tenants);
        tenants.entry(id.clone()).or_insert_with(|| TenantEntry::new(id.clone())).clone()
    }

    /// Forgets a resource that is gone.
    pub fn remove(&self, id: &TenantId) {
        lock(&self.0.tenants).remove(id);
    }

    /// The entry of a source, made if there is none; what the operator declared is taken anew.
    pub fn source(&self, source: &Source) -> SourceEntry {
        let mut sources = lock(&self.0.sources);
        let entry = sources.entry(source.name.clone()).or_insert_with(|| SourceEntry::new(source));
        entry.declare(source);
        entry.clone()
    }

    /// Forgets a source that is gone.
    pub fn remove_source(&self, name: &SourceName) {
        lock(&self.0.sources).remove(name);
    }

    /// What is wrong with a document that is no resource: `origin` is its file. No problems clear it.
    pub fn unreadable(&self, origin: &str, problems: Vec<String>) {
        let mut unreadable = lock(&self.0.unreadable);
        match problems.is_empty() {
            true => _ = unreadable.remove(origin),
            false => _ = unreadable.insert(origin.to_owned(), bounded(problems)),
        }
    }

    /// What keeps sources from being found, by where: all of it, in place of what was told before.
    pub fn discovery(&self, problems: BTreeMap<String, String>) {
        let bounded = problems.into_iter().map(|(at, problem)| (at, bounded_text(problem)));
        *lock(&self.0.discovery) = bounded.collect();
    }

    /// The built-in filters are compiled.
    pub fn compiled(&self) {
        self.advance(Boot::Loading);
    }

    /// The resources were read once: every pipeline there is now has an entry.
    pub fn loaded(&self) {
        self.advance(Boot::Starting);
    }

    /// The program is about to end.
    pub fn stopping(&self) {
        self.advance(Boot::Stopping);
    }

    /// What is behind us does not come again.
    fn advance(&self, to: Boot) {
        let mut boot = lock(&self.0.boot);
        *boot = to.max(*boot);
    }

    /// Whether Sluice should get traffic. Once ready it stays so until it stops: a resource added later that is
    /// still starting is no reason to take the others' away.
    pub fn readiness(&self) -> Readiness {
        let boot = *lock(&self.0.boot);
        match boot {
            Boot::Compiling => Readiness::Starting("filters are being compiled".into()),
            Boot::Loading => Readiness::Starting("the resources are being read".into()),
            Boot::Ready => Readiness::Ready,
            Boot::Stopping => Readiness::Stopping,
            Boot::Starting => {
                let entries = self.entries();
                match entries.iter().filter(|entry| lock(&entry.0.status).phase == Phase::Starting).count() {
                    0 => {
                        self.advance(Boot::Ready);
                        Readiness::Ready
                    }
                    left => {
                        let all = entries.len();
                        Readiness::Starting(format!("{left} of {all} pipelines have not started"))
                    }
                }
            }
        }
    }

    /// Tells whoever listens that a tick was delivered. Nobody waits for a listener.
    pub fn report(&self, report: TickReport) {
        // An error only says that nobody listens.
        let _ = self.0.reports.send(report);
    }

    /// Listens to tick reports from now on. Who falls behind by [`REPORTS_MAX`] loses the oldest.
    pub fn reports(&self) -> broadcast::Receiver<TickReport> {
        self.0.reports.subscribe()
    }

    /// Everything that is known, at `now`.
    pub fn snapshot(&self, now: Timestamp) -> Snapshot {
        let sources: Vec<SourceEntry> = lock(&self.0.sources).values().cloned().collect();
        Snapshot {
            now,
            tenants: self.entries().iter().map(|entry| lock(&entry.0.status).clone()).collect(),
            sources: sources.iter().map(SourceEntry::status).collect(),
            unreadable: lock(&self.0.unreadable).iter().map(|(o, p)| (o.clone(), p.clone())).collect(),
            discovery: lock(&self.0.discovery).clone(),
        }
    }

    /// The newest samples of every resource, one provider per source group.
    pub fn latest(&self) -> Vec<TenantLatest> {
        let of = |entry: TenantEntry| {
            let id = lock(&entry.0.status).id.clone();
            let groups = lock(&entry.0.latest);
            TenantLatest { id, groups: groups.iter().map(|(g, l)| (g.clone(), Arc::clone(l))).collect() }
        };
        self.entries().into_iter().map(of).collect()
    }

    fn entries(&self) -> Vec<TenantEntry> {
        lock(&self.0.tenants).values().cloned().collect()
    }
}

/// Where the newest samples of one resource can be read.
pub struct TenantLatest {
    /// Which resource.
    pub id: TenantId,
    /// The name of each source group, and the samples that came from it.
    pub groups: Vec<(String, Arc<dyn Latest>)>,
}

/// One resource's place on the board; a clone is the same place.
#[derive(Clone)]
pub struct TenantEntry(Arc<TenantInner>);

struct TenantInner {
    status: Mutex<TenantStatus>,
    latest: Mutex<BTreeMap<String, Arc<dyn Latest>>>,
}

impl fmt::Debug for TenantEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TenantEntry").field(&*lock(&self.0.status)).finish()
    }
}

impl TenantEntry {
    fn new(id: TenantId) -> TenantEntry {
        let phase = Phase::default();
        let (tenant, facts) = (None, None);
        let (unmet, warnings, filters, lanes) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let status =
            TenantStatus { id, phase, tenant, facts, unmet, warnings, filters, lanes, delivered_before: 0 };
        TenantEntry(Arc::new(TenantInner { status: Mutex::new(status), latest: Mutex::default() }))
    }

    /// A pipeline is being built for `tenant`. Lanes and samples of an earlier pipeline are forgotten; what was
    /// remarked stays.
    pub fn starting(&self, tenant: &Arc<Tenant>) {
        self.restart(Phase::Starting, Some(tenant));
    }

    /// What is to be said about the resource although it runs: which parts of it are refused, and what to look at.
    pub fn remark(&self, unmet: Vec<String>, warnings: Vec<String>) {
        let mut status = lock(&self.0.status);
        (status.unmet, status.warnings) = (bounded(unmet), bounded(warnings));
    }

    /// How far the resource's own filters have come.
    pub fn filters(&self, mut reports: Vec<FilterReport>) {
        let mut status = lock(&self.0.status);
        for report in &mut reports {
            if let Some(before) = status.filters.iter().find(|before| before.name == report.name) {
                report.inherit(before);
            }
        }
        status.filters = reports;
    }

    /// Filters that were ready do not replace others, because one of them fails at `stage` now.
    pub fn filter_not_ready(
        &self,
        name: &str,
        stage: FilterStage,
        error: &(dyn std::error::Error + 'static),
        at: Timestamp,
    ) {
        for report in &mut lock(&self.0.status).filters {
            match report.name == name {
                true => report.fails(stage, error, at),
                false => report.passed = report.passed.min(Some(FilterStage::Compiled)),
            }
        }
    }

    /// The pipeline runs, with the filters that are ready.
    pub fn running(&self) {
        let mut status = lock(&self.0.status);
        status.phase = Phase::Running;
        status.filters.iter_mut().for_each(FilterReport::runs);
    }

    /// The resource cannot run as it is written.
    pub fn refused(&self, problems: Vec<String>) {
        self.restart(Phase::Refused { problems: bounded(problems) }, None);
        self.remark(Vec::new(), Vec::new());
    }

    /// The resource says `enabled: false`.
    pub fn disabled(&self) {
        self.restart(Phase::Disabled, None);
        self.remark(Vec::new(), Vec::new());
    }

    /// The entry of one lane, made if there is none: what `group` gives and `endpoint` gets.
    pub fn lane(&self, group: &SourceGroup, endpoint: &Endpoint, now: Timestamp) -> LaneEntry {
        let (name, key) = (group.name.clone(), endpoint.key());
        let mut status = lock(&self.0.status);
        if !status.lanes.iter().any(|lane| lane.group == name && lane.endpoint == key) {
            status.lanes.push(Lane {
                group: name.clone(),
                endpoint: key.clone(),
                lag: group.lag(),
                since: now,
                collected: None,
                dropped_by: Vec::new(),
                delivered: None,
                delivered_total: 0,
                last_error: None,
                consecutive_failures: 0,
                conflict: None,
                bypassed: None,
                refused: None,
                protocol: None,
                order: None,
                missed: None,
            });
        }
        drop(status);
        LaneEntry { tenant: self.clone(), group: name, endpoint: key }
    }

    fn restart(&self, phase: Phase, tenant: Option<&Arc<Tenant>>) {
        let latest = std::mem::take(&mut *lock(&self.0.latest));
        let facts = tenant.map(|tenant| TenantFacts::from(&**tenant));
        let mut status = lock(&self.0.status);
        // Who is refused by its pipeline was starting before.
        let tenant = tenant.or(status.tenant.as_ref()).cloned();
        let (lanes, delivered_before) = (Vec::new(), status.delivered_total());
        *status = TenantStatus { phase, tenant, facts, lanes, delivered_before, ..status.clone() };
        drop(status);
        drop(latest);
    }
}

/// One lane's place on the board; a clone is the same place. After the resource was restarted, what an entry of
/// the earlier pipeline says is ignored unless the new one has the same lane.
#[derive(Debug, Clone)]
pub struct LaneEntry {
    tenant: TenantEntry,
    group: String,
    endpoint: String,
}

impl LaneEntry {
    /// A tick was collected and filtered.
    pub fn collected(&self, collected: Collected) {
        self.update(|lane| lane.collected = Some(collected));
    }

    /// How many series each filter of the chain dropped at that tick, in the chain's order.
    pub fn dropped(&self, by: Vec<(String, u64)>) {
        self.update(|lane| lane.dropped_by = by);
    }

    /// A tick was acknowledged. A tick without samples is delivered too.
    pub fn delivered(&self, delivered: Delivered) {
        self.update(|lane| {
            lane.delivered = Some(delivered);
            lane.delivered_total += delivered.samples;
            lane.consecutive_failures = 0;
        });
    }

    /// So many samples were acknowledged of a tick that was missed, behind newer ones.
    pub fn filled(&self, samples: u64) {
        self.update(|lane| lane.delivered_total += samples);
    }

    /// How many ticks that were missed are still to be sent behind newer ones; `None` if there are none.
    pub fn missed(&self, ticks: Option<u64>) {
        self.update(|lane| lane.missed = ticks);
    }

    /// In which order ticks are sent, where the endpoint takes them in any.
    pub fn order(&self, order: Option<&'static str>) {
        self.update(|lane| lane.order = order);
    }

    /// An attempt failed.
    pub fn failed(&self, stage: Stage, error: &(dyn Error + 'static), now: Timestamp) {
        let failure = Failure { stage, message: told(error), at: now };
        self.update(|lane| {
            lane.last_error = Some(failure);
            lane.consecutive_failures = lane.consecutive_failures.saturating_add(1);
        });
    }

    /// Something went wrong that delays nothing.
    pub fn noted(&self, stage: Stage, error: &(dyn Error + 'static), now: Timestamp) {
        let failure = Failure { stage, message: told(error), at: now };
        self.update(|lane| lane.last_error = Some(failure));
    }

    /// One of the resource's own filters failed at a tick. Even if the next attempt goes well, it is what went wrong last.
    pub fn filter_failed(&self, name: &str, error: &(dyn Error + 'static), now: Timestamp) {
        let failure = Failure { stage: Stage::Filter, message: told(error), at: now };
        let mut status = lock(&self.tenant.0.status);
        if let Some(report) = status.filters.iter_mut().find(|report| report.name == name) {
            report.failed_at_work(failure);
        }
    }

    /// Which series an older resource writes that this one would write too; `None` if there is none any more.
    pub fn conflict(&self, said: Option<&str>) {
        self.update(|lane| lane.conflict = said.map(|said| bounded_text(said.to_owned())));
    }

    /// What of the newest tick the endpoint refused although it took the rest; `None` if it took all.
    pub fn refused(&self, what: Option<&dyn fmt::Display>) {
        self.update(|lane| lane.refused = what.map(|what| bounded_text(what.to_string())));
    }

    /// Which version of remote write the endpoint is spoken to in.
    pub fn protocol(&self, version: &'static str) {
        self.update(|lane| lane.protocol = Some(version));
    }

    /// Why series go past a filter that fails; `None` if there is none any more.
    pub fn bypassed(&self, why: Option<&str>) {
        self.update(|lane| lane.bypassed = why.map(|why| bounded_text(why.to_owned())));
    }

    /// Where the newest samples of this lane's source group can be read. Lanes of one group carry the same
    /// samples, so it is enough that one of them says so.
    pub fn latest(&self, latest: Arc<dyn Latest>) {
        lock(&self.tenant.0.latest).insert(self.group.clone(), latest);
    }

    fn update(&self, change: impl FnOnce(&mut Lane)) {
        let mut status = lock(&self.tenant.0.status);
        let mine = |lane: &&mut Lane| lane.group == self.group && lane.endpoint == self.endpoint;
        if let Some(lane) = status.lanes.iter_mut().find(mine) {
            change(lane);
        }
    }
}

/// A panic elsewhere leaves every entry whole: each is written in one assignment.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn told(error: &(dyn Error + 'static)) -> String {
    bounded_text(chain(error))
}

/// What is kept, and logged, of a text that others have a part in: a registry, a receiver, a component.
pub fn bounded_text(mut text: String) -> String {
    if text.len() > ERROR_BYTES_MAX {
        text.truncate(text.floor_char_boundary(ERROR_BYTES_MAX));
        text.push('…');
    }
    text
}

fn bounded(problems: Vec<String>) -> Vec<String> {
    let more = problems.len().saturating_sub(PROBLEMS_MAX);
    let rest = (more > 0).then(|| format!("and {more} more"));
    problems.into_iter().take(PROBLEMS_MAX).map(bounded_text).chain(rest).collect()
}
