//! Stored: what a Prometheus has stored, stale markers included, by remote read, written independently of the host's reader.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use http::Method;
use prost::Message;

use crate::expectation::Held;
use crate::http as client;
use crate::series::{LabelSet, Sample, Value};
use crate::strict_receiver::wire::TimeSeries;

/// Every sample of every series with a name, from one time to another, both included.
pub async fn stored(base: &str, (start, end): (i64, i64)) -> Result<Held> {
    let matchers = vec![Matcher { kind: REGEX, name: "__name__".into(), value: ".+".into() }];
    let request = ReadRequest { queries: vec![Query { start, end, matchers }] };
    let body = snap::raw::Encoder::new().compress_vec(&request.encode_to_vec())?;
    let headers = [("content-type", "application/x-protobuf"), ("content-encoding", "snappy")];
    let answer = client::request(Method::POST, &format!("{base}/api/v1/read"), &headers, body).await?;
    ensure!(answer.status.is_success(), "{}: {}", answer.status, String::from_utf8_lossy(&answer.body));
    let response = ReadResponse::decode(&*snap::raw::Decoder::new().decompress_vec(&answer.body)?)?;
    response.results.into_iter().flat_map(|result| result.timeseries).map(one).collect()
}

fn one(series: TimeSeries) -> Result<(LabelSet, Vec<Sample>)> {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).context("a label is not UTF-8");
    let labels = series.labels.into_iter().map(|label| Ok((text(label.name)?, text(label.value)?)));
    let labels: BTreeMap<String, String> = labels.collect::<Result<_>>()?;
    let sample = |sample: crate::strict_receiver::wire::WireSample| Sample {
        at: sample.timestamp,
        value: Value::from(sample.value.unwrap_or_default()),
    };
    Ok((LabelSet(labels), series.samples.into_iter().map(sample).collect()))
}

const REGEX: i32 = 2;

#[derive(Clone, PartialEq, Message)]
struct ReadRequest {
    #[prost(message, repeated, tag = "1")]
    queries: Vec<Query>,
}

#[derive(Clone, PartialEq, Message)]
struct Query {
    #[prost(int64, tag = "1")]
    start: i64,
    #[prost(int64, tag = "2")]
    end: i64,
    #[prost(message, repeated, tag = "3")]
    matchers: Vec<Matcher>,
}

#[derive(Clone, PartialEq, Message)]
struct Matcher {
    #[prost(int32, tag = "1")]
    kind: i32,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(string, tag = "3")]
    value: String,
}

#[derive(Clone, PartialEq, Message)]
struct ReadResponse {
    #[prost(message, repeated, tag = "1")]
    results: Vec<QueryResult>,
}

#[derive(Clone, PartialEq, Message)]
struct QueryResult {
    #[prost(message, repeated, tag = "1")]
    timeseries: Vec<TimeSeries>,
}
