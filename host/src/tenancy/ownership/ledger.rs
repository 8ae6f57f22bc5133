//! Ledger: from Leases as they are seen to who is alive. Time is an argument, and always our own.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::{LEASE_DURATION, LONG_DEAD_LEASES, MEMBERS_MAX, Members, OUTAGE};

/// A member's own lease duration counts only up to this.
const LEASE_DURATION_MAX: Duration = Duration::from_secs(60);

/// A Lease as it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The Lease's name.
    pub lease: String,
    /// Whose it is: a pod's name. `None` when it was given back.
    pub holder: Option<String>,
    /// When its holder says it renewed it, in microseconds. Only ever compared for being another one.
    pub renewal: i64,
    /// Its resourceVersion.
    pub version: String,
    /// How long it lasts.
    pub duration: Duration,
    /// Whether its holder is about to go.
    pub leaving: bool,
}

/// What is known of all Leases, and when it was learnt.
#[derive(Debug, Clone)]
pub struct Ledger {
    lease: String,
    me: String,
    others: BTreeMap<String, Entry>,
    own: Own,
    /// Since when our renewals have been coming back without a gap.
    reachable_since: Option<Instant>,
    listing: bool,
}

#[derive(Debug, Clone)]
struct Entry {
    seen: Seen,
    holder: String,
    /// When we last saw a sign of life.
    at: Instant,
    dead_since: Option<Instant>,
    /// Whether the newest list held it.
    listed: bool,
}

/// Our own Lease.
#[derive(Debug, Clone, Default)]
struct Own {
    leaving: bool,
    /// When the newest renewal that was accepted had been sent, and what it said.
    accepted: Option<(Instant, i64)>,
    /// The renewal the Lease showed when we last saw it.
    seen: Option<i64>,
    /// When the newest renewal that came back had been sent.
    returned: Option<Instant>,
    /// Others renewing since our last renewal: from when, until when.
    outlived: Option<(Instant, Instant)>,
}

impl Ledger {
    /// The ledger of the member `me`, whose Lease is named `lease`.
    pub fn new(lease: String, me: String) -> Ledger {
        let (others, own) = (BTreeMap::new(), Own::default());
        Ledger { lease, me, others, own, reachable_since: None, listing: false }
    }

    /// A list of all Leases begins.
    pub fn list_begins(&mut self) {
        self.listing = true;
        for entry in self.others.values_mut() {
            entry.listed = false;
        }
    }

    /// The list is complete. A member that is not in it and was leaving, or dead, is gone; any other one is given
    /// its lease duration.
    pub fn list_ends(&mut self) {
        self.listing = false;
        self.others.retain(|_, entry| entry.listed || !(entry.seen.leaving || entry.dead_since.is_some()));
        self.conclude();
    }

    /// A Lease was seen at `now`, in a list or because it changed.
    pub fn saw(&mut self, seen: Seen, now: Instant) {
        if seen.lease == self.lease {
            self.own.seen = Some(seen.renewal);
        } else {
            self.saw_other(seen, now);
        }
        if !self.listing {
            self.conclude();
        }
    }

    /// A Lease was deleted. What its holder had is still looked after by whoever reads its records.
    pub fn deleted(&mut self, lease: &str) {
        self.others.remove(lease);
    }

    /// A renewal of ours, sent at `sent`, was accepted.
    pub fn renewed(&mut self, sent: Instant, renewal: i64) {
        self.own.accepted = Some((sent, renewal));
        self.own.outlived = None;
        // The watch may have been faster than the answer.
        if !self.listing {
            self.conclude();
        }
    }

    /// We are about to go.
    pub fn leave(&mut self) {
        self.own.leaving = true;
    }

    /// When the renewal that has been accepted and not come back was sent.
    pub fn awaited_since(&self) -> Option<Instant> {
        let (sent, _) = self.own.accepted?;
        (self.own.returned != Some(sent)).then_some(sent)
    }

