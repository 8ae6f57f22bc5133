//! Who is a member and who is dead, as leases are seen to be renewed and ours are.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// A ledger of `me` on a clock of its own, told what happens at which second.
struct Told {
    ledger: Ledger,
    start: Instant,
    renewal: i64,
}

fn told() -> Told {
    Told { ledger: Ledger::new("lease-me".into(), "me".into()), start: Instant::now(), renewal: 0 }
}

impl Told {
    fn at(&self, seconds: f64) -> Instant {
        self.start + Duration::from_secs_f64(seconds)
    }

    /// `member`'s Lease is seen, saying `renewal`.
    fn saw(&mut self, seconds: f64, member: &str, renewal: i64) {
        self.ledger.saw(lease(member, renewal), self.at(seconds));
    }

    /// We renew, and the renewal comes back.
    fn renew(&mut self, seconds: f64) {
        self.accepted(seconds);
        self.returns(seconds);
    }

    fn accepted(&mut self, seconds: f64) {
        self.renewal += 1;
        self.ledger.renewed(self.at(seconds), self.renewal);
    }

    fn returns(&mut self, seconds: f64) {
        self.saw(seconds, "me", self.renewal);
    }

    /// We renew every five seconds, and `member` does so half a second later.
    fn both_renew(&mut self, seconds: std::ops::RangeInclusive<u32>, member: &str) {
        for second in seconds.step_by(5) {
            self.renew(second.into());
            self.saw(f64::from(second) + 0.5, member, second.into());
        }
    }

    fn active(&self) -> String {
        self.ledger.members().active.into_iter().collect::<Vec<_>>().join(" ")
    }
}

fn lease(member: &str, renewal: i64) -> Seen {
    Seen {
        lease: format!("lease-{member}"),
        holder: Some(member.into()),
        renewal,
        version: renewal.to_string(),
        duration: LEASE_DURATION,
        leaving: false,
    }
}

#[test]
fn a_member_that_falls_silent_is_dead_after_its_lease_duration() {
    let mut told = told();
    told.both_renew(0..=20, "a");
    told.renew(25.0);
    told.renew(30.0);
    told.renew(35.4);
    assert_eq!(told.active(), "a me");
    assert_eq!(told.ledger.suspect_at(), Some(told.at(35.5)));
    told.renew(35.5);
    assert_eq!(told.active(), "me");
    assert_eq!(told.ledger.members().standing("a"), super::super::Standing::Dead);
    told.saw(36.0, "a", 99);
    assert_eq!(told.active(), "a me", "it lives after all");
}

#[test]
fn silence_proves_nothing_while_our_own_renewals_do_not_come_back() {
    let mut told = told();
    told.both_renew(0..=20, "a");
    for second in [25.0, 30.0, 35.0, 40.0, 45.0] {
        told.accepted(second);
    }
    assert_eq!(told.active(), "a me");
    // The watch begins anew: its list holds a renewal of `a` that we had missed, before it holds ours.
    told.ledger.list_begins();
    told.returns(46.0);
    told.saw(46.0, "a", 45);
    told.ledger.list_ends();
    assert_eq!(told.active(), "a me");
}

#[test]
fn after_an_outage_nobody_is_declared_dead_for_a_full_lease_duration() {
    let mut told = told();
    told.both_renew(0..=20, "a");
    told.renew(80.0);
    assert_eq!(told.active(), "a me", "a minute of silence, and none of it counts");
    told.renew(85.0);
    told.renew(90.0);
    told.renew(94.9);
    assert_eq!(told.active(), "a me");
    told.renew(95.0);
    assert_eq!(told.active(), "me", "the silence since the return counts");
}

#[test]
fn one_renewal_that_fails_and_is_made_good_at_once_does_not_put_off_a_takeover() {
    let mut told = told();
    told.both_renew(0..=20, "a");
    for second in [25.0, 31.5, 36.0] {
        told.renew(second);
    }
    assert_eq!(told.active(), "me");
}

