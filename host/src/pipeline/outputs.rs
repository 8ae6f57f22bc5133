//! Outputs: the far half of the series table, one entry per identity (final label set) of one lane.
//!
//! In: admitted identities, and per tick the values taken for them. Out: per tick, every identity's encoded labels
//! with its value, in a stable order, and one stale marker for an identity that ended.
//! Never: two values for one identity at one tick; a stale marker concluded from an incomplete answer.

mod aside;
mod hot;
mod raw;
mod stored;
mod swept;
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::hash::BuildHasher;

use crate::collect::read::{Run, Sample};
use crate::deliver::v2::{Key, Name};
use crate::model::memory::{Full, Held};
use crate::model::{STALE_NAN_BITS, Tick, Timestamp};
use aside::{ASIDE_BYTES, Aside};
use hot::{At, Hot, NEVER};
pub use hot::{Conclude, Rank};
pub(crate) use stored::Floor;
use stored::Stored;
pub(crate) use swept::Swept;

/// The most bytes of encoded labels one lane holds.
const ARENA_BYTES_MAX: usize = u32::MAX as usize;

/// What an identity takes beside its labels: here, in the index, and as a verdict, each in a table that has just grown
/// to twice its size.
const IDENTITY_BYTES: usize = 128;

/// What an identity with labels of so many bytes takes at most: they are kept once, and once more in a request as long
/// as a receiver has not taken it.
const fn price(encoded_bytes: usize) -> usize {
    IDENTITY_BYTES + 2 * encoded_bytes
}

/// Which output an input series became.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct OutputId(pub(super) u32);

/// What tells one input series from another; zero stands for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fingerprint(u64);

impl Fingerprint {
    const NONE: Fingerprint = Fingerprint(0);

    /// From a hash of the input's labels.
    pub(crate) fn new(hash: u64) -> Fingerprint {
        Fingerprint(hash.max(1))
    }
}

/// What became of an identity that a series asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    /// The identity is this series', new to the table.
    Created(OutputId),
    /// The identity was this series' already, or nobody's.
    Joined(OutputId),
    /// Another input series has it.
    Contested(OutputId),
    /// The table has no room.
    Full,
    /// The namespace, or the process, has none.
    Beyond(Full),
}

#[derive(Debug, Clone, Copy, Default)]
struct Span {
    start: u32,
    bytes: u32,
}

/// All identities of one lane.
#[derive(Default)]
pub struct Outputs {
    hot: Vec<Hot>,
    spans: Vec<Span>,
    claims: Vec<Fingerprint>,
    names: Vec<Name>,
    arena: Vec<u8>,
    /// How often what stands in `arena` was moved.
    epoch: u32,
    arena_dead_bytes: usize,
    index: HashTable<u32>,
    free: Vec<u32>,
    hasher: RandomState,
    held: Held,
    /// The samples of a tick, where there can be several of one identity.
    stored: Option<Stored>,
    /// What is paid for these.
    samples_paid: usize,
    /// Identities in the order in which such samples are sent.
    order: Vec<u32>,
    is_in_order: bool,
    /// What belongs to another stretch of ticks, as long as there are two.
    aside: Option<Aside>,
}

/// How many identities one emitted tick had.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Emitted {
    /// Samples.
    pub samples: usize,
    /// Identities that they are of: as many, unless all that are stored are sent.
    pub series: usize,
    /// Identities that ended.
    pub stale: usize,
    /// Identities that are neither.
    pub idle: usize,
}

impl Outputs {
    /// No identities, and a claim on the memory that they will take.
    pub(crate) fn new(held: Held) -> Outputs {
        Outputs { held, ..Outputs::default() }
    }

    /// What all lanes of the namespace hold, in bytes.
    pub(crate) fn held_by_namespace(&self) -> usize {
        self.held.of_namespace()
    }

    /// What its namespace pays for, to hold something else with.
    pub(crate) fn hold_beside(&self) -> Held {
        self.held.another()
    }

