//! Script: a source that has what the world has, and answers late, or not, while things go wrong.
//!
//! It has a sample so long after its moment as sources do; asked for what it does not have yet, it answers with what it has. Who is
//! behind is given several ticks at once, as they are by then, and finds them when it asks for them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use rand::Rng as _;
use rand::rngs::StdRng;

use super::super::Ask;
use super::world::World;
use super::{INTERVAL, LAG, lock, now, skew_millis, true_now};
use crate::collect::{self, Answer, Cause, Collected, Curiosity, Ends, Table, is_to_come};
use crate::model::{Interval, Metadata, Mode, Source, SourceName, Span, Standing, Tick, Timestamp};

/// Ticks of one answer.
const AHEAD_MAX: u32 = 20;

/// A source that has what the world has.
pub(super) struct Script {
    pub(super) world: Arc<World>,
    pub(super) rank: usize,
    pub(super) state: std::sync::Mutex<State>,
}

pub(super) struct State {
    pub(super) table: Table,
    pub(super) chance: StdRng,
    pub(super) kept: BTreeMap<Tick, Arc<Answer>>,
}

impl Ask for Script {
    fn metadata(&self, _: Curiosity) -> Arc<Metadata> {
        Arc::default()
    }

    async fn at(&self, tick: Tick, behind: u32, reach: Duration) -> Result<Collected, collect::Error> {
        if self.world.mode == Mode::Raw {
            return self.all(tick, reach).await;
        }
        if let Some(kept) = lock(&self.state).kept.get(&tick) {
            return Ok(self.collected(tick, kept));
        }
        self.answers_at_all(tick).await?;
        let count = if self.world.ahead { behind.saturating_add(1).min(AHEAD_MAX) } else { 1 };
        let answers = self.answers(Span::new(tick, Interval::new(INTERVAL).unwrap(), count));
        Ok(self.collected(tick, &answers[0]))
    }

    async fn holds(&self, tick: Tick) -> Result<bool, collect::Error> {
        Ok(!self.world.at(self.rank, self.as_of(tick)).is_empty())
    }

    fn standing(&self) -> Standing {
        Standing::Preferred
    }
}

impl Script {
    /// Takes its time, and does not answer where it is down, or as it happens.
    pub(super) async fn answers_at_all(&self, tick: Tick) -> Result<(), collect::Error> {
        let is_bad = self.world.is_bad();
        let late =
            if is_bad { lock(&self.state).chance.random_range(0..self.world.late_ms[self.rank]) } else { 20 };
        tokio::time::sleep(Duration::from_millis(late)).await;
        let fails = lock(&self.state).chance.random_bool(self.world.fails[self.rank]);
        if self.world.is_down(self.rank) || (is_bad && fails) {
            self.world.failed(tick, self.rank);
            let cause = Arc::new(Cause::Timeout(Duration::from_millis(late)));
            return Err(collect::Error { server: SourceName::new("script"), cause });
        }
        Ok(())
    }

    /// The moment that it answers with for a tick: what is stored by now.
    fn as_of(&self, tick: Tick) -> Timestamp {
        tick.timestamp().min(true_now().minus(LAG))
    }

    fn answers(&self, ticks: Span) -> Vec<Arc<Answer>> {
        let mut state = lock(&self.state);
        let one = match ticks.is_one() {
            true => vec![state.table.absorb(ticks.first(), [self.vector(ticks.first()).as_bytes()]).unwrap()],
            false => state.table.absorb_range(ticks, 10_000, [self.matrix(ticks).as_bytes()]).unwrap(),
        };
        let answers: Vec<_> = one.into_iter().map(Arc::new).collect();
        let passed = ticks.ticks().zip(&answers).skip(1);
        let passed = passed.filter(|(tick, _)| !is_to_come(*tick, now(), LAG, Some(skew_millis())));
        state.kept = passed.map(|(tick, answer)| (tick, answer.clone())).collect();
        answers
    }

    fn vector(&self, tick: Tick) -> String {
        let there = self.world.at(self.rank, self.as_of(tick));
        let result =
            |(series, value)| format!(r#"{{"metric":{},"value":[{tick},"{value}"]}}"#, metric(series));
        envelope("vector", there.into_iter().map(result))
    }

    fn matrix(&self, ticks: Span) -> String {
        let mut columns: BTreeMap<usize, String> = BTreeMap::new();
        for tick in ticks.ticks() {
            for (series, value) in self.world.at(self.rank, self.as_of(tick)) {
                let column = columns.entry(series).or_default();
                let comma = if column.is_empty() { "" } else { "," };
                write!(column, r#"{comma}[{tick},"{value}"]"#).unwrap();
            }
        }
        let result = |(series, column)| format!(r#"{{"metric":{},"values":[{column}]}}"#, metric(series));
        envelope("matrix", columns.into_iter().map(result))
    }

    pub(super) fn collected(&self, tick: Tick, answer: &Arc<Answer>) -> Collected {
        Collected {
            source: source(self.rank),
            tick,
            parts: vec![answer.part("")],
            bytes: 0,
            series: answer.series(),
            histograms: 0,
            nameless: 0,
            illegal: 0,
            collisions: 0,
            ends: Ends::Absent,
            skew_millis: Some(skew_millis()),
        }
    }
}

fn metric(series: usize) -> String {
    format!(r#"{{"__name__":"up","series":"{series}"}}"#)
}

fn envelope(kind: &str, results: impl Iterator<Item = String>) -> String {
    let results: Vec<_> = results.collect();
    format!(r#"{{"status":"success","data":{{"resultType":"{kind}","result":[{}]}}}}"#, results.join(","))
}

pub(super) fn source(rank: usize) -> Arc<Source> {
    let replica_group = Some("pair".to_owned());
    Arc::new(Source {
        lag: LAG,
        replica_group,
        ..Source::plain(&format!("script-{rank}"), "http://127.0.0.1:9090")
    })
}
