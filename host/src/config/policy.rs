//! What tenants may do: the top-level blocks, and the rules on top of them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path as FilePath;
use std::sync::Arc;

use http::HeaderName;
use url::Url;

use super::access::{ProxyFile, proxy_of};
use super::check::{at_least_one, label_name, positive};
use super::file::{self, Operator};
use super::sources::label_set;
use crate::document::{ByteSize, Path, Problem};
use crate::model::guard::{Place, Receivers};
use crate::model::{Cidr, Egress, Exception, FilterLimits, Guard, Names, TargetType};
use crate::tenancy::policy::{
    Effective, Expression, FILTERS_MAX, Glob, Isolation, IsolationMode, MEMORY_MAX_CLUSTER,
    NamespaceSelector, Policy, Rule, Services, Test, Transport, UrlPattern, Urls,
};

/// What the pod is told of the API server's Service.
const API_SERVER_VARIABLE: &str = "KUBERNETES_SERVICE_HOST";

/// Less than this is most likely without its unit.
const SIZE_MIN: usize = 16 << 10;

/// The blocks that stand at the top level, and again in a rule.
pub(super) struct Blocks {
    pub(super) limits: file::Limits,
    pub(super) labels: file::Labels,
    pub(super) isolation: file::Isolation,
    pub(super) targets: file::Targets,
}

/// What holds for all namespaces.
pub(super) struct Site {
    pub(super) place: Place,
    pub(super) source_label: Option<String>,
    pub(super) endpoints: BTreeMap<String, Url>,
    pub(super) guard: Guard,
    pub(super) filter_limits: FilterLimits,
}

pub(super) fn policy(site: Site, blocks: Blocks, rules: Vec<file::Rule>, found: &mut Vec<Problem>) -> Policy {
    let root = Path::root();
    let Site { place, source_label, endpoints, guard, filter_limits } = site;
    if let Some(label) = &source_label {
        label_name(label, &root.key("sourceLabel"), found);
    }
    let receivers = Arc::new(guard);
    let base = Effective { source_label, receivers, filter_limits, ..Effective::default() };
    let base = match place {
        Place::Machine => Effective { services: Services::Map(endpoints), ..base },
        // Tenants of a cluster are strangers to each other: nobody reads another namespace's series, or writes into
        // another namespace's server, unless the operator says so.
        Place::Cluster => Effective {
            services: Services::ClusterDns(endpoints),
            isolation: Isolation { mode: IsolationMode::Enforced, ..base.isolation },
            target_namespaces: Some(Vec::new()),
            memory_max: MEMORY_MAX_CLUSTER,
            ..base
        },
    };
    let default = overlaid(&base, blocks, &root, found);
    let rules = rules.into_iter().enumerate().map(|(index, given)| {
        let at = root.keys("tenancy.rules").index(index);
        rule(given, &default, place, &at, found)
    });
    let rules = rules.collect();
    Policy { default: Arc::new(default), rules }
}

fn rule(given: file::Rule, default: &Effective, place: Place, at: &Path, found: &mut Vec<Problem>) -> Rule {
    let file::Rule { namespaces, namespace_selector, limits, labels, isolation, targets } = given;
    if namespaces.is_none() && namespace_selector.is_none() {
        let cure = "write namespaces: [\"*\"] for all, or a namespaceSelector";
        found.push(Problem::error(at.clone(), "names no namespace", cure));
    }
    if namespaces.as_ref().is_some_and(Vec::is_empty) {
        let cure = "name at least one, or remove it for all";
        found.push(Problem::error(at.key("namespaces"), "there is none, so the rule never counts", cure));
    }
    if place == Place::Machine && namespace_selector.is_some() {
        let message = "namespaces have labels only in a cluster, so the rule would never count";
        found.push(Problem::error(at.key("namespaceSelector"), message, "write namespaces: [names]"));
    }
    let selector =
        namespace_selector.map(|selector| selector_of(selector, &at.key("namespaceSelector"), found));
    let effective = Arc::new(overlaid(default, Blocks { limits, labels, isolation, targets }, at, found));
    Rule {
        namespaces: namespaces.map(|names| names.into_iter().map(Glob::new).collect()),
        selector,
        effective,
    }
}

