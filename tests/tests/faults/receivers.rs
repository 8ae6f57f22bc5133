//! Receivers that are away, slow, or say what is not so.

use http::StatusCode;
use serde_json::json;
use sluice_tests::faulty::{Fault, Patience};
use sluice_tests::relay::{Line, Side};
use sluice_tests::servers::{Setup, free_port};
use sluice_tests::wait::within;

use super::scene::{self, Account, Scene, Sources, resource, seconds};

pub(crate) async fn the_receiver_is_down() -> Account {
    let mut scene = Scene::set().await;
    scene.steadily().await;
    scene.receiver.kill();
    scene.last().await;
    scene.receiver.restart().await;
    scene.settle().await
}

pub(crate) async fn the_receiver_answers_500() -> Account {
    answering(Fault::Answer(StatusCode::INTERNAL_SERVER_ERROR, Patience::Unsaid)).await
}

pub(crate) async fn the_receiver_asks_for_patience_in_seconds() -> Account {
    answering(Fault::Answer(StatusCode::TOO_MANY_REQUESTS, Patience::Seconds(2))).await
}

pub(crate) async fn the_receiver_asks_for_patience_with_a_date() -> Account {
    answering(Fault::Answer(StatusCode::TOO_MANY_REQUESTS, Patience::Until(2))).await
}

pub(crate) async fn the_receiver_takes_it_and_says_503() -> Account {
    answering(Fault::Forgets(StatusCode::SERVICE_UNAVAILABLE)).await
}

pub(crate) async fn the_receiver_reads_slowly() -> Account {
    answering(Fault::Late(std::time::Duration::from_millis(1_500))).await
}

async fn answering(fault: Fault) -> Account {
    let set = |scene: &Scene, fault: &Fault| scene.receiver_front.set(fault.clone());
    Scene::suffers(|scene| set(scene, &fault), |scene| set(scene, &Fault::None)).await
}

pub(crate) async fn the_line_to_the_receiver_breaks_in_the_middle_of_a_request() -> Account {
    // Behind the head of a request, before its end.
    let torn = Line::Torn(Side::Client, 2_000);
    Scene::suffers(|scene| scene.receiver_line.set(torn), |scene| scene.receiver_line.set(Line::Open)).await
}

/// It ends in time, with its cursors saved, and goes on from there.
pub(crate) async fn it_is_stopped_while_the_receiver_is_away() -> Account {
    let mut scene = Scene::set().await;
    scene.receiver_front.set(Fault::Answer(StatusCode::SERVICE_UNAVAILABLE, Patience::Unsaid));
    scene.last().await;
    assert!(scene.sluice.stop().await.success());
    scene.last().await;
    scene.sluice.restart().await;
    scene.last().await;
    scene.receiver_front.set(Fault::None);
    scene.settle().await
}

/// Resources whose endpoint answers nothing.
const DEAD: u64 = 25;

/// As many as a fault has seconds, times [`DEAD`], and a thousand at most: nobody else is later for it.
pub(crate) async fn many_wait_for_an_endpoint_that_is_dead() -> Account {
    let dead = format!("http://127.0.0.1:{}", free_port());
    let more = |setup: Setup, n: u64| {
        let namespace = format!("dead-{n}");
        let mut resource = resource(&namespace, &dead);
        // Each has something to say: of series that are alike the oldest resource's are sent.
        resource["spec"]["remoteWrite"]["extraLabels"] = json!({ "of": namespace });
        setup.resource(&format!("{namespace}.yaml"), &resource.to_string())
    };
    let count = (DEAD * seconds()).min(1_000);
    let setup = (0..count).fold(Setup::new(), more);
    let mut scene = Scene::with(setup, Sources::One).await;
    // It is steady when all of them wait.
    within(scene::PATIENCE, "all have tried", async || {
        let metrics = scene.sluice.get("/metrics").await;
        let is_tried = |line: &&str| {
            line.starts_with(r#"remote_write_requests_total{tenant="dead-"#)
                && line.contains(r#"status="error""#)
                && !line.ends_with(" 0")
        };
        let waiting = metrics.text().lines().filter(is_tried).count();
        (waiting as u64 >= count).then_some(())
    })
    .await;
    scene.warm_up().await;
    // What all of them have to say takes memory as well, and is asked for later, too.
    let before = scene.steadily_asked(Scene::not_on_time).await;
    scene.arrive(seconds() as usize).await;
    let late = scene.not_on_time().await - before;
    let mut account = scene.settle().await;
    account.late = Some(late);
    account
}
