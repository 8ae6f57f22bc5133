//! Way: how a scenario's resource takes its samples, and what its receiver has to hold then.

use std::future::Future;

use serde_json::{Value as Json, json};
use sluice_tests::expectation::Held;
use sluice_tests::stored::stored;
use sluice_tests::wait::now_ms;

use super::account::Account;
use super::source::Source;

/// How samples are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// One a tick.
    Sampled,
    /// All that are stored.
    Raw,
}

tokio::task_local! {
    static WAY: Way;
}

impl Way {
    /// That of the scenario at work.
    pub(crate) fn of_this() -> Way {
        WAY.get()
    }

    /// Plays a scenario in this way.
    pub(crate) async fn play<T>(self, scenario: impl Future<Output = T>) -> T {
        WAY.scope(self, scenario).await
    }

    pub(crate) fn name(self, scenario: &str) -> String {
        match self {
            Way::Sampled => scenario.to_owned(),
            Way::Raw => format!("raw: {scenario}"),
        }
    }

    /// The resource that says so.
    pub(crate) fn said(self, mut resource: Json) -> Json {
        if self == Way::Raw {
            resource["spec"]["collection"] = json!({ "mode": "raw" });
        }
        resource
    }
}

/// Requests that say again what a receiver has may be refused: after each fault those of one tick, of which samples have two times at most.
const REPEATED: usize = 2;

/// Compares what these sources have stored with what a receiver has, stale markers and times included.
pub(crate) async fn compare_stored(sources: &[&Source], receiver: &str, account: &mut Account) {
    let held = stored(receiver, (0, now_ms())).await.expect("the receiver answers");
    for source in sources {
        let of_it = held.iter().filter(|(series, _)| series.get("cluster") == source.cluster);
        let of_it: Held = of_it.map(|(series, samples)| (series.clone(), samples.clone())).collect();
        let moments = || of_it.values().flatten().map(|sample| sample.at);
        let span = (moments().min().expect("something"), moments().max().expect("something"));
        let there = stored(&source.server.url(), span).await.expect("the source answers");
        let expected = there.into_iter().map(|(series, samples)| (source.stamped(series), samples)).collect();
        account.ticks = account.ticks.max(sluice_tests::expectation::ticks(&of_it).len());
        account.count(&expected, &of_it);
    }
    // Of ticks in doubt, each has its times.
    account.doubtful = account.doubtful * REPEATED + REPEATED;
}
