//! Guests decide: with another component in the place of the built-in `patterns`, another set is delivered. There is no
//! native path around them.

use std::path::Path;
use std::time::Duration;

use sluice::app::App;
use sluice::config::Config;
use sluice::filter::{self, Builtins, Runtime, builtin};
use sluice::status::{Board, Snapshot};
use sluice_tests::guests;
use sluice_tests::query_source::{QuerySource, vector};
use sluice_tests::strict_receiver::StrictReceiver;
use sluice_tests::wait::eventually;
use tokio_util::sync::CancellationToken;

/// A component that was built from the same SDK and drops every series.
fn drop_everything() -> Vec<u8> {
    let [bytes] = guests::built(["test-filter-drop-everything"]);
    bytes
}

/// Runs the whole program on one tenant that may have everything, until three ticks were settled.
async fn run(patterns: Option<Vec<u8>>) -> (StrictReceiver, Snapshot) {
    let source = QuerySource::start(|call| {
        let at = call.form["time"].clone();
        let result = format!(r#"{{"metric":{{"__name__":"up","job":"a"}},"value":[{at},"1"]}}"#);
        vector(&result)
    })
    .await;
    let receiver = StrictReceiver::start().await;
    let folder = tempfile::tempdir().unwrap();
    let config = configuration(folder.path(), &source.url(), &receiver.url());
    let board = Board::new();
    let mut reports = board.reports();
    let runtime = move |compiler| match &patterns {
        None => Runtime::with(&filter::Config::default(), Builtins::embedded(), compiler),
        Some(bytes) => {
            let builtins = Builtins::embedded().with(builtin::PATTERNS, bytes.clone());
            Runtime::with(&filter::Config::default(), builtins, compiler)
        }
    };
    let app = App::build_with(config, board.clone(), runtime).await.unwrap();
    let stop = CancellationToken::new();
    let running = tokio::spawn(app.run(stop.clone()));
    for _ in 0..3 {
        tokio::time::timeout(Duration::from_secs(30), reports.recv())
            .await
            .expect("a tick is settled")
            .unwrap();
    }
    let snapshot = board.snapshot(std::time::SystemTime::now().into());
    stop.cancel();
    running.await.unwrap().unwrap();
    (receiver, snapshot)
}

fn configuration(folder: &Path, source: &str, receiver: &str) -> Config {
    let (tenants, secrets) = (folder.join("tenants"), folder.join("secrets"));
    std::fs::create_dir_all(&tenants).unwrap();
    std::fs::create_dir_all(&secrets).unwrap();
    let resource = format!(
        r#"
apiVersion: observability.ethos.io/v1alpha1
kind: MetricAccess
metadata: {{name: all, namespace: team}}
spec:
  source: team
  metrics: ["up"]
  remoteWrite:
    enabled: true
    interval: "1s"
    target: {{type: remote_write}}
    remoteWrite: {{url: "{receiver}"}}
"#
    );
    std::fs::write(tenants.join("all.yaml"), resource).unwrap();
    let text = format!(
        r#"
sources: [{{name: main, url: "{source}", lag: 0s}}]
tenants: {{folder: "{}"}}
secrets: {{folder: "{}"}}
limits: {{minInterval: 1s}}
listen: {{address: "127.0.0.1:0", debug: "127.0.0.1:0"}}
"#,
        tenants.display(),
        secrets.display()
    );
    let file = folder.join("sluice.yaml");
    std::fs::write(&file, text).unwrap();
    Config::load(&file).unwrap().0
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_filters_are_compiled_probes_are_answered() {
    let folder = tempfile::tempdir().unwrap();
    let config = configuration(folder.path(), "http://127.0.0.1:9", "http://127.0.0.1:9");
    let port = sluice_tests::servers::free_port();
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let config = Config { listen: sluice::config::Listen { address, debug: address }, ..config };
    // Compiling takes until we say so.
    let (done, compiled) = std::sync::mpsc::channel();
    let runtime = move |_| {
        compiled.recv().unwrap();
        Runtime::new(&filter::Config::default())
    };
    let board = Board::new();
    let building = tokio::spawn(App::build_with(config, board, runtime));
    let get = async |path: &str| sluice_tests::http::get(&format!("http://{address}{path}")).await.ok();
    let alive = eventually("it answers", async || get("/livez").await).await;
    assert_eq!(alive.status, 200);
    let ready = get("/readyz").await.unwrap();
    assert_eq!((ready.status.as_u16(), ready.text()), (503, "not ready: filters are being compiled\n"));
    done.send(()).unwrap();
    let app = building.await.unwrap().unwrap();
    assert_eq!(get("/readyz").await.unwrap().text(), "not ready: the resources are being read\n");
    drop(app);
    eventually("its listeners close", async || get("/livez").await.is_none().then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_built_in_filters_deliver_what_was_asked_for() {
    let (receiver, _) = run(None).await;
    let samples = eventually("samples arrive", async || Some(receiver.samples())).await;
    assert_eq!(samples.len(), 1, "{samples:?}");
    assert!(receiver.violations().is_empty(), "{:?}", receiver.violations());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_drops_everything_delivers_nothing() {
    let (receiver, snapshot) = run(Some(drop_everything())).await;
    let collected = snapshot.tenants[0].lanes[0].collected.expect("the ticks were collected");
    assert_eq!((collected.selected, collected.kept, collected.dropped), (1, 0, 1));
    assert!(receiver.samples().is_empty(), "{:?}", receiver.samples());
    assert!(receiver.seen().is_empty(), "no request at all");
}
