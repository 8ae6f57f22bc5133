//! Expressions as Prometheus reads them: what is taken, what it matches, and what is refused and why.

use proptest::prelude::*;

use super::*;

/// A pattern, texts it matches, texts it does not. Every row was checked against
/// Prometheus 2.42 (built with Go), by asking for series with these texts as label values.
type Row = (&'static str, &'static [&'static str], &'static [&'static str]);

/// Where Go and Rust read a pattern differently, and what is common to both.
#[rustfmt::skip]
const ROWS: &[Row] = &[
    // Anchoring, alternatives, dots.
    ("a|b", &["a", "b"], &["ab", "", "xa", "bx"]),
    ("", &[""], &["a"]),
    ("a|", &["a", ""], &["b"]),
    ("|a", &["a", ""], &["aa"]),
    ("()", &[""], &["a"]),
    ("a.b", &["axb", "a\nb", "aéb", "a😀b"], &["ab", "axxb"]),
    (".*", &["", "a", "a\nb"], &[]),
    (".+", &["a", "\n"], &[""]),
    ("(?-s:a.b)", &["axb"], &["a\nb"]),
    ("(?-s)a.b", &["axb"], &["a\nb"]),
    ("(?-s:.*)", &["ab"], &["a\nb"]),
    ("foo.*", &["foo", "foobar", "foo\n"], &["fo", "xfoo"]),
    (".*foo", &["foo", "xfoo"], &["foox"]),
    (".*foo.*", &["foo", "xfoox"], &["fo", "of"]),
    (".+foo", &["xfoo", "foofoo"], &["foo"]),
    ("foo.+", &["foox"], &["foo"]),
    ("a.*b.*c", &["abc", "axbxc", "abcbc"], &["acb", "ab", "abcx"]),
    ("a.+b.*c", &["axbc", "abbc"], &["abc"]),
    ("ab.*ba", &["abba", "abxba"], &["aba"]),
    ("foo.*|bar|.*z", &["foox", "bar", "xz"], &["barx", "zx"]),
    ("^foo$", &["foo"], &["xfoo", "foo\n"]),
    ("^a|b$", &["a", "b"], &["ab"]),
    ("a$b", &[], &["ab", "a\nb"]),
    ("a^b", &[], &["ab"]),
    ("foo$\\n", &[], &["foo", "foo\n"]),
    (r"\Aa\z", &["a"], &["a\n", "xa"]),
    ("(?m)a$\\n^b", &["a\nb"], &["ab"]),
    ("(?m:^a$)\nb", &["a\nb"], &["ab"]),
    ("(?m)a$.*", &["a", "a\nx"], &["ab"]),
    ("(a|b)_(c|d)", &["a_c", "b_d"], &["a_", "ab_c"]),
    ("x[ab]?y", &["xy", "xay", "xby"], &["xaby", "xcy"]),
    ("[a-c]{2}", &["ab", "cc"], &["a", "abc"]),
    ("a{2,}", &["aa", "aaa"], &["a"]),
    ("a{0}", &[""], &["a"]),
    ("(a){0}b", &["b"], &["ab"]),
    ("a{0,1}b", &["b", "ab"], &["aab"]),
    ("(?:a*)*", &["", "aa"], &["b"]),
    ("a*?", &["", "aa"], &["b"]),
    ("(?U)a*", &["", "aa"], &["b"]),
    ("(?U)a+?", &["a", "aa"], &[""]),
    // Perl classes and word boundaries are ASCII.
    (r"\d+", &["12"], &["", "١", "a"]),
    (r"\D", &["a", "é", "\n", "١"], &["1"]),
    (r"\w", &["a", "_", "Z", "0"], &["é", "-", "ſ", "\u{212A}"]),
    (r"\W", &["é", "-", "ſ", "\u{212A}"], &["a", "_"]),
    (r"\s", &[" ", "\t", "\n", "\r", "\x0C"], &["\x0B", "\u{A0}", "\u{85}"]),
    (r"\S", &["\x0B", "\u{A0}", "a"], &[" "]),
    (r"a\b.*", &["a", "a-", "aé"], &["ab", "a1"]),
    (r"a\B.*", &["ab", "a1"], &["a", "a-", "aé"]),
    (r"é\b.*", &["éa"], &["é", "éé"]),
    (r"é\B.*", &["é", "éé"], &["éa"]),
    (r"\B", &[""], &["a"]),
    (r"\b", &[], &["", "a"]),
    (r".*\B.*", &["aa", "é", ""], &["a"]),
    // Classes.
    (r"[\d]", &["1"], &["a", "\\", "d"]),
    (r"[^\d]", &["a", "\\", "\n"], &["1"]),
    (r"[\w-]", &["a", "-"], &["+"]),
    (r"[\d-z]", &["1", "-", "z"], &["a", "y"]),
    (r"[\W\d]", &["1", "-", "é"], &["a"]),
    ("[a&&b]", &["a", "&", "b"], &["c"]),
    ("[a-z&&[aeiou]]", &["a]", "&]", "[]", "x]"], &["a", "A]"]),
    ("[a~~b]", &["a", "~", "b"], &["c"]),
    ("[+--]", &["+", ",", "-"], &["."]),
    ("[a-]", &["a", "-"], &["b"]),
    ("[-a]", &["a", "-"], &["b"]),
    ("[[]", &["["], &["]"]),
    ("[[a]", &["[", "a"], &["]", "b"]),
    ("[[a]]", &["[]", "a]"], &["[", "a"]),
    ("[]a]", &["]", "a"], &["b"]),
    ("[^]a]", &["b", "\n"], &["]", "a"]),
    ("[a^]", &["a", "^"], &["b"]),
    (r"[\]]", &["]"], &["\\"]),
    (r"[\[\-\^\\]", &["[", "-", "^", "\\"], &["]"]),
    ("[[:alpha:]]", &["a", "Z"], &["1", "é"]),
    ("[[:^alpha:]]", &["1", "é"], &["a"]),
    ("[[:word:][:space:]]", &["_", "\x0B", " "], &["-"]),
    ("[[:punct:]]", &["!", "~", "`", "["], &["a", " "]),
    ("[[:alpha]", &[":", "[", "a", "l", "p", "h"], &["b", "z"]),
    ("[:alpha:]", &[":", "a"], &["b"]),
    ("[^a]", &["b", "\n", "é"], &["a", ""]),
    (r"[^\x00-\x{10FFFF}]", &[], &["a", ""]),
    ("[ab]{1}", &["a"], &["ab"]),
    ("[.]", &["."], &["a"]),
    ("[$|*]", &["$", "|", "*"], &["a"]),
    ("[a#b ]", &["#", " "], &["c"]),
    // Case.
    ("(?i)k", &["k", "K", "\u{212A}"], &["x"]),
    ("(?i)s", &["s", "S", "ſ"], &["x"]),
    ("(?i:É)", &["é", "É"], &["e"]),
    ("(?i)ς", &["σ", "Σ", "ς"], &["s"]),
    ("(?i)ß", &["ß", "ẞ"], &["ss"]),
    ("(?i)[a-c]x", &["AX", "bX"], &["DX"]),
    ("(?i)[^k]", &["a"], &["k", "K", "\u{212A}"]),
    (r"(?i)\w", &["k", "\u{212A}", "ſ"], &["-"]),
    (r"(?i)\W", &["-"], &["\u{212A}", "ſ", "k"]),
    ("(?i)[[:lower:]]", &["a", "A", "ſ"], &["1"]),
    (r"(?i)\p{Lu}", &["a", "A"], &["1"]),
    (r"(?i)\P{Lu}", &["1"], &["a", "A"]),
    ("a(?i)b|c", &["ab", "aB", "c", "C"], &["AB", "Ab"]),
    ("(?i)a(?-i)b", &["ab", "Ab"], &["aB"]),
    ("(a(?i)b)c", &["abc", "aBc"], &["abC"]),
    ("(?i-s:a.)", &["Ax"], &["A\n"]),
    ("Foo", &["Foo"], &["foo"]),
    // Escapes.
    (r"\<a\>", &["<a>"], &["a"]),
    (r"a\-b\_c\@\ ", &["a-b_c@ "], &["a"]),
    (r#"\"\'\`\/\#\&\~"#, &["\"'`/#&~"], &[]),
    (r"\Qa.b\E", &["a.b"], &["axb"]),
    (r"\Qa.b\E+", &["a.b", "a.bb"], &["a.ba.b"]),
    (r"\Q\E", &[""], &["a"]),
    (r"\Q\\E", &["\\"], &[""]),
    (r"(?i)\Qk\E", &["K", "\u{212A}"], &[]),
    (r"a\Q|\Eb", &["a|b"], &["a", "b"]),
    (r"\101", &["A"], &["101"]),
    (r"\0", &["\0"], &["0"]),
    (r"\08", &["\u{0}8"], &["8"]),
    (r"\1012", &["A2"], &[]),
    (r"\x41\x{1F600}\x{41}", &["A😀A"], &[]),
    (r"\a\f\t\n\r\v", &["\x07\x0C\t\n\r\x0B"], &[]),
    (r"[\a\x41\101\n]", &["\x07", "A", "\n"], &["n"]),
    (r"\.\*\[\]\{\}\(\)\|\^\$\+\?\\", &[".*[]{}()|^$+?\\"], &[]),
    // Braces that are no counts.
    ("a{,2}", &["a{,2}"], &["a", "aa", ""]),
    ("a{", &["a{"], &["a"]),
    ("a{}", &["a{}"], &["a"]),
    ("a{x}", &["a{x}"], &["a"]),
    ("a{1", &["a{1"], &["a"]),
    ("a{01}", &["a{01}"], &["a"]),
    ("a{1,2,3}", &["a{1,2,3}"], &["a"]),
    ("a{ 1}", &["a{ 1}"], &["a"]),
    ("}", &["}"], &[""]),
    ("]", &["]"], &[""]),
    ("a{1,2}{", &["a{", "aa{"], &["a"]),
    ("a{1000}", &[], &["a"]),
    ("(a{10}){100}", &[], &["a"]),
    ("(a{2}){2}", &["aaaa"], &["aa"]),
    // Groups.
    ("(?P<n>a)", &["a"], &["n"]),
    ("(?P<n>a)(?P<n>b)", &["ab"], &["a"]),
    ("(?P<1>a)", &["a"], &[]),
    ("(?:a)", &["a"], &[":a"]),
    ("(?i:)a", &["a"], &["A"]),
    ("(?:(?:a|b)|c)d", &["ad", "cd"], &["d"]),
    ("a(?i)*", &["", "a", "aa"], &["A"]),
    ("a*(?i)*", &["", "a", "aa"], &["A"]),
    ("^*a", &["a"], &["^a"]),
    ("(?:)*", &[""], &["a"]),
    // Unicode classes.
    (r"\pL+", &["aé日"], &["1"]),
    (r"\PL", &["1"], &["a"]),
    (r"\p{^L}", &["1"], &["a"]),
    (r"\P{^L}", &["a"], &["1"]),
    (r"\p{Greek}", &["α"], &["a"]),
    (r"[\p{Lu}\d]", &["A", "1"], &["a"]),
    (r"[^\p{Lu}]", &["a", "1"], &["A"]),
    (r"\p{Zs}|\p{Zl}", &[" ", "\u{2028}", "\u{A0}"], &["\n"]),
    (r"\pN", &["1", "١", "Ⅷ"], &["a"]),
    (r"\p{Any}", &["a", "\n", "é"], &[""]),
    (r"\p{Cs}", &[], &["a"]),
    (r"\pC", &["\x07", "\u{AD}"], &["a", "\u{378}"]),
    ("é+", &["é", "éé"], &["e"]),
];

/// What Go refuses, with a word of the reason.
#[rustfmt::skip]
const REFUSED: &[(&str, &str)] = &[
    ("*_total", "nothing stands before"),
    ("a|*", "nothing stands before"),
    ("(*)", "nothing stands before"),
    ("(?i)*", "nothing stands before"),
    ("{2}", "nothing stands before"),
    ("+", "nothing stands before"),
    ("a**", "repeats a repetition"),
    ("a++", "repeats a repetition"),
    ("a*+", "repeats a repetition"),
    ("a+??", "repeats a repetition"),
    ("a{2}{3}", "repeats a repetition"),
    ("a{2}*", "repeats a repetition"),
    ("a{1001}", "more than 1000"),
    ("a{1,1001}", "more than 1000"),
    ("a{99999999999999999999}", "more than 1000"),
    ("a{2,1}", "larger count first"),
    ("(a{100}){100}", "nested counts"),
    ("((a{10}){11}b){10}", "nested counts"),
    ("(a{1000,}){2}", "nested counts"),
    ("(a", "never closed"),
    ("a)", "closes nothing"),
    ("(?x)a", "`x`"),
    ("(?u)a", "not a flag"),
    ("(?-)a", "not a flag"),
    ("(?i-)a", "not a flag"),
    ("(?--i)a", "not a flag"),
    ("(?", "never closed"),
    ("(?i", "never closed"),
    ("(?=a)", "look-around"),
    ("(?!a)", "look-around"),
    ("(?<=a)b", "name"),
    ("(?P=n)", "not a flag"),
    ("(?P<>a)", "name"),
    ("(?P<n", "name"),
    ("(?P<a-b>a)", "name"),
    ("(?#x)", "not a flag"),
    ("(?>a)", "not a flag"),
    ("[a", "never closed"),
    ("[]", "never closed"),
    ("[^]", "never closed"),
    ("[z-a]", "backwards"),
    ("[a--b]", "backwards"),
    (r"[a-\d]", "not an escape"),
    (r"[\b]", "not an escape"),
    (r"[\z]", "not an escape"),
    ("[[:foo:]]", "not a class"),
    ("[[:a]x:]]", "not a class"),
    (r"\1", "not an escape"),
    (r"(a)\1", "not an escape"),
    (r"\8", "not an escape"),
    (r"\q", "not an escape"),
    (r"\C", "not an escape"),
    (r"\Z", "not an escape"),
    (r"\G", "not an escape"),
    (r"\h", "not an escape"),
    (r"\K", "not an escape"),
    (r"\R", "not an escape"),
    (r"\X", "not an escape"),
    (r"\e", "not an escape"),
    (r"\u0041", "not an escape"),
    (r"\é", "not an escape"),
    (r"\x4", "not an escape"),
    (r"\xg1", "not an escape"),
    (r"\x{}", "not an escape"),
    (r"\x{110000}", "not an escape"),
    (r"\x{4", "not an escape"),
    ("a\\", "backslash ends"),
    (r"\Qab", "never closed"),
    (r"\p{Nope}", "not a Unicode class"),
    (r"\p{greek}", "not a Unicode class"),
    (r"\p{Letter}", "not a Unicode class"),
    (r"\pX", "not a Unicode class"),
    (r"\p{L", "never closed"),
    (r"\p", "not a Unicode class"),
];

fn compiled(pattern: &str) -> Regex {
    anchored(pattern).unwrap_or_else(|error| panic!("{pattern:?}: {error}"))
}

#[test]
fn patterns_are_read_as_go_reads_them() {
    for (pattern, matches, misses) in ROWS {
        let (regex, groups) = (compiled(pattern), capturing(pattern).unwrap());
        for text in *matches {
            assert!(regex.is_match(text), "{pattern:?} should match {text:?}");
            assert!(groups.is_match(text), "{pattern:?} with groups should match {text:?}");
        }
        for text in *misses {
            assert!(!regex.is_match(text), "{pattern:?} should not match {text:?}");
            assert!(!groups.is_match(text), "{pattern:?} with groups should not match {text:?}");
        }
    }
}

#[test]
fn what_go_refuses_is_refused_with_the_reason() {
    for (pattern, word) in REFUSED {
        let error = anchored(pattern).expect_err(pattern);
        assert!(error.cause.contains(word), "{pattern:?}: {error}");
        assert!(error.position <= pattern.chars().count() + 1, "{pattern:?}: {error}");
    }
}

#[test]
fn positions_are_in_characters() {
    assert_eq!(anchored("éé(").unwrap_err().position, 3);
    assert_eq!(anchored(r"日本\q").unwrap_err().position, 3);
    assert_eq!(anchored("a**").unwrap_err().position, 3);
}

#[test]
fn size_and_depth_are_bounded() {
    assert!(anchored(&"a".repeat(PATTERN_BYTES_MAX + 1)).unwrap_err().cause.contains("longer"));
    let nested = |depth: usize| format!("{}a{}", "(".repeat(depth), ")".repeat(depth));
    assert!(compiled(&nested(NESTING_MAX)).is_match("a"));
    assert!(anchored(&nested(NESTING_MAX + 1)).unwrap_err().cause.contains("nest deeper"));
    let big = r"(\pL{1000}|x)";
    assert!(anchored(big).unwrap_err().cause.contains("compiled"), "{big}");
}

#[test]
fn a_pattern_that_multiplies_itself_costs_little() {
    // A long text with many endings must not be spelled out.
    let pattern = format!("{}[a-p][a-p][a-p]", "x".repeat(20_000));
    assert!(compiled(&pattern).finite().is_none());
    assert!(compiled("([a-p]{1,10}){1,10}x").is_match("ax"));
}

#[test]
fn patterns_of_literals_are_listed() {
    let list = |pattern: &str| compiled(pattern).finite().map(<[String]>::to_vec);
    assert_eq!(list("b|a|b"), Some(vec!["a".to_owned(), "b".to_owned()]));
    assert_eq!(list("^(?:x_(a|b))$"), Some(vec!["x_a".to_owned(), "x_b".to_owned()]));
    assert_eq!(list("x[ab]?"), Some(vec!["x".into(), "xa".into(), "xb".into()]));
    assert_eq!(list(r"\Qa.b\E"), Some(vec!["a.b".into()]));
    assert_eq!(list("(?i)k"), Some(vec!["K".into(), "k".into(), "\u{212A}".into()]));
    assert_eq!(list("a.*"), None);
    assert_eq!(list("a+"), None);
}

#[test]
fn only_newer_group_names_are_rewritten() {
    assert_eq!(portable("(?<a>x)|(?P<b>y)|(?<c>z)").unwrap(), "(?P<a>x)|(?P<b>y)|(?P<c>z)");
    assert_eq!(portable(r"\(?<a>|[(?<b>]").unwrap(), r"\(?<a>|[(?<b>]");
}

#[test]
fn a_template_that_names_a_group_which_is_not_there_is_found_out() {
    for (pattern, template, missing) in [
        ("(a)(?P<b>.)", "$1-${b}-$0-${2}-$$9-$", None),
        ("(a)(?P<b>.)", "$1$c", Some("c")),
        ("(a)(?P<b>.)", "${3}", Some("3")),
        ("(a)", "$1x", Some("1x")),
        ("(?:a)", "$1", Some("1")),
        ("(a)", "$99999999999999999999999", Some("99999999999999999999999")),
    ] {
        assert_eq!(capturing(pattern).unwrap().missing_group(template), missing, "{pattern} with {template}");
    }
    let groups: Vec<String> = capturing("(a)(?:b)(?P<c>.)(d)").unwrap().groups().collect();
    assert_eq!(groups, ["$1", "${c}", "$3"]);
}

#[test]
fn groups_expand_as_go_expands_them() {
    let rows = [
        ("(.*)", "abc", "$1", "abc"),
        ("(a)(b)?(c)", "ac", "$1-$2-$3", "a--c"),
        ("(?P<x>a)(?<y>b)", "ab", "${y}${x}", "ba"),
        ("(a)", "a", "$1x", ""),
        ("(a)", "a", "${1}x", "ax"),
        ("(a)", "a", "$$1", "$1"),
        ("(a)", "a", "$", "$"),
        ("(a)", "a", "a$-b", "a$-b"),
        ("(a)", "a", "${1", "${1"),
        ("(a)", "a", "${}", "${}"),
        ("(a)", "a", "$9 $nope ${0}", "  a"),
        ("(a)", "a", "$99999999999999999999", ""),
        ("(?P<n>a)|(?P<n>b)", "b", "$n", "b"),
        ("(a){0}(b)", "b", "[$1][$2]", "[][b]"),
        ("(a|ab)(c|bcd)(d*)", "abcd", "$1,$2,$3", "a,bcd,"),
        ("(a*)(a*)", "aa", "$1,$2", "aa,"),
        ("(?U)(a*)(a*)", "aa", "$1,$2", ",aa"),
        ("(é+)(.*)", "éé日", "$2$1", "日éé"),
        (r"(\w+)\b(.*)", "ab-c", "$1", "ab"),
    ];
    for (pattern, text, template, expected) in rows {
        let regex = capturing(pattern).unwrap();
        let mut expanded = String::new();
        regex.captures(text).unwrap_or_else(|| panic!("{pattern} on {text}")).expand(template, &mut expanded);
        assert_eq!(expanded, expected, "{pattern} on {text} with {template}");
    }
    assert!(capturing("a").unwrap().captures("b").is_none());
}

#[test]
fn quoted_text_matches_only_itself() {
    let text = r"a.b*c[d]\{e}|^$()+?-_";
    assert_eq!(compiled(&quote(text)).finite(), Some([text.to_owned()].as_slice()));
}

proptest! {
    /// The fast paths and the automaton must never disagree.
    #[test]
    fn shapes_decide_as_the_automaton_does(
        pattern in "([ab_]|a\\?|\\.\\*|\\.\\+|\\.\\{2,\\}|\\(a\\|b_\\)|\\[ab\\]|\\||\\^|\\$|\\(a\\.\\*\\|b\\)){0,8}",
        texts in prop::collection::vec("[ab_\nc]{0,8}", 1..20),
    ) {
        if let (Ok(regex), Ok(groups)) = (anchored(&pattern), capturing(&pattern)) {
            for text in &texts {
                prop_assert_eq!(regex.is_match(text), groups.is_match(text), "{:?} on {:?}", pattern, text);
            }
        }
    }

    #[test]
    fn no_pattern_can_do_harm(
        pattern in "\\PC{0,30}|[a-d(){}\\[\\]|.*+?^$\\\\0-9,:<>PQEpLdwsbiImsUx-]{0,40}",
        text in "\\PC{0,10}",
    ) {
        if let Ok(regex) = anchored(&pattern) {
            prop_assert!(anchored(&portable(&pattern).unwrap()).is_ok());
            prop_assert_eq!(regex.is_match(&text), capturing(&pattern).unwrap().is_match(&text));
        }
    }

    /// Where Go and Rust agree on a pattern's meaning, so must we.
    #[test]
    fn the_common_core_is_the_engines_own(
        pattern in "([a-d]|\\.|\\[a-c\\]|\\(a\\|b\\)|\\|){1,6}[*+?]?([a-d]|\\.|\\[\\^b\\]|\\(\\?:b\\|c\\)){0,4}",
        texts in prop::collection::vec("[a-e\n]{0,6}", 1..20),
    ) {
        let theirs = ::regex::Regex::new(&format!("^(?s:{pattern})$"));
        if let (Ok(ours), Ok(theirs)) = (anchored(&pattern), theirs) {
            for text in &texts {
                prop_assert_eq!(ours.is_match(text), theirs.is_match(text), "{:?} on {:?}", pattern, text);
            }
        }
    }
}

#[test]
fn a_pattern_takes_as_much_room_as_what_is_compiled_has() {
    let fits = |pattern: &str, size: usize| {
        let mut budget = Budget::new(size);
        let compiled = capturing_within(pattern, &mut budget);
        assert_eq!(compiled.is_err(), budget.is_exhausted(), "{pattern}");
        compiled.is_ok()
    };
    for (pattern, size) in [
        ("up", 2),
        ("node_(cpu|disk)", 12),
        ("[a-z_]{40}", 80),
        ("(?:ab{10}){3,5}", 55),
        ("a{2,}b*", 3),
        (".+_total", 10),
        // A letter that has three forms, of which none lies beside another, and one that has two.
        ("(?i)kz", 5),
    ] {
        assert!(fits(pattern, size) && !fits(pattern, size - 1), "{pattern}");
    }
    // Few bytes, and nothing that anybody compiles.
    let many = r"\pL".repeat(40);
    for pattern in [r"\pL{40}", r"(?i)[\x{80}-\x{10ffff}]{40}I_J", &many, &format!("[{many}]")] {
        assert!(!fits(pattern, 10_000), "{pattern}");
    }
}

#[test]
fn what_has_no_room_leaves_none() {
    let mut budget = Budget::new(10);
    assert!(capturing_within("12345", &mut budget).is_ok() && !budget.is_exhausted());
    let error = capturing_within("a{6}", &mut budget).unwrap_err();
    assert_eq!(
        error.to_string(),
        "character 1: the regular expressions come to more than a size of 10; use smaller counts and sets, or fewer expressions"
    );
    assert!(budget.is_exhausted() && capturing_within("a", &mut budget).is_err());
}
