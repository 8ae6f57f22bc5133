//! One replica's decisions, one situation each. How they work together is simulated in the book's tests.

use std::collections::BTreeSet;

use super::*;

/// A replica `me`, one tenant, and its record, on a clock of its own.
struct Desk {
    handover: Handover,
    record: Option<Record>,
    start: Instant,
}

fn tenant() -> TenantId {
    TenantId { namespace: "team".into(), name: "web".into() }
}

/// The tenant belongs to whoever is the only active member.
fn desk(active: &str, record: Option<Record>) -> Desk {
    let mut handover = Handover::default();
    handover.members(members(active));
    handover.tenants(Arc::new([(tenant(), "team/web".to_owned())].into()));
    Desk { handover, record, start: Instant::now() }
}

/// `other` is there too, `leaver` leaves, and `dead` is.
fn members(active: &str) -> Arc<Members> {
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<String>>();
    let leaving = if active == "other" { vec!["leaver"] } else { vec!["leaver", "other"] };
    Arc::new(Members {
        me: "me".into(),
        active: set(&[active]),
        leaving: set(&leaving),
        dead: set(&["dead"]),
    })
}

fn held(holder: &str) -> Option<Record> {
    Some(Record { holder: holder.into(), ..Record::default() })
}

fn released(holder: &str) -> Option<Record> {
    held(holder).map(|record| Record { released: true, ..record })
}

impl Desk {
    /// What is to be done at this second, and what the record should say then.
    fn at(&mut self, seconds: u64) -> (&'static str, Option<Intent>) {
        let record = self.record.as_ref();
        let actions = self.handover.step(self.start + Duration::from_secs(seconds), |_| record);
        let action = match actions.as_slice() {
            [] => "",
            [Action::Start(id)] if *id == tenant() => "start",
            [Action::Stop(id)] if *id == tenant() => "stop",
            other => panic!("{other:?}"),
        };
        (action, self.handover.intent(&tenant(), record))
    }

    /// A write with this intent begins and ends.
    fn writes(&mut self, intent: Intent, written: Written) {
        self.handover.writes(&tenant());
        self.handover.wrote(&tenant(), intent, written);
    }

    fn running() -> Desk {
        let mut desk = desk("me", None);
        assert_eq!(desk.at(0), ("", Some(Intent::Claim)));
        desk.writes(Intent::Claim, Written::Yes);
        desk.record = held("me");
        assert_eq!(desk.at(0), ("start", Some(Intent::Hold)));
        desk
    }
}

#[test]
fn what_nobody_holds_is_claimed_and_starts_when_the_claim_is_seen() {
    for free in [None, released("other"), released("me"), held("dead")] {
        let mut desk = desk("me", free.clone());
        assert_eq!(desk.at(0), ("", Some(Intent::Claim)), "{free:?}");
        desk.writes(Intent::Claim, Written::Yes);
        desk.record = held("me");
        assert_eq!(desk.at(1), ("start", Some(Intent::Hold)), "{free:?}");
        assert_eq!(desk.at(2), ("", Some(Intent::Hold)));
    }
}

#[test]
fn what_another_holds_is_waited_for_until_it_lets_go() {
    for holder in ["other", "leaver", "unknown"] {
        let mut desk = desk("me", held(holder));
        assert_eq!(desk.at(0), ("", None), "{holder}");
        assert_eq!(desk.at(4), ("", None), "{holder}");
        desk.record = released(holder);
        assert_eq!(desk.at(4), ("", Some(Intent::Claim)), "{holder}");
    }
}

#[test]
fn a_holder_that_does_not_let_go_is_waited_for_no_longer_than_the_maximum() {
    let mut desk = desk("me", held("other"));
    assert_eq!(desk.at(0), ("", None));
    assert_eq!(desk.handover.deadline(), Some(desk.start + HANDOVER_MAX));
    assert_eq!(desk.at(5), ("start", Some(Intent::Claim)));
    assert_eq!(desk.at(6), ("", Some(Intent::Claim)), "it is not lost to the one it was taken from");
    desk.record = held("me");
    assert_eq!(desk.at(7), ("", Some(Intent::Hold)));
    desk.record = held("other");
    assert_eq!(desk.at(8), ("stop", None), "but it is, if that one takes it back");
}

#[test]
fn another_holder_is_waited_for_anew() {
    let mut desk = desk("me", held("other"));
    desk.at(0);
    desk.record = held("leaver");
    assert_eq!(desk.at(4), ("", None));
    assert_eq!(desk.at(8), ("", None));
    assert_eq!(desk.at(9).0, "start");
}

