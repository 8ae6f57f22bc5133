//! Installation: Sluice as `deploy/` installs it, in namespaces of its own, with replicas that are processes here.
//!
//! Each test has an installation of its own, so that many can run in one cluster. A replica is its ServiceAccount and
//! may do what that may do, no more; between it and the API server is a line that can be cut.

use std::collections::BTreeSet;
use std::path::Path;

use k8s_openapi::api::core::v1::{Namespace, Secret, ServiceAccount};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Access, Cluster, Events, Kubectl, Leases, Resources, deploy};
use crate::relay::Relay;
use crate::servers::{Pod, Setup, Sluice};

/// The ServiceAccount in `deploy/`.
const ACCOUNT: &str = "sluice";

/// What a Secret needs to be used, and a value that a test may show.
const SECRET_LABEL: &str = "observability.ethos.io/metricaccess";

/// One installation.
pub struct Installation {
    client: Client,
    kubectl: Kubectl,
    account: Access,
    folder: TempDir,
    suffix: String,
    namespace: String,
    tenants: BTreeSet<String>,
}

impl Installation {
    /// Installs what `deploy/base` has, but for the Deployment, and makes a namespace for each of `tenants`.
    pub async fn new(cluster: &Cluster, tenants: &[&str]) -> Installation {
        let suffix = format!("{:06x}", rand::random::<u32>() & 0xff_ffff);
        let folder = TempDir::new().expect("a temporary folder can be made");
        let namespace = format!("sluice-{suffix}");
        let kubectl = cluster.kubectl();
        let manifests = overlay(&kubectl, folder.path(), &namespace, &suffix, cluster.mark()).await;
        kubectl.run_with(&["apply", "--server-side", "-f", "-"], &manifests).await.succeeds_in_silence();
        let client = cluster.client().await;
        let token = token(&client, &namespace, &format!("{ACCOUNT}-{suffix}")).await;
        let account = cluster.access().with_token(&token);
        let tenants = tenants.iter().map(|tenant| format!("{tenant}-{suffix}")).collect();
        let installation = Installation { client, kubectl, account, folder, suffix, namespace, tenants };
        for tenant in &installation.tenants {
            let (label, run) = cluster.mark();
            installation.make_namespace(tenant, json!({ label: run })).await;
        }
        installation
    }

    /// Our own namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The namespace of a tenant.
    pub fn tenant(&self, name: &str) -> String {
        let tenant = format!("{name}-{}", self.suffix);
        assert!(self.tenants.contains(&tenant), "{name} is no tenant of this installation");
        tenant
    }

    /// A tenant's resources.
    pub fn resources(&self, tenant: &str) -> Resources {
        Resources::new(self.client.clone(), &self.tenant(tenant))
    }

    /// Events in a tenant's namespace.
    pub fn events(&self, tenant: &str) -> Events {
        Events::new(self.client.clone(), &self.tenant(tenant))
    }

    /// The replicas' Leases.
    pub fn leases(&self) -> Leases {
        Leases::new(self.client.clone(), &self.namespace)
    }

    /// A client that may do everything.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// `kubectl`, as somebody who may do everything.
    pub fn kubectl(&self) -> &Kubectl {
        &self.kubectl
    }

    /// `kubectl`, as the ServiceAccount that replicas are.
    pub fn kubectl_as_account(&self) -> Kubectl {
        let file = self.folder.path().join("account.kubeconfig");
        self.account.write(&file);
        Kubectl::new(&file, self.folder.path())
    }

    /// Lets Sluice read a tenant's Secrets, as `deploy/tenant` does.
    pub async fn open_secrets(&self, tenant: &str) {
        let Installation { namespace, suffix, .. } = self;
        let folder = self.folder.path().join(format!("tenant-{tenant}"));
        let patch = json!([
            { "op": "replace", "path": "/roleRef/name", "value": format!("sluice-secrets-reader-{suffix}") },
            { "op": "replace", "path": "/subjects/0/name", "value": format!("{ACCOUNT}-{suffix}") },
            { "op": "replace", "path": "/subjects/0/namespace", "value": namespace },
        ]);
        let manifests = kustomize(
            &self.kubectl,
            &folder,
            "tenant",
            json!({
                "namespace": self.tenant(tenant),
                "patches": [{ "target": { "kind": "RoleBinding" }, "patch": patch.to_string() }],
            }),
        );
        let apply = ["apply", "--server-side", "-f", "-"];
        self.kubectl.run_with(&apply, &manifests.await).await.succeeds_in_silence();
    }

