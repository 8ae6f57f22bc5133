//! Paths, renamed labels, and the conversation with a server that refuses a group for a name's type.

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::http::{HeaderMap, Method, StatusCode, Uri};

use super::*;
use crate::http;
use crate::model::{Author, HonorLabels, PushgatewayGroup, Stamps};

fn stamped(pairs: &[(&str, &str)]) -> Stamped {
    let stamps = Stamps { labels: Labels::default(), honor: HonorLabels::Stamp, protected: Vec::new() };
    Stamped::vouch(Labels::from_pairs(pairs.iter().copied()).unwrap(), &stamps).unwrap()
}

fn renamed(pairs: &[(&str, &str)]) -> String {
    for_group(&stamped(pairs)).labels().to_string()
}

fn path(base: &str, job: &str) -> String {
    group_url(&base.parse().unwrap(), job).path().to_owned()
}

async fn serve(router: Router) -> Pushgateway {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    let group = PushgatewayGroup { service: "s".into(), port: 1, job: "j".into() };
    let endpoint = PushgatewayEndpoint { url, author: Author::Operator, dial: None, group };
    Pushgateway::new(
        Client::new(&http::Config::default()).unwrap(),
        &endpoint,
        usize::MAX,
        Timeouts::default(),
    )
    .unwrap()
}

#[test]
fn the_sources_job_is_kept_under_a_name_that_is_free() {
    assert_eq!(renamed(&[("__name__", "up"), ("job", "a")]), r#"up{exported_job="a"}"#);
    assert_eq!(renamed(&[("__name__", "up"), ("instance", "i")]), r#"up{instance="i"}"#);
    assert_eq!(
        renamed(&[("__name__", "up"), ("job", "a"), ("exported_job", "b"), ("exported_exported_job", "c")]),
        r#"up{exported_exported_exported_job="a",exported_exported_job="c",exported_job="b"}"#
    );
}

#[test]
fn any_job_has_a_path() {
    assert_eq!(path("http://p:9091", "remote-write-metrics"), "/metrics/job/remote-write-metrics");
    assert_eq!(path("http://p:9091/prefix/", "a b%?#\u{fc}"), "/prefix/metrics/job/a%20b%25%3F%23%C3%BC");
    assert_eq!(path("http://p:9091", "a/b"), "/metrics/job@base64/YS9i");
    assert_eq!(path("http://p:9091", ".."), "/metrics/job@base64/Li4");
}

#[tokio::test]
async fn a_group_is_put_and_deleted() {
    let gateway = serve(Router::new().fallback(
        |method: Method, uri: Uri, headers: HeaderMap, body: String| async move {
            assert_eq!(uri.path(), "/metrics/job/j");
            match method {
                Method::PUT => {
                    assert_eq!(headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
                    assert_eq!(body, "up 1\n");
                    StatusCode::OK
                }
                Method::DELETE => StatusCode::ACCEPTED,
                _ => StatusCode::METHOD_NOT_ALLOWED,
            }
        },
    ))
    .await;
    let row = for_group(&stamped(&[("__name__", "up")]));
    let replaced = gateway.replace(&[(&row, 1.0)]).await.unwrap();
    assert_eq!((replaced.status.as_u16(), replaced.group.series), (200, 1));
    assert_eq!(gateway.delete().await.unwrap().status, 202);
}

#[tokio::test]
async fn a_refused_group_is_written_again_with_the_servers_declarations() {
    let puts = Arc::new(AtomicUsize::new(0));
    let count = puts.clone();
    let gateway = serve(Router::new().fallback(move |method: Method, body: String| async move {
        match method {
            Method::GET => {
                (StatusCode::OK, "# HELP go_threads Threads.\n# TYPE go_threads gauge\ngo_threads 8\n")
            }
            _ if count.fetch_add(1, Ordering::SeqCst) == 0 => (StatusCode::BAD_REQUEST, "should have GAUGE"),
            _ if body == "# HELP go_threads Threads.\n# TYPE go_threads gauge\ngo_threads 1\n" => {
                (StatusCode::OK, "")
            }
            _ => (StatusCode::BAD_REQUEST, "something else"),
        }
    }))
    .await;
    let row = for_group(&stamped(&[("__name__", "go_threads")]));
    for tick in 1..=3 {
        gateway.replace(&[(&row, 1.0)]).await.unwrap();
        assert_eq!(puts.load(Ordering::SeqCst), tick + 1, "what was learned is kept");
    }
    // Nothing new to learn: the refusal stands, and the group was not sent a second time.
    let other = for_group(&stamped(&[("__name__", "other")]));
    let refused = gateway.replace(&[(&other, 1.0)]).await.unwrap_err();
    assert_eq!(refused.to_string(), "the receiver refused the request with 400 Bad Request: something else");
    assert_eq!(puts.load(Ordering::SeqCst), 5);
}
