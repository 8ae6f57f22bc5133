//! Workbench: a filter at its author's desk, in the engine, within the limits and under the checks of production.
//!
//! In: a component, its configuration, scrapes as text. Out: what became of every sample, and what it took. Never: a rule
//! about filters of its own, so that what passes here passes there; a terminal, which is the command's.

mod bench;
mod build;
mod cases;
mod component;
mod configuration;
mod diff;
mod failed;
mod language;
mod narrow;
mod scaffold;
mod starter;
mod station;
mod trial;

pub use bench::{Bench, Figure, Figures, series};
pub use build::{BuildError, Built, build};
pub use cases::{Case, Cases, Verdict};
pub use configuration::Configuration;
pub use diff::{Line, Side, diff};
pub use failed::Failed;
pub use language::Language;
pub use narrow::{Shown, narrow};
pub use scaffold::{ScaffoldError, has_another_sdk, renew_sdk, scaffold};
pub use trial::{Fate, Trial, Tried};

use crate::document::Problem;
use crate::filter::Module;

/// Why a filter could not be tried.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The filter could not be begun with.
    #[error(transparent)]
    Filter(#[from] crate::filter::Error),
    /// The filter refuses its configuration.
    #[error("{problem}")]
    Configuration {
        /// Where it was written, and what is wrong with it.
        problem: Box<Problem>,
        /// The filter's own words.
        cause: crate::filter::Error,
    },
    /// A document cannot be read at all.
    #[error("{0}")]
    Document(Box<Problem>),
    /// The filter failed at its work.
    #[error(transparent)]
    Failed(#[from] Box<Failed>),
    /// What leaves all of a tenant's filters is not what may be delivered.
    #[error(transparent)]
    Unstamped(#[from] crate::model::Unstamped),
    /// A series stands twice in one scrape.
    #[error(
        "{series} stands twice in one scrape; to show a later scrape, put a line `# EOF` between the two"
    )]
    Twice {
        /// As people write it.
        series: String,
    },
    /// A file of a case.
    #[error("{}: {cause}", .path.display())]
    File {
        /// Which one.
        path: std::path::PathBuf,
        /// What is wrong with it.
        cause: String,
    },
}

impl Error {
    /// Whose fault it is, if it is a filter's.
    pub fn filter(&self) -> Option<&crate::filter::Error> {
        match self {
            Error::Filter(error) | Error::Configuration { cause: error, .. } => Some(error),
            Error::Failed(failed) => Some(failed.cause()),
            Error::Document(_) | Error::Unstamped(_) | Error::Twice { .. } | Error::File { .. } => None,
        }
    }
}

/// What stands before a filter's name where its crate is one among others.
const CRATE: &str = "sluice-filter-";

/// How a filter is called that stands alone: by its crate, as one that comes with the program is called in a resource.
pub fn name(module: &Module) -> &str {
    let name = &module.manifest().name;
    name.strip_prefix(CRATE).unwrap_or(name)
}
