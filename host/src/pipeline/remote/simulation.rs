//! Simulation: a lane between one or two scripted sources and a scripted receiver, in simulated time.
//!
//! Each seed is a schedule: series that come and go, sources and a receiver that fail in all their ways for a while, a clock that is
//! wrong by up to an hour, and a program that is killed at any moment and begins again from a cursor that is up to some seconds old.
//! When all is well again the receiver must hold every sample of every tick, the ends of series included, and have refused nothing
//! but ticks in doubt. A failure prints its seed; `SLUICE_SEED` runs that one alone, `SLUICE_SEEDS` as many as it says.
//!
//! Not simulated: a program that begins while its clock is wrong. It goes by it, as it has no other one.

mod judge;
mod receiver;
mod script;
mod stored;
mod world;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Mutex;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use receiver::{Line, Receiver};
use script::{Script, State, source};
use world::World;

use super::*;
use crate::collect::{Table, TableConfig};
use crate::deliver::cursor::{self, Cursor};
use crate::deliver::retry;
use crate::filter::{Config as FilterConfig, Runtime, Tenant as FilterTenant};
use crate::model::memory::Payer;
use crate::model::{
    Author, Endpoint, HonorLabels, Interval, Labels, Mode, Order, RemoteWriteEndpoint, SourceGroup, Stamps,
    TargetType, Tenant, TenantId, TickLimits, Timestamp,
};
use crate::pipeline::Heritage;
use crate::pipeline::clock::Clock;
use crate::pipeline::encoding::Encoding;
use crate::pipeline::lane::lock;
use crate::pipeline::news::Missed;
use crate::pipeline::order::Stretch;
use crate::pipeline::outputs::Outputs;
use crate::pipeline::pace::Pace;
use crate::pipeline::quota::{Beyond, Used};
use crate::pipeline::schedule::Schedule;
use crate::pipeline::steady::Steady;
use crate::status::Board;
use crate::telemetry::Metrics;

/// Schedules that are tried in every test run.
const SEEDS: u64 = 300;

/// Schedules in which ticks were given up because a clock was set ahead while they were sent, or while one of two sources answered.
const FOUND: [u64; 3] = [2264, 2304, 2677];

/// One of many series in which a sample that was stored late was taken for delivered, as the others of its request were.
const FOUND_OF_MANY: u64 = 65;

const INTERVAL: Duration = Duration::from_secs(1);
const LAG: Duration = Duration::from_secs(2);
/// How long things go wrong, and how long they are well afterwards.
const BAD: Duration = Duration::from_secs(60);
const GOOD: Duration = Duration::from_secs(60);

/// When simulated time begins.
const EPOCH: i64 = 1_800_000_000_000;

thread_local! {
    static BEGAN: Cell<Option<Instant>> = const { Cell::new(None) };
    /// When our clock is wrong, in seconds of the true time, and by how much, in milliseconds.
    static STEPS: RefCell<Vec<(Range<i64>, i64)>> = const { RefCell::new(Vec::new()) };
}

/// What the sources' clocks say, which are right.
fn true_now() -> Timestamp {
    let began = BEGAN.get().unwrap_or_else(Instant::now);
    Timestamp(EPOCH).plus(began.elapsed())
}

/// What our clock says.
fn now() -> Timestamp {
    Timestamp(true_now().as_millis() - skew_millis())
}

/// How far the sources' clocks are ahead of ours.
fn skew_millis() -> i64 {
    let second = (true_now().as_millis() - EPOCH) / 1000;
    STEPS.with_borrow(|steps| {
        let step = steps.iter().find(|(when, _)| when.contains(&second));
        step.map_or(0, |(_, by_millis)| -by_millis)
    })
}

/// What outlives the program.
struct Stage {
    runtime: Runtime,
    world: Arc<World>,
    receiver: Arc<Mutex<Receiver>>,
    tenant: Arc<Tenant>,
}

impl Stage {
    fn key(&self) -> cursor::Key {
        cursor::Key { tenant: self.tenant.id.clone(), group: "g".into(), endpoint: "e".into() }
    }

