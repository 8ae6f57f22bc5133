//! Batch: the rows of one call, as numbers.
//!
//! In: label sets. Out: for each, the labels it ended up with. Never: a string that is copied for a row nobody changed.

use super::symbols::Symbols;
use crate::model::Labels;

/// Bytes of label text in one batch; it bounds what a call sends, however long the labels are.
const BATCH_BYTES_MAX: usize = 8 << 20;

/// Label sets by number, one row each.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// (name, value), flattened; a row's are sorted by the name's bytes.
    pub(super) pairs: Vec<u32>,
    /// For each row, how many pairs precede its end.
    pub(super) ends: Vec<u32>,
    /// For each row, its series' number; empty in chains without state.
    pub(super) series: Vec<u32>,
    /// For each row, where in the input it came from.
    pub(super) origins: Vec<Origin>,
}

/// Where a row came from, and whether it is still what it was.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin {
    pub(super) index: u32,
    pub(super) rewritten: bool,
}

impl Batch {
    /// What it takes, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let numbers = self.pairs.capacity() + self.ends.capacity() + self.series.capacity();
        numbers * size_of::<u32>() + self.origins.capacity() * size_of::<Origin>()
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn clear(&mut self) {
        let Batch { pairs, ends, series, origins } = self;
        pairs.clear();
        ends.clear();
        series.clear();
        origins.clear();
    }

    /// The pairs of a row, flattened.
    pub(super) fn row(&self, row: usize) -> &[u32] {
        let start = if row == 0 { 0 } else { self.ends[row - 1] as usize };
        &self.pairs[start * 2..self.ends[row] as usize * 2]
    }

    /// Ends the row whose pairs were just pushed.
    pub(super) fn end_row(&mut self, origin: Origin, series: Option<u32>) {
        self.ends.push(self.pairs.len() as u32 / 2);
        self.origins.push(origin);
        self.series.extend(series);
    }

    /// Replaces the rows by these label sets.
    pub(super) fn load(&mut self, input: &[&Labels], symbols: &mut Symbols) {
        self.clear();
        let mut previous = 0;
        for (index, labels) in input.iter().enumerate() {
            let start = self.pairs.len();
            for (i, (name, value)) in labels.iter().enumerate() {
                // The series before is most often one of the same metric: same names, and mostly the same values.
                let guess = (previous + 2 * i + 1 < start).then(|| (previous + 2 * i, previous + 2 * i + 1));
                let name = symbols.names.intern(name, guess.map(|(name, _)| self.pairs[name]));
                let value = symbols.values.intern(value, guess.map(|(_, value)| self.pairs[value]));
                self.pairs.extend([name, value]);
            }
            previous = start;
            self.end_row(Origin { index: index as u32, rewritten: false }, None);
        }
        symbols.rank_names();
    }

    /// The labels of each input, `None` for those without a row.
    pub(super) fn unload(&self, input: &[&Labels], symbols: &Symbols, out: &mut Vec<Option<Labels>>) {
        let mut rows = (0..self.len()).peekable();
        let mut scratch = Vec::new();
        for (index, labels) in input.iter().enumerate() {
            let row = rows.next_if(|row| self.origins[*row].index as usize == index);
            out.push(row.map(|row| match self.origins[row].rewritten {
                false => (*labels).clone(),
                true => {
                    // The scratch vector keeps its capacity, not its borrow.
                    let mut pairs = std::mem::take(&mut scratch);
                    let built = self.build(row, symbols, &mut pairs);
                    scratch = recycle(pairs);
                    built
                }
            }));
        }
    }

    fn build<'a>(&self, row: usize, symbols: &'a Symbols, pairs: &mut Vec<(&'a str, &'a str)>) -> Labels {
        let numbers = self.row(row).as_chunks::<2>().0;
        pairs.extend(
            numbers.iter().map(|&[name, value]| (symbols.names.get(name), symbols.values.get(value))),
        );
        Labels::from_vec(pairs).expect("names were checked to stand once, in order, and not to be empty")
    }
}

/// An empty vector with the same allocation, free of the borrow.
fn recycle<'b>(mut pairs: Vec<(&str, &str)>) -> Vec<(&'b str, &'b str)> {
    pairs.clear();
    pairs.into_iter().map(|_| ("", "")).collect()
}

/// How many of these label sets make one batch: at least one, if there are any.
pub(super) fn batch_rows(input: &[&Labels], rows_max: usize) -> usize {
    let mut bytes = 0;
    let fits = input.iter().take(rows_max.max(1)).take_while(|labels| {
        bytes += labels.text_bytes();
        bytes <= BATCH_BYTES_MAX
    });
    fits.count().max(1).min(input.len())
}
