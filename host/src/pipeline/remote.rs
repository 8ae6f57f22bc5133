//! Remote lane: one source group's ticks, delivered to one remote-write endpoint, in order.
//!
//! In: a cursor. Out: acknowledged ticks, and the cursor behind each.
//! Never: tick T+1 sent before all of T is settled, but where the receiver takes samples in any order ([`past`]); a tick delivered
//! that a filter failed on.

mod leave;
mod past;
mod prepare;
mod recall;

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::assemble::{self, Assembler};
use super::batches::Batches;
use super::doubt::Doubt;
use super::failure::Failure;
use super::intake::{Ask, Gathered, Intake};
use super::lane::{Context, Progress, Sent};
use super::opaque::Opaque;
use super::outputs::{Conclude, Emitted};
use super::quota::Quota;
use super::recollection::{Recollection, Verdict};
use super::schedule::pause;
use super::sending::{Outcome, Sending, Sink};
use crate::collect::Subscription;
use crate::deliver::encode;
use crate::deliver::protocol::Plan;
use crate::deliver::remote_write::RemoteWrite;
use crate::deliver::v2::Dictionary;
use crate::deliver::{self, Version};
use crate::model::{Mode, Tick};
use crate::status::Stage;
use crate::telemetry::{self, Refusal};
pub(crate) use past::Gap;
use past::Past;
use prepare::Prepared;

/// Deciding and delivering for one (source group, endpoint).
pub(crate) struct RemoteLane<A = Subscription, S = RemoteWrite> {
    context: Context,
    intake: Intake<A>,
    assembler: Assembler,
    quota: Quota,
    sink: S,
    batches: Arc<Batches>,
    /// Series that the endpoint refused last time, as they are encoded: they are sent in requests of their own, so that nobody
    /// has to look for them again.
    apart: HashSet<Vec<u8>>,
    /// Whether it takes native histograms.
    opaque: Opaque,
    /// How far back samples are looked at, until it is known what is there.
    reach: Duration,
    recollection: Recollection,
    /// The series in the words of remote write 2.0, as long as that is spoken.
    dictionary: Option<Dictionary>,
    /// What was told of the version that is spoken.
    spoken: Option<Version>,
    /// Ticks that were missed and are sent behind the newest ones.
    past: Option<Past>,
    /// Those that another lane left.
    gap: Option<Gap>,
}

impl<A: Ask, S: Sink> RemoteLane<A, S> {
    pub(crate) fn new(
        context: Context,
        intake: Intake<A>,
        assembler: Assembler,
        quota: Quota,
        sink: S,
        batches: Arc<Batches>,
    ) -> RemoteLane<A, S> {
        let (apart, reach, recollection) = (HashSet::new(), Duration::ZERO, Recollection::default());
        let (opaque, dictionary, spoken, past, gap) = (Opaque::default(), None, None, None, None);
        RemoteLane {
            context,
            intake,
            assembler,
            quota,
            sink,
            batches,
            apart,
            opaque,
            reach,
            recollection,
            dictionary,
            spoken,
            past,
            gap,
        }
    }

    /// Works tick after tick until told to halt, which it does between ticks.
    pub(crate) async fn run(&mut self, halt: &CancellationToken) {
        let doubt = self.context.doubt();
        // That one is found to take more is what is expected, and no news.
        self.spoken = Some(self.sink.speaks()).filter(|version| *version != Version::V1);
        if self.context.tenant.mode == Mode::Sampled {
            // The lane before may have taken all.
            self.assembler.take_one();
        }
        if self.context.tenant.mode == Mode::Sampled && self.gap.is_none() {
            self.recall(halt).await;
        }
        let first = self.context.first_tick();
        let delivered = self.context.delivered_up_to();
        self.context.begin(first);
        let mut tick = self.take_up(first);
        if self.context.tenant.mode == Mode::Raw {
            self.resume(tick, delivered);
        }
        loop {
            tick = self.part(tick, halt).await;
            if self.is_time_for_past(tick) && !halt.is_cancelled() {
                self.fill(tick, doubt, halt).await;
                continue;
            }
            let Some(due) = self.context.wait_for(tick, self.settled_last(), halt).await else { return };
            tick = self.context.within_reach(due);
            let ended = self.tick(tick, doubt, halt, halt).await;
            self.assembler.end();
            match ended {
                Ok(Progress::Settled) => {
                    self.settled(tick);
                    tick = tick.next(self.context.schedule.interval);
                }
                Ok(Progress::Halted) => return,
                Err(failure) => pause(self.context.failed(tick, &failure), halt).await,
            }
        }
    }

