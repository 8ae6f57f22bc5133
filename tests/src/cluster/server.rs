//! Server: a kube-apiserver and its etcd as child processes on loopback, with data, keys and ports of their own.
//!
//! There is no controller and no scheduler: nothing fills in ServiceAccounts, starts pods or collects garbage.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use http::Request;
use tempfile::TempDir;

use super::keys::Keys;
use super::{Access, client};
use crate::servers::{PORT_TRIES_MAX, Process, free_port};
use crate::wait::within;

/// What the folder of `KUBEBUILDER_ASSETS` has to hold.
pub(super) const PROGRAMS: [&str; 2] = ["etcd", "kube-apiserver"];

/// An API server on a busy machine takes its time.
pub(super) const START_MAX: Duration = Duration::from_secs(180);

/// Lines of its log that are worth showing.
const LOG_LINES_MAX: usize = 40;

/// Both servers. Dropping them ends first the API server, then etcd.
pub(super) struct Servers {
    api: Process,
    _etcd: Process,
    access: Access,
}

impl Servers {
    /// Starts both and waits until the API server is ready.
    pub(super) async fn start(programs: &Path, folder: &TempDir) -> Servers {
        let keys = Keys::make(folder.path());
        let (etcd, store) = etcd(programs, folder.path()).await;
        for _ in 0..PORT_TRIES_MAX {
            let port = free_port();
            let mut api = launch(programs, folder.path(), &keys, &store, port);
            let access =
                Access::token(&format!("https://127.0.0.1:{port}"), &keys.authority_pem, &keys.admin_token);
            if ready(&mut api, &access, folder.path()).await {
                return Servers { api, _etcd: etcd, access };
            }
            let log = api.log();
            assert!(log.contains("address already in use"), "kube-apiserver ended:\n{}", tail(&log));
        }
        panic!("no free port after {PORT_TRIES_MAX} tries");
    }

    /// How to get there as somebody who may do everything.
    pub(super) fn access(&self) -> &Access {
        &self.access
    }

    /// The end of the API server's log.
    pub(super) fn log(&self) -> String {
        tail(&self.api.log())
    }
}

/// A running etcd, and its address.
async fn etcd(programs: &Path, folder: &Path) -> (Process, String) {
    for _ in 0..PORT_TRIES_MAX {
        let address = format!("http://127.0.0.1:{}", free_port());
        let mut command = Command::new(programs.join("etcd"));
        command.current_dir(folder).arg("--data-dir").arg(folder.join("etcd")).args([
            "--listen-client-urls",
            &address,
            "--advertise-client-urls",
            &address,
            // One member talks to nobody: any port will do.
            "--listen-peer-urls",
            "http://127.0.0.1:0",
        ]);
        let mut process = Process::start(command, &folder.join("etcd.log"));
        let health = format!("{address}/health");
        let healthy = within(START_MAX, "etcd is healthy", async || {
            if process.ended().is_some() {
                return Some(false);
            }
            crate::http::get(&health).await.is_ok_and(|a| a.text().contains("true")).then_some(true)
        });
        if healthy.await {
            return (process, address);
        }
        let log = process.log();
        assert!(log.contains("address already in use"), "etcd ended:\n{}", tail(&log));
    }
    panic!("no free port after {PORT_TRIES_MAX} tries");
}

fn launch(programs: &Path, folder: &Path, keys: &Keys, store: &str, port: u16) -> Process {
    let mut command = Command::new(programs.join("kube-apiserver"));
    let file = |path: &Path| path.display().to_string();
    command.current_dir(folder).args([
        format!("--etcd-servers={store}"),
        "--bind-address=127.0.0.1".to_owned(),
        "--advertise-address=127.0.0.1".to_owned(),
        format!("--secure-port={port}"),
        format!("--cert-dir={}", file(folder)),
        format!("--tls-cert-file={}", file(&keys.certificate)),
        format!("--tls-private-key-file={}", file(&keys.key)),
        "--authorization-mode=RBAC".to_owned(),
        format!("--token-auth-file={}", file(&keys.tokens)),
        format!("--service-account-issuer=https://127.0.0.1:{port}"),
        format!("--service-account-key-file={}", file(&keys.accounts_public)),
        format!("--service-account-signing-key-file={}", file(&keys.accounts)),
        // Without controllers no namespace has a ServiceAccount `default`, and pods could not be made.
        "--disable-admission-plugins=ServiceAccount".to_owned(),
        "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
        // Loopback is no address for an endpoint of the Service `kubernetes`.
        "--endpoint-reconciler-type=none".to_owned(),
    ]);
    Process::start(command, &folder.join("kube-apiserver.log"))
}

/// Waits until it is ready for whoever holds the token, and so is nobody else's. False if it ended.
async fn ready(process: &mut Process, access: &Access, folder: &Path) -> bool {
    let file = folder.join("ready.kubeconfig");
    access.write(&file);
    let client = client(&file).await;
    within(START_MAX, "kube-apiserver is ready", async || {
        if process.ended().is_some() {
            return Some(false);
        }
        let request = Request::get("/readyz").body(Vec::new()).expect("a legal request");
        client.request_text(request).await.is_ok_and(|text| text == "ok").then_some(true)
    })
    .await
}

fn tail(log: &str) -> String {
    let lines: Vec<_> = log.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES_MAX)..].join("\n")
}
