//! Debts: groups that were left and are to be removed, and by whom. No IO.
//!
//! In: the book. Out: what this replica is to remove, and what records are to say of it.
//! Never: a group that some resource pushes to; two replicas that remove one group, but for a moment.

use std::collections::BTreeSet;

use super::book::{Book, is_held};
use super::place::{Place, SHARDS, config_map};
use super::pushed::{Pushed, Use, pushed};
use super::record::Record;
use super::terms::{Cursors, Occasion};
use crate::model::{PushgatewayGroup, TenantId, Timestamp};

/// A group to be removed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owed {
    /// Who pushed to it. There may be no such resource any more.
    pub tenant: TenantId,
    /// Which group, and since when nobody pushes to it.
    pub pushed: Pushed,
    pub(super) place: Place,
}

/// What becomes of the tenant of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Runs,
    Refused,
    /// It is switched off, being removed, or gone.
    Over,
}

impl<C: Cursors> Book<C> {
    /// What this replica is to remove. What another resource of the namespace pushes to by now is not removed: it counts
    /// as done.
    pub(super) fn owed(&mut self) -> Vec<Owed> {
        self.name_known();
        let (mut owed, mut done) = (Vec::new(), Vec::new());
        for shard in 0..SHARDS {
            for (key, record) in self.shards[shard].view.records() {
                let place = || Place { shard, key: key.to_owned() };
                if record.groups.is_empty() || !self.is_ours_to_clear(shard, key, record) {
                    continue;
                }
                let tenant = self.known_at(key).cloned().unwrap_or_else(|| former(key));
                for pushed in self.left(&tenant, record) {
                    let is_over = self.is_used(&tenant.namespace, &pushed.group());
                    let one = Owed { tenant: tenant.clone(), pushed: pushed.clone(), place: place() };
                    if is_over { done.push(one) } else { owed.push(one) }
                }
            }
        }
        self.removed(done);
        owed.retain(|one| !self.removed.get(&one.place).is_some_and(|all| all.contains(&one.pushed)));
        let shards = &self.shards;
        // What the records do not hold any more need not be remembered.
        self.removed.retain(|place, all| {
            let record = shards[place.shard].view.record(&place.key);
            all.retain(|one| record.is_some_and(|record| record.groups.contains(one)));
            !all.is_empty()
        });
        owed
    }

    /// These groups are gone.
    pub(super) fn removed(&mut self, groups: Vec<Owed>) {
        for Owed { place, pushed, .. } in groups {
            self.removed.entry(place).or_default().insert(pushed);
        }
    }

    /// What the records of tenants that do not run are to say of their groups: since when they are left, at a save, and
    /// at once that they are removed.
    pub(super) fn told(
        &mut self,
        shards: impl Fn(usize) -> Option<Occasion>,
        now: Timestamp,
    ) -> Vec<(Place, String)> {
        let removed_in = |shard| self.removed.keys().any(|place| place.shard == shard);
        let due: Vec<usize> = (0..SHARDS)
            .filter(|shard| match shards(*shard) {
                None => false,
                Some(Occasion::Save) => true,
                Some(Occasion::Urgent | Occasion::First) => removed_in(*shard),
            })
            .collect();
        if !due.is_empty() {
            self.name_known();
        }
        let mut told = Vec::new();
        for shard in due {
            for (key, record) in self.shards[shard].view.records() {
                let place = || Place { shard, key: key.to_owned() };
                let tenant = self.known_at(key);
                let fits = !record.groups.is_empty()
                    && self.fate(tenant) != Fate::Runs
                    && self.is_ours_to_clear(shard, key, record);
                if fits {
                    let groups = self.groups_of(tenant, &place(), record, now);
                    if groups != record.groups {
                        told.push((place(), Record { groups, ..record.clone() }.write()));
                    }
                }
            }
        }
        told
    }

    /// What a record is to say of the groups that its tenant pushed to; `None` is a tenant without a resource.
    pub(super) fn groups_of(
        &self,
        tenant: Option<&TenantId>,
        place: &Place,
        record: &Record,
        now: Timestamp,
    ) -> Vec<Pushed> {
        static NONE: BTreeSet<PushgatewayGroup> = BTreeSet::new();
        let used = match tenant {
            Some(tenant) if self.refused.contains(tenant) => Use::Waits,
            Some(tenant) => Use::Pushes(self.groups.get(tenant).unwrap_or(&NONE)),
            None => Use::Pushes(&NONE),
        };
        pushed(&record.groups, used, self.removed.get(place), now)
    }

