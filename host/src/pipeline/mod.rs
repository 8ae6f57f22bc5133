//! Pipeline: one tenant's flow, from its sources to its endpoints.
//!
//! In: a tenant, the source groups, the rooms to work with. Out: lanes, one per (source group, endpoint), each with
//! its own cursor and filter instances; for a Pushgateway one lane for all groups, since a PUT replaces everything.
//! Never: a lane that waits for another one.

mod apart;
mod assemble;
mod batches;
mod builder;
mod claims;
mod clock;
mod counted;
mod decide;
mod doubt;
mod encoding;
mod exit;
mod failure;
mod front;
mod gateway;
mod intake;
mod lane;
mod latest;
mod news;
mod opaque;
mod order;
mod outputs;
mod pace;
mod quota;
mod recollection;
mod remote;
mod report;
mod rows;
mod schedule;
mod sending;
mod stage;
mod steady;
mod verdicts;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::collect::Collector;
use crate::deliver::{self, cursor, protocol, retry};
use crate::filter::{Runtime, builtin};
use crate::http;
use crate::model::memory::Memory;
use crate::model::outage::Outages;
use crate::model::{SourceGroup, Tenant, TenantId, Timestamp};
use crate::status::{Board, bounded_text};
use crate::telemetry::Metrics;

pub use assemble::{Answer, Assembler, Counts};
pub use batches::{Batches, Encoded, Requests, RequestsV2};
use builder::Builder;
pub use builder::{Fitted, fit, for_trial, own_filter};
pub use claims::{GroupIndex, Registry, Seat};
pub use encoding::Encoding;
use gateway::GatewayLane;
pub use gateway::remove_groups;
use news::Fault;
pub use outputs::{Conclude, Emitted, Outputs, Rank};
use remote::{Gap, RemoteLane};

/// What a pipeline needs to be told once.
#[derive(Debug, Clone)]
pub struct Config {
    /// How far back missed ticks are asked for again.
    pub backfill_max: Duration,
    /// A tick's cursor is saved this long after it was delivered, at the latest.
    pub saved_within: Duration,
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
    /// What receivers have shown that they speak.
    pub receivers: protocol::Receivers,
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
    pub fn refused(&self, tenant: &Arc<Tenant>, error: &dyn std::error::Error) {
        let (id, error) = (&tenant.id, bounded_text(error.to_string()));
        warn!(namespace = %id.namespace, name = %id.name, error, "Remote write job refused");
        let entry = self.board.tenant(id);
        // What is said is said of this specification, even if nothing of it was ever begun.
        entry.starting(tenant);
        entry.refused(vec![error]);
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

    /// It will not run again: it lets its filters go, and keeps what it hands on or takes leave with.
    pub fn lay_down(&mut self) {
        match &mut self.0 {
            Kind::Remote(lane) => lane.lay_down(),
            Kind::Gateway(lane) => lane.lay_down(),
        }
    }

    /// What the lane that replaces it goes on with.
    fn into_heritage(self) -> Heritage {
        match self.0 {
            Kind::Remote(lane) => lane.into_heritage(),
            Kind::Gateway(lane) => lane.into_heritage(),
        }
    }
}

/// What a lane leaves to the one that replaces it.
struct Heritage {
    /// What its receiver holds.
    outputs: Arc<Mutex<Outputs>>,
    /// Its seat there.
    seat: Option<Seat>,
    /// What the receiver is still owed.
    gap: Option<Gap>,
    /// What is wrong, as far as it was told: whoever mends it is to hear of it.
    outages: Mutex<Outages<Fault>>,
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
    /// Builds every lane of `tenant`, with the filters that were [fitted](fit) for these groups. Lanes of a former specification
    /// hand over what their receiver holds.
    pub fn build(
        deps: &Deps,
        tenant: &Arc<Tenant>,
        Fitted(filters): Fitted,
        groups: &[SourceGroup],
        former: Vec<Lane>,
    ) -> Result<Pipeline, Error> {
        let entry = deps.board.tenant(&tenant.id);
        entry.starting(tenant);
        let own = tenant.filters.iter().map(|filter| &*filter.name);
        deps.metrics.keep_filters(&tenant.id, builtin::IN_EVERY_CHAIN.into_iter().chain(own));
        let cut = CancellationToken::new();
        let mut builder =
            Builder { deps, tenant, filters: filters.into_iter(), groups, former, cut: cut.clone() };
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
