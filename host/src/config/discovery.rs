//! The `discovery` section: what to look for in the cluster, and how sources are probed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path as FilePath, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::access::{BasicAuthFile, CompressionFile, HeaderFile, ProxyFile, TlsFile, Written, access};
use super::check::{label_name, positive};
use super::present::{Files, present};
use super::sources::{Given, Terms, label_set, name_is_legal, terms};
use crate::discover::cluster::{Block, Kind, Port, Scheme, Selector};
use crate::discover::health;
use crate::document::{GoDuration, Path, Problem};
use crate::model::{LOOKBACK, is_label_name};

/// How long a source outlives its object. A node that died gives its pods up after 5 minutes, and its volumes after
/// 6 more; then a Prometheus has to read its log.
const KEEP_ABSENT: Duration = Duration::from_secs(15 * 60);
const PATH: &str = "/";
const SCHEME_ANNOTATION: &str = "prometheus.io/scheme";
const PATH_ANNOTATION: &str = "prometheus.io/path";
/// A probe more often than this is load, not knowledge.
const PROBE_EVERY_MIN: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Discovery {
    pub(super) source_label: Option<String>,
    pub(super) kubeconfig: Option<PathBuf>,
    #[serde(default)]
    pub(super) kubernetes: Vec<BlockFile>,
    #[serde(default)]
    health: Health,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Health {
    interval: Option<GoDuration>,
    timeout: Option<GoDuration>,
    failures: Option<u32>,
    successes: Option<u32>,
}

/// One kind of object in some namespaces.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct BlockFile {
    name: String,
    kind: KindFile,
    namespaces: Option<BTreeSet<String>>,
    label_selector: Option<String>,
    annotation_selector: Option<String>,
    port: Option<PortFile>,
    scheme: Option<SchemeFile>,
    path: Option<String>,
    scheme_annotation: Option<String>,
    path_annotation: Option<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    labels_from: BTreeMap<String, String>,
    replica_label: Option<String>,
    keep_absent: Option<GoDuration>,
    #[serde(default)]
    external_labels: BTreeMap<String, String>,
    lag: Option<GoDuration>,
    settle: Option<GoDuration>,
    timeout: Option<GoDuration>,
    max_series: Option<usize>,
    tls: Option<TlsFile>,
    bearer_token_file: Option<PathBuf>,
    basic_auth: Option<BasicAuthFile>,
    #[serde(default)]
    headers: BTreeMap<String, HeaderFile>,
    proxy: Option<ProxyFile>,
    #[serde(default)]
    compression: CompressionFile,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum KindFile {
    Service,
    Pod,
    EndpointSlice,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum SchemeFile {
    Http,
    Https,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum PortFile {
    Number(u64),
    Name(String),
}

/// The blocks and the probes' terms.
pub(super) fn discovery(
    given: Discovery,
    folder: &FilePath,
    files: Files,
    found: &mut Vec<Problem>,
) -> (Vec<Block>, health::Config) {
    let place = Path::root().key("discovery");
    let Discovery { source_label, kubernetes, health, .. } = given;
    if let Some(label) = &source_label {
        label_name(label, &place.key("sourceLabel"), found);
    }
    let health = probing(health, &place.key("health"), found);
    let mut blocks: Vec<Block> = Vec::new();
    for (index, block) in kubernetes.into_iter().enumerate() {
        let place = place.key("kubernetes").index(index);
        if blocks.iter().any(|other| other.name == block.name) {
            let message = format!("{:?} is the name of another block", block.name);
            let cure = "give each block a name of its own: its sources' names begin with it";
            found.push(Problem::error(place.key("name"), message, cure));
        }
        blocks.extend(one(block, source_label.clone(), folder, files, &place, found));
    }
    (blocks, health)
}

fn one(
    given: BlockFile,
    audience_label: Option<String>,
    folder: &FilePath,
    files: Files,
    place: &Path,
    found: &mut Vec<Problem>,
) -> Option<Block> {
    let BlockFile { name, kind, namespaces, label_selector, annotation_selector, port, .. } = given;
    name_is_legal(&name, &place.key("name"), found);
    let labels = selector(label_selector.as_deref(), &place.key("labelSelector"), found);
    let annotations = selector(annotation_selector.as_deref(), &place.key("annotationSelector"), found);
    let port = port.map(|port| port_of(port, &place.key("port"), found));
    let written = Written {
        tls: given.tls,
        bearer_token_file: given.bearer_token_file,
        basic_auth: given.basic_auth,
        headers: given.headers,
        proxy: given.proxy,
    };
    let access = access(written, folder, place, found);
    access.iter().for_each(|access| present(access, files, place, found));
    check_namespaces(
        namespaces.as_ref(),
        access.as_ref().is_none_or(|access| !access.tells_secrets()),
        place,
        found,
    );
    let source_labels = label_set(&given.labels, &place.key("labels"), found);
    check_labels_from(&given.labels_from, &place.key("labelsFrom"), found);
    let external_labels = label_set(&given.external_labels, &place.key("externalLabels"), found);
    let BlockFile { lag, settle, timeout, max_series, .. } = given;
    let Terms { lag, settle, timeout, series_max } =
        terms(Given { lag, settle, timeout, max_series }, place, found);
    let keep_absent = keep_absent(given.keep_absent, &place.key("keepAbsent"), found);
    let path = path(given.path, &place.key("path"), found);
    let has_tls = access.as_ref().is_some_and(|access| access.tls.is_some());
    let scheme = scheme(given.scheme, has_tls, place, found);
    Some(Block {
        name,
        kind: match kind {
            KindFile::Service => Kind::Service,
            KindFile::Pod => Kind::Pod,
            KindFile::EndpointSlice => Kind::EndpointSlice,
        },
        namespaces,
        labels: labels?,
        annotations: annotations?,
        port: port.flatten(),
        scheme,
        path,
        scheme_annotation: given.scheme_annotation.unwrap_or_else(|| SCHEME_ANNOTATION.to_owned()),
        path_annotation: given.path_annotation.unwrap_or_else(|| PATH_ANNOTATION.to_owned()),
        source_labels: source_labels?,
        labels_from: given.labels_from,
        audience_label,
        replica_label: given.replica_label.filter(|label| !label.is_empty()),
        keep_absent,
        external_labels: external_labels?,
        lag,
        settle,
        timeout,
        series_max,
        access: access?,
        compression: given.compression.into(),
    })
}

fn selector(given: Option<&str>, place: &Path, found: &mut Vec<Problem>) -> Option<Selector> {
    match Selector::parse(given.unwrap_or_default()) {
        Ok(selector) => Some(selector),
        Err(error) => {
            let cure = "write it as app=prometheus,tier in (infra, edge),!canary";
            found.push(Problem::error(place.clone(), error, cure));
            None
        }
    }
}

fn port_of(given: PortFile, place: &Path, found: &mut Vec<Problem>) -> Option<Port> {
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let port = match &given {
        PortFile::Number(number) => {
            u16::try_from(*number).ok().filter(|number| *number > 0).map(Port::Number)
        }
        PortFile::Name(name) => match name.parse() {
            Ok(number) => (number > 0).then_some(Port::Number(number)),
            Err(_) => (!name.is_empty() && name.chars().all(legal)).then(|| Port::Name(name.clone())),
        },
    };
    if port.is_none() {
        let given = match given {
            PortFile::Number(number) => number.to_string(),
            PortFile::Name(name) => format!("{name:?}"),
        };
        let cure = "write its name, such as web, or a number from 1 to 65535";
        found.push(Problem::error(place.clone(), format!("{given} is not a port"), cure));
    }
    port
}

/// Whoever may label an object would be sent the block's credentials.
fn check_namespaces(
    namespaces: Option<&BTreeSet<String>>,
    no_credentials: bool,
    place: &Path,
    found: &mut Vec<Problem>,
) {
    let place = place.key("namespaces");
    match namespaces {
        None if no_credentials => {
            let message =
                "are missing, so whoever may label an object, in any namespace, serves metrics to every team";
            found.push(Problem::warning(place, message, "write namespaces: [monitoring]"));
        }
        None => {
            let message =
                "are missing, so the credentials would go to whatever carries the labels, in any namespace";
            found.push(Problem::error(place, message, "write namespaces: [monitoring]"));
        }
        Some(names) if names.is_empty() => {
            let cure = "name at least one, or remove it for all";
            found.push(Problem::error(place, "there is none, so nothing is found", cure));
        }
        Some(names) => {
            let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            for name in names.iter().filter(|name| name.is_empty() || !name.bytes().all(legal)) {
                let cure = "use lower-case letters, digits and -";
                found.push(Problem::error(
                    place.clone(),
                    format!("{name:?} is not a namespace's name"),
                    cure,
                ));
            }
        }
    }
}

fn check_labels_from(labels: &BTreeMap<String, String>, place: &Path, found: &mut Vec<Problem>) {
    for (name, from) in labels {
        if !is_label_name(name) || name.starts_with("__") {
            let cure = "write the source's label first: {team: app.kubernetes.io/part-of}";
            found.push(Problem::error(place.key(name), format!("{name:?} is not a label's name"), cure));
        } else if from.is_empty() {
            let cure = "write the object's label that holds the value";
            found.push(Problem::error(place.key(name), "names no label of the object", cure));
        }
    }
}

fn keep_absent(given: Option<GoDuration>, place: &Path, found: &mut Vec<Problem>) -> Duration {
    let keep = given.map_or(KEEP_ABSENT, |given| given.0);
    if keep < LOOKBACK {
        let message = format!("\"{}\" may be over before a pod that moves is back", GoDuration(keep));
        let cure =
            "write \"15m\": a source that is forgotten starts anew, and what it missed is not asked for";
        found.push(Problem::warning(place.clone(), message, cure));
    }
    keep
}

fn path(given: Option<String>, place: &Path, found: &mut Vec<Problem>) -> String {
    let path = given.unwrap_or_else(|| PATH.to_owned());
    if !path.starts_with('/') || path.contains(['?', '#']) {
        let cure = "write the path below which /api/v1/query is, such as /prometheus";
        found.push(Problem::error(place.clone(), format!("{path:?} is not a path"), cure));
    }
    path
}

/// TLS settings are meant to be used.
fn scheme(given: Option<SchemeFile>, has_tls: bool, place: &Path, found: &mut Vec<Problem>) -> Scheme {
    match (given, has_tls) {
        (Some(SchemeFile::Https), _) | (None, true) => Scheme::Https,
        (None, false) => Scheme::Http,
        (Some(SchemeFile::Http), false) => Scheme::Http,
        (Some(SchemeFile::Http), true) => {
            let cure = "write https, or remove tls";
            found.push(Problem::error(place.key("scheme"), "is http beside tls", cure));
            Scheme::Http
        }
    }
}

fn probing(given: Health, place: &Path, found: &mut Vec<Problem>) -> health::Config {
    let default = health::Config::default();
    let every = positive(given.interval, default.every, &place.key("interval"), found);
    if every < PROBE_EVERY_MIN && !every.is_zero() {
        let message = format!("\"{}\" is load rather than knowledge", GoDuration(every));
        found.push(Problem::error(place.key("interval"), message, "write \"1s\" or more"));
    }
    let timeout = positive(given.timeout, default.timeout, &place.key("timeout"), found);
    let mut count = |given: Option<u32>, default: u32, key: &str| match given {
        Some(0) => {
            let cure = format!("write {default}");
            found.push(Problem::error(place.key(key), "0 probes tell nothing", cure));
            default
        }
        given => given.unwrap_or(default),
    };
    let failures_max = count(given.failures, default.failures_max, "failures");
    let successes_min = count(given.successes, default.successes_min, "successes");
    health::Config { every, timeout, failures_max, successes_min }
}
