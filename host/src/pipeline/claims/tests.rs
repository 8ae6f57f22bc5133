//! Who has an identity that several resources could write, as lanes come, go and change.

use std::time::Duration;

use super::*;
use crate::model::{Author, Endpoint, Interval, RemoteWriteEndpoint};

fn receiver() -> Receiver {
    let url = "http://127.0.0.1:9/write".parse().unwrap();
    Endpoint::RemoteWrite(RemoteWriteEndpoint::plain(url, Author::Tenant)).receiver()
}

fn id(name: &str) -> TenantId {
    TenantId { namespace: "ns".to_owned(), name: name.to_owned() }
}

fn tick(n: i64) -> Tick {
    Tick::at_or_before(Timestamp(n * 1000), Interval::new(Duration::from_secs(1)).unwrap())
}

/// A lane as far as claims are concerned.
struct Lane {
    seat: Seat,
    outputs: Arc<Mutex<Outputs>>,
    name: &'static str,
}

impl Lane {
    /// A lane of the tenant `name`, created at `since`, that has sent `sent` already.
    fn new(registry: &Registry, name: &'static str, since: i64, sent: &[&str]) -> Lane {
        Lane::beside(registry, name, since, sent, Beside::Nobody)
    }

    fn beside(registry: &Registry, name: &'static str, since: i64, sent: &[&str], beside: Beside) -> Lane {
        let outputs = Arc::new(Mutex::new(Outputs::default()));
        for identity in sent {
            lock(&outputs).admit(identity.as_bytes(), super::super::outputs::Fingerprint::new(1));
        }
        let claimant = Claimant { since: Timestamp(since), tenant: id(name) };
        let seat = registry.join(receiver(), claimant, beside, &outputs, None);
        Lane { seat, outputs, name }
    }

    /// Begins a tick and asks for identities: what it is told of each, and which of them it has lost.
    fn asks(&self, n: i64, identities: &[&str]) -> Vec<String> {
        let news = self.seat.begin(tick(n));
        let said = |identity: &&str| {
            if self.seat.lost(&news, identity.as_bytes()) {
                return format!("{identity} lost");
            }
            match self.seat.claim(identity.as_bytes(), tick(n)) {
                Ok(_) => format!("{identity} mine"),
                Err(Denied::Older(tenant)) => format!("{identity} {}'s", tenant.name),
                Err(denied) => format!("{identity} {denied:?}").to_lowercase(),
            }
        };
        identities.iter().map(said).collect()
    }
}

fn contend(registry: &Registry, names: &[&str]) {
    registry.contend(names.iter().map(|name| id(name)).collect());
}

#[test]
fn who_collides_with_nobody_claims_nothing() {
    let registry = Registry::default();
    let lane = Lane::new(&registry, "a", 1, &["x"]);
    assert!(!lane.seat.is_contended());
    assert!(!lane.seat.begin(tick(1)).is_to_ask_again());
    lane.seat.end();
    let other = Lane::new(&registry, "b", 2, &[]);
    contend(&registry, &["b"]);
    assert!(other.seat.is_contended() && !lane.seat.is_contended());
}

#[test]
fn the_older_resource_has_an_identity_and_the_younger_gets_it_when_it_is_free() {
    let registry = Registry::default();
    contend(&registry, &["old", "young"]);
    let old = Lane::new(&registry, "old", 1, &[]);
    let young = Lane::new(&registry, "young", 2, &[]);
    assert_eq!(old.asks(10, &["x"]), ["x mine"]);
    old.seat.end();
    assert_eq!(young.asks(10, &["x", "y"]), ["x old's", "y mine"]);
    young.seat.end();
    assert!(!young.seat.begin(tick(11)).is_to_ask_again(), "nothing has changed");
    young.seat.end();
    drop(old);
    // The older one's stale marker stands a millisecond behind its last sample.
    assert!(young.seat.begin(tick(11)).is_to_ask_again());
    assert_eq!(young.asks(10, &["x"]), ["x waiting"]);
    young.seat.end();
    assert_eq!(young.asks(12, &["x"]), ["x mine"]);
}

