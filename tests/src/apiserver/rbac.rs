//! Rbac: whether a user may do what it asks for.
//!
//! In: a user and a request; the roles and bindings in the store. Out: yes or no. Never: roles that are not stored:
//! the only built-in permission is to read `/version`, the discovery documents and the health checks.

use serde_json::Value;

use super::state::State;

/// What a request wants.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wish<'a> {
    /// `list`, `patch`, …
    pub(super) verb: &'a str,
    /// The group; empty for core.
    pub(super) group: &'a str,
    /// The plural, with `/status` where that is meant.
    pub(super) resource: &'a str,
    /// The namespace; empty for all.
    pub(super) namespace: &'a str,
    /// The name, also where a field selector gives it; empty for none.
    pub(super) name: &'a str,
}

impl State {
    /// Whether `user` may.
    pub(super) fn allows(&self, user: &str, wish: &Wish<'_>) -> bool {
        let everywhere = self.rules(user, "clusterrolebindings", None);
        let here =
            (!wish.namespace.is_empty()).then(|| self.rules(user, "rolebindings", Some(wish.namespace)));
        everywhere.into_iter().chain(here.into_iter().flatten()).any(|rule| allows(&rule, wish))
    }

    /// The rules that bindings of one sort give a user.
    fn rules(&self, user: &str, bindings: &str, namespace: Option<&str>) -> Vec<Value> {
        const GROUP: &str = "rbac.authorization.k8s.io";
        let bindings = self.store.list(&format!("{GROUP}/{bindings}"), namespace);
        let bound = bindings.iter().filter(|(_, binding)| names(binding, user));
        bound
            .filter_map(|(key, binding)| {
                let role = &binding["roleRef"];
                let (plural, namespace) = match role["kind"].as_str()? {
                    "Role" => ("roles", key.namespace.clone()),
                    _ => ("clusterroles", String::new()),
                };
                let key = super::store::Key {
                    storage: format!("{GROUP}/{plural}"),
                    namespace,
                    name: role["name"].as_str()?.to_owned(),
                };
                self.store.get(&key)?["rules"].as_array().cloned()
            })
            .flatten()
            .collect()
    }
}

/// Whether a binding is for a user, or for a group it is in.
fn names(binding: &Value, user: &str) -> bool {
    let account = user.strip_prefix("system:serviceaccount:").and_then(|account| account.split_once(':'));
    let groups: Vec<String> = match account {
        Some((namespace, _)) => vec![
            "system:serviceaccounts".into(),
            format!("system:serviceaccounts:{namespace}"),
            "system:authenticated".into(),
        ],
        None => vec!["system:authenticated".into()],
    };
    binding["subjects"].as_array().into_iter().flatten().any(|subject| {
        let name = subject["name"].as_str().unwrap_or_default();
        match subject["kind"].as_str() {
            Some("ServiceAccount") => {
                account == subject["namespace"].as_str().map(|namespace| (namespace, name))
            }
            Some("User") => name == user,
            Some("Group") => groups.iter().any(|group| group == name),
            _ => false,
        }
    })
}

fn allows(rule: &Value, wish: &Wish<'_>) -> bool {
    let lists = |field: &str, value: &str| {
        let listed = rule[field].as_array().into_iter().flatten();
        listed.filter_map(Value::as_str).any(|held| held == "*" || held == value)
    };
    let any_name = rule["resourceNames"].as_array().is_none_or(Vec::is_empty);
    lists("verbs", wish.verb)
        && lists("apiGroups", wish.group)
        && lists("resources", wish.resource)
        && (any_name || (!wish.name.is_empty() && lists("resourceNames", wish.name)))
}
