//! What `deploy/` installs: good Kubernetes objects, as little power as is needed, names that lead somewhere, and charts,
//! boards and alerts about what the program really says.
//!
//! Without a cluster. kubectl and helm are asked too where they are on the PATH.

mod board;
mod bundle;
mod chart;
mod image;
mod rules;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sluice::tenancy::shards;
use sluice_tests::servers::command;

use bundle::{deploy, document, documents, kind, name, objects, of_kind, rendered, strings, text, title};

/// Folders that install something on their own.
const INSTALLABLE: [&str; 3] = ["", "examples/tenant-prometheus", "examples/tenant-secret"];

/// What `kubectl apply -k deploy` installs, with every option.
fn everything() -> Vec<Value> {
    ["", "podmonitor", "alerts", "dashboards"]
        .into_iter()
        .flat_map(|folder| objects(&deploy(folder)))
        .collect()
}

/// The tenants' examples, with the installation that they refer to.
fn example(folder: &str) -> Vec<Value> {
    [objects(&deploy("")), objects(&deploy(folder))].concat()
}

/// Every file below a folder whose name ends so.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path.to_string_lossy().ends_with(ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[test]
fn every_object_is_what_the_api_server_takes() {
    let mut seen = BTreeSet::new();
    for folder in INSTALLABLE {
        for object in if folder.is_empty() { everything() } else { objects(&deploy(folder)) } {
            assert_eq!(rules::unknown_fields(&object), [""; 0]);
            seen.insert(kind(&object).to_owned());
        }
    }
    for expected in ["CustomResourceDefinition", "Deployment", "NetworkPolicy", "PodMonitor", "Secret"] {
        assert!(seen.contains(expected), "no {expected} was seen: {seen:?}");
    }
    let wrong =
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {"prots": [1]}});
    assert_eq!(rules::unknown_fields(&wrong), ["Service /a: .spec.prots is [1], which is read as null"]);
}

#[test]
fn names_lead_somewhere_and_are_unique() {
    for objects in [everything(), example(INSTALLABLE[1]), example(INSTALLABLE[2])] {
        assert_eq!(rules::loose_ends(&objects), [""; 0]);
        assert_eq!(rules::doubles(&objects), [""; 0]);
        assert_eq!(rules::bad_names(&objects), [""; 0]);
    }
}

/// Each row: where the installation is changed, to what, and the complaint.
#[test]
fn a_name_that_leads_nowhere_is_found() {
    let rows = [
        ("Deployment", "/spec/template/spec/serviceAccountName", "other", "no ServiceAccount \"other\""),
        ("Deployment", "/spec/template/spec/volumes/0/configMap/name", "other", "no ConfigMap \"other\""),
        (
            "Deployment",
            "/spec/selector/matchLabels/app.kubernetes.io~1name",
            "x",
            "selects other Pods than its own",
        ),
        ("Service", "/spec/ports/0/targetPort", "https", "no Pod has the port \"https\""),
        ("PodDisruptionBudget", "/spec/selector/matchLabels/app.kubernetes.io~1name", "x", "selects no Pod"),
        ("PodMonitor", "/spec/podMetricsEndpoints/0/port", "web", "no Pod has the port \"web\""),
        ("NetworkPolicy", "/spec/ingress/0/ports/0/port", "web", "no Pod has the port \"web\""),
        ("ClusterRoleBinding", "/roleRef/name", "x", "no role \"x\""),
        ("Role", "/metadata/namespace", "x", "no namespace x"),
    ];
    for (kind, pointer, changed, expected) in rows {
        let mut objects = everything();
        let object = objects.iter_mut().find(|o| o["kind"] == kind).unwrap();
        *object.pointer_mut(pointer).unwrap_or_else(|| panic!("{kind}{pointer}")) = changed.into();
        let found = rules::loose_ends(&objects);
        assert!(found.iter().any(|line| line.ends_with(expected)), "{kind}{pointer}: {found:?}");
    }
}

