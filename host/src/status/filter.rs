//! Filter: how far one of a resource's own filters has come, from a name to something that runs.

use super::Failure;
use super::Stage;
use super::board::bounded_text;
use crate::model::{Timestamp, chain};

/// What has to be done before a filter runs, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FilterStage {
    /// Where it comes from is known, and what is there was had.
    Resolved,
    /// It is what was meant, and signed where the operator wants that.
    Verified,
    /// It is a filter, and compiled.
    Compiled,
    /// It takes its configuration, and what the sources have.
    Configured,
}

impl FilterStage {
    /// All of them, in order.
    pub const ALL: [FilterStage; 4] =
        [FilterStage::Resolved, FilterStage::Verified, FilterStage::Compiled, FilterStage::Configured];
}

/// One filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterReport {
    /// Its name in the resource.
    pub name: String,
    /// The last stage it has passed.
    pub passed: Option<FilterStage>,
    /// Where its component comes from, so that it means the same tomorrow.
    pub resolved: Option<String>,
    /// The component's digest.
    pub digest: Option<String>,
    /// The version of the contract it was built for.
    pub contract: Option<String>,
    /// The digest of the component that ran last, or runs.
    pub last_good: Option<String>,
    /// What went wrong last, and at which stage; it may be over.
    pub last_failure: Option<(FilterStage, Failure)>,
}

impl FilterReport {
    /// Of a filter of which nothing is known.
    pub fn new(name: &str) -> FilterReport {
        FilterReport {
            name: name.to_owned(),
            passed: None,
            resolved: None,
            digest: None,
            contract: None,
            last_good: None,
            last_failure: None,
        }
    }

    /// It has passed a stage, and those before it.
    pub fn comes_to(&mut self, stage: FilterStage) {
        self.passed = self.passed.max(Some(stage));
    }

    /// It does not pass a stage.
    pub fn fails(&mut self, stage: FilterStage, error: &(dyn std::error::Error + 'static), at: Timestamp) {
        self.passed = FilterStage::ALL.into_iter().take_while(|passed| *passed < stage).last();
        let failure = Failure { stage: Stage::Filter, message: bounded_text(chain(error)), at };
        self.last_failure = Some((stage, failure));
    }

    /// It failed although it is ready. One that is not ready has a failure of its own, and what runs is the one before.
    pub(super) fn failed_at_work(&mut self, failure: Failure) {
        if self.passed == Some(FilterStage::Configured) {
            self.last_failure = Some((FilterStage::Configured, failure));
        }
    }

    /// What was ready runs.
    pub(super) fn runs(&mut self) {
        if self.passed == Some(FilterStage::Configured) {
            self.last_good.clone_from(&self.digest);
        }
    }

    /// The stage it does not pass, and why.
    pub fn failing(&self) -> Option<(FilterStage, &Failure)> {
        let (stage, failure) = self.last_failure.as_ref()?;
        (self.passed < Some(*stage)).then_some((*stage, failure))
    }

    /// What was known before and is not told anew: what ran last, and what went wrong last.
    pub(super) fn inherit(&mut self, before: &FilterReport) {
        self.last_good = self.last_good.take().or_else(|| before.last_good.clone());
        self.last_failure = self.last_failure.take().or_else(|| before.last_failure.clone());
    }
}
