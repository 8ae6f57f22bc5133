//! New filters in other languages than Rust build, test and run as they are. Each needs the tools of its language, and most of them
//! what these fetch; `make examples` runs those whose tools are here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use sluice_tests::servers::command_with;

/// Tools are fetched and an interpreter is compiled.
const PATIENCE: Duration = Duration::from_secs(600);

fn sluice(folder: &Path, args: &[&str]) -> (Option<i32>, String) {
    let args: Vec<&str> = ["filter"].iter().chain(args).copied().collect();
    let Output { status, stdout, stderr } = command_with(folder, &args, &[], PATIENCE);
    let (said, out) = (String::from_utf8_lossy(&stderr).into_owned(), String::from_utf8(stdout).unwrap());
    (status.code(), if status.success() { out } else { out + &said })
}

/// A new filter, after its cases were found to hold.
fn new_and_tested(parent: &Path, language: &str) -> PathBuf {
    let (status, said) = sluice(parent, &["new", "drop-go", "--lang", language]);
    assert_eq!(status, Some(0), "{said}");
    let folder = parent.join("drop-go");
    let tested = sluice(&folder, &["test"]);
    assert_eq!(tested, (Some(0), "ok      drops\nok      letters\n2 of 2 cases hold\n".into()));
    folder
}

const COMPONENT: &str = "target/drop-go.wasm";

/// Leaves the component where the benchmarks look for it.
fn kept_for_the_benchmarks(folder: &Path, level: &str, language: &str) {
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("examples");
    fs::create_dir_all(&kept).unwrap();
    fs::copy(folder.join(COMPONENT), kept.join(format!("{level}-{language}.wasm"))).unwrap();
}

/// Puts the example of a filter that sees samples in the place of the one that was there.
fn with_samples(folder: &Path, files: &[&str]) {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/filters/samples");
    for file in files {
        fs::copy(samples.join(file), folder.join(Path::new(file).file_name().unwrap())).unwrap();
    }
    fs::remove_dir_all(folder.join("tests")).unwrap();
    for case in ["ends", "example"] {
        fs::create_dir_all(folder.join("tests").join(case)).unwrap();
        for file in ["metrics.prom", "expected.prom"] {
            let path = Path::new("tests").join(case).join(file);
            fs::copy(samples.join(&path), folder.join(path)).unwrap();
        }
    }
}

const SAMPLES_IN_C: [&str; 6] = [
    "c/contract.c",
    "c/contract.h",
    "c/contract_component_type.s",
    "c/filter.c",
    "c/samples.c",
    "c/samples.h",
];

/// Builds it and runs its cases.
fn holds_with_samples(folder: &Path, language: &str) {
    let tested = sluice(folder, &["test"]);
    assert_eq!(tested, (Some(0), "ok      ends\nok      example\n2 of 2 cases hold\n".into()));
    kept_for_the_benchmarks(folder, "samples", language);
}

fn refuses_an_empty_prefix(folder: &Path) {
    fs::write(folder.join("bad.yaml"), "prefixes: ['']\n").unwrap();
    let metrics = "tests/drops/metrics.prom";
    let (status, said) = sluice(folder, &["run", COMPONENT, "--metrics", metrics, "--config", "bad.yaml"]);
    let wanted = "bad.yaml:1: filter drop-go: an empty prefix drops everything: leave it out";
    assert!(status == Some(1) && said.contains(wanted), "{said}");
}

#[test]
#[ignore = "needs Node.js and what npm fetches"]
fn javascript() {
    let parent = tempfile::tempdir().unwrap();
    let folder = new_and_tested(parent.path(), "js");
    refuses_an_empty_prefix(&folder);
    kept_for_the_benchmarks(&folder, "labels", "javascript");

    // A build takes its time, so that of the filter of samples throws dice, too.
    with_samples(&folder, &["filter.js"]);
    let filter = folder.join("filter.js");
    let text = fs::read_to_string(&filter).unwrap();
    let dice = text.replace("return true;", "series.set('dice', `${Math.random()}`);\n        return true;");
    assert_ne!(dice, text);
    fs::write(&filter, dice).unwrap();
    let (status, said) = sluice(&folder, &["build"]);
    assert_eq!(status, Some(0), "{said}");
    let expected = folder.join("tests/example/expected.prom");
    let meant = fs::read_to_string(&expected).unwrap();
    assert_eq!(sluice(&folder, &["test", COMPONENT, "--update"]).0, Some(0));
    let thrown = fs::read_to_string(&expected).unwrap();
    assert_eq!(thrown.matches("dice=\"0.").count(), 3, "{thrown}");
    assert_eq!(without_dice(&thrown), without_dice(&meant));
    let (status, said) = sluice(&folder, &["test", COMPONENT]);
    assert_eq!(status, Some(0), "another run, the same numbers: {said}");
    kept_for_the_benchmarks(&folder, "samples", "javascript");
}

/// The lines without what was thrown, sorted.
fn without_dice(exposition: &str) -> Vec<String> {
    let line = |line: &str| match line.split_once("dice=\"") {
        Some((before, after)) => {
            let (_, after) = after.split_once('"').unwrap();
            format!("{before}{}", after.trim_start_matches(','))
        }
        None => line.to_owned(),
    };
    let mut lines: Vec<String> = exposition.lines().map(line).collect();
    lines.sort();
    lines
}

#[test]
#[ignore = "needs Python and what pip fetches"]
fn python() {
    let parent = tempfile::tempdir().unwrap();
    let folder = new_and_tested(parent.path(), "python");
    refuses_an_empty_prefix(&folder);
    kept_for_the_benchmarks(&folder, "labels", "python");
}

/// By itself, since an interpreter takes half a minute to build and to compile.
#[test]
#[ignore = "needs Python and what pip fetches"]
fn python_with_samples() {
    let parent = tempfile::tempdir().unwrap();
    assert_eq!(sluice(parent.path(), &["new", "drop-go", "--lang", "python"]).0, Some(0));
    let folder = parent.path().join("drop-go");
    with_samples(&folder, &["filter.py"]);
    holds_with_samples(&folder, "python");
}

#[test]
#[ignore = "needs clang, lld and wasi-libc"]
fn c() {
    let parent = tempfile::tempdir().unwrap();
    let folder = new_and_tested(parent.path(), "c");
    refuses_an_empty_prefix(&folder);
    let (_, inspected) = sluice(&folder, &["inspect", COMPONENT]);
    assert!(!inspected.contains("wasi:"), "{inspected}");
    kept_for_the_benchmarks(&folder, "labels", "c");

    with_samples(&folder, &SAMPLES_IN_C);
    holds_with_samples(&folder, "c");
}

#[test]
fn tools_that_are_missing_are_told_in_one_line() {
    let parent = tempfile::tempdir().unwrap();
    for (language, tool, cure) in [
        ("js", "npm", "install Node.js"),
        ("python", "python3", "install Python"),
        ("c", "clang", "install clang, lld"),
    ] {
        let name = format!("in-{language}");
        assert_eq!(sluice(parent.path(), &["new", &name, "--lang", language]).0, Some(0));
        let nowhere = [("PATH", "/nowhere"), ("CC_wasm32_wasi", "")];
        let folder = parent.path().join(name);
        let Output { status, stderr, .. } = command_with(&folder, &["filter", "build"], &nowhere, PATIENCE);
        let said = String::from_utf8(stderr).unwrap();
        assert_eq!(status.code(), Some(1), "{said}");
        assert!(
            said.lines().count() == 1
                && said.contains(&format!("{tool} cannot be run: "))
                && said.contains(cure),
            "{said}"
        );
    }
}
