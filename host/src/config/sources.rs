//! The sources' part of the configuration.

use std::collections::BTreeMap;
use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::access::{Written, access};
use super::file;
use super::present::{Files, present};
use crate::discover::cluster::audience;
use crate::document::{GoDuration, Path, Problem};
use crate::model::{Audience, Labels, Source, SourceName, is_label_name};

/// How long after a tick it is asked for. Prometheus stores a scrape when it ends, at most its timeout (10 s by
/// default) after its start; the rest is for clocks that differ.
pub(super) const LAG: Duration = Duration::from_secs(15);
/// Prometheus' default `scrape_timeout`.
const SCRAPE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long after its time a sample may be stored, where all samples are wanted: twice Prometheus' default scrape interval.
pub(super) const SETTLE: Duration = Duration::from_secs(120);
/// Longer than this nothing settles: it is read again at every tick.
const SETTLE_MAX: Duration = Duration::from_secs(1800);
/// How long one query may take: as long as a tick of the usual 30 s leaves, thrice.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);
/// Series in one answer. At some 450 bytes each in JSON, this is half a gigabyte.
pub(super) const SERIES_MAX: usize = 1_000_000;

/// The sources that are written down. `audience_label` is `discovery.sourceLabel`; `more` says that others are looked for.
pub(super) fn sources(
    given: Vec<file::Source>,
    audience_label: Option<&str>,
    more: bool,
    folder: &FilePath,
    files: Files,
    found: &mut Vec<Problem>,
) -> Vec<Arc<Source>> {
    let place = Path::root().key("sources");
    if given.is_empty() && !more {
        let cure = "write sources: [{name: main, url: \"http://127.0.0.1:9090\"}]";
        found.push(Problem::error(place.clone(), "there is none, so nothing can be collected", cure));
    }
    let mut sources: Vec<Arc<Source>> = Vec::with_capacity(given.len());
    for (index, source) in given.into_iter().enumerate() {
        let place = place.index(index);
        if let Some(twin) = sources.iter().find(|other| other.name.as_str() == source.name) {
            let message = format!("{:?} is the name of another source ({})", source.name, twin.url);
            found.push(Problem::error(place.key("name"), message, "give each source a name of its own"));
        }
        let Some(source) = one(source, audience_label, folder, files, &place, found) else { continue };
        beside_others(&source, &sources, &place, found);
        sources.push(Arc::new(source));
    }
    for (index, source) in sources.iter().enumerate() {
        group_name(source, &sources, &place.index(index), found);
    }
    sources
}

fn one(
    source: file::Source,
    audience_label: Option<&str>,
    folder: &FilePath,
    files: Files,
    place: &Path,
    found: &mut Vec<Problem>,
) -> Option<Source> {
    let file::Source { name, url, labels, external_labels, replica_group, .. } = source;
    let file::Source { lag, settle, timeout, max_series, .. } = source;
    let written = Written {
        tls: source.tls,
        bearer_token_file: source.bearer_token_file,
        basic_auth: source.basic_auth,
        headers: source.headers,
        proxy: source.proxy,
    };
    name_is_legal(&name, &place.key("name"), found);
    if let Some(group) = &replica_group {
        name_is_legal(group, &place.key("replicaGroup"), found);
    }
    let url = base_url(&url, &place.key("url"), found);
    let labels = label_set(&labels, &place.key("labels"), found);
    let external_labels = label_set(&external_labels, &place.key("externalLabels"), found);
    let Terms { lag, settle, timeout, series_max } =
        terms(Given { lag, settle, timeout, max_series }, place, found);
    let access = access(written, folder, place, found);
    access.iter().for_each(|access| present(access, files, place, found));
    if url.as_ref().is_some_and(|url| url.scheme() == "http")
        && access.as_ref().is_some_and(|a| a.tls.is_some())
    {
        found.push(Problem::error(
            place.key("tls"),
            "means nothing beside an http:// address",
            "write https://",
        ));
    }
    let labels = labels?;
    let audience = audience(audience_label, &labels);
    if let (Some(label), Audience::Nobody) = (audience_label, &audience) {
        let message = format!("lack {label}, which discovery.sourceLabel names, so no resource is served");
        let cure = format!("write {label}: …, with the resources' source");
        found.push(Problem::warning(place.key("labels"), message, cure));
    }
    let name = SourceName::new(name);
    Some(Source {
        name,
        url: url?,
        labels,
        external_labels: external_labels?,
        lag,
        settle,
        timeout,
        series_max,
        replica_group,
        audience,
        access: access?,
        compression: source.compression.into(),
    })
}

/// How long and how much a source is asked.
pub(super) struct Terms {
    pub(super) lag: Duration,
    pub(super) settle: Duration,
    pub(super) timeout: Duration,
    pub(super) series_max: usize,
}

/// The same, as it is written.
pub(super) struct Given {
    pub(super) lag: Option<GoDuration>,
    pub(super) settle: Option<GoDuration>,
    pub(super) timeout: Option<GoDuration>,
    pub(super) max_series: Option<usize>,
}

