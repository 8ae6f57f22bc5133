//! From facts to a status: conditions, counts, times, and how large it becomes.

use serde_json::json;

use super::*;
use crate::document::Blame;
use crate::tenancy::status::types::{ENDPOINTS_MAX, MESSAGE_CHARS_MAX, PATTERNS_MAX};

/// The conditions after `Accepted`, in short.
fn check(facts: &Facts, now: Timestamp, expected: [&str; 4]) {
    assert_eq!(gist(&rendered(facts, None, now))[1..], expected);
}

#[test]
fn a_resource_that_delivers_is_ready() {
    let facts = running(vec![delivering()]);
    let expected = [
        "FiltersReady=True/FiltersRunning",
        "Collecting=True/SourcesAnswer",
        "Delivering=True/EndpointsAnswer",
        "Ready=True/Running",
    ];
    check(&facts, after(1), expected);
}

#[test]
fn until_the_first_tick_nothing_is_claimed() {
    let facts = running(vec![lane("infra", "http://a/")]);
    let expected = [
        "FiltersReady=True/FiltersRunning",
        "Collecting=Unknown/Starting",
        "Delivering=Unknown/Starting",
        "Ready=Unknown/Starting",
    ];
    check(&facts, after(1), expected);
}

#[test]
fn an_endpoint_that_never_answered_shows_at_its_first_failure() {
    let collected = Lane { delivered: None, ..delivering() };
    let facts = running(vec![failing(collected, Stage::Deliver, "connection refused", 1)]);
    let expected = [
        "FiltersReady=True/FiltersRunning",
        "Collecting=True/SourcesAnswer",
        "Delivering=False/EndpointFailing",
        "Ready=False/EndpointFailing",
    ];
    check(&facts, after(0), expected);
    let message = rendered(&facts, None, after(0)).condition("Ready").unwrap().message.clone();
    assert_eq!(message, "http://prometheus.web:9090/: connection refused");
}

#[test]
fn a_hiccup_is_no_transition_and_an_overdue_tick_is_one() {
    let facts = running(vec![failing(delivering(), Stage::Deliver, "503", 7)]);
    let due = INTERVAL.as_secs();
    assert_eq!(gist(&rendered(&facts, None, after(due + 5)))[3], "Delivering=True/EndpointsAnswer");
    assert_eq!(gist(&rendered(&facts, None, after(due + 6)))[3], "Delivering=False/EndpointFailing");
}

#[test]
fn a_source_that_fails_is_told_apart_from_the_endpoint_behind_it() {
    let lost = failing(delivering(), Stage::Collect, "source b: cannot be reached", 3);
    let facts = running(vec![delivering(), Lane { group: "other".into(), ..lost }]);
    let now = after(36);
    let expected = [
        "FiltersReady=True/FiltersRunning",
        "Collecting=False/SourceFailing",
        "Delivering=False/NothingToDeliver",
        "Ready=False/SourceFailing",
    ];
    check(&facts, now, expected);
    let status = rendered(&facts, None, now);
    let message = &status.condition("Collecting").unwrap().message;
    assert_eq!(message, "source b: cannot be reached (1 of 2 source groups)");
}

#[test]
fn a_filter_that_fails_has_collected() {
    let facts =
        running(vec![failing(lane("infra", "http://a/"), Stage::Filter, "filter patterns trapped", 1)]);
    let expected = [
        "FiltersReady=False/FilterFailing",
        "Collecting=True/SourcesAnswer",
        "Delivering=False/NothingToDeliver",
        "Ready=False/FilterFailing",
    ];
    check(&facts, after(1), expected);
}

#[test]
fn a_pipeline_that_cannot_be_built_says_why() {
    let mut facts = running(vec![]);
    facts.flow.pipeline = Pipeline::Broken("filter relabel refuses its configuration".into());
    let status = rendered(&facts, None, after(1));
    assert_eq!(gist(&status)[1], "FiltersReady=False/FilterFailing");
    let message = &status.condition("Ready").unwrap().message;
    assert_eq!(message, "the pipeline cannot be built: filter relabel refuses its configuration");
}

