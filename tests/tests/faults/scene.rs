//! Scene: a source, a receiver and the program between them, each line of which can go wrong.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value as Json;
use sluice_tests::expectation::{EVERYTHING, Expectation, Held, ticks};
use sluice_tests::faulty::Faulty;
use sluice_tests::filtered::every_second;
use sluice_tests::relay::Relay;
use sluice_tests::servers::{Prometheus, Setup, Sluice};
use sluice_tests::wait::{eventually, now_ms, within};

pub(crate) use super::account::Account;
use super::source::{Plan, Source, fronted};
use super::way::{Way, compare_stored};

pub(crate) const INTERVAL_MS: i64 = 1000;

/// How long a fault lasts, unless somebody asks for more.
const SHORT: u64 = 8;

/// Ticks before something goes wrong, and after all is well again.
const TICKS: usize = 5;

/// How much longer than the fault itself it may take until everything has arrived. It bounds a hang.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// How far back samples are asked for at the end.
const WINDOW: &str = "2h";

/// How many seconds a fault lasts.
pub(crate) fn seconds() -> u64 {
    std::env::var("SLUICE_SOAK").ok().and_then(|text| text.parse().ok()).unwrap_or(SHORT)
}

/// Who plays.
pub(crate) struct Scene {
    pub(crate) source: Source,
    /// Another one.
    pub(crate) other: Option<Source>,
    /// Whether that is a replica of the first.
    sources: Sources,
    pub(crate) receiver: Prometheus,
    /// Between the program and the receiver.
    pub(crate) receiver_front: Faulty,
    pub(crate) receiver_line: Relay,
    pub(crate) sluice: Sluice,
    /// The most memory until something went wrong.
    steady: Option<usize>,
}

/// A resource that wants everything every second.
pub(crate) fn resource(namespace: &str, url: &str) -> Json {
    let resource = every_second(&format!("{namespace}/all"), &format!("{url}/api/v1/write"), ".+");
    Way::of_this().said(resource)
}

/// How many there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sources {
    One,
    /// They have nothing in common.
    Two,
    /// They scrape the same.
    Replicas,
}

impl Scene {
    /// Everything runs, and some ticks have arrived.
    pub(crate) async fn set() -> Scene {
        Scene::with(Setup::new(), Sources::One).await
    }

    /// As [`Scene::set`], with more resources, or two sources.
    pub(crate) async fn with(setup: Setup, sources: Sources) -> Scene {
        match sources {
            Sources::One => Scene::of(setup, Source::start("a").await, None, sources).await,
            Sources::Two => {
                let (source, other) = tokio::join!(Source::start("a"), Source::start("b"));
                Scene::of(setup, source, Some(other), sources).await
            }
            Sources::Replicas => {
                let facts = serde_json::json!({ "replicaGroup": "pair" });
                let plan = Plan { facts, ..Plan::default() };
                let source = Source::planned("a", plan).await;
                let other = source.replica("b").await;
                Scene::of(setup, source, Some(other), sources).await
            }
        }
    }

    /// With a source of one's own.
    pub(crate) async fn around(source: Source) -> Scene {
        Scene::of(Setup::new(), source, None, Sources::One).await
    }

    async fn of(setup: Setup, source: Source, other: Option<Source>, sources: Sources) -> Scene {
        let receiver = Prometheus::receiver().await;
        let (receiver_front, receiver_line) = fronted(&receiver.url()).await;
        let sent = format!("http://{}", receiver_line.address());
        let all = std::iter::once(&source).chain(&other);
        let setup = all.fold(setup, |setup, source| source.in_setup(setup));
        let sluice = setup.resource("all.yaml", &resource("team", &sent).to_string()).start().await;
        let scene =
            Scene { source, other, sources, receiver, receiver_front, receiver_line, sluice, steady: None };
        scene.arrive(TICKS).await;
        scene
    }

    /// Waits until memory stays what it is: what goes on growing is never steady.
    pub(crate) async fn warm_up(&self) {
        within(PATIENCE, "memory stays", async || {
            let before = self.sluice.memory_bytes("VmRSS");
            self.arrive(TICKS).await;
            (self.sluice.memory_bytes("VmRSS") <= before + before / 100).then_some(())
        })
        .await;
    }

    /// From here on memory is compared with what it was.
    pub(crate) async fn steadily(&mut self) {
        self.steadily_asked(async |_| ()).await;
    }

    /// As [`Scene::steadily`], and meanwhile the program is asked something.
    pub(crate) async fn steadily_asked<T>(&mut self, ask: impl AsyncFnOnce(&Scene) -> T) -> T {
        self.forget_peak();
        self.arrive(TICKS).await;
        let said = ask(self).await;
        self.steady = Some(self.sluice.memory_bytes("VmHWM"));
        self.forget_peak();
        said
    }

    /// The kernel keeps the most from now on (proc(5), `clear_refs`).
    fn forget_peak(&self) {
        let file = format!("/proc/{}/clear_refs", self.sluice.pid());
        std::fs::write(file, "5").expect("it is a process of ours");
    }

