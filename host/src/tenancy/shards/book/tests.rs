//! Replicas that share an API server, simulated: random schedules of coming, going, crashing, and being cut off.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::{Mutex, PoisonError};

use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::super::SAVE_EVERY;
use super::super::handover::HANDOVER_MAX;
use super::super::view::SHARD_BYTES_MAX;
use super::*;
use crate::tenancy::ownership::{LEASE_DURATION, Ledger, RENEW_EVERY, Seen};
use crate::tenancy::shards::{Row, Tag};

/// Milliseconds between two looks at the world.
const STEP: u64 = 20;
/// How long after it was cut off a replica may not know what the others do.
const BLIND: u64 = 3_000;
const TENANTS: usize = 5;

fn tenant(n: usize) -> TenantId {
    TenantId { namespace: "team".into(), name: format!("access-{n}") }
}

/// A replica's cursors: one endpoint each, counting seconds. And the one tag of each tenant.
#[derive(Debug, Clone, Default)]
struct Memory(std::sync::Arc<Mutex<BTreeMap<TenantId, Held>>>);

#[derive(Debug, Clone, Default)]
struct Held {
    epoch: u64,
    delivered: Option<i64>,
    tags: Option<Vec<Tag>>,
}

impl Memory {
    fn get(&self, tenant: &TenantId) -> Option<i64> {
        self.lock().get(tenant)?.delivered
    }

    fn set(&self, tenant: &TenantId, delivered: i64) {
        self.change(tenant, |held| held.delivered = held.delivered.max(Some(delivered)));
    }

    fn change(&self, tenant: &TenantId, change: impl FnOnce(&mut Held)) {
        let mut all = self.lock();
        let held = all.entry(tenant.clone()).or_default();
        held.epoch += 1;
        change(held);
    }

