//! Handover: which tenants we run, decided from who is there, what the records say, and time. No IO.
//!
//! In: the tenants there are and their keys, members, records as seen, pipelines that stopped, writes that ended.
//! Out: what to start and stop, and what each record should say.
//! Never: a start beside a living holder that has not let go, unless it was waited for for [`HANDOVER_MAX`].
//!
//! A record is the lock, and a write with its resourceVersion takes it; members only decide who wants it. A tenant
//! goes through `Idle → Waiting → Running → Stopping → Idle`:
//!
//! - *Waiting*: it is ours, and its record is not yet. A record that is absent, released, or of a dead member is
//!   claimed; when the claim is seen, the tenant starts. If that takes longer than [`HANDOVER_MAX`], because its
//!   holder hangs or nothing can be written, it starts all the same: a resend is harmless and a gap is not.
//! - *Running*: until it is no longer ours, or another member's claim is seen.
//! - *Stopping*: told to stop, and perhaps not stopped yet. Then the record is released with the last cursors.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::place::Place;
use super::record::Record;
use crate::model::TenantId;
use crate::tenancy::ownership::{Members, Standing};

/// How long a new owner waits for the holder of a record to let go.
pub const HANDOVER_MAX: Duration = Duration::from_secs(5);

/// All tenants that are ours, or were.
#[derive(Debug, Default)]
pub(super) struct Handover {
    members: Arc<Members>,
    /// The tenants there are, with their ownership keys.
    tenants: Arc<BTreeMap<TenantId, String>>,
    leaving: bool,
    entries: BTreeMap<TenantId, Entry>,
}

#[derive(Debug)]
struct Entry {
    place: Place,
    owned: bool,
    phase: Phase,
    /// A write of its record is under way: what was seen of it may be about to change.
    writing: bool,
    /// What the record says of us may not last: an earlier process of our name wrote it, whom others may have given up
    /// by now, or a write that failed for us may still take effect. Only a claim made after that counts.
    unsure: bool,
    /// It ran since its record was last released or claimed: there are cursors to save.
    ran: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    Idle,
    Waiting {
        /// Who is in the way.
        behind: Option<String>,
        until: Instant,
    },
    Running {
        /// Whose record we started beside.
        beside: Option<String>,
    },
    Stopping,
}

/// What becomes of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    /// Start it from its record.
    Start(TenantId),
    /// Stop it, and say when it has stopped: [`Handover::stopped`].
    Stop(TenantId),
}

/// What a record should say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Intent {
    /// That we hold it; at once.
    Claim,
    /// How far we got; from time to time.
    Hold,
    /// That we let go, and how far we got; at once.
    Release,
}

/// How a write ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// It was accepted.
    Yes,
    /// It was refused.
    No,
    /// Nobody knows.
    Perhaps,
}

/// Who a record belongs to, for the one who looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lock<'a> {
    Ours,
    Free,
    Held(&'a str),
}

impl Handover {
    /// Who is there.
    pub(super) fn members(&mut self, members: Arc<Members>) {
        self.members = members;
        self.assign();
    }

    /// The tenants there are, each with its ownership key.
    pub(super) fn tenants(&mut self, tenants: Arc<BTreeMap<TenantId, String>>) {
        self.tenants = tenants;
        self.assign();
    }

    /// From now on nothing is ours.
    pub(super) fn leave(&mut self) {
        self.leaving = true;
        self.assign();
    }

    /// The tenant's pipeline has stopped, as it was told to. Said of one that may run, it changes nothing.
    pub(super) fn stopped(&mut self, tenant: &TenantId) {
        if let Some(entry) = self.entries.get_mut(tenant).filter(|entry| entry.phase == Phase::Stopping) {
            entry.phase = Phase::Idle;
        }
    }

    /// No pipeline runs any more.
    pub(super) fn all_stopped(&mut self) {
        for entry in self.entries.values_mut().filter(|entry| entry.phase == Phase::Stopping) {
            entry.phase = Phase::Idle;
        }
    }

    /// A write of the tenant's record begins; see [`Handover::wrote`].
    pub(super) fn writes(&mut self, tenant: &TenantId) {
        if let Some(entry) = self.entries.get_mut(tenant) {
            entry.writing = true;
        }
    }

