//! Backoff: how soon a broken watch is tried again.

use std::time::Duration;

use kube::runtime::utils::Backoff;

/// The first pause; most breaks are an API server's restart or a load balancer's timeout.
const PAUSE_MIN: Duration = Duration::from_millis(200);
/// The longest pause. After an outage every replica is back within it, and with jitter not all in one moment.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// Doubling pauses, each between half and all of its length.
#[derive(Debug, Default)]
pub(super) struct Pauses {
    failures: u32,
}

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let whole = PAUSE_MIN.saturating_mul(1 << self.failures.min(16)).min(PAUSE_MAX);
        self.failures = self.failures.saturating_add(1);
        Some(whole.mul_f64(rand::random_range(0.5..=1.0)))
    }
}

impl Backoff for Pauses {
    fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_bound_and_start_anew() {
        let mut pauses = Pauses::default();
        let first: Vec<Duration> = pauses.by_ref().take(40).collect();
        assert!(first[0] <= PAUSE_MIN && first[0] >= PAUSE_MIN / 2);
        assert!(first[39] <= PAUSE_MAX && first[39] >= PAUSE_MAX / 2);
        pauses.reset();
        assert!(pauses.next().is_some_and(|pause| pause <= PAUSE_MIN));
    }
}
