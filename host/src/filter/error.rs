//! Error: what can go wrong with a filter, whose fault it is, and whether asking again can help.

use std::sync::Arc;
use std::time::Duration;

use crate::model::memory::Full;
use crate::model::printable;

/// A filter could not be loaded, configured, or asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The Wasm engine cannot work on this machine with this configuration.
    #[error("the Wasm engine cannot start: {0:#}")]
    Engine(#[source] wasmtime::Error),
    /// The bytes are not a filter this version can run.
    #[error("{filter} is not a filter: {cause}")]
    NotAFilter {
        /// The module, as far as it could be named.
        filter: String,
        /// What is missing or too much, in one line.
        cause: String,
    },
    /// Nobody could find out whether it is a filter.
    #[error("{filter} could not be compiled: {source}")]
    Compiler {
        /// The module, as far as it could be named.
        filter: String,
        /// What happened to the compiler.
        source: std::io::Error,
    },
    /// There is no built-in filter of that name.
    #[error("there is no built-in filter {name:?}: use one of {known}")]
    NoBuiltin {
        /// What was asked for.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// A built-in filter is none: what came of compiling it, kept for whoever asks again.
    #[error(transparent)]
    Builtin(Arc<Error>),
    /// The filter refuses its configuration.
    #[error("filter {filter}: {at}{}: {message}", below(.path))]
    Config {
        /// The step's name.
        filter: String,
        /// Where its configuration stands, as in `spec.filters[2].config`.
        at: String,
        /// Where in the configuration, as in `stamps[0][1]`; empty for the whole of it.
        path: String,
        /// What is wrong, in the filter's words.
        message: String,
    },
    /// The filter refuses a batch.
    #[error("filter {filter} refuses the batch: {message}")]
    Refused {
        /// The step's name.
        filter: String,
        /// Why, in the filter's words.
        message: String,
    },
    /// The filter ran into a trap: a panic, an access out of bounds, an exhausted stack.
    #[error("filter {filter} failed: {said}")]
    Trapped {
        /// The step's name.
        filter: String,
        /// The panic's message if the filter left one, else the trap's.
        said: String,
        /// The trap and where in the module it happened: many lines, for whoever debugs the filter.
        trap: wasmtime::Error,
    },
    /// The filter did not answer in time.
    #[error(
        "filter {filter} did not answer within {limit:?}: make it faster, or raise its limits.timeout, which cannot be more than the operator's filters.timeout"
    )]
    Deadline {
        /// The step's name.
        filter: String,
        /// The time it had.
        limit: Duration,
    },
    /// The filter wanted more memory than it may have.
    #[error(
        "filter {filter} needs more than {limit} bytes of memory: make it smaller, or raise its limits.memory, which cannot be more than the operator's filters.memory"
    )]
    Memory {
        /// The step's name.
        filter: String,
        /// What it may have, in bytes.
        limit: usize,
    },
    /// Its namespace, or the process, has no room for the memory that the filter wanted.
    #[error("filter {filter} gets no more memory: {source}")]
    Full {
        /// The step's name.
        filter: String,
        /// Who has no room.
        source: Full,
    },
    /// The filter wanted more table entries than it may have.
    #[error("filter {filter} needs more than {limit} table entries: call fewer functions by pointer")]
    Tables {
        /// The step's name.
        filter: String,
        /// What all its tables together may have.
        limit: usize,
    },
    /// The filter's answer breaks the contract.
    #[error("filter {filter} gave an answer that breaks the contract: {cause}")]
    Nonsense {
        /// The step's name.
        filter: String,
        /// In what way.
        #[source]
        cause: Nonsense,
    },
    /// The filter failed too often to be called now.
    #[error(
        "filter {filter} failed {attempts} times running and is left alone for a while; the last time: {last}"
    )]
    HeldOff {
        /// The step's name.
        filter: String,
        /// How often it failed.
        attempts: u32,
        /// What went wrong last.
        last: String,
    },
    /// The filter's instance was replaced, so it knows none of the series whose samples it was to see.
    #[error("filter {filter} was replaced: it has to be asked about its series again")]
    Forgotten {
        /// The step's name.
        filter: String,
    },
    /// As many instances as may be kept between calls are.
    #[error(
        "filter {filter} has to wait: {limit} instances are kept already; use fewer filters that remember or see samples, or raise filters.maxInstances"
    )]
    Kept {
        /// The step's name.
        filter: String,
        /// How many are kept, by the namespace or in all.
        limit: u32,
    },
    /// All instances the host may have at once are in use.
    #[error("filter {filter} has to wait: all {limit} instances are in use (filters.maxInstances)")]
    Busy {
        /// The step's name.
        filter: String,
        /// How many there may be.
        limit: u32,
    },
}

