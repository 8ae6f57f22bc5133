//! Bench: what a filter takes of a new series and of a sample at a tick, beside filters that do nothing.
//!
//! In: a filter, its configuration, samples. Out: medians, and the most memory. Never: a time in which the filter was not called: what
//! is counted is what a pipeline counts as the filter's, copies in and out included.

use std::time::Duration;

use serde_json::json;

use super::{Configuration, Error, Trial};
use crate::filter::{Module, ROWS_MAX, Runtime, Tenant, Usage, builtin};
use crate::model::exposition::Sample;
use crate::model::{Labels, Timestamp};

/// Without a rule this one reads nothing: what it takes is the way into a guest and out of it.
const EMPTY: &str = builtin::RELABEL;
/// Sees samples, and selects none.
const EMPTY_OF_SAMPLES: &str = "rate";

/// How far ticks are apart: the default interval of a resource.
const INTERVAL: Duration = Duration::from_secs(30);
/// When the first one is: the same at every run. 2024-01-01T00:00:00Z.
const ORIGIN: Timestamp = Timestamp(1_704_067_200_000);

/// A filter to be measured.
#[derive(Debug)]
pub struct Bench<'a> {
    /// What it runs in.
    pub runtime: &'a Runtime,
    /// The filter.
    pub module: &'a Module,
    /// Its configuration.
    pub config: &'a Configuration,
    /// For whom it works.
    pub tenant: &'a Tenant,
    /// What it is shown, a sample of each series.
    pub samples: &'a [Sample],
    /// How often each figure is taken, after once to warm up.
    pub rounds: usize,
}

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    /// Of a series that the filter has not seen.
    pub classify: Figure,
    /// Of a sample of a series that it knows; `None` if it is shown no sample.
    pub process: Option<Figure>,
    /// The most memory that one of its instances has had after a call, in bytes.
    pub memory_bytes_peak: usize,
}

/// What one row takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figure {
    /// Nanoseconds in the filter.
    pub nanos: f64,
    /// And in one that does nothing.
    pub empty_nanos: f64,
    /// The most rows of one call.
    pub batch_rows: usize,
}

impl Figure {
    /// What a call with as many rows as there can be takes.
    pub fn batch_time(&self) -> Duration {
        Duration::from_nanos((self.nanos * self.batch_rows as f64) as u64)
    }
}

impl Bench<'_> {
    /// Measures; before each round `tell` learns its number.
    ///
    /// # Errors
    /// The filter refuses its configuration, or fails.
    pub fn run(&self, tell: impl Fn(usize)) -> Result<Figures, Error> {
        let empty = self.runtime.builtin(EMPTY)?;
        let (mut own, mut none) = (Vec::new(), Vec::new());
        let mut memory_bytes_peak = 0;
        for round in 0..=self.rounds {
            tell(round);
            let usage = self.meet(self.module, self.config)?;
            memory_bytes_peak = memory_bytes_peak.max(usage.memory_bytes_peak);
            own.push(nanos_of_series(&usage));
            none.push(nanos_of_series(&self.meet(empty, &json!({ "rules": [] }).into())?));
        }
        let batch_rows = self.runtime.batch_rows_max();
        let classify = Figure { nanos: median(own), empty_nanos: median(none), batch_rows };
        let mut figures = Figures { classify, process: None, memory_bytes_peak };
        if self.module.manifest().samples.is_some() {
            self.ticks(&mut figures, tell)?;
        }
        Ok(figures)
    }

    /// One that meets all series for the first time.
    fn meet(&self, module: &Module, config: &Configuration) -> Result<Usage, Error> {
        let mut trial = self.trial(module, config)?;
        trial.scrape(ORIGIN, self.samples)?;
        Ok(usage(&trial).clone())
    }

    fn trial(&self, module: &Module, config: &Configuration) -> Result<Trial, Error> {
        Trial::new(self.runtime, module, config, self.tenant.clone(), INTERVAL)
    }

    /// Ticks of the same series, one after the other.
    fn ticks(&self, figures: &mut Figures, tell: impl Fn(usize)) -> Result<(), Error> {
        let empty = json!({ "rules": [{ "select": "none" }] }).into();
        let mut trials = [
            self.trial(self.module, self.config)?,
            self.trial(self.runtime.builtin(EMPTY_OF_SAMPLES)?, &empty)?,
        ];
        let mut nanos = [Vec::new(), Vec::new()];
        let (mut at, mut samples) = (ORIGIN, self.samples.to_vec());
        for round in 0..=self.rounds {
            tell(round);
            for (trial, nanos) in trials.iter_mut().zip(&mut nanos) {
                let before = usage(trial).clone();
                trial.scrape(at, &samples)?;
                let after = usage(trial);
                let (time, rows) =
                    (after.process_time - before.process_time, after.samples_in - before.samples_in);
                nanos.push(each(time, rows));
            }
            at = at.plus(INTERVAL);
            // What stands still is not what filters see.
            samples.iter_mut().for_each(|sample| sample.value += 1.0);
        }
        let [own, empty] = nanos;
        if usage(&trials[0]).samples_in > 0 {
            let (nanos, empty_nanos) = (median(own), median(empty));
            figures.process = Some(Figure { nanos, empty_nanos, batch_rows: ROWS_MAX });
        }
        let peak = usage(&trials[0]).memory_bytes_peak;
        figures.memory_bytes_peak = figures.memory_bytes_peak.max(peak);
        Ok(())
    }
}

