//! `sluice run`: the program itself.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::config::{Config, LogFormat};
use crate::model::{chain, printable};
use crate::status::Board;
use crate::telemetry;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// Runs until the app ends, or until a signal asks it to.
pub(super) fn run<A, F>(args: &Args, app: A) -> ExitCode
where
    A: FnOnce(Config, Board, CancellationToken) -> F,
    F: Future<Output = anyhow::Result<()>>,
{
    // Before the configuration is read nobody knows how to log, so its errors are plain lines.
    let (config, warnings) = match Config::load(&args.config) {
        Ok(loaded) => loaded,
        Err(invalid) => return status(Err(invalid.into())),
    };
    let format = match config.log.format {
        LogFormat::Json => telemetry::LogFormat::Json,
        LogFormat::Text => telemetry::LogFormat::Text,
    };
    if let Err(error) = telemetry::init(format, &config.log.level) {
        return status(Err(error.into()));
    }
    for warning in &warnings {
        // The line's own level says that it is a warning.
        warn!("{}", warning.to_string().replacen(": warning: ", ": ", 1));
    }
    // No warning: it is how a platform of one team is run, and the demo.
    if config.tenants.may_ask_for_everything() {
        info!("Every team may ask for any series: neither sourceLabel nor isolation.mode: enforced is set");
    }
    match until_signal(async |stop| app(config, Board::new(), stop).await) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("{}", chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

/// The exit status of a command that does not log.
pub(super) fn status(ended: anyhow::Result<()>) -> ExitCode {
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        // Who reads no further, as `head` does, wants to hear nothing, and nothing is wrong.
        Err(error) if is_reader_gone(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{}", printable(&chain(error.as_ref())));
            ExitCode::FAILURE
        }
    }
}

/// Whether nobody reads what is printed any more. Other connections that break are told in errors of their own.
pub(super) fn is_reader_gone(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Runs `work` on a runtime of its own and cancels its token at the first SIGINT or SIGTERM.
pub(super) fn until_signal(
    work: impl AsyncFnOnce(CancellationToken) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(async {
        let stop = CancellationToken::new();
        // The handlers are in place before the work starts: no signal is lost.
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let asked = stop.clone();
        tokio::spawn(async move {
            let name = tokio::select! {
                _ = interrupt.recv() => "SIGINT",
                _ = terminate.recv() => "SIGTERM",
            };
            info!(signal = name, "stopping");
            asked.cancel();
        });
        work(stop).await
    });
    // What it has to finish, the work has waited for. Only a compilation may still be under way, and nobody needs it.
    runtime.shutdown_background();
    ended
}
