//! Sluice: the program itself, as an operator runs it: one binary, one configuration file, a folder of resources or a
//! cluster that has them.
//!
//! In: a [`Setup`]. Out: a running process, its addresses, its folder of resources to change, its log.
//! Never: the host's own types; what is written here is what an operator writes.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use tempfile::TempDir;

use super::{PORT_TRIES_MAX, Process, free_port};
use crate::http::{self, Answer};
use crate::wait::{PATIENCE, eventually};

/// The state file, in the folder.
const STATE: &str = "state.json";

/// Everything an operator writes down before starting the program.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    sources: Vec<Value>,
    services: BTreeMap<String, String>,
    secrets: Vec<(String, String)>,
    resources: Vec<(String, String)>,
    settings: Map<String, Value>,
    variables: Vec<(String, String)>,
    pod: Option<Pod>,
}

/// Which pod of a cluster the program is to be; the setting `kubernetes` says which cluster.
#[derive(Debug, Clone)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
}

impl Setup {
    /// Nothing but what every test wants: short intervals, and no long pause after a failure.
    pub fn new() -> Setup {
        let setup = Setup::default().setting("limits", json!({ "minInterval": "1s" }));
        setup.setting("delivery", json!({ "maxBackoff": "1s" }))
    }

    /// A source with a lag short enough for tests, and long enough for a slow machine to store its scrapes.
    pub fn source(self, name: &str, url: &str) -> Setup {
        self.source_with(name, url, json!({}))
    }

    /// As [`Setup::source`], with more fields, or others.
    pub fn source_with(mut self, name: &str, url: &str, more: Value) -> Setup {
        let mut source = json!({ "name": name, "url": url, "lag": "3s", "timeout": "20s" });
        merge(&mut source, more);
        self.sources.push(source);
        self
    }

    /// Where a Service is, such as `prometheus.webapp-team:9090`: outside of a cluster its name means nothing.
    pub fn service(mut self, name: &str, url: &str) -> Setup {
        self.services.insert(name.into(), url.into());
        self
    }

    /// The value of a Secret, by `namespace/name/key`.
    pub fn secret(mut self, path: &str, value: &str) -> Setup {
        self.secrets.push((path.into(), value.into()));
        self
    }

    /// A resource file in the folder of resources.
    pub fn resource(mut self, file: &str, yaml: &str) -> Setup {
        self.resources.push((file.into(), yaml.into()));
        self
    }

    /// A field of the configuration; objects are merged.
    pub fn setting(mut self, key: &str, value: Value) -> Setup {
        merge(self.settings.entry(key).or_insert_with(|| json!({})), value);
        self
    }

    /// A variable of its environment.
    pub fn variable(mut self, name: &str, value: &str) -> Setup {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// Takes the resources from a cluster, as this pod of it, instead of from a folder.
    pub fn pod(self, pod: Pod) -> Setup {
        Setup { pod: Some(pod), ..self }
    }

    /// Starts the program and waits until its filters are compiled.
    pub async fn start(self) -> Sluice {
        let folder = self.lay_out();
        for _ in 0..PORT_TRIES_MAX {
            let ports = [free_port(), free_port()];
            let mut process = self.launch(folder.path(), ports);
            if is_up(&mut process, ports[0]).await {
                return Sluice { setup: self, process, folder, ports };
            }
            let log = process.log();
            assert!(log.contains("Address already in use"), "sluice ended:\n{log}");
        }
        panic!("no free port after {PORT_TRIES_MAX} tries");
    }

    fn lay_out(&self) -> TempDir {
        let folder = TempDir::new().expect("a temporary folder can be made");
        for (file, yaml) in &self.resources {
            write(&folder.path().join("tenants").join(file), yaml);
        }
        for (path, value) in &self.secrets {
            write(&folder.path().join("secrets").join(path), value);
        }
        std::fs::create_dir_all(folder.path().join("tenants")).expect("the temporary folder is writable");
        std::fs::create_dir_all(folder.path().join("secrets")).expect("the temporary folder is writable");
        folder
    }

    fn launch(&self, folder: &Path, [port, debug]: [u16; 2]) -> Process {
        let at = |name: &str| folder.join(name).display().to_string();
        let mut config = json!({
            "sources": self.sources,
            "endpoints": self.services,
            "listen": { "address": format!("127.0.0.1:{port}"), "debug": format!("127.0.0.1:{debug}") },
        });
        if self.pod.is_none() {
            let standalone = json!({
                "tenants": { "folder": at("tenants") },
                "secrets": { "folder": at("secrets") },
                "state": { "file": at(STATE) },
            });
            merge(&mut config, standalone);
        }
        merge(&mut config, Value::Object(self.settings.clone()));
        // JSON is YAML.
        write(&folder.join("sluice.yaml"), &format!("{config:#}\n"));
        let mut command = Command::new(binary());
        command.current_dir(folder).args(["run", "--config", &at("sluice.yaml")]).env_remove("KUBECONFIG");
        command.envs(self.variables.iter().cloned());
        if let Some(Pod { name, namespace }) = &self.pod {
            command.env("POD_NAME", name).env("POD_NAMESPACE", namespace);
        }
        Process::start(command, &folder.join("log"))
    }
}

/// A running program; it is killed when dropped.
pub struct Sluice {
    setup: Setup,
    process: Process,
    folder: TempDir,
    ports: [u16; 2],
}

impl Sluice {
    /// Writes a resource file, new or changed, in one step as editors and `kubectl` do: a rename.
    pub fn write(&self, file: &str, yaml: &str) {
        let part = self.folder.path().join("part");
        write(&part, yaml);
        std::fs::rename(part, self.folder.path().join("tenants").join(file)).expect("the folder is writable");
    }

