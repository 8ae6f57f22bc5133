//! Known: what was fetched before, without its bytes.
//!
//! In: what was fetched, from where, as whom. Out: what it was, while it cannot have become anything else. Never: an answer to
//! anybody but those who fetched it; bytes; more of them than the maximum.
//!
//! A thousand resources with the same filter are the same bytes: read, unpacked and hashed once.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Fetched;
use super::file::Identity;
use super::rights::Right;
use crate::model::Digest;

/// How many are remembered. With more of them all are forgotten, and fetched anew.
const KNOWN_MAX: usize = 10_000;

/// What is known of a module without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The component's digest.
    pub digest: Digest,
    /// As [`Fetched::resolved`].
    pub resolved: String,
}

/// What cannot become anything else, and who had it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Key {
    /// A file that was not written to.
    File(Identity),
    /// What has a digest: the artefact, or the component itself.
    Content(Digest, Right),
}

/// Everything that is known.
#[derive(Debug, Default)]
pub(super) struct Memory(Mutex<HashMap<Key, Known>>);

impl Memory {
    pub(super) fn get(&self, key: &Key) -> Option<Known> {
        self.lock().get(key).cloned()
    }

    pub(super) fn note(&self, key: Key, Fetched { digest, resolved, .. }: &Fetched) {
        let mut known = self.lock();
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(key, Known { digest: *digest, resolved: resolved.clone() });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
