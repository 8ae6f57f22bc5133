//! Differential: our selection and a real Prometheus' must agree, on every row of the pattern table and on generated
//! selectors; and ours is asked where it decides, in the `patterns` component.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use prost::Message as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use sluice::filter::{Chain, Config, Runtime, Step, Tenant, builtin};
use sluice::model::memory::Payer;
use sluice::model::{Labels, pattern};
use sluice_filter::selector::Selector;
use sluice_tests::prom_api::Api;
use sluice_tests::selectors;
use sluice_tests::series::{LabelSet, series};
use sluice_tests::servers::Prometheus;
use sluice_tests::strict_receiver::wire::{Label, TimeSeries, WireSample, WriteRequest};
use sluice_tests::wait::now_ms;

const GENERATED: usize = 500;

const NAMES: &[&str] = &[
    "up",
    "down",
    "http_requests_total",
    "http_requests_total_bucket",
    "http_request_duration_seconds",
    "foo_bar",
    "my_foo_bar",
    "foo",
    "http.requests",
    "http_requests",
    "anything",
    "m",
    "a:b",
    "A",
    "_",
    "Ünïcode",
    "http__",
];
const LABELS: &[&str] = &["job", "a", "zone", "le", "instance"];
const VALUES: &[&str] = &[
    "a",
    "b",
    "ab",
    "aab",
    "x",
    "x,y",
    "q\"z",
    "\\",
    "webapp",
    "webapp-2",
    "WEBAPP",
    "a.b",
    "a b",
    "é",
    "日本",
    "1",
    "12",
    "+Inf",
    "0.5",
    "localhost:9090",
    "{}",
    "a|b",
    "^a",
    "a$",
    "_",
    "\u{a0}",
    "٣",
];

/// A few hundred series that differ in everything a selector can ask about.
fn population() -> Vec<LabelSet> {
    let mut random = StdRng::seed_from_u64(1);
    let mut all = BTreeSet::new();
    for name in NAMES {
        all.insert(series(name, []));
        for label in LABELS {
            for _ in 0..6 {
                let value = VALUES.choose(&mut random).unwrap();
                all.insert(series(name, [(*label, *value)]));
                let other = (LABELS.choose(&mut random).unwrap(), VALUES.choose(&mut random).unwrap());
                all.insert(series(name, [(*label, *value), (other.0, other.1)]));
            }
        }
    }
    for (name, labels) in [("http_requests_total", ("job", "a")), ("m", ("a", "q\"z")), ("up", ("job", "ab"))]
    {
        all.insert(series(name, [labels]));
    }
    all.into_iter().collect()
}

/// Compiling the built-in components takes seconds; both tests ask the same ones.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new(&Config::default()).unwrap());

struct Judges {
    server: Prometheus,
    at: i64,
    population: Vec<Labels>,
}

impl Judges {
    async fn new() -> Judges {
        let server = Prometheus::receiver().await;
        let at = now_ms();
        let population = population();
        let label = |(name, value): (&String, &String)| Label {
            name: name.as_bytes().into(),
            value: value.as_bytes().into(),
        };
        let one = |set: &LabelSet| TimeSeries {
            labels: set.0.iter().map(label).collect(),
            samples: vec![WireSample { value: Some(1.0), timestamp: at }],
            histograms: Vec::new(),
        };
        let request = WriteRequest { timeseries: population.iter().map(one).collect() };
        let body = snap::raw::Encoder::new().compress_vec(&request.encode_to_vec()).unwrap();
        let headers = [("content-encoding", "snappy"), ("content-type", "application/x-protobuf")];
        let url = format!("{}/api/v1/write", server.url());
        let answer = sluice_tests::http::request(http::Method::POST, &url, &headers, body).await.unwrap();
        assert_eq!(answer.status, 204, "{}", answer.text());
        let labels =
            |set: &LabelSet| Labels::from_pairs(set.0.iter().map(|(n, v)| (n.as_str(), v.as_str()))).unwrap();
        let population = population.iter().map(labels).collect();
        Judges { server, at, population }
    }

    /// The series Prometheus takes, or its refusal.
    async fn prometheus(&self, promql: &str) -> Result<BTreeSet<LabelSet>, String> {
        let api: Api = self.server.api();
        api.series(promql, (self.at - 1000, self.at + 1000)).await.map_err(|e| format!("{e:#}"))
    }

