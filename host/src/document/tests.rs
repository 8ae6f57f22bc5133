//! Documents as their authors write them: what they come to, and every mistake named where it stands.

use std::collections::BTreeMap;
use std::path::Path as FilePath;
use std::sync::Arc;

use proptest::prelude::*;
use serde::Deserialize;

use super::*;

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Shelf {
    owner: String,
    books: Vec<Book>,
    #[serde(default)]
    open: bool,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    wait: Option<GoDuration>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Book {
    title: String,
    kind: Option<Kind>,
    pages: Option<u16>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Novel,
    Poetry,
}

fn read(text: &str) -> Reading<Shelf> {
    let root = parse(text).unwrap().remove(0);
    Document { file: Some(Arc::from(FilePath::new("s.yaml"))), index: 0, base: Path::root(), root }.read()
}

fn lines(reading: &Reading<Shelf>) -> Vec<String> {
    reading.problems.iter().map(ToString::to_string).collect()
}

#[test]
fn a_good_document_is_read_without_a_word() {
    let reading = read("owner: me\nbooks:\n- title: a\n  kind: novel\nwait: 1m\n");
    assert_eq!(lines(&reading), [""; 0]);
    let shelf = reading.value.unwrap();
    assert_eq!(shelf.books[0].kind, Some(Kind::Novel));
    assert_eq!(shelf.wait, GoDuration::parse("1m"));
}

#[test]
fn every_mistake_of_a_document_is_found_in_one_reading() {
    let reading = read(
        "owner: 12\nbooks:\n- title: a\n  kind: nowel\n- titel: b\n- {job=\"x\"}\n- title: c\n  pages: many\nopen: \"yes\"\ntags: [a]\nwait: 30 s\nmore: 1\n",
    );
    assert_eq!(
        lines(&reading),
        [
            r#"s.yaml:1: owner: 12 is not text; write "12", in quotes"#,
            r#"s.yaml:4: books[0].kind: "nowel" is not known here; did you mean "novel"?"#,
            r#"s.yaml:5: books[1].titel: unknown field; did you mean "title"?"#,
            r#"s.yaml:6: books[2]["job=\"x\""]: unknown field; known here: title, kind, pages"#,
            r#"s.yaml:6: books[2].title: is missing; write title: …"#,
            r#"s.yaml:8: books[3].pages: "many" is not a whole number; write digits only, without quotes"#,
            r#"s.yaml:9: open: "yes" is not true or false; write true"#,
            r#"s.yaml:10: tags: a list is not a mapping; write "name: value" lines below it"#,
            r#"s.yaml:11: wait: "30 s" is not a duration; write "30s""#,
            r#"s.yaml:12: more: unknown field; known here: owner, books, open, tags, wait"#,
        ]
    );
}

#[test]
fn what_is_written_in_the_wrong_form_is_told_the_right_one() {
    for (text, told) in [
        ("owner: [me]", "owner: a list is not text; write one value, in quotes if it begins with ["),
        ("owner: {name: me}", "owner: a mapping is not text; write one value, in quotes if it begins with {"),
        ("owner:", "owner: nothing is not text; write a value behind the colon"),
        ("owner: true", r#"owner: true is not text; write "true", in quotes"#),
        ("open: yes", r#"open: "yes" is not true or false; write true"#),
        ("open: 'False'", r#"open: "False" is not true or false; write false, without quotes"#),
        ("open: Off", r#"open: "Off" is not true or false; write false"#),
        ("open: 1", "open: 1 is not true or false; write true or false"),
        ("books: a", r#"books: "a" is not a list; write each entry on a line of its own, after "- ""#),
        ("books: [a]", r#"books[0]: "a" is not a mapping; write below it, indented: title, kind, pages"#),
        (
            "books: [[a, novel, 3]]",
            "books[0]: a list is not a mapping; write below it, indented: title, kind, pages",
        ),
        ("tags: a", r#"tags: "a" is not a mapping; write "name: value" lines below it"#),
    ] {
        let text = format!("{text}\n");
        let told = format!("s.yaml:1: {told}");
        assert_eq!(lines(&read(&text)).first(), Some(&told), "{text}");
    }
}

#[test]
fn a_missing_field_is_named_where_it_belongs() {
    let reading = read("books:\n- title: a\n- pages: 3\n");
    assert_eq!(
        lines(&reading),
        [
            "s.yaml:3: books[1].title: is missing; write title: …",
            "s.yaml:1: owner: is missing; write owner: …"
        ]
    );
    assert_eq!(reading.value, None);
}

#[test]
fn what_is_found_later_names_the_entry_as_the_file_counts_it() {
    let mut reading = read("owner: me\nbooks:\n- 1\n- title: b\n- title: c\n");
    assert_eq!(reading.value.as_ref().unwrap().books.len(), 2);
    let place = Path::root().key("books").index(1).key("title");
    let follows = Path::root().key("books").index(9);
    reading.report([Problem::error(place, "is dull", ""), Problem::warning(follows, "is far", "stop")]);
    assert_eq!(
        lines(&reading)[1..],
        ["s.yaml:5: books[2].title: is dull", "s.yaml:2: warning: books[9]: is far; stop"]
    );
}

#[test]
fn a_file_that_is_not_yaml_says_where() {
    let problem = parse("a: b\nc: [1, 2\nd: }\n").unwrap_err();
    assert!(problem.message.starts_with("the file is not valid YAML: "), "{problem}");
    assert!(problem.line.is_some_and(|l| l >= 2), "{problem:?}");
    let problem = parse("a: [1\nb: 2\n").unwrap_err().to_string();
    assert!(problem.ends_with("; close what is opened before it: [, {, ' or \""), "{problem}");
    for (text, cure) in [
        ("a:\n    b: 1\n  c: 2\n", "indent what belongs together by the same number of spaces"),
        ("a:\n  b: 1\n  c 2\n", "write a colon and a space behind the name"),
    ] {
        let problem = parse(text).unwrap_err().to_string();
        assert!(problem.ends_with(cure), "{problem}");
    }
    let problem = parse("a: 1\nb: 2\na: 3\n").unwrap_err();
    assert_eq!(problem.line, Some(3), "{problem}");
    assert_eq!(
        problem.to_string(),
        "\"a\" stands here a second time; keep one of them, with all that they say"
    );
}

#[test]
fn a_tab_in_the_indentation_is_named_at_its_own_line() {
    for (text, line) in
        [("a: 1\n\tb: 2\n", 2), ("a:\n  b: 1\n  \tc: 2\n  d: 3\n", 3), ("a:\n\tb: 2\nc: 3\n", 2)]
    {
        let problem = parse(text).unwrap_err();
        assert_eq!(
            problem.to_string(),
            "a tab stands in the indentation; indent with spaces, two for each level"
        );
        assert_eq!(problem.line, Some(line), "{text:?}");
    }
    // Elsewhere a tab is as good as a space, and not what is wrong.
    assert!(parse("a: |\n  x\n  \ty\nb:\t1\n").is_ok());
    let problem = parse("a: |\n  \ty\nb: 1\nc: 2\nd: 3\ne: }\n").unwrap_err();
    assert!(problem.message.starts_with("the file is not valid YAML: "), "{problem}");
}

#[test]
fn a_bomb_is_refused_and_not_unfolded() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for i in 1..12 {
        let aliases = vec![format!("*a{}", i - 1); 10].join(", ");
        bomb.push_str(&format!("a{i}: &a{i} [{aliases}]\n"));
    }
    assert!(parse(&bomb).is_err());
    assert!(parse(&"[".repeat(5000)).is_err());
    assert!(parse(&"x".repeat(FILE_BYTES_MAX + 1)).is_err());
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "(?s)[a-z0-9:\\-\\[\\]{}\"'&*!|>#\n .,~%@\u{0}-\u{7f}]{0,200}") {
        for root in parse(&text).unwrap_or_default() {
            let document = Document { file: None, index: 0, base: Path::root(), root };
            let reading = document.read::<Shelf>();
            prop_assert!(reading.value.is_some() || !reading.problems.is_empty());
        }
    }
}

#[test]
fn what_a_filter_names_is_seen_from_where_its_configuration_stands() {
    let config = Path::root().keys("spec.filters").index(2).key("config");
    let check = |text: &str, expected: &str| assert_eq!(config.below(text).to_string(), expected);
    check("rules[0].select", "spec.filters[2].config.rules[0].select");
    check("stamps[1][12]", "spec.filters[2].config.stamps[1][12]");
    check("[3].k", "spec.filters[2].config[3].k");
    check("", "spec.filters[2].config");
    assert_eq!(config.below("rules[0]"), config.key("rules").index(0), "a position is no key");
}
