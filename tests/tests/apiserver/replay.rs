//! Replay: one recording, exchange by exchange, at the recorded times.
//!
//! In: a file of exchanges. Out: a failure that lists every difference. Never: an exchange left out without a reason.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use futures::StreamExt as _;
use http::{Request, Response};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sluice_tests::apiserver::FakeApi;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::binding::Bindings;

/// Where every recording starts.
const START: &str = "2026-01-01T00:00:00Z";

const ADMINISTRATOR: &str = "administrator-token";
const ACCOUNT: &str = "account-token";

/// An exchange that is not replayed, and why.
pub(crate) struct Skip(pub(crate) usize, pub(crate) &'static str);

/// A recording.
pub(crate) struct Recording {
    name: &'static str,
    exchanges: Vec<Value>,
    /// Recorded times are whole seconds; this far into the first one the recording began.
    fraction_ms: u64,
    compacted_before: Option<usize>,
}

/// A watch that is open, and the lines it brought so far.
struct OpenWatch {
    exchange: usize,
    lines: Arc<Mutex<Vec<Value>>>,
    /// Whether the server ended it.
    task: JoinHandle<bool>,
}

impl Recording {
    /// Reads `fixtures/apiserver/NAME.json`.
    pub(crate) fn named(name: &'static str, fraction_ms: u64) -> Recording {
        let mut recording = fixture(&format!("{name}.json"));
        let exchanges = recording["exchanges"].take();
        let exchanges = exchanges.as_array().expect("a recording has exchanges").clone();
        Recording { name, exchanges, fraction_ms, compacted_before: None }
    }

    /// The recorded server's store was compacted before this exchange.
    pub(crate) fn compacted_before(mut self, exchange: usize) -> Recording {
        self.compacted_before = Some(exchange);
        self
    }

    /// Drives every exchange through a fake; panics with every difference.
    #[expect(clippy::print_stdout, reason = "a test says what it did and what it left out")]
    pub(crate) async fn replay(self, skips: &[Skip]) {
        let api = server();
        let start = Instant::now();
        let mut bindings = Bindings::default();
        let mut differences = Vec::new();
        let mut watches = Vec::new();
        for (index, exchange) in self.exchanges.iter().enumerate() {
            if skips.iter().any(|Skip(skipped, _)| *skipped == index) {
                continue;
            }
            let at = Duration::from_millis(exchange["at_ms"].as_u64().expect("a time"));
            tokio::time::sleep_until(start + at).await;
            let into =
                SignedDuration::try_from(at + Duration::from_millis(self.fraction_ms)).expect("a short time");
            api.set_clock(START.parse::<Timestamp>().expect("a time") + into);
            if self.compacted_before == Some(index) {
                api.compact_storage();
            }
            let request = request(exchange, &bindings);
            let response = api.answer(request).await.expect("no fault was scripted");
            let found = head(exchange, &response);
            differences.extend(found.into_iter().map(|difference| format!("#{index} {difference}")));
            if exchange["response"]["stream"].is_array() {
                watches.push(open(index, exchange, response));
                continue;
            }
            let found = body(exchange, response, &mut bindings).await;
            differences.extend(found.into_iter().map(|difference| format!("#{index} {difference}")));
        }
        for watch in watches {
            let exchange = &self.exchanges[watch.exchange];
            let index = watch.exchange;
            let found = watch.finish(exchange, &mut bindings).await;
            differences.extend(found.into_iter().map(|difference| format!("#{index} {difference}")));
        }
        let (all, skipped) = (self.exchanges.len(), skips.len());
        println!("{}: {} of {all} exchanges replayed, {skipped} skipped", self.name, all - skipped);
        for Skip(index, reason) in skips {
            println!("  skipped #{index}: {reason}");
        }
        assert!(differences.is_empty(), "{}:\n{}", self.name, differences.join("\n"));
    }
}

/// A server as the recorded one was: the definition installed, RBAC on.
fn server() -> FakeApi {
    let api = FakeApi::bare();
    api.advance(200);
    api.create(fixture("crd.json"));
    for name in ["default", "kube-system"] {
        api.create(json!({"kind": "Namespace", "metadata": {"name": name}}));
    }
    let rules = json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]);
    api.create(json!({"kind": "ClusterRole", "metadata": {"name": "all"}, "rules": rules}));
    api.create(json!({
        "kind": "ClusterRoleBinding", "metadata": {"name": "all"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "all"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "administrator"}],
    }));
    api.user(ADMINISTRATOR, "administrator");
    api.user(ACCOUNT, "system:serviceaccount:monitoring:proxy");
    api.forbid_anonymous();
    api
}

