//! Options: what a request's query asks for.
//!
//! In: the query. Out: typed options. Never: an option with a value it cannot have; that is a 400 or a 422.

use serde_json::json;

use super::errors::{Cause, Refusal};

/// A manager's name is at most this long.
const MANAGER_BYTES_MAX: usize = 128;

/// The options of reads and writes.
#[derive(Debug, Clone, Default)]
pub(super) struct Options {
    /// Whether a GET of a collection is a watch.
    pub(super) watch: bool,
    /// `labelSelector`.
    pub(super) label_selector: Option<String>,
    /// `fieldSelector`.
    pub(super) field_selector: Option<String>,
    /// `limit`; zero is none.
    pub(super) limit: usize,
    /// `continue`.
    pub(super) resume: Option<String>,
    /// `resourceVersion`, as sent; empty is none.
    pub(super) resource_version: Option<String>,
    /// `resourceVersionMatch`.
    pub(super) resource_version_match: Option<String>,
    /// `timeoutSeconds`.
    pub(super) timeout_seconds: Option<u64>,
    /// `allowWatchBookmarks`.
    pub(super) bookmarks: bool,
    /// `sendInitialEvents`.
    pub(super) send_initial_events: Option<bool>,
    /// Whether nothing is to be stored.
    pub(super) dry_run: bool,
    /// `force`.
    pub(super) force: bool,
    /// `fieldManager`.
    pub(super) field_manager: Option<String>,
    /// `fieldValidation`.
    pub(super) field_validation: FieldValidation,
    /// `gracePeriodSeconds`.
    pub(super) grace_period_seconds: Option<u64>,
}

/// What is done about fields the schema does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum FieldValidation {
    /// They are taken out, with a warning each.
    #[default]
    Warn,
    /// They are taken out.
    Ignore,
    /// The request is refused.
    Strict,
}

impl Options {
    /// Reads a query; `method` names the options in an error.
    pub(super) fn read(query: &str, method: &http::Method) -> Result<Options, Refusal> {
        let name = match method.as_str() {
            "POST" => "CreateOptions",
            "PUT" => "UpdateOptions",
            "PATCH" => "PatchOptions",
            "DELETE" => "DeleteOptions",
            _ => "ListOptions",
        };
        let mut options = Options::default();
        for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
            options.set(name, &key, value.into_owned())?;
        }
        if method == http::Method::GET {
            options.versions_fit()?;
        }
        Ok(options)
    }

    fn set(&mut self, name: &str, key: &str, value: String) -> Result<(), Refusal> {
        let some = |value: String| (!value.is_empty()).then_some(value);
        match key {
            "watch" => self.watch = is_true(&value),
            "labelSelector" => self.label_selector = some(value),
            "fieldSelector" => self.field_selector = some(value),
            "limit" => self.limit = number(&value)? as usize,
            "continue" => self.resume = some(value),
            "resourceVersion" => self.resource_version = some(value),
            "resourceVersionMatch" => self.resource_version_match = some(value),
            "timeoutSeconds" => self.timeout_seconds = Some(number(&value)?),
            "allowWatchBookmarks" => self.bookmarks = is_true(&value),
            "sendInitialEvents" => self.send_initial_events = Some(is_true(&value)),
            "force" => self.force = is_true(&value),
            "gracePeriodSeconds" => self.grace_period_seconds = Some(number(&value)?),
            "dryRun" if value == "All" => self.dry_run = true,
            "dryRun" => {
                return Err(Refusal::invalid_options(
                    name,
                    Cause::unsupported("dryRun", &json!([value]), "\"All\""),
                ));
            }
            "fieldManager" if value.len() > MANAGER_BYTES_MAX => {
                let cause = Cause::too_long("fieldManager", MANAGER_BYTES_MAX as u64);
                return Err(Refusal::invalid_options(name, cause));
            }
            "fieldManager" => self.field_manager = some(value),
            "fieldValidation" => {
                self.field_validation = match value.as_str() {
                    "" | "Warn" => FieldValidation::Warn,
                    "Ignore" => FieldValidation::Ignore,
                    "Strict" => FieldValidation::Strict,
                    other => {
                        let quoted = "\"\", \"Ignore\", \"Strict\", \"Warn\"";
                        let cause = Cause::unsupported("fieldValidation", &json!(other), quoted);
                        return Err(Refusal::invalid_options(name, cause));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether the options about versions go together.
    fn versions_fit(&self) -> Result<(), Refusal> {
        let field = "resourceVersionMatch";
        let refuse = |cause| Err(Refusal::invalid_options("ListOptions", cause));
        let not_older_than = self.resource_version_match.as_deref() == Some("NotOlderThan");
        if self.watch && self.send_initial_events.is_some() {
            let detail = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
            return if not_older_than { Ok(()) } else { refuse(Cause::forbidden(field, detail)) };
        }
        let Some(version_match) = &self.resource_version_match else { return Ok(()) };
        if self.resource_version.is_none() {
            let detail = "resourceVersionMatch is forbidden unless resourceVersion is provided";
            return refuse(Cause::forbidden(field, detail));
        }
        match (version_match.as_str(), self.resource_version.as_deref()) {
            ("Exact", Some("0")) => {
                let detail = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
                refuse(Cause::forbidden(field, detail))
            }
            ("Exact" | "NotOlderThan", _) => Ok(()),
            (other, _) => {
                let quoted = "\"Exact\", \"NotOlderThan\", \"\"";
                refuse(Cause::unsupported(field, &json!(other), quoted))
            }
        }
    }
}

fn is_true(value: &str) -> bool {
    !["false", "0"].contains(&value)
}

fn number(value: &str) -> Result<u64, Refusal> {
    value
        .parse()
        .map_err(|_| Refusal::bad_request(format!("strconv.ParseInt: parsing \"{value}\": invalid syntax")))
}

/// A version as a number.
pub(super) fn version(text: &str) -> Result<u64, String> {
    let wrong = || {
        format!(
            "resourceVersion: Invalid value: \"{text}\": strconv.ParseUint: parsing \"{text}\": invalid syntax"
        )
    };
    text.parse().map_err(|_| wrong())
}
