//! Allowance: what one guest may take, and who pays for it.
//!
//! In: what it asks for. Out: whether it has it. Never: memory that a guest has and nobody has paid for; anything still paid for
//! when the guest is gone.

use wasmtime::ResourceLimiter;

use super::runtime::TABLE_ENTRIES_MAX;
use crate::model::memory::{Full, Held};

/// What a guest that is gone when its call is answered has for nothing, in bytes: all of one that is written in Rust. How many
/// of those there are at once the pool bounds.
const PASSING_BYTES_FREE: usize = 2 << 20;

/// How long a guest lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stay {
    /// While a call is answered.
    Passing,
    /// From call to call.
    Kept,
}

/// What a guest has and may have. It never shrinks.
#[derive(Debug)]
pub(super) struct Allowance {
    /// Bytes of all its memories together.
    memory: Share,
    /// Entries of all its tables together.
    tables: Share,
    /// Bytes that nobody pays for.
    free: usize,
    pays: Held,
    full: Option<Full>,
}

/// Why a guest did not get what it asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Denied {
    /// It may have so many bytes.
    Memory(usize),
    /// It may have so many entries.
    Tables(usize),
    /// Who pays for it has no more.
    Full(Full),
}

#[derive(Debug)]
struct Share {
    max: usize,
    taken: usize,
    exceeded: bool,
}

impl Allowance {
    /// At most so much memory, for which `pays`.
    pub(super) fn new(memory_bytes_max: usize, stay: Stay, pays: Held) -> Allowance {
        let free = if stay == Stay::Passing { PASSING_BYTES_FREE } else { 0 };
        let (memory, tables) = (Share::of(memory_bytes_max), Share::of(TABLE_ENTRIES_MAX));
        Allowance { memory, tables, free, pays, full: None }
    }

    /// What was denied before is forgotten.
    pub(super) fn begin(&mut self) {
        (self.memory.exceeded, self.tables.exceeded, self.full) = (false, false, None);
    }

    /// What was denied since then.
    pub(super) fn denied(&self) -> Option<Denied> {
        let memory = self.memory.exceeded.then_some(Denied::Memory(self.memory.max));
        let tables = self.tables.exceeded.then_some(Denied::Tables(self.tables.max));
        memory.or(tables).or(self.full.map(Denied::Full))
    }

    /// Bytes of all its memories.
    pub(super) fn memory_bytes(&self) -> usize {
        self.memory.taken
    }

    fn grow_memory(&mut self, by: usize) -> bool {
        if !self.memory.fits(by) {
            return false;
        }
        let due = (self.memory.taken + by).saturating_sub(self.free);
        let paid = self.pays.take(due.saturating_sub(self.pays.bytes()));
        self.full = paid.err().or(self.full);
        self.memory.taken += if paid.is_ok() { by } else { 0 };
        paid.is_ok()
    }

    fn grow_tables(&mut self, by: usize) -> bool {
        let fits = self.tables.fits(by);
        self.tables.taken += if fits { by } else { 0 };
        fits
    }
}

impl Share {
    fn of(max: usize) -> Share {
        Share { max, taken: 0, exceeded: false }
    }

    fn fits(&mut self, by: usize) -> bool {
        let fits = self.taken.saturating_add(by) <= self.max;
        self.exceeded |= !fits;
        fits
    }
}

/// The pool bounds each memory and each table, and how many there are; here it is what they come to.
impl ResourceLimiter for Allowance {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow_memory(desired.saturating_sub(current)))
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow_tables(desired.saturating_sub(current)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::memory::Memory;

    #[test]
    fn what_a_guest_may_take_is_for_all_that_it_has() {
        let mut guest = Allowance::new(20, Stay::Kept, Held::default());
        assert!(guest.grow_memory(15), "one of its memories may have most of it");
        assert!(!guest.grow_memory(6), "and another one has what is left");
        assert_eq!(guest.denied(), Some(Denied::Memory(20)));
        guest.begin();
        assert!(guest.grow_memory(2) && guest.grow_memory(3) && guest.denied().is_none());
        assert!(!guest.grow_memory(1));
        assert!(guest.grow_tables(TABLE_ENTRIES_MAX) && !guest.grow_tables(1));
    }

    #[test]
    fn memory_is_paid_for_before_it_is_there_and_given_back_with_the_guest() {
        let memory = Memory::new(usize::MAX);
        let payer = memory.payer("shop", 100);
        let taken = || payer.hold().of_namespace();
        let mut guest = Allowance::new(1_000, Stay::Kept, payer.hold_own());
        assert!(guest.grow_memory(60));
        let mut other = Allowance::new(1_000, Stay::Kept, payer.hold_own());
        assert!(!other.grow_memory(41));
        assert_eq!(other.denied(), Some(Denied::Full(Full::Namespace { max: 100 })));
        assert_eq!((taken(), other.memory_bytes()), (60, 0));
        other.begin();
        assert!(other.grow_memory(40) && other.denied().is_none());
        assert_eq!(taken(), 100);
        drop(guest);
        assert_eq!(taken(), 40);
    }

    #[test]
    fn a_guest_that_passes_has_a_little_for_nothing() {
        let payer = Memory::new(usize::MAX).payer("shop", 100);
        let mut guest = Allowance::new(usize::MAX, Stay::Passing, payer.hold_own());
        assert!(guest.grow_memory(PASSING_BYTES_FREE) && guest.grow_memory(100));
        assert!(!guest.grow_memory(1));
    }
}
