//! `sluice filter manifest`: what a MetricAccess says to use a component that is in a registry.

use std::io::Write as _;

use serde_json::{Value, json};

use super::Output;
use super::desk::{compile, runtime};
use super::remote::Remote;
use super::skeleton::{self, Line};
use crate::model::Reference;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The component: registry, repository, and tag or digest
    #[arg(value_name = "REF")]
    reference: Reference,
    /// The Secret in the resource's namespace that opens the registry
    #[arg(long, value_name = "SECRET")]
    pull_secret: Option<String>,
    #[command(flatten)]
    remote: Remote,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub(super) output: Output,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let fetched = args.remote.pull(&args.reference)?;
    let module = compile(&runtime()?, &args.reference.to_string(), &fetched.bytes)?;
    let manifest = module.manifest();
    let schema: Value = serde_json::from_str(&manifest.config_schema)?;
    let lines = skeleton::lines(&schema);
    let mut out = std::io::stdout().lock();
    if args.output == Output::Json {
        let mut oci = json!({ "ref": fetched.resolved });
        if let Some(secret) = &args.pull_secret {
            oci["pullSecretRef"] = json!({ "name": secret });
        }
        let required = lines.iter().filter(|line| line.is_required);
        let config: Value = required.map(|line| (line.name.clone(), line.value.clone())).collect();
        writeln!(out, "{:#}", json!({ "name": manifest.name, "module": { "oci": oci }, "config": config }))?;
        return Ok(());
    }
    writeln!(out, "# {} {}, in the spec of a MetricAccess", manifest.name, manifest.version)?;
    writeln!(out, "filters:")?;
    writeln!(out, "  - name: {}", manifest.name)?;
    writeln!(out, "    module:")?;
    writeln!(out, "      oci:")?;
    writeln!(out, "        ref: {}", fetched.resolved)?;
    if let Some(secret) = &args.pull_secret {
        writeln!(out, "        pullSecretRef: {{name: {}}}", json!(secret))?;
    }
    config(&mut out, &lines)?;
    Ok(())
}

/// The skeleton. Without a line that counts all of it is a remark, so that whoever takes a mark away takes that of `config`
/// as well.
fn config(out: &mut impl std::io::Write, lines: &[Line]) -> std::io::Result<()> {
    let is_empty = !lines.iter().any(|line| line.is_required);
    if !lines.is_empty() {
        writeln!(out, "    {}config:", if is_empty { "# " } else { "" })?;
    }
    for Line { name, value, about, is_required } in lines {
        let remark = if about.is_empty() { String::new() } else { format!("  # {about}") };
        let mark = if *is_required {
            ""
        } else if is_empty {
            "#   "
        } else {
            "# "
        };
        let indent = if is_empty { "    " } else { "      " };
        writeln!(out, "{indent}{mark}{}: {value}{remark}", key(name))?;
    }
    Ok(())
}

/// A field's name; quoted where YAML could take it for something else.
fn key(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let is_word = matches!(name, "y" | "n" | "yes" | "no" | "on" | "off" | "true" | "false" | "null");
    let is_plain = name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.chars().all(plain) && !is_word;
    if is_plain { name.to_owned() } else { json!(name).to_string() }
}
