use sluice_filter::testing::{assert_schema, filter};
use sluice_filters_common::testing::Ticks;

use super::*;

/// At which of the first ticks, a minute apart, a sample stays.
fn kept(step: &str, ticks: usize) -> Vec<usize> {
    let mut filter = Ticks::<Downsample>::new(&format!(r#"{{"rules": [{{"select": "m", {step}}}]}}"#));
    (1..=ticks).filter(|_| filter.tick("m 1\nother 2") == "m 1\nother 2\n").collect()
}

#[test]
fn a_sample_stays_at_the_first_tick_after_each_multiple_of_the_step() {
    assert_eq!(kept(r#""every": 3"#, 9), [3, 6, 9]);
    assert_eq!(kept(r#""every": 1"#, 3), [1, 2, 3]);
    assert_eq!(kept(r#""interval": "3m""#, 9), [3, 6, 9]);
    assert_eq!(kept(r#""interval": "90s""#, 6), [2, 3, 5, 6]);
    assert_eq!(kept(r#""interval": "10s""#, 2), [1, 2]);
}

#[test]
fn ticks_are_as_long_as_their_windows() {
    let config: Config = serde_json::from_str(r#"{"rules": [{"select": "m", "every": 3}]}"#).unwrap();
    let rule = &config.rules().unwrap()[0];
    let ends = (1..=6).map(|tick| tick * 15_000);
    let kept: Vec<i64> =
        ends.filter(|at| rule.keeps(Tick { since: at - 15_000, at: *at, last: true })).collect();
    assert_eq!(kept, [45_000, 90_000]);
}

#[test]
fn a_tick_that_was_left_out_costs_no_other_one() {
    let config: Config = serde_json::from_str(r#"{"rules": [{"select": "m", "interval": "5m"}]}"#).unwrap();
    let rule = &config.rules().unwrap()[0];
    let keeps = |since: i64, at: i64| rule.keeps(Tick { since: since * 1_000, at: at * 1_000, last: true });
    assert!(keeps(240, 360), "the tick at 300 s was left out");
    assert!(!keeps(360, 420));
}

#[test]
fn ends_are_never_left_out_and_of_several_samples_the_newest_stays() {
    let mut filter = Ticks::<Downsample>::new(r#"{"rules": [{"select": "m", "every": 2}]}"#);
    assert_eq!(filter.tick("m{i=1} 1\nm{i=2} stale\nm{i=3} opaque"), "m{i=\"2\"} stale\n");
    assert_eq!(filter.tick("m{i=1} 1 -30\nm{i=1} 2\nm{i=3} opaque"), "m{i=\"1\"} 2\nm{i=\"3\"} opaque\n");
}

#[test]
fn the_first_rule_that_selects_counts() {
    let config = r#"{"rules": [{"select": "m{i=\"1\"}", "every": 1}, {"select": "m", "every": 2}]}"#;
    let mut filter = Ticks::<Downsample>::new(config);
    assert_eq!(filter.tick("m{i=1} 1\nm{i=2} 2"), "m{i=\"1\"} 1\n");
}

#[test]
fn a_bad_configuration_is_refused_with_its_place() {
    for (step, message) in [
        ("", "rules[0].every: how far is not said; write every: 10, or interval: 5m"),
        (r#", "every": 0"#, "rules[0].every: 0 is not between 1 and 100000"),
        (r#", "every": 2, "interval": "5m""#, "rules[0].interval: every is given, too; write one of them"),
        (
            r#", "interval": "5d""#,
            "rules[0].interval: \"5d\" is no duration up to a day; write one like 90s, 5m or 1h",
        ),
        (
            r#", "interval": "25h""#,
            "rules[0].interval: \"25h\" is no duration up to a day; write one like 90s, 5m or 1h",
        ),
        (
            r#", "evry": 2"#,
            "rules[0].evry: unknown field `evry`, expected one of `select`, `every`, `interval`",
        ),
    ] {
        let config = format!(r#"{{"rules": [{{"select": "m"{step}}}]}}"#);
        assert_eq!(
            filter::<Downsample>(&config, "m 1").unwrap_err().to_string(),
            format!("config: {message}")
        );
    }
}

#[test]
fn the_schema_is_made_of_the_configurations_type() {
    assert_schema::<Downsample>("src/config.schema.json");
}
