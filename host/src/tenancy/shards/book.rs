//! Book: our tenants, their cursors and everybody's records, and what to write next. No IO.
//!
//! In: ConfigMaps as they were seen, and how our writes of them ended. Out: pipelines to start and stop, and writes.
//! Never: a record overwritten that another living member holds, unless [`super::handover`] says so; a cursor moved
//! back.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::handover::{Action, Handover, Intent, Written};
use super::place::{Place, SHARDS, config_map};
use super::pushed::Pushed;
use super::record::{Record, merged};
use super::room::{self, Spare};
use super::terms::{Current, Cursors, Occasion, Outcome, Wanted, Write};
use super::view::{Changes, View, is_newer};
use crate::model::{PushgatewayGroup, TenantId, Timestamp};
use crate::tenancy::ownership::{Members, Standing};

/// How long the record of a tenant is kept whose resource is gone.
pub const VANISHED_KEPT: Duration = Duration::from_secs(24 * 3600);

/// After this many conflicts in a row what the API server says counts, even if it seems older: a database that was
/// restored counts its versions from an earlier one.
const CONFLICTS_BELIEVED: u32 = 3;

/// All there is to know.
#[derive(Debug)]
pub(super) struct Book<C> {
    pub(super) handover: Handover,
    pub(super) members: Arc<Members>,
    known: Arc<BTreeSet<TenantId>>,
    /// Whose record is where, once somebody asked.
    known_keys: Option<HashMap<String, TenantId>>,
    /// Where the records of those that are to run are, likewise.
    run_keys: Option<HashSet<String>>,
    pub(super) run: Arc<BTreeMap<TenantId, String>>,
    pub(super) groups: Arc<BTreeMap<TenantId, BTreeSet<PushgatewayGroup>>>,
    pub(super) refused: Arc<BTreeSet<TenantId>>,
    /// Since when tenants seem to be run by nobody.
    pub(super) idle_since: BTreeMap<TenantId, Instant>,
    /// Groups that were removed, and whose records still hold them.
    pub(super) removed: BTreeMap<Place, BTreeSet<Pushed>>,
    pub(super) shards: Vec<Shard>,
    cursors: C,
    /// The epoch of each tenant's cursors that its record holds.
    saved: BTreeMap<TenantId, u64>,
}

#[derive(Debug, Default)]
pub(super) struct Shard {
    pub(super) view: View,
    /// Whether the list under way held it.
    listed: bool,
    conflicts: u32,
}

impl<C: Cursors> Book<C> {
    /// An empty book.
    pub(super) fn new(cursors: C) -> Book<C> {
        Book {
            handover: Handover::default(),
            members: Arc::default(),
            known: Arc::default(),
            known_keys: None,
            run_keys: None,
            run: Arc::default(),
            groups: Arc::default(),
            refused: Arc::default(),
            idle_since: BTreeMap::new(),
            removed: BTreeMap::new(),
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            cursors,
            saved: BTreeMap::new(),
        }
    }

    /// Who is there.
    pub(super) fn members(&mut self, members: Arc<Members>) {
        self.members = Arc::clone(&members);
        self.handover.members(members);
    }

    /// The tenants there are.
    pub(super) fn wanted(&mut self, wanted: &Wanted) {
        if self.known != wanted.known {
            self.known = Arc::clone(&wanted.known);
            self.known_keys = None;
        }
        if self.run != wanted.run {
            self.run = Arc::clone(&wanted.run);
            self.run_keys = None;
        }
        if self.groups != wanted.groups {
            self.groups = Arc::clone(&wanted.groups);
            // One may be pushed to again. To remove another one twice does no harm.
            self.removed.clear();
        }
        self.refused = Arc::clone(&wanted.refused);
        self.handover.tenants(Arc::clone(&wanted.run));
    }

    /// From now on nothing is ours.
    pub(super) fn leave(&mut self) {
        self.handover.leave();
    }

    /// A list of all ConfigMaps begins.
    pub(super) fn list_begins(&mut self) {
        for shard in &mut self.shards {
            shard.listed = false;
        }
    }

    /// The list is complete. What was not in it is not there; should it have been made meanwhile, creating it anew
    /// says so.
    pub(super) fn list_ends(&mut self) {
        for shard in self.shards.iter_mut().filter(|shard| !shard.listed) {
            shard.view.vanish();
        }
    }

    /// Everything is known for the first time.
    pub(super) fn begin(&mut self) {
        let shards = &self.shards;
        self.handover.take_up(|place| shards[place.shard].view.record(&place.key));
    }

    /// A ConfigMap was seen.
    pub(super) fn see(&mut self, shard: usize, current: Current) {
        self.shards[shard].listed = true;
        self.shards[shard].view.see(&current.version, current.data);
    }

    /// A ConfigMap was deleted, which is `version`.
    pub(super) fn deleted(&mut self, shard: usize, version: &str) {
        let view = &mut self.shards[shard].view;
        if view.version.as_deref().is_none_or(|known| !is_newer(known, version)) {
            view.vanish();
        }
    }

