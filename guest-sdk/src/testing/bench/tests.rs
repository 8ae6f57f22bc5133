//! The bench itself, with filters that keep the contract and filters that break it.

use std::collections::BTreeMap;

use super::*;
use crate::{EMITTED_MAX, Emitted, Row, SeriesId, State, Verdict};

/// Sums what it sees by zone, as `total`; ends a total without samples. Configured with what it refuses.
#[derive(Debug)]
struct Totals {
    config: Config,
    zones: BTreeMap<SeriesId, String>,
    totals: BTreeMap<String, (Option<Emitted>, Vec<f64>)>,
    forgotten: Vec<SeriesId>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Config {
    refused_zone: String,
    refused_value: Option<f64>,
    announced: usize,
    emitted: usize,
    rules: Vec<BTreeMap<String, u8>>,
}

impl LabelFilter for Totals {
    type Config = Config;
    const STATE: State = State::Sample;

    fn new(config: Config, _tenant: &Tenant) -> Result<Self, String> {
        let (zones, totals, forgotten) = Default::default();
        Ok(Totals { config, zones, totals, forgotten })
    }

    fn classify(&mut self, series: &mut crate::Series<'_>) -> Verdict {
        let zone = series.get("zone").unwrap_or_default().to_owned();
        series.set("seen", "yes");
        self.zones.insert(series.id(), zone.clone());
        if zone == "none" {
            return Verdict::Drop;
        }
        if !self.config.refused_zone.is_empty() && zone == self.config.refused_zone {
            self.config.refused_zone.clear();
            return series.refuse("not this zone");
        }
        if zone == "merged" {
            series.remove("pod");
        }
        Verdict::Keep
    }

