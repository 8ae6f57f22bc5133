//! The author's walk: docs/first-filter.md, its files written and its commands typed as they stand there.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use sluice_tests::registry::{Lock, Registry};
use sluice_tests::series::LabelSet;
use sluice_tests::servers::{DockerRegistry, Process, Prometheus, ScrapeJob, binary, find, free_port};
use sluice_tests::wait::{eventually, now_ms};

/// What the page says it takes.
const TIME: Duration = Duration::from_secs(600);
const COMMANDS: usize = 7;
const PAGE: &str = include_str!("../../docs/first-filter.md");

/// What a page tells its reader to do.
#[derive(Default)]
struct Walk {
    /// What to type.
    commands: Vec<String>,
    /// Files to write, by name.
    files: BTreeMap<String, String>,
    /// A line of a file, and what stands in its place.
    edits: Vec<[String; 2]>,
}

impl Walk {
    fn read(page: &str) -> Walk {
        let mut walk = Walk::default();
        let mut parts = page.split("```");
        while let (Some(_), Some(block)) = (parts.next(), parts.next()) {
            let (kind, text) = block.split_once('\n').unwrap();
            match kind {
                "console" => {
                    let typed = text.lines().filter_map(|line| line.strip_prefix("$ "));
                    walk.commands.extend(typed.map(str::to_owned));
                }
                "yaml" => {
                    let name = text.lines().next().and_then(|line| line.strip_prefix("# ")).unwrap();
                    walk.files.insert(name.to_owned(), text.to_owned());
                }
                "diff" => {
                    let line = |mark: char| text.lines().find_map(|line| line.strip_prefix(mark)).unwrap();
                    walk.edits.push([line('-').to_owned(), line('+').to_owned()]);
                }
                _ => panic!("a block of a kind that the page's test does not know: {kind}"),
            }
        }
        walk
    }
}

/// Types a command into a shell in `folder`. What it prints is returned; it must succeed.
fn typed(folder: &Path, command: &str) -> String {
    let Output { status, stdout, stderr } = shell(folder, command).output().unwrap();
    let (out, said) = (String::from_utf8(stdout).unwrap(), String::from_utf8_lossy(&stderr).into_owned());
    assert!(status.success(), "{command}: {out}{said}");
    out
}

fn shell(folder: &Path, command: &str) -> Command {
    let paths = [binary(), find("promtool")].map(|file| file.parent().unwrap().to_owned());
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(paths.into_iter().chain(std::env::split_paths(&path))).unwrap();
    let mut shell = Command::new("sh");
    // What the reader's shell would do: the program itself is the process.
    shell.args(["-c", &format!("exec {command}")]).current_dir(folder).env("PATH", path);
    shell.env_remove("CARGO_TARGET_DIR").env("CARGO_TERM_QUIET", "true");
    // Not where the user's things are.
    shell.env("XDG_CACHE_HOME", binary().with_file_name("cache"));
    shell
}

#[tokio::test]
async fn the_first_filter_is_written_shipped_and_seen_as_the_page_says() {
    let receiver = Prometheus::receiver().await;
    let (docker, fake) = (DockerRegistry::open().await, Registry::start(Lock::Open).await);
    let registry = docker.as_ref().map_or_else(|| fake.host(), DockerRegistry::host);
    let own = receiver.url().replace("http://", "");
    let source = Prometheus::source(&[ScrapeJob::new("prometheus", own.clone())]).await;
    let places = [
        ("localhost:9090", source.url().replace("http://", "")),
        ("localhost:9091", own),
        ("localhost:5000", registry),
        ("localhost:8080", format!("127.0.0.1:{}", free_port())),
        ("localhost:8081", format!("127.0.0.1:{}", free_port())),
    ];
    let page = places.iter().fold(PAGE.to_owned(), |page, (theirs, ours)| page.replace(theirs, ours));
    let walk = Walk::read(&page);
    // To enter a folder is a step on the way, not a tool.
    let commands = walk.commands.iter().filter(|command| !command.starts_with("cd "));
    assert_eq!(commands.count(), COMMANDS, "{:?}", walk.commands);
    let began = Instant::now();
    let home = tempfile::tempdir().unwrap();
    let typing = tokio::task::spawn_blocking(move || author(home, walk));
    let (_sluice, ask, folder) = typing.await.unwrap();

    let shown = eventually("the team's Prometheus has it", async || {
        let out = typed(folder.path(), &ask);
        (!out.trim().is_empty()).then_some(out)
    })
    .await;
    eprintln!("the walk took {:.0?} of {TIME:?}", began.elapsed());
    assert!(shown.contains("prometheus_build_info{") && !shown.contains("go_goroutines"), "{shown}");
    let held = receiver.api().instant(r#"{managed_by!=""}"#, now_ms()).await.unwrap();
    let named = |name: &str| held.keys().filter(|series: &&LabelSet| series.get("__name__") == name).count();
    assert_eq!((named("prometheus_build_info"), named("go_goroutines")), (1, 0), "{held:?}");
}

/// Does everything up to running Sluice. Answers what runs, how to ask for what came of it, and the folder of it all.
fn author(home: tempfile::TempDir, walk: Walk) -> (Process, String, tempfile::TempDir) {
    let [new, enter, test, run, push, manifest, sluice, ask] = &walk.commands[..] else {
        panic!("not the walk that the page's test knows: {:?}", walk.commands)
    };
    typed(home.path(), new);
    let folder: PathBuf = home.path().join(enter.strip_prefix("cd ").unwrap());
    for [before, after] in &walk.edits {
        let file = folder.join("src/lib.rs");
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains(before.as_str()), "{before} is not in {text}");
        fs::write(&file, text.replace(before.as_str(), after)).unwrap();
    }
    typed(&folder, "cargo test --quiet");
    let tested = typed(&folder, test);
    assert!(tested.contains("1 of 1 cases hold"), "{tested}");
    let tried = typed(&folder, run);
    assert!(tried.contains("- go_goroutines ") && tried.contains("tier=\"web\""), "{tried}");
    let pushed = typed(&folder, push);
    let said = typed(&folder, manifest);
    assert!(said.contains(pushed.trim()), "{said} is not of {pushed}");
    let (_, digest) = pushed.trim().split_once("sha256:").unwrap();
    for (name, text) in &walk.files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text.replace("sha256:…", &format!("sha256:{digest}"))).unwrap();
    }
    let log = home.path().join("log");
    let running = Process::start(shell(&folder, sluice), &log);
    (running, ask.clone(), home)
}
