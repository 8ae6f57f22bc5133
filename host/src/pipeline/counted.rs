//! Counted: what of the filters' work is counted already.

use std::time::Duration;

use crate::filter::Usage;

/// One filter's work as far as it is counted.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counted {
    /// Series it was asked about, and the time it took.
    pub(crate) classified: (u64, Duration),
    /// Samples it was shown, and the time it took.
    pub(crate) processed: (u64, Duration),
    /// Calls that ended badly.
    pub(crate) traps: u64,
}

impl From<&Usage> for Counted {
    fn from(usage: &Usage) -> Counted {
        let Usage { rows_in, samples_in, guest_time, process_time, traps, nonsense, .. } = *usage;
        let classified = (rows_in, guest_time.saturating_sub(process_time));
        Counted { classified, processed: (samples_in, process_time), traps: traps + nonsense }
    }
}
