//! Check: turns an answer of a guest, which may be anything, into rows.
//!
//! In: rows, and verdicts as the guest gave them. Out: the rows that are left, edited. Never: a number used as an index before
//! it was found to be in range, or work that grows faster than the answer.

use super::Nonsense;
use super::batch::{Batch, Origin};
use super::symbols::{Interner, Symbols};
use super::usage::Usage;
use super::wire::{OWN, OwnSymbols, REMOVE, Verdicts};
use crate::model::is_label_name;

/// Labels of a series that a guest has edited, and edits of one row.
pub(super) const LABELS_MAX: usize = 512;
/// Bytes of one string of a guest's own.
const STRING_BYTES_MAX: usize = 64 << 10;
/// Bytes of all strings of a guest's own in one answer, and how many there may be: an empty one takes room here, too.
const STRINGS_BYTES_MAX: usize = 8 << 20;
const STRINGS_MAX: usize = 1 << 20;
/// Names of labels among them: they are kept in order, which costs more.
const NAMES_MAX: usize = 1 << 14;
/// Labels of all series that one answer changes, in bytes. An answer can name one long string for all of them, and each gets a
/// copy of its own.
const EDITED_BYTES_MAX: usize = 32 << 20;

/// Whether verdicts are applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Done {
    Applied,
    /// The rows stay as they are.
    Counted,
}

/// Applies verdicts to `rows`, which holds the rows that are left afterwards; `spare` is scratch space.
pub(super) fn apply(
    verdicts: &Verdicts,
    done: Done,
    rows: &mut Batch,
    spare: &mut Batch,
    symbols: &mut Symbols,
    usage: &mut Usage,
) -> Result<(), Nonsense> {
    bitmap("keep", &verdicts.keep, rows.len())?;
    let edits = resolve(verdicts, rows.len(), symbols)?;
    let kept = verdicts.keep.iter().map(|word| word.count_ones() as usize).sum::<usize>();
    let before = rows.len();
    let mut rewritten = 0;
    if kept < before || !edits.is_empty() {
        rewritten = rebuild(&verdicts.keep, &edits, rows, spare, symbols)?;
        if done == Done::Applied {
            std::mem::swap(rows, spare);
        }
    }
    usage.rows_in += before as u64;
    usage.kept += kept as u64;
    usage.dropped += (before - kept) as u64;
    usage.rewritten += rewritten;
    Ok(())
}

/// That a bitmap has a bit for every row, and no other.
pub(super) fn bitmap(list: &'static str, words: &[u64], rows: usize) -> Result<(), Nonsense> {
    length(list, words.len(), rows.div_ceil(64))?;
    match words.last() {
        Some(last) if !rows.is_multiple_of(64) && last >> (rows % 64) != 0 => Err(Nonsense::SpareBits(list)),
        _ => Ok(()),
    }
}

/// That a list is as long as it must be.
pub(super) fn length(list: &'static str, actual: usize, expected: usize) -> Result<(), Nonsense> {
    if actual == expected { Ok(()) } else { Err(Nonsense::Length { list, actual, expected }) }
}

/// Whether a bit of a bitmap is set; the bitmap was checked to have it.
pub(super) fn is_set(words: &[u64], row: usize) -> bool {
    words[row / 64] >> (row % 64) & 1 == 1
}

/// Strings of a guest's own, cut apart, and their numbers in the chain as far as they are used.
pub(super) struct Own<'a> {
    what: &'static str,
    list: &'static str,
    texts: Vec<&'a str>,
    numbers: Vec<Option<u32>>,
}

impl<'a> Own<'a> {
    pub(super) fn new(
        list: &'static str,
        what: &'static str,
        symbols: &'a OwnSymbols,
    ) -> Result<Own<'a>, Nonsense> {
        let OwnSymbols { text, ends } = symbols;
        at_most("bytes of new strings", text.len(), STRINGS_BYTES_MAX)?;
        at_most("new strings", ends.len(), STRINGS_MAX)?;
        if what == "name" {
            at_most("new names", ends.len(), NAMES_MAX)?;
        }
        let mut start = 0;
        let mut texts = Vec::with_capacity(ends.len());
        for end in ends {
            let end = *end as usize;
            let piece = text.get(start..end).ok_or(Nonsense::Ends(list))?;
            at_most("bytes of one string", piece.len(), STRING_BYTES_MAX)?;
            texts.push(piece);
            start = end;
        }
        if start != text.len() {
            return Err(Nonsense::Ends(list));
        }
        Ok(Own { what, list, numbers: vec![None; texts.len()], texts })
    }

    /// The chain's number for a guest's; `check` sees a string of the guest's own before it gets one.
    pub(super) fn number(
        &mut self,
        given: u32,
        known: &mut Interner,
        check: impl FnOnce(&str) -> Result<(), Nonsense>,
    ) -> Result<u32, Nonsense> {
        let unknown = Nonsense::Unknown { list: self.list, what: self.what, number: given };
        let Some(own) = given.checked_sub(OWN) else {
            return if (given as usize) < known.len() { Ok(given) } else { Err(unknown) };
        };
        match self.numbers.get(own as usize) {
            None => Err(unknown),
            Some(Some(number)) => Ok(*number),
            Some(None) => {
                let text = self.texts[own as usize];
                check(text)?;
                let number = known.intern(text, None);
                self.numbers[own as usize] = Some(number);
                Ok(number)
            }
        }
    }
}

