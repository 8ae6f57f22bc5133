//! What scrapers are shown: names, labels, and which label sets go with whom they speak of.

use std::io::Write as _;
use std::process::{Command, Stdio};

use super::*;
use crate::telemetry::{FilterOwner, FilterWork, Limit, Outcome, QueryResult, Refusal};

fn id(namespace: &str, name: &str) -> TenantId {
    TenantId { namespace: namespace.into(), name: name.into() }
}

/// Metrics with every family in use.
fn busy() -> Metrics {
    let metrics = Metrics::new();
    let tenant = metrics.for_tenant(&id("web", "a"), TargetType::Prometheus);
    tenant.collected(1250);
    tenant.request(&Ok::<(), ()>(()), Duration::from_millis(20), 300);
    tenant.request(&Err(()), Duration::from_secs(2), 200);
    tenant.delivered(1200);
    tenant.refused(Refusal::TooOld, 3);
    tenant.stale_markers(2);
    tenant.collided(1);
    tenant.tick(Outcome::Late);
    metrics.cursor_lags([(&id("web", "a"), Duration::from_millis(1500)), (&id("gone", "b"), Duration::ZERO)]);
    metrics.missed_ticks([(&id("web", "a"), 12)]);
    metrics.series([(&id("web", "a"), (1200, 50))]);
    let source = metrics.for_source(&SourceName::new("a \"quoted\" one"));
    source.query(QueryResult::Success, Duration::from_millis(3));
    source.scanned(1250, 500_000);
    source.histograms_skipped(1);
    source.clock_skew(-0.25);
    let (web, classified) = (id("web", "a"), (1250, Duration::from_millis(4)));
    let work = FilterWork { classified, failed: [0, 1, 0, 0], ..FilterWork::default() };
    metrics.for_filter(FilterOwner::Everyone(&web), "patterns").count(work);
    let more = FilterWork { classified: (10, Duration::ZERO), series: [7, 1, 2], instances: 1, ..work };
    let mut own = metrics.for_filter(FilterOwner::Resource(&web), "mine");
    own.count(more);
    own.count(FilterWork { series: [9, 1, 2], restarts: 1, memory_bytes_peak: 1_000, ..more });
    metrics.limit(&id("web", "a"), Limit::TickBytes, 1_000_000).set(300);
    metrics.tenants_by_state([("running", 1)]);
    metrics
}

#[test]
fn the_seeds_metrics_have_their_documented_names_and_labels() {
    let text = busy().encode(Exposition::OpenMetrics);
    for line in [
        r#"remote_write_metrics_collected_total{tenant="web",target_type="prometheus"} 1250"#,
        r#"remote_write_requests_total{tenant="web",target_type="prometheus",status="success"} 1"#,
        r#"remote_write_requests_total{tenant="web",target_type="prometheus",status="error"} 1"#,
        r#"remote_write_request_duration_seconds_count{tenant="web",target_type="prometheus"} 2"#,
        r#"remote_write_request_duration_seconds_bucket{le="0.025",tenant="web",target_type="prometheus"} 1"#,
        r#"sluice_samples_refused_total{tenant="web",target_type="prometheus",reason="too_old"} 3"#,
        r#"sluice_cursor_lag_seconds{tenant="web",resource="a"} 1.5"#,
        r#"sluice_source_clock_skew_seconds{source="a \"quoted\" one"} -0.25"#,
        r#"sluice_filter_busy_seconds_total{filter="patterns",call="classify"} 0.004"#,
        r#"sluice_filter_traps_total{tenant="web",resource="a",filter="patterns",reason="deadline"} 1"#,
        r#"sluice_filter_rows_total{tenant="web",resource="a",filter="mine",call="classify"} 10"#,
        r#"sluice_filter_series_total{tenant="web",resource="a",filter="mine",result="kept"} 9"#,
        r#"sluice_filter_series_total{tenant="web",resource="a",filter="mine",result="dropped"} 2"#,
        r#"sluice_filter_restarts_total{tenant="web",resource="a",filter="mine"} 1"#,
        r#"sluice_filter_memory_peak_bytes{tenant="web",resource="a",filter="mine"} 1000"#,
        r#"sluice_limit_used{tenant="web",resource="a",limit="tick_bytes"} 300"#,
        r#"sluice_limit_max{tenant="web",resource="a",limit="tick_bytes"} 1000000"#,
        concat!(r#"sluice_build_info{version=""#, env!("CARGO_PKG_VERSION"), r#""} 1"#),
        "# UNIT remote_write_request_duration_seconds seconds",
    ] {
        assert!(text.lines().any(|l| l == line), "missing {line} in\n{text}");
    }
    assert!(text.ends_with("# EOF\n") && !text.contains("gone"), "{text}");
}

#[test]
fn every_metric_is_on_its_page() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md")).unwrap();
    let text = busy().encode(Exposition::Classic);
    let names: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    assert!(names.len() > 30, "{names:?}");
    let missing: Vec<_> = names.iter().filter(|name| !page.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "{missing:?} are not in docs/metrics.md");
}

