//! Exit: what a series has to pass before it is one that can be sent.
//!
//! In: the labels that the last filter left. Out: its encoded form, and whether the identity is this lane's to write.
//! Never: a series that lacks a stamp; an identity that somebody else may write at the same tick.

use std::sync::Arc;

use super::assemble::{Counts, Error};
use super::claims::{Denied, News, Seat};
use super::encoding::Encoding;
use super::outputs::OutputId;
use super::verdicts::Verdict;
use crate::model::{Labels, Stamped, Stamps, Tick, Timestamp};

/// Before anything was sent.
pub(super) const NEVER: Timestamp = Timestamp(i64::MIN);

/// The last station of a lane's series.
pub(super) struct Exit {
    stamps: Stamps,
    encoding: Encoding,
    seat: Option<Seat>,
    /// One identity that an older resource has, in words.
    conflict: Option<Arc<str>>,
}

impl Exit {
    pub(super) fn new(stamps: Stamps, encoding: Encoding, seat: Option<Seat>) -> Exit {
        Exit { stamps, encoding, seat, conflict: None }
    }

    pub(super) fn stamp_bytes(&self) -> usize {
        self.stamps.labels.text_bytes()
    }

    /// Appends the series' encoded labels, if it carries every stamp.
    pub(super) fn encode(&self, labels: Labels, out: &mut Vec<u8>) -> Result<Stamped, Error> {
        let stamped = Stamped::vouch(labels, &self.stamps)?;
        self.encoding.append(&stamped, out);
        Ok(stamped)
    }

    /// Claims an identity where others may write it too: what becomes of it, and up to when others may have sent it.
    pub(super) fn claim(
        &mut self,
        id: OutputId,
        encoded: &[u8],
        labels: &Labels,
        tick: Tick,
        counts: &mut Counts,
    ) -> (Verdict, Timestamp) {
        let Some(seat) = self.seat.as_ref().filter(|seat| seat.is_contended()) else {
            return (Verdict::Keep(id), NEVER);
        };
        let denied = match seat.claim(encoded, tick) {
            Ok(sent) => return (Verdict::Keep(id), sent),
            Err(denied) => denied,
        };
        let said = match denied {
            Denied::Group => {
                format!("{labels} is delivered from another source; give the sources labels")
            }
            Denied::Older(tenant) => {
                let said = format!("{labels} belongs to {tenant}, which is older");
                self.conflict = Some(said.as_str().into());
                said
            }
            // It is this one's from the next tick on, or soon after.
            Denied::Waiting => return (Verdict::Collided, NEVER),
        };
        counts.collision.get_or_insert(said);
        (Verdict::Collided, NEVER)
    }

    /// Whether others may write the same identities.
    pub(super) fn is_contended(&self) -> bool {
        self.seat.as_ref().is_some_and(Seat::is_contended)
    }

    /// Gives identities back that were claimed.
    pub(super) fn release<'a>(&self, identities: impl Iterator<Item = &'a [u8]>) {
        if let Some(seat) = &self.seat {
            seat.release(identities);
        }
    }

    /// What was changed at the receiver since the tick before, if it is anything to ask again about.
    pub(super) fn begin(&self, tick: Tick) -> Option<News> {
        Some(self.seat.as_ref()?.begin(tick)).filter(News::is_to_ask_again)
    }

    /// Whether an identity is an older resource's now.
    pub(super) fn has_lost(&self, news: &News, identity: &[u8]) -> bool {
        self.seat.as_ref().is_some_and(|seat| seat.lost(news, identity))
    }

    /// The tick is over: what older resources wait for is theirs.
    pub(super) fn end(&self) {
        if let Some(seat) = &self.seat {
            seat.end();
        }
    }

    /// As long as an older resource has identities of this one: one of them, in words. After a tick with `collided` series.
    pub(super) fn conflict(&mut self, collided: usize) -> Option<Arc<str>> {
        if collided == 0 {
            self.conflict = None;
        }
        self.conflict.clone()
    }

    pub(super) fn into_seat(self) -> Option<Seat> {
        self.seat
    }
}
