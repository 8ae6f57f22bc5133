//! From the file's fields to values that can be used.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path as FilePath;
use std::time::Duration;

use url::Url;

use super::discovery::discovery;
use super::policy;
use super::present::Files;
use super::sources::{base_url, sources};
use super::{Config, Delivery, Filters, Listen, Log, Purpose, State, Tenants, file};
use crate::deliver::encode::{REQUEST_BYTES_HARD_MAX, REQUEST_BYTES_MAX, REQUEST_SAMPLES_MAX};
use crate::deliver::retry::{BACKOFF_FIRST, BACKOFF_MAX};
use crate::discover;
use crate::document::{ByteSize, GoDuration, Path, Problem, nearest};
use crate::model::guard::Place;
use crate::model::{FilterLimits, Guard, is_label_name};
use crate::tenancy::{self, Policy};

/// Requests of one tick to one endpoint at once. Two keep the line busy while one is being answered; more only
/// press on a receiver that is slow.
const CONCURRENCY: usize = 2;
/// Beyond this, one tenant occupies a receiver that others share.
const CONCURRENCY_MAX: usize = 64;
/// Prometheus' own `remote_timeout`.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(30);
/// How far back missed ticks are asked for: at an hour a receiver's head is closed.
const BACKFILL_MAX: Duration = Duration::from_secs(50 * 60);
/// What is shorter makes up for next to nothing.
const BACKFILL_MIN: Duration = Duration::from_secs(60);
/// How often cursors are saved. What lies between two saves is in doubt after a crash.
const SAVE_EVERY: Duration = Duration::from_secs(1);
/// The longest time between two saves, by design.
const SAVE_EVERY_MAX: Duration = Duration::from_secs(10);
/// A request below this could not hold a single series with long labels.
const REQUEST_BYTES_MIN: usize = 64 << 10;
/// Metrics and probes. Loopback, unless the operator says otherwise.
const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
/// Tenants' data.
const LISTEN_DEBUG: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8081);
/// The folder of Secrets beside the configuration; it need not exist.
const SECRETS_FOLDER: &str = "secrets";
/// Guests alive at once.
const INSTANCES_MAX: u32 = 512;
/// Memory of one guest.
const GUEST_BYTES_MAX: usize = 64 << 20;
/// A guest's memory is counted in pages of this size; a Rust guest starts with 17.
const GUEST_BYTES_MIN: usize = 2 << 20;
/// Time of one call. A batch of 4,096 series takes a few milliseconds.
const GUEST_TIMEOUT: Duration = Duration::from_secs(1);
const LOG_LEVEL: &str = "info";
const LOG_LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

pub(super) fn config(
    file: file::File,
    folder: &FilePath,
    purpose: Purpose,
    found: &mut Vec<Problem>,
) -> Option<Config> {
    let file::File {
        sources: given,
        discovery: looked_for,
        source_label,
        tenants,
        kubernetes,
        secrets,
        endpoints,
        limits,
        labels,
        isolation,
        targets,
        receivers,
        tenancy,
        ..
    } = file;
    let mut kubeconfig = looked_for.kubeconfig.as_ref().map(|file| folder.join(file));
    let audience_label = looked_for.source_label.clone();
    let are_looked_for = !looked_for.kubernetes.is_empty();
    let files = match (purpose, &kubernetes) {
        (Purpose::CheckElsewhere, _) => Files::Elsewhere,
        (Purpose::Check, None) => Files::Here,
        // They are where it runs.
        (Purpose::Check, Some(_)) => Files::Elsewhere,
        (Purpose::Run, _) => Files::Expected,
    };
    let (blocks, health) = discovery(looked_for, folder, files, found);
    let sources = sources(given, audience_label.as_deref(), are_looked_for, folder, files, found);
    let endpoints = endpoint_map(endpoints, found);
    let place = if kubernetes.is_some() { Place::Cluster } else { Place::Machine };
    let egress = policy::egress(receivers.proxy.clone(), folder, found);
    let receivers = policy::receivers(&receivers, place, found);
    let filters = filters(&file.filters, found);
    let Filters { memory_bytes_max, timeout: call_time_max, .. } = filters;
    let filter_limits = FilterLimits { memory_bytes_max, call_time_max };
    let guard = Guard::new(&receivers);
    let site = policy::Site { place, source_label, endpoints, guard, filter_limits };
    let policy =
        policy::policy(site, policy::Blocks { limits, labels, isolation, targets }, tenancy.rules, found);
    if purpose != Purpose::CheckElsewhere {
        folders(tenants.as_ref(), secrets.as_ref(), folder, found);
    }
    let tenants = tenants_of(tenants, secrets, kubernetes, policy, folder, purpose, found);
    let delivery = delivery(&file.delivery, found);
    let state = state(file.state, place, folder, found);
    let listen = listen(&file.listen, found);
    let (modules, cache) = super::modules::modules(file.filters, &receivers, folder, purpose, found);
    let log = log(file.log, found);
    if let Some(Tenants::Cluster(cluster)) = &tenants {
        kubeconfig = kubeconfig.or_else(|| cluster.kubeconfig.clone());
    }
    let discovery = discover::Config { sources, blocks, health };
    Some(Config {
        discovery,
        kubeconfig,
        tenants: tenants?,
        receivers,
        egress,
        delivery,
        state,
        listen: listen?,
        filters,
        modules,
        cache,
        log,
    })
}

