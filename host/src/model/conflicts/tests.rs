//! Which tenants could write the same series, against the rule applied to every pair.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::model::{
    Author, HonorLabels, Interval, Labels, Mode, RemoteWriteEndpoint, TargetType, TickLimits, Timestamp,
};

fn tenant(name: &str, since: i64, receivers: &[&str], stamps: &[(&str, &str)]) -> Tenant {
    let endpoint = |receiver: &&str| {
        let url = format!("http://{receiver}.example.com/write").parse().unwrap();
        Endpoint::RemoteWrite(RemoteWriteEndpoint::plain(url, Author::Tenant))
    };
    Tenant {
        id: TenantId { namespace: "ns".to_owned(), name: name.to_owned() },
        source: String::new(),
        selectors: Vec::new(),
        interval: Interval::new(Duration::from_secs(30)).unwrap(),
        mode: Mode::Sampled,
        target_type: TargetType::RemoteWrite,
        endpoints: receivers.iter().map(endpoint).collect(),
        filters: Vec::new(),
        relabelings: Vec::new(),
        stamps: Stamps {
            labels: Labels::from_pairs(stamps.iter().copied()).unwrap(),
            honor: HonorLabels::Stamp,
            protected: Vec::new(),
        },
        since: Timestamp(since),
        limits: TickLimits::NONE,
    }
}

/// The sets as lists of names, each with its key first.
fn sets(tenants: &[Tenant]) -> Vec<String> {
    let mut sets: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (id, set) in conflict_sets(tenants) {
        sets.entry(set).or_default().push(id.name);
    }
    sets.into_iter().map(|(key, names)| format!("{key}: {}", names.join(" "))).collect()
}

#[test]
fn tenants_are_apart_by_receiver_or_by_a_stamp_that_wins() {
    let all = [
        tenant("a", 3, &["x"], &[("tenant", "a")]),
        tenant("b", 2, &["x"], &[("tenant", "b")]),
        tenant("c", 1, &["y"], &[("tenant", "a")]),
    ];
    assert_eq!(sets(&all), ["ns/a: a", "ns/b: b", "ns/c: c"]);
    assert!(!may_collide(&all[0], &all[1]) && !may_collide(&all[0], &all[2]));
    assert_eq!(contended(&conflict_sets(&all)), BTreeSet::new());
}

#[test]
fn a_set_is_named_by_its_oldest_member_and_reaches_over_others() {
    let all = [
        tenant("young", 9, &["x", "y"], &[]),
        tenant("old", 1, &["y"], &[("tenant", "a")]),
        tenant("middle", 5, &["x"], &[("tenant", "b")]),
        tenant("alone", 1, &["z"], &[]),
    ];
    assert!(!may_collide(&all[1], &all[2]));
    assert_eq!(sets(&all), ["ns/alone: alone", "ns/old: middle old young"]);
    assert_eq!(contended(&conflict_sets(&all)).len(), 3);
}

#[test]
fn a_stamp_that_the_source_may_override_parts_nobody() {
    let mut all = [tenant("a", 1, &["x"], &[("tenant", "a")]), tenant("b", 2, &["x"], &[("tenant", "b")])];
    all[0].stamps.honor = HonorLabels::Source;
    assert!(may_collide(&all[0], &all[1]), "a series of the source may carry tenant=b");
    all[0].stamps.protected = vec!["tenant".to_owned()];
    assert!(!may_collide(&all[0], &all[1]));
}

#[test]
fn ten_thousand_tenants_at_one_endpoint_are_ten_thousand_sets() {
    let all: Vec<Tenant> = (0..10_000)
        .map(|i| {
            let value = i.to_string();
            let zone = (i % 7).to_string();
            let mut stamps = vec![("managed_by", "us"), ("tenant", &*value)];
            stamps.extend((i % 3 == 0).then_some(("zone", &*zone)));
            tenant(&value, i, &["x"], &stamps)
        })
        .collect();
    assert_eq!(contended(&conflict_sets(&all)), BTreeSet::new());
}

#[test]
fn ten_thousand_tenants_without_stamps_are_one_set() {
    let mut all: Vec<Tenant> =
        (0..10_000).map(|i| tenant(&i.to_string(), i, &["x"], &[("managed_by", "us")])).collect();
    all.extend((0..100).map(|i| tenant(&format!("t{i}"), 20_000, &["x"], &[("t", &i.to_string())])));
    assert!(conflict_sets(&all).values().all(|set| set == "ns/0"));
}

fn any_tenants() -> impl Strategy<Value = Vec<Tenant>> {
    let label = prop::sample::select(vec!["a", "b", "c", "d"]);
    let stamps = prop::collection::btree_map(label, prop::sample::select(vec!["1", "2", "3"]), 0..4);
    let receivers = prop::collection::btree_set(prop::sample::select(vec!["x", "y", "z"]), 1..3);
    let one = (stamps, receivers, 0..4i64);
    prop::collection::vec(one, 0..12).prop_map(|all| {
        let one = |(i, (stamps, receivers, since)): (usize, (BTreeMap<_, _>, BTreeSet<_>, i64))| {
            let stamps: Vec<_> = stamps.into_iter().collect();
            let receivers: Vec<_> = receivers.into_iter().collect();
            tenant(&format!("t{i}"), since, &receivers, &stamps)
        };
        all.into_iter().enumerate().map(one).collect()
    })
}

/// The definition: everybody with everybody, until nothing changes.
fn by_pairs(tenants: &[Tenant]) -> BTreeMap<TenantId, String> {
    let age = |i: usize| (tenants[i].since, &tenants[i].id);
    let mut oldest: Vec<usize> = (0..tenants.len()).collect();
    loop {
        let before = oldest.clone();
        for a in 0..tenants.len() {
            for b in 0..tenants.len() {
                if may_collide(&tenants[a], &tenants[b]) && age(oldest[b]) < age(oldest[a]) {
                    oldest[a] = oldest[b];
                }
            }
        }
        if before == oldest {
            return (0..tenants.len())
                .map(|i| (tenants[i].id.clone(), tenants[oldest[i]].id.to_string()))
                .collect();
        }
    }
}

proptest! {
    #[test]
    fn sets_are_what_pairs_make_them(tenants in any_tenants()) {
        prop_assert_eq!(conflict_sets(&tenants), by_pairs(&tenants));
    }

    #[test]
    fn colliding_is_mutual(tenants in any_tenants()) {
        for (a, b) in tenants.iter().zip(tenants.iter().skip(1)) {
            prop_assert_eq!(may_collide(a, b), may_collide(b, a));
        }
    }
}
