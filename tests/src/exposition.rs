//! Exposition: a scrape target whose series are data, changeable while a real Prometheus scrapes it.
//!
//! In: series and how their values move. Out: `GET /metrics` in the text format 0.0.4.
//! Never: a clock of its own for values; they follow the number of the scrape, so that two runs agree.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::get;

use crate::series::LabelSet;
use crate::servers::Local;

/// How the value of a series moves. The first scrape has number 1.
#[derive(Clone)]
pub enum Motion {
    /// Always this value.
    Still(f64),
    /// `start + step × scrape`.
    Counter {
        /// The value before the first scrape.
        start: f64,
        /// What each scrape adds.
        step: f64,
    },
    /// Any function of the scrape's number; `None` leaves the series out of that scrape.
    Of(Arc<dyn Fn(u64) -> Option<f64> + Send + Sync>),
}

impl Motion {
    fn at(&self, scrape: u64) -> Option<f64> {
        match self {
            Motion::Still(value) => Some(*value),
            Motion::Counter { start, step } => Some(start + step * scrape as f64),
            Motion::Of(function) => function(scrape),
        }
    }
}

impl From<f64> for Motion {
    fn from(value: f64) -> Motion {
        Motion::Still(value)
    }
}

/// A running scrape target; it ends when dropped.
pub struct Exposition {
    server: Local,
    page: Arc<Mutex<Page>>,
}

#[derive(Default)]
struct Page {
    /// By label set, each with its text form, written once.
    series: BTreeMap<LabelSet, (String, Motion, Option<i64>)>,
    scrapes: u64,
    /// How long a scrape takes.
    takes: Duration,
    /// What stands before the series.
    head: String,
}

impl Exposition {
    /// Starts a target without series.
    pub async fn start() -> Exposition {
        let page = Arc::new(Mutex::new(Page::default()));
        let app = Router::new().route("/metrics", get(scrape)).with_state(page.clone());
        Exposition { server: Local::serve(app).await, page }
    }

    /// Starts a target with `series` on it.
    pub async fn with<M: Into<Motion>>(series: impl IntoIterator<Item = (LabelSet, M)>) -> Exposition {
        let target = Exposition::start().await;
        for (labels, motion) in series {
            target.set(labels, motion);
        }
        target
    }

    /// `host:port`, as a scrape configuration takes it and as the `instance` label shows it.
    pub fn address(&self) -> String {
        self.server.address().to_string()
    }

    /// Adds a series, or changes how it moves.
    pub fn set(&self, labels: LabelSet, motion: impl Into<Motion>) {
        let text = labels.to_string();
        self.page().series.insert(labels, (text, motion.into(), None));
    }

    /// As [`Exposition::set`], with an explicit timestamp in milliseconds.
    pub fn set_at(&self, labels: LabelSet, motion: impl Into<Motion>, at: i64) {
        let text = labels.to_string();
        self.page().series.insert(labels, (text, motion.into(), Some(at)));
    }

    /// Says what a metric is: its type, and its help.
    pub fn declare(&self, metric: &str, kind: &str, help: &str) {
        let _ = write!(self.page().head, "# HELP {metric} {help}\n# TYPE {metric} {kind}\n");
    }

    /// Takes a series off the page.
    pub fn remove(&self, labels: &LabelSet) {
        self.page().series.remove(labels);
    }

    /// From now on every scrape takes so long.
    pub fn take(&self, long: Duration) {
        self.page().takes = long;
    }

    /// How often the page was scraped.
    pub fn scrapes(&self) -> u64 {
        self.page().scrapes
    }

    fn page(&self) -> MutexGuard<'_, Page> {
        self.page.lock().expect("no holder panics")
    }
}

async fn scrape(State(page): State<Arc<Mutex<Page>>>) -> String {
    let takes = page.lock().expect("no holder panics").takes;
    tokio::time::sleep(takes).await;
    let mut page = page.lock().expect("no holder panics");
    page.scrapes += 1;
    let mut text = String::with_capacity(page.head.len() + page.series.len() * 128);
    text.push_str(&page.head);
    for (series, motion, at) in page.series.values() {
        let Some(value) = motion.at(page.scrapes) else { continue };
        let _ = write!(text, "{series} {}", exposed(value));
        let _ = match at {
            Some(at) => writeln!(text, " {at}"),
            None => writeln!(text),
        };
    }
    text
}

/// A float in the exposition's form: the shortest decimal that reads back to the same bits.
fn exposed(value: f64) -> String {
    match value {
        f64::INFINITY => "+Inf".to_owned(),
        f64::NEG_INFINITY => "-Inf".to_owned(),
        value => format!("{value:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::series;

    async fn page(target: &Exposition) -> String {
        let url = format!("http://{}/metrics", target.address());
        crate::http::get(&url).await.unwrap().text().to_owned()
    }

    #[tokio::test]
    async fn values_follow_the_number_of_the_scrape() {
        let target = Exposition::start().await;
        target.set(series("a", []), Motion::Counter { start: 10.0, step: 5.0 });
        target.set(series("b", []), Motion::Of(Arc::new(|n| (n % 2 == 0).then_some(0.5))));
        assert_eq!(page(&target).await, "a{} 15.0\n");
        assert_eq!(page(&target).await, "a{} 20.0\nb{} 0.5\n");
        target.remove(&series("a", []));
        assert_eq!(page(&target).await, "");
        assert_eq!(target.scrapes(), 3);
    }

    #[tokio::test]
    async fn odd_values_labels_and_timestamps_are_exposed_exactly() {
        let target = Exposition::start().await;
        for (name, value) in [("a", f64::INFINITY), ("b", f64::NEG_INFINITY), ("c", f64::NAN), ("d", -0.0)] {
            target.set(series(name, []), value);
        }
        target.set(series("e", [("l", "ü\n\"\\")]), 5e-324);
        target.set_at(series("f", []), f64::MAX, 1500);
        let expected = "a{} +Inf\nb{} -Inf\nc{} NaN\nd{} -0.0\n\
                        e{l=\"ü\\n\\\"\\\\\"} 5e-324\nf{} 1.7976931348623157e308 1500\n";
        assert_eq!(page(&target).await, expected);
    }
}
