//! The status in the definition: a text, a type and a maximum for every place.

use kube::core::schema::StructuralSchemaRewriter;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::*;

/// The schema as the CRD gets it.
fn schema() -> Value {
    let generator = SchemaSettings::openapi3()
        .with(|settings| settings.inline_subschemas = true)
        .with_transform(StructuralSchemaRewriter)
        .into_generator();
    generator.into_root_schema_for::<MetricAccessStatus>().to_value()
}

/// Every place of the schema, with its path.
fn places(path: String, schema: &Value, seen: &mut Vec<(String, Value)>) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        places(format!("{path}.{name}"), property, seen);
    }
    if schema.get("items").is_some() {
        places(format!("{path}[]"), &schema["items"], seen);
    }
    seen.push((path, schema.clone()));
}

#[test]
fn every_place_has_a_type_and_a_text_for_explain() {
    let mut seen = Vec::new();
    places("status".into(), &schema(), &mut seen);
    assert!(seen.len() > 30, "{}", seen.len());
    for (path, schema) in seen {
        assert!(schema["type"].is_string(), "{path}: {schema}");
        assert!(path.ends_with("[]") || schema["description"].is_string(), "{path}: {schema}");
        for key in ["$ref", "oneOf", "anyOf", "allOf"] {
            assert!(schema.get(key).is_none(), "{path} is not structural: {schema}");
        }
        let format = schema["format"].as_str();
        assert!(matches!(format, None | Some("int64" | "date-time")), "{path}: {schema}");
    }
}

#[test]
fn every_list_has_a_maximum_and_says_how_it_merges() {
    let mut seen = Vec::new();
    places("status".into(), &schema(), &mut seen);
    let lists: Vec<_> = seen.iter().filter(|(_, schema)| schema["type"] == "array").collect();
    assert_eq!(lists.len(), 6);
    for (path, schema) in lists {
        assert!(schema["maxItems"].is_u64(), "{path}: {schema}");
        let conditions = path.ends_with(".conditions");
        let merge = if conditions { "map" } else { "atomic" };
        assert_eq!(schema["x-kubernetes-list-type"], merge, "{path}");
        let keys = if conditions { json!(["type"]) } else { Value::Null };
        assert_eq!(schema["x-kubernetes-list-map-keys"], keys);
    }
}