    /// The program, begun with these cursors, and what a lane before it left.
    fn lane(&self, cursors: &cursor::Store, former: Option<Simulated>, chance: &mut StdRng) -> Simulated {
        let (board, registry) = (Board::new(), Metrics::new());
        let group = SourceGroup::gather((0..self.world.replicas).map(source)).remove(0);
        let url = "http://127.0.0.1/".parse().unwrap();
        let endpoint = Endpoint::RemoteWrite(RemoteWriteEndpoint::plain(url, Author::Operator));
        let id = &self.tenant.id;
        let context = Context {
            key: self.key(),
            tenant: self.tenant.clone(),
            schedule: Schedule {
                interval: self.tenant.interval,
                lag: LAG,
                backfill_max: Duration::from_secs(3_000),
                clock: Clock::new(now),
            },
            config: crate::pipeline::Config {
                backfill_max: Duration::from_secs(3_000),
                saved_within: self.world.saved_every,
                concurrency: 3,
                retry: retry::Policy { max: Duration::from_secs(4), ..retry::Policy::default() },
                timeouts: Default::default(),
            },
            cursors: cursors.clone(),
            metrics: registry.for_tenant(id, TargetType::RemoteWrite),
            status: board.tenant(id).lane(&group, &endpoint, now()),
            registry: registry.clone(),
            board,
            failures: 0,
            cut: CancellationToken::new(),
            attempted_tick: None,
            steps: Vec::new(),
            conflict: None,
            outages: Mutex::default(),
            missed: Missed::AskedAgain,
            order: self.world.order,
            stretch: Stretch::Whole,
            bypassed: None,
            pace: Pace::default(),
            beyond: Beyond::default(),
            steady: Steady::default(),
            left_out: Steady::default(),
        };
        let filters = self.runtime.sequence(&FilterTenant::alone("shop", "web"), Vec::new()).unwrap();
        let stamps = Stamps { labels: Labels::default(), honor: HonorLabels::Stamp, protected: Vec::new() };
        let payer = Payer::unlimited("shop");
        let (outputs, gap) = match former.map(RemoteLane::into_heritage) {
            Some(Heritage { outputs, gap, .. }) => (outputs, gap),
            None => (Arc::new(Mutex::new(Outputs::default())), None),
        };
        lock(&outputs).disown();
        let assembler = Assembler::new(
            filters,
            self.tenant.interval,
            stamps,
            Encoding::RemoteWrite,
            None,
            outputs,
            || payer.hold_own(),
        );
        let used = Used::new(&registry, id, self.tenant.limits);
        let quota = Quota::shared(self.tenant.limits, 1, &used).remove(0);
        let scripts: Vec<Script> = (0..self.world.replicas).map(|rank| self.script(rank, chance)).collect();
        let line = Line {
            world: self.world.clone(),
            receiver: self.receiver.clone(),
            chance: Mutex::new(StdRng::seed_from_u64(chance.random())),
        };
        let limits = encode::Limits { samples_max: self.world.request_max, ..encode::Limits::default() };
        let intake = Intake::of(0, 0, scripts);
        RemoteLane::new(context, intake, assembler, quota, line, Arc::new(Batches::new(limits))).with_gap(gap)
    }

    fn script(&self, rank: usize, chance: &mut StdRng) -> Script {
        let table = Table::new(TableConfig { series_max: 1_000, ..TableConfig::default() });
        let chance = StdRng::seed_from_u64(chance.random());
        let state = Mutex::new(State { table, chance, kept: Default::default() });
        Script { world: self.world.clone(), rank, state }
    }
}

type Simulated = RemoteLane<Script, Line>;

/// How a lane ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// With its program, at any moment.
    Killed,
    /// Between two ticks: another one goes on with what it has.
    Replaced,
}

/// One life of the program, of at most so long: the cursor that was saved last.
async fn live(
    lane: &mut Simulated,
    stage: &Stage,
    cursors: &cursor::Store,
    life: Duration,
    end: End,
) -> Option<Cursor> {
    let halt = CancellationToken::new();
    let mut saved = cursors.get(&stage.key());
    let ends = Instant::now() + life;
    let run = lane.run(&halt);
    tokio::pin!(run);
    while Instant::now() < ends {
        let next = (Instant::now() + stage.world.saved_every).min(ends);
        // It runs until it is told to halt.
        let _ = tokio::time::timeout_at(next, &mut run).await;
        if next < ends {
            saved = cursors.get(&stage.key());
        }
    }
    if end == End::Replaced {
        halt.cancel();
        run.await;
        // Nor does the next one begin with a wrong clock.
        while skew_millis() != 0 {
            tokio::time::sleep(INTERVAL).await;
        }
        saved = cursors.get(&stage.key());
    }
    saved
}

