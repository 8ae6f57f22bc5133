//! `sluice filter pull`: a component out of a registry.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use serde_json::json;

use super::json::document;
use super::remote::Remote;
use super::{Output, size};
use crate::model::Reference;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What: registry, repository, and tag or digest
    #[arg(value_name = "REF")]
    reference: Reference,
    /// Where to: a file, or - for standard output; default: the repository's name, if there is no such file
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    remote: Remote,
    /// How to print what was pulled
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub(super) output: Output,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let fetched = args.remote.pull(&args.reference)?;
    let mut out = std::io::stdout().lock();
    if args.file.as_ref().is_some_and(|path| path.as_os_str() == "-") {
        out.write_all(&fetched.bytes)?;
        return Ok(());
    }
    let named = args.file.clone();
    let path = named.clone().unwrap_or_else(|| default_name(&args.reference));
    let mut options = OpenOptions::new();
    options.write(true);
    // Only what was named is replaced.
    match named {
        Some(_) => options.create(true).truncate(true),
        None => options.create_new(true),
    };
    let written = options.open(&path).and_then(|mut file| file.write_all(&fetched.bytes));
    written.with_context(|| {
        format!("{}: cannot be written; name a file behind the reference", path.display())
    })?;
    let (digest, bytes) = (fetched.digest, fetched.bytes.len());
    match args.output {
        Output::Text => {
            writeln!(out, "{}: {}, {digest}, from {}", path.display(), size(bytes), fetched.resolved)?;
        }
        Output::Json => {
            let component = json!({ "digest": digest.to_string(), "bytes": bytes });
            let all = json!({ "ref": fetched.resolved, "file": path, "component": component });
            writeln!(out, "{}", document(&all))?;
        }
    }
    Ok(())
}

/// The repository's last part.
fn default_name(reference: &Reference) -> PathBuf {
    let last = reference.repository().rsplit('/').next().unwrap_or_default();
    PathBuf::from(format!("{last}.wasm"))
}
