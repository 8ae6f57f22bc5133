//! Errors: what a refused request is answered with.
//!
//! In: the resource, the name, what was wrong. Out: a `Status` body in the words of a real API server.
//! Never: a new wording; clients match on reasons, causes and sometimes on texts.

use serde_json::{Map, Value, json};

/// A refusal: its status, and the body that says why.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    /// The HTTP status.
    pub(super) code: u16,
    /// A `Status` object, or plain text where a real server sends plain text.
    pub(super) body: Body,
    /// `Retry-After`, in seconds.
    pub(super) retry_after_seconds: Option<u64>,
    /// Warnings that come with it, of a body that was read before it was refused.
    pub(super) warnings: Vec<String>,
}

/// The two forms a refusal's body has.
#[derive(Debug, Clone)]
pub(super) enum Body {
    /// A `Status` object.
    Status(Value),
    /// Text.
    Text(&'static str),
}

/// One thing wrong with an object, as `details.causes` lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cause {
    /// `FieldValueRequired`, `FieldValueInvalid`, …
    pub(super) reason: &'static str,
    /// What is wrong.
    pub(super) message: String,
    /// Where: `spec.metrics[1]`.
    pub(super) field: String,
}

impl Cause {
    /// `Required value`, with what is asked for where there is something to say.
    pub(super) fn required(field: impl Into<String>, detail: &str) -> Cause {
        let message =
            if detail.is_empty() { "Required value".into() } else { format!("Required value: {detail}") };
        Cause { reason: "FieldValueRequired", message, field: field.into() }
    }

    /// `Invalid value: …`; `value` as JSON.
    pub(super) fn invalid(field: impl Into<String>, value: &Value, detail: &str) -> Cause {
        let message = format!("Invalid value: {value}: {detail}");
        Cause { reason: "FieldValueInvalid", message, field: field.into() }
    }

    /// A value of the wrong type.
    pub(super) fn mistyped(field: impl Into<String>, found: &str, detail: &str) -> Cause {
        let message = format!("Invalid value: \"{found}\": {detail}: \"{found}\"");
        Cause { reason: "FieldValueTypeInvalid", message, field: field.into() }
    }

    /// `Forbidden: …`.
    pub(super) fn forbidden(field: impl Into<String>, detail: &str) -> Cause {
        Cause { reason: "FieldValueForbidden", message: format!("Forbidden: {detail}"), field: field.into() }
    }

    /// A value that is not among those supported; `quoted` are these, as they are shown.
    pub(super) fn unsupported(field: impl Into<String>, value: &Value, quoted: &str) -> Cause {
        let message = format!("Unsupported value: {value}: supported values: {quoted}");
        Cause { reason: "FieldValueNotSupported", message, field: field.into() }
    }

    /// A value that is there twice; `value` as JSON.
    pub(super) fn duplicate(field: impl Into<String>, value: &Value) -> Cause {
        let message = format!("Duplicate value: {value}");
        Cause { reason: "FieldValueDuplicate", message, field: field.into() }
    }

    /// Longer than `bytes`.
    pub(super) fn too_long(field: impl Into<String>, bytes: u64) -> Cause {
        let message = format!("Too long: may not be more than {bytes} bytes");
        Cause { reason: "FieldValueTooLong", message, field: field.into() }
    }

    /// More than `most` items.
    pub(super) fn too_many(field: impl Into<String>, found: usize, most: u64) -> Cause {
        let message = format!("Too many: {found}: must have at most {most} items");
        Cause { reason: "FieldValueTooMany", message, field: field.into() }
    }

    fn shown(&self) -> String {
        format!("{}: {}", self.field, self.message)
    }

    fn json(&self) -> Value {
        json!({"reason": self.reason, "message": self.message, "field": self.field})
    }
}

/// What a refusal is about: `details.name`, `.group` and `.kind`, each left out where empty.
#[derive(Debug, Clone, Copy)]
pub(super) struct About<'a> {
    /// The object's name.
    pub(super) name: &'a str,
    /// The group; empty for core.
    pub(super) group: &'a str,
    /// The plural, or the kind: real servers use both.
    pub(super) kind: &'a str,
}

impl About<'_> {
    /// `plural.group`, or the plural alone in the core group.
    pub(super) fn qualified(&self) -> String {
        if self.group.is_empty() { self.kind.to_owned() } else { format!("{}.{}", self.kind, self.group) }
    }

    fn details(&self) -> Map<String, Value> {
        [("name", self.name), ("group", self.group), ("kind", self.kind)]
            .into_iter()
            .filter(|(_, text)| !text.is_empty())
            .map(|(key, text)| (key.to_owned(), json!(text)))
            .collect()
    }
}

