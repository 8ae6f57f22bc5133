//! Symbols: a chain's strings, each once, by number.
//!
//! In: text. Out: dense numbers; the same for the same text until the chain forgets them all.
//! Never: a string hashed that stood in the same place of the series before.

use hashbrown::HashTable;
use std::hash::BuildHasher;

use super::wire;

/// Names and values, numbered apart as the contract wants them, and the names' order.
#[derive(Debug, Default)]
pub(super) struct Symbols {
    pub(super) names: Interner,
    pub(super) values: Interner,
    /// For each name, its place among all names in the order of their bytes.
    ranks: Vec<u32>,
}

/// Strings of one kind; far below the numbers that are a guest's own.
const STRINGS_MAX: usize = 1 << 24;

impl Symbols {
    /// Whether it is time to start over, if all strings together may have so many bytes.
    pub(super) fn is_full(&self, bytes_max: usize) -> bool {
        let bytes = self.names.text.len() + self.values.text.len();
        bytes > bytes_max || self.names.len().max(self.values.len()) > STRINGS_MAX
    }

    /// What it takes, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.names.bytes() + self.values.bytes() + self.ranks.capacity() * size_of::<u32>()
    }

    /// Brings the order of names up to date; new names are rare.
    pub(super) fn rank_names(&mut self) {
        if self.ranks.len() == self.names.len() {
            return;
        }
        let mut order: Vec<u32> = (0..self.names.len() as u32).collect();
        order.sort_unstable_by(|a, b| self.names.get(*a).cmp(self.names.get(*b)));
        self.ranks.resize(order.len(), 0);
        for (rank, name) in order.into_iter().enumerate() {
            self.ranks[name as usize] = rank as u32;
        }
    }

    /// Bytes of the names and values of (name, value) pairs, flattened.
    pub(super) fn text_bytes(&self, pairs: &[u32]) -> usize {
        let (pairs, _) = pairs.as_chunks::<2>();
        pairs.iter().map(|&[name, value]| self.names.get(name).len() + self.values.get(value).len()).sum()
    }

    /// The name's place in the order of bytes, as of the last [`Symbols::rank_names`].
    pub(super) fn rank(&self, name: u32) -> u32 {
        self.ranks[name as usize]
    }
}

/// Strings, each once, by number.
#[derive(Debug, Default)]
pub(super) struct Interner {
    text: String,
    ends: Vec<u32>,
    table: HashTable<u32>,
    hasher: foldhash::fast::RandomState,
}

impl Interner {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// What it takes, in bytes.
    fn bytes(&self) -> usize {
        let numbers = self.ends.capacity() + self.table.capacity();
        self.text.capacity() + numbers * size_of::<u32>()
    }

    pub(super) fn get(&self, number: u32) -> &str {
        get(&self.text, &self.ends, number)
    }

    /// The string's number. `guess` is tried first: in the next series of a metric, most strings are the ones before.
    pub(super) fn intern(&mut self, text: &str, guess: Option<u32>) -> u32 {
        match guess {
            Some(guess) if self.get(guess) == text => guess,
            _ => self.look_up(text),
        }
    }

    fn look_up(&mut self, text: &str) -> u32 {
        let Interner { text: all, ends, table, hasher } = self;
        let hash = hasher.hash_one(text);
        if let Some(number) = table.find(hash, |number| get(all, ends, *number) == text) {
            return *number;
        }
        let number = ends.len() as u32;
        all.push_str(text);
        ends.push(all.len() as u32);
        table.insert_unique(hash, number, |number| hasher.hash_one(get(all, ends, *number)));
        number
    }

    /// The strings from `known` on, in the form of the contract; `ends` is scratch space.
    pub(super) fn since<'a>(&'a self, known: usize, ends: &'a mut Vec<u32>) -> wire::Symbols<'a> {
        let start = if known == 0 { 0 } else { self.ends[known - 1] };
        ends.clear();
        ends.extend(self.ends[known..].iter().map(|end| end - start));
        wire::Symbols { text: &self.text[start as usize..], ends }
    }
}

fn get<'a>(text: &'a str, ends: &[u32], number: u32) -> &'a str {
    let number = number as usize;
    let start = if number == 0 { 0 } else { ends[number - 1] as usize };
    &text[start..ends[number] as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_text_has_the_same_number() {
        let mut strings = Interner::default();
        let numbers: Vec<_> = ["a", "", "bc", "a", "bc"].map(|text| strings.intern(text, None)).into();
        assert_eq!(numbers, [0, 1, 2, 0, 2]);
        assert_eq!(strings.intern("bc", Some(0)), 2);
        assert_eq!((strings.get(1), strings.get(2)), ("", "bc"));
    }

    #[test]
    fn only_what_is_new_is_sent() {
        let mut strings = Interner::default();
        for text in ["a", "bc", "d"] {
            strings.intern(text, None);
        }
        let mut ends = Vec::new();
        let sent = strings.since(1, &mut ends);
        assert_eq!((sent.text, sent.ends), ("bcd", &[2, 3][..]));
        assert_eq!(strings.since(3, &mut ends).text, "");
    }

    #[test]
    fn names_are_ranked_by_their_bytes() {
        let mut symbols = Symbols::default();
        for text in ["b", "__name__", "a"] {
            symbols.names.intern(text, None);
        }
        symbols.rank_names();
        assert_eq!([0, 1, 2].map(|name| symbols.rank(name)), [2, 0, 1]);
    }
}
