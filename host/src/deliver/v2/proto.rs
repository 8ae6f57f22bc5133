//! The messages of remote write 2.0 (`io.prometheus.write.v2`), as prost reads them.
//!
//! The hot path writes the same bytes by hand, see [`super::batch`]. Exemplars and start timestamps are left
//! out: Sluice sends none, since what it asks sources for has none.

use bytes::Bytes;

/// `io.prometheus.write.v2.Request`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Request {
    /// Every text of the request once; the first one is empty.
    #[prost(string, repeated, tag = "4")]
    pub symbols: Vec<String>,
    /// One entry for each series; a series may stand more than once.
    #[prost(message, repeated, tag = "5")]
    pub timeseries: Vec<TimeSeries>,
}

/// `io.prometheus.write.v2.TimeSeries`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TimeSeries {
    /// Names and values in turn, as positions among the symbols; sorted by name.
    #[prost(uint32, repeated, tag = "1")]
    pub labels_refs: Vec<u32>,
    /// In order of time.
    #[prost(message, repeated, tag = "2")]
    pub samples: Vec<Sample>,
    /// `io.prometheus.write.v2.Histogram`s, in order of time, not read further.
    #[prost(bytes = "bytes", repeated, tag = "3")]
    pub histograms: Vec<Bytes>,
    /// What the series' metric is.
    #[prost(message, optional, tag = "5")]
    pub metadata: Option<Metadata>,
}

/// `io.prometheus.write.v2.Sample`.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Sample {
    /// Any float; absent for +0 alone, and so optional: prost takes -0 for the value that is left out.
    #[prost(double, optional, tag = "1")]
    pub value: Option<f64>,
    /// Milliseconds since the epoch.
    #[prost(int64, tag = "2")]
    pub timestamp: i64,
}

/// `io.prometheus.write.v2.Metadata`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Metadata {
    /// A [`crate::model::metadata::MetricType`].
    #[prost(uint32, tag = "1")]
    pub kind: u32,
    /// A symbol; the first one if nobody says.
    #[prost(uint32, tag = "3")]
    pub help_ref: u32,
    /// A symbol; the first one if nobody says.
    #[prost(uint32, tag = "4")]
    pub unit_ref: u32,
}
