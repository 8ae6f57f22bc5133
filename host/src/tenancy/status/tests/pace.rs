//! When a status is written, how often, and what becomes of a write that fails.

use std::collections::BTreeMap;

use proptest::prelude::*;
use tokio::time::Instant;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::*;
use crate::model::TenantId;
use crate::tenancy::status::SeriesStatus;
use crate::tenancy::status::pace::{COUNTS_EVERY, COUNTS_PER_SECOND, DEBOUNCE, Outcome, Pace, Write};
use crate::tenancy::status::render::time;
use crate::tenancy::status::types::{ErrorStatus, ModuleStatus};

const SECOND: Duration = Duration::from_secs(1);
const REFUSED: Outcome = Outcome::Refused { retry_after: None };

fn id(n: usize) -> TenantId {
    TenantId { namespace: "web".into(), name: format!("r{n}") }
}

/// A status with these conditions' truth and these counts.
fn status(well: bool, count: i64) -> MetricAccessStatus {
    let lane = if well { delivering() } else { failing(delivering(), Stage::Deliver, "503", 3) };
    let status = rendered(&running(vec![lane]), None, after(60));
    MetricAccessStatus { series: Some(SeriesStatus { selected: count, ..SeriesStatus::default() }), ..status }
}

/// A cluster in which time passes only when told, and in which every answer comes at once.
struct World {
    pace: Pace,
    began: Instant,
    now: Instant,
    stored: BTreeMap<TenantId, Arc<MetricAccessStatus>>,
    written: Vec<(Duration, Write)>,
    /// How the API server answers writes.
    answer: fn(&Write) -> Outcome,
}

impl World {
    fn new() -> World {
        let now = Instant::now();
        let (stored, written) = (BTreeMap::new(), Vec::new());
        World { pace: Pace::new(now), began: now, now, stored, written, answer: |_| Outcome::Written }
    }

    fn want(&mut self, n: usize, status: MetricAccessStatus) {
        self.want_of(n, &subject(), status);
    }

    fn want_of(&mut self, n: usize, subject: &Subject, status: MetricAccessStatus) {
        let subject = Arc::new(subject.clone());
        self.pace.want(&id(n), &subject, status, self.now);
    }

    /// Lets time pass, and the writes that are due happen.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.pace.wake_at(self.now).filter(|at| *at <= end) {
            assert!(at > self.now || self.pace_moves(), "it asks to be woken for nothing");
            self.now = self.now.max(at);
            self.write();
        }
        self.now = end;
    }

    fn pace_moves(&mut self) -> bool {
        let before = self.written.len();
        self.write();
        self.written.len() > before
    }

    fn write(&mut self) {
        while let Some(write) = self.pace.next(self.now) {
            let outcome = (self.answer)(&write);
            assert!(self.pace.done(&write, outcome, 1.0, self.now));
            self.written.push((self.now - self.began, write.clone()));
            if outcome == Outcome::Written {
                let before = self.stored.insert(write.id, Arc::clone(&write.status));
                assert_ne!(before, Some(write.status), "a write that changes nothing");
            }
        }
    }

    /// When there were writes, in milliseconds since the beginning.
    fn times(&self) -> Vec<u128> {
        self.written.iter().map(|(at, _)| at.as_millis()).collect()
    }
}

#[test]
fn a_transition_is_written_at_once_and_counts_a_minute_later() {
    let mut world = World::new();
    world.want(1, status(true, 1));
    world.pass(SECOND);
    assert_eq!(world.times(), [200]);
    world.want(1, status(true, 2));
    world.pass(58 * SECOND);
    assert_eq!(world.times().len(), 1);
    world.want(1, status(true, 3));
    world.pass(2 * SECOND);
    assert_eq!(world.times(), [200, 60_200]);
    assert_eq!(*world.stored[&id(1)], status(true, 3));
    world.want(1, status(false, 3));
    world.pass(SECOND);
    assert_eq!(world.times().len(), 3);
    world.pass(3600 * SECOND);
    assert_eq!(world.times().len(), 3, "nothing changed");
}

#[test]
fn what_becomes_of_a_filter_is_written_at_once() {
    let with = |compiled: &str, failed: Option<&str>| {
        let condition = Condition {
            type_: "Compiled".into(),
            status: compiled.into(),
            reason: "Done".into(),
            message: String::new(),
            last_transition_time: time(Timestamp(0)),
            observed_generation: None,
        };
        let failed = failed.map(|message| ErrorStatus { message: message.into(), time: time(Timestamp(0)) });
        let filter =
            ModuleStatus { conditions: vec![condition], last_failure: failed, ..ModuleStatus::default() };
        MetricAccessStatus { filters: vec![filter], ..status(true, 1) }
    };
    let mut other = with("True", Some("it trapped once more"));
    other.filters[0].digest = Some("sha256:00".into());
    let mut world = World::new();
    for (wanted, writes) in [
        (with("Unknown", None), 1),
        (with("True", None), 2),
        (with("True", Some("it trapped")), 3),
        // It traps again and again: these are words, and they can wait.
        (with("True", Some("it trapped once more")), 3),
        (other, 4),
    ] {
        world.want(1, wanted);
        world.pass(SECOND);
        assert_eq!(world.times().len(), writes);
    }
}