#[test]
fn whoever_leaves_owns_nothing_and_whoever_left_is_gone() {
    let mut told = told();
    told.renew(0.0);
    for member in ["a", "b", "c"] {
        told.saw(0.0, member, 1);
    }
    assert_eq!(told.active(), "a b c me");
    told.ledger.saw(Seen { leaving: true, ..lease("a", 2) }, told.at(1.0));
    told.ledger.deleted("lease-b");
    told.ledger.saw(Seen { holder: Some(String::new()), ..lease("c", 2) }, told.at(1.0));
    assert_eq!(told.active(), "me");
    assert_eq!(told.ledger.members().leaving, ["a".to_owned()].into());
    told.ledger.deleted("lease-a");
    assert!(told.ledger.members().leaving.is_empty());
    told.ledger.leave();
    assert_eq!(told.active(), "");
    assert_eq!(told.ledger.members().leaving, ["me".to_owned()].into());
}

#[test]
fn a_lease_missing_from_a_list_has_its_duration_to_come_back() {
    let mut told = told();
    told.both_renew(0..=20, "a");
    told.saw(20.0, "b", 1);
    told.ledger.saw(Seen { leaving: true, ..lease("b", 2) }, told.at(20.0));
    told.ledger.list_begins();
    told.ledger.list_ends();
    assert_eq!(told.active(), "a me");
    assert!(told.ledger.members().leaving.is_empty(), "it had said that it goes");
    for second in [25.0, 30.0, 35.5] {
        told.renew(second);
    }
    assert_eq!(told.active(), "me");
    assert!(told.ledger.members().dead.is_empty(), "there is no Lease to clear away");
}

#[test]
fn we_own_nothing_before_our_lease_is_written() {
    let mut told = told();
    told.saw(0.0, "a", 1);
    assert_eq!(told.active(), "a");
    assert!(!told.ledger.members().own("any"));
    told.accepted(0.1);
    assert_eq!(told.active(), "a me");
}

#[test]
fn whoever_alone_cannot_renew_owns_nothing_until_it_can() {
    let mut told = told();
    told.both_renew(0..=20, "a");
    for second in [25, 30, 35] {
        told.saw(f64::from(second), "a", second.into());
        assert_eq!(told.active(), "a me");
    }
    told.saw(40.0, "a", 40);
    assert_eq!(told.active(), "a", "it has outlived us by a lease duration");
    told.renew(41.0);
    assert_eq!(told.active(), "a me");
}

#[test]
fn cut_off_alone_or_after_an_outage_we_go_on() {
    let mut told = told();
    told.both_renew(0..=20, "a");
    assert_eq!(told.active(), "a me");
    // The API server returns after a minute, and the others' renewals come before ours.
    told.saw(80.0, "a", 80);
    told.saw(85.0, "a", 85);
    assert_eq!(told.active(), "a me");
}

#[test]
fn a_member_that_was_always_silent_is_dead_a_lease_duration_after_it_was_first_seen() {
    let mut told = told();
    told.saw(0.0, "a", 1);
    for second in [0.1, 5.0, 10.0, 15.0] {
        told.renew(second);
    }
    assert_eq!(told.active(), "a me");
    told.renew(15.1);
    assert_eq!(told.active(), "me");
}

#[test]
fn only_those_long_dead_are_cleared_away() {
    let mut told = told();
    told.saw(0.0, "a", 1);
    for second in (0..=160).step_by(5) {
        told.renew(second.into());
        let long_dead = told.ledger.long_dead(told.at(second.into())).next().is_some();
        assert!(!long_dead, "{second}");
    }
    let at = told.at(165.0);
    assert_eq!(told.ledger.long_dead(at).collect::<Vec<_>>(), [("lease-a", "1")]);
}

#[test]
fn a_relabelled_lease_is_no_sign_of_life() {
    let mut told = told();
    told.both_renew(0..=20, "a");
    told.ledger.saw(Seen { version: "other".into(), ..lease("a", 20) }, told.at(30.0));
    for second in [25.0, 30.0, 35.5] {
        told.renew(second);
    }
    assert_eq!(told.active(), "me");
}

#[test]
fn members_beyond_the_maximum_are_not_taken_in() {
    let mut told = told();
    for n in 0..=MEMBERS_MAX {
        told.saw(0.0, &format!("m{n}"), 1);
    }
    assert_eq!(told.ledger.members().active.len(), MEMBERS_MAX);
    assert_eq!(SECOND * 15, LEASE_DURATION);
}
