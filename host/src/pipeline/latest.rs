//! Latest: what a lane's receiver holds, in pages, for the page that shows collected metrics.

use std::sync::{Arc, Mutex};

use super::encoding::Encoding;
use super::lane::lock;
use super::outputs::Outputs;
use crate::model::exposition::write_sample;
use crate::status::Latest;

/// A lane's outputs, as they can be shown.
pub(crate) struct Shown {
    encoding: Encoding,
    outputs: Arc<Mutex<Outputs>>,
}

impl Shown {
    pub(crate) fn new(encoding: Encoding, outputs: Arc<Mutex<Outputs>>) -> Shown {
        Shown { encoding, outputs }
    }
}

impl Latest for Shown {
    fn page(&self, start: usize, rows_max: usize, out: &mut String) -> Option<usize> {
        let outputs = lock(&self.outputs);
        let rows = outputs.page(start, rows_max)?;
        for (encoded, value, time) in rows {
            if let Some(labels) = self.encoding.read(encoded) {
                write_sample(out, &labels, value, time);
            }
        }
        Some(start + rows_max)
    }
}