/// The resources are in a folder, or in a cluster.
fn tenants_of(
    tenants: Option<file::Tenants>,
    secrets: Option<file::Secrets>,
    kubernetes: Option<file::Kubernetes>,
    policy: Policy,
    folder: &FilePath,
    purpose: Purpose,
    found: &mut Vec<Problem>,
) -> Option<Tenants> {
    let root = Path::root();
    match (tenants, kubernetes) {
        (Some(tenants), None) => {
            let secrets = secrets.map_or_else(|| SECRETS_FOLDER.into(), |s| s.folder);
            let (tenants, secrets) = (folder.join(tenants.folder), folder.join(secrets));
            Some(Tenants::Folder(tenancy::files::Config { folder: tenants, secrets, policy }))
        }
        (None, Some(given)) => {
            if secrets.is_some() {
                let cure = "remove it; in a cluster Secrets are read from the resource's own namespace";
                found.push(Problem::error(root.key("secrets"), "does not go with kubernetes", cure));
            }
            super::kubernetes::cluster(given, policy, folder, purpose, found).map(Tenants::Cluster)
        }
        (Some(_), Some(_)) => {
            let cure = "keep tenants for a folder of resources, or kubernetes for a cluster's";
            found.push(Problem::error(root.key("kubernetes"), "stands beside tenants", cure));
            None
        }
        (None, None) => {
            let cure = "write tenants: {folder: …}, or kubernetes: {} in a cluster";
            found.push(Problem::error(root.key("tenants"), "is missing", cure));
            None
        }
    }
}

/// The folders that are written down are there. Resources cannot be missing altogether; a Secret can, until one is named.
fn folders(
    tenants: Option<&file::Tenants>,
    secrets: Option<&file::Secrets>,
    folder: &FilePath,
    found: &mut Vec<Problem>,
) {
    let cure = "create it, or correct the path, which is relative to this file";
    let place = |section: &str| Path::root().key(section).key("folder");
    let missing = |written: &FilePath| {
        let path = folder.join(written);
        (!path.is_dir()).then(|| format!("there is no folder {}", path.display()))
    };
    if let Some(message) = tenants.and_then(|t| missing(&t.folder)) {
        found.push(Problem::error(place("tenants"), message, cure));
    }
    if let Some(message) = secrets.and_then(|s| missing(&s.folder)) {
        found.push(Problem::warning(place("secrets"), message, cure));
    }
}

pub(super) fn label_name(name: &str, place: &Path, found: &mut Vec<Problem>) {
    if !is_label_name(name) {
        let cure = "use letters, digits and _, not beginning with a digit";
        found.push(Problem::error(place.clone(), format!("{name:?} is not a label's name"), cure));
    }
}

