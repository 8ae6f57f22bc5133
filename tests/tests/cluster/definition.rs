//! Definition: what the API server alone says of a resource, before any replica saw it.

use serde_json::{Value, json};
use sluice_tests::cluster::{Cluster, Installation, deploy};

use super::world::spec;

pub(crate) async fn kubectl_explains_the_resource(cluster: &Cluster) {
    let kubectl = cluster.kubectl();
    for (path, says) in [
        ("ma", "What a team may have"),
        ("metricaccesses.spec.metrics", "a series is taken if any entry matches"),
        ("metricaccesses.spec.remoteWrite.target.type", "remote_write"),
        ("metricaccesses.status.conditions", "lastTransitionTime"),
    ] {
        let text = kubectl.run(&["explain", path]).await.succeeds().replace('\n', " ");
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains(says), "{path}: {text}");
    }
    let installation = Installation::new(cluster, &["team"]).await;
    installation.resources("team").apply("one", spec("one")).await;
    let table = kubectl.run(&["get", "ma", "-n", &installation.tenant("team")]).await.succeeds();
    let header = table.lines().next().unwrap_or_default().split("  ").filter(|word| !word.is_empty());
    let header: Vec<_> = header.map(str::trim).collect();
    assert_eq!(header, ["NAME", "TARGET", "INTERVAL", "SERIES", "READY", "LAST DELIVERED", "AGE"]);
}

pub(crate) async fn examples_are_accepted(cluster: &Cluster) {
    let installation = Installation::new(cluster, &["team"]).await;
    let kubectl = installation.kubectl();
    let mut count = 0;
    for file in yaml_files(&deploy().join("examples")) {
        let text = std::fs::read_to_string(&file).expect("an example can be read");
        for document in text.split("\n---").filter(|text| text.contains("\nkind: MetricAccess")) {
            // The namespaces that examples name are not there.
            let read = ["create", "--dry-run=client", "-o", "json", "-f", "-"];
            let mut object: Value = serde_json::from_str(&kubectl.run_with(&read, document).await.succeeds())
                .expect("it is JSON");
            object["metadata"]["namespace"] = installation.tenant("team").into();
            let apply = ["apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-"];
            kubectl.run_with(&apply, &object.to_string()).await.succeeds_in_silence();
            count += 1;
        }
    }
    assert!(count >= 5, "only {count} examples were found: the scenario looks in the wrong place");
}

/// What of a good specification is changed, and what the API server has to say then.
fn mistakes() -> Vec<(Value, &'static str)> {
    let many: Vec<String> = (0..1001).map(|i| format!("m{i}")).collect();
    vec![
        (json!({ "metrics": null }), "spec.metrics: Required value"),
        (json!({ "metrics": [] }), "spec.metrics"),
        (json!({ "metrics": many }), "spec.metrics: Too many"),
        (json!({ "metrics": ["x".repeat(4097)] }), "Too long"),
        (json!({ "source": "" }), "spec.source"),
        (json!({ "source": "two words" }), "spec.source"),
        (json!({ "metricks": ["up"] }), "unknown field \"spec.metricks\""),
        (json!({ "remoteWrite": { "intervall": "1s" } }), "unknown field \"spec.remoteWrite.intervall\""),
        (json!({ "remoteWrite": { "interval": "soon" } }), "spec.remoteWrite.interval"),
        (json!({ "remoteWrite": { "interval": "500ms" } }), "the shortest interval is 1s"),
        (json!({ "remoteWrite": { "target": null } }), "target is missing"),
        (json!({ "remoteWrite": { "target": { "type": "kafka" } } }), "Unsupported value: \"kafka\""),
        (json!({ "remoteWrite": { "prometheus": null } }), "write its block, prometheus, once"),
        (
            json!({ "remoteWrite": { "target": { "type": "pushgateway" } } }),
            "write its block, pushgateway, once",
        ),
        (
            json!({ "remoteWrite": { "remoteWrite": { "url": "https://example.com/write" } } }),
            "remoteWrite does not belong to this target.type",
        ),
        (
            json!({ "remoteWrite": {
                "target": { "type": "remote_write" },
                "prometheus": null,
                "remoteWrite": { "url": "ftp://example.com" },
            } }),
            "write the address as https://",
        ),
        (json!({ "remoteWrite": { "prometheus": { "servicePort": 0 } } }), "servicePort"),
        (json!({ "remoteWrite": { "extraLabels": { "1st": "x" } } }), "a label's name has letters"),
        (json!({ "remoteWrite": { "extraLabels": { "__name__": "x" } } }), "a label's name has letters"),
        (
            json!({
                "metricRelabelings": [{ "action": "labeldrop", "regex": "a" }],
                "remoteWrite": { "metricRelabelings": [{ "action": "labeldrop", "regex": "b" }] },
            }),
            "keep one of the two",
        ),
    ]
}

pub(crate) async fn mistakes_are_refused(cluster: &Cluster) {
    let installation = Installation::new(cluster, &["team"]).await;
    let mut wrong = Vec::new();
    for (change, says) in mistakes() {
        let object = json!({
            "apiVersion": "observability.ethos.io/v1alpha1",
            "kind": "MetricAccess",
            "metadata": { "name": "wrong", "namespace": installation.tenant("team") },
            "spec": changed(spec("wrong"), &change),
        });
        let create = ["create", "--dry-run=server", "--validate=strict", "-f", "-"];
        let error = installation.kubectl().run_with(&create, &object.to_string()).await.fails();
        if !error.contains(says) {
            wrong.push(format!("{change}\n  wanted {says}\n  found  {error}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // Whatever the mistakes' refusal proves, the specification they are made from is good.
    installation.resources("team").apply("good", spec("good")).await;
}

/// A JSON merge patch (RFC 7396).
fn changed(base: Value, change: &Value) -> Value {
    match (base, change) {
        (Value::Object(mut base), Value::Object(change)) => {
            for (key, change) in change {
                match change {
                    Value::Null => drop(base.remove(key)),
                    change => {
                        let value = base.remove(key).unwrap_or(json!({}));
                        base.insert(key.clone(), changed(value, change));
                    }
                }
            }
            Value::Object(base)
        }
        (_, change) => change.clone(),
    }
}

fn yaml_files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).expect("the folder can be read");
    let paths = entries.map(|entry| entry.expect("the folder can be read").path());
    let (folders, files): (Vec<_>, Vec<_>) = paths.partition(|path| path.is_dir());
    let files = files.into_iter().filter(|file| file.extension().is_some_and(|e| e == "yaml"));
    files.chain(folders.iter().flat_map(|folder| yaml_files(folder))).collect()
}
