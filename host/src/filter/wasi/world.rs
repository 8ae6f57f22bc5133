//! World: what one instance sees of the empty world, and what it said there.

use sha2::{Digest, Sha256};

use crate::model::Timestamp;

/// Handles that a guest may hold at once: streams, pollables, and the like.
const HANDLES_MAX: usize = 256;
/// Of one printed line; the rest of a longer one is left out.
const LINE_BYTES_MAX: usize = 1_024;
/// What is kept of what a call wrote to standard error, to say why it failed.
const LAST_WORDS_BYTES_MAX: usize = 512;

/// One instance's clock, random numbers, handles, and half-written lines.
#[derive(Debug)]
pub(in crate::filter) struct World {
    owner: [u8; 32],
    tick: Timestamp,
    /// Calls into the guest since the tick began.
    calls: u64,
    random: u64,
    handles: usize,
    out: Vec<u8>,
    err: Vec<u8>,
    last_words: String,
}

/// Where a guest prints to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Output {
    Stdout,
    Stderr,
}

impl World {
    /// Of one tenant's `filter`. It is 1970 there until the first tick: an instance can be made at any time, and must not
    /// know when it was.
    pub(in crate::filter) fn new(tenant: &str, filter: &str) -> World {
        let owner = Sha256::new().chain_update(tenant).chain_update([0]).chain_update(filter).finalize();
        World {
            owner: owner.into(),
            tick: Timestamp(0),
            calls: 0,
            random: 0,
            handles: 0,
            out: Vec::new(),
            err: Vec::new(),
            last_words: String::new(),
        }
    }

    /// What follows belongs to the tick at `tick`, or belongs to it again.
    pub(in crate::filter) fn begin_tick(&mut self, tick: Timestamp) {
        self.tick = tick;
        self.calls = 0;
    }

    /// A call begins. Its random numbers do not depend on how many the calls before took.
    pub(in crate::filter) fn begin_call(&mut self) {
        let seed = Sha256::new()
            .chain_update(self.owner)
            .chain_update(self.tick.as_millis().to_le_bytes())
            .chain_update(self.calls.to_le_bytes())
            .finalize();
        let (seed, _) = seed.split_first_chunk().expect("a hash has 32 bytes");
        self.random = u64::from_le_bytes(*seed);
        self.calls += 1;
        self.last_words.clear();
    }

    /// What this call wrote to standard error: a panic's or an exception's message if it failed.
    pub(in crate::filter) fn last_words(&mut self) -> Option<String> {
        let words = std::mem::take(&mut self.last_words);
        let words = words.trim();
        (!words.is_empty()).then(|| words.to_owned())
    }

    /// Milliseconds since 1970.
    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.tick.as_millis()).unwrap_or_default()
    }

    /// The next random number: SplitMix64, of Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014).
    pub(super) fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// The guest is given a handle.
    pub(super) fn give_handle(&mut self) -> wasmtime::Result<()> {
        if self.handles >= HANDLES_MAX {
            return Err(wasmtime::Error::msg(format!(
                "it holds {HANDLES_MAX} handles of WASI's and wants another"
            )));
        }
        self.handles += 1;
        Ok(())
    }

    /// The guest has dropped one.
    pub(super) fn take_handle(&mut self) {
        self.handles = self.handles.saturating_sub(1);
    }

    /// Takes what the guest prints; `line` is called with each line that is complete.
    pub(super) fn print(&mut self, output: Output, mut bytes: &[u8], mut line: impl FnMut(&str)) {
        while !bytes.is_empty() {
            let end = memchr::memchr(b'\n', bytes);
            let (part, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
            let buffer = self.buffer(output);
            let room = LINE_BYTES_MAX - buffer.len();
            buffer.extend_from_slice(&part[..part.len().min(room)]);
            bytes = rest.get(1..).unwrap_or_default();
            if end.is_some() {
                self.end_line(output, &mut line);
            }
        }
    }

    /// A call is over: what it began to print is a line.
    pub(super) fn end_line(&mut self, output: Output, mut line: impl FnMut(&str)) {
        let bytes = std::mem::take(self.buffer(output));
        let text = String::from_utf8_lossy(&bytes);
        let text = text.trim_end();
        if text.is_empty() {
            return;
        }
        if output == Output::Stderr {
            self.remember(text);
        }
        line(text);
    }

    fn buffer(&mut self, output: Output) -> &mut Vec<u8> {
        match output {
            Output::Stdout => &mut self.out,
            Output::Stderr => &mut self.err,
        }
    }

    /// The end is what counts: an exception's message stands under where it came from.
    fn remember(&mut self, text: &str) {
        if !self.last_words.is_empty() {
            self.last_words.push(' ');
        }
        self.last_words.push_str(text.trim_start());
        let surplus = self.last_words.len().saturating_sub(LAST_WORDS_BYTES_MAX);
        self.last_words.drain(..self.last_words.ceil_char_boundary(surplus));
    }
}
