use proptest::prelude::*;
use sluice_filter::selector::Selector;
use sluice_filter::testing::{assert_schema, filter};

use super::Patterns;

fn config(selectors: &[&str]) -> String {
    serde_json::json!({ "selectors": selectors }).to_string()
}

/// The lines of `exposition` that stay, without values.
#[track_caller]
fn kept(selectors: &[&str], exposition: &str) -> Vec<String> {
    let out = filter::<Patterns>(&config(selectors), exposition).unwrap();
    out.lines().map(|line| line.trim_end_matches(" 1").to_owned()).collect()
}

const SERIES: &str = concat!(
    "up{job=\"a\"} 1\n",
    "up{job=\"b\",zone=\"x\"} 1\n",
    "down 1\n",
    "http_requests_total{job=\"a\",code=\"200\"} 1\n",
    "http_requests_total{job=\"a\",code=\"500\"} 1\n",
);

#[test]
fn a_series_is_kept_if_any_selector_takes_it() {
    assert_eq!(kept(&["up", "down"], SERIES), [r#"up{job="a"}"#, r#"up{job="b",zone="x"}"#, "down"]);
    assert_eq!(kept(&[r#"{job="b"}"#, r#"up{zone="x"}"#], SERIES), [r#"up{job="b",zone="x"}"#]);
    assert_eq!(
        kept(&[r#"{__name__=~"ht.*",code!~"5.."}"#], SERIES),
        [r#"http_requests_total{code="200",job="a"}"#]
    );
    assert_eq!(kept(&[r#"{__name__=~"up|down",job=""}"#], SERIES), ["down"]);
    assert_eq!(kept(&[r#"up{job!~"a|"}"#], SERIES), [r#"up{job="b",zone="x"}"#]);
}

#[test]
fn no_selector_keeps_nothing() {
    assert_eq!(kept(&[], SERIES), Vec::<String>::new());
}

#[test]
fn a_name_with_several_conditions_must_satisfy_all() {
    assert_eq!(kept(&[r#"{__name__=~"up|down",__name__!="up"}"#], SERIES), ["down"]);
    assert_eq!(kept(&[r#"{__name__="up",__name__="down"}"#], SERIES), Vec::<String>::new());
}

#[test]
fn a_bad_selector_is_named_by_its_place() {
    let error = filter::<Patterns>(&config(&["up", "{job}"]), "up 1").unwrap_err().to_string();
    assert!(error.starts_with("config: selectors[1]: character 5: `job` has no operator"), "{error}");
    let error = filter::<Patterns>(r#"{"selector":[]}"#, "up 1").unwrap_err().to_string();
    assert!(error.contains("unknown field `selector`"), "{error}");
}

prop_compose! {
    fn selector()(
        name in "(|__name__=\"m1\"|__name__=~\"m1\\|m2\"|__name__=~\"m.*\"|__name__!=\"m2\"),",
        matchers in prop::collection::vec("[ab](=|!=|=~|!~)\"(|x|y|x\\|y|x\\.\\*|\\.\\+|z\\?)\"", 0..3),
    ) -> String {
        format!("{{{}{}}}", name.trim_start_matches(','), matchers.join(","))
    }
}

proptest! {
    /// The plan, the memo and the order of questions never change an answer.
    #[test]
    fn the_filter_decides_as_the_selectors_do(
        selectors in prop::collection::vec(selector(), 1..6),
        series in prop::collection::vec(("m[123]", prop::option::of("[xyz]{1,2}"), prop::option::of("[xyz]{1,2}")), 1..30),
    ) {
        let parsed: Vec<Selector> = selectors.iter().filter_map(|text| Selector::parse(text).ok()).collect();
        let texts: Vec<String> = parsed.iter().map(Selector::to_string).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let mut exposition = String::new();
        let mut expected = Vec::new();
        for (i, (name, a, b)) in series.iter().enumerate() {
            let labels: Vec<String> = [("a", a), ("b", b)]
                .iter()
                .filter_map(|(label, value)| value.as_ref().map(|value| format!("{label}=\"{value}\"")))
                .chain([format!("n=\"{i}\"")])
                .collect();
            let line = format!("{name}{{{}}}", labels.join(","));
            exposition.push_str(&format!("{line} 1\n"));
            let number = i.to_string();
            let get = |label: &str| match label {
                "__name__" => Some(name.as_str()),
                "a" => a.as_deref(),
                "b" => b.as_deref(),
                "n" => Some(number.as_str()),
                _ => None,
            };
            if parsed.iter().any(|selector| selector.matches(get)) {
                expected.push(line);
            }
        }
        prop_assert_eq!(kept(&texts, &exposition), expected, "{:?}", texts);
    }
}

#[test]
fn the_schema_is_made_of_the_configurations_type() {
    assert_schema::<Patterns>("src/config.schema.json");
}
