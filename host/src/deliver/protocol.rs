//! Protocol: which remote write a receiver is spoken to in, as far as its answers tell.
//!
//! In: what the resource wants, and what became of each request. Out: what to send next, and whether a request has to be
//! sent again in the other version. Never: a clock, IO, or a receiver's version taken from anything but its answer to a request
//! of that version.
//!
//! `auto` begins with 1.0, which every receiver of today takes. Once a tick was taken so, one request of the next one goes in
//! 2.0 on trial. A 2.0 receiver answers with what it has written. One that knows nothing of 2.0 answers 415, or takes the
//! request for one of 1.0, sees nothing in it (the fields' numbers were chosen so) and answers with a success that does not say
//! what was written. Neither has written anything, so the same in 1.0 loses nothing and repeats nothing; and whatever else it
//! answered, the same samples once more are what every retry sends.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::model::{Protocol, TenantId};

/// How long is believed what a receiver has shown: the next trial of one that does not take 2.0 is then, and one that took
/// it and was silent since is asked in 1.0 first.
pub const REMEMBERED: Duration = Duration::from_secs(3600);

/// The next trial after one that told nothing.
const TRIAL_AGAIN: Duration = Duration::from_secs(300);

/// The next trial after the receiver was away: it may have been replaced.
const TRIAL_AFTER_OUTAGE: Duration = Duration::from_secs(10);

/// A version that was refused so lately is not sent in place of the other one.
const REFUSED_LATELY: Duration = Duration::from_secs(60);

/// So many failures in a row of a receiver that answers, and it is asked in 1.0: it may have been replaced by one that fails at
/// what it does not know.
const FAILURES_MAX: u32 = 5;

/// A version of remote write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Version {
    /// `prometheus.WriteRequest`.
    V1,
    /// `io.prometheus.write.v2.Request`.
    V2,
}

impl Version {
    /// As resources and metrics write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Version::V1 => "1.0",
            Version::V2 => "2.0",
        }
    }

    fn other(self) -> Version {
        match self {
            Version::V1 => Version::V2,
            Version::V2 => Version::V1,
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// In which version a tick is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// All of it in this one.
    All(Version),
    /// One request in 2.0, to see what comes, and the others in 1.0.
    Trial,
}

/// What became of a request, as far as it tells what the receiver speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// A success; how many samples were written, if it says what was.
    Taken {
        /// From the `-Written` headers.
        written: Option<u64>,
    },
    /// 415: it does not take the version.
    Unsupported,
    /// 400; how many samples were written, if it says what was. Receivers of 1.0 answer so to what they do not know.
    BadRequest {
        /// From the `-Written` headers.
        written: Option<u64>,
    },
    /// 5xx.
    Failing,
    /// 429, or no answer at all.
    Unavailable,
    /// Anything else.
    Other,
}

/// What an answer means for the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// It is what it says.
    Stands,
    /// The same is to be sent in this version.
    Again(Version),
}

/// What is known of one receiver.
#[derive(Debug)]
pub struct Negotiation {
    wanted: Protocol,
    speaks: Version,
    /// Whether 1.0 was taken, and nothing failed since.
    is_settled: bool,
    failures: u32,
    /// When each version was refused last.
    refused: [Option<Instant>; 2],
    heard_at: Instant,
    tried_at: Option<Instant>,
    trial_at: Instant,
}

impl Negotiation {
    /// Of a receiver that nothing is known of.
    pub fn new(wanted: Protocol, now: Instant) -> Negotiation {
        let speaks = if wanted == Protocol::V2 { Version::V2 } else { Version::V1 };
        Negotiation {
            wanted,
            speaks,
            is_settled: false,
            failures: 0,
            refused: [None; 2],
            heard_at: now,
            tried_at: None,
            trial_at: now,
        }
    }

    /// What it is spoken to in, but for trials.
    pub fn speaks(&self) -> Version {
        self.speaks
    }

    /// How the next tick is to be sent. Whoever is told of a trial makes it.
    pub fn plan(&mut self, now: Instant) -> Plan {
        if self.wanted != Protocol::Auto {
            return Plan::All(self.speaks);
        }
        if self.speaks == Version::V2 && now.duration_since(self.heard_at) > REMEMBERED {
            (self.speaks, self.is_settled, self.trial_at) = (Version::V1, false, now);
        }
        if self.speaks == Version::V2 || !self.is_settled || now < self.trial_at {
            return Plan::All(self.speaks);
        }
        (self.tried_at, self.trial_at) = (Some(now), now + TRIAL_AGAIN);
        Plan::Trial
    }

