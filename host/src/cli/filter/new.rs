//! `sluice filter new`: a folder that builds, tests and runs as it is.

use std::io::Write as _;
use std::path::Path;

use clap::ValueEnum;
use serde_json::json;

use super::Output;
use super::json::document;
use crate::workbench::{self, Language};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The filter's name, and the new folder's
    #[arg(value_name = "NAME")]
    name: String,
    /// What to write it in
    #[arg(long, value_enum, default_value_t = Lang::Rust)]
    lang: Lang,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub(super) output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Lang {
    /// With cargo alone
    Rust,
    /// With Node.js and npm
    Js,
    /// With Python
    Python,
    /// With clang and wasi-libc
    C,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let (language, file) = match args.lang {
        Lang::Rust => (Language::Rust, "src/lib.rs"),
        Lang::Js => (Language::Js, "filter.js"),
        Lang::Python => (Language::Python, "filter.py"),
        Lang::C => (Language::C, "filter.c"),
    };
    workbench::scaffold(Path::new("."), &args.name, language)?;
    let (name, mut out) = (&args.name, std::io::stdout());
    match args.output {
        Output::Text => {
            writeln!(
                out,
                "{name}/ is a filter: edit {name}/{file}, then\n  cd {name} && sluice filter test"
            )?;
        }
        Output::Json => {
            let all = json!({ "name": name, "folder": name, "edit": format!("{name}/{file}") });
            writeln!(out, "{}", document(&all))?;
        }
    }
    Ok(())
}
