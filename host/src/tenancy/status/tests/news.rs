//! Which Events a status comes to that follows another one.

use super::*;
use crate::tenancy::status::events::news;

/// The Events of a status that follows another one, as `Severity reason`.
fn told(before: Option<&MetricAccessStatus>, after: &MetricAccessStatus) -> Vec<String> {
    news(before, after).iter().map(|news| format!("{} {}", news.severity, news.reason)).collect()
}

fn well() -> MetricAccessStatus {
    rendered(&running(vec![delivering()]), None, after(1))
}

fn starting() -> MetricAccessStatus {
    rendered(&running(vec![lane("infra", "http://a/")]), None, after(1))
}

fn broken(stage: Stage, message: &str) -> MetricAccessStatus {
    rendered(&running(vec![failing(delivering(), stage, message, 3)]), None, after(60))
}

fn refused(message: &str) -> MetricAccessStatus {
    let problem = Problem::error(at("spec.source"), message, "write one word");
    rendered(&decided(Decision::Refused, vec![problem]), None, after(1))
}

#[test]
fn a_life_in_events() {
    assert_eq!(told(None, &starting()), ["Normal Accepted"]);
    assert_eq!(told(Some(&starting()), &well()), ["Normal DeliveryBegan"]);
    let down = broken(Stage::Deliver, "503");
    assert_eq!(told(Some(&well()), &down), ["Warning DeliveryStopped"]);
    assert_eq!(told(Some(&down), &well()), ["Normal DeliveryRecovered"]);
    let off = rendered(&decided(Decision::Disabled, vec![]), None, after(1));
    assert_eq!(told(Some(&well()), &off), ["Normal Disabled"]);
    assert_eq!(told(Some(&off), &well()), ["Normal DeliveryBegan"]);
}

#[test]
fn nothing_is_told_twice() {
    for status in [starting(), well(), broken(Stage::Deliver, "503"), refused("a mistake")] {
        assert_eq!(told(Some(&status), &status), Vec::<String>::new());
    }
    // The words of a failure that goes on may change with every attempt.
    let other_words = broken(Stage::Deliver, "504");
    assert_eq!(told(Some(&broken(Stage::Deliver, "503")), &other_words), Vec::<String>::new());
}

#[test]
fn a_refusal_is_told_with_its_first_mistake_and_another_mistake_again() {
    let first = refused("\"a b\" is not an identifier");
    assert_eq!(told(Some(&well()), &first), ["Warning Refused"]);
    assert!(news(None, &first)[0].note.contains("\"a b\" is not an identifier; write one word"));
    assert_eq!(told(Some(&first), &refused("\"c d\" is not an identifier")), ["Warning Refused"]);
    assert_eq!(told(Some(&first), &well()), ["Normal Accepted", "Normal DeliveryBegan"]);
}

#[test]
fn what_stops_further_up_is_told_there_alone() {
    let unsourced = broken(Stage::Collect, "source a: cannot be reached");
    assert_eq!(told(Some(&well()), &unsourced), ["Warning CollectingStopped"]);
    assert_eq!(told(Some(&unsourced), &well()), ["Normal CollectingRecovered"]);
    let trapped = broken(Stage::Filter, "filter patterns trapped");
    assert_eq!(told(Some(&well()), &trapped), ["Warning FilterFailed"]);
    assert_eq!(told(Some(&trapped), &well()), ["Normal FilterRecovered"]);
}

/// What is told of a lane at each of these moments, in seconds after the first.
fn told_over_time(moments: impl IntoIterator<Item = (u64, Lane)>) -> Vec<String> {
    let mut before = well();
    let mut all = Vec::new();
    for (seconds, lane) in moments {
        let wanted = Before { stored: Some(&before), wanted: Some(&before) };
        let status = super::super::render(&running(vec![lane]), wanted, after(seconds));
        all.extend(told(Some(&before), &status));
        before = status;
    }
    all
}

#[test]
fn a_filter_that_fails_at_every_second_attempt_is_one_outage() {
    let seconds = INTERVAL.as_secs();
    let delivered = |number: u64, at| {
        let tick = tick(TICK.plus(INTERVAL * number as u32));
        Lane { delivered: Some(Delivered { tick, series: 91, at }), ..delivering() }
    };
    let failed = |lane, at, attempts| {
        let failure = Failure { stage: Stage::Filter, message: "filter evil failed".into(), at };
        Lane { last_error: Some(failure), consecutive_failures: attempts, ..lane }
    };
    // Each tick fails when it could be asked for, an interval late by then, and is delivered an interval later.
    let flaps = (1..20).flat_map(|number| {
        let (due, again) = (number * seconds, (number + 1) * seconds);
        let fails = failed(delivered(number - 1, after(due)), after(due), 1);
        let comes = failed(delivered(number, after(again).plus(Duration::from_millis(5))), after(due), 0);
        [(due + 6, fails), (again + 1, comes)]
    });
    let late = flaps.clone().last().unwrap().1;
    assert_eq!(told_over_time(flaps.clone()), ["Warning FilterFailed"]);
    // It is over once a tick is in time, or after a minute without a failure, whatever else makes ticks late.
    let on_time = failed(delivered(20, after(20 * seconds)), after(19 * seconds), 0);
    let recovered = ["Warning FilterFailed", "Normal FilterRecovered"];
    assert_eq!(told_over_time(flaps.clone().chain([(20 * seconds + 1, on_time)])), recovered);
    assert_eq!(told_over_time(flaps.chain([(19 * seconds + 60, late)])), recovered);
}

#[test]
fn a_pattern_that_grants_nothing_is_a_warning() {
    let mut facts = running(vec![delivering()]);
    facts.problems = vec![Problem::error(at("spec.metrics").index(2), "is a function", "write `up`")].into();
    let in_part = rendered(&facts, None, after(1));
    assert_eq!(told(Some(&well()), &in_part), ["Warning AcceptedInPart"]);
    assert_eq!(told(Some(&in_part), &in_part), Vec::<String>::new());
    assert_eq!(told(None, &in_part)[0], "Warning AcceptedInPart");
}
