//! Layout: how the rows of an answer, in the order they came, are grouped by part. Built when that order changes, and
//! shared by all answers until it changes again.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::forms::Forms;
use super::slots::Slots;
use super::{ILLEGAL, NAMELESS, SeriesRef};

/// The rows of an answer, grouped.
#[derive(Debug, Default)]
pub(super) struct Layout {
    /// For each grouped row, the row as it came; `None` if they are the same.
    pub(super) gather: Option<Vec<u32>>,
    /// Part → its rows.
    pub(super) parts: HashMap<Arc<str>, PartRows>,
    /// Results without a metric name.
    pub(super) nameless: u64,
    /// Results with a label given twice.
    pub(super) illegal: u64,
    /// Results that became equal to another one when external labels were taken off.
    pub(super) collisions: u64,
}

/// The rows of one part.
#[derive(Debug, Clone, Default)]
pub(super) struct PartRows {
    pub(super) rows: Range<usize>,
    pub(super) series: Arc<[SeriesRef]>,
}

impl Layout {
    pub(super) fn build(
        sequence: &[u32],
        forms: &Forms,
        slots: &mut Slots,
        names: &PartNames,
        number: u32,
        last: &Layout,
    ) -> Layout {
        let mut layout = Layout::default();
        let mut groups: Vec<Vec<(u32, SeriesRef)>> = Vec::new();
        groups.resize_with(names.names.len(), Vec::new);
        for (row, form) in sequence.iter().enumerate() {
            let form = forms.get(*form);
            match form.slot {
                NAMELESS => layout.nameless += 1,
                ILLEGAL => layout.illegal += 1,
                slot => match slots.lay_out(slot, number) {
                    Some(series) => groups[form.part as usize].push((row as u32, series)),
                    None => layout.collisions += 1,
                },
            }
        }
        layout.group(groups, names, last);
        layout
    }

    fn group(&mut self, groups: Vec<Vec<(u32, SeriesRef)>>, names: &PartNames, last: &Layout) {
        let mut gather = Vec::with_capacity(groups.iter().map(Vec::len).sum());
        for (part, group) in groups.into_iter().enumerate().filter(|(_, group)| !group.is_empty()) {
            let name = names.name(part as u32);
            let start = gather.len();
            gather.extend(group.iter().map(|(row, _)| *row));
            let unchanged = last.parts.get(&name).map(|part| &part.series).filter(|series| {
                series.len() == group.len() && series.iter().zip(&group).all(|(old, (_, new))| old == new)
            });
            let series = match unchanged {
                Some(series) => series.clone(),
                None => group.iter().map(|(_, series)| *series).collect(),
            };
            self.parts.insert(name, PartRows { rows: start..gather.len(), series });
        }
        let voids = self.nameless + self.illegal + self.collisions;
        let in_order = gather.iter().enumerate().all(|(to, from)| to == *from as usize);
        self.gather = (voids > 0 || !in_order).then_some(gather);
    }

    /// Rows of all parts.
    pub(super) fn rows(&self) -> usize {
        self.parts.values().map(|part| part.rows.len()).sum()
    }
}

/// One value, and what has it.
#[derive(Debug)]
struct PartName {
    name: Arc<str>,
    forms: u32,
    /// What they take.
    bytes: usize,
}

/// The values of the label by which answers are split, as small numbers.
#[derive(Debug, Default)]
pub(super) struct PartNames {
    names: Vec<PartName>,
    by_name: HashMap<Arc<str>, u32>,
    free: Vec<u32>,
}

impl PartNames {
    /// The number of a value, taken for one more form that takes so many bytes.
    pub(super) fn take(&mut self, name: &str, bytes: usize) -> u32 {
        let part = match self.by_name.get(name) {
            Some(part) => *part,
            None => self.insert(name.into()),
        };
        let entry = &mut self.names[part as usize];
        entry.forms += 1;
        entry.bytes += bytes;
        part
    }

    fn insert(&mut self, name: Arc<str>) -> u32 {
        let part = self.free.pop().unwrap_or(self.names.len() as u32);
        self.by_name.insert(name.clone(), part);
        let new = PartName { name, forms: 0, bytes: 0 };
        match self.names.get_mut(part as usize) {
            Some(free) => *free = new,
            None => self.names.push(new),
        }
        part
    }

    /// One form less has the value.
    pub(super) fn release(&mut self, part: u32, bytes: usize) {
        let PartName { name, forms, bytes: held } = &mut self.names[part as usize];
        *forms -= 1;
        *held -= bytes;
        if *forms == 0 {
            self.by_name.remove(name);
            self.free.push(part);
        }
    }

    /// What its forms have takes so much more, or less.
    pub(super) fn charge(&mut self, part: u32, bytes: isize) {
        let held = &mut self.names[part as usize].bytes;
        *held = held.saturating_add_signed(bytes);
    }

    pub(super) fn name(&self, part: u32) -> Arc<str> {
        self.names[part as usize].name.clone()
    }

    /// What the forms that have the value take.
    pub(super) fn bytes(&self, name: &str) -> usize {
        self.by_name.get(name).map_or(0, |part| self.names[*part as usize].bytes)
    }
}