fn fixture(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/apiserver").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).expect("a fixture is JSON")
}

fn request(exchange: &Value, bindings: &Bindings) -> Request<Body> {
    let recorded = &exchange["request"];
    let path = recorded["path"].as_str().expect("a path");
    let mut request = Request::builder()
        .method(recorded["method"].as_str().expect("a method"))
        .uri(uri(path, bindings))
        .header("user-agent", "recorder/1.0");
    for (name, value) in recorded["headers"].as_object().into_iter().flatten() {
        request = request.header(name, value.as_str().expect("a header is text"));
    }
    let token = match recorded["user"].as_str() {
        None => Some(ADMINISTRATOR),
        Some("(no Authorization header)") => None,
        Some("(unknown bearer token)") => Some("nobody's"),
        Some(_) => Some(ACCOUNT),
    };
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    request.body(Body::from(sent(recorded, bindings))).expect("a recorded request is well formed")
}

/// The path with this run's names, versions and tokens.
fn uri(path: &str, bindings: &Bindings) -> String {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let query: Vec<String> = query
        .split('&')
        .map(|pair| match pair.split_once('=') {
            Some(("resourceVersion", version)) => format!("resourceVersion={}", bindings.version_of(version)),
            _ => bindings.translate(pair),
        })
        .collect();
    format!("{}?{}", bindings.translate(path), query.join("&"))
}

fn sent(recorded: &Value, bindings: &Bindings) -> String {
    if let Some(text) = recorded["body_text"].as_str() {
        return text.to_owned();
    }
    if let Some(words) = recorded["body_generated"].as_str() {
        return generated(words);
    }
    recorded.get("body").map(|body| bindings.body(body).to_string()).unwrap_or_default()
}

/// The large bodies that a recording gives in words.
fn generated(words: &str) -> String {
    let kib = [("3.2 MiB", 3277), ("1200 KiB", 1200), ("300 KiB", 300)];
    let kib = kib.iter().find(|(size, _)| words.contains(size)).expect("a size that is known").1;
    let large = "x".repeat(kib * 1024);
    let object = if words.starts_with("ConfigMap") {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "big"}, "data": {"k": large}})
    } else {
        json!({
            "apiVersion": "observability.ethos.io/v1alpha1", "kind": "MetricAccess",
            "metadata": {"name": "big", "annotations": {"a": large}}, "spec": {"source": "a", "metrics": ["up"]},
        })
    };
    object.to_string()
}

