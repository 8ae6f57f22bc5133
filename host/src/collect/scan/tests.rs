//! Answers of sources, whole and cut anywhere, beside what serde_json reads of them.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::model::{Interval, NORMAL_NAN_BITS, Timestamp};

/// Series, each with what it has at which of several ticks.
type Columns = Vec<(String, Vec<(usize, Sample)>)>;

/// The other life of [`Rows`]: a list.
/// Labels, samples by time and bits, and how many histograms.
type Windowed = (String, Vec<(i64, u64)>, usize);

#[derive(Default)]
struct List {
    rows: Vec<(String, u64)>,
    histograms: usize,
    /// What the guesses are taken from, in order.
    guesses: Vec<String>,
    hits: usize,
    columns: Columns,
    windows: Vec<Windowed>,
}

impl Rows for List {
    fn expected(&self) -> &[u8] {
        self.guesses.get(self.rows.len()).map_or(b"", |guess| guess.as_bytes())
    }

    fn hit(&mut self, value: f64) -> Result<(), Refusal> {
        self.hits += 1;
        let guess = self.guesses[self.rows.len()].clone();
        self.row(guess.as_bytes(), Sample::Float(value))
    }

    fn row(&mut self, metric: &[u8], sample: Sample) -> Result<(), Refusal> {
        let metric = String::from_utf8(metric.to_vec()).map_err(|_| Refusal::Labels("not UTF-8"))?;
        match sample {
            Sample::Float(value) => self.rows.push((metric, value.to_bits())),
            Sample::Histogram => self.histograms += 1,
        }
        Ok(())
    }

    fn column(&mut self, metric: &[u8], samples: &[(usize, Sample)]) -> Result<(), Refusal> {
        let metric = String::from_utf8(metric.to_vec()).map_err(|_| Refusal::Labels("not UTF-8"))?;
        self.columns.push((metric, samples.to_vec()));
        Ok(())
    }

    fn window(&mut self, metric: &[u8], samples: Run<'_>, histograms: usize) -> Result<(), Refusal> {
        let metric = String::from_utf8(metric.to_vec()).map_err(|_| Refusal::Labels("not UTF-8"))?;
        let values = samples.values.iter().map(|value| value.to_bits());
        self.windows.push((metric, samples.at.iter().copied().zip(values).collect(), histograms));
        Ok(())
    }
}

fn tick() -> Tick {
    Tick::at_or_before(
        Timestamp(1_435_781_451_781),
        Interval::new(std::time::Duration::from_millis(1)).unwrap(),
    )
}

/// Scans `body` cut at `cuts`.
fn scan(body: &[u8], cuts: &[usize], guesses: Vec<String>) -> Result<List, Cause> {
    let mut list = List { guesses, ..List::default() };
    let mut scanner = Scanner::new(tick());
    let mut start = 0;
    for cut in cuts.iter().copied().chain([body.len()]) {
        let end = cut.clamp(start, body.len());
        scanner.feed(&body[start..end], &mut list)?;
        start = end;
    }
    scanner.finish(&mut list)?;
    Ok(list)
}

fn whole(body: &str) -> Result<List, Cause> {
    let result = scan(body.as_bytes(), &[], Vec::new());
    // Whatever it is, it must be the same byte for byte.
    let cuts: Vec<usize> = (0..body.len()).collect();
    let bytewise = scan(body.as_bytes(), &cuts, Vec::new());
    match (&result, &bytewise) {
        (Ok(one), Ok(two)) => assert_eq!(one.rows, two.rows),
        (Err(one), Err(two)) => {
            assert_eq!(std::mem::discriminant(one), std::mem::discriminant(two), "{one} or {two}")
        }
        (one, two) => panic!("in one piece {:?}, byte for byte {:?}", one.is_ok(), two.is_ok()),
    }
    result
}

fn vector(results: &str) -> String {
    format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{results}]}}}}"#)
}

fn rows(body: &str) -> Vec<(String, f64)> {
    let list = whole(body).unwrap_or_else(|e| panic!("{e}: {body}"));
    list.rows.into_iter().map(|(metric, bits)| (metric, f64::from_bits(bits))).collect()
}

