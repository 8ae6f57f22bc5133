//! Config: what a guest may take. Every field is a maximum, or says what a guest is given.

use std::time::Duration;

use serde::Deserialize;

use super::Wasi;

/// Limits of guests, all of them per instance unless they say otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct Config {
    /// Instances alive at once in the whole program. Filters without state have instances only while they classify.
    pub instances_max: u32,
    /// Linear memory, in bytes.
    pub memory_bytes_max: usize,
    /// Time of one call, in milliseconds. A batch of 4,096 series takes a few.
    pub call_millis_max: u64,
    /// Bytes of one answer, its strings and numbers together.
    pub answer_bytes_max: usize,
    /// Strings sent to a chain's instances before these are replaced, in bytes. A guest holds them in its memory, so this
    /// is well below `memory_bytes_max`.
    pub dictionary_bytes_max: usize,
    /// Series in one call; the contract allows 8,192.
    pub batch_rows_max: usize,
    /// What becomes of modules that import WASI.
    pub wasi: Wasi,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            instances_max: 512,
            memory_bytes_max: 64 << 20,
            call_millis_max: 1_000,
            answer_bytes_max: 32 << 20,
            dictionary_bytes_max: 16 << 20,
            batch_rows_max: 4_096,
            wasi: Wasi::default(),
        }
    }
}

impl Config {
    /// Time of one call.
    pub fn call_time_max(&self) -> Duration {
        Duration::from_millis(self.call_millis_max)
    }
}
