//! Rendezvous: which member owns a key, decided by every member for itself and by all of them alike.
//!
//! In: the members' names, and a key. Out: one of them.
//! Never: another answer in another version; members of two versions run beside each other during every upgrade.
//!
//! Highest random weight (Thaler and Ravishankar, 1998): the owner is the member with the highest weight for the
//! key. When a member comes or goes, only the keys it gets or had move.

use sha2::{Digest, Sha256};

/// The member with the highest weight for `key`; of equal weights, the greatest name. `None` without members.
pub fn owner<'a>(members: impl IntoIterator<Item = &'a str>, key: &str) -> Option<&'a str> {
    members.into_iter().max_by_key(|member| (weight(member, key), *member))
}

/// The first eight bytes, big endian, of the SHA-256 of `member|key`. Neither a pod's nor a resource's name can
/// hold a `|`.
fn weight(member: &str, key: &str) -> u64 {
    first_eight(Sha256::new().chain_update(member).chain_update("|").chain_update(key))
}

/// A number that spreads keys evenly, the same in every version: the first eight bytes of the key's SHA-256.
pub(in crate::tenancy) fn spread(key: &str) -> u64 {
    first_eight(Sha256::new().chain_update(key))
}

fn first_eight(hash: Sha256) -> u64 {
    let bytes = hash.finalize();
    bytes.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn pods(count: usize) -> Vec<String> {
        (0..count).map(|n| format!("sluice-7c9d5b6f4-{n:05x}")).collect()
    }

    fn owner_of<'a>(pods: &'a [String], key: &str) -> &'a str {
        owner(pods.iter().map(String::as_str), key).unwrap()
    }

    /// Computed once, with `printf 'a|team-a/web' | sha256sum`, and never to change.
    #[test]
    fn weights_are_the_same_in_every_version() {
        assert_eq!(weight("a", "team-a/web"), 0x4968_3c87_d5fd_9050);
        assert_eq!(weight("sluice-0", "monitoring/metrics"), 0xd00b_2458_f514_86b2);
        assert_eq!(spread("team-a/web"), 0xa6d6_8893_13c2_3313);
    }

    #[test]
    fn every_member_has_its_fair_share() {
        let pods = pods(5);
        let mut shares = BTreeMap::<&str, u32>::new();
        for n in 0..10_000 {
            *shares.entry(owner_of(&pods, &format!("team-{}/access-{n}", n % 97))).or_default() += 1;
        }
        assert_eq!(shares.len(), 5);
        // Five standard deviations of a fair die thrown ten thousand times.
        assert!(shares.values().all(|share| (1_800..=2_200).contains(share)), "{shares:?}");
    }

    #[test]
    fn nobody_owns_anything_without_members() {
        assert_eq!(owner([], "team-a/web"), None);
    }

    proptest! {
        #[test]
        fn only_the_keys_of_whoever_comes_or_goes_move(count in 1_usize..8, gone in 0_usize..8, key in "[a-z]{1,20}/[a-z]{1,20}") {
            let before = pods(count);
            let mut after = before.clone();
            let gone = after.remove(gone % count);
            prop_assume!(!after.is_empty());
            let was = owner_of(&before, &key);
            if was != gone {
                prop_assert_eq!(owner_of(&after, &key), was);
            }
        }

        #[test]
        fn the_order_in_which_members_are_seen_does_not_matter(count in 1_usize..8, key in "[a-z/]{1,20}") {
            let mut pods = pods(count);
            let owned = owner_of(&pods, &key).to_owned();
            pods.reverse();
            prop_assert_eq!(owner_of(&pods, &key), owned);
        }
    }
}