#[test]
fn every_pod_keeps_to_the_restricted_profile() {
    let mut seen = 0;
    for folder in INSTALLABLE {
        for workload in objects(&deploy(folder)).iter().filter(|o| o["spec"]["template"]["spec"].is_object())
        {
            assert_eq!(rules::pod_breaches(workload), [""; 0]);
            seen += 1;
        }
        let namespaces = objects(&deploy(folder));
        for namespace in of_kind(&namespaces, "Namespace") {
            assert_eq!(namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "restricted");
        }
    }
    assert_eq!(seen, 2);
}

/// Each row: where the Deployment is changed, to what, and the complaint.
#[test]
fn a_pod_with_more_rights_is_found() {
    let container = "/spec/template/spec/containers/0";
    let rows = [
        ("/spec/template/spec/securityContext/runAsNonRoot", json!(false), "runAsNonRoot"),
        ("/spec/template/spec/securityContext/runAsUser", json!(0), "runAsUser is a number other than 0"),
        ("/spec/template/spec/securityContext/seccompProfile/type", json!("Unconfined"), "seccompProfile"),
        (
            "/spec/template/spec/volumes/1",
            json!({"name": "cache", "hostPath": {"path": "/"}}),
            "a volume of hostPath",
        ),
        ("/spec/template/spec/volumes/1/emptyDir", json!({}), "emptyDir has a sizeLimit"),
        (
            &format!("{container}/securityContext/readOnlyRootFilesystem"),
            json!(false),
            "readOnlyRootFilesystem",
        ),
        (&format!("{container}/securityContext/capabilities/drop"), json!([]), "capabilities: {drop: [ALL]}"),
        (
            &format!("{container}/securityContext/allowPrivilegeEscalation"),
            json!(true),
            "allowPrivilegeEscalation: false",
        ),
        (&format!("{container}/readinessProbe"), json!(null), "readinessProbe on a port of the container"),
        (
            &format!("{container}/livenessProbe/httpGet/port"),
            json!("web"),
            "livenessProbe on a port of the container",
        ),
        (&format!("{container}/resources/limits"), json!({}), "a memory limit"),
    ];
    for (pointer, changed, expected) in rows {
        let mut objects = everything();
        let deployment = objects.iter_mut().find(|o| kind(o) == "Deployment").unwrap();
        *deployment.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = changed;
        assert_eq!(rules::pod_breaches(deployment), [format!("Deployment sluice-system/sluice: {expected}")]);
    }
}

#[test]
fn power_is_as_small_as_the_work() {
    let objects = everything();
    assert_eq!(rules::rbac_breaches(&objects), [""; 0]);
    let writes = [
        "create events.events.k8s.io",
        "patch events.events.k8s.io",
        "patch metricaccesses.observability.ethos.io",
        "patch metricaccesses/status.observability.ethos.io",
    ];
    assert_eq!(rules::writes_everywhere(&objects), writes.map(str::to_owned).into());
    let own = of_kind(&objects, "Role").next().unwrap();
    let named: Vec<_> =
        own["rules"].as_array().unwrap().iter().map(|rule| strings(&rule["resourceNames"])).collect();
    let cursors: Vec<_> = (0..shards::SHARDS).map(shards::config_map).collect();
    assert_eq!(named, [vec![], vec![], cursors.iter().map(String::as_str).collect()]);
    let account = of_kind(&objects, "ServiceAccount").next().unwrap();
    assert_eq!(account["automountServiceAccountToken"], false, "only Pods that ask get a token");
}

