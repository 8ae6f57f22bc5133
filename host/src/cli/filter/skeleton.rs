//! Skeleton: a configuration to begin with, from its schema.
//!
//! In: a JSON Schema, from a component that somebody wrote: any JSON at all. Out: a line for each field, those that are
//! required first. Never: an endless walk through a schema that refers to itself.

use serde_json::{Map, Value, json};

use crate::model::is_unseen_mark;

/// How deep a value is filled in, and how many references lead to it.
const DEPTH_MAX: usize = 6;
/// More fields than this nobody reads.
const LINES_MAX: usize = 64;
const ABOUT_CHARS_MAX: usize = 100;
/// Values of all fields together, and the bytes of those that the schema gives: a schema of a few lines that refers to itself
/// stands for millions.
const VALUES_MAX: usize = 1_000;
const GIVEN_BYTES_MAX: usize = 64 << 10;

/// One field.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Line {
    pub(super) name: String,
    /// The default, or an empty value of the type.
    pub(super) value: Value,
    /// What the schema says of it, in one line.
    pub(super) about: String,
    pub(super) is_required: bool,
}

/// The fields of an object's schema.
pub(super) fn lines(root: &Value) -> Vec<Line> {
    let object = resolve(root, root);
    let mut left = Left { values: VALUES_MAX, bytes: GIVEN_BYTES_MAX };
    let line = |(name, property): (&String, &Value)| Line {
        name: name.clone(),
        value: value(root, property, DEPTH_MAX, &mut left),
        about: about(property),
        is_required: is_required(object, name),
    };
    let mut lines: Vec<Line> = properties(object).take(LINES_MAX).map(line).collect();
    lines.sort_by_key(|line| !line.is_required);
    lines
}

/// What may still be filled in.
struct Left {
    values: usize,
    bytes: usize,
}

impl Left {
    /// Whether there may be one more, with so many bytes.
    fn takes(&mut self, bytes: usize) -> bool {
        let left = self.values.checked_sub(1).zip(self.bytes.checked_sub(bytes));
        (self.values, self.bytes) = left.unwrap_or_default();
        left.is_some()
    }
}

/// A value that fits, as far as the schema says it: its default, its first choice, or what is empty of its type. `null` once
/// nothing is left.
fn value(root: &Value, schema: &Value, depth: usize, left: &mut Left) -> Value {
    let given = ["default", "const"].into_iter().find_map(|key| schema.get(key));
    let given = given.or_else(|| schema.pointer("/enum/0")).or_else(|| schema.pointer("/examples/0"));
    if let Some(given) = given {
        return if left.takes(given.to_string().len()) { given.clone() } else { Value::Null };
    }
    let target = resolve(root, schema);
    if depth == 0 || !left.takes(0) {
        return Value::Null;
    }
    if !std::ptr::eq(target, schema) {
        return value(root, target, depth - 1, left);
    }
    let choice = ["/oneOf/0", "/anyOf/0", "/allOf/0"].into_iter().find_map(|path| schema.pointer(path));
    if let Some(choice) = choice {
        return value(root, choice, depth - 1, left);
    }
    // Of several types the first one is meant, the other is mostly null.
    let kind = schema.get("type").map_or(&Value::Null, |ty| ty.get(0).unwrap_or(ty));
    match kind.as_str() {
        Some("string") => json!(""),
        Some("integer" | "number") => schema.get("minimum").cloned().unwrap_or(json!(0)),
        Some("boolean") => json!(false),
        Some("array") => json!([]),
        Some("object") => {
            let required = properties(schema).filter(|(name, _)| is_required(schema, name));
            let mut fields = Map::new();
            for (name, field) in required.take(LINES_MAX) {
                if !left.takes(name.len()) {
                    break;
                }
                fields.insert(name.clone(), value(root, field, depth - 1, left));
            }
            Value::Object(fields)
        }
        _ => Value::Null,
    }
}

/// Where a `$ref` into the same document leads; the schema itself if it has none.
fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let target = schema.get("$ref").and_then(Value::as_str).and_then(|target| target.strip_prefix('#'));
    target.and_then(|pointer| root.pointer(pointer)).unwrap_or(schema)
}

fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema.get("properties").and_then(Value::as_object).into_iter().flatten()
}

fn is_required(schema: &Value, name: &str) -> bool {
    let required = schema.get("required").and_then(Value::as_array);
    required.is_some_and(|all| all.iter().any(|one| one == name))
}

fn about(schema: &Value) -> String {
    let text = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    let line = text.lines().next().unwrap_or_default();
    line.chars().filter(|c| !c.is_control() && !is_unseen_mark(*c)).take(ABOUT_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_has_a_value_to_begin_with_and_required_ones_come_first() {
        let schema = json!({
            "type": "object",
            "required": ["prefixes", "rule", "mode"],
            "properties": {
                "limit": { "type": "integer", "minimum": 1, "description": "How many.\nAt most." },
                "prefixes": { "type": "array", "items": { "type": "string" } },
                "mode": { "enum": ["keep", "drop"] },
                "rate": { "type": "number", "default": 0.5 },
                "rule": { "$ref": "#/$defs/Rule" },
                "note": { "type": ["string", "null"] },
            },
            "$defs": { "Rule": {
                "type": "object",
                "required": ["on", "then"],
                "properties": { "on": { "type": "boolean" }, "then": { "$ref": "#/$defs/Rule" }, "x": {} },
            } },
        });
        let lines = lines(&schema);
        let names: Vec<&str> = lines.iter().map(|line| line.name.as_str()).collect();
        assert_eq!(names, ["mode", "prefixes", "rule", "limit", "note", "rate"]);
        let value = |name: &str| lines.iter().find(|line| line.name == name).unwrap().value.clone();
        assert_eq!((value("prefixes"), value("mode"), value("limit")), (json!([]), json!("keep"), json!(1)));
        assert_eq!((value("rate"), value("note")), (json!(0.5), json!("")));
        let rule = value("rule");
        assert_eq!((&rule["on"], rule.get("x")), (&json!(false), None), "a rule in a rule comes to an end");
        assert_eq!(lines[3].about, "How many.");
    }

    #[test]
    fn a_schema_that_stands_for_millions_of_values_comes_to_an_end() {
        let names: Vec<String> = (0..LINES_MAX).map(|n| format!("f{n}")).collect();
        let long = "x".repeat(GIVEN_BYTES_MAX / 2);
        let given = json!({ "default": long });
        for field in [json!({ "$ref": "#" }), given] {
            let fields: Map<_, _> = names.iter().map(|name| (name.clone(), field.clone())).collect();
            let lines = lines(&json!({ "type": "object", "required": names, "properties": fields }));
            let bytes: usize = lines.iter().map(|line| line.value.to_string().len()).sum();
            assert!(lines.len() == LINES_MAX && bytes < 2 * GIVEN_BYTES_MAX, "{bytes}");
        }
    }

    #[test]
    fn what_is_no_schema_of_an_object_has_no_fields() {
        for schema in
            [json!({}), json!(true), json!("x"), json!({ "$ref": "#" }), json!({ "properties": [] })]
        {
            assert_eq!(lines(&schema), []);
        }
    }
}
