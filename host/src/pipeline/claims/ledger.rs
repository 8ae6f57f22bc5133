//! Ledger: one receiver's seats and identities.
//!
//! Never: a look at outputs; who holds their lock may be waiting for this one.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::BuildHasher;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use foldhash::fast::RandomState;

use super::{Claimant, News, Place};
use crate::model::{TenantId, Timestamp};
use crate::pipeline::Outputs;

/// How long it is remembered up to when an identity nobody has was sent: no lane asks for ticks further back.
const FLOOR_KEPT: Duration = Duration::from_secs(2 * 3600);
/// Identities nobody has, beyond which those are forgotten that are older than [`FLOOR_KEPT`].
const VACANT_MIN: usize = 1024;
/// A stale marker stands this much behind the last sample of a lane that ends.
const STALE_MARKER: Duration = Duration::from_millis(1);

/// An identity: two independent hashes of its encoded labels, alike by chance once in 2¹²⁸.
pub(super) type Key = (u64, u64);
/// A seat's number.
pub(super) type No = u32;

#[derive(Default)]
pub(super) struct Hashers(RandomState, RandomState);

impl Hashers {
    pub(super) fn key(&self, encoded: &[u8]) -> Key {
        (self.0.hash_one(encoded), self.1.hash_one(encoded))
    }
}

/// Why an identity may not be sent now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Denied {
    /// Another source group of the same tenant has it.
    Group,
    /// An older resource has it.
    Older(TenantId),
    /// Its former holder may have sent this tick, or has not ended it.
    Waiting,
}

/// Everything about one receiver.
#[derive(Default)]
pub(super) struct Ledger {
    seats: HashMap<No, Seated>,
    entries: HashMap<Key, Entry>,
    vacant: usize,
    next: No,
}

struct Seated {
    claimant: Claimant,
    place: Arc<Place>,
    /// What was taken from it since it last looked.
    lost: HashSet<Key>,
    /// What older ones wait for while its tick is in flight.
    asked: Vec<Key>,
    /// Whether it was denied something that only its holder can free.
    denied: bool,
    /// Whether it is to ask again for what it was denied.
    again: bool,
}

impl Seated {
    fn sent(&self) -> Timestamp {
        Timestamp(self.place.sent.load(Ordering::Acquire))
    }
}

/// Who has an identity, and who comes next.
#[derive(Debug, Clone, Copy)]
struct Entry {
    holder: Option<No>,
    /// The oldest who waits for the holder's tick to end.
    heir: Option<No>,
    /// Nobody but who sent it may send a tick up to here.
    floor: Timestamp,
}

const FREE: Entry = Entry { holder: None, heir: None, floor: Timestamp(i64::MIN) };

impl Ledger {
    pub(super) fn seat(&mut self, claimant: Claimant, outputs: Arc<Mutex<Outputs>>) -> Arc<Place> {
        let no = self.next;
        self.next += 1;
        let (contended, busy) = Default::default();
        let place = Arc::new(Place { no, outputs, contended, busy, sent: i64::MIN.into() });
        let (lost, asked) = Default::default();
        let seated = Seated { claimant, place: place.clone(), lost, asked, denied: false, again: false };
        self.seats.insert(no, seated);
        place
    }

    /// The seat goes on under another claimant: its resource was edited.
    pub(super) fn rename(&mut self, no: No, claimant: Claimant) {
        if let Some(seated) = self.seats.get_mut(&no)
            && seated.claimant != claimant
        {
            seated.claimant = claimant;
            self.stir();
        }
    }

    /// The seats of these tenants, the oldest first.
    pub(super) fn seats_of(&self, tenants: &BTreeSet<TenantId>) -> Vec<Arc<Place>> {
        let mut seats: Vec<_> =
            self.seats.values().filter(|seated| tenants.contains(&seated.claimant.tenant)).collect();
        seats.sort_by_key(|seated| (seated.claimant.since, &seated.claimant.tenant, seated.place.no));
        seats.into_iter().map(|seated| seated.place.clone()).collect()
    }

    /// Claims an identity for `tick` and what follows; up to when others may have sent it.
    pub(super) fn claim(&mut self, no: No, key: Key, tick: Timestamp) -> Result<Timestamp, Denied> {
        let result = self.ask(no, key, tick);
        if let Some(seated) = self.seats.get_mut(&no) {
            match result {
                Ok(_) => {}
                Err(Denied::Waiting) => seated.again = true,
                Err(Denied::Group | Denied::Older(_)) => seated.denied = true,
            }
        }
        result
    }

