//! Filter: the commands for those who write filters.
//!
//! In: arguments. Out: what the workbench found, on a terminal or as JSON. Never: a judgement of its own.

mod bench;
mod build;
mod desk;
mod input;
mod inspect;
mod json;
mod kept;
mod manifest;
mod new;
mod progress;
mod pull;
mod push;
mod remote;
mod resource;
mod run;
mod show;
mod skeleton;
mod test;

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::{Subcommand, ValueEnum};

use crate::model::printable;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Begin a filter: a folder that builds, tests and runs as it is
    New(new::Args),
    /// Build a filter to a component
    Build(build::Args),
    /// Say what a component is: contract, state, imports, configuration; and who has signed one in a registry
    Inspect(inspect::Args),
    /// Run a filter over a scrape and show what it changes
    Run(run::Args),
    /// Run a filter over tests/*/metrics.prom and compare with expected.prom
    Test(test::Args),
    /// Measure what a filter takes, beside one that does nothing and beside the limits
    Bench(bench::Args),
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
        Command::Test(args) => match test::run(args) {
            Ok(false) => return ExitCode::FAILURE,
            ended => ended.map(drop),
        },
        Command::Bench(args) => bench::run(args),
        Command::Push(args) => push::run(args),
        Command::Pull(args) => pull::run(args),
        Command::Manifest(args) => manifest::run(args),
    };
    if let Err(error) = &ended {
        let is_reader_gone = super::run::is_reader_gone(error);
        if is_reader_gone && matches!(command, Command::Test(_)) {
            // Of cases that nobody hears of nobody can say that they hold.
            return ExitCode::FAILURE;
        }
        if command.prints_json() && !is_reader_gone {
            // Who reads JSON looks there for what went wrong as well.
            let _ = writeln!(std::io::stdout(), "{}", json::document(&json::failure(error)));
        }
    }
    super::run::status(ended)
}

impl Command {
    fn prints_json(&self) -> bool {
        match self {
            Command::New(args) => args.output == Output::Json,
            Command::Build(args) => args.output == Output::Json,
            Command::Inspect(args) => args.output == Output::Json,
            Command::Run(args) => args.output == run::Form::Json,
            Command::Test(args) => args.output == Output::Json,
            Command::Bench(args) => args.output == Output::Json,
            Command::Push(args) => args.output == Output::Json,
            Command::Pull(args) => args.output == Output::Json,
            Command::Manifest(args) => args.output == Output::Json,
        }
    }
}

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
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

/// Says something beside what is printed.
fn tell(line: &str) {
    // Nobody is the worse for not reading it.
    let _ = writeln!(std::io::stderr(), "{}", printable(line));
}

/// Bytes as people read them.
fn size(bytes: usize) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}