#[test]
fn a_resource_that_no_replica_runs_says_so_and_keeps_what_it_delivered() {
    let before = rendered(&running(vec![delivering()]), None, after(1));
    assert_eq!(gist(&before)[4], "Ready=True/Running");
    let mut facts = running(vec![]);
    facts.flow.pipeline = Pipeline::Absent("its record cannot be read".into());
    let status = rendered(&facts, Some(&before), after(60));
    assert_eq!(
        gist(&status)[2..],
        ["Collecting=Unknown/Starting", "Delivering=False/Stalled", "Ready=False/Stalled"]
    );
    let message = &status.condition("Ready").unwrap().message;
    assert_eq!(message, "no replica runs it: its record cannot be read; tell the operator if it lasts");
    assert_eq!((&status.endpoints, &status.last_delivered), (&before.endpoints, &before.last_delivered));
    // Taken up at last, it starts.
    facts.flow.pipeline = Pipeline::Starting;
    assert_ne!(gist(&rendered(&facts, Some(&status), after(61)))[4], "Ready=True/Running");
}

#[test]
fn sources_that_have_nothing_are_not_a_failure_and_are_told() {
    let empty = Collected { selected: 0, dropped: 0, collided: 0, dropped_by: Vec::new() };
    let facts = running(vec![Lane { collected: Some(empty), ..delivering() }]);
    let told = gist(&rendered(&facts, None, after(1)));
    assert_eq!((&*told[2], &*told[4]), ("Collecting=True/NothingSelected", "Ready=True/NothingSelected"));
    assert_eq!(gist(&rendered(&running(vec![]), None, after(1)))[2], "Collecting=False/NoSource");
}

#[test]
fn series_that_are_an_older_resources_are_told_where_they_are_missing() {
    let said = "up{tenant=\"web\"} is written by ops/old".to_owned();
    let facts = running(vec![Lane { conflict: Some(said.clone()), ..delivering() }]);
    let status = rendered(&facts, None, after(1));
    assert_eq!(gist(&status)[3..], ["Delivering=False/Conflict", "Ready=False/Conflict"]);
    assert_eq!(status.condition("Ready").unwrap().message, format!("1 series are not sent: {said}"));
}

#[test]
fn ticks_that_follow_behind_the_newest_are_told_and_delay_nothing() {
    let facts = running(vec![Lane { missed: Some(7), ..delivering() }]);
    let status = rendered(&facts, None, after(1));
    assert_eq!(gist(&status)[3..], ["Delivering=True/CatchingUp", "Ready=True/CatchingUp"]);
    let message = &status.condition("Delivering").unwrap().message;
    assert!(message.ends_with("the newest ticks arrive, and 7 that were missed follow"), "{message}");
    let refused = Lane { refused: Some("they are too old".into()), missed: Some(7), ..delivering() };
    assert_eq!(gist(&rendered(&running(vec![refused]), None, after(1)))[3], "Delivering=False/RefusedInPart");
}

#[test]
fn a_lane_that_hangs_stalls_and_one_that_is_late_catches_up() {
    let facts = running(vec![delivering()]);
    assert_eq!(gist(&rendered(&facts, None, after(91)))[3], "Delivering=False/Stalled");
    let late = Delivered { tick: tick(TICK), series: 91, at: after(600) };
    let facts = running(vec![Lane { delivered: Some(late), ..delivering() }]);
    let late = gist(&rendered(&facts, None, after(601)));
    assert_eq!(late[3..], ["Delivering=True/CatchingUp", "Ready=True/CatchingUp"]);
    let delivering_after = |seconds| {
        let delivered = Delivered { tick: tick(TICK), series: 91, at: after(seconds) };
        let facts = running(vec![Lane { delivered: Some(delivered), ..delivering() }]);
        gist(&rendered(&facts, None, after(seconds + 1)))[3].clone()
    };
    // After the next one was due.
    assert_eq!(delivering_after(34), "Delivering=True/EndpointsAnswer");
    assert_eq!(delivering_after(36), "Delivering=True/CatchingUp");
}