/// Three ticks, a second apart.
fn ticks() -> crate::model::Span {
    let second = Interval::new(std::time::Duration::from_secs(1)).unwrap();
    crate::model::Span::new(Tick::at_or_before(Timestamp(10_000), second), second, 3)
}

/// Scans an answer to a range query, whole and byte for byte.
fn columns(results: &str) -> Result<Columns, Cause> {
    let body = format!(r#"{{"status":"success","data":{{"resultType":"matrix","result":[{results}]}}}}"#);
    let scan = |size: usize| {
        let (mut list, mut scanner) = (List::default(), Scanner::of_range(ticks()));
        let fed = body.as_bytes().chunks(size).try_for_each(|chunk| scanner.feed(chunk, &mut list));
        fed.and_then(|()| scanner.finish(&mut list)).map(|()| list.columns)
    };
    let (whole, bytewise) = (scan(usize::MAX), scan(1));
    // Not-a-number is never equal, but it prints.
    assert_eq!(format!("{:?}", whole.as_ref().ok()), format!("{:?}", bytewise.as_ref().ok()), "{body}");
    whole
}

#[test]
fn a_range_is_read_series_by_series() {
    assert_eq!(columns("").unwrap(), []);
    let results = r#"{"metric":{"a":"1"},"values":[[10,"1"],[12,"-2.5"]]},
        {"histograms":[[11,{"count":"1","buckets":[[1,"0","1","1"]]}]],"values":[[10.000,"NaN"]],"metric":{}}"#;
    let [first, second] = &columns(results).unwrap()[..] else { panic!("two results") };
    let float = Sample::Float;
    assert_eq!((&*first.0, &first.1), (r#"{"a":"1"}"#, &vec![(0, float(1.0)), (2, float(-2.5))]));
    let [(0, Sample::Float(nan)), (1, Sample::Histogram)] = second.1[..] else { panic!("{second:?}") };
    assert!(nan.is_nan() && second.0 == "{}");
}

#[test]
fn what_is_no_range_of_these_ticks_is_refused() {
    for (results, why) in [
        (r#"{"metric":{},"values":[[9,"1"]]}"#, "not of a moment that was asked for"),
        (r#"{"metric":{},"values":[[13,"1"]]}"#, "not of a moment that was asked for"),
        (r#"{"metric":{},"values":[[10.5,"1"]]}"#, "not of a moment that was asked for"),
        (r#"{"metric":{},"values":[[10,"1"],[10,"2"]]}"#, "two samples at one moment"),
        (r#"{"metric":{},"values":[[10,"1"]],"histograms":[[10,{}]]}"#, "two samples at one moment"),
        (r#"{"metric":{},"values":[]}"#, "without 'values'"),
        (r#"{"values":[[10,"1"]]}"#, "without 'metric'"),
        (r#"{"metric":{},"value":[10,"1"]}"#, "one sample instead of a range"),
        (r#"{"metric":{},"values":[[10,"x"]]}"#, "expected a sample value"),
    ] {
        let refused = columns(results).unwrap_err().to_string();
        assert!(refused.contains(why), "{results}: {refused}");
    }
    let mut scanner = Scanner::of_range(ticks());
    let vector = scanner.feed(vector(ONE).as_bytes(), &mut List::default()).unwrap_err().to_string();
    assert!(vector.contains("expected resultType \"matrix\""), "{vector}");
}

const ONE: &str = r#"{"metric":{"__name__":"up","a":"}\"],{"},"value":[1435781451.781,"1.5"]}"#;

#[test]
fn a_plain_answer_is_read() {
    let metric = r#"{"__name__":"up","a":"}\"],{"}"#.to_owned();
    assert_eq!(rows(&vector("")), []);
    assert_eq!(rows(&vector(ONE)), [(metric.clone(), 1.5)]);
    assert_eq!(rows(&vector(&[ONE; 3].join(","))), vec![(metric, 1.5); 3]);
}

#[test]
fn fields_come_in_any_order_with_any_white_space_and_unknown_ones_are_skipped() {
    let one = r#" { "x" : [ {"metric":{}}, null, -1.5e3 , "\\\"" , true , false , {} , [] ] , "value" : [ 1435781451.781 , "2" ] , "metric" : {"__name__":"up" } } "#;
    let metric = r#"{"__name__":"up" }"#.to_owned();
    assert_eq!(rows(&vector(&[one; 2].join(","))), vec![(metric.clone(), 2.0); 2]);
    let body = format!(
        r#" {{ "stats" : {{"seriesFetched":"1"}} , "infos":["x"], "warnings": [], "isPartial":false, "data" : {{ "x":{{}}, "result" : [{one}] , "resultType" : "vector" }} , "status" : "success" }} {}"#,
        "\n"
    );
    assert_eq!(rows(&body), [(metric, 2.0)]);
    let empty = r#"{"status":"success","data":{"resultType":"vector","result":null}}"#;
    assert_eq!(rows(empty), []);
}

#[test]
fn every_kind_of_float_is_read() {
    let texts = ["+Inf", "-Inf", "NaN", "1e-7", "-0", "12345678901234567890", "0.1", "4.9e-324"];
    let result = |text| format!(r#"{{"metric":{{"__name__":"m"}},"value":[1435781451.781,"{text}"]}}"#);
    let body = vector(&texts.map(result).join(","));
    let bits: Vec<u64> = rows(&body).into_iter().map(|(_, value)| value.to_bits()).collect();
    let expected = [
        f64::INFINITY.to_bits(),
        f64::NEG_INFINITY.to_bits(),
        NORMAL_NAN_BITS,
        1e-7f64.to_bits(),
        (-0.0f64).to_bits(),
        12345678901234567890f64.to_bits(),
        0.1f64.to_bits(),
        1,
    ];
    assert_eq!(bits, expected);
}

#[test]
fn histograms_are_counted_and_left_out() {
    let histogram = r#"{"metric":{"__name__":"h"},"histogram":[1435781451.781,{"count":"5","buckets":[[3,"-1","1","2"]]}]}"#;
    let list = whole(&vector(&[ONE, histogram, ONE, histogram].join(","))).unwrap();
    assert_eq!((list.rows.len(), list.histograms), (2, 2));
}

#[test]
fn what_is_not_a_complete_vector_of_that_moment_is_refused() {
    for body in [
        "",
        "[]",
        "{}",
        "null",
        "<html>",
        r#"{"status":"success"}"#,
        r#"{"status":"success","data":null}"#,
        r#"{"status":"success","data":{"resultType":"vector"}}"#,
        r#"{"status":"success","data":{"result":[]}}"#,
        r#"{"data":{"resultType":"vector","result":[]}}"#,
        r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#,
        r#"{"status":"success","data":{"resultType":"scalar","result":[1435781451.781,"1"]}}"#,
        r#"{"status":"success","data":{"result":[1435781451.781,"1"],"resultType":"scalar"}}"#,
        r#"{"status":"success","data":{"result":[],"result":[],"resultType":"vector"}}"#,
        r#"{"status":"success","data":{"resultType":"vector","result":[]},"data":{"resultType":"vector","result":[]}}"#,
        r#"{"status":"success","data":{"resultType":"vector","result":[]}}}"#,
        r#"{"status":"success","data":{"resultType":"vector","result":[]}} x"#,
        r#"{"status":"success","data":{"resultType":"vector","result":[]},}"#,
        r#"{"status":"maybe","data":{"resultType":"vector","result":[]}}"#,
        &vector(","),
        &vector(&format!("{ONE},")),
        &vector(&format!("{ONE} {ONE}")),
        &vector(r#"{"metric":{"__name__":"m"}}"#),
        &vector(r#"{"value":[1435781451.781,"1"]}"#),
        &vector(r#"{"metric":[],"value":[1435781451.781,"1"]}"#),
        &vector(r#"{"metric":{},"value":[1435781451.781,1]}"#),
        &vector(r#"{"metric":{},"value":[1435781451.781,"x"]}"#),
        &vector(r#"{"metric":{},"value":[1435781451.781,""]}"#),
        &vector(r#"{"metric":{},"value":["1435781451.781","1"]}"#),
        &vector(r#"{"metric":{},"value":[1435781451.782,"1"]}"#),
        &vector(r#"{"metric":{},"value":[1435781451.781,"1","2"]}"#),
        &vector(r#"{"metric":{},"metric":{},"value":[1435781451.781,"1"]}"#),
        &vector(r#"{"metric":{},"values":[[1435781451.781,"1"]]}"#),
        &vector(&format!("{ONE},{}", ONE.replace(".781", ".782"))),
        &vector(&format!("{ONE},{}", ONE.replace("1.5", "1.5x"))),
        &format!(r#"{{"x":{}1{}}}"#, "[".repeat(1000), "]".repeat(1000)),
    ] {
        let result = whole(body);
        assert!(matches!(result, Err(Cause::Malformed { .. })), "{body}: {:?}", result.err());
    }
}

#[test]
fn no_prefix_of_an_answer_is_taken_for_one() {
    let body = vector(&[ONE, ONE].join(","));
    for end in 0..body.len() {
        assert!(scan(&body.as_bytes()[..end], &[], Vec::new()).is_err(), "{end}");
    }
}

#[test]
fn a_servers_error_is_handed_on() {
    let body = r#"{"status":"error","errorType":"bad_data","error":"parse \u0022x\" error"}"#;
    match whole(body).err().unwrap() {
        Cause::Query { error_type, message } => {
            assert_eq!((error_type.as_str(), message.as_str()), ("bad_data", "parse \"x\" error"));
        }
        other => panic!("{other}"),
    }
    let long = body.replace("parse", &"p".repeat(100_000));
    let Err(Cause::Query { message, .. }) = whole(&long) else { panic!() };
    assert!(message.len() < 600);
}

#[test]
fn warnings_and_partial_marks_make_an_answer_partial() {
    for extra in [r#""warnings":["a store is gone","x"]"#, r#""isPartial":true"#] {
        for body in [
            vector(ONE).replacen('{', &format!("{{{extra},"), 1),
            format!("{},{extra}}}", vector(ONE).strip_suffix('}').unwrap()),
        ] {
            assert!(matches!(whole(&body), Err(Cause::Partial(_))), "{body}");
        }
    }
    let infos = vector(ONE).replacen('{', r#"{"infos":["PromQL info: x"],"#, 1);
    assert_eq!(rows(&infos).len(), 1);
}

#[test]
fn the_position_of_an_error_is_told_across_chunks() {
    let body = vector(&format!("{ONE},{ONE},{ONE} x"));
    for cuts in [vec![], vec![100], (0..body.len()).collect()] {
        match scan(body.as_bytes(), &cuts, Vec::new()).err().unwrap() {
            Cause::Malformed { position, .. } => {
                let at = position as usize;
                assert!(body[at..].starts_with('x'), "{at}");
            }
            other => panic!("{other}"),
        }
    }
}

#[test]
fn one_huge_result_is_refused_and_does_not_pile_up() {
    let body = vector(&format!(r#"{{"metric":{{"a":"{}"#, "x".repeat(RESULT_BYTES_MAX)));
    let mut list = List::default();
    let mut scanner = Scanner::new(tick());
    let error = body.as_bytes().chunks(1000).cycle().find_map(|chunk| scanner.feed(chunk, &mut list).err());
    assert!(matches!(error, Some(Cause::Malformed { .. })));
    assert!(scanner.carry.capacity() < 4 * RESULT_BYTES_MAX);
}

#[test]
fn expected_series_are_compared_in_place() {
    let metric = |i: usize| format!(r#"{{"__name__":"m","i":"{i}"}}"#);
    let result = |i: usize| format!(r#"{{"metric":{},"value":[1435781451.781,"{i}"]}}"#, metric(i));
    let body = vector(&(0..100).map(result).collect::<Vec<_>>().join(","));
    let guesses: Vec<String> = (0..100).map(|i| if i == 50 { metric(51) } else { metric(i) }).collect();
    let list = scan(body.as_bytes(), &[], guesses).unwrap();
    let expected: Vec<_> = (0..100).map(|i| (metric(i), (i as f64).to_bits())).collect();
    assert_eq!(list.rows, expected);
    // Not the first, which shows how they are written, nor the last, which no comma follows.
    assert_eq!(list.hits, 97);
}

/// Strings that are hard on a scanner.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z_]{0,8}",
        any::<String>(),
        "[\"\\\\{},:\\[\\]]{0,6}",
        Just(r#""},"value":[1435781451.781,"7"]},{"metric":{"#.to_owned()),
    ]
}

fn result() -> impl Strategy<Value = Value> {
    let labels = prop::collection::btree_map(text(), text(), 0..5);
    let value = prop_oneof![
        any::<f64>().prop_map(|f| if f.is_nan() { "NaN".to_owned() } else { f.to_string() }),
        any::<u32>().prop_map(|i| i.to_string()),
    ];
    (labels, value, any::<bool>()).prop_map(|(labels, value, extra)| {
        let mut result = json!({"metric": labels, "value": [1435781451.781, value]});
        if extra {
            result["extra"] = json!(labels);
        }
        result
    })
}

fn body() -> impl Strategy<Value = (Vec<Value>, String)> {
    (prop::collection::vec(result(), 0..8), any::<bool>()).prop_map(|(results, pretty)| {
        let body = json!({"status": "success", "stats": {"x": results}, "data": {"resultType": "vector", "result": results}});
        let text = if pretty { serde_json::to_string_pretty(&body) } else { serde_json::to_string(&body) };
        (results, text.unwrap())
    })
}

fn bits(text: &str) -> u64 {
    let value: f64 = text.parse().unwrap();
    if value.is_nan() { NORMAL_NAN_BITS } else { value.to_bits() }
}

proptest! {
    #[test]
    fn reads_what_serde_json_reads_however_it_is_cut((results, body) in body(), mut cuts in prop::collection::vec(0usize..4000, 0..20)) {
        cuts.sort_unstable();
        let list = scan(body.as_bytes(), &cuts, Vec::new()).unwrap();
        prop_assert_eq!(list.rows.len(), results.len());
        for ((metric, value), expected) in list.rows.iter().zip(&results) {
            prop_assert_eq!(&serde_json::from_str::<Value>(metric).unwrap(), &expected["metric"]);
            prop_assert_eq!(*value, bits(expected["value"][1].as_str().unwrap()));
        }
    }

    #[test]
    fn one_changed_byte_never_panics_nor_depends_on_the_cuts(
        (_, body) in body(), at in 0usize..4000, byte: u8, mut cuts in prop::collection::vec(0usize..4000, 0..20),
    ) {
        let mut body = body.into_bytes();
        let at = at % body.len();
        body[at] = byte;
        cuts.sort_unstable();
        let one = scan(&body, &[], Vec::new());
        let two = scan(&body, &cuts, Vec::new());
        prop_assert_eq!(one.map(|l| l.rows).map_err(|e| std::mem::discriminant(&e)),
                        two.map(|l| l.rows).map_err(|e| std::mem::discriminant(&e)));
    }
}

#[test]
fn of_a_window_every_sample_comes_with_its_own_time_but_those_outside_it() {
    let window = Window { since: Timestamp(1_000), until: Timestamp(3_000) };
    let body = concat!(
        r#"{"status":"success","data":{"resultType":"matrix","result":["#,
        r#"{"metric":{"a":"1"},"values":[[1,"1"],[1.001,"2"],[3,"NaN"],[3.001,"4"]],"histograms":[[2,{}],[9,{}]]},"#,
        r#"{"metric":{"a":"2"},"values":[[0.5,"1"]]}]}}"#
    );
    for size in [1, 7, body.len()] {
        let (mut list, mut scanner) = (List::default(), Scanner::of_window(window));
        body.as_bytes().chunks(size).for_each(|chunk| scanner.feed(chunk, &mut list).unwrap());
        scanner.finish(&mut list).unwrap();
        let first = vec![(1_001, 2.0_f64.to_bits()), (3_000, NORMAL_NAN_BITS)];
        let both = [(r#"{"a":"1"}"#.to_owned(), first, 1), (r#"{"a":"2"}"#.to_owned(), Vec::new(), 0)];
        assert_eq!(list.windows, both);
    }
}
