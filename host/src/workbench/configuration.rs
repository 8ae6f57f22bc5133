//! Configuration: what a filter is configured with at its author's desk, and where that was written.
//!
//! In: a YAML or JSON file, or nothing. Out: the value, and what a filter refuses of it by the file's line. Never: a second
//! document of a file, silently.

use std::path::Path as FilePath;
use std::sync::Arc;

use serde_json::json;

use super::Error;
use crate::document::{self, Document, Path, Problem};
use crate::filter;

/// What a filter is configured with.
#[derive(Debug, Clone, PartialEq)]
pub struct Configuration {
    value: serde_json::Value,
    written: Written,
}

#[derive(Debug, Clone, PartialEq)]
enum Written {
    /// Here.
    In(Box<Document>),
    /// Nowhere; how it could be.
    Nowhere(String),
}

impl Configuration {
    /// An empty one. `cure` says how to give another.
    pub fn none(cure: impl Into<String>) -> Configuration {
        Configuration { value: json!({}), written: Written::Nowhere(cure.into()) }
    }

    /// What stands in a file.
    ///
    /// # Errors
    /// It cannot be read, is not YAML, or is more than one document.
    pub fn read(path: &FilePath) -> Result<Configuration, Error> {
        let file: Arc<FilePath> = Arc::from(path);
        let text = std::fs::read_to_string(path)
            .map_err(|error| Error::File { path: path.to_owned(), cause: error.to_string() })?;
        let refuse = |problem: Problem| Error::Document(Box::new(problem.in_file(&file)));
        let mut documents = document::parse(&text).map_err(refuse)?;
        if documents.len() > 1 {
            let message = format!("{} documents stand in one file", documents.len());
            return Err(refuse(Problem::error(Path::root(), message, "leave one")));
        }
        let Some(root) = documents.pop() else {
            return Ok(Configuration::none(format!("{} is empty", path.display())));
        };
        let value = root.clone().into_json();
        let document = Document { file: Some(file), index: 0, base: Path::root(), root };
        Ok(Configuration { value, written: Written::In(Box::new(document)) })
    }

    /// The value.
    pub fn value(&self) -> &serde_json::Value {
        &self.value
    }

    /// What went wrong with a filter; a place in its configuration as one in the file.
    pub(super) fn explain(&self, error: filter::Error) -> Error {
        let filter::Error::Config { filter, path, message, .. } = &error else {
            return Error::Filter(error);
        };
        let message = format!("filter {filter}: {message}");
        let problem = match &self.written {
            Written::In(document) => document.problem(Problem::error(Path::root().below(path), message, "")),
            Written::Nowhere(cure) => Problem::error(Path::root().key("config").below(path), message, cure),
        };
        Error::Configuration { problem: Box::new(problem), cause: error }
    }
}

/// One that nobody wrote.
impl From<serde_json::Value> for Configuration {
    fn from(value: serde_json::Value) -> Configuration {
        Configuration { value, written: Written::Nowhere(String::new()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: Option<&str>, path: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("c.yaml");
        let configuration = match text {
            Some(text) => {
                std::fs::write(&file, text).unwrap();
                match Configuration::read(&file) {
                    Ok(configuration) => configuration,
                    Err(error) => return error.to_string().replace(&*folder.path().to_string_lossy(), "…"),
                }
            }
            None => Configuration::none("name one with --config"),
        };
        let (filter, at, message) = ("mine".into(), "config".into(), "no".into());
        let refused = filter::Error::Config { filter, at, path: path.into(), message };
        configuration.explain(refused).to_string().replace(&*folder.path().to_string_lossy(), "…")
    }

    #[test]
    fn what_a_filter_refuses_is_found_in_the_file_by_its_line() {
        let text = "# rules\nrules:\n- label: a\n- label: b\n  k: -1\n";
        assert_eq!(told(Some(text), "rules[1].k"), "…/c.yaml:5: rules[1].k: filter mine: no");
        assert_eq!(told(Some(text), ""), "…/c.yaml:2: filter mine: no");
        assert_eq!(told(None, "rules"), "config.rules: filter mine: no; name one with --config");
        assert_eq!(told(Some(""), "rules"), "config.rules: filter mine: no; …/c.yaml is empty");
    }

    #[test]
    fn what_is_no_yaml_is_told_by_its_line() {
        let no_yaml = told(Some("a: 1\nb: [\n"), "");
        assert!(no_yaml.starts_with("…/c.yaml:") && no_yaml.contains("not valid YAML"), "{no_yaml}");
        assert_eq!(told(Some("a: 1\n---\na: 2\n"), ""), "…/c.yaml: 2 documents stand in one file; leave one");
    }
}
