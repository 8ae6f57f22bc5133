//! Bad input: every mistake is named with its file, its place and a cure, and never stops anything else.

use std::path::Path;
use std::process::Output;

use sluice_tests::servers::{Setup, command};
use sluice_tests::stage::Stage;
use sluice_tests::strict_receiver::StrictReceiver;
use sluice_tests::wait::eventually;
use tempfile::TempDir;

/// A right resource; each case breaks one thing in it.
const RIGHT: &str = r#"apiVersion: observability.ethos.io/v1alpha1
kind: MetricAccess
metadata:
  name: webapp-metrics
  namespace: webapp-team
spec:
  source: webapp-team
  metrics:
    - "http_requests_total"
    - '{job="webapp"}'
  remoteWrite:
    enabled: true
    interval: "30s"
    target:
      type: "prometheus"
    prometheus:
      serviceName: "prometheus"
      servicePort: 9090
    extraLabels:
      tenant: "webapp-team"
"#;

fn check(folder: &Path, files: &[(&str, &str)]) -> (Output, String) {
    for (name, text) in files {
        std::fs::write(folder.join(name), text).unwrap();
    }
    let names = files.iter().map(|(name, _)| *name);
    let output = command(folder, &["check"].into_iter().chain(names).collect::<Vec<_>>());
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output, said)
}

/// Breaks `RIGHT`, and expects exit status 1 and a message with every one of `parts`.
fn refuses(right: &str, wrong: &str, parts: &[&str]) {
    assert!(RIGHT.contains(right), "{right}");
    let folder = TempDir::new().unwrap();
    let (output, said) = check(folder.path(), &[("web.yaml", &RIGHT.replacen(right, wrong, 1))]);
    assert_eq!(output.status.code(), Some(1), "{wrong}: {said}");
    for part in ["web.yaml"].iter().chain(parts) {
        assert!(said.contains(part), "{wrong}: no {part:?} in: {said}");
    }
}

#[test]
fn a_right_file_passes() {
    let folder = TempDir::new().unwrap();
    let (output, said) = check(folder.path(), &[("web.yaml", RIGHT)]);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.starts_with("web.yaml: ok, 1 resource\n"), "{said}");
    assert!(said.ends_with("\nSecrets and endpoints were not checked: add --config sluice.yaml\n"), "{said}");
}

#[test]
fn a_warning_is_told_and_is_no_failure() {
    let folder = TempDir::new().unwrap();
    let other =
        RIGHT.replace("webapp-metrics", "other").replace(r#"tenant: "webapp-team""#, r#"tenant: "other""#);
    let text = format!("{}---\n{other}", RIGHT.replace("http_requests_total", "http_*"));
    let (output, said) = check(folder.path(), &[("web.yaml", &text)]);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("web.yaml: ok, 2 resources, 1 warning\n"), "{said}");
    assert!(said.contains("web.yaml:9: warning: spec.metrics[0]: "), "{said}");
}

#[test]
fn what_else_a_folder_holds_is_passed_over_and_a_mistake_in_ours_is_not() {
    let folder = TempDir::new().unwrap();
    let others =
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\napiVersion: apps/v1\nkind: Deployment\n";
    std::fs::write(folder.path().join("others.yaml"), others).unwrap();
    std::fs::write(folder.path().join("web.yaml"), format!("{others}---\n{RIGHT}")).unwrap();
    let check = || {
        let output = command(folder.path(), &["check", "."]);
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
        (output.status.code(), said)
    };
    let (status, said) = check();
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("web.yaml: ok, 1 resource, 2 warnings\n"), "{said}");
    assert!(
        said.contains("others.yaml:2: warning: kind: ConfigMap is not MetricAccess, and passed over\n"),
        "{said}"
    );
    std::fs::write(
        folder.path().join("web.yaml"),
        format!("{others}---\n{}", RIGHT.replace("interval", "intervall")),
    )
    .unwrap();
    let (status, said) = check();
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("intervall"), "{said}");
}

