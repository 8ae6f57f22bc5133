//! Forms: the raw byte forms in which series arrive, and which form followed which.
//!
//! Raw bytes are only a key. They lie in one arena in the order of their arrival, so that comparing an answer with what
//! is expected reads memory from front to back.

use std::hash::BuildHasher;

use hashbrown::HashTable;

/// The form before the first one; it also stands for "no guess", as its bytes are empty.
pub(super) const HEAD: u32 = 0;

/// The arena's offsets are 32 bits wide.
const ARENA_BYTES_MAX: usize = u32::MAX as usize;

/// The arena grows by such a part of itself: it is the largest block there is, so the system moves it without a copy, and
/// twice its size would be what its namespace pays for once.
const ARENA_GROWTH: usize = 8;

/// What it grows by at least.
const PAGE_BYTES: usize = 4096;

/// An arena with less garbage than this is not worth copying.
const GARBAGE_BYTES_MIN: usize = 1 << 20;

/// One raw byte form.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Form {
    /// The hash of its bytes, so that a table that grows does not read them all again.
    hash: u64,
    start: u32,
    len: u32,
    /// The form that followed last time.
    pub(super) next: u32,
    /// Its series, or one of the marks for results that are none.
    pub(super) slot: u32,
    /// The part its series belongs to.
    pub(super) part: u32,
    /// The last answer that had it, as far as that was written down.
    pub(super) seen: u32,
}

impl Form {
    /// How many bytes it has.
    pub(super) fn len(&self) -> usize {
        self.len as usize
    }

    fn span(&self) -> std::ops::Range<usize> {
        self.start as usize..self.start as usize + self.len as usize
    }
}

/// Raw bytes → form.
#[derive(Debug)]
pub(super) struct Forms {
    hasher: foldhash::fast::RandomState,
    arena: Vec<u8>,
    garbage: usize,
    forms: Vec<Form>,
    free: Vec<u32>,
    by_raw: HashTable<u32>,
}

impl Default for Forms {
    fn default() -> Forms {
        Forms {
            hasher: foldhash::fast::RandomState::default(),
            arena: Vec::new(),
            garbage: 0,
            forms: vec![Form::default()],
            free: Vec::new(),
            by_raw: HashTable::new(),
        }
    }
}

impl Forms {
    #[inline]
    pub(super) fn get(&self, form: u32) -> &Form {
        &self.forms[form as usize]
    }

    #[inline]
    pub(super) fn get_mut(&mut self, form: u32) -> &mut Form {
        &mut self.forms[form as usize]
    }

    /// A form's bytes; empty for [`HEAD`] and for one that was removed.
    #[inline]
    pub(super) fn raw(&self, form: u32) -> &[u8] {
        &self.arena[self.get(form).span()]
    }

    pub(super) fn hash(&self, raw: &[u8]) -> u64 {
        self.hasher.hash_one(raw)
    }

    pub(super) fn find(&self, hash: u64, raw: &[u8]) -> Option<u32> {
        self.by_raw.find(hash, |form| self.raw(*form) == raw).copied()
    }

    /// Whether so many bytes more can be held.
    pub(super) fn has_room(&self, raw: &[u8]) -> bool {
        self.arena.len() + raw.len() <= ARENA_BYTES_MAX
    }

    /// Adds a form that is not there yet.
    pub(super) fn insert(&mut self, hash: u64, raw: &[u8], slot: u32, part: u32) -> u32 {
        let start = self.arena.len() as u32;
        if self.arena.capacity() - self.arena.len() < raw.len() {
            self.arena.reserve_exact(raw.len().max(self.arena.len() / ARENA_GROWTH).max(PAGE_BYTES));
        }
        self.arena.extend_from_slice(raw);
        let form = Form { hash, start, len: raw.len() as u32, next: HEAD, slot, part, seen: 0 };
        let id = match self.free.pop() {
            Some(id) => {
                self.forms[id as usize] = form;
                id
            }
            None => {
                self.forms.push(form);
                (self.forms.len() - 1) as u32
            }
        };
        let forms = &self.forms;
        self.by_raw.insert_unique(hash, id, |id| forms[*id as usize].hash);
        id
    }

    /// Removes every form that `is_gone`, telling each to `gone`.
    pub(super) fn remove_if(&mut self, is_gone: impl Fn(u32, &Form) -> bool, mut gone: impl FnMut(&Form)) {
        for id in 1..self.forms.len() as u32 {
            let form = *self.get(id);
            if form.len == 0 || !is_gone(id, &form) {
                continue;
            }
            if let Ok(entry) = self.by_raw.find_entry(form.hash, |other| *other == id) {
                entry.remove();
            }
            self.garbage += form.len as usize;
            // Whatever still names it as its successor then has no guess.
            *self.get_mut(id) = Form::default();
            self.free.push(id);
            gone(&form);
        }
    }

    /// Whether the arena is worth copying: half of it is garbage.
    pub(super) fn is_wasteful(&self) -> bool {
        self.garbage > GARBAGE_BYTES_MIN && self.garbage > self.arena.len() / 2
    }

    /// How many of `sequence` do not lie right behind the one before.
    pub(super) fn jumps(&self, sequence: &[u32]) -> usize {
        sequence.windows(2).filter(|w| self.get(w[0]).span().end != self.get(w[1]).start as usize).count()
    }

    /// Copies the arena without garbage, `sequence` first and in its order.
    pub(super) fn compact(&mut self, sequence: &[u32]) {
        let mut arena = Vec::with_capacity(self.arena.len() - self.garbage);
        let mut moved = vec![false; self.forms.len()];
        for id in sequence.iter().copied().chain(1..self.forms.len() as u32) {
            if !std::mem::replace(&mut moved[id as usize], true) {
                let start = arena.len() as u32;
                arena.extend_from_slice(self.raw(id));
                self.get_mut(id).start = start;
            }
        }
        self.arena = arena;
        self.garbage = 0;
    }

    /// Bytes of raw forms held.
    pub(super) fn bytes(&self) -> usize {
        self.arena.len()
    }
}
