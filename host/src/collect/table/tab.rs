//! Tab: who pays for the forms of a table.
//!
//! In: who asks for which parts, and each form that comes or goes. Out: whether there is room for another one. Never: a form
//! without somebody who pays for it; a payer refused because another one, who asks for the same, has no room.

use std::collections::HashMap;
use std::sync::Arc;

use crate::model::memory::{Full, Held, Payer};

/// What a form takes beside its bytes: itself, its slot and both their indexes, the head of its labels, its place in two answers
/// and in what lanes know of it, in tables that may have just grown to twice their size.
const FORM_BYTES: usize = 256;

/// What a form of so many bytes takes: they are kept as they came, and once more as labels.
pub(super) const fn price(raw_bytes: usize) -> usize {
    FORM_BYTES + 2 * raw_bytes
}

/// Somebody who asks for some parts of a table.
#[derive(Debug, Clone)]
pub(in crate::collect) struct Asking {
    pub(in crate::collect) payer: Payer,
    /// The parts' names.
    pub(in crate::collect) parts: Vec<Arc<str>>,
}

/// What a table holds, and who pays for it. One that nobody was named for costs the process alone.
#[derive(Debug, Default)]
pub(super) struct Tab {
    process: Held,
    payers: Vec<Paying>,
    /// Part → positions in `payers`.
    of_part: HashMap<Arc<str>, Vec<usize>>,
}

#[derive(Debug)]
struct Paying {
    name: Arc<str>,
    held: Held,
    /// The parts it pays for.
    parts: Vec<Arc<str>>,
    /// Why it does not pay for all of them.
    full: Option<Full>,
}

impl Tab {
    pub(super) fn new(process: Held) -> Tab {
        Tab { process, ..Tab::default() }
    }

    /// From now on these pay; `bytes_of` tells what a part comes to.
    pub(super) fn split(&mut self, asking: Vec<Asking>, bytes_of: impl Fn(&str) -> usize) {
        let mut former: HashMap<_, _> =
            std::mem::take(&mut self.payers).into_iter().map(|paying| (paying.name, paying.held)).collect();
        let mut at: HashMap<Arc<str>, usize> = HashMap::new();
        self.of_part.clear();
        for Asking { payer, parts } in asking {
            let position = *at.entry(payer.name().clone()).or_insert_with(|| {
                let held = former.remove(payer.name()).unwrap_or_else(|| payer.hold());
                self.payers.push(Paying { name: payer.name().clone(), held, parts: Vec::new(), full: None });
                self.payers.len() - 1
            });
            for part in parts {
                let payers = self.of_part.entry(part.clone()).or_default();
                if !payers.contains(&position) {
                    payers.push(position);
                    self.payers[position].parts.push(part);
                }
            }
        }
        for paying in &mut self.payers {
            paying.settle(&bytes_of);
        }
    }

    /// Asks those again who had no room.
    pub(super) fn retry(&mut self, bytes_of: impl Fn(&str) -> usize) {
        for paying in self.payers.iter_mut().filter(|paying| paying.full.is_some()) {
            paying.settle(&bytes_of);
        }
    }

    /// One more form of a part: the process pays, and everybody who asks for the part and has room. If none of them has, nobody
    /// pays.
    pub(super) fn take(&mut self, part: &str, bytes: usize) -> Result<(), Full> {
        self.process.take_for(bytes, self.is_modest(part, bytes))?;
        let mut refusal = None;
        let mut paid = false;
        for at in self.of_part.get(part).into_iter().flatten() {
            let paying = &mut self.payers[*at];
            if paying.full.is_none() {
                paying.full = paying.held.take(bytes).err();
            }
            paid |= paying.full.is_none();
            refusal = refusal.or(paying.full);
        }
        match refusal.filter(|_| !paid) {
            Some(full) => {
                self.process.give(bytes);
                Err(full)
            }
            None => Ok(()),
        }
    }

    /// Whether somebody who asks for the part has no more than an equal share of the process' memory with so much more; a part that
    /// nobody was named for is the process' own.
    pub(super) fn is_modest(&self, part: &str, bytes: usize) -> bool {
        let mut payers = self.of_part.get(part).into_iter().flatten().map(|at| &self.payers[*at]).peekable();
        payers.peek().is_none() || payers.any(|paying| paying.full.is_none() && paying.held.is_modest(bytes))
    }

