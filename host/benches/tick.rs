//! The whole tick without network: from the bytes of a source's answer to compressed requests, through the series table,
//! the three built-in filters in Wasm, and the outputs.
//!
//! The floor is what no design can avoid: moving the answer through memory, looking at its label bytes once, and
//! compressing what is sent. It is measured in the same run, on the same bytes.

mod common;

use std::hash::BuildHasher;
use std::hint::black_box;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::Group;
use common::response::{Response, response};
use serde_json::json;
use sluice::collect::{self, Collected, Table, TableConfig};
use sluice::deliver::encode::Limits;
use sluice::filter::{self, Runtime, Step, builtin};
use sluice::model::memory::Held;
use sluice::model::{HonorLabels, Interval, Labels, Source, SourceName, Stamps, Tick, Timestamp};
use sluice::pipeline::{Answer, Assembler, Batches, Conclude, Encoded, Encoding, Outputs};

const SERIES: usize = 100_000;
const NEW: usize = SERIES / 20;

/// As a kernel hands them over on a fast network.
const CHUNK_BYTES: usize = 128 << 10;

const MILLIS: i64 = 1_763_800_000_000;

/// Each round of a case with new series first fills tables with 100,000.
const ROUNDS: usize = 11;

fn main() {
    let runtime = Runtime::new(&filter::Config::default()).unwrap();
    let batches = Batches::new(Limits::default());
    let steady: Vec<Response> = (0..2).map(|i| response(0, SERIES, MILLIS + 30_000 * i + 781)).collect();
    let churned = response(NEW, SERIES, MILLIS + 60_781);

    let mut lane = Lane::new(&runtime);
    let first = lane.tick(&batches, &steady[0]);
    let raw: Vec<Vec<u8>> = first.requests.iter().map(|r| uncompressed(&r.body)).collect();
    let bytes = steady[0].body.len();
    let mut copy = vec![0u8; bytes];
    let mut block = vec![0; raw.iter().map(|r| snap::raw::max_compress_len(r.len())).max().unwrap_or(0)];
    let hasher = foldhash::fast::RandomState::default();
    let mut group = Group::new("whole tick, three filters in Wasm", SERIES, bytes);

    group.floor("memcpy of the response", || {
        copy.copy_from_slice(steady[0].body.as_bytes());
        black_box(&mut copy)[bytes / 2]
    });
    group.floor("foldhash over its label bytes", || {
        steady[0].labels.iter().fold(0, |sum, raw| sum ^ hasher.hash_one(raw.as_bytes()))
    });
    group.floor("snap of the same output bytes", || {
        let mut encoder = snap::raw::Encoder::new();
        raw.iter().map(|raw| encoder.compress(raw, &mut block).unwrap()).sum::<usize>()
    });

    let mut turn = 0;
    group.case("steady", || {
        turn = 1 - turn;
        lane.tick(&batches, &steady[turn]).requests.len()
    });
    let filled = || {
        let mut lane = Lane::new(&runtime);
        lane.tick(&batches, &steady[0]);
        lane
    };
    group.case_with("5 % of the series new", filled, |lane| lane.tick(&batches, &churned).requests.len());
    let empty = || Lane::new(&runtime);
    group.case_with("all new", empty, |lane| lane.tick(&batches, &steady[0]).requests.len());
    group.run(ROUNDS);
    print_shares(&runtime, &batches, &steady, &churned);
}

/// How much of each kind of tick is spent in guests. A lane's instances work in the lane's own thread, so their elapsed
/// time is compared with the tick's.
#[allow(clippy::print_stdout)]
fn print_shares(runtime: &Runtime, batches: &Batches, steady: &[Response], churned: &Response) {
    println!("\n{:<48} {:>12} {:>10}", "share spent in Wasm", "ns/sample", "of tick");
    let mut lane = Lane::new(runtime);
    for (name, answer) in
        [("all new", &steady[0]), ("steady", &steady[1]), ("5 % of the series new", churned)]
    {
        let (guests, start) = (lane.in_guests(), std::time::Instant::now());
        lane.tick(batches, answer);
        let (took, guests) = (start.elapsed(), lane.in_guests() - guests);
        let share = 100.0 * guests.as_secs_f64() / took.as_secs_f64();
        println!("{name:<48} {:>12.1} {share:>9.1}%", guests.as_nanos() as f64 / SERIES as f64);
    }
}

