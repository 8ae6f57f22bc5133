//! Verdict: from one answer after the other to up or down, with hysteresis. Pure.

use super::Config;
use crate::discover::Presence;
use crate::model::Timestamp;

/// Whether a source answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum State {
    /// Not asked yet, or too seldom to tell.
    #[default]
    Unknown,
    /// It does.
    Up,
    /// It does not.
    Down,
}

/// How a source answered its probes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Seen {
    /// The verdict.
    pub state: State,
    /// When it last answered as it should.
    pub last_seen: Option<Timestamp>,
    /// What was wrong last and when, even if it is over.
    pub last_error: Option<(String, Timestamp)>,
    /// Probes in a row that contradict the verdict, or made it: failures while failing, successes while succeeding.
    streak: Streak,
    /// What the cluster says and since when, if that is not that the source is ready.
    pub absent: Option<(String, Timestamp)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Streak {
    failures: u32,
    successes: u32,
}

impl Seen {
    /// A probe was answered.
    pub(super) fn answered(&mut self, config: &Config, at: Timestamp) {
        self.last_seen = Some(at);
        self.streak = Streak { failures: 0, successes: self.streak.successes.saturating_add(1) };
        // Of a source that was not seen failing, one answer is enough.
        if self.state == State::Unknown || self.streak.successes >= config.successes_min {
            self.state = State::Up;
        }
    }

    /// A probe was not answered, or not as it should be.
    pub(super) fn failed(&mut self, config: &Config, error: String, at: Timestamp) {
        self.last_error = Some((error, at));
        self.streak = Streak { failures: self.streak.failures.saturating_add(1), successes: 0 };
        if self.streak.failures >= config.failures_max {
            self.state = State::Down;
        }
    }

    /// The cluster says that it is there, or not.
    pub(super) fn told(&mut self, presence: &Presence, at: Timestamp) {
        match presence {
            Presence::Ready => self.absent = None,
            Presence::NotReady(why) | Presence::Gone(why) => {
                if self.absent.as_ref().is_none_or(|(known, _)| known != why) {
                    self.absent = Some((why.clone(), at));
                }
            }
        }
    }

    /// Failed probes in a row.
    pub fn failures(&self) -> u32 {
        self.streak.failures
    }
}
