//! Validate: whether an object is what its schema says.
//!
//! In: an object with its defaults, and its schema. Out: every cause for refusing it, in a real server's words.
//! Never: CEL rules; they are not evaluated, so what only they refuse is accepted here.

use regex::Regex;
use serde_json::{Value, json};

use super::errors::Cause;
use super::fields::item_step;
use super::schema::{ListMerge, Schema, Shape};

/// Checks `value`. `field` is its path as a cause names it; `told` the path as the message names it (a status is
/// checked on its own, and its messages start there).
pub(super) fn check(value: &Value, schema: &Schema, field: &str, told: &str) -> Vec<Cause> {
    let mut causes = Vec::new();
    Check { causes: &mut causes }.value(value, schema, field, told);
    causes
}

/// With these a real server does not get to CEL, and says so.
pub(super) fn stops_rules(cause: &Cause) -> bool {
    let structural = ["FieldValueRequired", "FieldValueTypeInvalid", "FieldValueNotSupported"];
    structural.contains(&cause.reason) || ["FieldValueTooLong", "FieldValueTooMany"].contains(&cause.reason)
}

/// The further cause that goes with structural ones.
pub(super) fn unchecked_rules() -> Cause {
    let detail = "some validation rules were not checked because the object was invalid; correct the existing \
                  errors to complete validation";
    Cause::invalid("<nil>", &Value::Null, detail)
}

struct Check<'a> {
    causes: &'a mut Vec<Cause>,
}

