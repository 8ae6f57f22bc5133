//! Common: what several built-in filters share, on the public SDK.
//!
//! In: the SDK's series and rows. Out: selectors, groups of labels, counters' growth, series that are emitted and ended.
//! Never: a regular-expression engine, which would be nine tenths of each filter.

mod counter;
mod group;
mod metric;
mod outputs;
mod pattern;
mod select;
mod slots;
pub mod testing;

pub use counter::{Growth, is_counter};
pub use group::{Group, Grouping};
pub use metric::{METRIC_NAME, is_label_name, is_metric_name};
pub use outputs::{Output, Outputs};
pub use select::Selector;
pub use slots::Slots;

/// The bits of the value that ends a series. It is Prometheus's, `value.StaleNaN`.
pub const STALE_BITS: u64 = 0x7ff0_0000_0000_0002;

/// Whether a sample ends its series.
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE_BITS
}

/// The value that ends a series.
pub fn stale() -> f64 {
    f64::from_bits(STALE_BITS)
}
