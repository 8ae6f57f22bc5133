//! Sending: one tick's requests at one endpoint, until nothing of them is left to do.
//!
//! In: requests that hold different series. Out: how many samples were acknowledged, and which series the endpoint will never
//! take. Never: a series given up because of its neighbours while there are requests left to tell them apart; a request called
//! delivered because of its status.
//!
//! A receiver refuses a request for one series of it, and takes none of the others (Prometheus rolls the whole request back,
//! and its answer names no series). So a refused request is split in halves until what is refused stands alone. Before that a few
//! of its series are sent alone: where every one of them is refused, all of them are, and nobody looks for each.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio_util::sync::CancellationToken;

use super::doubt::Doubt;
use super::failure::Failure;
use super::lane::Context;
use super::news::Fault;
use super::opaque::without_histograms;
use super::order::Stretch;
use crate::deliver::encode::{Limits, Request};
use crate::deliver::protocol::Plan;
use crate::deliver::remote_write::RemoteWrite;
use crate::deliver::v2::translate::translated;
use crate::deliver::{self, Version, retry, split};
use crate::model::{Labels, Mode, OnReject, Order, Tick, Timestamp};
use crate::telemetry::Refusal;

/// Requests beside its own that one tick may take to find what is refused: enough for a hundred series among ten thousand.
const SEARCH_REQUESTS_MAX: u32 = 2_000;

/// Likewise, of a tick that was missed and that newer ones wait behind.
const PAST_REQUESTS_MAX: u32 = 200;

/// Series of a refused request that are sent alone first.
const WITNESSES: usize = 8;

/// Refused series whose labels are kept, to be named and to be sent apart from the others next time.
pub(super) const OFFENDERS_MAX: usize = 1_000;

/// Where requests go. Two lives: a receiver of remote write, and a script in the simulation.
pub(crate) trait Sink: Send + Sync {
    /// Sends the request once.
    fn send(&self, request: &Request) -> impl Future<Output = Result<(), deliver::Error>> + Send;
    /// What is to become of a request that is refused for what is in it.
    fn on_reject(&self) -> OnReject;
    /// In which version to send what comes next.
    fn plan(&self) -> Plan {
        Plan::All(self.speaks())
    }
    /// What the receiver is spoken to in, but for trials.
    fn speaks(&self) -> Version {
        Version::V1
    }
}

impl Sink for RemoteWrite {
    async fn send(&self, request: &Request) -> Result<(), deliver::Error> {
        RemoteWrite::send(self, request).await.map(drop)
    }

    fn on_reject(&self) -> OnReject {
        RemoteWrite::on_reject(self)
    }

    fn plan(&self) -> Plan {
        RemoteWrite::plan(self)
    }

    fn speaks(&self) -> Version {
        RemoteWrite::speaks(self)
    }
}

/// What an endpoint took of a tick.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// Samples it acknowledged.
    pub(super) acknowledged: usize,
    /// Samples that it had already, as its refusals of a tick in doubt say.
    pub(super) held_before: usize,
    /// Samples it will never take.
    pub(super) refused: usize,
    /// Series it refuses, as they are encoded; not all of them if there are many.
    pub(super) offenders: Vec<Vec<u8>>,
    /// A series whose native histograms were left out because it takes none.
    pub(super) opaque: Option<Vec<u8>>,
    /// Why one of them was refused.
    pub(super) why: Option<deliver::Error>,
}

/// An endpoint refuses some of a tick for what it is.
#[derive(Debug, thiserror::Error)]
#[error("{refused} of {all} samples are not taken{}: {why}", among(named))]
pub(super) struct Rejected {
    refused: usize,
    all: usize,
    /// One of the series.
    named: Option<Labels>,
    why: deliver::Error,
}

impl Rejected {
    /// Whether nothing of the tick was taken.
    pub(super) fn is_whole(&self) -> bool {
        self.refused == self.all
    }
}

fn among(named: &Option<Labels>) -> String {
    named.as_ref().map_or_else(String::new, |labels| format!(", {labels} among them"))
}

/// How the sending of a tick ended.
pub(super) enum Outcome {
    /// Nothing of the tick is left to do.
    Settled(Taken),
    /// Told to halt before that.
    Halted,
}

/// What became of one request.
enum Settled {
    Taken(Taken),
    /// Somebody has to mend the endpoint first; until then the tick is kept.
    Held(deliver::Error),
    Halted,
}