fn selector_of(given: file::NamespaceSelector, at: &Path, found: &mut Vec<Problem>) -> NamespaceSelector {
    let file::NamespaceSelector { match_labels, match_expressions } = given;
    let mut expressions = Vec::with_capacity(match_expressions.len());
    for (index, file::Expression { key, operator, values }) in match_expressions.into_iter().enumerate() {
        let place = at.key("matchExpressions").index(index).key("values");
        let needs_values = matches!(operator, Operator::In | Operator::NotIn);
        if needs_values && values.is_empty() {
            found.push(Problem::error(place, format!("{operator:?} needs some"), "write values: [a, b]"));
        } else if !needs_values && !values.is_empty() {
            found.push(Problem::error(place, format!("{operator:?} has none"), "remove them"));
        }
        let test = match operator {
            Operator::In => Test::In(values),
            Operator::NotIn => Test::NotIn(values),
            Operator::Exists => Test::Exists,
            Operator::DoesNotExist => Test::DoesNotExist,
        };
        expressions.push(Expression { key, test });
    }
    NamespaceSelector { labels: match_labels, expressions }
}

/// `base`, with every field that is given in its place.
fn overlaid(base: &Effective, blocks: Blocks, at: &Path, found: &mut Vec<Problem>) -> Effective {
    let Blocks { limits, labels, isolation, targets } = blocks;
    let mut effective = base.clone();
    limit(&mut effective, limits, &at.key("limits"), found);
    label(&mut effective, labels, &at.key("labels"), found);
    let file::Isolation { mode, label } = isolation;
    if let Some(mode) = mode {
        effective.isolation.mode = match mode {
            file::IsolationMode::Optional => IsolationMode::Optional,
            file::IsolationMode::Enforced => IsolationMode::Enforced,
        };
    }
    if let Some(label) = label {
        label_name(&label, &at.keys("isolation.label"), found);
        effective.isolation.label = label;
    }
    target(&mut effective, targets, &at.key("targets"), found);
    effective
}

fn limit(effective: &mut Effective, given: file::Limits, at: &Path, found: &mut Vec<Problem>) {
    let file::Limits {
        min_interval,
        max_patterns,
        max_pattern_size,
        max_series,
        max_bytes_per_tick,
        max_memory,
        max_endpoints,
        max_filters,
        target_namespaces,
    } = given;
    let mut count = |given, to: &mut usize, key: &str| *to = at_least_one(given, *to, &at.key(key), found);
    count(max_patterns, &mut effective.patterns_max, "maxPatterns");
    count(max_pattern_size, &mut effective.patterns_size_max, "maxPatternSize");
    count(max_series, &mut effective.series_max, "maxSeries");
    count(max_bytes_per_tick.map(|ByteSize(bytes)| bytes), &mut effective.tick_bytes_max, "maxBytesPerTick");
    count(max_memory.map(|ByteSize(bytes)| bytes), &mut effective.memory_max, "maxMemory");
    count(max_endpoints, &mut effective.endpoints_max, "maxEndpoints");
    for (given, key) in [(max_bytes_per_tick, "maxBytesPerTick"), (max_memory, "maxMemory")] {
        if let Some(size @ ByteSize(1..SIZE_MIN)) = given {
            let message = format!("{size} bytes are no room for more than a few series");
            found.push(Problem::warning(at.key(key), message, format!("write {size}Mi, if that is meant")));
        }
    }
    match max_filters {
        Some(most) if most > FILTERS_MAX => {
            let message = format!("{most} is more than a resource can have");
            found.push(Problem::error(at.key("maxFilters"), message, format!("write {FILTERS_MAX} or less")));
        }
        // None at all is a decision that an operator may take.
        given => effective.filters_max = given.unwrap_or(effective.filters_max),
    }
    effective.interval_min = positive(min_interval, effective.interval_min, &at.key("minInterval"), found);
    if let Some(names) = target_namespaces {
        effective.target_namespaces = Some(names.into_iter().map(Glob::new).collect());
    }
}

fn label(effective: &mut Effective, given: file::Labels, at: &Path, found: &mut Vec<Problem>) {
    let file::Labels { management, protected } = given;
    if let Some(management) = management {
        label_set(&management, &at.key("management"), found);
        effective.management = management;
    }
    if let Some(names) = protected {
        names.iter().for_each(|name| label_name(name, &at.key("protected"), found));
        effective.protected = names.into_iter().collect();
    }
}

