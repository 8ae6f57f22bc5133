//! Reading a file of resources: several documents, and lists as `kubectl get -o yaml` prints them.

use std::path::Path as FilePath;
use std::sync::Arc;

use super::resource::{API_VERSION, KIND};
use crate::document::{self, Document, Node, Path, Problem, Value, nearest};

/// One document of a file.
#[derive(Debug, Clone, PartialEq)]
pub enum Resource {
    /// A `MetricAccess`; its fields are not read yet.
    MetricAccess(Arc<Document>),
    /// Anything else, and why it is refused or passed over.
    Foreign(Problem),
}

impl Resource {
    /// The namespace it says it is in; empty if it says none, which no rule is about.
    pub fn namespace(&self) -> &str {
        match self {
            Resource::MetricAccess(document) => document
                .root
                .get("metadata")
                .and_then(|metadata| metadata.text("namespace"))
                .unwrap_or_default(),
            Resource::Foreign(_) => "",
        }
    }
}

/// Splits a file into its resources. The error is about the file as a whole.
pub fn read(file: &Arc<FilePath>, text: &str) -> Result<Vec<Resource>, Problem> {
    let roots = document::parse(text).map_err(|problem| problem.in_file(file))?;
    let mut resources = Vec::new();
    for (index, root) in roots.into_iter().enumerate() {
        let document = Document { file: Some(Arc::clone(file)), index, base: Path::root(), root };
        spread(document, &mut resources);
    }
    Ok(resources)
}

/// A list is its entries, each a document of its own.
fn spread(document: Document, resources: &mut Vec<Resource>) {
    let is_list = matches!(document.root.text("kind"), Some("List" | "MetricAccessList"));
    let Some(Value::List(items)) = document.root.get("items").map(|n| &n.value).filter(|_| is_list) else {
        resources.push(sort(document));
        return;
    };
    for (index, item) in items {
        let base = Path::root().key("items").index(*index);
        resources.push(sort(Document { base, root: item.clone(), ..document.clone() }));
    }
}

/// Tells our resources from others by kind and version.
fn sort(document: Document) -> Resource {
    match foreign(&document.root) {
        None => Resource::MetricAccess(Arc::new(document)),
        Some(problem) => Resource::Foreign(document.problem(problem)),
    }
}

fn foreign(root: &Node) -> Option<Problem> {
    let place = |key| Path::root().key(key);
    if !matches!(root.value, Value::Map(_)) {
        let cure = format!("begin with apiVersion: {API_VERSION}");
        return Some(Problem::error(Path::root(), "the document is not a resource", cure));
    }
    match root.text("kind") {
        Some(KIND) => {}
        Some("Secret") => {
            let cure = "put each value into the file <secrets folder>/<namespace>/<name>/<key>";
            return Some(Problem::warning(place("kind"), "Secret is not read from here", cure));
        }
        Some(kind) => {
            let message = format!("{kind} is not {KIND}");
            let is_ours = root.text("apiVersion") == Some(API_VERSION);
            return Some(match nearest(kind, [KIND]) {
                Some(meant) => Problem::error(place("kind"), message, format!("write {meant}")),
                None if is_ours => Problem::error(place("kind"), message, format!("write {KIND}")),
                None => Problem::warning(place("kind"), format!("{message}, and passed over"), ""),
            });
        }
        None => return Some(Problem::error(place("kind"), "is missing", format!("write kind: {KIND}"))),
    }
    match root.text("apiVersion") {
        Some(API_VERSION) => None,
        Some(version) => {
            let message = format!("{version:?} is not known");
            Some(Problem::error(place("apiVersion"), message, format!("write {API_VERSION}")))
        }
        None => Some(Problem::error(
            place("apiVersion"),
            "is missing",
            format!("write apiVersion: {API_VERSION}"),
        )),
    }
}