fn tenant(mode: Mode) -> Tenant {
    Tenant {
        id: TenantId { namespace: "shop".into(), name: "web".into() },
        source: String::new(),
        selectors: Vec::new(),
        interval: Interval::new(INTERVAL).unwrap(),
        mode,
        target_type: TargetType::RemoteWrite,
        endpoints: Vec::new(),
        filters: Vec::new(),
        relabelings: Vec::new(),
        stamps: Stamps { labels: Labels::default(), honor: HonorLabels::Stamp, protected: Vec::new() },
        since: Timestamp(EPOCH),
        limits: TickLimits::NONE,
    }
}

impl Stage {
    fn new(world: World, seed: u64, runtime: &Runtime) -> Stage {
        BEGAN.set(Some(Instant::now()));
        STEPS.set(Vec::new());
        retry::CHANCE.set(StdRng::seed_from_u64(seed));
        let tenant = Arc::new(tenant(world.mode));
        let receiver = Receiver { order: world.order, ..Receiver::default() };
        let (world, receiver) = (Arc::new(world), Arc::new(Mutex::new(receiver)));
        Stage { runtime: runtime.clone(), world, receiver, tenant }
    }

    /// How long the program lives that begins now: not so short that the next one begins with a wrong clock.
    fn life(&self, chance: &mut StdRng) -> Duration {
        let life = Duration::from_millis(chance.random_range(50..20_000));
        let ends = (true_now().plus(life).as_millis() - EPOCH) / 1000;
        let wrong = self.world.steps.iter().find(|(when, _)| when.contains(&ends));
        wrong.map_or(life, |(when, _)| Timestamp(EPOCH + when.end * 1000).plus(INTERVAL).since(true_now()))
    }
}