    /// Whether the record of a tenant that runs here is to say something else of its groups, which must not wait: what it
    /// does not hold is forgotten with this process.
    pub(super) fn owes_news(&self, tenant: &TenantId, place: &Place, now: Timestamp) -> bool {
        let none = Record::default();
        let record = self.record(place).unwrap_or(&none);
        let any = self.groups.contains_key(tenant) || !record.groups.is_empty();
        any && self.groups_of(Some(tenant), place, record, now) != record.groups
    }

    fn fate(&self, tenant: Option<&TenantId>) -> Fate {
        match tenant {
            Some(tenant) if self.run.contains_key(tenant) => Fate::Runs,
            Some(tenant) if self.refused.contains(tenant) => Fate::Refused,
            Some(_) | None => Fate::Over,
        }
    }

    /// Whoever runs the tenant, or the one member that would if it ran; the record's shard has one for what is gone.
    fn is_ours_to_clear(&self, shard: usize, key: &str, record: &Record) -> bool {
        let tenant = self.known_at(key);
        match (self.fate(tenant), tenant) {
            (Fate::Runs, Some(tenant)) => self.handover.runs(tenant, Some(record)),
            (_, Some(tenant)) => {
                let ours = self.members.own(&tenant.to_string());
                // What an earlier process of our name left is held by nobody.
                let is_idle = record.holder == self.members.me && !self.handover.knows(tenant);
                ours && (is_idle || !is_held(record, &self.members))
            }
            (_, None) => self.members.own(&config_map(shard)) && !is_held(record, &self.members),
        }
    }

    /// The groups that a tenant left.
    fn left<'r>(&self, tenant: &TenantId, record: &'r Record) -> impl Iterator<Item = &'r Pushed> {
        let used = self.groups.get(tenant).cloned().unwrap_or_default();
        let fate = self.fate(Some(tenant));
        record.groups.iter().filter(move |one| match fate {
            Fate::Runs => one.left.is_some() && !used.contains(&one.group()),
            Fate::Refused => one.left.is_some(),
            Fate::Over => true,
        })
    }

    /// Whether some resource of the namespace pushes to a group.
    fn is_used(&self, namespace: &str, group: &PushgatewayGroup) -> bool {
        let all = self.groups.iter().filter(|(tenant, _)| tenant.namespace == namespace);
        all.map(|(_, groups)| groups).any(|groups: &BTreeSet<_>| groups.contains(group))
    }
}

