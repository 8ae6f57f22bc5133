//! What a lane's receiver is told, tick by tick.

use super::*;
use crate::model::Interval;
use std::time::Duration;

fn tick(n: i64) -> Tick {
    Tick::at_or_before(Timestamp(n * 1000), Interval::new(Duration::from_secs(1)).unwrap())
}

fn emit(outputs: &mut Outputs, n: i64, conclude: Conclude) -> Vec<(String, u64)> {
    let mut rows = Vec::new();
    outputs.emit(tick(n), conclude, |labels, value| {
        rows.push((String::from_utf8(labels.to_vec()).unwrap(), value.to_bits()));
    });
    outputs.settle(tick(n), conclude);
    rows
}

fn row(labels: &str, value: f64) -> (String, u64) {
    (labels.to_owned(), value.to_bits())
}

fn made(admission: Admission) -> OutputId {
    match admission {
        Admission::Created(id) | Admission::Joined(id) => id,
        other => panic!("not admitted: {other:?}"),
    }
}

const A: Fingerprint = Fingerprint(1);
const B: Fingerprint = Fingerprint(2);

#[test]
fn an_identity_has_one_value_a_tick_and_its_owner_is_sticky() {
    let mut outputs = Outputs::default();
    let id = made(outputs.admit(b"a", A));
    outputs.take(id, tick(1), 1, 10.0);
    assert_eq!(emit(&mut outputs, 1, Conclude::Ended), [row("a", 10.0)]);
    for order in [[0, 1], [1, 0]] {
        for rank in order {
            outputs.take(id, tick(2), rank, f64::from(rank));
        }
        assert_eq!(emit(&mut outputs, 2, Conclude::Ended), [row("a", 1.0)]);
    }
    outputs.take(id, tick(3), 0, 7.0);
    assert_eq!(emit(&mut outputs, 3, Conclude::Ended), [row("a", 7.0)], "the owner had nothing");
    outputs.take(id, tick(4), 1, 8.0);
    outputs.take(id, tick(4), 0, 9.0);
    assert_eq!(emit(&mut outputs, 4, Conclude::Ended), [row("a", 9.0)], "the new owner stays");
}

#[test]
fn without_an_owner_the_lowest_rank_gives_the_value() {
    for order in [[2, 0, 1], [0, 1, 2], [1, 2, 0]] {
        let mut outputs = Outputs::default();
        let id = made(outputs.admit(b"a", A));
        for rank in order {
            outputs.take(id, tick(1), rank, f64::from(rank));
        }
        assert_eq!(emit(&mut outputs, 1, Conclude::Ended), [row("a", 0.0)]);
    }
}

#[test]
fn an_ended_identity_gets_one_stale_marker_and_only_from_a_complete_tick() {
    let mut outputs = Outputs::default();
    let id = made(outputs.admit(b"a", A));
    outputs.take(id, tick(1), 0, 1.0);
    emit(&mut outputs, 1, Conclude::Ended);
    assert_eq!(emit(&mut outputs, 2, Conclude::Nothing), []);
    assert_eq!(emit(&mut outputs, 3, Conclude::Ended), [("a".to_owned(), STALE_NAN_BITS)]);
    assert_eq!(emit(&mut outputs, 4, Conclude::Ended), []);
}

#[test]
fn a_stale_marker_that_was_not_acknowledged_is_shown_again() {
    let mut outputs = Outputs::default();
    let id = made(outputs.admit(b"a", A));
    outputs.take(id, tick(1), 0, 1.0);
    emit(&mut outputs, 1, Conclude::Ended);
    for _ in 0..2 {
        let emitted = outputs.emit(tick(2), Conclude::Ended, |_, _| {});
        assert_eq!(emitted, Emitted { stale: 1, ..Emitted::default() });
    }
}

#[test]
fn two_inputs_cannot_share_an_identity() {
    let mut outputs = Outputs::default();
    let id = made(outputs.admit(b"a", A));
    assert_eq!(outputs.admit(b"a", A), Admission::Joined(id));
    assert_eq!(outputs.admit(b"a", B), Admission::Contested(id));
    outputs.reassign(id, B);
    assert_eq!(outputs.admit(b"a", B), Admission::Joined(id));
}

