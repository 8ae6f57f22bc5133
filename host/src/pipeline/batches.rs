//! Batches: request buffers that lanes borrow for the moment they encode a tick.
//!
//! A batch keeps megabytes; there are as many as ever encode at once, not one per lane.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::collect::read::Run;
use crate::deliver::encode::{Batch, Limits, Overflow, Request};
use crate::deliver::piece::Piece;
use crate::deliver::v2::{self, Dictionary, Key};
use crate::model::Timestamp;

/// Idle batches kept; with more threads than this, some encode with a fresh one.
const IDLE_MAX: usize = 16;

/// Batches that nobody uses right now.
pub struct Batches {
    limits: Limits,
    idle: Mutex<Vec<Batch>>,
    idle_v2: Mutex<Vec<v2::Batch>>,
}

impl Batches {
    /// Batches of these limits.
    pub fn new(limits: Limits) -> Batches {
        Batches { limits, idle: Mutex::default(), idle_v2: Mutex::default() }
    }

    /// How large one request may become.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Encodes samples into as few requests of 1.0 as the limits allow.
    pub fn encode<T>(&self, fill: impl FnOnce(&mut Requests) -> T) -> (T, Encoded) {
        let batch = lock(&self.idle).pop().unwrap_or_else(|| Batch::new(self.limits));
        let mut requests = Requests { batch, encoded: Encoded::default() };
        let result = fill(&mut requests);
        requests.cut();
        let Requests { batch, encoded } = requests;
        keep(&self.idle, batch);
        (result, encoded)
    }

    /// Encodes samples into as few requests of 2.0 as the limits allow, in the words of `dictionary`.
    pub fn encode_v2<T>(
        &self,
        dictionary: &mut Dictionary,
        fill: impl FnOnce(&mut RequestsV2<'_>) -> T,
    ) -> (T, Encoded) {
        let batch = lock(&self.idle_v2).pop().unwrap_or_else(|| v2::Batch::new(self.limits));
        let mut requests = RequestsV2 { batch, dictionary, encoded: Encoded::default() };
        let result = fill(&mut requests);
        requests.cut();
        let RequestsV2 { batch, dictionary, encoded } = requests;
        dictionary.end();
        keep(&self.idle_v2, batch);
        (result, encoded)
    }
}

fn lock<B>(idle: &Mutex<Vec<B>>) -> MutexGuard<'_, Vec<B>> {
    idle.lock().unwrap_or_else(PoisonError::into_inner)
}

fn keep<B>(idle: &Mutex<Vec<B>>, batch: B) {
    let mut idle = lock(idle);
    if idle.len() < IDLE_MAX {
        idle.push(batch);
    }
}

/// A tick's samples on the wire's terms.
#[derive(Debug, Default)]
pub struct Encoded {
    /// Requests, none of them empty.
    pub requests: Vec<Request>,
    /// Series too large for any request.
    pub oversized: usize,
}

/// Requests that samples can be added to. Two lives: one for each version.
pub(super) trait Fillable {
    /// Adds one sample of the series with this key, if it has one, beginning another request when one is full.
    fn add(&mut self, key: Option<Key>, labels: &[u8], timestamp: Timestamp, value: f64);
    /// Adds samples of the series, in time order.
    fn add_run(&mut self, key: Option<Key>, labels: &[u8], run: Run<'_>);
    /// Begins another request, if there is something in this one.
    fn cut(&mut self);
}

/// The samples of one series, as a batch takes them.
fn pairs(run: Run<'_>) -> Vec<(Timestamp, f64)> {
    run.at.iter().map(|at| Timestamp(*at)).zip(run.values.iter().copied()).collect()
}

/// The same where there are native histograms among them.
fn pieces(run: Run<'_>) -> Vec<Piece> {
    let piece = |piece: Run<'_>| match piece.histograms {
        [] => Piece::Floats(pairs(piece)),
        histograms => {
            let timed =
                histograms.iter().map(|histogram| (Timestamp(histogram.at), histogram.message.clone()));
            Piece::Histograms(timed.collect())
        }
    };
    run.pieces().map(piece).collect()
}

impl Fillable for Requests {
    #[inline]
    fn add(&mut self, _: Option<Key>, labels: &[u8], timestamp: Timestamp, value: f64) {
        self.push(labels, timestamp, value);
    }

