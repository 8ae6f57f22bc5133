//! The state of lanes and sources, and the health that follows from it.

use std::io;
use std::sync::Arc;

use super::*;
use crate::model::{
    Author, Endpoint, HonorLabels, Interval, Labels, Mode, PushgatewayEndpoint, PushgatewayGroup, Source,
    SourceGroup, SourceName, Stamps, TargetType, Tenant, TickLimits, Timestamp,
};

const NOW: Timestamp = Timestamp(1_000_000);

fn id() -> TenantId {
    TenantId { namespace: "web".into(), name: "a".into() }
}

fn source() -> Source {
    Source {
        name: SourceName::new("infra"),
        url: "http://user:secret@127.0.0.1:9090/".parse().unwrap(),
        labels: Labels::default(),
        external_labels: Labels::default(),
        lag: Duration::from_secs(15),
        settle: Duration::from_secs(120),
        timeout: Duration::from_secs(10),
        series_max: 1_000,
        replica_group: None,
        audience: Default::default(),
        access: Default::default(),
        compression: Default::default(),
    }
}

fn group() -> SourceGroup {
    SourceGroup::gather([Arc::new(source())]).remove(0)
}

fn endpoint() -> Endpoint {
    let url = "http://u:p@gw/".parse().unwrap();
    let group = PushgatewayGroup { service: "s".into(), port: 1, job: "j".into() };
    Endpoint::Pushgateway(PushgatewayEndpoint { url, author: Author::Tenant, dial: None, group })
}

fn tenant() -> Tenant {
    Tenant {
        id: id(),
        source: "web".into(),
        selectors: vec![],
        interval: Interval::new(Duration::from_secs(30)).unwrap(),
        mode: Mode::Sampled,
        target_type: TargetType::Pushgateway,
        endpoints: vec![endpoint()],
        filters: Vec::new(),
        relabelings: vec![],
        stamps: Stamps {
            labels: Labels::from_pairs([("tenant", "web")]).unwrap(),
            honor: HonorLabels::Stamp,
            protected: vec![],
        },
        since: NOW,
        limits: TickLimits::NONE,
    }
}

fn running() -> (Board, LaneEntry) {
    let board = Board::new();
    let entry = board.tenant(&id());
    entry.starting(&Arc::new(tenant()));
    let lane = entry.lane(&group(), &endpoint(), NOW);
    entry.running();
    (board, lane)
}

fn state_at(board: &Board, seconds: u64) -> (&'static str, Health) {
    let now = NOW.plus(Duration::from_secs(seconds));
    let snapshot = board.snapshot(now);
    (snapshot.tenants[0].state(now), snapshot.health())
}

fn delivered(due: Timestamp, series: u64, at: Timestamp) -> Delivered {
    Delivered { tick: tick(due), series, samples: series, at }
}

fn tick(now: Timestamp) -> Tick {
    Tick::at_or_before(now, tenant().interval)
}

#[test]
fn a_lane_that_delivers_nothing_for_three_intervals_is_unhealthy() {
    let (board, lane) = running();
    assert_eq!(state_at(&board, 105), ("running", Health::Ok));
    assert_eq!(state_at(&board, 106), ("unhealthy", Health::Unhealthy));
    let later = NOW.plus(Duration::from_secs(100));
    lane.delivered(delivered(later, 0, later));
    assert_eq!(state_at(&board, 190), ("running", Health::Ok));
    assert_eq!(state_at(&board, 191), ("unhealthy", Health::Unhealthy));
}

#[test]
fn failed_attempts_degrade_and_then_more() {
    let (board, lane) = running();
    let error = io::Error::other("connection refused");
    lane.failed(Stage::Deliver, &error, NOW);
    assert_eq!(state_at(&board, 1), ("degraded", Health::Degraded));
    lane.failed(Stage::Deliver, &error, NOW);
    lane.failed(Stage::Deliver, &error, NOW);
    assert_eq!(state_at(&board, 1), ("unhealthy", Health::Unhealthy));
    let reasons = board.snapshot(NOW).tenants[0].health(NOW).1;
    assert_eq!(reasons, ["infra → http://gw/#job=j: deliver: connection refused"]);
    lane.delivered(delivered(NOW, 5, NOW));
    assert_eq!(state_at(&board, 1), ("running", Health::Ok));
}