    /// Something goes wrong on a line or at a server of the scene, and is well again after a while.
    pub(crate) async fn suffers(begins: impl Fn(&Scene), is_over: impl Fn(&Scene)) -> Account {
        let mut scene = Scene::set().await;
        scene.steadily().await;
        begins(&scene);
        scene.last().await;
        is_over(&scene);
        scene.settle().await
    }

    /// A fault lasts.
    pub(crate) async fn last(&self) {
        tokio::time::sleep(Duration::from_secs(seconds())).await;
    }

    /// Waits until so many ticks more have arrived.
    pub(crate) async fn arrive(&self, count: usize) {
        let before = self.newest().await.unwrap_or_else(|| now_ms() - INTERVAL_MS);
        let due = before + count as i64 * INTERVAL_MS;
        eventually("ticks arrive", async || self.newest().await.filter(|newest| *newest >= due)).await;
    }

    /// The newest tick that the receiver holds of the first source.
    async fn newest(&self) -> Option<i64> {
        self.newest_of(&self.source).await
    }

    async fn newest_of(&self, source: &Source) -> Option<i64> {
        let selector = format!(r#"db_rows{{cluster="{}"}}"#, source.cluster);
        let held = self.receiver.api().raw(&selector, "10m", now_ms()).await.ok()?;
        held.values().flatten().map(|sample| sample.at).max()
    }

    /// The ticks that the receiver holds anything of, and all between them.
    pub(crate) async fn ticks(&self) -> BTreeSet<i64> {
        every(&self.held().await)
    }

    async fn held(&self) -> Held {
        self.receiver.api().raw(EVERYTHING, WINDOW, now_ms()).await.expect("the receiver answers")
    }

    /// Ticks that the program delivered late, or not at all, as it counts them itself.
    pub(crate) async fn not_on_time(&self) -> u64 {
        self.counted("late").await + self.counted("given_up").await
    }

    /// Ticks that came to this outcome, as the program counts them itself.
    pub(crate) async fn counted(&self, outcome: &str) -> u64 {
        let labels = [("tenant", "team"), ("outcome", outcome)];
        self.sluice.counted_so_far("sluice_ticks_total", &labels).await.unwrap_or_default()
    }

    /// All is well again: waits until everything up to now has arrived, and compares.
    pub(crate) async fn settle(&mut self) -> Account {
        let due = now_ms();
        let patience = PATIENCE + Duration::from_secs(seconds());
        within(patience, "all that was missed arrives", async || {
            for source in std::iter::once(&self.source).chain(&self.other) {
                self.newest_of(source).await.filter(|newest| *newest >= due)?;
            }
            Some(())
        })
        .await;
        let memory = self.steady.map(|steady| self.sluice.memory_bytes("VmHWM") as f64 / steady as f64);
        let given_up = self.counted("given_up").await as usize;
        assert!(self.sluice.stop().await.success());
        let mut account = match Way::of_this() {
            Way::Sampled => self.compare().await,
            Way::Raw => {
                let mut account = Account::default();
                let sources: Vec<&Source> = std::iter::once(&self.source).chain(&self.other).collect();
                compare_stored(&sources, &self.receiver.url(), &mut account).await;
                account.refused = self.receiver_front.refused().len();
                account
            }
        };
        (account.memory, account.given_up) = (memory, given_up);
        account
    }

    async fn compare(&self) -> Account {
        let held = self.held().await;
        let every = every(&held);
        let (expected, lost) = self.expected(&every).await;
        let mut account = Account { ticks: every.len(), lost: lost.len(), ..Account::default() };
        account.count(&expected, &held);
        let span = (*every.first().expect("something"), *every.last().expect("something"));
        let shown = self.receiver.api().range(EVERYTHING, span, INTERVAL_MS).await;
        account.count_ends(&expected, &shown.expect("the receiver answers"), &lost);
        let answers = self.receiver.writes().await;
        account.refusals = answers.get("400").copied().unwrap_or_default() as usize;
        account.refused = self.receiver_front.refused().len();
        account
    }

    /// What the receiver has to hold, and the ticks of which the source has nothing any more.
    async fn expected(&self, every: &BTreeSet<i64>) -> (Held, BTreeSet<i64>) {
        let first = self.source.expected(every).await;
        let Some(other) = &self.other else { return (first.values(), first.empty_ticks()) };
        let other = other.expected(every).await;
        if self.sources == Sources::Replicas {
            let one = Expectation::of_replicas(&[first, other]);
            return (one.values(), one.empty_ticks());
        }
        let mut expected = first.values();
        expected.extend(other.values());
        (expected, BTreeSet::new())
    }
}

/// A tick that is missing as a whole is one that the source has, too.
fn every(held: &Held) -> BTreeSet<i64> {
    let arrived = ticks(held);
    let (first, last) = (*arrived.first().expect("something"), *arrived.last().expect("something"));
    (0..=(last - first) / INTERVAL_MS).map(|n| first + n * INTERVAL_MS).collect()
}