fn endpoint_map(endpoints: BTreeMap<String, String>, found: &mut Vec<Problem>) -> BTreeMap<String, Url> {
    let place = Path::root().key("endpoints");
    let mut map = BTreeMap::new();
    for (service, url) in endpoints {
        let place = place.key(&service);
        let port = service.rsplit_once(':').filter(|(host, _)| host.split('.').count() >= 2);
        if port.is_none_or(|(_, port)| port.parse::<u16>().is_err()) {
            let cure = "write it as \"service.namespace:port\", or \"pod.service.namespace:port\"";
            found.push(Problem::error(
                place.clone(),
                format!("{service:?} does not name a Service's port"),
                cure,
            ));
        }
        if let Some(url) = base_url(&url, &place, found) {
            map.insert(service, url);
        }
    }
    map
}

fn delivery(given: &file::Delivery, found: &mut Vec<Problem>) -> Delivery {
    let place = Path::root().key("delivery");
    let at = |key: &str| place.key(key);
    let samples_max =
        at_least_one(given.max_samples_per_request, REQUEST_SAMPLES_MAX, &at("maxSamplesPerRequest"), found);
    let bytes_max = given.max_bytes_per_request.map_or(REQUEST_BYTES_MAX, |size| size.0);
    if !(REQUEST_BYTES_MIN..=REQUEST_BYTES_HARD_MAX).contains(&bytes_max) {
        let (least, most) = (ByteSize(REQUEST_BYTES_MIN), ByteSize(REQUEST_BYTES_HARD_MAX));
        let message = format!("{} cannot be used: Prometheus refuses bodies over 32Mi", ByteSize(bytes_max));
        let cure = format!("write a size from {least} to {most}");
        found.push(Problem::error(at("maxBytesPerRequest"), message, cure));
    }
    let concurrency = at_least_one(given.concurrency, CONCURRENCY, &at("concurrency"), found);
    if concurrency > CONCURRENCY_MAX {
        let message = format!("{concurrency} requests at once are too many for one receiver");
        found.push(Problem::error(at("concurrency"), message, format!("write at most {CONCURRENCY_MAX}")));
    }
    let timeout = positive(given.timeout, DELIVERY_TIMEOUT, &at("timeout"), found);
    let backfill_max = given.max_backfill.map_or(BACKFILL_MAX, |d| d.0);
    if backfill_max > Duration::from_secs(3600) {
        let message = format!("\"{}\" is longer than a receiver takes old samples", GoDuration(backfill_max));
        found.push(Problem::warning(
            at("maxBackfill"),
            message,
            "write \"50m\", or give receivers an out-of-order window",
        ));
    }
    if backfill_max < BACKFILL_MIN {
        let message = format!(
            "\"{}\" gives up what a receiver misses while it is started again",
            GoDuration(backfill_max)
        );
        found.push(Problem::warning(at("maxBackfill"), message, "write \"50m\", unless this is meant"));
    }
    let backoff_min = positive(given.min_backoff, BACKOFF_FIRST, &at("minBackoff"), found);
    let backoff_max = positive(given.max_backoff, BACKOFF_MAX.max(backoff_min), &at("maxBackoff"), found);
    if backoff_max < backoff_min {
        let message = format!("\"{}\" is shorter than minBackoff", GoDuration(backoff_max));
        found.push(Problem::error(
            at("maxBackoff"),
            message,
            format!("write \"{}\" or more", GoDuration(backoff_min)),
        ));
    }
    Delivery { samples_max, bytes_max, concurrency, timeout, backfill_max, backoff_min, backoff_max }
}

fn state(given: file::State, site: Place, folder: &FilePath, found: &mut Vec<Problem>) -> State {
    let place = Path::root().key("state");
    let save_every = positive(given.save_interval, SAVE_EVERY, &place.key("saveInterval"), found);
    if save_every > SAVE_EVERY_MAX {
        let message = format!("\"{}\" leaves too much in doubt after a crash", GoDuration(save_every));
        found.push(Problem::error(place.key("saveInterval"), message, "write \"10s\" or less"));
    }
    let in_cluster = site == Place::Cluster;
    if in_cluster && given.file.is_some() {
        let cure = "remove it; in a cluster cursors are kept in ConfigMaps, for every replica";
        found.push(Problem::error(place.key("file"), "does not go with kubernetes", cure));
    }
    if !in_cluster && given.file.is_none() {
        let message = "is missing, so ticks missed during a restart are not asked for again";
        found.push(Problem::warning(place.key("file"), message, "write state: {file: sluice.state}"));
    }
    State { file: given.file.map(|file| folder.join(file)), save_every }
}

