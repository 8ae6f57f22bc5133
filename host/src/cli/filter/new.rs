//! `sluice filter new`: a crate that builds, tests and runs as it is.

use std::io::Write as _;
use std::path::Path;

use crate::workbench;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The filter's name, and the new folder's
    #[arg(value_name = "NAME")]
    name: String,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    workbench::scaffold(Path::new("."), &args.name)?;
    let name = &args.name;
    writeln!(
        std::io::stdout(),
        "{name}/ is a filter: edit {name}/src/lib.rs, then\n  cd {name} && sluice filter test"
    )?;
    Ok(())
}