/// A path, as it goes on from another one.
fn below(path: &str) -> String {
    if path.is_empty() || path.starts_with('[') { path.to_owned() } else { format!(".{path}") }
}

impl Error {
    /// Of bytes that are no filter. The cause has names that whoever made them has chosen: it is one line in which nothing acts.
    pub(super) fn not_a_filter(filter: &str, cause: &str) -> Error {
        Error::NotAFilter { filter: filter.to_owned(), cause: printable(cause).replace('\n', " ") }
    }

    /// Whether the same call can succeed later, with nothing changed.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Error::Busy { .. }
                | Error::Full { .. }
                | Error::Compiler { .. }
                | Error::Kept { .. }
                | Error::Deadline { .. }
                | Error::Refused { .. }
                | Error::Forgotten { .. }
        )
    }

    /// Whether the filter failed to do what it was called for.
    pub(super) fn is_its_fault(&self) -> bool {
        match self {
            Error::Refused { .. } | Error::Trapped { .. } | Error::Deadline { .. } => true,
            Error::Memory { .. } | Error::Tables { .. } => true,
            Error::Nonsense { .. } | Error::HeldOff { .. } => true,
            // It failed before.
            Error::Forgotten { .. } => true,
            _ => false,
        }
    }

    /// Where in what somebody wrote, as in `spec.filters[2].config.rules[0]`, if that is where the mistake is.
    pub fn at(&self) -> Option<String> {
        match self {
            Error::Builtin(cause) => cause.at(),
            Error::Config { at, path, .. } => Some(format!("{at}{}", below(path))),
            _ => None,
        }
    }

    /// The filter at fault, if one is.
    pub fn filter(&self) -> Option<&str> {
        match self {
            Error::Engine(_) | Error::NoBuiltin { .. } => None,
            Error::Builtin(cause) => cause.filter(),
            Error::NotAFilter { filter, .. }
            | Error::Compiler { filter, .. }
            | Error::Config { filter, .. }
            | Error::Refused { filter, .. }
            | Error::Trapped { filter, .. }
            | Error::Deadline { filter, .. }
            | Error::Memory { filter, .. }
            | Error::Full { filter, .. }
            | Error::Tables { filter, .. }
            | Error::Nonsense { filter, .. }
            | Error::HeldOff { filter, .. }
            | Error::Forgotten { filter }
            | Error::Kept { filter, .. }
            | Error::Busy { filter, .. } => Some(filter),
        }
    }
}

/// In what way an answer breaks the contract.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Nonsense {
    /// It has more bytes than an answer may.
    #[error("it has more than {0} bytes")]
    TooLong(usize),
    /// Its strings or lists lie outside of its memory, or are no text.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    /// A list is not as long as it must be.
    #[error("{list} has {actual} entries where {expected} are due")]
    Length {
        /// The list.
        list: &'static str,
        /// Its length.
        actual: usize,
        /// The length it must have.
        expected: usize,
    },
    /// A bit beyond the last row is set.
    #[error("{0} has bits beyond the last row")]
    SpareBits(&'static str),
    /// The ends of strings or rows run backwards, past the end, or through a character.
    #[error("the ends of {0} do not cut it into pieces")]
    Ends(&'static str),
    /// A number that names nothing.
    #[error("{list} names {what} {number}, which does not exist")]
    Unknown {
        /// The list.
        list: &'static str,
        /// What the number stands for.
        what: &'static str,
        /// The number.
        number: u32,
    },
    /// Rows that do not ascend.
    #[error("{0} are not in ascending order")]
    Order(&'static str),
    /// An edit of a row that is dropped.
    #[error("{list} changes row {row}, which is dropped")]
    DroppedRow {
        /// The list.
        list: &'static str,
        /// The row.
        row: u32,
    },
    /// A label is set twice.
    #[error("label {0:?} is set twice in one series")]
    Twice(String),
    /// A label name that Prometheus would refuse.
    #[error("{0:?} is no label name: use [a-zA-Z_][a-zA-Z0-9_]*")]
    LabelName(String),
    /// A label is set to nothing; to remove it has a number of its own.
    #[error("label {0:?} is set to the empty value")]
    EmptyValue(String),
    /// More of something than there may be.
    #[error("{actual} {what} are more than {limit}")]
    TooMuch {
        /// Of what.
        what: &'static str,
        /// How much there is.
        actual: usize,
        /// How much there may be.
        limit: usize,
    },
    /// A sample that cannot be: a changed opaque value, or a time outside the tick's window.
    #[error("row {row} of {list}: {cause}")]
    Sample {
        /// The list.
        list: &'static str,
        /// The row.
        row: usize,
        /// What is wrong.
        cause: &'static str,
    },
}
