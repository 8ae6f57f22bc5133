//! Aside: what is known of the same identities on another stretch of ticks, while a lane works on two stretches in turn.
//!
//! In: the tick before the later stretch begins. Out: values, owners and ends of the one stretch or the other. Never: a second copy
//! of an identity's labels; an identity that one stretch has a place for and the other has not; an end that is told twice.

use super::hot::{Hot, NO_OWNER};
use super::{Fingerprint, Outputs, Swept};
use crate::model::Timestamp;
use crate::model::memory::Full;

/// What an identity takes here, in a table that has just grown to twice its size.
pub(super) const ASIDE_BYTES: usize = 2 * (size_of::<Hot>() + size_of::<Fingerprint>());

/// What belongs to the stretch whose turn it is not, by an identity's number.
pub(super) struct Aside {
    hot: Vec<Hot>,
    claims: Vec<Fingerprint>,
}

impl Aside {
    /// Makes a place for an identity, or makes its place anew.
    pub(super) fn place(&mut self, id: usize) {
        if id == self.hot.len() {
            self.hot.push(Hot::NEW);
            self.claims.push(Fingerprint::NONE);
        }
        (self.hot[id], self.claims[id]) = (Hot::NEW, Fingerprint::NONE);
    }

    pub(super) fn remove(&mut self, id: usize) {
        self.hot[id] = Hot { used: false, ..Hot::NEW };
    }

    pub(super) fn disown(&mut self) {
        self.claims.fill(Fingerprint::NONE);
        self.hot.iter_mut().for_each(Hot::disown);
    }
}

impl Hot {
    /// As it is where nothing was seen yet. Whose it was last it is first.
    fn afresh(&mut self) {
        let Hot { rank, used, .. } = *self;
        *self = Hot { rank, used, ..Hot::NEW };
    }

    pub(super) fn disown(&mut self) {
        (self.rank, self.owner, self.contested) = (NO_OWNER, NO_OWNER, false);
    }
}

impl Outputs {
    /// Puts aside what is known: from here on it is a later stretch's turn, of which nothing is.
    pub(crate) fn part(&mut self) -> Result<(), Full> {
        self.held.take(self.index.len() * ASIDE_BYTES)?;
        self.aside = Some(Aside { hot: self.hot.clone(), claims: self.claims.clone() });
        self.hot.iter_mut().for_each(Hot::afresh);
        Ok(())
    }

    /// Whether there are two stretches.
    pub(crate) fn is_parted(&self) -> bool {
        self.aside.is_some()
    }

    /// It is the other stretch's turn.
    pub(crate) fn turn(&mut self) {
        if let Some(Aside { hot, claims }) = &mut self.aside {
            std::mem::swap(&mut self.hot, hot);
            std::mem::swap(&mut self.claims, claims);
        }
    }

    /// The stretch whose turn it is goes on alone, and the other one is forgotten.
    pub(crate) fn forget_other(&mut self) {
        if self.aside.take().is_some() {
            self.held.give(self.index.len() * ASIDE_BYTES);
        }
    }

    /// The earlier stretch, whose turn it is not, has come to the later one, which knows what there was at `known`, the tick before
    /// it began. What was there in the earlier one to the last, and never in the later one, has not been said to have ended.
    pub(crate) fn join(&mut self, known: Timestamp) {
        let earlier = self.aside.iter().flat_map(|aside| &aside.hot);
        for (hot, earlier) in self.hot.iter_mut().zip(earlier) {
            hot.live |= earlier.live && hot.seen < known.as_millis();
        }
        self.forget_other();
    }

    /// As [`Outputs::sweep`], of the stretch whose turn it is: what is idle there is nobody's any more, and keeps its place for
    /// the other.
    pub(super) fn vacate(&mut self, before: Timestamp) -> Swept {
        let mut swept = Swept { freed: vec![false; self.hot.len()], count: 0, contested: false };
        for (id, (hot, claim)) in self.hot.iter_mut().zip(&mut self.claims).enumerate() {
            let is_idle = hot.used && !hot.live && hot.seen < before.as_millis();
            if !is_idle || *claim == Fingerprint::NONE {
                continue;
            }
            *claim = Fingerprint::NONE;
            swept.freed[id] = true;
            swept.count += 1;
            swept.contested |= std::mem::take(&mut hot.contested);
        }
        swept
    }
}
