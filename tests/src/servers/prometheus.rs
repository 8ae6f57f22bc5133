//! Prometheus: a real server, as a source that scrapes and as a receiver of remote write.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Command;

use rustix::process::Signal;
use tempfile::TempDir;

use super::{PORT_TRIES_MAX, Process, find, free_port};
use crate::prom_api::Api;
use crate::tls::{Authority, Certified};
use crate::wait::eventually;

/// One job that a source scrapes.
#[derive(Debug, Clone)]
pub struct ScrapeJob {
    /// The value of the `job` label.
    pub name: String,
    /// `host:port` of its target; empty if it has none any more.
    pub target: String,
    /// Such as `1s`; a scrape may take as long.
    pub interval: String,
    /// Labels added to the target.
    pub labels: Vec<(String, String)>,
}

impl ScrapeJob {
    /// A job scraped every second, the source's own labels kept.
    pub fn new(name: &str, target: impl Into<String>) -> ScrapeJob {
        ScrapeJob { name: name.into(), target: target.into(), interval: "1s".into(), labels: Vec::new() }
    }

    /// Adds a label to the target.
    pub fn label(mut self, name: &str, value: &str) -> ScrapeJob {
        self.labels.push((name.into(), value.into()));
        self
    }

    /// Scrapes it so often instead.
    pub fn every(self, interval: &str) -> ScrapeJob {
        ScrapeJob { interval: interval.into(), ..self }
    }

    fn write(&self, config: &mut String) {
        let ScrapeJob { name, target, interval, labels } = self;
        let labels: serde_json::Map<String, serde_json::Value> =
            labels.iter().map(|(n, v)| (n.clone(), v.as_str().into())).collect();
        let targets: Vec<&String> = [target].into_iter().filter(|target| !target.is_empty()).collect();
        let targets = serde_json::json!([{ "targets": targets, "labels": labels }]);
        let _ = write!(
            config,
            "- job_name: {name}\n  honor_labels: true\n  honor_timestamps: true\n  scrape_interval: {interval}\n  \
             scrape_timeout: {interval}\n  static_configs: {targets}\n"
        );
    }
}

/// What it is told about TLS, in its folder.
const WEB: &str = "web.yml";

/// Which of its features are on, in its folder.
const FEATURES: &str = "features";

/// A running server with the remote-write receiver on; it ends, and its data goes, when dropped.
pub struct Prometheus {
    process: Process,
    port: u16,
    folder: TempDir,
}

impl Prometheus {
    /// A server that scrapes nothing: a receiver.
    pub async fn receiver() -> Prometheus {
        Prometheus::source(&[]).await
    }

    /// A server that scrapes `jobs`.
    pub async fn source(jobs: &[ScrapeJob]) -> Prometheus {
        Prometheus::source_labelled(jobs, &[]).await
    }

    /// A server that scrapes `jobs`, with external labels.
    pub async fn source_labelled(jobs: &[ScrapeJob], external: &[(&str, &str)]) -> Prometheus {
        Prometheus::with_config(&config(jobs, external)).await
    }