    /// The series our component takes.
    fn ours(&self, selector: &Selector) -> BTreeSet<LabelSet> {
        let tenant = Tenant {
            namespace: "team".into(),
            name: "a".into(),
            source: "team".into(),
            payer: Payer::unlimited("team"),
        };
        let config = serde_json::json!({ "selectors": [selector.to_string()] });
        let step = Step::new("patterns", RUNTIME.builtin(builtin::PATTERNS).unwrap().clone(), config);
        let mut chain: Chain = RUNTIME.chain(tenant, vec![step]).unwrap();
        let verdicts = chain.classify(&self.population.iter().collect::<Vec<_>>()).unwrap();
        verdicts.into_iter().flatten().map(|labels| labels.iter().collect()).collect()
    }
}

#[track_caller]
fn assert_same(text: &str, theirs: &BTreeSet<LabelSet>, ours: &BTreeSet<LabelSet>) {
    let missing: Vec<_> = theirs.difference(ours).take(5).collect();
    let extra: Vec<_> = ours.difference(theirs).take(5).collect();
    assert!(missing.is_empty() && extra.is_empty(), "{text}: missing {missing:?}, extra {extra:?}");
}

/// Every valid row of the pattern table, and what it means in the PromQL that Prometheus 2.42 reads.
const TABLE: &[(&str, &str)] = &[
    ("http_requests_total", "http_requests_total"),
    ("  up\t", "up"),
    ("foo.*", r#"{__name__=~"foo.*"}"#),
    ("http_*", r#"{__name__=~"http_*"}"#),
    (".+", r#"{__name__=~".+"}"#),
    ("up|down", r#"{__name__=~"up|down"}"#),
    ("http.requests", r#"{__name__=~"http.requests"}"#),
    (r#"{"http.requests"}"#, r#"{__name__="http.requests"}"#),
    (r#"{job="webapp"}"#, r#"{job="webapp"}"#),
    (r#"{job=~"a|b"}"#, r#"{job=~"a|b"}"#),
    (r#"up{job!="x"}"#, r#"up{job!="x"}"#),
    (r#"up{job=""}"#, r#"up{job=""}"#),
    (r#"{a="x,y"}"#, r#"{a="x,y"}"#),
    (r#"{a="q\"z"}"#, r#"{a="q\"z"}"#),
    (r#"{__name__=~"http_.*",job!~"a.*"}"#, r#"{__name__=~"http_.*",job!~"a.*"}"#),
];

#[tokio::test]
async fn every_row_of_the_pattern_table_selects_what_prometheus_selects() {
    let judges = Judges::new().await;
    for (entry, promql) in TABLE {
        let selector = pattern::parse(entry).unwrap_or_else(|p| panic!("{entry}: {p:?}")).selector;
        let theirs = judges.prometheus(promql).await.unwrap();
        assert!(!theirs.is_empty(), "{promql} takes something");
        assert_same(entry, &theirs, &judges.ours(&selector));
        // What we send upstream is read there as we read it.
        assert_same(entry, &theirs, &judges.prometheus(&selector.to_string()).await.unwrap());
    }
}

#[tokio::test]
async fn generated_selectors_select_what_prometheus_selects() {
    let judges = Judges::new().await;
    let mut random = StdRng::seed_from_u64(42);
    let (mut valid, mut taking) = (0, 0);
    for _ in 0..GENERATED {
        let text = selector(&mut random);
        match (judges.prometheus(&text).await, Selector::parse(&text)) {
            (Ok(theirs), Ok(selector)) => {
                valid += 1;
                taking += usize::from(!theirs.is_empty());
                assert_same(&text, &theirs, &judges.ours(&selector));
                assert_same(&text, &theirs, &judges.prometheus(&selector.to_string()).await.unwrap());
            }
            (Err(_), Err(_)) => {}
            (theirs, ours) => panic!("{text}\nPrometheus: {theirs:?}\nours: {ours:?}"),
        }
    }
    assert!(valid > GENERATED / 2 && taking > GENERATED / 4, "{valid} are valid, {taking} take something");
}

#[tokio::test]
async fn selectors_made_of_the_sources_own_labels_select_what_prometheus_selects() {
    let judges = Judges::new().await;
    let pairs =
        |labels: &Labels| labels.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect::<Vec<_>>();
    let all: Vec<_> = judges.population.iter().map(pairs).collect();
    let universe = selectors::universe(all.iter().map(Vec::as_slice));
    let mut taking = 0;
    for text in selectors::generate_selectors(3, GENERATED, &universe) {
        let theirs = judges.prometheus(&text).await.unwrap_or_else(|e| panic!("{text}: {e}"));
        let selector = Selector::parse(&text).unwrap_or_else(|e| panic!("{text}: {e}"));
        taking += usize::from(!theirs.is_empty());
        assert_same(&text, &theirs, &judges.ours(&selector));
    }
    assert!(taking > GENERATED / 4, "{taking} take something");
}

/// A selector as a person might write it, and some that nobody should. With a name in front none has `__name__` as
/// well: queries refuse that, and so do we, but the series API does not.
fn selector(random: &mut StdRng) -> String {
    let names = ["up", "foo", "m", "a:b", "http_requests_total"];
    let name = if random.random_bool(0.3) { *names.choose(random).unwrap() } else { "" };
    let count = random.random_range(0..4);
    let matchers: Vec<String> = (0..count).map(|_| matcher(random, name.is_empty())).collect();
    let space = ["", " "].choose(random).unwrap();
    format!("{name}{{{}}}", matchers.join(&format!(",{space}")))
}

fn matcher(random: &mut StdRng, may_name: bool) -> String {
    let named = may_name && random.random_bool(0.25);
    let (label, values) = if named { ("__name__", NAMES) } else { (*LABELS.choose(random).unwrap(), VALUES) };
    let value = *values.choose(random).unwrap();
    let (op, value) = match random.random_range(0..10) {
        0..3 => ("=", value.to_owned()),
        3 => ("!=", value.to_owned()),
        4 => ("!=", String::new()),
        5..9 => ("=~", regex(random, 0)),
        _ => ("!~", regex(random, 0)),
    };
    format!("{label}{op}{}", quoted(random, &value))
}

/// One of PromQL's three kinds of quotes.
fn quoted(random: &mut StdRng, value: &str) -> String {
    let escaped = value.replace('\\', r"\\");
    match random.random_range(0..3) {
        0 if !value.contains('`') => format!("`{value}`"),
        1 => format!("'{}'", escaped.replace('\'', r"\'")),
        _ => format!("\"{}\"", escaped.replace('"', "\\\"")),
    }
}

/// Pieces on which regular-expression dialects disagree, among ordinary ones.
const PIECES: &[&str] = &[
    "a",
    "b",
    "x",
    "webapp",
    "up",
    "foo",
    "http",
    "_",
    ".",
    ".*",
    ".+",
    "a?",
    "b*",
    "[a-c]",
    "[^a]",
    "[[:alpha:]]+",
    r"\d",
    r"\d+",
    r"\w+",
    r"\W",
    r"\s",
    r"\S+",
    r"\.",
    r"\|",
    r"\Qa.b\E",
    "(?i)webapp",
    "(?i:X)",
    r"\pL+",
    r"\p{Greek}",
    r"\x61",
    r"\bweb",
    "^a",
    "b$",
    "a{2}",
    "a{1,2}",
    "[&&a]",
    "[a~~b]",
    "é",
    "日.",
    r"[\d]",
    r"[^\w]",
    "(a|b)",
    "(?P<n>x)",
    "|a",
    r"\A",
    r"\z",
    r"\C",
    "a**",
    "(",
    "[",
    r"\k",
    "{",
    "}",
    "a{,2}",
    "[]a]",
    "x*?",
    r"\141",
    r"\<a",
];

fn regex(random: &mut StdRng, depth: usize) -> String {
    match random.random_range(0..6) {
        0 if depth < 2 => format!("{}|{}", regex(random, depth + 1), regex(random, depth + 1)),
        1 if depth < 2 => format!("({})", regex(random, depth + 1)),
        2 if depth < 2 => format!("(?:{})*", regex(random, depth + 1)),
        3 => VALUES.choose(random).unwrap().to_string(),
        _ => (0..random.random_range(1..3)).map(|_| *PIECES.choose(random).unwrap()).collect(),
    }
}
