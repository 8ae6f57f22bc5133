//! Filter: the commands for those who write filters.
//!
//! In: arguments. Out: what the workbench found, on a terminal or as JSON. Never: a judgement of its own.

mod build;
mod inspect;
mod manifest;
mod new;
mod pull;
mod push;
mod remote;
mod run;
mod skeleton;
mod test;

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Subcommand, ValueEnum};

use crate::filter::{self, Module, Runtime};

/// The largest component that is read: a filter in JavaScript or Python, which carries its interpreter, has 20 MiB.
const COMPONENT_BYTES_MAX: usize = 64 << 20;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Begin a filter: a folder that builds, tests and runs as it is
    New(new::Args),
    /// Build a filter to a component
    Build(build::Args),
    /// Say what a component is: contract, state, imports, configuration
    Inspect(inspect::Args),
    /// Run a filter over a scrape and show what it changes
    Run(run::Args),
    /// Run a filter over tests/*/metrics.prom and compare with expected.prom
    Test(test::Args),
    /// Put a component into a registry, and say by which digest it is there
    Push(push::Args),
    /// Take a component out of a registry
    Pull(pull::Args),
    /// Print what a MetricAccess says to use a component that is in a registry
    Manifest(manifest::Args),
}

pub(super) fn run(command: &Command) -> ExitCode {
    let ended = match command {
        Command::New(args) => new::run(args),
        Command::Build(args) => build::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Run(args) => run::run(args),
        Command::Test(args) => return test::run(args),
        Command::Push(args) => push::run(args),
        Command::Pull(args) => pull::run(args),
        Command::Manifest(args) => manifest::run(args),
    };
    super::run::status(ended)
}

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// The engine with the limits that a filter has by default.
fn runtime() -> anyhow::Result<Runtime> {
    Ok(Runtime::new(&filter::Config { instances_max: 8, ..filter::Config::default() })?)
}

/// What stands before a built-in filter's name where a component is asked for.
const BUILTIN: &str = "builtin:";

/// The component that was named, and its size in bytes.
fn load(runtime: &Runtime, path: &Path) -> anyhow::Result<(Module, usize)> {
    if let Some(name) = path.to_str().and_then(|path| path.strip_prefix(BUILTIN)) {
        let module = runtime.builtin(name)?.clone();
        let bytes = module.bytes();
        return Ok((module, bytes));
    }
    let bytes = read(path)?;
    let module = runtime.load(&path.display().to_string(), &bytes)?;
    Ok((module, bytes.len()))
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let read = || -> std::io::Result<Vec<u8>> {
        let bytes = std::fs::metadata(path)?.len();
        if bytes > COMPONENT_BYTES_MAX as u64 {
            let cause = format!("it has {bytes} bytes, more than {COMPONENT_BYTES_MAX}");
            return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, cause));
        }
        std::fs::read(path)
    };
    read().with_context(|| path.display().to_string())
}

/// The component that was named, or the one that the crate here makes.
fn component(named: Option<&PathBuf>) -> anyhow::Result<PathBuf> {
    match named {
        Some(path) => Ok(path.clone()),
        None => Ok(crate::workbench::build(Path::new("."))?.path),
    }
}

/// Escape codes, if the terminal shows them.
#[derive(Debug, Clone, Copy)]
struct Paint(bool);

impl Paint {
    fn stdout() -> Paint {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Paint(std::io::stdout().is_terminal() && !refused)
    }

    fn red(self, text: &str) -> String {
        self.in_colour(31, text)
    }

    fn green(self, text: &str) -> String {
        self.in_colour(32, text)
    }

    fn yellow(self, text: &str) -> String {
        self.in_colour(33, text)
    }

    fn dim(self, text: &str) -> String {
        self.in_colour(2, text)
    }

    fn in_colour(self, code: u8, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Bytes as people read them.
fn size(bytes: usize) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}