/// That a string can be a label's name.
pub(super) fn label_name(text: &str) -> Result<(), Nonsense> {
    if is_label_name(text) { Ok(()) } else { Err(Nonsense::LabelName(cut(text).to_owned())) }
}

/// That there is not more of something than there may be.
pub(super) fn at_most(what: &'static str, actual: usize, limit: usize) -> Result<(), Nonsense> {
    if actual <= limit { Ok(()) } else { Err(Nonsense::TooMuch { what, actual, limit }) }
}

struct Edit {
    row: u32,
    name: u32,
    /// `None`: the label is removed.
    value: Option<u32>,
}

/// Edits in the chain's numbers, in order of rows.
fn resolve(verdicts: &Verdicts, rows: usize, symbols: &mut Symbols) -> Result<Vec<Edit>, Nonsense> {
    let (triples, rest) = verdicts.edits.as_chunks::<3>();
    length("edits (the last triple)", rest.len(), 0)?;
    let mut names = Own::new("new-names", "name", &verdicts.new_names)?;
    let mut values = Own::new("new-values", "value", &verdicts.new_values)?;
    let mut edits: Vec<Edit> = Vec::with_capacity(triples.len());
    for &[row, name, value] in triples {
        if row as usize >= rows {
            return Err(Nonsense::Unknown { list: "edits", what: "row", number: row });
        }
        if edits.last().is_some_and(|edit| edit.row > row) {
            return Err(Nonsense::Order("the rows of edits"));
        }
        if !is_set(&verdicts.keep, row as usize) {
            return Err(Nonsense::DroppedRow { list: "edits", row });
        }
        let name = names.number(name, &mut symbols.names, label_name)?;
        let value = match value {
            REMOVE => None,
            value => Some(values.number(value, &mut symbols.values, |_| Ok(()))?),
        };
        if value.is_some_and(|value| symbols.values.get(value).is_empty()) {
            return Err(Nonsense::EmptyValue(cut(symbols.names.get(name)).to_owned()));
        }
        edits.push(Edit { row, name, value });
    }
    symbols.rank_names();
    Ok(edits)
}

/// Writes what is left of `rows` to `out`; returns how many rows are not what they were.
fn rebuild(
    keep: &[u64],
    edits: &[Edit],
    rows: &Batch,
    out: &mut Batch,
    symbols: &Symbols,
) -> Result<u64, Nonsense> {
    out.clear();
    let mut edits = edits.chunk_by(|a, b| a.row == b.row).peekable();
    let (mut changed, mut bytes) = (0, 0);
    let mut editor = Editor::default();
    for row in (0..rows.len()).filter(|row| is_set(keep, *row)) {
        let before = rows.row(row);
        let start = out.pairs.len();
        out.pairs.extend_from_slice(before);
        let Origin { index, mut rewritten } = rows.origins[row];
        if let Some(edits) = edits.next_if(|edits| edits[0].row as usize == row) {
            editor.edit(edits, &mut out.pairs, start, symbols)?;
            let differs = out.pairs[start..] != *before;
            rewritten |= differs;
            changed += u64::from(differs);
            bytes += symbols.text_bytes(&out.pairs[start..]);
            at_most("bytes of changed series", bytes, EDITED_BYTES_MAX)?;
        }
        out.end_row(Origin { index, rewritten }, rows.series.get(row).copied());
    }
    Ok(changed)
}

/// Edits rows; what it works with is used again.
#[derive(Default)]
struct Editor {
    /// Positions of edits, in the order of names.
    order: Vec<(u32, u32)>,
    before: Vec<u32>,
}

impl Editor {
    /// Edits the last row of `pairs`, which starts at `start`: both are brought into the order of names and merged, so that
    /// many edits of one row cost no more than as many of many.
    fn edit(
        &mut self,
        edits: &[Edit],
        pairs: &mut Vec<u32>,
        start: usize,
        symbols: &Symbols,
    ) -> Result<(), Nonsense> {
        at_most("edits of one series", edits.len(), LABELS_MAX)?;
        self.order.clear();
        self.order.extend((0..).zip(edits).map(|(at, edit)| (symbols.rank(edit.name), at)));
        self.order.sort_unstable();
        if let Some(twice) = self.order.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            let name = symbols.names.get(edits[twice[0].1 as usize].name);
            return Err(Nonsense::Twice(cut(name).to_owned()));
        }
        self.before.clear();
        self.before.extend(pairs.drain(start..));
        let mut before = self.before.as_chunks::<2>().0.iter().peekable();
        for (rank, at) in &self.order {
            while let Some(pair) = before.next_if(|pair| symbols.rank(pair[0]) < *rank) {
                pairs.extend_from_slice(pair);
            }
            let Edit { name, value, .. } = &edits[*at as usize];
            let _ = before.next_if(|pair| pair[0] == *name);
            if let Some(value) = value {
                pairs.extend_from_slice(&[*name, *value]);
            }
        }
        before.for_each(|pair| pairs.extend_from_slice(pair));
        at_most("labels of one series", (pairs.len() - start) / 2, LABELS_MAX)
    }
}

pub(super) fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(128)]
}
