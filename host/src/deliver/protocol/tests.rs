//! What receivers answer, and what is sent to them next.

use super::*;

const WRITTEN: Answer = Answer::Taken { written: Some(10) };
const SILENT: Answer = Answer::Taken { written: None };
const REFUSED: Answer = Answer::BadRequest { written: None };
const V1: Version = Version::V1;
const V2: Version = Version::V2;

/// A receiver as the resource's endpoint sees it, at a time of its own.
struct Play {
    negotiation: Negotiation,
    now: Instant,
}

impl Play {
    fn of(wanted: Protocol) -> Play {
        let now = Instant::now();
        Play { negotiation: Negotiation::new(wanted, now), now }
    }

    /// One that has just shown that it takes 2.0.
    fn speaking_v2() -> Play {
        let mut play = Play::of(Protocol::Auto);
        play.heard(V1, SILENT);
        assert_eq!(play.plan(), Plan::Trial);
        assert_eq!(play.heard(V2, WRITTEN), Reading::Stands);
        assert_eq!(play.plan(), Plan::All(V2));
        play
    }

    fn plan(&mut self) -> Plan {
        self.negotiation.plan(self.now)
    }

    fn heard(&mut self, sent: Version, answer: Answer) -> Reading {
        self.negotiation.heard(sent, 10, answer, self.now)
    }

    fn after(&mut self, pause: Duration) -> &mut Play {
        self.now += pause;
        self
    }
}

#[test]
fn auto_begins_with_v1_and_tries_v2_once_that_was_taken() {
    let mut play = Play::of(Protocol::Auto);
    assert_eq!(play.plan(), Plan::All(V1));
    assert_eq!(play.heard(V1, Answer::Unavailable), Reading::Stands);
    assert_eq!(play.plan(), Plan::All(V1), "a receiver that does not answer is not tried");
    assert_eq!(play.heard(V1, SILENT), Reading::Stands);
    assert_eq!(play.plan(), Plan::Trial);
    assert_eq!(play.plan(), Plan::All(V1), "one trial at a time");
}

#[test]
fn who_says_what_it_wrote_is_spoken_to_in_v2_from_then_on() {
    let mut play = Play::speaking_v2();
    for _ in 0..100 {
        assert_eq!(play.after(REMEMBERED / 2).plan(), Plan::All(V2));
        assert_eq!(play.heard(V2, WRITTEN), Reading::Stands);
    }
}

#[test]
fn whatever_else_a_trial_comes_to_the_same_goes_in_v1() {
    let answers = [
        (SILENT, REMEMBERED),
        (Answer::Taken { written: Some(0) }, REMEMBERED),
        (Answer::Unsupported, REMEMBERED),
        (REFUSED, REMEMBERED),
        (Answer::Taken { written: Some(9) }, TRIAL_AGAIN),
        (Answer::BadRequest { written: Some(0) }, TRIAL_AGAIN),
        (Answer::Failing, TRIAL_AGAIN),
        (Answer::Unavailable, TRIAL_AGAIN),
        (Answer::Other, TRIAL_AGAIN),
    ];
    for (answer, again) in answers {
        let mut play = Play::of(Protocol::Auto);
        play.heard(V1, SILENT);
        assert_eq!(play.plan(), Plan::Trial);
        assert_eq!(play.heard(V2, answer), Reading::Again(V1), "{answer:?}");
        assert_eq!(play.heard(V1, SILENT), Reading::Stands);
        assert_eq!(play.after(again - Duration::from_secs(1)).plan(), Plan::All(V1), "{answer:?}");
        assert_eq!(play.after(Duration::from_secs(1)).plan(), Plan::Trial, "{answer:?}");
    }
}

#[test]
fn a_receiver_that_was_away_is_tried_again_soon() {
    let mut play = Play::of(Protocol::Auto);
    play.heard(V1, SILENT);
    play.plan();
    play.heard(V2, Answer::Unsupported);
    play.heard(V1, SILENT);
    assert_eq!(play.after(TRIAL_AFTER_OUTAGE).plan(), Plan::All(V1));
    for answer in [Answer::Failing, Answer::Unavailable] {
        play.heard(V1, answer);
        assert_eq!(play.plan(), Plan::All(V1), "not as long as it is away");
        play.heard(V1, SILENT);
        assert_eq!(play.plan(), Plan::Trial);
        play.heard(V2, Answer::Failing);
        play.heard(V1, Answer::Failing);
        play.heard(V1, SILENT);
        assert_eq!(play.plan(), Plan::All(V1), "and not at every failure");
        play.after(TRIAL_AFTER_OUTAGE);
    }
    assert_eq!(play.plan(), Plan::Trial);
    assert_eq!(play.heard(V2, WRITTEN), Reading::Stands);
    assert_eq!(play.plan(), Plan::All(V2), "it was replaced by one that takes it");
}