#[test]
fn what_a_new_specification_no_longer_delivers_ends() {
    let mut outputs = Outputs::default();
    let kept = made(outputs.admit(b"kept", A));
    let gone = made(outputs.admit(b"gone", B));
    outputs.take(kept, tick(1), 0, 1.0);
    outputs.take(gone, tick(1), 0, 2.0);
    emit(&mut outputs, 1, Conclude::Ended);
    outputs.disown();
    assert_eq!(outputs.admit(b"kept", B), Admission::Joined(kept));
    outputs.take(kept, tick(2), 0, 3.0);
    let rows = emit(&mut outputs, 2, Conclude::Ended);
    assert_eq!(rows, [row("kept", 3.0), ("gone".to_owned(), STALE_NAN_BITS)]);
}

#[test]
fn idle_identities_are_freed_and_their_room_is_used_again() {
    let mut outputs = Outputs::default();
    let old = made(outputs.admit(b"old", A));
    let stays = made(outputs.admit(b"stays", B));
    outputs.take(old, tick(1), 0, 1.0);
    outputs.take(stays, tick(1), 0, 1.0);
    emit(&mut outputs, 1, Conclude::Ended);
    outputs.take(stays, tick(2), 0, 2.0);
    emit(&mut outputs, 2, Conclude::Ended);
    let swept = outputs.sweep(tick(2).timestamp(), |labels| assert_eq!(labels, b"old"));
    assert_eq!((swept.count, swept.has(old), swept.has(stays)), (1, true, false));
    let again = made(outputs.admit(b"another", A));
    assert_eq!(again, old);
    outputs.take(again, tick(3), 0, 5.0);
    outputs.take(stays, tick(3), 0, 3.0);
    assert_eq!(emit(&mut outputs, 3, Conclude::Ended), [row("another", 5.0), row("stays", 3.0)]);
}

#[test]
fn an_identity_costs_its_labels_twice_until_it_is_freed() {
    let memory = crate::model::Memory::new(usize::MAX);
    let mut outputs = Outputs::new(memory.payer("web", 2 * price(10)).hold_own());
    let beyond = |admission| matches!(admission, Admission::Beyond(_));
    let first = made(outputs.admit(b"0123456789", A));
    assert!(beyond(outputs.admit(b"0123456789x", B)), "a byte too long");
    let second = made(outputs.admit(b"9876543210", B));
    assert_eq!(outputs.held_by_namespace(), 2 * price(10));
    assert!(beyond(outputs.admit(b"a", A)));
    assert_eq!(outputs.admit(b"0123456789", A), Admission::Joined(first), "what is there costs nothing");
    outputs.withdraw([second].into_iter(), |labels| assert_eq!(labels, b"9876543210"));
    made(outputs.admit(b"a", A));
    outputs.sweep(Timestamp(5_000), |_| {});
    assert_eq!(outputs.held_by_namespace(), 0);
    drop(outputs);
    assert_eq!(memory.payer("web", 1).hold_own().of_namespace(), 0);
}

#[test]
fn lanes_that_end_give_back_what_they_held() {
    let memory = crate::model::Memory::new(price(1));
    let mut former = Outputs::new(memory.payer("web", usize::MAX).hold_own());
    made(former.admit(b"a", A));
    let mut next = Outputs::new(memory.payer("web", usize::MAX).hold_own());
    assert!(matches!(next.admit(b"b", A), Admission::Beyond(_)));
    drop(former);
    made(next.admit(b"b", A));
}

