//! Found: from an object's facts to a source.

use std::collections::BTreeMap;
use std::net::IpAddr;

use url::Url;

use super::block::{Block, Port, Scheme};
use super::identity::Identity;
use crate::discover::Presence;
use crate::model::{Audience, Labels, Source, SourceName};

/// The longest path an annotation may name.
const PATH_BYTES_MAX: usize = 1024;

/// A server that an object stands for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Found {
    pub(super) source: Source,
    pub(super) presence: Presence,
    pub(super) preference: Preference,
    /// The Service of an endpoint that names neither pod nor host, so that its two addresses cannot be told to be one
    /// server's.
    pub(super) nameless: Option<String>,
}

/// Which of several addresses of one server is used; the smallest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Preference {
    /// A name, or IPv4.
    First,
    /// IPv6, where there is no other.
    Second,
}

/// An object that was meant and cannot be a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Skipped {
    /// The source it would have been.
    pub(super) name: String,
    /// What is wrong, and what to do about it.
    pub(super) why: String,
}

/// What a mapping of one object answers.
pub(super) type Mapped = Result<Found, Skipped>;

/// An object's facts.
pub(super) struct Facts<'a> {
    pub(super) identity: Identity<'a>,
    pub(super) labels: &'a BTreeMap<String, String>,
    pub(super) annotations: &'a BTreeMap<String, String>,
    /// As it stands in an address.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) presence: Presence,
    pub(super) preference: Preference,
    pub(super) nameless: Option<String>,
}

/// Names of objects in their errors.
pub(super) fn skipped(identity: &Identity<'_>, block: &Block, why: impl Into<String>) -> Skipped {
    Skipped { name: identity.source(block), why: why.into() }
}

/// The source that an object stands for.
pub(super) fn found(block: &Block, facts: Facts<'_>) -> Mapped {
    let Facts { identity, labels, annotations, host, port, presence, preference, nameless } = facts;
    let built = source(block, &identity, labels, annotations, &host, port);
    match built {
        Ok(source) => Ok(Found { source, presence, preference, nameless }),
        Err(why) => Err(skipped(&identity, block, why)),
    }
}

fn source(
    block: &Block,
    identity: &Identity<'_>,
    labels: &BTreeMap<String, String>,
    annotations: &BTreeMap<String, String>,
    host: &str,
    port: u16,
) -> Result<Source, String> {
    let url = address(scheme(block, annotations)?, host, port, path(block, annotations)?)?;
    let own = source_labels(block, labels)?;
    Ok(Source {
        name: SourceName::new(identity.source(block)),
        url,
        audience: audience(block.audience_label.as_deref(), &own),
        labels: own,
        external_labels: block.external_labels.clone(),
        lag: block.lag,
        settle: block.settle,
        timeout: block.timeout,
        series_max: block.series_max,
        replica_group: identity.group(block, labels),
        access: block.access.clone(),
        compression: block.compression,
    })
}

/// The block's labels, and over them what it takes from the object.
fn source_labels(block: &Block, labels: &BTreeMap<String, String>) -> Result<Labels, String> {
    let taken =
        block.labels_from.iter().filter_map(|(name, from)| Some((&**name, labels.get(from)?.as_str())));
    let mut all: BTreeMap<&str, &str> = block.source_labels.iter().collect();
    all.extend(taken.filter(|(_, value)| !value.is_empty()));
    Labels::from_pairs(all).map_err(|error| error.to_string())
}

/// Whom a source with these labels is for, where `discovery.sourceLabel` is `label`.
pub fn audience(label: Option<&str>, labels: &Labels) -> Audience {
    match label {
        None => Audience::Everyone,
        Some(label) => labels.get(label).map_or(Audience::Nobody, |name| Audience::Named(name.to_owned())),
    }
}

/// An IP address as it stands in a URL, and how willingly it is used.
pub(super) fn host(address: &str) -> Result<(String, Preference), String> {
    match address.parse() {
        Ok(IpAddr::V4(ip)) => Ok((ip.to_string(), Preference::First)),
        Ok(IpAddr::V6(ip)) => Ok((format!("[{ip}]"), Preference::Second)),
        Err(_) => Err(format!("{address:?} is not an IP address")),
    }
}

/// The one of `ports` (name, number) that the block names, or the only one.
pub(super) fn port<'a>(
    wanted: Option<&Port>,
    ports: impl Iterator<Item = (Option<&'a str>, i32)>,
) -> Result<u16, String> {
    let ports: Vec<_> =
        ports.filter_map(|(name, number)| Some((name, u16::try_from(number).ok()?))).collect();
    let named = |(name, number): &&(Option<&str>, u16)| match wanted {
        Some(Port::Name(wanted)) => *name == Some(wanted),
        Some(Port::Number(wanted)) => number == wanted,
        None => true,
    };
    let mut fitting = ports.iter().filter(named);
    match (fitting.next(), wanted) {
        (None, Some(wanted)) => Err(format!("has no port {wanted}")),
        (None, None) => Err("has no port; name one in the block".to_owned()),
        (Some(_), None) if ports.len() > 1 => {
            Err("has several ports; name one of them in the block".to_owned())
        }
        (Some((_, number)), _) => Ok(*number),
    }
}

fn annotation<'a>(name: &str, annotations: &'a BTreeMap<String, String>) -> Option<&'a str> {
    annotations.get(name).map(|value| value.trim()).filter(|value| !value.is_empty() && !name.is_empty())
}

/// An annotation may not take the block's secrets out of TLS.
fn scheme(block: &Block, annotations: &BTreeMap<String, String>) -> Result<Scheme, String> {
    let name = &block.scheme_annotation;
    match annotation(name, annotations) {
        None => Ok(block.scheme),
        Some("https") => Ok(Scheme::Https),
        Some("http")
            if block.scheme == Scheme::Https
                && (block.access.tls.is_some() || block.access.tells_secrets()) =>
        {
            Err(format!("annotation {name} says http, but the block's credentials are for https"))
        }
        Some("http") => Ok(Scheme::Http),
        Some(other) => Err(format!("annotation {name} is {other:?}; write http or https")),
    }
}

/// The base path. Many annotate the path of their metrics: the API is beside it.
fn path<'a>(block: &'a Block, annotations: &'a BTreeMap<String, String>) -> Result<&'a str, String> {
    let name = &block.path_annotation;
    match annotation(name, annotations) {
        None => Ok(&block.path),
        Some(path) if path.starts_with('/') && path.len() <= PATH_BYTES_MAX => {
            Ok(path.strip_suffix("/metrics").unwrap_or(path))
        }
        Some(path) => Err(format!("annotation {name} is {path:?}; write a path that begins with /")),
    }
}

fn address(scheme: Scheme, host: &str, port: u16, path: &str) -> Result<Url, String> {
    let base = format!("{}://{host}:{port}/", scheme.as_str());
    let mut url = Url::parse(&base).map_err(|error| format!("{base:?} is not an address: {error}"))?;
    url.set_path(path);
    Ok(url)
}
