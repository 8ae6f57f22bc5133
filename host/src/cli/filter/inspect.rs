//! `sluice filter inspect`: what a component is, as the host sees it, and who has signed one that is in a registry.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use serde_json::{Value, json};

use super::desk::{compile, load, runtime};
use super::json::document;
use super::remote::{Remote, Signature};
use super::{Output, size};
use crate::filter::{Manifest, Module, State};
use crate::model::{Reference, printable};
use crate::modules::Key;

/// The package that the contract's interfaces are in.
const CONTRACT: &str = "sluice:filter";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The component: a file, builtin:NAME, or what it is called in a registry
    #[arg(value_name = "M.wasm|REF")]
    module: String,
    /// A public key, as cosign.pub holds it: one of those given must have signed what is in the registry
    #[arg(long, value_name = "FILE")]
    key: Vec<PathBuf>,
    #[command(flatten)]
    remote: Remote,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub(super) output: Output,
}

/// A component, and what a registry says of it.
struct Found {
    module: Module,
    in_registry: Option<(String, Signature)>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let found = find(args)?;
    let schema: Value = serde_json::from_str(&found.module.manifest().config_schema)?;
    match args.output {
        Output::Text => as_text(&found, &schema),
        Output::Json => as_json(&found, &schema),
    }
}

/// What there is a file of is that file; what else can be the name of an artefact is looked for in its registry.
fn find(args: &Args) -> anyhow::Result<Found> {
    let path = Path::new(&args.module);
    let reference = args.module.parse::<Reference>().ok().filter(|_| !path.exists());
    let Some(reference) = reference else {
        if !args.key.is_empty() {
            bail!("{}: only what is in a registry is signed: name it there, or leave out --key", args.module);
        }
        let module = load(&runtime()?, path, args.remote.most)?;
        return Ok(Found { module, in_registry: None });
    };
    let (fetched, signature) = args.remote.verify(&reference, keys(&args.key)?)?;
    let module = compile(&runtime()?, &args.module, &fetched.bytes)?;
    Ok(Found { module, in_registry: Some((fetched.resolved, signature)) })
}

fn keys(files: &[PathBuf]) -> anyhow::Result<Vec<Key>> {
    let key = |file: &PathBuf| {
        let pem = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
        Key::from_pem(&pem).map_err(|error| anyhow!("{} {error}", file.display()))
    };
    files.iter().map(key).collect()
}

fn as_text(found: &Found, schema: &Value) -> anyhow::Result<()> {
    let Found { module, in_registry } = found;
    let Manifest { name, version, .. } = module.manifest();
    let (imports, exports) = module.interfaces();
    let mut out = std::io::stdout().lock();
    writeln!(out, "name       {name} {version}")?;
    writeln!(out, "contract   {CONTRACT}@{}", module.contract())?;
    writeln!(out, "component  {} (what http.sha256 takes)", module.digest())?;
    writeln!(out, "size       {}", size(module.bytes()))?;
    if let Some((reference, signature)) = in_registry {
        writeln!(out, "reference  {reference} (what oci.ref takes)")?;
        match signature {
            Signature::None => writeln!(out, "signature  none")?,
            Signature::OfSomebody => {
                writeln!(out, "signature  not checked: say with --key of whom it must be")?
            }
            Signature::Of(key) => writeln!(out, "signature  of the key {key}")?,
        }
    }
    writeln!(out, "sees       {}", sees(module))?;
    writeln!(out, "remembers  {}", remembers(module))?;
    let imports = if imports.is_empty() { "nothing".into() } else { imports.join(", ") };
    writeln!(out, "imports    {}", printable(&imports))?;
    writeln!(out, "exports    {}", printable(&exports.join(", ")))?;
    writeln!(out, "config     {}", document(schema).replace('\n', "\n           "))?;
    Ok(())
}

fn as_json(found: &Found, schema: &Value) -> anyhow::Result<()> {
    let Found { module, in_registry } = found;
    let Manifest { name, version, .. } = module.manifest();
    let (imports, exports) = module.interfaces();
    let mut all = json!({
        "name": name, "version": version, "contract": format!("{CONTRACT}@{}", module.contract()),
        "component": { "digest": module.digest(), "bytes": module.bytes() },
        "sees": sees(module), "remembers": remembers(module), "imports": imports, "exports": exports,
        "configSchema": schema,
    });
    if let Some((reference, signature)) = in_registry {
        let key = if let Signature::Of(key) = signature { Some(key.to_string()) } else { None };
        let is_signed = *signature != Signature::None;
        all["reference"] = json!(reference);
        all["signature"] = json!({ "isSigned": is_signed, "isVerified": key.is_some(), "key": key });
    }
    writeln!(std::io::stdout(), "{}", document(&all))?;
    Ok(())
}

fn remembers(module: &Module) -> &'static str {
    match module.manifest().state {
        State::None => "nothing",
        State::Label => "series",
        State::Sample => "samples",
    }
}

fn sees(module: &Module) -> &'static str {
    match module.manifest().samples {
        None => "labels",
        Some(columns) => match (columns.timestamps, columns.values) {
            (false, false) => "labels, samples",
            (true, false) => "labels, samples' timestamps",
            (false, true) => "labels, samples' values",
            (true, true) => "labels, samples' timestamps and values",
        },
    }
}
