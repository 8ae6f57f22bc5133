//! Usage: what a step of a chain has done so far.

use std::time::Duration;

use super::Failing;

/// Counted since the chain was made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Usage {
    /// The step's name.
    pub name: String,
    /// Series it was asked about.
    pub rows_in: u64,
    /// Series it kept, rewritten ones among them.
    pub kept: u64,
    /// Series it dropped.
    pub dropped: u64,
    /// Series it kept with other labels.
    pub rewritten: u64,
    /// Samples it was shown.
    pub samples_in: u64,
    /// Samples it dropped.
    pub samples_dropped: u64,
    /// Samples it gave another value.
    pub samples_changed: u64,
    /// Samples of series that it emits.
    pub samples_emitted: u64,
    /// Series and samples that went past it because it failed.
    pub bypassed: u64,
    /// That it fails, while it does.
    pub failing: Option<Failing>,
    /// Calls into the guest.
    pub calls: u64,
    /// Processor time in calls, from the first byte sent to the last one read.
    pub guest_time: Duration,
    /// Processor time in making instances and configuring them.
    pub making_time: Duration,
    /// Processor time in checking and applying what it says of series.
    pub checking_time: Duration,
    /// Processor time in checking what it makes of samples.
    pub process_checking_time: Duration,
    /// The part of `guest_time` in which it was shown samples.
    pub process_time: Duration,
    /// The most memory that one of its instances has had after a call, in bytes.
    pub memory_bytes_peak: usize,
    /// Calls that ended in a trap, missed deadlines and exhausted memory among them.
    pub traps: u64,
    /// Calls that did not end in time.
    pub deadlines: u64,
    /// Answers that broke the contract.
    pub nonsense: u64,
    /// Batches that the filter refused.
    pub refused: u64,
    /// Instances made.
    pub instances: u64,
    /// Instances that it lost: they failed, or had been told as much as they may hold.
    pub restarts: u64,
    /// Log lines left out because there were too many.
    pub log_lines_left_out: u64,
}
