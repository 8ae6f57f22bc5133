//! Intake: one source group's answers to one tick.
//!
//! In: a tick. Out: the complete answers, and whether a missing series has ended.
//! Never: an answer that is partial; a series declared ended because a replica did not answer, or was not asked.
//!
//! A replica that does not answer its probes is passed over while others answer, so that a dead one costs no tick its
//! timeout. To what ended that is the same as if it had been asked and failed. If no other answers, it is asked after
//! all: a probe may be wrong.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;

use super::assemble::Answer;
use super::claims::GroupIndex;
use super::outputs::{Conclude, Rank};
use crate::collect::{self, Collected, Collector, Curiosity, Ends, Subscription};
use crate::model::memory::Payer;
use crate::model::{LOOKBACK, Metadata, SourceGroup, Standing, Tenant, Tick, Timestamp};

/// Who is asked. Two lives: a subscription to a source, and a script in the simulation.
pub(crate) trait Ask: Send + Sync {
    /// What there is at `tick`, which so many due ticks are `behind`. Where all samples are taken: those from so long before it on, at
    /// least.
    fn at(
        &self,
        tick: Tick,
        behind: u32,
        reach: Duration,
    ) -> impl Future<Output = Result<Collected, collect::Error>> + Send;

    /// Whether there still is anything at a tick that was answered before.
    fn holds(&self, tick: Tick) -> impl Future<Output = Result<bool, collect::Error>> + Send;

    /// Whether it is worth asking now.
    fn standing(&self) -> Standing;

    /// What is known of its metrics, at once.
    fn metadata(&self, curiosity: Curiosity) -> Arc<Metadata>;
}

impl Ask for Subscription {
    async fn at(&self, tick: Tick, behind: u32, reach: Duration) -> Result<Collected, collect::Error> {
        self.reaching(tick, behind, reach).await
    }

    async fn holds(&self, tick: Tick) -> Result<bool, collect::Error> {
        Subscription::holds(self, tick).await
    }

    fn standing(&self) -> Standing {
        Subscription::standing(self)
    }

    fn metadata(&self, curiosity: Curiosity) -> Arc<Metadata> {
        Subscription::metadata(self, curiosity)
    }
}

/// What one group answered.
pub(crate) struct Gathered {
    /// Complete answers, by rank.
    pub(crate) answers: Vec<Answer>,
    /// Whether what is missing has ended.
    pub(crate) conclude: Conclude,
    /// What the other sources of the group failed with.
    pub(crate) failures: Vec<collect::Error>,
}

impl Gathered {
    /// The answers of sources for which `tick` has passed, if there are any. Asked for a time that is still to come, a source
    /// answers with what it has, and that would stand for good in place of what there will be.
    pub(crate) fn of_the_past(mut self, tick: Tick, now: Timestamp) -> Result<Gathered, collect::Error> {
        let ahead_of = |answer: &Answer| {
            let Collected { source, skew_millis, .. } = &answer.collected;
            let seconds = skew_millis.unwrap_or_default().unsigned_abs() / 1000;
            collect::is_to_come(tick, now, source.lag, *skew_millis).then(|| collect::Error {
                server: source.name.clone(),
                cause: Arc::new(collect::Cause::ClockBehind { seconds }),
            })
        };
        let (answers, errors): (Vec<_>, Vec<_>) = self
            .answers
            .into_iter()
            .map(|answer| (ahead_of(&answer), answer))
            .partition(|(error, _)| error.is_none());
        self.answers = answers.into_iter().map(|(_, answer)| answer).collect();
        let mut errors: Vec<_> = errors.into_iter().filter_map(|(error, _)| error).collect();
        match errors.pop() {
            Some(error) if self.answers.is_empty() => return Err(error),
            Some(error) => {
                self.conclude = Conclude::Nothing;
                self.failures.extend(errors.into_iter().chain([error]));
            }
            None => {}
        }
        Ok(self)
    }

