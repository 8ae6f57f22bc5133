//! What the commands for filter authors do, on the crate that they write themselves.

use std::fs;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use serde_json::Value;
use sluice_tests::query_source::QuerySource;
use sluice_tests::servers::command_with;

/// A filter's dependencies are compiled from nothing.
const PATIENCE: Duration = Duration::from_secs(600);

/// Cargo's folder: kept from run to run.
const TARGET: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/filter-tools");

fn sluice(folder: &Path, args: &[&str]) -> Output {
    let args: Vec<&str> = ["filter"].iter().chain(args).copied().collect();
    command_with(folder, &args, &[("CARGO_TARGET_DIR", TARGET), ("CARGO_TERM_QUIET", "true")], PATIENCE)
}

fn succeeds(folder: &Path, args: &[&str]) -> String {
    let Output { status, stdout, stderr } = sluice(folder, args);
    let (out, said) = (String::from_utf8(stdout).unwrap(), String::from_utf8_lossy(&stderr).into_owned());
    assert_eq!(status.code(), Some(0), "{args:?}: {out}{said}");
    out
}

/// What it says, on either stream, with status 1.
fn fails(folder: &Path, args: &[&str]) -> String {
    let Output { status, stdout, stderr } = sluice(folder, args);
    let said = String::from_utf8([stdout, stderr].concat()).unwrap();
    assert_eq!(status.code(), Some(1), "{args:?}: {said}");
    said
}

#[test]
fn a_filter_that_comes_with_the_program_is_named_in_place_of_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let inspected = succeeds(folder.path(), &["inspect", "builtin:enrich", "-o", "json"]);
    let inspected: Value = serde_json::from_str(&inspected).unwrap();
    assert_eq!((&inspected["name"], &inspected["sees"]), (&"sluice-filter-enrich".into(), &"labels".into()));
    assert!(inspected["bytes"].as_u64() > Some(100_000), "{inspected}");
    let refused = fails(folder.path(), &["inspect", "builtin:enrish"]);
    assert!(refused.contains("there is no built-in filter \"enrish\": use one of aggregate, "), "{refused}");

    fs::write(folder.path().join("config.yaml"), "rules: [{regex: a, action: labeldrop}]\n").unwrap();
    fs::write(folder.path().join("metrics.prom"), "up{a=\"1\",b=\"2\"} 1\n").unwrap();
    let run =
        ["run", "builtin:relabel", "--metrics", "metrics.prom", "--config", "config.yaml", "-o", "prom"];
    assert_eq!(succeeds(folder.path(), &run), "up{b=\"2\"} 1\n");
}

#[tokio::test]
async fn a_new_filter_builds_tests_and_runs_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    succeeds(folder.path(), &["new", "drop-go"]);
    assert!(fails(folder.path(), &["new", "drop-go"]).contains("it is there already"));
    assert!(fails(folder.path(), &["new", "Drop Go"]).contains("use [a-z][a-z0-9-]*"));
    let filter = folder.path().join("drop-go");

    assert_eq!(succeeds(&filter, &["test"]), "ok      drops\n1 of 1 cases hold\n");
    let component = format!("{TARGET}/drop-go.wasm");
    let inspected = succeeds(&filter, &["inspect", &component, "-o", "json"]);
    let inspected: Value = serde_json::from_str(&inspected).unwrap();
    assert_eq!((&inspected["name"], &inspected["sees"]), (&"drop-go".into(), &"labels".into()));
    assert_eq!(inspected["configSchema"]["properties"]["prefixes"]["type"], "array");

    let expected = filter.join("tests/drops/expected.prom");
    let text = fs::read_to_string(&expected).unwrap();
    fs::write(&expected, text.replace("up{", "down{")).unwrap();
    let differs = fails(&filter, &["test", &component]);
    let lines: Vec<&str> = differs.lines().map(str::trim).collect();
    let (missing, extra) = (r#"- down{filtered_by="drop-go"} 1"#, r#"+ up{filtered_by="drop-go"} 1"#);
    assert!(lines.contains(&missing) && lines.contains(&extra), "{differs}");
    succeeds(&filter, &["test", &component, "--update"]);
    assert_eq!(fs::read_to_string(&expected).unwrap(), text);

    let source =
        QuerySource::start(|_| (http::StatusCode::OK, "go_threads 7\nup 1 1700000000000\n".into())).await;
    let url = format!("{}/metrics", source.url());
    let config = "tests/drops/config.yaml";
    let kept = tokio::task::spawn_blocking(move || {
        let shown = succeeds(&filter, &["run", &component, "--metrics", &url, "--config", config]);
        assert!(shown.contains("- go_threads 7\n") && shown.contains("2 samples: 1 kept"), "{shown}");
        let refused = fails(&filter, &["run", &component, "--metrics", "src/lib.rs"]);
        assert!(refused.contains("src/lib.rs: line 1: "), "{refused}");
        fs::write(filter.join("bad.yaml"), "prefix: [go_]\n").unwrap();
        let refused = fails(&filter, &["run", &component, "--metrics", &url, "--config", "bad.yaml"]);
        assert!(refused.contains("unknown field `prefix`, expected `prefixes`"), "{refused}");
        succeeds(&filter, &["run", &component, "--metrics", &url, "--config", config, "-o", "prom"])
    });
    assert_eq!(kept.await.unwrap(), "up{filtered_by=\"drop-go\"} 1 1700000000000\n");
}