#[test]
fn a_receiver_that_was_replaced_by_an_older_one_is_spoken_to_in_v1() {
    for answer in [SILENT, Answer::Unsupported, REFUSED, Answer::Taken { written: Some(0) }] {
        let mut play = Play::speaking_v2();
        assert_eq!(play.heard(V2, answer), Reading::Again(V1), "{answer:?}");
        assert_eq!(play.plan(), Plan::All(V1));
    }
    let mut play = Play::speaking_v2();
    for _ in 1..FAILURES_MAX {
        assert_eq!(play.heard(V2, Answer::Failing), Reading::Stands);
    }
    assert_eq!(play.heard(V2, Answer::Failing), Reading::Again(V1), "it fails at what it does not know");
}

#[test]
fn what_a_receiver_of_v2_refuses_it_refuses() {
    let mut play = Play::speaking_v2();
    for answer in [
        Answer::BadRequest { written: Some(0) },
        Answer::BadRequest { written: Some(3) },
        Answer::Taken { written: Some(3) },
        Answer::Unavailable,
        Answer::Other,
    ] {
        assert_eq!(play.heard(V2, answer), Reading::Stands, "{answer:?}");
        assert_eq!(play.plan(), Plan::All(V2));
    }
}

#[test]
fn what_was_shown_long_ago_is_shown_again() {
    let mut play = Play::speaking_v2();
    play.after(REMEMBERED * 2).heard(V2, Answer::Unavailable);
    assert_eq!(play.plan(), Plan::All(V1));
    play.heard(V1, SILENT);
    assert_eq!(play.plan(), Plan::Trial);
}

#[test]
fn a_receiver_that_takes_v2_alone_is_spoken_to_in_it() {
    let mut play = Play::of(Protocol::Auto);
    assert_eq!(play.heard(V1, Answer::Unsupported), Reading::Again(V2));
    assert_eq!(play.heard(V2, WRITTEN), Reading::Stands);
    assert_eq!(play.plan(), Plan::All(V2));
}

#[test]
fn who_takes_neither_is_not_asked_in_turns() {
    let mut play = Play::of(Protocol::Auto);
    assert_eq!(play.heard(V1, Answer::Unsupported), Reading::Again(V2));
    assert_eq!(play.heard(V2, SILENT), Reading::Stands);
    assert_eq!(play.heard(V1, Answer::Unsupported), Reading::Stands);
    assert_eq!(play.after(REFUSED_LATELY).heard(V1, Answer::Unsupported), Reading::Again(V2));
}

#[test]
fn receivers_of_both_kinds_behind_one_address_are_spoken_to_in_v1() {
    let mut play = Play::speaking_v2();
    assert_eq!(play.heard(V2, Answer::Unsupported), Reading::Again(V1));
    assert_eq!(play.heard(V2, WRITTEN), Reading::Stands, "another request of the same tick");
    assert_eq!(play.plan(), Plan::All(V1));
}

#[test]
fn who_wants_one_version_gets_it() {
    for (wanted, version) in [(Protocol::V1, V1), (Protocol::V2, V2)] {
        let mut play = Play::of(wanted);
        for answer in [WRITTEN, SILENT, Answer::Unsupported, REFUSED, Answer::Failing] {
            assert_eq!(play.heard(version, answer), Reading::Stands, "{wanted:?} {answer:?}");
            assert_eq!(play.plan(), Plan::All(version), "{wanted:?} {answer:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_shown_outlives_an_edit_of_the_resource() {
    let (receivers, id) = (Receivers::default(), TenantId { namespace: "n".into(), name: "r".into() });
    let of = |wanted| receivers.of(&id, "http://r".to_owned(), wanted);
    of(Protocol::Auto).lock().speaks = V2;
    assert_eq!(of(Protocol::Auto).lock().speaks(), V2);
    tokio::time::advance(REMEMBERED).await;
    assert_eq!(of(Protocol::Auto).lock().speaks(), V1, "nobody has spoken to it since");
    assert_eq!(of(Protocol::V2).lock().speaks(), V2);
    assert_eq!(of(Protocol::V1).lock().speaks(), V1);
}