    /// One tick, which is given up for now if it is not taken and `stop` is cancelled, or at once if `halt` is while the source is asked.
    async fn tick(
        &mut self,
        tick: Tick,
        doubt: Doubt,
        halt: &CancellationToken,
        stop: &CancellationToken,
    ) -> Result<Progress, Failure> {
        let began = Instant::now();
        self.context.saved_for(tick).await;
        let behind = self.behind(tick);
        // What was told to be old of a tick in doubt was old for some: of what was stored late, others may be new.
        self.assembler.repeat(doubt.of(tick));
        let asking = self.intake.at(tick, behind, self.reach);
        let answered = self.context.answered(tick, asking, &self.quota, halt).await;
        if !matches!(answered, Ok(ControlFlow::Continue(_))) {
            // If it was for want of memory: what can be done without makes room for the next try.
            self.dictionary = None;
        }
        let mut asked = match answered? {
            ControlFlow::Continue(asked) => asked,
            ControlFlow::Break(progress) => return Ok(progress),
        };
        let (series, targets) = (asked.series(), asked.answers.len());
        let plan = self.sink.plan();
        let prepared = match self.judged(tick, &mut asked, plan, halt).await {
            Ok(ControlFlow::Continue(prepared)) => Ok(prepared),
            Ok(ControlFlow::Break(progress)) => return Ok(progress),
            Err(failure) => Err(failure),
        };
        let mut prepared = match prepared {
            Err(Failure::Assemble(assemble::Error::Memory(full))) => {
                return self.context.no_room(tick, full, series, targets);
            }
            prepared => prepared?,
        };
        self.context.collected(tick, targets, &prepared.counts, prepared.emitted);
        let conclude = asked.conclude;
        drop(asked);
        let bytes = prepared.encoded.requests.iter().map(|request| request.body.len()).sum();
        if let Err(breach) = self.quota.bytes(bytes) {
            self.context.breached(tick, Stage::Deliver, &breach, series, targets);
            return Ok(Progress::Settled);
        }
        self.context.refused(Refusal::Limit, prepared.encoded.oversized);
        let doubt = match self.context.tenant.mode {
            // A receiver that has it all takes it again.
            Mode::Sampled => doubt,
            Mode::Raw => doubt.and(self.context.attempted_tick),
        };
        self.context.attempted_tick = self.context.attempted_tick.max(Some(tick));
        let sending = Sending::new(&self.context, &self.sink, tick, doubt, self.batches.limits(), stop)
            .knowing(self.opaque.refused(began));
        if plan == Plan::Trial {
            sending.try_v2(&mut prepared.encoded.requests);
        }
        let sent = sending.all(prepared.encoded.requests).await;
        self.tell_version();
        let mut taken = match sent? {
            Outcome::Settled(taken) => taken,
            Outcome::Halted => return Ok(Progress::Halted),
        };
        if let Some(deliver::Error::Histograms { message }) = &taken.why
            && self.opaque.refused(began).is_none()
        {
            self.opaque.learn(message.clone(), began);
        }
        self.assembler.settle(tick, conclude);
        if conclude != Conclude::Nothing {
            self.reach = Duration::ZERO;
        }
        self.refused(taken.refused);
        let rejected = taken.rejected(encode::read_labels);
        let samples = taken.acknowledged + taken.held_before;
        if samples > 0 || taken.refused == 0 {
            let sent = Sent { samples, refused: taken.refused, bytes };
            self.context.delivered(tick, began, &prepared.counts, prepared.emitted, sent);
        }
        match rejected {
            Some(rejected) => self.context.rejected(tick, &rejected),
            None if taken.refused == 0 => self.context.taken_whole(tick),
            // Too old: that was told.
            None if samples == 0 => self.context.metrics.tick(telemetry::Outcome::GivenUp),
            None => {}
        }
        self.apart = taken.offenders.into_iter().collect();
        Ok(Progress::Settled)
    }

    /// The tick as it is to be sent, which is over with this if nothing of it is to be had any more.
    async fn judged(
        &mut self,
        tick: Tick,
        asked: &mut Gathered,
        plan: Plan,
        halt: &CancellationToken,
    ) -> Result<ControlFlow<Progress, Prepared>, Failure> {
        let prepared = self.prepared(tick, asked, plan)?;
        let emitted = prepared.emitted;
        // Where ends are told by the source itself, nothing is concluded from what is missing.
        if asked.conclude == Conclude::Nothing || self.context.tenant.mode == Mode::Raw {
            return Ok(ControlFlow::Continue(prepared));
        }
        let is_lost = tokio::select! {
            is_lost = self.is_lost(tick, emitted) => is_lost?,
            () = halt.cancelled() => return Ok(ControlFlow::Break(Progress::Halted)),
        };
        if !is_lost {
            return Ok(ControlFlow::Continue(prepared));
        }
        asked.conclude = Conclude::Nothing;
        if emitted.samples > 0 {
            return self.prepared(tick, asked, plan).map(ControlFlow::Continue);
        }
        self.context.lost(tick, emitted.stale);
        self.assembler.settle(tick, Conclude::Nothing);
        Ok(ControlFlow::Break(Progress::Settled))
    }

    /// Whether what is missing in complete answers has not ended, but is lost to the source.
    async fn is_lost(&mut self, tick: Tick, emitted: Emitted) -> Result<bool, Failure> {
        match self.recollection.judge(tick, emitted) {
            Verdict::Ended => Ok(false),
            Verdict::Lost => Ok(true),
            Verdict::Unless(before) => {
                let is_lost = !self.intake.holds(before).await?;
                self.recollection.told(tick, is_lost);
                Ok(is_lost)
            }
        }
    }

    /// Says which version the receiver is spoken to in, when it is another one.
    fn tell_version(&mut self) {
        let version = self.sink.speaks();
        let before = self.spoken.replace(version);
        self.context.status.protocol(version.as_str());
        if before.is_some_and(|before| before != version) {
            let (id, endpoint) = (&self.context.tenant.id, &*self.context.key.endpoint);
            let (namespace, name) = (&*id.namespace, &*id.name);
            info!(namespace, name, endpoint, protocol = %version, "Receiver is spoken to in another version");
        }
    }
}

#[cfg(test)]
mod simulation;
