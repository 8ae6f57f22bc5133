//! Exposition: the text formats in which metrics are scraped and read by people.
//!
//! In: text. Out: samples; and the other way round. Never: a sample read that a strict reader would refuse without saying where.

mod read;
mod write;

pub use read::{Sample, Unreadable, parse};
pub use write::{write_sample, write_untimed};
