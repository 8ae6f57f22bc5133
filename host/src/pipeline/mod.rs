//! Pipeline: one tenant's flow, from its sources to its endpoints.
//!
//! In: a tenant, the source groups, the rooms to work with. Out: lanes, one per (source group, endpoint), each with
//! its own cursor and filter instances; for a Pushgateway one lane for all groups, since a PUT replaces everything.
//! Never: a lane that waits for another one.

mod assemble;
mod batches;
mod claims;
mod encoding;
mod gateway;
mod intake;
mod lane;
mod latest;
mod news;
mod outputs;
mod quota;
mod remote;
mod schedule;
mod verdicts;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::collect::Collector;
use crate::deliver::pushgateway::Pushgateway;
use crate::deliver::remote_write::RemoteWrite;
use crate::deliver::{self, cursor, retry};
use crate::filter::{self, Builtin, Runtime, Step};
use crate::http;
use crate::model::memory::{Memory, Payer};
use crate::model::{Endpoint, HonorLabels, SourceGroup, Tenant, TenantId, Timestamp};
use crate::status::Board;
use crate::telemetry::Metrics;

pub use assemble::{Answer, Assembler, Counts};
pub use batches::{Batches, Encoded, Requests};
use claims::{Beside, Claimant};
pub use claims::{GroupIndex, Registry, Seat};
pub use encoding::Encoding;
use gateway::GatewayLane;
pub use gateway::remove_groups;
use intake::Intake;
use lane::{Context, lock};
use latest::Shown;
use news::Missed;
pub use outputs::{Conclude, Emitted, Outputs, Rank};
use quota::{Beyond, Quota, Used};
use remote::RemoteLane;
use schedule::Schedule;

/// What a pipeline needs to be told once.
#[derive(Debug, Clone)]
pub struct Config {
    /// How far back missed ticks are asked for again.
    pub backfill_max: Duration,
    /// Requests of one tick under way at once, per endpoint.
    pub concurrency: usize,
    /// How an endpoint is tried again.
    pub retry: retry::Policy,
    /// How long one request to an endpoint may take.
    pub timeouts: http::Timeouts,
}

/// The rooms every pipeline works with.
pub struct Deps {
    /// Asks the sources.
    pub collector: Collector,
    /// Runs the filters.
    pub runtime: Runtime,
    /// Speaks to the endpoints.
    pub http: http::Client,
    /// Remembers what was delivered.
    pub cursors: cursor::Store,
    /// Shows what is known of every pipeline.
    pub board: Board,
    /// Counts.
    pub metrics: Metrics,
    /// Who writes which identity where several could.
    pub claims: Registry,
    /// What all lanes' tables may take.
    pub memory: Memory,
    /// Request buffers.
    pub batches: Arc<Batches>,
    /// Bounds.
    pub config: Config,
    /// The clock.
    pub now: fn() -> Timestamp,
}

impl Deps {
    /// Forgets the metrics of a tenant that is gone.
    pub fn forget(&self, id: &TenantId) {
        self.metrics.forget(id);
    }

    /// Shows that a tenant cannot run as it is.
    pub fn refused(&self, id: &TenantId, error: &Error) {
        warn!(namespace = %id.namespace, name = %id.name, %error, "Remote write job refused");
        self.board.tenant(id).refused(vec![error.to_string()]);
    }
}

/// One lane, of either kind.
pub struct Lane(Kind);

enum Kind {
    Remote(Box<RemoteLane>),
    Gateway(Box<GatewayLane>),
}

impl Lane {
    async fn run(mut self, halt: CancellationToken) -> Lane {
        match &mut self.0 {
            Kind::Remote(lane) => lane.run(&halt).await,
            Kind::Gateway(lane) => lane.run(&halt).await,
        }
        self
    }

    fn key(&self) -> &cursor::Key {
        match &self.0 {
            Kind::Remote(lane) => &lane.context().key,
            Kind::Gateway(lane) => &lane.context().key,
        }
    }

    async fn retire(self) {
        match self.0 {
            Kind::Remote(lane) => lane.retire().await,
            Kind::Gateway(lane) => lane.retire().await,
        }
    }