    /// The write ended. If it was accepted, the record is seen as it was written from now on.
    pub(super) fn wrote(&mut self, tenant: &TenantId, intent: Intent, written: Written) {
        let Some(entry) = self.entries.get_mut(tenant) else { return };
        entry.writing = false;
        match written {
            Written::Yes => {
                entry.unsure = false;
                entry.ran &= intent != Intent::Release;
            }
            Written::No => {}
            Written::Perhaps => entry.unsure = true,
        }
    }

    /// Takes up what the records say that we hold though it is not ours: our pod was restarted, and lets go of it.
    pub(super) fn take_up<'r>(&mut self, record: impl Fn(&Place) -> Option<&'r Record>) {
        for tenant in self.tenants.keys() {
            let place = Place::of(tenant);
            if !self.entries.contains_key(tenant) && lock(record(&place), &self.members) == Lock::Ours {
                self.entries.insert(tenant.clone(), Entry { owned: false, ..Entry::new(place) });
            }
        }
    }

    /// What there is to do at `now`.
    pub(super) fn step<'r>(
        &mut self,
        now: Instant,
        record: impl Fn(&Place) -> Option<&'r Record>,
    ) -> Vec<Action> {
        let mut actions = Vec::new();
        for (tenant, entry) in &mut self.entries {
            match entry.step(now, lock(record(&entry.place), &self.members)) {
                Some(Step::Start) => actions.push(Action::Start(tenant.clone())),
                Some(Step::Stop) => actions.push(Action::Stop(tenant.clone())),
                None => {}
            }
        }
        let members = &self.members;
        self.entries.retain(|_, entry| {
            let owes = || entry.intent(lock(record(&entry.place), members)).is_some();
            entry.owned || entry.writing || entry.phase != Phase::Idle || owes()
        });
        actions
    }

    /// What the tenant's record should say, if we have a say in it.
    pub(super) fn intent(&self, tenant: &TenantId, record: Option<&Record>) -> Option<Intent> {
        self.entries.get(tenant)?.intent(lock(record, &self.members))
    }

    /// Every tenant that is ours, or was, and where its record is.
    pub(super) fn places(&self) -> impl Iterator<Item = (&TenantId, &Place)> {
        self.entries.iter().map(|(tenant, entry)| (tenant, &entry.place))
    }

    /// Whether the tenant's record is still to be released.
    pub(super) fn is_letting_go(&self, tenant: &TenantId, record: Option<&Record>) -> bool {
        let stopping = self.entries.get(tenant).is_some_and(|entry| entry.phase == Phase::Stopping);
        stopping || self.intent(tenant, record) == Some(Intent::Release)
    }

    /// Whether the tenant runs here, and its record is ours.
    pub(super) fn runs(&self, tenant: &TenantId, record: Option<&Record>) -> bool {
        let running = |entry: &Entry| matches!(entry.phase, Phase::Running { .. });
        self.entries.get(tenant).is_some_and(running) && lock(record, &self.members) == Lock::Ours
    }

    /// Why a tenant of ours does not run, if it does not.
    pub(super) fn waits(&self, tenant: &TenantId) -> Option<&'static str> {
        match self.entries.get(tenant).map(|entry| &entry.phase) {
            Some(Phase::Running { .. }) => None,
            Some(Phase::Stopping) => Some("its former pipeline here does not end"),
            Some(Phase::Waiting { .. }) => Some("its record is another replica's"),
            Some(Phase::Idle) | None => Some("it was not taken up"),
        }
    }

    /// Whether we run the tenant, or did a moment ago.
    pub(super) fn knows(&self, tenant: &TenantId) -> bool {
        self.entries.contains_key(tenant)
    }

    /// When waiting ends for the tenant that has waited longest.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let until = |entry: &Entry| match entry.phase {
            Phase::Waiting { until, .. } => Some(until),
            _ => None,
        };
        self.entries.values().filter_map(until).min()
    }

    /// How many tenants are ours and wait for their record.
    pub(super) fn waiting(&self) -> usize {
        self.entries.values().filter(|entry| matches!(entry.phase, Phase::Waiting { .. })).count()
    }

    fn assign(&mut self) {
        let Handover { members, tenants, leaving, entries } = self;
        for entry in entries.values_mut() {
            entry.owned = false;
        }
        for (tenant, _) in tenants.iter().filter(|(_, key)| !*leaving && members.own(key)) {
            match entries.get_mut(tenant) {
                Some(entry) => entry.owned = true,
                None => _ = entries.insert(tenant.clone(), Entry::new(Place::of(tenant))),
            }
        }
    }
}

