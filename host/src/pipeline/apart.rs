//! Apart: a tick's series on their way into requests, those that the endpoint refused last time in requests of their own.
//!
//! In: series, as they are encoded, with their samples. Out: requests. Never: a series that was refused beside one that was not, so that
//! nobody has to look for it again.

use std::collections::HashSet;

use super::batches::Fillable;
use crate::collect::read::{Histogram, Run};
use crate::deliver::v2::Key;
use crate::model::Timestamp;

/// Requests being filled.
pub(super) struct Apart<'a, R> {
    requests: &'a mut R,
    refused: &'a HashSet<Vec<u8>>,
    aside: Vec<Aside>,
}

/// A series that was refused, with its samples.
struct Aside {
    key: Key,
    labels: Vec<u8>,
    at: Vec<i64>,
    values: Vec<f64>,
    histograms: Vec<Histogram>,
}

impl<'a, R: Fillable> Apart<'a, R> {
    /// `refused` are the series that were.
    pub(super) fn new(requests: &'a mut R, refused: &'a HashSet<Vec<u8>>) -> Apart<'a, R> {
        Apart { requests, refused, aside: Vec::new() }
    }

    /// Adds one sample.
    #[inline]
    pub(super) fn push(&mut self, key: Key, labels: &[u8], at: Timestamp, value: f64) {
        match self.is_refused(labels) {
            false => self.requests.add(Some(key), labels, at, value),
            true => {
                let run = Run { at: &[at.as_millis()], values: &[value], histograms: &[] };
                self.put_aside(key, labels, run);
            }
        }
    }

    /// Adds samples of one series.
    pub(super) fn push_run(&mut self, key: Key, labels: &[u8], run: Run<'_>) {
        match self.is_refused(labels) {
            false => self.requests.add_run(Some(key), labels, run),
            true => self.put_aside(key, labels, run),
        }
    }

    /// Adds what stands apart.
    pub(super) fn finish(self) {
        self.requests.cut();
        for Aside { key, labels, at, values, histograms } in &self.aside {
            self.requests.add_run(Some(*key), labels, Run { at, values, histograms });
        }
    }

    #[inline]
    fn is_refused(&self, labels: &[u8]) -> bool {
        !self.refused.is_empty() && self.refused.contains(labels)
    }

    fn put_aside(&mut self, key: Key, labels: &[u8], run: Run<'_>) {
        let (labels, at, values) = (labels.to_vec(), run.at.to_vec(), run.values.to_vec());
        self.aside.push(Aside { key, labels, at, values, histograms: run.histograms.to_vec() });
    }
}
