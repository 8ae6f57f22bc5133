//! Swept: which outputs were freed, for who remembers their numbers.

use super::OutputId;

/// What [`Outputs::sweep`] or [`Outputs::evict`] freed.
pub(crate) struct Swept {
    pub(super) freed: Vec<bool>,
    /// How many identities went.
    pub(crate) count: usize,
    /// Whether one of them had been asked for by a second series, which may have it now.
    pub(crate) contested: bool,
}

impl Swept {
    /// What was freed.
    pub(crate) fn ids(&self) -> impl Iterator<Item = OutputId> {
        let freed = self.freed.iter().enumerate().filter(|(_, freed)| **freed);
        freed.map(|(id, _)| OutputId(id as u32))
    }

    /// Whether `id` was freed.
    pub(crate) fn has(&self, id: OutputId) -> bool {
        self.freed[id.0 as usize]
    }
}