impl Check<'_> {
    fn value(&mut self, value: &Value, schema: &Schema, field: &str, told: &str) {
        if value.is_null() && schema.nullable {
            return;
        }
        if !self.is_typed(value, schema, field, told) {
            return;
        }
        match value {
            Value::String(text) => self.string(text, schema, field, told),
            Value::Number(_) => self.number(value, schema, field, told),
            Value::Array(list) => self.list(list, schema, field, told),
            Value::Object(_) => self.object(value, schema, field, told),
            _ => {}
        }
        self.one_of(value, schema, field);
    }

    fn is_typed(&mut self, value: &Value, schema: &Schema, field: &str, told: &str) -> bool {
        let format = schema.keywords.get("format").and_then(Value::as_str);
        let (expected, fits) = match &schema.shape {
            Shape::Any => return true,
            Shape::Object { .. } => ("object", value.is_object()),
            Shape::List { .. } => ("array", value.is_array()),
            Shape::Scalar(name) => (name.as_str(), is_scalar(value, name)),
        };
        if fits {
            return true;
        }
        let found = type_name(value);
        let shown = match (expected, format) {
            ("integer", Some(format)) if found == "float64" => format,
            _ => expected,
        };
        self.causes.push(Cause::mistyped(field, found, &format!("{told} in body must be of type {shown}")));
        if let ("integer", "float64", Some(format)) = (expected, found, format) {
            let detail = format!("Checked value must be of type integer with format {format} in {told}");
            self.causes.push(Cause::invalid("<nil>", &json!(""), &detail));
        }
        false
    }

    fn string(&mut self, text: &str, schema: &Schema, field: &str, told: &str) {
        let length = text.chars().count() as u64;
        let bound = |name: &str| schema.keywords.get(name).and_then(Value::as_u64);
        if let Some(most) = bound("maxLength").filter(|most| length > *most) {
            self.causes.push(Cause::too_long(field, most));
        }
        if let Some(least) = bound("minLength").filter(|least| length < *least) {
            let detail = format!("{told} in body should be at least {least} chars long");
            self.causes.push(Cause::invalid(field, &json!(text), &detail));
            return;
        }
        let pattern = schema.keywords.get("pattern").and_then(Value::as_str);
        let pattern =
            pattern.map(|pattern| (pattern, Regex::new(pattern).expect("the CRD's pattern compiles")));
        if let Some((pattern, _)) = pattern.filter(|(_, regex)| !regex.is_match(text)) {
            let detail = format!("{told} in body should match '{pattern}'");
            self.causes.push(Cause::invalid(field, &json!(text), &detail));
        }
        let is_time = || text.parse::<k8s_openapi::jiff::Timestamp>().is_ok();
        if schema.keywords.get("format").is_some_and(|format| format == "date-time") && !is_time() {
            let detail = format!("{told} in body must be of type date-time");
            self.causes.push(Cause::mistyped(field, text, &detail));
        }
    }

    fn number(&mut self, value: &Value, schema: &Schema, field: &str, told: &str) {
        let number = value.as_f64().unwrap_or_default();
        let bound = |name: &str| schema.keywords.get(name).filter(|bound| bound.is_number());
        let outside = [
            (
                bound("minimum"),
                "greater",
                number < bound("minimum").and_then(Value::as_f64).unwrap_or(number),
            ),
            (bound("maximum"), "less", number > bound("maximum").and_then(Value::as_f64).unwrap_or(number)),
        ];
        for (bound, which, is_outside) in outside {
            if let (Some(bound), true) = (bound, is_outside) {
                let detail = format!("{told} in body should be {which} than or equal to {bound}");
                self.causes.push(Cause::invalid(field, value, &detail));
            }
        }
    }

    fn list(&mut self, list: &[Value], schema: &Schema, field: &str, told: &str) {
        let bound = |name: &str| schema.keywords.get(name).and_then(Value::as_u64);
        if let Some(most) = bound("maxItems").filter(|most| list.len() as u64 > *most) {
            self.causes.push(Cause::too_many(field, list.len(), most));
        }
        if let Some(least) = bound("minItems").filter(|least| (list.len() as u64) < *least) {
            let detail = format!("{told} in body should have at least {least} items");
            self.causes.push(Cause::invalid(field, &json!(list.len()), &detail));
        }
        for (index, item) in list.iter().enumerate() {
            self.value(item, schema.item(), &format!("{field}[{index}]"), &format!("{told}[{index}]"));
        }
        let Shape::List { items, merge } = &schema.shape else { return };
        if *merge == ListMerge::Atomic {
            return;
        }
        let steps: Vec<String> = list.iter().map(|item| item_step(item, merge, items)).collect();
        for (index, step) in steps.iter().enumerate().filter(|(index, step)| steps[..*index].contains(step)) {
            let shown = serde_json::from_str(&step[2..]).unwrap_or(Value::Null);
            self.causes.push(Cause::duplicate(format!("{field}[{index}]"), &shown));
        }
    }

    fn object(&mut self, value: &Value, schema: &Schema, field: &str, told: &str) {
        let below = |path: &str, key: &str| {
            if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
        };
        let map = value.as_object().expect("its type was checked");
        let required = schema.keywords.get("required").and_then(Value::as_array);
        for key in required.into_iter().flatten().filter_map(Value::as_str) {
            if !map.contains_key(key) {
                self.causes.push(Cause::required(below(field, key), ""));
            }
        }
        let most = schema.keywords.get("maxProperties").and_then(Value::as_u64);
        if let Some(most) = most.filter(|most| map.len() as u64 > *most) {
            self.causes.push(Cause::too_many(field, map.len(), most));
        }
        for (key, child) in map {
            if let Some(schema) = schema.field(key) {
                self.value(child, schema, &below(field, key), &below(told, key));
            }
        }
    }

    fn one_of(&mut self, value: &Value, schema: &Schema, field: &str) {
        let Some(allowed) = schema.keywords.get("enum").and_then(Value::as_array) else { return };
        if !allowed.contains(value) {
            let quoted: Vec<String> = allowed.iter().map(Value::to_string).collect();
            self.causes.push(Cause::unsupported(field, value, &quoted.join(", ")));
        }
    }
}

fn is_scalar(value: &Value, name: &str) -> bool {
    match name {
        "string" => value.is_string(),
        "integer" => {
            value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|float| float.fract() == 0.0)
        }
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "int-or-string" => value.is_string() || value.is_i64() || value.is_u64(),
        _ => true,
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