fn target(effective: &mut Effective, given: file::Targets, at: &Path, found: &mut Vec<Problem>) {
    let file::Targets { types, urls, require_https, headers } = given;
    if let Some(types) = types {
        let kind = |kind| match kind {
            file::TargetKind::Prometheus => TargetType::Prometheus,
            file::TargetKind::Pushgateway => TargetType::Pushgateway,
            file::TargetKind::RemoteWrite => TargetType::RemoteWrite,
        };
        effective.targets = types.into_iter().map(kind).collect();
    }
    let file::Urls { allow, deny } = urls;
    let base = std::mem::take(&mut effective.urls);
    effective.urls = Urls {
        allow: allow.map(|texts| patterns(&texts, &at.keys("urls.allow"), found)).or(base.allow),
        deny: deny.map_or(base.deny, |texts| patterns(&texts, &at.keys("urls.deny"), found)),
        transport: match require_https {
            None => base.transport,
            Some(true) => Transport::Https,
            Some(false) => Transport::Any,
        },
    };
    if let Some(names) = headers {
        effective.headers = names.into_iter().map(|name| name.to_ascii_lowercase()).collect();
        for name in effective.headers.iter().filter(|name| HeaderName::try_from(name.as_str()).is_err()) {
            let cure = "use letters, digits and -";
            let message = format!("{name:?} is not a header's name");
            found.push(Problem::error(at.key("headers"), message, cure));
        }
    }
}

fn patterns(texts: &[String], at: &Path, found: &mut Vec<Problem>) -> Vec<UrlPattern> {
    let mut patterns = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        match text.parse() {
            Ok(pattern) => patterns.push(pattern),
            Err(error) => {
                let cure = "write it as https://*.example.com/api/*, with * for any run of characters";
                found.push(Problem::error(at.index(index), format!("{text:?} {error}"), cure));
            }
        }
    }
    patterns
}

/// Where the addresses that tenants write may lead.
pub(super) fn receivers(given: &file::Receivers, place: Place, found: &mut Vec<Problem>) -> Receivers {
    let at = Path::root().key("receivers");
    let allow = ranges(&given.allow, &at.key("allow"), found);
    let deny = ranges(&given.deny, &at.key("deny"), found);
    let api_server = std::env::var(API_SERVER_VARIABLE).ok().and_then(|host| host.parse::<IpAddr>().ok());
    Receivers { allow, deny, api_server: api_server.into_iter().collect(), place }
}

/// The proxy before addresses that tenants write.
pub(super) fn egress(
    given: Option<file::EgressFile>,
    folder: &FilePath,
    found: &mut Vec<Problem>,
) -> Option<Egress> {
    let at = Path::root().keys("receivers.proxy");
    let file::EgressFile { url, username, password_file, no_proxy, resolve } = given?;
    let proxy = proxy_of(ProxyFile { url, username, password_file }, folder, &at, found);
    let mut except = Vec::with_capacity(no_proxy.len());
    for (index, text) in no_proxy.iter().enumerate() {
        let name = text.trim_start_matches("*.").trim_matches('.').to_ascii_lowercase();
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        match text.parse() {
            Ok(range) => except.push(Exception::Range(range)),
            Err(_) if !name.is_empty() && name.chars().all(legal) => except.push(Exception::Name(name)),
            Err(_) => {
                let cure = "write a name such as corp.example, which stands for all below it, or a range such as 10.0.0.0/8";
                let message = format!("{text:?} is neither a name nor a range of addresses");
                found.push(Problem::error(at.key("noProxy").index(index), message, cure));
            }
        }
    }
    let names = match resolve {
        file::ResolveFile::Here => Names::Here,
        file::ResolveFile::Proxy => Names::Proxy,
    };
    if names == Names::Proxy {
        let message = "leaves it to the proxy alone where names of tenants may lead";
        let cure = "see that it refuses private networks, or remove it";
        found.push(Problem::warning(at.key("resolve"), message, cure));
    }
    Some(Egress { proxy: proxy?, except, names })
}

pub(super) fn ranges(texts: &[String], at: &Path, found: &mut Vec<Problem>) -> Vec<Cidr> {
    let mut ranges = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        match text.parse() {
            Ok(range) => ranges.push(range),
            Err(error) => {
                let cure = "write it as 10.0.0.0/8 or fd00::/8, or one address";
                found.push(Problem::error(at.index(index), format!("{text:?} {error}"), cure));
            }
        }
    }
    ranges
}
