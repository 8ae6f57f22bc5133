//! Remote lane: one source group's ticks, delivered to one remote-write endpoint, strictly in order.
//!
//! In: a cursor. Out: acknowledged ticks, and the cursor behind each.
//! Never: tick T+1 sent before all of T is settled; a tick delivered that a filter failed on.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::assemble::{self, Assembler, Counts};
use super::batches::{Batches, Encoded};
use super::claims::Seat;
use super::failure::Failure;
use super::intake::{Gathered, Intake};
use super::lane::{Context, Progress, Sent, lock};
use super::news::Fault;
use super::outputs::{Emitted, Outputs};
use super::quota::Quota;
use super::schedule::pause;
use crate::deliver::encode::Request;
use crate::deliver::remote_write::RemoteWrite;
use crate::deliver::{self, retry};
use crate::model::{STALE_NAN_BITS, Tick};
use crate::status::Stage;
use crate::telemetry::Refusal;

/// Deciding and delivering for one (source group, endpoint).
pub(crate) struct RemoteLane {
    context: Context,
    intake: Intake,
    assembler: Assembler,
    quota: Quota,
    sink: RemoteWrite,
    batches: Arc<Batches>,
}

/// One tick, ready to send.
struct Prepared {
    encoded: Encoded,
    counts: Counts,
    emitted: Emitted,
}

/// What became of one request.
enum Settled {
    Acknowledged(usize),
    Refused(Refusal, usize),
    /// Somebody has to mend the endpoint first; until then the tick is kept.
    Held(deliver::Error),
    Halted,
}

/// What of a tick an endpoint took.
enum Taken {
    /// Samples it acknowledged, and samples it will never take.
    Settled {
        acknowledged: usize,
        refused: usize,
    },
    Halted,
}

impl RemoteLane {
    pub(crate) fn new(
        context: Context,
        intake: Intake,
        assembler: Assembler,
        quota: Quota,
        sink: RemoteWrite,
        batches: Arc<Batches>,
    ) -> RemoteLane {
        RemoteLane { context, intake, assembler, quota, sink, batches }
    }

    /// Works tick after tick until told to halt, which it does between ticks.
    pub(crate) async fn run(&mut self, halt: &CancellationToken) {
        let mut tick = self.context.first_tick();
        while let Some(due) = self.context.wait_for(tick, halt).await {
            tick = self.context.within_reach(due);
            let ended = self.tick(tick, halt).await;
            self.assembler.end();
            match ended {
                Ok(Progress::Settled) => {
                    self.context.settled(tick);
                    tick = tick.next(self.context.schedule.interval);
                }
                Ok(Progress::Halted) => return,
                Err(failure) => pause(self.context.failed(tick, &failure), halt).await,
            }
        }
    }