    /// The series the groups answered with. Replicas have the same, so of each group the fullest answer counts.
    pub(crate) fn series(&self) -> usize {
        let mut groups: BTreeMap<GroupIndex, usize> = BTreeMap::new();
        for Answer { group, collected, .. } in &self.answers {
            let series = groups.entry(*group).or_default();
            *series = collected.series.max(*series);
        }
        groups.values().sum()
    }
}

/// One tenant's view of one source group.
pub(crate) struct Intake<A = Subscription> {
    index: GroupIndex,
    members: Vec<Member<A>>,
}

/// The first tick of those that each member has failed to answer without a break, on one stretch of ticks.
#[derive(Debug)]
pub(crate) struct Absences(Vec<Option<Tick>>);

struct Member<A> {
    rank: Rank,
    source: A,
    /// The first tick of those it has failed to answer without a break.
    missing_since: Option<Tick>,
}

impl Intake {
    /// `index` is the group's position among the tenant's groups; its sources are ranked from `first_rank` on.
    pub(crate) fn new(
        collector: &Collector,
        payer: &Payer,
        tenant: &Tenant,
        group: &SourceGroup,
        index: GroupIndex,
        first_rank: Rank,
    ) -> Intake {
        let subscribe =
            |source| collector.subscribe(payer, source, &tenant.selectors, tenant.interval, tenant.mode);
        Intake::of(index, first_rank, group.sources.iter().map(subscribe))
    }
}

impl<A: Ask> Intake<A> {
    /// As [`Intake::new`], of these.
    pub(crate) fn of(index: GroupIndex, first_rank: Rank, sources: impl IntoIterator<Item = A>) -> Intake<A> {
        let member = |(source, rank)| Member { rank, source, missing_since: None };
        Intake { index, members: sources.into_iter().zip(first_rank..).map(member).collect() }
    }

    /// Nobody is away.
    pub(crate) fn no_absences(&self) -> Absences {
        Absences(vec![None; self.members.len()])
    }

    /// It is another stretch's turn: who is away there is exchanged for who is away here.
    pub(crate) fn turn(&mut self, Absences(other): &mut Absences) {
        for (member, other) in self.members.iter_mut().zip(other) {
            std::mem::swap(&mut member.missing_since, other);
        }
    }

    /// Asks the group for `tick`, which so many due ticks are `behind`: the sources that answer their probes, and the others if none of these has a complete
    /// answer. An error if none at all has. Where all samples are taken: those from so long before the tick on, at least.
    pub(crate) async fn at(
        &mut self,
        tick: Tick,
        behind: u32,
        reach: Duration,
    ) -> Result<Gathered, collect::Error> {
        let (mut answers, mut failures) = (Vec::new(), Vec::new());
        let (first, then) = rounds(self.members.iter().map(|member| member.source.standing()));
        for round in [first, then] {
            let ask = |&at: &usize| self.members[at].source.at(tick, behind, reach);
            let asked = join_all(round.iter().map(ask)).await;
            for (&at, answer) in round.iter().zip(asked) {
                let rank = self.members[at].rank;
                match answer {
                    Ok(collected) => answers.push((at, Answer { group: self.index, rank, collected })),
                    Err(error) => failures.push(error),
                }
            }
            if !answers.is_empty() {
                break;
            }
        }
        let answered: Vec<usize> = answers.iter().map(|(at, _)| *at).collect();
        for (at, member) in self.members.iter_mut().enumerate() {
            match answered.contains(&at) {
                true => member.missing_since = None,
                false => _ = member.missing_since.get_or_insert(tick),
            }
        }
        if answers.is_empty() {
            // A group has at least one source, so there is a failure. That there is no room is one to which no source can help.
            let first = failures.iter().position(|error| error.full().is_some()).unwrap_or(0);
            return Err(failures.swap_remove(first));
        }
        let answers: Vec<Answer> = answers.into_iter().map(|(_, answer)| answer).collect();
        let is_marked = answers.iter().all(|answer| answer.collected.ends == Ends::Marked);
        let conclude = match self.conclude(tick) {
            Conclude::Ended if is_marked => Conclude::Unwanted,
            conclude => conclude,
        };
        Ok(Gathered { answers, conclude, failures })
    }

