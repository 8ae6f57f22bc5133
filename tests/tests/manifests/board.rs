//! The board and the alerts speak of what the program exports, and a real Prometheus understands them.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use promql_parser::parser::{Expr, VectorSelector};
use promql_parser::util::{ExprVisitor, walk_expr};
use serde_json::Value;
use sluice::model::{SourceName, TargetType, TenantId};
use sluice::telemetry::{Exposition, FilterOwner, FilterWork, Limit, Metrics};
use sluice_tests::servers::{Prometheus, find};

use crate::bundle::{deploy, document, text};

/// Every series name the program can export: each family with something in it.
fn exported() -> BTreeSet<String> {
    let metrics = Metrics::new();
    let tenant = TenantId { namespace: "team".into(), name: "metrics".into() };
    let _counters = metrics.for_tenant(&tenant, TargetType::Prometheus);
    let _counters = metrics.for_source(&SourceName::new("infra"));
    metrics.for_filter(FilterOwner::Resource(&tenant), "own").count(FilterWork::default());
    metrics.limit(&tenant, Limit::TickBytes, 1).set(1);
    metrics.tenants_by_state([("running", 1)]);
    metrics.cursor_lags([(&tenant, Duration::from_secs(1))]);
    metrics.series([(&tenant, (1, 0))]);
    let exposition = metrics.encode(Exposition::Classic);
    let samples = exposition.lines().filter(|line| !line.starts_with('#'));
    samples.map(|line| line[..line.find(['{', ' ']).expect("a sample has a value")].to_owned()).collect()
}

/// The names of the series that an expression reads.
fn read_by(expression: &str) -> BTreeSet<String> {
    struct Names(BTreeSet<String>);
    impl Names {
        fn add(&mut self, selector: &VectorSelector) {
            self.0.insert(
                selector.name.clone().unwrap_or_else(|| panic!("a selector without a name: {selector}")),
            );
        }
    }
    impl ExprVisitor for Names {
        type Error = ();
        fn pre_visit(&mut self, expression: &Expr) -> Result<bool, ()> {
            match expression {
                Expr::VectorSelector(selector) => self.add(selector),
                Expr::MatrixSelector(selector) => self.add(&selector.vs),
                _ => {}
            }
            Ok(true)
        }
    }
    let parsed = promql_parser::parser::parse(expression).unwrap_or_else(|e| panic!("{expression}: {e}"));
    let mut names = Names(BTreeSet::new());
    walk_expr(&mut names, &parsed).expect("nothing fails");
    names.0
}

fn board() -> Value {
    serde_json::from_str(&text(&deploy("dashboards/sluice.json"))).unwrap()
}

/// Every query of the board, with its variables filled in as Grafana fills them.
fn queries(board: &Value) -> Vec<String> {
    let panels = board["panels"].as_array().unwrap().iter();
    let targets =
        panels.flat_map(|panel| panel["targets"].as_array()).flatten().map(|target| &target["expr"]);
    let annotations = board["annotations"]["list"].as_array().unwrap().iter().map(|a| &a["expr"]);
    let variables = board["templating"]["list"].as_array().unwrap().iter().map(|v| &v["query"]["query"]);
    let inner = |query: &str| match query.strip_prefix("label_values(") {
        Some(rest) => rest.rsplit_once(',').expect("label_values(series, label)").0.to_owned(),
        None => query.to_owned(),
    };
    let all = targets.chain(annotations).chain(variables).filter_map(Value::as_str).map(inner);
    all.map(|query| fill(&query)).collect()
}

fn fill(query: &str) -> String {
    let mut filled = query.replace("$__rate_interval", "5m").replace("$__range", "3h");
    for variable in ["$job", "$tenant", "$source"] {
        filled = filled.replace(variable, ".*");
    }
    filled.replace("$team", "webapp-team")
}

fn alerts() -> Vec<Value> {
    let groups = document(&deploy("alerts/rules.yaml"))["groups"].as_array().unwrap().clone();
    groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
}

