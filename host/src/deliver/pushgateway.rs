//! Pushgateway: replaces one group with the newest tick, and deletes it when its tenant goes.
//!
//! In: the group's series as the server will see them. Out: the acknowledgement, and what had to be left out.
//! Never: a group split over two PUTs (a PUT replaces all of it), a retry (see [`super::retry`]).
//!
//! Seen with Pushgateway 1.5.1:
//! - the path's `job` overwrites a label `job` of the body; two series that differ in nothing else are then a
//!   duplicate, and the whole group is refused (400). So `job` is renamed before series are deduplicated;
//! - a series without `instance` gets an empty one, which is the same as none: identities stay what they are;
//! - `/metrics/job/a%2Fb` is read as two segments (400), `.` and `..` as steps (404, 301), and the `@base64` form
//!   takes all three; every other character may be percent-encoded;
//! - negative zero is given out as `0`, whatever is pushed;
//! - a DELETE of a group that is not there is answered like any other (202).

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, StatusCode, Uri};
use url::Url;

use super::exposition::{self, Families, Group};
use super::remote_write::Acknowledged;
use super::{Error, answer, encode};
use crate::http::{Client, Route, Timeouts};
use crate::model::{Labels, PushgatewayEndpoint, Stamped};

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// How much of the server's own exposition is read to learn its declarations.
const FAMILIES_BYTES_MAX: usize = 256 << 20;

/// The longest line that is understood of it.
const LINE_BYTES_MAX: usize = 64 << 10;

/// Labels as they will stand in a group, the path's `job` not among them. Series are deduplicated by these.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Grouped(Labels);

impl Grouped {
    /// The labels, without `job`.
    pub fn labels(&self) -> &Labels {
        &self.0
    }

    /// Appends the labels in the compact form that [`Grouped::read`] reads.
    pub fn append(&self, out: &mut Vec<u8>) {
        encode::append(&self.0, out);
    }

    /// Reads what [`Grouped::append`] wrote.
    pub fn read(encoded: &[u8]) -> Option<Grouped> {
        encode::read_labels(encoded).map(Grouped)
    }
}

/// What a series becomes in a group: its `job` gives way to the path's and is kept as `exported_job`, with further
/// `exported_` before it while that name is taken, as Prometheus does when scraped labels collide.
pub fn for_group(series: &Stamped) -> Grouped {
    let labels = series.labels();
    if labels.get("job").is_none() {
        return Grouped(labels.clone());
    }
    let mut kept = "exported_job".to_owned();
    while labels.get(&kept).is_some() {
        kept.insert_str(0, "exported_");
    }
    let renamed = labels.iter().map(|(name, value)| (if name == "job" { &*kept } else { name }, value));
    Grouped(Labels::from_pairs(renamed).expect("the new name is not taken, and the set was valid"))
}

/// The group was replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replaced {
    /// Any 2xx.
    pub status: StatusCode,
    /// What was sent, and what was left out.
    pub group: Group,
}

/// One group of one Pushgateway.
#[derive(Debug)]
pub struct Pushgateway {
    client: Client,
    group: Uri,
    exposition: Uri,
    group_bytes_max: usize,
    timeouts: Timeouts,
    families: Mutex<Arc<Families>>,
}

impl Pushgateway {
    /// Checks the endpoint and builds the group's address, `…/metrics/job/<job>`. A group of more than `bytes_max` bytes
    /// is not sent, nor one beyond [`exposition::GROUP_BYTES_MAX`].
    pub fn new(
        client: Client,
        endpoint: &PushgatewayEndpoint,
        bytes_max: usize,
        timeouts: Timeouts,
    ) -> Result<Pushgateway, Error> {
        let PushgatewayEndpoint { url, author, dial, group } = endpoint;
        let client = client.via(Route { author: *author, dial: *dial });
        let exposition = super::uri(&under(url, &["metrics"]))?;
        let group = super::uri(&group_url(url, &group.job))?;
        let group_bytes_max = bytes_max.min(exposition::GROUP_BYTES_MAX);
        Ok(Pushgateway { client, group, exposition, group_bytes_max, timeouts, families: Mutex::default() })
    }

    /// Replaces the group with `rows`, once. If the server refuses it, its declarations may have changed: they are
    /// read, and if they say anything new, the group is written again accordingly.
    pub async fn replace(&self, rows: &[(&Grouped, f64)]) -> Result<Replaced, Error> {
        let families = self.known();
        let group = exposition::write(rows, &families, self.group_bytes_max)?;
        let refusal = match self.put(group.body.clone()).await {
            Ok(Acknowledged { status }) => return Ok(Replaced { status, group }),
            Err(refusal @ Error::Refused { .. }) => refusal,
            Err(error) => return Err(error),
        };
        match self.learn().await {
            Ok(learned) if learned != *families => {
                *self.families.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(learned);
            }
            Ok(_) | Err(_) => return Err(refusal),
        }
        let group = exposition::write(rows, &self.known(), self.group_bytes_max)?;
        let Acknowledged { status } = self.put(group.body.clone()).await?;
        Ok(Replaced { status, group })
    }

    /// Replaces the group with this text, once.
    pub async fn put(&self, body: Bytes) -> Result<Acknowledged, Error> {
        let mut put = self.request(Method::PUT, body);
        put.headers_mut().insert(CONTENT_TYPE, TEXT);
        self.judge(put).await
    }

    /// Removes the group, once; else a tenant's last values would stay for ever.
    pub async fn delete(&self) -> Result<Acknowledged, Error> {
        self.judge(self.request(Method::DELETE, Bytes::new())).await
    }

    fn request(&self, method: Method, body: Bytes) -> http::Request<Bytes> {
        let mut request = http::Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = self.group.clone();
        request
    }

    async fn judge(&self, request: http::Request<Bytes>) -> Result<Acknowledged, Error> {
        let response = self.client.send(request, &self.timeouts).await?;
        let status = answer::judge(response, SystemTime::now()).await?;
        Ok(Acknowledged { status })
    }

    fn known(&self) -> Arc<Families> {
        self.families.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads what the server declares, line by line, keeping nothing but the declarations.
    async fn learn(&self) -> Result<Families, Error> {
        let mut request = self.request(Method::GET, Bytes::new());
        *request.uri_mut() = self.exposition.clone();
        let mut response = self.client.send(request, &self.timeouts).await?;
        if !response.status.is_success() {
            answer::judge(response, SystemTime::now()).await?;
            return Ok(Families::default());
        }
        let (mut families, mut line, mut read) = (Families::default(), Vec::new(), 0);
        while let Some(chunk) = response.chunk().await? {
            for piece in chunk.split_inclusive(|byte| *byte == b'\n') {
                let room = LINE_BYTES_MAX.saturating_sub(line.len());
                line.extend_from_slice(&piece[..piece.len().min(room)]);
                if piece.ends_with(b"\n") {
                    families.learn(String::from_utf8_lossy(&line).trim_end_matches('\n'));
                    line.clear();
                }
            }
            read += chunk.len();
            if read > FAMILIES_BYTES_MAX {
                break;
            }
        }
        Ok(families)
    }
}

fn group_url(base: &Url, job: &str) -> Url {
    if job.contains('/') || matches!(job, "." | "..") {
        under(base, &["metrics", "job@base64", &BASE64_URL_SAFE_NO_PAD.encode(job)])
    } else {
        under(base, &["metrics", "job", job])
    }
}

fn under(base: &Url, path: &[&str]) -> Url {
    let mut url = base.clone();
    url.set_query(None);
    url.set_fragment(None);
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(path);
    }
    url
}