    /// Whether any source of the group still has anything at a tick at which it had something. An error unless those that answer
    /// are of one mind.
    pub(crate) async fn holds(&self, tick: Tick) -> Result<bool, collect::Error> {
        let mut failed = None;
        for member in &self.members {
            match member.source.holds(tick).await {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(false), Err)
    }

    /// What the group's sources say of their metrics, as far as it is known, by rank. One that is gone is not asked.
    pub(crate) fn metadata(&self, curiosity: Curiosity) -> Vec<Arc<Metadata>> {
        let there = self.members.iter().filter(|member| member.source.standing() != Standing::Gone);
        there.map(|member| member.source.metadata(curiosity)).collect()
    }

    fn conclude(&self, tick: Tick) -> Conclude {
        // A replica that has not answered for longer has nothing to say about what ended.
        let in_doubt = |member: &Member<A>| {
            member.missing_since.is_some_and(|since| tick.timestamp().since(since.timestamp()) < LOOKBACK)
        };
        if self.members.iter().any(in_doubt) { Conclude::Nothing } else { Conclude::Ended }
    }
}

/// Which members are asked at once, and which only if none of these answers; by position, in rank order.
fn rounds(standings: impl Iterator<Item = Standing>) -> (Vec<usize>, Vec<usize>) {
    let (first, then): (Vec<_>, Vec<_>) =
        standings.enumerate().partition(|(_, standing)| *standing == Standing::Preferred);
    let positions = |members: Vec<(usize, _)>| members.into_iter().map(|(at, _)| at).collect();
    (positions(first), positions(then))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::Cause;
    use crate::model::{Interval, SourceName};

    /// A source that never answers.
    struct Away;

    impl Ask for Away {
        async fn at(&self, _: Tick, _: u32, _: Duration) -> Result<Collected, collect::Error> {
            let cause = Arc::new(Cause::Timeout(Duration::ZERO));
            Err(collect::Error { server: SourceName::new("away"), cause })
        }

        async fn holds(&self, _: Tick) -> Result<bool, collect::Error> {
            Ok(false)
        }

        fn standing(&self) -> Standing {
            Standing::Preferred
        }

        fn metadata(&self, _: Curiosity) -> Arc<Metadata> {
            Arc::default()
        }
    }

    #[tokio::test]
    async fn who_is_away_on_one_stretch_of_ticks_has_not_been_away_for_as_long_on_another() {
        let tick = |second: i64| {
            Tick::at_or_before(Timestamp(second * 1000), Interval::new(Duration::from_secs(1)).unwrap())
        };
        let mut intake = Intake::of(0, 0, [Away]);
        assert!(intake.at(tick(1), 0, Duration::ZERO).await.is_err());
        assert_eq!([2, 400].map(|at| intake.conclude(tick(at))), [Conclude::Nothing, Conclude::Ended]);
        let mut other = intake.no_absences();
        intake.turn(&mut other);
        assert!(intake.at(tick(400), 0, Duration::ZERO).await.is_err());
        assert_eq!(intake.conclude(tick(401)), Conclude::Nothing);
        intake.turn(&mut other);
        assert_eq!([2, 400].map(|at| intake.conclude(tick(at))), [Conclude::Nothing, Conclude::Ended]);
    }

    #[test]
    fn replicas_that_do_not_answer_probes_are_asked_last_and_still_asked() {
        use Standing::{Gone, LastResort, Preferred};
        for (standings, first, then) in [
            (vec![Preferred, Preferred], vec![0, 1], vec![]),
            (vec![LastResort, Preferred, Gone], vec![1], vec![0, 2]),
            (vec![LastResort], vec![], vec![0]),
        ] {
            assert_eq!(rounds(standings.into_iter()), (first, then));
        }
    }
}
