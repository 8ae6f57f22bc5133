//! Cases: folders of scrapes and what a filter must make of them.
//!
//! In: `<folder>/<case>/` with `metrics.prom`, `expected.prom`, and `config.yaml` if the filter takes one. Several scrapes of one
//! case end with `# EOF` each. Out: for each case whether it holds, and the lines in which it does not. Never: a file changed unless
//! asked to.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::trial::{Fate, Trial, Tried};
use super::{Configuration, Error, diff};
use crate::filter::{Module, Runtime, Tenant};
use crate::model::Timestamp;
use crate::model::exposition::{self, Sample, write_sample, write_untimed};

/// When the first scrape of a case is made: the same at every run, so that times can be expected.
/// 2024-01-01T00:00:00Z.
const ORIGIN: Timestamp = Timestamp(1_704_067_200_000);

/// How far scrapes of a case are apart: the default interval of a resource.
const INTERVAL: Duration = Duration::from_secs(30);

const METRICS: &str = "metrics.prom";
const EXPECTED: &str = "expected.prom";
const CONFIG: &str = "config.yaml";

/// What a case is made of.
const PARTS: [&str; 3] = [METRICS, EXPECTED, CONFIG];
/// How files end of which somebody expects that they count.
const DATA: [&str; 4] = ["prom", "yaml", "yml", "json"];

/// The cases of one folder.
#[derive(Debug)]
pub struct Cases {
    /// By name.
    pub cases: Vec<Case>,
}

/// One case.
#[derive(Debug)]
pub struct Case {
    /// Its folder's name.
    pub name: String,
    folder: PathBuf,
}

/// Whether a case holds.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The filter made of the scrapes what was expected.
    Holds,
    /// What was expected was written anew.
    Updated,
    /// It made something else: for each scrape what was expected and what came, a line each, sorted.
    Differs(Vec<[Vec<String>; 2]>),
}

impl Cases {
    /// The cases in `folder`, by name.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn of(folder: &Path) -> Result<Cases, Error> {
        let refuse = |error: std::io::Error| {
            let path = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
            let cause = match error.kind() {
                ErrorKind::NotFound => {
                    "there is no such folder of cases: write NAME/metrics.prom in it and run \
                                        with --update, or name another one with --cases"
                        .to_owned()
                }
                _ => error.to_string(),
            };
            Error::File { path, cause }
        };
        let mut cases = Vec::new();
        for entry in fs::read_dir(folder).map_err(refuse)? {
            let folder = entry.map_err(refuse)?.path();
            if is_hidden(&folder) {
                continue;
            }
            misplaced(&folder)?;
            if is_case(&folder) {
                let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
                cases.push(Case { name, folder });
            }
        }
        cases.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Cases { cases })
    }
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
}

/// What looks like a case and lies where none is looked for.
fn misplaced(path: &Path) -> Result<(), Error> {
    let is_part = |path: &Path| {
        let name = path.file_name().unwrap_or_default();
        path.is_file() && [METRICS, EXPECTED].iter().any(|part| name == *part)
    };
    let refuse = |path: PathBuf| {
        let cause = "no case is looked for here: put it into NAME/, directly below the folder of cases";
        Err(Error::File { path, cause: cause.to_owned() })
    };
    if is_part(path) {
        return refuse(path.to_owned());
    }
    let below = fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    let parts = below.filter(|path| path.is_dir()).map(|folder| folder.join(METRICS));
    parts.into_iter().find(|part| part.is_file()).map_or(Ok(()), refuse)
}

/// A folder of something else may lie beside cases: code, snapshots.
fn is_case(folder: &Path) -> bool {
    PARTS.iter().any(|part| folder.join(part).is_file())
}