#[test]
fn a_lane_that_catches_up_is_degraded_until_it_has() {
    let (board, lane) = running();
    lane.delivered(delivered(NOW.minus(Duration::from_secs(600)), 5, NOW));
    assert_eq!(state_at(&board, 1), ("degraded", Health::Degraded));
    lane.delivered(delivered(NOW.minus(Duration::from_secs(45)), 5, NOW));
    assert_eq!(state_at(&board, 1), ("running", Health::Ok));
}

#[test]
fn a_refused_resource_and_an_unreadable_document_degrade_the_whole() {
    let board = Board::new();
    board.tenant(&id()).refused(vec!["spec.metrics[0]: empty".into()]);
    assert_eq!(state_at(&board, 0), ("refused", Health::Degraded));
    board.tenant(&id()).disabled();
    assert_eq!(state_at(&board, 0), ("disabled", Health::Ok));
    board.unreadable("a.yaml", vec!["line 3: not YAML".into()]);
    assert_eq!(state_at(&board, 0).1, Health::Degraded);
    board.unreadable("a.yaml", vec![]);
    assert_eq!(state_at(&board, 0).1, Health::Ok);
}

#[test]
fn one_source_down_degrades_and_all_down_is_unhealthy() {
    let board = Board::new();
    let one = board.source(&source());
    let other = board.source(&Source { name: SourceName::new("other"), ..source() });
    assert_eq!(board.snapshot(NOW).health(), Health::Ok);
    let down = SourceSeen {
        healthy: false,
        failures: 3,
        last_seen: None,
        last_error: Some(("refused".into(), NOW)),
        clock_skew_millis: None,
    };
    one.observed(down.clone());
    assert_eq!(board.snapshot(NOW).health(), Health::Degraded);
    other.observed(down);
    assert_eq!(board.snapshot(NOW).health(), Health::Unhealthy);
    let up = SourceSeen {
        healthy: true,
        failures: 1,
        last_seen: Some(NOW),
        last_error: None,
        clock_skew_millis: Some(-20),
    };
    one.observed(up.clone());
    other.observed(SourceSeen { clock_skew_millis: None, ..up });
    let snapshot = board.snapshot(NOW);
    assert_eq!(snapshot.health(), Health::Ok);
    assert_eq!(snapshot.sources[0].clock_skew_millis, Some(-20));
    assert_eq!(
        snapshot.sources[0].last_error,
        Some(("refused".into(), NOW)),
        "what is over can still be read"
    );
    assert_eq!((snapshot.sources[0].state(), snapshot.sources[0].consecutive_failures), ("up", 1));
    assert_eq!(snapshot.sources[0].url, "http://127.0.0.1:9090/");
}

#[test]
fn ready_means_compiled_and_loaded_and_every_pipeline_started_and_stays_so() {
    let board = Board::new();
    let entry = board.tenant(&id());
    assert_eq!(board.readiness(), Readiness::Starting("filters are being compiled".into()));
    board.compiled();
    assert_eq!(board.readiness(), Readiness::Starting("the resources are being read".into()));
    board.loaded();
    assert_eq!(board.readiness(), Readiness::Starting("1 of 1 pipelines have not started".into()));
    entry.running();
    assert_eq!(board.readiness(), Readiness::Ready);
    entry.starting(&Arc::new(tenant()));
    assert_eq!(board.readiness(), Readiness::Ready);
    board.stopping();
    assert_eq!(board.readiness(), Readiness::Stopping);
}

#[test]
fn a_restart_forgets_lanes_and_an_old_entry_does_not_bring_them_back() {
    let (board, lane) = running();
    lane.delivered(delivered(NOW, 5, NOW));
    board.tenant(&id()).remark(vec!["metrics[1] grants nothing".into()], vec![]);
    board.tenant(&id()).starting(&Arc::new(tenant()));
    lane.delivered(delivered(NOW, 5, NOW));
    let snapshot = board.snapshot(NOW);
    assert_eq!(snapshot.tenants[0].lanes, []);
    assert_eq!(snapshot.tenants[0].delivered_total(), 5);
    assert_eq!(snapshot.tenants[0].health(NOW), (Health::Degraded, vec!["metrics[1] grants nothing".into()]));
    assert_eq!(snapshot.tenants[0].facts.as_ref().unwrap().stamps, [("tenant".into(), "web".into())]);
    board.remove(&id());
    assert_eq!(board.snapshot(NOW).tenants, []);
}

