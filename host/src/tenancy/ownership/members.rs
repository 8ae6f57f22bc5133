//! Members: who is there, at one moment.

use std::collections::BTreeSet;

use super::rendezvous;

/// The replicas as one of them sees them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Members {
    /// The replica that looks: its pod's name.
    pub me: String,
    /// Who shares the work. Holds `me` only if the others can know of it.
    pub active: BTreeSet<String>,
    /// Who owns nothing any more, and still lets go of what it had.
    pub leaving: BTreeSet<String>,
    /// Who fell silent, and whose Lease is still there.
    pub dead: BTreeSet<String>,
}

/// What is known of a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It shares the work.
    Active,
    /// It is about to go.
    Leaving,
    /// It fell silent for a full lease duration.
    Dead,
    /// It has no Lease: either it is gone, or it came just now.
    Unknown,
}

impl Members {
    /// Who owns `key`; `None` while nobody is there.
    pub fn owner(&self, key: &str) -> Option<&str> {
        rendezvous::owner(self.active.iter().map(String::as_str), key)
    }

    /// Whether the replica that looks owns `key`.
    pub fn own(&self, key: &str) -> bool {
        self.owner(key) == Some(&self.me)
    }

    /// What is known of `member`.
    pub fn standing(&self, member: &str) -> Standing {
        if self.active.contains(member) {
            Standing::Active
        } else if self.leaving.contains(member) {
            Standing::Leaving
        } else if self.dead.contains(member) {
            Standing::Dead
        } else {
            Standing::Unknown
        }
    }
}
