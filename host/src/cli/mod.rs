//! Cli: the commands.
//!
//! In: arguments. Out: what the command prints, and an exit status: 0, 1 for errors in what was given, 2 for wrong
//! arguments. Never: work of its own; it reads, calls and prints.

mod check;
mod compile;
mod crd;
pub mod demo;
mod filter;
mod run;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::status::Board;
use crate::telemetry;

/// A multi-tenant Prometheus proxy: pulls what each team may have, filters it in WebAssembly, pushes it on.
#[derive(Debug, Parser)]
#[command(name = "sluice", version, propagate_version = true, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run with a configuration file, on a folder of MetricAccess files or on a cluster's.
    Run(run::Args),
    /// Check MetricAccess files and configurations without running.
    Check(check::Args),
    /// Print the CustomResourceDefinition of MetricAccess, to be applied to a cluster.
    Crd,
    /// Build, look at, run and test filters
    #[command(subcommand)]
    Filter(filter::Command),
    /// Compile one filter for the program that calls this one.
    #[command(name = "compile-filter", hide = true)]
    Compile(compile::Args),
    /// Show the main job on this machine: a source, two teams, a line per tick.
    Demo(demo::Args),
}

/// Does what the arguments say. `app` is the program itself: it is given its configuration, the board to write on, and
/// when to stop.
pub fn main<A, F>(arguments: impl IntoIterator<Item = OsString>, app: A) -> ExitCode
where
    A: FnOnce(Config, Board, CancellationToken) -> F + Send,
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are "errors" that go to standard output with status 0.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match cli.command {
        Command::Run(args) => run::run(&args, app),
        Command::Check(args) => check::run(&args),
        Command::Crd => crd::run(),
        Command::Filter(command) => filter::run(&command),
        Command::Compile(args) => compile::run(&args),
        Command::Demo(args) => demo(args, app),
    }
}

fn demo<A, F>(args: demo::Args, app: A) -> ExitCode
where
    A: FnOnce(Config, Board, CancellationToken) -> F,
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    // What is wrong with a team is on the board, and the demo tells it from there.
    let shown =
        telemetry::init(telemetry::LogFormat::Text, "error").map_err(anyhow::Error::from).and_then(|()| {
            run::until_signal(async |stop| {
                let app = |path: std::path::PathBuf, board, stop| {
                    let loaded = Config::load(&path).map(|(config, _)| app(config, board, stop));
                    async move { loaded?.await }
                };
                demo::run(args, std::io::stdout(), stop, app).await
            })
        });
    run::status(shown)
}
