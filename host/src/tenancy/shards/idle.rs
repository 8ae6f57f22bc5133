//! Idle: tenants that are to run and that nobody runs. No IO.
//!
//! In: the book, and time. Out: those that this replica is to run and does not, with why, and how many there are in all.
//! Never: a tenant on its way from one replica to another, which takes less than [`IDLE_MAX`].

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use tokio::time::Instant;

use super::HANDOVER_MAX;
use super::book::{Book, is_held};
use super::place::SHARDS;
use super::terms::Cursors;
use super::view::SHARD_BYTES_MAX;
use crate::model::TenantId;
use crate::tenancy::ownership::LEASE_DURATION;

/// How long a tenant may be on its way: its owner died, its record is waited for, its claim is written. Twice that, because
/// members do not hear of each other at once.
pub const IDLE_MAX: Duration = Duration::from_secs(2 * (LEASE_DURATION.as_secs() + HANDOVER_MAX.as_secs()));

/// Beyond this a record may be missing because there is no room for it, and its tenant runs all the same.
const FULL_BYTES: usize = SHARD_BYTES_MAX / 10 * 9;

/// Tenants that nobody has run for [`IDLE_MAX`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Idle {
    /// Those that this replica is to run, and why it does not.
    pub ours: BTreeMap<TenantId, &'static str>,
    /// All of them, as far as the records tell.
    pub count: usize,
}

impl<C: Cursors> Book<C> {
    /// Who is idle at `now`. Before the records are known (`begun`), only what is ours is.
    pub(super) fn idle(&mut self, begun: bool, now: Instant) -> Idle {
        self.name_known();
        let held = self.held();
        let (run, members) = (std::sync::Arc::clone(&self.run), std::sync::Arc::clone(&self.members));
        let mut waits = BTreeMap::<TenantId, Option<&'static str>>::new();
        for (tenant, key) in run.iter() {
            let why = match members.own(key) {
                true if !begun => Some(Some("its record cannot be read")),
                true => self.handover.waits(tenant).map(Some),
                false => (begun && !held.contains(tenant)).then_some(None),
            };
            if let Some(why) = why {
                waits.insert(tenant.clone(), why);
            }
        }
        self.idle_since.retain(|tenant, _| waits.contains_key(tenant));
        let mut idle = Idle::default();
        for (tenant, why) in waits {
            if now - *self.idle_since.entry(tenant.clone()).or_insert(now) >= IDLE_MAX {
                idle.count += 1;
                idle.ours.extend(why.map(|why| (tenant, why)));
            }
        }
        idle
    }

    /// The tenants that somebody runs, by their records, or may run, because there may be no room for a record.
    fn held(&self) -> HashSet<TenantId> {
        let mut held = HashSet::new();
        for shard in 0..SHARDS {
            let view = &self.shards[shard].view;
            let all = view.records().filter(|(_, record)| is_held(record, &self.members));
            held.extend(all.filter_map(|(key, _)| self.known_at(key).cloned()));
            if view.bytes() >= FULL_BYTES {
                let missing = self.known_in(shard).filter(|(key, _)| view.record(key).is_none());
                held.extend(missing.map(|(_, tenant)| tenant.clone()));
            }
        }
        held
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::place::Place;
    use super::super::record::{Record, Row, Tag};
    use super::super::terms::{Current, Wanted};
    use super::*;
    use crate::tenancy::ownership::{Members, owner};

    struct NoCursors;

    impl Cursors for NoCursors {
        fn epoch(&self, _: &TenantId) -> u64 {
            0
        }

        fn rows(&self, _: &TenantId) -> Vec<Row> {
            Vec::new()
        }

        fn tags(&self, _: &TenantId) -> Option<Vec<Tag>> {
            None
        }

        fn restore(&self, _: &TenantId, _: &Record) {}

        fn let_go(&self, _: &TenantId) {}
    }

    /// The book of `me` beside `other`, and a tenant that belongs to `whose`, with a record of this holder.
    fn book(whose: &str, holder: Option<&str>) -> (Book<NoCursors>, TenantId) {
        let mut names = (0..100).map(|n| TenantId { namespace: "team".into(), name: format!("t-{n}") });
        let tenant =
            names.find(|id| owner(["me", "other"], &id.to_string()) == Some(whose)).expect("half of them");
        let mut book = Book::new(NoCursors);
        let active = ["me".to_owned(), "other".to_owned()].into();
        book.members(Arc::new(Members { me: "me".into(), active, ..Members::default() }));
        let place = Place::of(&tenant);
        let record = holder.map(|holder| Record { holder: holder.into(), ..Record::default() });
        let data = record.map(|record| (place.key, record.write())).into_iter().collect();
        book.see(place.shard, Current { version: "1".into(), data });
        book.wanted(&Wanted {
            run: Arc::new([(tenant.clone(), tenant.to_string())].into()),
            known: Arc::new([tenant.clone()].into()),
            ..Wanted::default()
        });
        (book, tenant)
    }

    fn counts(book: &mut Book<NoCursors>, begun: bool) -> [usize; 3] {
        let now = Instant::now();
        let second = Duration::from_secs(1);
        [now, now + IDLE_MAX - second, now + IDLE_MAX].map(|at| book.idle(begun, at).count)
    }

    #[test]
    fn what_another_replica_has_not_taken_up_is_seen_after_a_while_and_what_it_holds_never() {
        assert_eq!(counts(&mut book("other", None).0, true), [0, 0, 1]);
        assert_eq!(counts(&mut book("other", Some("long-gone")).0, true), [0, 0, 1]);
        assert_eq!(counts(&mut book("other", Some("other")).0, true), [0, 0, 0]);
        assert_eq!(counts(&mut book("other", None).0, false), [0, 0, 0], "nothing is known of it");
    }

    #[test]
    fn what_is_ours_and_does_not_run_says_why() {
        let (mut book, tenant) = book("me", Some("other"));
        let now = Instant::now();
        assert_eq!(book.idle(false, now), Idle::default());
        let idle = book.idle(false, now + IDLE_MAX);
        assert_eq!(idle.ours.get(&tenant), Some(&"its record cannot be read"));
        // Started, it is not idle; nor is it, later, since long ago.
        let ends = now + IDLE_MAX + HANDOVER_MAX;
        book.step(ends);
        book.step(ends + HANDOVER_MAX);
        assert_eq!(book.idle(true, ends + HANDOVER_MAX), Idle::default());
    }
}
