//! What the commands for filter authors do, on the crate that they write themselves.

mod desk;

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
    sluice_with(folder, args, &[])
}

fn sluice_with(folder: &Path, args: &[&str], variables: &[(&str, &str)]) -> Output {
    let args: Vec<&str> = ["filter"].iter().chain(args).copied().collect();
    let ours = [("CARGO_TARGET_DIR", TARGET), ("CARGO_TERM_QUIET", "true")];
    command_with(folder, &args, &[&ours, variables].concat(), PATIENCE)
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
    assert!(inspected["component"]["bytes"].as_u64() > Some(100_000), "{inspected}");
    let refused = fails(folder.path(), &["inspect", "builtin:enrish"]);
    assert!(refused.contains("there is no built-in filter \"enrish\": use one of aggregate, "), "{refused}");

    fs::write(folder.path().join("config.yaml"), "rules: [{regex: a, action: labeldrop}]\n").unwrap();
    fs::write(folder.path().join("metrics.prom"), "up{a=\"1\",b=\"2\"} 1\n").unwrap();
    let run =
        ["run", "builtin:relabel", "--metrics", "metrics.prom", "--config", "config.yaml", "-o", "prom"];
    assert_eq!(succeeds(folder.path(), &run), "up{b=\"2\"} 1\n");
}

/// A resource with three filters, one of which is not at hand.
const RESOURCE: &str = r#"
apiVersion: observability.ethos.io/v1alpha1
kind: MetricAccess
metadata: {name: web, namespace: shop}
spec:
  source: shop
  metrics: [up, "go_.*"]
  filters:
  - name: mine
    module: {oci: {ref: "127.0.0.1:1/mine:1"}}
    config: {rules: [{regex: pod, action: labeldrop}]}
  - name: theirs
    module: {oci: {ref: "127.0.0.1:1/theirs:1", pullSecretRef: {name: regcred}}}
  - name: no-threads
    module: {builtin: {name: relabel}}
    config: {rules: [{sourceLabels: [__name__], regex: go_threads, action: drop}]}
  remoteWrite:
    enabled: true
    target: {type: remote_write}
    remoteWrite: {url: "http://127.0.0.1:1/"}
"#;

#[test]
fn a_component_is_run_where_a_resource_has_its_filter() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("ma.yaml"), RESOURCE).unwrap();
    let scrape = "up{pod=\"a\"} 1\nup{pod=\"b\"} 1\ngo_threads 7\ngo_info 1\nnode_load1 2\n";
    fs::write(folder.path().join("metrics.prom"), scrape).unwrap();
    let run = ["run", "builtin:relabel", "--metrics", "metrics.prom", "--resource", "ma.yaml"];
    let several = fails(folder.path(), &run);
    assert!(several.contains("say which with --filter: mine, theirs, no-threads"), "{several}");
    let run = [&run[..], &["--filter", "mine"]].concat();
    let of = |output| sluice(folder.path(), &[&run[..], &["-o", output]].concat());
    let sent = of("prom");
    let (out, said) =
        (String::from_utf8(sent.stdout).unwrap(), String::from_utf8_lossy(&sent.stderr).into_owned());
    let stamps = "managed_by=\"multi-tenant-proxy\"";
    assert_eq!(
        out,
        format!("up{{{stamps}}} 1\ngo_info{{{stamps}}} 1\n"),
        "what the receiver would have: {said}"
    );
    assert!(said.contains("filter theirs is left out: it is not at hand (127.0.0.1:1/theirs:1)"), "{said}");
    let told: Value = serde_json::from_slice(&of("json").stdout).unwrap();
    let samples = &told["scrapes"][0]["samples"];
    assert_eq!((&samples[1]["isMerged"], &samples[2]["droppedBy"]), (&true.into(), &"no-threads".into()));
    assert_eq!(samples[4]["droppedBy"], "patterns");
    let names: Vec<&Value> = told["steps"].as_array().unwrap().iter().map(|step| &step["name"]).collect();
    assert_eq!(names, ["patterns", "mine", "no-threads", "enrich"]);

    let text = |all: &[&str]| succeeds(folder.path(), &[&run[..], all].concat());
    let (some, all) = (text(&[]), text(&["--all"]));
    assert!(!some.contains("node_load1") && all.contains("- node_load1 2\n    by patterns\n"), "{some}{all}");
    assert!(
        some.contains("2 dropped (1 of them by the resource's patterns and hidden: --all shows them)"),
        "{some}"
    );
    assert!(!all.contains("hidden"), "{all}");

    let watching = RESOURCE.replace("- name: no-threads\n", "- name: no-threads\n    mode: Monitor\n");
    fs::write(folder.path().join("ma.yaml"), watching).unwrap();
    let watched = text(&[]);
    assert!(
        watched.contains("no-threads: 4 series, would have dropped 1 and rewritten 0 (mode: Monitor)"),
        "{watched}"
    );
    let told: Value = serde_json::from_slice(&of("json").stdout).unwrap();
    let modes: Vec<&Value> = told["steps"].as_array().unwrap().iter().map(|step| &step["mode"]).collect();
    assert_eq!(modes, ["Enforce", "Enforce", "Monitor", "Enforce"]);

    let both = sluice(folder.path(), &[&run[..], &["--config", "ma.yaml"]].concat());
    assert_eq!(both.status.code(), Some(2), "{both:?}");
    let limited = RESOURCE.replace("- name: mine\n", "- name: mine\n    limits: {memory: 64Mi}\n");
    fs::write(folder.path().join("ma.yaml"), limited).unwrap();
    let more = fails(folder.path(), &[&run[..], &["--memory", "32Mi"]].concat());
    assert!(more.contains("64Mi is more than 32Mi (filters.memory)"), "{more}");
}

