//! `sluice compile-filter`: not for people. The program calls itself with it, to compile what a tenant sent within bounds.

use std::io::{self, Read as _, Write as _};
use std::process::ExitCode;

use crate::filter::{self, Pace};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Memory that it may take
    #[arg(long, value_name = "N")]
    memory_bytes_max: usize,
    /// Processor time that it may take
    #[arg(long, value_name = "N")]
    cpu_seconds_max: u64,
    /// Take all cores: somebody waits
    #[arg(long)]
    waited_for: bool,
}

/// Reads a component and writes machine code; or why not, and ends with 1.
pub(super) fn run(args: &Args) -> ExitCode {
    super::run::status(compile(args))
}

fn compile(args: &Args) -> anyhow::Result<()> {
    let pace = if args.waited_for { Pace::WaitedFor } else { Pace::Behind };
    let bounds = filter::bounded(args.memory_bytes_max, args.cpu_seconds_max, pace)?;
    let mut component = Vec::new();
    io::stdin().lock().read_to_end(&mut component)?;
    let code = filter::machine_code(&bounds, &component).map_err(anyhow::Error::msg)?;
    Ok(io::stdout().lock().write_all(&code)?)
}
