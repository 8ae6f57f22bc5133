//! Remote write 2.0: requests in which every text stands once, and every series says what its metric is.
//!
//! In: the same encoded labels, timestamps and values as for 1.0. Out: the same [`Request`](super::encode::Request)s, of the
//! other message. Never: a label read for a sample of a series that is known.

pub mod batch;
mod dictionary;
pub mod proto;
mod strings;
#[cfg(test)]
mod tests;
pub mod translate;

pub use batch::Batch;
pub use dictionary::{Dictionary, Key, Name};
