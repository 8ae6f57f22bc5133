//! Write a Sluice filter: a type, a trait, one macro, one `.wasm` file.
//!
//! ```
//! use sluice_filter::{LabelFilter, Series, Tenant, Verdict};
//!
//! /// Drops the series of one environment, and says of all others which team they belong to.
//! struct Example {
//!     dropped: String,
//! }
//!
//! #[derive(serde::Deserialize)]
//! #[serde(deny_unknown_fields)]
//! struct Config {
//!     dropped: String,
//! }
//!
//! impl LabelFilter for Example {
//!     type Config = Config;
//!
//!     fn new(config: Config, _tenant: &Tenant) -> Result<Self, String> {
//!         Ok(Example { dropped: config.dropped })
//!     }
//!
//!     fn classify(&mut self, series: &mut Series<'_>) -> Verdict {
//!         if series.get("environment") == Some(&self.dropped) {
//!             return Verdict::Drop;
//!         }
//!         series.set("team", "web");
//!         Verdict::Keep
//!     }
//! }
//!
//! sluice_filter::export!(Example);
//! # fn main() {
//! let kept = sluice_filter::testing::filter::<Example>(
//!     r#"{"dropped": "staging"}"#,
//!     "up{environment=\"staging\"} 1\nup{environment=\"live\"} 1\n",
//! );
//! assert_eq!(kept.unwrap(), "up{environment=\"live\",team=\"web\"} 1\n");
//! # }
//! ```
//!
//! Built for `wasm32-unknown-unknown` as a `cdylib`, this is a filter. It has no files, network, environment or clock; what it
//! may call is [`log`]. A filter that needs values or timestamps implements [`SampleFilter`] as well and is exported
//! with `export!(Example, sample)`.
//!
//! `README.md`, beside the sources, is a tutorial: from an empty folder to a filter that remembers and makes series of its own.

// The bindings name this crate by its path, wherever their macros are used.
extern crate self as sluice_filter;

#[doc(hidden)]
pub mod bindings;
mod dictionary;
mod export;
mod filter;
#[doc(hidden)]
pub mod guest;
pub mod log;
mod misfit;
mod place;
pub mod re2;
mod rows;
pub mod selector;
mod series;
pub mod testing;

pub use dictionary::Symbol;
pub use filter::{Columns, LabelFilter, SampleFilter, SeriesId, State, Tenant, Verdict};
pub use rows::{EMITTED_MAX, Emitted, Row, Rows, STALE_BITS, Tick, TooManySeries};
pub use series::Series;

/// Makes the JSON Schema of a configuration, where its types derive `JsonSchema`: see [`testing::assert_schema`].
pub use schemars;

#[doc(hidden)]
pub use wit_bindgen;

// The tutorial's code is compiled and run as documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Tutorial;