#[test]
fn the_board_shows_what_is_exported_and_all_of_it() {
    let exported = exported();
    let read: BTreeSet<String> = queries(&board()).iter().flat_map(|query| read_by(query)).collect();
    assert_eq!(
        read.difference(&exported).collect::<Vec<_>>(),
        [""; 0],
        "the board reads what nobody exports"
    );
    // Of a histogram the buckets say it all, and a start time says more than a restart.
    let left_out = |name: &&String| name.ends_with("_sum") || name.ends_with("_count");
    let unread: Vec<_> = exported.difference(&read).filter(|name| !left_out(name)).collect();
    assert_eq!(unread, [""; 0], "nobody can see these");
}

#[test]
fn the_board_is_tidy() {
    let board = board();
    let variables: BTreeSet<_> =
        board["templating"]["list"].as_array().unwrap().iter().map(|v| v["name"].as_str().unwrap()).collect();
    assert_eq!(variables, ["datasource", "job", "source", "team", "tenant"].into());
    let (mut ids, mut cells) = (BTreeSet::new(), BTreeSet::new());
    for panel in board["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64()), "{title}: its id is another panel's");
        let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        for cell in
            (at("x")..at("x") + at("w")).flat_map(|x| (at("y")..at("y") + at("h")).map(move |y| (x, y)))
        {
            assert!(cell.0 < 24 && cells.insert(cell), "{title} lies over another panel");
        }
        if panel["type"] != "row" {
            assert!(!panel["description"].as_str().unwrap().is_empty(), "{title} is not explained");
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
        }
    }
    assert!(cells.iter().all(|(x, y)| *y == 0 || (0..24).any(|x| cells.contains(&(x, y - 1))) || *x > 24));
}

#[test]
fn alerts_are_about_what_is_exported() {
    let exported = exported();
    for alert in alerts() {
        let read = read_by(alert["expr"].as_str().unwrap());
        assert_eq!(read.difference(&exported).collect::<Vec<_>>(), [""; 0], "{}", alert["alert"]);
        for text in ["summary", "description"] {
            assert!(alert["annotations"][text].is_string(), "{} says its {text}", alert["alert"]);
        }
        assert!(["critical", "warning", "info"].contains(&alert["labels"]["severity"].as_str().unwrap()));
    }
}

#[test]
fn every_alert_is_tested() {
    let tests = text(&deploy("alerts/tests.yaml"));
    for alert in alerts() {
        let name = alert["alert"].as_str().unwrap();
        assert!(tests.contains(name), "{name} is in no test of deploy/alerts/tests.yaml");
    }
}

#[test]
fn the_operators_rules_are_the_plain_ones() {
    let rule = document(&deploy("alerts/prometheusrule.yaml"));
    let plain = document(&deploy("alerts/rules.yaml"));
    assert_eq!(rule["spec"], plain, "copy the groups of alerts/rules.yaml into alerts/prometheusrule.yaml");
}

#[test]
fn promtool_accepts_the_rules_and_their_tests() {
    for arguments in [["check", "rules", "rules.yaml"], ["test", "rules", "tests.yaml"]] {
        let mut promtool = Command::new(find("promtool"));
        let output = promtool.args(arguments).current_dir(deploy("alerts")).output().unwrap();
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        assert!(output.status.success(), "promtool {}: {}", arguments.join(" "), said.concat());
    }
}

/// The parser above is not Prometheus'.
#[tokio::test]
async fn a_real_prometheus_understands_every_query_of_the_board() {
    let server = Prometheus::receiver().await;
    for query in queries(&board()) {
        let form = url::form_urlencoded::Serializer::new(String::new()).append_pair("query", &query).finish();
        let answer = sluice_tests::http::get(&format!("{}/api/v1/query?{form}", server.url())).await.unwrap();
        assert!(answer.status.is_success(), "{query}: {}", answer.text());
    }
    assert!(Path::new(&deploy("dashboards/sluice.json")).is_file());
}