    /// What its receiver holds, and its seat there.
    fn into_heritage(self) -> (Arc<Mutex<Outputs>>, Option<Seat>) {
        match self.0 {
            Kind::Remote(lane) => lane.into_heritage(),
            Kind::Gateway(lane) => lane.into_heritage(),
        }
    }
}

/// How long the end of a lane may take.
const RETIRE_MAX: Duration = Duration::from_secs(5);

/// Ends lanes whose tenant or endpoint is gone: stale markers, or the group's removal.
pub async fn retire(lanes: Vec<Lane>) {
    let mut retiring: JoinSet<()> = lanes.into_iter().map(Lane::retire).collect();
    let all = async {
        while let Some(ended) = retiring.join_next().await {
            if let Err(error) = ended {
                error!(%error, "A former lane was not retired");
            }
        }
    };
    if tokio::time::timeout(RETIRE_MAX, all).await.is_err() {
        warn!("A former endpoint does not answer; its series end there when readers look back past them");
    }
}

/// Why a tenant's lanes cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A filter refuses its configuration.
    #[error(transparent)]
    Filter(#[from] filter::Error),
    /// An endpoint cannot be sent to.
    #[error(transparent)]
    Deliver(#[from] deliver::Error),
}

/// After a lane ended by a panic, which is a bug, the tenant's lanes start again this much later.
const RESTART_PAUSE: Duration = Duration::from_secs(5);

/// One tenant's lanes, ready to run.
pub struct Pipeline {
    id: TenantId,
    lanes: Vec<Lane>,
    /// Lanes of the former specification that have no place in this one.
    retiring: Vec<Lane>,
    cut: CancellationToken,
}

impl Pipeline {
    /// Builds every lane of `tenant`. Lanes of a former specification hand over what their receiver holds.
    pub fn build(
        deps: &Deps,
        tenant: &Arc<Tenant>,
        groups: &[SourceGroup],
        former: Vec<Lane>,
    ) -> Result<Pipeline, Error> {
        let entry = deps.board.tenant(&tenant.id);
        entry.starting(tenant);
        let cut = CancellationToken::new();
        let mut builder = Builder { deps, tenant, groups, former, cut: cut.clone() };
        let mut lanes = Vec::new();
        for endpoint in &tenant.endpoints {
            lanes.extend(builder.lanes(endpoint)?);
        }
        entry.running();
        Ok(Pipeline { id: tenant.id.clone(), lanes, retiring: builder.former, cut })
    }

    /// Cancel it, after halting, to drop even requests under way.
    pub fn cut(&self) -> CancellationToken {
        self.cut.clone()
    }

    /// Runs every lane until told to halt. Returns the lanes, each between two ticks.
    pub async fn run(self, halt: CancellationToken) -> Vec<Lane> {
        let halt = halt.child_token();
        let mut tasks = JoinSet::new();
        for lane in self.lanes {
            tasks.spawn(lane.run(halt.clone()));
        }
        // Bounded in time, and nobody waits: a former endpoint that hangs holds up no new one.
        tokio::spawn(retire(self.retiring));
        let mut lanes = Vec::new();
        let mut broken = false;
        while let Some(ended) = tasks.join_next().await {
            match ended {
                Ok(lane) => lanes.push(lane),
                Err(error) => {
                    let id = &self.id;
                    error!(namespace = %id.namespace, name = %id.name, %error, "A lane broke and starts again");
                    broken = true;
                    halt.cancel();
                }
            }
        }
        if broken {
            tokio::time::sleep(RESTART_PAUSE).await;
        } else {
            halt.cancelled().await;
        }
        lanes
    }
}

/// Makes one tenant's lanes.
struct Builder<'a> {
    deps: &'a Deps,
    tenant: &'a Arc<Tenant>,
    groups: &'a [SourceGroup],
    former: Vec<Lane>,
    cut: CancellationToken,
}