#[test]
fn what_is_undone_before_it_is_written_is_not_written() {
    let mut world = World::new();
    world.want(1, status(true, 1));
    world.pass(SECOND);
    world.want(1, status(false, 1));
    world.pass(DEBOUNCE / 2);
    world.want(1, status(true, 1));
    world.pass(600 * SECOND);
    assert_eq!(world.times(), [200]);
}

#[test]
fn a_thousand_resources_cost_half_a_request_per_second_and_all_get_their_turn() {
    const RESOURCES: usize = 1_000;
    const HOURS: u64 = 3;
    let mut world = World::new();
    for n in 0..RESOURCES {
        world.want(n, status(true, 0));
    }
    world.pass(30 * SECOND);
    assert_eq!(world.written.len(), RESOURCES, "all are there within half a minute");
    world.written.clear();
    for tick in 1..=(HOURS * 3600 / 30) {
        let status = status(true, tick as i64);
        for n in 0..RESOURCES {
            world.want(n, status.clone());
        }
        world.pass(30 * SECOND);
    }
    let writes = world.written.len() as f64;
    let seconds = (HOURS * 3600) as f64;
    assert!(writes <= seconds * COUNTS_PER_SECOND + 5.0, "{writes} writes");
    assert!(writes >= seconds * COUNTS_PER_SECOND * 0.98, "{writes} writes waste the allowance");
    let turns = |n: usize| world.written.iter().filter(|(_, write)| write.id == id(n)).count();
    let (least, most) = ((0..RESOURCES).map(turns).min(), (0..RESOURCES).map(turns).max());
    assert!(least >= Some(5) && most <= Some(6), "{least:?} to {most:?} turns");
}

#[test]
fn one_that_flips_all_the_time_uses_up_its_own_allowance() {
    let mut world = World::new();
    world.want(0, status(true, 0));
    world.want(1, status(true, 0));
    world.pass(SECOND);
    world.written.clear();
    for second in 0..600 {
        world.want(0, status(second % 2 == 0, 0));
        world.pass(SECOND);
    }
    let flips = world.written.len();
    assert!((20..=27).contains(&flips), "{flips} writes in ten minutes");
    world.want(1, status(false, 0));
    world.pass(SECOND);
    assert_eq!(world.stored[&id(1)].conditions, status(false, 0).conditions);
    world.pass(60 * SECOND);
    assert_eq!(world.stored[&id(0)].conditions, status(false, 0).conditions, "the last state is written");
}

#[test]
fn who_edits_often_sees_every_edit_at_once() {
    let mut world = World::new();
    for edit in 1..=10 {
        let subject = Subject { generation: edit, ..subject() };
        for well in [false, true] {
            let status = MetricAccessStatus { observed_generation: Some(edit), ..status(well, 1) };
            world.want_of(1, &subject, status);
            world.pass(SECOND);
            let seen = &world.stored[&id(1)];
            assert_eq!(seen.observed_generation, Some(edit), "edit {edit}");
            assert_eq!(
                seen.condition("Ready").map(|ready| ready.status == "True"),
                Some(well),
                "edit {edit}"
            );
        }
    }
}

#[test]
fn a_write_that_is_refused_is_tried_again_and_holds_up_nobody() {
    let mut world = World::new();
    world.answer = |write| if write.id == id(0) { REFUSED } else { Outcome::Written };
    world.want(0, status(true, 0));
    world.want(1, status(true, 0));
    world.pass(SECOND);
    assert!(world.stored.contains_key(&id(1)));
    world.pass(1_000 * SECOND);
    let tries = world.written.iter().filter(|(_, write)| write.id == id(0)).count();
    // After 1, 2, 4, 8, 16, 32 seconds, then once a minute.
    assert!((20..=23).contains(&tries), "{tries} tries");
    world.answer = |_| Outcome::Written;
    world.pass(61 * SECOND);
    assert!(world.stored.contains_key(&id(0)));
}

#[test]
fn a_server_that_asks_for_a_pause_gets_it() {
    let mut world = World::new();
    world.answer = |_| Outcome::Refused { retry_after: Some(Duration::from_secs(30)) };
    world.want(0, status(true, 0));
    world.pass(30 * SECOND);
    assert_eq!(world.times(), [200]);
    world.pass(SECOND);
    assert_eq!(world.times(), [200, 30_200]);
}

#[test]
fn a_server_that_does_not_answer_is_not_asked_about_everything() {
    let mut world = World::new();
    world.answer = |_| Outcome::Unreachable;
    for n in 0..1_000 {
        world.want(n, status(true, 0));
    }
    world.pass(60 * SECOND);
    assert!(world.written.len() <= 31, "{} tries", world.written.len());
    world.answer = |_| Outcome::Written;
    world.pass(90 * SECOND);
    assert_eq!(world.stored.len(), 1_000);
}

