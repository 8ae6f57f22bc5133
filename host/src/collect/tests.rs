//! The whole room against a source on the loopback that evaluates the queries it is sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sluice_filter::selector::Selector;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::*;
use crate::model::memory::{Full, Memory, Payer};
use crate::model::{Interval, Labels, Mode, Source, SourceName, Tick, Timestamp};

/// How the fake source answers a query, if not with what the query selects.
type Rule = Box<dyn Fn(&str) -> Option<(u16, String)> + Send + Sync>;

/// A source that holds some series and evaluates selectors as Prometheus does.
struct Fake {
    series: Vec<Labels>,
    rule: Rule,
    /// How long it takes to answer a query.
    takes: fn(&str) -> Duration,
    /// Each answer takes one.
    gate: Semaphore,
    queries: Mutex<Vec<String>>,
    ticks: Mutex<Vec<String>>,
    connections: AtomicUsize,
    /// A line of its answers' heads.
    header: &'static str,
}

impl Fake {
    fn new(series: &[&[(&str, &str)]]) -> Fake {
        let series = series.iter().map(|pairs| Labels::from_pairs(pairs.iter().copied()).unwrap()).collect();
        Fake {
            series,
            rule: Box::new(|_| None),
            takes: |_| Duration::ZERO,
            gate: Semaphore::new(1_000_000),
            queries: Mutex::default(),
            ticks: Mutex::default(),
            connections: AtomicUsize::new(0),
            header: "x-y: z",
        }
    }

    /// One metric in each of these namespaces.
    fn namespaces(names: &[&str]) -> Fake {
        let series: Vec<Vec<(&str, &str)>> =
            names.iter().map(|name| vec![("__name__", "up"), ("namespace", *name)]).collect();
        let series: Vec<&[(&str, &str)]> = series.iter().map(Vec::as_slice).collect();
        Fake::new(&series)
    }

    fn failing(mut self, rule: impl Fn(&str) -> Option<(u16, String)> + Send + Sync + 'static) -> Fake {
        self.rule = Box::new(rule);
        self
    }

    async fn start(self) -> (Arc<Fake>, Arc<Source>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let source = source(&format!("http://{}", listener.local_addr().unwrap()));
        let fake = Arc::new(self);
        let served = fake.clone();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                served.connections.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(served.clone().serve(connection));
            }
        });
        (fake, Arc::new(source))
    }

    async fn serve(self: Arc<Fake>, connection: TcpStream) -> std::io::Result<()> {
        let mut connection = BufReader::new(connection);
        loop {
            let (mut len, mut line) = (0, String::new());
            while connection.read_line(&mut line).await? > 2 {
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    len = value.trim().parse().unwrap();
                }
                line.clear();
            }
            if line.is_empty() {
                return Ok(());
            }
            let mut form = vec![0; len];
            connection.read_exact(&mut form).await?;
            let field = |name: &str| {
                let found = url::form_urlencoded::parse(&form).find(|(key, _)| key == name);
                found.map(|(_, value)| value.into_owned()).unwrap_or_default()
            };
            let read = snap::raw::Decoder::new().decompress_vec(&form).map(|read| read_of(&read));
            let (query, time) = (read.unwrap_or_else(|_| field("query")), field("time"));
            lock(&self.queries).push(query.clone());
            let [start, end, step] = ["start", "end", "step"].map(field);
            let times = if time.is_empty() { format!("{start} to {end} by {step}") } else { time.clone() };
            lock(&self.ticks).push(times);
            tokio::time::sleep((self.takes)(&query)).await;
            self.gate.acquire().await.unwrap().forget();
            let (code, body) = (self.rule)(&query).unwrap_or_else(|| {
                let body = match time.is_empty() {
                    true => self.evaluate_range(&query, [&start, &end, &step]),
                    false => self.evaluate(&query, &time),
                };
                (200, body)
            });
            let head = format!(
                "HTTP/1.1 {code} x\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\n{}\r\ncontent-length: {}\r\n\r\n",
                self.header,
                body.len()
            );
            // In one piece: a second one would wait for the first to be acknowledged.
            connection.write_all(format!("{head}{body}").as_bytes()).await?;
        }
    }

    fn evaluate(&self, query: &str, time: &str) -> String {
        let selector = Selector::parse(query).unwrap();
        let selected = self.series.iter().filter(|labels| selector.matches(|name| labels.get(name)));
        let results: Vec<_> = selected
            .map(|labels| {
                let metric: serde_json::Map<_, _> =
                    labels.iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
                format!(r#"{{"metric":{},"value":[{time},"1"]}}"#, serde_json::Value::Object(metric))
            })
            .collect();
        success(&results.join(","))
    }

    fn evaluate_range(&self, query: &str, range: [&str; 3]) -> String {
        let [start, end, step] = range.map(|text| text.parse::<f64>().unwrap() as i64);
        let times: Vec<_> = (start..=end).step_by(step as usize).map(|t| format!(r#"[{t},"1"]"#)).collect();
        let vector = self.evaluate(query, "0");
        vector
            .replace("vector", "matrix")
            .replace(r#""value":[0,"1"]"#, &format!(r#""values":[{}]"#, times.join(",")))
    }

    fn queries(&self) -> Vec<String> {
        lock(&self.queries).clone()
    }
}

/// How a question to remote read stands among the queries.
fn read_of(request: &[u8]) -> String {
    format!("read {}", String::from_utf8_lossy(request))
}

fn success(results: &str) -> String {
    format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{results}]}}}}"#)
}

