//! `sluice filter build`: cargo, or another language's tools, and what makes a component of their module.

use std::io::Write as _;
use std::path::PathBuf;

use serde_json::json;

use super::desk::{Most, load, runtime};
use super::json::document;
use super::{Output, size, tell};
use crate::filter::Manifest;
use crate::workbench;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The filter's folder
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,
    /// First put this program's SDK in the place of the one in the folder's .sluice/sdk
    #[arg(long)]
    renew_sdk: bool,
    #[command(flatten)]
    most: Most,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub(super) output: Output,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    if args.renew_sdk {
        workbench::renew_sdk(&args.folder)?;
    } else if workbench::has_another_sdk(&args.folder) {
        tell(
            "its SDK is another version's than this program: take this one's with `sluice filter build --renew-sdk`",
        );
    }
    let built = workbench::build(&args.folder)?;
    // What production would not load is not built.
    let module = load(&runtime()?, &built.path, args.most)?;
    let (Manifest { name, version, .. }, digest, bytes) =
        (module.manifest(), module.digest(), module.bytes());
    let mut out = std::io::stdout();
    match args.output {
        Output::Text => {
            writeln!(out, "{}: {name} {version}, {}, {digest}", built.path.display(), size(bytes))?;
        }
        Output::Json => {
            let component = json!({ "digest": digest, "bytes": bytes });
            let all = json!({ "file": built.path, "name": name, "version": version, "component": component });
            writeln!(out, "{}", document(&all))?;
        }
    }
    Ok(())
}