    /// Whether it has no identity.
    pub(crate) fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Finds or makes the identity with these encoded labels, for the input series `claimant`.
    pub(crate) fn admit(&mut self, encoded: &[u8], claimant: Fingerprint) -> Admission {
        let hash = self.hasher.hash_one(encoded);
        let found = self.index.find(hash, |&id| self.encoded_at(id) == encoded).copied();
        if let Some(id) = found {
            return self.claim(id, claimant);
        }
        if self.arena.len() + encoded.len() > ARENA_BYTES_MAX {
            return Admission::Full;
        }
        if let Err(full) = self.held.take(self.price(encoded.len())) {
            return Admission::Beyond(full);
        }
        grow(&mut self.arena, encoded.len());
        let span = Span { start: self.arena.len() as u32, bytes: encoded.len() as u32 };
        self.arena.extend_from_slice(encoded);
        let id = self.place(Hot::NEW, span, claimant);
        let Outputs { index, hasher, arena, spans, .. } = self;
        index.insert_unique(hash, id, |&other| hasher.hash_one(slice(arena, spans[other as usize])));
        Admission::Created(OutputId(id))
    }

    /// As [`price`], and as much again of what there is twice.
    fn price(&self, encoded_bytes: usize) -> usize {
        price(encoded_bytes) + if self.aside.is_some() { ASIDE_BYTES } else { 0 }
    }

    fn claim(&mut self, id: u32, claimant: Fingerprint) -> Admission {
        let claim = &mut self.claims[id as usize];
        if *claim == Fingerprint::NONE {
            *claim = claimant;
        }
        if *claim == claimant {
            return Admission::Joined(OutputId(id));
        }
        self.hot[id as usize].contested = true;
        Admission::Contested(OutputId(id))
    }

    fn place(&mut self, hot: Hot, span: Span, claim: Fingerprint) -> u32 {
        let id = self.free.pop().unwrap_or_else(|| {
            self.hot.push(hot);
            self.spans.push(span);
            self.claims.push(claim);
            self.names.push(Name::Uncertain);
            (self.hot.len() - 1) as u32
        });
        let at = id as usize;
        (self.hot[at], self.spans[at], self.claims[at]) = (hot, span, claim);
        self.names[at] = Name::Uncertain;
        self.stored.iter_mut().for_each(|stored| stored.renew(OutputId(id)));
        self.aside.iter_mut().for_each(|aside| aside.place(at));
        self.is_in_order = false;
        id
    }

    /// Gives a contested identity to another input series.
    pub(crate) fn reassign(&mut self, id: OutputId, claimant: Fingerprint) {
        self.claims[id.0 as usize] = claimant;
    }

    /// Takes one value. The owner's value stands; without it the lowest rank's, whatever the order of arrival.
    #[inline]
    pub(crate) fn take(&mut self, id: OutputId, tick: Tick, rank: Rank, value: f64) {
        self.hot[id.0 as usize].take(tick.timestamp().as_millis(), rank, value);
    }

    /// Takes one sample, or that there is none, from the only one who gives any: the last word counts. Its time is the tick's, unless
    /// there can be several.
    #[inline]
    pub(crate) fn put(&mut self, id: OutputId, tick: Tick, sample: Option<Sample<'_>>) {
        self.hot[id.0 as usize].put(tick.timestamp().as_millis(), sample.map(|sample| sample.value));
        if let (Some(stored), Some(sample)) = (&mut self.stored, sample) {
            stored.push(id, tick, sample);
        }
    }

