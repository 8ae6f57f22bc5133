//! What probes and the cluster say of a source, and the verdict they come to.

use ::http::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

fn verdicts(outcomes: &str) -> String {
    let (config, mut seen) = (Config::default(), Seen::default());
    let one = |(at, outcome): (i64, char)| {
        match outcome {
            '+' => seen.answered(&config, Timestamp(at)),
            _ => seen.failed(&config, "refused".into(), Timestamp(at)),
        }
        match seen.state {
            State::Unknown => '?',
            State::Up => 'u',
            State::Down => 'd',
        }
    };
    (0..).zip(outcomes.chars()).map(one).collect()
}

#[test]
fn a_verdict_takes_three_failures_or_two_successes() {
    for (outcomes, states) in [
        ("+", "u"),
        ("--+", "??u"),
        ("---", "??d"),
        ("+--+--+---", "uuuuuuuuud"),
        ("---+-++", "??ddddu"),
        ("---++--", "??dduuu"),
    ] {
        assert_eq!(verdicts(outcomes), states, "{outcomes}");
    }
}

/// A server that answers `GET /-/ready` with one status, and queries with another.
async fn server(ready: u16, query: u16) -> Arc<Source> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = vec![0; 4096];
            let read = stream.read(&mut head).await.unwrap();
            let text = String::from_utf8_lossy(&head[..read]).into_owned();
            let (status, body) = match text.starts_with(Method::GET.as_str()) {
                true => (ready, "no such page"),
                false => (query, r#"{"status":"success","data":{}}"#),
            };
            assert!(
                text.starts_with("GET /prom/-/ready ") || text.starts_with("POST /prom/api/v1/query "),
                "{text}"
            );
            let length = body.len();
            let answer =
                format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    let plain = Source::plain("s", &format!("http://{address}/prom/"));
    Arc::new(Source { timeout: Duration::from_secs(1), ..plain })
}

#[tokio::test]
async fn a_server_without_readiness_is_asked_a_query_from_then_on() {
    let client = http::Client::new(&http::Config::default()).unwrap();
    let not_ready = "/-/ready is answered with HTTP status 503 Service Unavailable: no such page";
    for (ready, query, way, said) in [
        (200, 500, Way::Readiness, ""),
        (404, 200, Way::Query, ""),
        (302, 200, Way::Query, ""),
        (403, 200, Way::Query, ""),
        (503, 200, Way::Readiness, not_ready),
        (
            404,
            401,
            Way::Readiness,
            r#"/api/v1/query is answered with HTTP status 401 Unauthorized: {"status":"success","data":{}}"#,
        ),
    ] {
        let (source, mut used) = (server(ready, query).await, Way::Readiness);
        let result = probe::probe(&client, &source, Duration::from_secs(5), &mut used).await;
        let error = result.err().map(|error| error.to_string()).unwrap_or_default();
        assert_eq!((used, error.as_str()), (way, said), "{ready} {query}");
    }
}

#[test]
fn what_the_cluster_says_goes_before_what_a_probe_says() {
    let gone = || Presence::Gone("gone".into());
    let not_ready = || Presence::NotReady("not ready".into());
    for (presence, state, expected) in [
        (Presence::Ready, State::Unknown, Standing::Preferred),
        (Presence::Ready, State::Up, Standing::Preferred),
        (Presence::Ready, State::Down, Standing::LastResort),
        (not_ready(), State::Up, Standing::LastResort),
        (gone(), State::Up, Standing::Gone),
    ] {
        assert_eq!(standing(&presence, state), expected, "{presence:?} {state:?}");
    }
}