    /// When the member that has been silent for longest would be overdue: a renewal sent then decides.
    pub fn suspect_at(&self) -> Option<Instant> {
        let living = self.others.values().filter(|entry| entry.dead_since.is_none());
        living.map(|entry| entry.overdue_at(self.reachable_since)).min()
    }

    /// Leases of members that have long been dead, with their versions.
    pub fn long_dead(&self, now: Instant) -> impl Iterator<Item = (&str, &str)> {
        let long_dead = move |entry: &&Entry| {
            let limit = entry.duration() * LONG_DEAD_LEASES;
            entry.dead_since.is_some_and(|since| now.saturating_duration_since(since) >= limit)
        };
        let dead = self.others.values().filter(long_dead);
        dead.map(|entry| (entry.seen.lease.as_str(), entry.seen.version.as_str()))
    }

    /// Who is there.
    pub fn members(&self) -> Members {
        let mut members = Members { me: self.me.clone(), ..Members::default() };
        for entry in self.others.values() {
            let list = match entry {
                Entry { dead_since: Some(_), .. } => &mut members.dead,
                Entry { seen: Seen { leaving: true, .. }, .. } => &mut members.leaving,
                _ => &mut members.active,
            };
            list.insert(entry.holder.clone());
        }
        match self.own.leaving {
            true => _ = members.leaving.insert(self.me.clone()),
            false if self.own.counts() => _ = members.active.insert(self.me.clone()),
            false => {}
        }
        members
    }

    fn saw_other(&mut self, seen: Seen, now: Instant) {
        let Some(holder) = seen.holder.clone().filter(|holder| !holder.is_empty()) else {
            self.others.remove(&seen.lease);
            return;
        };
        let is_full = self.others.len() >= MEMBERS_MAX;
        match self.others.get_mut(&seen.lease) {
            Some(entry) => {
                entry.listed = true;
                if entry.seen.renewal != seen.renewal || entry.holder != holder {
                    *entry = Entry { seen, holder, at: now, dead_since: None, listed: true };
                    self.own.saw_another_renew(now);
                } else {
                    entry.seen = seen;
                }
            }
            None if is_full => {}
            None => {
                let lease = seen.lease.clone();
                self.others.insert(lease, Entry { seen, holder, at: now, dead_since: None, listed: true });
            }
        }
    }

    /// If our newest renewal has come back, whoever was silent for long enough before it was sent is dead.
    fn conclude(&mut self) {
        let Some((sent, renewal)) = self.own.accepted else { return };
        if self.own.seen != Some(renewal) || self.own.returned == Some(sent) {
            return;
        }
        let unbroken = self.own.returned.is_some_and(|before| sent.duration_since(before) <= OUTAGE);
        if !unbroken {
            self.reachable_since = Some(sent);
        }
        self.own.returned = Some(sent);
        for entry in self.others.values_mut().filter(|entry| entry.dead_since.is_none()) {
            if sent >= entry.overdue_at(self.reachable_since) {
                entry.dead_since = Some(sent);
            }
        }
        self.others.retain(|_, entry| entry.listed || entry.dead_since.is_none());
    }
}

impl Entry {
    fn duration(&self) -> Duration {
        self.seen.duration.clamp(Duration::from_secs(1), LEASE_DURATION_MAX)
    }

    fn overdue_at(&self, reachable_since: Option<Instant>) -> Instant {
        reachable_since.map_or(self.at, |since| since.max(self.at)) + self.duration()
    }
}

impl Own {
    /// Whether the others can count on us: we have a Lease, and it was not outlived.
    fn counts(&self) -> bool {
        let outlived =
            self.outlived.is_some_and(|(first, last)| last.duration_since(first) >= LEASE_DURATION);
        self.accepted.is_some() && !outlived
    }

    /// Others renewing without us are evidence only if they do so without a gap: after an outage of the API server
    /// everybody's renewals come at once, and some before ours.
    fn saw_another_renew(&mut self, now: Instant) {
        let going_on = self.outlived.filter(|(_, last)| now.duration_since(*last) <= OUTAGE);
        self.outlived = Some((going_on.map_or(now, |(first, _)| first), now));
    }
}

#[cfg(test)]
mod tests;
