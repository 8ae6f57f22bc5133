//! Decode: the body of a request, as an object of its kind.
//!
//! In: bytes and their content type. Out: the object, unknown fields taken out, and the warnings that go with it; or
//! the 400 of a real decoder. Never: values checked against bounds (see `validate`).

use serde_json::{Value, json};

use super::errors::{About, Cause, Refusal};
use super::kinds::Kind;
use super::options::{FieldValidation, Options};
use super::schema::{Schema, Shape};

/// An object as a request states it.
#[derive(Debug)]
pub(super) struct Decoded {
    /// The object.
    pub(super) object: Value,
    /// One warning header each.
    pub(super) warnings: Vec<String>,
}

/// Reads a whole object: the body of a create or an update.
pub(super) fn object(
    kind: &Kind,
    body: &[u8],
    content_type: &str,
    options: &Options,
) -> Result<Decoded, Refusal> {
    let value = syntax(kind, body, content_type)?;
    is_of_kind(kind, &value, body)?;
    let mut decoded = fields(kind, value, options)?;
    decoded.object["apiVersion"] = kind.group_version.clone().into();
    decoded.object["kind"] = kind.kind.clone().into();
    Ok(decoded)
}

/// Takes unknown fields out of `value` and checks what a built-in's decoder checks.
pub(super) fn fields(kind: &Kind, mut value: Value, options: &Options) -> Result<Decoded, Refusal> {
    if !value["metadata"].is_object() {
        value["metadata"] = json!({});
    }
    let mut unknown = kind.schema.prune(&mut value, "");
    // As a real server lists them: metadata is read first.
    unknown.sort_by_key(|path| (!path.starts_with("metadata"), path.clone()));
    let unknown: Vec<String> = unknown.into_iter().map(|path| format!("unknown field \"{path}\"")).collect();
    if options.field_validation == FieldValidation::Strict && !unknown.is_empty() {
        let detail = format!("strict decoding error: {}", unknown.join(", "));
        return Err(cannot_be_handled(kind, &detail));
    }
    if !kind.is_custom() {
        mistyped(&value, &kind.schema, &kind.kind).map_err(|detail| cannot_be_handled(kind, &detail))?;
    }
    let warnings = if options.field_validation == FieldValidation::Ignore { Vec::new() } else { unknown };
    Ok(Decoded { object: value, warnings })
}

/// JSON or YAML, by its content type; none is JSON.
pub(super) fn syntax(kind: &Kind, body: &[u8], content_type: &str) -> Result<Value, Refusal> {
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    match media_type {
        "" | "application/json" => {
            let value: Result<Value, _> = serde_json::from_slice(body);
            value.map_err(|error| unread(kind, body, &go_wording(&error)))
        }
        "application/yaml" => yaml(body),
        _ => {
            let accepted = "application/json, application/yaml, application/vnd.kubernetes.protobuf";
            Err(Refusal::unsupported_media_type(accepted))
        }
    }
}

/// YAML, of which JSON is a part.
pub(super) fn yaml(body: &[u8]) -> Result<Value, Refusal> {
    if let Ok(value) = serde_json::from_slice(body) {
        return Ok(value);
    }
    let text = String::from_utf8_lossy(body);
    serde_saphyr::from_str(&text).map_err(|error| {
        Refusal::bad_request(format!("error decoding YAML: error converting YAML to JSON: yaml: {error}"))
    })
}

/// A JSON error as Go words the usual ones.
pub(super) fn go_wording(error: &serde_json::Error) -> String {
    if error.is_eof() { "unexpected end of JSON input".into() } else { error.to_string() }
}

fn is_of_kind(kind: &Kind, value: &Value, body: &[u8]) -> Result<(), Refusal> {
    if !value.is_object() {
        let wanted = "struct { APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \
                      \"json:\\\"kind,omitempty\\\"\" }";
        let found = if value.is_array() { "array" } else { "value" };
        return Err(unread(
            kind,
            body,
            &format!("json: cannot unmarshal {found} into Go value of type {wanted}"),
        ));
    }
    let api_version = &kind.group_version;
    let (stated_version, stated_kind) = (value["apiVersion"].as_str(), value["kind"].as_str());
    if kind.is_custom() && stated_kind.unwrap_or_default().is_empty() {
        let text = String::from_utf8_lossy(body);
        let detail = format!("Object 'Kind' is missing in '{text}' ({})", excerpt(body));
        return Err(Refusal::bad_request(format!("{} {detail}", unrecognized(kind))));
    }
    if let Some(stated) = stated_version.filter(|stated| stated != api_version) {
        let detail =
            format!("the API version in the data ({stated}) does not match the expected API version");
        return Err(Refusal::bad_request(format!("{detail} ({api_version})")));
    }
    match stated_kind.filter(|stated| *stated != kind.kind) {
        None => Ok(()),
        Some(stated) if kind.is_custom() => {
            let name = value["metadata"]["name"].as_str().unwrap_or_default();
            let cause = Cause::invalid("kind", &json!(stated), &format!("must be {}", kind.kind));
            Err(Refusal::invalid(About { name, group: &kind.group, kind: stated }, &[cause]))
        }
        Some(stated) => Err(Refusal::bad_request(format!(
            "{stated} in version \"{}\" cannot be handled as a {}: unknown conversion",
            kind.version, kind.kind
        ))),
    }
}

