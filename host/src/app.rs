//! App: the composition root. Config → App → run until told to stop.
//!
//! In: a configuration that was read and checked. Out: the running program.
//! Never: a decision of its own; it builds the rooms, hands them to each other, and waits for them in order.

pub mod api;
mod cluster;
mod container;
mod groups;
mod sources;
pub mod status;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::cache::Cache;
use crate::collect::{self, Cause, Collector, Observer};
use crate::config::{self, Config, Delivery};
use crate::deliver::cursor;
use crate::deliver::encode::Limits;
use crate::deliver::retry::Policy;
use crate::discover::Discovery;
use crate::document::Problem;
use crate::filter::{self, Builtins, Compiler, Pace, Program, Runtime, builtin};
use crate::http;
use crate::model::{Guard, Memory, Timestamp};
use crate::modules;
use crate::pipeline::{self, Batches, Deps};
use crate::serve;
use crate::status::Board;
use crate::supervise::{self, Assignment, Equipment};
use crate::telemetry::{Metrics, QueryResult};
use crate::tenancy::files;
use crate::tenancy::{Published, Tenants};
use cluster::{Place, Replica};

/// How long ticks in flight may take once we are told to stop; below Kubernetes' 30 s of grace.
const GRACE: Duration = Duration::from_secs(20);

/// How long connecting to a source or receiver may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Everything, built and not yet running.
pub struct App {
    deps: Arc<Deps>,
    equipment: Arc<Equipment>,
    discovery: Discovery,
    tenancy: Tenancy,
    serving: Serving,
}

/// The listeners, which answer from the beginning. Dropped, they close.
struct Serving {
    tasks: JoinSet<()>,
    public: SocketAddr,
    debug: SocketAddr,
    close: CancellationToken,
}

impl Serving {
    async fn open(listen: &config::Listen, state: serve::State) -> anyhow::Result<Serving> {
        let addresses = serve::Config { listen: listen.address, debug_listen: listen.debug };
        let listeners = serve::Bound::open(&addresses).await?;
        let (public, debug) = (listeners.public_address()?, listeners.debug_address()?);
        let (mut tasks, close) = (JoinSet::new(), CancellationToken::new());
        tasks.spawn(listeners.run(state, close.clone()));
        Ok(Serving { tasks, public, debug, close })
    }

    async fn close(mut self) -> anyhow::Result<()> {
        self.close.cancel();
        while let Some(served) = self.tasks.join_next().await {
            served.context("serving")?;
        }
        Ok(())
    }
}

/// Who watches the resources, and what it publishes.
enum Tenancy {
    Folder(Box<files::Watcher>, Published),
    Cluster(Box<Replica>),
}

/// Builds the program and runs it until `stop`; told to stop before it is built, it ends at once.
pub async fn run(config: Config, board: Board, stop: CancellationToken) -> anyhow::Result<()> {
    let app = tokio::select! {
        built = App::build(config, board) => built?,
        () = stop.cancelled() => return Ok(()),
    };
    app.run(stop).await
}

/// What compiles anybody's bytes: this program, which stays the same while it runs, whatever becomes of its file.
pub fn compiler() -> Program {
    let memory_bytes_max = container::compiling().memory_bytes_max;
    let path = PathBuf::from("/proc/self/exe");
    Program { path, memory_bytes_max, cpu_seconds_max: filter::CPU_SECONDS_MAX, pace: Pace::Behind }
}

impl App {
    /// Opens what can fail: addresses, the state file, the tenants' folder, the engine. Compiling the filters takes
    /// seconds; whoever asks for our health is answered meanwhile.
    pub async fn build(config: Config, board: Board) -> anyhow::Result<App> {
        let limits = config.filters.limits();
        let program = compiler();
        let runtime = move |compiler: Compiler| {
            let compiler = compiler.with_program(program);
            Runtime::with(&limits, Builtins::embedded(), compiler)
        };
        App::build_with(config, board, runtime).await
    }