#[test]
fn refused_says_who_can_mend_it() {
    let mistake = || Problem::error(at("spec.remoteWrite.interval"), "\"2s\" is below 5s", "write \"5s\"");
    let pattern =
        Problem::error(at("spec.metrics").index(2), "is invalid and grants nothing", "write a name");
    for (problem, reason) in [
        (mistake(), "Invalid"),
        (mistake().blamed_on(Blame::Operator), "NotAllowed"),
        (mistake().blamed_on(Blame::Rival), "Conflict"),
        (mistake().blamed_on(Blame::Absence), "ReferenceMissing"),
    ] {
        let facts = decided(Decision::Refused, vec![pattern.clone(), problem]);
        let status = rendered(&facts, None, after(0));
        let expected = [
            &format!("Accepted=False/{reason}"),
            "FiltersReady=False/NotAccepted",
            "Collecting=False/NotAccepted",
            "Delivering=False/NotAccepted",
            "Ready=False/NotAccepted",
        ];
        assert_eq!(gist(&status), expected);
        let message = &status.condition("Ready").unwrap().message;
        assert!(
            message.starts_with("spec.remoteWrite.interval: \"2s\" is below 5s; write \"5s\". "),
            "{message}"
        );
        assert_eq!(status.patterns.len(), 1);
        assert_eq!((status.patterns[0].index, status.patterns[0].pattern.as_str()), (2, "sum(up)"));
    }
}

#[test]
fn a_resource_that_is_off_is_accepted_and_not_ready() {
    let facts = decided(Decision::Disabled, vec![]);
    let expected = [
        "FiltersReady=False/Disabled",
        "Collecting=False/Disabled",
        "Delivering=False/Disabled",
        "Ready=False/Disabled",
    ];
    check(&facts, after(0), expected);
}

#[test]
fn warnings_do_not_stop_anything_and_errors_come_first() {
    let warning = Problem::warning(at("spec.metrics").index(1), "`*` repeats `_`", "write `http_.*`");
    let error = Problem::error(at("spec.metrics").index(2), "is a function", "write `up`");
    let mut facts = running(vec![delivering()]);
    facts.problems = vec![warning.clone()].into();
    assert_eq!(gist(&rendered(&facts, None, after(1)))[0], "Accepted=True/AcceptedWithWarnings");
    facts.problems = vec![warning, error].into();
    let status = rendered(&facts, None, after(1));
    assert_eq!(gist(&status)[0], "Accepted=True/AcceptedInPart");
    assert_eq!(gist(&status)[4], "Ready=True/Running");
    let message = &status.condition("Accepted").unwrap().message;
    assert!(message.starts_with("spec.metrics[2]: is a function"), "{message}");
}

#[test]
fn a_transition_time_moves_with_the_status_alone() {
    let well = running(vec![delivering()]);
    let first = rendered(&well, None, after(1));
    let since = |status: &MetricAccessStatus| {
        status.condition("Delivering").unwrap().last_transition_time.0.as_second() * 1000
    };
    let late = Delivered { tick: tick(TICK), series: 91, at: after(600) };
    let late = running(vec![Lane { delivered: Some(late), ..delivering() }]);
    let second = rendered(&late, Some(&first), after(601));
    assert_eq!(gist(&second)[3], "Delivering=True/CatchingUp");
    assert_eq!(since(&second), after(1).0);
    let ill = running(vec![failing(delivering(), Stage::Deliver, "503", 3)]);
    let third = rendered(&ill, Some(&second), after(700));
    assert_eq!(since(&third), after(700).0);
    // Not yet written when it is rendered again: since when it is so is still known.
    let before = Before { stored: Some(&second), wanted: Some(&third) };
    assert_eq!(since(&super::super::render(&ill, before, after(730))), after(700).0);
}

#[test]
fn a_takeover_claims_nothing_new_and_forgets_nothing() {
    let before = rendered(&running(vec![delivering()]), None, after(1));
    let taken_over =
        Facts { owner: "sluice-1".into(), ..running(vec![lane("infra", "http://prometheus.web:9090/")]) };
    let status = rendered(&taken_over, Some(&before), after(2));
    assert_eq!(status, MetricAccessStatus { owner: Some("sluice-1".into()), ..before.clone() });
    // Another specification is another matter.
    let mut edited = taken_over.clone();
    edited.subject = Arc::new(Subject { generation: 4, ..subject() });
    assert_eq!(gist(&rendered(&edited, Some(&before), after(2)))[3], "Delivering=Unknown/Starting");
    // So is a pipeline that was not there before.
    let off = rendered(&decided(Decision::Disabled, vec![]), None, after(1));
    assert_eq!(gist(&rendered(&taken_over, Some(&off), after(2)))[3], "Delivering=Unknown/Starting");
}

