//! Collector: where pipelines subscribe to what they want of a source, and ask for it tick by tick.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use sluice_filter::selector::Selector;

use crate::http::Client;
use crate::model::memory::{Memory, Payer};
use crate::model::{Interval, Metadata, Mode, Source, SourceName, Standing, Standings, Tick};

use super::health::SourceHealth;
use super::metadata::{self, Curiosity, Turns};
use super::origin::Origin;
use super::stream::{Content, Ends, Fetched, Interest, Wanted};
use super::table::Part;
use super::{Cause, Config, Error, Observer, lock, plan};

/// Collects for all pipelines. Clones share everything.
#[derive(Debug, Clone)]
pub struct Collector {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    client: Client,
    config: Config,
    observer: Observer,
    memory: Memory,
    turns: Turns,
    /// Held weakly: a source without subscriptions is forgotten.
    origins: Mutex<HashMap<SourceName, Weak<Origin>>>,
    /// What others found out about the sources.
    standings: Mutex<Arc<Standings>>,
}

/// One pipeline's selectors on one source. Dropping it ends the pipeline's part in what is asked.
#[derive(Debug)]
pub struct Subscription {
    collector: Collector,
    origin: Arc<Origin>,
    interests: Vec<Interest>,
    /// How long before a tick samples are asked for; nothing where there is one a tick.
    reach: Duration,
}

/// Everything the selectors of one subscription select at one tick; never a part of it.
#[derive(Debug, Clone)]
pub struct Collected {
    /// Where it comes from.
    pub source: Arc<Source>,
    /// The moment it is of.
    pub tick: Tick,
    /// The rows. A series that several selectors select may be in several parts.
    pub parts: Vec<Part>,
    /// Size of the bodies that were read for it, in bytes; shared with other subscriptions.
    pub bytes: u64,
    /// Rows in all parts.
    pub series: usize,
    /// Native histograms left out.
    pub histograms: u64,
    /// Results without a metric name left out, here or in other subscriptions' parts of the same answers.
    pub nameless: u64,
    /// Results with a label twice or without a name left out, here or in those parts.
    pub illegal: u64,
    /// Results left out because they equal another one once external labels are off, here or in those parts.
    pub collisions: u64,
    /// How it says that a series has ended.
    pub ends: Ends,
    /// How far the source's clock is ahead of ours, in milliseconds, give or take half a second, if it says.
    pub skew_millis: Option<i64>,
}

impl Collector {
    /// A collector that asks through `client`, tells `observer` of every request, and holds what `memory` allows.
    pub fn new(client: Client, config: Config, observer: Observer, memory: Memory) -> Collector {
        let (turns, origins, standings) = (Turns::default(), Mutex::default(), Mutex::default());
        Collector { inner: Arc::new(Inner { client, config, observer, memory, turns, origins, standings }) }
    }

    /// Subscribes to what `selectors` select at `source`, asked for at multiples of `interval` on behalf of a namespace: where
    /// several want to ask, they take turns, and `payer` has room for the answers or gets none. Costs no request.
    pub fn subscribe(
        &self,
        payer: &Payer,
        source: &Arc<Source>,
        selectors: &[Selector],
        interval: Interval,
        mode: Mode,
    ) -> Subscription {
        let origin = self.origin(source);
        let asks = plan::plan(selectors, source, &self.inner.config.merge_label);
        let (content, reach) = match mode {
            Mode::Sampled => (Content::Values, Duration::ZERO),
            Mode::Raw => (Content::Samples, interval.duration() + source.settle),
        };
        let interests = asks.into_iter().map(|ask| Interest::new(&origin, payer, ask, interval, content));
        let interests = interests.collect();
        Subscription { collector: self.clone(), origin, interests, reach }
    }

    /// Takes over what is known of the sources from elsewhere: the standing of each, in place of what was told before.
    pub fn stand(&self, standings: Arc<Standings>) {
        *lock(&self.inner.standings) = standings;
    }

    fn standing(&self, source: &Source) -> Standing {
        lock(&self.inner.standings).of(source)
    }

    /// The state of every source that somebody subscribes to, by name.
    pub fn sources(&self) -> Vec<SourceHealth> {
        let origins: Vec<_> = lock(&self.inner.origins).values().filter_map(Weak::upgrade).collect();
        let mut sources: Vec<_> = origins
            .iter()
            .map(|origin| {
                let series = origin.series();
                lock(&origin.health).report(origin.source.name.clone(), series)
            })
            .collect();
        sources.sort_by(|a, b| a.name.cmp(&b.name));
        sources
    }

