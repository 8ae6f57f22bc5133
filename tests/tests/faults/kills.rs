//! The program itself is ended in the middle of its work.

use std::time::Duration;

use rand::{Rng as _, SeedableRng as _};

use super::scene::{Account, INTERVAL_MS, Scene, seconds};

/// How long a cursor may be unsaved: what `state.file` promises.
const SAVED_WITHIN_MS: i64 = 1000;

pub(crate) async fn it_is_killed_again_and_again() -> Account {
    let seed = rand::random();
    eprintln!("kills: seed {seed}");
    let mut chance = rand::rngs::StdRng::seed_from_u64(seed);
    let mut scene = Scene::set().await;
    let times = seconds();
    for _ in 0..times {
        // Before it is up, in the middle of a tick, and between two.
        tokio::time::sleep(Duration::from_millis(chance.random_range(0..2_500))).await;
        scene.sluice.kill();
        scene.sluice.restart().await;
    }
    let mut account = scene.settle().await;
    // Those since the cursor was saved, and the one that was being sent.
    account.doubtful += (SAVED_WITHIN_MS / INTERVAL_MS + 1) as usize * times as usize;
    account
}