impl Refusal {
    fn new(
        code: u16,
        reason: &str,
        message: impl Into<String>,
        details: Option<Map<String, Value>>,
    ) -> Refusal {
        let mut body = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": message.into(), "reason": reason, "code": code,
        });
        if let Some(details) = details {
            body["details"] = details.into();
        }
        Refusal { code, body: Body::Status(body), retry_after_seconds: None, warnings: Vec::new() }
    }

    /// 400.
    pub(super) fn bad_request(message: impl Into<String>) -> Refusal {
        Refusal::new(400, "BadRequest", message, None)
    }

    /// 401: the token is of nobody.
    pub(super) fn unauthorized() -> Refusal {
        Refusal::new(401, "Unauthorized", "Unauthorized", None)
    }

    /// 403; `detail` says who cannot do what where.
    pub(super) fn forbidden(about: About<'_>, detail: &str) -> Refusal {
        let name = if about.name.is_empty() { String::new() } else { format!(" \"{}\"", about.name) };
        let message = format!("{}{name} is forbidden: {detail}", about.qualified());
        Refusal::new(403, "Forbidden", message, Some(about.details()))
    }

    /// 403 of a path that is no resource.
    pub(super) fn forbidden_path(detail: &str) -> Refusal {
        Refusal::new(403, "Forbidden", format!("forbidden: {detail}"), Some(Map::new()))
    }

    /// 404 of an object.
    pub(super) fn not_found(about: About<'_>) -> Refusal {
        let message = format!("{} \"{}\" not found", about.qualified(), about.name);
        Refusal::new(404, "NotFound", message, Some(about.details()))
    }

    /// 404 of a resource that the core group, or a built-in, does not have.
    pub(super) fn no_such_resource() -> Refusal {
        let message = "the server could not find the requested resource";
        Refusal::new(404, "NotFound", message, Some(Map::new()))
    }

    /// 404 of a path nothing is behind: plain text.
    pub(super) fn no_such_page() -> Refusal {
        Refusal {
            code: 404,
            body: Body::Text("404 page not found\n"),
            retry_after_seconds: None,
            warnings: Vec::new(),
        }
    }

    /// 405 of a built-in.
    pub(super) fn method_not_allowed() -> Refusal {
        let message = "the server does not allow this method on the requested resource";
        Refusal::new(405, "MethodNotAllowed", message, Some(Map::new()))
    }

    /// 405 of a custom resource.
    pub(super) fn verb_not_supported(about: About<'_>, verb: &str) -> Refusal {
        let message = format!("{verb} is not supported on resources of kind \"{}\"", about.qualified());
        Refusal::new(405, "MethodNotAllowed", message, Some(about.details()))
    }

    /// 406; `message` lists what is there.
    pub(super) fn not_acceptable(message: &str, details: Option<Map<String, Value>>) -> Refusal {
        Refusal::new(406, "NotAcceptable", message, details)
    }

    /// 409: the name is taken.
    pub(super) fn already_exists(about: About<'_>) -> Refusal {
        let message = format!("{} \"{}\" already exists", about.qualified(), about.name);
        Refusal::new(409, "AlreadyExists", message, Some(about.details()))
    }

    /// 409: written to in the meantime, or not what the writer took it for; `detail` says which.
    pub(super) fn conflict(about: About<'_>, detail: &str) -> Refusal {
        let message =
            format!("Operation cannot be fulfilled on {} \"{}\": {detail}", about.qualified(), about.name);
        Refusal::new(409, "Conflict", message, Some(about.details()))
    }

    /// 409 of a write with a version that is no longer the newest.
    pub(super) fn stale(about: About<'_>) -> Refusal {
        let detail =
            "the object has been modified; please apply your changes to the latest version and try again";
        Refusal::conflict(about, detail)
    }

    /// 409 of an apply: others own the fields. `conflicts` are (manager as shown, field), in order.
    pub(super) fn apply_conflict(conflicts: &[(String, String)]) -> Refusal {
        let causes: Vec<Value> = conflicts
            .iter()
            .map(|(manager, field)| {
                let message = format!("conflict with {manager}");
                json!({"reason": "FieldManagerConflict", "message": message, "field": field})
            })
            .collect();
        let plural = if conflicts.len() == 1 { "" } else { "s" };
        let message =
            format!("Apply failed with {} conflict{plural}: {}", conflicts.len(), listed(conflicts));
        let details = Map::from_iter([("causes".to_owned(), Value::Array(causes))]);
        Refusal::new(409, "Conflict", message, Some(details))
    }

    /// 410: the version asked for is no longer kept.
    pub(super) fn expired(message: impl Into<String>) -> Refusal {
        Refusal::new(410, "Expired", message, None)
    }

    /// 410 of a list's later page, with a token to go on at the newest version.
    pub(super) fn expired_page(resume: &str) -> Refusal {
        let mut refusal = Refusal::expired(
            "The provided continue parameter is too old to display a consistent list result. You can start a \
             new list without the continue parameter, or use the continue token in this response to retrieve \
             the remainder of the results. Continuing with the provided token results in an inconsistent list \
             - objects that were created, modified, or deleted between the time the first chunk was returned \
             and now may show up in the list.",
        );
        if let Body::Status(status) = &mut refusal.body {
            status["metadata"] = json!({"continue": resume});
        }
        refusal
    }

    /// 413.
    pub(super) fn too_large(limit_bytes: usize) -> Refusal {
        let message = format!("Request entity too large: limit is {limit_bytes}");
        Refusal::new(413, "RequestEntityTooLarge", message, None)
    }

    /// 415; `accepted` are the types that would do.
    pub(super) fn unsupported_media_type(accepted: &str) -> Refusal {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {accepted}"
        );
        Refusal::new(415, "UnsupportedMediaType", message, None)
    }

    /// 415 of a patch of a built-in.
    pub(super) fn unsupported_patch_type() -> Refusal {
        Refusal::new(415, "UnsupportedMediaType", "415: Unsupported Media Type", Some(Map::new()))
    }

    /// 422: `subject` is `Kind.group` or `plural.group`.
    pub(super) fn invalid(about: About<'_>, causes: &[Cause]) -> Refusal {
        // What is found twice is said once.
        let mut shown: Vec<String> = Vec::new();
        for cause in causes.iter().map(Cause::shown) {
            if !shown.contains(&cause) {
                shown.push(cause);
            }
        }
        let shown =
            if let [one] = shown.as_slice() { one.clone() } else { format!("[{}]", shown.join(", ")) };
        let message = format!("{} \"{}\" is invalid: {shown}", about.qualified(), about.name);
        let mut details = about.details();
        details.insert("causes".into(), causes.iter().map(Cause::json).collect());
        Refusal::new(422, "Invalid", message, Some(details))
    }

    /// 422 of options in the query: `options` is `ListOptions` and the like.
    pub(super) fn invalid_options(options: &str, cause: Cause) -> Refusal {
        Refusal::invalid(About { name: "", group: "meta.k8s.io", kind: options }, &[cause])
    }

    /// 422 of a JSON patch that cannot be done.
    pub(super) fn rejected_patch() -> Refusal {
        let message = "the server rejected our request due to an error in our request";
        Refusal::new(422, "Invalid", message, Some(Map::new()))
    }

    /// 429 with the seconds to wait.
    pub(super) fn too_many_requests(retry_after_seconds: u64) -> Refusal {
        let message = "the server has received too many requests and has asked us to try again later";
        let details = Map::from_iter([("retryAfterSeconds".to_owned(), json!(retry_after_seconds))]);
        let refusal = Refusal::new(429, "TooManyRequests", message, Some(details));
        Refusal { retry_after_seconds: Some(retry_after_seconds), ..refusal }
    }

    /// 500; `reason` is empty where a real server gives none.
    pub(super) fn internal(message: impl Into<String>, reason: &str) -> Refusal {
        let mut refusal = Refusal::new(500, reason, message, None);
        if let (true, Body::Status(Value::Object(status))) = (reason.is_empty(), &mut refusal.body) {
            status.remove("reason");
        }
        refusal
    }

    /// 503 of a server that is starting, stopping or cut off from its store.
    pub(super) fn unavailable() -> Refusal {
        let message = "the server is currently unable to handle the request";
        Refusal::new(503, "ServiceUnavailable", message, Some(Map::new()))
    }

    /// 504 of a version that no write has reached.
    pub(super) fn version_too_large(asked: u64, current: u64) -> Refusal {
        let message = format!("Timeout: Too large resource version: {asked}, current: {current}");
        let cause = json!({"reason": "ResourceVersionTooLarge", "message": "Too large resource version"});
        let details = Map::from_iter([
            ("causes".to_owned(), json!([cause])),
            ("retryAfterSeconds".to_owned(), json!(1)),
        ]);
        let refusal = Refusal::new(504, "Timeout", message, Some(details));
        Refusal { retry_after_seconds: Some(1), ..refusal }
    }

    /// The refusal, with the warnings that its request earned.
    pub(super) fn warned(self, warnings: &[String]) -> Refusal {
        Refusal { warnings: warnings.to_vec(), ..self }
    }

    /// The refusal as a `Status` object, as a watch carries it in an `ERROR` event.
    pub(super) fn status(&self) -> Value {
        match &self.body {
            Body::Status(status) => status.clone(),
            Body::Text(text) => json!({"kind": "Status", "apiVersion": "v1", "message": text}),
        }
    }
}

/// One conflict in a line, several grouped under the manager that owns the fields.
fn listed(conflicts: &[(String, String)]) -> String {
    if let [(manager, field)] = conflicts {
        return format!("conflict with {manager}: {field}");
    }
    let mut managers: Vec<&String> = conflicts.iter().map(|(manager, _)| manager).collect();
    managers.dedup();
    let mut lines = Vec::new();
    for manager in managers {
        lines.push(format!("conflicts with {manager}:"));
        let fields = conflicts.iter().filter(|(owner, _)| owner == manager);
        lines.extend(fields.map(|(_, field)| format!("- {field}")));
    }
    lines.join("\n")
}
