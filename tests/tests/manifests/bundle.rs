//! Bundle: what a folder installs, read as `kubectl apply -k` reads it.
//!
//! In: a folder with a `kustomization.yaml`. Out: its objects. Never: name hashes (a test compares with kubectl, where
//! there is one), or a field of a kustomization that is not understood.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

/// Kinds that are in no namespace.
const CLUSTER_WIDE: [&str; 4] =
    ["Namespace", "ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition"];

/// `deploy/` of this repository, or what is below it.
pub(crate) fn deploy(below: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(below)
}

/// A file's text.
pub(crate) fn text(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
}

/// Every document of a YAML text.
pub(crate) fn documents(yaml: &str) -> Vec<Value> {
    let mut documents: Vec<Value> =
        serde_saphyr::from_multiple(yaml).unwrap_or_else(|e| panic!("{e}\n{yaml}"));
    documents.retain(|document| !document.is_null());
    documents.iter_mut().for_each(numbers);
    documents
}

/// `1` and `1.0` are one number to the API server.
fn numbers(value: &mut Value) {
    match value {
        Value::Number(number) => {
            if let Some(whole) = number.as_f64().filter(|n| n.fract() == 0.0 && n.abs() < 1e15) {
                *value = (whole as i64).into();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(numbers),
        Value::Object(fields) => fields.values_mut().for_each(numbers),
        _ => {}
    }
}

/// The one document of a file.
pub(crate) fn document(file: &Path) -> Value {
    let mut all = documents(&text(file));
    assert_eq!(all.len(), 1, "{} holds one document", file.display());
    all.remove(0)
}

/// The objects that a folder installs.
pub(crate) fn objects(folder: &Path) -> Vec<Value> {
    let kustomization = document(&folder.join("kustomization.yaml"));
    let mut all = Vec::new();
    for (key, value) in kustomization.as_object().expect("a mapping") {
        match key.as_str() {
            "apiVersion" | "kind" | "namespace" => {}
            "resources" | "components" => {
                for name in strings(value) {
                    let path = folder.join(name);
                    let more = if path.is_dir() { objects(&path) } else { documents(&text(&path)) };
                    all.extend(more);
                }
            }
            "configMapGenerator" => {}
            other => panic!("{}: {other} is not understood here", folder.display()),
        }
    }
    for generator in kustomization["configMapGenerator"].as_array().into_iter().flatten() {
        all.push(config_map(folder, generator));
    }
    if let Some(namespace) = kustomization["namespace"].as_str() {
        for object in all.iter_mut().filter(|object| !CLUSTER_WIDE.contains(&kind(object))) {
            object["metadata"]["namespace"] = namespace.into();
        }
    }
    all
}

fn config_map(folder: &Path, generator: &Value) -> Value {
    let file = |name: &&str| (name.to_string(), Value::from(text(&folder.join(name))));
    let data: serde_json::Map<_, _> = strings(&generator["files"]).iter().map(file).collect();
    let mut metadata = json!({ "name": generator["name"], "namespace": generator["namespace"] });
    if let Some(labels) = generator["options"].get("labels") {
        metadata["labels"] = labels.clone();
    }
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data })
}

/// What kubectl makes of the folder, without its hashes; `None` without kubectl.
pub(crate) fn rendered(folder: &Path) -> Option<Vec<Value>> {
    let output = Command::new("kubectl").arg("kustomize").arg(folder).output().ok()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut all = documents(&String::from_utf8(output.stdout).expect("kubectl writes UTF-8"));
    for object in &mut all {
        let own = (kind(object) == "ConfigMap").then_some("/metadata/name");
        let volumes =
            object.pointer("/spec/template/spec/volumes").and_then(Value::as_array).map_or(0, Vec::len);
        let mounted = (0..volumes).map(|index| format!("/spec/template/spec/volumes/{index}/configMap/name"));
        for place in own.map(str::to_owned).into_iter().chain(mounted) {
            if let Some(named) = object.pointer_mut(&place)
                && let Some(plain) = unhashed(named.as_str().unwrap_or_default())
            {
                *named = plain.into();
            }
        }
    }
    Some(all)
}

/// The name before kustomize's hash of ten letters and digits.
fn unhashed(name: &str) -> Option<String> {
    let (plain, hash) = name.rsplit_once('-')?;
    let is_hash = hash.len() == 10 && hash.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    is_hash.then(|| plain.to_owned())
}

/// An object's kind.
pub(crate) fn kind(object: &Value) -> &str {
    object["kind"].as_str().unwrap_or_else(|| panic!("an object has a kind: {object}"))
}

/// An object's name.
pub(crate) fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_else(|| panic!("an object has a name: {object}"))
}

/// An object's namespace; empty for none.
pub(crate) fn namespace(object: &Value) -> &str {
    object["metadata"]["namespace"].as_str().unwrap_or_default()
}

/// `kind namespace/name`, to sort and to name by.
pub(crate) fn title(object: &Value) -> String {
    format!("{} {}/{}", kind(object), namespace(object), name(object))
}

/// The objects of a kind.
pub(crate) fn of_kind<'a>(objects: &'a [Value], wanted: &'a str) -> impl Iterator<Item = &'a Value> {
    objects.iter().filter(move |object| kind(object) == wanted)
}

/// A list's texts; nothing else may be in it.
pub(crate) fn strings(list: &Value) -> Vec<&str> {
    let all = list.as_array().map(Vec::as_slice).unwrap_or_default();
    all.iter().map(|item| item.as_str().unwrap_or_else(|| panic!("a text: {item}"))).collect()
}

/// The program called `name` on the `PATH`, if it is there.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}
