//! Fields: sets of paths into an object, and the object seen as such a set.
//!
//! In: objects and their schema. Out: which fields a write set, changed or took out; `FieldsV1`, read and written.
//! Never: who owns a field (see `apply`).
//!
//! The rules are structured-merge-diff's: a scalar and an atomic value are one path; an item of a set or of a list
//! map is a path of its own beside its fields; so is an object that a write brought in.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::schema::{ListMerge, Schema, Shape};

/// One step, as `FieldsV1` spells it: `f:spec`, `k:{"type":"Ready"}`, `v:"up"`.
pub(super) type Step = String;

/// A place in an object.
pub(super) type Path = Vec<Step>;

/// Places in an object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct FieldSet(pub(super) BTreeSet<Path>);

/// What a write did.
#[derive(Debug, Default)]
pub(super) struct Change {
    /// What was not there before.
    pub(super) added: FieldSet,
    /// What is there with another value.
    pub(super) modified: FieldSet,
    /// What is no longer there.
    pub(super) removed: FieldSet,
}

/// What the server itself writes: nobody owns it.
const UNOWNED_METADATA: [&str; 9] = [
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "managedFields",
];

impl FieldSet {
    /// Reads a `fieldsV1` tree.
    pub(super) fn decode(fields: &Value) -> FieldSet {
        fn walk(tree: &Value, at: &mut Path, into: &mut BTreeSet<Path>) {
            let Some(children) = tree.as_object() else { return };
            if children.is_empty() && !at.is_empty() {
                into.insert(at.clone());
            }
            for (step, child) in children {
                if step == "." {
                    into.insert(at.clone());
                    continue;
                }
                at.push(step.clone());
                walk(child, at, into);
                at.pop();
            }
        }
        let mut set = BTreeSet::new();
        walk(fields, &mut Path::new(), &mut set);
        FieldSet(set)
    }

    /// Writes a `fieldsV1` tree: a place that has others below it is marked with `.`.
    pub(super) fn encode(&self) -> Value {
        let mut root = Map::new();
        for path in &self.0 {
            let mut node = &mut root;
            for (depth, step) in path.iter().enumerate() {
                let child = node.entry(step.clone()).or_insert_with(|| Value::Object(Map::new()));
                node = child.as_object_mut().expect("every node of the tree is an object");
                let above = &path[..=depth];
                if depth + 1 < path.len() && node.is_empty() && self.0.contains(above) {
                    node.insert(".".into(), Value::Object(Map::new()));
                }
            }
        }
        root.into()
    }

    /// Whether there is no place in it.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is in both.
    pub(super) fn and(&self, other: &FieldSet) -> FieldSet {
        FieldSet(self.0.intersection(&other.0).cloned().collect())
    }

    /// What is in either.
    pub(super) fn or(&self, other: &FieldSet) -> FieldSet {
        FieldSet(self.0.union(&other.0).cloned().collect())
    }

    /// What is in this one only.
    pub(super) fn without(&self, other: &FieldSet) -> FieldSet {
        FieldSet(self.0.difference(&other.0).cloned().collect())
    }

    /// With every place above one of its places.
    pub(super) fn with_parents(&self) -> FieldSet {
        let prefixes = self.0.iter().flat_map(|path| (1..=path.len()).map(|end| path[..end].to_vec()));
        FieldSet(prefixes.collect())
    }

    fn insert(&mut self, path: &Path) {
        self.0.insert(path.clone());
    }
}

/// A path as a person reads it: `.status.conditions[type="Ready"].status`.
pub(super) fn shown(path: &[Step]) -> String {
    path.iter()
        .map(|step| match step.split_once(':') {
            Some(("k", keys)) => {
                let keys: Map<String, Value> = serde_json::from_str(keys).unwrap_or_default();
                let keys: Vec<String> = keys.iter().map(|(key, value)| format!("{key}={value}")).collect();
                format!("[{}]", keys.join(","))
            }
            Some(("v", value)) => format!("[={value}]"),
            _ => format!(".{}", step.trim_start_matches("f:")),
        })
        .collect()
}

/// The places that an applied configuration states.
pub(super) fn stated(config: &Value, schema: &Schema) -> FieldSet {
    let mut set = FieldSet::default();
    state(config, schema, &mut Path::new(), &mut set);
    FieldSet(set.0.into_iter().filter(is_owned).collect())
}

fn state(value: &Value, schema: &Schema, at: &mut Path, into: &mut FieldSet) {
    match form(schema, Some(value), None) {
        Form::Leaf => into.insert(at),
        Form::Map => {
            for (key, child) in value.as_object().into_iter().flatten() {
                at.push(format!("f:{key}"));
                let Some(field) = schema.field(key) else {
                    at.pop();
                    continue;
                };
                state(child, field, at, into);
                let hollow = child.is_null() || child.as_object().is_some_and(Map::is_empty);
                if hollow || !schema.declares(key) {
                    into.insert(at);
                }
                at.pop();
            }
        }
        Form::List(merge) => {
            for item in value.as_array().into_iter().flatten() {
                at.push(item_step(item, merge, schema.item()));
                state(item, schema.item(), at, into);
                into.insert(at);
                at.pop();
            }
        }
    }
}