fn failure(error_type: &str) -> String {
    format!(r#"{{"status":"error","errorType":"{error_type}","error":"because"}}"#)
}

pub(super) fn source(url: &str) -> Source {
    Source::plain("fake", url)
}

fn collector() -> Collector {
    let client = crate::http::Client::new(&crate::http::Config::default()).unwrap();
    Collector::new(client, Config::default(), Observer::default(), Memory::default())
}

fn payer(namespace: &str) -> Payer {
    Memory::default().payer(namespace, usize::MAX)
}

fn interval() -> Interval {
    Interval::new(Duration::from_secs(30)).unwrap()
}

fn tick(number: i64) -> Tick {
    Tick::at_or_before(Timestamp(number * 30_000), interval())
}

fn subscribe(collector: &Collector, source: &Arc<Source>, selectors: &[&str]) -> Subscription {
    let selectors: Vec<_> = selectors.iter().map(|text| Selector::parse(text).unwrap()).collect();
    collector.subscribe(&payer("web"), source, &selectors, interval(), Mode::Sampled)
}

/// Namespaces.
const NAMES: [&str; 16] = [
    "n00", "n01", "n02", "n03", "n04", "n05", "n06", "n07", "n08", "n09", "n10", "n11", "n12", "n13", "n14",
    "n15",
];

/// As [`subscribe`], to what there is of a namespace, on its behalf.
fn of_namespace(collector: &Collector, source: &Arc<Source>, name: &str, mode: Mode) -> Subscription {
    let selector = Selector::parse(&format!(r#"up{{namespace="{name}"}}"#)).unwrap();
    collector.subscribe(&payer(name), source, &[selector], interval(), mode)
}

/// The series of a collected tick, sorted.
fn series(collected: &Collected) -> Vec<String> {
    let labels = |part: &Part| {
        part.rows().map(|row| part.catalog().labels(row.series.slot).to_string()).collect::<Vec<_>>()
    };
    let mut series: Vec<_> = collected.parts.iter().flat_map(labels).collect();
    series.sort_unstable();
    series
}

#[tokio::test]
async fn a_hundred_pipelines_with_one_question_send_one_request() {
    let (fake, source) = Fake::namespaces(&["a"]).start().await;
    let collector = collector();
    let subscriptions: Vec<_> = (0..100).map(|_| subscribe(&collector, &source, &["up"])).collect();
    let all = futures::future::join_all(subscriptions.iter().map(|s| s.at(tick(1), 0))).await;
    assert!(all.iter().all(|one| series(one.as_ref().unwrap()) == [r#"up{namespace="a"}"#]));
    assert_eq!(fake.queries(), [r#"{__name__="up"}"#]);
    assert_eq!(*lock(&fake.ticks), ["30.000"]);
    // A late asker is served from what was kept, the next tick is asked again.
    subscribe(&collector, &source, &["up"]).at(tick(1), 0).await.unwrap();
    assert_eq!(fake.queries().len(), 1);
    subscriptions[0].at(tick(2), 0).await.unwrap();
    assert_eq!(fake.queries().len(), 2);
}

#[tokio::test]
async fn queries_that_differ_in_one_value_are_merged_and_their_results_split() {
    let (fake, source) = Fake::namespaces(&["a", "b", "b.c", "z"]).start().await;
    let collector = collector();
    let subscriptions: Vec<_> = ["a", "b", "b.c", "none"]
        .map(|n| subscribe(&collector, &source, &[&format!(r#"up{{namespace="{n}"}}"#)]))
        .into();
    let all = futures::future::join_all(subscriptions.iter().map(|s| s.at(tick(1), 0))).await;
    let all: Vec<_> = all.iter().map(|one| series(one.as_ref().unwrap())).collect();
    assert_eq!(all[..3], [[r#"up{namespace="a"}"#], [r#"up{namespace="b"}"#], [r#"up{namespace="b.c"}"#]]);
    assert_eq!(all[3], [""; 0]);
    assert_eq!(fake.queries(), [r#"{__name__="up",namespace=~"a|b|b\\.c|none"}"#]);
    // Who has left is asked for no more; who comes late asks for itself.
    let late = subscribe(&collector, &source, &[r#"up{namespace="z"}"#]);
    assert_eq!(series(&late.at(tick(1), 0).await.unwrap()), [r#"up{namespace="z"}"#]);
    drop(subscriptions);
    late.at(tick(2), 0).await.unwrap();
    assert_eq!(fake.queries()[1..], [r#"{__name__="up",namespace="z"}"#; 2]);
}

#[tokio::test]
async fn who_catches_up_has_several_ticks_in_one_request() {
    let (fake, source) = Fake::namespaces(&["a", "b"]).start().await;
    let collector = collector();
    let [one, two] =
        ["a", "b"].map(|n| subscribe(&collector, &source, &[&format!(r#"up{{namespace="{n}"}}"#)]));
    for number in 1..=100 {
        let behind = 100 - number as u32;
        let (one, two) = futures::join!(one.at(tick(number), behind), two.at(tick(number), behind));
        let (one, two) = (one.unwrap(), two.unwrap());
        assert_eq!(
            (one.tick, series(&one), series(&two)),
            (tick(number), vec![r#"up{namespace="a"}"#.to_owned()], vec![r#"up{namespace="b"}"#.to_owned()])
        );
    }
    // The first one shows how many series there are.
    assert_eq!(*lock(&fake.ticks), ["30.000", "60.000 to 1830.000 by 30", "1860.000 to 3000.000 by 30"]);
}

#[tokio::test]
async fn a_source_whose_ranges_say_something_else_is_asked_for_one_tick_at_a_time() {
    let fake = Fake { header: "X-Server-Hostname: vm", ..Fake::namespaces(&["a"]) };
    let (fake, source) = fake.start().await;
    let collector = collector();
    let one = subscribe(&collector, &source, &["up"]);
    for number in 1..=3 {
        assert_eq!(one.at(tick(number), 10).await.unwrap().series, 1);
    }
    assert_eq!(*lock(&fake.ticks), ["30.000", "60.000", "90.000"]);
}

#[tokio::test]
async fn a_source_that_cannot_answer_for_several_ticks_is_asked_for_one_at_a_time() {
    let calls = std::sync::atomic::AtomicUsize::new(0);
    let rule =
        move |_: &str| (calls.fetch_add(1, Ordering::Relaxed) == 1).then(|| (404, "no such page".to_owned()));
    let (fake, source) = Fake::namespaces(&["a"]).failing(rule).start().await;
    let collector = collector();
    let one = subscribe(&collector, &source, &["up"]);
    for number in 1..=4 {
        assert_eq!(one.at(tick(number), 10).await.unwrap().series, 1);
    }
    assert_eq!(*lock(&fake.ticks), ["30.000", "60.000 to 360.000 by 30", "60.000", "90.000", "120.000"]);
    assert_eq!(collector.sources()[0].failures, 0, "no failure of the source's");
}

#[tokio::test]
async fn names_alone_are_shared_name_by_name() {
    let series_of = |names: &[&'static str]| names.iter().map(|n| vec![("__name__", *n)]).collect::<Vec<_>>();
    let all = series_of(&["a", "b", "c"]);
    let (fake, source) = Fake::new(&all.iter().map(Vec::as_slice).collect::<Vec<_>>()).start().await;
    let collector = collector();
    let (one, two) =
        (subscribe(&collector, &source, &["a", "b"]), subscribe(&collector, &source, &["b", "c", "b"]));
    let (one, two) = futures::join!(one.at(tick(1), 0), two.at(tick(1), 0));
    assert_eq!(
        (series(&one.unwrap()), series(&two.unwrap())),
        (vec!["a{}".into(), "b{}".into()], vec!["b{}".to_owned(), "c{}".to_owned()])
    );
    assert_eq!(fake.queries(), [r#"{__name__=~"a|b|c"}"#]);
}

#[tokio::test]
async fn one_waiter_that_leaves_takes_nothing_from_the_others() {
    let mut fake = Fake::namespaces(&["a"]);
    fake.gate = Semaphore::new(0);
    let (fake, source) = fake.start().await;
    let collector = collector();
    let (one, two) = (subscribe(&collector, &source, &["up"]), subscribe(&collector, &source, &["up"]));
    let mut first = Box::pin(one.at(tick(1), 0));
    let mut second = Box::pin(two.at(tick(1), 0));
    tokio::select! {
        biased;
        _ = &mut first => panic!("the gate is closed"),
        _ = &mut second => panic!("the gate is closed"),
        () = async { while fake.queries().is_empty() { tokio::time::sleep(Duration::from_millis(1)).await } } => {}
    }
    drop(first);
    drop(one);
    fake.gate.add_permits(1);
    assert_eq!(second.await.unwrap().series, 1);
    assert_eq!(fake.queries().len(), 1);
}

#[tokio::test]
async fn a_fetch_that_everyone_left_is_forgotten() {
    let mut fake = Fake::namespaces(&["a"]);
    fake.gate = Semaphore::new(0);
    let (fake, source) = fake.start().await;
    let collector = collector();
    let one = subscribe(&collector, &source, &["up"]);
    let abandoned = tokio::time::timeout(Duration::from_millis(200), one.at(tick(1), 0)).await;
    assert!(abandoned.is_err());
    fake.gate.add_permits(10);
    assert_eq!(one.at(tick(1), 0).await.unwrap().series, 1);
    drop((one, abandoned));
    assert_eq!(collector.sources(), []);
}

#[tokio::test]
async fn a_merged_query_that_fails_is_split_until_the_culprit_stands_alone() {
    let is_culprit = |query: &str| query.contains("n05") || query.contains("n11");
    let fake =
        Fake::namespaces(&NAMES).failing(move |query| is_culprit(query).then(|| (422, failure("execution"))));
    let (fake, source) = fake.start().await;
    let collector = collector();
    let subscriptions: Vec<_> =
        NAMES.map(|name| of_namespace(&collector, &source, name, Mode::Sampled)).into();
    let all = futures::future::join_all(subscriptions.iter().map(|s| s.at(tick(1), 0))).await;
    for (name, one) in NAMES.iter().zip(all) {
        match is_culprit(name) {
            true => assert!(matches!(*one.unwrap_err().cause, Cause::Query { .. })),
            false => assert_eq!(series(&one.unwrap()), [format!("up{{namespace=\"{name}\"}}")]),
        }
    }
    // They stay apart: no more than the culprits fail in the next tick.
    let before = fake.queries().len();
    futures::future::join_all(subscriptions.iter().map(|s| s.at(tick(2), 0))).await;
    let queries = fake.queries();
    let failing: Vec<_> = queries[before..].iter().filter(|query| is_culprit(query)).collect();
    assert_eq!(failing, [r#"{__name__="up",namespace="n05"}"#, r#"{__name__="up",namespace="n11"}"#]);
    assert!(queries.len() - before < 12);
}

#[tokio::test]
async fn what_the_source_fails_at_costs_nobody_else_more_than_a_few_tries() {
    for code in [500, 502, 503, 504, 429] {
        fails_with(code).await;
    }
}

async fn fails_with(code: u16) {
    let is_culprit = |query: &str| query.contains("n00") || query.contains("n11");
    let fake =
        Fake::namespaces(&NAMES).failing(move |query| is_culprit(query).then(|| (code, failure("internal"))));
    let (fake, source) = fake.start().await;
    let collector = collector();
    let subscriptions: Vec<_> =
        NAMES.map(|name| of_namespace(&collector, &source, name, Mode::Sampled)).into();
    let mut failed = Vec::new();
    for tries in 1..8 {
        let all = futures::future::join_all(subscriptions.iter().map(|s| s.at(tick(tries), 0))).await;
        failed = NAMES.iter().zip(all).filter(|(_, one)| one.is_err()).map(|(name, _)| *name).collect();
    }
    assert_eq!(failed, ["n00", "n11"], "{code}");
    let before = fake.queries().len();
    futures::future::join_all(subscriptions.iter().map(|s| s.at(tick(9), 0))).await;
    let queries = fake.queries();
    let failing: Vec<_> = queries[before..].iter().filter(|query| is_culprit(query)).collect();
    assert_eq!(failing, [r#"{__name__="up",namespace="n00"}"#, r#"{__name__="up",namespace="n11"}"#]);
}

#[tokio::test]
async fn nobody_waits_for_what_takes_long_but_who_wants_it() {
    let never = |query: &str| if is_culprit(query) { Duration::from_secs(60) } else { Duration::ZERO };
    let late = |query: &str| if is_culprit(query) { Duration::from_millis(800) } else { Duration::ZERO };
    for mode in [Mode::Sampled, Mode::Raw] {
        takes_long(mode, never, Duration::from_millis(600)).await;
        takes_long(mode, late, Duration::from_millis(2_000)).await;
    }
}

fn is_culprit(query: &str) -> bool {
    query.contains("n01") || query.contains("n04")
}

async fn all_at(of: &[Subscription], number: i64) -> Vec<Result<Collected, Error>> {
    futures::future::join_all(of.iter().map(|one| one.at(tick(number), 0))).await
}

async fn takes_long(mode: Mode, takes: fn(&str) -> Duration, timeout: Duration) {
    let fake = Fake::namespaces(&NAMES).failing(|query| match query.starts_with("read ") {
        true => Some((404, "no such page".to_owned())),
        false => query.contains("ms]").then(|| (200, success("").replace("vector", "matrix"))),
    });
    let (_fake, source) = Fake { takes, ..fake }.start().await;
    let source = Arc::new(Source { timeout, ..(*source).clone() });
    let collector = collector();
    let subscribe = |name: &&str| of_namespace(&collector, &source, name, mode);
    let (slow, quick): (Vec<_>, Vec<_>) = NAMES.iter().partition(|name| is_culprit(name));
    let [slow, quick] = [slow, quick].map(|names| names.into_iter().map(subscribe).collect::<Vec<_>>());
    // All of them are asked for together at first, and then apart.
    for number in 1..4 {
        futures::future::join(all_at(&slow, number), all_at(&quick, number)).await;
    }
    for number in 4..7 {
        let late = all_at(&slow, number);
        tokio::pin!(late);
        for next in [number, number + 100] {
            tokio::select! {
                biased;
                _ = &mut late => panic!("{mode:?}: tick {number} of the slow ones was over first"),
                quick = all_at(&quick, next) => quick.into_iter().for_each(|one| _ = one.unwrap()),
            }
        }
        for one in late.await {
            match one {
                Ok(_) => assert!(takes("n01") < timeout),
                Err(error) => {
                    assert!(matches!(*error.cause, Cause::Timeout(_)) && takes("n01") > timeout, "{error}")
                }
            }
        }
    }
}

#[tokio::test]
async fn who_wants_what_takes_long_catches_up_by_several_ticks_at_once() {
    let takes = |query: &str| Duration::from_millis(if query.contains("n01") { 200 } else { 0 });
    let (fake, source) = Fake { takes, ..Fake::namespaces(&["n00", "n01"]) }.start().await;
    let source = Arc::new(Source { timeout: Duration::from_millis(600), ..(*source).clone() });
    let collector = collector();
    let one = subscribe(&collector, &source, &[r#"up{namespace="n01"}"#]);
    one.at(tick(1), 0).await.unwrap();
    for number in 2..12 {
        assert_eq!(one.at(tick(number), 11 - number as u32).await.unwrap().series, 1);
    }
    assert_eq!(*lock(&fake.ticks), ["30.000", "60.000 to 330.000 by 30"]);
    // Others are asked for without it.
    let other = subscribe(&collector, &source, &[r#"up{namespace="n00"}"#]);
    futures::future::join(one.at(tick(12), 0), other.at(tick(12), 0)).await.0.unwrap();
    assert_eq!(fake.queries()[2..].len(), 2);
}

#[tokio::test]
async fn what_takes_too_long_for_several_ticks_is_asked_for_one_at_a_time() {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    let takes = |_: &str| match ASKED.fetch_add(1, Ordering::Relaxed) {
        1 => Duration::from_secs(60),
        _ => Duration::from_millis(200),
    };
    let (fake, source) = Fake { takes, ..Fake::namespaces(&["n00"]) }.start().await;
    let source = Arc::new(Source { timeout: Duration::from_millis(600), ..(*source).clone() });
    let collector = collector();
    let one = subscribe(&collector, &source, &[r#"up{namespace="n00"}"#]);
    one.at(tick(1), 0).await.unwrap();
    assert!(matches!(*one.at(tick(2), 9).await.unwrap_err().cause, Cause::Timeout(_)));
    assert_eq!(one.at(tick(2), 9).await.unwrap().series, 1);
    assert_eq!(*lock(&fake.ticks), ["30.000", "60.000 to 330.000 by 30", "60.000"]);
}

#[tokio::test]
async fn what_one_may_not_read_is_asked_for_by_queries_and_the_others_go_on_reading() {
    let fake = Fake::new(&[]).failing(|query| {
        Some(match query.starts_with("read ") {
            true if query.contains("n05") => (400, "exceeded sample limit".to_owned()),
            // A block with one result, which has no series.
            true => (200, "\x02\x04\x0a\0".to_owned()),
            false => (200, success("").replace("vector", "matrix")),
        })
    });
    let (fake, source) = Fake { header: "content-type: application/x-protobuf", ..fake }.start().await;
    let collector = collector();
    let subscriptions: Vec<_> = NAMES.map(|name| of_namespace(&collector, &source, name, Mode::Raw)).into();
    for number in 1..4 {
        for one in futures::future::join_all(subscriptions.iter().map(|s| s.at(tick(number), 0))).await {
            one.unwrap();
        }
    }
    let before = fake.queries().len();
    futures::future::join_all(subscriptions.iter().map(|s| s.at(tick(4), 0))).await;
    let queries = fake.queries().split_off(before);
    let (reads, queries): (Vec<_>, Vec<_>) =
        queries.into_iter().partition(|query| query.starts_with("read "));
    assert!(
        matches!(&queries[..], [one] if one.starts_with(r#"{__name__="up",namespace="n05"}["#)),
        "{queries:?}"
    );
    let read = reads.concat();
    assert!(NAMES.iter().all(|name| read.contains(name) == (*name != "n05")), "{reads:?}");
}

#[tokio::test]
async fn too_many_series_of_one_tenant_are_no_other_tenants_fault() {
    let many: Vec<Vec<(&str, String)>> = (0..20)
        .map(|i| {
            vec![
                ("__name__", "up".to_owned()),
                ("namespace", if i < 18 { "big" } else { "small" }.to_owned()),
                ("i", i.to_string()),
            ]
        })
        .collect();
    let many: Vec<Vec<(&str, &str)>> =
        many.iter().map(|s| s.iter().map(|(n, v)| (*n, v.as_str())).collect()).collect();
    let (_fake, source) = Fake::new(&many.iter().map(Vec::as_slice).collect::<Vec<_>>()).start().await;
    let source = Arc::new(Source { series_max: 10, ..(*source).clone() });
    let collector = collector();
    let [big, small] =
        ["big", "small"].map(|n| subscribe(&collector, &source, &[&format!(r#"{{namespace="{n}"}}"#)]));
    let (big, small) = futures::join!(big.at(tick(1), 0), small.at(tick(1), 0));
    let error = big.unwrap_err();
    assert!(matches!(*error.cause, Cause::TooManySeries { max: 10 }) && !error.is_transient());
    assert_eq!(small.unwrap().series, 2);
}

#[tokio::test]
async fn who_has_no_room_for_an_answer_gets_none_and_the_others_get_theirs() {
    let series = |n: usize| {
        let namespace = if n < 18 { "big" } else { "small" };
        vec![("__name__", "up".to_owned()), ("namespace", namespace.to_owned()), ("n", n.to_string())]
    };
    let series: Vec<_> = (0..20).map(series).collect();
    let series: Vec<Vec<(&str, &str)>> =
        series.iter().map(|pairs| pairs.iter().map(|(name, value)| (*name, &**value)).collect()).collect();
    let (fake, source) = Fake::new(&series.iter().map(Vec::as_slice).collect::<Vec<_>>()).start().await;
    let memory = Memory::new(1 << 20);
    let client = crate::http::Client::new(&crate::http::Config::default()).unwrap();
    let collector = Collector::new(client, Config::default(), Observer::default(), memory.clone());
    let subscribe = |payer: &Payer, text: &str| {
        collector.subscribe(payer, &source, &[Selector::parse(text).unwrap()], interval(), Mode::Sampled)
    };
    let payer = |bytes_max| [("big", bytes_max), ("small", 2_000)].map(|(name, max)| memory.payer(name, max));
    let held = |payer: &Payer| payer.hold().of_namespace();

    let [big, small] = payer(2_000);
    let [bigs, smalls] = [(&big, "big"), (&small, "small")]
        .map(|(payer, n)| subscribe(payer, &format!(r#"{{namespace="{n}"}}"#)));
    let (refused, answered) = futures::join!(bigs.at(tick(1), 0), smalls.at(tick(1), 0));
    let refused = refused.unwrap_err();
    assert_eq!((refused.full(), refused.is_transient()), (Some(Full::Namespace { max: 2_000 }), false));
    assert_eq!((answered.unwrap().series, held(&big)), (2, 0), "nothing is kept of what is of no use");
    assert_eq!(fake.queries().len(), 3, "the merged query was parted");

    // The same question of both: it is answered for the one that has room.
    let [big, small] = payer(1 << 20);
    let (rich, poor) = (subscribe(&big, "up"), subscribe(&small, "up"));
    let (all, refused) = futures::join!(rich.at(tick(2), 0), poor.at(tick(2), 0));
    assert_eq!(refused.unwrap_err().full(), Some(Full::Namespace { max: 2_000 }));
    assert_eq!(all.unwrap().series, 20);
    assert!(held(&big) > 20 * 256 && held(&small) <= 2_000);
    drop((bigs, smalls, rich, poor));
    assert_eq!((held(&big), held(&small)), (0, 0));
}

#[tokio::test]
async fn a_failure_is_shared_by_those_who_wait_and_asked_again_on_the_next_try() {
    let failures = AtomicUsize::new(0);
    let fake = Fake::namespaces(&["a"]).failing(move |_| {
        (failures.fetch_add(1, Ordering::Relaxed) == 0).then(|| (503, "<html>busy".to_owned()))
    });
    let (fake, source) = fake.start().await;
    let collector = collector();
    let subscriptions: Vec<_> = (0..10).map(|_| subscribe(&collector, &source, &["up"])).collect();
    let all = futures::future::join_all(subscriptions.iter().map(|s| s.at(tick(1), 0))).await;
    for one in all {
        let error = one.unwrap_err();
        assert!(error.is_transient());
        assert_eq!(error.to_string(), "source fake: answered with HTTP status 503: <html>busy");
    }
    assert_eq!(fake.queries().len(), 1);
    let all = futures::future::join_all(subscriptions.iter().map(|s| s.at(tick(1), 0))).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(fake.queries().len(), 2);
}

#[tokio::test]
async fn a_partial_answer_is_no_answer() {
    let fake = Fake::namespaces(&["a"])
        .failing(|_| Some((200, success("").replacen('{', r#"{"warnings":["store b is gone"],"#, 1))));
    let (_fake, source) = fake.start().await;
    let error = subscribe(&collector(), &source, &["up"]).at(tick(1), 0).await.unwrap_err();
    assert_eq!(error.to_string(), "source fake: answered with a part only: store b is gone");
    assert!(error.is_transient());
}

#[tokio::test]
async fn a_source_that_does_not_answer_in_time_is_a_timeout_and_one_that_is_not_there_is_unreachable() {
    let mut fake = Fake::namespaces(&["a"]);
    fake.gate = Semaphore::new(0);
    let (_fake, source) = fake.start().await;
    let collector = collector();
    let slow = Arc::new(Source { timeout: Duration::from_millis(300), ..(*source).clone() });
    let error = subscribe(&collector, &slow, &["up"]).at(tick(1), 0).await.unwrap_err();
    assert!(matches!(*error.cause, Cause::Timeout(_)), "{error}");
    let nobody = Arc::new(Source { name: SourceName::new("nobody"), ..source_at_a_closed_port().await });
    let subscription = subscribe(&collector, &nobody, &["up"]);
    let error = subscription.at(tick(1), 0).await.unwrap_err();
    assert!(matches!(*error.cause, Cause::Unreachable(_)) && error.is_transient(), "{error}");
    let health = collector.sources();
    assert_eq!(health.len(), 1);
    assert!(!health[0].healthy && health[0].last_error.is_some());
}

async fn source_at_a_closed_port() -> Source {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    source(&format!("http://{}", listener.local_addr().unwrap()))
}

#[tokio::test]
async fn health_clock_and_counts_are_told() {
    let (_fake, source) = Fake::namespaces(&["a", "b"]).start().await;
    let collector = collector();
    let subscription = subscribe(&collector, &source, &[r#"{namespace=~"a|b"}"#]);
    let collected = subscription.at(tick(1), 0).await.unwrap();
    assert_eq!((collected.series, collected.parts.len()), (2, 1));
    assert!(collected.bytes > 100);
    assert!(collected.skew_millis.is_some_and(|skew| skew < -900_000_000_000));
    let [health] = collector.sources().try_into().unwrap();
    assert!(health.healthy && health.last_error.is_none() && health.last_ok.is_some());
    assert_eq!(health.series, 2);
}

#[tokio::test]
async fn only_pipelines_whose_tick_it_is_are_fetched_ahead() {
    let (fake, source) = Fake::namespaces(&["a", "b"]).start().await;
    let collector = collector();
    let slow = [Selector::parse(r#"up{namespace="b"}"#).unwrap()];
    let slow = collector.subscribe(
        &payer("web"),
        &source,
        &slow,
        Interval::new(Duration::from_secs(60)).unwrap(),
        Mode::Sampled,
    );
    let fast = subscribe(&collector, &source, &[r#"up{namespace="a"}"#]);
    for number in 1..4 {
        fast.at(tick(number), 0).await.unwrap();
    }
    assert_eq!(slow.at(tick(2), 0).await.unwrap().series, 1);
    let (one, both) = (r#"{__name__="up",namespace="a"}"#, r#"{__name__="up",namespace=~"a|b"}"#);
    assert_eq!(fake.queries(), [one, both, one, r#"{__name__="up",namespace="b"}"#]);
}

#[tokio::test]
async fn one_question_of_a_namespace_waits_for_no_hundred_of_another() {
    let mut fake = Fake::namespaces(&["a"]);
    fake.gate = Semaphore::new(0);
    let (fake, source) = fake.start().await;
    let collector = collector();
    let asking = |namespace: &str, texts: &[String]| {
        let selectors: Vec<_> = texts.iter().map(|text| Selector::parse(text).unwrap()).collect();
        collector.subscribe(&payer(namespace), &source, &selectors, interval(), Mode::Sampled)
    };
    let many: Vec<String> = (0..100).map(|n| format!("up{{x{n}!=\"y\"}}")).collect();
    let noisy = asking("noisy", &many);
    assert_eq!(noisy.queries(), 100);
    // One shape is both's: who waits for it does not wait in the other's line.
    let quiet = asking("quiet", &["up".to_owned(), many[99].clone()]);
    let mut noisy = Box::pin(noisy.at(tick(1), 0));
    let mut quiet = Box::pin(quiet.at(tick(1), 0));
    let asked = async |count: usize| {
        while fake.queries().len() < count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        biased;
        _ = &mut noisy => panic!("the gate is closed"),
        () = asked(6) => {}
    }
    tokio::select! {
        biased;
        _ = &mut quiet => panic!("the gate is closed"),
        () = asked(8) => {}
    }
    let mut answered = 0;
    let collected = loop {
        fake.gate.add_permits(1);
        answered += 1;
        tokio::select! {
            biased;
            collected = &mut quiet => break collected.unwrap(),
            _ = &mut noisy => panic!("the quiet one comes first"),
            // The noisy one always has six questions under way.
            () = asked(6 + answered) => {}
        }
    };
    assert_eq!(collected.series, 2);
    assert!(answered <= 12, "after {answered} answers");
    fake.gate.add_permits(1_000);
    assert_eq!(noisy.await.unwrap().series, 100);
}

/// What a query of a range finds: a hundred samples of one series, in the windows of the ticks from 100 to 103.
fn hundred() -> String {
    let samples: Vec<_> = (2_900..3_000).map(|second| format!(r#"[{second},"1"]"#)).collect();
    let result = format!(r#"{{"metric":{{"__name__":"up"}},"values":[{}]}}"#, samples.join(","));
    success(&result).replace("vector", "matrix")
}

#[tokio::test]
async fn a_window_is_paid_for_as_long_as_it_is_kept_and_makes_room_for_the_next() {
    let is_read = |query: &str| query.starts_with("read ");
    let rule = move |query: &str| Some(if is_read(query) { (404, String::new()) } else { (200, hundred()) });
    let (fake, source) = Fake::new(&[]).failing(rule).start().await;
    let memory = Memory::new(1 << 20);
    let client = crate::http::Client::new(&crate::http::Config::default()).unwrap();
    let collector = Collector::new(client, Config::default(), Observer::default(), memory.clone());
    // There is room for one window, and not for two.
    let web = memory.payer("web", 8_000);
    let held = || web.hold().of_namespace();
    let up = [Selector::parse("up").unwrap()];
    let subscribe = || collector.subscribe(&web, &source, &up, interval(), Mode::Raw);
    let (one, samples) = (subscribe(), |collected: &Collected| collected.parts[0].answer().samples());
    for number in 100..102 {
        let collected = one.at(tick(number), 0).await.unwrap();
        assert!(samples(&collected) > 50 && held() > samples(&collected) * 48, "{} for {number}", held());
    }
    assert_eq!(fake.queries().iter().filter(|query| !is_read(query)).count(), 2);

    // Several ticks at once: they are kept, and paid for, until all have asked for the next ones.
    let collected = one.at(tick(102), 1).await.unwrap();
    let kept = held();
    assert!(kept > samples(&collected) * 48);
    drop(collected);
    assert_eq!(held(), kept, "the tick behind it is asked for next");
    let asked = fake.queries().len();
    drop(one.at(tick(103), 0).await.unwrap());
    assert_eq!(fake.queries().len(), asked);

    // One that asks for none holds nobody up: what is kept for it makes room.
    let _late = subscribe();
    let collected = one.at(tick(101), 1).await.unwrap();
    drop(collected);
    drop(one.at(tick(102), 0).await.unwrap());
    let collected = one.at(tick(103), 0).await.unwrap();
    assert!(samples(&collected) > 0 && held() < 8_000);
}