/// The status, and the headers that mean something.
fn head(exchange: &Value, response: &Response<Body>) -> Vec<String> {
    let recorded = &exchange["response"];
    let mut out = Vec::new();
    if recorded["status"] != response.status().as_u16() {
        out.push(format!("status {}, recorded as {}", response.status().as_u16(), recorded["status"]));
    }
    for name in ["content-type", "warning", "retry-after"] {
        let expected: Vec<&str> = match &recorded["headers"][name] {
            Value::String(one) => vec![one],
            Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let found: Vec<&str> =
            response.headers().get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
        if expected != found {
            out.push(format!("header {name}: {found:?}, recorded as {expected:?}"));
        }
    }
    out
}

async fn body(exchange: &Value, response: Response<Body>, bindings: &mut Bindings) -> Vec<String> {
    let recorded = &exchange["response"];
    let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.expect("a whole body");
    if exchange["request"]["method"] == "HEAD" {
        return Vec::new();
    }
    if let Some(text) = recorded["body_text"].as_str() {
        let found = String::from_utf8_lossy(&bytes);
        return if found == text { Vec::new() } else { vec![format!("{found:?}, recorded as {text:?}")] };
    }
    let found: Value = serde_json::from_slice(&bytes).expect("the fake answers JSON");
    bindings.differences(&recorded["body"], &found, "")
}

/// Reads a watch in the background, until it ends or its client would close it.
fn open(exchange: usize, recorded: &Value, response: Response<Body>) -> OpenWatch {
    let lines = Arc::new(Mutex::new(Vec::new()));
    // A server that ends a watch does so when it says; the margin tells an end from a close.
    let margin = if recorded["response"]["ended_by"] == "server" { 50 } else { 0 };
    let span = recorded["response"]["ended_after_ms"].as_u64().expect("a watch ends") + margin;
    let ends_at = Instant::now() + Duration::from_millis(span);
    let into = Arc::clone(&lines);
    let task = tokio::spawn(async move {
        let mut chunks = response.into_body().into_data_stream();
        let read = async {
            while let Some(Ok(chunk)) = chunks.next().await {
                let line = serde_json::from_slice(&chunk).expect("a line is JSON");
                into.lock().expect("nobody panics with it").push(line);
            }
        };
        tokio::time::timeout_at(ends_at, read).await.is_ok()
    });
    OpenWatch { exchange, lines, task }
}

impl OpenWatch {
    /// Waits for the end; where the lines are not those recorded.
    async fn finish(self, exchange: &Value, bindings: &mut Bindings) -> Vec<String> {
        let is_over = self.task.await.expect("the reader does not panic");
        let found = self.lines.lock().expect("nobody panics with it").clone();
        let recorded: Vec<Value> = exchange["response"]["stream"]
            .as_array()
            .expect("a watch has lines")
            .iter()
            .map(|line| line["line"].clone())
            .collect();
        let (expected_marks, expected) = split(recorded);
        let (found_marks, found) = split(found);
        let mut out = Vec::new();
        if (exchange["response"]["ended_by"] == "server") != is_over {
            out.push(format!("ended: {is_over}, recorded as ended by {}", exchange["response"]["ended_by"]));
        }
        // How many bookmarks come is the server's choice; whether any do is not.
        if expected_marks.is_empty() != found_marks.is_empty() {
            out.push(format!("{} bookmarks, recorded: {}", found_marks.len(), expected_marks.len()));
        }
        if expected.len() != found.len() {
            let types =
                |lines: &[Value]| lines.iter().map(|line| line["type"].to_string()).collect::<Vec<_>>();
            out.push(format!("lines {:?}, recorded: {:?}", types(&found), types(&expected)));
            return out;
        }
        for (index, (a, b)) in expected.iter().zip(&found).enumerate() {
            out.extend(bindings.differences(a, b, &format!("line {index}")));
        }
        if let ([a, ..], [b, ..]) = (expected_marks.as_slice(), found_marks.as_slice()) {
            let shape = |mark: &Value| {
                let mut mark = mark.clone();
                mark["object"]["metadata"]["resourceVersion"] = "".into();
                mark
            };
            out.extend(bindings.differences(&shape(a), &shape(b), "bookmark"));
        }
        out
    }
}

/// Bookmarks that only tell the version, and everything else.
fn split(lines: Vec<Value>) -> (Vec<Value>, Vec<Value>) {
    let is_mark =
        |line: &Value| line["type"] == "BOOKMARK" && line["object"]["metadata"]["annotations"].is_null();
    lines.into_iter().partition(is_mark)
}