/// One lane's tables and filters, without its sources and its endpoint.
struct Lane {
    table: Table,
    assembler: Assembler,
    source: Arc<Source>,
}

impl Lane {
    fn new(runtime: &Runtime) -> Lane {
        let stamps =
            Labels::from_pairs([("managed_by", "multi-tenant-proxy"), ("tenant", "team-a")]).unwrap();
        let step = |builtin, config| {
            let module = runtime.builtin(builtin).unwrap().clone();
            Step::new(module.manifest().name.clone(), module, config)
        };
        let enrich =
            json!({ "stamps": stamps.iter().collect::<Vec<_>>(), "honorLabels": false, "protected": [] });
        let rules = json!({ "rules": [
            { "sourceLabels": ["namespace"], "regex": "kube-system", "action": "drop" },
            { "regex": "image", "action": "labeldrop" },
        ] });
        let steps = vec![
            step(
                builtin::PATTERNS,
                json!({ "selectors": ["{__name__=~\".+\",cluster=\"prod-eu-west-1\"}"] }),
            ),
            step(builtin::RELABEL, rules),
            step(builtin::ENRICH, enrich),
        ];
        let tenant = filter::Tenant::alone("team-a", "all");
        let filters = runtime.sequence(&tenant, steps).unwrap();
        let stamps = Stamps { labels: stamps, honor: HonorLabels::Stamp, protected: Vec::new() };
        let outputs = Arc::new(Mutex::new(Outputs::default()));
        let interval = Interval::new(Duration::from_secs(30)).unwrap();
        let assembler =
            Assembler::new(filters, interval, stamps, Encoding::RemoteWrite, None, outputs, Held::default);
        let table = Table::new(TableConfig { series_max: SERIES, ..TableConfig::default() });
        Lane { table, assembler, source: source() }
    }

    fn tick(&mut self, batches: &Batches, response: &Response) -> Encoded {
        let tick = tick(response.millis);
        let answer = self.table.absorb(tick, response.body.as_bytes().chunks(CHUNK_BYTES)).unwrap();
        let collected = Collected {
            source: self.source.clone(),
            tick,
            parts: vec![Arc::new(answer).part("")],
            bytes: 0,
            series: SERIES,
            histograms: 0,
            nameless: 0,
            illegal: 0,
            collisions: 0,
            ends: collect::Ends::Absent,
            skew_millis: None,
        };
        let answers = [Answer { group: 0, rank: 0, collected }];
        let (taken, encoded) = batches.encode(|requests| {
            self.assembler.tick(tick, tick.timestamp(), &answers, Timestamp(0), |outputs| {
                let at = tick.timestamp();
                outputs.emit(tick, Conclude::Ended, |labels, value| requests.push(labels, at, value))
            })
        });
        assert_eq!(taken.unwrap().1.samples, SERIES);
        self.assembler.settle(tick, Conclude::Ended);
        encoded
    }

    fn in_guests(&self) -> Duration {
        self.assembler.usage().map(|usage| usage.guest_time).sum()
    }
}

fn tick(millis: i64) -> Tick {
    Tick::at_or_before(Timestamp(millis), Interval::new(Duration::from_millis(1)).unwrap())
}

fn uncompressed(body: &[u8]) -> Vec<u8> {
    snap::raw::Decoder::new().decompress_vec(body).unwrap()
}

fn source() -> Arc<Source> {
    Arc::new(Source {
        name: SourceName::new("bench"),
        url: "http://127.0.0.1:9090".parse().unwrap(),
        labels: Labels::default(),
        external_labels: Labels::default(),
        lag: Duration::ZERO,
        settle: Duration::from_secs(120),
        timeout: Duration::from_secs(10),
        series_max: SERIES,
        replica_group: None,
        audience: Default::default(),
        access: Default::default(),
        compression: Default::default(),
    })
}
