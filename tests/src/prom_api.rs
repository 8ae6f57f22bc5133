//! Prometheus' HTTP API, read side: what a server really holds, exact timestamps and exact values.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::http;
use crate::series::{LabelSet, Sample, Value};

/// The API of one server.
#[derive(Debug, Clone)]
pub struct Api {
    base: String,
}

#[derive(Deserialize)]
struct Envelope<D> {
    status: String,
    data: Option<D>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct QueryData {
    result: Vec<QuerySeries>,
}

#[derive(Deserialize)]
struct QuerySeries {
    metric: BTreeMap<String, String>,
    value: Option<(f64, String)>,
    #[serde(default)]
    values: Vec<(f64, String)>,
    histogram: Option<(f64, serde_json::Value)>,
}

impl Api {
    /// The API below `base`, such as `http://127.0.0.1:9090`.
    pub fn new(base: impl Into<String>) -> Api {
        Api { base: base.into() }
    }

    /// Every series of `selector` at the moment `at`: an instant query, so stale series are absent.
    pub async fn instant(&self, selector: &str, at: i64) -> Result<BTreeMap<LabelSet, Value>> {
        let data: QueryData = self.post("query", &[("query", selector), ("time", &seconds(at))]).await?;
        let one = |s: QuerySeries| {
            let (_, value) = s.value.context("not an instant vector")?;
            Ok((LabelSet(s.metric), Value::parse(&value).context("not a value")?))
        };
        data.result.into_iter().map(one).collect()
    }

    /// Every stored sample of `selector` in `window` (such as `5m`) up to `at`; stale markers are hidden.
    pub async fn raw(
        &self,
        selector: &str,
        window: &str,
        at: i64,
    ) -> Result<BTreeMap<LabelSet, Vec<Sample>>> {
        let query = format!("{selector}[{window}]");
        let data: QueryData = self.post("query", &[("query", &query), ("time", &seconds(at))]).await?;
        data.result.into_iter().map(matrix).collect()
    }

    /// As [`Api::instant`], native histograms among them, as the API writes each: a float's text, or a histogram's buckets.
    pub async fn written(&self, selector: &str, at: i64) -> Result<BTreeMap<LabelSet, serde_json::Value>> {
        let data: QueryData = self.post("query", &[("query", selector), ("time", &seconds(at))]).await?;
        let one = |series: QuerySeries| {
            let float = series.value.map(|(_, text)| text.into());
            let written = float.or(series.histogram.map(|(_, histogram)| histogram));
            Ok((LabelSet(series.metric), written.context("not an instant vector")?))
        };
        data.result.into_iter().map(one).collect()
    }

    /// `selector` evaluated every `step_ms` from `start` to `end`, both included.
    pub async fn range(
        &self,
        selector: &str,
        (start, end): (i64, i64),
        step_ms: i64,
    ) -> Result<BTreeMap<LabelSet, Vec<Sample>>> {
        let (start, end, step) = (seconds(start), seconds(end), seconds(step_ms));
        let form = [("query", selector), ("start", &start), ("end", &end), ("step", &step)];
        let data: QueryData = self.post("query_range", &form).await?;
        data.result.into_iter().map(matrix).collect()
    }

    /// Every series that `selector` names between `start` and `end`.
    pub async fn series(&self, selector: &str, (start, end): (i64, i64)) -> Result<BTreeSet<LabelSet>> {
        let form = [("match[]", selector), ("start", &seconds(start)), ("end", &seconds(end))];
        let data: Vec<BTreeMap<String, String>> = self.post("series", &form).await?;
        Ok(data.into_iter().map(LabelSet).collect())
    }

    async fn post<D: DeserializeOwned>(&self, call: &str, form: &[(&str, &str)]) -> Result<D> {
        let answer = http::post_form(&format!("{}/api/v1/{call}", self.base), form).await?;
        let envelope: Envelope<D> = serde_json::from_slice(&answer.body)
            .with_context(|| format!("{}: {}", answer.status, String::from_utf8_lossy(&answer.body)))?;
        match envelope {
            Envelope { status, data: Some(data), .. } if status == "success" => Ok(data),
            Envelope { error, .. } => bail!("{call} {form:?}: {}", error.unwrap_or_default()),
        }
    }
}

fn matrix(series: QuerySeries) -> Result<(LabelSet, Vec<Sample>)> {
    let sample = |(at, value): (f64, String)| {
        Ok(Sample { at: millis(at), value: Value::parse(&value).context("not a value")? })
    };
    let samples = series.values.into_iter().map(sample).collect::<Result<_>>()?;
    Ok((LabelSet(series.metric), samples))
}

/// Exact: seconds with three decimals have far fewer than 53 significant bits until the year 285,428.
fn millis(seconds: f64) -> i64 {
    (seconds * 1000.0).round() as i64
}

fn seconds(millis: i64) -> String {
    format!("{}.{:03}", millis.div_euclid(1000), millis.rem_euclid(1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_survive_the_way_through_seconds() {
        for at in [0, 1, 999, 1_795_363_200_001, 1_795_363_200_999] {
            assert_eq!(millis(seconds(at).parse().unwrap()), at);
        }
    }
}
