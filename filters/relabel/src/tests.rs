use std::collections::BTreeMap;

use proptest::prelude::*;
use sluice_filter::testing::{assert_schema, filter};

use super::*;

/// The labels after these rules (a JSON list), or `dropped`.
fn after(rules: &str, labels: &[(&str, &str)]) -> String {
    let rules: Vec<RuleConfig> =
        serde_json::from_str(rules).unwrap_or_else(|error| panic!("{rules}: {error}"));
    let rules = compile(&rules).unwrap_or_else(|error| panic!("{error}"));
    let name = [("__name__", "m")];
    let mut labels: BTreeMap<String, String> =
        name.iter().chain(labels).map(|(name, value)| (name.to_string(), value.to_string())).collect();
    match relabel(&rules, &mut labels) {
        Decision::Drop => "dropped".to_owned(),
        Decision::Keep => {
            let pairs =
                labels.iter().filter(|(name, value)| (name.as_str(), value.as_str()) != ("__name__", "m"));
            pairs.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
        }
    }
}

#[track_caller]
fn check(rules: &str, labels: &[(&str, &str)], expected: &str) {
    assert_eq!(after(rules, labels), expected, "{rules}");
}

const AB: &[(&str, &str)] = &[("a", "foo"), ("b", "bar"), ("c", "baz")];