    /// What is shared about a source. One that was configured anew under its old name starts anew; who subscribed
    /// before keeps what was.
    fn origin(&self, source: &Arc<Source>) -> Arc<Origin> {
        let mut origins = lock(&self.inner.origins);
        let known = origins.get(&source.name).and_then(Weak::upgrade);
        if let Some(origin) = known.filter(|origin| origin.source == *source) {
            return origin;
        }
        origins.retain(|_, origin| origin.strong_count() > 0);
        let Inner { client, config, observer, memory, turns, .. } = &*self.inner;
        let client = client.for_access(&source.access);
        let (config, observer) = (config.clone(), observer.clone());
        let origin =
            Arc::new(Origin::new(source.clone(), client, config, observer, memory.clone(), turns.clone()));
        origins.insert(source.name.clone(), Arc::downgrade(&origin));
        origin
    }
}

impl Subscription {
    /// Everything at one tick. Pipelines that ask for the same at the same tick share the requests. So many ticks `behind`
    /// it are due already and will be asked for next: they may be fetched at once.
    ///
    /// Dropping the future is safe at any time, and takes nothing from other pipelines.
    pub async fn at(&self, tick: Tick, behind: u32) -> Result<Collected, Error> {
        self.reaching(tick, behind, Duration::ZERO).await
    }

    /// As [`Subscription::at`]. Where all samples are taken, those from so long before the tick on, if that is longer than usual.
    pub async fn reaching(&self, tick: Tick, behind: u32, reach: Duration) -> Result<Collected, Error> {
        if self.standing() == Standing::Gone {
            return Err(self.origin.error(Arc::new(Cause::Gone)));
        }
        // All are awaited even if one fails: what succeeded is kept for the next try.
        let reach = if self.reach.is_zero() { self.reach } else { self.reach.max(reach) };
        let asked = self.interests.iter().map(|interest| interest.at(Wanted { tick, behind, reach }));
        let asked = futures::future::join_all(asked).await;
        let (mut parts, mut fetched, mut is_marked) = (Vec::new(), Vec::new(), true);
        for asked in asked {
            let had = asked?;
            parts.extend(had.parts);
            fetched.extend(had.fetched);
            is_marked &= had.ends == Ends::Marked;
        }
        let ends = if is_marked { Ends::Marked } else { Ends::Absent };
        Ok(self.collected(tick, parts, ends, &fetched))
    }

    /// Whether the source still has anything that is selected at a tick which it answered before. It is asked anew: what is kept
    /// of that tick says what it had.
    pub async fn holds(&self, tick: Tick) -> Result<bool, Error> {
        for interest in &self.interests {
            if interest.holds(tick).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The source that is asked.
    pub fn source(&self) -> &Arc<Source> {
        &self.origin.source
    }

    /// Whether the source is worth asking now.
    pub fn standing(&self) -> Standing {
        self.collector.standing(&self.origin.source)
    }

    /// What the source says of its metrics, as far as it is known: at once, whatever the source does. It is asked when it is time,
    /// for all subscriptions together.
    pub fn metadata(&self, curiosity: Curiosity) -> Arc<Metadata> {
        metadata::known(&self.origin, curiosity)
    }

    /// How many queries there are to ask at a tick, shared ones included.
    pub fn queries(&self) -> usize {
        self.interests.len()
    }

    fn collected(&self, tick: Tick, parts: Vec<Part>, ends: Ends, fetched: &[Arc<Fetched>]) -> Collected {
        let sum = |count: fn(&Fetched) -> u64| fetched.iter().map(|fetched| count(fetched)).sum();
        Collected {
            source: self.origin.source.clone(),
            tick,
            bytes: sum(|fetched| fetched.bytes),
            series: parts.iter().map(Part::len).sum(),
            ends,
            histograms: parts.iter().map(Part::histograms).sum(),
            nameless: sum(|fetched| fetched.answer.nameless()),
            illegal: sum(|fetched| fetched.answer.illegal()),
            collisions: sum(|fetched| fetched.answer.collisions()),
            skew_millis: lock(&self.origin.health).skew_millis,
            parts,
        }
    }
}
