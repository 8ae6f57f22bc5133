//! Builder: one tenant's lanes, from its specification.
//!
//! In: a tenant, the source groups, filters that are configured, and the lanes of its former specification. Out: new lanes, which
//! have taken over what their receivers hold. Never: a request, or a guest that is called.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::assemble::Assembler;
use super::claims::{Beside, Claimant, GroupIndex};
use super::clock::Clock;
use super::encoding::Encoding;
use super::gateway::GatewayLane;
use super::intake::Intake;
use super::lane::{Context, lock};
use super::latest::Shown;
use super::news::Missed;
use super::order::{self, Stretch};
use super::outputs::{Outputs, Rank};
use super::pace::Pace;
use super::quota::{Beyond, Quota, Used};
use super::remote::{Gap, RemoteLane};
use super::schedule::Schedule;
use super::steady::Steady;
use super::{Deps, Error, Heritage, Kind, Lane};
use crate::deliver::cursor;
use crate::deliver::pushgateway::Pushgateway;
use crate::deliver::remote_write::RemoteWrite;
use crate::filter::{self, Module, Runtime, Sequence, Step, builtin};
use crate::model::memory::{Memory, Payer};
use crate::model::{Endpoint, Filter, HonorLabels, SourceGroup, Tenant, TenantId};

/// Makes one tenant's lanes.
pub(super) struct Builder<'a> {
    pub(super) deps: &'a Deps,
    pub(super) tenant: &'a Arc<Tenant>,
    /// One for each lane.
    pub(super) filters: std::vec::IntoIter<Sequence>,
    pub(super) groups: &'a [SourceGroup],
    pub(super) former: Vec<Lane>,
    pub(super) cut: CancellationToken,
}

