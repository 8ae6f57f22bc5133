//! Past: ticks that were missed, sent behind the newest ones, to a receiver that takes samples in any order.
//!
//! In: a lane that is behind. Out: the newest tick first, then each as it is due, and in the time between them those that were
//! missed, oldest first. Never: a tick that waits for an older one to be taken; an end told twice, or concluded from what is missing
//! on the other stretch; a cursor beyond a tick that is owed.
//!
//! The two stretches have nothing in common but identities: the present begins as a lane does that takes over, with what its source
//! had at the tick before. The past ends with that tick, and there the present goes on alone. Should the lane fall behind once more
//! meanwhile, the present catches up in order, before anything else is sent of the past.

use std::collections::HashSet;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::RemoteLane;
use crate::model::{Order, Tick, Timestamp};
use crate::pipeline::doubt::Doubt;
use crate::pipeline::failure::Failure;
use crate::pipeline::intake::{Absences, Ask, Gathered};
use crate::pipeline::lane::Progress;
use crate::pipeline::order::Stretch;
use crate::pipeline::recollection::Recollection;
use crate::pipeline::schedule::pause;
use crate::pipeline::sending::Sink;

/// With so many ticks due behind the next one a lane does not leave the newest for last.
const BEHIND_MAX: u32 = 3;

/// The stretch of ticks that was missed.
pub(super) struct Past {
    /// Its next tick.
    next: Tick,
    /// The first one that is the present's.
    until: Tick,
    /// The tick before it, of which the present knows what there was.
    known: Timestamp,
    /// The newest one of the present that is settled.
    settled: Tick,
    /// Samples of it that the receiver did not take.
    refused: usize,
    /// What belongs to the stretch whose turn it is not.
    other: Other,
}

/// What each stretch has of its own beside the outputs.
struct Other {
    recollection: Recollection,
    absences: Absences,
    apart: HashSet<Vec<u8>>,
}

/// A past that was not finished, for the lane that goes on with it: the outputs know what was there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gap {
    /// Its next tick.
    next: Timestamp,
    /// The first tick that is the present's.
    until: Timestamp,
    /// The tick before it, of which the present knows what there was.
    known: Timestamp,
    /// The newest one that is settled.
    settled: Timestamp,
}

impl<A: Ask, S: Sink> RemoteLane<A, S> {
    /// Whether it may leave the newest tick not for last.
    pub(crate) fn can_part(&self) -> bool {
        self.context.order == Order::Any && self.assembler.can_part()
    }

    /// The tick to go on with: the newest, if so many are due that `tick` and those behind it are better sent after it.
    pub(super) async fn part(&mut self, tick: Tick, halt: &CancellationToken) -> Tick {
        if self.past.is_some() || !self.can_part() || self.context.behind(tick) <= BEHIND_MAX {
            return tick;
        }
        let tick = self.context.within_reach(tick);
        let newest = self.context.newest();
        let before = newest.previous(self.context.schedule.interval);
        if before <= tick {
            return tick;
        }
        let mut other = self.afresh();
        self.turn_to(&mut other);
        let begun = match self.asked_before(before, halt).await {
            Some(gathered) => self.begin_present(before, &gathered),
            None => false,
        };
        if !begun {
            self.turn_to(&mut other);
            return tick;
        }
        let known = before.timestamp();
        self.past = Some(Past { next: tick, until: newest, known, settled: before, refused: 0, other });
        self.tell_parted();
        newest
    }

    fn afresh(&self) -> Other {
        let (recollection, apart) = (Recollection::default(), HashSet::new());
        Other { recollection, absences: self.intake.no_absences(), apart }
    }

    /// The tick before the present begins, if it can be had. If not, that is told of the tick that comes next, which is no easier.
    async fn asked_before(&mut self, before: Tick, halt: &CancellationToken) -> Option<Gathered> {
        let asked = tokio::select! {
            asked = self.intake.at(before, 0, Default::default()) => asked,
            () = halt.cancelled() => return None,
        };
        let asked = asked.and_then(|gathered| self.context.of_the_past(before, gathered));
        asked.inspect_err(|error| debug!(%error, tick = %before, "Missed ticks come first")).ok()
    }

