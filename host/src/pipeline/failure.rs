//! Failure: why a tick could not be sent.
//!
//! In: what a room says. Out: what is told of it, and where. Never: a room's error in other words.

use super::assemble;
use super::news::Fault;
use crate::model::memory::Full;
use crate::status::Stage;
use crate::{collect, deliver, filter};

/// Why a tick could not be sent. It is tried again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Collect(#[from] collect::Error),
    #[error(transparent)]
    Assemble(#[from] assemble::Error),
    #[error(transparent)]
    Deliver(deliver::Error),
    /// The process has no room. Unlike what is beyond a limit of the tenant's own, the tick waits.
    #[error(transparent)]
    Memory(Full),
}

impl Failure {
    pub(super) fn fault(&self) -> Fault {
        match self {
            Failure::Collect(_) => Fault::Collect,
            Failure::Assemble(_) => Fault::Filter,
            Failure::Deliver(error) => Fault::of(error),
            Failure::Memory(_) => Fault::Limit,
        }
    }

    pub(super) fn stage(&self) -> Stage {
        match self {
            Failure::Collect(_) | Failure::Memory(_) => Stage::Collect,
            Failure::Assemble(_) => Stage::Filter,
            Failure::Deliver(_) => Stage::Deliver,
        }
    }

    /// The filter that failed, if one did. That it has to be asked again because it failed before is told already.
    pub(super) fn filter(&self) -> Option<&str> {
        match self {
            Failure::Assemble(assemble::Error::Filter(filter::Error::Forgotten { .. })) => None,
            Failure::Assemble(assemble::Error::Filter(error)) => error.filter(),
            _ => None,
        }
    }

    pub(super) fn is_transient(&self) -> bool {
        match self {
            Failure::Collect(error) => error.is_transient(),
            Failure::Assemble(_) | Failure::Deliver(_) | Failure::Memory(_) => false,
        }
    }
}
