//! Demo: the whole program at work in ten seconds, on servers of its own.
//!
//! In: nothing. Out: a live source, two teams with a server each, real configuration files in a temporary folder,
//! the real application on them, and a line per tick.
//! Never: a port other than on loopback, a file outside the temporary folder, a process left behind.

mod changes;
mod config;
mod listen;
mod live;
mod query;
mod real;
mod receiver;
mod show;
mod source;
mod workspace;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::model::{TenantId, Timestamp};
use crate::status::Board;
use changes::Changes;
use show::Show;
use workspace::World;

/// Without a delivered tick for this long something is wrong, and the demo says what.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the application may take to stop: the tick in flight, then its listeners.
const STOP_MAX: Duration = Duration::from_secs(20);
/// How often the teams' health is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What `sluice demo` takes.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
pub struct Args {
    /// End after this many ticks of every team; without it, run until interrupted
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub ticks: Option<u64>,
    /// Use real servers, prometheus and prometheus-pushgateway, from $SLUICE_SERVERS or PATH
    #[arg(long)]
    pub real: bool,
}

/// Runs the demo until `stop`, or until the ticks asked for were delivered. `app` is the application: it is given
/// the configuration file, the board to write on, and when to stop.
pub async fn run<A, F>(args: Args, out: impl Write, stop: CancellationToken, app: A) -> anyhow::Result<()>
where
    A: FnOnce(PathBuf, Board, CancellationToken) -> F,
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let mut show = Show::new(out, show::colour_wanted());
    let ending = stop.child_token();
    let world = tokio::select! {
        set_up = World::set_up(args.real, ending.clone()) => set_up?,
        () = stop.cancelled() => return Ok(()),
    };
    show.opening(&world)?;
    let board = Board::new();
    let watched = Watched { reports: board.reports(), board: board.clone(), ticks: args.ticks };
    let app_stop = CancellationToken::new();
    let mut app = tokio::spawn(app(world.config.clone(), board, app_stop.clone()));
    let watched = watched.until(&mut show, &world, &mut app, &stop).await;
    app_stop.cancel();
    let stopped = if app.is_finished() { Ok(()) } else { finish(app).await };
    ending.cancel();
    let kept = world.close().await;
    show.closing()?;
    watched.and(stopped).and(kept)
}

async fn finish(app: JoinHandle<anyhow::Result<()>>) -> anyhow::Result<()> {
    let abort = app.abort_handle();
    match tokio::time::timeout(STOP_MAX, app).await {
        Ok(ended) => ended.context("the application panicked")?,
        Err(_) => {
            abort.abort();
            bail!("the application did not stop within {} s", STOP_MAX.as_secs())
        }
    }
}

/// What is looked at while the application runs.
struct Watched {
    reports: tokio::sync::broadcast::Receiver<crate::status::TickReport>,
    board: Board,
    ticks: Option<u64>,
}

impl Watched {
    async fn until(
        mut self,
        show: &mut Show<impl Write>,
        world: &World,
        app: &mut JoinHandle<anyhow::Result<()>>,
        stop: &CancellationToken,
    ) -> anyhow::Result<()> {
        let mut seen: BTreeMap<TenantId, u64> = BTreeMap::new();
        let mut changes = Changes::default();
        let mut look = tokio::time::interval(LOOK_EVERY);
        let patience = tokio::time::sleep(PATIENCE);
        tokio::pin!(patience);
        loop {
            tokio::select! {
                report = self.reports.recv() => match report {
                    Ok(report) => {
                        patience.as_mut().reset(tokio::time::Instant::now() + PATIENCE);
                        show.tick(&report, world.example(&report.tenant.namespace).as_deref())?;
                        *seen.entry(report.tenant).or_default() += 1;
                        let done = |ticks| seen.len() >= config::TEAMS.len() && seen.values().all(|n| *n >= ticks);
                        if self.ticks.is_some_and(done) {
                            return Ok(());
                        }
                    }
                    Err(RecvError::Lagged(lost)) => show.note(&format!("{lost} lines left out"))?,
                    Err(RecvError::Closed) => return Ok(()),
                },
                _ = look.tick() => {
                    for change in changes.look(&self.board.snapshot(now())) {
                        show.change(&change)?;
                    }
                }
                ended = &mut *app => {
                    ended.context("the application panicked")??;
                    return Ok(());
                }
                () = stop.cancelled() => return Ok(()),
                () = &mut patience => bail!("no tick was delivered for {} s; {}", PATIENCE.as_secs(), self.reasons()),
            }
        }
    }

    fn reasons(&self) -> String {
        let snapshot = self.board.snapshot(now());
        let of = |tenant: &crate::status::TenantStatus| {
            format!(
                "{} is {}: {}",
                tenant.id,
                tenant.state(snapshot.now),
                tenant.health(snapshot.now).1.join("; ")
            )
        };
        let all: Vec<String> = snapshot.tenants.iter().map(of).collect();
        if all.is_empty() { "no resource was loaded".to_owned() } else { all.join("; ") }
    }
}

/// The clock of the demo's own edge.
fn now() -> Timestamp {
    std::time::SystemTime::now().into()
}

#[cfg(test)]
mod tests;
