//! Bonds: who stays together with whom for a while after there was a reason to.
//!
//! In: conflict sets, and the time. Out: the sets by which replicas share the work, each a union of conflict sets.
//! Never: two members of one conflict set in different sets, not even for a moment.
//!
//! Who may collide with another tenant has to live in its process, so joining takes effect at once, and may move a
//! pipeline. Leaving has no such hurry: whoever could come and go at will would move the others with each step. So a
//! set stays together, under the name it has, until none of it was contended for [`BOND`]; others' edits then move a
//! tenant twice in that time at most, there and back.
//!
//! Replicas see the same changes and so come to the same sets. One that has just started has not seen what went
//! before; until the bonds are over it may take a tenant for another's that takes it for its own. Then nobody runs it for
//! that long, or the one with the older claim does, and missed ticks are asked for.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use super::TenantId;

/// How long a set stays together after its last contention.
pub const BOND: Duration = Duration::from_secs(60);

/// What was together lately.
#[derive(Debug, Default)]
pub struct Bonds {
    /// The set each tenant was in when it was last contended, and when that was.
    of: BTreeMap<TenantId, (String, Instant)>,
}

impl Bonds {
    /// The sets to share the work by, from what the conflict sets are `now`: every tenant with its set's name.
    pub fn hold(&mut self, sets: BTreeMap<TenantId, String>, now: Instant) -> BTreeMap<TenantId, String> {
        self.of.retain(|id, (_, since)| sets.contains_key(id) && now.duration_since(*since) < BOND);
        let names = self.names(&sets);
        let mut sizes: HashMap<&str, usize> = HashMap::new();
        for set in sets.values() {
            *sizes.entry(set).or_default() += 1;
        }
        let held = |(id, set): (&TenantId, &String)| (id.clone(), names[set.as_str()].to_owned());
        let held: BTreeMap<TenantId, String> = sets.iter().map(held).collect();
        let contended = sets.iter().filter(|(_, set)| sizes[set.as_str()] > 1);
        let bound: Vec<_> = contended.map(|(id, _)| (id.clone(), (held[id].clone(), now))).collect();
        self.of.extend(bound);
        held
    }

    /// When what was held is over without anything else happening.
    pub fn next_end(&self) -> Option<Instant> {
        self.of.values().map(|(_, since)| *since + BOND).min()
    }

    /// The name of every conflict set: that of an older bond of one of its members, if there is one.
    fn names<'a>(&'a self, sets: &'a BTreeMap<TenantId, String>) -> HashMap<&'a str, &'a str> {
        // A set is linked to the names its members are bound to; sets that are linked, even through others, are one.
        let mut links: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (id, set) in sets {
            links.entry(set).or_default();
            if let Some((bond, _)) = self.of.get(id) {
                links.entry(set).or_default().insert(bond);
                links.entry(bond).or_default().insert(set);
            }
        }
        let bonds: BTreeSet<&str> = self.of.values().map(|(bond, _)| bond.as_str()).collect();
        let mut names = HashMap::new();
        for start in links.keys() {
            if names.contains_key(start) {
                continue;
            }
            let (mut linked, mut left) = (BTreeSet::from([*start]), vec![*start]);
            while let Some(at) = left.pop() {
                left.extend(links[at].iter().filter(|next| linked.insert(next)));
            }
            let name = linked.iter().find(|name| bonds.contains(*name)).copied().unwrap_or(start);
            names.extend(linked.iter().map(|set| (*set, name)));
        }
        names
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(name: &str) -> TenantId {
        TenantId { namespace: "n".into(), name: name.into() }
    }

    /// Conflict sets, each named after its first member.
    fn sets(of: &[&[&str]]) -> BTreeMap<TenantId, String> {
        let all = of.iter().flat_map(|set| set.iter().map(|member| (id(member), id(set[0]).to_string())));
        all.collect()
    }

