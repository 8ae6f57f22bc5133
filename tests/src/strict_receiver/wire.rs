//! Wire: remote write 1.0 as the specification prints it, written independently of the host's encoder.
//!
//! Names and values are bytes here, so that invalid UTF-8 is found as such and not as "bad protobuf".

/// `prometheus.WriteRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct WriteRequest {
    /// Field 1.
    #[prost(message, repeated, tag = "1")]
    pub timeseries: Vec<TimeSeries>,
}

/// `prometheus.TimeSeries`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TimeSeries {
    /// Field 1.
    #[prost(message, repeated, tag = "1")]
    pub labels: Vec<Label>,
    /// Field 2.
    #[prost(message, repeated, tag = "2")]
    pub samples: Vec<WireSample>,
    /// Field 4.
    #[prost(message, repeated, tag = "4")]
    pub histograms: Vec<Histogram>,
}

/// `prometheus.Label`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Label {
    /// Field 1.
    #[prost(bytes = "vec", tag = "1")]
    pub name: Vec<u8>,
    /// Field 2.
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}

/// `prometheus.Sample`.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct WireSample {
    /// Field 1. Optional, because prost leaves a plain double out when it equals zero, and `-0.0` does.
    #[prost(double, optional, tag = "1")]
    pub value: Option<f64>,
    /// Field 2, milliseconds since the epoch.
    #[prost(int64, tag = "2")]
    pub timestamp: i64,
}

/// `prometheus.Histogram`, whose fields have the same numbers in 2.0.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Histogram {
    /// Field 1; one of this and the next.
    #[prost(uint64, optional, tag = "1")]
    pub count_int: Option<u64>,
    /// Field 2.
    #[prost(double, optional, tag = "2")]
    pub count_float: Option<f64>,
    /// Field 3, by its bits.
    #[prost(fixed64, tag = "3")]
    pub sum: u64,
    /// Field 4.
    #[prost(sint32, tag = "4")]
    pub schema: i32,
    /// Field 5.
    #[prost(double, tag = "5")]
    pub zero_threshold: f64,
    /// Field 6; one of this and the next.
    #[prost(uint64, optional, tag = "6")]
    pub zero_count_int: Option<u64>,
    /// Field 7.
    #[prost(double, optional, tag = "7")]
    pub zero_count_float: Option<f64>,
    /// Field 8.
    #[prost(message, repeated, tag = "8")]
    pub negative_spans: Vec<BucketSpan>,
    /// Field 9.
    #[prost(sint64, repeated, tag = "9")]
    pub negative_deltas: Vec<i64>,
    /// Field 10.
    #[prost(double, repeated, tag = "10")]
    pub negative_counts: Vec<f64>,
    /// Field 11.
    #[prost(message, repeated, tag = "11")]
    pub positive_spans: Vec<BucketSpan>,
    /// Field 12.
    #[prost(sint64, repeated, tag = "12")]
    pub positive_deltas: Vec<i64>,
    /// Field 13.
    #[prost(double, repeated, tag = "13")]
    pub positive_counts: Vec<f64>,
    /// Field 14.
    #[prost(int32, tag = "14")]
    pub reset_hint: i32,
    /// Field 15, milliseconds since the epoch.
    #[prost(int64, tag = "15")]
    pub timestamp: i64,
}

/// `prometheus.BucketSpan`.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct BucketSpan {
    /// Field 1: how far behind the one before.
    #[prost(sint32, tag = "1")]
    pub offset: i32,
    /// Field 2: how many buckets.
    #[prost(uint32, tag = "2")]
    pub length: u32,
}

/// One series as tests write it: `(name, value)` pairs and `(timestamp, value)` samples, in the order given.
pub type Crafted<'a> = (&'a [(&'a str, &'a str)], &'a [(i64, f64)]);

/// A request of crafted series.
pub fn request(series: &[Crafted<'_>]) -> WriteRequest {
    let label = |(name, value): &(&str, &str)| Label { name: (*name).into(), value: (*value).into() };
    let sample = |(timestamp, value): &(i64, f64)| WireSample { value: Some(*value), timestamp: *timestamp };
    let one = |(labels, samples): &Crafted<'_>| TimeSeries {
        labels: labels.iter().map(label).collect(),
        samples: samples.iter().map(sample).collect(),
        histograms: Vec::new(),
    };
    WriteRequest { timeseries: series.iter().map(one).collect() }
}

/// Remote write 2.0, likewise.
pub mod v2 {
    /// `io.prometheus.write.v2.Request`.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Request {
        /// Field 4.
        #[prost(bytes = "vec", repeated, tag = "4")]
        pub symbols: Vec<Vec<u8>>,
        /// Field 5.
        #[prost(message, repeated, tag = "5")]
        pub timeseries: Vec<TimeSeries>,
    }

    /// `io.prometheus.write.v2.TimeSeries`, as far as it is sent.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct TimeSeries {
        /// Field 1.
        #[prost(uint32, repeated, tag = "1")]
        pub labels_refs: Vec<u32>,
        /// Field 2.
        #[prost(message, repeated, tag = "2")]
        pub samples: Vec<Sample>,
        /// Field 3.
        #[prost(message, repeated, tag = "3")]
        pub histograms: Vec<super::Histogram>,
        /// Field 5.
        #[prost(message, optional, tag = "5")]
        pub metadata: Option<Metadata>,
    }

    /// `io.prometheus.write.v2.Sample`.
    #[derive(Clone, Copy, PartialEq, prost::Message)]
    pub struct Sample {
        /// Field 1, optional for the same reason as in 1.0.
        #[prost(double, optional, tag = "1")]
        pub value: Option<f64>,
        /// Field 2, milliseconds since the epoch.
        #[prost(int64, tag = "2")]
        pub timestamp: i64,
        /// Field 3, milliseconds since the epoch; zero says nothing.
        #[prost(int64, tag = "3")]
        pub start_timestamp: i64,
    }

    /// `io.prometheus.write.v2.Metadata`.
    #[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
    pub struct Metadata {
        /// Field 1.
        #[prost(int32, tag = "1")]
        pub kind: i32,
        /// Field 3.
        #[prost(uint32, tag = "3")]
        pub help_ref: u32,
        /// Field 4.
        #[prost(uint32, tag = "4")]
        pub unit_ref: u32,
    }
}