fn unrecognized(kind: &Kind) -> String {
    format!("the object provided is unrecognized (must be of type {}):", kind.kind)
}

fn unread(kind: &Kind, body: &[u8], detail: &str) -> Refusal {
    let shown = excerpt(body);
    Refusal::bad_request(format!(
        "{} couldn't get version/kind; json parse error: {detail} ({shown})",
        unrecognized(kind)
    ))
}

/// The beginning of a body, as an error shows it: text where it looks like an object, else bytes.
fn excerpt(body: &[u8]) -> String {
    const SHOWN_BYTES_MAX: usize = 30;
    if body.is_empty() {
        return "<empty>".into();
    }
    if body[0] != b'{' {
        return body.iter().take(SHOWN_BYTES_MAX).map(|byte| format!("{byte:02x}")).collect();
    }
    let shown = String::from_utf8_lossy(&body[..body.len().min(SHOWN_BYTES_MAX)]).into_owned();
    if body.len() > SHOWN_BYTES_MAX { format!("{shown} ...") } else { shown }
}

fn cannot_be_handled(kind: &Kind, detail: &str) -> Refusal {
    Refusal::bad_request(format!(
        "{kind} in version \"{version}\" cannot be handled as a {kind}: {detail}",
        kind = kind.kind,
        version = kind.version
    ))
}

/// The first value that a typed decoder could not read.
fn mistyped(value: &Value, schema: &Schema, at: &str) -> Result<(), String> {
    let found = match value {
        Value::Null => return Ok(()),
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let cannot = |wanted: &str| {
        Err(format!("json: cannot unmarshal {found} into Go struct field {at} of type {wanted}"))
    };
    match &schema.shape {
        Shape::Object { .. } => match value {
            Value::Object(map) => map.iter().try_for_each(|(key, child)| match schema.field(key) {
                Some(field) if schema.declares(key) => mistyped(child, field, &format!("{at}.{key}")),
                Some(field) => mistyped(child, field, at),
                None => Ok(()),
            }),
            _ => cannot("object"),
        },
        Shape::List { items, .. } => match value {
            Value::Array(list) => list.iter().try_for_each(|item| mistyped(item, items, at)),
            _ => cannot("array"),
        },
        Shape::Scalar(name) => match (name.as_str(), value) {
            ("string", Value::String(text)) => formatted(text, schema),
            ("string", _) => cannot("string"),
            ("integer", value) if !value.is_i64() => cannot("int32"),
            ("boolean", value) if !value.is_boolean() => cannot("bool"),
            _ => Ok(()),
        },
        Shape::Any => Ok(()),
    }
}

fn formatted(text: &str, schema: &Schema) -> Result<(), String> {
    use base64::Engine as _;
    match schema.keywords.get("format").and_then(Value::as_str) {
        Some("byte") => match base64::engine::general_purpose::STANDARD.decode(text) {
            Ok(_) => Ok(()),
            Err(base64::DecodeError::InvalidByte(at, _)) => {
                Err(format!("illegal base64 data at input byte {at}"))
            }
            Err(_) => Err(format!("illegal base64 data at input byte {}", text.len())),
        },
        Some("micro-time") => micro_time(text),
        _ => Ok(()),
    }
}

/// A MicroTime has exactly six digits after the second.
fn micro_time(text: &str) -> Result<(), String> {
    const LAYOUT: &str = "2006-01-02T15:04:05.000000Z07:00";
    let cannot = |rest: &str, layout: &str| {
        Err(format!("parsing time \"{text}\" as \"{LAYOUT}\": cannot parse \"{rest}\" as \"{layout}\""))
    };
    if text.parse::<k8s_openapi::jiff::Timestamp>().is_err() {
        return cannot(text, "2006");
    }
    let after_seconds = text.get(19..).unwrap_or_default();
    let digits = after_seconds.strip_prefix('.').unwrap_or_default();
    match digits.find(|at: char| !at.is_ascii_digit()) {
        Some(6) => Ok(()),
        _ => cannot(after_seconds, ".000000"),
    }
}