    /// A server that scrapes `jobs`, speaks TLS as whoever `own` says, and answers those alone who have a certificate of
    /// `known`. It offers HTTP/2.
    pub async fn secured(jobs: &[ScrapeJob], own: &Certified, known: &Authority) -> Prometheus {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let web = "tls_server_config: { cert_file: own.crt, key_file: own.key, client_ca_file: known.pem, \
                   client_auth_type: RequireAndVerifyClientCert }\n";
        let files =
            [("own.crt", &*own.certificate), ("own.key", &*own.key), ("known.pem", known.pem()), (WEB, web)];
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).expect("the temporary folder is writable");
        }
        let mut config = "scrape_configs:\n".to_owned();
        jobs.iter().for_each(|job| job.write(&mut config));
        Prometheus::in_folder(folder, &config).await
    }

    /// A server with this configuration file that stores native histograms.
    pub async fn native(config: &str) -> Prometheus {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let features = std::fs::write(folder.path().join(FEATURES), "native-histograms");
        features.expect("the temporary folder is writable");
        Prometheus::in_folder(folder, config).await
    }

    /// A server with this configuration file.
    pub async fn with_config(config: &str) -> Prometheus {
        Prometheus::in_folder(TempDir::new().expect("a temporary folder can be made"), config).await
    }

    async fn in_folder(folder: TempDir, config: &str) -> Prometheus {
        std::fs::write(folder.path().join("prometheus.yml"), config)
            .expect("the temporary folder is writable");
        for _ in 0..PORT_TRIES_MAX {
            let port = free_port();
            let mut process = launch(&folder, port);
            if ready(&mut process, &url(&folder, port)).await {
                return Prometheus { process, port, folder };
            }
            let log = process.log();
            assert!(log.contains("address already in use"), "prometheus ended:\n{log}");
        }
        panic!("no free port after {PORT_TRIES_MAX} tries");
    }

    /// Its base URL, without a slash at the end.
    pub fn url(&self) -> String {
        url(&self.folder, self.port)
    }

    /// The read side of its API.
    pub fn api(&self) -> Api {
        Api::new(self.url())
    }

    /// Everything it logged.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Lines of its log about samples it refused, and all its errors: none may be there after a test.
    pub fn complaints(&self) -> Vec<String> {
        let bad = ["out of order", "out-of-order", "duplicate sample", "out of bounds", "level=error"];
        let log = self.log().to_lowercase();
        log.lines().filter(|line| bad.iter().any(|b| line.contains(b))).map(str::to_owned).collect()
    }

    /// Answers to remote-write requests so far, by status code, as it counts them itself.
    pub async fn writes(&self) -> BTreeMap<String, u64> {
        self.requests("/api/v1/write").await
    }

    /// Answers below a path of its API so far, by status code, as it counts them itself.
    pub async fn requests(&self, handler: &str) -> BTreeMap<String, u64> {
        let page = crate::http::get(&format!("{}/metrics", self.url())).await.expect("it is running");
        let count = |line: &str| {
            let rest = line.strip_prefix("prometheus_http_requests_total{code=\"")?;
            let (code, rest) = rest.split_once(&format!("\",handler=\"{handler}\"}} "))?;
            Some((code.to_owned(), rest.parse::<f64>().ok()? as u64))
        };
        page.text().lines().filter_map(count).collect()
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Ends it at once, and everything it had is lost.
    pub fn forget(&mut self) {
        self.process.kill();
        std::fs::remove_dir_all(self.folder.path().join("data")).expect("it had data");
    }

    /// Gives it another configuration while it runs, and waits until that is in force.
    pub async fn configure(&self, config: &str) {
        const LOADED: &str = "Completed loading of configuration file";
        let loaded = || self.log().matches(LOADED).count();
        let before = loaded();
        std::fs::write(self.folder.path().join("prometheus.yml"), config).expect("the folder is writable");
        self.process.signal(Signal::HUP);
        eventually("the configuration is loaded", async || (loaded() > before).then_some(())).await;
    }

    /// Starts it again on the port and the data it had.
    pub async fn restart(&mut self) {
        self.process.kill();
        std::fs::remove_file(self.folder.path().join("log")).expect("it had a log");
        self.process = launch(&self.folder, self.port);
        let url = self.url();
        assert!(ready(&mut self.process, &url).await, "prometheus ended:\n{}", self.process.log());
    }

    /// As [`Prometheus::restart`], without TLS from now on: so that tests can read what it has.
    pub async fn restart_in_the_clear(&mut self) {
        std::fs::remove_file(self.folder.path().join(WEB)).expect("it was told about TLS");
        self.restart().await;
    }
}

fn url(folder: &TempDir, port: u16) -> String {
    let scheme = if folder.path().join(WEB).exists() { "https" } else { "http" };
    format!("{scheme}://127.0.0.1:{port}")
}

/// The text of a configuration file with these jobs and external labels.
pub fn config(jobs: &[ScrapeJob], external: &[(&str, &str)]) -> String {
    let external: serde_json::Map<String, serde_json::Value> =
        external.iter().map(|(n, v)| ((*n).to_owned(), (*v).into())).collect();
    let external = serde_json::Value::Object(external);
    let mut config = format!("global: {{ external_labels: {external} }}\nscrape_configs:\n");
    jobs.iter().for_each(|job| job.write(&mut config));
    config
}

fn launch(folder: &TempDir, port: u16) -> Process {
    let at = |name: &str| folder.path().join(name).display().to_string();
    let mut command = Command::new(find("prometheus"));
    command.current_dir(folder.path()).args([
        format!("--config.file={}", at("prometheus.yml")),
        format!("--storage.tsdb.path={}", at("data")),
        format!("--web.listen-address=127.0.0.1:{port}"),
        "--web.enable-remote-write-receiver".to_owned(),
        "--storage.tsdb.wal-compression".to_owned(),
    ]);
    if folder.path().join(WEB).exists() {
        command.arg(format!("--web.config.file={}", at(WEB)));
    }
    if let Ok(features) = std::fs::read_to_string(at(FEATURES)) {
        command.arg(format!("--enable-feature={features}"));
    }
    Process::start(command, &folder.path().join("log"))
}

/// Waits for its own word in its own log: another process on the port may answer too. False if it ended.
async fn ready(process: &mut Process, url: &str) -> bool {
    let secured = url.starts_with("https");
    let url = format!("{url}/-/ready");
    eventually("prometheus is ready", async || {
        if process.ended().is_some() {
            return Some(false);
        }
        let says_so = process.log().contains("Server is ready to receive web requests");
        // Whom it lets in is not us.
        let answers =
            says_so && (secured || crate::http::get(&url).await.is_ok_and(|a| a.status.is_success()));
        answers.then_some(true)
    })
    .await
}
