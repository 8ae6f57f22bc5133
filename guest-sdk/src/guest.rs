//! Guest: runs a filter on what the host sends, and says what it answers in the contract's form.
//!
//! In: batches of numbers. Out: verdicts and edit scripts. Never: anything specific to Wasm, but the panic hook; so
//! that tests on a laptop run the same code.

use crate::bindings::samples::{Outcome, Rows as WireRows, Tick as WireTick};
use crate::bindings::types::{self, ConfigError, LabelSets, Manifest, Verdicts};
use crate::dictionary::{Dictionary, Own};
use crate::misfit;
use crate::place;
use crate::rows::Announced;
use crate::{Columns, LabelFilter, Rows, SampleFilter, Series, SeriesId, State, Tenant, Tick, Verdict};

/// One instance of a filter: the filter itself once it is configured, and the strings the host has sent.
#[derive(Debug)]
pub struct Guest<F> {
    filter: Option<F>,
    dictionary: Dictionary,
    own: Own,
    announced: Announced,
}

impl<F> Default for Guest<F> {
    fn default() -> Self {
        Guest {
            filter: None,
            dictionary: Dictionary::default(),
            own: Own::default(),
            announced: Announced::default(),
        }
    }
}

const NOT_CONFIGURED: &str = "the filter was asked before it was configured";

impl<F: LabelFilter> Guest<F> {
    /// Makes the filter from its configuration.
    pub fn configure(&mut self, tenant: types::Tenant, json: &str) -> Result<(), ConfigError> {
        report_panics();
        let types::Tenant { namespace, name, source } = tenant;
        let mut reader = serde_json::Deserializer::from_str(json);
        let config = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
            let path = match error.path().to_string() {
                root if root == "." => String::new(),
                path => path,
            };
            ConfigError { path, message: misfit::told(&error.into_inner().to_string()) }
        })?;
        let filter = F::new(config, &Tenant { namespace, name, source });
        self.filter = Some(filter.map_err(place::refusal)?);
        Ok(())
    }

    /// Judges series the instance has not seen.
    pub fn classify(&mut self, batch: &LabelSets) -> Result<Verdicts, String> {
        self.dictionary.extend(batch);
        let Guest { filter, dictionary, own, .. } = self;
        let filter = filter.as_mut().ok_or(NOT_CONFIGURED)?;
        let mut keep = vec![0; batch.ends.len().div_ceil(64)];
        let mut script = Vec::new();
        let mut edits = Vec::new();
        let mut refusal = None;
        let mut start = 0;
        for (row, end) in batch.ends.iter().enumerate() {
            let end = *end as usize * 2;
            let pairs = &batch.pairs[start..end];
            start = end;
            let id = SeriesId(batch.series.get(row).copied().unwrap_or_default());
            edits.clear();
            let mut series = Series {
                host: dictionary,
                own: &mut *own,
                pairs,
                edits: &mut edits,
                id,
                refusal: &mut refusal,
            };
            let verdict = filter.classify(&mut series);
            if let Some(reason) = refusal {
                own.take();
                // The host gives the numbers of a refused batch to whom it likes, without `forget`.
                let judged = batch.series.iter().take(row + 1).copied().map(SeriesId);
                filter.forget(&judged.collect::<Vec<_>>());
                return Err(reason);
            }
            if verdict == Verdict::Keep {
                keep[row / 64] |= 1 << (row % 64);
                script.extend(edits.iter().flat_map(|(name, value)| [row as u32, *name, *value]));
            }
        }
        let (new_names, new_values) = own.take();
        Ok(Verdicts { keep, new_names, new_values, edits: script })
    }

    #[cfg(test)]
    pub(crate) fn filter(&self) -> &F {
        self.filter.as_ref().expect("it is configured")
    }

    /// Tells the filter which series have ended.
    pub fn forget(&mut self, series: Vec<u32>) {
        let ended: Vec<SeriesId> = series.into_iter().map(SeriesId).collect();
        if let Some(filter) = &mut self.filter {
            filter.forget(&ended);
        }
    }
}

impl<F: SampleFilter> Guest<F> {
    /// Shows the filter a batch of samples.
    pub fn process(&mut self, tick: WireTick, rows: WireRows) -> Result<Outcome, String> {
        let filter = self.filter.as_mut().ok_or(NOT_CONFIGURED)?;
        let WireTick { since, at, last } = tick;
        let mut rows = Rows::new(rows, &self.dictionary, &mut self.announced);
        filter.process(Tick { since, at, last }, &mut rows);
        rows.into_outcome()
    }
}

/// What a filter says about itself; name and version are those of the author's crate.
pub fn describe<F: LabelFilter>(name: &str, version: &str, columns: Option<Columns>) -> Manifest {
    report_panics();
    let Columns { timestamps, values } = columns.unwrap_or(Columns { timestamps: false, values: false });
    let mut wanted = types::Columns::empty();
    for (column, asked) in [(types::Columns::TIMESTAMPS, timestamps), (types::Columns::VALUES, values)] {
        wanted = if asked { wanted | column } else { wanted };
    }
    Manifest {
        name: name.to_owned(),
        version: version.to_owned(),
        config_schema: F::CONFIG_SCHEMA.to_owned(),
        state: match F::STATE {
            State::None => types::State::None,
            State::Label => types::State::Label,
            State::Sample => types::State::Sample,
        },
        columns: wanted,
        facts: Vec::new(),
    }
}

/// A panic ends the instance without a word, so its message is said before: the host quotes it.
fn report_panics() {
    #[cfg(target_family = "wasm")]
    std::panic::set_hook(Box::new(|panic| crate::log::error(&panic.to_string().replace('\n', " "))));
}

#[doc(hidden)]
pub const fn assert_label_filter<F: LabelFilter>() {}

#[doc(hidden)]
pub const fn assert_sample_filter<F: SampleFilter>() {}