/// Whose record it was, as far as its key tells.
fn former(key: &str) -> TenantId {
    let (namespace, name) = key.split_once('_').unwrap_or((key, ""));
    TenantId { namespace: namespace.to_owned(), name: name.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::super::record::{Row, Tag};
    use super::super::terms::{Current, Wanted};
    use super::*;
    use crate::tenancy::ownership::Members;

    /// No cursors at all.
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

    fn id(name: &str) -> TenantId {
        TenantId { namespace: "team".into(), name: name.into() }
    }

    fn pushed(job: &str, left: Option<i64>) -> Pushed {
        Pushed { service: "pushgateway".into(), port: 9091, job: job.into(), left }
    }

    /// A book of the replica `me`, alone, in which these resources have records that `holder` wrote.
    fn book(holder: &str, records: &[(&str, &[Pushed])]) -> Book<NoCursors> {
        let mut book = Book::new(NoCursors);
        let mut shards = BTreeMap::<usize, BTreeMap<String, String>>::new();
        for (name, groups) in records {
            let place = Place::of(&id(name));
            let record = Record { holder: holder.into(), groups: groups.to_vec(), ..Record::default() };
            shards.entry(place.shard).or_default().insert(place.key, record.write());
        }
        for (shard, data) in shards {
            book.see(shard, Current { version: "1".into(), data });
        }
        let me = "me".to_owned();
        book.members(Arc::new(Members { active: [me.clone()].into(), me, ..Members::default() }));
        book
    }

    /// Resources of these names, and the jobs that they push to: those that have any run.
    fn wanted(all: &[(&str, &[&str])], refused: &[&str]) -> Wanted {
        let group = |job: &&str| pushed(job, None).group();
        let running = || all.iter().filter(|(name, jobs)| !jobs.is_empty() && !refused.contains(name));
        Wanted {
            run: Arc::new(running().map(|(name, _)| (id(name), id(name).to_string())).collect()),
            known: Arc::new(all.iter().map(|(name, _)| id(name)).collect()),
            groups: Arc::new(
                running().map(|(name, jobs)| (id(name), jobs.iter().map(group).collect())).collect(),
            ),
            refused: Arc::new(refused.iter().map(|name| id(name)).collect()),
        }
    }

    fn jobs(owed: &[Owed]) -> Vec<&str> {
        owed.iter().map(|one| one.pushed.job.as_str()).collect()
    }

    #[test]
    fn of_a_resource_that_is_switched_off_or_gone_every_group_is_removed_and_of_a_refused_one_what_it_left() {
        let both = [pushed("new", None), pushed("old", Some(1))];
        let mut book = book("long-gone", &[("a", &both)]);
        book.wanted(&wanted(&[("a", &[])], &[]));
        assert_eq!(jobs(&book.owed()), ["new", "old"]);
        book.wanted(&wanted(&[], &[]));
        assert_eq!(jobs(&book.owed()), ["new", "old"]);
        book.wanted(&wanted(&[("a", &[])], &["a"]));
        assert_eq!(jobs(&book.owed()), ["old"]);
        // One that runs is its owner's business, who has not claimed it yet.
        book.wanted(&wanted(&[("a", &["new"])], &[]));
        assert_eq!(jobs(&book.owed()), [""; 0]);
    }

    #[test]
    fn a_group_that_another_resource_pushes_to_is_not_removed_and_forgotten() {
        let mut book = book("long-gone", &[("a", &[pushed("x", Some(1))])]);
        book.wanted(&wanted(&[("a", &[]), ("b", &["x"])], &[]));
        assert_eq!(jobs(&book.owed()), [""; 0]);
        let told = book.told(|_| Some(Occasion::Urgent), Timestamp(5));
        let records: Vec<_> = told.iter().map(|(_, value)| Record::read(value).unwrap().groups).collect();
        assert_eq!(records, [vec![]]);
    }

    #[test]
    fn what_was_removed_is_told_at_once_and_nothing_else_of_the_record_changes() {
        let both = [pushed("new", Some(2)), pushed("old", Some(1))];
        let mut book = book("long-gone", &[("a", &both)]);
        book.wanted(&wanted(&[("a", &[])], &[]));
        assert_eq!(book.told(|_| Some(Occasion::Urgent), Timestamp(5)), []);
        let old = book.owed().into_iter().filter(|one| one.pushed.job == "old").collect();
        book.removed(old);
        assert_eq!(jobs(&book.owed()), ["new"]);
        let told = book.told(|_| Some(Occasion::Urgent), Timestamp(5));
        let groups = vec![pushed("new", Some(2))];
        let record = Record { holder: "long-gone".into(), groups, ..Record::default() };
        assert_eq!(told, [(Place::of(&id("a")), record.write())]);
    }

    #[test]
    fn since_when_a_group_is_left_is_told_at_the_next_save() {
        let mut book = book("long-gone", &[("a", &[pushed("x", None)])]);
        book.wanted(&wanted(&[("a", &[])], &[]));
        assert_eq!(book.told(|_| Some(Occasion::Urgent), Timestamp(5)), []);
        let told = book.told(|_| Some(Occasion::Save), Timestamp(5));
        assert_eq!(Record::read(&told[0].1).unwrap().groups, [pushed("x", Some(5))]);
    }

    #[test]
    fn what_a_living_member_holds_is_not_ours_to_clear() {
        let mut book = book("other", &[("a", &[pushed("x", None)])]);
        book.wanted(&wanted(&[("a", &[])], &[]));
        assert_eq!(jobs(&book.owed()), ["x"], "there is no such member");
        let active = ["me".to_owned(), "other".to_owned()].into();
        book.members(Arc::new(Members { me: "me".into(), active, ..Members::default() }));
        assert_eq!(jobs(&book.owed()), [""; 0]);
    }
}
