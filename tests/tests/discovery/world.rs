//! World: an API server, servers that can be found through it, and a receiver.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::StatusCode;
use serde_json::{Value, json};
use sluice_tests::apiserver::{FakeApi, Serving};
use sluice_tests::query_source::{QuerySource, vector};
use sluice_tests::series::LabelSet;
use sluice_tests::servers::{Setup, Sluice};
use sluice_tests::strict_receiver::StrictReceiver;
use sluice_tests::wait::eventually;
use tempfile::TempDir;

/// Where the servers are.
pub(crate) const MON: &str = "mon";
/// So many probes in a row change a verdict, either way.
pub(crate) const PROBES: usize = 2;

/// An API server and a receiver.
pub(crate) struct World {
    pub(crate) api: FakeApi,
    pub(crate) receiver: StrictReceiver,
    pub(crate) serving: Serving,
    folder: TempDir,
}

impl World {
    pub(crate) async fn new() -> World {
        let api = FakeApi::start();
        let (receiver, serving) = tokio::join!(StrictReceiver::start(), api.serve());
        World { api, receiver, serving, folder: TempDir::new().expect("a temporary folder can be made") }
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        let file = self.folder.path().join("kubeconfig");
        std::fs::write(&file, self.serving.kubeconfig(None)).expect("the folder is writable");
        file
    }

    /// The program, told to look for what `blocks` say, with `more` in `discovery`.
    pub(crate) fn setup(&self, blocks: Value, more: Value) -> Setup {
        let health = json!({ "interval": "1s", "timeout": "2s", "failures": PROBES, "successes": PROBES });
        let discovery = json!({ "kubeconfig": self.kubeconfig(), "kubernetes": blocks, "health": health });
        Setup::new().setting("discovery", discovery).setting("discovery", more)
    }

    /// A resource that takes every `m_…` of the sources for `source`, and stamps `tenant`.
    pub(crate) fn resource(&self, source: &str) -> String {
        format!(
            r#"apiVersion: observability.ethos.io/v1alpha1
kind: MetricAccess
metadata: {{ name: {source}, namespace: team }}
spec:
  source: {source}
  metrics: ["m_.*"]
  remoteWrite:
    enabled: true
    interval: "1s"
    target: {{ type: remote_write }}
    remoteWrite: {{ url: "{}/{source}" }}
    extraLabels: {{ tenant: {source} }}
"#,
            self.receiver.url()
        )
    }

    /// Waits until a series with these labels, among others, arrives from now on.
    pub(crate) async fn receives(&self, labels: &[(&str, &str)]) {
        let before = self.newest(labels);
        eventually(&format!("the receiver gets {labels:?}"), async || {
            (self.newest(labels) > before).then_some(())
        })
        .await;
    }

    /// The series' newest sample's time.
    fn newest(&self, labels: &[(&str, &str)]) -> Option<i64> {
        let fits = |series: &LabelSet| labels.iter().all(|(name, value)| series.get(name) == *value);
        let samples = self.receiver.samples();
        samples.iter().filter(|(series, _)| fits(series)).filter_map(|(_, s)| Some(s.last()?.at)).max()
    }
}

/// A server as far as Sluice needs one: it says whether it is ready, and answers every query with one series.
pub(crate) struct Server {
    pub(crate) source: QuerySource,
    /// What it answers probes with, in turn; the last for ever. Statuses.
    answers: Arc<Answers>,
}

struct Answers {
    script: std::sync::Mutex<Vec<u16>>,
    given: AtomicUsize,
}

impl Server {
    /// One that has the series `name` with this value.
    pub(crate) async fn with(name: &str, value: u32) -> Server {
        let answers =
            Arc::new(Answers { script: std::sync::Mutex::new(vec![200]), given: AtomicUsize::new(0) });
        let (script, name) = (answers.clone(), name.to_owned());
        let source = QuerySource::start(move |call| match call.path.ends_with("/-/ready") {
            true => (script.next(), "as the script says".to_owned()),
            false => {
                // A probe's query has no time.
                let time = call.form.get("time").map_or("0", String::as_str);
                let metric = json!({ "__name__": name, "instance": "i" });
                vector(&format!(r#"{{"metric":{metric},"value":[{time},"{value}"]}}"#))
            }
        })
        .await;
        Server { source, answers }
    }

    pub(crate) fn port(&self) -> u16 {
        self.source.url().rsplit_once(':').expect("it has a port").1.parse().expect("a port is a number")
    }

    /// Answers the next probes with these statuses, and the last of them from then on.
    pub(crate) fn probes_are_answered(&self, statuses: &[u16]) {
        *self.answers.script.lock().expect("no holder panics") = statuses.to_vec();
        self.answers.given.store(0, Ordering::SeqCst);
    }

    /// How many probes were answered since that was last said.
    pub(crate) fn probes_answered(&self) -> usize {
        self.answers.given.load(Ordering::SeqCst)
    }

    /// How many queries of a tick it was asked.
    pub(crate) fn queries(&self) -> usize {
        self.source.calls().iter().filter(|call| call.form.contains_key("time")).count()
    }

    /// A pod that this server runs in, with `more` laid over it.
    pub(crate) fn pod(&self, api: &FakeApi, name: &str, more: Value) {
        let mut pod = json!({
            "kind": "Pod",
            "metadata": { "name": name, "namespace": MON, "labels": { "app": "prometheus" } },
            "spec": {
                "nodeName": "n1",
                "containers": [{ "name": "p", "image": "p", "ports": [{ "name": "web", "containerPort": self.port() }] }],
            },
            "status": {
                "phase": "Running", "podIP": "127.0.0.1", "conditions": [{ "type": "Ready", "status": "True" }],
            },
        });
        lay_over(&mut pod, more);
        api.create(pod);
    }
}

impl Answers {
    fn next(&self) -> StatusCode {
        let script = self.script.lock().expect("no holder panics");
        let at = self.given.fetch_add(1, Ordering::SeqCst).min(script.len() - 1);
        StatusCode::from_u16(script[at]).expect("a status")
    }
}

fn lay_over(base: &mut Value, more: Value) {
    match (base, more) {
        (Value::Object(base), Value::Object(more)) => {
            for (key, value) in more {
                lay_over(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (base, more) => *base = more,
    }
}

/// What `/debug/targets` says.
pub(crate) async fn report(sluice: &Sluice) -> Value {
    serde_json::from_str(sluice.debug("/debug/targets").await.text()).expect("the report is JSON")
}

/// The targets, by name.
pub(crate) async fn targets(sluice: &Sluice) -> BTreeMap<String, Value> {
    let report = report(sluice).await;
    let all = report["targets"].as_array().expect("targets are listed");
    all.iter().map(|target| (text(target, "name"), target.clone())).collect()
}

/// The problems, by place.
pub(crate) async fn problems(sluice: &Sluice) -> BTreeMap<String, String> {
    let report = report(sluice).await;
    let all = report["problems"].as_array().expect("problems are listed");
    all.iter().map(|problem| (text(problem, "place"), text(problem, "problem"))).collect()
}

pub(crate) fn text(of: &Value, field: &str) -> String {
    of[field].as_str().unwrap_or_default().to_owned()
}

/// Waits until a target has this health, and `words` in its last error; the target.
pub(crate) async fn shows(sluice: &Sluice, name: &str, health: &str, words: &str) -> Value {
    eventually(&format!("{name} is {health} with {words:?}"), async || {
        let target = targets(sluice).await.remove(name)?;
        (target["health"] == health && text(&target, "last_error").contains(words)).then_some(target)
    })
    .await
}
