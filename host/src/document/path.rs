//! Paths: where in a document something stands, as `spec.metrics[2]`.

use std::fmt;

/// One step into a document.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Segment {
    /// Into a mapping, by its key.
    Key(String),
    /// Into a list, by position from 0.
    Index(usize),
}

/// A place in a document; the empty path is the document itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Path(Vec<Segment>);

impl Path {
    /// The document itself.
    pub fn root() -> Path {
        Path::default()
    }

    /// The field `key` of this place.
    pub fn key(&self, key: impl Into<String>) -> Path {
        self.then(Segment::Key(key.into()))
    }

    /// A field some blocks below: `path.keys("target.type")`. For keys without dots, as our own fields are.
    pub fn keys(&self, dotted: &str) -> Path {
        dotted.split('.').fold(self.clone(), |path, key| path.key(key))
    }

    /// What a filter names `rules[0].select`, seen from here. Where a key has dots of its own it comes to a place that is not there.
    pub fn below(&self, text: &str) -> Path {
        let steps = text.split(['.', '[']).filter(|step| !step.is_empty());
        steps.fold(self.clone(), |path, step| match step.strip_suffix(']').map(str::parse) {
            Some(Ok(index)) => path.index(index),
            _ => path.key(step),
        })
    }

    /// The entry at `index` of this place.
    pub fn index(&self, index: usize) -> Path {
        self.then(Segment::Index(index))
    }

    /// This place, one step further.
    pub fn then(&self, segment: Segment) -> Path {
        let mut segments = Vec::with_capacity(self.0.len() + 1);
        segments.extend_from_slice(&self.0);
        segments.push(segment);
        Path(segments)
    }

    /// The place `below`, seen from here.
    pub fn join(&self, below: &Path) -> Path {
        Path(self.0.iter().chain(&below.0).cloned().collect())
    }

    /// The place this one is directly in; `None` at the root.
    pub fn parent(&self) -> Option<Path> {
        let (_, rest) = self.0.split_last()?;
        Some(Path(rest.to_vec()))
    }

    /// Whether one of the two places is in the other, or both are one.
    pub fn is_related(&self, other: &Path) -> bool {
        self.0.iter().zip(&other.0).all(|(a, b)| a == b)
    }

    /// The steps from the root.
    pub fn segments(&self) -> &[Segment] {
        &self.0
    }
}

impl From<Vec<Segment>> for Path {
    fn from(segments: Vec<Segment>) -> Path {
        Path(segments)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Index(index) => write!(f, "[{index}]")?,
                Segment::Key(key) if is_plain(key) && i == 0 => f.write_str(key)?,
                Segment::Key(key) if is_plain(key) => write!(f, ".{key}")?,
                Segment::Key(key) => write!(f, "[{key:?}]")?,
            }
        }
        Ok(())
    }
}

fn is_plain(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}