    /// As [`App::build`], with another engine: the tests' way to put other filters in the built-in ones' places.
    pub async fn build_with(
        config: Config,
        board: Board,
        runtime: impl FnOnce(Compiler) -> Result<Runtime, filter::Error> + Send + 'static,
    ) -> anyhow::Result<App> {
        let files = config.cache.as_ref().map(Cache::open);
        let compiler =
            files.iter().cloned().fold(Compiler::here(), |compiler, files| compiler.with_cache(files));
        let runtime = tokio::task::spawn_blocking(move || {
            let runtime = runtime(compiler)?;
            runtime.warm(&builtin::IN_EVERY_CHAIN)?;
            Ok::<_, filter::Error>(runtime)
        });
        let metrics = Metrics::new();
        let serving =
            Serving::open(&config.listen, serve::State::new(board.clone(), metrics.clone(), now)).await?;
        let cursors = match config.state.file {
            Some(file) => cursor::Store::open(file, config.state.save_every)?,
            None => cursor::Store::in_memory(),
        };
        let (guard, egress) = (Arc::new(Guard::new(&config.receivers)), config.egress.map(Arc::new));
        let http = http::Client::new(&http::Config { guard, egress, ..http::Config::default() })?;
        let mut clusters = api::Clients::default();
        // Writing takes its time, too: in a file a moment, at an API server that has much to do another round.
        let saved_within = 2 * match &config.tenants {
            config::Tenants::Folder(_) => config.state.save_every,
            config::Tenants::Cluster(_) => crate::tenancy::shards::SAVE_EVERY,
        };
        let tenancy = match config.tenants {
            config::Tenants::Folder(tenants) => {
                let (watcher, published) = files::open(tenants, SystemTime::now())?;
                Tenancy::Folder(Box::new(watcher), published)
            }
            config::Tenants::Cluster(tenants) => {
                let client = clusters.of(tenants.kubeconfig.as_deref()).await?;
                Tenancy::Cluster(Box::new(Replica::open(tenants, client)))
            }
        };
        // Only where sources are looked for has there to be a cluster.
        let cluster = match config.discovery.blocks.is_empty() {
            true => None,
            false => Some(clusters.of(config.kubeconfig.as_deref()).await?),
        };
        let discovery = Discovery::new(config.discovery, cluster);
        let runtime = runtime.await.context("the filters' engine")??;
        board.compiled();
        let memory = Memory::new(container::tables_bytes_max());
        let collecting = collect::Config::default();
        let deps = Deps {
            collector: Collector::new(http.clone(), collecting, observer(&metrics), memory.clone()),
            runtime,
            http,
            cursors,
            board,
            metrics,
            claims: pipeline::Registry::default(),
            receivers: Default::default(),
            memory,
            batches: Arc::new(Batches::new(request_limits(&config.delivery))),
            config: pipeline_config(&config.delivery, saved_within),
            now,
        };
        let equipment = Arc::new(Equipment::new(
            modules::Store::new(config.modules, files)?,
            container::compiling().at_once_max,
        ));
        Ok(App { deps: Arc::new(deps), equipment, discovery, tenancy, serving })
    }

    /// Runs until `stop`: then ticks in flight end, the cursors are saved, and the listeners close.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let App { deps, equipment, discovery, tenancy, serving } = self;
        info!(public = %serving.public, debug = %serving.debug, "Sluice is running");

        // What runs until the pipelines have ended.
        let after = CancellationToken::new();
        let saving = tokio::spawn(deps.cursors.clone().run(after.clone()));

