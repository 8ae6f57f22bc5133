//! Counted: what filters have done, in the metrics' words.

use crate::filter::Usage;
use crate::telemetry::FilterWork;

impl From<&Usage> for FilterWork {
    fn from(usage: &Usage) -> FilterWork {
        let Usage { rows_in, kept, rewritten, dropped, samples_in, samples_changed, samples_dropped, .. } =
            *usage;
        let Usage { guest_time, process_time, traps, deadlines, refused, nonsense, .. } = *usage;
        let shown_and_kept = samples_in.saturating_sub(samples_changed).saturating_sub(samples_dropped);
        FilterWork {
            classified: (rows_in, guest_time.saturating_sub(process_time) + usage.checking_time),
            processed: (samples_in, process_time + usage.process_checking_time),
            series: [kept.saturating_sub(rewritten), rewritten, dropped],
            samples: [shown_and_kept, samples_changed, samples_dropped, usage.samples_emitted],
            failed: [traps.saturating_sub(deadlines), deadlines, refused, nonsense],
            bypassed: usage.bypassed,
            instances: usage.instances,
            restarts: usage.restarts,
            memory_bytes_peak: usage.memory_bytes_peak,
        }
    }
}
