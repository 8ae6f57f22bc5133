//! The chart installs what kustomize installs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::bundle::{self, deploy, document, documents, kind, name, objects, program, text, title};
use crate::{everything, rules};

/// Values that turn everything on.
const EVERYTHING: &str = r#"
replicas: 3
image: {digest: "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"}
imagePullSecrets: [{name: pull}]
secretNamespaces: [webapp-team, external-team]
moduleNamespaces: [webapp-team]
serviceAccount: {annotations: {a: b}}
podAnnotations: {a: b}
podLabels: {team: platform}
extraEnv: [{name: HTTPS_PROXY, value: "http://proxy.example.com:3128"}]
extraVolumes: [{name: ca, configMap: {name: other-sluice-config}}]
extraVolumeMounts: [{name: ca, mountPath: /etc/ssl/ours, readOnly: true}]
nodeSelector: {kubernetes.io/os: linux}
tolerations: [{key: a, operator: Exists}]
affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: a, operator: Exists}]}]}}}
priorityClassName: system-cluster-critical
networkPolicy: {metricsFrom: [monitoring, observability], extraEgress: [{ports: [{port: 8428}]}]}
podMonitor: {enabled: true, labels: {release: prometheus}}
alerts: {enabled: true}
dashboard: {enabled: true}
"#;

fn chart() -> PathBuf {
    deploy("helm/sluice")
}

/// What helm makes of the chart; `None` without helm.
fn template(release: &str, namespace: &str, values: Option<&str>) -> Option<Result<Vec<Value>, String>> {
    let Some(helm) = program("helm") else {
        eprintln!("skipped: there is no helm on the PATH");
        return None;
    };
    let scratch = tempfile::TempDir::new().unwrap();
    let mut command = Command::new(helm);
    command.args(["template", release]).arg(chart()).args(["--namespace", namespace]);
    if let Some(values) = values {
        let file = scratch.path().join("values.yaml");
        std::fs::write(&file, values).unwrap();
        command.arg("--values").arg(file);
    }
    let output = command.output().unwrap();
    let said = |bytes: Vec<u8>| String::from_utf8(bytes).expect("helm writes UTF-8");
    Some(if output.status.success() { Ok(documents(&said(output.stdout))) } else { Err(said(output.stderr)) })
}

/// An object without what is only helm's, its configuration read.
fn comparable(mut object: Value) -> (String, Value) {
    let helms =
        ["helm.sh/chart", "app.kubernetes.io/managed-by", "helm.sh/resource-policy", "checksum/config"];
    for pointer in ["/metadata/labels", "/metadata/annotations", "/spec/template/metadata/annotations"] {
        if let Some(map) = object.pointer_mut(pointer).and_then(Value::as_object_mut) {
            map.retain(|key, _| !helms.contains(&key.as_str()));
        }
    }
    // The definition is generated and has no labels of its own.
    let is_definition = kind(&object) == "CustomResourceDefinition";
    for place in ["/metadata", "/spec/template/metadata"] {
        if let Some(map) = object.pointer_mut(place).and_then(Value::as_object_mut) {
            map.retain(|key, value| {
                let is_empty = value.as_object().is_some_and(serde_json::Map::is_empty);
                !(is_empty || is_definition && key == "labels")
            });
        }
    }
    if kind(&object) == "ConfigMap" {
        for file in object["data"].as_object_mut().into_iter().flat_map(|data| data.values_mut()) {
            *file = documents(file.as_str().expect("text")).remove(0);
        }
    }
    (title(&object), object)
}

fn comparables(objects: Vec<Value>) -> BTreeMap<String, Value> {
    objects.into_iter().map(comparable).collect()
}

#[test]
fn the_chart_renders_what_kustomize_does() {
    let Some(rendered) = template("sluice", "sluice-system", None) else { return };
    let mut expected = objects(&deploy(""));
    // A namespace is the business of whoever runs helm.
    expected.retain(|object| kind(object) != "Namespace");
    let (rendered, expected) = (comparables(rendered.unwrap()), comparables(expected));
    assert_eq!(rendered.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (title, object) in expected {
        assert_eq!(rendered[&title], object, "{title}");
    }
}

#[test]
fn the_charts_options_render_what_the_components_do() {
    let values = "{podMonitor: {enabled: true}, alerts: {enabled: true}, dashboard: {enabled: true}}";
    let Some(rendered) = template("sluice", "sluice-system", Some(values)) else { return };
    let mut expected = everything();
    expected.retain(|object| kind(object) != "Namespace");
    let (rendered, expected) = (comparables(rendered.unwrap()), comparables(expected));
    for (title, object) in expected {
        assert_eq!(rendered.get(&title), Some(&object), "{title}");
    }
}

#[test]
fn a_release_of_another_name_with_every_option_keeps_the_rules() {
    let Some(rendered) = template("other", "telemetry", Some(EVERYTHING)) else { return };
    let mut objects = rendered.unwrap();
    let places = ["telemetry", "webapp-team", "external-team"];
    objects.extend(places.map(|n| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": n}})));
    for object in &objects {
        assert_eq!(rules::unknown_fields(object), [""; 0]);
        assert!(
            kind(object) == "Namespace"
                || name(object).contains("sluice")
                || name(object).contains("metricaccess")
        );
    }
    assert_eq!(rules::loose_ends(&objects), [""; 0]);
    assert_eq!(rules::rbac_breaches(&objects), [""; 0]);
    assert_eq!(rules::doubles(&objects), [""; 0]);
    let deployment = bundle::of_kind(&objects, "Deployment").next().unwrap();
    assert_eq!(rules::pod_breaches(deployment), [""; 0]);
    assert_eq!(deployment["spec"]["template"]["metadata"]["labels"]["team"], "platform");
    let bindings =
        bundle::of_kind(&objects, "RoleBinding").filter(|b| name(b).ends_with("secrets-reader")).count();
    assert_eq!(bindings, 2);
}

/// Each row: values, and a word of helm's complaint.
#[test]
fn wrong_values_are_refused() {
    let rows = [
        ("{replicas: two}", "replicas"),
        ("{replica: 2}", "replica"),
        ("{config: {tenants: {folder: x}}}", "config"),
        ("{image: {digest: latest}}", "digest"),
        ("{secretNamespaces: [Web_App]}", "secretNamespaces"),
        ("{networkPolicy: {ports: [0]}}", "ports"),
        ("{resources: {limits: {memory: 1 GB}}}", "memory"),
    ];
    for (values, word) in rows {
        let Some(rendered) = template("sluice", "sluice-system", Some(values)) else { return };
        let complaint = rendered.expect_err(values);
        assert!(complaint.contains(word), "{values}: {complaint}");
    }
}

/// Holds without helm too.
#[test]
fn the_charts_files_are_those_beside_it() {
    let values = document(&chart().join("values.yaml"));
    assert_eq!(values["config"], document(&deploy("base/sluice.yaml")), "one default configuration");
    let schema: Value = serde_json::from_str(&text(&chart().join("values.schema.json"))).unwrap();
    for key in values.as_object().unwrap().keys() {
        assert!(schema["properties"].get(key).is_some(), "values.schema.json does not know {key}");
    }
    for (inside, outside) in [
        ("files/crd.yaml", "crd.yaml"),
        ("files/rules.yaml", "alerts/rules.yaml"),
        ("files/sluice.json", "dashboards/sluice.json"),
    ] {
        assert_eq!(text(&chart().join(inside)), text(&deploy(outside)), "{inside} is a link to {outside}");
    }
    let about = document(&chart().join("Chart.yaml"));
    assert_eq!(about["appVersion"], env!("CARGO_PKG_VERSION"));
}
