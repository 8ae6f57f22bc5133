use sluice_filter::testing::{assert_schema, filter};
use sluice_filters_common::testing::Ticks;

use super::*;

fn limit(rest: &str) -> Ticks<CardinalityLimit> {
    Ticks::new(&format!(r#"{{"limits": [{{"label": "user", {rest}}}]}}"#))
}

#[track_caller]
fn check(ticks: &mut Ticks<CardinalityLimit>, samples: &str, expected: &str) {
    assert_eq!(ticks.tick(samples), expected);
}

#[test]
fn the_first_values_go_through_and_the_rest_is_one_sum() {
    let mut ticks = limit(r#""max": 2"#);
    check(
        &mut ticks,
        "m{a=x,user=1} 1\nm{a=y,user=1} 2\nm{a=x,user=2} 3\nm{a=x,user=3} 4\nm{a=x,user=4} 5\nm{a=y,user=3} 6\nm 7",
        "m 7\nm{a=\"x\",user=\"1\"} 1\nm{a=\"x\",user=\"2\"} 3\nm{a=\"x\",user=\"__overflow__\"} 9\n\
         m{a=\"y\",user=\"1\"} 2\nm{a=\"y\",user=\"__overflow__\"} 6\n",
    );
}

#[test]
fn each_metric_has_its_places_and_the_parts_of_a_histogram_share_theirs() {
    let mut ticks = limit(r#""max": 1, "action": "drop""#);
    check(
        &mut ticks,
        "a{user=1} 1\nb{user=2} 1\nh_bucket{user=1} 1\nh_count{user=2} 1\nh_count{user=1} 1\nh_sum{user=1} 1",
        "a{user=\"1\"} 1\nb{user=\"2\"} 1\nh_bucket{user=\"1\"} 1\nh_count{user=\"1\"} 1\nh_sum{user=\"1\"} 1\n",
    );
}

#[test]
fn a_sum_of_counters_never_falls() {
    let mut ticks = limit(r#""max": 1"#);
    let first = "m_total{user=\"1\"} 1\n";
    let sum = |value: u32| format!("m_total{{user=\"1\"}} 1\nm_total{{user=\"__overflow__\"}} {value}\n");
    check(&mut ticks, "m_total{user=1} 1\nm_total{user=2} 100\nm_total{user=3} 10", &sum(0));
    check(&mut ticks, "m_total{user=1} 1\nm_total{user=2} 104\nm_total{user=3} 11", &sum(5));
    check(&mut ticks, "m_total{user=1} 1\nm_total{user=2} 3\nm_total{user=3} 11", &sum(8));
    check(&mut ticks, "m_total{user=1} 1\nm_total{user=2} 4", &sum(9));
    let ended = format!("{first}m_total{{user=\"__overflow__\"}} stale\n");
    check(&mut ticks, "m_total{user=1} 1", &ended);
}

#[test]
fn a_place_is_free_again_when_the_last_series_of_its_value_has_ended() {
    let mut ticks = limit(r#""max": 1"#);
    check(
        &mut ticks,
        "m{a=x,user=1} 1\nm{a=y,user=1} 1",
        "m{a=\"x\",user=\"1\"} 1\nm{a=\"y\",user=\"1\"} 1\n",
    );
    check(
        &mut ticks,
        "m{a=x,user=1} 1\nm{a=x,user=2} 2",
        "m{a=\"x\",user=\"1\"} 1\nm{a=\"x\",user=\"__overflow__\"} 2\n",
    );
    // Who was folded stays folded: a series changes its labels only by ending.
    check(
        &mut ticks,
        "m{a=x,user=2} 2\nm{a=x,user=3} 3",
        "m{a=\"x\",user=\"3\"} 3\nm{a=\"x\",user=\"__overflow__\"} 2\n",
    );
    check(&mut ticks, "m{a=x,user=3} 3", "m{a=\"x\",user=\"3\"} 3\nm{a=\"x\",user=\"__overflow__\"} stale\n");
}

#[test]
fn the_rest_can_be_spread_by_a_hash_that_stays_the_same() {
    let mut ticks = limit(r#""max": 0, "hash_buckets": 4"#);
    let samples = "m{user=a} 1\nm{user=b} 2\nm{user=e} 4\nm{user=g} 8";
    let expected = "m{user=\"__overflow_0\"} 2\nm{user=\"__overflow_1\"} 5\nm{user=\"__overflow_2\"} 8\n";
    check(&mut ticks, samples, expected);
}

#[test]
fn what_is_dropped_takes_no_place_of_another_limit() {
    let config = r#"{"limits": [{"label": "a", "max": 1, "overflow": "other"}, {"label": "b", "max": 1, "action": "drop"}]}"#;
    let mut ticks = Ticks::<CardinalityLimit>::new(config);
    check(
        &mut ticks,
        "m{b=1} 1\nm{a=x,b=2} 2\nm{a=y,b=1} 3\nm{a=z,b=1} 4",
        "m{a=\"other\",b=\"1\"} 4\nm{a=\"y\",b=\"1\"} 3\nm{b=\"1\"} 1\n",
    );
}

#[test]
fn a_limit_can_be_for_some_series_only() {
    let mut ticks = limit(r#""max": 0, "select": "m{zone=\"a\"}""#);
    check(
        &mut ticks,
        "m{user=1,zone=a} 1\nm{user=1,zone=b} 2",
        "m{user=\"1\",zone=\"b\"} 2\nm{user=\"__overflow__\",zone=\"a\"} 1\n",
    );
}

#[test]
fn batches_and_several_samples_in_a_tick_make_no_difference() {
    let mut ticks = limit(r#""max": 0"#).in_batches_of(2);
    check(
        &mut ticks,
        "m{user=1} 1 -30\nm{user=1} 2\nm{user=2} 5\nm{user=3} opaque",
        "m{user=\"__overflow__\"} 7\n",
    );
}

#[test]
fn a_bad_configuration_is_refused_with_its_place() {
    for (limit, message) in [
        (
            r#"{"label": "__name__", "max": 1}"#,
            "limits[0].label: how many metrics there are is no label's affair; name another one",
        ),
        (
            r#"{"label": "a-b", "max": 1}"#,
            "limits[0].label: \"a-b\" is no label name; use [a-zA-Z_][a-zA-Z0-9_]*",
        ),
        (r#"{"label": "a"}"#, "limits[0]: missing field `max`"),
        (r#"{"label": "a", "max": 2000000}"#, "limits[0].max: 2000000 is more than 1000000; write less"),
        (
            r#"{"label": "a", "max": 1, "hashBuckets": 0}"#,
            "limits[0].hashBuckets: 0 is not between 1 and 1000",
        ),
        (
            r#"{"label": "a", "max": 1, "hashBuckets": 2, "overflow": "x"}"#,
            "limits[0].overflow: buckets are called __overflow_0 and so on; leave it out",
        ),
        (
            r#"{"label": "a", "max": 1, "action": "drop", "overflow": "x"}"#,
            "limits[0].overflow: what is dropped has no value; leave it out",
        ),
        (
            r#"{"label": "a", "max": 1, "select": "m{"}"#,
            "limits[0].select: `m{`: it ends where a label's name or `}` is expected",
        ),
    ] {
        let config = format!(r#"{{"limits": [{limit}]}}"#);
        assert_eq!(
            filter::<CardinalityLimit>(&config, "m 1").unwrap_err().to_string(),
            format!("config: {message}")
        );
    }
}

#[test]
fn the_schema_is_made_of_the_configurations_type() {
    assert_schema::<CardinalityLimit>("src/config.schema.json");
}
