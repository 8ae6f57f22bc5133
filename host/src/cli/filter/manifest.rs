//! `sluice filter manifest`: what a MetricAccess says to use a component that is in a registry.

use std::io::Write as _;
use std::str::FromStr;

use anyhow::bail;
use serde_json::{Value, json};

use super::Output;
use super::desk::{BUILTIN, builtin, compile, runtime};
use super::json::{document, one_line};
use super::remote::Remote;
use super::skeleton::{self, Line};
use crate::filter::builtin::IN_EVERY_CHAIN;
use crate::model::{Reference, ReferenceError};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The component: registry, repository, and tag or digest; or builtin:NAME
    #[arg(value_name = "REF")]
    module: Named,
    /// The Secret in the resource's namespace that opens the registry
    #[arg(long, value_name = "SECRET")]
    pull_secret: Option<String>,
    #[command(flatten)]
    remote: Remote,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub(super) output: Output,
}

/// A component that a resource can name.
#[derive(Debug, Clone)]
enum Named {
    Builtin(String),
    InRegistry(Reference),
}

impl FromStr for Named {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Named, ReferenceError> {
        match text.strip_prefix(BUILTIN) {
            Some(name) => Ok(Named::Builtin(name.to_owned())),
            None => text.parse().map(Named::InRegistry),
        }
    }
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let runtime = runtime()?;
    let (name, module, origin) = match &args.module {
        Named::Builtin(name) => {
            if args.pull_secret.is_some() {
                bail!("{BUILTIN}{name}: what comes with Sluice is not pulled: leave out --pull-secret");
            }
            (Some(name), builtin(&runtime, name)?, json!({ "builtin": { "name": name } }))
        }
        Named::InRegistry(reference) => {
            let fetched = args.remote.pull(reference)?;
            let module = compile(&runtime, &reference.to_string(), &fetched.bytes)?;
            let mut oci = json!({ "ref": fetched.resolved });
            if let Some(secret) = &args.pull_secret {
                oci["pullSecretRef"] = json!({ "name": secret });
            }
            (None, module, json!({ "oci": oci }))
        }
    };
    let manifest = module.manifest();
    // Of the names of steps that every chain has a filter can have none.
    let name = name.filter(|name| !IN_EVERY_CHAIN.contains(&name.as_str())).unwrap_or(&manifest.name);
    let schema: Value = serde_json::from_str(&manifest.config_schema)?;
    let lines = skeleton::lines(&schema);
    let mut out = std::io::stdout().lock();
    if args.output == Output::Json {
        let required = lines.iter().filter(|line| line.is_required);
        let config: Value = required.map(|line| (line.name.clone(), line.value.clone())).collect();
        writeln!(out, "{}", document(&json!({ "name": name, "module": origin, "config": config })))?;
        return Ok(());
    }
    writeln!(out, "# {} {}, in the spec of a MetricAccess", manifest.name, manifest.version)?;
    writeln!(out, "filters:")?;
    writeln!(out, "  - name: {name}")?;
    writeln!(out, "    module:")?;
    for (kind, fields) in origin.as_object().into_iter().flatten() {
        writeln!(out, "      {kind}:")?;
        for (field, value) in fields.as_object().into_iter().flatten() {
            writeln!(out, "        {field}: {}", plain(value))?;
        }
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
        writeln!(out, "{indent}{mark}{}: {}{remark}", key(name), one_line(value))?;
    }
    Ok(())
}

/// A reference or a name as it is; what is made of several parts in one line.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| one_line(value), str::to_owned)
}

/// A field's name; quoted where YAML could take it for something else.
fn key(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let is_word = matches!(name, "y" | "n" | "yes" | "no" | "on" | "off" | "true" | "false" | "null");
    let is_plain = name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.chars().all(plain) && !is_word;
    if is_plain { name.to_owned() } else { one_line(&json!(name)) }
}
