//! common::counter: how much a counter has grown, whatever happened to the process that counts.

/// Names that end like this are counters, by the conventions of Prometheus and OpenMetrics.
const SUFFIXES: [&str; 4] = ["_total", "_count", "_sum", "_bucket"];

/// Whether a metric is a counter, as far as its name tells.
pub fn is_counter(metric: &str) -> bool {
    SUFFIXES.iter().any(|suffix| metric.ends_with(suffix))
}

/// A counter's last value.
#[derive(Debug, Clone, Copy, Default)]
pub struct Growth {
    last: Option<f64>,
}

impl Growth {
    /// How much the counter has grown since the value before; nothing at its first value. A value below the one before
    /// is a counter that began again at zero, so it has grown by what it is: as Prometheus's `increase` sees it.
    pub fn to(&mut self, value: f64) -> f64 {
        if value.is_nan() {
            return 0.0;
        }
        match self.last.replace(value) {
            None => 0.0,
            Some(last) if value < last => value,
            Some(last) => value - last,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_grows_through_resets_and_from_its_first_value_on() {
        let mut growth = Growth::default();
        let grown = [10.0, 15.0, f64::NAN, 15.0, 3.0, 4.0].map(|value| growth.to(value));
        assert_eq!(grown, [0.0, 5.0, 0.0, 0.0, 3.0, 1.0]);
    }

    #[test]
    fn counters_are_known_by_their_names() {
        let names = ["a_total", "a_count", "a_sum", "a_bucket", "total", "a_totals", "up"];
        assert_eq!(names.map(is_counter), [true, true, true, true, false, false, false]);
    }
}
