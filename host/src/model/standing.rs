//! Standing: whether a source is worth asking, as its health and the cluster tell.

use std::collections::HashMap;

use url::Url;

use super::{Source, SourceName};

/// Whether a source is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Standing {
    /// It answers, or nothing is known yet.
    Preferred,
    /// It does not answer its probes: replicas of it are asked in its place while one of them answers.
    LastResort,
    /// Nothing of it is left at its address, where another server may be by now: it is not asked.
    Gone,
}

/// The standing of every source that is known, at its present address.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Standings(HashMap<SourceName, (Url, Standing)>);

impl Standings {
    /// Notes a source's standing.
    pub fn insert(&mut self, source: &Source, standing: Standing) {
        self.0.insert(source.name.clone(), (source.url.clone(), standing));
    }

    /// The standing of `source`. One that is known by another address has moved: what is at this one is not it.
    pub fn of(&self, source: &Source) -> Standing {
        match self.0.get(&source.name) {
            Some((url, standing)) if *url == source.url => *standing,
            Some(_) => Standing::Gone,
            None => Standing::Preferred,
        }
    }
}
