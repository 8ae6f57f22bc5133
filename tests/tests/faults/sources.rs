//! Sources that are away, slow, or answer with what is no answer.

use std::time::Duration;

use sluice_tests::faulty::Fault;
use sluice_tests::relay::{Line, Side};
use sluice_tests::servers::Setup;
use sluice_tests::wait::within;

use super::scene::{Account, Scene, Sources, seconds};
use super::source::{Plan, Source};

pub(crate) async fn the_source_is_down() -> Account {
    let mut scene = Scene::set().await;
    scene.steadily().await;
    scene.source.server.kill();
    scene.last().await;
    scene.source.server.restart().await;
    scene.settle().await
}

/// Beyond its timeout, so that each tick is asked for again.
pub(crate) async fn the_source_is_slow() -> Account {
    answering_late(Duration::from_secs(4)).await
}

/// Within its timeout: each tick comes, later than the next one is due. None is skipped, and none piles up.
pub(crate) async fn a_tick_takes_longer_than_its_interval() -> Account {
    answering_late(Duration::from_millis(1_500)).await
}

async fn answering_late(by: Duration) -> Account {
    let set = |scene: &Scene, fault| scene.source.front.set(fault);
    Scene::suffers(|scene| set(scene, Fault::Late(by)), |scene| set(scene, Fault::None)).await
}

pub(crate) async fn answers_of_the_source_break_off() -> Account {
    let torn = Line::Torn(Side::Server, 20_000);
    Scene::suffers(|scene| scene.source.line.set(torn), |scene| scene.source.line.set(Line::Open)).await
}

pub(crate) async fn the_source_answers_nonsense() -> Account {
    let mut scene = Scene::set().await;
    scene.steadily().await;
    let nonsense = [
        r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"up"#,
        r#"{"status":"success","data":{"resultType":"vector","result":[]},"warnings":["some of it"]}"#,
        r#"{"status":"success","data":{"resultType":"vector","result":[]},"isPartial":true}"#,
        r#"{"status":"success","data":{"resultType":"scalar","result":[1,"1"]}}"#,
        "<html>welcome</html>",
        "",
    ];
    for text in nonsense {
        scene.source.front.set(Fault::Says(text));
        tokio::time::sleep(Duration::from_secs(seconds().div_ceil(nonsense.len() as u64))).await;
    }
    scene.source.front.set(Fault::None);
    scene.settle().await
}

pub(crate) async fn the_source_flaps() -> Account {
    let mut scene = Scene::set().await;
    scene.steadily().await;
    for n in 0..seconds() {
        scene.source.line.set(if n % 2 == 0 { Line::Cut } else { Line::Open });
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    scene.source.line.set(Line::Open);
    scene.settle().await
}

/// What the other one has goes on meanwhile, on time, and what is missing has not ended.
pub(crate) async fn one_of_two_sources_is_down() -> Account {
    let mut scene = Scene::with(Setup::new(), Sources::Two).await;
    scene.steadily().await;
    let other = scene.other.as_ref().expect("there are two");
    other.line.set(Line::Cut);
    scene.arrive(seconds() as usize).await;
    other.line.set(Line::Open);
    scene.settle().await
}

/// Larger than what is read of one answer, `collect::BODY_BYTES_MAX`.
const FLOOD_BYTES: u64 = (1 << 30) + (1 << 20);

/// Each is read to the bound and no further, and takes no memory; the ticks are asked for again.
pub(crate) async fn an_answer_is_larger_than_is_read() -> Account {
    let facts = serde_json::json!({ "timeout": "60s" });
    let plan = Plan { facts, ..Plan::default() };
    let mut scene = Scene::around(Source::planned("a", plan).await).await;
    scene.steadily().await;
    scene.source.set(Fault::Floods(FLOOD_BYTES));
    let said = |log: &str| log.matches("an answer of more than").count();
    within(FLOODED_WITHIN, "an answer is too large", async || (said(&scene.sluice.log()) > 0).then_some(()))
        .await;
    scene.last().await;
    scene.source.set(Fault::None);
    scene.settle().await
}

/// How long it may take until so much was read. It bounds a hang.
const FLOODED_WITHIN: Duration = Duration::from_secs(120);

/// What it had of the ticks that were not asked for yet is lost and counted; what was there has not ended for that.
pub(crate) async fn the_source_forgets_everything() -> Account {
    let mut scene = Scene::set().await;
    scene.steadily().await;
    scene.source.line.set(Line::Cut);
    // The tick under way has arrived, or will not.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let ticks = scene.ticks().await;
    scene.source.forgets(&ticks).await;
    scene.last().await;
    scene.source.server.restart().await;
    scene.source.line.set(Line::Open);
    scene.settle().await
}