#[test]
fn replace_writes_what_the_groups_took() {
    check(
        r#"[{"source_labels":["a"],"target_label":"d","regex":"f(.*)","replacement":"ch${1}-ch${1}"}]"#,
        AB,
        "a=foo b=bar c=baz d=choo-choo",
    );
    check(
        r#"[{"source_labels":["a","b"],"target_label":"a","regex":"f(.*);(.*)r","replacement":"b${1}${2}m"}]"#,
        AB,
        "a=boobam b=bar c=baz",
    );
    check(r#"[{"sourceLabels":["a"],"targetLabel":"d"}]"#, AB, "a=foo b=bar c=baz d=foo");
    check(
        r#"[{"source_labels":["a","b"],"separator":"-","target_label":"d"}]"#,
        AB,
        "a=foo b=bar c=baz d=foo-bar",
    );
    check(
        r#"[{"source_labels":["a","b"],"separator":"","target_label":"d"}]"#,
        AB,
        "a=foo b=bar c=baz d=foobar",
    );
    check(
        r#"[{"source_labels":["a"],"regex":"(?P<x>.)(.*)","target_label":"d","replacement":"$x/$2/$0/$$"}]"#,
        AB,
        "a=foo b=bar c=baz d=f/oo/foo/$",
    );
    check(
        r#"[{"source_labels":["a"],"target_label":"d","replacement":"x$1y"}]"#,
        AB,
        "a=foo b=bar c=baz d=x",
    );
    check(
        r#"[{"source_labels":["a"],"target_label":"d","replacement":"x${1}y"}]"#,
        AB,
        "a=foo b=bar c=baz d=xfooy",
    );
}

#[test]
fn replace_that_does_not_match_does_nothing() {
    check(
        r#"[{"source_labels":["a"],"regex":"fo","target_label":"d","replacement":"x"}]"#,
        AB,
        "a=foo b=bar c=baz",
    );
    check(
        r#"[{"source_labels":["a"],"regex":"oo","target_label":"a","replacement":""}]"#,
        AB,
        "a=foo b=bar c=baz",
    );
}

#[test]
fn an_empty_replacement_removes_the_target() {
    check(
        r#"[{"source_labels":["a"],"regex":"foo","target_label":"b","replacement":""}]"#,
        AB,
        "a=foo c=baz",
    );
    check(r#"[{"target_label":"b","replacement":""}]"#, AB, "a=foo c=baz");
    check(r#"[{"source_labels":["zzz"],"target_label":"b"}]"#, AB, "a=foo c=baz");
}

#[test]
fn a_replacement_without_source_is_written_always() {
    check(r#"[{"target_label":"d","replacement":"x"}]"#, AB, "a=foo b=bar c=baz d=x");
    check(r#"[{"target_label":"d","regex":"","replacement":"x"}]"#, AB, "a=foo b=bar c=baz d=x");
    check(
        r#"[{"source_labels":["a"],"target_label":"d","regex":"","replacement":"x"}]"#,
        AB,
        "a=foo b=bar c=baz",
    );
}

#[test]
fn the_target_may_be_made_of_groups() {
    check(
        r#"[{"source_labels":["a"],"regex":"f(.*)","target_label":"${1}_l","replacement":"$1"}]"#,
        AB,
        "a=foo b=bar c=baz oo_l=oo",
    );
    check(
        r#"[{"source_labels":["x"],"regex":"(.*)-(.*)","target_label":"$1","replacement":"$2"}]"#,
        &[("x", "b-2")],
        "b=2 x=b-2",
    );
    // What comes out is no label name: the rule does nothing.
    check(
        r#"[{"source_labels":["x"],"regex":"(.*)-(.*)","target_label":"$1","replacement":"$2"}]"#,
        &[("x", "1-2")],
        "x=1-2",
    );
    check(r#"[{"source_labels":["x"],"target_label":"$1","replacement":"y"}]"#, &[], "");
}

#[test]
fn regexes_are_anchored_and_read_as_go_reads_them() {
    check(r#"[{"source_labels":["a"],"regex":"o","action":"drop"}]"#, AB, "a=foo b=bar c=baz");
    check(r#"[{"source_labels":["a"],"regex":"FOO","action":"drop"}]"#, AB, "a=foo b=bar c=baz");
    check(r#"[{"source_labels":["a"],"regex":"(?i)FOO","action":"drop"}]"#, AB, "dropped");
    check(r#"[{"source_labels":["l"],"regex":"\\d+","action":"keep"}]"#, &[("l", "١")], "dropped");
    check(r#"[{"source_labels":["l"],"regex":"a.b","action":"keep"}]"#, &[("l", "a\nb")], "l=a\nb");
}

#[test]
fn keep_and_drop_decide_by_the_joined_values() {
    check(r#"[{"source_labels":["a"],"regex":"f.*","action":"keep"}]"#, AB, "a=foo b=bar c=baz");
    check(r#"[{"source_labels":["a"],"regex":"b.*","action":"keep"}]"#, AB, "dropped");
    check(r#"[{"source_labels":["a","b"],"regex":"foo;bar","action":"drop"}]"#, AB, "dropped");
    check(r#"[{"source_labels":["nope"],"regex":"","action":"drop"}]"#, AB, "dropped");
    check(r#"[{"action":"drop"}]"#, AB, "dropped");
    check(r#"[{"action":"keep"}]"#, AB, "a=foo b=bar c=baz");
}

#[test]
fn equality_is_with_the_target() {
    let same = &[("a", "1"), ("b", "1"), ("c", "2")];
    check(r#"[{"source_labels":["a"],"target_label":"b","action":"keepequal"}]"#, same, "a=1 b=1 c=2");
    check(r#"[{"source_labels":["a"],"target_label":"c","action":"KeepEqual"}]"#, same, "dropped");
    check(r#"[{"source_labels":["a"],"target_label":"b","action":"dropequal"}]"#, same, "dropped");
    check(r#"[{"source_labels":["a"],"target_label":"c","action":"dropequal"}]"#, same, "a=1 b=1 c=2");
    check(r#"[{"source_labels":["x"],"target_label":"y","action":"dropequal"}]"#, same, "dropped");
}

#[test]
fn hashmod_is_the_end_of_the_md5() {
    // md5("foo") = acbd18db4cc2f85cedef654fccc4a4d8
    let expected = 0xedef_654f_ccc4_a4d8_u64 % 1000;
    check(
        r#"[{"source_labels":["a"],"target_label":"d","modulus":1000,"action":"hashmod"}]"#,
        AB,
        &format!("a=foo b=bar c=baz d={expected}"),
    );
    let expected = 0xedef_654f_ccc4_a4d8_u64;
    check(
        r#"[{"source_labels":["a"],"target_label":"d","modulus":18446744073709551615,"action":"hashmod"}]"#,
        AB,
        &format!("a=foo b=bar c=baz d={expected}"),
    );
}

#[test]
fn label_names_are_mapped_dropped_and_kept() {
    let labels = &[("meta_x", "1"), ("meta_y", "2"), ("z", "3")];
    check(r#"[{"regex":"meta_(.+)","action":"labelmap"}]"#, labels, "meta_x=1 meta_y=2 x=1 y=2 z=3");
    check(
        r#"[{"regex":"meta_(.+)","action":"labelmap","replacement":"n_${1}"}]"#,
        labels,
        "meta_x=1 meta_y=2 n_x=1 n_y=2 z=3",
    );
    check(r#"[{"regex":"meta_x","action":"labelmap","replacement":"z"}]"#, labels, "meta_x=1 meta_y=2 z=1");
    check(r#"[{"regex":"meta_.*","action":"labeldrop"}]"#, labels, "z=3");
    check(r#"[{"regex":"__name__|meta_x","action":"labelkeep"}]"#, labels, "meta_x=1");
    check(r#"[{"regex":"eta_.*","action":"labeldrop"}]"#, labels, "meta_x=1 meta_y=2 z=3");
    // A name that is none is left out.
    check(
        r#"[{"regex":"meta(_x)?(.*)","action":"labelmap","replacement":"$2"}]"#,
        labels,
        "_y=2 meta_x=1 meta_y=2 z=3",
    );
}

#[test]
fn case_is_changed() {
    check(
        r#"[{"source_labels":["a"],"target_label":"d","action":"uppercase"}]"#,
        AB,
        "a=foo b=bar c=baz d=FOO",
    );
    check(r#"[{"source_labels":["a"],"target_label":"a","action":"Lowercase"}]"#, &[("a", "FÖO")], "a=föo");
    check(r#"[{"source_labels":["x"],"target_label":"a","action":"lowercase"}]"#, AB, "b=bar c=baz");
}

#[test]
fn rules_see_what_the_ones_before_left() {
    check(
        r#"[{"source_labels":["a"],"target_label":"d"},{"source_labels":["d"],"regex":"foo","target_label":"e",
        "replacement":"x"},{"regex":"a|d","action":"labeldrop"}]"#,
        AB,
        "b=bar c=baz e=x",
    );
}

#[test]
fn a_series_that_loses_its_name_is_dropped() {
    check(r#"[{"regex":"__name__","action":"labeldrop"}]"#, AB, "dropped");
    check(r#"[{"regex":"a","action":"labelkeep"}]"#, AB, "dropped");
    check(r#"[{"target_label":"__name__","replacement":""}]"#, AB, "dropped");
    check(r#"[{"target_label":"__name__","replacement":"n"}]"#, &[], "__name__=n");
}

#[test]
fn what_prometheus_refuses_is_refused_with_field_and_cure() {
    let rows = [
        (r#"{"action":"nope"}"#, "rules[0].action"),
        (r#"{"action":""}"#, "rules[0].action"),
        (r#"{"action":"hashmod","target_label":"a"}"#, "rules[0].modulus"),
        (r#"{"action":"hashmod","target_label":"a","modulus":0}"#, "rules[0].modulus"),
        (r#"{"action":"hashmod","modulus":2}"#, "rules[0].target_label"),
        (r#"{"action":"hashmod","modulus":2,"target_label":"${1}"}"#, "rules[0].target_label"),
        (r#"{}"#, "rules[0].target_label"),
        (r#"{"target_label":"a-b"}"#, "rules[0].target_label"),
        (r#"{"target_label":"1a"}"#, "rules[0].target_label"),
        (r#"{"target_label":"a-$1"}"#, "rules[0].target_label"),
        (r#"{"target_label":"${1"}"#, "rules[0].target_label"),
        (r#"{"action":"lowercase"}"#, "rules[0].target_label"),
        (r#"{"action":"lowercase","target_label":"$1"}"#, "rules[0].target_label"),
        (r#"{"action":"uppercase","target_label":"a","replacement":"x"}"#, "rules[0].replacement"),
        (r#"{"action":"keepequal"}"#, "rules[0].target_label"),
        (r#"{"action":"keepequal","target_label":"a","regex":"(.*)"}"#, "rules[0].regex"),
        (r#"{"action":"dropequal","target_label":"a","separator":","}"#, "rules[0].separator"),
        (r#"{"action":"dropequal","target_label":"a","modulus":1}"#, "rules[0].modulus"),
        (r#"{"action":"dropequal","target_label":"a","replacement":"x"}"#, "rules[0].replacement"),
        (r#"{"action":"labeldrop","source_labels":["a"]}"#, "rules[0].source_labels"),
        (r#"{"action":"labeldrop","target_label":"a"}"#, "rules[0].target_label"),
        (r#"{"action":"labelkeep","modulus":1}"#, "rules[0].modulus"),
        (r#"{"action":"labelkeep","separator":","}"#, "rules[0].separator"),
        (r#"{"action":"labelkeep","replacement":"x"}"#, "rules[0].replacement"),
        (r#"{"action":"labelmap","replacement":"a-b"}"#, "rules[0].replacement"),
        (r#"{"action":"labelmap","replacement":""}"#, "rules[0].replacement"),
        (r#"{"action":"keep","regex":"("}"#, "rules[0].regex"),
        (r#"{"action":"keep","source_labels":["a-b"]}"#, "rules[0].source_labels"),
    ];
    for (rule, place) in rows {
        let rule: RuleConfig = serde_json::from_str(rule).unwrap();
        let error = compile(std::slice::from_ref(&rule)).expect_err(place);
        assert!(error.to_string().starts_with(&format!("{place}: ")), "{rule:?}: {error}");
    }
    assert_eq!(compile(&vec![RuleConfig::default(); RULES_MAX + 1]).unwrap_err().rule, None);
}

#[test]
fn what_prometheus_accepts_is_accepted() {
    let rows = [
        r#"{"target_label":"${1}_$2x"}"#,
        r#"{"target_label":"a","replacement":"any text, $even ${this}"}"#,
        r#"{"action":"labeldrop","separator":";","replacement":"$1","target_label":"","modulus":0}"#,
        r#"{"action":"keepequal","target_label":"a","separator":";","replacement":"$1"}"#,
        r#"{"action":"labelmap","replacement":"x_$1","source_labels":["ignored"]}"#,
        r#"{"action":"keep","modulus":7,"target_label":"not-checked"}"#,
        r#"{"action":"UPPERCASE","target_label":"a"}"#,
    ];
    for rule in rows {
        let rule: RuleConfig = serde_json::from_str(rule).unwrap();
        compile(&[rule]).unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn the_filter_edits_series_and_names_the_rule_that_is_wrong() {
    let config = r#"{"rules":[{"sourceLabels":["a"],"targetLabel":"d"},{"regex":"a","action":"labeldrop"}]}"#;
    assert_eq!(filter::<Relabel>(config, "m{a=\"1\"} 1\nm 2\n").unwrap(), "m{d=\"1\"} 1\nm 2\n");
    let drop_all = r#"{"rules":[{"regex":"__name__","action":"labeldrop"}]}"#;
    assert_eq!(filter::<Relabel>(drop_all, "m 1\n").unwrap(), "");
    let error = filter::<Relabel>(r#"{"rules":[{"target_label":"x"},{}]}"#, "m 1").unwrap_err().to_string();
    assert_eq!(
        error,
        "config: rules[1].target_label: replace needs a target_label; name the label to write or compare"
    );
    let error = filter::<Relabel>(r#"{"rules":[{"target":"x"}]}"#, "m 1").unwrap_err().to_string();
    assert!(error.contains("rules[0]") && error.contains("unknown field `target`"), "{error}");
}

proptest! {
    /// The short way for the default expression gives what the long way gives.
    #[test]
    fn the_default_expression_is_no_special_case(value in "\\PC{0,8}", replacement in "(\\$1|\\$\\{1\\}|x|\\$1x|\\$0)") {
        let rule = |regex: Option<&str>| RuleConfig {
            source_labels: Some(vec!["a".into()]),
            target_label: Some("b".into()),
            regex: regex.map(str::to_owned),
            replacement: Some(replacement.clone()),
            ..RuleConfig::default()
        };
        let run = |rule: RuleConfig| {
            let mut labels = BTreeMap::from([("__name__".into(), "m".into()), ("a".into(), value.clone())]);
            let rules = compile(&[rule]).unwrap();
            (relabel(&rules, &mut labels), labels)
        };
        prop_assert_eq!(run(rule(None)), run(rule(Some("((?:.*))"))));
    }
}

#[test]
fn the_schema_is_made_of_the_configurations_type() {
    assert_schema::<Relabel>("src/config.schema.json");
}
