//! Strings: every text that a lane's requests are made of, once, with a number; and within a request the texts it has so far.
//!
//! In: texts when a series is learned, their numbers for each sample. Out: where each stands among the request's symbols.
//! Never: a text read or hashed for a sample.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::super::encode::{append_varint, varint_bytes};

/// `repeated string symbols = 4`.
const TAG_SYMBOL: u8 = 4 << 3 | 2;

/// The empty text, which is the first symbol of every request.
pub(super) const EMPTY: u32 = 0;

/// What a text takes beside its bytes: its place, its end, its part of the index.
const TEXT_BYTES: usize = 32;

/// Where a text stands among the symbols of the request that it was used in last.
#[derive(Clone, Copy, Default)]
struct Place {
    request: u32,
    at: u32,
}

/// The texts, and the symbols of one request.
pub(super) struct Strings {
    /// Each as the field that it is in a request.
    fields: Vec<u8>,
    ends: Vec<usize>,
    index: HashTable<u32>,
    hasher: RandomState,
    places: Vec<Place>,
    /// Which request is being written; a place of another one says nothing.
    request: u32,
    /// The first request of those that are written at once.
    first_request: u32,
    /// Symbols of the request so far.
    count: u32,
    /// Different texts used since `first_request`.
    used: usize,
}

impl Default for Strings {
    fn default() -> Strings {
        let mut strings = Strings {
            fields: Vec::new(),
            ends: Vec::new(),
            index: HashTable::new(),
            hasher: RandomState::default(),
            places: Vec::new(),
            request: 1,
            first_request: 1,
            count: 0,
            used: 0,
        };
        strings.learn("");
        strings
    }
}

impl Strings {
    /// The number of a text, from now on.
    pub(super) fn learn(&mut self, text: &str) -> u32 {
        let Strings { fields, ends, index, hasher, places, .. } = self;
        let hash = hasher.hash_one(text.as_bytes());
        let found = index.find(hash, |&number| text_of(field(fields, ends, number)) == text.as_bytes());
        if let Some(number) = found {
            return *number;
        }
        let number = ends.len() as u32;
        fields.push(TAG_SYMBOL);
        append_varint(text.len() as u64, fields);
        fields.extend_from_slice(text.as_bytes());
        ends.push(fields.len());
        places.push(Place::default());
        index.insert_unique(hash, number, |&other| hasher.hash_one(text_of(field(fields, ends, other))));
        number
    }

    /// Begins the symbols of another request in `symbols`.
    pub(super) fn begin_request(&mut self, symbols: &mut Vec<u8>) {
        symbols.clear();
        self.request = self.request.wrapping_add(1);
        if self.request == 0 {
            // Four billion requests later a place could be taken for one of this request.
            self.places.fill(Place::default());
            (self.request, self.first_request) = (1, 1);
        }
        self.count = 0;
        let _ = self.place(EMPTY, symbols);
    }

    /// Where the text stands among the request's symbols, appended to them if it is not there yet.
    #[inline]
    pub(super) fn place(&mut self, number: u32, symbols: &mut Vec<u8>) -> u32 {
        let place = &mut self.places[number as usize];
        if place.request == self.request {
            return place.at;
        }
        self.used += usize::from(place.request < self.first_request);
        let at = self.count;
        *place = Place { request: self.request, at };
        self.count += 1;
        symbols.extend_from_slice(field(&self.fields, &self.ends, number));
        at
    }

    /// Begins to count the texts that are used.
    pub(super) fn begin_count(&mut self) {
        // What is in use now counts for what was before.
        (self.first_request, self.used) = (self.request.saturating_add(1), 0);
    }

    /// How many different texts were used since [`Strings::begin_count`].
    pub(super) fn used(&self) -> usize {
        self.used
    }

    /// How many texts have a number.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// What they take in memory, roughly.
    pub(super) fn bytes(&self) -> usize {
        self.fields.capacity() + TEXT_BYTES * self.ends.capacity()
    }
}

fn field<'a>(fields: &'a [u8], ends: &[usize], number: u32) -> &'a [u8] {
    let number = number as usize;
    let start = number.checked_sub(1).map_or(0, |before| ends[before]);
    &fields[start..ends[number]]
}

/// The text of a field: what follows its tag and its length.
fn text_of(field: &[u8]) -> &[u8] {
    // The length takes as many bytes as it takes to write what is left, less itself; one is right for almost all.
    let length = (1..field.len()).find(|length| varint_bytes((field.len() - 1 - length) as u64) == *length);
    &field[1 + length.unwrap_or(0)..]
}
