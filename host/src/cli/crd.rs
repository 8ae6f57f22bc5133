//! `sluice crd`: the definition of the resource, as a cluster takes it.

use std::io::Write as _;
use std::process::ExitCode;

use super::run::status;
use crate::tenancy::crd;

pub(super) fn run() -> ExitCode {
    let printed = crd::yaml().map_err(anyhow::Error::from).and_then(|text| {
        std::io::stdout().write_all(text.as_bytes())?;
        Ok(())
    });
    status(printed)
}
