//! What a receiver is told when a filter of samples stands in a lane.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;

use super::*;
use crate::collect::{self, Collected, Table, TableConfig};
use crate::deliver::encode;
use crate::filter::{self, Module, Runtime, Step, Tenant, builtin, fixtures::guests};
use crate::model::memory::{Full, Payer};
use crate::model::{FilterMode, HonorLabels, Memory, OnFailure, Source, Stamps};
use crate::pipeline::outputs::{Conclude, Floor};
use crate::pipeline::{Answer, Assembler, Encoding};

/// One lane: a source, filters, and what its receiver was told.
struct Lane {
    table: Table,
    assembler: Assembler,
}

/// A value, or that it ended.
const ENDED: &str = "ended";

impl Lane {
    /// `patterns`, then totals by `job`, then `enrich`.
    fn new() -> Lane {
        Lane::with(FilterMode::Enforce, OnFailure::Fail)
    }

    fn with(mode: FilterMode, on_failure: OnFailure) -> Lane {
        Lane::paid_by(Payer::unlimited("shop"), mode, on_failure).unwrap()
    }

    fn paid_by(payer: Payer, mode: FilterMode, on_failure: OnFailure) -> Result<Lane, filter::Error> {
        let config = filter::Config { instances_max: 16, call_millis_max: 20_000, ..Default::default() };
        let runtime = Runtime::new(&config).unwrap();
        let totals = runtime.load("totals", &guests().totals).unwrap();
        let stamps = Labels::from_pairs([("tenant", "shop")]).unwrap();
        let step = |module: &Module, config| {
            let name = module.manifest().name.clone();
            Step::new(name, module.clone(), config)
        };
        let steps = vec![
            step(runtime.builtin(builtin::PATTERNS).unwrap(), json!({"selectors": ["up", "other"]})),
            Step { mode, on_failure, ..step(&totals, json!({"by": "job"})) },
            step(runtime.builtin(builtin::ENRICH).unwrap(), json!({"stamps": [["tenant", "shop"]]})),
        ];
        let (namespace, name, source) = ("shop".into(), "web".into(), String::new());
        let tenant = Tenant { namespace, name, source, payer: payer.clone() };
        let filters = runtime.sequence(&tenant, steps)?;
        let stamps = Stamps { labels: stamps, honor: HonorLabels::Stamp, protected: Vec::new() };
        let outputs = Arc::new(Mutex::new(Outputs::default()));
        let encoding = Encoding::RemoteWrite;
        let assembler =
            Assembler::new(filters, interval(), stamps, encoding, None, outputs, || payer.hold_own());
        let table = Table::new(TableConfig { series_max: 1_000, ..TableConfig::default() });
        Ok(Lane { table, assembler })
    }

    /// One tick in which a source has these series of `up`, by instance, job and value; what the receiver is told.
    fn tick(&mut self, n: i64, series: &[(&str, &str, f64)]) -> BTreeMap<String, String> {
        let told = self.try_tick(n, series).unwrap();
        self.assembler.settle(tick(n), Conclude::Ended);
        told
    }

    fn try_tick(&mut self, n: i64, series: &[(&str, &str, f64)]) -> Result<BTreeMap<String, String>, Error> {
        let answers = [Answer { group: 0, rank: 0, collected: self.answer(n, series) }];
        let idle_before = tick(n).timestamp().minus(interval().duration() * 3);
        let mut told = BTreeMap::new();
        self.assembler.tick(tick(n), tick(n).timestamp(), &answers, idle_before, |outputs| {
            outputs.emit(tick(n), Conclude::Ended, |labels, value| {
                let labels = Encoding::RemoteWrite.read(labels).unwrap().to_string();
                let value =
                    if value.to_bits() == STALE_NAN_BITS { ENDED.to_owned() } else { value.to_string() };
                assert_eq!(told.insert(labels, value), None, "no identity is told twice");
            })
        })?;
        Ok(told)
    }

