//! Claims: who writes which identity to one receiver, where several could.
//!
//! In: the lanes of this process that write to a receiver, and which tenants may collide. Out: for every identity one
//! lane that may send it. Never: two lanes that send one identity for overlapping times; a claim, or a lock, for a
//! tenant that can collide with nobody; work for a sample.
//!
//! Of two tenants the older one has an identity, even if the younger began first; of one tenant's source groups, the
//! one that was first. What a lane loses it stops sending without a stale marker, since the series goes on. Who gets an
//! identity sends it from the first tick on that is newer than everything its former holder may have sent: a receiver
//! takes one value per timestamp, and none that is older than the newest.

mod ledger;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::outputs::Outputs;
use crate::model::{Receiver, TenantId, Tick, Timestamp};
pub(crate) use ledger::Denied;
use ledger::{Hashers, Key, Ledger, No};

/// Position of a group among the tenant's source groups.
pub type GroupIndex = u32;

/// Who claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claimant {
    /// How old its resource is.
    pub(crate) since: Timestamp,
    /// Its resource.
    pub(crate) tenant: TenantId,
}

impl Claimant {
    fn is_older_than(&self, other: &Claimant) -> bool {
        (self.since, &self.tenant) < (other.since, &other.tenant)
    }
}

/// All receivers that lanes of this process write to.
#[derive(Default)]
pub struct Registry {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Held weakly: a receiver without lanes is forgotten.
    receivers: HashMap<Receiver, Weak<Receipts>>,
    contended: BTreeSet<TenantId>,
}

/// One receiver's claims.
#[derive(Default)]
struct Receipts {
    ledger: Mutex<Ledger>,
    hashers: Hashers,
}

impl Registry {
    /// From now on these tenants may collide with others; called before any of them starts. Tenants that did before
    /// stay careful until their lanes are built anew.
    pub fn contend(&self, contended: BTreeSet<TenantId>) {
        let receivers: Vec<Arc<Receipts>> = {
            let mut state = lock(&self.state);
            state.contended = contended.clone();
            state.receivers.retain(|_, receipts| receipts.strong_count() > 0);
            state.receivers.values().filter_map(Weak::upgrade).collect()
        };
        for receipts in receivers {
            let mut concerned = lock(&receipts.ledger).seats_of(&contended);
            concerned.retain(|place| !place.contended.load(Ordering::Acquire));
            for place in concerned {
                receipts.register(&place);
            }
        }
    }

    /// A lane takes its seat at its receiver. `former` is the seat of the lane it replaces, whose claims it goes on with
    /// if the receiver is the same. `beside` says whether other lanes of its tenant write there too.
    pub(super) fn join(
        &self,
        receiver: Receiver,
        claimant: Claimant,
        beside: Beside,
        outputs: &Arc<Mutex<Outputs>>,
        former: Option<Seat>,
    ) -> Seat {
        let (receipts, contended) = {
            let mut state = lock(&self.state);
            let contended = beside == Beside::Others || state.contended.contains(&claimant.tenant);
            let known = state.receivers.get(&receiver).and_then(Weak::upgrade);
            let receipts = known.unwrap_or_else(|| {
                let receipts = Arc::new(Receipts::default());
                state.receivers.insert(receiver, Arc::downgrade(&receipts));
                receipts
            });
            (receipts, contended)
        };
        let seat = match former {
            Some(seat)
                if Arc::ptr_eq(&seat.receipts, &receipts) && Arc::ptr_eq(&seat.place.outputs, outputs) =>
            {
                lock(&receipts.ledger).rename(seat.place.no, claimant);
                seat
            }
            _ => {
                let place = lock(&receipts.ledger).seat(claimant, outputs.clone());
                Seat { receipts: receipts.clone(), place }
            }
        };
        if contended && !seat.is_contended() {
            receipts.register(&seat.place);
        }
        seat
    }
}

/// Whether a tenant has several lanes to one receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beside {
    Nobody,
    Others,
}

impl Receipts {
    /// Claims everything a lane has so far. From then on it claims by itself.
    fn register(&self, place: &Place) {
        // A lane decides under this lock, so nothing falls between what is there and what comes.
        let outputs = lock(&place.outputs);
        place.contended.store(true, Ordering::Release);
        let mut ledger = lock(&self.ledger);
        outputs.each(|encoded| ledger.adopt(place.no, self.hashers.key(encoded)));
    }
}

/// What others see of a seat.
struct Place {
    no: No,
    outputs: Arc<Mutex<Outputs>>,
    /// Whether its lane has to claim what it sends.
    contended: AtomicBool,
    /// Whether a tick of its lane is in flight.
    busy: AtomicBool,
    /// The newest tick of which its lane may have sent anything, in milliseconds.
    sent: AtomicI64,
}

/// One lane's place at its receiver; it is given up when dropped.
pub struct Seat {
    receipts: Arc<Receipts>,
    place: Arc<Place>,
}

/// What a lane has to know before it decides anything of a tick.
#[derive(Debug, Default)]
pub(super) struct News {
    /// Identities that are others' now.
    lost: HashSet<Key>,
    /// Whether something that was denied may be free.
    again: bool,
}

impl News {
    pub(super) fn is_to_ask_again(&self) -> bool {
        self.again || !self.lost.is_empty()
    }
}

impl Seat {
    /// Whether the lane has to claim what it sends. To be asked under the lock of its outputs.
    pub(super) fn is_contended(&self) -> bool {
        self.place.contended.load(Ordering::Acquire)
    }

    /// A tick begins. To be called under the lock of the lane's outputs.
    pub(super) fn begin(&self, tick: Tick) -> News {
        let contended = self.is_contended().then(|| lock(&self.receipts.ledger));
        self.place.busy.store(true, Ordering::Release);
        self.place.sent.fetch_max(tick.timestamp().as_millis(), Ordering::AcqRel);
        contended.map(|mut ledger| ledger.news(self.place.no)).unwrap_or_default()
    }

    /// The tick is over, whatever became of it: what others wait for is theirs.
    pub(super) fn end(&self) {
        let contended = self.is_contended().then(|| lock(&self.receipts.ledger));
        self.place.busy.store(false, Ordering::Release);
        if let Some(mut ledger) = contended {
            ledger.hand_over(self.place.no);
        }
    }

    /// Claims an identity for `tick` and what follows; up to when others may have sent it.
    pub(super) fn claim(&self, encoded: &[u8], tick: Tick) -> Result<Timestamp, Denied> {
        lock(&self.receipts.ledger).claim(self.place.no, self.key(encoded), tick.timestamp())
    }

    /// Gives identities up.
    pub(super) fn release<'a>(&self, encoded: impl IntoIterator<Item = &'a [u8]>) {
        let mut ledger = lock(&self.receipts.ledger);
        ledger.release(self.place.no, encoded.into_iter().map(|encoded| self.key(encoded)));
    }

    /// Whether an identity is among those that are others' now.
    pub(super) fn lost(&self, news: &News, encoded: &[u8]) -> bool {
        news.lost.contains(&self.key(encoded))
    }

    fn key(&self, encoded: &[u8]) -> Key {
        self.receipts.hashers.key(encoded)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        lock(&self.receipts.ledger).leave(self.place.no);
    }
}

/// A panic while a lock was held leaves what it holds usable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
