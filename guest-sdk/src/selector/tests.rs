//! Selectors as people write them: how they are read, printed again, refused, and matched.

use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Selector {
    Selector::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Text, and how it is printed.
fn prints(text: &str, canonical: &str) {
    let selector = parse(text);
    assert_eq!(selector.to_string(), canonical, "{text}");
    assert_eq!(parse(canonical), selector, "{text}");
}

/// Text, where it fails, and a word of the cause.
fn fails(text: &str, position: usize, word: &str) {
    let error = Selector::parse(text).expect_err(text);
    assert!(error.cause.contains(word), "{text}: {error}");
    assert_eq!(error.position, position, "{text}: {error}");
}

#[test]
fn every_form_prints_as_one_canonical_form() {
    prints("up", r#"{__name__="up"}"#);
    prints("up{}", r#"{__name__="up"}"#);
    prints("up { }", r#"{__name__="up"}"#);
    prints(r#"up{job="a"}"#, r#"{__name__="up",job="a"}"#);
    prints(r#"{job="a",__name__="up"}"#, r#"{__name__="up",job="a"}"#);
    prints(r#"{"http.requests", job="a",}"#, r#"{__name__="http.requests",job="a"}"#);
    prints("{'up'}", r#"{__name__="up"}"#);
    prints("{\n a != 'x' , # why\n\tb=~`y\\d|z`,\n}# end", r#"{a!="x",b=~"y\\d|z"}"#);
    prints(r#"{__name__="a",__name__=~"b"}"#, r#"{__name__="a",__name__=~"b"}"#);
    prints(r#"{b="1",a="2",b="1"}"#, r#"{a="2",b="1"}"#);
    prints(r#"{"a.b"="1"}"#, r#"{"a.b"="1"}"#);
    prints(r#"{"ab"="1"}"#, r#"{ab="1"}"#);
    prints(r#"sum{by="1",or="2",offset="3"}"#, r#"{__name__="sum",by="1",offset="3",or="2"}"#);
    prints(r#"a:b{c="d"}"#, r#"{__name__="a:b",c="d"}"#);
    prints(r#"{a=~"(?<n>x)"}"#, r#"{a=~"(?P<n>x)"}"#);
}

#[test]
fn strings_are_read_as_promql_reads_them() {
    let rows = [
        (r#""\a\b\f\n\r\t\v\\\"""#, "\x07\x08\x0C\n\r\t\x0B\\\""),
        (r#"'\''"#, "'"),
        (r#"'"'"#, "\""),
        (r#""\101\x41\u0041\U00000041""#, "AAAA"),
        (r#""\xc3\xa9\303\251""#, "éé"),
        ("`\\n\"\n`", "\\n\"\n"),
        (r#""日本 😀""#, "日本 😀"),
        ("\"#x\"", "#x"),
        (r#""a}b,c""#, "a}b,c"),
    ];
    for (quoted, value) in rows {
        let selector = parse(&format!("m{{l={quoted}}}"));
        assert_eq!(selector.matchers()[1].value(), value, "{quoted}");
        assert_eq!(parse(&selector.to_string()), selector, "{quoted}");
    }
}

#[test]
fn bad_strings_are_refused_where_they_are_bad() {
    fails(r#"{a="\q"}"#, 5, "not an escape");
    fails(r#"{a="\'"}"#, 5, "not an escape");
    fails(r#"{a="x\400"}"#, 6, "not an escape");
    fails(r#"{a="\18"}"#, 5, "not an escape");
    fails(r#"{a="\ud800"}"#, 5, "not an escape");
    fails(r#"{a="\xff"}"#, 4, "UTF-8");
    fails("{a=\"x\ny\"}", 6, "line break");
    fails(r#"{a="x}"#, 4, "never closed");
    fails("{a=`x}", 4, "never closed");
    fails(r#"{a="\"#, 5, "not an escape");
}

#[test]
fn what_is_no_bare_selector_is_refused_with_the_right_words() {
    fails(r#"up{a="b"} offset 5m"#, 11, "offset");
    fails("up OFFSET 5m", 4, "offset");
    fails("up[5m]", 3, "range");
    fails(r#"up{a="b"} @ 5"#, 11, "`@`");
    fails(r#"up{a="b"} or down"#, 11, "two selectors");
    fails(r#"{a="b" or c="d"}"#, 8, "`or`");
    fails("sum(up)", 4, "function");
    fails(r#"up{a="b"} == 1"#, 11, "expression");
    fails(r#"{a="b"}{c="d"}"#, 8, "second pair");
    fails(r#"{a="b"}}"#, 8, "closes nothing");
    fails("up,down", 3, "two selectors");
    fails("", 1, "nothing to select");
    fails("5", 1, "cannot begin");
}

#[test]
fn what_is_wrong_inside_braces_is_named() {
    fails("{job}", 5, "no operator");
    fails(r#"{job="a""#, 1, "never closed");
    fails("{", 1, "never closed");
    fails("up{job", 3, "never closed");
    fails("{,}", 2, "comma without");
    fails(r#"{a="b",,}"#, 8, "comma without");
    fails(r#"{a="b" c="d"}"#, 8, "comma is missing");
    fails("{a=b}", 4, "not in quotes");
    fails(r#"{a=="b"}"#, 4, "not in quotes");
    fails(r#"{="b"}"#, 2, "name is missing");
    fails(r#"{1a="b"}"#, 2, "cannot begin");
    fails(r#"{a:b="c"}"#, 3, "not an operator");
    fails(r#"{a="b",{c="d"}}"#, 8, "braces inside");
    fails(r#"é{a="b"}"#, 1, "cannot begin");
    fails(r#"{é="b"}"#, 2, "cannot begin");
    fails(r#"{a="é",b=~"x("}"#, 11, "never closed");
    fails(r#"{""="b"}"#, 5, "no name");
}

#[test]
fn a_name_given_twice_is_refused() {
    fails(r#"up{__name__="up"}"#, 4, "twice");
    fails(r#"up{a="b",__name__!~"x"}"#, 10, "twice");
    fails(r#"up{"down"}"#, 4, "twice");
    fails(r#"{"up","down"}"#, 7, "twice");
    fails(r#"{"up",__name__="down"}"#, 7, "twice");
}

#[test]
fn a_selector_that_takes_nearly_everything_is_refused() {
    for text in ["{}", r#"{a=""}"#, r#"{a!="b"}"#, r#"{a=~".*"}"#, r#"{a=~"x|"}"#, r#"{a!~".+"}"#, r#"{""}"#]
    {
        Selector::parse(text).expect_err(text);
    }
    for text in [r#"{a!=""}"#, r#"{a=~".+"}"#, r#"{a!~""}"#, r#"{a="",b="c"}"#, r#"{a!~".*"}"#] {
        parse(text);
    }
    assert!(Selector::parse(r#"{a=~".*"}"#).unwrap_err().cure.contains(r#"`a=~".+"`"#));
}

#[test]
fn a_missing_label_is_the_empty_text_and_a_nameless_series_is_nobodys() {
    let get = |pairs: &'static [(&'static str, &'static str)]| {
        move |name: &str| pairs.iter().find(|(n, _)| *n == name).map(|(_, v)| *v)
    };
    assert!(parse(r#"up{job=""}"#).matches(get(&[("__name__", "up")])));
    assert!(parse(r#"up{job!="x"}"#).matches(get(&[("__name__", "up")])));
    assert!(parse(r#"up{job!~"x.*"}"#).matches(get(&[("__name__", "up")])));
    assert!(!parse(r#"up{job=~".+"}"#).matches(get(&[("__name__", "up")])));
    assert!(!parse(r#"{job="a"}"#).matches(get(&[("job", "a")])));
    assert!(!parse(r#"{job="a"}"#).matches(get(&[("__name__", ""), ("job", "a")])));
    assert!(!parse(r#"{__name__="up",__name__="down"}"#).matches(get(&[("__name__", "up")])));
}

#[test]
fn the_names_that_can_match_are_known_where_they_can_be_listed() {
    let names = |text: &str| parse(text).names().map(<[String]>::to_vec);
    assert_eq!(names("up"), Some(vec!["up".to_owned()]));
    assert_eq!(names(r#"{__name__=~"b|a_(x|y)"}"#), Some(vec!["a_x".into(), "a_y".into(), "b".into()]));
    assert_eq!(names(r#"{__name__=~"a.*"}"#), None);
    assert_eq!(names(r#"{__name__!="a",b="c"}"#), None);
    assert_eq!(names(r#"{__name__=~"a|b",__name__="c"}"#), Some(vec!["c".into()]));
    assert_eq!(parse(r#"up{a="b"}"#).exact_name(), Some("up"));
}

#[test]
fn narrowing_keeps_the_canonical_form() {
    let extra = [
        Matcher::new("namespace", MatchOp::Equal, "a").unwrap(),
        Matcher::new(METRIC_NAME, MatchOp::NotEqual, "down").unwrap(),
    ];
    let narrowed = parse(r#"{z="1",__name__=~"u.*"}"#).and(&extra);
    assert_eq!(narrowed, parse(r#"{__name__!="down",__name__=~"u.*",namespace="a",z="1"}"#));
}

prop_compose! {
    fn matcher()(
        name in "[a-c_]{1,3}|__name__|[a-z.é\" ]{1,4}",
        op in 0..4u8,
        value in "\\PC{0,6}|[a-z|.*+()\\\\\n\t\"'`\\x00-\\x1f]{0,8}",
    ) -> Option<Matcher> {
        let op = [MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex][op as usize];
        Matcher::new(&name, op, &value).ok()
    }
}

proptest! {
    #[test]
    fn what_is_printed_reads_back_as_the_same(matchers in prop::collection::vec(matcher(), 1..5)) {
        if let Ok(selector) = Selector::from_matchers(matchers.into_iter().flatten().collect()) {
            prop_assert_eq!(Selector::parse(&selector.to_string()), Ok(selector));
        }
    }

    #[test]
    fn no_text_can_do_harm(text in "\\PC{0,30}|[a-c_:{}\"'`=~!,\\\\x0-9 #\n]{0,30}") {
        match Selector::parse(&text) {
            Ok(selector) => prop_assert_eq!(Selector::parse(&selector.to_string()), Ok(selector)),
            Err(error) => prop_assert!(error.position >= 1 && error.position <= text.chars().count() + 1),
        }
    }
}
