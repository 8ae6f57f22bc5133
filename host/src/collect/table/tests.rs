//! Series that come, go, move and are split into parts, answer after answer.

use std::ops::RangeInclusive;
use std::time::Duration;

use proptest::prelude::*;

use super::runs::SAMPLE_BYTES;
use super::*;
use crate::model::memory::Payer;
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
    let used = |memory: &Memory| {
        1_000 - (0..=1_000).rev().find(|n| memory.hold_shared().take_for(*n, true).is_ok()).unwrap()
    };
    let mut table = Table::paid_by(memory.hold_shared(), config());
    absorb(&mut table, 1, &[(A, 1.0), (B, 1.0)]);
    let two = used(&memory);
    assert_eq!(two, price(A.len()) + price(B.len()));
    table.begin();
    table.begin_request(&[]);
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
        table.begin_request(&[]);
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

/// An answer to a range query: series with what they have at which second.
fn matrix(columns: &[(&str, Vec<(i64, f64)>)]) -> String {
    let samples = |values: &[(i64, f64)]| {
        values.iter().map(|(at, value)| format!(r#"[{at},"{value}"]"#)).collect::<Vec<_>>().join(",")
    };
    let results: Vec<_> = columns
        .iter()
        .filter(|(_, values)| !values.is_empty())
        .map(|(metric, values)| format!(r#"{{"metric":{metric},"values":[{}]}}"#, samples(values)))
        .collect();
    let results = results.join(",");
    format!(r#"{{"status":"success","data":{{"resultType":"matrix","result":[{results}]}}}}"#)
}

fn seconds(first: i64, count: u32) -> Span {
    Span::new(tick(first), Interval::new(Duration::from_secs(1)).unwrap(), count)
}

fn absorb_ahead(table: &mut Table, ticks: Span, body: &str) -> Result<Vec<Arc<Answer>>, Cause> {
    table.begin_ahead(ticks.count(), 1_000);
    table.begin_request(&[]);
    let mut scanner = Scanner::of_range(ticks);
    scanner.feed(body.as_bytes(), table)?;
    scanner.finish(table)?;
    Ok(table.finish_ahead(ticks).into_iter().map(Arc::new).collect())
}

#[test]
fn ticks_that_come_at_once_are_answers_of_their_own_and_share_what_stays() {
    let mut table = table(None);
    let before = absorb(&mut table, 1, &[(A, 1.0), (B, 1.0)]).part("");
    let body = matrix(&[
        (A, vec![(2, 2.0), (3, 3.0), (4, 4.0)]),
        (B, vec![(2, 2.0), (3, 3.0)]),
        (C, vec![(4, 4.0)]),
    ]);
    let answers = absorb_ahead(&mut table, seconds(2, 3), &body).unwrap();
    let parts: Vec<_> = answers.iter().map(|answer| answer.part("")).collect();
    assert_eq!(parts.iter().map(|part| part.answer().tick()).collect::<Vec<_>>(), [2, 3, 4].map(tick));
    assert_eq!(rows(&parts[0]), ["a{} 2", "b{x=\"1\"} 2"]);
    assert_eq!(rows(&parts[2]), ["a{} 4", "c{} 4"]);
    assert!(
        Arc::ptr_eq(parts[0].series(), before.series()) && Arc::ptr_eq(parts[0].series(), parts[1].series())
    );
    assert_eq!(parts[2].series()[0], before.series()[0]);
    let after = absorb(&mut table, 5, &[(A, 5.0), (C, 5.0)]).part("");
    assert!(Arc::ptr_eq(after.series(), parts[2].series()));
    assert!(matches!(
        absorb_ahead(&mut table, seconds(6, 3), &matrix(&[(A, (0..1_001).map(|_| (6, 1.0)).collect())])),
        Err(Cause::Malformed { .. })
    ));
    assert_eq!(rows(&absorb(&mut table, 9, &[(C, 9.0)]).part("")), ["c{} 9"]);
}

#[test]
fn more_samples_at_once_than_there_may_be_are_refused() {
    let mut table = table(None);
    table.begin_ahead(3, 5);
    for (columns, samples) in [(vec![A, B], 4), (vec![C], 4)] {
        table.begin_request(&[]);
        let all: Vec<_> = columns.iter().map(|metric| (*metric, vec![(1, 1.0), (2, 2.0)])).collect();
        let mut scanner = Scanner::of_range(seconds(1, 3));
        if let Err(error) = scanner.feed(matrix(&all).as_bytes(), &mut table) {
            assert!(matches!(error, Cause::TooManySeries { max: 5 }), "{error}");
            table.roll_back();
        }
        assert_eq!(
            (table.samples_ahead(), table.request_rows()),
            (samples, samples / 2 * usize::from(columns.len() > 1))
        );
    }
}

proptest! {
    /// Ticks that come at once say what they say one by one, whatever comes and goes.
    #[test]
    fn ticks_at_once_are_the_same_as_one_by_one(series in prop::collection::vec(prop::collection::vec(prop::option::of(any::<i32>()), 12), 0..12)) {
        let metrics: Vec<String> = (0..series.len()).map(|i| format!(r#"{{"__name__":"m","i":"{i}","p":"{}"}}"#, i % 2)).collect();
        let values = |column: &[Option<i32>]| column.iter().zip(1..).filter_map(|(value, at)| Some((at, f64::from((*value)?)))).collect::<Vec<(i64, f64)>>();
        let columns: Vec<_> = metrics.iter().zip(&series).map(|(metric, column)| (metric.as_str(), values(column))).collect();
        let at_once = absorb_ahead(&mut table(Some("p")), seconds(1, 12), &matrix(&columns)).unwrap();
        let mut one_by_one = table(Some("p"));
        for (answer, second) in at_once.iter().zip(1..) {
            let of_tick: Vec<_> = columns.iter().filter_map(|(metric, values)| {
                Some((*metric, values.iter().find(|(at, _)| *at == second)?.1))
            }).collect();
            let alone = absorb(&mut one_by_one, second, &of_tick);
            for part in ["0", "1"] {
                prop_assert_eq!(rows(&answer.part(part)), rows(&alone.part(part)));
            }
        }
    }

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

/// An answer to remote read: one series with so many samples, a second apart.
fn stored(samples: usize) -> Vec<u8> {
    stored_of(&[("a", 1..=samples)])
}

/// An answer to remote read: these series, each with samples of these seconds.
fn stored_of(series: &[(&str, RangeInclusive<usize>)]) -> Vec<u8> {
    let field = |number: u8, bytes: &[u8]| {
        let mut field = vec![number << 3 | 2];
        let length = bytes.len();
        // Two bytes, as varints of this size may be written.
        field.extend([length as u8 & 0x7f | 0x80, (length >> 7) as u8]);
        field.extend(bytes);
        field
    };
    let label = |name: &str| field(1, &[field(1, b"__name__"), field(2, name.as_bytes())].concat());
    let sample =
        |at: usize| field(2, &[&[1 << 3 | 1][..], &1.5_f64.to_le_bytes(), &[2 << 3, at as u8]].concat());
    let one = |(name, seconds): &(&str, RangeInclusive<usize>)| {
        field(1, &[label(name), seconds.clone().flat_map(sample).collect()].concat())
    };
    field(1, &series.iter().flat_map(one).collect::<Vec<u8>>())
}

#[test]
fn a_series_whose_samples_stand_apart_is_no_answer() {
    let mut table = table(None);
    let window = Window { since: Timestamp(0), until: Timestamp(1_000) };
    let together = stored_of(&[("a", 1..=2), ("a", 3..=4), ("b", 1..=1), ("c", 1..=1)]);
    let apart = stored_of(&[("a", 1..=2), ("b", 1..=1), ("a", 3..=4)]);
    let mut read = |response: &[u8]| {
        let answer = table.absorb_samples(tick(1), window, response).map_err(|cause| cause.to_string())?;
        let samples = Arc::new(answer).part("").runs().map(|(_, run)| run.at.len()).collect::<Vec<_>>();
        Ok::<_, String>(samples)
    };
    for _ in 0..2 {
        assert_eq!(read(&together), Ok(vec![4, 1, 1]));
        let refused = read(&apart).unwrap_err();
        assert!(refused.contains("a series comes twice"), "{refused}");
    }
}

/// A table that two ask for everything, and the window of its answers.
fn asked_by(memory: &Memory, payers: [&Payer; 2]) -> (Table, Window) {
    let config = TableConfig { series_max: 10, ..TableConfig::default() };
    let mut table = Table::paid_by(memory.hold_shared(), config);
    let asking = |payer: &Payer| Asking { payer: payer.clone(), parts: vec!["".into()] };
    table.split(payers.map(asking).into());
    (table, Window { since: Timestamp(0), until: Timestamp(1_000) })
}

#[test]
fn samples_of_a_window_are_paid_for_by_who_asks_for_them() {
    let memory = Memory::new(1_000_000);
    let (rich, poor) = (memory.payer("rich", 100_000), memory.payer("poor", 2_000));
    let (mut table, window) = asked_by(&memory, [&rich, &poor]);
    let mut held = |samples: usize| {
        let _answer = table.absorb_samples(tick(1), window, &stored(samples)).unwrap();
        let refused: Vec<_> = table.refused().into_keys().map(|name| name.to_string()).collect();
        (rich.hold().of_namespace(), poor.hold().of_namespace(), refused)
    };
    let (one, two) = (held(1), held(2));
    assert_eq!((two.0 - one.0, two.1 - one.1), (SAMPLE_BYTES, SAMPLE_BYTES));
    let many = held(100);
    assert_eq!(
        (many.0 - one.0, many.2),
        (99 * SAMPLE_BYTES, vec!["poor".to_owned()]),
        "and the other has its answer"
    );
    assert!(many.1 <= 2_000, "{}", many.1);
    assert_eq!(held(1), one, "what was read before is given back");
}

#[test]
fn samples_are_paid_for_as_long_as_anybody_has_them_and_no_longer() {
    let memory = Memory::new(1_000_000);
    let (web, db) = (memory.payer("web", 100_000), memory.payer("db", 100_000));
    let (mut table, window) = asked_by(&memory, [&web, &db]);
    let used = || {
        let all = 1_000_000
            - (0..=1_000_000).rev().find(|n| memory.hold_shared().take_for(*n, true).is_ok()).unwrap();
        [all, web.hold().of_namespace(), db.hold().of_namespace()]
    };
    drop(table.absorb_samples(tick(1), window, &stored(1)).unwrap());
    let labels = used();
    let before = |samples: usize| labels.map(|bytes| bytes + samples * SAMPLE_BYTES);
    let first = Arc::new(table.absorb_samples(tick(1), window, &stored(100)).unwrap());
    let part = first.part("");
    let second = table.absorb_samples(tick(2), window, &stored(20)).unwrap();
    drop(first);
    assert_eq!(used(), before(120), "somebody catches up with the first, another one reads the second");
    drop(part);
    assert_eq!(used(), before(20));
    table.begin_runs();
    assert_eq!(used(), before(20), "what is read next takes nothing from who pays for this");
    drop(second);
    assert_eq!(used(), before(0));
}

#[test]
fn what_is_not_read_yet_counts_as_theirs_who_ask_for_it() {
    let memory = Memory::new(1_000);
    let (big, small) = (memory.payer("big", 1_000), memory.payer("small", 1_000));
    let mut table = Table::paid_by(memory.hold_shared(), TableConfig::default());
    let asking = |payer: &Payer, part: &str| Asking { payer: payer.clone(), parts: vec![part.into()] };
    table.split(vec![asking(&big, "big"), asking(&small, "small")]);
    let (mut of_big, mut own) = (memory.hold_shared(), big.hold());
    own.take(400).unwrap();
    table.begin_request(&["big".into()]);
    assert_eq!(table.pay(&mut of_big, 100), Ok(()), "it has half of it");
    assert_eq!(
        (table.pay(&mut of_big, 600), table.pay(&mut of_big, 51)),
        (Ok(()), Err(Full::Process { max: 1_000 }))
    );
    let mut held = memory.hold_shared();
    table.begin_request(&["big".into(), "small".into()]);
    assert_eq!(table.pay(&mut held, 101), Err(Full::Process { max: 1_000 }), "nobody hides beside another");
    table.begin_request(&["small".into()]);
    assert_eq!(table.pay(&mut held, 300), Ok(()));
}
