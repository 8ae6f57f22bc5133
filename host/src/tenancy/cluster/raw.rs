//! Raw: a `MetricAccess` as the API server sends it, whatever somebody put into it.
//!
//! In: JSON of any content. Out: the metadata that is needed, and `spec` and `status` down to a depth.
//! Never: an object that keeps a whole list from being read. The JSON reader gives up at 128 levels, and an untyped
//! field holds as many as somebody likes; so do `managedFields`, which repeat its shape. What is deeper than any
//! resource of ours is skipped, and skipping costs no depth.

use std::borrow::Cow;
use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::Resource;
use kube::api::ApiResource;
use kube::core::DynamicResourceScope;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, de};
use serde_json::{Map, Number, Value};

/// Levels that are kept of `spec` and of `status`. A resource has seven, a file of them forty-eight at most; what is cut
/// off here is refused for what it is in.
const DEPTH_MAX: usize = 48;

/// One object.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Raw {
    #[serde(default, deserialize_with = "metadata")]
    metadata: ObjectMeta,
    #[serde(default)]
    spec: Shallow,
    #[serde(default)]
    status: Shallow,
}

impl Raw {
    /// `spec` and `status`, and nothing else.
    pub(super) fn into_data(self) -> Value {
        Value::Object(Map::from_iter([
            ("spec".to_owned(), self.spec.0),
            ("status".to_owned(), self.status.0),
        ]))
    }
}

impl Resource for Raw {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn kind(of: &ApiResource) -> Cow<'_, str> {
        of.kind.as_str().into()
    }

    fn group(of: &ApiResource) -> Cow<'_, str> {
        of.group.as_str().into()
    }

    fn version(of: &ApiResource) -> Cow<'_, str> {
        of.version.as_str().into()
    }

    fn plural(of: &ApiResource) -> Cow<'_, str> {
        of.plural.as_str().into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// The metadata we look at; what else is there is skipped.
fn metadata<'de, D: Deserializer<'de>>(from: D) -> Result<ObjectMeta, D::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Needed {
        name: Option<String>,
        namespace: Option<String>,
        uid: Option<String>,
        generation: Option<i64>,
        resource_version: Option<String>,
        creation_timestamp: Option<Time>,
        deletion_timestamp: Option<Time>,
        finalizers: Option<Vec<String>>,
    }
    let Needed {
        name,
        namespace,
        uid,
        generation,
        resource_version,
        creation_timestamp,
        deletion_timestamp,
        finalizers,
    } = Needed::deserialize(from)?;
    Ok(ObjectMeta {
        name,
        namespace,
        uid,
        generation,
        resource_version,
        creation_timestamp,
        deletion_timestamp,
        finalizers,
        ..ObjectMeta::default()
    })
}

/// A value without what is deeper than [`DEPTH_MAX`]; `null` stands there instead.
#[derive(Debug, Clone, Default)]
struct Shallow(Value);

impl<'de> Deserialize<'de> for Shallow {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Shallow, D::Error> {
        Level(DEPTH_MAX).deserialize(from).map(Shallow)
    }
}

/// How many levels may follow.
#[derive(Clone, Copy)]
struct Level(usize);

impl<'de> DeserializeSeed<'de> for Level {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        match self.0 {
            0 => IgnoredAny::deserialize(from).map(|_| Value::Null),
            _ => from.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Level {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E: de::Error>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(entry) = entries.next_element_seed(Level(self.0 - 1))? {
            list.push(entry);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            map.insert(key, entries.next_value_seed(Level(self.0 - 1))?);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use kube::api::ObjectList;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_as_deep_as_a_resource_is_read_as_it_is() {
        let spec = json!({"metrics": ["up", null, true, -1, 1.5, 18_446_744_073_709_551_615_u64], "labelSelectors": {"a": "b"}});
        let status = json!({"conditions": [{"type": "Ready", "observedGeneration": 3}]});
        let object = json!({
            "apiVersion": "x/v1", "kind": "X",
            "metadata": {"name": "a", "namespace": "b", "uid": "u", "generation": 7, "resourceVersion": "9",
                "creationTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["f"], "labels": {"l": "v"}},
            "spec": spec, "status": status,
        });
        let raw: Raw = serde_json::from_str(&object.to_string()).unwrap();
        let meta = raw.meta();
        assert_eq!((meta.name.as_deref(), meta.namespace.as_deref()), (Some("a"), Some("b")));
        assert_eq!((meta.uid.as_deref(), meta.generation), (Some("u"), Some(7)));
        assert_eq!(meta.resource_version.as_deref(), Some("9"));
        assert!(meta.creation_timestamp.is_some() && meta.deletion_timestamp.is_none());
        assert_eq!(meta.finalizers, Some(vec!["f".to_owned()]));
        assert_eq!(raw.into_data(), json!({"spec": spec, "status": status}));
    }

    #[test]
    fn an_object_as_deep_as_somebody_likes_stops_no_list() {
        let deep = |open: &str, close: &str| format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
        let (map, list) = (deep("{\"a\":", "}"), deep("[", "]"));
        let text = format!(
            "{{\"kind\":\"XList\",\"apiVersion\":\"x/v1\",\"metadata\":{{}},\"items\":[\
             {{\"metadata\":{{\"name\":\"deep\",\"managedFields\":[{{\"fieldsV1\":{map}}}]}},\"spec\":{{\"labelSelectors\":{map}}},\"status\":{list}}},\
             {{\"metadata\":{{\"name\":\"sound\"}},\"spec\":{{\"source\":\"s\"}}}}]}}"
        );
        let all: ObjectList<Raw> = serde_json::from_str(&text).unwrap();
        let names: Vec<_> = all.items.iter().map(|raw| raw.metadata.name.clone().unwrap()).collect();
        assert_eq!(names, ["deep", "sound"]);
        assert_eq!(all.items[1].spec.0, json!({"source": "s"}));
        let mut levels = 0;
        let mut at = &all.items[0].spec.0;
        while let Some(inner) = at.as_object().and_then(|map| map.values().next()) {
            (at, levels) = (inner, levels + 1);
        }
        assert_eq!((levels, at), (DEPTH_MAX, &Value::Null));
    }
}
