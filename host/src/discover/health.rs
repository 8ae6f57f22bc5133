//! Health: whether sources answer, asked every few seconds.
//!
//! In: the sources and what the cluster says of them. Out: a [`Report`] with every source's standing.
//! Never: a request to a source that is gone; a verdict after one failure, or one success.

mod probe;
#[cfg(test)]
mod tests;
mod verdict;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Presence, Targets};
use crate::http;
use crate::model::{Source, SourceName, Standing, Standings, Timestamp};
use probe::Way;
pub use verdict::{Seen, State};

/// How far probes are apart.
pub const EVERY: Duration = Duration::from_secs(5);

/// How long one may take. Readiness costs a server nothing, so one that needs longer is not well.
pub const TIMEOUT: Duration = Duration::from_secs(3);

/// How far a pause may differ from [`EVERY`], as a part of it, so that a fleet does not probe in step.
const JITTER: f64 = 0.2;

/// Outcomes that may wait to be noted. A probe waits for its place.
const OUTCOMES_MAX: usize = 64;

/// How sources are probed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// How far probes of one source are apart, give or take a fifth.
    pub every: Duration,
    /// How long one may take.
    pub timeout: Duration,
    /// So many failures in a row make a source down.
    pub failures_max: u32,
    /// So many successes in a row make it up again.
    pub successes_min: u32,
}

impl Default for Config {
    /// Down after three failures (10 to 20 s), up after two successes: one failure may be a restart's end, one success
    /// its beginning.
    fn default() -> Config {
        Config { every: EVERY, timeout: TIMEOUT, failures_max: 3, successes_min: 2 }
    }
}

/// What is known of every source's health.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Report {
    /// Whether each is worth asking, for those who ask.
    pub standings: Arc<Standings>,
    /// How each answered, for people.
    pub seen: BTreeMap<SourceName, Seen>,
}

/// One probe that ended.
struct Outcome {
    source: Arc<Source>,
    at: Timestamp,
    result: Result<(), probe::Error>,
}

/// Probes until `stop`.
pub(super) async fn run(
    client: http::Client,
    mut targets: watch::Receiver<Arc<Targets>>,
    config: Config,
    now: fn() -> Timestamp,
    report: watch::Sender<Arc<Report>>,
    stop: CancellationToken,
) {
    let mut patients = Patients::new(config);
    let mut probes = Probes { client, config, now, tasks: JoinSet::new(), running: HashMap::new() };
    let (outcomes, mut ended) = mpsc::channel(OUTCOMES_MAX);
    loop {
        let known = targets.borrow_and_update().clone();
        patients.meet(&known, now());
        probes.follow(&known, &outcomes);
        report.send_replace(patients.report());
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                changed = targets.changed() => match changed {
                    Ok(()) => break,
                    Err(_) => return,
                },
                Some(outcome) = ended.recv() => {
                    patients.note(outcome);
                    report.send_replace(patients.report());
                }
            }
        }
    }
}

/// The verdicts on every source.
struct Patients {
    config: Config,
    known: BTreeMap<SourceName, Patient>,
}

struct Patient {
    source: Arc<Source>,
    presence: Presence,
    seen: Seen,
}

impl Patients {
    fn new(config: Config) -> Patients {
        Patients { config, known: BTreeMap::new() }
    }

    /// Takes over which sources there are. One that moved is another server: nothing is known of it yet.
    fn meet(&mut self, targets: &Targets, now: Timestamp) {
        let mut before = std::mem::take(&mut self.known);
        for (source, presence) in &targets.sources {
            let kept = before.remove(&source.name).filter(|patient| patient.source.url == source.url);
            let mut seen = kept.map(|patient| patient.seen).unwrap_or_default();
            seen.told(presence, now);
            let patient = Patient { source: source.clone(), presence: presence.clone(), seen };
            self.known.insert(source.name.clone(), patient);
        }
    }

    /// Takes over a probe's outcome, unless the source has moved since.
    fn note(&mut self, outcome: Outcome) {
        let Outcome { source, at, result } = outcome;
        let patient = self.known.get_mut(&source.name).filter(|patient| patient.source.url == source.url);
        let Some(patient) = patient else { return };
        let before = patient.seen.state;
        match result {
            Ok(()) => patient.seen.answered(&self.config, at),
            Err(error) => patient.seen.failed(&self.config, error.to_string(), at),
        }
        let (source, state) = (&source.name, patient.seen.state);
        if before != state {
            match (state, &patient.seen.last_error) {
                (State::Down, Some((error, _))) => warn!(%source, %error, "A source is down"),
                _ => info!(%source, "A source is up"),
            }
        }
    }

    fn report(&self) -> Arc<Report> {
        let mut standings = Standings::default();
        for patient in self.known.values() {
            standings.insert(&patient.source, standing(&patient.presence, patient.seen.state));
        }
        let seen = self.known.iter().map(|(name, patient)| (name.clone(), patient.seen.clone())).collect();
        Arc::new(Report { standings: Arc::new(standings), seen })
    }
}

/// The cluster's word and the probes' together.
fn standing(presence: &Presence, state: State) -> Standing {
    match (presence, state) {
        (Presence::Gone(_), _) => Standing::Gone,
        (Presence::NotReady(_), _) | (_, State::Down) => Standing::LastResort,
        (Presence::Ready, State::Unknown | State::Up) => Standing::Preferred,
    }
}

/// One task for every source that is there.
struct Probes {
    client: http::Client,
    config: Config,
    now: fn() -> Timestamp,
    tasks: JoinSet<()>,
    running: HashMap<SourceName, (Arc<Source>, AbortHandle)>,
}

impl Probes {
    /// Ends the probes of sources that are gone or have changed, and begins those of new ones.
    fn follow(&mut self, targets: &Targets, outcomes: &mpsc::Sender<Outcome>) {
        let there = targets.sources.iter().filter(|(_, presence)| !matches!(presence, Presence::Gone(_)));
        let wanted: HashMap<_, _> = there.map(|(source, _)| (source.name.clone(), source.clone())).collect();
        self.running.retain(|name, (source, task)| {
            let stays = wanted.get(name).is_some_and(|wanted| wanted == source);
            if !stays {
                task.abort();
            }
            stays
        });
        for (name, source) in wanted {
            if !self.running.contains_key(&name) {
                let (client, config, now) = (self.client.for_access(&source.access), self.config, self.now);
                let probing = keep_probing(client, source.clone(), config, now, outcomes.clone());
                self.running.insert(name, (source, self.tasks.spawn(probing)));
            }
        }
        while self.tasks.try_join_next().is_some() {}
    }
}

/// Probes one source until it is aborted.
async fn keep_probing(
    client: http::Client,
    source: Arc<Source>,
    config: Config,
    now: fn() -> Timestamp,
    outcomes: mpsc::Sender<Outcome>,
) {
    let mut way = Way::Readiness;
    // The first probe of a source that just came is not held up for long, and not all of them go out at once.
    let mut pause = config.every.mul_f64(JITTER * rand::random::<f64>());
    loop {
        tokio::time::sleep(pause).await;
        let result = probe::probe(&client, &source, config.timeout, &mut way).await;
        if outcomes.send(Outcome { source: source.clone(), at: now(), result }).await.is_err() {
            return;
        }
        pause = config.every.mul_f64(rand::random_range(1.0 - JITTER..1.0 + JITTER));
    }
}