    /// Parts from what is held so many bytes that were taken beside the forms, and what those who ask paid of them; `bytes_of` tells
    /// what a part's forms come to. Who had no room for all of it does not have it, and gets back what it paid.
    pub(super) fn split_off(&mut self, bytes: usize, bytes_of: impl Fn(&str) -> usize) -> Vec<Held> {
        let mut parted = vec![self.process.split_off(bytes)];
        for paying in &mut self.payers {
            let beside = paying.held.bytes().saturating_sub(paying.forms(&bytes_of));
            let share = paying.held.split_off(beside);
            parted.extend(Some(share).filter(|_| paying.full.is_none()));
        }
        parted
    }

    /// A form less of a part.
    pub(super) fn give(&mut self, part: &str, bytes: usize) {
        self.process.give(bytes);
        for at in self.of_part.get(part).into_iter().flatten() {
            self.payers[*at].held.give(bytes);
        }
    }

    /// Who does not pay for all it asks for, and why.
    pub(super) fn refused(&self) -> impl Iterator<Item = (&Arc<str>, Full)> {
        self.payers.iter().filter_map(|paying| Some((&paying.name, paying.full?)))
    }
}

impl Paying {
    /// Pays what all its parts come to, neither more nor less.
    fn settle(&mut self, bytes_of: impl Fn(&str) -> usize) {
        let due = self.forms(bytes_of);
        let held = self.held.bytes();
        self.held.give(held.saturating_sub(due));
        self.full = self.held.take(due.saturating_sub(held)).err();
    }

    /// What all its parts come to.
    fn forms(&self, bytes_of: impl Fn(&str) -> usize) -> usize {
        self.parts.iter().map(|part| bytes_of(part)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Memory;

    fn asking(payer: &Payer, parts: &[&str]) -> Asking {
        Asking { payer: payer.clone(), parts: parts.iter().map(|part| (*part).into()).collect() }
    }

    fn refused(tab: &Tab) -> Vec<&str> {
        tab.refused().map(|(name, _)| &**name).collect()
    }

    #[test]
    fn each_pays_for_its_parts_and_who_has_no_room_refuses_nobody_else() {
        let memory = Memory::new(1_000);
        let (web, db) = (memory.payer("web", 100), memory.payer("db", 30));
        let mut tab = Tab::new(memory.hold_shared());
        tab.split(vec![asking(&web, &["a", "b"]), asking(&db, &["b"]), asking(&web, &["b"])], |_| 0);
        assert_eq!((tab.take("a", 20), tab.take("b", 20)), (Ok(()), Ok(())));
        assert_eq!((web.hold().of_namespace(), db.hold().of_namespace()), (40, 20));
        assert_eq!((tab.take("b", 20), refused(&tab)), (Ok(()), vec!["db"]));
        assert_eq!((web.hold().of_namespace(), db.hold().of_namespace()), (60, 20));
        assert_eq!(tab.take("a", 50), Err(Full::Namespace { max: 100 }), "nobody else asks for it");
        assert_eq!(tab.take("b", 1), Err(Full::Namespace { max: 100 }), "and here nobody is left");
        tab.give("b", 20);
        let bytes = |part: &str| 20 * usize::from(part != "c");
        tab.retry(bytes);
        assert_eq!((refused(&tab), web.hold().of_namespace(), db.hold().of_namespace()), (vec![], 40, 20));
        tab.split(vec![asking(&db, &["c", "b"])], bytes);
        assert_eq!(
            (web.hold().of_namespace(), db.hold().of_namespace()),
            (0, 20),
            "it does not ask any more"
        );
    }

    #[test]
    fn without_anybody_the_process_pays_and_has_a_limit() {
        let memory = Memory::new(30);
        let mut tab = Tab::new(memory.hold_shared());
        assert_eq!((tab.take("", 30), tab.take("", 1)), (Ok(()), Err(Full::Process { max: 30 })));
        tab.give("", 30);
        assert_eq!(memory.hold_shared().take_for(30, true), Ok(()));
    }

    #[test]
    fn a_part_is_modest_as_long_as_one_of_those_who_ask_for_it_is() {
        let memory = Memory::new(100);
        let (big, small) = (memory.payer("big", 100), memory.payer("small", 100));
        let mut tab = Tab::new(memory.hold_shared());
        tab.split(vec![asking(&big, &["a", "b"]), asking(&small, &["b"])], |_| 0);
        assert!(tab.is_modest("a", 50) && !tab.is_modest("a", 51), "half of it is an equal share");
        assert_eq!(tab.take("a", 40), Ok(()));
        assert!(!tab.is_modest("a", 20) && tab.is_modest("b", 20) && tab.is_modest("c", 1_000));
    }
}