impl Builder<'_> {
    pub(super) fn lanes(&mut self, endpoint: &Endpoint) -> Result<Vec<Lane>, Error> {
        match endpoint {
            Endpoint::Pushgateway(gateway) => {
                let all = SourceGroup {
                    name: ALL_GROUPS.to_owned(),
                    sources: self.groups.iter().flat_map(|group| group.sources.clone()).collect(),
                };
                let mut context = self.context(&all, endpoint);
                // Another resource with this group was refused, so nobody else writes to it.
                let ((assembler, _), intakes) =
                    (self.assembler(&mut context, endpoint, None), self.intakes());
                let quota = Quota::shared(self.tenant.limits, 1, &self.used()).remove(0);
                let sink = Pushgateway::new(
                    self.deps.http.clone(),
                    gateway,
                    quota.bytes_max(),
                    self.deps.config.timeouts,
                )?;
                Ok(vec![Lane(Kind::Gateway(Box::new(GatewayLane::new(
                    context, intakes, assembler, quota, sink,
                ))))])
            }
            Endpoint::RemoteWrite(remote) => {
                let beside = if self.groups.len() > 1 { Beside::Others } else { Beside::Nobody };
                let quotas = Quota::shared(self.tenant.limits, self.groups.len(), &self.used());
                let spoken = self.deps.receivers.of(&self.tenant.id, endpoint.key(), remote.protocol);
                let mut lanes = Vec::new();
                for ((index, group), quota) in (0..).zip(self.groups).zip(quotas) {
                    let mut context = self.context(group, endpoint);
                    let (assembler, gap) = self.assembler(&mut context, endpoint, Some(beside));
                    let intake =
                        Intake::new(&self.deps.collector, &self.payer(), self.tenant, group, index, 0);
                    let sink = RemoteWrite::new(self.deps.http.clone(), remote, self.deps.config.timeouts)?;
                    let sink = sink.knowing(spoken.clone());
                    let batches = self.deps.batches.clone();
                    let shown = order::shown(endpoint, context.order, assembler.can_part());
                    context.status.order(shown);
                    let lane =
                        RemoteLane::new(context, intake, assembler, quota, sink, batches).with_gap(gap);
                    lanes.push(Lane(Kind::Remote(Box::new(lane))));
                }
                Ok(lanes)
            }
        }
    }

    fn payer(&self) -> Payer {
        let Tenant { id, limits, .. } = &**self.tenant;
        self.deps.memory.payer(&id.namespace, limits.memory_max)
    }

    fn used(&self) -> Used {
        Used::new(&self.deps.metrics, &self.tenant.id, self.tenant.limits)
    }

    /// All groups, their sources ranked one after the other.
    fn intakes(&self) -> Vec<Intake> {
        let (mut first_rank, payer) = (0, self.payer());
        let intake = |(index, group): (GroupIndex, &SourceGroup)| {
            let intake = Intake::new(&self.deps.collector, &payer, self.tenant, group, index, first_rank);
            first_rank += group.sources.len() as Rank;
            intake
        };
        (0..).zip(self.groups).map(intake).collect()
    }

    fn context(&self, group: &SourceGroup, endpoint: &Endpoint) -> Context {
        let (deps, tenant) = (self.deps, self.tenant);
        let key =
            cursor::Key { tenant: tenant.id.clone(), group: group.name.clone(), endpoint: endpoint.key() };
        Context {
            schedule: Schedule {
                interval: tenant.interval,
                lag: group.lag(),
                backfill_max: deps.config.backfill_max,
                clock: Clock::new(deps.now),
            },
            key,
            tenant: tenant.clone(),
            config: deps.config.clone(),
            cursors: deps.cursors.clone(),
            registry: deps.metrics.clone(),
            metrics: deps.metrics.for_tenant(&tenant.id, tenant.target_type),
            board: deps.board.clone(),
            status: deps.board.tenant(&tenant.id).lane(group, endpoint, (deps.now)()),
            failures: 0,
            cut: self.cut.clone(),
            attempted_tick: None,
            steps: Vec::new(),
            conflict: None,
            bypassed: None,
            pace: Pace::default(),
            beyond: Beyond::default(),
            steady: Steady::default(),
            left_out: Steady::default(),
            outages: Mutex::default(),
            order: order::of(tenant, endpoint),
            stretch: Stretch::Whole,
            missed: match endpoint {
                Endpoint::RemoteWrite(_) => Missed::AskedAgain,
                Endpoint::Pushgateway(_) => Missed::Passed,
            },
        }
    }

    /// The lane's tables and filters, and its seat at the receiver if `beside` says so. If there was such a lane before,
    /// its outputs go on, its seat, and what it left to be sent.
    fn assembler(
        &mut self,
        context: &mut Context,
        endpoint: &Endpoint,
        beside: Option<Beside>,
    ) -> (Assembler, Option<Gap>) {
        let filters = self.filters.next().expect("filters were made for every lane");
        let former = self.former.iter().position(|lane| *lane.key() == context.key);
        let (outputs, seat, gap) = match former.map(|at| self.former.swap_remove(at).into_heritage()) {
            Some(Heritage { outputs, seat, gap, outages }) => {
                lock(&outputs).disown();
                let outages = outages.into_inner().unwrap_or_else(PoisonError::into_inner);
                context.outages = Mutex::new(outages.handed_on());
                (outputs, seat, gap)
            }
            None => {
                let held = self.payer().hold_own();
                (Arc::new(Mutex::new(Outputs::new(held))), None, None)
            }
        };
        let seat = beside.map(|beside| {
            let claimant = Claimant { since: self.tenant.since, tenant: self.tenant.id.clone() };
            self.deps.claims.join(endpoint.receiver(), claimant, beside, &outputs, seat)
        });
        let encoding = Encoding::of(endpoint);
        context.status.latest(Arc::new(Shown::new(encoding, outputs.clone())));
        let Tenant { interval, stamps, .. } = &**self.tenant;
        let held = || self.payer().hold_own();
        (Assembler::new(filters, *interval, stamps.clone(), encoding, seat, outputs, held), gap)
    }
}

/// What stands for the group of a lane that has all of them.
const ALL_GROUPS: &str = "*";

/// A tenant's filters, configured, once for each of its lanes.
#[derive(Debug)]
pub struct Fitted(pub(super) Vec<Sequence>);