#[test]
fn secrets_are_read_only_where_a_namespace_says_so() {
    let objects = everything();
    let reader = of_kind(&objects, "ClusterRole").find(|o| name(o) == "sluice-secrets-reader").unwrap();
    assert_eq!(
        reader["rules"],
        json!([{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list", "watch"]}])
    );
    let bound = |objects: &[Value]| {
        let all = of_kind(objects, "RoleBinding").chain(of_kind(objects, "ClusterRoleBinding"));
        all.filter(|b| b["roleRef"]["name"] == "sluice-secrets-reader").map(title).collect::<Vec<_>>()
    };
    assert_eq!(bound(&objects), [""; 0]);
    let tenant = example("examples/tenant-secret");
    assert_eq!(bound(&tenant), ["RoleBinding external-team/sluice-secrets-reader"]);
    let labelled = of_kind(&tenant, "Secret")
        .all(|s| s["metadata"]["labels"][sluice::tenancy::cluster::SECRET_LABEL] == "true");
    assert!(labelled, "the example's Secret is opened by its label");
    // The mistake that this test is about.
    let mut wrong = objects;
    for rule in wrong.iter_mut().filter(|o| kind(o) == "ClusterRole" && name(o) == "sluice") {
        rule["rules"][0]["resources"] = json!(["secrets"]);
        rule["rules"][1]["verbs"] = json!(["*"]);
    }
    assert_eq!(
        rules::rbac_breaches(&wrong),
        ["ClusterRole /sluice: Secrets of every namespace", "ClusterRole /sluice: verbs [\"*\"]"]
    );
}

#[test]
fn kubectl_renders_what_the_files_say() {
    for folder in INSTALLABLE {
        let Some(rendered) = rendered(&deploy(folder)) else {
            eprintln!("skipped: there is no kubectl on the PATH");
            return;
        };
        let by_title = |all: Vec<Value>| all.into_iter().map(|o| (title(&o), o)).collect::<BTreeMap<_, _>>();
        assert_eq!(by_title(rendered), by_title(objects(&deploy(folder))), "deploy/{folder}");
    }
}

#[test]
fn the_example_of_an_own_installation_keeps_the_rules() {
    let Some(mut objects) = rendered(&deploy("examples/overlay")) else {
        eprintln!("skipped: there is no kubectl on the PATH");
        return;
    };
    objects.push(document(&deploy("crd.yaml")));
    let deployment = of_kind(&objects, "Deployment").next().unwrap();
    assert_eq!(rules::pod_breaches(deployment), [""; 0]);
    assert_eq!(deployment["spec"]["replicas"], 3);
    assert_ne!(deployment["spec"]["template"]["spec"]["containers"][0]["image"], "sluice:0.1.0");
    assert_eq!(rules::loose_ends(&objects), [""; 0]);
    assert_eq!(rules::rbac_breaches(&objects), [""; 0]);
    let titles: BTreeSet<_> = objects.iter().map(title).collect();
    let complete: BTreeSet<_> = everything().iter().map(title).collect();
    assert_eq!(titles, complete);
}

/// Where the Deployment mounts it, under the name that its arguments say.
#[test]
fn the_program_finds_its_configuration_and_listens_where_it_is_probed() {
    let objects = everything();
    let deployment = of_kind(&objects, "Deployment").next().unwrap();
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    let mount = container["volumeMounts"].as_array().unwrap().iter().find(|m| m["name"] == "config").unwrap();
    let map = of_kind(&objects, "ConfigMap").find(|o| name(o) == "sluice-config").unwrap();
    let file = map["data"].as_object().unwrap().keys().next().unwrap();
    let path = format!("{}/{file}", mount["mountPath"].as_str().unwrap());
    assert_eq!(strings(&container["args"]), ["run", "--config", &path]);
    let config = documents(map["data"][file].as_str().unwrap()).remove(0);
    let port = container["ports"][0]["containerPort"].as_u64().unwrap();
    assert_eq!(config["listen"]["address"], format!("0.0.0.0:{port}"));
    assert_eq!(config["listen"]["debug"], "127.0.0.1:8081", "tenants' samples stay in the Pod");
    let variables: Vec<_> =
        container["env"].as_array().unwrap().iter().map(|v| v["name"].as_str().unwrap()).collect();
    assert_eq!(variables, ["POD_NAME", "POD_NAMESPACE"]);
}

/// Every configuration and every resource, wherever it is below `deploy/`.
#[test]
fn the_program_accepts_every_configuration_and_resource_without_a_word() {
    let scratch = tempfile::TempDir::new().unwrap();
    let mut seen = (0, 0);
    for file in
        files(&deploy(""), ".yaml").into_iter().filter(|file| !file.to_string_lossy().contains("/helm/"))
    {
        let all = documents(&text(&file));
        if all.iter().all(|d| d.get("kind").is_some()) && all.iter().any(|d| kind(d) == "MetricAccess") {
            seen.0 += 1;
            accepted(scratch.path(), &file, &["check", &file.display().to_string()]);
        }
        if all.iter().any(|d| d.get("kind").is_none() && d.get("sources").is_some()) {
            seen.1 += 1;
            let mut config = all[0].clone();
            if let Some(kubernetes) = config.get_mut("kubernetes") {
                // What the downward API says in a cluster.
                *kubernetes = json!({ "namespace": "sluice-system", "pod": "sluice-0" });
            }
            // JSON is YAML.
            let copy = scratch.path().join("sluice.yaml");
            for folder in ["tenants", "secrets"] {
                std::fs::create_dir_all(scratch.path().join(folder)).unwrap();
            }
            std::fs::write(&copy, format!("{config:#}")).unwrap();
            accepted(scratch.path(), &file, &["check", "--config", "sluice.yaml"]);
        }
    }
    assert!(seen.0 >= 7 && seen.1 >= 3, "resources and configurations seen: {seen:?}");
}

fn accepted(folder: &Path, file: &Path, arguments: &[&str]) {
    let said = command(folder, arguments);
    let words = String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success() && words.is_empty(), "{}: {words}", file.display());
}

/// The blocks of the document that the resource was published with, as they stand there.
#[test]
fn the_published_configurations_are_among_the_examples() {
    let published = [
        json!({
            "enabled": true, "interval": "30s", "target": {"type": "prometheus"},
            "prometheus": {"serviceName": "prometheus", "servicePort": 9090},
            "extraLabels": {"tenant": "webapp-team", "managed_by": "multi-tenant-proxy"},
        }),
        json!({
            "enabled": true, "interval": "30s", "target": {"type": "prometheus"},
            "prometheus": {"serviceName": "prometheus", "servicePort": 9090},
            "extraLabels": {"tenant": "my-team"},
        }),
        json!({
            "enabled": true, "interval": "60s", "target": {"type": "pushgateway"},
            "pushgateway": {"serviceName": "pushgateway", "servicePort": 9091, "jobName": "remote-write-metrics"},
            "extraLabels": {"tenant": "my-team"},
        }),
        json!({
            "enabled": true, "interval": "15s", "target": {"type": "remote_write"},
            "remoteWrite": {
                "url": "https://external-prometheus.example.com/api/v1/write",
                "basicAuth": {
                    "username": "monitoring-user",
                    "passwordSecret": {"name": "prometheus-auth", "key": "password"},
                },
                "headers": {"X-Tenant": "my-team"},
            },
            "extraLabels": {"source_cluster": "production"},
        }),
    ];
    let examples: Vec<Value> =
        files(&deploy("examples"), ".yaml").iter().flat_map(|f| documents(&text(f))).collect();
    let blocks: Vec<&Value> =
        examples.iter().filter(|d| d["kind"] == "MetricAccess").map(|d| &d["spec"]["remoteWrite"]).collect();
    for block in &published {
        assert!(blocks.contains(&block), "no example has {block:#}");
    }
    // And its receiver: the flag, the Service's name and port.
    let receiver = objects(&deploy("examples/tenant-prometheus"));
    let deployment = of_kind(&receiver, "Deployment").next().unwrap();
    let arguments = strings(&deployment["spec"]["template"]["spec"]["containers"][0]["args"]);
    assert!(arguments.contains(&"--web.enable-remote-write-receiver"));
    let service = of_kind(&receiver, "Service").next().unwrap();
    let wanted = &of_kind(&receiver, "MetricAccess").next().unwrap()["spec"]["remoteWrite"]["prometheus"];
    assert_eq!(
        (&wanted["serviceName"], &wanted["servicePort"]),
        (&service["metadata"]["name"], &service["spec"]["ports"][0]["port"])
    );
}