#[test]
fn a_sources_token_that_is_not_there_is_told_before_it_is_missed() {
    let folder = TempDir::new().unwrap();
    let config =
        "sources:\n- name: a\n  url: \"http://x\"\n  bearerTokenFile: token\ntenants: { folder: . }\n";
    std::fs::write(folder.path().join("sluice.yaml"), config).unwrap();
    let check = || {
        let output = command(folder.path(), &["check", "--config", "sluice.yaml", "sluice.yaml"]);
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (status, said) = check();
    let expected =
        "sluice.yaml:4: sources[0].bearerTokenFile: there is no file token; create it, or correct the path";
    assert!(status == Some(1) && said.contains(expected), "{said}");
    std::fs::write(folder.path().join("token"), "\n").unwrap();
    let (status, said) = check();
    assert!(
        status == Some(1) && said.contains("sources[0].bearerTokenFile: the file token is empty; put"),
        "{said}"
    );
    std::fs::write(folder.path().join("token"), "secret\n").unwrap();
    let (status, said) = check();
    assert!(status == Some(0) && !said.contains("secret"), "{said}");
}

#[test]
fn with_a_configuration_everything_is_checked_and_told_in_the_order_of_files_and_lines() {
    let folder = TempDir::new().unwrap();
    let config = "sources: [{ name: a, url: \"http://x\" }]\ntenants: { folder: tenants }\nsecrets: { folder: tenants }\n\
                  endpoints: { \"prometheus.webapp-team:9090\": \"http://x\" }\n";
    std::fs::write(folder.path().join("sluice.yaml"), config).unwrap();
    std::fs::create_dir(folder.path().join("tenants")).unwrap();
    let secret = "    target: { type: remote_write }\n    remoteWrite:\n      url: \"https://x.example/\"\n      basicAuth: { username: u, \
                  passwordSecret: { name: none, key: password } }\n    extraLabels: { a: 1 }\n";
    let (head, _) = RIGHT.split_once("    target:").unwrap();
    for (file, text) in [
        (
            "c.yaml",
            format!(
                "{}{secret}",
                head.replace("webapp-metrics", "c").replace("http_requests_total", "*_total")
            ),
        ),
        ("b.yaml", RIGHT.replace("interval", "intervall")),
        ("a.yaml", RIGHT.replace("webapp-metrics", "a")),
    ] {
        std::fs::write(folder.path().join("tenants").join(file), text).unwrap();
    }
    // A file that is named twice is checked once.
    let output = command(folder.path(), &["check", "--config", "sluice.yaml", "tenants/b.yaml", "tenants"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    let places: Vec<_> = said.lines().map(|line| line.split(": ").next().unwrap()).collect();
    let expected =
        ["sluice.yaml:1", "tenants/b.yaml:13", "tenants/c.yaml:9", "tenants/c.yaml:17", "tenants/c.yaml:18"];
    assert_eq!(places, expected, "{said}");
    let good = String::from_utf8(output.stdout).unwrap();
    assert!(
        good.starts_with("sluice.yaml: ok, a configuration, 1 warning\ntenants/a.yaml: ok, 1 resource\n"),
        "{good}"
    );
    assert!(!good.contains("--config"), "{good}");
}

#[test]
fn what_a_filter_would_refuse_is_named_with_its_line_before_anything_runs() {
    let folder = TempDir::new().unwrap();
    let (head, tail) = RIGHT.split_once("  remoteWrite:\n").unwrap();
    let filters = r#"  filters:
    - name: rates
      module: { builtin: { name: rate } }
      config:
        rules:
          - select: 'good_total'
          - select: 'bad_total{'
    - name: twice
      module: { builtin: { name: rate } }
      config: { rules: [{ select: 'up' }], rule: [] }
    - name: misspelt
      module:
        builtin: { name: rates }
    - name: file
      module:
        file: { path: own.wasm }
  remoteWrite:
"#;
    std::fs::create_dir(folder.path().join("modules")).unwrap();
    let config = "sources: [{ name: a, url: \"http://x\" }]\ntenants: { folder: modules }\nfilters: { modulesFolder: modules }\n\
                  endpoints: { \"prometheus.webapp-team:9090\": \"http://x\" }\n";
    std::fs::write(folder.path().join("sluice.yaml"), config).unwrap();
    std::fs::write(folder.path().join("web.yaml"), format!("{head}{filters}{tail}")).unwrap();
    let output = command(folder.path(), &["check", "web.yaml", "--config", "sluice.yaml"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let lines: Vec<&str> = said.lines().filter(|line| line.contains("spec.filters")).collect();
    let expected = [
        "web.yaml:17: spec.filters[0].config.rules[1].select: filter rates: ",
        "web.yaml:20: spec.filters[1].config.rule: filter twice: unknown field `rule`, expected `rules`",
        "web.yaml:23: spec.filters[2].module.builtin.name: there is no built-in filter \"rates\"; use one of aggregate, ",
        "web.yaml:26: spec.filters[3].module.file.path: own.wasm cannot be read from the folder of modules: No such file",
    ];
    assert_eq!(lines.len(), expected.len(), "{said}");
    for (line, expected) in lines.iter().zip(expected) {
        assert!(line.starts_with(expected), "no {expected:?} in: {said}");
    }
    let good = String::from_utf8(output.stdout).unwrap();
    assert!(!good.contains("webapp-team/webapp-metrics: every"), "it would not run: {good}");

    std::fs::write(folder.path().join("web.yaml"), RIGHT.replace("  remoteWrite:\n", "  filters: [{ name: rates, module: { builtin: { name: rate } }, config: { rules: [{ select: up }] } }]\n  remoteWrite:\n")).unwrap();
    let output = command(folder.path(), &["check", "web.yaml"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn resources_that_would_write_the_same_series_to_one_receiver_are_named() {
    let folder = TempDir::new().unwrap();
    let write = |file: &str, text: String| std::fs::write(folder.path().join(file), text).unwrap();
    write("a.yaml", RIGHT.to_owned());
    write("b.yaml", RIGHT.replace("webapp-metrics", "twin"));
    write(
        "c.yaml",
        RIGHT
            .replace("webapp-metrics", "other")
            .replace("http_requests_total", "up")
            .replace("webapp\"", "other\""),
    );
    let output = command(folder.path(), &["check", "."]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    let [warning] = said.lines().collect::<Vec<_>>()[..] else { panic!("{said}") };
    for part in
        ["a.yaml:11: warning: spec.remoteWrite: ", "as that of webapp-team/twin", "extraLabels of its own"]
    {
        assert!(warning.contains(part), "no {part:?} in: {said}");
    }
}

#[test]
fn an_unknown_field_is_named_with_the_field_that_was_meant() {
    refuses("interval:", "intervall:", &["spec.remoteWrite.intervall", "interval"]);
    refuses("metrics:", "metric:", &["spec.metric", "metrics"]);
    refuses("servicePort:", "serviceport:", &["serviceport", "servicePort"]);
}

#[test]
fn a_bad_duration_is_named_with_a_good_one() {
    refuses("\"30s\"", "\"30 s\"", &["spec.remoteWrite.interval", "30 s", "30s"]);
    refuses("\"30s\"", "30", &["spec.remoteWrite.interval", "30s"]);
    refuses("\"30s\"", "\"1ms\"", &["spec.remoteWrite.interval", "1ms"]);
    refuses("\"30s\"", "\"-30s\"", &["spec.remoteWrite.interval"]);
}

#[test]
fn an_invalid_pattern_is_named_with_its_position_and_a_cure() {
    refuses("http_requests_total", "*_total", &["spec.metrics[0]", ".*_total"]);
    refuses("http_requests_total", "sum(up)", &["spec.metrics[0]", "sum(up)"]);
    refuses("http_requests_total", ".*", &["spec.metrics[0]", ".+"]);
    refuses(r#"{job="webapp"}"#, r#"{job="webapp""#, &["spec.metrics[1]"]);
    refuses(r#"{job="webapp"}"#, r#"{job=""}"#, &["spec.metrics[1]"]);
}

#[test]
fn a_target_without_its_block_is_named_with_the_block() {
    refuses(
        "    prometheus:\n      serviceName: \"prometheus\"\n      servicePort: 9090\n",
        "",
        &["prometheus", "serviceName"],
    );
    refuses("type: \"prometheus\"", "type: \"pushgateway\"", &["pushgateway"]);
    refuses(
        "type: \"prometheus\"",
        "type: \"kafka\"",
        &["kafka", "prometheus", "pushgateway", "remote_write"],
    );
}

#[test]
fn a_label_name_prometheus_would_refuse_is_named() {
    refuses("tenant: \"webapp-team\"\n", "my-tenant: x\n", &["my-tenant"]);
    refuses("tenant: \"webapp-team\"\n", "__name__: x\n", &["__name__"]);
}

#[test]
fn a_value_in_the_wrong_form_is_told_the_right_one() {
    let auth = |password: &str| {
        format!(
            "type: remote_write\n    remoteWrite:\n      url: https://x.example/\n      basicAuth: {{ username: u, \
             passwordSecret: {password} }}\n"
        )
    };
    let block =
        "type: \"prometheus\"\n    prometheus:\n      serviceName: \"prometheus\"\n      servicePort: 9090\n";
    for password in ["web", "[web, password]"] {
        refuses(block, &auth(password), &["basicAuth.passwordSecret: ", "is not a mapping", "name, key"]);
    }
    refuses("source: webapp-team", "source: [webapp-team]", &["web.yaml:7: spec.source", "write one value"]);
    refuses("\"webapp-team\"\n", "true\n", &["extraLabels.tenant: true is not text", "in quotes"]);
    refuses("enabled: true", "enabled: yes", &["enabled: \"yes\" is not true or false", "write true"]);
    refuses("    enabled: true", "\tenabled: true", &["web.yaml:12: a tab", "spaces"]);
}

#[test]
fn text_that_is_not_yaml_and_another_kind_are_refused() {
    refuses("spec:", "spec: [", &[]);
    refuses("kind: MetricAccess", "kind: MetricsAccess", &["kind", "MetricAccess"]);
    refuses("v1alpha1", "v2", &["apiVersion", "v1alpha1"]);
}

#[test]
fn all_mistakes_of_all_files_are_reported_at_once() {
    let folder = TempDir::new().unwrap();
    let twice = RIGHT.replace("interval:", "intervall:").replace("http_requests_total", "sum(up)");
    let right = RIGHT.replace("webapp-metrics", "right");
    let other = RIGHT.replace("type: \"prometheus\"", "type: \"kafka\"").replace("webapp-metrics", "other");
    let (output, said) = check(folder.path(), &[("a.yaml", &twice), ("b.yaml", &other), ("c.yaml", &right)]);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for part in ["a.yaml", "intervall", "sum(up)", "b.yaml", "kafka"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(said.matches("c.yaml:").count(), 1, "{said}");
    assert!(said.contains("c.yaml: ok, 1 resource\n"), "{said}");
}

#[test]
fn a_missing_file_is_an_error() {
    let folder = TempDir::new().unwrap();
    let output = command(folder.path(), &["check", "none.yaml"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("none.yaml")
            || String::from_utf8_lossy(&output.stdout).contains("none.yaml")
    );
}

#[test]
fn a_configuration_with_a_mistake_does_not_start_and_says_why() {
    let folder = TempDir::new().unwrap();
    for (text, part) in [
        ("sources: []\nsauces: []\n", "sauces"),
        ("sources: [{ name: a, url: \"ftp://x\" }]\ntenants: { folder: t }\n", "url"),
        ("sources: [{ name: a, url: \"http://x\", lag: 5 }]\ntenants: { folder: t }\n", "lag"),
        ("sources: [", "sluice.yaml"),
    ] {
        std::fs::write(folder.path().join("sluice.yaml"), text).unwrap();
        let output = command(folder.path(), &["run", "--config", "sluice.yaml"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && said.contains(part) && said.contains("sluice.yaml"),
            "{text}: {said}"
        );
    }
}

#[tokio::test]
async fn a_bad_resource_never_stops_the_others() {
    let (stage, receiver) = tokio::join!(Stage::set(), StrictReceiver::start());
    let good = |name: &str| {
        format!(
            "apiVersion: observability.ethos.io/v1alpha1\nkind: MetricAccess\nmetadata: {{ name: {name}, namespace: \
             team }}\nspec:\n  source: team\n  metrics: [db_rows, \"sum(up)\"]\n  remoteWrite:\n    enabled: true\n    \
             interval: 1s\n    target: {{ type: remote_write }}\n    remoteWrite:\n      url: \"{}/{name}\"\n",
            receiver.url()
        )
    };
    let secret = "      basicAuth: { username: u, passwordSecret: { name: none, key: password } }\n";
    let nothing = RIGHT.replace("webapp-metrics", "nothing");
    let nothing = nothing.replace("http_requests_total", "sum(up)").replace(r#"{job="webapp"}"#, "*_total");
    let sluice = Setup::new()
        .source("main", &stage.source.url())
        .resource("a.yaml", &good("good"))
        .resource("b.yaml", "spec: [")
        .resource("c.yaml", &RIGHT.replace("interval:", "intervall:"))
        .resource("d.yaml", &format!("{}{secret}", good("secretless")))
        .resource("e.yaml", &nothing)
        .start()
        .await;
    // The valid entry of a resource with an invalid one is granted.
    eventually("the good one arrives", async || (receiver.samples().len() == 2).then_some(())).await;
    assert!(receiver.samples().keys().all(|series| series.name() == "db_rows"));
    assert!(receiver.seen().iter().all(|seen| seen.uri == "/good"));
    let health = eventually("all are reported", async || {
        let text = sluice.get("/health").await.text().to_owned();
        ["intervall", "none", "*_total"].iter().all(|part| text.contains(part)).then_some(text)
    })
    .await;
    assert!(health.contains("b.yaml"), "{health}");
    assert_eq!(receiver.violations(), []);
}
