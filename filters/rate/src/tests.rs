use sluice_filter::testing::{assert_schema, filter};
use sluice_filters_common::testing::Ticks;

use super::*;

fn rule(rest: &str) -> Ticks<Rate> {
    Ticks::new(&format!(r#"{{"rules": [{{"select": "{{__name__=~\"m.*\"}}"{rest}}}]}}"#))
}

#[track_caller]
fn check(ticks: &mut Ticks<Rate>, samples: &str, expected: &str) {
    assert_eq!(ticks.tick(samples), expected);
}

#[test]
fn a_counter_becomes_what_it_grows_by_a_second() {
    let mut ticks = rule("");
    check(&mut ticks, "m_total{a=1} 100\nother 1", "other 1\n");
    check(&mut ticks, "m_total{a=1} 160\nother 1", "m:rate{a=\"1\"} 1\nother 1\n");
    // It begins anew.
    check(&mut ticks, "m_total{a=1} 30", "m:rate{a=\"1\"} 0.5\n");
    check(&mut ticks, "m_total{a=1} 30", "m:rate{a=\"1\"} 0\n");
}

#[test]
fn over_a_gap_the_rate_is_that_of_all_the_time_between() {
    let mut ticks = rule("");
    check(&mut ticks, "m_total 0", "");
    // There, but without a value.
    check(&mut ticks, "m_total NaN", "m:rate 0\n");
    let mut ticks = rule("");
    check(&mut ticks, "m_total 0 -30", "");
    check(&mut ticks, "m_total 90", "m:rate 1\n");
}

#[test]
fn who_was_away_begins_anew() {
    let mut ticks = rule("");
    check(&mut ticks, "m_total 0", "");
    check(&mut ticks, "", "");
    check(&mut ticks, "m_total 600", "");
    check(&mut ticks, "m_total stale", "m:rate stale\n");
    check(&mut ticks, "m_total 1200", "");
}

#[test]
fn of_several_samples_in_a_tick_one_rate_is_made() {
    let mut ticks = rule("");
    check(&mut ticks, "m_total 5 -40\nm_total 25 -20\nm_total 10", "m:rate 0.75\n");
    // A sample that was stored late changes nothing.
    check(&mut ticks, "m_total 7 -70\nm_total 70", "m:rate 1\n");
}

#[test]
fn a_rate_is_called_as_was_said() {
    for (rest, name) in [(r#", "suffix": "_per_second""#, "m_per_second"), (r#", "name": "x""#, "x")] {
        let mut ticks = rule(rest);
        check(&mut ticks, "m_total 0", "");
        check(&mut ticks, "m_total 60", &format!("{name} 1\n"));
    }
}

#[test]
fn what_no_float_expresses_has_no_rate() {
    check(&mut rule(""), "m_total opaque", "");
}

#[test]
fn a_bad_configuration_is_refused_with_its_place() {
    for (rest, message) in [
        (r#", "name": "a b""#, "rules[0].name: \"a b\" is no metric name; use [a-zA-Z_:][a-zA-Z0-9_:]*"),
        (r#", "suffix": """#, "rules[0].suffix: \"\" cannot end a metric name; use [a-zA-Z0-9_:]+"),
        (r#", "name": "a", "suffix": "b""#, "rules[0].suffix: name is given, too; write one of them"),
    ] {
        let config = format!(r#"{{"rules": [{{"select": "m"{rest}}}]}}"#);
        assert_eq!(filter::<Rate>(&config, "m 1").unwrap_err().to_string(), format!("config: {message}"));
    }
}

#[test]
fn the_schema_is_made_of_the_configurations_type() {
    assert_schema::<Rate>("src/config.schema.json");
}