    /// Whether the present is begun: there is room for what it has of its own, and the tick before it is known.
    fn begin_present(&mut self, before: Tick, gathered: &Gathered) -> bool {
        if self.assembler.part().is_err() {
            return false;
        }
        let remembered = self.remember(before, gathered);
        self.assembler.end();
        if remembered.is_err() {
            self.assembler.part_not();
        }
        remembered.is_ok()
    }

    fn tell_parted(&mut self) {
        self.context.stretch = Stretch::Present;
        let (id, endpoint) = (&self.context.tenant.id, &*self.context.key.endpoint);
        let ticks = self.left();
        self.context.status.missed(Some(ticks));
        info!(
            namespace = id.namespace,
            name = id.name,
            endpoint,
            ticks,
            "Remote write job goes on with the newest tick, those that it missed follow"
        );
    }

    /// How many ticks of the past are left.
    fn left(&self) -> u64 {
        self.past.as_ref().map_or(0, |past| self.context.schedule.ticks_between(past.next, past.until))
    }

    /// How many ticks can be asked for behind this one of the stretch whose turn it is.
    pub(super) fn behind(&self, tick: Tick) -> u32 {
        let behind = self.context.behind(tick);
        match &self.past {
            Some(past) if self.context.stretch == Stretch::Past => {
                let left = self.context.schedule.ticks_between(tick, past.until).saturating_sub(1);
                behind.min(u32::try_from(left).unwrap_or(u32::MAX))
            }
            _ => behind,
        }
    }

    /// The newest tick that is settled of those that are in order, if it is not where the cursor is.
    pub(super) fn settled_last(&self) -> Option<Timestamp> {
        self.past.as_ref().map(|past| past.settled.timestamp())
    }

    /// Nothing is left to do of a tick of the present, or of the only stretch there is.
    pub(super) fn settled(&mut self, tick: Tick) {
        match &mut self.past {
            Some(past) => {
                past.settled = past.settled.max(tick);
                self.context.failures = 0;
            }
            None => self.context.settled(tick),
        }
    }

    /// Whether there is time for the past before the present's `next` tick is due.
    pub(super) fn is_time_for_past(&self, next: Tick) -> bool {
        self.past.is_some() && !self.context.is_due(next)
    }

    /// Sends one tick of the past, as far as it is taken until the present's `next` one is due.
    pub(super) async fn fill(&mut self, next: Tick, doubt: Doubt, halt: &CancellationToken) {
        let Some(Past { next: tick, until, .. }) = self.past else { return };
        let tick = self.context.within_reach_of(tick, until);
        if tick < until {
            let due = self.context.due_at(next);
            match self.sent_of_past(tick, doubt, halt, due).await {
                Ok(Progress::Settled) => self.context.settled(tick),
                Ok(Progress::Halted) => return self.filled_up_to(tick),
                Err(failure) => {
                    self.filled_up_to(tick);
                    let wait = self.context.failed(tick, &failure);
                    let left = due.saturating_duration_since(Instant::now());
                    return pause(wait.min(left), halt).await;
                }
            }
        }
        self.filled_up_to(tick.next(self.context.schedule.interval).min(until));
    }

    async fn sent_of_past(
        &mut self,
        tick: Tick,
        doubt: Doubt,
        halt: &CancellationToken,
        due: Instant,
    ) -> Result<Progress, Failure> {
        self.turn(Stretch::Past);
        let stop = halt.child_token();
        let ended = {
            let sending = self.tick(tick, doubt, halt, &stop);
            tokio::pin!(sending);
            tokio::select! {
                ended = &mut sending => ended,
                () = tokio::time::sleep_until(due) => {
                    // What is under way is finished, and nothing is tried again before it is the present's turn.
                    stop.cancel();
                    sending.await
                }
            }
        };
        self.assembler.end();
        self.turn(Stretch::Present);
        ended
    }

