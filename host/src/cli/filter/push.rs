//! `sluice filter push`: a component into a registry.

use std::io::Write as _;
use std::path::PathBuf;

use bytes::Bytes;
use serde_json::json;

use super::desk::{compile, component, read, runtime};
use super::json::document;
use super::remote::Remote;
use super::{Output, size, tell};
use crate::model::Reference;
use crate::modules::Parts;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to: registry, repository and tag, as in ghcr.io/acme/drop-go:1.0
    #[arg(value_name = "REF")]
    reference: Reference,
    /// The component; without it, the crate in this folder is built
    #[arg(value_name = "M.wasm")]
    module: Option<PathBuf>,
    #[command(flatten)]
    remote: Remote,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub(super) output: Output,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let path = component(args.module.as_ref())?;
    let bytes = Bytes::from(read(&path, args.remote.most)?);
    // What production would not load is not shipped.
    let module = compile(&runtime()?, &path.display().to_string(), &bytes)?;
    let (imports, exports) = module.interfaces();
    let manifest = module.manifest();
    let (name, version) = (manifest.name.clone(), manifest.version.clone());
    let length = bytes.len();
    let parts = Parts { name, version, imports, exports, bytes };
    let doing = format!("pushing {} {}, {}", parts.name, parts.version, size(length));
    let digest = args.remote.with(&args.reference, Vec::new(), &doing, async |store, credentials| {
        Ok(store.push(&args.reference, credentials, &parts).await?)
    })?;
    let pushed = args.reference.at(digest).to_string();
    let mut out = std::io::stdout().lock();
    match args.output {
        Output::Text => {
            writeln!(out, "{pushed}")?;
            // The reference alone is for the next command; this is for who types.
            tell(&format!(
                "oci.ref takes the line above, http.sha256 the component's own digest: {}",
                module.digest()
            ));
        }
        Output::Json => {
            let all = json!({
                "ref": pushed, "manifest": { "digest": digest.to_string() }, "name": parts.name, "version": parts.version,
                "component": { "digest": module.digest(), "bytes": length },
            });
            writeln!(out, "{}", document(&all))?;
        }
    }
    Ok(())
}
