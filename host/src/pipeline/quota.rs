//! Quota: what one tick of a resource may come to, counted over all of its source groups.
//!
//! In: what each group's lane is about to take or send. Out: whether it may. Never: a part of a tick instead of all of
//! it; every group of a resource that is over its limit fails, whoever made it so.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::model::memory::Full;
use crate::model::{TenantId, TickLimits};
use crate::telemetry::{Limit, Metrics, Usage};

/// A tick that is beyond a limit of the operator's. Nothing of it may be delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Breach {
    /// More series than the resource may have.
    #[error(
        "{series} series at one tick are more than {max} (limits.maxSeries), so nothing of the tick is delivered; \
         select fewer, or ask the operator to allow more"
    )]
    Series {
        /// Of all source groups.
        series: usize,
        /// The limit.
        max: usize,
    },
    /// More bytes than it may send to one endpoint.
    #[error(
        "{bytes} bytes for one endpoint at one tick are more than {max} (limits.maxBytesPerTick), so nothing of the \
         tick is delivered; select fewer series, or ask the operator to allow more"
    )]
    Bytes {
        /// Of all source groups.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// More bytes than one group of a Pushgateway may have.
    #[error(
        "the group takes more than {max} bytes (limits.maxBytesPerTick), so nothing of the tick is delivered; select \
         fewer series, or ask the operator to allow more"
    )]
    Group {
        /// The limit.
        max: usize,
    },
    /// More memory than its namespace, or the replica, has.
    #[error(transparent)]
    Memory(#[from] Full),
}

/// After there was no room for all series of a tick they are asked for, and decided, again only after so many ticks: a namespace
/// that is beyond its limit must not cost the work of a whole tick at each one.
const BEYOND_TICKS: u32 = 9;

/// Whether it is known that there is no room for a tick's series.
#[derive(Debug, Default)]
pub(crate) struct Beyond(Option<(Full, u32)>);

impl Beyond {
    /// There was none.
    pub(crate) fn found(&mut self, full: Full) {
        self.0 = Some((full, BEYOND_TICKS));
    }

    /// One tick later: why it is not worth a try, if it is not.
    pub(crate) fn next_tick(&mut self) -> Option<Full> {
        let (full, ticks) = self.0.take()?;
        let left = ticks.checked_sub(1)?;
        self.0 = Some((full, left));
        Some(full)
    }

    /// There is room.
    pub(crate) fn is_over(&mut self) {
        self.0 = None;
    }
}

/// One group's share of what goes to one endpoint.
#[derive(Debug)]
pub(crate) struct Quota {
    limits: TickLimits,
    shares: Arc<[Share]>,
    own: usize,
    used: Used,
}

/// Where it is shown how near a resource comes to its limits. It has one place for all of its endpoints: they are sent
/// the same.
#[derive(Debug, Clone)]
pub(crate) struct Used {
    series: Usage,
    bytes: Usage,
    memory: Usage,
}

impl Used {
    /// Shows the limits too.
    pub(crate) fn new(metrics: &Metrics, id: &TenantId, limits: TickLimits) -> Used {
        let TickLimits { series_max, bytes_max, memory_max } = limits;
        Used {
            series: metrics.limit(id, Limit::TickSeries, series_max),
            bytes: metrics.limit(id, Limit::TickBytes, bytes_max),
            memory: metrics.limit(id, Limit::NamespaceMemory, memory_max),
        }
    }
}

/// What a group's newest tick came to.
#[derive(Debug, Default)]
struct Share {
    series: AtomicUsize,
    bytes: AtomicUsize,
}

impl Quota {
    /// The quotas of `groups` lanes to one endpoint.
    pub(crate) fn shared(limits: TickLimits, groups: usize, used: &Used) -> Vec<Quota> {
        let shares: Arc<[Share]> = (0..groups).map(|_| Share::default()).collect();
        (0..groups).map(|own| Quota { limits, shares: shares.clone(), own, used: used.clone() }).collect()
    }

    /// The sources answered with so many series.
    pub(crate) fn series(&self, count: usize) -> Result<(), Breach> {
        let (series, max) = (self.total(count, |share| &share.series), self.limits.series_max);
        self.used.series.set(series);
        if series > max { Err(Breach::Series { series, max }) } else { Ok(()) }
    }

    /// So many bytes are about to be sent.
    pub(crate) fn bytes(&self, count: usize) -> Result<(), Breach> {
        let (bytes, max) = (self.total(count, |share| &share.bytes), self.limits.bytes_max);
        self.used.bytes.set(bytes);
        if bytes > max { Err(Breach::Bytes { bytes, max }) } else { Ok(()) }
    }

    /// A group of so many bytes was sent, or one that would have had more was not.
    pub(crate) fn took(&self, bytes: usize) {
        self.used.bytes.set(bytes);
    }

    /// The namespace's lanes hold so many bytes.
    pub(crate) fn held(&self, bytes: usize) {
        self.used.memory.set(bytes);
    }

    /// The most bytes there can be.
    pub(crate) fn bytes_max(&self) -> usize {
        self.limits.bytes_max
    }

    fn total(&self, own: usize, of: impl Fn(&Share) -> &AtomicUsize) -> usize {
        of(&self.shares[self.own]).store(own, Ordering::Relaxed);
        self.shares.iter().map(|share| of(share).load(Ordering::Relaxed)).fold(0, usize::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Exposition;

    #[test]
    fn all_groups_of_a_resource_share_its_limit() {
        let limits = TickLimits { series_max: 10, bytes_max: 100, ..TickLimits::NONE };
        let metrics = Metrics::new();
        let id = TenantId { namespace: "web".into(), name: "a".into() };
        let used = Used::new(&metrics, &id, limits);
        let shown = |limit: &str| {
            let text = metrics.encode(Exposition::OpenMetrics);
            let line = format!("sluice_limit_used{{tenant=\"web\",resource=\"a\",limit=\"{limit}\"}} ");
            text.lines().find_map(|shown| shown.strip_prefix(&line)).map(str::to_owned)
        };
        let quotas = Quota::shared(limits, 2, &used);
        assert_eq!(quotas[0].series(10), Ok(()));
        let over = Err(Breach::Series { series: 11, max: 10 });
        assert_eq!((quotas[1].series(1), quotas[0].series(10)), (over, over));
        assert_eq!((quotas[0].series(9), quotas[1].series(1)), (Ok(()), Ok(())));
        assert_eq!(shown("tick_series").as_deref(), Some("10"));
        assert_eq!(quotas[0].bytes(101), Err(Breach::Bytes { bytes: 101, max: 100 }));
        assert_eq!(shown("tick_bytes").as_deref(), Some("101"), "beyond the limit, too");
        assert_eq!(Quota::shared(TickLimits::NONE, 1, &used)[0].bytes(usize::MAX), Ok(()));
    }
}
