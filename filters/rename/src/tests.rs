use sluice_filter::testing::{assert_schema, filter};

use super::*;

const CONFIG: &str = r#"{
    "names": {"old": "new", "new": "newer"},
    "patterns": [
        {"regex": "node_(.+)_seconds", "to": "host_${1}_s"},
        {"regex": "node_(?P<what>.+)", "to": "host_$what"},
        {"regex": "(bad)-?name", "to": "$1-name"}
    ]
}"#;

#[track_caller]
fn check(name: &str, expected: &str) {
    let kept = filter::<Rename>(CONFIG, &format!("{name}{{a=\"b\"}} 1")).unwrap();
    assert_eq!(kept, format!("{expected}{{a=\"b\"}} 1\n"));
}

#[test]
fn what_is_listed_gets_its_name_and_is_not_renamed_again() {
    check("old", "new");
    check("new", "newer");
    check("other", "other");
}

#[test]
fn of_expressions_the_first_that_matches_the_whole_name_counts() {
    check("node_cpu_seconds", "host_cpu_s");
    check("node_cpu_seconds_total", "host_cpu_seconds_total");
    check("a_node_cpu", "a_node_cpu");
}

#[test]
fn what_would_be_no_name_stays() {
    check("badname", "badname");
}

#[test]
fn series_of_one_name_are_treated_alike() {
    let both = filter::<Rename>(CONFIG, "old{a=\"1\"} 1\nup 1\nold{a=\"2\"} 1\n").unwrap();
    assert_eq!(both, "new{a=\"1\"} 1\nup 1\nnew{a=\"2\"} 1\n");
}

#[test]
fn a_bad_configuration_is_refused_with_its_place() {
    for (config, message) in [
        (r#"{"name": {}}"#, "config: name: unknown field `name`, expected `names` or `patterns`"),
        (
            r#"{"names": {"up": "1up"}}"#,
            "config: names.up: \"1up\" is no metric name; use [a-zA-Z_:][a-zA-Z0-9_:]*",
        ),
        (
            r#"{"patterns": [{"regex": "a", "to": "b-c"}]}"#,
            "config: patterns[0].to: \"b-c\" is no metric name; use [a-zA-Z_:][a-zA-Z0-9_:]*",
        ),
        (
            r#"{"patterns": [{"regex": "a(", "to": "b"}]}"#,
            "config: patterns[0].regex: character 2: `(` is never closed; add `)`, or write `\\(`",
        ),
        (
            r#"{"patterns": [{"regex": "(a)(?P<rest>.*)", "to": "${2}_${what}"}]}"#,
            "config: patterns[0].to: the expression has no group \"what\": it has $1, ${rest}",
        ),
        (
            r#"{"patterns": [{"regex": "a", "to": "b_$1"}]}"#,
            "config: patterns[0].to: the expression has no group \"1\": it has none; put ( ) around what is to be taken over",
        ),
        (
            r#"{"patterns": [{"regex": "(.*)", "to": "$1_total"}]}"#,
            "config: patterns[0].to: the expression has no group \"1_total\": to have text behind a group, write ${1}_total",
        ),
        (r#"{"patterns": [{"regex": "a"}]}"#, "config: patterns[0]: missing field `to`"),
    ] {
        assert_eq!(filter::<Rename>(config, "up 1").unwrap_err().to_string(), message);
    }
}

#[test]
fn the_schema_is_made_of_the_configurations_type() {
    assert_schema::<Rename>("src/config.schema.json");
}
