//! `sluice filter test`: every case in a folder, and where one does not hold, the lines.

use std::io::Write;
use std::path::PathBuf;

use anyhow::bail;
use serde_json::json;

use super::desk::{Subject, load};
use super::json::document;
use super::{Output, Paint};
use crate::model::printable;
use crate::workbench::{Cases, Side, Verdict};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    subject: Subject,
    /// Where the cases are: each a folder with metrics.prom, expected.prom and, if the filter takes one, config.yaml
    #[arg(long, value_name = "DIR", default_value = "tests")]
    cases: PathBuf,
    /// Write what the filter makes of the scrapes into expected.prom
    #[arg(long)]
    update: bool,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub(super) output: Output,
}

/// Whether all hold.
pub(super) fn run(args: &Args) -> anyhow::Result<bool> {
    let path = args.subject.path()?;
    let runtime = args.subject.runtime()?;
    let module = load(&runtime, &path, args.subject.most)?;
    let Cases { cases } = Cases::of(&args.cases)?;
    if cases.is_empty() {
        bail!("{}: no case; write {0}/NAME/metrics.prom, then run with --update", args.cases.display());
    }
    let mut out = std::io::stdout().lock();
    let (mut holding, mut results) = (0, Vec::new());
    for case in &cases {
        let ended = case.run(&runtime, &module, args.update);
        holding += usize::from(matches!(ended, Ok(Verdict::Holds | Verdict::Updated)));
        match args.output {
            Output::Text => show(&mut out, &case.name, &ended)?,
            Output::Json => results.push(as_json(&case.name, &ended)),
        }
    }
    match args.output {
        Output::Text => writeln!(out, "{holding} of {} cases hold", cases.len())?,
        Output::Json => writeln!(out, "{}", document(&json!({ "cases": results })))?,
    }
    Ok(holding == cases.len())
}

type Ended = Result<Verdict, crate::workbench::Error>;

fn show(out: &mut impl Write, name: &str, ended: &Ended) -> std::io::Result<()> {
    let (paint, name) = (Paint::stdout(), printable(name));
    match ended {
        Ok(Verdict::Holds) => writeln!(out, "{} {name}", paint.green("ok     ")),
        Ok(Verdict::Updated) => writeln!(out, "{} {name}", paint.yellow("updated")),
        Err(error) => writeln!(out, "{} {name}: {}", paint.red("error  "), printable(&error.to_string())),
        Ok(differs) => {
            writeln!(out, "{} {name}", paint.red("differs"))?;
            for (number, lines) in differs.differences().iter().enumerate() {
                if number > 0 {
                    writeln!(out, "    {}", paint.dim("# EOF"))?;
                }
                for (side, line) in lines {
                    let line = printable(line.trim_end());
                    match side {
                        Side::Both => writeln!(out, "    {}", paint.dim(&format!("  {line}")))?,
                        Side::Missing => writeln!(out, "    {}", paint.red(&format!("- {line}")))?,
                        Side::Extra => writeln!(out, "    {}", paint.green(&format!("+ {line}")))?,
                    }
                }
            }
            Ok(())
        }
    }
}

fn as_json(name: &str, ended: &Ended) -> serde_json::Value {
    let (result, error) = match ended {
        Ok(Verdict::Holds) => ("holds", None),
        Ok(Verdict::Updated) => ("updated", None),
        Ok(Verdict::Differs(_)) => ("differs", None),
        Err(error) => ("error", Some(error.to_string())),
    };
    let lines = |wanted: Side| -> Vec<String> {
        let Ok(verdict) = ended else { return Vec::new() };
        let all = verdict.differences();
        let lines = all.iter().flatten().filter(|(side, _)| *side == wanted);
        lines.map(|(_, line)| line.trim_end().to_owned()).collect()
    };
    json!({
        "name": name, "result": result, "error": error,
        "missing": lines(Side::Missing), "extra": lines(Side::Extra),
    })
}