/// A request, or what is left of one.
struct Part {
    request: Request,
    /// Whether the receiver may have it.
    doubt: InDoubt,
}

/// Whether a receiver may have what is sent to it, so that its refusal as old says that it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum InDoubt {
    No,
    /// This life of the lane has sent the same before.
    Repeated,
    /// A former life may have, at another time: a sample that was stored late may be new in it.
    Former,
}

/// One tick on its way to one endpoint.
pub(super) struct Sending<'a, S> {
    context: &'a Context,
    sink: &'a S,
    tick: Tick,
    doubt: InDoubt,
    /// Up to when there is nothing new in a tick in doubt, but for what was stored late.
    before: Option<Timestamp>,
    halt: &'a CancellationToken,
    /// What the endpoint said of native histograms, if it takes none.
    opaque: Option<&'a str>,
    /// How large a request may become that is written anew in another version.
    limits: Limits,
    /// Requests that may still be spent on the search.
    search: AtomicU32,
}

impl<'a, S: Sink> Sending<'a, S> {
    pub(super) fn new(
        context: &'a Context,
        sink: &'a S,
        tick: Tick,
        doubt: Doubt,
        limits: Limits,
        halt: &'a CancellationToken,
    ) -> Sending<'a, S> {
        let before = doubt.before(tick, context.schedule.interval);
        let doubt = if doubt.of(tick) { InDoubt::Former } else { InDoubt::No };
        // What a tick in doubt is refused for is told from what is new in it, whatever is done with refusals.
        let is_searched = doubt != InDoubt::No || sink.on_reject() == OnReject::Bisect;
        let most = if context.stretch == Stretch::Past { PAST_REQUESTS_MAX } else { SEARCH_REQUESTS_MAX };
        let search = AtomicU32::new(if is_searched { most } else { 0 });
        Sending { context, sink, tick, doubt, before, halt, opaque: None, limits, search }
    }

    /// To an endpoint that takes no native histograms, if it said so.
    pub(super) fn knowing(self, opaque: Option<&'a str>) -> Sending<'a, S> {
        Sending { opaque, ..self }
    }

    /// One of the requests in 2.0, so that the receiver can show what it makes of it. What it does not take goes in 1.0 as any
    /// request of 2.0 does that it does not take.
    pub(super) fn try_v2(&self, requests: &mut [Request]) {
        let Some(last) = requests.last_mut() else { return };
        if let Some([request]) = translated(last, self.limits).as_deref_mut() {
            std::mem::swap(last, request);
        }
    }

    /// Sends all of them, several at a time.
    pub(super) async fn all(&self, requests: Vec<Request>) -> Result<Outcome, Failure> {
        let mut waiting = requests.into_iter();
        let mut sending = FuturesUnordered::new();
        for request in waiting.by_ref().take(self.context.config.concurrency) {
            sending.push(self.settle(request));
        }
        let mut all = Taken::default();
        while let Some(outcome) = sending.next().await {
            sending.extend(waiting.next().map(|request| self.settle(request)));
            match outcome {
                Settled::Taken(taken) => all.add(taken),
                Settled::Held(error) => return Err(Failure::Deliver(error)),
                Settled::Halted => return Ok(Outcome::Halted),
            }
        }
        Ok(Outcome::Settled(all))
    }

    /// Sends one request until all of it is acknowledged, refused, or too old.
    async fn settle(&self, request: Request) -> Settled {
        let mut taken = Taken::default();
        let stripped =
            self.opaque.and_then(|said| without_histograms(self.context, &request, said, &mut taken));
        let requests = stripped.unwrap_or_else(|| vec![request]).into_iter();
        let mut parts: VecDeque<Part> = requests.map(|request| Part { request, doubt: self.doubt }).collect();
        while let Some(part) = parts.pop_front() {
            match self.step(part, &mut taken).await {
                Ok(instead) => instead.into_iter().rev().for_each(|part| parts.push_front(part)),
                Err(settled) => return settled,
            }
        }
        Settled::Taken(taken)
    }

    /// Sends one part; what is to be sent in its place.
    async fn step(&self, mut part: Part, taken: &mut Taken) -> Result<Vec<Part>, Settled> {
        let error = match self.acknowledged(&mut part).await {
            Ok(()) => {
                taken.acknowledged += part.request.samples;
                return Ok(Vec::new());
            }
            Err(error) => error,
        };
        let instead = match error {
            deliver::Error::Stopped(_) => return Err(Settled::Halted),
            held if held.is_to_be_mended() => return Err(Settled::Held(held)),
            deliver::Error::InOther { version, source } => match translated(&part.request, self.limits) {
                Some(others) if part.request.version != version => others,
                _ => return self.give_up(taken, &part, *source).await,
            },
            late @ deliver::Error::GaveUp { .. } => {
                self.context.fails(Fault::TooOld, self.tick, &late);
                self.context.refused(Refusal::TooOld, part.request.samples);
                taken.refused += part.request.samples;
                return Ok(Vec::new());
            }
            deliver::Error::Histograms { message } => {
                match without_histograms(self.context, &part.request, &message, taken) {
                    Some(rest) => rest,
                    None => return self.give_up(taken, &part, deliver::Error::Histograms { message }).await,
                }
            }
            refused if refused.is_about_content() && refused.written() < part.request.samples => {
                match self.parts(&part, taken).await? {
                    Parts::Halves(halves) => halves.into(),
                    Parts::Alone => return self.give_up(taken, &part, refused).await,
                }
            }
            refused => return self.give_up(taken, &part, refused).await,
        };
        Ok(instead.into_iter().map(|request| Part { request, ..part }).collect())
    }

    async fn acknowledged(&self, part: &mut Part) -> Result<(), deliver::Error> {
        let Part { request, doubt } = part;
        let attempt = || self.sink.send(request);
        let bytes = request.body.len();
        // What is refused for what is in it may be a few of many: that is told of the whole tick.
        let repeats = if self.context.tenant.mode == Mode::Raw { InDoubt::Repeated } else { *doubt };
        let observe = |attempt: retry::Attempt<'_>| {
            self.context.metrics.spoken(request.version.as_str());
            if attempt.error.is_some_and(is_told_later) {
                return self.context.counted(&attempt, bytes);
            }
            // Who said nothing, or was sorry, may have taken it. Of several samples of a series it takes none again but the last.
            if attempt.error.is_some() && *doubt == InDoubt::No {
                *doubt = repeats;
            }
            self.context.attempted(self.tick, &attempt, bytes);
        };
        let give_up_at = Some(self.context.give_up_at(self.tick));
        let until = retry::Until { stop: self.halt, cut: &self.context.cut, give_up_at };
        retry::until_acknowledged(attempt, &self.context.config.retry, until, observe).await
    }

    /// What is to be sent instead of a request that was refused.
    async fn parts(&self, part: &Part, taken: &mut Taken) -> Result<Parts, Settled> {
        // What is sent once more for the sake of what was stored late says nothing of what is new.
        let before = self.before.filter(|_| part.doubt == InDoubt::Former);
        let apart = before.and_then(|at| split::at(&part.request, at)).filter(|_| self.may_ask(2));
        if let Some(apart) = apart {
            return Ok(Parts::Halves(apart));
        }
        let left_out = match self.witnesses(part).await? {
            Heard::Refused => return Ok(Parts::Alone),
            Heard::Nothing => None,
            Heard::Taken { series, samples } => {
                taken.acknowledged += samples;
                Some(series)
            }
        };
        // One that was taken is in neither half, so that these go on.
        let halves = split::halves(&part.request, left_out).filter(|_| self.may_ask(2) || left_out.is_some());
        Ok(halves.map_or(Parts::Alone, Parts::Halves))
    }

    /// Sends a few of a request's series alone, until one is taken.
    async fn witnesses(&self, part: &Part) -> Result<Heard, Settled> {
        let Some(witnesses) = split::witnesses(&part.request, WITNESSES) else { return Ok(Heard::Nothing) };
        // Where the receiver turns out to speak another version there is nothing to conclude.
        for (series, request) in witnesses {
            if !self.may_ask(1) {
                return Ok(Heard::Nothing);
            }
            let mut witness = Part { request, ..*part };
            match self.acknowledged(&mut witness).await {
                Ok(()) => return Ok(Heard::Taken { series, samples: witness.request.samples }),
                Err(deliver::Error::Stopped(_)) => return Err(Settled::Halted),
                Err(held) if held.is_to_be_mended() => return Err(Settled::Held(held)),
                Err(refused) if refused.is_about_content() => {}
                Err(_) => return Ok(Heard::Nothing),
            }
        }
        Ok(Heard::Refused)
    }

    fn may_ask(&self, requests: usize) -> bool {
        let requests = requests as u32;
        let take = |left: u32| left.checked_sub(requests);
        self.search.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }

    /// All of a request is refused. Of a tick in doubt that says that it was delivered before: nothing newer was ever sent of
    /// these series before all of the tick had been acknowledged.
    async fn give_up(
        &self,
        taken: &mut Taken,
        part: &Part,
        why: deliver::Error,
    ) -> Result<Vec<Part>, Settled> {
        let (request, nothing) = (&part.request, Vec::new());
        // Who takes them in any order says with nothing else that it has one.
        let is_held = match self.context.order {
            Order::Ascending => why.reason().is_old(),
            Order::Any => why.reason() == deliver::Reason::Duplicate,
        };
        if part.doubt != InDoubt::No && is_held {
            taken.held_before += request.samples;
            if part.doubt == InDoubt::Former && self.context.tenant.mode == Mode::Raw {
                self.send_ends(request).await?;
            }
            return Ok(nothing);
        }
        // Which of them it wrote it does not say, so that nobody is named.
        let written = why.written();
        taken.acknowledged += written;
        if written == request.samples {
            return Ok(nothing);
        }
        self.context.refused(refusal(why.reason()), request.samples - written);
        taken.refused += request.samples - written;
        if written == 0 {
            taken.offenders.extend(split::labels(request, OFFENDERS_MAX));
        }
        taken.why = Some(why);
        Ok(nothing)
    }

    /// What a former life delivered may have lacked what was stored late: the newest sample of each series, which a receiver that has it
    /// takes again.
    async fn send_ends(&self, request: &Request) -> Result<(), Settled> {
        let ends = split::ends(request).filter(|ends| ends.samples < request.samples && self.may_ask(1));
        let Some(request) = ends else { return Ok(()) };
        match self.acknowledged(&mut Part { request, doubt: InDoubt::Former }).await {
            Err(deliver::Error::Stopped(_)) => Err(Settled::Halted),
            Err(held) if held.is_to_be_mended() => Err(Settled::Held(held)),
            _ => Ok(()),
        }
    }
}

