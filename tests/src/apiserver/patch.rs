//! Patch: the three older patch formats.
//!
//! In: the object that is there and a patch. Out: the object as it would be. Never: server-side apply (see `apply`).

use serde_json::{Map, Value};

use super::errors::Refusal;
use super::fields::{Form, form, item_step};
use super::schema::{ListMerge, Schema};

/// RFC 7386: objects merge, null removes, everything else replaces.
pub(super) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let target = target.as_object_mut().expect("it was just made one");
    for (key, value) in patch {
        match value {
            Value::Null => drop(target.remove(key)),
            value => merge(target.entry(key.clone()).or_insert(Value::Null), value),
        }
    }
}

/// Kubernetes' own: as a merge patch, but lists whose items have a key merge by it. The key of a strategic merge is
/// the first of the list map's keys; what the patch names comes first.
pub(super) fn strategic(target: &mut Value, patch: &Value, schema: &Schema) {
    match (patch, form(schema, Some(target), Some(patch))) {
        (Value::Object(patch), Form::Map | Form::Leaf) => {
            if !target.is_object() {
                *target = Value::Object(Map::new());
            }
            let target = target.as_object_mut().expect("it was just made one");
            for (key, value) in patch {
                match (value, schema.field(key)) {
                    (Value::Null, _) => drop(target.remove(key)),
                    (value, Some(field)) => {
                        strategic(target.entry(key.clone()).or_insert(Value::Null), value, field);
                    }
                    (value, None) => drop(target.insert(key.clone(), value.clone())),
                }
            }
        }
        (Value::Array(patch), Form::List(ListMerge::Map(keys))) => {
            let by = ListMerge::Map(keys[..1].to_vec());
            let item = schema.item();
            let mut rest = target.as_array().cloned().unwrap_or_default();
            let mut out = Vec::new();
            for value in patch {
                let step = item_step(value, &by, item);
                let held = rest.iter().position(|other| item_step(other, &by, item) == step);
                let mut held = held.map_or(Value::Null, |index| rest.remove(index));
                if value["$patch"] != "delete" {
                    strategic(&mut held, value, item);
                    out.push(held);
                }
            }
            out.append(&mut rest);
            *target = out.into();
        }
        (Value::Array(patch), Form::List(ListMerge::Set)) => {
            let mut out = target.as_array().cloned().unwrap_or_default();
            out.extend(patch.iter().filter(|value| !out.contains(value)).cloned().collect::<Vec<_>>());
            *target = out.into();
        }
        (patch, _) => *target = patch.clone(),
    }
}

/// RFC 6902: a list of operations, all of them or none.
pub(super) fn json_patch(target: &Value, operations: &[Value]) -> Result<Value, Refusal> {
    let mut out = target.clone();
    for operation in operations {
        operate(&mut out, operation).ok_or_else(Refusal::rejected_patch)?;
    }
    Ok(out)
}

fn operate(target: &mut Value, operation: &Value) -> Option<()> {
    let path = operation["path"].as_str()?;
    let value = || operation.get("value").cloned();
    let from = || operation["from"].as_str();
    match operation["op"].as_str()? {
        "add" => add(target, path, value()?),
        "remove" => take(target, path).map(drop),
        "replace" => target.pointer_mut(path).zip(value()).map(|(held, value)| *held = value),
        "test" => (target.pointer(path)? == &value()?).then_some(()),
        "copy" => {
            let copied = target.pointer(from()?)?.clone();
            add(target, path, copied)
        }
        "move" => {
            let moved = take(target, from()?)?;
            add(target, path, moved)
        }
        _ => None,
    }
}

fn add(target: &mut Value, path: &str, value: Value) -> Option<()> {
    let (parent, key) = path.rsplit_once('/')?;
    let key = key.replace("~1", "/").replace("~0", "~");
    match target.pointer_mut(parent)? {
        Value::Object(map) => drop(map.insert(key, value)),
        Value::Array(list) if key == "-" => list.push(value),
        Value::Array(list) => {
            let index = key.parse().ok().filter(|index| *index <= list.len())?;
            list.insert(index, value);
        }
        _ => return None,
    }
    Some(())
}

fn take(target: &mut Value, path: &str) -> Option<Value> {
    let (parent, key) = path.rsplit_once('/')?;
    let key = key.replace("~1", "/").replace("~0", "~");
    match target.pointer_mut(parent)? {
        Value::Object(map) => map.remove(&key),
        Value::Array(list) => {
            let index = key.parse().ok().filter(|index| *index < list.len())?;
            Some(list.remove(index))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_json_patch_is_done_whole_or_not_at_all() {
        let target = json!({"a": [1, 2], "b/c": {"d": 1}});
        let done = |operations: Value| json_patch(&target, operations.as_array().expect("a list")).ok();
        let check = |operations: Value, expected: Option<Value>| {
            assert_eq!(done(operations.clone()), expected, "{operations}")
        };
        check(
            json!([{"op": "add", "path": "/a/1", "value": 9}, {"op": "remove", "path": "/b~1c/d"}]),
            Some(json!({"a": [1, 9, 2], "b/c": {}})),
        );
        check(
            json!([{"op": "move", "from": "/b~1c/d", "path": "/a/-"}]),
            Some(json!({"a": [1, 2, 1], "b/c": {}})),
        );
        check(
            json!([{"op": "replace", "path": "/a/0", "value": 5}, {"op": "test", "path": "/a/0", "value": 1}]),
            None,
        );
        check(json!([{"op": "remove", "path": "/x"}]), None);
        check(json!([{"op": "add", "path": "/a/7", "value": 0}]), None);
    }

    #[test]
    fn null_in_a_merge_patch_removes() {
        let mut target = json!({"a": {"b": 1, "c": 2}, "d": [1]});
        merge(&mut target, &json!({"a": {"b": null, "e": {"f": null}}, "d": [2]}));
        assert_eq!(target, json!({"a": {"c": 2, "e": {}}, "d": [2]}));
    }
}
