//! Read: get and list.
//!
//! In: the kind, where to look, the options. Out: an object or a list, at the version asked for. Never: waiting for a
//! version that is not there yet; that is a 504.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::errors::{About, Refusal};
use super::kinds::Kind;
use super::options::{self, Options};
use super::selectors::Selector;
use super::state::State;
use super::store::Key;
use super::view::View;

/// What is read.
#[derive(Debug, Clone)]
pub(super) struct Read {
    /// The kind.
    pub(super) kind: Arc<Kind>,
    /// The namespace, or all.
    pub(super) namespace: Option<String>,
    /// The form of the answer.
    pub(super) view: View,
    /// The query's options.
    pub(super) options: Options,
}

/// Where a list goes on.
struct Resume {
    /// The version of the first page; none at the newest.
    revision: Option<u64>,
    /// The last key of the page before.
    after: String,
}

impl State {
    /// One object.
    pub(super) fn get(&self, read: &Read, name: &str) -> Result<Value, Refusal> {
        let namespace = read.namespace.clone().unwrap_or_default();
        let key = Key { storage: read.kind.storage(), namespace, name: name.into() };
        let about = About { name, group: &read.kind.group, kind: &read.kind.plural };
        let object = self.store.get(&key).ok_or_else(|| Refusal::not_found(about))?;
        Ok(read.view.of(&read.kind, object))
    }

    /// A list, or a page of it.
    pub(super) fn list(&self, read: &Read) -> Result<Value, Refusal> {
        let Read { kind, namespace, view, options } = read;
        let selector = read.selector()?;
        let resume = options.resume.as_deref().map(Resume::read).transpose()?;
        let revision = self.revision_of(options, resume.as_ref())?;

        let storage = kind.storage();
        let held = match revision {
            Some(revision) => self.store.list_at(&storage, namespace.as_deref(), revision).map_err(|_| {
                let message = "The resourceVersion for the provided list is too old.";
                resume.as_ref().map_or_else(|| Refusal::expired(message), Resume::expired)
            })?,
            None => self.store.list(&storage, namespace.as_deref()),
        };
        let revision = revision.unwrap_or(self.store.revision());
        let after = resume.map(|resume| resume.after);
        let place = |key: &Key| match namespace {
            Some(_) => key.name.clone(),
            None if key.namespace.is_empty() => key.name.clone(),
            None => format!("{}/{}", key.namespace, key.name),
        };
        let mut found: Vec<(String, Arc<Value>)> = held
            .into_iter()
            .map(|(key, object)| (place(&key), object))
            .filter(|(place, object)| {
                after.as_ref().is_none_or(|after| place > after) && selector.matches(&kind.seen(object))
            })
            .collect();
        let from_cache = options.resource_version.as_deref() == Some("0");
        let limit = if options.limit == 0 || from_cache { usize::MAX } else { options.limit };
        let rest = found.split_off(found.len().min(limit));

        let mut metadata = json!({"resourceVersion": revision.to_string()});
        if kind.is_custom() && *view == View::Whole {
            metadata["continue"] = "".into();
        }
        if let (false, Some((last, _))) = (rest.is_empty(), found.last()) {
            metadata["continue"] = Resume { revision: Some(revision), after: last.clone() }.write().into();
            if selector.is_empty() {
                metadata["remainingItemCount"] = rest.len().into();
            }
        }
        let items: Vec<Value> = found.iter().map(|(_, object)| view.item(kind, object)).collect();
        let (list_kind, api_version) = view.list_of(kind);
        Ok(json!({"kind": list_kind, "apiVersion": api_version, "metadata": metadata, "items": items}))
    }

    /// The earlier version a list is of; none is the newest.
    fn revision_of(&self, options: &Options, resume: Option<&Resume>) -> Result<Option<u64>, Refusal> {
        let asked = options.resource_version.as_deref();
        if let Some(resume) = resume {
            return match asked {
                None | Some("0") => Ok(resume.revision),
                Some(_) => Err(Refusal::bad_request(
                    "specifying resource version is not allowed when using continue",
                )),
            };
        }
        let Some(asked) = asked else { return Ok(None) };
        let asked = options::version(asked)
            .map_err(|error| Refusal::bad_request(format!("invalid resource version: {error}")))?;
        let current = self.store.revision();
        if asked > current {
            return Err(Refusal::version_too_large(asked, current));
        }
        let exact = match options.resource_version_match.as_deref() {
            Some(stated) => stated == "Exact",
            None => options.limit > 0 && asked > 0,
        };
        Ok(exact.then_some(asked))
    }
}

impl Read {
    /// The selector of the request.
    pub(super) fn selector(&self) -> Result<Selector, Refusal> {
        let Options { label_selector, field_selector, .. } = &self.options;
        Selector::read(label_selector.as_deref(), field_selector.as_deref(), &self.kind.selectable)
    }
}

impl Kind {
    /// An object as its selectors see it.
    pub(super) fn seen<'a>(&self, object: &'a Value) -> std::borrow::Cow<'a, Value> {
        if self.is_core_event {
            std::borrow::Cow::Owned(super::rules::to_core_event(object))
        } else {
            std::borrow::Cow::Borrowed(object)
        }
    }
}

/// A token is the JSON that a real server writes: the version, and the key to go on after.
impl Resume {
    fn read(token: &str) -> Result<Resume, Refusal> {
        let wrong = |detail: String| {
            Refusal::bad_request(format!("invalid continue token: continue key is not valid: {detail}"))
        };
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|error| {
            let at = match error {
                base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol(at, _) => at,
                _ => token.len().saturating_sub(1),
            };
            wrong(format!("illegal base64 data at input byte {at}"))
        })?;
        let token: Value = serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
        let start = token["start"].as_str().ok_or_else(|| wrong("no start".into()))?;
        Ok(Resume {
            revision: token["rv"].as_u64(),
            after: start.trim_start_matches('/').trim_end_matches('\0').to_owned(),
        })
    }

    fn write(&self) -> String {
        let (revision, slash) = match self.revision {
            Some(revision) => (json!(revision), "/"),
            None => (json!(-1), ""),
        };
        let token =
            json!({"v": "meta.k8s.io/v1", "rv": revision, "start": format!("{slash}{}\0", self.after)});
        URL_SAFE_NO_PAD.encode(token.to_string())
    }

    fn expired(&self) -> Refusal {
        Refusal::expired_page(&Resume { revision: None, after: self.after.clone() }.write())
    }
}