#[test]
fn our_own_words_that_come_back_late_are_not_answered() {
    let mut world = World::new();
    for (n, well) in [true, false, true].into_iter().enumerate() {
        world.want(1, status(well, n as i64));
        world.pass(SECOND);
    }
    for (n, well) in [true, false, true].into_iter().enumerate() {
        let echo = Subject { status: Some(status(well, n as i64)), ..subject() };
        world.want_of(1, &echo, status(true, 2));
        world.pass(SECOND);
    }
    assert_eq!(world.written.len(), 3);
}

#[test]
fn what_somebody_else_wrote_is_written_over() {
    let owned = |owner: &str, well| MetricAccessStatus { owner: Some(owner.into()), ..status(well, 1) };
    let late_replica = owned("sluice-9", false);
    let by_hand = status(false, 1);
    for theirs in [Some(late_replica), Some(by_hand), None] {
        let mut world = World::new();
        world.want(1, status(true, 1));
        world.pass(SECOND);
        let echo = Subject { status: Some(status(true, 1)), ..subject() };
        world.want_of(1, &echo, status(true, 1));
        world.stored.remove(&id(1));
        world.stored.extend(theirs.clone().map(|theirs| (id(1), Arc::new(theirs))));
        world.want_of(1, &Subject { status: theirs, ..subject() }, status(true, 1));
        world.pass(SECOND);
        assert_eq!(world.written.len(), 2);
        assert_eq!(*world.stored[&id(1)], status(true, 1));
    }
}

#[test]
fn a_new_resource_of_the_same_name_is_another_one() {
    let mut world = World::new();
    world.want(1, status(true, 1));
    world.pass(SECOND);
    let reborn = Subject { uid: "u2".into(), ..subject() };
    world.stored.clear();
    world.want_of(1, &reborn, status(true, 1));
    world.pass(SECOND);
    assert_eq!(world.written.last().map(|(_, write)| write.uid.as_str()), Some("u2"));
    assert_eq!(world.written.len(), 2);
}

#[test]
fn what_is_no_longer_ours_is_not_written_and_its_last_answer_counts_for_nothing() {
    let mut world = World::new();
    world.want(1, status(true, 1));
    world.now += SECOND;
    let write = world.pace.next(world.now).unwrap();
    world.want(1, status(false, 1));
    world.pace.retain(|_| false);
    assert!(!world.pace.done(&write, Outcome::Written, 0.0, world.now));
    world.pass(600 * SECOND);
    assert_eq!(world.written, []);
}

#[test]
fn a_resource_is_written_once_at_a_time() {
    let mut world = World::new();
    world.want(1, status(true, 1));
    world.now += SECOND;
    let write = world.pace.next(world.now).unwrap();
    world.want(1, status(false, 1));
    world.now += SECOND;
    assert_eq!(world.pace.next(world.now), None);
    assert_eq!(world.pace.wake_at(world.now), None);
    assert!(world.pace.done(&write, Outcome::Written, 0.0, world.now));
    world.now += DEBOUNCE;
    assert_eq!(world.pace.next(world.now).map(|write| write.status), Some(Arc::new(status(false, 1))));
}

/// Something that happens to a resource, and how long after the last thing.
fn happenings() -> impl Strategy<Value = Vec<(u64, usize, bool, i64)>> {
    prop::collection::vec((0u64..20_000, 0usize..5, prop::bool::weighted(0.8), 0i64..100), 1..300)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever happens: counts stay within their budget, and in the end the cluster has the last state of all.
    #[test]
    fn budgets_hold_and_the_last_state_is_written(happenings in happenings(), flaky in any::<bool>()) {
        let mut world = World::new();
        if flaky {
            // Some writes fail, by their number.
            world.answer = |write| match write.number % 7 {
                1 | 3 => REFUSED,
                5 => Outcome::Unreachable,
                _ => Outcome::Written,
            };
        }
        let mut last = BTreeMap::new();
        for (millis, n, well, count) in happenings {
            world.pass(Duration::from_millis(millis));
            world.want(n, status(well, count));
            last.insert(id(n), Arc::new(status(well, count)));
        }
        let is_counts = |write: &Write| {
            write.before.as_ref().is_some_and(|before| gist(before) == gist(&write.status))
        };
        let counts: Vec<Duration> =
            world.written.iter().filter(|(_, write)| is_counts(write)).map(|(at, _)| *at).collect();
        for (from, start) in counts.iter().enumerate() {
            for (to, end) in counts.iter().enumerate().skip(from) {
                let allowed = 5.0 + (*end - *start).as_secs_f64() * COUNTS_PER_SECOND + 1e-6;
                prop_assert!((to - from + 1) as f64 <= allowed + 1.0, "{} writes in {:?}", to - from + 1, *end - *start);
            }
        }
        world.pass(COUNTS_EVERY + Duration::from_secs(300));
        prop_assert_eq!(&world.stored, &last);
    }
}
