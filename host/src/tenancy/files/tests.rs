//! A folder of resources and one of secrets: what a change to a file comes to, and what stays as it is.

use std::fs;
use std::path::Path;
use std::time::Instant;

use tempfile::TempDir;

use super::*;
use crate::model::TenantId;
use crate::tenancy::Policy;

/// By when a change must be in force; twice the promise, for a machine under load.
const DEADLINE: Duration = Duration::from_secs(2);

struct Site {
    root: TempDir,
    published: Published,
    stop: CancellationToken,
}

impl Drop for Site {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Site {
    fn new(files: &[(&str, &str)]) -> Site {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("tenants")).unwrap();
        for (name, text) in files {
            fs::write(root.path().join("tenants").join(name), text).unwrap();
        }
        let (watcher, published) = open(config(root.path()), SystemTime::now()).unwrap();
        let stop = CancellationToken::new();
        tokio::spawn(watcher.run(stop.clone()));
        Site { root, published, stop }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join("tenants").join(name)
    }

    fn tenants(&self) -> Arc<Tenants> {
        self.published.tenants.borrow().clone()
    }

    /// Waits until what is published is as wanted.
    async fn until(&self, what: &str, wanted: impl Fn(&Tenants) -> bool) -> Arc<Tenants> {
        let mut tenants = self.published.tenants.clone();
        let waited = tokio::time::timeout(DEADLINE, tenants.wait_for(|t| wanted(t))).await;
        match waited {
            Ok(found) => found.unwrap().clone(),
            Err(_) => panic!("not within {DEADLINE:?}: {what}; now {:#?}", self.tenants()),
        }
    }
}

fn config(root: &Path) -> Config {
    Config { folder: root.join("tenants"), secrets: root.join("secrets"), policy: Policy::default() }
}

fn resource(name: &str, metric: &str) -> String {
    resource_of(name, metric, "    target: {type: prometheus}\n    prometheus: {serviceName: p}\n")
}

fn gateway(name: &str, created: &str) -> String {
    let text = resource_of(
        name,
        "up",
        "    target: {type: pushgateway}\n    pushgateway: {serviceName: g, jobName: j}\n",
    );
    text.replace("namespace: web", &format!("namespace: web{created}"))
}

fn resource_of(name: &str, metric: &str, target: &str) -> String {
    format!(
        "apiVersion: observability.ethos.io/v1alpha1\nkind: MetricAccess\nmetadata: {{name: {name}, namespace: web}}\nspec:\n  source: s\n  metrics: ['{metric}']\n  remoteWrite:\n    enabled: true\n{target}"
    )
}

fn names(tenants: &Tenants) -> Vec<String> {
    tenants.running.keys().map(|id| id.name.clone()).collect()
}

fn id(name: &str) -> TenantId {
    TenantId { namespace: "web".into(), name: name.into() }
}

#[tokio::test]
async fn a_change_reaches_its_own_tenant_only() {
    let site = Site::new(&[("a.yaml", &resource("a", "up")), ("b.yml", &resource("b", "up"))]);
    let before = site.tenants();
    assert_eq!(names(&before), ["a", "b"]);
    fs::write(site.path("a.yaml"), resource("a", "down")).unwrap();
    let after =
        site.until("a is changed", |t| t.running[&id("a")].selectors[0].to_string().contains("down")).await;
    assert!(Arc::ptr_eq(&before.running[&id("b")], &after.running[&id("b")]));
}

#[tokio::test]
async fn added_and_removed_files_take_effect() {
    let site = Site::new(&[("a.yaml", &resource("a", "up"))]);
    fs::write(site.path("b.yaml"), format!("{}---\n{}", resource("b", "up"), resource("c", "up"))).unwrap();
    site.until("b and c are there", |t| names(t) == ["a", "b", "c"]).await;
    fs::remove_file(site.path("a.yaml")).unwrap();
    site.until("a is gone", |t| names(t) == ["b", "c"]).await;
    fs::create_dir(site.path("below")).unwrap();
    fs::rename(site.path("b.yaml"), site.path("below/b.yaml")).unwrap();
    fs::write(site.path("below/d.yaml"), resource("d", "up")).unwrap();
    site.until("d is there", |t| names(t) == ["b", "c", "d"]).await;
}

