//! Receiver: the teams' own servers in the demo, and a page that shows what they hold.
//!
//! In: remote-write requests. Out: 204, or 400 with the reason. Never: more series than [`SERIES_MAX`] a team.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::Html;
use axum::routing::{get, post};
use prost::Message as _;

use crate::deliver::proto::{TimeSeries, WriteRequest};
use crate::model::{Labels, STALE_NAN_BITS};

/// The largest request, compressed and plain.
const REQUEST_BYTES_MAX: usize = 16 << 20;
/// The most series a team's server holds; more are refused.
const SERIES_MAX: usize = 50_000;
/// The most series shown.
const SHOWN_MAX: usize = 100;

const PAGE_HEAD: &str = "<!doctype html><html lang=en><meta charset=utf-8>\
    <meta name=viewport content=\"width=device-width\"><meta http-equiv=refresh content=5><style>\
    :root{color-scheme:light dark}body{font:15px/1.45 system-ui,sans-serif;margin:1.5rem 2rem}\
    h1{font-size:1.2rem}p,th{opacity:.7}th{text-align:left;font-weight:500;font-size:.85rem}code{font-size:.85rem}\
    td,th{padding:.15rem 1.5rem .15rem 0;vertical-align:top}td{overflow-wrap:anywhere}\
    .n{white-space:nowrap;text-align:right;font-variant-numeric:tabular-nums}</style>";

/// What one team's server holds: each series' newest sample.
#[derive(Debug, Default)]
struct Held {
    series: BTreeMap<Labels, f64>,
    samples: u64,
    requests: u64,
}

/// The servers of all teams; a clone is the same servers.
#[derive(Debug, Clone, Default)]
pub(super) struct Receivers(Arc<Mutex<BTreeMap<String, Held>>>);

impl Receivers {
    /// The router of one team's server; its page shows what that team has, and no other's.
    pub(super) fn router(&self, team: &str) -> Router {
        lock(self).entry(team.to_owned()).or_default();
        Router::new()
            .route("/", get(page))
            .route("/api/v1/write", post(write))
            .layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX))
            .with_state((self.clone(), team.to_owned()))
    }

    /// A series that arrived at a team's server, to show: one of its requests, if there is one.
    pub(super) fn example(&self, team: &str) -> Option<String> {
        let receivers = lock(self);
        let held = receivers.get(team)?;
        let counter = held
            .series
            .iter()
            .find(|(labels, _)| labels.metric_name().is_some_and(|n| n.ends_with("_total")));
        counter.or_else(|| held.series.first_key_value()).map(|(labels, value)| format!("{labels} {value}"))
    }

    fn accept(&self, team: &str, body: &[u8]) -> Result<(), String> {
        let plain = snap::raw::decompress_len(body).map_err(|error| format!("snappy: {error}"))?;
        if plain > REQUEST_BYTES_MAX {
            return Err(format!("{plain} bytes are more than {REQUEST_BYTES_MAX}"));
        }
        let plain =
            snap::raw::Decoder::new().decompress_vec(body).map_err(|error| format!("snappy: {error}"))?;
        let request = WriteRequest::decode(&*plain).map_err(|error| format!("protobuf: {error}"))?;
        let mut receivers = lock(self);
        let held = receivers.entry(team.to_owned()).or_default();
        held.requests += 1;
        request.timeseries.into_iter().try_for_each(|series| held.take(series))
    }
}

impl Held {
    fn take(&mut self, TimeSeries { labels, samples, .. }: TimeSeries) -> Result<(), String> {
        let pairs = labels.iter().map(|label| (&*label.name, &*label.value));
        let labels = Labels::from_pairs(pairs).map_err(|error| error.to_string())?;
        for sample in samples {
            self.samples += 1;
            if sample.value.to_bits() == STALE_NAN_BITS {
                self.series.remove(&labels);
            } else if self.series.len() < SERIES_MAX || self.series.contains_key(&labels) {
                self.series.insert(labels.clone(), sample.value);
            } else {
                return Err(format!("the demo's servers hold {SERIES_MAX} series each"));
            }
        }
        Ok(())
    }
}

impl Held {
    fn show(&self, team: &str, out: &mut String) -> std::fmt::Result {
        let team = escaped(team);
        write!(
            out,
            "<title>{team}: its own server</title><h1>What {team}'s own server holds now</h1>\
            <p>{} series · {} samples in {} requests<table><tr><th>series<th>newest value",
            self.series.len(),
            self.samples,
            self.requests
        )?;
        for (labels, value) in self.series.iter().take(SHOWN_MAX) {
            write!(out, "<tr><td><code>{}</code><td class=n>{value}", escaped(&labels.to_string()))?;
        }
        out.push_str("</table>");
        match self.series.len().checked_sub(SHOWN_MAX).filter(|more| *more > 0) {
            Some(more) => write!(out, "<p>and {more} more"),
            None => Ok(()),
        }
    }
}

fn lock(receivers: &Receivers) -> MutexGuard<'_, BTreeMap<String, Held>> {
    receivers.0.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn write(State((receivers, team)): State<(Receivers, String)>, body: Bytes) -> (StatusCode, String) {
    match receivers.accept(&team, &body) {
        Ok(()) => (StatusCode::NO_CONTENT, String::new()),
        Err(why) => (StatusCode::BAD_REQUEST, why),
    }
}

async fn page(State((receivers, team)): State<(Receivers, String)>) -> Html<String> {
    let mut out = String::from(PAGE_HEAD);
    if let Some(held) = lock(&receivers).get(&team) {
        // Writing to a string does not fail.
        let _ = held.show(&team, &mut out);
    }
    Html(out)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::proto::{Label, Sample};

    fn body(value: f64) -> Vec<u8> {
        let label = |name: &str, value: &str| Label { name: name.into(), value: value.into() };
        let labels = vec![label("__name__", "a_total"), label("tenant", "<web>")];
        let samples = vec![Sample { value, timestamp: 1 }];
        let timeseries = vec![TimeSeries { labels, samples, histograms: Vec::new() }];
        snap::raw::Encoder::new().compress_vec(&WriteRequest { timeseries }.encode_to_vec()).unwrap()
    }

    #[tokio::test]
    async fn what_was_written_is_held_shown_and_ends_with_its_stale_marker() {
        let receivers = Receivers::default();
        receivers.accept("web", &body(4.5)).unwrap();
        assert_eq!(receivers.example("web").unwrap(), "a_total{tenant=\"<web>\"} 4.5");
        let Html(shown) = page(State((receivers.clone(), "web".into()))).await;
        assert!(shown.contains("a_total{tenant=\"&lt;web&gt;\"}") && shown.contains("1 series"), "{shown}");
        let Html(other) = page(State((receivers.clone(), "data".into()))).await;
        assert!(!other.contains("a_total"), "one team's server shows another's: {other}");
        receivers.accept("web", &body(f64::from_bits(STALE_NAN_BITS))).unwrap();
        assert_eq!(receivers.example("web"), None);
    }

    #[test]
    fn nonsense_is_refused_with_a_reason() {
        let receivers = Receivers::default();
        assert!(receivers.accept("web", b"no").unwrap_err().starts_with("snappy: "));
        let not_protobuf = snap::raw::Encoder::new().compress_vec(b"no").unwrap();
        assert!(receivers.accept("web", &not_protobuf).unwrap_err().starts_with("protobuf: "));
    }
}
