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
use crate::collect::{self, Collector, Subscription};
use crate::model::memory::Payer;
use crate::model::{SourceGroup, Standing, Tenant, Tick, Timestamp};

/// A replica that has not answered for this long has nothing to say about what ended: readers look back five
/// minutes (`query.lookback-delta`), so its series are gone for them as well.
const ABSENCE_MAX: Duration = Duration::from_secs(300);

/// What one group answered.
pub(crate) struct Gathered {
    /// Complete answers, by rank.
    pub(crate) answers: Vec<Answer>,
    /// Whether what is missing has ended.
    pub(crate) conclude: Conclude,
    /// What the other sources of the group failed with.
    pub(crate) failures: Vec<collect::Error>,
}

/// A source's clock is known to half a second, ours may be corrected meanwhile.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(2);

impl Gathered {
    /// The answers of sources for which `tick` has passed, if there are any. Asked for a time that is still to come, a source
    /// answers with what it has, and that would stand for good in place of what there will be.
    pub(crate) fn of_the_past(mut self, tick: Tick, now: Timestamp) -> Result<Gathered, collect::Error> {
        let ahead_of = |answer: &Answer| {
            let behind = Duration::from_millis(answer.collected.skew_millis?.min(0).unsigned_abs());
            let is_to_come = now.minus(behind).plus(CLOCK_TOLERANCE) < tick.timestamp();
            is_to_come.then(|| collect::Error {
                server: answer.collected.source.name.clone(),
                cause: Arc::new(collect::Cause::ClockBehind { seconds: behind.as_secs() }),
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
pub(crate) struct Intake {
    index: GroupIndex,
    members: Vec<Member>,
}

struct Member {
    rank: Rank,
    subscription: Subscription,
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
        let members = group.sources.iter().zip(first_rank..).map(|(source, rank)| Member {
            rank,
            subscription: collector.subscribe(payer, source, &tenant.selectors, tenant.interval),
            missing_since: None,
        });
        Intake { index, members: members.collect() }
    }

    /// Asks the group for `tick`: the sources that answer their probes, and the others if none of these has a complete
    /// answer. An error if none at all has.
    pub(crate) async fn at(&mut self, tick: Tick) -> Result<Gathered, collect::Error> {
        let (mut answers, mut failures) = (Vec::new(), Vec::new());
        let (first, then) = rounds(self.members.iter().map(|member| member.subscription.standing()));
        for round in [first, then] {
            let asked = join_all(round.iter().map(|&at| self.members[at].subscription.at(tick))).await;
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
        let answers = answers.into_iter().map(|(_, answer)| answer).collect();
        Ok(Gathered { answers, conclude: self.conclude(tick), failures })
    }

    fn conclude(&self, tick: Tick) -> Conclude {
        let in_doubt = |member: &Member| {
            member.missing_since.is_some_and(|since| tick.timestamp().since(since.timestamp()) < ABSENCE_MAX)
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