impl Case {
    /// Runs the case; with `update` what came becomes what is expected.
    ///
    /// # Errors
    /// A file cannot be read, or not be understood; the filter fails.
    pub fn run(&self, runtime: &Runtime, module: &Module, update: bool) -> Result<Verdict, Error> {
        self.strangers()?;
        let tenant = Tenant::alone("test", &self.name);
        let mut trial = Trial::new(runtime, module, &self.config()?, tenant, INTERVAL)?;
        let mut actual = Vec::new();
        let mut at = ORIGIN;
        for scrape in self.samples(METRICS)? {
            let tried = trial.scrape(at, &scrape)?;
            actual.push(lines_of(at, &scrape, &tried));
            at = at.plus(INTERVAL);
        }
        if update {
            self.write(&actual)?;
            return Ok(Verdict::Updated);
        }
        let expected: Vec<_> = self.samples(EXPECTED)?.iter().map(|samples| lines(samples)).collect();
        // A file without a sample is an exposition without a sample.
        let scrapes = expected.len().max(actual.len());
        let (mut expected, mut actual) = (expected.into_iter(), actual.into_iter());
        let both =
            (0..scrapes).map(|_| [&mut expected, &mut actual].map(|all| all.next().unwrap_or_default()));
        let both: Vec<_> = both.collect();
        let holds = both.iter().all(|[expected, actual]| expected == actual);
        Ok(if holds { Verdict::Holds } else { Verdict::Differs(both) })
    }

    /// A file by a name that we do not know is one whose author expects something of it.
    fn strangers(&self) -> Result<(), Error> {
        let refuse =
            |error: std::io::Error| Error::File { path: self.folder.clone(), cause: error.to_string() };
        for entry in fs::read_dir(&self.folder).map_err(refuse)? {
            let path = entry.map_err(refuse)?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let extension = path.extension().unwrap_or_default().to_string_lossy();
            if PARTS.contains(&&*name) || !DATA.contains(&&*extension) {
                continue;
            }
            let meant =
                if extension == "prom" { [METRICS, EXPECTED].join(" or ") } else { CONFIG.to_owned() };
            let cause = format!("it is no part of a case; call it {meant}");
            return Err(Error::File { path, cause });
        }
        Ok(())
    }

    fn read(&self, name: &str) -> Result<String, Error> {
        let path = self.folder.join(name);
        fs::read_to_string(&path).map_err(|error| {
            let cure = if name == EXPECTED { "; --update writes it" } else { "" };
            Error::File { path, cause: format!("{error}{cure}") }
        })
    }

    fn samples(&self, name: &str) -> Result<Vec<Vec<Sample>>, Error> {
        let read = exposition::parse(&self.read(name)?);
        read.map_err(|error| Error::File { path: self.folder.join(name), cause: error.to_string() })
    }

    fn config(&self) -> Result<Configuration, Error> {
        let path = self.folder.join(CONFIG);
        if path.exists() {
            return Configuration::read(&path);
        }
        Ok(Configuration::none(format!("write its configuration in {}", path.display())))
    }

    fn write(&self, scrapes: &[Vec<String>]) -> Result<(), Error> {
        let path = self.folder.join(EXPECTED);
        let end = if scrapes.len() > 1 { "# EOF\n" } else { "" };
        let text: String = scrapes.iter().map(|lines| lines.concat() + end).collect();
        fs::write(&path, text).map_err(|error| Error::File { path, cause: error.to_string() })
    }
}

/// What came of a scrape, a line each, sorted.
fn lines_of(at: Timestamp, scrape: &[Sample], tried: &Tried) -> Vec<String> {
    let kept = scrape.iter().zip(&tried.fates).filter_map(|(sample, fate)| match fate {
        Fate::Kept(labels, value) => Some(Sample { labels: labels.clone(), value: *value, at: sample.at }),
        Fate::Dropped(_) | Fate::Merged => None,
    });
    let emitted = tried.emitted.iter().map(|(labels, value, time)| {
        let at = Some(*time).filter(|time| *time != at);
        Sample { labels: labels.clone(), value: *value, at }
    });
    lines(&kept.chain(emitted).collect::<Vec<_>>())
}

fn lines(samples: &[Sample]) -> Vec<String> {
    let line = |sample: &Sample| {
        let mut line = String::new();
        match sample.at {
            Some(at) => write_sample(&mut line, &sample.labels, sample.value, at),
            None => write_untimed(&mut line, &sample.labels, sample.value),
        }
        line
    };
    let mut lines: Vec<_> = samples.iter().map(line).collect();
    lines.sort_unstable();
    lines
}

impl Verdict {
    /// For each scrape, the lines that came, those that are missing, and those that are too many.
    pub fn differences(&self) -> Vec<Vec<diff::Line<'_>>> {
        match self {
            Verdict::Differs(scrapes) => {
                scrapes.iter().map(|[expected, actual]| diff::diff(expected, actual)).collect()
            }
            Verdict::Holds | Verdict::Updated => Vec::new(),
        }
    }
}
