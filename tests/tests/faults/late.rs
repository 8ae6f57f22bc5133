//! What a source stores later than it is of: asked for after `lag`, no tick has another answer afterwards.

use std::time::Duration;

use serde_json::json;
use sluice_tests::exposition::Exposition;
use sluice_tests::faulty::{Fault, Faulty, Patience, Shift};
use sluice_tests::series::series;
use sluice_tests::servers::{Prometheus, ScrapeJob, config};

use super::scene::{Account, Scene, seconds};
use super::source::{Plan, Source};

/// Scrapes that are slow take so much of their interval, which is their timeout as well.
const SCRAPE: (Duration, &str) = (Duration::from_millis(2_600), "3s");
/// The same where there is time.
const SCRAPE_LONG: (Duration, &str) = (Duration::from_secs(8), "9s");
/// With faults of so many seconds there is.
const LONG_FROM_SECONDS: u64 = 60;

/// The timeout of scrapes, and a second for storing what came.
fn lag() -> &'static str {
    if seconds() < LONG_FROM_SECONDS { "4s" } else { "10s" }
}

fn scrape() -> (Duration, &'static str) {
    if seconds() < LONG_FROM_SECONDS { SCRAPE } else { SCRAPE_LONG }
}

/// A sample is of the moment at which its scrape began, and is there when the scrape is over.
pub(crate) async fn scrapes_take_long() -> Account {
    let plan = Plan {
        job: |target| vec![ScrapeJob::new("shop", target.address()).every(scrape().1)],
        facts: json!({ "lag": lag() }),
        ..Plan::default()
    };
    let source = Source::planned("a", plan).await;
    source.target.take(scrape().0);
    let mut scene = Scene::around(source).await;
    scene.steadily().await;
    scene.last().await;
    scene.settle().await
}

/// That it is over is stored 1.1 intervals later than it is so.
pub(crate) async fn a_target_is_removed() -> Account {
    let job = |target: &Exposition| ScrapeJob::new("shop", target.address());
    let plan = Plan {
        // The same page twice, as two targets.
        job: |target| {
            let leaving = target.address().replace("127.0.0.1", "localhost");
            let leaving = ScrapeJob::new("leaving", leaving).every("2s").label("leaves", "yes");
            vec![ScrapeJob::new("shop", target.address()), leaving]
        },
        facts: json!({ "lag": "4s" }),
        ..Plan::default()
    };
    let mut scene = Scene::around(Source::planned("a", plan).await).await;
    scene.steadily().await;
    scene.source.server.configure(&config(&[job(&scene.source.target)], &[])).await;
    scene.last().await;
    scene.source.target.remove(&series("crowd", [("n", "7"), ("job", "crowd")]));
    scene.last().await;
    scene.settle().await
}

/// How long a rule waits for what it reads.
const RULE_TAKES: Duration = Duration::from_millis(2_000);

/// What a rule makes is of the moment at which its evaluation began, and is there when that is over. It is slow because some of
/// what it reads is somewhere else.
pub(crate) async fn a_recording_rule_is_slow() -> Account {
    let elsewhere = Prometheus::receiver().await;
    let slow = Faulty::before(&elsewhere.url()).await;
    let folder = tempfile::TempDir::new().expect("a temporary folder can be made");
    let rules = folder.path().join("rules.yml");
    let rule = r#"groups: [{name: slow, interval: 1s, rules: [
        {record: "slow:rows", expr: "db_rows unless on() elsewhere{where=\"elsewhere\"}"}]}]"#;
    std::fs::write(&rules, rule).expect("the temporary folder is writable");
    let more = json!({
        "rule_files": [rules],
        "remote_read": [{
            "url": format!("{}/api/v1/read", slow.url()),
            "read_recent": true,
            // Nobody else has to wait.
            "required_matchers": { "where": "elsewhere" },
        }],
    });
    // JSON is YAML, without its braces a part of it.
    let more = more.as_object().into_iter().flatten().map(|(name, value)| format!("{name}: {value}\n"));
    let plan = Plan { more: more.collect(), facts: json!({ "lag": "5s" }), ..Plan::default() };
    let source = Source::planned("a", plan).await;
    slow.set(Fault::Late(RULE_TAKES));
    let mut scene = Scene::around(source).await;
    scene.steadily().await;
    scene.last().await;
    slow.set(Fault::Answer(http::StatusCode::INTERNAL_SERVER_ERROR, Patience::Unsaid));
    scene.last().await;
    slow.set(Fault::Late(RULE_TAKES));
    scene.settle().await
}

/// How far clocks are apart.
const SKEW_MS: i64 = 20_000;

pub(crate) async fn the_clock_of_the_source_is_ahead() -> Account {
    skewed(SKEW_MS, "3s").await
}

/// Its scrapes are stored so much later by our clock, so the lag is so much longer.
pub(crate) async fn the_clock_of_the_source_is_behind() -> Account {
    skewed(-SKEW_MS, "23s").await
}

async fn skewed(ahead_ms: i64, lag: &str) -> Account {
    let plan = Plan { facts: json!({ "lag": lag }), ..Plan::default() };
    let source = Source::planned("a", plan).await;
    source.set(Fault::Shifted(Shift::Clock(ahead_ms)));
    let mut scene = Scene::around(source).await;
    scene.steadily().await;
    scene.receiver_front.set(Fault::Answer(http::StatusCode::SERVICE_UNAVAILABLE, Patience::Unsaid));
    scene.last().await;
    scene.receiver_front.set(Fault::None);
    scene.settle().await
}