    /// What the tag stands for: what it always stood for, or else something new.
    fn resolved(&self, tenant: &TenantId, new: String) -> String {
        if let Some([tag]) = self.tags(tenant).as_deref() {
            return tag.digest.clone();
        }
        let tag = Tag { reference: "a:1".into(), digest: new.clone() };
        self.change(tenant, |held| held.tags = Some(vec![tag]));
        new
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<TenantId, Held>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cursors for Memory {
    fn epoch(&self, tenant: &TenantId) -> u64 {
        self.lock().get(tenant).map_or(0, |held| held.epoch)
    }

    fn rows(&self, tenant: &TenantId) -> Vec<Row> {
        let row = |delivered| Row { group: "g".into(), endpoint: "e".into(), delivered, ended: false };
        self.get(tenant).map(row).into_iter().collect()
    }

    fn tags(&self, tenant: &TenantId) -> Option<Vec<Tag>> {
        self.lock().get(tenant)?.tags.clone()
    }

    fn restore(&self, tenant: &TenantId, record: &Record) {
        record.cursors.iter().for_each(|row| self.set(tenant, row.delivered));
        self.change(tenant, |held| held.tags = Some(record.tags.clone()));
    }

    fn let_go(&self, tenant: &TenantId) {
        self.change(tenant, |held| held.tags = None);
    }
}

/// The API server: ConfigMaps, Leases, and everything that ever happened to them, in order.
#[derive(Default)]
struct Server {
    version: u64,
    maps: BTreeMap<usize, (u64, BTreeMap<String, String>)>,
    leases: BTreeMap<String, Seen>,
    log: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Map(usize, Current),
    Lease(Seen),
    LeaseDeleted(String),
}

impl Server {
    fn current(&self, shard: usize) -> Option<Current> {
        let (version, data) = self.maps.get(&shard)?;
        Some(Current { version: version.to_string(), data: data.clone() })
    }

    fn write(&mut self, write: &Write) -> Outcome {
        let known = self.maps.get(&write.shard).map(|(version, _)| version.to_string());
        if known != write.base {
            return Outcome::Conflict(Some(self.current(write.shard)));
        }
        self.version += 1;
        let (version, data) = self.maps.entry(write.shard).or_default();
        let before = data.clone();
        for (key, value) in write.changes.clone() {
            match value {
                Some(value) => _ = data.insert(key, value),
                None => _ = data.remove(&key),
            }
        }
        // A write that changes nothing makes no version.
        if before != *data {
            *version = self.version;
            let current = self.current(write.shard).unwrap();
            self.log.push(Change::Map(write.shard, current));
        }
        Outcome::Accepted(self.maps[&write.shard].0.to_string())
    }

    fn renew(&mut self, lease: Seen) {
        self.leases.insert(lease.lease.clone(), lease.clone());
        self.log.push(Change::Lease(lease));
    }

    fn delete_lease(&mut self, lease: &str) {
        self.leases.remove(lease);
        self.log.push(Change::LeaseDeleted(lease.to_owned()));
    }
}

/// Something on its way, and when it arrives.
type Mail<T> = VecDeque<(u64, T)>;

enum Request {
    Write(Write),
    Renew(Seen),
    DeleteLease,
}

enum Answer {
    Written(Write, Outcome),
    Renewed(u64, i64),
    NotRenewed,
    Gone,
}

/// One process.
struct Replica {
    name: String,
    ledger: Ledger,
    book: Book<Memory>,
    cursors: Memory,
    begun: bool,
    leaving: bool,
    /// Running pipelines, and when those told to stop will have.
    pipelines: BTreeMap<TenantId, Option<u64>>,
    cut_off: Option<u64>,
    /// Until when it could not see the API server, and a little longer.
    blind_until: u64,
    /// How much of the server's log it has been sent.
    sent: usize,
    /// Two watches, and nothing is promised about which of them is faster.
    events: [Mail<Change>; 2],
    requests: Mail<Request>,
    answers: Mail<Answer>,
    busy: Vec<bool>,
    due: Vec<bool>,
    renew_at: u64,
    renewing: bool,
    save_at: u64,
    over: bool,
}

struct World {
    now: u64,
    start: Instant,
    rng: StdRng,
    server: Server,
    replicas: Vec<Replica>,
    wanted: Wanted,
    /// Every tick delivered, by tenant, and how often.
    delivered: BTreeMap<TenantId, BTreeMap<i64, u32>>,
    /// What each tenant's tag was taken for.
    resolved: BTreeMap<TenantId, BTreeSet<String>>,
    /// Whether a crash or an outage excuses ticks that are sent again, and a tag that is looked up again.
    in_doubt: bool,
    starts: Rc<RefCell<Vec<(u64, String, TenantId)>>>,
    delay_max: u64,
}

impl World {
    fn new(seed: u64) -> World {
        let run: BTreeMap<_, _> = (0..TENANTS).map(|n| (tenant(n), tenant(n).to_string())).collect();
        let known = Arc::new(run.keys().cloned().collect());
        World {
            now: 1_000,
            start: Instant::now(),
            rng: StdRng::seed_from_u64(seed),
            server: Server { version: 1, ..Server::default() },
            replicas: Vec::new(),
            wanted: Wanted { run: Arc::new(run), known, ..Wanted::default() },
            delivered: BTreeMap::new(),
            resolved: BTreeMap::new(),
            in_doubt: false,
            starts: Rc::default(),
            delay_max: 250,
        }
    }

    fn instant(&self) -> Instant {
        self.start + Duration::from_millis(self.now)
    }

    fn delay(&mut self) -> u64 {
        self.now + self.rng.random_range(5..self.delay_max)
    }

    fn join(&mut self, name: &str) {
        let cursors = Memory::default();
        let mut replica = Replica {
            name: name.to_owned(),
            ledger: Ledger::new(format!("lease-{name}"), name.to_owned()),
            book: Book::new(cursors.clone()),
            cursors,
            begun: false,
            leaving: false,
            pipelines: BTreeMap::new(),
            cut_off: None,
            blind_until: 0,
            sent: 0,
            events: [Mail::new(), Mail::new()],
            requests: Mail::new(),
            answers: Mail::new(),
            busy: vec![false; SHARDS],
            due: vec![false; SHARDS],
            renew_at: self.now,
            renewing: false,
            save_at: self.now + self.rng.random_range(0..SAVE_EVERY.as_millis() as u64),
            over: false,
        };
        replica.book.wanted(&self.wanted);
        relist(&mut replica, &self.server, self.instant());
        self.replicas.push(replica);
    }

    /// The living replica of this number, counted round.
    fn living(&mut self, n: usize) -> Option<usize> {
        let living: Vec<usize> = (0..self.replicas.len()).filter(|at| !self.replicas[*at].over).collect();
        living.get(n % living.len().max(1)).copied()
    }

    fn kill(&mut self, at: usize) -> String {
        self.in_doubt = true;
        self.replicas[at].over = true;
        self.replicas[at].pipelines.clear();
        // What it had sent may still arrive.
        let requests = std::mem::take(&mut self.replicas[at].requests);
        for (_, request) in requests {
            if self.rng.random_bool(0.5) {
                self.serve(request);
            }
        }
        self.replicas[at].name.clone()
    }

    fn serve(&mut self, request: Request) {
        match request {
            Request::Write(write) => _ = self.server.write(&write),
            Request::Renew(lease) => self.server.renew(lease),
            Request::DeleteLease => {}
        }
    }

    fn run(&mut self, millis: u64) {
        let until = self.now + millis;
        while self.now < until {
            self.now += STEP;
            for at in 0..self.replicas.len() {
                if !self.replicas[at].over {
                    self.live(at);
                }
            }
            self.check_exclusion();
        }
    }

    /// One step of one replica: what reaches it, what it decides, what it sends, what its pipelines do.
    fn live(&mut self, at: usize) {
        self.deliver_events(at);
        self.deliver_requests(at);
        self.deliver_answers(at);
        self.decide(at);
        self.send(at);
        self.work(at);
    }

    fn deliver_events(&mut self, at: usize) {
        let (now, instant) = (self.now, self.instant());
        if let Some(until) = self.replicas[at].cut_off {
            let replica = &mut self.replicas[at];
            replica.blind_until = now + BLIND;
            if now < until {
                return;
            }
            replica.cut_off = None;
            replica.events.iter_mut().for_each(Mail::clear);
            relist(replica, &self.server, instant);
        }
        let new: Vec<Change> = self.server.log[self.replicas[at].sent..].to_vec();
        self.replicas[at].sent = self.server.log.len();
        for change in new {
            let due = self.delay();
            let watch = usize::from(matches!(change, Change::Map(..)));
            let events = &mut self.replicas[at].events[watch];
            let after = events.back().map_or(0, |(due, _)| *due);
            events.push_back((due.max(after), change));
        }
        let replica = &mut self.replicas[at];
        let due = |events: &mut Mail<Change>| events.pop_front_if(|(due, _)| *due <= now);
        while let Some((_, change)) = replica.events.iter_mut().find_map(due) {
            match change {
                Change::Map(shard, current) => replica.book.see(shard, current),
                Change::Lease(lease) => replica.ledger.saw(lease, instant),
                Change::LeaseDeleted(lease) => replica.ledger.deleted(&lease),
            }
        }
    }

    fn deliver_requests(&mut self, at: usize) {
        let now = self.now;
        while let Some((_, request)) = self.replicas[at].requests.pop_front_if(|(due, _)| *due <= now) {
            let lost = self.replicas[at].cut_off.is_some();
            let served = !lost || self.rng.random_bool(0.2);
            let answered = self.delay();
            let given_up = now + 2_000;
            let (due, answer) = match request {
                Request::Write(write) => {
                    let outcome = if served { self.server.write(&write) } else { Outcome::Unknown };
                    let outcome = if lost { Outcome::Unknown } else { outcome };
                    (if lost { given_up } else { answered }, Answer::Written(write, outcome))
                }
                Request::Renew(lease) => {
                    let renewal = lease.renewal;
                    if served {
                        self.server.renew(lease);
                    }
                    match lost {
                        true => (given_up, Answer::NotRenewed),
                        // The renewal is the time it was sent at.
                        false => (answered, Answer::Renewed(renewal as u64, renewal)),
                    }
                }
                Request::DeleteLease => {
                    if !lost {
                        let lease = format!("lease-{}", self.replicas[at].name);
                        self.server.delete_lease(&lease);
                    }
                    (now, Answer::Gone)
                }
            };
            self.replicas[at].answers.push_back((due, answer));
        }
    }

    fn deliver_answers(&mut self, at: usize) {
        let (now, start) = (self.now, self.start);
        let replica = &mut self.replicas[at];
        let mut later = Mail::new();
        for (due, answer) in std::mem::take(&mut replica.answers) {
            if due > now {
                later.push_back((due, answer));
                continue;
            }
            match answer {
                Answer::Written(write, outcome) => {
                    replica.busy[write.shard] = false;
                    replica.due[write.shard] |= !matches!(outcome, Outcome::Accepted(_));
                    replica.book.wrote(write, outcome);
                }
                Answer::Renewed(sent, renewal) => {
                    replica.renewing = false;
                    replica.renew_at = sent + RENEW_EVERY.as_millis() as u64;
                    replica.ledger.renewed(start + Duration::from_millis(sent), renewal);
                }
                Answer::NotRenewed => {
                    replica.renewing = false;
                    replica.renew_at = now + 500;
                }
                Answer::Gone => replica.over = true,
            }
        }
        replica.answers = later;
    }

    fn decide(&mut self, at: usize) {
        let instant = self.instant();
        let stopping = self.now + self.rng.random_range(20..500);
        let replica = &mut self.replicas[at];
        let members = replica.ledger.members();
        if *replica.book.members != members {
            replica.book.members(Arc::new(members));
        }
        if !replica.begun {
            if !replica.book.members.active.contains(&replica.name) {
                return;
            }
            replica.begun = true;
            replica.book.begin();
        }
        for action in replica.book.step(instant) {
            match action {
                Action::Start(tenant) => {
                    self.starts.borrow_mut().push((self.now, replica.name.clone(), tenant.clone()));
                    let was = replica.pipelines.insert(tenant, None);
                    assert_eq!(was, None, "started twice");
                }
                Action::Stop(tenant) => {
                    let was = replica.pipelines.insert(tenant, Some(stopping));
                    assert_eq!(was, Some(None), "stopped what does not run");
                }
            }
        }
    }

    fn send(&mut self, at: usize) {
        let (now, wall) = (self.now, Timestamp(self.now as i64));
        let arrives = self.delay();
        let replica = &mut self.replicas[at];
        let suspect = replica.ledger.suspect_at().map(|at| (at - self.start).as_millis() as u64);
        let probe = replica.ledger.awaited_since().is_none() && suspect.is_some_and(|at| at <= now);
        if !replica.renewing && (replica.renew_at <= now || probe) {
            replica.renewing = true;
            let lease = Seen {
                lease: format!("lease-{}", replica.name),
                holder: Some(replica.name.clone()),
                renewal: now as i64,
                version: now.to_string(),
                duration: LEASE_DURATION,
                leaving: replica.leaving,
            };
            replica.requests.push_back((arrives, Request::Renew(lease)));
        }
        if !replica.begun && !replica.leaving {
            return;
        }
        if replica.save_at <= now {
            replica.save_at += SAVE_EVERY.as_millis() as u64;
            replica.due.iter_mut().for_each(|due| *due = true);
        }
        let (busy, due) = (replica.busy.clone(), replica.due.clone());
        let occasion = |shard: usize| match (busy[shard], due[shard]) {
            (true, _) => None,
            (false, true) => Some(Occasion::Save),
            (false, false) if now % 1_000 < STEP => Some(Occasion::First),
            (false, false) => Some(Occasion::Urgent),
        };
        for shard in (0..SHARDS).filter(|shard| !busy[*shard]) {
            replica.due[shard] = false;
        }
        for write in replica.book.writes(occasion, wall) {
            replica.busy[write.shard] = true;
            replica.requests.push_back((arrives, Request::Write(write)));
        }
        let released =
            replica.pipelines.is_empty() && (0..TENANTS).all(|n| !replica.book.is_letting_go(&tenant(n)));
        if replica.leaving && released && !replica.renewing && replica.requests.is_empty() {
            replica.requests.push_back((now, Request::DeleteLease));
        }
    }

    /// Pipelines deliver every second after their cursor; those told to stop do in time.
    fn work(&mut self, at: usize) {
        let (now, second) = (self.now, (self.now / 1_000) as i64);
        let replica = &mut self.replicas[at];
        for tenant in replica.pipelines.keys() {
            let resolved = replica.cursors.resolved(tenant, format!("{} {now}", replica.name));
            self.resolved.entry(tenant.clone()).or_default().insert(resolved);
            let next = replica.cursors.get(tenant).map_or(second, |delivered| delivered + 1);
            for tick in next..=second {
                *self.delivered.entry(tenant.clone()).or_default().entry(tick).or_default() += 1;
                replica.cursors.set(tenant, tick);
            }
        }
        let ended = |stops: &Option<u64>| stops.is_some_and(|stops| stops <= now);
        for (tenant, _) in replica.pipelines.extract_if(.., |_, stops| ended(stops)) {
            replica.book.stopped(&tenant);
        }
    }

    /// Never two at once, of those that see the API server.
    fn check_exclusion(&self) {
        let mut running = BTreeMap::<&TenantId, &str>::new();
        for replica in self.replicas.iter().filter(|replica| replica.blind_until <= self.now) {
            for tenant in replica.pipelines.keys() {
                if let Some(other) = running.insert(tenant, &replica.name) {
                    panic!("{} ms: {tenant} runs at {other} and at {}", self.now, replica.name);
                }
            }
        }
    }

    /// Every tenant runs at its owner and nowhere else.
    fn check_settled(&self) {
        let living: Vec<&Replica> = self.replicas.iter().filter(|replica| !replica.over).collect();
        let names = living.iter().map(|replica| replica.name.as_str());
        for tenant in self.wanted.run.keys() {
            let owner = crate::tenancy::ownership::owner(names.clone(), &tenant.to_string());
            let runs = living.iter().filter(|replica| replica.pipelines.contains_key(tenant));
            let runs: Vec<&str> = runs.map(|replica| replica.name.as_str()).collect();
            assert_eq!(
                runs,
                owner.into_iter().collect::<Vec<_>>(),
                "{tenant} of {living}",
                living = names.clone().collect::<Vec<_>>().join(" ")
            );
        }
    }

    /// No tick was left out; without crashes and outages none was sent twice, and no tag looked up twice.
    fn check_ticks(&self) {
        for (tenant, ticks) in &self.delivered {
            let (first, last) = (ticks.keys().next().unwrap(), ticks.keys().last().unwrap());
            assert_eq!(ticks.len() as i64, last - first + 1, "{tenant} lacks ticks: {ticks:?}");
            let twice: Vec<_> = ticks.iter().filter(|(_, times)| **times > 1).collect();
            assert!(self.in_doubt || twice.is_empty(), "{tenant} sent again: {twice:?}");
            let resolved = &self.resolved[tenant];
            assert!(self.in_doubt || resolved.len() == 1, "{tenant} looked up again: {resolved:?}");
        }
    }
}

fn relist(replica: &mut Replica, server: &Server, now: Instant) {
    replica.sent = server.log.len();
    replica.ledger.list_begins();
    server.leases.values().for_each(|lease| replica.ledger.saw(lease.clone(), now));
    replica.ledger.list_ends();
    replica.book.list_begins();
    for shard in server.maps.keys() {
        replica.book.see(*shard, server.current(*shard).unwrap());
    }
    replica.book.list_ends();
}

#[derive(Debug, Clone)]
enum Event {
    Join,
    Leave(usize),
    Kill(usize),
    Restart(usize),
    CutOff(usize, u64),
    CutAllOff(u64),
}

fn happen(world: &mut World, event: &Event, number: usize) {
    match *event {
        Event::Join => world.join(&format!("pod-{number}")),
        Event::Leave(n) => {
            if let Some(at) = world.living(n) {
                let now = world.now;
                let replica = &mut world.replicas[at];
                replica.leaving = true;
                replica.ledger.leave();
                replica.book.leave();
                replica.renew_at = now;
            }
        }
        Event::Kill(n) => {
            if let Some(at) = world.living(n) {
                world.kill(at);
            }
        }
        Event::Restart(n) => {
            if let Some(at) = world.living(n) {
                let name = world.kill(at);
                world.run(1_000);
                world.join(&name);
            }
        }
        Event::CutOff(n, millis) => {
            if let Some(at) = world.living(n) {
                world.in_doubt = true;
                world.replicas[at].cut_off = Some(world.now + millis);
            }
        }
        Event::CutAllOff(millis) => {
            world.in_doubt = true;
            for at in 0..world.replicas.len() {
                world.replicas[at].cut_off = Some(world.now + millis);
            }
        }
    }
}

fn events(graceful: bool) -> impl Strategy<Value = Vec<(Event, u64)>> {
    let gentle = prop_oneof![3 => Just(Event::Join), 2 => (0..4_usize).prop_map(Event::Leave)].boxed();
    let rough = prop_oneof![
        3 => Just(Event::Join),
        1 => (0..4_usize).prop_map(Event::Leave),
        2 => (0..4_usize).prop_map(Event::Kill),
        1 => (0..4_usize).prop_map(Event::Restart),
        1 => ((0..4_usize), 100..60_000_u64).prop_map(|(n, millis)| Event::CutOff(n, millis)),
        1 => (100..60_000_u64).prop_map(Event::CutAllOff),
    ];
    let event = if graceful { gentle } else { rough.boxed() };
    // What happens, and how long until the next thing does.
    proptest::collection::vec((event, prop_oneof![20..1_000_u64, 20..20_000_u64]), 1..7)
}

fn simulate(seed: u64, events: &[(Event, u64)]) -> World {
    let mut world = World::new(seed);
    world.join("pod-a");
    world.join("pod-b");
    world.run(3_000);
    for (number, (event, pause)) in events.iter().enumerate() {
        happen(&mut world, event, number);
        world.run(*pause);
    }
    world.join("pod-z");
    // The longest outage, the grace after it, a takeover, and a hand-over.
    world.run(60_000 + 3 * LEASE_DURATION.as_millis() as u64 + 2 * HANDOVER_MAX.as_millis() as u64);
    world
}

/// A replica that was cut off is restarted under its name in the very moment in which the others give it up: what its
/// former life holds is no lock.
#[test]
fn a_restart_just_before_a_takeover_runs_no_tenant_twice() {
    let events = [
        (Event::Join, 6101),
        (Event::Restart(2), 541),
        (Event::CutOff(3, 13_801), 13_781),
        (Event::Restart(0), 261),
    ];
    let world = simulate(5_159_196_834_238_326_558, &events);
    world.check_settled();
    world.check_ticks();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn coming_and_going_loses_no_tick_and_sends_none_twice(seed: u64, events in events(true)) {
        let world = simulate(seed, &events);
        world.check_settled();
        world.check_ticks();
    }

    #[test]
    fn crashes_and_outages_end_with_every_tenant_at_its_owner_and_no_tick_lost(seed: u64, events in events(false)) {
        let world = simulate(seed, &events);
        world.check_settled();
        world.check_ticks();
    }
}

/// A record of a resource of `namespace` that is `bytes` long at least, and since when its resource is gone.
fn filler(namespace: &str, n: usize, bytes: usize, gone: Option<i64>) -> (String, String) {
    let row = Row { group: "g".repeat(bytes), endpoint: "e".into(), delivered: 1, ended: false };
    let record =
        Record { holder: "long-gone".into(), released: true, gone, cursors: vec![row], ..Record::default() };
    (format!("{namespace}_filler-{n:04}"), record.write())
}

#[test]
fn a_full_shard_makes_room_for_who_runs_at_the_cost_of_the_namespace_that_filled_it() {
    let mut evil: Vec<_> = (0..800).map(|n| filler("evil", n, 1_000, Some(n as i64))).collect();
    let other: Vec<_> = (0..20).map(|n| filler("other", n, 1_000, None)).collect();
    let free = SHARD_BYTES_MAX
        - evil.iter().chain(&other).map(|(key, value)| key.len() + value.len()).sum::<usize>();
    // To the last byte.
    evil.push(filler("evil", 800, free.saturating_sub(150), None));
    let memory = Memory::default();
    let mut book = Book::new(memory);
    let place = Place::of(&tenant(0));
    let data: BTreeMap<String, String> = evil.into_iter().chain(other).collect();
    book.see(place.shard, Current { version: "1".into(), data });
    book.wanted(&Wanted { run: Arc::new([(tenant(0), "a".into())].into()), ..Wanted::default() });
    let wanted: Changes = [(place.key.clone(), Some("x".repeat(2_000)))].into();
    let changes = book.with_room(place.shard, wanted);
    let taken: Vec<&str> =
        changes.iter().filter(|(_, value)| value.is_none()).map(|(key, _)| key.as_str()).collect();
    assert!(taken.len() > 40 && taken.iter().all(|key| key.starts_with("evil_")), "{taken:?}");
    assert!(taken.contains(&"evil_filler-0000") && !taken.contains(&"evil_filler-0799"), "the oldest first");
    let (fitting, left_out) = book.shards[place.shard].view.fitting(changes);
    assert_eq!((left_out, fitting.contains_key(&place.key)), (0, true));
}

#[test]
fn a_record_that_a_living_member_holds_or_that_is_to_run_makes_no_room() {
    let mut book = Book::new(Memory::default());
    let place = Place::of(&tenant(0));
    let held = Record { holder: "a".into(), ..Record::default() };
    let big =
        Row { group: "g".repeat(SHARD_BYTES_MAX - 400), endpoint: "e".into(), delivered: 1, ended: false };
    let data = [
        ("evil_held".to_owned(), Record { cursors: vec![big], ..held }.write()),
        (
            place.key.clone(),
            Record { holder: "long-gone".into(), released: true, ..Record::default() }.write(),
        ),
    ];
    book.see(place.shard, Current { version: "1".into(), data: data.into() });
    book.members(Arc::new(Members {
        me: "b".into(),
        active: ["a".into(), "b".into()].into(),
        ..Members::default()
    }));
    book.wanted(&Wanted { run: Arc::new([(tenant(0), "a".into())].into()), ..Wanted::default() });
    let changes = book.with_room(place.shard, [("new".to_owned(), Some("x".repeat(2_000)))].into());
    assert_eq!(changes.keys().collect::<Vec<_>>(), ["new"]);
    let (_, left_out) = book.shards[place.shard].view.fitting(changes);
    assert_eq!(left_out, 1);
}