/// Outputs with `a` and `b`, there at tick 1, of which tick 10 is the last before a later stretch: `b` is there then, and `c`.
fn parted() -> (Outputs, [OutputId; 3]) {
    let mut outputs = Outputs::default();
    let ids = [b"a", b"b", b"c"].map(|labels| made(outputs.admit(labels, A)));
    let [a, b, c] = ids;
    outputs.take(a, tick(1), 0, 1.0);
    outputs.take(b, tick(1), 1, 1.0);
    emit(&mut outputs, 1, Conclude::Ended);
    outputs.part().unwrap();
    outputs.take(b, tick(10), 0, 0.0);
    outputs.take(b, tick(10), 1, 10.0);
    outputs.take(c, tick(10), 0, 10.0);
    outputs.settle(tick(10), Conclude::Nothing);
    (outputs, ids)
}

const END: u64 = STALE_NAN_BITS;

#[test]
fn what_ends_on_one_of_two_stretches_of_ticks_says_nothing_of_the_other() {
    let (mut outputs, [a, b, c]) = parted();
    outputs.take(c, tick(11), 0, 11.0);
    assert_eq!(emit(&mut outputs, 11, Conclude::Ended), [("b".to_owned(), END), row("c", 11.0)]);
    outputs.turn();
    outputs.take(b, tick(2), 1, 2.0);
    assert_eq!(emit(&mut outputs, 2, Conclude::Ended), [("a".to_owned(), END), row("b", 2.0)]);
    outputs.turn();
    outputs.take(a, tick(12), 0, 12.0);
    assert_eq!(emit(&mut outputs, 12, Conclude::Ended), [row("a", 12.0), ("c".to_owned(), END)]);
    outputs.join(tick(10).timestamp());
    assert_eq!(emit(&mut outputs, 13, Conclude::Ended), [("a".to_owned(), END)], "b ended at 11");
}

#[test]
fn whose_an_identity_was_before_the_later_stretch_it_is_there() {
    let (mut outputs, [_, b, _]) = parted();
    outputs.take(b, tick(11), 0, 0.0);
    outputs.take(b, tick(11), 1, 11.0);
    assert_eq!(emit(&mut outputs, 11, Conclude::Nothing), [row("b", 11.0)]);
}

#[test]
fn what_was_there_to_the_last_of_the_earlier_stretch_and_never_since_ends_where_they_join() {
    let (mut outputs, [a, b, c]) = parted();
    for id in [b, c] {
        outputs.take(id, tick(11), 1, 11.0);
    }
    assert_eq!(emit(&mut outputs, 11, Conclude::Nothing).len(), 2);
    outputs.turn();
    // A replica that was away at the tick before the later stretch began has it.
    for id in [a, b] {
        outputs.take(id, tick(10), 1, 10.0);
    }
    assert_eq!(emit(&mut outputs, 10, Conclude::Nothing), [row("a", 10.0), row("b", 10.0)]);
    outputs.turn();
    outputs.join(tick(10).timestamp());
    let rows = emit(&mut outputs, 12, Conclude::Ended);
    assert_eq!(rows, ["a", "b", "c"].map(|labels| (labels.to_owned(), END)));
}

#[test]
fn an_identity_can_be_another_series_on_each_of_two_stretches() {
    let (mut outputs, [a, ..]) = parted();
    assert_eq!(outputs.admit(b"a", B), Admission::Contested(a));
    let swept = outputs.sweep(Timestamp(5_000), |_| panic!("the other stretch has it"));
    assert!(swept.has(a) && swept.contested && swept.count == 1, "{}", swept.count);
    assert_eq!(outputs.admit(b"a", B), Admission::Joined(a));
    outputs.turn();
    assert_eq!(outputs.admit(b"a", A), Admission::Joined(a), "it is still its");
}

#[test]
fn two_stretches_are_paid_for_as_long_as_there_are_two() {
    let payer = crate::model::memory::Payer::unlimited("shop");
    let mut outputs = Outputs::new(payer.hold_own());
    made(outputs.admit(b"a", A));
    let one = outputs.held_by_namespace();
    outputs.part().unwrap();
    assert_eq!(outputs.held_by_namespace(), one + aside::ASIDE_BYTES);
    let b = made(outputs.admit(b"b", A));
    outputs.withdraw([b].into_iter(), |_| ());
    outputs.join(tick(10).timestamp());
    assert_eq!(outputs.held_by_namespace(), one);
}