#[test]
fn a_tenant_that_goes_takes_its_label_sets_with_it() {
    let metrics = busy();
    metrics.forget(&id("web", "a"));
    let text = metrics.encode(Exposition::OpenMetrics);
    assert!(!text.contains("tenant=\"web\""), "{text}");
    metrics.forget_source(&SourceName::new("a \"quoted\" one"));
    assert!(!metrics.encode(Exposition::OpenMetrics).contains("{source="));
}

#[test]
fn a_filter_that_a_resource_has_no_more_takes_its_label_sets_with_it() {
    let metrics = busy();
    let web = id("web", "a");
    metrics.for_filter(FilterOwner::Resource(&web), "new").count(FilterWork::default());
    metrics.keep_filters(&web, ["new"]);
    let text = metrics.encode(Exposition::OpenMetrics);
    assert!(!text.contains(r#"filter="mine""#) && text.contains(r#"filter="new""#), "{text}");
    assert!(text.contains(r#"filter="patterns""#), "what is counted for all stays: {text}");
}

#[test]
fn label_sets_that_two_resources_share_stay_until_both_are_gone() {
    let metrics = busy();
    let other = metrics.for_tenant(&id("web", "b"), TargetType::Prometheus);
    other.collected(50);
    metrics.series([(&id("web", "b"), (50, 0))]);
    metrics.forget(&id("web", "a"));
    metrics.forget(&id("web", "a"));
    let text = metrics.encode(Exposition::OpenMetrics);
    assert!(text.contains(r#"collected_total{tenant="web",target_type="prometheus"} 1300"#), "{text}");
    assert!(!text.contains(r#"resource="a""#) && text.contains(r#"resource="b""#), "{text}");
    metrics.forget(&id("web", "b"));
    assert!(!metrics.encode(Exposition::OpenMetrics).contains("tenant="));
}

#[test]
fn another_kind_of_target_replaces_the_old_label_sets() {
    let metrics = busy();
    metrics.for_tenant(&id("web", "a"), TargetType::Pushgateway);
    let text = metrics.encode(Exposition::OpenMetrics);
    assert!(!text.contains(r#"target_type="prometheus""#) && text.contains(r#"target_type="pushgateway""#));
}

#[test]
fn a_restarted_pipeline_continues_its_counters() {
    let metrics = busy();
    metrics.for_tenant(&id("web", "a"), TargetType::Prometheus).collected(1);
    let text = metrics.encode(Exposition::OpenMetrics);
    assert!(text.contains(r#"collected_total{tenant="web",target_type="prometheus"} 1251"#), "{text}");
}

/// Runs where promtool is; the end-to-end tests require it.
#[test]
fn promtool_finds_nothing_to_complain_about() {
    let promtool = std::env::var("PROMTOOL").unwrap_or_else(|_| "promtool".into());
    let spawned = Command::new(&promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = spawned else {
        eprintln!("skipped: {promtool} not found; apt-get install prometheus, or set PROMTOOL");
        return;
    };
    let text = busy().encode(Exposition::Classic);
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "{}\n{text}", String::from_utf8_lossy(&said));
}