pub(super) fn terms(given: Given, place: &Path, found: &mut Vec<Problem>) -> Terms {
    let Given { lag, settle, timeout, max_series } = given;
    let lag = lag.map_or(LAG, |lag| lag.0);
    if lag < SCRAPE_TIMEOUT {
        let lag = GoDuration(lag);
        let message = format!("\"{lag}\" is shorter than Prometheus' default scrape timeout of 10s");
        let cure = "write \"15s\", unless every scrape timeout there is shorter";
        found.push(Problem::warning(place.key("lag"), message, cure));
    }
    let settle = settle.map_or(SETTLE, |settle| settle.0);
    if settle > SETTLE_MAX {
        let message = format!("\"{}\" is read again at every tick", GoDuration(settle));
        let cure = "write two of the longest scrape intervals there, and at most 30m";
        found.push(Problem::error(place.key("settle"), message, cure));
    }
    let timeout = timeout.map_or(TIMEOUT, |timeout| timeout.0);
    if timeout.is_zero() {
        found.push(Problem::error(place.key("timeout"), "no query takes no time", "write \"10s\""));
    }
    let series_max = max_series.unwrap_or(SERIES_MAX);
    if series_max == 0 {
        found.push(Problem::error(place.key("maxSeries"), "0 would refuse every answer", "write 1000000"));
    }
    Terms { lag, settle, timeout, series_max }
}

pub(super) fn name_is_legal(name: &str, place: &Path, found: &mut Vec<Problem>) {
    const NAME_BYTES_MAX: usize = 63;
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(legal) {
        let cure = "use letters, digits, -, _ and . (at most 63)";
        found.push(Problem::error(place.clone(), format!("{name:?} is not a name"), cure));
    }
}

/// The address of a server, to which paths are appended.
pub(super) fn base_url(text: &str, place: &Path, found: &mut Vec<Problem>) -> Option<Url> {
    let mut refuse = |message: String, cure: &str| found.push(Problem::error(place.clone(), message, cure));
    let example = "write it as http://host:port";
    let url = match Url::parse(text) {
        Ok(url) => url,
        Err(error) => {
            refuse(format!("{text:?} is not an address: {error}"), example);
            return None;
        }
    };
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        refuse(format!("{text:?} is not an http address"), example);
        None
    } else if !url.username().is_empty() || url.password().is_some() {
        refuse("holds credentials, which are never sent from an address".to_owned(), "remove them");
        None
    } else if url.query().is_some() || url.fragment().is_some() {
        refuse(format!("{text:?} has a part after ? or #"), "write only the server's base address");
        None
    } else {
        Some(url)
    }
}

pub(super) fn label_set(
    pairs: &BTreeMap<String, String>,
    place: &Path,
    found: &mut Vec<Problem>,
) -> Option<Labels> {
    let before = found.len();
    for (name, value) in pairs {
        let place = place.key(name);
        if !is_label_name(name) || name.starts_with("__") {
            let cure = "use letters, digits and _, not beginning with a digit or __";
            found.push(Problem::error(place, format!("{name:?} is not a label's name"), cure));
        } else if value.is_empty() {
            found.push(Problem::error(
                place,
                "an empty label is no label",
                "write a value, or remove the label",
            ));
        }
    }
    let labels = Labels::from_pairs(pairs.iter().map(|(name, value)| (&**name, &**value)));
    match labels {
        Ok(labels) if found.len() == before => Some(labels),
        Ok(_) => None,
        Err(error) => {
            found.push(Problem::error(place.clone(), error.to_string(), ""));
            None
        }
    }
}

/// Replicas hold the same series, so they carry the same labels; all others must differ in theirs, or their series
/// are taken for each other's.
fn beside_others(source: &Source, others: &[Arc<Source>], place: &Path, found: &mut Vec<Problem>) {
    let place = place.key("labels");
    for other in others {
        let replicas = source.replica_group.is_some() && source.replica_group == other.replica_group;
        let equal = source.labels == other.labels;
        if replicas && !equal {
            let message = format!("differ from those of {}, its replica", other.name);
            found.push(Problem::error(
                place,
                message,
                "give replicas the same labels, or remove replicaGroup",
            ));
            return;
        }
        if !replicas && equal {
            let message =
                format!("are the same as those of {}, so series of the two cannot be told apart", other.name);
            let cure =
                "give each a label such as cluster, or both one replicaGroup if they scrape the same targets";
            found.push(Problem::warning(place, message, cure));
            return;
        }
    }
}

/// Cursors are kept by group, and a source without one is a group of its own name.
fn group_name(source: &Source, others: &[Arc<Source>], place: &Path, found: &mut Vec<Problem>) {
    let Some(group) = &source.replica_group else { return };
    if others.iter().any(|other| other.name.as_str() == group && other.replica_group.is_none()) {
        let message = format!("{group:?} is also the name of a source that is no replica");
        found.push(Problem::error(place.key("replicaGroup"), message, "give the group another name"));
    }
}