    async fn tick(&mut self, tick: Tick, halt: &CancellationToken) -> Result<Progress, Failure> {
        let began = Instant::now();
        let asked = match self.context.answered(tick, self.intake.at(tick), &self.quota, halt).await? {
            ControlFlow::Continue(asked) => asked,
            ControlFlow::Break(progress) => return Ok(progress),
        };
        let (series, targets) = (asked.series(), asked.answers.len());
        let priority = self.context.pace.priority(self.context.now());
        let prepared = priority.compute(|| self.prepare(tick, &asked));
        self.context.filtered(self.assembler.usage());
        self.quota.held(lock(self.assembler.outputs()).held_by_namespace());
        let prepared = match prepared {
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
        self.context.attempted_tick = Some(tick);
        let (acknowledged, refused) = match self.send(tick, &prepared.encoded.requests, halt).await? {
            Taken::Settled { acknowledged, refused } => (acknowledged, refused),
            Taken::Halted => return Ok(Progress::Halted),
        };
        self.assembler.settle(tick, conclude);
        if refused > 0 {
            // It is over, but it was not delivered: the status keeps the failure that the attempts reported.
            return Ok(Progress::Settled);
        }
        self.context.delivered(
            tick,
            began,
            &prepared.counts,
            prepared.emitted,
            Sent { samples: acknowledged, bytes },
        );
        Ok(Progress::Settled)
    }

    fn prepare(&mut self, tick: Tick, gathered: &Gathered) -> Result<Prepared, Failure> {
        let (idle_before, now) = (self.context.idle_before(tick), self.context.now());
        let (taken, encoded) = self.batches.encode(|requests| {
            self.assembler.tick(tick, now, &gathered.answers, idle_before, |outputs| {
                let at = tick.timestamp();
                outputs.emit(tick, gathered.conclude, |labels, value| requests.push(labels, at, value))
            })
        });
        let (counts, emitted) = taken?;
        Ok(Prepared { encoded, counts, emitted })
    }

    /// Sends a tick's requests, several at a time: they hold different series.
    async fn send(
        &self,
        tick: Tick,
        requests: &[Request],
        halt: &CancellationToken,
    ) -> Result<Taken, Failure> {
        let mut waiting = requests.iter();
        let mut sending = FuturesUnordered::new();
        for request in waiting.by_ref().take(self.context.config.concurrency) {
            sending.push(self.settle(tick, request, halt));
        }
        let (mut acknowledged, mut refused) = (0, 0);
        while let Some(outcome) = sending.next().await {
            sending.extend(waiting.next().map(|request| self.settle(tick, request, halt)));
            match outcome {
                Settled::Acknowledged(samples) => acknowledged += samples,
                Settled::Refused(why, samples) => {
                    refused += samples;
                    self.context.refused(why, samples);
                }
                Settled::Held(error) => return Err(Failure::Deliver(error)),
                Settled::Halted => return Ok(Taken::Halted),
            }
        }
        Ok(Taken::Settled { acknowledged, refused })
    }

    /// Sends one request until it is acknowledged, refused, or too old.
    async fn settle(&self, tick: Tick, request: &Request, halt: &CancellationToken) -> Settled {
        let attempt = || self.sink.send(request);
        let bytes = request.body.len();
        let observe = |attempt: retry::Attempt<'_>| self.context.attempted(tick, &attempt, bytes);
        let give_up_at = Some(self.context.give_up_at(tick));
        let until = retry::Until { stop: halt, cut: &self.context.cut, give_up_at };
        let why = match retry::until_acknowledged(attempt, &self.context.config.retry, until, observe).await {
            Ok(_) => return Settled::Acknowledged(request.samples),
            Err(deliver::Error::Stopped(_)) => return Settled::Halted,
            Err(error) => error,
        };
        let samples = request.samples;
        match why {
            held if held.is_to_be_mended() => Settled::Held(held),
            late @ deliver::Error::GaveUp { .. } => {
                self.context.fails(Fault::TooOld, tick, &late);
                Settled::Refused(Refusal::TooOld, samples)
            }
            _ => Settled::Refused(Refusal::Other, samples),
        }
    }

    /// Ends everything the receiver holds as present, a millisecond after its last sample, in one attempt per
    /// request: the tenant is gone, and nobody waits for a dead endpoint.
    pub(crate) async fn retire(self) {
        let Some(last) = self.context.end_cursor() else { return };
        let at = last.plus(Duration::from_millis(1));
        let ((), encoded) = self.batches.encode(|requests| {
            let stale = f64::from_bits(STALE_NAN_BITS);
            lock(self.assembler.outputs()).end_all(|labels| requests.push(labels, at, stale));
        });
        for request in &encoded.requests {
            if let Err(error) = self.sink.send(request).await {
                let id = &self.context.tenant.id;
                warn!(namespace = %id.namespace, name = %id.name, %error, "Stale markers not delivered");
                return;
            }
        }
    }

    /// Lets the filters go.
    pub(crate) fn lay_down(&mut self) {
        self.assembler.lay_down();
    }

    /// What the receiver holds, and the seat there, for the lane that replaces this one.
    pub(crate) fn into_heritage(self) -> (Arc<Mutex<Outputs>>, Option<Seat>) {
        self.assembler.into_heritage()
    }

    pub(crate) fn context(&self) -> &Context {
        &self.context
    }
}
