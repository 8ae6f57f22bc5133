//! Interest: which values of a stream are wanted at which ticks.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::super::gate::Namespace;
use super::super::table::Asking;
use crate::model::memory::Payer;
use crate::model::{Interval, Tick, Timestamp};

/// A pipeline that did not ask for so many of its ticks is busy elsewhere (its receiver is down, say); until it asks
/// again nothing is fetched ahead for it.
const TICKS_MISSED_MAX: u32 = 2;

/// The lines that one fetch waits in. Each costs a little work whenever a turn is given.
const NAMESPACES_MAX: usize = 16;

/// All interests in one stream.
#[derive(Debug, Default)]
pub(super) struct Interests {
    by_id: HashMap<u64, Interested>,
    next: u64,
    /// Whether somebody came or went since it was told who asks.
    changed: bool,
}

#[derive(Debug)]
struct Interested {
    payer: Payer,
    values: Vec<Arc<str>>,
    interval: Interval,
    /// The tick it asked for last, whatever became of it.
    asked: Option<Tick>,
    /// The newest tick it has.
    served: Option<Tick>,
}

impl Interests {
    pub(super) fn add(&mut self, payer: Payer, values: Vec<Arc<str>>, interval: Interval) -> u64 {
        self.next += 1;
        self.changed = true;
        let (asked, served) = (None, None);
        self.by_id.insert(self.next, Interested { payer, values, interval, asked, served });
        self.next
    }

    /// What it wanted.
    pub(super) fn remove(&mut self, id: u64) -> Vec<Arc<str>> {
        self.changed = true;
        self.by_id.remove(&id).map(|gone| gone.values).unwrap_or_default()
    }

    /// Whether anybody wants this value.
    pub(super) fn want(&self, value: &Arc<str>) -> bool {
        self.by_id.values().any(|interested| interested.values.contains(value))
    }

    /// Notes that a pipeline asks; whether it is its first try at this tick.
    pub(super) fn asked(&mut self, id: u64, tick: Tick) -> bool {
        self.by_id.get_mut(&id).is_none_or(|interested| interested.asked.replace(tick) != Some(tick))
    }

    /// The oldest of the ticks that they asked for last; `None` as long as somebody has asked for none.
    pub(super) fn oldest_asked(&self) -> Option<Tick> {
        self.by_id.values().map(|interested| interested.asked).min().flatten()
    }

    pub(super) fn served(&mut self, id: u64, tick: Tick) {
        if let Some(interested) = self.by_id.get_mut(&id) {
            interested.served = interested.served.max(Some(tick));
        }
    }

    /// The namespaces on behalf of which a fetch is made that `asker` began. A fetch keeps the next one of its stream
    /// waiting, so it is on behalf of others that want something of the stream too, whatever values it is for: of as many
    /// as make sure that it has its turn soon.
    pub(super) fn namespaces(&self, asker: u64) -> Vec<Namespace> {
        let own = self.by_id.get(&asker).map(|interested| interested.payer.name());
        let all: BTreeSet<&Namespace> =
            self.by_id.values().map(|interested| interested.payer.name()).collect();
        let others = all.into_iter().filter(|namespace| Some(*namespace) != own);
        own.into_iter().chain(others).take(NAMESPACES_MAX).cloned().collect()
    }

    /// Who asks for what, if that has changed since it was told last.
    pub(super) fn asking(&mut self) -> Option<Vec<Asking>> {
        let asking = |i: &Interested| Asking { payer: i.payer.clone(), parts: i.values.clone() };
        std::mem::take(&mut self.changed).then(|| self.by_id.values().map(asking).collect())
    }

    /// The values that somebody will ask for at `tick`, most likely.
    pub(super) fn expected(&self, tick: Tick) -> impl Iterator<Item = &Arc<str>> {
        self.by_id.values().filter(move |i| i.expects(tick)).flat_map(|i| &i.values)
    }
}

impl Interested {
    fn expects(&self, tick: Tick) -> bool {
        let is_its_own = Tick::at_or_before(tick.timestamp(), self.interval) == tick;
        let is_new = self.served.is_none_or(|served| served < tick);
        let patience = self.interval.duration() * TICKS_MISSED_MAX;
        let is_near = self.asked.is_none_or(|asked| {
            let (asked, tick): (Timestamp, Timestamp) = (asked.timestamp(), tick.timestamp());
            tick.since(asked) <= patience && asked.since(tick) <= patience
        });
        is_its_own && is_new && is_near
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::Memory;

    fn payer(namespace: &str) -> Payer {
        Memory::default().payer(namespace, usize::MAX)
    }

    fn tick(seconds: i64) -> Tick {
        Tick::at_or_before(Timestamp(seconds * 1000), interval(1))
    }

    fn interval(seconds: u64) -> Interval {
        Interval::new(Duration::from_secs(seconds)).unwrap()
    }

    fn expected(interests: &Interests, seconds: i64) -> Vec<&str> {
        let mut values: Vec<&str> = interests.expected(tick(seconds)).map(|v| &**v).collect();
        values.sort_unstable();
        values
    }

    #[test]
    fn a_value_is_expected_at_its_own_ticks_until_it_is_served_or_given_up() {
        let mut interests = Interests::default();
        let fast = interests.add(payer("web"), vec!["fast".into()], interval(15));
        let slow = interests.add(payer("db"), vec!["slow".into()], interval(60));
        assert_eq!(expected(&interests, 60), ["fast", "slow"]);
        assert_eq!(expected(&interests, 75), ["fast"]);
        assert_eq!(interests.namespaces(slow), ["db".into(), "web".into()]);
        assert_eq!(interests.namespaces(fast), ["web".into(), "db".into()], "the asker's own first");
        assert!(interests.asked(fast, tick(60)));
        assert!(!interests.asked(fast, tick(60)));
        interests.served(fast, tick(60));
        assert_eq!(expected(&interests, 60), ["slow"]);
        assert_eq!(expected(&interests, 90), ["fast"]);
        assert_eq!(expected(&interests, 105), [""; 0]);
        interests.remove(slow);
        assert_eq!(interests.namespaces(fast), ["web".into()]);
        assert_eq!(expected(&interests, 120), [""; 0]);
        for n in 0..100 {
            interests.add(payer(&format!("n{n}")), vec!["fast".into()], interval(15));
        }
        let many = interests.namespaces(fast);
        assert_eq!((many.len(), &*many[0]), (NAMESPACES_MAX, "web"));
    }
}
