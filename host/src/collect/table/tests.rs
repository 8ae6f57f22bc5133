use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::model::{Interval, Memory, Timestamp};

fn tick(seconds: i64) -> Tick {
    Tick::at_or_before(Timestamp(seconds * 1000), Interval::new(Duration::from_secs(1)).unwrap())
}

fn body(seconds: i64, results: &[(&str, f64)]) -> String {
    let results: Vec<_> = results
        .iter()
        .map(|(metric, value)| format!(r#"{{"metric":{metric},"value":[{seconds},"{value}"]}}"#))
        .collect();
    let results = results.join(",");
    format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{results}]}}}}"#)
}

fn table(hole: Option<&str>) -> Table {
    Table::new(TableConfig { hole: hole.map(Arc::from), series_max: 1000, ..TableConfig::default() })
}

fn absorb(table: &mut Table, seconds: i64, results: &[(&str, f64)]) -> Arc<Answer> {
    Arc::new(table.absorb(tick(seconds), [body(seconds, results).as_bytes()]).unwrap())
}

/// A part's rows as people read them, in their order.
fn rows(part: &Part) -> Vec<String> {
    part.rows().map(|row| format!("{} {}", part.catalog().labels(row.series.slot), row.value)).collect()
}

const A: &str = r#"{"__name__":"a"}"#;
const B: &str = r#"{"__name__":"b","x":"1"}"#;
const C: &str = r#"{"__name__":"c"}"#;

#[test]
fn a_series_keeps_its_slot_while_others_come_go_and_move() {
    let mut table = table(None);
    let first = absorb(&mut table, 1, &[(A, 1.0), (B, 2.0), (C, 3.0)]).part("");
    assert_eq!(rows(&first), ["a{} 1", "b{x=\"1\"} 2", "c{} 3"]);
    let slots = first.series().clone();
    let second = absorb(&mut table, 2, &[(A, 4.0), (B, 5.0), (C, 6.0)]).part("");
    assert!(Arc::ptr_eq(&slots, second.series()));
    assert_eq!(second.values(), [4.0, 5.0, 6.0]);
    let third = absorb(&mut table, 3, &[(C, 7.0), (A, 8.0)]).part("");
    assert_eq!(third.series()[..], [slots[2], slots[0]]);
    assert_eq!(rows(&third), ["c{} 7", "a{} 8"]);
    let fourth = absorb(&mut table, 4, &[(A, 4.0), (B, 5.0), (C, 6.0)]).part("");
    assert_eq!(fourth.series(), &slots);
    // Answers are snapshots.
    assert_eq!(rows(&first), ["a{} 1", "b{x=\"1\"} 2", "c{} 3"]);
}

