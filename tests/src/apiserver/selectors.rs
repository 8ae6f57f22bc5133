//! Selectors: which objects a list or a watch is about.
//!
//! In: `labelSelector` and `fieldSelector` as they stand in a query. Out: whether an object matches.
//! Never: a field that its kind does not offer for selection; that is a 400.

use serde_json::Value;

use super::errors::Refusal;

/// Both selectors of a request.
#[derive(Debug, Clone, Default)]
pub(super) struct Selector {
    labels: Vec<LabelRule>,
    fields: Vec<FieldRule>,
}

#[derive(Debug, Clone)]
enum LabelRule {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Absent(String),
}

#[derive(Debug, Clone)]
struct FieldRule {
    path: String,
    value: String,
    equal: bool,
}

impl Selector {
    /// Reads both; `selectable` are the paths the kind offers beside its name and namespace.
    pub(super) fn read(
        labels: Option<&str>,
        fields: Option<&str>,
        selectable: &[String],
    ) -> Result<Selector, Refusal> {
        let labels =
            requirements(labels.unwrap_or_default()).into_iter().map(label_rule).collect::<Result<_, _>>()?;
        let fields = requirements(fields.unwrap_or_default())
            .into_iter()
            .map(|text| field_rule(text, selectable))
            .collect::<Result<_, _>>()?;
        Ok(Selector { labels, fields })
    }

    /// Whether it selects everything.
    pub(super) fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// The one name it is about, if it is.
    pub(super) fn name(&self) -> Option<&str> {
        let rule = self.fields.iter().find(|rule| rule.equal && rule.path == "metadata.name")?;
        Some(&rule.value)
    }

    /// Whether it selects `object`.
    pub(super) fn matches(&self, object: &Value) -> bool {
        let labels = &object["metadata"]["labels"];
        self.labels.iter().all(|rule| rule.holds(|key| labels[key].as_str()))
            && self.fields.iter().all(|rule| rule.holds(object))
    }
}

impl LabelRule {
    fn holds<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        match self {
            LabelRule::In(key, values) => {
                label(key).is_some_and(|held| values.iter().any(|value| value == held))
            }
            LabelRule::NotIn(key, values) => {
                label(key).is_none_or(|held| values.iter().all(|value| value != held))
            }
            LabelRule::Exists(key) => label(key).is_some(),
            LabelRule::Absent(key) => label(key).is_none(),
        }
    }
}

impl FieldRule {
    fn holds(&self, object: &Value) -> bool {
        let held = self.path.split('.').fold(object, |value, key| &value[key]);
        let held = match held {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            other => other.to_string(),
        };
        (held == self.value) == self.equal
    }
}

/// Splits at the commas outside parentheses.
fn requirements(text: &str) -> Vec<&str> {
    let mut depth = 0;
    let split = text.split(|at: char| {
        depth += i32::from(at == '(') - i32::from(at == ')');
        at == ',' && depth == 0
    });
    split.map(str::trim).filter(|part| !part.is_empty()).collect()
}

fn label_rule(text: &str) -> Result<LabelRule, Refusal> {
    let unread = |found: &str| {
        Refusal::bad_request(format!("unable to parse requirement: found '{found}', expected: identifier"))
    };
    if let Some((key, values)) = text.split_once('(') {
        let values = values.trim_end_matches(')').split(',').map(|value| value.trim().to_owned()).collect();
        return match key.split_whitespace().collect::<Vec<_>>()[..] {
            [key, "in"] => Ok(LabelRule::In(key.into(), values)),
            [key, "notin"] => Ok(LabelRule::NotIn(key.into(), values)),
            _ => Err(unread(key)),
        };
    }
    if let Some((key, value)) = text.split_once("!=") {
        return Ok(LabelRule::NotIn(key.trim().into(), vec![value.trim().into()]));
    }
    if let Some((key, value)) = text.split_once('=') {
        let value = value.strip_prefix('=').unwrap_or(value).trim();
        let stray = value.chars().find(|at| "=!<>()".contains(*at));
        return match stray {
            Some(at) => Err(unread(&at.to_string())),
            None => Ok(LabelRule::In(key.trim().into(), vec![value.into()])),
        };
    }
    match text.strip_prefix('!') {
        Some(key) => Ok(LabelRule::Absent(key.trim().into())),
        None if text.contains(char::is_whitespace) => Err(unread(text)),
        None => Ok(LabelRule::Exists(text.into())),
    }
}

fn field_rule(text: &str, selectable: &[String]) -> Result<FieldRule, Refusal> {
    let unread = || Refusal::bad_request(format!("invalid selector: '{text}'; can't understand '{text}'"));
    let (path, value, equal) = match text.split_once("!=") {
        Some((path, value)) => (path, value, false),
        None => {
            let (path, value) = text.split_once('=').ok_or_else(unread)?;
            (path, value.strip_prefix('=').unwrap_or(value), true)
        }
    };
    let known = ["metadata.name", "metadata.namespace"].contains(&path);
    if !known && !selectable.iter().any(|offered| offered == path) {
        return Err(Refusal::bad_request(format!("field label not supported: {path}")));
    }
    Ok(FieldRule { path: path.into(), value: value.into(), equal })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(labels: &str, expected: bool) {
        let object = json!({"metadata": {"name": "a", "labels": {"tier": "gold", "idx": "0"}}});
        let selector = Selector::read(Some(labels), None, &[]).expect(labels);
        assert_eq!(selector.matches(&object), expected, "{labels}");
    }

    #[test]
    fn label_selectors_say_what_they_say_in_the_documentation() {
        check("tier=gold", true);
        check("tier==gold,idx!=1", true);
        check("tier in (gold, silver),idx", true);
        check("tier notin (gold,silver)", false);
        check("absent notin (x)", true);
        check("!absent,!tier", false);
        check("", true);
    }

    #[test]
    fn what_cannot_be_read_or_is_not_offered_is_a_400() {
        assert_eq!(Selector::read(Some("tier===gold"), None, &[]).expect_err("three equal signs").code, 400);
        assert_eq!(Selector::read(None, Some("spec.x=1"), &[]).expect_err("not offered").code, 400);
        assert!(Selector::read(None, Some("spec.x=1"), &["spec.x".into()]).is_ok());
    }
}
