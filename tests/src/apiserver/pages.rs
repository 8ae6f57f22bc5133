//! Pages: what a client reads about the server itself.
//!
//! In: a path. Out: the version, the groups and their resources, health. Never: OpenAPI documents.

use serde_json::{Value, json};

use super::server::Reply;
use super::state::State;
use super::write::Answer;

/// A page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Page {
    /// `/version`.
    Version,
    /// `/api`.
    Core,
    /// `/apis`.
    Groups,
    /// `/apis/GROUP`.
    Group(String),
    /// `/api/v1` and `/apis/GROUP/VERSION`.
    Resources(String, String),
    /// `/healthz`, `/livez`, `/readyz`.
    Health,
}

impl Page {
    /// The page at a path.
    pub(super) fn at(segments: &[&str]) -> Option<Page> {
        Some(match segments {
            ["version"] => Page::Version,
            ["api"] => Page::Core,
            ["apis"] => Page::Groups,
            ["apis", group] => Page::Group((*group).into()),
            ["api", "v1"] => Page::Resources(String::new(), "v1".into()),
            ["apis", group, version] => Page::Resources((*group).into(), (*version).into()),
            ["healthz" | "livez" | "readyz"] => Page::Health,
            _ => return None,
        })
    }

    /// Whether everybody may read it.
    pub(super) fn is_public(&self) -> bool {
        matches!(self, Page::Version | Page::Health)
    }

    /// The page.
    pub(super) fn reply(&self, state: &State) -> Reply {
        let object = match self {
            Page::Health => return Reply::Text("ok"),
            Page::Version => version(),
            Page::Core => json!({"kind": "APIVersions", "versions": ["v1"]}),
            Page::Groups => {
                json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups(state)})
            }
            Page::Group(name) => {
                groups(state).into_iter().find(|group| group["name"] == **name).unwrap_or_default()
            }
            Page::Resources(group, version) => resources(state, group, version),
        };
        Reply::Answer(Answer { code: 200, object, warnings: Vec::new() })
    }
}

fn version() -> Value {
    json!({
        "major": "1", "minor": "36", "emulationMajor": "1", "emulationMinor": "36",
        "minCompatibilityMajor": "1", "minCompatibilityMinor": "35", "gitVersion": "v1.36.2",
        "gitCommit": "0000000000000000000000000000000000000000", "gitTreeState": "clean",
        "buildDate": "2026-01-01T00:00:00Z", "goVersion": "go1.x", "compiler": "gc", "platform": "linux/amd64",
    })
}

fn groups(state: &State) -> Vec<Value> {
    let mut names: Vec<(&str, &str)> = state
        .kinds
        .iter()
        .filter(|kind| !kind.group.is_empty())
        .map(|kind| (kind.group.as_str(), kind.version.as_str()))
        .collect();
    names.sort_unstable();
    names.dedup();
    let group = |(group, version): (&str, &str)| {
        let version = json!({"groupVersion": format!("{group}/{version}"), "version": version});
        json!({
            "kind": "APIGroup", "apiVersion": "v1", "name": group,
            "versions": [version], "preferredVersion": version,
        })
    };
    names.into_iter().map(group).collect()
}

fn resources(state: &State, group: &str, version: &str) -> Value {
    let verbs = json!(["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]);
    let of_group = state.kinds.iter().filter(|kind| kind.group == group && kind.version == version);
    let mut resources = Vec::new();
    for kind in of_group {
        let mut resource = json!({
            "name": kind.plural, "singularName": kind.kind.to_lowercase(), "namespaced": kind.namespaced,
            "kind": kind.kind, "verbs": verbs,
        });
        if !kind.short_name.is_empty() {
            resource["shortNames"] = json!([kind.short_name]);
        }
        resources.push(resource);
        if kind.status {
            resources.push(json!({
                "name": format!("{}/status", kind.plural), "singularName": "", "namespaced": kind.namespaced,
                "kind": kind.kind, "verbs": ["get", "patch", "update"],
            }));
        }
    }
    let group_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources})
}