/// A record as it concerns us. One whose holder is unknown may belong to a replica that has just come.
fn lock<'a>(record: Option<&'a Record>, members: &Members) -> Lock<'a> {
    match record {
        None | Some(Record { released: true, .. }) => Lock::Free,
        Some(Record { holder, .. }) if *holder == members.me => Lock::Ours,
        Some(Record { holder, .. }) => match members.standing(holder) {
            Standing::Dead => Lock::Free,
            Standing::Active | Standing::Leaving | Standing::Unknown => Lock::Held(holder),
        },
    }
}

enum Step {
    Start,
    Stop,
}

impl Entry {
    fn new(place: Place) -> Entry {
        Entry { place, owned: true, phase: Phase::Idle, writing: false, unsure: true, ran: false }
    }

    fn step(&mut self, now: Instant, lock: Lock<'_>) -> Option<Step> {
        match (&self.phase, self.owned) {
            (Phase::Idle, true) => {
                self.wait(now, lock);
                self.start_if_it_may(now, lock)
            }
            (Phase::Waiting { .. }, false) => {
                self.phase = Phase::Idle;
                None
            }
            (Phase::Waiting { behind, .. }, true) => {
                if behind.as_deref() != lock.holder() {
                    self.wait(now, lock);
                }
                self.start_if_it_may(now, lock)
            }
            (Phase::Running { beside }, owned) => {
                let lost = lock.holder().is_some_and(|holder| beside.as_deref() != Some(holder));
                if lost || !owned {
                    self.phase = Phase::Stopping;
                    return Some(Step::Stop);
                }
                if lock == Lock::Ours {
                    self.phase = Phase::Running { beside: None };
                }
                None
            }
            (Phase::Idle, false) | (Phase::Stopping, _) => None,
        }
    }

    fn wait(&mut self, now: Instant, lock: Lock<'_>) {
        self.phase = Phase::Waiting { behind: lock.holder().map(str::to_owned), until: now + HANDOVER_MAX };
    }

    fn start_if_it_may(&mut self, now: Instant, lock: Lock<'_>) -> Option<Step> {
        let Phase::Waiting { until, .. } = self.phase else { return None };
        let held = lock == Lock::Ours && !self.writing && !self.unsure;
        if !held && now < until {
            return None;
        }
        self.ran = true;
        self.phase = Phase::Running { beside: lock.holder().map(str::to_owned) };
        Some(Step::Start)
    }

    fn intent(&self, lock: Lock<'_>) -> Option<Intent> {
        match (&self.phase, lock) {
            (Phase::Waiting { .. }, Lock::Ours) => self.unsure.then_some(Intent::Claim),
            (Phase::Waiting { .. } | Phase::Running { .. }, Lock::Free) => Some(Intent::Claim),
            (Phase::Running { beside: Some(beside) }, Lock::Held(holder)) if beside == holder => {
                Some(Intent::Claim)
            }
            (Phase::Running { .. } | Phase::Stopping, Lock::Ours) => Some(Intent::Hold),
            (Phase::Idle, Lock::Ours) => Some(Intent::Release),
            (Phase::Idle, Lock::Free) => self.ran.then_some(Intent::Release),
            (Phase::Waiting { .. } | Phase::Running { .. } | Phase::Idle, Lock::Held(_)) => None,
            (Phase::Stopping, Lock::Free | Lock::Held(_)) => None,
        }
    }
}

impl<'a> Lock<'a> {
    fn holder(self) -> Option<&'a str> {
        match self {
            Lock::Held(holder) => Some(holder),
            Lock::Ours | Lock::Free => None,
        }
    }
}

#[cfg(test)]
mod tests;
