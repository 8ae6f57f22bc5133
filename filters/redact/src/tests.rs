use sluice_filter::testing::{assert_schema, filter};

use super::*;

/// What becomes of a series under one rule.
#[track_caller]
fn check(rule: &str, series: &str, expected: &str) {
    let config = format!(r#"{{"salt": "0123456789abcdef", "rules": [{rule}]}}"#);
    assert_eq!(filter::<Redact>(&config, &format!("{series} 1")).unwrap(), format!("{expected} 1\n"));
}

#[test]
fn a_hash_is_the_same_for_the_same_value_whatever_the_label() {
    let rule = r#"{"labels": ["user", "owner"], "action": "hash"}"#;
    check(
        rule,
        r#"m{job="alice",owner="alice",user="alice"}"#,
        r#"m{job="alice",owner="fdbf8b1cacd3d578",user="fdbf8b1cacd3d578"}"#,
    );
}

#[test]
fn a_mask_is_a_text_and_an_empty_one_removes_the_label() {
    check(r#"{"labels": ["user"], "action": "mask"}"#, r#"m{user="a"}"#, r#"m{user="***"}"#);
    check(r#"{"labels": ["user"], "action": "mask", "with": "x"}"#, r#"m{user="a"}"#, r#"m{user="x"}"#);
    check(r#"{"labels": ["user"], "action": "mask", "with": ""}"#, r#"m{user="a"}"#, "m");
}

#[test]
fn every_label_is_all_but_the_name() {
    check(r#"{"labels": ["*"], "action": "mask"}"#, r#"m{a="1",b="2"}"#, r#"m{a="***",b="***"}"#);
}

#[test]
fn what_the_groups_take_is_hidden_and_without_groups_all_that_matches() {
    let mail = r#"{"labels": ["*"], "regex": ".+@.+", "action": "mask"}"#;
    check(mail, r#"m{a="x@y",b="2"}"#, r#"m{a="***",b="2"}"#);
    let user = r#"{"labels": ["path"], "regex": "/users/([^/]*)(?:/orders/([0-9]+))?.*", "action": "mask"}"#;
    check(user, r#"m{path="/users/ann/orders/17/x"}"#, r#"m{path="/users/***/orders/***/x"}"#);
    check(user, r#"m{path="/users/ann/x"}"#, r#"m{path="/users/***/x"}"#);
    check(user, r#"m{path="/users/"}"#, r#"m{path="/users/"}"#);
    check(user, r#"m{path="/health"}"#, r#"m{path="/health"}"#);
    check(
        r#"{"labels": ["a"], "regex": "<((.)(.+))>|no", "action": "mask"}"#,
        r#"m{a="<xyz>"}"#,
        r#"m{a="<***>"}"#,
    );
    check(r#"{"labels": ["a"], "regex": "<(.+)>|no", "action": "mask"}"#, r#"m{a="no"}"#, r#"m{a="***"}"#);
}

#[test]
fn rules_are_applied_in_order() {
    check(
        r#"{"labels": ["a"], "regex": "x", "action": "mask", "with": "y"}, {"labels": ["a"], "regex": "y", "action": "mask"}"#,
        r#"m{a="x"}"#,
        r#"m{a="***"}"#,
    );
}

#[test]
fn a_bad_configuration_is_refused_with_its_place() {
    for (config, message) in [
        (
            r#"{"salt": "short", "rules": []}"#,
            "config: salt: it can be guessed; write 16 random characters or more",
        ),
        (
            r#"{"rules": [{"labels": ["a"], "action": "hash"}]}"#,
            "config: rules[0].action: a hash without a salt can be looked up; write salt beside rules",
        ),
        (
            r#"{"rules": [{"labels": ["a", "__name__"], "action": "mask"}]}"#,
            "config: rules[0].labels[1]: a metric's name cannot be hidden; use the filter rename",
        ),
        (
            r#"{"rules": [{"labels": [], "action": "mask"}]}"#,
            "config: rules[0].labels: none is named; name some, or write \"*\" for all",
        ),
        (
            r#"{"rules": [{"labels": ["a"], "action": "mask", "regex": "a("}]}"#,
            "config: rules[0].regex: character 2: `(` is never closed; add `)`, or write `\\(`",
        ),
        (
            r#"{"rules": [{"labels": ["a"], "action": "remove"}]}"#,
            "config: rules[0].action: `remove` is not known here: write `hash` or `mask`",
        ),
    ] {
        assert_eq!(filter::<Redact>(config, "up 1").unwrap_err().to_string(), message);
    }
    let groups = "(a)".repeat(33);
    let config = format!(r#"{{"rules": [{{"labels": ["a"], "action": "mask", "regex": "{groups}"}}]}}"#);
    let error = filter::<Redact>(&config, "up 1").unwrap_err().to_string();
    assert_eq!(error, "config: rules[0].regex: it may have more than 32 groups; write several rules");
}

#[test]
fn the_salt_is_shown_to_nobody() {
    let config: Config = serde_json::from_str(r#"{"salt": "0123456789abcdef", "rules": []}"#).unwrap();
    assert!(!format!("{config:?}{:?}", keyed::Key::new("0123456789abcdef")).contains("0123"));
}

#[test]
fn the_schema_is_made_of_the_configurations_type() {
    assert_schema::<Redact>("src/config.schema.json");
}
