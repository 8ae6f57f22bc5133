//! An external remote-write endpoint: address, credentials and headers.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use url::{Host, Url};

use super::Findings;
use super::login::Secrets;
use crate::document::Path;
use crate::model::guard::is_localhost;
use crate::model::{Author, RESERVED_HEADERS, RemoteWriteEndpoint, TenantId};
use crate::tenancy::Surroundings;
use crate::tenancy::policy::{Effective, Transport};
use crate::tenancy::resource::RemoteWriteTarget;

/// Headers one resource may add.
const HEADERS_MAX: usize = 32;

pub(super) fn endpoint(
    id: &TenantId,
    block: &RemoteWriteTarget,
    policy: &Effective,
    around: &dyn Surroundings,
    place: &Path,
    findings: &mut Findings,
) -> Option<RemoteWriteEndpoint> {
    let RemoteWriteTarget { url, basic_auth, bearer_token_secret, tls, headers } = block;
    let url = address(url, &place.key("url"), findings);
    if let Some(url) = &url {
        may_be_written(url, id, policy, &place.key("url"), findings);
    }
    let mut secrets = Secrets { id, around, findings };
    let login = secrets.login(basic_auth.as_ref(), bearer_token_secret.as_ref(), place);
    let tls = tls
        .as_ref()
        .map(|tls| secrets.tls(tls, url.as_ref(), policy.urls.transport, &place.key("tls")))
        .transpose();
    let setter = match (basic_auth, bearer_token_secret) {
        (Some(_), _) => Some("basicAuth"),
        (None, Some(_)) => Some("bearerTokenSecret"),
        (None, None) => None,
    };
    let headers = checked_headers(headers, setter, policy, &place.key("headers"), findings);
    let (login, tls) = (login.ok()?, tls.ok()?.map(Arc::new));
    let url = url?;
    if url.scheme() == "http" && (login.is_some() || headers.iter().any(|(name, _)| name == "authorization"))
    {
        findings.warn(place.key("url"), "the credentials travel unencrypted over http", "write https://…");
    }
    // A Service's name was judged by its namespace above; it leads into the cluster and nowhere else.
    let author = match url.host_str().and_then(service_namespace) {
        Some(_) => Author::Cluster,
        None => Author::Tenant,
    };
    Some(RemoteWriteEndpoint { login, tls, headers, ..RemoteWriteEndpoint::plain(url, author) })
}

fn address(text: &str, place: &Path, findings: &mut Findings) -> Option<Url> {
    let example = "write it as https://host:port/api/v1/write";
    findings.of_an_urls_length(text, place, example)?;
    let mut refuse = |message: String, cure: &str| findings.refuse(place.clone(), message, cure);
    let url = match Url::parse(text) {
        Ok(url) => url,
        Err(error) => {
            refuse(format!("{text:?} is not an address: {error}"), example);
            return None;
        }
    };
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        refuse(format!("{text:?} is not an http address"), example);
        return None;
    }
    if !url.username().is_empty() || url.password().is_some() {
        refuse(
            "holds credentials, which everyone who reads the resource would see".to_owned(),
            "use basicAuth",
        );
        return None;
    }
    if url.fragment().is_some() {
        refuse("has a part after #, which is never sent".to_owned(), "remove it");
        return None;
    }
    Some(url)
}

/// What the operator says about the address. Where its name leads is seen when it is dialled.
fn may_be_written(url: &Url, id: &TenantId, policy: &Effective, place: &Path, findings: &mut Findings) {
    let Effective { urls, receivers, .. } = policy;
    let mut refuse = |message: String, cure: &str| findings.forbid(place.clone(), message, cure);
    if urls.transport == Transport::Https && url.scheme() != "https" {
        refuse("the operator allows https only (targets.requireHttps)".to_owned(), "write https://…");
    }
    let ask = "write another address, or ask the operator to allow it";
    if let Some(pattern) = urls.deny.iter().find(|pattern| pattern.matches(url)) {
        refuse(format!("the operator denies {pattern} (targets.urls.deny)"), ask);
    } else if let Some(allowed) = urls.allow.as_ref().filter(|all| !all.iter().any(|one| one.matches(url))) {
        let allowed: Vec<_> = allowed.iter().map(ToString::to_string).collect();
        let message =
            format!("is none that the operator allows (targets.urls.allow: {})", allowed.join(", "));
        refuse(message, ask);
    }
    if let Some(namespace) = url.host_str().and_then(service_namespace)
        && !policy.may_send_to(namespace, &id.namespace)
    {
        let message = format!(
            "is in the namespace {namespace}, which the operator does not allow (limits.targetNamespaces)"
        );
        refuse(message, ask);
    }
    if let Some(forbidden) = literal(url).and_then(|ip| receivers.check(ip).err()) {
        refuse(format!("{forbidden} (receivers)"), ask);
    }
}

/// The address that a host is without a resolver.
fn literal(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Ipv4(ip) => Some(ip.into()),
        Host::Ipv6(ip) => Some(ip.into()),
        Host::Domain(name) => is_localhost(name).then_some(IpAddr::from([127, 0, 0, 1])),
    }
}

/// The namespace of a host that is a Service of the cluster by its own DNS: `….<namespace>.svc[.<cluster's domain>]`.
fn service_namespace(host: &str) -> Option<&str> {
    let parts: Vec<&str> = host.strip_suffix('.').unwrap_or(host).split('.').collect();
    let svc = parts.iter().rposition(|part| *part == "svc")?;
    let is_ours = svc + 1 == parts.len() || parts[svc + 1..] == ["cluster", "local"];
    if is_ours { parts.get(svc.checked_sub(1)?).copied() } else { None }
}

/// Names in lower case, sorted.
fn checked_headers(
    headers: &BTreeMap<String, String>,
    setter: Option<&'static str>,
    policy: &Effective,
    place: &Path,
    findings: &mut Findings,
) -> Vec<(String, String)> {
    if headers.len() > HEADERS_MAX {
        let message = format!("{} headers are more than {HEADERS_MAX}", headers.len());
        findings.refuse(place.clone(), message, "remove some");
    }
    let mut checked = BTreeMap::new();
    for (name, value) in headers {
        let place = place.key(name);
        let Ok(header) = HeaderName::try_from(name.as_str()) else {
            findings.refuse(place, "is not a header's name", "use letters, digits and -");
            continue;
        };
        if RESERVED_HEADERS.contains(&header.as_str()) {
            findings.refuse(place, "the protocol sets this header", "remove it");
        } else if let Some(setter) = setter.filter(|_| header == http::header::AUTHORIZATION) {
            findings.refuse(place, format!("{setter} sets this header"), "remove one of the two");
        } else if HeaderValue::from_str(value).is_err() || !value.is_ascii() {
            findings.refuse(place, "the value has characters that no header may have", "use printable ASCII");
        } else if !policy.headers.contains(header.as_str()) {
            let cure = "remove it, or ask the operator to allow it";
            findings.forbid(place, "the operator does not allow this header (targets.headers)", cure);
        } else if checked.insert(header.as_str().to_owned(), value.clone()).is_some() {
            findings.refuse(
                place,
                "the header is given twice: upper and lower case are the same",
                "keep one",
            );
        }
    }
    checked.into_iter().collect()
}
