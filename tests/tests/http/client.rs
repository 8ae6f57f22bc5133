//! Http: how the one client of sources and receivers uses its connections, over TLS and HTTP/2.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use http::{Request, Response, StatusCode, Version};
use http_body_util::Full;
use hyper::body::Incoming;
use sluice::http::{Client, Config, Error, Phase, Route, Timeouts};
use sluice::model::{
    Author, BasicAuth, Login, Receiver, ReceiverIdentity, ReceiverTls, RemoteWriteEndpoint, Secret, Verify,
};
use sluice_tests::secure::{Answer, Peer, Secure, status};
use sluice_tests::tls::{Authority, Certified};
use sluice_tests::wait::{PATIENCE, eventually};

const PATIENT: Timeouts = Timeouts { connect: PATIENCE, first_byte: PATIENCE, whole: PATIENCE };
const OPERATOR: Route = Route { author: Author::Operator, dial: None };
const H2: &[&str] = &["h2", "http/1.1"];

fn trusting(authority: &Authority) -> ReceiverTls {
    ReceiverTls {
        ca: Some(Secret::new(authority.pem())),
        identity: None,
        server_name: None,
        verify: Verify::Certificate,
    }
}

fn receiver(url: &str, login: Option<Login>) -> Receiver {
    RemoteWriteEndpoint { login, ..RemoteWriteEndpoint::plain(url.parse().unwrap(), Author::Operator) }
        .receiver()
}

fn plain(client: &Client, server: &Secure, authority: &Authority) -> Client {
    client.for_receiver(OPERATOR, receiver(&server.url(), None), Some(Arc::new(trusting(authority))))
}

fn client(age_max: Duration) -> Client {
    Client::new(&Config { age_max, ..Config::default() }).unwrap()
}

fn get(server: &Secure, path: &str) -> Request<Bytes> {
    Request::get(format!("{}{path}", server.url())).body(Bytes::new()).unwrap()
}

async fn text(client: &Client, request: Request<Bytes>) -> String {
    let body = client.send(request, &PATIENT).await.unwrap().read_to(1 << 10).await.unwrap();
    String::from_utf8(body.to_vec()).unwrap()
}

/// Over what it came.
async fn over(peer: Peer, request: Request<Incoming>) -> Answer {
    let authority = request.uri().authority().map_or("-", |authority| authority.as_str());
    let who = peer.certificate.map_or("nobody", |_| "somebody");
    Response::new(Full::from(format!("{} {:?} {authority} {who}", peer.connection, peer.version)))
}

#[tokio::test]
async fn http_2_is_spoken_where_it_is_offered_and_one_connection_serves_many() {
    let ours = Authority::new("ours");
    let own = ours.certify(&["127.0.0.1"]);
    let both = Secure::start(&own, None, H2, over).await;
    let old = Secure::start(&own, None, &["http/1.1"], over).await;
    let mute = Secure::start(&own, None, &[], over).await;
    let client = client(PATIENCE);
    let asker = plain(&client, &both, &ours);
    // The first one finds out what is spoken.
    let mut answers = vec![text(&asker, get(&both, "/")).await];
    answers.extend(join_all((0..30).map(|_| text(&asker, get(&both, "/")))).await);
    let expected = format!("0 HTTP/2.0 127.0.0.1:{} nobody", both.port());
    assert!(answers.iter().all(|answer| *answer == expected), "{answers:?}");
    assert_eq!(both.connections(), 1);
    for server in [&old, &mute] {
        assert_eq!(text(&plain(&client, server, &ours), get(server, "/")).await, "0 HTTP/1.1 - nobody");
    }
}