    fn forget(&mut self, ended: &[SeriesId]) {
        self.forgotten.extend(ended);
        self.zones.retain(|id, _| !ended.contains(id));
    }
}

impl SampleFilter for Totals {
    fn process(&mut self, tick: Tick, rows: &mut crate::Rows<'_>) {
        for i in 0..rows.len() {
            let row = rows.get(i);
            let (Some(value), false) = (row.value, row.is_stale()) else { continue };
            self.totals.entry(self.zones[&row.series].clone()).or_default().1.push(value);
            if value < 0.0 {
                rows.drop(i);
            }
            if Some(value) == self.config.refused_value {
                self.config.refused_value = None;
                rows.refuse("not this value");
            }
        }
        for _ in 0..std::mem::take(&mut self.config.announced) {
            rows.announce([("__name__", "many")]);
        }
        if tick.last {
            for (zone, (series, values)) in &mut self.totals {
                let labels = [("__name__", "total"), ("zone", zone)];
                let series = *series.get_or_insert_with(|| rows.announce(labels));
                for _ in 0..self.config.emitted {
                    rows.emit(series, tick.at, 1.0);
                }
                match std::mem::take(values) {
                    none if none.is_empty() => rows.emit_stale(series, tick.at),
                    values => rows.emit(series, tick.at, values.iter().sum()),
                }
            }
        }
    }
}

use crate::Tick;

fn bench(config: &str) -> Bench<Totals> {
    Bench::samples(config).unwrap()
}

#[test]
fn samples_go_on_and_totals_beside_them_in_one_order() {
    let mut bench = bench("{}");
    let first = bench.tick("b{zone=\"x\"} 2\na{zone=\"x\"} 1.5\nb{zone=\"y\"} -1\nc{zone=\"none\"} 1\n");
    assert_eq!(
        first.unwrap(),
        "a{seen=\"yes\",zone=\"x\"} 1.5\nb{seen=\"yes\",zone=\"x\"} 2\ntotal{zone=\"x\"} 3.5\ntotal{zone=\"y\"} -1\n"
    );
    let second = bench.tick("a{zone=\"x\"} +Inf\nb{zone=\"x\"} stale\nh{zone=\"x\"} opaque\n");
    assert_eq!(
        second.unwrap(),
        "a{seen=\"yes\",zone=\"x\"} +Inf\nb{seen=\"yes\",zone=\"x\"} stale\nh{seen=\"yes\",zone=\"x\"} opaque\n\
         total{zone=\"x\"} +Inf\ntotal{zone=\"y\"} stale\n"
    );
}

#[test]
fn a_tick_may_come_in_batches_and_with_several_samples_of_a_series() {
    let mut bench = bench("{}").in_batches_of(1);
    let out = bench.tick("a{zone=\"x\"} 1 30000\na{zone=\"x\"} 2\nb{zone=\"x\"} 3\n");
    assert_eq!(
        out.unwrap(),
        "a{seen=\"yes\",zone=\"x\"} 1 30000\na{seen=\"yes\",zone=\"x\"} 2\nb{seen=\"yes\",zone=\"x\"} 3\ntotal{zone=\"x\"} 6\n"
    );
}

#[test]
fn input_that_cannot_be_is_refused_where_it_stands() {
    for (text, cause) in [
        ("a 1\na 2", "a stands twice at 60000"),
        ("a{x=\"y\"} one", "a{x=\"y\"}: one is no value"),
        ("a 1 2s", "a: 2s is no timestamp in milliseconds"),
        ("a 1 0", "a: 0 is not of the tick, (0, 60000]"),
        ("a 1 2 3", "a: \"3\" after the timestamp"),
        (
            "a{zone=\"merged\",pod=\"1\"} 1\na{zone=\"merged\",pod=\"2\"} 1",
            "two samples become a{seen=\"yes\",zone=\"merged\"} at 60000: only one is delivered",
        ),
    ] {
        assert_eq!(bench("{}").tick(text).unwrap_err().to_string(), cause);
    }
}

#[test]
fn an_error_in_the_configuration_has_its_path() {
    let refused = Bench::<Totals>::samples(r#"{"rules": [{}, {"a": "b"}]}"#).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "config: rules[1].a: \"b\" is not a whole number of at least 0: write it without quotes"
    );
}

#[test]
fn a_refused_classification_is_forgotten_and_asked_again() {
    let mut bench = bench(r#"{"refused_zone": "y"}"#);
    let text = "a{zone=\"x\"} 1\nb{zone=\"y\"} 2\nc{zone=\"z\"} 3\n";
    assert_eq!(bench.tick(text).unwrap_err().to_string(), "classify: not this zone");
    assert_eq!(bench.guest.filter().forgotten, [SeriesId(0), SeriesId(1)]);
    assert!(bench.guest.filter().zones.is_empty());
    assert_eq!(
        bench.tick(text).unwrap(),
        "a{seen=\"yes\",zone=\"x\"} 1\nb{seen=\"yes\",zone=\"y\"} 2\nc{seen=\"yes\",zone=\"z\"} 3\n\
         total{zone=\"x\"} 1\ntotal{zone=\"y\"} 2\ntotal{zone=\"z\"} 3\n"
    );
}

#[test]
fn what_a_refused_batch_announced_stays_good_and_what_it_emitted_is_void() {
    let mut bench = bench(r#"{"refused_value": 7}"#);
    assert_eq!(bench.tick("a{zone=\"x\"} 7\n").unwrap_err().to_string(), "process: not this value");
    // A classification between the two answers has strings of its own.
    let out = bench.tick("a{zone=\"x\"} 1\nb{zone=\"y\"} 2\n").unwrap();
    assert_eq!(
        out,
        "a{seen=\"yes\",zone=\"x\"} 1\nb{seen=\"yes\",zone=\"y\"} 2\ntotal{zone=\"x\"} 1\ntotal{zone=\"y\"} 2\n"
    );
}

#[test]
fn more_samples_than_an_answer_may_have_are_a_refusal() {
    let mut bench = bench(&format!(r#"{{"emitted": {EMITTED_MAX}}}"#));
    let refused = bench.tick("a 1\n").unwrap_err().to_string();
    assert_eq!(refused, "process: the filter emits more than 100000 samples in one answer");
}

#[test]
#[should_panic(expected = "the filter emits 100000 series, which is all that an instance may")]
fn more_series_than_an_instance_may_have_are_a_panic_with_words() {
    let _ = bench(&format!(r#"{{"announced": {EMITTED_MAX}}}"#)).tick("a 1\n");
}

#[test]
fn a_filter_can_ask_whether_there_is_room_for_a_series() {
    let (host, mut announced) = (crate::dictionary::Dictionary::default(), crate::rows::Announced::default());
    let none = Rows { series: vec![], timestamps: vec![], values: vec![], opaque: vec![] };
    let mut rows = crate::Rows::new(none, &host, &mut announced);
    for _ in 0..EMITTED_MAX {
        assert!(rows.try_announce([("__name__", "many")]).is_ok());
    }
    assert_eq!(rows.try_announce([("__name__", "many")]), Err(crate::TooManySeries));
    assert_eq!(rows.into_outcome().unwrap().new_ends.len(), EMITTED_MAX);
}

#[test]
fn only_prometheus_own_marker_is_one() {
    let row = |bits| Row { series: SeriesId(0), timestamp: 0, value: Some(f64::from_bits(bits)) };
    assert!(row(0x7ff0_0000_0000_0002).is_stale());
    assert!(!row(f64::NAN.to_bits()).is_stale());
    assert!(!Row { value: None, ..row(0) }.is_stale());
}