impl Builder<'_> {
    fn lanes(&mut self, endpoint: &Endpoint) -> Result<Vec<Lane>, Error> {
        match endpoint {
            Endpoint::Pushgateway(gateway) => {
                let all = SourceGroup {
                    name: ALL_GROUPS.to_owned(),
                    sources: self.groups.iter().flat_map(|group| group.sources.clone()).collect(),
                };
                let context = self.context(&all, endpoint);
                // Another resource with this group was refused, so nobody else writes to it.
                let (assembler, intakes) = (self.assembler(&context, endpoint, None)?, self.intakes());
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
                let mut lanes = Vec::new();
                for ((index, group), quota) in (0..).zip(self.groups).zip(quotas) {
                    let context = self.context(group, endpoint);
                    let assembler = self.assembler(&context, endpoint, Some(beside))?;
                    let intake =
                        Intake::new(&self.deps.collector, &self.payer(), self.tenant, group, index, 0);
                    let sink = RemoteWrite::new(self.deps.http.clone(), remote, self.deps.config.timeouts)?;
                    let batches = self.deps.batches.clone();
                    let lane = RemoteLane::new(context, intake, assembler, quota, sink, batches);
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
                now: deps.now,
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
            counted: Vec::new(),
            conflict: None,
            beyond: Beyond::default(),
            outages: Mutex::default(),
            missed: match endpoint {
                Endpoint::RemoteWrite(_) => Missed::AskedAgain,
                Endpoint::Pushgateway(_) => Missed::Passed,
            },
        }
    }

    /// The lane's tables and filters, and its seat at the receiver if `beside` says so. If there was such a lane before,
    /// its outputs go on, and its seat.
    fn assembler(
        &mut self,
        context: &Context,
        endpoint: &Endpoint,
        beside: Option<Beside>,
    ) -> Result<Assembler, Error> {
        let chain =
            self.deps.runtime.chain(filter_tenant(self.tenant), steps(&self.deps.runtime, self.tenant))?;
        let former = self.former.iter().position(|lane| *lane.key() == context.key);
        let (outputs, seat) = match former.map(|at| self.former.swap_remove(at).into_heritage()) {
            Some((outputs, seat)) => {
                lock(&outputs).disown();
                (outputs, seat)
            }
            None => {
                let held = self.deps.memory.hold(&self.payer());
                (Arc::new(Mutex::new(Outputs::new(held))), None)
            }
        };
        let seat = beside.map(|beside| {
            let claimant = Claimant { since: self.tenant.since, tenant: self.tenant.id.clone() };
            self.deps.claims.join(endpoint.receiver(), claimant, beside, &outputs, seat)
        });
        let encoding = Encoding::of(endpoint);
        context.status.latest(Arc::new(Shown::new(encoding, outputs.clone())));
        Ok(Assembler::new(chain, self.tenant.stamps.clone(), encoding, seat, outputs))
    }
}

/// What stands for the group of a lane that has all of them.
const ALL_GROUPS: &str = "*";

/// The chain: what may be had, how it is rewritten, what is stamped on it.
fn steps(runtime: &Runtime, tenant: &Tenant) -> Vec<Step> {
    let step = |builtin, config| {
        let module = runtime.builtin(builtin).clone();
        Step { name: module.manifest().name.clone(), module, config }
    };
    let selectors: Vec<String> = tenant.selectors.iter().map(ToString::to_string).collect();
    let stamps: Vec<_> = tenant.stamps.labels.iter().collect();
    let enrich = json!({
        "stamps": stamps,
        "honorLabels": tenant.stamps.honor == HonorLabels::Source,
        "protected": tenant.stamps.protected,
    });
    let relabel = (!tenant.relabelings.is_empty())
        .then(|| step(Builtin::Relabel, json!({ "rules": tenant.relabelings })));
    let first = step(Builtin::Patterns, json!({ "selectors": selectors }));
    std::iter::once(first).chain(relabel).chain([step(Builtin::Enrich, enrich)]).collect()
}

fn filter_tenant(tenant: &Tenant) -> filter::Tenant {
    filter::Tenant {
        namespace: tenant.id.namespace.clone(),
        name: tenant.id.name.clone(),
        source: tenant.source.clone(),
    }
}
