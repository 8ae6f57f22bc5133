//! A series of many labels.

#[allow(unused_imports, reason = "not every benchmark has them made")]
pub use sluice::workbench::series;