#[test]
fn what_a_filter_takes_is_measured_beside_one_that_does_nothing_and_its_limits() {
    let folder = tempfile::tempdir().unwrap();
    let config = r#"rules: [{select: '{__name__=~"metric_.*"}', every: 10}]"#;
    fs::write(folder.path().join("config.yaml"), config).unwrap();
    let bench = ["bench", "builtin:downsample", "--config", "config.yaml", "--series", "200", "-o", "json"];
    let told = succeeds(folder.path(), &[&bench[..], &["--timeout", "250ms"]].concat());
    let told: Value = serde_json::from_str(&told).unwrap();
    for figure in [&told["classify"], &told["process"]] {
        let all = ["nanoseconds", "emptyNanoseconds", "batchSeconds"].map(|field| figure[field].as_f64());
        assert!(all.iter().all(|value| *value > Some(0.0)), "{told}");
    }
    assert_eq!((&told["series"], &told["limits"]["seconds"]), (&200.into(), &0.25.into()));
    fs::write(folder.path().join("metrics.prom"), "# nothing\n").unwrap();
    let empty = fails(folder.path(), &["bench", "builtin:relabel", "--metrics", "metrics.prom"]);
    assert!(empty.contains("metrics.prom: there is no sample"), "{empty}");
}

#[tokio::test]
async fn a_new_filter_builds_tests_and_runs_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    succeeds(folder.path(), &["new", "drop-go"]);
    assert!(fails(folder.path(), &["new", "drop-go"]).contains("it is there already"));
    let begun = succeeds(folder.path(), &["new", "in-c", "--lang", "c", "-o", "json"]);
    let begun: Value = serde_json::from_str(&begun).unwrap();
    assert_eq!((&begun["folder"], &begun["edit"]), (&"in-c".into(), &"in-c/filter.c".into()));
    assert!(fails(folder.path(), &["new", "Drop Go"]).contains("use [a-z][a-z0-9-]*"));
    let filter = folder.path().join("drop-go");

    assert_eq!(succeeds(&filter, &["test"]), "ok      drops\n1 of 1 cases hold\n");
    let component = format!("{TARGET}/drop-go.wasm");
    let inspected = succeeds(&filter, &["inspect", &component, "-o", "json"]);
    let inspected: Value = serde_json::from_str(&inspected).unwrap();
    assert_eq!((&inspected["name"], &inspected["sees"]), (&"drop-go".into(), &"labels".into()));
    assert_eq!(inspected["configSchema"]["properties"]["prefixes"]["type"], "array");
    assert_eq!(inspected["contract"], "sluice:filter@0.1.0");
    let built: Value = serde_json::from_str(&succeeds(&filter, &["build", "-o", "json"])).unwrap();
    assert_eq!(
        (&built["file"], &built["component"]["digest"]),
        (&component.as_str().into(), &inspected["component"]["digest"])
    );

    let measured = succeeds(&filter, &["bench", &component, "--series", "100"]);
    let first = "drop-go 0.1.0, 100 series, medians of 9 rounds\n";
    assert!(measured.starts_with(first) && measured.contains("classify, 4096 at once"), "{measured}");
    let large = fails(&filter, &["inspect", &component, "--max-module", "64Ki"]);
    assert!(
        large.contains("has more than 65536 bytes: make it smaller, or raise filters.maxModule"),
        "{large}"
    );
    fs::write(filter.join(".sluice/sdk/src/lib.rs"), "compile_error!(\"older\");\n").unwrap();
    let older = fails(&filter, &["build"]);
    assert!(older.contains("`sluice filter build --renew-sdk`"), "{older}");
    succeeds(&filter, &["build", "--renew-sdk"]);
    let little = fails(&filter, &["test", &component, "--memory", "1Mi"]);
    assert!(little.contains("memory"), "{little}");

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