fn listen(given: &file::Listen, found: &mut Vec<Problem>) -> Option<Listen> {
    let place = Path::root().key("listen");
    let address = socket(given.address.as_deref(), LISTEN, &place.key("address"), found);
    let debug = socket(given.debug.as_deref(), LISTEN_DEBUG, &place.key("debug"), found);
    if debug.is_some_and(|debug| !debug.ip().is_loopback()) {
        let message = "everyone who can reach it sees every tenant's samples";
        found.push(Problem::warning(
            place.key("debug"),
            message,
            "write 127.0.0.1:8081, unless this is meant",
        ));
    }
    let (address, debug) = (address?, debug?);
    let (all, port) = (address.ip().is_unspecified() || debug.ip().is_unspecified(), debug.port());
    if address != debug && all && address.port() == port && port != 0 {
        let cure = format!("write another port, or {address} to have one listener for everything");
        found.push(Problem::error(
            place.key("debug"),
            format!("port {port} is taken by listen.address"),
            cure,
        ));
    }
    Some(Listen { address, debug })
}

fn socket(
    given: Option<&str>,
    default: SocketAddr,
    place: &Path,
    found: &mut Vec<Problem>,
) -> Option<SocketAddr> {
    let Some(text) = given else { return Some(default) };
    let parsed = text.replace("localhost:", "127.0.0.1:").parse();
    if parsed.is_err() {
        let cure = match text.strip_prefix(':') {
            Some(port) => {
                format!("write 0.0.0.0:{port} for all interfaces, 127.0.0.1:{port} for this machine")
            }
            None => format!("write it as {default}"),
        };
        found.push(Problem::error(place.clone(), format!("{text:?} is not an address and port"), cure));
    }
    parsed.ok()
}

fn filters(given: &file::Filters, found: &mut Vec<Problem>) -> Filters {
    let place = Path::root().key("filters");
    let instances_max = given.max_instances.unwrap_or(INSTANCES_MAX);
    if instances_max < 8 {
        let message = format!("{instances_max} guests cannot carry one chain while another is replaced");
        found.push(Problem::error(place.key("maxInstances"), message, "write 8 or more"));
    }
    let memory_bytes_max = given.memory.map_or(GUEST_BYTES_MAX, |size| size.0);
    if memory_bytes_max < GUEST_BYTES_MIN {
        let message = format!("{} is less than an empty guest needs", ByteSize(memory_bytes_max));
        found.push(Problem::error(place.key("memory"), message, "write \"64Mi\""));
    }
    let timeout = positive(given.timeout, GUEST_TIMEOUT, &place.key("timeout"), found);
    Filters { instances_max, memory_bytes_max, timeout, wasi: given.wasi.unwrap_or_default() }
}

fn log(given: file::Log, found: &mut Vec<Problem>) -> Log {
    let level = given.level.unwrap_or_else(|| LOG_LEVEL.to_owned());
    let directives = level.contains(['=', ',']);
    if !directives && !LOG_LEVELS.contains(&level.as_str()) {
        let cure = match nearest(&level, LOG_LEVELS) {
            Some(meant) => format!("did you mean {meant:?}?"),
            None => format!("write one of {}", LOG_LEVELS.join(", ")),
        };
        found.push(Problem::error(Path::root().keys("log.level"), format!("{level:?} is not a level"), cure));
    }
    Log { format: given.format, level }
}

pub(super) fn positive(
    given: Option<GoDuration>,
    default: Duration,
    place: &Path,
    found: &mut Vec<Problem>,
) -> Duration {
    let duration = given.map_or(default, |d| d.0);
    if duration.is_zero() {
        let cure = format!("write \"{}\"", GoDuration(default));
        found.push(Problem::error(place.clone(), "must be longer than nothing", cure));
    }
    duration
}

pub(super) fn at_least_one(
    given: Option<usize>,
    default: usize,
    place: &Path,
    found: &mut Vec<Problem>,
) -> usize {
    if given == Some(0) {
        found.push(Problem::error(place.clone(), "0 would allow nothing", format!("write {default}")));
    }
    given.unwrap_or(default)
}
