//! Referrers: what in a repository refers to a manifest (OCI distribution specification 1.1, "Listing Referrers").

use std::collections::BTreeMap;

use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use http::header::{CONTENT_TYPE, LINK};
use serde_json::{Value, json};

use super::{INDEX, Store, unknown};

/// Referrers on one page, where there are pages.
const PAGE: usize = 2;

/// What a registry knows of referrers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Referrers {
    /// It lists them.
    #[default]
    Listed,
    /// It lists two an answer.
    Paged,
    /// It lists two an answer, of every type whatever was asked for, bundles last.
    Unfiltered,
    /// Nothing: whoever pushes one keeps a list under a tag, as `oras` and cosign do.
    Tagged,
}

impl Store {
    pub(super) fn get_referrers(
        &self,
        path: &str,
        repository: &str,
        subject: &str,
        query: &BTreeMap<String, String>,
    ) -> Response {
        let mut all = self.referring(repository, subject);
        if self.referrers == Referrers::Unfiltered {
            all.sort_by_key(|one| one["artifactType"].as_str().is_some_and(|kind| kind.contains("sigstore")));
        } else if let Some(kind) = query.get("artifactType") {
            all.retain(|one| one["artifactType"] == **kind);
        }
        let at: usize = query.get("at").and_then(|at| at.parse().ok()).unwrap_or(0);
        let (listed, next) = match self.referrers {
            Referrers::Tagged => return unknown("NAME"),
            Referrers::Listed => (all, None),
            Referrers::Paged | Referrers::Unfiltered => {
                let next = (at + PAGE < all.len()).then_some(at + PAGE);
                (all.into_iter().skip(at).take(PAGE).collect(), next)
            }
        };
        let kind =
            query.get("artifactType").map(|kind| format!("artifactType={}&", kind.replace('+', "%2B")));
        let link = next.map(|next| format!("<{path}?{}at={next}>; rel=\"next\"", kind.unwrap_or_default()));
        let head = [(CONTENT_TYPE, INDEX.to_owned())];
        let link: Vec<_> = link.map(|link| (LINK, link)).into_iter().collect();
        let mut answer = (StatusCode::OK, head, list(&listed).to_string()).into_response();
        for (name, value) in link {
            answer.headers_mut().insert(name, value.try_into().expect("a link is plain text"));
        }
        answer
    }

    /// Descriptors of what refers to `subject`.
    fn referring(&self, repository: &str, subject: &str) -> Vec<Value> {
        let all = self.manifests.iter().filter(|((there, _), _)| there == repository);
        all.filter_map(|((_, digest), (kind, bytes))| {
            let manifest: Value = serde_json::from_slice(bytes).ok()?;
            let about = manifest["subject"]["digest"] == *subject;
            about.then(|| descriptor(digest, kind, bytes.len(), &manifest))
        })
        .collect()
    }

    /// Adds a manifest to the list of what refers to its subject, where the registry keeps none.
    pub(super) fn tag_referrer(&self, repository: &str, manifest: &Value) -> Option<(String, Value)> {
        let subject = manifest["subject"]["digest"].as_str()?;
        let listed = self.referring(repository, subject);
        (self.referrers == Referrers::Tagged).then(|| (subject.replace(':', "-"), list(&listed)))
    }
}

fn list(manifests: &[Value]) -> Value {
    json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests })
}

fn descriptor(digest: &str, kind: &str, size: usize, manifest: &Value) -> Value {
    let mut one = json!({ "mediaType": kind, "digest": digest, "size": size });
    for name in ["artifactType", "annotations"] {
        if !manifest[name].is_null() {
            one[name] = manifest[name].clone();
        }
    }
    one
}
