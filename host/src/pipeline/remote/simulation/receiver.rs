//! Receiver: takes what Prometheus takes, behind a line that loses requests and answers while things go wrong.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::StatusCode;
use rand::Rng as _;
use rand::rngs::StdRng;

use super::super::Sink;
use super::world::{Held, World};
use super::{lock, true_now};
use crate::deliver::proto::TimeSeries;
use crate::deliver::{self, encode};
use crate::model::{Mode, OnReject, Order, Timestamp};

/// A receiver that takes what Prometheus takes: a series' newest sample again, nothing older unless it takes any order, and all of a
/// request or nothing.
#[derive(Default)]
pub(super) struct Receiver {
    pub(super) held: Held,
    /// Ticks of which a request was refused.
    pub(super) refused: BTreeSet<i64>,
    /// Another value than there was, and when of.
    pub(super) broken: Vec<(i64, String)>,
    /// In which order it takes a series' samples.
    pub(super) order: Order,
    /// Ticks in the order in which their first samples came, and when that was.
    pub(super) arrived: Vec<(i64, Timestamp)>,
}

pub(super) struct Line {
    pub(super) world: Arc<World>,
    pub(super) receiver: Arc<Mutex<Receiver>>,
    pub(super) chance: Mutex<StdRng>,
}

impl Line {
    fn random(&self, max: u64) -> u64 {
        lock(&self.chance).random_range(0..max)
    }
}

impl Sink for Line {
    async fn send(&self, request: &encode::Request) -> Result<(), deliver::Error> {
        let is_bad = self.world.is_bad();
        tokio::time::sleep(Duration::from_millis(if is_bad { self.random(800) } else { 5 })).await;
        let unavailable = |status: StatusCode, retry_after| {
            Err(deliver::Error::Unavailable { status, retry_after, message: String::new() })
        };
        let fate = if is_bad { self.random(10) } else { 9 };
        match fate {
            _ if is_bad && self.world.is_receiver_down => {
                return unavailable(StatusCode::BAD_GATEWAY, None);
            }
            0 => return unavailable(StatusCode::INTERNAL_SERVER_ERROR, None),
            1 => {
                return unavailable(StatusCode::TOO_MANY_REQUESTS, Some(Duration::from_secs(self.random(4))));
            }
            _ => {}
        }
        match fate {
            // Some receivers are many, and not all of them have it. Those that take several samples of a series take all or none.
            3 if self.world.mode == Mode::Sampled => lock(&self.receiver).take_part(request)?,
            _ => lock(&self.receiver).take(request)?,
        }
        tokio::time::sleep(Duration::from_millis(if is_bad { self.random(400) } else { 5 })).await;
        match fate {
            // It has it, and nobody learns so.
            2 | 3 => unavailable(StatusCode::SERVICE_UNAVAILABLE, None),
            _ => Ok(()),
        }
    }

    fn on_reject(&self) -> OnReject {
        OnReject::Bisect
    }
}

impl Receiver {
    fn take(&mut self, request: &encode::Request) -> Result<(), deliver::Error> {
        self.take_samples(samples(request))
    }

    /// Every other sample.
    fn take_part(&mut self, request: &encode::Request) -> Result<(), deliver::Error> {
        self.take_samples(samples(request).into_iter().step_by(2).collect())
    }

    fn take_samples(&mut self, samples: Vec<(usize, i64, u64)>) -> Result<(), deliver::Error> {
        for (series, at, bits) in &samples {
            let held = self.held.get(series);
            let same = held.and_then(|held| held.get_key_value(at));
            let newest = held.and_then(|held| held.last_key_value());
            match if self.order == Order::Any { same } else { newest } {
                Some((newest, held)) if newest == at && held != bits => {
                    self.broken.push((*at, format!("series {series} at {at}: {bits:x} after {held:x}")));
                    if self.order == Order::Ascending {
                        return self.refuse(*at, "duplicate sample for timestamp");
                    }
                }
                Some((newest, _)) if newest > at => return self.refuse(*at, "out of order sample"),
                _ => {}
            }
        }
        for (series, at, bits) in samples {
            if !self.arrived.iter().any(|(tick, _)| *tick == at) {
                self.arrived.push((at, true_now()));
            }
            self.held.entry(series).or_default().entry(at).or_insert(bits);
        }
        Ok(())
    }

    /// Whether samples of one moment came before any of another.
    pub(super) fn had_before(&self, first: i64, then: i64) -> bool {
        let place = |at| self.arrived.iter().position(|(tick, _)| *tick == at);
        place(first) < place(then)
    }

    fn refuse(&mut self, at: i64, why: &str) -> Result<(), deliver::Error> {
        self.refused.insert(at);
        Err(deliver::Error::Refused { status: StatusCode::BAD_REQUEST, message: why.to_owned() })
    }
}

/// What a request holds: series, time, value's bits.
fn samples(request: &encode::Request) -> Vec<(usize, i64, u64)> {
    let read = |series: &TimeSeries| {
        let number = series.labels.iter().find(|label| label.name == "series").expect("it has a number");
        let number = number.value.parse().expect("it is one");
        let samples = series.samples.iter();
        samples.map(|sample| (number, sample.timestamp, sample.value.to_bits())).collect::<Vec<_>>()
    };
    encode::decoded(request).timeseries.iter().flat_map(read).collect()
}