/// Configures a tenant's filters for each lane that it has with these groups. Guests are called, so it takes its time, as long as
/// it `goes_on`, which is asked before every filter; `None` once it does not.
///
/// # Errors
/// The first filter that refuses its configuration, or for whose instance there is no room.
pub fn fit(
    runtime: &Runtime,
    memory: &Memory,
    tenant: &Tenant,
    modules: &[Module],
    groups: &[SourceGroup],
    goes_on: &dyn Fn() -> bool,
) -> Result<Option<Fitted>, filter::Error> {
    let owner = owner(tenant, memory.payer(&tenant.id.namespace, tenant.limits.memory_max));
    let lanes = |endpoint: &Endpoint| match endpoint {
        Endpoint::Pushgateway(_) => 1,
        Endpoint::RemoteWrite(_) => groups.len(),
    };
    let lanes = tenant.endpoints.iter().map(lanes).sum();
    let fit_one = |_| runtime.sequence_while(&owner, steps(runtime, tenant, modules)?, goes_on);
    let fitted = (0..lanes).map(fit_one).map(Result::transpose).collect::<Option<Result<_, _>>>();
    Ok(fitted.transpose()?.map(Fitted))
}

/// All filters of a tenant, configured for a [trial](Runtime::trial) as long as it `goes_on`: its own ones are `modules`, in their
/// order.
///
/// # Errors
/// As [`fit`].
pub fn for_trial(
    runtime: &Runtime,
    memory: &Memory,
    tenant: &Tenant,
    modules: &[Module],
    goes_on: &dyn Fn() -> bool,
) -> Result<Option<Sequence>, filter::Error> {
    // A trial has as much as its namespace, and nothing of it: what runs there must not feel it.
    let payer = memory.payer(&format!("{}{TRIAL}", tenant.id.namespace), tenant.limits.memory_max);
    runtime.trial(&owner(tenant, payer), steps(runtime, tenant, modules)?, goes_on)
}

/// Behind a namespace's name, in which there is no space.
const TRIAL: &str = " (trial)";

/// Whose filters they are, as they are told.
fn owner(tenant: &Tenant, payer: Payer) -> filter::Tenant {
    let TenantId { namespace, name } = tenant.id.clone();
    filter::Tenant { namespace, name, source: tenant.source.clone(), payer }
}

/// One of a tenant's own filters; `index` is its place in the resource.
pub fn own_filter(index: usize, filter: &Filter, module: &Module) -> Step {
    let Filter { limits, mode, on_failure, .. } = *filter;
    let config_at = format!("spec.filters[{index}].config");
    let step = Step::new(&filter.name, module.clone(), filter.config.clone());
    Step { config_at, limits: Some(limits), mode, on_failure, ..step }
}

/// The chain: what may be had, what the tenant's own filters make of it, how it is rewritten, what is stamped on it.
fn steps(runtime: &Runtime, tenant: &Tenant, modules: &[Module]) -> Result<Vec<Step>, filter::Error> {
    let own_step = |name, config| Ok(Step::new(name, runtime.builtin(name)?.clone(), config));
    let selectors: Vec<String> = tenant.selectors.iter().map(ToString::to_string).collect();
    let stamps: Vec<_> = tenant.stamps.labels.iter().collect();
    let enrich = json!({
        "stamps": stamps,
        "honorLabels": tenant.stamps.honor == HonorLabels::Source,
        "protected": tenant.stamps.protected,
    });
    let relabel = (!tenant.relabelings.is_empty())
        .then(|| own_step(builtin::RELABEL, json!({ "rules": tenant.relabelings })));
    let first = own_step(builtin::PATTERNS, json!({ "selectors": selectors }));
    let own = tenant.filters.iter().zip(modules).enumerate();
    let own = own.map(|(index, (filter, module))| Ok(own_filter(index, filter, module)));
    let last = own_step(builtin::ENRICH, enrich);
    std::iter::once(first).chain(own).chain(relabel).chain([last]).collect()
}