    /// Writes a Secret with one key, labelled for our use or not.
    pub async fn secret(&self, tenant: &str, name: &str, (key, value): (&str, &str), labelled: bool) {
        let labels = if labelled { json!({ SECRET_LABEL: "true" }) } else { json!({}) };
        let secret = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": { "name": name, "labels": labels },
            "stringData": { key: value },
        });
        let api = Api::<Secret>::namespaced(self.client.clone(), &self.tenant(tenant));
        let manager = PatchParams::apply("operator").force();
        api.patch(name, &manager, &Patch::Apply(&secret)).await.expect("the Secret is accepted");
    }

    /// What every replica of a test is told: its tenants, who may have any series, and short intervals.
    pub fn setup(&self) -> Setup {
        let setup = Setup::new().setting("isolation", json!({ "mode": "optional" }));
        setup.setting("kubernetes", json!({ "namespaces": self.tenants }))
    }

    /// What kustomize makes of all of `deploy/`, the Deployment included, in this installation's names.
    pub async fn manifests(&self) -> String {
        let folder = self.folder.path().join("everything");
        let names = json!({ "namespace": self.namespace, "nameSuffix": format!("-{}", self.suffix) });
        kustomize(&self.kubectl, &folder, "", names).await
    }

    /// Starts a replica as the pod `pod`, behind a line of its own.
    pub async fn replica(&self, pod: &str, setup: &Setup) -> Replica {
        let relay = Relay::to(&self.account.server()).await;
        let kubeconfig = self.folder.path().join(format!("{pod}.kubeconfig"));
        self.account.through(relay.address()).write(&kubeconfig);
        let setting = json!({ "kubeconfig": kubeconfig });
        let pod = Pod { name: pod.to_owned(), namespace: self.namespace.clone() };
        let setup = setup.clone().setting("kubernetes", setting).pod(pod.clone());
        Replica { line: relay, pod: pod.name, sluice: setup.start().await }
    }

    async fn make_namespace(&self, name: &str, labels: Value) {
        let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name, "labels": labels } });
        let api = Api::<Namespace>::all(self.client.clone());
        let manager = PatchParams::apply("operator").force();
        api.patch(name, &manager, &Patch::Apply(&namespace)).await.expect("the namespace is accepted");
    }
}

/// A replica: a process here that is a pod there.
pub struct Replica {
    /// Between it and the API server.
    pub line: Relay,
    /// Its pod's name.
    pub pod: String,
    /// The process.
    pub sluice: Sluice,
}

impl Replica {
    /// What it was refused for want of a right, from its log.
    pub fn refusals(&self) -> Vec<String> {
        let log = self.sluice.log();
        log.lines().filter(|line| line.to_lowercase().contains("forbidden")).map(str::to_owned).collect()
    }

    /// The tenants that it has metrics of, as `namespace/name`.
    pub async fn tenants(&self) -> BTreeSet<String> {
        let page = self.sluice.get("/metrics").await;
        let label = |line: &str, name: &str| {
            let (_, rest) = line.split_once(&format!("{name}=\""))?;
            Some(rest.split_once('"')?.0.to_owned())
        };
        let tenant = |line: &str| Some(format!("{}/{}", label(line, "tenant")?, label(line, "resource")?));
        page.text().lines().filter(|line| !line.starts_with('#')).filter_map(tenant).collect()
    }
}

/// The manifests of an installation with names of its own. Its pods are processes here, so none may start there.
async fn overlay(
    kubectl: &Kubectl,
    folder: &Path,
    namespace: &str,
    suffix: &str,
    (label, run): (&str, &str),
) -> String {
    let without = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": ACCOUNT }, "$patch": "delete" });
    kustomize(
        kubectl,
        &folder.join("installation"),
        "base",
        json!({
            "namespace": namespace,
            "nameSuffix": format!("-{suffix}"),
            "labels": [{ "pairs": { label: run } }],
            "patches": [{ "target": { "kind": "Deployment" }, "patch": without.to_string() }],
        }),
    )
    .await
}

/// What kustomize makes of a folder in `deploy/`.
async fn kustomize(kubectl: &Kubectl, folder: &Path, base: &str, mut kustomization: Value) -> String {
    std::fs::create_dir_all(folder).expect("the temporary folder is writable");
    // Kustomize takes no absolute paths, and none that leads through a link.
    let up = "../".repeat(folder.canonicalize().expect("it was made").components().count() - 1);
    let base = deploy().join(base).canonicalize().expect("deploy/ is complete");
    kustomization["resources"] = json!([format!("{}{}", up.trim_end_matches('/'), base.display())]);
    std::fs::write(folder.join("kustomization.yaml"), kustomization.to_string()).expect("it is writable");
    kubectl
        .run(&["kustomize", &folder.canonicalize().expect("it was made").display().to_string()])
        .await
        .succeeds()
}

/// A token of a ServiceAccount, for as long as a test takes.
async fn token(client: &Client, namespace: &str, account: &str) -> String {
    const SECONDS: u32 = 3600;
    let request = json!({
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": { "audiences": [], "expirationSeconds": SECONDS },
    });
    let api = Api::<ServiceAccount>::namespaced(client.clone(), namespace);
    let answer = api.create_subresource("token", account, &PostParams::default(), &request).await;
    let answer: Value = answer.expect("the ServiceAccount gets a token");
    answer["status"]["token"].as_str().expect("the answer holds a token").to_owned()
}
