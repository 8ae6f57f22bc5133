//! A series of many labels.

pub use sluice::workbench::series;
