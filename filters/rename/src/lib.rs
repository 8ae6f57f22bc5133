//! Rename: gives metrics other names.
//!
//! In: names, and expressions on names. Out: series with another metric name. Never: a name that a receiver would refuse; a second
//! renaming of what was renamed.

mod config;

use sluice_filter::{LabelFilter, Series, Tenant, Verdict};

pub use config::Config;
use config::Rules;

/// The label that carries a metric's name.
const METRIC_NAME: &str = "__name__";

/// The filter.
#[derive(Debug)]
pub struct Rename {
    rules: Rules,
    /// By the symbol of a name, what became of it. A source has far fewer names than series.
    known: Vec<Option<Name>>,
}

/// What becomes of a name.
#[derive(Debug)]
enum Name {
    Stays,
    Becomes(String),
}

impl LabelFilter for Rename {
    type Config = Config;

    const CONFIG_SCHEMA: &'static str = include_str!("config.schema.json");

    fn new(config: Config, _tenant: &Tenant) -> Result<Self, String> {
        Ok(Rename { rules: config.rules()?, known: Vec::new() })
    }

    fn classify(&mut self, series: &mut Series<'_>) -> Verdict {
        let Rename { rules, known } = self;
        let Some(symbol) = series.symbol(METRIC_NAME) else { return Verdict::Keep };
        if known.len() <= symbol.index() {
            // As many as the host has sent strings, which it bounds.
            known.resize_with(symbol.index() + 1, || None);
        }
        let name = known[symbol.index()]
            .get_or_insert_with(|| rules.apply(series.text(symbol)).map_or(Name::Stays, Name::Becomes));
        if let Name::Becomes(name) = name {
            series.set(METRIC_NAME, name);
        }
        Verdict::Keep
    }
}

sluice_filter::export!(Rename);

#[cfg(test)]
mod tests;