    /// Writes the value of a Secret anew, by `namespace/name/key`, in one step.
    pub fn write_secret(&self, path: &str, value: &str) {
        let part = self.folder.path().join("part");
        write(&part, value);
        std::fs::rename(part, self.folder.path().join("secrets").join(path)).expect("the folder is writable");
    }

    /// Removes a resource file.
    pub fn remove(&self, file: &str) {
        std::fs::remove_file(self.folder.path().join("tenants").join(file)).expect("the file is there");
    }

    /// The process, for what the system knows of it.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Everything it logged.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Its log, line by line, as JSON; a line that is not JSON fails the test.
    pub fn log_lines(&self) -> Vec<Value> {
        let parse = |line: &str| {
            serde_json::from_str(line).unwrap_or_else(|e| panic!("a log line is not JSON ({e}): {line}"))
        };
        self.log().lines().map(parse).collect()
    }

    /// GETs a path of the operator's address, such as `/metrics`.
    pub async fn get(&self, path: &str) -> Answer {
        http::get(&format!("http://{}{path}", self.address())).await.expect("it is running")
    }

    /// What a counter of `/metrics` says, summed over the label sets that have these labels; there must be one.
    pub async fn counted(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let counted = self.counted_so_far(name, labels).await;
        counted.unwrap_or_else(|| panic!("there is no {name} with {labels:?}"))
    }

    /// As [`Sluice::counted`], of a counter that may not be there yet.
    pub async fn counted_so_far(&self, name: &str, labels: &[(&str, &str)]) -> Option<u64> {
        let page = self.get("/metrics").await;
        let wanted: Vec<String> =
            labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
        let of = |line: &str| {
            let (series, value) = line.rsplit_once(' ')?;
            let (found, set) = series.strip_suffix('}')?.split_once('{')?;
            let is_wanted = wanted.iter().all(|label| set.split(',').any(|own| own == label));
            (found == name && is_wanted).then(|| value.parse::<f64>().expect("a value is a number") as u64)
        };
        let all: Vec<u64> = page.text().lines().filter_map(of).collect();
        (!all.is_empty()).then(|| all.iter().sum())
    }

    /// GETs a path of the debug address, such as `/debug/targets`.
    pub async fn debug(&self, path: &str) -> Answer {
        http::get(&format!("http://{}{path}", self.debug_address())).await.expect("it is running")
    }

    /// `host:port` of the operator's endpoints.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.ports[0])
    }

    /// `host:port` of the debug endpoints.
    pub fn debug_address(&self) -> String {
        format!("127.0.0.1:{}", self.ports[1])
    }

