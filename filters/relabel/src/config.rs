//! relabel::config: a rule as a person writes it.

use serde::{Deserialize, Serialize};
use sluice_filter::schemars::{self, JsonSchema};

/// One rule: Prometheus's `relabel_config`. Every field may be left out; which are needed depends on the action.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[schemars(transform = with_aliases)]
pub struct RuleConfig {
    /// Labels whose values are joined to make what the rule looks at.
    #[serde(default, alias = "source_labels", skip_serializing_if = "Option::is_none")]
    pub source_labels: Option<Vec<String>>,
    /// What stands between the joined values; `;` if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = ";"))]
    pub separator: Option<String>,
    /// The label that is written or compared.
    #[serde(default, alias = "target_label", skip_serializing_if = "Option::is_none")]
    pub target_label: Option<String>,
    /// RE2 expression, anchored at both ends; `(.*)` if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "(.*)"))]
    pub regex: Option<String>,
    /// What the hash is taken modulo, for `hashmod`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modulus: Option<u64>,
    /// What is written, with `$1` or `${name}` for groups of the expression; `$1` if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "$1"))]
    pub replacement: Option<String>,
    /// What the rule does, in any case: replace, keep, drop, keepequal, dropequal, hashmod, labelmap, labeldrop, labelkeep, lowercase
    /// or uppercase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "replace"))]
    pub action: Option<String>,
}

/// A schema does not learn of aliases by itself.
fn with_aliases(schema: &mut schemars::Schema) {
    let Some(fields) = schema.get_mut("properties").and_then(|fields| fields.as_object_mut()) else { return };
    for (alias, field) in [("source_labels", "sourceLabels"), ("target_label", "targetLabel")] {
        let described = fields[field].clone();
        fields.insert(alias.into(), described);
    }
}
