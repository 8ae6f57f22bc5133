//! What commands print where something is wrong, hostile, or not there.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use sluice_tests::guests;
use sluice_tests::servers::binary;

use super::{fails, sluice, sluice_with, succeeds};

/// The filter that breaks the contract as its configuration says, in a file.
fn hostile(folder: &Path) -> PathBuf {
    static BUILT: LazyLock<[Vec<u8>; 1]> = LazyLock::new(|| guests::built(["test-filter-hostile"]));
    let path = folder.join("hostile.wasm");
    fs::write(&path, &BUILT[0]).unwrap();
    path
}

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

/// What a command says on standard error, whatever comes of it.
fn said(folder: &Path, args: &[&str]) -> String {
    String::from_utf8(sluice(folder, args).stderr).unwrap()
}

/// What a command that fails tells a program.
fn told(folder: &Path, args: &[&str]) -> Value {
    let output = sluice(folder, args);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

const ACTING: [char; 3] = ['\x1b', '\u{9b}', '\u{202e}'];

#[test]
fn what_a_terminal_would_act_on_is_written_out() {
    let scrape = "up{a=\"\x1b[2J\u{9b}3m\u{202e}x\",b=\"1\"} 1\ndown{a=\"\x1b[31m\"} 1\n";
    let config =
        "rules: [{regex: b, action: labeldrop}, {sourceLabels: [__name__], regex: down, action: drop}]\n";
    let files = [
        ("metrics.prom", scrape),
        ("config.yaml", config),
        ("bad.prom", "up{a=\"\x1b[2J\u{202e}\"} one\n"),
        ("bad.yaml", "\"\x7f\u{202e}rules\": []\n"),
        ("tests/a/metrics.prom", scrape),
        ("tests/a/expected.prom", "up{a=\"\u{202e}\"} 1\n"),
    ];
    let folder = folder(&files);
    let run = ["run", "builtin:relabel", "--metrics", "metrics.prom", "--config", "config.yaml"];
    let text = succeeds(folder.path(), &run);
    assert!(!text.contains(ACTING), "{text:?}");
    assert!(text.contains(r#"~ up{a="\u{1b}[2J\u{9b}3m\u{202e}x"} 1"#), "{text}");
    let prom = succeeds(folder.path(), &[&run[..], &["-o", "prom"]].concat());
    assert_eq!(prom, "up{a=\"\x1b[2J\u{9b}3m\u{202e}x\"} 1\n");
    let json = succeeds(folder.path(), &[&run[..], &["-o", "json"]].concat());
    assert!(!json.contains(ACTING) && json.contains("u{202e}"), "{json:?}");
    for wrong in [
        ["run", "builtin:relabel", "--metrics", "bad.prom", "--all"],
        ["run", "builtin:relabel", "--metrics=metrics.prom", "--config", "bad.yaml"],
        ["test", "builtin:relabel", "--cases", "tests", "--memory=8Mi"],
    ] {
        let text = fails(folder.path(), &wrong);
        assert!(!text.contains(ACTING) && !text.contains('\x7f'), "{text:?}");
    }
}

#[test]
fn what_was_compiled_is_kept_for_the_next_command_and_for_nobody_else() {
    let folder = folder(&[("file", "")]);
    hostile(folder.path());
    let inspect = ["inspect", "hostile.wasm"];
    let under = |place: &str| {
        let place = folder.path().join(place).display().to_string();
        let output = sluice_with(folder.path(), &inspect, &[("XDG_CACHE_HOME", &place)]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert!(output.stderr.is_empty(), "{output:?}");
    };
    under("cache");
    let own = folder.path().join("cache/sluice/modules-1");
    let kept =
        || -> Vec<PathBuf> { fs::read_dir(&own).unwrap().map(|found| found.unwrap().path()).collect() };
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let [code] = &kept()[..] else { panic!("{:?}", kept()) };
    assert_eq!((mode(&own), mode(code)), (0o700, 0o600));
    let written = fs::metadata(code).unwrap().modified().unwrap();
    let long_ago = SystemTime::now() - Duration::from_secs(3_600);
    fs::File::options().write(true).open(code).unwrap().set_modified(long_ago).unwrap();
    under("cache");
    assert_eq!(kept(), std::slice::from_ref(code));
    assert!(fs::metadata(code).unwrap().modified().unwrap() >= written, "it was not used");
    // Below a file there is no folder.
    under("file/cache");
}

#[test]
fn a_mistake_in_a_configuration_is_told_in_words_of_the_field() {
    let folder = folder(&[
        ("metrics.prom", "up 1\n"),
        ("groups.yaml", "patterns: [{regex: 'node_(.+)', to: '${what}_x'}]\n"),
        ("k.yaml", "rules:\n- select: up\n  k: -1\n"),
    ]);
    for (module, config, expected, at) in [
        (
            "builtin:rename",
            "groups.yaml",
            "groups.yaml:1: patterns[0].to: filter rename: the expression has no group \"what\": it has $1",
            "config.patterns[0].to",
        ),
        (
            "builtin:top-k",
            "k.yaml",
            "k.yaml:3: rules[0].k: filter top-k: -1 is not a whole number of at least 0",
            "config.rules[0].k",
        ),
    ] {
        let run = ["run", module, "--metrics", "metrics.prom", "--config", config];
        let refused = fails(folder.path(), &run);
        assert!(refused.contains(expected), "{refused}");
        let told = told(folder.path(), &[&run[..], &["-o", "json"]].concat());
        assert_eq!(told["at"], at, "{told}");
        assert!(told["error"].as_str().unwrap().contains(expected), "{told}");
    }
    let small =
        fails(folder.path(), &["run", "builtin:top-k", "--metrics", "metrics.prom", "--memory", "1Mi"]);
    assert!(
        small.contains("it begins with more memory than a filter may have") && small.contains("--memory"),
        "{small}"
    );
    fs::write(folder.path().join("list.yaml"), "- []\n").unwrap();
    let list =
        fails(folder.path(), &["run", "builtin:top-k", "--metrics", "metrics.prom", "--config", "list.yaml"]);
    assert!(list.contains("list.yaml:1: filter top-k: a list is not a mapping"), "{list}");
    let missing = fails(folder.path(), &["run", "builtin:top-k", "--metrics", "metrics.prom"]);
    assert!(missing.contains("and name that with --config FILE"), "{missing}");
}

#[test]
fn a_file_that_nobody_would_read_is_not_passed_over() {
    let folder = folder(&[
        ("tests/named/metrics.prom", "up 1\n"),
        ("tests/named/expected.prom", "up 1\n"),
        ("tests/named/config.yml", "rules: []\n"),
        ("tests/without/config.yaml", "rules: []\n"),
        ("tests/without/expected.prom", "up 1\n"),
        ("tests/snapshots/a.snap", "up 1\n"),
    ]);
    let refused = fails(folder.path(), &["test", "builtin:relabel"]);
    assert!(
        refused.contains("tests/named/config.yml: it is no part of a case; call it config.yaml"),
        "{refused}"
    );
    assert!(refused.contains("tests/without/metrics.prom: No such file"), "{refused}");
    assert!(refused.contains("0 of 2 cases hold"), "{refused}");
    for path in ["other/metrics.prom", "other/deep/er/metrics.prom"] {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "up 1\n").unwrap();
        let misplaced = fails(folder.path(), &["test", "builtin:relabel", "--cases", "other"]);
        assert!(misplaced.contains("metrics.prom: no case is looked for here"), "{misplaced}");
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn the_series_that_a_filter_fails_at_is_named() {
    let scrape: String = (0..100)
        .map(|i| format!("up{{pod=\"{i}\",is=\"{}\"}} 1\n", if i < 42 { "ok" } else { "broken" }))
        .collect();
    let folder = folder(&[
        ("first.prom", "up{pod=\"0\"} 1\n"),
        ("metrics.prom", &scrape),
        ("trap.yaml", "trap at what is broken\n"),
        ("refuse.yaml", "refuse\n"),
        ("loop.yaml", "loop\n"),
        ("tests/a/metrics.prom", &scrape),
        ("tests/a/config.yaml", "trap at what is broken\n"),
    ]);
    hostile(folder.path());
    let run = |config: &'static str, more: &[&'static str]| {
        let run = ["run", "hostile.wasm", "--config", config, "--metrics", "metrics.prom"];
        [&run[..], more].concat()
    };
    let among = r#"it was asked about 100 series, from up{is="ok",pod="0"} to up{is="broken",pod="99"}"#;
    let trapped = fails(folder.path(), &run("trap.yaml", &[]));
    let named = format!(r#"{among}; the first one with which it fails is up{{is="broken",pod="42"}}"#);
    assert!(trapped.contains(&named), "{trapped}");
    let told = told(folder.path(), &run("trap.yaml", &["-o", "json"]));
    assert_eq!((&told["filter"], &told["at"]), (&json!("hostile"), &json!(r#"up{is="broken",pod="42"}"#)));
    let refused = fails(folder.path(), &run("refuse.yaml", &[]));
    assert!(refused.contains(r#"not today; it was asked about 100 series"#), "{refused}");
    assert!(refused.contains(r#"fails is up{is="ok",pod="0"}"#), "{refused}");
    let late = fails(folder.path(), &run("loop.yaml", &["--timeout", "50ms"]));
    assert!(late.contains(r#"fails is up{is="ok",pod="0"}"#), "{late}");
    let later = [
        "run",
        "hostile.wasm",
        "--config",
        "trap.yaml",
        "--metrics",
        "first.prom",
        "--metrics",
        "metrics.prom",
    ];
    let later = fails(folder.path(), &later);
    assert!(
        later.contains(r#"in scrape 2, it was asked about 100 series"#) && later.contains(r#"pod="42"}"#),
        "{later}"
    );
    let tested = fails(folder.path(), &["test", "hostile.wasm"]);
    assert!(tested.contains("error   a: ") && tested.contains(among), "{tested}");
}

#[test]
fn where_there_is_no_filter_it_is_said_where_one_was_looked_for() {
    let folder = folder(&[]);
    let place = folder.path().canonicalize().unwrap().display().to_string();
    for command in [&["test"][..], &["build"], &["bench"], &["run", "--metrics", "-"]] {
        let refused = fails(folder.path(), command);
        let expected = format!(
            "{place}: there is no filter to build, for there is no Cargo.toml or package.json or requirements.txt or filter.c: "
        );
        assert!(refused.starts_with(&expected) && refused.trim_end().lines().count() == 1, "{refused}");
    }
    let refused = fails(folder.path(), &["test", "builtin:relabel"]);
    let expected = format!("{place}/tests: there is no such folder of cases: write NAME/metrics.prom in it");
    assert!(refused.starts_with(&expected) && refused.trim_end().lines().count() == 1, "{refused}");
}

#[test]
fn a_reader_that_goes_away_is_no_mistake() {
    let folder = folder(&[("metrics.prom", "up 1\n")]);
    // What takes a while is compiled before, or it is said.
    let cache = folder.path().join("cache");
    let inspect = ["inspect", "builtin:rename"];
    sluice_with(folder.path(), &inspect, &[("XDG_CACHE_HOME", cache.to_str().unwrap())]);
    for args in [&inspect[..], &["run", "builtin:rename", "--metrics", "metrics.prom", "--all"]] {
        let mut command = Command::new(binary());
        command.arg("filter").args(args).current_dir(folder.path()).env("XDG_CACHE_HOME", &cache);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), said.as_str()), (Some(0), ""), "{args:?}");
    }
}

#[test]
fn a_program_that_reads_json_is_told_what_went_wrong() {
    let folder = folder(&[("bad.wasm", "no component")]);
    for command in [
        &["inspect", "bad.wasm"][..],
        &["test", "bad.wasm"],
        &["bench", "bad.wasm"],
        &["push", "127.0.0.1:1/a:1", "bad.wasm"],
        &["run", "bad.wasm", "--metrics", "x"],
    ] {
        let told = told(folder.path(), &[command, &["-o", "json"]].concat());
        assert!(told["error"].as_str().unwrap().contains("bad.wasm is not a filter"), "{told}");
        assert_eq!(told["filter"], "bad.wasm", "{told}");
    }
    let pulled = told(folder.path(), &["pull", "127.0.0.1:1/a:1", "-o", "json"]);
    assert!(pulled["error"].as_str().unwrap().contains("Connection refused"), "{pulled}");
}

#[test]
fn a_few_series_are_measured_with_a_warning() {
    let folder = folder(&[("config.yaml", "rules: []\n")]);
    let bench = ["bench", "builtin:relabel", "--config", "config.yaml", "--series"];
    let few = said(folder.path(), &[&bench[..], &["10"]].concat());
    assert!(
        few.contains("10 series say little of what a filter takes: measure it with at least 1000"),
        "{few}"
    );
    assert!(!said(folder.path(), &[&bench[..], &["1000"]].concat()).contains("say little"));
}

#[test]
fn a_filter_that_comes_with_the_program_has_a_manifest() {
    let folder = folder(&[]);
    let printed = succeeds(folder.path(), &["manifest", "builtin:top-k"]);
    let printed: Value = serde_saphyr::from_str(&printed).unwrap();
    let filter = &printed["filters"][0];
    assert_eq!(
        (&filter["name"], &filter["module"]),
        (&json!("top-k"), &json!({ "builtin": { "name": "top-k" } }))
    );
    let told: Value =
        serde_json::from_str(&succeeds(folder.path(), &["manifest", "builtin:top-k", "-o", "json"])).unwrap();
    assert_eq!(told["module"], json!({ "builtin": { "name": "top-k" } }));
    let unknown = fails(folder.path(), &["manifest", "builtin:top"]);
    assert!(unknown.contains("there is no built-in filter \"top\": use one of aggregate, "), "{unknown}");
}

#[test]
fn a_digest_is_printed_with_what_takes_it() {
    let folder = folder(&[]);
    let inspected = succeeds(folder.path(), &["inspect", "builtin:relabel"]);
    let line = inspected.lines().find(|line| line.starts_with("component  sha256:")).unwrap();
    assert!(line.ends_with(" (what http.sha256 takes)"), "{inspected}");
}
