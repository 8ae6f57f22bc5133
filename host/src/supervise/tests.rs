//! Supervise, with rooms to work with that ask nobody.

use std::io::{Write, pipe, read_to_string};
use std::sync::Mutex;
use std::time::Duration;

use super::*;
use crate::collect::{self, Collector, Observer};
use crate::deliver::cursor;
use crate::deliver::encode::Limits;
use crate::filter::{Builtins, Compiler, Config, Runtime};
use crate::http;
use crate::model::{
    Author, Endpoint, Filter, FilterLimits, FilterMode, HonorLabels, Interval, Labels, Memory, Mode,
    OnFailure, Origin, RemoteWriteEndpoint, Source, Stamps, TargetType, TickLimits, Timestamp,
};
use crate::modules::{self, Reach, Store};
use crate::pipeline::{Batches, Deps};
use crate::status::{Board, Phase};
use crate::telemetry::Metrics;

const NOW: Timestamp = Timestamp(1_700_000_000_000);

fn deps(runtime: Runtime) -> Arc<Deps> {
    let client = http::Client::new(&http::Config::default()).unwrap();
    let (config, memory) = (collect::Config::default(), Memory::default());
    Arc::new(Deps {
        collector: Collector::new(client.clone(), config, Observer::default(), memory.clone()),
        runtime,
        http: client,
        cursors: cursor::Store::in_memory(),
        board: Board::new(),
        metrics: Metrics::new(),
        claims: pipeline::Registry::default(),
        receivers: Default::default(),
        memory,
        batches: Arc::new(Batches::new(Limits { samples_max: 1_000, bytes_max: 1 << 20 })),
        config: pipeline::Config {
            backfill_max: Duration::from_secs(60),
            saved_within: Duration::from_secs(10),
            concurrency: 1,
            retry: Default::default(),
            timeouts: Default::default(),
        },
        now: || NOW,
    })
}

fn equipment() -> Equipment {
    let reach = Reach::Listed { allow: Vec::new(), receivers: Default::default() };
    let config = modules::Config { folder: None, reach, module_bytes_max: 1 << 20 };
    Equipment::new(Store::new(config, None).unwrap(), 1)
}

fn group(name: &str) -> SourceGroup {
    let source = Source { timeout: Duration::from_secs(1), ..Source::plain(name, "http://127.0.0.1:1/") };
    SourceGroup::gather([Arc::new(source)]).remove(0)
}

fn tenant(filters: Vec<Filter>) -> Tenant {
    let endpoint = RemoteWriteEndpoint::plain("http://127.0.0.1:1/".parse().unwrap(), Author::Operator);
    Tenant {
        id: TenantId { namespace: "shop".into(), name: "web".into() },
        source: "web".into(),
        selectors: vec!["up".parse().unwrap()],
        interval: Interval::new(Duration::from_secs(30)).unwrap(),
        mode: Mode::Sampled,
        target_type: TargetType::RemoteWrite,
        endpoints: vec![Endpoint::RemoteWrite(endpoint)],
        filters,
        relabelings: Vec::new(),
        stamps: Stamps { labels: Labels::default(), honor: HonorLabels::Stamp, protected: Vec::new() },
        since: NOW,
        limits: TickLimits::NONE,
    }
}

fn filter(name: &str, origin: Origin) -> Filter {
    Filter {
        name: name.into(),
        origin,
        content: None,
        pull_secret: None,
        config: serde_json::Value::Null,
        mode: FilterMode::Enforce,
        on_failure: OnFailure::Fail,
        limits: FilterLimits { memory_bytes_max: 16 << 20, call_time_max: Duration::from_secs(20) },
    }
}