    /// A request of so many samples was sent in this version, and this is what came.
    pub fn heard(&mut self, sent: Version, samples: usize, answer: Answer, now: Instant) -> Reading {
        if !matches!(answer, Answer::Unavailable) {
            self.heard_at = now;
        }
        match (self.wanted, sent) {
            (Protocol::V1 | Protocol::V2, _) => Reading::Stands,
            (Protocol::Auto, Version::V1) => self.heard_of_v1(answer, now),
            (Protocol::Auto, Version::V2) => self.heard_of_v2(samples as u64, answer, now),
        }
    }

    fn heard_of_v1(&mut self, answer: Answer, now: Instant) -> Reading {
        match answer {
            Answer::Taken { .. } => self.is_settled = true,
            Answer::Unsupported => return self.refuses(Version::V1, now),
            Answer::Failing | Answer::Unavailable => {
                self.is_settled = false;
                let soon = self.tried_at.map_or(now, |tried| tried + TRIAL_AFTER_OUTAGE);
                self.trial_at = self.trial_at.min(soon);
            }
            Answer::BadRequest { .. } | Answer::Other => {}
        }
        Reading::Stands
    }

    fn heard_of_v2(&mut self, samples: u64, answer: Answer, now: Instant) -> Reading {
        let is_trial = self.speaks == Version::V1;
        match answer {
            Answer::Taken { written: Some(written) } if written >= samples => {
                self.failures = 0;
                // Behind one address there can be several receivers, of both kinds.
                if !self.is_refused_since_trial() {
                    self.speaks = Version::V2;
                }
                Reading::Stands
            }
            Answer::Taken { written: None | Some(0) } | Answer::Unsupported => self.refuses(Version::V2, now),
            Answer::BadRequest { written: None } => self.refuses(Version::V2, now),
            Answer::Failing if !is_trial => {
                self.failures += 1;
                match self.failures < FAILURES_MAX {
                    true => Reading::Stands,
                    false => self.back_to_v1(now),
                }
            }
            _ if is_trial => self.back_to_v1(now),
            _ => Reading::Stands,
        }
    }

    /// It does not take this version: the other one, unless it was refused as lately.
    fn refuses(&mut self, version: Version, now: Instant) -> Reading {
        self.refused[version as usize] = Some(now);
        let other = version.other();
        if self.is_refused_lately(other, now) {
            return Reading::Stands;
        }
        self.speaks = other;
        self.failures = 0;
        self.trial_at = now + REMEMBERED;
        Reading::Again(other)
    }

    /// Nothing is known for certain, and 1.0 is what is safe.
    fn back_to_v1(&mut self, now: Instant) -> Reading {
        if self.is_refused_lately(Version::V1, now) {
            return Reading::Stands;
        }
        (self.speaks, self.is_settled, self.failures) = (Version::V1, false, 0);
        self.trial_at = now + TRIAL_AGAIN;
        Reading::Again(Version::V1)
    }

    /// Whether 2.0 was refused since the last trial began.
    fn is_refused_since_trial(&self) -> bool {
        let refused = self.refused[Version::V2 as usize];
        refused.is_some_and(|at| self.tried_at.is_none_or(|tried| tried <= at))
    }

    fn is_refused_lately(&self, version: Version, now: Instant) -> bool {
        self.refused[version as usize].is_some_and(|at| now.duration_since(at) < REFUSED_LATELY)
    }
}

/// One receiver's [`Negotiation`], shared by all who send to it for one resource.
#[derive(Debug, Clone)]
pub struct Spoken(Arc<Mutex<Negotiation>>);

impl Spoken {
    /// Of a receiver that nothing is known of, and that nobody else sends to.
    pub fn new(wanted: Protocol) -> Spoken {
        Spoken(Arc::new(Mutex::new(Negotiation::new(wanted, Instant::now()))))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Negotiation> {
        lock(&self.0)
    }
}

/// What receivers have shown, by resource and endpoint. It outlives a pipeline, so that an edit of a resource forgets nothing.
#[derive(Debug, Default)]
pub struct Receivers(Mutex<HashMap<(TenantId, String), Spoken>>);

impl Receivers {
    /// What is known of the endpoint with this key. Nothing if the resource wants something else of it than before.
    pub fn of(&self, tenant: &TenantId, endpoint: String, wanted: Protocol) -> Spoken {
        let now = Instant::now();
        let mut all = lock(&self.0);
        all.retain(|_, Spoken(known)| {
            Arc::strong_count(known) > 1 || now.duration_since(lock(known).heard_at) < REMEMBERED
        });
        let known = all.entry((tenant.clone(), endpoint)).or_insert_with(|| Spoken::new(wanted));
        if known.lock().wanted != wanted {
            *known = Spoken::new(wanted);
        }
        known.clone()
    }
}

/// What is behind these locks is whole between any two statements, so a panic elsewhere says nothing.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
