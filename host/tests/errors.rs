//! The rule for errors, held by examples of every room: an error's own text is the whole story, each cause in it is said
//! once, and whoever prints the causes behind it says nothing twice. (`model/cause.rs` has the rule.)

#![allow(missing_docs)]

use std::error::Error;
use std::fmt;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use sluice::model::{SourceName, chain};
use sluice::{app, collect, deliver, filter, http, modules, serve, tenancy};

/// A cause that errors hold by its number and its words, which nothing else says.
const DENIED: &str = "Permission denied (os error 13)";

fn denied() -> io::Error {
    io::Error::from_raw_os_error(13)
}

/// A client's layer, as foreign errors have: it names itself and leaves why to its source.
#[derive(Debug)]
struct Layer(io::Error);

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("client error (Connect)")
    }
}

impl Error for Layer {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

fn kube() -> kube::Error {
    kube::Error::Service(Box::new(Layer(denied())))
}

/// Says what is wrong with how `error` is told, if anything is.
fn faults(error: &(dyn Error + 'static), cause: &str) -> Vec<String> {
    let text = error.to_string();
    let mut faults = Vec::new();
    if text.matches(cause).count() != 1 {
        faults.push(format!("{cause:?} is not said once: {text}"));
    }
    if chain(error) != text {
        faults.push(format!("with its causes it says something else: {}", chain(error)));
    }
    if text.contains('\n') {
        faults.push(format!("it is more than one line: {text}"));
    }
    faults
}

fn check(errors: impl IntoIterator<Item = Box<dyn Error>>, cause: &str) {
    let all: Vec<_> = errors.into_iter().flat_map(|error| faults(&*error, cause)).collect();
    assert!(all.is_empty(), "{}", all.join("\n"));
}

#[test]
fn errors_of_every_room_say_what_the_system_said_once() {
    let source = denied;
    let broken = || http::Error::Broken { address: "http://a:1".into(), source: denied().into() };
    let failed = || deliver::Error::Http(broken());
    let kubeconfig = || kube::config::KubeconfigError::ReadConfig(denied(), "/k".into());
    let (path, folder) = (|| "/k".into(), "/t".into());
    check(
        [
            Box::new(serve::Error::Bind {
                address: ([127, 0, 0, 1], 80).into(),
                debug: true,
                source: source(),
            }) as Box<dyn Error>,
            Box::new(broken()),
            Box::new(failed()),
            Box::new(deliver::Error::Stopped(failed().into())),
            Box::new(deliver::Error::GaveUp { attempts: 3, source: failed().into() }),
            Box::new(deliver::Error::State { path: path(), source: source() }),
            Box::new(collect::Error {
                server: SourceName::new("a"),
                cause: Arc::new(collect::Cause::Unreachable(broken())),
            }),
            Box::new(filter::Error::Engine(wasmtime::Error::from(denied()).context("no memory"))),
            Box::new(modules::Error::File { path: "m.wasm".into(), source: source() }),
            Box::new(modules::Error::Http(broken())),
            Box::new(modules::Error::Setup(broken())),
            Box::new(tenancy::files::Error::Folder { folder, source: source() }),
            Box::new(tenancy::ownership::Error::Renew { lease: "l".into(), source: kube() }),
            Box::new(tenancy::ownership::Error::Forbidden {
                lease: "l".into(),
                namespace: "n".into(),
                source: kube(),
            }),
            Box::new(app::api::Error::Client(kube())),
            Box::new(app::api::Error::Kubeconfig { file: path(), source: kubeconfig() }),
        ],
        DENIED,
    );
}

#[test]
fn errors_that_hold_another_of_ours_say_it_once() {
    let cause = filter::Nonsense::EmptyValue("zone".into());
    let text = cause.to_string();
    let nonsense = filter::Error::Nonsense { filter: "f".into(), cause };
    check([Box::new(nonsense) as Box<dyn Error>], &text);
    let header = deliver::Error::Header { name: "x".into(), cause: "this is no header name" };
    check([Box::new(sluice::pipeline::Error::Deliver(header)) as Box<dyn Error>], "this is no header name");
}

/// The chain of a real client, with all of its layers.
#[tokio::test]
async fn a_refused_connection_is_said_once() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let client = http::Client::new(&http::Config::default()).unwrap();
    let short = Duration::from_secs(5);
    let timeouts = http::Timeouts { connect: short, first_byte: short, whole: short };
    let request = ::http::Request::get(format!("http://{free}/")).body(bytes::Bytes::new()).unwrap();
    let error = client.send(request, &timeouts).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("cannot connect to http://{free}: Connection refused (os error 111)")
    );
    check([Box::new(error) as Box<dyn Error>], "Connection refused (os error 111)");
}

#[test]
fn what_is_said_twice_or_not_at_all_is_noticed() {
    assert_eq!(faults(&denied(), DENIED), [""; 0]);
    assert_eq!(faults(&Layer(denied()), DENIED).len(), 2, "it does not say why");
    let twice = io::Error::other(format!("{DENIED}: {DENIED}"));
    assert_eq!(faults(&twice, DENIED).len(), 1);
}