async fn play(seed: u64, runtime: &Runtime, world: fn(&mut StdRng) -> World) -> Result<(), String> {
    let mut chance = StdRng::seed_from_u64(seed);
    let stage = Stage::new(world(&mut chance), seed, runtime);
    let (mut saved, mut doubtful, mut from, mut former) = (None, BTreeSet::new(), 0, None);
    let bad_until = Instant::now() + BAD;
    loop {
        let is_bad = Instant::now() < bad_until;
        stage.world.set_bad(is_bad);
        let cursors = cursor::Store::in_memory();
        cursors.restore(saved.map(|cursor| (stage.key(), cursor)));
        let is_owed = former.as_ref().is_some_and(|former: &Simulated| former.gap().is_some());
        if saved.is_none() && !is_owed {
            // Who has no cursor begins with the present, be it by a wrong clock.
            from = Tick::at_or_before(now().minus(LAG), stage.tenant.interval).timestamp().as_millis();
        } else {
            let second = (true_now().as_millis() - EPOCH) / 1000;
            let steps = stage.world.steps.iter().filter(|(when, _)| when.start > second).cloned();
            STEPS.with_borrow_mut(|known| known.extend(steps));
        }
        if let Some(Cursor::Delivered(last)) = saved {
            // What may have been sent since it was saved, all that is due if it caught up, and the tick that was being sent.
            let due = (true_now().since(last).as_secs() as u32).max(3);
            let last = Tick::at_or_before(last, stage.tenant.interval).timestamp();
            doubtful.extend((1..=due).map(|n| last.plus(INTERVAL * n).as_millis()));
        }
        let mut lane = stage.lane(&cursors, former.take(), &mut chance);
        let life = if is_bad { stage.life(&mut chance) } else { GOOD };
        let is_replaced = stage.world.order == Order::Any && is_bad && chance.random_bool(0.4);
        let end = if is_replaced { End::Replaced } else { End::Killed };
        saved = live(&mut lane, &stage, &cursors, life, end).await;
        former = Some(lane).filter(|_| is_replaced);
        if !is_bad {
            break;
        }
    }
    match (stage.tenant.mode, saved) {
        (Mode::Sampled, _) => stage.judge(from, &doubtful),
        (Mode::Raw, Some(Cursor::Delivered(last))) => {
            stage.judge_stored(from - INTERVAL.as_millis() as i64, last.as_millis())
        }
        (Mode::Raw, saved) => Err(format!("nothing was delivered: {saved:?}")),
    }
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// In simulated time.
fn simulated<T>(playing: impl Future<Output = T>) -> T {
    let simulated = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    simulated.unwrap().block_on(playing)
}

#[test]
fn whatever_goes_wrong_every_sample_arrives_once() {
    let runtime = Runtime::new(&FilterConfig::default()).unwrap();
    let seeds = match variable("SLUICE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..variable("SLUICE_SEEDS").unwrap_or(SEEDS),
    };
    let found = FOUND.iter().copied().filter(|_| variable("SLUICE_SEED").is_none());
    for seed in seeds.chain(found) {
        assert_eq!(simulated(play(seed, &runtime, World::new)), Ok(()), "SLUICE_SEED={seed}");
    }
}

#[test]
fn whatever_goes_wrong_every_stored_sample_arrives_once() {
    let runtime = Runtime::new(&FilterConfig::default()).unwrap();
    let seeds = match variable("SLUICE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..variable("SLUICE_SEEDS").unwrap_or(SEEDS),
    };
    for seed in seeds {
        assert_eq!(simulated(play(seed, &runtime, World::of_stored)), Ok(()), "SLUICE_SEED={seed}");
    }
}

#[test]
fn whatever_goes_wrong_every_stored_sample_of_many_series_arrives_once() {
    let runtime = Runtime::new(&FilterConfig::default()).unwrap();
    let seeds = match variable("SLUICE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..variable("SLUICE_SEEDS").unwrap_or(SEEDS) / 10,
    };
    for seed in seeds.chain(variable("SLUICE_SEED").is_none().then_some(FOUND_OF_MANY)) {
        assert_eq!(simulated(play(seed, &runtime, World::of_many_stored)), Ok(()), "SLUICE_SEED={seed}");
    }
}

/// How long a receiver is away.
const AWAY: Duration = Duration::from_secs(600);

async fn outlast(seed: u64, runtime: &Runtime, order: Order) -> Result<(), String> {
    let mut chance = StdRng::seed_from_u64(seed);
    let mut world = World::without_receiver(&mut chance);
    world.order = order;
    let stage = Stage::new(world, seed, runtime);
    let cursors = cursor::Store::in_memory();
    let mut lane = stage.lane(&cursors, None, &mut chance);
    let halt = CancellationToken::new();
    let run = lane.run(&halt);
    tokio::pin!(run);
    let mut count = 0;
    for (is_bad, long) in [(false, GOOD), (true, AWAY), (false, GOOD)] {
        stage.world.set_bad(is_bad);
        let _ = tokio::time::timeout(long, &mut run).await;
        count += long.as_secs();
    }
    stage.judge(EPOCH, &BTreeSet::new())?;
    let delivered = match cursors.get(&stage.key()) {
        Some(Cursor::Delivered(last)) => (last.as_millis() - EPOCH) / 1000,
        other => return Err(format!("{other:?}")),
    };
    let due = count as i64 - LAG.as_secs() as i64 - 1;
    if delivered < due {
        return Err(format!("{delivered} ticks of {due}"));
    }
    match order {
        Order::Ascending => Ok(()),
        Order::Any => stage.judge_liveness(Timestamp(EPOCH).plus(GOOD).plus(AWAY)),
    }
}

#[test]
fn a_receiver_that_is_away_for_ten_minutes_has_every_sample_afterwards() {
    let runtime = Runtime::new(&FilterConfig::default()).unwrap();
    for seed in 0..10 {
        assert_eq!(simulated(outlast(seed, &runtime, Order::Ascending)), Ok(()), "seed {seed}");
    }
}

#[test]
fn whatever_goes_wrong_a_receiver_that_takes_any_order_has_every_sample() {
    let runtime = Runtime::new(&FilterConfig::default()).unwrap();
    let seeds = match variable("SLUICE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..variable("SLUICE_SEEDS").unwrap_or(SEEDS),
    };
    for seed in seeds {
        assert_eq!(simulated(play(seed, &runtime, World::of_any_order)), Ok(()), "SLUICE_SEED={seed}");
    }
}

#[test]
fn a_receiver_that_takes_any_order_has_the_newest_ticks_before_those_it_missed() {
    let runtime = Runtime::new(&FilterConfig::default()).unwrap();
    for seed in 0..10 {
        assert_eq!(simulated(outlast(seed, &runtime, Order::Any)), Ok(()), "seed {seed}");
    }
}