#[test]
fn when_nothing_can_be_written_a_tenant_starts_all_the_same() {
    let mut desk = desk("me", None);
    assert_eq!(desk.at(0), ("", Some(Intent::Claim)));
    desk.writes(Intent::Claim, Written::Perhaps);
    assert_eq!(desk.at(4), ("", Some(Intent::Claim)));
    assert_eq!(desk.at(5), ("start", Some(Intent::Claim)));
}

#[test]
fn what_is_no_longer_ours_stops_and_is_released_when_it_has() {
    let mut desk = Desk::running();
    desk.handover.members(members("other"));
    assert_eq!(desk.at(1), ("stop", Some(Intent::Hold)));
    assert!(desk.handover.is_letting_go(&tenant(), desk.record.as_ref()));
    desk.handover.stopped(&tenant());
    assert_eq!(desk.at(2), ("", Some(Intent::Release)));
    assert!(desk.handover.is_letting_go(&tenant(), desk.record.as_ref()));
    desk.writes(Intent::Release, Written::Yes);
    desk.record = released("me");
    assert_eq!(desk.at(3), ("", None));
    assert!(!desk.handover.is_letting_go(&tenant(), desk.record.as_ref()));
}

#[test]
fn whoever_leaves_lets_go_of_everything() {
    let mut desk = Desk::running();
    desk.handover.leave();
    assert_eq!(desk.at(1), ("stop", Some(Intent::Hold)));
    desk.handover.all_stopped();
    assert_eq!(desk.at(1), ("", Some(Intent::Release)));
}

#[test]
fn a_tenant_whose_resource_is_gone_stops() {
    let mut desk = Desk::running();
    desk.handover.tenants(Arc::default());
    assert_eq!(desk.at(1).0, "stop");
    desk.handover.stopped(&tenant());
    assert_eq!(desk.at(1), ("", Some(Intent::Release)));
}

#[test]
fn what_another_claimed_is_stopped_and_not_written() {
    let mut desk = Desk::running();
    desk.record = held("other");
    assert_eq!(desk.at(1), ("stop", None));
    desk.handover.stopped(&tenant());
    assert_eq!(desk.at(2), ("", None), "we wait for it like anybody");
    assert_eq!(desk.at(7).0, "start");
}

#[test]
fn a_record_that_vanished_or_was_released_under_a_running_tenant_is_claimed_again() {
    for record in [None, released("other"), released("me")] {
        let mut desk = Desk::running();
        desk.record = record;
        assert_eq!(desk.at(1), ("", Some(Intent::Claim)));
    }
}

#[test]
fn a_tenant_that_comes_back_while_its_release_is_under_way_waits_for_how_that_ends() {
    let release_under_way = || {
        let mut desk = Desk::running();
        desk.handover.members(members("other"));
        desk.at(1);
        desk.handover.stopped(&tenant());
        desk.at(1);
        desk.handover.writes(&tenant());
        desk.handover.members(members("me"));
        assert_eq!(desk.at(2).0, "");
        desk
    };
    let mut refused = release_under_way();
    refused.handover.wrote(&tenant(), Intent::Release, Written::No);
    assert_eq!(refused.at(2), ("start", Some(Intent::Hold)));

    let mut unknown = release_under_way();
    unknown.handover.wrote(&tenant(), Intent::Release, Written::Perhaps);
    assert_eq!(unknown.at(2), ("", Some(Intent::Claim)), "it may still be released behind our back");
    unknown.writes(Intent::Claim, Written::Yes);
    assert_eq!(unknown.at(2), ("start", Some(Intent::Hold)));

    let mut accepted = release_under_way();
    accepted.handover.wrote(&tenant(), Intent::Release, Written::Yes);
    accepted.record = released("me");
    assert_eq!(accepted.at(2), ("", Some(Intent::Claim)));
}

#[test]
fn a_tenant_told_to_stop_does_not_start_before_it_has_stopped() {
    let mut desk = Desk::running();
    desk.handover.members(members("other"));
    assert_eq!(desk.at(1).0, "stop");
    desk.handover.members(members("me"));
    assert_eq!(desk.at(2).0, "");
    desk.handover.stopped(&tenant());
    assert_eq!(desk.at(3).0, "start");
}

#[test]
fn what_a_former_life_left_is_taken_up_or_let_go() {
    let mut ours = desk("me", held("me"));
    ours.handover.take_up(|_| ours.record.as_ref());
    assert_eq!(ours.at(0), ("", Some(Intent::Claim)), "others may have given the former life up by now");
    ours.writes(Intent::Claim, Written::Yes);
    assert_eq!(ours.at(0), ("start", Some(Intent::Hold)));
    let mut others = desk("other", held("me"));
    assert_eq!(others.at(0), ("", None));
    others.handover.take_up(|_| others.record.as_ref());
    assert_eq!(others.at(0), ("", Some(Intent::Release)));
}
