//! Prepare: one tick's answers, as requests.
//!
//! In: complete answers. Out: requests, and what the answers came to. Never: IO.

use std::collections::HashSet;

use super::RemoteLane;
use crate::collect::Curiosity;
use crate::deliver::Version;
use crate::deliver::protocol::Plan;
use crate::deliver::v2::Dictionary;
use crate::model::{Tick, Timestamp};
use crate::pipeline::apart::Apart;
use crate::pipeline::assemble::{self, Assembler, Counts};
use crate::pipeline::batches::{Encoded, Fillable};
use crate::pipeline::failure::Failure;
use crate::pipeline::intake::{Ask, Gathered};
use crate::pipeline::lane::lock;
use crate::pipeline::outputs::{Emitted, Outputs};
use crate::pipeline::sending::Sink;

/// One tick, ready to send.
pub(super) struct Prepared {
    pub(super) encoded: Encoded,
    pub(super) counts: Counts,
    pub(super) emitted: Emitted,
}

/// What one tick's requests are filled with.
struct Fill<'a> {
    tick: Tick,
    now: Timestamp,
    idle_before: Timestamp,
    gathered: &'a Gathered,
    apart: &'a HashSet<Vec<u8>>,
}

impl Fill<'_> {
    /// Takes the answers, and puts what they come to into requests; what was refused last time into some of its own.
    fn fill(
        &self,
        assembler: &mut Assembler,
        requests: &mut impl Fillable,
    ) -> Result<(Counts, Emitted), assemble::Error> {
        let Fill { tick, now, idle_before, gathered, apart } = *self;
        let (at, conclude) = (tick.timestamp(), gathered.conclude);
        let mut apart = Apart::new(requests, apart);
        let emit = |outputs: &Outputs| match outputs.takes_all() {
            false => {
                outputs.emit_keyed(tick, conclude, |key, labels, value| apart.push(key, labels, at, value))
            }
            true => outputs.emit_runs(tick, conclude, |key, labels, run| apart.push_run(key, labels, run)),
        };
        let taken = assembler.tick(tick, now, &gathered.answers, idle_before, emit);
        apart.finish();
        taken
    }
}

impl<A: Ask, S: Sink> RemoteLane<A, S> {
    pub(super) fn prepared(&mut self, tick: Tick, asked: &Gathered, plan: Plan) -> Result<Prepared, Failure> {
        let priority = self.context.pace.priority(self.context.now());
        let prepared = priority.compute(|| match self.prepare(tick, asked, plan) {
            Err(Failure::Assemble(assemble::Error::Memory(_))) if self.dictionary.take().is_some() => {
                self.prepare(tick, asked, plan)
            }
            prepared => prepared,
        });
        self.context.filtered(self.assembler.usage());
        self.quota.held(lock(self.assembler.outputs()).held_by_namespace());
        prepared
    }

    fn prepare(&mut self, tick: Tick, gathered: &Gathered, plan: Plan) -> Result<Prepared, Failure> {
        let idle_before = self.context.idle_before(tick);
        let now = self.context.now();
        let RemoteLane { intake, assembler, batches, apart, dictionary, .. } = self;
        let fill = Fill { tick, now, idle_before, gathered, apart };
        let (taken, encoded) = match plan {
            Plan::All(Version::V2) => {
                let held = || lock(assembler.outputs()).hold_beside();
                let dictionary = dictionary.get_or_insert_with(|| Dictionary::paid_by(held()));
                let missing = dictionary.is_missing_metadata();
                dictionary.begin(&intake.metadata(if missing { Curiosity::Awake } else { Curiosity::Idle }));
                batches.encode_v2(dictionary, |requests| fill.fill(assembler, requests))
            }
            Plan::All(Version::V1) | Plan::Trial => {
                *dictionary = None;
                batches.encode(|requests| fill.fill(assembler, requests))
            }
        };
        let (counts, emitted) = taken?;
        Ok(Prepared { encoded, counts, emitted })
    }
}
