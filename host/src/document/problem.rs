//! Problems: what is wrong with something a person wrote, where, and what to write instead.

use std::fmt;
use std::path::Path as FilePath;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use super::Path;

/// Whether a problem stops what it was found in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// What the document says is refused, in whole or in the named part.
    Error,
    /// It is taken as written, but is probably not what was meant.
    Warning,
}

/// Where a problem comes from, and so who can mend it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Blame {
    /// What the document says cannot be taken as it is written.
    #[default]
    Document,
    /// The operator does not allow it.
    Operator,
    /// Another document, which is older, has what this one asks for.
    Rival,
    /// Something that the document names is not there, or may not be read.
    Absence,
}

/// One thing wrong with a document.
///
/// Prints in one line: `tenants/web.yaml:12: spec.remoteWrite.interval: "30 s" is not a duration; write "30s"`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Whether it stops anything.
    pub severity: Severity,
    /// Where it comes from.
    #[serde(skip)]
    pub blame: Blame,
    /// The file, if the document came from one.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "file_as_text")]
    pub file: Option<Arc<FilePath>>,
    /// Which document of the file, from 0.
    pub document: usize,
    /// The line in the file, from 1, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// The place in the document; empty for the document as a whole.
    #[serde(serialize_with = "as_text")]
    pub path: Path,
    /// What is wrong, as the end of a sentence that begins with the place.
    pub message: String,
    /// What to write instead; may be empty where nothing can be said.
    pub cure: String,
}

fn as_text<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(path)
}

fn file_as_text<S: Serializer>(file: &Option<Arc<FilePath>>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&file.as_deref().unwrap_or(FilePath::new("")).display())
}

impl Problem {
    /// An error at `path` of some document; the reader adds file and line.
    pub fn error(path: Path, message: impl Into<String>, cure: impl Into<String>) -> Problem {
        let (message, cure) = (message.into(), cure.into());
        Problem {
            severity: Severity::Error,
            blame: Blame::Document,
            file: None,
            document: 0,
            line: None,
            path,
            message,
            cure,
        }
    }

    /// A warning at `path` of some document.
    pub fn warning(path: Path, message: impl Into<String>, cure: impl Into<String>) -> Problem {
        Problem { severity: Severity::Warning, ..Problem::error(path, message, cure) }
    }

    /// The same problem, with another origin.
    pub fn blamed_on(self, blame: Blame) -> Problem {
        Problem { blame, ..self }
    }

    /// The same problem, known to be in `file`.
    pub fn in_file(mut self, file: &Arc<FilePath>) -> Problem {
        self.file = Some(Arc::clone(file));
        self
    }

    /// Whether it stops what it was found in.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}:", file.display())?;
            if let Some(line) = self.line {
                write!(f, "{line}:")?;
            }
            f.write_str(" ")?;
        }
        if self.severity == Severity::Warning {
            f.write_str("warning: ")?;
        }
        if !self.path.segments().is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        if !self.cure.is_empty() {
            write!(f, "; {}", self.cure)?;
        }
        Ok(())
    }
}