        // What ends with the signal.
        let mut feeding = JoinSet::new();
        let (alive, alive_seen) = watch::channel(Arc::default());
        let (assignment, mut place) = match tenancy {
            Tenancy::Folder(watcher, published) => {
                feeding.spawn(watcher.run(stop.clone()));
                let (assigned, assignment) = watch::channel(Arc::default());
                feeding.spawn(assign_all(published.tenants.clone(), assigned, stop.clone()));
                let telling =
                    tell_tenants(deps.clone(), published.tenants, Vanished::Forgotten, stop.clone());
                feeding.spawn(telling);
                (assignment, None)
            }
            Tenancy::Cluster(replica) => {
                let (assignment, place) = replica.start(&deps, alive_seen, &mut feeding, &stop);
                (assignment, Some(place))
            }
        };
        let (groups, settled) = (discovery.groups(), discovery.settled());
        sources::start(&deps, discovery, &mut feeding, &stop);
        let supervise = supervise::run(deps.clone(), equipment, assignment, groups, alive, stop.clone());
        let mut supervising = tokio::spawn(sources::once_settled(settled, supervise, stop.clone()));
        let keeping = place.as_mut().map(Place::tasks);
        let broken = first_broken(&mut feeding, keeping, &mut supervising, &stop).await;
        if let Some(error) = &broken {
            error!(%error, "A part of Sluice broke down; what is left is ended in order, to be started anew");
            stop.cancel();
        }
        deps.board.stopping();
        if !supervising.is_finished() && tokio::time::timeout(GRACE, supervising).await.is_err() {
            warn!(grace_seconds = GRACE.as_secs(), "Ticks in flight were cut off; they are asked for again");
        }
        while feeding.join_next().await.is_some() {}
        if let Some(place) = place {
            place.leave().await;
        }
        after.cancel();
        saving.await.context("saving cursors")?;
        serving.close().await?;
        info!("Sluice has stopped");
        broken.map_or(Ok(()), |error| Err(error).context("a part of Sluice broke down"))
    }
}

/// Waits for `stop`, or for the first part that panics. Without it the others would go on as if nothing were missing:
/// the place would be kept, the probes answered, and no change be heard.
async fn first_broken(
    feeding: &mut JoinSet<()>,
    keeping: Option<&mut JoinSet<()>>,
    supervising: &mut JoinHandle<()>,
    stop: &CancellationToken,
) -> Option<JoinError> {
    let mut none = JoinSet::new();
    let keeping = keeping.unwrap_or(&mut none);
    let mut supervises = true;
    loop {
        let ended = tokio::select! {
            biased;
            () = stop.cancelled() => return None,
            Some(ended) = feeding.join_next(), if !feeding.is_empty() => ended,
            Some(ended) = keeping.join_next(), if !keeping.is_empty() => ended,
            ended = &mut *supervising, if supervises => {
                supervises = false;
                ended
            }
        };
        if let Err(error) = ended {
            return Some(error);
        }
    }
}

/// A process by itself runs every tenant.
async fn assign_all(
    mut tenants: watch::Receiver<Arc<Tenants>>,
    assigned: watch::Sender<Arc<Assignment>>,
    stop: CancellationToken,
) {
    loop {
        let all = tenants.borrow_and_update().clone();
        let paused = Arc::new(all.refused.keys().cloned().collect());
        let assignment = Assignment { running: Arc::clone(&all.running), paused, ..Assignment::default() };
        assigned.send_if_modified(|now| {
            let changed = **now != assignment;
            *now = Arc::new(assignment);
            changed
        });
        tokio::select! {
            () = stop.cancelled() => return,
            changed = tenants.changed() => if changed.is_err() { return },
        }
    }
}

/// The wall clock.
fn now() -> Timestamp {
    SystemTime::now().into()
}

/// What becomes of the cursors of tenants that are not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Vanished {
    /// They are forgotten after a while: nobody else runs them.
    Forgotten,
    /// Another replica may run them; whoever keeps the cursors for all of them decides.
    Elsewhere,
}

/// Shows what became of every resource, and forgets the cursors of those long gone.
async fn tell_tenants(
    deps: Arc<Deps>,
    mut tenants: watch::Receiver<Arc<Tenants>>,
    vanished: Vanished,
    stop: CancellationToken,
) {
    let mut strays: HashSet<String> = HashSet::new();
    loop {
        let snapshot = tenants.borrow_and_update().clone();
        tell(&deps, &snapshot, vanished, &mut strays);
        deps.board.loaded();
        tokio::select! {
            () = stop.cancelled() => return,
            changed = tenants.changed() => if changed.is_err() { return },
        }
    }
}