    /// Asks it to stop and waits until it has; it finishes the tick in flight first.
    pub async fn stop(&mut self) -> ExitStatus {
        self.process.stop().await
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Memory that it has (`VmRSS`), or the most that it has had (`VmHWM`), in bytes.
    pub fn memory_bytes(&self, which: &str) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("it is running");
        let found = status.lines().find_map(|line| line.strip_prefix(which)?.strip_prefix(':'));
        let kib = found.expect("the kernel says it").trim().trim_end_matches(" kB");
        kib.parse::<usize>().expect("it is a number") << 10
    }

    /// What the state file says.
    pub fn state(&self) -> Vec<u8> {
        std::fs::read(self.folder.path().join(STATE)).expect("there is a state file")
    }

    /// Writes the state file anew; it must not run.
    pub fn set_state(&self, state: &[u8]) {
        std::fs::write(self.folder.path().join(STATE), state).expect("the folder can be written in");
    }

    /// Starts it again with the same configuration, resources and state.
    pub async fn restart(&mut self) {
        self.process.kill();
        self.process = self.setup.launch(self.folder.path(), self.ports);
        assert!(is_up(&mut self.process, self.ports[0]).await, "sluice ended:\n{}", self.process.log());
    }
}

/// What a failed test needs to be understood.
impl Drop for Sluice {
    fn drop(&mut self) {
        const LINES_MAX: usize = 60;
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            let tail = lines[lines.len().saturating_sub(LINES_MAX)..].join("\n");
            eprintln!("sluice logged, at last:\n{tail}\n");
        }
    }
}

/// Runs a command of the program to its end, in `folder`; one that does not end is killed, and fails the test.
pub fn command(folder: &Path, args: &[&str]) -> Output {
    command_with(folder, args, &[], PATIENCE)
}

/// As [`command`], with variables, and for one that takes longer.
pub fn command_with(folder: &Path, args: &[&str], variables: &[(&str, &str)], patience: Duration) -> Output {
    command_told(folder, args, variables, "", patience)
}

/// As [`command_with`], with a few words on its standard input.
pub fn command_told(
    folder: &Path,
    args: &[&str],
    variables: &[(&str, &str)],
    input: &str,
    patience: Duration,
) -> Output {
    let mut command = Command::new(binary());
    // What commands compile is kept among what tests build, not where the user's things are.
    command.env("XDG_CACHE_HOME", binary().with_file_name("cache"));
    command.envs(variables.iter().copied());
    command.current_dir(folder).args(args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary runs");
    // It may end without reading them.
    let _ = child.stdin.take().expect("it is piped").write_all(input.as_bytes());
    let start = Instant::now();
    while child.try_wait().expect("a child can be waited for").is_none() {
        if start.elapsed() > patience {
            let _ = child.kill();
            panic!("sluice {args:?} did not end: {:?}", child.wait_with_output());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.wait_with_output().expect("its output can be read")
}

/// The binary beside this test: `target/<profile>/sluice` for a test in `target/<profile>/deps`.
/// The program under test.
pub fn binary() -> PathBuf {
    let binary = profile_folder().join("sluice");
    assert!(binary.is_file(), "no {}: run `cargo build -p sluice`, as `make test` does", binary.display());
    binary
}

/// Where this test's profile is built: `target/debug`.
pub fn profile_folder() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own path");
    test.parent().and_then(Path::parent).expect("tests are built below target").to_owned()
}

/// Not whether it is ready: of a program that waits for its cluster, tests want to see that.
async fn is_up(process: &mut Process, port: u16) -> bool {
    let url = format!("http://127.0.0.1:{port}/readyz");
    eventually("sluice has started", async || {
        if process.ended().is_some() {
            return Some(false);
        }
        http::get(&url).await.is_ok_and(|a| !a.text().contains("compiled")).then_some(true)
    })
    .await
}

fn write(file: &Path, text: &str) {
    let folder = file.parent().expect("a file has a folder");
    std::fs::create_dir_all(folder).expect("the temporary folder is writable");
    std::fs::write(file, text).expect("the temporary folder is writable");
}

/// Puts `more` over `base`, object by object.
fn merge(base: &mut Value, more: Value) {
    match (base, more) {
        (Value::Object(base), Value::Object(more)) => {
            for (key, value) in more {
                merge(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (base, more) => *base = more,
    }
}