/// Counts those that are told to leave.
struct Leaving(Arc<AtomicUsize>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Never answers `/hang`, and counts who gave up waiting; answers anything else.
async fn hanging(ours: &Authority) -> (Secure, Arc<AtomicUsize>, Arc<AtomicUsize>) {
    let (came, left) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (coming, leaving) = (came.clone(), left.clone());
    let answer = move |peer: Peer, request: Request<Incoming>| {
        let (came, left) = (coming.clone(), leaving.clone());
        async move {
            if request.uri().path() == "/hang" {
                came.fetch_add(1, Ordering::SeqCst);
                let _leaving = Leaving(left);
                std::future::pending::<()>().await;
            }
            over(peer, request).await
        }
    };
    (Secure::start(&ours.certify(&["127.0.0.1"]), None, H2, answer).await, came, left)
}

#[tokio::test]
async fn a_request_that_is_dropped_ends_its_stream_and_no_other() {
    let ours = Authority::new("ours");
    let (server, came, left) = hanging(&ours).await;
    let asker = plain(&client(PATIENCE), &server, &ours);
    assert!(text(&asker, get(&server, "/")).await.starts_with("0 HTTP/2"));
    let beside = tokio::spawn({
        let (asker, request) = (asker.clone(), get(&server, "/hang"));
        async move { asker.send(request, &PATIENT).await.map(drop) }
    });
    eventually("one waits", async || (came.load(Ordering::SeqCst) == 1).then_some(())).await;
    let dropped = tokio::spawn({
        let (asker, request) = (asker.clone(), get(&server, "/hang"));
        async move { asker.send(request, &PATIENT).await.map(drop) }
    });
    eventually("two wait", async || (came.load(Ordering::SeqCst) == 2).then_some(())).await;
    dropped.abort();
    eventually("the server was told", async || (left.load(Ordering::SeqCst) == 1).then_some(())).await;
    assert!(text(&asker, get(&server, "/")).await.starts_with("0 HTTP/2"), "on the same connection");
    assert!(!beside.is_finished() && server.connections() == 1, "the other one still waits");
    beside.abort();
}

#[tokio::test]
async fn after_a_request_that_had_no_answer_in_time_another_connection_is_made() {
    let ours = Authority::new("ours");
    let (server, _, left) = hanging(&ours).await;
    let asker = plain(&client(PATIENCE), &server, &ours);
    assert!(text(&asker, get(&server, "/")).await.starts_with("0 HTTP/2"));
    let short = Timeouts { first_byte: Duration::from_millis(200), ..PATIENT };
    let error = asker.send(get(&server, "/hang"), &short).await.unwrap_err();
    assert!(matches!(error, Error::Timeout { phase: Phase::FirstByte, .. }), "{error:?}");
    // A connection that is dead would keep everything that comes after; only another one can tell.
    assert!(text(&asker, get(&server, "/")).await.starts_with("1 HTTP/2"));
    eventually("the stream was ended", async || (left.load(Ordering::SeqCst) == 1).then_some(())).await;
}

#[tokio::test]
async fn a_connection_of_age_finishes_what_is_under_way_and_takes_nothing_more() {
    let ours = Authority::new("ours");
    let go = Arc::new(tokio::sync::Notify::new());
    let (came, waiting) = (Arc::new(AtomicUsize::new(0)), go.clone());
    let coming = came.clone();
    let answer = move |peer: Peer, request: Request<Incoming>| {
        let (go, came) = (waiting.clone(), coming.clone());
        async move {
            if request.uri().path() == "/slow" {
                came.fetch_add(1, Ordering::SeqCst);
                go.notified().await;
            }
            over(peer, request).await
        }
    };
    let server = Secure::start(&ours.certify(&["127.0.0.1"]), None, H2, answer).await;
    let asker = plain(&client(Duration::ZERO), &server, &ours);
    let slow = tokio::spawn({
        let (asker, request) = (asker.clone(), get(&server, "/slow"));
        async move { text(&asker, request).await }
    });
    eventually("it is under way", async || (came.load(Ordering::SeqCst) == 1).then_some(())).await;
    assert!(
        text(&asker, get(&server, "/")).await.starts_with("0 HTTP/2"),
        "it is not known yet to be of age"
    );
    assert!(text(&asker, get(&server, "/")).await.starts_with("1 HTTP/2"));
    go.notify_one();
    assert!(slow.await.unwrap().starts_with("0 HTTP/2"));
}

#[tokio::test]
async fn a_refusal_that_comes_before_the_body_is_read_is_heard() {
    let ours = Authority::new("ours");
    let answer = |peer: Peer, request: Request<Incoming>| async move {
        match request.uri().path() {
            "/write" => status(StatusCode::PAYLOAD_TOO_LARGE),
            _ => over(peer, request).await,
        }
    };
    let server = Secure::start(&ours.certify(&["127.0.0.1"]), None, H2, answer).await;
    let asker = plain(&client(PATIENCE), &server, &ours);
    for _ in 0..3 {
        let post =
            Request::post(format!("{}/write", server.url())).body(Bytes::from(vec![7; 8 << 20])).unwrap();
        let answer = asker.send(post, &PATIENT).await.unwrap();
        assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
        answer.drain(1 << 10).await;
    }
    assert_eq!(
        text(&asker, get(&server, "/")).await,
        format!("0 {:?} 127.0.0.1:{} nobody", Version::HTTP_2, server.port())
    );
}

fn identity(who: &Certified) -> ReceiverIdentity {
    ReceiverIdentity {
        certificate: Secret::new(who.certificate.as_str()),
        key: Secret::new(who.key.as_str()),
    }
}

#[tokio::test]
async fn who_says_something_else_to_a_receiver_has_connections_of_its_own() {
    let ours = Authority::new("ours");
    let server = Secure::start(&ours.certify(&["127.0.0.1"]), None, H2, over).await;
    let guarded = Secure::start(&ours.certify(&["127.0.0.1"]), Some(&ours), H2, over).await;
    let client = client(PATIENCE);
    let tls = Arc::new(trusting(&ours));
    let basic = |password: &str| {
        Some(Login::Basic(BasicAuth { username: "team".into(), password: Secret::new(password) }))
    };
    let with = |login, tls: &Arc<ReceiverTls>| {
        client.for_receiver(OPERATOR, receiver(&server.url(), login), Some(tls.clone()))
    };
    let mut numbers = Vec::new();
    let askers = [
        with(None, &tls),
        with(basic("a"), &tls),
        with(basic("b"), &tls),
        with(Some(Login::Bearer(Secret::new("a"))), &tls),
        with(None, &Arc::new(ReceiverTls { verify: Verify::Nothing, ..trusting(&ours) })),
        // These say what others of the list say.
        with(basic("a"), &Arc::new(trusting(&ours))),
        with(None, &tls),
    ];
    for asker in &askers {
        numbers.push(text(asker, get(&server, "/")).await.split(' ').next().unwrap().to_owned());
    }
    assert_eq!(numbers, ["0", "1", "2", "3", "4", "1", "0"]);

    let us = Arc::new(ReceiverTls { identity: Some(identity(&ours.certify(&["us"]))), ..trusting(&ours) });
    let known = client.for_receiver(OPERATOR, receiver(&guarded.url(), None), Some(us));
    assert!(text(&known, get(&guarded, "/")).await.ends_with("somebody"));
    // A session that knows who we are is not gone on with by anybody else.
    let anonymous = plain(&client, &guarded, &ours).send(get(&guarded, "/"), &PATIENT).await.unwrap_err();
    assert!(matches!(anonymous, Error::Unidentified { .. }), "{anonymous:?}");
}

#[tokio::test]
async fn what_a_secret_holds_and_cannot_be_used_is_said_at_every_request() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let server = Secure::start(&ours.certify(&["127.0.0.1"]), None, H2, over).await;
    let broken = "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n";
    let (one, other) = (ours.certify(&["one"]), theirs.certify(&["other"]));
    let mixed = Certified { certificate: one.certificate.clone(), key: other.key };
    for (tls, field) in [
        (ReceiverTls { ca: Some(Secret::new(broken)), ..trusting(&ours) }, "tls.caSecret of the target"),
        (ReceiverTls { identity: Some(identity(&mixed)), ..trusting(&ours) }, "tls.keySecret of the target"),
    ] {
        let asker =
            client(PATIENCE).for_receiver(OPERATOR, receiver(&server.url(), None), Some(Arc::new(tls)));
        for _ in 0..2 {
            let error = asker.send(get(&server, "/"), &PATIENT).await.unwrap_err();
            let text = error.to_string();
            assert!(text.starts_with(field) && !text.contains("aGVsbG8") && !error.is_transient(), "{text}");
        }
    }
    assert_eq!(server.connections(), 0);
}