fn usage(trial: &Trial) -> &Usage {
    trial.usage().next().expect("a trial of one filter has one")
}

fn nanos_of_series(usage: &Usage) -> f64 {
    each(usage.guest_time.saturating_sub(usage.process_time), usage.rows_in)
}

fn each(time: Duration, rows: u64) -> f64 {
    time.as_nanos() as f64 / rows.max(1) as f64
}

/// The first one warmed up.
fn median(mut times: Vec<f64>) -> f64 {
    let times = &mut times[1..];
    times.sort_unstable_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// The `i`th series of twelve labels, as a cluster has them: a few metrics, many pods.
pub fn series(i: usize) -> Labels {
    let (metric, pod) = (i % 10, i / 10);
    let values = [
        ("__name__", format!("metric_{metric}_http_requests_total")),
        ("cluster", "eu-west-1".to_owned()),
        ("code", format!("{}", 200 + pod % 5)),
        ("container", "app".to_owned()),
        ("endpoint", "http".to_owned()),
        ("instance", format!("10.{}.{}.{}:8080", pod >> 16, pod >> 8 & 255, pod & 255)),
        ("job", format!("job-{}", pod % 50)),
        ("method", "GET".to_owned()),
        ("namespace", format!("namespace-{}", pod % 100)),
        ("pod", format!("app-7d4b9c6f5-{pod:05}")),
        ("service", format!("service-{}", pod % 200)),
        ("version", "v1.2.3".to_owned()),
    ];
    Labels::from_pairs(values.iter().map(|(name, value)| (*name, value.as_str())))
        .expect("every name stands once")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_the_median_of_what_came_after_warming_up() {
        assert_eq!(median(vec![900.0, 3.0, 1.0, 2.0]), 2.0);
        let figure = Figure { nanos: 500.0, empty_nanos: 100.0, batch_rows: 4_096 };
        assert_eq!(figure.batch_time(), Duration::from_nanos(2_048_000));
        let usage = Usage {
            guest_time: Duration::from_nanos(1_000),
            process_time: Duration::from_nanos(600),
            rows_in: 4,
            ..Usage::default()
        };
        assert_eq!(nanos_of_series(&usage), 100.0, "what was spent on samples is no series'");
    }

    #[test]
    fn a_filter_is_shown_every_series_anew_and_then_its_samples_tick_by_tick() {
        let config = crate::filter::Config { instances_max: 32, ..crate::filter::Config::default() };
        let runtime = Runtime::new(&config).unwrap();
        let tenant = Tenant::alone("default", "bench");
        let sample = |i| Sample { labels: series(i), value: i as f64, at: None };
        let samples: Vec<Sample> = (0..100).map(sample).collect();
        let figures = |name: &str, config: serde_json::Value| {
            let module = runtime.builtin(name).unwrap();
            let (config, runtime, tenant, samples) = (&config.into(), &runtime, &tenant, &samples[..]);
            let bench = Bench { runtime, module, config, tenant, samples, rounds: 1 };
            bench.run(|_| ()).unwrap()
        };
        let labels = figures(builtin::PATTERNS, json!({ "selectors": [r#"{__name__=~"metric_.*"}"#] }));
        assert!(labels.process.is_none() && labels.classify.nanos > 0.0 && labels.memory_bytes_peak > 0);
        let rules = json!({ "rules": [{ "select": r#"{__name__=~"metric_.*"}"#, "every": 10 }] });
        let figures = figures("downsample", rules);
        let process = figures.process.expect("it sees samples");
        assert!(process.nanos > 0.0 && process.empty_nanos > 0.0, "{figures:?}");
        assert_eq!((figures.classify.batch_rows, process.batch_rows), (4_096, 8_192));
    }
}
