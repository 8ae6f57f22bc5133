//! Recall: what a lane's receiver holds when the lane begins, asked of the sources.
//!
//! In: the tick that the receiver acknowledged last. Out: outputs that know what was there. Never: anything that is sent.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::RemoteLane;
use crate::model::{LOOKBACK, Tick, Timestamp};
use crate::pipeline::failure::Failure;
use crate::pipeline::intake::{Ask, Gathered};
use crate::pipeline::lane::lock;
use crate::pipeline::outputs::{Conclude, Floor, Outputs};
use crate::pipeline::schedule::pause;
use crate::pipeline::sending::Sink;

impl<A: Ask, S: Sink> RemoteLane<A, S> {
    /// All samples are taken that are newer than what was delivered, from this tick on. What was there before is looked at once, so that
    /// it is known what goes on; of each series the newest of that is sent again, if the receiver may have been `delivered` anything
    /// before.
    pub(super) fn resume(&mut self, first: Tick, delivered: Option<Timestamp>) {
        let before = first.previous(self.context.schedule.interval).timestamp();
        let at = delivered.map_or(before, |last| before.max(last).min(first.timestamp()));
        let is_known = !lock(self.assembler.outputs()).is_empty();
        // Whoever looks first may have been here before, and looked too early for a sample that was stored late.
        let again = delivered.filter(|_| !is_known).map(|_| at.minus(LOOKBACK));
        self.assembler.take_all(Floor { at, again });
        self.reach = LOOKBACK;
    }

    /// What the receiver holds, as of the tick that it acknowledged last, for a lane that was told by nobody: what ends behind
    /// it ends there, although another process sent it. Nothing is sent.
    pub(super) async fn recall(&mut self, halt: &CancellationToken) {
        let Some(last) = self.context.delivered_last() else { return };
        if !lock(self.assembler.outputs()).is_empty() {
            return;
        }
        let give_up_at = self.context.give_up_at(last);
        while !halt.is_cancelled() && Instant::now() < give_up_at {
            let ended = tokio::select! {
                ended = self.recalled(last) => ended,
                () = halt.cancelled() => return,
            };
            self.assembler.end();
            match ended {
                Err(failure) if failure.is_transient() => {
                    pause(self.context.failed(last, &failure), halt).await;
                }
                // What cannot be recalled ends when readers do not see it any more.
                Ok(()) | Err(_) => return,
            }
        }
    }

    async fn recalled(&mut self, last: Tick) -> Result<(), Failure> {
        let gathered = self.intake.at(last, self.context.behind(last), Duration::ZERO).await?;
        let gathered = self.context.of_the_past(last, gathered)?;
        self.remember(last, &gathered)
    }

    /// Takes it that the receiver holds what was gathered for a tick.
    pub(super) fn remember(&mut self, last: Tick, gathered: &Gathered) -> Result<(), Failure> {
        let (idle_before, now) = (self.context.idle_before(last), self.context.now());
        let priority = self.context.pace.priority(now);
        let taken = priority.compute(|| {
            let nothing = |outputs: &Outputs| outputs.emit(last, Conclude::Nothing, |_, _| ());
            self.assembler.tick(last, now, &gathered.answers, idle_before, nothing)
        });
        self.context.filtered(self.assembler.usage());
        taken?;
        self.recollection.believe(last, gathered.series());
        self.assembler.settle(last, Conclude::Nothing);
        Ok(())
    }
}
