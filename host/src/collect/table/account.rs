//! Account: what samples and bytes that are not read yet are paid for with.
//!
//! In: what came, and of which part it is. Out: whether there is room for it. Never: a sample in an answer that nobody pays for as long as somebody
//! has the answer.

use std::sync::Arc;

use super::{Table, runs};
use crate::collect::read::Run;
use crate::collect::scan::Refusal;
use crate::model::memory::{Full, Held};

impl Table {
    /// Takes so much more for what came of the request that was begun last and was not read yet. Of those who ask nobody pays for it,
    /// but to the process it counts as all theirs.
    pub(in crate::collect) fn pay(&self, held: &mut Held, bytes: usize) -> Result<(), Full> {
        held.take_for(bytes, self.is_modest(&self.asked, held.bytes() + bytes))
    }

    /// Whether of each of these parts somebody asks who has no more than an equal share of the process' memory with so much more.
    pub(in crate::collect) fn is_modest(&self, parts: &[Arc<str>], bytes: usize) -> bool {
        parts.iter().all(|part| self.tab.is_modest(part, bytes))
    }

    /// Samples of a form are paid for by who asks for it.
    pub(super) fn charge(&mut self, form: u32, samples: Run<'_>) -> Result<(), Refusal> {
        let (part, bytes) = (self.forms.get(form).part, runs::price(samples));
        if bytes == 0 {
            return Ok(());
        }
        self.tab.take(&self.parts.name(part), bytes).map_err(Refusal::Memory)?;
        self.parts.charge(part, bytes as isize);
        match self.charges[self.charged_before..].last_mut() {
            Some((last, sum)) if *last == part => *sum += bytes,
            _ => self.charges.push((part, bytes)),
        }
        Ok(())
    }

    /// Samples are not held any more that were paid for since.
    pub(super) fn give_back(&mut self, since: usize) {
        let Table { tab, parts, charges, .. } = self;
        for (part, bytes) in charges.drain(since..) {
            tab.give(&parts.name(part), bytes);
            parts.charge(part, -(bytes as isize));
        }
        self.charged_before = since;
    }

    /// Parts from what is held what samples were paid for with.
    pub(super) fn split_off(&mut self) -> Vec<Held> {
        let Table { tab, parts, charges, .. } = self;
        let mut samples = 0;
        for (part, bytes) in charges.drain(..) {
            parts.charge(part, -(bytes as isize));
            samples += bytes;
        }
        self.charged_before = 0;
        tab.split_off(samples, |part| parts.bytes(part))
    }
}
