//! Series: one series' labels as a filter sees and edits them.
//!
//! In: pairs of numbers from the host. Out: the edits of one row. Never: a copy of the label set.

use std::cmp::Ordering;

use crate::dictionary::{Dictionary, Own, REMOVE, Symbol, name_text, value_text};
use crate::{SeriesId, Verdict};

/// One series: its labels, sorted by name, and the edits that a filter makes. The metric's name is the label
/// `__name__`. A label that is absent and one that is empty are the same.
#[derive(Debug)]
pub struct Series<'a> {
    pub(crate) host: &'a Dictionary,
    pub(crate) own: &'a mut Own,
    /// (name, value) as the host sent them.
    pub(crate) pairs: &'a [u32],
    /// (name, value) of edits, sorted by the name's text.
    pub(crate) edits: &'a mut Vec<(u32, u32)>,
    pub(crate) id: SeriesId,
    pub(crate) refusal: &'a mut Option<String>,
}

impl Series<'_> {
    /// The value of a label, edits included; `None` if the series has no such label.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.value(self.number(name)?)
    }

    /// The metric's name; empty if the series has none.
    pub fn metric(&self) -> &str {
        self.get("__name__").unwrap_or_default()
    }

    /// The label's value before this filter's edits, as a number: see [`Symbol`].
    pub fn symbol(&self, name: &str) -> Option<Symbol> {
        self.source(self.host.find_name(name)?).map(Symbol)
    }

    /// The text of a symbol.
    pub fn text(&self, symbol: Symbol) -> &str {
        value_text(self.host, self.own, symbol.0)
    }

    /// Sets a label; an empty value removes it. Setting what is there already is no edit.
    ///
    /// The name must be a legal label name, `[a-zA-Z_][a-zA-Z0-9_]*`: the host refuses the whole batch otherwise.
    pub fn set(&mut self, name: &str, value: &str) {
        if value.is_empty() {
            return self.remove(name);
        }
        let number = self.number(name);
        if number.and_then(|number| self.value(number)) != Some(value) {
            let value = self.own.value(value);
            let number = number.unwrap_or_else(|| self.own.name(name));
            self.edit(number, value);
        }
    }

    /// Removes a label. Removing what is not there is no edit.
    pub fn remove(&mut self, name: &str) {
        if let Some(number) = self.number(name)
            && self.value(number).is_some()
        {
            self.edit(number, REMOVE);
        }
    }

    /// The labels, edits included, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut source = self.pairs.as_chunks::<2>().0.iter().map(|&[name, value]| (name, value)).peekable();
        let mut edits = self.edits.iter().copied().peekable();
        std::iter::from_fn(move || {
            loop {
                let order = match (source.peek(), edits.peek()) {
                    (None, None) => return None,
                    (Some(_), None) => Ordering::Less,
                    (None, Some(_)) => Ordering::Greater,
                    (Some((left, _)), Some((right, _))) => self.name(*left).cmp(self.name(*right)),
                };
                let overridden = if order.is_le() { source.next() } else { None };
                let edit = if order.is_ge() { edits.next() } else { None };
                match edit.or(overridden) {
                    Some((_, REMOVE)) | None => {}
                    Some((name, value)) => {
                        return Some((self.name(name), value_text(self.host, self.own, value)));
                    }
                }
            }
        })
    }

    /// The series' number, for filters that remember something about each series; 0 for filters without state.
    pub fn id(&self) -> SeriesId {
        self.id
    }

    /// Refuses the whole batch that the series came in, with a reason for people: the filter cannot judge it, and neither a drop
    /// nor a keep would be right. None of its series is delivered, the host asks about all of them again later, and
    /// the filter is told to [forget](crate::LabelFilter::forget) those that it has judged. The answer is for `return`.
    ///
    /// ```
    /// # use sluice_filter::{LabelFilter, Series, Tenant, Verdict};
    /// # struct Example;
    /// # impl LabelFilter for Example {
    /// # type Config = serde_json::Value;
    /// # fn new(_: serde_json::Value, _: &Tenant) -> Result<Self, String> { Ok(Example) }
    /// fn classify(&mut self, series: &mut Series<'_>) -> Verdict {
    ///     if series.get("zone").is_none() {
    ///         return series.refuse(format!("{} has no zone", series.metric()));
    ///     }
    ///     Verdict::Keep
    /// }
    /// # }
    /// # let refused = sluice_filter::testing::filter::<Example>("{}", "up 1\n").unwrap_err();
    /// # assert_eq!(refused.to_string(), "classify: up has no zone");
    /// ```
    pub fn refuse(&mut self, reason: impl Into<String>) -> Verdict {
        self.refusal.get_or_insert(reason.into());
        Verdict::Drop
    }

    /// Moves a label's value to another name, which loses the value it may have had. Nothing happens if there is no such label.
    pub fn rename(&mut self, from: &str, to: &str) {
        if from == to {
            return;
        }
        if let Some(value) = self.get(from).map(str::to_owned) {
            self.remove(from);
            self.set(to, &value);
        }
    }

    fn name(&self, number: u32) -> &str {
        name_text(self.host, self.own, number)
    }

    /// The name's number, if host or filter have given it one. A name is hashed once here, and compared as a number after.
    fn number(&self, name: &str) -> Option<u32> {
        self.host.find_name(name).or_else(|| self.own.find_name(name))
    }

    fn value(&self, name: u32) -> Option<&str> {
        let edited = self.edits.iter().find(|(edited, _)| *edited == name).map(|(_, value)| *value);
        let value = edited.or_else(|| self.source(name)).filter(|value| *value != REMOVE)?;
        Some(value_text(self.host, self.own, value))
    }

    fn source(&self, name: u32) -> Option<u32> {
        self.pairs.as_chunks::<2>().0.iter().find(|pair| pair[0] == name).map(|pair| pair[1])
    }

    fn edit(&mut self, name: u32, value: u32) {
        let text = name_text(self.host, self.own, name);
        match self.edits.binary_search_by(|(edited, _)| self.name(*edited).cmp(text)) {
            Ok(i) => self.edits[i].1 = value,
            Err(i) => self.edits.insert(i, (name, value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bindings::types::{LabelSets, Symbols};

    fn symbols(strings: &[&str]) -> Symbols {
        let ends = strings.iter().scan(0, |end, text| {
            *end += text.len() as u32;
            Some(*end)
        });
        Symbols { ends: ends.collect(), text: strings.concat() }
    }

    /// What is left of `up{a="1",b="2"}` after `edit`, and how many edits that took.
    #[track_caller]
    fn check(edit: impl Fn(&mut Series<'_>), expected: &[(&str, &str)], edits_expected: usize) {
        let mut host = Dictionary::default();
        let new_names = symbols(&["__name__", "a", "b", "c"]);
        let new_values = symbols(&["up", "1", "2"]);
        host.extend(&LabelSets { new_names, new_values, pairs: vec![], ends: vec![], series: vec![] });
        let (mut own, mut edits) = (Own::default(), Vec::new());
        let pairs = &[0, 0, 1, 1, 2, 2];
        let mut series = Series {
            host: &host,
            own: &mut own,
            pairs,
            edits: &mut edits,
            id: SeriesId(0),
            refusal: &mut None,
        };
        edit(&mut series);
        assert_eq!(series.iter().collect::<Vec<_>>(), expected);
        for (name, value) in expected {
            assert_eq!(series.get(name), Some(*value));
        }
        assert_eq!(series.symbol("a"), Some(Symbol(1)), "symbols are those of the source");
        assert_eq!(edits.len(), edits_expected);
    }

    #[test]
    fn labels_are_read_with_their_edits_and_stay_sorted() {
        check(|_| (), &[("__name__", "up"), ("a", "1"), ("b", "2")], 0);
        check(|s| s.set("a", "x"), &[("__name__", "up"), ("a", "x"), ("b", "2")], 1);
        check(|s| s.set("aa", "x"), &[("__name__", "up"), ("a", "1"), ("aa", "x"), ("b", "2")], 1);
        check(|s| s.set("c", "x"), &[("__name__", "up"), ("a", "1"), ("b", "2"), ("c", "x")], 1);
        check(|s| s.remove("a"), &[("__name__", "up"), ("b", "2")], 1);
        check(|s| s.rename("a", "c"), &[("__name__", "up"), ("b", "2"), ("c", "1")], 2);
        check(|s| s.rename("a", "b"), &[("__name__", "up"), ("b", "1")], 2);
        check(|s| s.set("a", ""), &[("__name__", "up"), ("b", "2")], 1);
    }

    #[test]
    fn what_changes_nothing_is_no_edit() {
        check(|s| s.set("a", "1"), &[("__name__", "up"), ("a", "1"), ("b", "2")], 0);
        check(|s| s.remove("c"), &[("__name__", "up"), ("a", "1"), ("b", "2")], 0);
        check(|s| s.rename("a", "a"), &[("__name__", "up"), ("a", "1"), ("b", "2")], 0);
        check(|s| s.rename("c", "a"), &[("__name__", "up"), ("a", "1"), ("b", "2")], 0);
        check(|s| s.remove("unknown"), &[("__name__", "up"), ("a", "1"), ("b", "2")], 0);
    }

    #[test]
    fn the_last_edit_of_a_label_counts() {
        let again = |s: &mut Series<'_>| {
            s.set("z", "1");
            s.set("z", "2");
            s.remove("a");
            s.set("a", "3");
            s.set("b", "x");
            s.remove("b");
        };
        check(again, &[("__name__", "up"), ("a", "3"), ("z", "2")], 3);
    }
}
