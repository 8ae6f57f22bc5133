//! Workbench: a filter at its author's desk, in the engine, within the limits and under the checks of production.
//!
//! In: a component, its configuration, scrapes as text. Out: what became of every sample, and what it took. Never: a rule
//! about filters of its own, so that what passes here passes there; a terminal, which is the command's.

mod bench;
mod build;
mod cases;
mod component;
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
pub use diff::{Line, Side, diff};
pub use failed::Failed;
pub use language::Language;
pub use narrow::{Shown, narrow};
pub use scaffold::{ScaffoldError, scaffold};
pub use trial::{Fate, Trial, Tried};

/// Why a filter could not be tried.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The filter could not be begun with.
    #[error(transparent)]
    Filter(#[from] crate::filter::Error),
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
            Error::Filter(error) => Some(error),
            Error::Failed(failed) => Some(failed.cause()),
            Error::Unstamped(_) | Error::Twice { .. } | Error::File { .. } => None,
        }
    }
}
