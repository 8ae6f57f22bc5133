//! The table of the pattern's semantics, row by row, and what authors are told.

use proptest::prelude::*;

use super::*;

fn parse_all<S: AsRef<str>>(entries: &[S]) -> Parsed {
    super::parse_all(entries, &mut Budget::unlimited())
}

/// A series as `name{label="value"}` in pairs.
type Series = &'static [(&'static str, &'static str)];

fn takes(pattern: &Pattern, series: Series) -> bool {
    let find = |name: &str| series.iter().find(|(n, _)| *n == name).map(|(_, value)| *value);
    pattern.selector.matches(find)
}

fn cure(entry: &str) -> String {
    parse(entry).expect_err(entry).cure
}

#[test]
fn every_valid_row_of_the_semantics_table_decides_as_it_says() {
    let rows: &[(&str, Series, bool)] = &[
        ("http_requests_total", &[("__name__", "http_requests_total"), ("job", "a")], true),
        ("http_requests_total", &[("__name__", "http_requests_total_bucket")], false),
        ("foo.*", &[("__name__", "foo_bar")], true),
        ("foo.*", &[("__name__", "my_foo_bar")], false),
        ("http_*", &[("__name__", "http_requests_total")], false),
        ("http.requests", &[("__name__", "http_requests")], true),
        (r#"{"http.requests"}"#, &[("__name__", "http.requests")], true),
        (r#"{"http.requests"}"#, &[("__name__", "http_requests")], false),
        (r#"{job="webapp"}"#, &[("__name__", "anything"), ("job", "webapp")], true),
        (r#"{job="webapp"}"#, &[("job", "webapp")], false),
        (r#"{job=~"a|b"}"#, &[("__name__", "up"), ("job", "ab")], false),
        (r#"{job=~"a|b"}"#, &[("__name__", "up"), ("job", "b")], true),
        (r#"up{job!="x"}"#, &[("__name__", "up")], true),
        (r#"up{job=""}"#, &[("__name__", "up")], true),
        (r#"{a="x,y"}"#, &[("__name__", "m"), ("a", "x")], false),
        (r#"{a="q\"z"}"#, &[("__name__", "m"), ("a", "q\"z")], true),
    ];
    for (entry, series, taken) in rows {
        let pattern = parse(entry).unwrap_or_else(|problem| panic!("{entry}: {problem}"));
        assert_eq!(takes(&pattern, series), *taken, "{entry} on {series:?}");
    }
}

#[test]
fn every_invalid_row_of_the_semantics_table_is_refused() {
    let rows = [
        "*_total",
        r#"{job=""}"#,
        "{}",
        "{job}",
        r#"{job="a""#,
        r#"up{__name__="up"}"#,
        "up[5m]",
        "sum(up)",
        ".*",
        "",
        "   ",
    ];
    for entry in rows {
        let problem = parse(entry).expect_err(entry);
        assert_eq!(problem.severity, Severity::Invalid, "{entry}");
    }
}

#[test]
fn the_promised_suggestions_are_made() {
    assert!(cure("*_total").contains("`.*_total`"), "{}", cure("*_total"));
    assert!(cure(".*").contains("`.+`"));
    assert!(cure("up[5m]").contains("`up`"));
    assert!(cure("a*b").contains(r#"`{__name__=~"a*b"}`"#), "{}", cure("a*b"));
    assert!(cure(r#"up {job="x"}"#).contains(r#"`up{job="x"}`"#));
    assert!(cure(r#""http.requests""#).contains(r#"`{"http.requests"}`"#));
    assert!(cure("foo{2}").contains(r#"`{__name__=~"foo{2}"}`"#), "{}", cure("foo{2}"));
}

#[test]
fn what_is_valid_but_unintended_gets_one_warning() {
    let rows = [
        ("http_*", "`http_.*`"),
        ("http.requests", r#"`{"http.requests"}`"#),
        (r#"foo.+{job="x"}"#, r#"`{__name__=~"foo.+",job="x"}`"#),
        ("*_total*", ""),
    ];
    for (entry, suggestion) in rows {
        let Ok(pattern) = parse(entry) else {
            assert!(suggestion.is_empty(), "{entry}");
            continue;
        };
        let [warning] = pattern.warnings.as_slice() else { panic!("{entry}: {:?}", pattern.warnings) };
        assert_eq!(warning.severity, Severity::Warning);
        assert!(warning.cure.contains(suggestion), "{entry}: {warning}");
    }
    for entry in ["foo.*", "up", "(a|b)_total", r"foo\w*", "[a-z]*x", r"a[*]b", ".+"] {
        assert_eq!(parse(entry).unwrap_or_else(|p| panic!("{entry}: {p}")).warnings, [], "{entry}");
    }
}

#[test]
fn positions_count_from_the_start_of_the_entry_as_written() {
    assert_eq!(parse(r#"  {job}"#).unwrap_err().position, 7);
    assert_eq!(parse(r#"{job="a",}}"#).unwrap_err().position, 11);
    assert_eq!(parse("http_*").unwrap().warnings[0].position, 6);
    assert_eq!(parse(" http_*").unwrap().warnings[0].position, 7);
}

#[test]
fn a_bad_entry_leaves_the_others_alone_and_a_repeated_one_counts_once() {
    let parsed = parse_all(&["up", "*_total", r#"{__name__="up"}"#, "up", "foo.*"]);
    assert_eq!(parsed.selectors, [Selector::name("up").unwrap(), parse("foo.*").unwrap().selector]);
    let indexes: Vec<_> = parsed.problems.iter().map(|(index, problem)| (*index, problem.severity)).collect();
    assert_eq!(indexes, [(1, Severity::Invalid), (2, Severity::Warning), (3, Severity::Warning)]);
    assert_eq!(parsed.invalid().count(), 1);
}

#[test]
fn a_list_without_a_valid_entry_selects_nothing() {
    assert_eq!(parse_all(&["{}", ""]).selectors, []);
    assert_eq!(parse_all::<&str>(&[]), Parsed::default());
}

#[test]
fn every_expression_is_told_what_it_is() {
    let rows = [
        ("sum(up)", "a function"),
        ("rate(http_requests_total[5m])", "a function"),
        ("up[5m]", "a range"),
        ("up[1h:5m]", "a subquery"),
        ("a+b", "a calculation"),
        ("(up)", "in parentheses"),
        ("42", "a number"),
        ("up@5", "a time"),
        ("up==1", "a calculation"),
        ("up or down", "a calculation"),
        ("up offset 5m", "a time"),
    ];
    for (entry, what) in rows {
        let problem = parse(entry).expect_err(entry);
        assert!(problem.cause.contains(what), "{entry}: {problem}");
    }
}

proptest! {
    #[test]
    fn no_entry_can_do_harm(entry in "\\PC{0,40}|[a-z_{}()\\[\\]\"'`=~!,.*+?|\\\\@:0-9 -]{0,30}") {
        match parse(&entry) {
            Ok(pattern) => {
                prop_assert_eq!(Selector::parse(&pattern.selector.to_string()).ok(), Some(pattern.selector));
            }
            Err(problem) => {
                prop_assert!(problem.position >= 1 && problem.position <= entry.chars().count() + 1);
                prop_assert!(!problem.cause.contains('\n') || entry.contains('\n'));
            }
        }
    }
}
