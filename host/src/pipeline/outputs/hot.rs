//! Hot: what one tick reads and writes of an output.
//!
//! In: values with their ranks. Out: what there is to send. Never: two values of one tick.

use crate::model::STALE_NAN_BITS;

/// Position of a source within its group; the lower one is preferred.
pub type Rank = u16;
pub(super) const NO_OWNER: Rank = Rank::MAX;

/// Whether every source of the group answered, so that what is missing has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conclude {
    /// What was there and is not has ended.
    Ended,
    /// What nobody wants any more has ended. What is missing is marked where it has.
    Unwanted,
    /// Nothing can be said of what is missing.
    Nothing,
}

/// What one tick reads and writes of an output.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hot {
    pub(super) value: f64,
    /// The tick it was last seen at, in milliseconds.
    pub(super) seen: i64,
    /// Whose value it is at `seen`.
    pub(super) rank: Rank,
    /// Whose value it was at the tick before.
    pub(super) owner: Rank,
    /// Whether the receiver holds it as present.
    pub(super) live: bool,
    /// Whether it is there at `seen` without a value: somebody holds it back, so it has not ended.
    pub(super) withheld: bool,
    pub(super) contested: bool,
    pub(super) used: bool,
}

impl Hot {
    /// One that was never seen.
    pub(super) const NEW: Hot = Hot {
        value: 0.0,
        seen: NEVER,
        rank: NO_OWNER,
        owner: NO_OWNER,
        live: false,
        withheld: false,
        contested: false,
        used: true,
    };

    /// Takes one value. The owner's value stands; without it the lowest rank's, whatever the order of arrival.
    #[inline]
    pub(super) fn take(&mut self, tick: i64, rank: Rank, value: f64) {
        if self.seen != tick {
            self.owner = self.rank;
            self.seen = tick;
            self.withheld = false;
        } else if rank == self.rank || self.rank == self.owner || (rank != self.owner && rank > self.rank) {
            return;
        }
        self.rank = rank;
        self.value = value;
    }

    /// Takes one value, or that there is none, from the only one who gives any: the last word counts.
    #[inline]
    pub(super) fn put(&mut self, tick: i64, value: Option<f64>) {
        // It may have had a value at this tick, before somebody who emits it was asked again.
        let has_value = self.seen == tick && !self.withheld;
        self.seen = tick;
        self.withheld = value.is_none() && !has_value;
        if let Some(value) = value {
            self.value = value;
        }
    }

    /// What is sent of it at `tick`, in milliseconds.
    #[inline]
    pub(super) fn at(&self, tick: i64, conclude: Conclude) -> At {
        let ended = if self.live { At::Ended } else { At::Nothing };
        match (self.seen == tick, conclude) {
            (true, _) if self.withheld => At::Nothing,
            (true, _) if self.value.to_bits() == STALE_NAN_BITS => ended,
            (true, _) => At::Value,
            (false, Conclude::Ended) => ended,
            (false, Conclude::Nothing | Conclude::Unwanted) => At::Nothing,
        }
    }

    /// Whether the receiver holds it as present once it took what was sent at `tick`.
    pub(super) fn is_live_after(&self, tick: i64, conclude: Conclude) -> bool {
        match self.at(tick, conclude) {
            At::Value => true,
            At::Ended => false,
            At::Nothing => self.live,
        }
    }
}

/// What there is of an identity at a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum At {
    Value,
    Ended,
    /// Nothing new: it is not there, or nobody knows, or it is there without a value.
    Nothing,
}

pub(super) const NEVER: i64 = i64::MIN;