#[test]
fn who_gives_up_what_it_never_had_stirs_nobody() {
    let registry = Registry::default();
    contend(&registry, &["old", "young", "younger"]);
    let old = Lane::new(&registry, "old", 1, &[]);
    let [young, younger] =
        [("young", 2), ("younger", 3)].map(|(name, at)| Lane::new(&registry, name, at, &[]));
    assert_eq!(old.asks(1, &["x"]), ["x mine"]);
    for lane in [&young, &younger] {
        assert_eq!(lane.asks(1, &["x"]), ["x old's"]);
        lane.seat.end();
    }
    younger.seat.release([&b"x"[..]]);
    assert!(!young.seat.begin(tick(2)).is_to_ask_again());
    old.seat.end();
    old.seat.release([&b"x"[..]]);
    assert!(young.seat.begin(tick(3)).is_to_ask_again());
}

#[test]
fn an_older_resource_takes_over_between_two_ticks_and_never_within_one() {
    let registry = Registry::default();
    contend(&registry, &["old", "young"]);
    let young = Lane::new(&registry, "young", 2, &[]);
    assert_eq!(young.asks(10, &["x"]), ["x mine"]);
    // Its tick is in flight.
    let old = Lane::new(&registry, "old", 1, &[]);
    assert_eq!(old.asks(10, &["x"]), ["x waiting"]);
    old.seat.end();
    young.seat.end();
    assert!(old.seat.begin(tick(10)).is_to_ask_again());
    assert_eq!(old.asks(10, &["x"]), ["x waiting"], "the younger sent this tick");
    old.seat.end();
    assert_eq!(old.asks(11, &["x"]), ["x mine"]);
    assert_eq!(young.asks(11, &["x"]), ["x lost"]);
    assert_eq!(young.asks(11, &["x"]), ["x old's"]);
}

#[test]
fn an_idle_younger_lane_is_not_waited_for() {
    let registry = Registry::default();
    contend(&registry, &["old", "young"]);
    let young = Lane::new(&registry, "young", 2, &[]);
    assert_eq!(young.asks(10, &["x"]), ["x mine"]);
    young.seat.end();
    let old = Lane::new(&registry, "old", 1, &[]);
    assert_eq!(old.asks(9, &["x"]), ["x waiting"], "older than what was sent");
    assert_eq!(old.asks(11, &["x"]), ["x mine"]);
    assert_eq!(young.asks(11, &["x"]), ["x lost"]);
}

#[test]
fn what_was_sent_before_anybody_could_collide_is_claimed_by_age() {
    let registry = Registry::default();
    let young = Lane::new(&registry, "young", 2, &["x", "y"]);
    let old = Lane::new(&registry, "old", 1, &["x"]);
    contend(&registry, &["old", "young"]);
    assert_eq!(young.asks(10, &["x", "y"]), ["x lost", "y mine"]);
    assert_eq!(old.asks(10, &["x", "y"]), ["x mine", "y waiting"]);
    young.seat.end();
    assert_eq!(old.asks(11, &["y"]), ["y mine"]);
}

#[test]
fn of_one_tenants_groups_the_first_has_it_until_it_gives_it_up() {
    let registry = Registry::default();
    let one = Lane::beside(&registry, "a", 1, &[], Beside::Others);
    let two = Lane::beside(&registry, "a", 1, &[], Beside::Others);
    assert_eq!(one.asks(10, &["x"]), ["x mine"]);
    one.seat.end();
    assert_eq!(two.asks(10, &["x"]), ["x group"]);
    two.seat.end();
    two.seat.release([b"x".as_slice()]);
    assert_eq!(two.asks(11, &["x"]), ["x group"], "only its holder can release it");
    one.seat.release([b"x".as_slice()]);
    assert_eq!(two.asks(12, &["x"]), ["x mine"]);
}

#[test]
fn a_lane_that_is_replaced_keeps_its_claims() {
    let registry = Registry::default();
    contend(&registry, &["old", "young"]);
    let old = Lane::new(&registry, "old", 1, &[]);
    let young = Lane::new(&registry, "young", 2, &[]);
    assert_eq!(old.asks(10, &["x"]), ["x mine"]);
    old.seat.end();
    let Lane { seat, outputs, name } = old;
    let claimant = Claimant { since: Timestamp(1), tenant: id(name) };
    let seat = registry.join(receiver(), claimant, Beside::Nobody, &outputs, Some(seat));
    assert_eq!(young.asks(12, &["x"]), ["x old's"]);
    young.seat.end();
    // Edited, it is the younger one.
    let claimant = Claimant { since: Timestamp(9), tenant: id(name) };
    let seat = registry.join(receiver(), claimant, Beside::Nobody, &outputs, Some(seat));
    assert!(young.seat.begin(tick(13)).is_to_ask_again());
    assert_eq!(young.asks(13, &["x"]), ["x mine"]);
    assert!(seat.begin(tick(13)).is_to_ask_again());
}