#[tokio::test]
async fn what_is_told_of_filters_that_are_not_ready_has_an_end() {
    let runtime = Runtime::new(&Config { instances_max: 8, ..Config::default() }).unwrap();
    let (deps, stop) = (deps(runtime), CancellationToken::new());
    let site = Site { deps: deps.clone(), equipment: Arc::new(equipment()), stop: stop.clone() };
    let origin = Origin::File { path: "a.wasm".parse().unwrap() };
    let tenant = Arc::new(tenant(vec![filter(&"long".repeat(5_000), origin)]));
    let wanted = Wanted { tenant: tenant.clone(), groups: Arc::default() };
    let (_orders, order) = watch::channel(Order::Run(wanted));
    let (mut log, writer) = pipe().unwrap();
    let writer: Box<dyn Write + Send> = Box::new(writer);
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(Mutex::new(writer)).finish();
    let reading = std::thread::spawn(move || read_to_string(&mut log).unwrap());
    let logging = tracing::subscriber::set_default(subscriber);
    let is_refused = async {
        loop {
            let snapshot = deps.board.snapshot(NOW);
            if let Some(Phase::Refused { problems }) = snapshot.tenants.first().map(|tenant| &tenant.phase) {
                break problems.clone();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let problems = tokio::select! {
        _ = keep::keep(site, tenant.id.clone(), order) => panic!("nobody ends it"),
        problems = is_refused => problems,
    };
    drop(logging);
    let text = reading.join().unwrap();
    for told in ["Filters are not ready", "Remote write job refused"] {
        let line = text.lines().find(|line| line.contains(told)).expect(told);
        assert!(line.contains("filter longlong") && line.len() < 1_300, "{}", line.len());
    }
    assert!(problems[0].len() < 1_010);
}

#[test]
fn what_was_tried_on_other_sources_was_not_tried() {
    let (outfit, tenant) = (equip::Outfit::default(), tenant(Vec::new()));
    let (a, b) = (group("a"), group("b"));
    let tried = outfit.trial(&tenant, &[a.clone(), b.clone()]);
    assert_eq!(outfit.trial(&tenant, &[b, a.clone()]), tried, "in whatever order they are");
    assert_ne!(outfit.trial(&tenant, std::slice::from_ref(&a)), tried);
    assert_ne!(outfit.trial(&tenant, &[a, group("c")]), tried);
    let elsewhere = Tenant { source: "db".into(), ..tenant };
    assert_ne!(outfit.trial(&elsewhere, &[group("a"), group("b")]), tried);
}

#[tokio::test]
async fn filters_that_nobody_waits_for_any_more_are_not_configured_to_the_last_one() {
    let hostile = crate::filter::fixtures::guests().hostile.clone();
    let every = ["patterns", "relabel", "enrich"];
    let builtins = every.iter().fold(Builtins::embedded(), |all, name| all.with(name, hostile.clone()));
    let config = Config { instances_max: 64, ..Config::default() };
    let runtime = Runtime::with(&config, builtins, Compiler::here()).unwrap();
    runtime.warm(&["patterns", "enrich"]).unwrap();
    let module = runtime.load("the module", &hostile).unwrap();
    let origin = Origin::ConfigMap { name: "m".into(), key: "k".into() };
    let working =
        |n| Filter { config: "work in configure".into(), ..filter(&format!("f{n}"), origin.clone()) };
    let tenant = Arc::new(tenant((0..100).map(working).collect()));
    let (deps, modules) = (deps(runtime), vec![module; 100]);
    let equipment = equipment();
    let outfit = equip::Outfit::of(&tenant.filters, &modules);
    let groups = [group("a")];
    let a_while = Duration::from_secs(1);
    let fitting = equipment.fitted(&deps, &tenant, &groups, &outfit);
    assert!(tokio::time::timeout(a_while, fitting).await.is_err(), "it takes longer");
    let trials = trial::Trials::new();
    let trying = trials.configure(&deps, &tenant, &modules);
    assert!(tokio::time::timeout(a_while, trying).await.is_err(), "it takes longer");
    // Whose turn is next waits for one filter.
    let nothing = Arc::new(Tenant { filters: Vec::new(), ..(*tenant).clone() });
    let next = async {
        equipment.fitted(&deps, &nothing, &groups, &equip::Outfit::default()).await.unwrap();
        trials.configure(&deps, &nothing, &[]).await.unwrap();
    };
    tokio::time::timeout(8 * a_while, next).await.expect("they end");
}
