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

fn refuses_an_empty_prefix(folder: &Path) {
    fs::write(folder.join("bad.yaml"), "prefixes: ['']\n").unwrap();
    let metrics = "tests/drops/metrics.prom";
    let (status, said) = sluice(folder, &["run", COMPONENT, "--metrics", metrics, "--config", "bad.yaml"]);
    let wanted = "filter drop-go: config: an empty prefix drops everything: leave it out";
    assert!(status == Some(1) && said.contains(wanted), "{said}");
}

#[test]
#[ignore = "needs Node.js and what npm fetches"]
fn javascript() {
    let parent = tempfile::tempdir().unwrap();
    let folder = new_and_tested(parent.path(), "js");
    refuses_an_empty_prefix(&folder);

    let filter = folder.join("filter.js");
    let text = fs::read_to_string(&filter).unwrap();
    let dice = text.replace("series.set('filtered_by', 'drop-go')", "series.set('dice', `${Math.random()}`)");
    assert_ne!(dice, text);
    fs::write(&filter, dice).unwrap();
    let (status, said) = sluice(&folder, &["build"]);
    assert_eq!(status, Some(0), "{said}");
    assert_eq!(sluice(&folder, &["test", COMPONENT, "--update"]).0, Some(0));
    let thrown = fs::read_to_string(folder.join("tests/drops/expected.prom")).unwrap();
    assert!(thrown.contains("dice=\"0."), "{thrown}");
    let (status, said) = sluice(&folder, &["test", COMPONENT]);
    assert_eq!(status, Some(0), "another run, the same numbers: {said}");
}

#[test]
#[ignore = "needs Python and what pip fetches"]
fn python() {
    let parent = tempfile::tempdir().unwrap();
    let folder = new_and_tested(parent.path(), "python");
    refuses_an_empty_prefix(&folder);
}

#[test]
#[ignore = "needs clang, lld and wasi-libc"]
fn c() {
    let parent = tempfile::tempdir().unwrap();
    let folder = new_and_tested(parent.path(), "c");
    refuses_an_empty_prefix(&folder);
    let (_, inspected) = sluice(&folder, &["inspect", COMPONENT]);
    assert!(!inspected.contains("wasi:"), "{inspected}");
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
