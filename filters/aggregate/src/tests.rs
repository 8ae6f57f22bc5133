use sluice_filter::testing::{assert_schema, filter};
use sluice_filters_common::testing::Ticks;

use super::*;

fn rule(rest: &str) -> Ticks<Aggregate> {
    Ticks::new(&format!(r#"{{"rules": [{{"select": "{{__name__=~\"m.*\"}}", {rest}}}]}}"#))
}

#[track_caller]
fn check(ticks: &mut Ticks<Aggregate>, samples: &str, expected: &str) {
    assert_eq!(ticks.tick(samples), expected);
}

const TWO_PODS: &str = "m{code=200,pod=a} 1\nm{code=200,pod=b} 2\nm{code=500,pod=a} 5";

#[test]
fn every_operation_makes_one_of_a_group() {
    for (operation, ok, failed) in
        [("sum", 3.0, 5), ("avg", 1.5, 5), ("min", 1.0, 5), ("max", 2.0, 5), ("count", 2.0, 1)]
    {
        for labels in [r#""by": ["code"]"#, r#""without": ["pod"]"#] {
            let mut ticks = rule(&format!(r#""operation": "{operation}", {labels}"#));
            check(&mut ticks, TWO_PODS, &format!("m{{code=\"200\"}} {ok}\nm{{code=\"500\"}} {failed}\n"));
        }
    }
    check(&mut rule(r#""operation": "sum""#), TWO_PODS, "m 8\n");
}

#[test]
fn inputs_can_stay_beside_a_result_of_another_name() {
    let mut ticks = rule(r#""operation": "sum", "suffix": ":sum", "keepInputs": true"#);
    check(
        &mut ticks,
        "m{pod=a} 1\nm2{pod=a} 2\nx 3",
        "m2:sum 2\nm2{pod=\"a\"} 2\nm:sum 1\nm{pod=\"a\"} 1\nx 3\n",
    );
    let mut ticks = rule(r#""operation": "sum", "name": "all""#);
    check(&mut ticks, "m{pod=a} 1\nm2{pod=a} 2\nx 3", "all 3\nx 3\n");
}

#[test]
fn a_sum_of_counters_never_falls() {
    let mut ticks = rule(r#""operation": "sum", "by": []"#);
    check(&mut ticks, "m_total{pod=a} 100\nm_total{pod=b} 10", "m_total 0\n");
    check(&mut ticks, "m_total{pod=a} 101\nm_total{pod=b} 14", "m_total 5\n");
    // One begins anew.
    check(&mut ticks, "m_total{pod=a} 2\nm_total{pod=b} 14", "m_total 7\n");
    // One goes away, another comes.
    check(&mut ticks, "m_total{pod=b} 15\nm_total{pod=c} 1000", "m_total 8\n");
    check(&mut ticks, "m_total{pod=b} 15\nm_total{pod=c} 1001", "m_total 9\n");
}

#[test]
fn whether_a_sum_is_of_counters_can_be_said() {
    let mut ticks = rule(r#""operation": "sum", "counter": false"#);
    check(&mut ticks, "m_total{pod=a} 100\nm_total{pod=b} 10", "m_total 110\n");
    check(&mut ticks, "m_total{pod=a} 1\nm_total{pod=b} 10", "m_total 11\n");
    let mut ticks = rule(r#""operation": "sum", "counter": true"#);
    check(&mut ticks, "m{pod=a} 100", "m 0\n");
    check(&mut ticks, "m{pod=a} 105", "m 5\n");
}

#[test]
fn what_is_not_there_at_a_tick_takes_no_part_and_without_any_the_result_ends() {
    let mut ticks = rule(r#""operation": "sum""#);
    check(&mut ticks, "m{pod=a} 1\nm{pod=b} 2", "m 3\n");
    check(&mut ticks, "m{pod=b} 2", "m 2\n");
    check(&mut ticks, "m{pod=b} stale", "m stale\n");
    check(&mut ticks, "", "");
    check(&mut ticks, "m{pod=c} 4", "m 4\n");
}

#[test]
fn batches_make_no_difference() {
    let mut ticks = rule(r#""operation": "sum", "by": ["code"]"#).in_batches_of(1);
    check(&mut ticks, TWO_PODS, "m{code=\"200\"} 3\nm{code=\"500\"} 5\n");
    check(&mut ticks, TWO_PODS, "m{code=\"200\"} 3\nm{code=\"500\"} 5\n");
}

#[test]
fn of_several_samples_in_a_tick_counters_grow_by_each_and_others_count_once() {
    let mut ticks = rule(r#""operation": "sum""#);
    check(&mut ticks, "m_total 5 -30\nm_total 7 -15\nm_total 1\nm 5 -30\nm 6", "m 6\nm_total 3\n");
}

#[test]
fn what_no_float_expresses_goes_its_own_way() {
    let mut ticks = rule(r#""operation": "count""#);
    check(&mut ticks, "m{pod=a} opaque\nm{pod=b} 1", "m 1\nm{pod=\"a\"} opaque\n");
}

#[test]
fn a_number_wins_over_none_and_a_sum_does_not() {
    for (operation, expected) in [("min", "2"), ("max", "2"), ("sum", "NaN"), ("count", "2")] {
        let mut ticks = rule(&format!(r#""operation": "{operation}""#));
        check(&mut ticks, "m{pod=a} NaN\nm{pod=b} 2", &format!("m {expected}\n"));
    }
}

#[test]
fn a_bad_configuration_is_refused_with_its_place() {
    for (rest, message) in [
        (
            r#""operation": "median""#,
            "rules[0].operation: `median` is not known here: write one of `sum`, `avg`, `min`, `max`, `count`",
        ),
        (
            r#""operation": "sum", "by": ["a"], "without": []"#,
            "rules[0].by: without is given, too; write one of them",
        ),
        (
            r#""operation": "sum", "by": ["a-b"]"#,
            "rules[0].by[0]: \"a-b\" is no label name; use [a-zA-Z_][a-zA-Z0-9_]*",
        ),
        (
            r#""operation": "sum", "keepInputs": true"#,
            "rules[0].keepInputs: the result needs a name of its own then; add name or suffix",
        ),
        (
            r#""operation": "avg", "counter": true"#,
            "rules[0].counter: only a sum of counters is a counter; leave it out",
        ),
        (
            r#""operation": "sum", "name": "a b""#,
            "rules[0].name: \"a b\" is no metric name; use [a-zA-Z_:][a-zA-Z0-9_:]*",
        ),
        (
            r#""operation": "sum", "suffix": "-""#,
            "rules[0].suffix: \"-\" cannot end a metric name; use [a-zA-Z0-9_:]",
        ),
    ] {
        let config = format!(r#"{{"rules": [{{"select": "m", {rest}}}]}}"#);
        assert_eq!(
            filter::<Aggregate>(&config, "m 1").unwrap_err().to_string(),
            format!("config: {message}")
        );
    }
    let error =
        filter::<Aggregate>(r#"{"rules": [{"select": "m{", "operation": "sum"}]}"#, "m 1").unwrap_err();
    assert_eq!(
        error.to_string(),
        "config: rules[0].select: `m{`: it ends where a label's name or `}` is expected"
    );
}

#[test]
fn the_schema_is_made_of_the_configurations_type() {
    assert_schema::<Aggregate>("src/config.schema.json");
}