    /// Shows what was seen at `tick`: each identity with its sample, or with those that are new if there can be several. How many
    /// were not seen.
    #[inline]
    pub(crate) fn seen_at(&self, tick: Tick, mut show: impl FnMut(OutputId, Run<'_>)) -> usize {
        let tick = tick.timestamp().as_millis();
        let mut idle = 0;
        for (id, hot) in self.hot.iter().enumerate() {
            if hot.seen == tick && !hot.withheld {
                let run = match &self.stored {
                    None => Run { at: &[tick], values: std::slice::from_ref(&hot.value), histograms: &[] },
                    Some(stored) => stored.run(id as u32, tick),
                };
                show(OutputId(id as u32), run);
            } else {
                idle += usize::from(hot.used && hot.seen != tick);
            }
        }
        idle
    }

    /// Remembers whether an identity is called as its source calls it.
    pub(crate) fn call(&mut self, id: OutputId, name: Name) {
        self.names[id.0 as usize] = name;
    }

    /// What tells an identity's labels from all others: where they stand, until what stands there is moved.
    #[inline]
    fn key(&self, id: usize) -> Key {
        let (at, name) = (self.spans[id].start, self.names[id]);
        let stamp = u64::from(self.epoch) << 34 | u64::from(at) << 2 | (name as u64) << 1 | 1;
        Key { slot: id as u32, stamp, name }
    }

    /// As [`Outputs::emit_keyed`], without the keys.
    pub fn emit(&self, tick: Tick, conclude: Conclude, mut sink: impl FnMut(&[u8], f64)) -> Emitted {
        self.emit_keyed(tick, conclude, |_, labels, value| sink(labels, value))
    }

    /// Shows every identity's sample of `tick`, and a stale marker for each that ended with it.
    #[inline]
    pub fn emit_keyed(
        &self,
        tick: Tick,
        conclude: Conclude,
        mut sink: impl FnMut(Key, &[u8], f64),
    ) -> Emitted {
        let tick = tick.timestamp().as_millis();
        let mut emitted = Emitted::default();
        for (id, (hot, span)) in self.hot.iter().zip(&self.spans).enumerate() {
            match hot.at(tick, conclude) {
                At::Value => {
                    emitted.samples += 1;
                    sink(self.key(id), slice(&self.arena, *span), hot.value);
                }
                At::Ended => {
                    emitted.stale += 1;
                    sink(self.key(id), slice(&self.arena, *span), f64::from_bits(STALE_NAN_BITS));
                }
                At::Nothing => emitted.idle += usize::from(hot.used && hot.seen != tick),
            }
        }
        emitted.series = emitted.samples;
        emitted
    }

    /// Shows everything that is present at `tick`, for a receiver that takes the whole of it each time: what has
    /// ended is left out, and what there is nothing new of keeps its last value.
    pub fn emit_whole(&self, tick: Tick, conclude: Conclude, mut sink: impl FnMut(&[u8], f64)) -> Emitted {
        let tick = tick.timestamp().as_millis();
        let mut emitted = Emitted::default();
        for (hot, span) in self.hot.iter().zip(&self.spans) {
            if hot.is_live_after(tick, conclude) {
                emitted.samples += 1;
                sink(slice(&self.arena, *span), hot.value);
            } else {
                emitted.idle += usize::from(hot.used && hot.seen != tick);
            }
        }
        emitted.series = emitted.samples;
        emitted
    }

    /// Remembers what the receiver holds as present, now that it acknowledged what `emit` showed.
    pub(crate) fn settle(&mut self, tick: Tick, conclude: Conclude) {
        if self.stored.is_some() {
            return self.settle_runs(tick, conclude);
        }
        let tick = tick.timestamp().as_millis();
        for hot in &mut self.hot {
            hot.live = hot.is_live_after(tick, conclude);
        }
    }

    /// Encoded labels of everything the receiver holds as present; afterwards nothing is.
    pub(crate) fn end_all(&mut self, mut sink: impl FnMut(&[u8])) {
        for (hot, span) in self.hot.iter_mut().zip(&self.spans).filter(|(hot, _)| hot.live) {
            hot.live = false;
            sink(slice(&self.arena, *span));
        }
    }

    /// Forgets which input has which identity, because another specification decides from now on. What the
    /// receiver holds is remembered, so that what the new one no longer delivers ends.
    pub(crate) fn disown(&mut self) {
        self.claims.fill(Fingerprint::NONE);
        self.names.fill(Name::Uncertain);
        self.hot.iter_mut().for_each(Hot::disown);
        self.aside.iter_mut().for_each(Aside::disown);
    }

    /// Shows every identity's encoded labels.
    pub(crate) fn each(&self, mut show: impl FnMut(&[u8])) {
        for (_, span) in self.hot.iter().zip(&self.spans).filter(|(hot, _)| hot.used) {
            show(slice(&self.arena, *span));
        }
    }

    /// Frees identities that are not live and were not seen since `before`, showing each one's encoded labels.
    pub(crate) fn sweep(&mut self, before: Timestamp, mut freeing: impl FnMut(&[u8])) -> Swept {
        if self.aside.is_some() {
            return self.vacate(before);
        }
        self.free(|hot, encoded| {
            let idle = !hot.live && hot.seen < before.as_millis();
            if idle {
                freeing(encoded);
            }
            idle
        })
    }

    /// Frees identities that another lane goes on with, so that they do not end here.
    pub(crate) fn evict(&mut self, is_gone: impl Fn(&[u8]) -> bool) -> Swept {
        self.free(|_, encoded| is_gone(encoded))
    }

    /// Takes back identities that were created a moment ago and that no value was taken for, showing each one's encoded
    /// labels.
    pub(crate) fn withdraw(&mut self, ids: impl Iterator<Item = OutputId>, mut freeing: impl FnMut(&[u8])) {
        for OutputId(id) in ids {
            freeing(self.encoded_at(id));
            self.remove(id as usize);
        }
        self.tidy();
    }

    fn free(&mut self, mut is_to_go: impl FnMut(&Hot, &[u8]) -> bool) -> Swept {
        let mut swept = Swept { freed: vec![false; self.hot.len()], count: 0, contested: false };
        for id in 0..self.hot.len() {
            let hot = self.hot[id];
            if !hot.used || !is_to_go(&hot, slice(&self.arena, self.spans[id])) {
                continue;
            }
            self.remove(id);
            swept.freed[id] = true;
            swept.count += 1;
            swept.contested |= hot.contested;
        }
        self.tidy();
        swept
    }

    fn tidy(&mut self) {
        if self.arena_dead_bytes > self.arena.len() / 2 {
            self.compact();
        }
    }

    fn remove(&mut self, id: usize) {
        let span = self.spans[id];
        let hash = self.hasher.hash_one(slice(&self.arena, span));
        if let Ok(entry) = self.index.find_entry(hash, |&other| other as usize == id) {
            entry.remove();
        }
        self.held.give(self.price(span.bytes as usize));
        self.aside.iter_mut().for_each(|aside| aside.remove(id));
        self.arena_dead_bytes += span.bytes as usize;
        self.spans[id] = Span::default();
        (self.hot[id].used, self.hot[id].live, self.hot[id].seen) = (false, false, NEVER);
        self.free.push(id as u32);
        self.is_in_order = false;
    }

    fn compact(&mut self) {
        let mut arena = Vec::with_capacity(self.arena.len() - self.arena_dead_bytes);
        for span in &mut self.spans {
            let start = arena.len() as u32;
            arena.extend_from_slice(slice(&self.arena, *span));
            span.start = start;
        }
        self.arena = arena;
        self.arena_dead_bytes = 0;
        self.epoch = self.epoch.wrapping_add(1);
    }

    /// The labels of an identity, as they were admitted.
    pub(crate) fn encoded(&self, id: OutputId) -> &[u8] {
        self.encoded_at(id.0)
    }

    fn encoded_at(&self, id: u32) -> &[u8] {
        slice(&self.arena, self.spans[id as usize])
    }

    /// Live identities from position `start` on, at most `count` positions further: encoded labels, value and the
    /// time of the value. `None` past the end.
    pub(crate) fn page(
        &self,
        start: usize,
        count: usize,
    ) -> Option<impl Iterator<Item = (&[u8], f64, Timestamp)>> {
        let end = self.hot.len().min(start.saturating_add(count));
        (start < self.hot.len()).then(|| {
            let rows = self.hot[start..end].iter().zip(&self.spans[start..end]);
            rows.filter(|(hot, _)| hot.live && hot.seen != NEVER)
                .map(|(hot, span)| (slice(&self.arena, *span), hot.value, Timestamp(hot.seen)))
        })
    }
}

/// Makes room for so many bytes more. Doubling would keep as much again of what is by far the largest part.
fn grow(arena: &mut Vec<u8>, bytes: usize) {
    if arena.capacity() - arena.len() < bytes {
        arena.reserve_exact(bytes.max(arena.len() / 8));
    }
}

#[inline]
fn slice(arena: &[u8], span: Span) -> &[u8] {
    &arena[span.start as usize..][..span.bytes as usize]
}

#[cfg(test)]
mod tests;