#[tokio::test]
async fn hidden_and_other_files_are_ignored() {
    let good = resource("a", "up");
    let site = Site::new(&[
        (".a.yaml", &good),
        ("a.yaml~", &good),
        ("a.txt", &good),
        ("b.yaml", &resource("b", "up")),
    ]);
    assert_eq!(names(&site.tenants()), ["b"]);
}

#[tokio::test]
async fn a_half_written_file_stops_nothing() {
    let site = Site::new(&[("a.yaml", &resource("a", "up"))]);
    for broken in ["apiVersion: [\n", "", "\u{0}"] {
        fs::write(site.path("a.yaml"), broken).unwrap();
        let tenants = site.until("the file is reported", |t| t.strays.len() == 1).await;
        assert_eq!(names(&tenants), ["a"]);
        fs::write(site.path("a.yaml"), resource("a", "up")).unwrap();
        site.until("all is well", |t| t.strays.is_empty()).await;
    }
    assert_eq!(names(&site.tenants()), ["a"]);
}

#[tokio::test]
async fn a_resource_that_becomes_invalid_is_refused_and_no_other() {
    let site = Site::new(&[("a.yaml", &resource("a", "up")), ("b.yaml", &resource("b", "up"))]);
    fs::write(site.path("a.yaml"), resource("a", "{}")).unwrap();
    let tenants = site.until("a is refused", |t| t.refused.contains_key(&id("a"))).await;
    assert_eq!(names(&tenants), ["b"]);
}

#[tokio::test]
async fn a_mounted_config_map_is_followed() {
    let site = Site::new(&[]);
    let folder = |name: &str, metric: &str| {
        fs::create_dir(site.path(name)).unwrap();
        fs::write(site.path(name).join("a.yaml"), resource("a", metric)).unwrap();
    };
    folder("..one", "up");
    std::os::unix::fs::symlink("..one", site.path("..data")).unwrap();
    std::os::unix::fs::symlink("..data/a.yaml", site.path("a.yaml")).unwrap();
    site.until("a runs", |t| names(t) == ["a"]).await;
    folder("..two", "dn");
    std::os::unix::fs::symlink("..two", site.path("..tmp")).unwrap();
    fs::rename(site.path("..tmp"), site.path("..data")).unwrap();
    site.until("a is changed", |t| t.running[&id("a")].selectors[0].to_string().contains("dn")).await;
}

#[tokio::test]
async fn a_secret_that_arrives_or_changes_takes_effect() {
    let target = "    target: {type: remote_write}\n    remoteWrite: {url: 'https://x/y', basicAuth: {username: u, passwordSecret: {name: auth, key: pw}}}\n";
    let site = Site::new(&[("a.yaml", &resource_of("a", "up", target))]);
    assert!(site.tenants().refused.contains_key(&id("a")));
    let secrets = site.root.path().join("secrets/web/auth");
    fs::create_dir_all(&secrets).unwrap();
    let password = |t: &Tenants| match &t.running.get(&id("a"))?.endpoints[0] {
        crate::model::Endpoint::RemoteWrite(e) => match &e.login {
            Some(crate::model::Login::Basic(auth)) => Some(auth.password.reveal().to_owned()),
            _ => None,
        },
        crate::model::Endpoint::Pushgateway(_) => None,
    };
    for value in ["one", "two"] {
        fs::write(secrets.join("pw"), format!("{value}\n")).unwrap();
        site.until(value, |t| password(t).as_deref() == Some(value)).await;
    }
}