    /// The tenant's pipeline has stopped, as it was told to.
    pub(super) fn stopped(&mut self, tenant: &TenantId) {
        self.handover.stopped(tenant);
    }

    /// No pipeline runs any more.
    pub(super) fn all_stopped(&mut self) {
        self.handover.all_stopped();
    }

    /// Whether the tenant's record is still to be released.
    pub(super) fn is_letting_go(&self, tenant: &TenantId) -> bool {
        self.handover.is_letting_go(tenant, self.record(&Place::of(tenant)))
    }

    /// What there is to do at `now`. The cursors of a tenant that starts are in place.
    pub(super) fn step(&mut self, now: Instant) -> Vec<Action> {
        let shards = &self.shards;
        let actions = self.handover.step(now, |place| shards[place.shard].view.record(&place.key));
        for action in &actions {
            if let Action::Start(tenant) = action
                && let Some(record) = self.record(&Place::of(tenant))
            {
                self.cursors.restore(tenant, record);
            }
        }
        actions
    }

    /// When [`Book::step`] has something to do even if nothing happens.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.handover.deadline()
    }

    /// How many tenants are ours and wait for their record.
    pub(super) fn waiting(&self) -> usize {
        self.handover.waiting()
    }

    /// How many bytes the largest ConfigMap holds.
    pub(super) fn bytes_max(&self) -> usize {
        self.shards.iter().map(|shard| shard.view.bytes()).max().unwrap_or(0)
    }

    /// The ConfigMaps of these shards to be written, at most one write each. Until each has ended
    /// ([`Book::wrote`]), its shard must not be asked for again.
    pub(super) fn writes(
        &mut self,
        shards: impl Fn(usize) -> Option<Occasion>,
        now: Timestamp,
    ) -> Vec<Write> {
        let mut writes = BTreeMap::<usize, (Changes, Vec<(TenantId, Intent, u64)>)>::new();
        let mut same = Vec::new();
        for (tenant, place) in self.handover.places() {
            let Some(occasion) = shards(place.shard) else { continue };
            let record = self.record(place);
            let Some(intent) = self.handover.intent(tenant, record) else { continue };
            let epoch = self.cursors.epoch(tenant);
            let is_due = match intent {
                Intent::Claim | Intent::Release => true,
                Intent::Hold => {
                    let is_first = record.is_none_or(|record| record.cursors.is_empty());
                    let is_time = occasion == Occasion::Save || (occasion == Occasion::First && is_first);
                    (is_time && self.saved.get(tenant) != Some(&epoch)) || self.owes_news(tenant, place, now)
                }
            };
            if !is_due {
                continue;
            }
            let value = self.written(tenant, place, intent, now).write();
            if self.shards[place.shard].view.value(&place.key) == Some(&value) {
                same.push((tenant.clone(), epoch));
                continue;
            }
            let (changes, tenants) = writes.entry(place.shard).or_default();
            changes.insert(place.key.clone(), Some(value));
            tenants.push((tenant.clone(), intent, epoch));
        }
        self.saved.extend(same);
        for (place, value) in self.told(&shards, now) {
            let (changes, _) = writes.entry(place.shard).or_default();
            changes.entry(place.key).or_insert(Some(value));
        }
        for shard in (0..SHARDS).filter(|shard| shards(*shard) == Some(Occasion::Save)) {
            let outdated = self.outdated(shard, now);
            if !outdated.is_empty() {
                let (changes, _) = writes.entry(shard).or_default();
                outdated.into_iter().for_each(|(key, value)| _ = changes.entry(key).or_insert(value));
            }
        }
        writes
            .into_iter()
            .filter_map(|(shard, (changes, tenants))| self.begin_write(shard, changes, tenants))
            .collect()
    }

    /// A write ended.
    pub(super) fn wrote(&mut self, write: Write, outcome: Outcome) {
        let Write { shard, changes, tenants, .. } = write;
        let written = match outcome {
            Outcome::Accepted(_) => Written::Yes,
            Outcome::Conflict(_) | Outcome::Refused => Written::No,
            Outcome::Unknown => Written::Perhaps,
        };
        for (tenant, intent, epoch) in tenants {
            self.handover.wrote(&tenant, intent, written);
            match (written, intent) {
                (Written::Yes, Intent::Release) => {
                    self.saved.remove(&tenant);
                    self.cursors.let_go(&tenant);
                }
                (Written::Yes, Intent::Claim | Intent::Hold) => _ = self.saved.insert(tenant, epoch),
                (Written::No | Written::Perhaps, _) => {}
            }
        }
        let shard = &mut self.shards[shard];
        match outcome {
            Outcome::Accepted(version) => {
                shard.conflicts = 0;
                shard.listed = true;
                shard.view.accept(changes, &version);
            }
            Outcome::Conflict(Some(current)) => {
                shard.conflicts += 1;
                if current.is_none() || shard.conflicts > CONFLICTS_BELIEVED {
                    shard.view.vanish();
                }
                if let Some(Current { version, data }) = current {
                    shard.view.see(&version, data);
                }
            }
            Outcome::Conflict(None) | Outcome::Refused | Outcome::Unknown => {}
        }
    }

    fn begin_write(
        &mut self,
        shard: usize,
        changes: Changes,
        mut tenants: Vec<(TenantId, Intent, u64)>,
    ) -> Option<Write> {
        let changes = self.with_room(shard, changes);
        let view = &self.shards[shard].view;
        let (changes, left_out) = view.fitting(changes);
        tenants.retain(|(tenant, ..)| changes.contains_key(&Place::of(tenant).key));
        for (tenant, ..) in &tenants {
            self.handover.writes(tenant);
        }
        let base = view.version.clone();
        (!changes.is_empty()).then_some(Write { shard, base, changes, left_out, tenants })
    }

    /// The changes, and, if there is no room for them, records that are taken away for them: of resources that do not
    /// run, or are no more. Of the namespace with most of these the first, so that nobody fills the room of others.
    fn with_room(&mut self, shard: usize, mut changes: Changes) -> Changes {
        let missing = self.shards[shard].view.missing(&changes);
        if missing == 0 {
            return changes;
        }
        let run = &self.run;
        let running =
            self.run_keys.get_or_insert_with(|| run.keys().map(|tenant| Place::of(tenant).key).collect());
        let is_held = |record: &Record| is_held(record, &self.members);
        let view = &self.shards[shard].view;
        let spare = view.records().filter(|(key, record)| {
            let is_needed = record.gone.is_none() && is_held(record);
            !changes.contains_key(*key) && !running.contains(*key) && !is_needed
        });
        let taken =
            room::make(spare.map(|(key, record)| Spare::new(key, record, view.bytes_at(key))), missing);
        changes.extend(taken.into_iter().map(|key| (key, None)));
        changes
    }

    pub(super) fn record(&self, place: &Place) -> Option<&Record> {
        self.shards[place.shard].view.record(&place.key)
    }

    /// What the tenant's record is to say.
    fn written(&self, tenant: &TenantId, place: &Place, intent: Intent, now: Timestamp) -> Record {
        let none = Record::default();
        let record = self.record(place).unwrap_or(&none);
        let Record { term, cursors, .. } = record;
        Record {
            holder: self.members.me.clone(),
            released: intent == Intent::Release,
            term: if intent == Intent::Claim { term.saturating_add(1) } else { *term },
            gone: None,
            cursors: merged(cursors, self.cursors.rows(tenant), now),
            groups: self.groups_of(Some(tenant), place, record, now),
            // Before it runs here, what whoever ran it has left.
            tags: self.cursors.tags(tenant).unwrap_or_else(|| record.tags.clone()),
        }
    }

    /// Finds out whose records are where; it takes a hash for each, and the answer lasts.
    pub(super) fn name_known(&mut self) {
        let all = &self.known;
        let named = || all.iter().map(|tenant| (Place::of(tenant).key, tenant.clone())).collect();
        self.known_keys.get_or_insert_with(named);
    }

    /// Whose record it is at `key`, if there is a resource; see [`Book::name_known`].
    pub(super) fn known_at(&self, key: &str) -> Option<&TenantId> {
        self.known_keys.as_ref()?.get(key)
    }

    /// Whose records belong into this shard, and at which keys, whether they are there or not.
    pub(super) fn known_in(&self, shard: usize) -> impl Iterator<Item = (&str, &TenantId)> {
        let all = self.known_keys.iter().flatten();
        all.filter(move |(_, tenant)| Place::of(tenant).shard == shard)
            .map(|(key, tenant)| (key.as_str(), tenant))
    }

    /// Records of tenants that are gone: marked first, and taken away a day later. One member looks after each shard.
    fn outdated(&mut self, shard: usize, now: Timestamp) -> Changes {
        if !self.members.own(&config_map(shard)) {
            return Changes::new();
        }
        self.name_known();
        let known = |key: &str| self.known_at(key).is_some();
        let is_held = |record: &Record| is_held(record, &self.members);
        let change = |key: &str, record: &Record| match (known(key), record.gone) {
            (true, None) => None,
            (true, Some(_)) => Some(Some(Record { gone: None, ..record.clone() }.write())),
            (false, _) if is_held(record) => None,
            // Should the resource come back, its tags mean what they mean then.
            (false, None) => {
                Some(Some(Record { gone: Some(now.0), tags: Vec::new(), ..record.clone() }.write()))
            }
            (false, Some(since)) => (now.since(Timestamp(since)) >= VANISHED_KEPT).then_some(None),
        };
        let records = self.shards[shard].view.records();
        records.filter_map(|(key, record)| Some((key.to_owned(), change(key, record)?))).collect()
    }
}

/// Whether a record belongs to a member that lives.
pub(super) fn is_held(record: &Record, members: &Members) -> bool {
    !record.released && matches!(members.standing(&record.holder), Standing::Active | Standing::Leaving)
}

#[cfg(test)]
mod tests;
