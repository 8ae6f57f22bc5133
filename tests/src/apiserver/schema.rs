//! Schema: what a resource's fields are, how they merge, and what stands in for those left out.
//!
//! In: the `openAPIV3Schema` of a CRD, or of a built-in in `kinds.json`. Out: defaults filled in, unknown fields and
//! nulls taken out. Never: CEL (`x-kubernetes-validations`), which this fake does not evaluate.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::{Map, Value};

/// What is known of a value.
#[derive(Debug, Clone, Default)]
pub(super) struct Schema {
    /// Its form, and how it merges.
    pub(super) shape: Shape,
    /// What stands in for it when it is left out or null.
    pub(super) default: Option<Value>,
    /// What a built-in's encoding shows when it is left out, owned by nobody.
    pub(super) always: Option<Value>,
    /// Whether null is a value.
    pub(super) nullable: bool,
    /// The other keywords, as written: bounds, pattern, enum, required.
    pub(super) keywords: Map<String, Value>,
}

/// The form of a value.
#[derive(Debug, Clone, Default)]
pub(super) enum Shape {
    /// Whatever is sent: objects merge by key, lists are replaced.
    #[default]
    Any,
    /// `string`, `integer`, `number`, `boolean`, or `int-or-string`.
    Scalar(String),
    /// An object.
    Object {
        /// The fields it declares.
        fields: BTreeMap<String, Schema>,
        /// What every other key holds, if others may be there.
        rest: Option<Box<Schema>>,
        /// Whether it is replaced as a whole.
        atomic: bool,
    },
    /// A list.
    List {
        /// What it holds.
        items: Box<Schema>,
        /// How it merges.
        merge: ListMerge,
    },
}

/// How two lists become one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ListMerge {
    /// The new one replaces the old one.
    Atomic,
    /// A set of scalars.
    Set,
    /// Objects, told apart by these keys.
    Map(Vec<String>),
}

impl Schema {
    /// Reads a schema; keywords it does not know are kept for `validate`.
    pub(super) fn read(openapi: &Value) -> Schema {
        let keyword = |name: &str| openapi.get(name).cloned();
        Schema {
            shape: Shape::read(openapi),
            default: keyword("default"),
            always: keyword("x-always"),
            nullable: openapi["nullable"] == true,
            keywords: openapi.as_object().cloned().unwrap_or_default(),
        }
    }

    /// The schema of the field `key`; `None` where an object may not have it.
    pub(super) fn field(&self, key: &str) -> Option<&Schema> {
        static ANY: LazyLock<Schema> = LazyLock::new(Schema::default);
        match &self.shape {
            Shape::Any => Some(&ANY),
            Shape::Object { fields, rest, .. } => fields.get(key).or(rest.as_deref()),
            _ => None,
        }
    }

    /// Whether `key` is a declared field, rather than a key of a map.
    pub(super) fn declares(&self, key: &str) -> bool {
        matches!(&self.shape, Shape::Object { fields, .. } if fields.contains_key(key))
    }

    /// The schema of a list's items.
    pub(super) fn item(&self) -> &Schema {
        match &self.shape {
            Shape::List { items, .. } => items,
            _ => self,
        }
    }

    /// Fills in what is left out, from `pick` (`default` or `always`), all the way down.
    pub(super) fn fill(&self, value: &mut Value, pick: fn(&Schema) -> Option<&Value>) {
        match (&self.shape, value) {
            (Shape::Object { fields, rest, .. }, Value::Object(map)) => {
                for (key, schema) in fields {
                    let absent = map.get(key).is_none_or(|held| held.is_null() && !schema.nullable);
                    if let (true, Some(default)) = (absent, pick(schema)) {
                        map.insert(key.clone(), default.clone());
                    }
                }
                for (key, held) in map.iter_mut() {
                    if let Some(schema) = fields.get(key).or(rest.as_deref()) {
                        schema.fill(held, pick);
                    }
                }
            }
            (Shape::List { items, .. }, Value::Array(list)) => {
                list.iter_mut().for_each(|item| items.fill(item, pick));
            }
            _ => {}
        }
    }

    /// Takes out nulls that are no values, and, of built-ins, whatever their encoding leaves out when empty.
    pub(super) fn tidy(&self, value: &mut Value, empties: Empties) {
        match value {
            _ if matches!(self.shape, Shape::Any) => {}
            Value::Object(map) => {
                for (key, held) in map.iter_mut() {
                    if let Some(schema) = self.field(key) {
                        schema.tidy(held, empties);
                    }
                }
                map.retain(|key, held| {
                    let Some(schema) = self.field(key) else { return true };
                    let kept = schema.nullable || schema.always.is_some() || schema.default.is_some();
                    let map_value = !self.declares(key) && !held.is_null();
                    kept || map_value || !(held.is_null() || (empties == Empties::Drop && is_empty(held)))
                });
            }
            Value::Array(list) => list.iter_mut().for_each(|item| self.item().tidy(item, empties)),
            _ => {}
        }
    }

    /// Takes out the fields that the schema does not have; their paths, as a warning names them.
    pub(super) fn prune(&self, value: &mut Value, at: &str) -> Vec<String> {
        let mut unknown = Vec::new();
        match value {
            Value::Object(map) => map.retain(|key, held| {
                let path = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
                match self.field(key) {
                    Some(schema) => {
                        unknown.extend(schema.prune(held, &path));
                        true
                    }
                    None if matches!(self.shape, Shape::Object { .. }) => {
                        unknown.push(path);
                        false
                    }
                    None => true,
                }
            }),
            Value::Array(list) => {
                for (index, item) in list.iter_mut().enumerate() {
                    unknown.extend(self.item().prune(item, &format!("{at}[{index}]")));
                }
            }
            _ => {}
        }
        unknown
    }
}

/// What `tidy` does with empty lists and objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Empties {
    /// A custom resource keeps them.
    Keep,
    /// A built-in's encoding leaves them out.
    Drop,
}

impl Shape {
    fn read(openapi: &Value) -> Shape {
        let read = |name: &str| openapi.get(name).filter(|schema| schema.is_object());
        let open = openapi["x-kubernetes-preserve-unknown-fields"] == true;
        if openapi["x-kubernetes-int-or-string"] == true {
            return Shape::Scalar("int-or-string".into());
        }
        match openapi["type"].as_str() {
            Some("object") => {
                let fields = openapi["properties"].as_object();
                let rest = read("additionalProperties").map(|schema| Box::new(Schema::read(schema)));
                Shape::Object {
                    fields: fields
                        .into_iter()
                        .flatten()
                        .map(|(key, schema)| (key.clone(), Schema::read(schema)))
                        .collect(),
                    rest: rest.or_else(|| open.then(Box::default)),
                    atomic: openapi["x-kubernetes-map-type"] == "atomic",
                }
            }
            Some("array") => Shape::List {
                items: Box::new(read("items").map(Schema::read).unwrap_or_default()),
                merge: ListMerge::read(openapi),
            },
            Some(scalar) => Shape::Scalar(scalar.to_owned()),
            None => Shape::Any,
        }
    }
}

impl ListMerge {
    fn read(openapi: &Value) -> ListMerge {
        match openapi["x-kubernetes-list-type"].as_str() {
            Some("set") => ListMerge::Set,
            Some("map") => {
                let keys = openapi["x-kubernetes-list-map-keys"].as_array();
                ListMerge::Map(
                    keys.into_iter().flatten().filter_map(|key| Some(key.as_str()?.into())).collect(),
                )
            }
            _ => ListMerge::Atomic,
        }
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => false,
    }
}
