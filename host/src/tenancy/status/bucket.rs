//! Bucket: tokens that come back with time.
//!
//! Never: a clock.

use std::time::Duration;

use tokio::time::Instant;

/// How many tokens there are at most, and how fast they come back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rate {
    pub(super) burst: f64,
    pub(super) per_second: f64,
}

/// Some tokens.
#[derive(Debug, Clone)]
pub(super) struct Bucket {
    rate: Rate,
    tokens: f64,
    at: Instant,
}

impl Bucket {
    pub(super) fn full(rate: Rate, now: Instant) -> Bucket {
        Bucket { rate, tokens: rate.burst, at: now }
    }

    /// Whether there is a whole token.
    pub(super) fn has(&mut self, now: Instant) -> bool {
        let grown = self.rate.per_second * now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + grown).min(self.rate.burst);
        self.at = self.at.max(now);
        self.tokens >= 1.0
    }

    /// Takes a token that is there.
    pub(super) fn take(&mut self, now: Instant) {
        debug_assert!(self.has(now), "nobody may take what is not there");
        self.tokens -= 1.0;
    }

    /// When there is a whole token; a moment later than needed rather than one too early.
    pub(super) fn ready_at(&mut self, now: Instant) -> Instant {
        match self.has(now) {
            true => now,
            false => {
                let missing = (1.0 - self.tokens) / self.rate.per_second;
                now + Duration::from_secs_f64(missing) + Duration::from_millis(1)
            }
        }
    }
}