fn tell(deps: &Deps, tenants: &Tenants, vanished: Vanished, strays: &mut HashSet<String>) {
    let known = deps.board.snapshot(now()).tenants;
    for id in known.iter().map(|tenant| &tenant.id) {
        let stays = tenants.running.contains_key(id)
            || tenants.disabled.contains(id)
            || tenants.refused.contains_key(id);
        if !stays {
            deps.board.remove(id);
        }
    }
    for (id, problems) in &tenants.refused {
        deps.board.tenant(id).refused(problems.iter().map(ToString::to_string).collect());
    }
    for id in &tenants.disabled {
        deps.board.tenant(id).disabled();
    }
    for id in tenants.running.keys() {
        let remarks = tenants.remarks.get(id).map(Vec::as_slice).unwrap_or_default();
        let (unmet, warnings): (Vec<_>, Vec<_>) = remarks.iter().partition(|problem| problem.is_error());
        let told = |problems: Vec<&Problem>| problems.into_iter().map(ToString::to_string).collect();
        deps.board.tenant(id).remark(told(unmet), told(warnings));
    }
    tell_strays(deps, tenants, strays);
    if vanished == Vanished::Forgotten {
        let present = tenants.running.keys().chain(tenants.refused.keys()).cloned().collect();
        deps.cursors.forget_vanished(&present, now());
    }
    deps.metrics.tenants_by_state([
        ("running", tenants.running.len() as u64),
        ("disabled", tenants.disabled.len() as u64),
        ("refused", tenants.refused.len() as u64),
    ]);
}

/// Shows the problems of files that hold no resource, by file.
fn tell_strays(deps: &Deps, tenants: &Tenants, told: &mut HashSet<String>) {
    let mut by_file = std::collections::BTreeMap::<String, Vec<String>>::new();
    // What is passed over is nothing that cannot be read.
    for problem in tenants.strays.iter().filter(|problem| problem.is_error()) {
        let file = problem.file.as_ref().map(|file| file.display().to_string()).unwrap_or_default();
        by_file.entry(file).or_default().push(problem.to_string());
    }
    for gone in told.iter().filter(|file| !by_file.contains_key(*file)) {
        deps.board.unreadable(gone, Vec::new());
    }
    *told = by_file.keys().cloned().collect();
    for (file, problems) in by_file {
        deps.board.unreadable(&file, problems);
    }
}

/// Counts every request to a source.
fn observer(metrics: &Metrics) -> Observer {
    let metrics = metrics.clone();
    Observer::new(move |asked| {
        let counted = metrics.for_source(&asked.source.name);
        let result = match asked.result {
            Ok(bytes) => {
                counted.scanned(0, bytes);
                QueryResult::Success
            }
            Err(Cause::Partial(_)) => QueryResult::Partial,
            Err(_) => QueryResult::Error,
        };
        counted.query(result, asked.took);
    })
}

fn pipeline_config(delivery: &Delivery, saved_within: Duration) -> pipeline::Config {
    let Delivery { concurrency, timeout, backfill_max, backoff_min, backoff_max, .. } = *delivery;
    pipeline::Config {
        backfill_max,
        saved_within,
        concurrency,
        retry: Policy { first: backoff_min, max: backoff_max, ..Policy::default() },
        timeouts: http::Timeouts {
            connect: CONNECT_TIMEOUT.min(timeout),
            first_byte: timeout,
            whole: timeout,
        },
    }
}

fn request_limits(delivery: &Delivery) -> Limits {
    Limits { samples_max: delivery.samples_max, bytes_max: delivery.bytes_max }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_part_that_panics_is_noticed_wherever_it_runs_and_one_that_ends_is_not() {
        let ending = || tokio::spawn(async {});
        let broken = || async { panic!("on purpose") };
        let stop = CancellationToken::new();
        let mut ended = JoinSet::new();
        ended.spawn(async {});
        let mut breaking = JoinSet::new();
        breaking.spawn(broken());
        let first = first_broken(&mut ended, Some(&mut breaking), &mut ending(), &stop).await;
        assert!(first.is_some_and(|error| error.is_panic()));
        breaking.spawn(broken());
        assert!(first_broken(&mut breaking, None, &mut ending(), &stop).await.is_some());
        assert!(first_broken(&mut ended, None, &mut tokio::spawn(broken()), &stop).await.is_some());
        let stopping = async {
            tokio::task::yield_now().await;
            stop.cancel();
        };
        let mut ended_early = ending();
        let (first, ()) = tokio::join!(first_broken(&mut ended, None, &mut ended_early, &stop), stopping);
        assert!(first.is_none());
    }
}
