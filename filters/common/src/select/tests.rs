use proptest::prelude::*;

use super::*;

/// Whether ours and the SDK's selector take `up{a=…,b=…}`.
fn both(text: &str, [a, b]: [&str; 2]) -> (bool, bool) {
    let get = |label: &str| match label {
        "__name__" => Some("up"),
        "a" => Some(a),
        "b" => Some(b),
        _ => None,
    };
    let ours = Selector::parse(text).unwrap().takes(|label| get(label).unwrap_or_default());
    (ours, sluice_filter::selector::Selector::parse(text).unwrap().matches(get))
}

#[track_caller]
fn check(text: &str, labels: [&str; 2], expected: bool) {
    assert_eq!(both(text, labels), (expected, expected), "{text} on {labels:?}");
}

#[test]
fn what_prometheus_selects_is_selected() {
    check("up", ["", ""], true);
    check("down", ["", ""], false);
    check(r#"{a="x", b!='y' , }"#, ["x", "z"], true);
    check(r#"up { a =~ "x|y.*", b !~ `n\.m` }"#, ["yes", "n-m"], true);
    check(r#"{a=~"x.+"}"#, ["x", ""], false);
    check(r#"{a=~"node_(cpu|disk)_(?:a|b)"}"#, ["node_disk_b", ""], true);
    check(r#"{a=~".*a.b.*c"}"#, ["aab--axb\nc", ""], true);
    check(r#"{a=~"a.*b.*c.+"}"#, ["abc", ""], false);
    check(r#"{a="q\"\\\n"}"#, ["q\"\\\n", ""], true);
    check(r#"{a=~"5.."}"#, ["50é", ""], true);
    check(r#"{__name__=~"up|down",missing=""}"#, ["", ""], true);
}

#[test]
fn what_is_not_known_is_refused_with_what_to_write() {
    for (text, cause) in [
        ("", "it selects everything; name a metric, or a label that is not empty"),
        (r#"{a=~".*"}"#, "it selects everything; name a metric, or a label that is not empty"),
        (r#"up{__name__="x"}"#, "the metric's name is given twice; write it once"),
        ("up{", "it ends where a label's name or `}` is expected"),
        ("up[5m]", "at character 3, nothing more is expected, not `[`"),
        ("up{a}", "at character 5, one of =, !=, =~, !~ is expected, not `}`"),
        ("up{a=b}", "at character 6, a value in quotes is expected, not `b`"),
        (r#"up{a="b"#, "a value is not closed; end it with \""),
        (r#"up{a="b" c="d"}"#, "at character 10, `,` or `}` is expected, not `c`"),
        (r#"up{a=~"^b"}"#, "in \"^b\", `^` is not needed: a value has to match as a whole"),
        (
            r#"up{a=~"[0-9]"}"#,
            "in \"[0-9]\", `[` is not known here; use `|`, groups, `.`, `.*`, `.+`, and `\\` before a character that means itself",
        ),
        (r#"up{a=~"(b"}"#, "in \"(b\", `(` is never closed; write `\\(` for the character"),
        (
            r#"up{a=~"(a|b)(a|b)(a|b)(a|b)(a|b)(a|b)(a|b)(a|b)(a|b)(a|b)"}"#,
            "in \"(a|b)(a|b)(a|b)(a|b)(a|b)(a|b)(a|b)(a|b)(a|b)(a|b)\", it stands for more than 1000 alternatives; use `.*`, or several rules",
        ),
    ] {
        assert_eq!(Selector::parse(text), Err(format!("`{text}`: {cause}")));
    }
}

proptest! {
    /// Every expression that is read at all is read as the SDK reads it.
    #[test]
    fn expressions_mean_what_they_mean_to_the_sdk(
        pattern in r"([ab.|()é-]|\.\*|\.\+|\\\.|\(\?:|[*+?$\[\]]){0,12}",
        value in "[ab.é\n-]{0,8}",
    ) {
        let text = format!("up{{a=~`{pattern}`}}");
        if Selector::parse(&text).is_ok() {
            let (ours, theirs) = both(&text, [&value, ""]);
            prop_assert_eq!(ours, theirs);
        }
    }
}
