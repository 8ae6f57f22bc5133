//! Schema: the JSON Schema of a filter's configuration, made of the configuration's type.
//!
//! In: the type, and what the filter embeds. Out: whether one says what the other does; if asked to, the file, anew. Never: a line of it
//! in a component: there the generator would be a hundred kilobytes, for an answer that never changes.

use std::path::Path;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

use crate::LabelFilter;

/// Whoever sets it wants the files written.
const UPDATE: &str = "UPDATE_SCHEMA";

/// Checks that [`LabelFilter::CONFIG_SCHEMA`] is the schema of the configuration's type, with the types' documentation as
/// descriptions. `file` is what the filter embeds, seen from the crate's folder, where tests run: with `UPDATE_SCHEMA=1` in the
/// environment it is written anew where it differs.
///
/// ```
/// use serde::Deserialize;
/// use sluice_filter::schemars::{self, JsonSchema};
/// # use sluice_filter::{LabelFilter, Series, Tenant, Verdict};
///
/// #[derive(Deserialize, JsonSchema)]
/// #[serde(deny_unknown_fields)]
/// struct Config {
///     /// Metrics whose names begin so are dropped.
///     prefixes: Vec<String>,
/// }
///
/// # struct DropGo;
/// impl LabelFilter for DropGo {
///     type Config = Config;
///
///     // In a crate: include_str!("config.schema.json").
///     const CONFIG_SCHEMA: &'static str = r#"{
///         "$schema": "https://json-schema.org/draft/2020-12/schema",
///         "title": "Config",
///         "type": "object",
///         "properties": {
///             "prefixes": {
///                 "description": "Metrics whose names begin so are dropped.",
///                 "type": "array",
///                 "items": { "type": "string" }
///             }
///         },
///         "required": ["prefixes"],
///         "additionalProperties": false
///     }"#;
/// #   fn new(_: Config, _: &Tenant) -> Result<Self, String> { Ok(DropGo) }
/// #   fn classify(&mut self, _: &mut Series<'_>) -> Verdict { Verdict::Keep }
/// }
///
/// // In a test:
/// sluice_filter::testing::assert_schema::<DropGo>("src/config.schema.json");
/// ```
///
/// # Panics
/// It is another one; or the file cannot be written.
#[track_caller]
pub fn assert_schema<F: LabelFilter<Config: JsonSchema>>(file: impl AsRef<Path>) {
    let wanted = std::env::var(UPDATE).is_ok_and(|value| !matches!(&*value, "" | "0"));
    let otherwise = if wanted { Otherwise::Write } else { Otherwise::Refuse };
    if let Err(cause) = compare(F::CONFIG_SCHEMA, &made_of::<F::Config>(), file.as_ref(), otherwise) {
        panic!("{cause}");
    }
}

/// What to do with a schema that is not the type's.
#[derive(Clone, Copy)]
enum Otherwise {
    Refuse,
    Write,
}

fn compare(embedded: &str, made: &Value, file: &Path, otherwise: Otherwise) -> Result<(), String> {
    // The order of fields does not count: other crates of a build may change what serde_json makes of it.
    if serde_json::from_str::<Value>(embedded).is_ok_and(|embedded| embedded == *made) {
        return Ok(());
    }
    let (file, text) = (file.display(), format!("{made:#}\n"));
    match otherwise {
        Otherwise::Refuse => {
            Err(format!("{file} is not the schema of the configuration: run the tests with {UPDATE}=1 once"))
        }
        Otherwise::Write => std::fs::write(file.to_string(), text)
            .map_err(|error| format!("{file} cannot be written: {error}")),
    }
}

/// Types that are used once stand where they are used: people read it, and not only editors.
fn made_of<C: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    settings.into_generator().into_root_schema_for::<C>().to_value()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What to do.
    #[derive(schemars::JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "its schema is looked at")]
    struct Config {
        /// In order.
        rules: Vec<Rule>,
    }

    #[derive(schemars::JsonSchema)]
    #[allow(dead_code, reason = "its schema is looked at")]
    struct Rule {
        label: String,
        #[serde(default)]
        keep: bool,
    }

    #[test]
    fn a_schema_says_what_the_type_says_and_its_documentation() {
        let schema = made_of::<Config>();
        let rules = &schema["properties"]["rules"];
        assert_eq!(
            (&schema["description"], &rules["description"]),
            (&"What to do.".into(), &"In order.".into())
        );
        assert_eq!(schema["additionalProperties"], false);
        assert_eq!(rules["items"]["required"], serde_json::json!(["label"]), "it stands where it is used");
    }

    #[test]
    fn a_schema_that_is_another_one_is_refused_with_what_to_do_and_written_if_asked() {
        let file = std::env::temp_dir().join(format!("schema-{}.json", std::process::id()));
        let made = made_of::<Config>();
        for other in ["", "{}", "{\"title\": \"Config\"}"] {
            let refused = compare(other, &made, Path::new("src/config.schema.json"), Otherwise::Refuse);
            let wanted = "src/config.schema.json is not the schema of the configuration: run the tests with UPDATE_SCHEMA=1 once";
            assert_eq!(refused, Err(wanted.to_owned()));
        }
        compare("{}", &made, &file, Otherwise::Write).unwrap();
        let written = std::fs::read_to_string(&file).unwrap();
        std::fs::remove_file(&file).unwrap();
        compare(&written, &made, &file, Otherwise::Refuse).unwrap();
        assert!(!file.exists(), "it is written where it differs only");
    }
}
