//! Which queries selectors become, and which of them several pipelines share.

use super::*;
use crate::model::Labels;

fn source(labels: &[(&str, &str)]) -> Source {
    let labels = Labels::from_pairs(labels.iter().copied()).unwrap();
    Source { labels, ..Source::plain("s", "http://127.0.0.1:1/") }
}

/// The queries of a plan, each with all its values.
fn queries_at(source: &Source, selectors: &[&str]) -> Vec<String> {
    let selectors: Vec<_> = selectors.iter().map(|text| Selector::parse(text).unwrap()).collect();
    let asks = plan(&selectors, source, "namespace");
    asks.iter().map(|ask| ask.shape.query(&ask.values)).collect()
}

fn queries(selectors: &[&str]) -> Vec<String> {
    queries_at(&source(&[]), selectors)
}

fn hole(selector: &str) -> Option<String> {
    let (shape, _) = Shape::of(&Selector::parse(selector).unwrap(), "namespace");
    shape.hole.map(|hole| hole.to_string())
}

#[test]
fn selectors_that_differ_in_the_name_become_one_query() {
    assert_eq!(queries(&["up"]), [r#"{__name__="up"}"#]);
    assert_eq!(queries(&["up", "up"]), [r#"{__name__="up"}"#]);
    assert_eq!(queries(&["up", "b"]), [r#"{__name__=~"b|up"}"#]);
    assert_eq!(
        queries(&[
            r#"up{job="a"}"#,
            r#"go.x{job="a"}"#.replace("go.x", "go_x").as_str(),
            r#"{__name__=~"c.*",job="a"}"#
        ]),
        [r#"{__name__=~"go_x|up|c.*",job="a"}"#]
    );
    assert_eq!(
        queries(&[r#"{__name__=~"a|b"}"#, r#"{__name__=~"(?i)c"}"#]),
        [r#"{__name__=~"(?:(?i)c)|(?:a|b)"}"#]
    );
}

#[test]
fn selectors_that_differ_in_more_stay_apart() {
    assert_eq!(
        queries(&[r#"up{job=~"a"}"#, r#"up{job=~"b"}"#]),
        [r#"{__name__="up",job=~"a"}"#, r#"{__name__="up",job=~"b"}"#]
    );
    assert_eq!(
        queries(&[r#"{__name__!="up",job=~"a"}"#, r#"{__name__=~"b",job=~"a"}"#]),
        [r#"{__name__!="up",job=~"a"}"#, r#"{__name__=~"b",job=~"a"}"#]
    );
}

#[test]
fn equality_values_of_one_shape_become_an_alternation() {
    assert_eq!(queries(&[r#"{namespace="b.c"}"#, r#"{namespace="a"}"#]), [r#"{namespace=~"a|b\\.c"}"#]);
    assert_eq!(
        queries(&[r#"up{namespace="a",x="1"}"#, r#"up{namespace="b",x="1"}"#]),
        [r#"{__name__="up",x="1",namespace=~"a|b"}"#]
    );
}

#[test]
fn the_hole_is_an_equality_on_another_label_than_the_name() {
    for (selector, label) in [
        ("up", Some("__name__")),
        (r#"{job="a"}"#, Some("job")),
        (r#"{__name__=~"u.*"}"#, None),
        (r#"up{job="a"}"#, Some("job")),
        (r#"up{job="a",namespace="n"}"#, Some("namespace")),
        (r#"up{job="a",instance="n"}"#, Some("instance")),
        (r#"up{job=~"a"}"#, None),
        (r#"up{job=""}"#, None),
    ] {
        assert_eq!(hole(selector).as_deref(), label, "{selector}");
    }
}

#[test]
fn labels_the_source_only_gets_later_are_not_asked_of_it() {
    let source = source(&[("cluster", "eu")]);
    for (selector, query) in [
        (r#"up{cluster="eu"}"#, r#"{__name__="up",cluster=~"eu|"}"#),
        (r#"up{cluster=~"e.|us"}"#, r#"{__name__="up",cluster=~"(?:e.|us)|"}"#),
        (r#"up{cluster!="us"}"#, r#"{__name__="up",cluster!="us"}"#),
        (r#"up{cluster!=""}"#, r#"{__name__="up"}"#),
        (r#"up{cluster="us"}"#, r#"{__name__="up",cluster="us"}"#),
        (r#"{cluster="eu"}"#, r#"{__name__!="",cluster=~"eu|"}"#),
    ] {
        assert_eq!(queries_at(&source, &[selector]), [query], "{selector}");
    }
}

#[test]
fn long_queries_are_cut_between_values() {
    let shape = Shape { hole: Some("namespace".into()), fixed: String::new(), conditions: Arc::default() };
    let values: Vec<Arc<str>> = (0..5000).map(|i| format!("team.{i:04}").into()).collect();
    let fitting = shape.fitting(&values);
    assert!((2000..5000).contains(&fitting));
    assert!(shape.query(&values[..fitting]).len() < render::QUERY_BYTES_MAX + 64);
    assert_eq!(shape.fitting(&["x".repeat(100_000).into()]), 1);
}

#[test]
fn what_is_printed_is_read_back() {
    let values: Vec<Arc<str>> = vec!["a\"b\\c\nd".into(), "x.y|z".into()];
    let shape = Shape { hole: Some("namespace".into()), fixed: String::new(), conditions: Arc::default() };
    let one = Selector::parse(&shape.query(&values[..1])).unwrap();
    assert_eq!(one.matchers()[0].value(), &*values[0]);
    let both = Selector::parse(&shape.query(&values)).unwrap();
    for (value, taken) in [(&*values[0], true), (&*values[1], true), ("xAy|z", false), ("x.y", false)] {
        assert_eq!(both.matchers()[0].matches(value), taken, "{value}");
    }
}
