//! Show: what the demo prints.
//!
//! In: the surroundings, tick reports, problems. Out: aligned lines, coloured on a terminal.

use std::collections::BTreeSet;
use std::io::{self, IsTerminal as _, Write};

use super::changes::{Change, Tone};
use super::config::{TEAMS, summary};
use super::workspace::World;
use crate::status::TickReport;

/// Every so many lines the column heads are repeated.
const HEADS_EVERY: u64 = 20;
const BOLD: &str = "1";
const DIM: &str = "2";
const GREEN: &str = "32";
const YELLOW: &str = "33";
const CYAN: &str = "36";

/// Whether standard output wants colours (<https://no-color.org>).
pub(super) fn colour_wanted() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// The printer.
pub(super) struct Show<W> {
    out: W,
    colour: bool,
    lines: u64,
    introduced: BTreeSet<String>,
    folder: String,
}

impl<W: Write> Show<W> {
    pub(super) fn new(out: W, colour: bool) -> Show<W> {
        Show { out, colour, lines: 0, introduced: BTreeSet::new(), folder: String::new() }
    }

    fn paint(&self, style: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{style}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// What is there, who asks for what, and where to look.
    pub(super) fn opening(&mut self, world: &World) -> io::Result<()> {
        let title = "Sluice: one shared Prometheus, two teams, each gets what it may have";
        let title = self.paint(BOLD, title);
        self.folder = format!("{}/", world.resources().display());
        writeln!(self.out, "\n{title}\n")?;
        self.fact("shared server", &format!("{}  ({} live series)", world.source, world.series))?;
        for team in TEAMS {
            let (asked, stamped) = summary(team);
            self.fact(team, asked)?;
            self.fact("", &self.paint(DIM, &format!("stamped with {stamped}")))?;
            if let Some(server) = world.servers.get(team) {
                let what = self.paint(DIM, &format!("its own {} holds:", server.kind));
                self.fact("", &format!("{what} {}", self.paint(CYAN, &server.page)))?;
            }
        }
        let look = format!("http://{}/", world.listen);
        writeln!(self.out)?;
        self.fact("look first at", &self.paint(&format!("{BOLD};{CYAN}"), &look))?;
        self.fact(
            "and at",
            &format!("{look}health  {look}collected-metrics  {look}metrics  {look}debug/targets"),
        )?;
        self.fact(
            "the files",
            &format!("{}  edit one: it takes effect within a second", world.resources().display()),
        )?;
        writeln!(self.out)?;
        self.out.flush()
    }

    fn fact(&mut self, name: &str, what: &str) -> io::Result<()> {
        writeln!(self.out, "  {} {what}", self.paint(BOLD, &format!("{name:<14}")))
    }

    /// One delivered tick; the first of a team with an `example` of what arrived.
    pub(super) fn tick(&mut self, report: &TickReport, example: Option<&str>) -> io::Result<()> {
        if self.lines.is_multiple_of(HEADS_EVERY) {
            let heads = format!(
                "  {:<10}{:<14}{:>10}{:>8}{:>9}{:>11}{:>10}{:>9}",
                "tick (UTC)", "  team", "collected", "kept", "dropped", "delivered", "sent", "took"
            );
            writeln!(self.out, "{}", self.paint(DIM, &heads))?;
        }
        self.lines += 1;
        let millis = report.took.as_secs_f64() * 1000.0;
        let team = self.paint(BOLD, &format!("  {:<12}", report.tenant.namespace));
        let delivered = self.paint(GREEN, &format!("{:>11}", report.delivered));
        writeln!(
            self.out,
            "  {:<10}{team}{:>10}{:>8}{:>9}{delivered}{:>10}{:>9}",
            clock(report),
            report.collected,
            report.kept,
            report.collected.saturating_sub(report.kept),
            size(report.bytes),
            format!("{millis:.0} ms"),
        )?;
        if let Some(example) = example
            && self.introduced.insert(report.tenant.namespace.clone())
        {
            writeln!(self.out, "{}", self.paint(DIM, &format!("            └ arrived: {example}")))?;
        }
        self.out.flush()
    }

    /// An edit took effect or was refused, a trouble began or is over.
    pub(super) fn change(&mut self, Change { who, what, tone }: &Change) -> io::Result<()> {
        let (style, sign) = match tone {
            Tone::Good => (GREEN, "*"),
            Tone::Bad => (YELLOW, "!"),
        };
        // The folder was named above; a file's name in it is enough.
        let what = what.replace(&self.folder, "");
        let line = self.paint(style, &format!("  {sign:<10}  {who:<12}  {what}"));
        writeln!(self.out, "{line}")?;
        self.out.flush()
    }

    /// A remark.
    pub(super) fn note(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{}", self.paint(DIM, &format!("  {text}")))
    }

    /// The last line.
    pub(super) fn closing(&mut self) -> io::Result<()> {
        self.note("stopped; nothing is left behind")?;
        self.out.flush()
    }
}

fn clock(report: &TickReport) -> String {
    let time = jiff::Timestamp::from_millisecond(report.tick.timestamp().as_millis());
    // An RFC 3339 text: the time of day stands from the 12th to the 19th character.
    time.ok().and_then(|time| time.to_string().get(11..19).map(str::to_owned)).unwrap_or_default()
}

fn size(bytes: u64) -> String {
    match bytes {
        b @ 0..1_000 => format!("{b} B"),
        b @ 1_000..1_000_000 => format!("{:.1} kB", b as f64 / 1e3),
        b => format!("{:.1} MB", b as f64 / 1e6),
    }
}
