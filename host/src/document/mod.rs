//! Document: YAML that people write, read so that every mistake is found and explained.
//!
//! In: the text of a file. Out: typed values, and [`Problem`]s that say where, what, and what to write instead.
//! Never: IO, knowledge of what a document means, or stopping at the first mistake.
//!
//! A document is read in two steps: first into a tree of [`Node`]s that remember their lines, then by serde into
//! the caller's type. A field that does not fit is reported and left out, and the rest is read again, so that one
//! reading finds all structural mistakes, and what is checked later can still name its line.

mod de;
mod duration;
mod node;
mod path;
mod problem;
mod read;
mod size;
mod suggest;

pub use duration::GoDuration;
pub use node::{Node, Value, parse};
pub use path::{Path, Segment};
pub use problem::{Blame, Problem, Severity};
pub use read::{Document, Reading};
pub use size::ByteSize;
pub use suggest::nearest;

/// The largest file that is read. A list of a thousand patterns is a tenth of this.
pub const FILE_BYTES_MAX: usize = 1 << 20;

/// A value as YAML, as people read it.
pub fn to_yaml(value: &impl serde::Serialize) -> Result<String, NotYaml> {
    Ok(serde_saphyr::to_string(value)?)
}

/// A value cannot be written as YAML.
#[derive(Debug, thiserror::Error)]
#[error("cannot be written as YAML: {0}")]
pub struct NotYaml(#[from] serde_saphyr::ser::Error);

#[cfg(test)]
mod tests;
