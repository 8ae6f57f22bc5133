//! Two sources that have the same.

use sluice_tests::exposition::Motion;
use sluice_tests::faulty::{Fault, Shift};
use sluice_tests::series::series;
use sluice_tests::servers::Setup;

use super::scene::{Account, Scene, Sources};

/// How far it is behind.
const BEHIND_MS: i64 = 3_000;

/// The one that is preferred. What is new comes from the other one and stays its, what it is late with stays its own: no series
/// goes back and forth, none ends because only one of them has it still.
pub(crate) async fn one_of_two_replicas_lags() -> Account {
    let mut scene = Scene::with(Setup::new(), Sources::Replicas).await;
    scene.steadily().await;
    scene.source.set(Fault::Shifted(Shift::Behind(BEHIND_MS)));
    scene.arrive(2).await;
    let target = &scene.source.target;
    target.set(series("newcomer", [("job", "crowd")]), Motion::Counter { start: 0.0, step: 1.0 });
    target.remove(&series("crowd", [("n", "7"), ("job", "crowd")]));
    scene.last().await;
    scene.source.set(Fault::None);
    scene.settle().await
}
