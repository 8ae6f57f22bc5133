//! `sluice filter inspect`: what a component is, as the host sees it.

use std::io::Write as _;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::{Output, load, runtime, size};
use crate::filter::{Manifest, State};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The component; builtin:NAME is one of the built-in filters
    #[arg(value_name = "M.wasm")]
    module: PathBuf,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let (module, bytes) = load(&runtime()?, &args.module)?;
    let Manifest { name, version, config_schema, state, samples } = module.manifest();
    let (imports, exports) = module.interfaces();
    let schema: Value = serde_json::from_str(config_schema)?;
    let remembers = match state {
        State::None => "nothing",
        State::Label => "series",
        State::Sample => "samples",
    };
    let sees = match samples {
        None => "labels",
        Some(columns) => match (columns.timestamps, columns.values) {
            (false, false) => "labels, samples",
            (true, false) => "labels, samples' timestamps",
            (false, true) => "labels, samples' values",
            (true, true) => "labels, samples' timestamps and values",
        },
    };
    let mut out = std::io::stdout().lock();
    if args.output == Output::Json {
        let all = json!({
            "name": name, "version": version, "digest": module.digest(), "bytes": bytes,
            "sees": sees, "remembers": remembers, "imports": imports, "exports": exports, "configSchema": schema,
        });
        writeln!(out, "{all:#}")?;
        return Ok(());
    }
    writeln!(out, "name       {name} {version}")?;
    writeln!(out, "digest     {}", module.digest())?;
    writeln!(out, "size       {}", size(bytes))?;
    writeln!(out, "sees       {sees}")?;
    writeln!(out, "remembers  {remembers}")?;
    writeln!(out, "imports    {}", if imports.is_empty() { "nothing".into() } else { imports.join(", ") })?;
    writeln!(out, "exports    {}", exports.join(", "))?;
    writeln!(out, "config     {}", format!("{schema:#}").replace('\n', "\n           "))?;
    Ok(())
}