    fn add_run(&mut self, _: Option<Key>, labels: &[u8], run: Run<'_>) {
        self.push_run(labels, run);
    }

    fn cut(&mut self) {
        Requests::cut(self);
    }
}

impl Fillable for RequestsV2<'_> {
    #[inline]
    fn add(&mut self, key: Option<Key>, labels: &[u8], timestamp: Timestamp, value: f64) {
        self.push(key, labels, timestamp, value);
    }

    fn add_run(&mut self, key: Option<Key>, labels: &[u8], run: Run<'_>) {
        self.push_run(key, labels, run);
    }

    fn cut(&mut self) {
        RequestsV2::cut(self);
    }
}

/// Requests being filled.
pub struct Requests {
    batch: Batch,
    encoded: Encoded,
}

impl Requests {
    /// Begins another request, if there is something in this one.
    pub fn cut(&mut self) {
        self.encoded.requests.extend(self.batch.finish());
    }

    /// Adds samples of one series, in time order, beginning another request when one is full.
    pub fn push_run(&mut self, labels: &[u8], run: Run<'_>) {
        if run.histograms.is_empty() {
            let samples = pairs(run);
            self.push_with(|batch| batch.push_samples(labels, &samples));
        } else {
            let pieces = pieces(run);
            self.push_with(|batch| batch.push_pieces(labels, &pieces));
        }
    }

    fn push_with(&mut self, push: impl Fn(&mut Batch) -> Result<(), Overflow>) {
        let pushed = match push(&mut self.batch) {
            Err(Overflow::Full) => {
                self.encoded.requests.extend(self.batch.finish());
                push(&mut self.batch)
            }
            pushed => pushed,
        };
        self.encoded.oversized += usize::from(pushed.is_err());
    }

    /// Adds one sample, beginning another request when one is full.
    #[inline]
    pub fn push(&mut self, labels: &[u8], timestamp: Timestamp, value: f64) {
        match self.batch.push(labels, timestamp, value) {
            Ok(()) => {}
            Err(Overflow::Series) => self.encoded.oversized += 1,
            Err(Overflow::Full) => {
                self.encoded.requests.extend(self.batch.finish());
                if self.batch.push(labels, timestamp, value).is_err() {
                    self.encoded.oversized += 1;
                }
            }
        }
    }
}

/// Requests of 2.0 being filled.
pub struct RequestsV2<'a> {
    batch: v2::Batch,
    dictionary: &'a mut Dictionary,
    encoded: Encoded,
}

impl RequestsV2<'_> {
    /// Begins another request, if there is something in this one.
    pub fn cut(&mut self) {
        self.encoded.requests.extend(self.batch.finish());
    }

    /// Adds samples of one series, in time order, beginning another request when one is full.
    pub fn push_run(&mut self, key: Option<Key>, labels: &[u8], run: Run<'_>) {
        if run.histograms.is_empty() {
            let samples = pairs(run);
            self.push_with(|batch, dictionary| batch.push_samples(dictionary, key, labels, &samples));
        } else {
            let pieces = pieces(run);
            self.push_with(|batch, dictionary| batch.push_pieces(dictionary, key, labels, &pieces));
        }
    }

    fn push_with(&mut self, push: impl Fn(&mut v2::Batch, &mut Dictionary) -> Result<(), Overflow>) {
        let pushed = match push(&mut self.batch, self.dictionary) {
            Err(Overflow::Full) => {
                self.encoded.requests.extend(self.batch.finish());
                push(&mut self.batch, self.dictionary)
            }
            pushed => pushed,
        };
        self.encoded.oversized += usize::from(pushed.is_err());
    }

    /// Adds one sample of the series with this key, if it has one, beginning another request when one is full.
    #[inline]
    pub fn push(&mut self, key: Option<Key>, labels: &[u8], timestamp: Timestamp, value: f64) {
        match self.batch.push(self.dictionary, key, labels, timestamp, value) {
            Ok(()) => {}
            Err(Overflow::Series) => self.encoded.oversized += 1,
            Err(Overflow::Full) => {
                self.encoded.requests.extend(self.batch.finish());
                if self.batch.push(self.dictionary, key, labels, timestamp, value).is_err() {
                    self.encoded.oversized += 1;
                }
            }
        }
    }
}