#[test]
fn a_warning_is_shown_and_degrades_nothing() {
    let (board, _) = running();
    board.tenant(&id()).remark(vec![], vec!["metrics[0] is probably not what was meant".into()]);
    assert_eq!(state_at(&board, 0), ("running", Health::Ok));
    let tenant = &board.snapshot(NOW).tenants[0];
    assert_eq!(tenant.health(NOW).1, [""; 0]);
    assert_eq!(tenant.warnings, ["metrics[0] is probably not what was meant"]);
    // What it asks for and does not get is another matter.
    board.tenant(&id()).remark(vec!["metrics[1] grants nothing".into()], vec![]);
    assert_eq!(state_at(&board, 0), ("degraded", Health::Degraded));
    board.tenant(&id()).refused(vec!["spec.source: is missing".into()]);
    assert_eq!(board.snapshot(NOW).tenants[0].unmet, [""; 0]);
}

#[test]
fn what_is_kept_of_errors_is_bounded() {
    let (board, lane) = running();
    lane.failed(Stage::Collect, &io::Error::other("é".repeat(5_000)), NOW);
    let snapshot = board.snapshot(NOW);
    assert!(snapshot.tenants[0].lanes[0].last_error.as_ref().unwrap().message.len() < 1_010);
    board.tenant(&id()).refused(vec!["x".into(); 70]);
    assert_eq!(board.snapshot(NOW).tenants[0].health(NOW).1.last().unwrap(), "and 20 more");
    let long = || vec!["é".repeat(5_000); 70];
    board.tenant(&id()).refused(long());
    board.tenant(&id()).remark(long(), long());
    board.unreadable("a.yaml", long());
    board.discovery([("a".to_owned(), "é".repeat(5_000))].into());
    let Snapshot { mut tenants, unreadable, discovery, .. } = board.snapshot(NOW);
    let tenant = tenants.remove(0);
    let Phase::Refused { problems } = tenant.phase else { panic!("it is refused") };
    let kept = [problems, tenant.unmet, tenant.warnings, unreadable[0].1.clone()].concat();
    assert_eq!(kept.len(), 4 * 51);
    assert!(kept.iter().chain(discovery.values()).all(|text| text.len() < 1_010));
}

#[tokio::test]
async fn reports_reach_listeners_and_nobody_waits_for_them() {
    let board = Board::new();
    let mut reports = board.reports();
    let report = TickReport {
        tenant: id(),
        group: "infra".into(),
        endpoint: "http://gw/".into(),
        tick: tick(NOW),
        collected: 3,
        kept: 2,
        delivered: 2,
        bytes: 100,
        took: Duration::from_millis(5),
    };
    board.report(report.clone());
    assert_eq!(reports.recv().await.unwrap(), report);
    for _ in 0..2 * REPORTS_MAX {
        board.report(report.clone());
    }
    assert!(matches!(reports.recv().await, Err(tokio::sync::broadcast::error::RecvError::Lagged(_))));
}

#[test]
fn a_resource_without_a_source_and_a_cluster_that_cannot_be_watched_degrade() {
    let board = Board::new();
    let entry = board.tenant(&id());
    entry.starting(&Arc::new(tenant()));
    entry.running();
    assert_eq!(state_at(&board, 0), ("degraded", Health::Degraded));
    board.remove(&id());
    board.discovery([("block infra".to_owned(), "forbidden".to_owned())].into());
    assert_eq!(board.snapshot(NOW).health(), Health::Degraded);
    board.discovery(Default::default());
    assert_eq!(board.snapshot(NOW).health(), Health::Ok);
}

#[test]
fn a_filter_that_fails_at_work_says_so_although_it_is_ready_and_one_that_is_not_ready_says_why() {
    let board = Board::new();
    let entry = board.tenant(&id());
    let tenant = Arc::new(tenant());
    entry.starting(&tenant);
    let lane = entry.lane(&group(), &endpoint(), NOW);
    let (mut ready, mut stuck) = (FilterReport::new("ready"), FilterReport::new("stuck"));
    ready.comes_to(FilterStage::Configured);
    stuck.fails(FilterStage::Compiled, &std::io::Error::other("no component"), NOW);
    entry.filters(vec![ready, stuck]);
    for name in ["ready", "stuck", "unknown"] {
        lane.filter_failed(name, &std::io::Error::other("it trapped"), NOW);
    }
    let filters = board.snapshot(NOW).tenants[0].filters.clone();
    let said = |report: &FilterReport| report.last_failure.as_ref().unwrap().1.message.clone();
    assert_eq!(filters.iter().map(said).collect::<Vec<_>>(), ["it trapped", "no component"]);
    assert!(filters[0].failing().is_none() && filters[1].failing().is_some());
}
