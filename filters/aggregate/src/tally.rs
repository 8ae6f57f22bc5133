//! aggregate::tally: one result in the making.

use crate::config::Operation;

/// What has come of one result's inputs.
#[derive(Debug)]
pub(crate) struct Tally {
    operation: Operation,
    /// What counters have grown by since the result began. It never falls.
    grown: f64,
    tick: Tick,
}

/// What has come in one tick.
#[derive(Debug, Clone, Copy)]
struct Tick {
    inputs: u32,
    sum: f64,
    min: f64,
    max: f64,
}

/// Of nothing, the least and the greatest are no number, which gives way to every number, as in Prometheus.
const NOTHING: Tick = Tick { inputs: 0, sum: 0.0, min: f64::NAN, max: f64::NAN };

impl Tally {
    pub(crate) fn new(operation: Operation) -> Tally {
        Tally { operation, grown: 0.0, tick: NOTHING }
    }

    /// A counter has grown by this, or not at all.
    pub(crate) fn grow(&mut self, growth: f64) {
        self.grown += growth;
        self.tick.inputs += 1;
    }

    /// An input has this value.
    pub(crate) fn add(&mut self, value: f64) {
        let Tick { inputs, sum, min, max } = &mut self.tick;
        *inputs += 1;
        *sum += value;
        *min = min.min(value);
        *max = max.max(value);
    }

    /// The tick's result, if there was anything; the next tick begins.
    pub(crate) fn take(&mut self) -> Option<f64> {
        let Tick { inputs, sum, min, max } = std::mem::replace(&mut self.tick, NOTHING);
        (inputs > 0).then(|| match self.operation {
            Operation::Sum => self.grown + sum,
            Operation::Avg => sum / f64::from(inputs),
            Operation::Min => min,
            Operation::Max => max,
            Operation::Count => f64::from(inputs),
        })
    }
}