    fn ask(&mut self, no: No, key: Key, tick: Timestamp) -> Result<Timestamp, Denied> {
        let was_vacant = self.entries.get(&key).is_some_and(|entry| entry.holder.is_none());
        let entry = self.entries.entry(key).or_insert(FREE);
        let Some(claimant) = self.seats.get(&no).map(|seated| &seated.claimant) else {
            return Err(Denied::Waiting);
        };
        match entry.holder.and_then(|holder| Some((holder, self.seats.get(&holder)?))) {
            None => {
                entry.holder = Some(no);
                self.vacant -= usize::from(was_vacant);
            }
            Some((holder, _)) if holder == no => {}
            Some((_, other)) if other.claimant.tenant == claimant.tenant => return Err(Denied::Group),
            Some((_, other)) if other.claimant.is_older_than(claimant) => {
                return Err(Denied::Older(other.claimant.tenant.clone()));
            }
            Some((holder, other)) if other.place.busy.load(Ordering::Acquire) => {
                let heir = entry.heir.and_then(|heir| self.seats.get(&heir));
                if heir.is_none_or(|heir| claimant.is_older_than(&heir.claimant)) {
                    entry.heir = Some(no);
                }
                if let Some(other) = self.seats.get_mut(&holder) {
                    other.asked.push(key);
                }
                return Err(Denied::Waiting);
            }
            Some((holder, other)) => {
                entry.floor = entry.floor.max(other.sent());
                entry.holder = Some(no);
                if let Some(other) = self.seats.get_mut(&holder) {
                    other.lost.insert(key);
                }
            }
        }
        if tick <= entry.floor { Err(Denied::Waiting) } else { Ok(entry.floor) }
    }

    /// Claims what a seat has sent already, before it had to claim. What another one has is lost.
    pub(super) fn adopt(&mut self, no: No, key: Key) {
        if self.ask(no, key, Timestamp(i64::MAX)).is_err()
            && let Some(seated) = self.seats.get_mut(&no)
        {
            seated.lost.insert(key);
        }
    }

    /// What happened to a seat since it last asked.
    pub(super) fn news(&mut self, no: No) -> News {
        let Some(seated) = self.seats.get_mut(&no) else { return News::default() };
        let again = std::mem::take(&mut seated.again);
        if again {
            // It asks for everything again, and is denied anew where it has to be.
            seated.denied = false;
        }
        let mut lost = std::mem::take(&mut seated.lost);
        // What came back in the meantime was not lost.
        lost.retain(|key| self.entries.get(key).is_none_or(|entry| entry.holder != Some(no)));
        News { lost, again }
    }

    /// A seat's tick is over: who waited for its identities has them.
    pub(super) fn hand_over(&mut self, no: No) {
        let Some(seated) = self.seats.get_mut(&no) else { return };
        let (asked, sent) = (std::mem::take(&mut seated.asked), seated.sent());
        for key in asked {
            let Some(entry) = self.entries.get_mut(&key).filter(|entry| entry.holder == Some(no)) else {
                continue;
            };
            let Some(heir) = entry.heir.take().filter(|heir| self.seats.contains_key(heir)) else { continue };
            (entry.holder, entry.floor) = (Some(heir), entry.floor.max(sent));
            if let Some(seated) = self.seats.get_mut(&no) {
                seated.lost.insert(key);
            }
            if let Some(heir) = self.seats.get_mut(&heir) {
                heir.again = true;
            }
        }
    }

    /// A seat gives identities up. Who gives up what it was denied frees nothing: those who were denied the same need not ask again,
    /// or all would for ever, since each has to give it up anew.
    pub(super) fn release(&mut self, no: No, keys: impl Iterator<Item = Key>) {
        let sent = self.seats.get(&no).map_or(FREE.floor, Seated::sent);
        let mut is_any_free = false;
        for key in keys {
            if let Some(entry) = self.entries.get_mut(&key).filter(|entry| entry.holder == Some(no)) {
                is_any_free = true;
                entry.floor = entry.floor.max(sent);
                entry.holder = entry.heir.take().filter(|heir| self.seats.contains_key(heir));
                self.vacant += usize::from(entry.holder.is_none());
            }
        }
        if is_any_free {
            self.stir();
            self.forget(sent);
        }
    }

    /// A seat is given up, with all it has.
    pub(super) fn leave(&mut self, no: No) {
        let Some(gone) = self.seats.remove(&no) else { return };
        let last = gone.sent().plus(STALE_MARKER);
        for entry in self.entries.values_mut() {
            if entry.heir == Some(no) {
                entry.heir = None;
            }
            if entry.holder == Some(no) {
                entry.floor = entry.floor.max(last);
                entry.holder = entry.heir.take().filter(|heir| self.seats.contains_key(heir));
                self.vacant += usize::from(entry.holder.is_none());
            }
        }
        self.stir();
        self.forget(last);
    }

    /// Something is free: who was denied anything asks again.
    fn stir(&mut self) {
        for seated in self.seats.values_mut().filter(|seated| seated.denied) {
            seated.again = true;
        }
    }

    /// Forgets up to when identities were sent that nobody has, once that is long ago.
    fn forget(&mut self, now: Timestamp) {
        if self.vacant <= VACANT_MIN.max(self.entries.len() / 2) {
            return;
        }
        let long_ago = now.minus(FLOOR_KEPT);
        self.entries.retain(|_, entry| entry.holder.is_some() || entry.floor > long_ago);
        self.vacant = self.entries.values().filter(|entry| entry.holder.is_none()).count();
    }
}