    /// The past goes on with `next`, or is over.
    fn filled_up_to(&mut self, next: Tick) {
        let Some(past) = &mut self.past else { return };
        past.next = next;
        match past.next < past.until {
            true => self.context.status.missed(Some(self.left())),
            false => {
                let refused = self.join();
                self.tell_joined(refused);
            }
        }
    }

    /// It is the turn of a stretch. Between ticks it is the present's.
    fn turn(&mut self, stretch: Stretch) {
        let Some(mut past) = self.past.take() else { return };
        self.assembler.turn();
        self.turn_to(&mut past.other);
        self.past = Some(past);
        self.context.stretch = stretch;
    }

    fn turn_to(&mut self, other: &mut Other) {
        std::mem::swap(&mut self.recollection, &mut other.recollection);
        std::mem::swap(&mut self.apart, &mut other.apart);
        self.intake.turn(&mut other.absences);
    }

    /// Samples of the stretch whose turn it is were not taken.
    pub(super) fn refused(&mut self, samples: usize) {
        if let Some(past) = self.past.as_mut().filter(|_| self.context.stretch == Stretch::Past) {
            past.refused += samples;
        }
    }

    /// The present goes on alone. How many samples of the past were not taken.
    fn join(&mut self) -> usize {
        let Some(Past { known, settled, refused, other, .. }) = self.past.take() else { return 0 };
        self.assembler.join(known);
        self.recollection.follow(&other.recollection);
        self.context.settled(settled);
        refused
    }

    fn tell_joined(&mut self, refused: usize) {
        self.context.stretch = Stretch::Whole;
        self.context.status.missed(None);
        let (id, endpoint) = (&self.context.tenant.id, &*self.context.key.endpoint);
        let (namespace, name) = (&*id.namespace, &*id.name);
        match refused {
            0 => info!(namespace, name, endpoint, "Remote write job has sent what it missed"),
            refused => {
                warn!(
                    namespace,
                    name,
                    endpoint,
                    refused,
                    "Remote write job has sent what it missed, and not all of it was taken"
                );
            }
        }
    }

    /// What the next lane is told of the past, if there is one.
    pub(super) fn gap(&self) -> Option<Gap> {
        let gap = |past: &Past| {
            let [next, until, settled] = [past.next, past.until, past.settled].map(Tick::timestamp);
            Gap { next, until, known: past.known, settled }
        };
        self.past.as_ref().map(gap).or(self.gap)
    }

    /// As the lane that another one left a past to.
    pub(crate) fn with_gap(self, gap: Option<Gap>) -> Self {
        RemoteLane { gap, ..self }
    }

    /// There will be no further tick: what there is on either stretch is what the receiver holds.
    pub(super) fn leave_past(&mut self) {
        self.join();
        if let Some(Gap { known, settled, .. }) = self.gap.take() {
            self.assembler.join(known);
            self.context.settled(Tick::at_or_before(settled, self.context.schedule.interval));
        }
    }

    /// Goes on with the past that another lane left; the tick to go on with, which is `first` if there is none. Who cannot send it any more
    /// gives it up: what was sent since is not sent again with other values.
    pub(super) fn take_up(&mut self, first: Tick) -> Tick {
        let Some(Gap { next, until, known, settled }) = self.gap.take() else { return first };
        let interval = self.context.schedule.interval;
        let not_before = |moment: Timestamp| Tick::after(Timestamp(moment.as_millis() - 1), interval);
        let (tick, until, next) = (not_before(next), not_before(until), Tick::after(settled, interval));
        if tick >= until || !self.can_part() || !self.assembler.go_on_parted() {
            self.assembler.join(known);
            self.context.give_up(tick, until);
            self.context.settled(Tick::at_or_before(settled, interval));
            return next;
        }
        let settled = Tick::at_or_before(settled, interval);
        self.past = Some(Past { next: tick, until, known, settled, refused: 0, other: self.afresh() });
        self.tell_parted();
        next
    }
}