#[test]
fn of_two_with_one_name_the_younger_is_refused() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("tenants")).unwrap();
    let write = |name: &str, text: String| fs::write(root.path().join("tenants").join(name), text).unwrap();
    write("a.yaml", resource("same", "up"));
    write("b.yaml", resource("same", "down"));
    write(
        "c.yaml",
        resource("same", "old")
            .replace("namespace: web", "namespace: web, creationTimestamp: 2020-01-01T00:00:00Z"),
    );
    let (_, published) = open(config(root.path()), SystemTime::now()).unwrap();
    let tenants = published.tenants.borrow().clone();
    assert!(tenants.running[&id("same")].selectors[0].to_string().contains("old"));
    let strays: Vec<_> = tenants.strays.iter().map(|p| p.message.clone()).collect();
    let origin = root.path().join("tenants/c.yaml");
    let message = format!("web/same is also defined in {}, and that one is older", origin.display());
    assert_eq!(strays, [message.clone(), message]);
    assert_eq!(tenants.strays[0].line, Some(3));
}

#[test]
fn of_two_with_one_pushgateway_group_the_younger_is_refused() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("tenants")).unwrap();
    let write = |name: &str, text: String| fs::write(root.path().join("tenants").join(name), text).unwrap();
    write("a.yaml", gateway("a", ", creationTimestamp: 2026-02-01T00:00:00Z"));
    write("b.yaml", gateway("b", ", creationTimestamp: 2026-01-01T00:00:00Z"));
    let (_, published) = open(config(root.path()), SystemTime::now()).unwrap();
    let tenants = published.tenants.borrow().clone();
    assert_eq!(names(&tenants), ["b"]);
    let said = tenants.refused[&id("a")][0].to_string();
    assert!(said.ends_with("a.yaml:7: spec.remoteWrite: web/b pushes to the same group and is older; each push would erase the other's; write another jobName"), "{said}");
}

#[test]
fn who_was_seen_first_keeps_the_group() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("tenants")).unwrap();
    let write = |name: &str, text: String| fs::write(root.path().join("tenants").join(name), text).unwrap();
    write("z.yaml", gateway("z", ""));
    let mut folder = Folder::new(config(root.path()));
    let start = SystemTime::now();
    assert_eq!(names(&folder.scan(start).unwrap()), ["z"]);
    write("a.yaml", gateway("a", ""));
    assert_eq!(names(&folder.scan(start + Duration::from_secs(5)).unwrap()), ["z"]);
    fs::remove_file(root.path().join("tenants/z.yaml")).unwrap();
    assert_eq!(names(&folder.scan(start + Duration::from_secs(9)).unwrap()), ["a"]);
}

#[test]
fn a_folder_that_disappears_takes_nothing_away() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("tenants")).unwrap();
    fs::write(root.path().join("tenants/a.yaml"), resource("a", "up")).unwrap();
    let (mut watcher, published) = open(config(root.path()), SystemTime::now()).unwrap();
    fs::rename(root.path().join("tenants"), root.path().join("away")).unwrap();
    watcher.look();
    let tenants = published.tenants.borrow().clone();
    assert_eq!(names(&tenants), ["a"]);
    assert!(tenants.strays[0].message.contains("stays in force"));
    assert!(open(config(root.path()), SystemTime::now()).is_err());
}

#[test]
fn a_quiet_folder_is_looked_through_without_reading() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("tenants")).unwrap();
    for i in 0..500 {
        fs::write(root.path().join(format!("tenants/{i}.yaml")), resource(&format!("a{i}"), "up")).unwrap();
    }
    let mut folder = Folder::new(config(root.path()));
    let later = SystemTime::now() + Duration::from_secs(60);
    let first = folder.scan(later).unwrap();
    let started = Instant::now();
    let second = folder.scan(later).unwrap();
    assert!(Arc::ptr_eq(&first.running, &second.running));
    assert!(started.elapsed() < Duration::from_millis(500), "{:?}", started.elapsed());
}
