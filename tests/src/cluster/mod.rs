//! Cluster: a real Kubernetes API server, and Sluice installed in it as an operator installs it.
//!
//! In: `KUBEBUILDER_ASSETS`, a folder with `kube-apiserver` and `etcd` (the convention of envtest), or
//! `SLUICE_TEST_KUBECONFIG`, a cluster that may be used. Out: clients, installations with namespaces of their own,
//! replicas as processes, and a way to cut each of them off.
//! Never: the fake API server, the host's own types, a port that is fixed, a process that outlives its handle.

mod access;
mod installation;
mod keys;
mod kubectl;
mod objects;
mod server;

use std::path::{Path, PathBuf};

use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use tempfile::TempDir;

pub use access::Access;
pub use installation::{Installation, Replica};
pub use kubectl::{Done, Kubectl};
pub use objects::{Events, Leases, Resource, Resources, condition, is};

use crate::wait::within;
use server::{START_MAX, Servers};

/// The folder that holds the two servers' programs.
const ASSETS: &str = "KUBEBUILDER_ASSETS";
/// A cluster that is there already.
const KUBECONFIG: &str = "SLUICE_TEST_KUBECONFIG";

/// On everything that a run makes outside of its own namespaces.
const RUN_LABEL: &str = "observability.ethos.io/test-run";

/// What the suite can run on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ground {
    /// Servers of our own, from the programs in this folder.
    Programs(PathBuf),
    /// The cluster of this kubeconfig file.
    Kubeconfig(PathBuf),
}

impl Ground {
    /// What the environment offers; else what to set.
    pub fn find() -> Result<Ground, String> {
        Ground::of(variable(ASSETS), variable(KUBECONFIG))
    }

    fn of(assets: Option<PathBuf>, kubeconfig: Option<PathBuf>) -> Result<Ground, String> {
        if let Some(file) = kubeconfig {
            return match file.is_file() {
                true => Ok(Ground::Kubeconfig(file)),
                false => Err(format!("{KUBECONFIG} is {}, which is no file", file.display())),
            };
        }
        let Some(folder) = assets else {
            return Err(format!(
                "set {ASSETS} to a folder with kube-apiserver and etcd, as setup-envtest makes it, or {KUBECONFIG} to \
                 the kubeconfig of a cluster that may be used"
            ));
        };
        match server::PROGRAMS.iter().find(|name| !folder.join(name).is_file()) {
            None => Ok(Ground::Programs(folder)),
            Some(name) => Err(format!("{ASSETS} is {}, which has no {name}", folder.display())),
        }
    }
}

fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// A cluster in which we may do everything. Servers of our own end, and their data goes, when it is dropped.
pub struct Cluster {
    /// Before the folder: they write there.
    servers: Option<Servers>,
    folder: TempDir,
    admin: PathBuf,
    /// Marks what this run makes.
    run: String,
}

impl Cluster {
    /// Starts servers, or looks at those that are there; the resource's definition is installed.
    pub async fn start(ground: &Ground) -> Cluster {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let (servers, admin) = match ground {
            Ground::Kubeconfig(file) => (None, file.clone()),
            Ground::Programs(programs) => {
                let servers = Servers::start(programs, &folder).await;
                let admin = folder.path().join("admin.kubeconfig");
                servers.access().write(&admin);
                (Some(servers), admin)
            }
        };
        let run = format!("{:08x}", rand::random::<u32>());
        let cluster = Cluster { servers, folder, admin, run };
        cluster.define().await;
        cluster
    }

    /// Installs `deploy/crd.yaml` and waits until the API server serves it.
    async fn define(&self) {
        let kubectl = self.kubectl();
        let file = deploy().join("crd.yaml").display().to_string();
        kubectl.run(&["apply", "--server-side", "--force-conflicts", "-f", &file]).await.succeeds();
        let wait = [
            "wait",
            "--for=condition=Established",
            "--timeout=60s",
            "crd/metricaccesses.observability.ethos.io",
        ];
        kubectl.run(&wait).await.succeeds();
        // What is established is served at once, and found by its short name a moment later.
        within(START_MAX, "the API server serves the definition", async || {
            let found = kubectl.run(&["explain", "ma"]).await;
            found.has_succeeded().then_some(())
        })
        .await;
    }

    /// Removes what installations made, from a cluster that stays; the resource's definition stays too.
    pub async fn clean(&self) {
        if self.servers.is_some() {
            return;
        }
        let kubectl = self.kubectl();
        let ours = format!("{RUN_LABEL}={}", self.run);
        let named = async |arguments: &[&str]| -> Vec<String> {
            let names = kubectl.run(arguments).await.succeeds();
            names.lines().map(|name| name.rsplit('/').next().unwrap_or(name).to_owned()).collect()
        };
        for namespace in named(&["get", "namespaces", "--selector", &ours, "--output", "name"]).await {
            for resource in named(&["get", "ma", "--namespace", &namespace, "--output", "name"]).await {
                // No replica is left to take its finalizer off.
                let free = r#"{"metadata":{"finalizers":null}}"#;
                let patch =
                    ["patch", "ma", &resource, "--namespace", &namespace, "--type", "merge", "--patch", free];
                kubectl.run(&patch).await.succeeds();
            }
        }
        let kinds = "clusterroles,clusterrolebindings,namespaces";
        kubectl.run(&["delete", kinds, "--selector", &ours, "--wait=false"]).await.succeeds();
    }

    /// The label of all that this run makes.
    fn mark(&self) -> (&'static str, &str) {
        (RUN_LABEL, &self.run)
    }

    /// A client that may do everything. It lives no longer than the runtime it was made in.
    pub async fn client(&self) -> Client {
        client(&self.admin).await
    }

    /// `kubectl`, as somebody who may do everything.
    pub fn kubectl(&self) -> Kubectl {
        Kubectl::new(&self.admin, self.folder.path())
    }

    /// How to get there as somebody who may do everything.
    pub fn access(&self) -> Access {
        Access::read(&self.admin)
    }

    /// What the API server logged at last; nothing for a cluster that is not ours.
    pub fn log(&self) -> String {
        self.servers.as_ref().map(Servers::log).unwrap_or_default()
    }
}

/// A client as the kubeconfig says.
pub async fn client(kubeconfig: &Path) -> Client {
    let read = Kubeconfig::read_from(kubeconfig).expect("the kubeconfig can be read");
    let config = kube::Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await;
    Client::try_from(config.expect("the kubeconfig can be used")).expect("a client can be made")
}

/// The folder `deploy/`.
pub fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join("deploy")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_said_in_one_line() {
        let empty = TempDir::new().unwrap();
        let here = empty.path().to_owned();
        for (assets, kubeconfig, says) in [
            (None, None, "set KUBEBUILDER_ASSETS to a folder with kube-apiserver and etcd"),
            (Some(here.clone()), None, "which has no etcd"),
            (Some(here.clone()), Some(here.join("absent")), "SLUICE_TEST_KUBECONFIG is"),
        ] {
            let error = Ground::of(assets, kubeconfig).unwrap_err();
            assert!(error.contains(says) && !error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn a_folder_with_both_programs_is_ground_to_stand_on() {
        let folder = TempDir::new().unwrap();
        server::PROGRAMS.iter().for_each(|name| std::fs::write(folder.path().join(name), "").unwrap());
        let found = Ground::of(Some(folder.path().to_owned()), None);
        assert_eq!(found, Ok(Ground::Programs(folder.path().to_owned())));
    }
}
