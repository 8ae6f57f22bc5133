//! To seconds: what `examples/filters/samples` do in other languages, so that what these cost can be compared.
//!
//! In: metrics in milliseconds. Out: metrics in seconds. Never: a sample that is not looked at; this is what looking at one costs.

use sluice_filter::{Columns, LabelFilter, Rows, SampleFilter, Series, SeriesId, Tenant, Tick, Verdict};

const OLD: &str = "_milliseconds";

/// By the series' numbers, whether they are meant.
#[derive(Debug, Default)]
struct ToSeconds {
    is_old: Vec<bool>,
}

impl LabelFilter for ToSeconds {
    type Config = std::collections::BTreeMap<String, ()>;

    fn new(_config: Self::Config, _tenant: &Tenant) -> Result<Self, String> {
        Ok(ToSeconds::default())
    }

    fn classify(&mut self, series: &mut Series<'_>) -> Verdict {
        let new = series.metric().strip_suffix(OLD).map(|stem| format!("{stem}_seconds"));
        let SeriesId(number) = series.id();
        if self.is_old.len() <= number as usize {
            self.is_old.resize(number as usize + 1, false);
        }
        self.is_old[number as usize] = new.is_some();
        if let Some(new) = new {
            series.set("__name__", &new);
        }
        Verdict::Keep
    }
}

impl SampleFilter for ToSeconds {
    const COLUMNS: Columns = Columns { timestamps: false, values: true };

    fn process(&mut self, _tick: Tick, rows: &mut Rows<'_>) {
        for row in 0..rows.len() {
            let sample = rows.get(row);
            if self.is_old[sample.series.0 as usize] && !sample.is_stale() {
                rows.set(row, sample.value.unwrap_or_default() / 1000.0);
            }
        }
    }
}

sluice_filter::export!(ToSeconds, sample);