/// What those of a request's series say that were sent alone.
enum Heard {
    /// All of them are refused.
    Refused,
    /// This one is taken, by its place in the request; those before it are not.
    Taken {
        series: usize,
        samples: usize,
    },
    Nothing,
}

/// Whether an attempt failed in a way that says nothing of the tick as a whole.
fn is_told_later(error: &deliver::Error) -> bool {
    error.is_about_content() || matches!(error, deliver::Error::Short { .. } | deliver::Error::InOther { .. })
}

fn refusal(reason: deliver::Reason) -> Refusal {
    match reason {
        deliver::Reason::OutOfOrder => Refusal::OutOfOrder,
        deliver::Reason::Duplicate => Refusal::Duplicate,
        deliver::Reason::TooOld => Refusal::TooOld,
        deliver::Reason::Limit => Refusal::Limit,
        deliver::Reason::Histograms => Refusal::Histograms,
        deliver::Reason::Unwritten => Refusal::Unwritten,
        deliver::Reason::Other => Refusal::Other,
    }
}

/// What to send in place of a refused request.
enum Parts {
    Halves([Request; 2]),
    /// Nothing.
    Alone,
}

impl Taken {
    fn add(&mut self, other: Taken) {
        let Taken { acknowledged, held_before, refused, offenders, opaque, why } = other;
        self.acknowledged += acknowledged;
        self.held_before += held_before;
        self.refused += refused;
        self.offenders.extend(offenders);
        self.offenders.truncate(OFFENDERS_MAX);
        self.opaque = opaque.or(self.opaque.take());
        self.why = why.or(self.why.take());
    }

    /// What was refused, if anything was; `read` reads encoded labels.
    pub(super) fn rejected(&mut self, read: impl Fn(&[u8]) -> Option<Labels>) -> Option<Rejected> {
        let why = self.why.take()?;
        let (refused, all) = (self.refused, self.refused + self.acknowledged + self.held_before);
        let named = self.offenders.first().or(self.opaque.as_ref()).and_then(|encoded| read(encoded));
        Some(Rejected { refused, all, named, why })
    }
}
