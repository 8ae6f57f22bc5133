//! Real: a Prometheus to pull from, a Prometheus and a Pushgateway to push to, as child processes.
//!
//! In: a folder, and what to scrape. Out: their addresses. Never: a process left behind, or state outside the folder.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::listen::free;

/// How long a server may take until it is ready.
const READY_MAX: Duration = Duration::from_secs(30);
/// How long a server may take to end before it is killed.
const END_MAX: Duration = Duration::from_secs(5);
/// Of an answer no more is read than this.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;
/// How often a server is asked whether it is ready.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// The running servers.
pub(super) struct Servers {
    /// The shared server's address.
    pub(super) source: String,
    /// The web team's.
    pub(super) receiver: String,
    /// The data team's.
    pub(super) pushgateway: String,
    children: Vec<(&'static str, Child)>,
}

impl Servers {
    /// Starts all three; the source scrapes `live` and Sluice itself at `sluice`. It returns when the source can
    /// answer for a moment `lag` ago, so that the first tick is not an empty one.
    pub(super) async fn start(
        folder: &Path,
        live: SocketAddr,
        sluice: SocketAddr,
        lag: Duration,
    ) -> anyhow::Result<Servers> {
        let (prometheus, gateway) = (find("prometheus")?, find("prometheus-pushgateway")?);
        let (source, receiver, pushgateway) = (free(0).await?, free(0).await?, free(0).await?);
        let mut children = Vec::new();
        for (name, address, scrape) in [
            ("source", source, scrape_config(live, sluice)),
            ("receiver", receiver, "scrape_configs: []\n".to_owned()),
        ] {
            let (file, data) = (folder.join(format!("{name}.yml")), folder.join(name));
            fs::write(&file, scrape)?;
            let mut command = Command::new(&prometheus);
            command.arg(flag("config.file", file.display())).arg(flag("storage.tsdb.path", data.display()));
            command.arg(flag("web.listen-address", address)).arg("--web.enable-remote-write-receiver");
            children.push((name, spawn(command, &folder.join(format!("{name}.log")))?));
        }
        let mut command = Command::new(&gateway);
        command.arg(flag("web.listen-address", pushgateway));
        // Debian's build keeps its state in /var/lib unless told otherwise.
        command.arg(flag("persistence.file", folder.join("pushgateway.data").display()));
        children.push(("pushgateway", spawn(command, &folder.join("pushgateway.log"))?));
        for ((name, child), address) in children.iter_mut().zip([source, receiver, pushgateway]) {
            ready(name, child, address, &folder.join(format!("{name}.log"))).await?;
        }
        scraped(source, lag).await?;
        let url = |address| format!("http://{address}");
        Ok(Servers { source: url(source), receiver: url(receiver), pushgateway: url(pushgateway), children })
    }

    /// Asks them to end, and ends those that do not.
    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        for (_, child) in &self.children {
            let pid = child.id().and_then(|id| rustix::process::Pid::from_raw(i32::try_from(id).ok()?));
            if let Some(pid) = pid {
                // One that has ended by itself is what is wanted.
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            }
        }
        for (name, child) in &mut self.children {
            if tokio::time::timeout(END_MAX, child.wait()).await.is_err() {
                child.kill().await.with_context(|| format!("cannot end the demo's {name}"))?;
            }
        }
        Ok(())
    }
}

fn flag(name: &str, value: impl std::fmt::Display) -> String {
    format!("--{name}={value}")
}

/// Labels of the live series are kept: they come from many jobs.
fn scrape_config(live: SocketAddr, sluice: SocketAddr) -> String {
    format!(
        "global: {{scrape_interval: 2s, scrape_timeout: 1s}}\n\
         scrape_configs:\n\
         - {{job_name: company, honor_labels: true, static_configs: [{{targets: ['{live}']}}]}}\n\
         - {{job_name: sluice, static_configs: [{{targets: ['{sluice}']}}]}}\n"
    )
}

/// Looks in `$SLUICE_SERVERS`, then in `PATH`.
pub(super) fn find(program: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::var_os("SLUICE_SERVERS").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders = own.into_iter().chain(std::env::split_paths(&path));
    let found = folders.find_map(|folder| Some(folder.join(program)).filter(|file| file.is_file()));
    found.with_context(|| {
        format!("{program} is not in PATH: apt-get install prometheus prometheus-pushgateway, or set SLUICE_SERVERS to their folder")
    })
}

fn spawn(mut command: Command, log: &Path) -> anyhow::Result<Child> {
    let log = File::create(log)?;
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).kill_on_drop(true);
    // An interrupt from the terminal is ours to handle: the servers end after the application.
    command.process_group(0);
    command.spawn().with_context(|| format!("cannot start {}", command.as_std().get_program().display()))
}

async fn ready(name: &str, child: &mut Child, address: SocketAddr, log: &Path) -> anyhow::Result<()> {
    let asked = async {
        loop {
            if let Some(status) = child.try_wait()? {
                bail!("the demo's {name} ended ({status}): {}", last_line(log));
            }
            if answers(address).await.unwrap_or(false) {
                return Ok(());
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    };
    match tokio::time::timeout(READY_MAX, asked).await {
        Ok(ready) => ready,
        Err(_) => bail!("the demo's {name} is not ready after {} s: {}", READY_MAX.as_secs(), last_line(log)),
    }
}

/// Waits until the source has what it scrapes, `lag` ago.
async fn scraped(source: SocketAddr, lag: Duration) -> anyhow::Result<()> {
    let asked = async {
        loop {
            let at = std::time::SystemTime::now() - lag;
            let seconds = at.duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs();
            let path = format!("/api/v1/query?query=up%7Bjob%3D%22company%22%7D%3D%3D1&time={seconds}");
            // An answer without series ends in an empty list.
            if get(source, &path).await.is_ok_and(|answer| answer.contains("\"metric\"")) {
                return;
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    };
    let waited = tokio::time::timeout(READY_MAX, asked).await;
    waited.with_context(|| format!("the demo's source has scraped nothing after {} s", READY_MAX.as_secs()))
}

/// Whether `GET /-/ready` is answered with 200.
async fn answers(address: SocketAddr) -> std::io::Result<bool> {
    let answer = get(address, "/-/ready").await?;
    Ok(answer.split(' ').nth(1) == Some("200"))
}

/// The whole answer to one request, head and body.
async fn get(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer).await?;
    Ok(answer)
}

fn last_line(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    text.lines().last().unwrap_or("its log is empty").to_owned()
}
