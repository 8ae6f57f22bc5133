//! The messages of remote write 1.0 (`prometheus/prompb/remote.proto`, `types.proto`), as prost reads them.
//!
//! The hot path writes the same bytes by hand, see [`super::encode`]; these are what receivers and tests read
//! requests with. Exemplars and metadata are left out: Sluice sends none.

use bytes::Bytes;

/// `prometheus.WriteRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct WriteRequest {
    /// One entry for each series; a series may stand more than once.
    #[prost(message, repeated, tag = "1")]
    pub timeseries: Vec<TimeSeries>,
}

/// `prometheus.TimeSeries`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TimeSeries {
    /// Sorted by name, no name twice, nothing empty.
    #[prost(message, repeated, tag = "1")]
    pub labels: Vec<Label>,
    /// In order of time.
    #[prost(message, repeated, tag = "2")]
    pub samples: Vec<Sample>,
    /// `prometheus.Histogram`s, in order of time, not read further.
    #[prost(bytes = "bytes", repeated, tag = "4")]
    pub histograms: Vec<Bytes>,
}

/// `prometheus.Label`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Label {
    /// Never empty.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Never empty.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// `prometheus.Sample`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Sample {
    /// Any float; a stale marker is [`crate::model::STALE_NAN_BITS`].
    #[prost(double, tag = "1")]
    pub value: f64,
    /// Milliseconds since the epoch.
    #[prost(int64, tag = "2")]
    pub timestamp: i64,
}
