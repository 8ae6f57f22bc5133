//! Gateway lane: all source groups of a tenant, put as one Pushgateway group, the newest tick only.
//!
//! In: the clock. Out: one PUT of the whole group a tick, and a DELETE when the tenant goes away.
//! Never: a group split over two requests; a tick older than the newest; a group emptied because a source is away.

use std::ops::ControlFlow;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use futures::future::join_all;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::assemble::{self, Assembler, Counts};
use super::failure::Failure;
use super::intake::{Gathered, Intake};
use super::lane::{Context, Progress, Sent, lock};
use super::outputs::{Conclude, Emitted};
use super::quota::{Breach, Quota};
use super::schedule::pause;
use super::{Deps, Heritage};
use crate::collect;
use crate::deliver::exposition::{self, LeftOut};
use crate::deliver::pushgateway::{Grouped, Pushgateway, Replaced};
use crate::deliver::{self, retry};
use crate::model::{PushgatewayEndpoint, Tick};
use crate::status::Stage;
use crate::telemetry::{Outcome, Refusal};

/// Delivering for one Pushgateway group.
pub(crate) struct GatewayLane {
    context: Context,
    intakes: Vec<Intake>,
    assembler: Assembler,
    quota: Quota,
    sink: Pushgateway,
}

/// One tick's group, ready to put.
struct Prepared {
    rows: Vec<(Grouped, f64)>,
    counts: Counts,
    emitted: Emitted,
}

impl GatewayLane {
    pub(crate) fn new(
        context: Context,
        intakes: Vec<Intake>,
        assembler: Assembler,
        quota: Quota,
        sink: Pushgateway,
    ) -> GatewayLane {
        GatewayLane { context, intakes, assembler, quota, sink }
    }

    /// Puts the newest tick, again and again, until told to halt.
    pub(crate) async fn run(&mut self, halt: &CancellationToken) {
        let mut tick = self.context.first_tick();
        while let Some(due) = self.context.wait_for(tick, None, halt).await {
            tick = due.max(self.context.newest());
            match self.tick(tick, halt).await {
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
        let asking = gather(&mut self.intakes, tick);
        let asked = match self.context.answered(tick, asking, &self.quota, halt).await? {
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
        let Prepared { rows, counts, emitted } = prepared;
        let rows: Vec<(&Grouped, f64)> = rows.iter().map(|(series, value)| (series, *value)).collect();
        let bytes = AtomicUsize::new(0);
        let attempt = async || {
            let replaced = self.sink.replace(&rows).await;
            bytes.store(replaced.as_ref().map_or(0, |replaced| replaced.group.body.len()), Relaxed);
            replaced
        };
        let observe =
            |attempt: retry::Attempt<'_>| self.context.attempted(tick, &attempt, bytes.load(Relaxed));
        let give_up_at = Some(self.context.next_due_at(tick));
        let until = retry::Until { stop: halt, cut: &self.context.cut, give_up_at };
        match retry::until_acknowledged(attempt, &self.context.config.retry, until, observe).await {
            Ok(Replaced { group, .. }) => {
                self.quota.took(group.body.len());
                self.assembler.settle(tick, asked.conclude);
                self.left_out(&group);
                let sent = Sent { samples: group.series, refused: 0, bytes: group.body.len() };
                self.context.delivered(tick, began, &counts, emitted, sent);
                self.context.recovers(tick);
            }
            Err(deliver::Error::Stopped(_)) => return Ok(Progress::Halted),
            Err(deliver::Error::GroupTooLarge { bytes_max: max }) if max == self.quota.bytes_max() => {
                self.quota.took(max);
                let breach = Breach::Group { max };
                self.context.breached(tick, Stage::Deliver, &breach, series, targets);
            }
            // The attempts have said why.
            Err(_) => {
                self.context.metrics.tick(Outcome::Failed);
                self.context.refused(Refusal::Other, emitted.samples);
            }
        }
        Ok(Progress::Settled)
    }

    fn prepare(&mut self, tick: Tick, asked: &Gathered) -> Result<Prepared, Failure> {
        let mut rows = Vec::new();
        let (idle_before, now) = (self.context.idle_before(tick), self.context.now());
        let (counts, emitted) = self.assembler.tick(tick, now, &asked.answers, idle_before, |outputs| {
            outputs.emit_whole(tick, asked.conclude, |encoded, value| {
                rows.extend(Grouped::read(encoded).map(|series| (series, value)));
            })
        })?;
        Ok(Prepared { rows, counts, emitted })
    }

    /// Series that no Pushgateway can hold are named, not silently lost.
    fn left_out(&self, group: &exposition::Group) {
        for (reason, LeftOut { series, example }) in &group.left_out {
            let id = &self.context.tenant.id;
            warn!(namespace = %id.namespace, name = %id.name, series, %example, %reason, "Series left out of the group");
            self.context.refused(Refusal::Other, *series);
        }
    }

    /// Removes the group: without it a removed tenant's last values would stay for ever.
    pub(crate) async fn retire(self) {
        self.context.end_cursor();
        if let Err(error) = self.sink.delete().await {
            let id = &self.context.tenant.id;
            warn!(namespace = %id.namespace, name = %id.name, %error, "Pushgateway group not removed");
        }
    }

    /// Lets the filters go.
    pub(crate) fn lay_down(&mut self) {
        self.assembler.lay_down();
    }

    /// What the group holds, for the lane that replaces this one.
    pub(crate) fn into_heritage(self) -> Heritage {
        let (outputs, seat) = self.assembler.into_heritage();
        Heritage { outputs, seat, gap: None, outages: self.context.outages }
    }

    pub(crate) fn context(&self) -> &Context {
        &self.context
    }
}

/// Asks all groups. A group without an answer keeps its values at the receiver.
async fn gather(intakes: &mut [Intake], tick: Tick) -> Result<Gathered, collect::Error> {
    let asked = join_all(intakes.iter_mut().map(|intake| intake.at(tick, 0, Duration::ZERO))).await;
    let mut whole = Gathered { answers: Vec::new(), conclude: Conclude::Ended, failures: Vec::new() };
    for gathered in asked {
        match gathered {
            Ok(Gathered { answers, conclude, failures }) => {
                whole.answers.extend(answers);
                whole.failures.extend(failures);
                if conclude == Conclude::Nothing {
                    whole.conclude = Conclude::Nothing;
                }
            }
            Err(error) => {
                whole.failures.push(error);
                whole.conclude = Conclude::Nothing;
            }
        }
    }
    match whole.failures.pop() {
        Some(error) if whole.answers.is_empty() => Err(error),
        last => {
            whole.failures.extend(last);
            Ok(whole)
        }
    }
}

/// Removes groups without a lane: who had it may be gone. Once each, and an error is the last one of them.
pub async fn remove_groups(deps: &Deps, groups: &[PushgatewayEndpoint]) -> Result<(), deliver::Error> {
    let mut failed = None;
    for endpoint in groups {
        let sink = Pushgateway::new(deps.http.clone(), endpoint, usize::MAX, deps.config.timeouts)?;
        failed = sink.delete().await.err().or(failed);
    }
    failed.map_or(Ok(()), Err)
}
