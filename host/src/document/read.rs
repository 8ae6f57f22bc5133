//! Reading: from a document's tree to a typed value, with every structural mistake on the way.

use std::path::Path as FilePath;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::de::NodeDeserializer;
use super::{Node, Path, Problem};

/// Mistakes reported of one document; who makes more reads these first.
const PROBLEMS_MAX: usize = 50;

/// One document, and where it came from.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// The file, if it came from one.
    pub file: Option<Arc<FilePath>>,
    /// Which document of the file, from 0.
    pub index: usize,
    /// Where in that document the tree below starts: `items[3]` inside a list of resources.
    pub base: Path,
    /// The document.
    pub root: Node,
}

/// What a document says, as far as it could be read.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading<T> {
    /// The value; with problems it lacks what they are about. `None` when a required field is missing.
    pub value: Option<T>,
    /// Structural mistakes: unknown fields, wrong types, missing fields.
    pub problems: Vec<Problem>,
    /// The document without what did not fit: the tree that `value` was read from.
    document: Document,
    /// Places that did not fit.
    pruned: Vec<Path>,
}

impl Document {
    /// Reads the document as a `T`, collecting all structural mistakes.
    pub fn read<T: DeserializeOwned>(&self) -> Reading<T> {
        let mut reading =
            Reading { value: None, problems: Vec::new(), document: self.clone(), pruned: Vec::new() };
        while reading.problems.len() < PROBLEMS_MAX {
            let error = match T::deserialize(NodeDeserializer(&reading.document.root)) {
                Ok(value) => {
                    reading.value = Some(value);
                    break;
                }
                Err(error) => error,
            };
            // A field may be missing because we took it out, or because it is misspelt; that has been said already.
            let culprit = error.path();
            reading.pruned.extend(error.meant());
            let known = error.missing().is_some_and(|name| reading.pruned.contains(&culprit.key(name)));
            if !known {
                let problem = error.into_problem();
                let line = problem.line.or(self.root.line);
                reading.problems.push(self.place(Problem { line, ..problem }));
            }
            if !reading.document.root.prune(&culprit) {
                break;
            }
            reading.pruned.push(culprit);
        }
        reading
    }

    fn place(&self, problem: Problem) -> Problem {
        let path = self.base.join(&problem.path);
        Problem { file: self.file.clone(), document: self.index, path, ..problem }
    }

    /// A problem of this document as a whole.
    pub fn problem(&self, problem: Problem) -> Problem {
        let (_, line) = self.root.locate(&problem.path);
        self.place(Problem { line, ..problem })
    }
}

impl<T> Reading<T> {
    /// The value, apart from what is said about it.
    pub fn take(self) -> (Option<T>, Reading<()>) {
        let Reading { value, problems, document, pruned } = self;
        (value, Reading { value: None, problems, document, pruned })
    }

    /// Adds what was found wrong with the value after it was read, unless it only follows from a structural
    /// mistake. Paths are the value's own; file and line are filled in here.
    pub fn report(&mut self, found: impl IntoIterator<Item = Problem>) {
        for problem in found {
            let (path, line) = self.document.root.locate(&problem.path);
            if self.pruned.iter().any(|pruned| pruned.is_related(&path)) {
                continue;
            }
            self.problems.push(self.document.place(Problem { path, line, ..problem }));
        }
    }
}