    /// Where each of these was put.
    fn names(held: &BTreeMap<TenantId, String>) -> Vec<(&str, &str)> {
        held.iter().map(|(id, set)| (&*id.name, set.trim_start_matches("n/"))).collect()
    }

    #[test]
    fn who_comes_and_goes_moves_the_others_once_a_minute_each_way() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let (apart, together) = (sets(&[&["evil"], &["victim"]]), sets(&[&["evil", "victim"]]));
        let mut bonds = Bonds::default();
        let mut moves = Vec::new();
        let mut last = String::new();
        for n in 0..300_u32 {
            // It toggles each second for two minutes.
            let given = if n < 120 && n % 2 == 1 { &together } else { &apart };
            let held = bonds.hold(given.clone(), start + second * n);
            if held[&id("victim")] != last {
                last.clone_from(&held[&id("victim")]);
                moves.push((n, last.clone()));
            }
        }
        let to = |n, set: &str| (n, set.to_owned());
        assert_eq!(moves, [to(0, "n/victim"), to(1, "n/evil"), to(179, "n/victim")]);
    }

    #[test]
    fn another_one_that_takes_the_place_of_the_first_moves_nobody() {
        let now = Instant::now();
        let mut bonds = Bonds::default();
        bonds.hold(sets(&[&["b", "victim"], &["a"]]), now);
        let held = bonds.hold(sets(&[&["a", "victim"], &["b"]]), now + BOND / 2);
        assert_eq!(names(&held), [("a", "b"), ("b", "b"), ("victim", "b")]);
        let held = bonds.hold(sets(&[&["a"], &["b"], &["victim"]]), now + BOND);
        assert_eq!(names(&held), [("a", "b"), ("b", "b"), ("victim", "b")], "bound half a minute ago");
        let held = bonds.hold(sets(&[&["a"], &["b"], &["victim"]]), now + BOND * 2);
        assert_eq!(names(&held), [("a", "a"), ("b", "b"), ("victim", "victim")]);
        assert_eq!(bonds.next_end(), None);
    }

    #[test]
    fn a_set_keeps_its_name_when_the_one_it_is_named_after_is_deleted() {
        let now = Instant::now();
        let mut bonds = Bonds::default();
        bonds.hold(sets(&[&["a", "b", "c"]]), now);
        let held = bonds.hold(sets(&[&["b", "c"]]), now + BOND / 2);
        assert_eq!(names(&held), [("b", "a"), ("c", "a")]);
        assert_eq!(bonds.next_end(), Some(now + BOND / 2 + BOND));
    }

    proptest! {
        /// Whatever went before: who is in one conflict set is in one set, and without a bond sets are what they are.
        #[test]
        fn members_of_one_conflict_set_are_never_apart(
            history in prop::collection::vec((prop::collection::vec(0_usize..6, 8), 0_u64..50), 1..12)
        ) {
            let mut bonds = Bonds::default();
            let mut now = Instant::now();
            for (roots, seconds) in history {
                now += Duration::from_secs(seconds);
                let mut named: BTreeMap<usize, String> = BTreeMap::new();
                let given: BTreeMap<TenantId, String> = roots.iter().enumerate().map(|(n, root)| {
                    let id = id(&format!("t{n}"));
                    let set = named.entry(*root).or_insert_with(|| id.to_string()).clone();
                    (id, set)
                }).collect();
                let held = bonds.hold(given.clone(), now);
                prop_assert_eq!(held.len(), given.len());
                for (a, set) in &given {
                    for (b, _) in given.iter().filter(|(_, other)| *other == set) {
                        prop_assert_eq!(&held[a], &held[b]);
                    }
                }
            }
            now += BOND * 2;
            let alone: BTreeMap<TenantId, String> =
                (0..8).map(|n| id(&format!("t{n}"))).map(|id| (id.clone(), id.to_string())).collect();
            prop_assert_eq!(bonds.hold(alone.clone(), now), alone);
        }
    }
}
