//! `sluice filter build`: cargo, or another language's tools, and what makes a component of their module.

use std::io::Write as _;
use std::path::PathBuf;

use super::{load, runtime, size};
use crate::workbench;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The filter's folder
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let built = workbench::build(&args.folder)?;
    // What production would not load is not built.
    let (module, bytes) = load(&runtime()?, &built.path)?;
    let manifest = module.manifest();
    writeln!(
        std::io::stdout(),
        "{}: {} {}, {}, {}",
        built.path.display(),
        manifest.name,
        manifest.version,
        size(bytes),
        module.digest()
    )?;
    Ok(())
}
