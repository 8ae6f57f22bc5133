use sluice_filter::testing::{assert_schema, filter};
use sluice_filters_common::testing::Ticks;

use super::*;

fn rule(rest: &str) -> Ticks<TopK> {
    Ticks::new(&format!(r#"{{"rules": [{{"select": "m", {rest}}}]}}"#))
}

#[track_caller]
fn check(ticks: &mut Ticks<TopK>, samples: &str, expected: &str) {
    assert_eq!(ticks.tick(samples), expected);
}

#[test]
fn the_largest_of_each_group_stay_and_so_does_what_is_not_ranked() {
    let samples = "m{g=x,i=1} 1\nm{g=x,i=2} 3\nm{g=x,i=3} 2\nm{g=y,i=4} 0\nother 1";
    check(
        &mut rule(r#""k": 2, "by": ["g"]"#),
        samples,
        "m{g=\"x\",i=\"2\"} 3\nm{g=\"x\",i=\"3\"} 2\nm{g=\"y\",i=\"4\"} 0\nother 1\n",
    );
    check(&mut rule(r#""k": 1"#), samples, "m{g=\"x\",i=\"2\"} 3\nother 1\n");
    check(&mut rule(r#""k": 1, "order": "smallest""#), samples, "m{g=\"y\",i=\"4\"} 0\nother 1\n");
}

#[test]
fn what_falls_out_ends_and_can_come_back() {
    let mut ticks = rule(r#""k": 1"#);
    check(&mut ticks, "m{i=1} 2\nm{i=2} 1", "m{i=\"1\"} 2\n");
    check(&mut ticks, "m{i=1} 2\nm{i=2} 3", "m{i=\"1\"} stale\nm{i=\"2\"} 3\n");
    check(&mut ticks, "m{i=1} 2\nm{i=2} 3", "m{i=\"2\"} 3\n");
    check(&mut ticks, "m{i=1} 4\nm{i=2} 3", "m{i=\"1\"} 4\nm{i=\"2\"} stale\n");
}

#[test]
fn with_hysteresis_a_small_lead_takes_no_place() {
    let mut ticks = rule(r#""k": 1, "hysteresis": 0.1"#);
    check(&mut ticks, "m{i=1} 100\nm{i=2} 99", "m{i=\"1\"} 100\n");
    check(&mut ticks, "m{i=1} 100\nm{i=2} 109", "m{i=\"1\"} 100\n");
    check(&mut ticks, "m{i=1} 100\nm{i=2} 111", "m{i=\"1\"} stale\nm{i=\"2\"} 111\n");
    check(&mut ticks, "m{i=1} 112\nm{i=2} 111", "m{i=\"2\"} 111\n");
    let mut ticks = rule(r#""k": 1, "hysteresis": 0.1, "order": "smallest""#);
    check(&mut ticks, "m{i=1} -100\nm{i=2} -99", "m{i=\"1\"} -100\n");
    check(&mut ticks, "m{i=1} -100\nm{i=2} -109", "m{i=\"1\"} -100\n");
    check(&mut ticks, "m{i=1} -100\nm{i=2} -111", "m{i=\"1\"} stale\nm{i=\"2\"} -111\n");
}

#[test]
fn of_equals_the_one_that_is_in_stays() {
    let mut ticks = rule(r#""k": 1"#);
    check(&mut ticks, "m{i=1} 1\nm{i=2} 2", "m{i=\"2\"} 2\n");
    check(&mut ticks, "m{i=1} 2\nm{i=2} 2", "m{i=\"2\"} 2\n");
}

#[test]
fn what_is_not_there_holds_no_place() {
    let mut ticks = rule(r#""k": 1"#);
    check(&mut ticks, "m{i=1} 9\nm{i=2} 1", "m{i=\"1\"} 9\n");
    check(&mut ticks, "m{i=2} 1", "m{i=\"2\"} 1\n");
    check(&mut ticks, "m{i=2} stale\nm{i=3} NaN", "m{i=\"2\"} stale\nm{i=\"3\"} NaN\n");
    check(&mut ticks, "m{i=3} NaN\nm{i=4} -5", "m{i=\"3\"} stale\nm{i=\"4\"} -5\n");
}

#[test]
fn a_tick_in_batches_is_judged_by_the_tick_before() {
    let mut ticks = rule(r#""k": 1"#).in_batches_of(1);
    check(&mut ticks, "m{i=1} 1\nm{i=2} 9", "");
    check(&mut ticks, "m{i=1} 10\nm{i=2} 9", "m{i=\"2\"} 9\n");
    check(&mut ticks, "m{i=1} 10\nm{i=2} 9", "m{i=\"1\"} 10\nm{i=\"2\"} stale\n");
    check(&mut ticks, "m{i=2} 9", "m{i=\"2\"} 9\n");
}

#[test]
fn groups_come_and_go() {
    let mut ticks = rule(r#""k": 1, "by": ["g"]"#);
    for g in 0..3 {
        let (samples, kept) =
            (format!("m{{g={g},i=1}} 1\nm{{g={g},i=2}} 2"), format!("m{{g=\"{g}\",i=\"2\"}} 2\n"));
        check(&mut ticks, &samples, &kept);
        check(&mut ticks, &samples, &kept);
    }
}

#[test]
fn a_group_that_nobody_belongs_to_leaves_its_room_to_another() {
    let config: Config = serde_json::from_str(r#"{"rules": []}"#).unwrap();
    let tenant = Tenant { namespace: String::new(), name: String::new(), source: String::new() };
    let mut filter = TopK::new(config, &tenant).unwrap();
    for group in ["a", "b", "c"] {
        filter.ranking.join(SeriesId(0), 0, [("g", group)].into_iter().collect());
        filter.forget(&[SeriesId(0)]);
    }
    assert_eq!(filter.ranking.groups(), 1);
}

#[test]
fn metrics_are_not_compared_and_what_has_no_value_is_not_ranked() {
    let mut ticks = Ticks::<TopK>::new(r#"{"rules": [{"select": "{i=~\".+\"}", "k": 1}]}"#);
    check(&mut ticks, "m{i=1} 1\nn{i=1} 2\nm{i=2} opaque", "m{i=\"1\"} 1\nm{i=\"2\"} opaque\nn{i=\"1\"} 2\n");
}

#[test]
fn of_several_samples_in_a_tick_the_newest_ranks() {
    let mut ticks = rule(r#""k": 1"#);
    check(&mut ticks, "m{i=1} 9 -30\nm{i=1} 1\nm{i=2} 2", "m{i=\"2\"} 2\n");
    check(
        &mut ticks,
        "m{i=1} 1 -30\nm{i=1} 3\nm{i=2} 2 -30\nm{i=2} 2",
        "m{i=\"1\"} 1\nm{i=\"1\"} 3\nm{i=\"2\"} stale\n",
    );
}

#[test]
fn a_bad_configuration_is_refused_with_its_place() {
    for (rest, message) in [
        (r#""k": 0"#, "rules[0].k: none would stay; write 1 or more, or drop the series by relabeling"),
        (r#""k": -1"#, "rules[0].k: -1 is not a whole number of at least 0"),
        (
            r#""k": 1, "hysteresis": 11"#,
            "rules[0].hysteresis: 11 is not between 0 and 10; write 0.1 for a lead of a tenth",
        ),
        (
            r#""k": 1, "order": "top""#,
            "rules[0].order: `top` is not known here: write `largest` or `smallest`",
        ),
        (r#""k": 1, "by": ["__name__"]"#, "rules[0].by[0]: the metric's name always counts; leave it out"),
    ] {
        let config = format!(r#"{{"rules": [{{"select": "m", {rest}}}]}}"#);
        assert_eq!(filter::<TopK>(&config, "m 1").unwrap_err().to_string(), format!("config: {message}"));
    }
}

#[test]
fn the_schema_is_made_of_the_configurations_type() {
    assert_schema::<TopK>("src/config.schema.json");
}
