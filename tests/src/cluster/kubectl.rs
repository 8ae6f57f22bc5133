//! Kubectl: what people type, run to its end.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// A bound on hanging, nothing more.
const TIME_MAX: Duration = Duration::from_secs(120);

/// `kubectl` as one user.
#[derive(Debug, Clone)]
pub struct Kubectl {
    kubeconfig: PathBuf,
    cache: PathBuf,
}

/// A command that ended.
#[derive(Debug, Clone)]
#[must_use]
pub struct Done {
    command: String,
    success: bool,
    /// What it printed.
    pub out: String,
    /// What it complained of.
    pub err: String,
}

impl Kubectl {
    /// Whether there is one in `PATH`.
    pub fn is_here() -> bool {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|folder| folder.join("kubectl").is_file())
    }

    pub(super) fn new(kubeconfig: &Path, folder: &Path) -> Kubectl {
        Kubectl { kubeconfig: kubeconfig.to_owned(), cache: folder.join("kubectl-cache") }
    }

    /// Runs it with these arguments.
    pub async fn run(&self, arguments: &[&str]) -> Done {
        self.run_with(arguments, "").await
    }

    /// As [`Kubectl::run`], with an input for `-f -`.
    pub async fn run_with(&self, arguments: &[&str], input: &str) -> Done {
        let mut command = Command::new("kubectl");
        command.arg("--kubeconfig").arg(&self.kubeconfig).arg("--cache-dir").arg(&self.cache);
        command.args(arguments).kill_on_drop(true).env_remove("KUBECONFIG");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("kubectl is in PATH");
        let mut stdin = child.stdin.take().expect("it is piped");
        let feed = async {
            // It may have ended before it read all.
            let _ = stdin.write_all(input.as_bytes()).await;
            drop(stdin);
        };
        let ended = async { tokio::join!(feed, child.wait_with_output()).1 };
        let output = tokio::time::timeout(TIME_MAX, ended).await;
        let command = format!("kubectl {}", arguments.join(" "));
        let output =
            output.unwrap_or_else(|_| panic!("{command} did not end")).expect("its output can be read");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Done { command, success: output.status.success(), out: text(output.stdout), err: text(output.stderr) }
    }
}

impl Done {
    /// Whether it did what it was to do.
    pub fn has_succeeded(&self) -> bool {
        self.success
    }

    /// It must have succeeded; what it printed.
    #[track_caller]
    pub fn succeeds(self) -> String {
        let Done { command, success, out, err } = self;
        assert!(success, "{command}:\n{out}{err}");
        out
    }

    /// It must have succeeded without a warning; what it printed.
    #[track_caller]
    pub fn succeeds_in_silence(self) -> String {
        assert!(!self.err.contains("Warning"), "{}:\n{}", self.command, self.err);
        self.succeeds()
    }

    /// It must have failed; why.
    #[track_caller]
    pub fn fails(self) -> String {
        let Done { command, success, out, err } = self;
        assert!(!success, "{command} should have failed:\n{out}{err}");
        err
    }
}