/// What it takes to get from `old` to `new`.
pub(super) fn change(old: &Value, new: &Value, schema: &Schema) -> Change {
    let mut change = Change::default();
    compare(Some(old), Some(new), schema, &mut Path::new(), &mut change);
    for set in [&mut change.added, &mut change.modified, &mut change.removed] {
        set.0.retain(is_owned);
    }
    change
}

fn compare(old: Option<&Value>, new: Option<&Value>, schema: &Schema, at: &mut Path, into: &mut Change) {
    let hollow = |value: Option<&Value>| match value {
        None | Some(Value::Null) => true,
        Some(Value::Object(map)) => map.is_empty(),
        Some(Value::Array(list)) => list.is_empty(),
        Some(_) => false,
    };
    let form = form(schema, old, new);
    if matches!(form, Form::Leaf) || (hollow(old) && hollow(new)) {
        match (old, new) {
            (None, _) => into.added.insert(at),
            (_, None) => into.removed.insert(at),
            (old, new) if old != new => into.modified.insert(at),
            _ => {}
        }
        return;
    }
    for (step, old, new, schema) in pairs(old, new, &form, schema) {
        at.push(step);
        compare(old, new, schema, at, into);
        at.pop();
    }
    match (old, new) {
        _ if at.is_empty() => {}
        (None, _) => into.added.insert(at),
        (_, None) => into.removed.insert(at),
        _ => {}
    }
}

type Pair<'a> = (Step, Option<&'a Value>, Option<&'a Value>, &'a Schema);

/// The children of two values, those of one place side by side.
fn pairs<'a>(
    old: Option<&'a Value>,
    new: Option<&'a Value>,
    form: &Form<'_>,
    schema: &'a Schema,
) -> Vec<Pair<'a>> {
    let mut pairs: Vec<Pair<'a>> = Vec::new();
    let children = |value: Option<&'a Value>| -> Vec<(Step, &'a Value, &'a Schema)> {
        match (form, value) {
            (Form::Map, Some(Value::Object(map))) => map
                .iter()
                .filter_map(|(key, child)| Some((format!("f:{key}"), child, schema.field(key)?)))
                .collect(),
            (Form::List(merge), Some(Value::Array(list))) => {
                let item = schema.item();
                list.iter().map(|child| (item_step(child, merge, item), child, item)).collect()
            }
            _ => Vec::new(),
        }
    };
    for (step, child, schema) in children(old) {
        pairs.push((step, Some(child), None, schema));
    }
    for (step, child, schema) in children(new) {
        match pairs.iter_mut().find(|(other, ..)| *other == step) {
            Some(pair) => pair.2 = Some(child),
            None => pairs.push((step, None, Some(child), schema)),
        }
    }
    pairs
}

/// How a place is looked into.
pub(super) enum Form<'a> {
    /// Not at all.
    Leaf,
    /// Key by key.
    Map,
    /// Item by item.
    List(&'a ListMerge),
}

/// The form of a place; where the schema says nothing, the values decide.
pub(super) fn form<'a>(schema: &'a Schema, one: Option<&Value>, other: Option<&Value>) -> Form<'a> {
    match &schema.shape {
        Shape::Object { atomic: false, .. } => Form::Map,
        Shape::List { merge, .. } if *merge != ListMerge::Atomic => Form::List(merge),
        Shape::Any if [one, other].into_iter().flatten().any(Value::is_object) => Form::Map,
        _ => Form::Leaf,
    }
}

/// The step to an item of a set or a list map; a key that is left out counts with its default.
pub(super) fn item_step(item: &Value, merge: &ListMerge, schema: &Schema) -> Step {
    match merge {
        ListMerge::Map(keys) => {
            let held: Map<String, Value> = keys
                .iter()
                .filter_map(|key| {
                    let default = || schema.field(key).and_then(|field| field.default.clone());
                    Some((key.clone(), item.get(key).cloned().or_else(default)?))
                })
                .collect();
            format!("k:{}", Value::Object(held))
        }
        _ => format!("v:{item}"),
    }
}

/// `value` without the places in `gone`.
pub(super) fn remove(value: &mut Value, schema: &Schema, gone: &FieldSet) {
    fn walk(value: &mut Value, schema: &Schema, gone: &FieldSet, at: &mut Path) {
        match value {
            Value::Object(map) => map.retain(|key, child| {
                at.push(format!("f:{key}"));
                let kept = !gone.0.contains(at);
                if let (true, Some(field)) = (kept, schema.field(key)) {
                    walk(child, field, gone, at);
                }
                at.pop();
                kept
            }),
            Value::Array(list) => {
                let Form::List(merge) = form(schema, None, None) else { return };
                list.retain_mut(|item| {
                    at.push(item_step(item, merge, schema.item()));
                    let kept = !gone.0.contains(at);
                    if kept {
                        walk(item, schema.item(), gone, at);
                    }
                    at.pop();
                    kept
                });
            }
            _ => {}
        }
    }
    walk(value, schema, gone, &mut Path::new());
}

fn is_owned(path: &Path) -> bool {
    let steps: Vec<&str> = path.iter().map(|step| step.trim_start_matches("f:")).collect();
    match steps.as_slice() {
        ["apiVersion" | "kind" | "metadata"] => false,
        ["metadata", field, ..] => !UNOWNED_METADATA.contains(field),
        _ => true,
    }
}