#[test]
fn two_byte_forms_of_one_label_set_are_one_series() {
    let mut table = table(None);
    let one = absorb(&mut table, 1, &[(B, 1.0)]).part("");
    let two = absorb(&mut table, 2, &[(r#"{ "x":"\u0031","__name__":"b" }"#, 2.0)]).part("");
    assert_eq!(one.series(), two.series());
    assert_eq!(table.series(), 1);
}

#[test]
fn an_idle_series_loses_its_slot_and_the_next_one_has_another_generation() {
    let mut table = table(None);
    let gone = absorb(&mut table, 1, &[(A, 1.0), (B, 1.0)]).part("").series()[1];
    let ticks = i64::from(SLOT_IDLE_TICKS_MAX + SWEEP_TICKS + 2);
    for second in 2..ticks {
        absorb(&mut table, second, &[(A, 1.0)]);
    }
    assert_eq!(table.series(), 1);
    let part = absorb(&mut table, ticks, &[(A, 1.0), (C, 1.0)]).part("");
    assert_eq!(part.series()[1], SeriesRef { slot: gone.slot, generation: gone.generation + 1 });
    assert_eq!(rows(&part), ["a{} 1", "c{} 1"]);
}

#[test]
fn an_answer_for_a_few_does_not_cost_the_others_their_slots() {
    let mut table = table(None);
    let metrics: Vec<_> = (0..900).map(|i| format!(r#"{{"__name__":"m","i":"{i}"}}"#)).collect();
    let all: Vec<_> = metrics.iter().map(|metric| (metric.as_str(), 1.0)).collect();
    let before = absorb(&mut table, 1, &all).part("");
    for second in 2..6 {
        absorb(&mut table, second, &[(A, 1.0)]);
    }
    assert_eq!(absorb(&mut table, 6, &all).part("").series(), before.series());
}

#[test]
fn a_source_that_never_repeats_a_series_does_not_fill_the_memory() {
    let mut table = table(None);
    let mut most = 0;
    for second in 0..60 {
        let metrics: Vec<_> =
            (0..1000).map(|i| format!(r#"{{"__name__":"m","i":"{second}.{i}"}}"#)).collect();
        let results: Vec<_> = metrics.iter().map(|metric| (metric.as_str(), 1.0)).collect();
        assert_eq!(absorb(&mut table, second, &results).series(), 1000);
        most = most.max(table.series());
    }
    assert!(most <= 4000, "{most} series");
    assert!(table.raw_bytes() < 4 << 20, "{} bytes", table.raw_bytes());
}

#[test]
fn answers_are_split_by_the_holes_value() {
    let mut table = table(Some("n"));
    let series =
        [r#"{"__name__":"m","n":"a"}"#, r#"{"__name__":"m","n":"b"}"#, r#"{"__name__":"k","n":"a"}"#];
    let answer = absorb(&mut table, 1, &[(series[0], 1.0), (series[1], 2.0), (series[2], 3.0), (A, 4.0)]);
    assert_eq!(rows(&answer.part("a")), ["m{n=\"a\"} 1", "k{n=\"a\"} 3"]);
    assert_eq!(rows(&answer.part("b")), ["m{n=\"b\"} 2"]);
    assert_eq!(rows(&answer.part("")), ["a{} 4"]);
    assert_eq!(rows(&answer.part("c")), [""; 0]);
    // What comes and goes elsewhere leaves a part as it was.
    let next = absorb(&mut table, 2, &[(series[0], 5.0), (C, 6.0), (series[2], 7.0)]);
    assert!(Arc::ptr_eq(answer.part("a").series(), next.part("a").series()));
    assert_eq!(next.part("a").values(), [5.0, 7.0]);
    assert_eq!(rows(&next.part("b")), [""; 0]);
}

#[test]
fn what_is_no_series_is_counted_and_costs_nothing_else() {
    let mut table = table(None);
    let twice = r#"{"__name__":"m","a":"1","a":"2"}"#;
    for second in 1..4 {
        let answer = absorb(&mut table, second, &[(A, 1.0), ("{}", 2.0), (twice, 3.0), (B, 4.0)]);
        assert_eq!((answer.nameless(), answer.illegal(), answer.series()), (1, 1, 2));
        assert_eq!(rows(&answer.part("")), ["a{} 1", "b{x=\"1\"} 4"]);
    }
}

#[test]
fn series_that_become_equal_without_external_labels_are_one_and_the_other_is_counted() {
    let external_labels = Labels::from_pairs([("region", "eu")]).unwrap();
    let mut table = Table::new(TableConfig { external_labels, series_max: 10, ..TableConfig::default() });
    let answer = absorb(&mut table, 1, &[(r#"{"__name__":"a","region":"eu"}"#, 1.0), (A, 2.0)]);
    assert_eq!(answer.collisions(), 1);
    assert_eq!(rows(&answer.part("")), ["a{} 1"]);
}

#[test]
fn histograms_are_counted_by_part() {
    let mut table = table(Some("n"));
    let histogram = r#"{"metric":{"__name__":"h","n":"a"},"histogram":[1,{"count":"5"}]}"#;
    let body = body(1, &[(A, 1.0)]).replace("[{", &format!("[{histogram},{{"));
    let answer = Arc::new(table.absorb(tick(1), [body.as_bytes()]).unwrap());
    assert_eq!((answer.part("a").histograms(), answer.part("").histograms()), (1, 0));
}

#[test]
fn one_series_more_than_the_maximum_is_an_error_and_harms_no_later_answer() {
    let mut table = Table::new(TableConfig { series_max: 2, ..TableConfig::default() });
    absorb(&mut table, 1, &[(A, 1.0), (B, 1.0)]);
    let error = table.absorb(tick(2), [body(2, &[(A, 1.0), (B, 1.0), (C, 1.0)]).as_bytes()]).unwrap_err();
    assert!(matches!(error, Cause::TooManySeries { max: 2 }));
    assert_eq!(rows(&absorb(&mut table, 3, &[(C, 3.0), (A, 1.0)]).part("")), ["c{} 3", "a{} 1"]);
}

#[test]
fn a_table_holds_what_it_pays_for_and_gives_it_back() {
    let memory = Memory::new(1_000);
    let config = || TableConfig { series_max: 10, ..TableConfig::default() };
    let used =
        |memory: &Memory| 1_000 - (0..=1_000).rev().find(|n| memory.hold_shared().take(*n).is_ok()).unwrap();
    let mut table = Table::paid_by(memory.hold_shared(), config());
    absorb(&mut table, 1, &[(A, 1.0), (B, 1.0)]);
    let two = used(&memory);
    assert_eq!(two, price(A.len()) + price(B.len()));
    table.begin();
    table.begin_request();
    let long = format!(r#"{{"__name__":"long","x":"{}"}}"#, "y".repeat(500));
    let mut scanner = Scanner::new(tick(2));
    let error =
        scanner.feed(body(2, &[(A, 2.0), (C, 2.0), (&long, 2.0)]).as_bytes(), &mut table).unwrap_err();
    assert!(matches!(error, Cause::Memory(Full::Process { max: 1_000 })), "{error}");
    assert_eq!(used(&memory), two + price(C.len()));
    table.take_back();
    assert_eq!((used(&memory), table.series()), (two, 2));
    table.finish(tick(2));
    assert_eq!(rows(&absorb(&mut table, 3, &[(C, 3.0), (A, 1.0)]).part("")), ["c{} 3", "a{} 1"]);
    for second in 4..4 + i64::from(SLOT_IDLE_TICKS_MAX + 2 * SWEEP_TICKS) {
        absorb(&mut table, second, &[(A, 1.0)]);
    }
    assert_eq!(used(&memory), price(A.len()));
    drop(table);
    assert_eq!(used(&memory), 0);
}

#[test]
fn labels_that_cannot_be_read_make_the_answer_an_error() {
    let mut table = table(None);
    for metric in [r#"{"__name__":1}"#, r#"{"__name__":"\ud800"}"#] {
        let result = table.absorb(tick(1), [body(1, &[(A, 1.0), (metric, 1.0)]).as_bytes()]);
        assert!(matches!(result, Err(Cause::Malformed { .. })));
    }
}

#[test]
fn a_request_that_failed_leaves_no_rows() {
    let mut table = table(None);
    absorb(&mut table, 1, &[(A, 1.0), (B, 2.0), (C, 3.0)]);
    table.begin();
    for (results, succeeds) in
        [(vec![(A, 4.0)], true), (vec![(B, 9.0), ("{\"x", 9.0)], false), (vec![(C, 6.0)], true)]
    {
        table.begin_request();
        let mut scanner = Scanner::new(tick(2));
        let scanned =
            scanner.feed(body(2, &results).as_bytes(), &mut table).and_then(|()| scanner.finish(&mut table));
        assert_eq!(scanned.is_ok(), succeeds);
        if !succeeds {
            table.roll_back();
        }
    }
    let answer = Arc::new(table.finish(tick(2)));
    assert_eq!(rows(&answer.part("")), ["a{} 4", "c{} 6"]);
}

proptest! {
    /// Whatever comes in whatever order, the rows are what the body says.
    #[test]
    fn rows_are_what_the_bodies_say(ticks in prop::collection::vec(prop::collection::vec((0u8..30, any::<i32>()), 0..20), 1..40)) {
        let mut table = table(Some("p"));
        let metric = |i: u8| format!(r#"{{"__name__":"m","i":"{i}","p":"{}"}}"#, i % 3);
        for (second, rows_of_tick) in ticks.iter().enumerate() {
            let mut seen = std::collections::HashSet::new();
            let expected: Vec<_> = rows_of_tick.iter().filter(|(i, _)| seen.insert(*i)).collect();
            let metrics: Vec<_> = expected.iter().map(|(i, _)| metric(*i)).collect();
            let results: Vec<_> = metrics.iter().zip(&expected).map(|(m, (_, v))| (m.as_str(), f64::from(*v))).collect();
            let answer = absorb(&mut table, second as i64, &results);
            for part in 0..3u8 {
                let of_part: Vec<_> = expected.iter().filter(|(i, _)| i % 3 == part)
                    .map(|(i, v)| format!("m{{i=\"{i}\",p=\"{part}\"}} {v}")).collect();
                prop_assert_eq!(rows(&answer.part(&part.to_string())), of_part);
            }
        }
    }
}