    fn answer(&mut self, n: i64, series: &[(&str, &str, f64)]) -> Collected {
        let mut body = String::from(r#"{"status":"success","data":{"resultType":"vector","result":["#);
        for (i, (instance, job, value)) in series.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            let labels = format!(r#"{{"__name__":"up","instance":"{instance}","job":"{job}"}}"#);
            write!(body, r#"{comma}{{"metric":{labels},"value":[{n},"{value}"]}}"#).unwrap();
        }
        body.push_str("]}}");
        let answer = self.table.absorb(tick(n), std::iter::once(body.as_bytes())).unwrap();
        Collected {
            source: source(),
            tick: tick(n),
            parts: vec![Arc::new(answer).part("")],
            bytes: 0,
            series: series.len(),
            histograms: 0,
            nameless: 0,
            illegal: 0,
            collisions: 0,
            ends: collect::Ends::Absent,
            skew_millis: None,
        }
    }

    /// One tick of a lane that takes all samples: of each instance those of the time that was read, in milliseconds; what the receiver is
    /// told.
    fn window(&mut self, n: i64, series: &[(&str, &[(i64, f64)])]) -> Vec<(String, Vec<(i64, String)>)> {
        let mut batch = encode::Batch::new(encode::Limits::default());
        for (instance, samples) in series {
            let labels = [("__name__", "up"), ("instance", *instance), ("job", "a")];
            let mut encoded = Vec::new();
            encode::append(&Labels::from_pairs(labels).unwrap(), &mut encoded);
            let samples: Vec<_> = samples.iter().map(|(at, value)| (Timestamp(*at), *value)).collect();
            batch.push_samples(&encoded, &samples).unwrap();
        }
        let response = encode::as_read(&encode::decoded(&batch.finish().unwrap()));
        let ever = collect::read::Window { since: Timestamp(0), until: tick(n).timestamp() };
        let answer = self.table.absorb_samples(tick(n), ever, &response).unwrap();
        let part = Arc::new(answer).part("");
        let collected = Collected { parts: vec![part], ..self.answer(n, &[]) };
        let answers = [Answer { group: 0, rank: 0, collected }];
        let mut told = Vec::new();
        let emit = |outputs: &Outputs| {
            outputs.emit_runs(tick(n), Conclude::Unwanted, |_, labels, run| {
                let labels = Encoding::RemoteWrite.read(labels).unwrap().to_string();
                let values = run.values.iter().map(|value| match value.to_bits() {
                    STALE_NAN_BITS => ENDED.to_owned(),
                    _ => value.to_string(),
                });
                told.push((labels, run.at.iter().copied().zip(values).collect()));
            })
        };
        self.assembler.tick(tick(n), tick(n).timestamp(), &answers, Timestamp(0), emit).unwrap();
        told.sort();
        told
    }

    fn totals(&self) -> &Usage {
        self.assembler.usage().nth(1).unwrap()
    }
}

fn interval() -> Interval {
    Interval::new(Duration::from_secs(1)).unwrap()
}

fn tick(n: i64) -> Tick {
    Tick::at_or_before(Timestamp(n * 1_000), interval())
}

fn source() -> Arc<Source> {
    Arc::new(Source::plain("test", "http://127.0.0.1:9090"))
}

fn up(instance: &str, job: &str) -> String {
    format!("up{{instance={instance:?},job={job:?},tenant=\"shop\"}}")
}

fn total(job: &str) -> String {
    format!("total{{job={job:?},tenant=\"shop\"}}")
}

fn told(rows: &[(String, &str)]) -> BTreeMap<String, String> {
    rows.iter().map(|(series, value)| (series.clone(), (*value).to_owned())).collect()
}

#[test]
fn samples_are_shown_and_what_is_emitted_goes_through_the_filters_behind() {
    let mut lane = Lane::new();
    for n in 1..4 {
        let seen = lane.tick(n, &[("1", "a", 1.5), ("2", "a", 2.0), ("3", "b", 7.0)]);
        let expected = [
            (up("1", "a"), "1.5"),
            (up("2", "a"), "2"),
            (up("3", "b"), "7"),
            (total("a"), "3.5"),
            (total("b"), "7"),
        ];
        assert_eq!(seen, told(&expected), "tick {n}");
    }
    let usage = lane.totals();
    assert_eq!((usage.samples_in, usage.samples_emitted, usage.rows_in), (9, 6, 3));
}

#[test]
fn of_a_series_with_several_samples_each_is_shown_once_and_keeps_its_time() {
    let mut lane = Lane::new();
    lane.assembler.take_all(Floor { at: Timestamp(900), again: None });
    let stale = f64::from_bits(STALE_NAN_BITS);
    let run = |samples: &[(i64, &str)]| {
        samples.iter().map(|(at, value)| (*at, (*value).to_owned())).collect::<Vec<_>>()
    };
    let first: [(&str, &[(i64, f64)]); 2] =
        [("1", &[(800, 9.0), (1_100, 1.0), (1_600, -1.0), (1_900, 2.0)]), ("2", &[(1_200, 4.0)])];
    let expected = vec![
        (total("a"), run(&[(2_000, "7")])),
        (up("1", "a"), run(&[(1_100, "1"), (1_900, "2")])),
        (up("2", "a"), run(&[(1_200, "4")])),
    ];
    assert_eq!(lane.window(2, &first), expected);
    assert_eq!(lane.window(2, &first), expected, "the same tick again");
    assert_eq!(lane.totals().samples_in, 4, "and nothing is shown twice");
    lane.assembler.settle(tick(2), Conclude::Unwanted);
    let then: [(&str, &[(i64, f64)]); 2] = [
        ("1", &[(1_900, 2.0), (2_100, 3.0), (2_500, stale)]),
        ("2", &[(1_200, 4.0), (1_300, 5.0), (2_200, 6.0)]),
    ];
    let told = lane.window(3, &then);
    assert_eq!(told[1], (up("1", "a"), run(&[(2_100, "3"), (2_500, ENDED)])));
    assert_eq!(told[2], (up("2", "a"), run(&[(1_300, "5"), (2_200, "6")])), "one was stored late");
    assert_eq!(lane.totals().samples_in, 8);
}

#[test]
fn a_sample_that_is_held_back_is_no_end() {
    let mut lane = Lane::new();
    lane.tick(1, &[("1", "a", 1.0)]);
    let seen = lane.tick(2, &[("1", "a", -1.0)]);
    assert_eq!(seen, told(&[(total("a"), ENDED)]), "the total has nothing to sum, and says so");
    assert_eq!(lane.tick(3, &[("1", "a", -1.0)]), told(&[]));
    assert_eq!(lane.tick(4, &[("1", "a", 2.0)]), told(&[(up("1", "a"), "2"), (total("a"), "2")]));
    assert_eq!(lane.tick(5, &[]), told(&[(up("1", "a"), ENDED), (total("a"), ENDED)]));
    assert_eq!(lane.tick(6, &[]), told(&[]));
}

#[test]
fn a_tick_that_is_assembled_again_is_not_processed_again() {
    let mut lane = Lane::new();
    let series = [("1", "a", 1.0), ("2", "b", 2.0)];
    lane.tick(1, &series);
    let first = lane.try_tick(2, &series).unwrap();
    let late = [("1", "a", 1.0), ("2", "b", 2.0), ("3", "b", 3.0)];
    assert_eq!(lane.try_tick(2, &late).unwrap(), first, "the tick is closed for who comes late");
    assert_eq!(lane.totals().samples_in, 4);
    lane.assembler.settle(tick(2), Conclude::Ended);
    assert_eq!(lane.tick(3, &late)[&total("b")], "5");
}

#[test]
fn a_filter_that_broke_is_asked_about_everything_again() {
    let mut lane = Lane::new();
    lane.tick(1, &[("1", "a", 1.0), ("2", "b", 2.0)]);
    let error = lane.try_tick(2, &[("1", "a", 1.0), ("2", "b", 666.0)]).unwrap_err();
    assert!(error.to_string().contains("the number of the beast"), "{error}");
    let seen = lane.tick(3, &[("1", "a", 1.0), ("3", "c", 4.0)]);
    let expected = [
        (up("1", "a"), "1"),
        (up("2", "b"), ENDED),
        (up("3", "c"), "4"),
        (total("a"), "1"),
        (total("b"), ENDED),
        (total("c"), "4"),
    ];
    assert_eq!(seen, told(&expected));
    assert_eq!(lane.totals().instances, 2);
}

#[test]
fn series_that_ended_are_forgotten_and_their_numbers_used_again() {
    let mut lane = Lane::new();
    for n in 1..200 {
        let (instance, job) = (format!("i{n}"), format!("j{n}"));
        let seen = lane.tick(n, &[(&instance, &job, 1.0)]);
        assert_eq!(seen[&total(&job)], "1");
        assert_eq!(seen.len(), if n == 1 { 2 } else { 4 }, "two series, and two that ended");
    }
    let stage = &lane.assembler.stages()[0];
    assert!(stage.known.len() < 10, "{} numbers", stage.known.len());
}

#[test]
fn a_filter_that_is_only_watched_leaves_a_lane_as_it_is() {
    let mut lane = Lane::with(FilterMode::Monitor, OnFailure::Fail);
    for n in 1..3 {
        let seen = lane.tick(n, &[("1", "a", 1.0), ("2", "a", -2.0)]);
        assert_eq!(seen, told(&[(up("1", "a"), "1"), (up("2", "a"), "-2")]));
    }
    assert_eq!((lane.totals().samples_dropped, lane.totals().samples_emitted), (2, 2));
}

#[test]
fn samples_go_past_a_filter_that_fails_and_may_and_what_it_emitted_ends() {
    let mut lane = Lane::with(FilterMode::Enforce, OnFailure::Ignore);
    assert_eq!(lane.tick(1, &[("1", "a", 1.0)]).len(), 2);
    let seen = lane.tick(2, &[("1", "a", -3.0), ("2", "b", 666.0)]);
    let expected = [(up("1", "a"), "-3"), (up("2", "b"), "666"), (total("a"), ENDED)];
    assert_eq!(seen, told(&expected), "all of the batch it failed on passes, and its sums are gone with it");
    let seen = lane.tick(3, &[("1", "a", 4.0), ("2", "b", 5.0)]);
    let expected = [(up("1", "a"), "4"), (up("2", "b"), "5"), (total("a"), "4"), (total("b"), "5")];
    assert_eq!(seen, told(&expected), "it is asked again");
}

#[test]
fn a_filters_memory_is_its_namespaces_and_is_paid_for_before_it_is_there() {
    let memory = Memory::new(usize::MAX);
    let lane =
        |bytes_max| Lane::paid_by(memory.payer("shop", bytes_max), FilterMode::Enforce, OnFailure::Fail);
    let error = lane(1 << 20).err().unwrap();
    let full = Full::Namespace { max: 1 << 20 };
    assert!(matches!(&error, filter::Error::Full { source, .. } if *source == full), "{error}");
    let held = || memory.payer("shop", 64 << 20).hold().of_namespace();
    assert_eq!(held(), 0, "what was refused is given back");
    let mut kept = lane(64 << 20).unwrap();
    assert_eq!(kept.tick(2, &[("1", "a", 1.0)]).len(), 2);
    assert!(held() > 1 << 20, "{} bytes", held());
    drop(kept);
    assert_eq!(held(), 0);
}

#[test]
fn what_a_filter_has_us_keep_is_paid_for_or_it_begins_anew() {
    let memory = Memory::new(usize::MAX);
    let payer = memory.payer("shop", 64 << 20);
    let mut lane = Lane::paid_by(payer.clone(), FilterMode::Enforce, OnFailure::Fail).unwrap();
    lane.tick(1, &[("1", "a", 1.0)]);
    let held = payer.hold().of_namespace();
    // Of the series there is one more, which is paid for; for the sum that comes of it there is no room.
    let series = ("2", "b", 1.0);
    lane.tick(2, &[("1", "a", 1.0), series]);
    let with_another = payer.hold().of_namespace();
    drop(lane);
    let mut lane = Lane::paid_by(payer.clone(), FilterMode::Enforce, OnFailure::Fail).unwrap();
    lane.tick(1, &[("1", "a", 1.0)]);
    assert_eq!(payer.hold().of_namespace(), held);
    memory.payer("shop", with_another - 1);
    let error = lane.try_tick(2, &[("1", "a", 1.0), series]).unwrap_err();
    assert!(matches!(error, Error::Memory(Full::Namespace { .. })), "{error}");
    memory.payer("shop", 64 << 20);
    assert_eq!(lane.tick(3, &[("1", "a", 1.0), series]).len(), 4);
}