#[test]
fn the_newest_tick_of_all_is_the_one_that_every_endpoint_has() {
    let older = Delivered { tick: tick(TICK.minus(INTERVAL)), series: 80, at: DUE };
    let behind = Lane { endpoint: "http://b/".into(), delivered: Some(older), ..delivering() };
    let status = rendered(&running(vec![delivering(), behind]), None, after(1));
    assert_eq!(json!(status.last_delivered), json!("2025-12-31T23:59:30Z"));
    let series = status.series.unwrap();
    assert_eq!((series.selected, series.delivered), (100, 80));
    let status = rendered(&running(vec![delivering(), lane("infra", "http://c/")]), None, after(1));
    assert_eq!(status.last_delivered, None);
}

#[test]
fn a_status_reads_like_this() {
    let dropped_by = vec![("patterns".to_owned(), 3), ("relabel".to_owned(), 5)];
    let collected = Collected { dropped_by, ..delivering().collected.unwrap() };
    let lane = Lane { collected: Some(collected), ..failing(delivering(), Stage::Deliver, "503", 1) };
    let mut facts = running(vec![lane]);
    let warning = Problem::warning(at("spec.metrics").index(1), "`*` repeats `_`", "write `http_.*`");
    facts.problems = vec![warning].into();
    let condition = |of: &str, reason: &str, message: &str| {
        json!({
            "type": of, "status": "True", "reason": reason, "message": message,
            "lastTransitionTime": "2026-01-01T00:00:16Z", "observedGeneration": 3,
        })
    };
    let expected = json!({
        "observedGeneration": 3,
        "conditions": [
            condition("Accepted", "AcceptedWithWarnings", "warning: spec.metrics[1]: `*` repeats `_`; write `http_.*`"),
            condition("FiltersReady", "FiltersRunning", "every filter runs"),
            condition("Collecting", "SourcesAnswer", "every source answers"),
            condition("Delivering", "EndpointsAnswer", "every endpoint takes what it is sent"),
            condition("Ready", "Running", "metrics flow"),
        ],
        "patterns": [{
            "index": 1, "pattern": "http_*", "severity": "warning",
            "message": "`*` repeats `_`", "cure": "write `http_.*`",
        }],
        "series": {
            "selected": 100, "delivered": 91, "dropped": 8, "collided": 1,
            "droppedBy": [{ "filter": "patterns", "dropped": 3 }, { "filter": "relabel", "dropped": 5 }],
        },
        "endpoints": [{
            "endpoint": "http://prometheus.web:9090/", "sourceGroup": "infra",
            "lastDeliveredTick": "2026-01-01T00:00:00Z", "consecutiveFailures": 1,
            "lastError": { "message": "503", "time": "2026-01-01T00:00:15Z" },
        }],
        "lastDelivered": "2026-01-01T00:00:00Z",
        "interval": "30s",
        "target": "prometheus",
        "owner": "sluice-0",
    });
    let status = rendered(&facts, None, after(1));
    assert_eq!(serde_json::to_value(&status).unwrap(), expected);
    assert_eq!(MetricAccessStatus::read(&expected), Some(status));
}

#[test]
fn everything_is_bounded() {
    let problem =
        |index| Problem::error(at("spec.metrics").index(index), "é".repeat(5_000), "x".repeat(5_000));
    let mut facts = decided(Decision::Refused, (0..200).map(problem).collect());
    let lane = |n: usize| {
        failing(Lane { group: format!("g{n}"), ..delivering() }, Stage::Deliver, "e", n as u32 % 2)
    };
    facts.flow.lanes = (0..200).map(lane).collect();
    let status = rendered(&facts, None, after(1));
    assert_eq!((status.patterns.len(), status.endpoints.len()), (PATTERNS_MAX, ENDPOINTS_MAX));
    assert!(status.endpoints.iter().all(|endpoint| endpoint.consecutive_failures == 1), "errors come first");
    let accepted = status.condition("Accepted").unwrap();
    assert_eq!(accepted.message.chars().count(), MESSAGE_CHARS_MAX);
    assert!(accepted.message.ends_with('…'));
    assert_eq!(status.patterns[0].message.chars().count(), MESSAGE_CHARS_MAX);
}

#[test]
fn a_status_of_somebody_else_is_no_status() {
    assert_eq!(MetricAccessStatus::read(&json!({ "conditions": "all well" })), None);
    let with_more = json!({ "conditions": [], "addedLater": 1 });
    assert_eq!(MetricAccessStatus::read(&with_more), Some(MetricAccessStatus::default()));
    let subject = Subject::of("u", 2, &json!({ "spec": { "metrics": ["up", 7] }, "status": 5 }));
    assert_eq!((subject.metrics, subject.status), (vec!["up".to_owned(), String::new()], None));
}
