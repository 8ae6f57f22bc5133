//! Net: requests to where modules are, and nowhere else.
//!
//! In: an address and the entry that covers it. Out: the answer. Never: a redirect followed that was not judged like the
//! address itself, a credential sent along with one, an address dialled that the entry's guard did not see.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, HeaderMap, LOCATION, RETRY_AFTER};
use http::{HeaderValue, Method, Request, StatusCode};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;
use url::Url;

use super::allow::{Allowed, Prefix, Transport, Weight};
use super::error::Error;
use super::place::{self, Repository};
use super::signature::Key;
use crate::http::{Client, Config, Response, Route, Timeouts};
use crate::model::guard::{Guard, Receivers};
use crate::model::{Access, Author, Cidr, Reference};

/// How often one request is sent on.
const REDIRECTS_MAX: usize = 5;

/// Fetches that one entry has under way. A registry that hangs holds up its own modules and no other's.
const FETCHES_PER_ENTRY_MAX: usize = 4;

/// How long a fetch may take from its turn on.
const FETCH_TIME_MAX: Duration = Duration::from_secs(300);

/// What of an error's body is shown.
const SAID_BYTES_MAX: usize = 4 << 10;
const SAID_CHARS_MAX: usize = 200;

/// The body of an answer that nobody needs.
pub(super) const DRAIN_BYTES_MAX: usize = 16 << 10;

/// A module of the largest size over a line of 5 Mbit/s.
const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_secs(5),
    first_byte: Duration::from_secs(30),
    whole: Duration::from_secs(120),
};

/// Who may be asked.
#[derive(Debug, Clone, PartialEq)]
pub enum Reach {
    /// What the operator allows; addresses are guarded, because tenants choose among them.
    Listed {
        /// The entries.
        allow: Vec<Allowed>,
        /// Ranges that may be dialled for no entry, the API server's addresses, and where we run. What they allow is for
        /// receivers.
        receivers: Receivers,
    },
    /// What a person names on their own machine, for themselves.
    Anything {
        /// How to speak to it.
        transport: Transport,
        /// One of which must have signed what is fetched; none: signatures are not looked for.
        keys: Vec<Key>,
    },
}

/// The clients, one for each entry.
#[derive(Debug)]
pub(super) struct Net {
    entries: Vec<Entry>,
    /// Bytes of registries' answers that have come.
    received: AtomicU64,
}

/// An entry of the operator's list, and the client that dials for it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) allowed: Allowed,
    client: Client,
    turns: Semaphore,
}

impl Entry {
    fn new(allowed: Allowed, client: Client) -> Entry {
        Entry { allowed, client, turns: Semaphore::new(FETCHES_PER_ENTRY_MAX) }
    }

    /// Waits until this entry may be asked for something more, in the order of coming: of a namespace one module is on its
    /// way at a time, so this is the namespaces' order.
    pub(super) async fn turn(&self) -> Turn<'_> {
        let permit = self.turns.acquire().await.expect("the semaphore is never closed");
        Turn { _permit: permit, until: Instant::now() + FETCH_TIME_MAX }
    }
}

/// The right to ask an entry for one module, for so long. What others take before does not count.
pub(super) struct Turn<'a> {
    _permit: SemaphorePermit<'a>,
    until: Instant,
}

impl Turn<'_> {
    /// By when all of it must have come.
    pub(super) fn until(&self) -> Instant {
        self.until
    }
}

/// What is there by then.
pub(super) async fn within<T>(
    until: Instant,
    fetching: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    tokio::time::timeout_at(until, fetching).await.unwrap_or(Err(Error::Slow(FETCH_TIME_MAX)))
}

impl Net {
    pub(super) fn new(reach: Reach) -> Result<Net, Error> {
        let entries = match reach {
            Reach::Anything { transport, keys } => {
                let client = Client::new(&Config::default()).map_err(Error::Setup)?;
                let route = Route { author: Author::Operator, dial: None };
                let allowed = Allowed { transport, keys, ..Allowed::new(Prefix::anywhere()) };
                vec![Entry::new(allowed, client.via(route))]
            }
            Reach::Listed { allow, receivers } => listed(allow, &receivers)?,
        };
        Ok(Net { entries, received: AtomicU64::new(0) })
    }

    /// So many bytes have come.
    pub(super) fn receives(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// The most specific entry; of two that are alike the one that asks for more.
    fn find(&self, weight: impl Fn(&Allowed) -> Option<Weight>) -> Option<&Entry> {
        let covering = self.entries.iter().filter_map(|entry| Some((weight(&entry.allowed)?, entry)));
        covering
            .max_by_key(|(weight, entry)| (*weight, !entry.allowed.keys.is_empty()))
            .map(|(_, entry)| entry)
    }

    /// The entry that covers a URL: the most specific one. In whatever way the URL is read, one must cover it.
    pub(super) fn entry(&self, url: &Url) -> Result<&Entry, Error> {
        of_bearable_length(url)?;
        let found = |way: &Vec<String>| self.find(|allowed| allowed.prefix.weight(url, way));
        let ways = place::ways(url);
        let entry = ways.first().and_then(found).filter(|_| ways.iter().all(|way| found(way).is_some()));
        let what = bare(url);
        match entry {
            None => Err(Error::NotAllowed { what, host: host_of(url) }),
            Some(entry) if !entry.allowed.transport.takes(url) => Err(Error::PlainText { what }),
            Some(entry) => Ok(entry),
        }
    }

    /// The entry that covers what is downloaded, if it may be without a signature, which a download never has.
    pub(super) fn entry_of_download(&self, url: &Url) -> Result<&Entry, Error> {
        let entry = self.entry(url)?;
        self.takes_unsigned(url).map(|()| entry)
    }

    /// Refuses what an entry wants signed, as itself or, out of a registry's own interface, as a part of a repository.
    fn takes_unsigned(&self, url: &Url) -> Result<(), Error> {
        let host = place::host(url.host_str().unwrap_or_default());
        let wants = |parts: &[String]| {
            let entry = self.find(|allowed| allowed.prefix.weight(url, parts));
            entry.filter(|entry| !entry.allowed.keys.is_empty())
        };
        for way in place::ways(url) {
            let repositories = place::repositories(host, &way);
            let of = repositories.iter().find_map(|parts| wants(parts).map(|entry| (entry, parts)));
            let at = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
            let write = match of {
                Some((entry, parts)) => {
                    let name = place::repository(parts).map(|name| format!("{at}/{name}"));
                    let name = name.unwrap_or_else(|| format!("{}/NAME", entry.allowed.prefix));
                    format!("write oci: {name}:TAG, or @sha256:… of its manifest")
                }
                None => match wants(&way) {
                    Some(entry) => format!("push it, and write oci: {}/NAME:TAG", entry.allowed.prefix),
                    None => continue,
                },
            };
            let why = format!("only artefacts in registries carry signatures; {write}");
            return Err(Error::Unsigned { what: bare(url), why });
        }
        Ok(())
    }

    /// The entry that covers a repository.
    pub(super) fn entry_of(&self, reference: &Reference) -> Result<&Entry, Error> {
        let repository = Repository::of(reference);
        let parts = repository.parts();
        let entry = self.find(|allowed| {
            let address = repository.address(allowed.transport).ok()?;
            allowed.prefix.weight(&address, &parts)
        });
        entry.ok_or_else(|| Error::NotAllowed {
            what: reference.to_string(),
            host: reference.registry().to_owned(),
        })
    }

    /// Who may be asked when `from`, which `entry` covers, sends us to `to`.
    pub(super) fn onward<'a>(&'a self, entry: &'a Entry, from: &Url, to: &Url) -> Result<&'a Entry, Error> {
        of_bearable_length(to)?;
        let names =
            |way: &Vec<String>| entry.allowed.redirects.iter().any(|prefix| prefix.weight(to, way).is_some());
        let found = match place::ways(to).iter().all(names) {
            true if entry.allowed.transport.takes(to) => return Ok(entry),
            true => Err(Error::PlainText { what: bare(to) }),
            false => self.entry(to),
        };
        found.map_err(|error| match error {
            Error::NotAllowed { what, host } => Error::Redirect { from: bare(from), to: what, host },
            error => error,
        })
    }

    /// Asks once.
    pub(super) async fn send(&self, entry: &Entry, request: Request<Bytes>) -> Result<Response, Error> {
        Ok(entry.client.send(request, &TIMEOUTS).await?)
    }

    /// Follows an answer of `start`, which `home` covers, to wherever it leads; nobody on the way gets credentials.
    pub(super) async fn follow(
        &self,
        home: &Entry,
        start: &Url,
        mut answer: Response,
        within: Within,
    ) -> Result<(Response, Url), Error> {
        let (mut entry, mut at) = (home, start.clone());
        for _ in 0..REDIRECTS_MAX {
            if !is_redirect(answer.status) {
                return Ok((answer, at));
            }
            let next = target(&at, &answer.headers)?;
            answer.drain(DRAIN_BYTES_MAX).await;
            let at_home = within == Within::Registry && next.origin() == start.origin();
            entry = if at_home { home } else { self.onward(entry, &at, &next)? };
            if within == Within::Paths {
                self.takes_unsigned(&next)?;
            }
            answer = self.send(entry, get(&next, None, None)).await?;
            at = next;
        }
        match is_redirect(answer.status) {
            true => Err(Error::Redirects { from: bare(start), max: REDIRECTS_MAX }),
            false => Ok((answer, at)),
        }
    }
}

/// What an entry's path is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Within {
    /// URLs: each one must be covered, and by nobody who wants it signed.
    Paths,
    /// Repositories: how a registry arranges its own URLs is its affair.
    Registry,
}

/// Entries that open the same networks and ask for no TLS of their own share their connections.
fn listed(allow: Vec<Allowed>, receivers: &Receivers) -> Result<Vec<Entry>, Error> {
    let mut clients: Vec<(Vec<Cidr>, Client)> = Vec::new();
    let mut entries = Vec::with_capacity(allow.len());
    for allowed in allow {
        let known = clients.iter().find(|(networks, _)| *networks == allowed.networks);
        let client = match known {
            Some((_, client)) => client.clone(),
            None => {
                let client = guarded(&allowed.networks, receivers)?;
                clients.push((allowed.networks.clone(), client.clone()));
                client
            }
        };
        let access = Access { tls: allowed.tls.clone(), ..Access::default() };
        entries.push(Entry::new(allowed, client.for_access(&access)));
    }
    Ok(entries)
}

/// Loopback and private networks are refused wherever we run: an entry that means them says so.
fn guarded(networks: &[Cidr], receivers: &Receivers) -> Result<Client, Error> {
    let rules = Receivers { allow: networks.to_vec(), ..receivers.clone() };
    let config = Config { guard: Guard::strict(&rules).into(), ..Config::default() };
    let client = Client::new(&config).map_err(Error::Setup)?;
    Ok(client.via(Route { author: Author::Tenant, dial: None }))
}

/// A request without a body.
pub(super) fn get(
    url: &Url,
    accept: Option<&'static str>,
    authorization: Option<&HeaderValue>,
) -> Request<Bytes> {
    request(Method::GET, url, accept, authorization, Bytes::new())
}

pub(super) fn request(
    method: Method,
    url: &Url,
    accept: Option<&'static str>,
    authorization: Option<&HeaderValue>,
    body: Bytes,
) -> Request<Bytes> {
    let mut request = Request::new(body);
    *request.method_mut() = method;
    // A URL that does not fit leaves an address without a host, which the client refuses.
    *request.uri_mut() = url.as_str().parse().unwrap_or_default();
    let headers = request.headers_mut();
    if let Some(accept) = accept {
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
    }
    if let Some(authorization) = authorization {
        headers.insert(AUTHORIZATION, authorization.clone());
    }
    request
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Where an answer sends us.
pub(super) fn target(at: &Url, headers: &HeaderMap) -> Result<Url, Error> {
    let location = headers.get(LOCATION).and_then(|value| value.to_str().ok());
    let next = location.and_then(|location| at.join(location).ok());
    let legal = |url: &Url| matches!(url.scheme(), "http" | "https") && url.username().is_empty();
    next.filter(legal).ok_or_else(|| Error::Answer {
        what: bare(at),
        why: "it sends us on without a Location that can be followed".to_owned(),
    })
}

/// What an answer that is no success means.
pub(super) async fn refusal(what: String, cure: &'static str, answer: Response) -> Error {
    let (status, retry_after) = (answer.status, retry_after(&answer.headers));
    let said = said(status, &answer.excerpt(SAID_BYTES_MAX).await);
    match status.as_u16() {
        401 | 403 => Error::Denied { what, said, cure },
        404 | 410 => Error::NotFound { what, said },
        408 | 429 | 500.. => Error::Unavailable { what, said, retry_after },
        _ => Error::Answer { what, why: said },
    }
}

/// Only the form in seconds: registries send no other.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?;
    Some(Duration::from_secs(text.parse::<u32>().ok()?.into()))
}

/// The status, and what a registry's error says beside it (OCI distribution specification, "Error Codes").
fn said(status: StatusCode, body: &[u8]) -> String {
    let errors = serde_json::from_slice::<serde_json::Value>(body).ok();
    let first = errors.as_ref().and_then(|all| all.pointer("/errors/0"));
    let field = |name| first.and_then(|error| error.get(name)).and_then(|text| text.as_str());
    let text = field("message").filter(|text| !text.is_empty()).or_else(|| field("code"));
    let Some(text) = text else { return format!("HTTP status {status}") };
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let text: String = text.chars().take(SAID_CHARS_MAX).map(plain).collect();
    format!("HTTP status {status}: {text}")
}

/// A URL as errors show it: what follows a question mark may be a credential, and what stands before the host is one.
pub(super) fn bare(url: &Url) -> String {
    let mut url = url.clone();
    // A URL without a host cannot have them.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    url.to_string()
}

/// Before a path is read in every way.
fn of_bearable_length(url: &Url) -> Result<(), Error> {
    match url.path().len() > place::PATH_BYTES_MAX {
        true => Err(Error::Long { host: host_of(url), bytes_max: place::PATH_BYTES_MAX }),
        false => Ok(()),
    }
}

fn host_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of the entries counts for a reference.
    fn check(entries: &[&str], reference: &str, expected: &str) {
        let allow = entries.iter().map(|text| Allowed::new(text.parse().unwrap())).collect();
        let net = Net::new(Reach::Listed { allow, receivers: Receivers::default() }).unwrap();
        let entry = net.entry_of(&reference.parse().unwrap());
        let found = entry.map_or_else(|error| error.to_string(), |entry| entry.allowed.prefix.to_string());
        assert_eq!(found, expected, "{entries:?} {reference}");
    }

    #[tokio::test]
    async fn a_path_that_takes_long_to_read_is_refused_before() {
        let net = Net::new(Reach::Listed { allow: Vec::new(), receivers: Receivers::default() }).unwrap();
        let url = format!("https://ghcr.io/%{}", "25".repeat(450_000)).parse().unwrap();
        let refused = net.entry_of_download(&url).unwrap_err();
        assert!(matches!(refused, Error::Long { .. }) && refused.to_string().len() < 200, "{refused}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_fetch_has_its_whole_time_however_long_others_took_before() {
        let allow = vec![Allowed::new("docker.io".parse().unwrap())];
        let net = Net::new(Reach::Listed { allow, receivers: Receivers::default() }).unwrap();
        let entry = net.entry_of(&"docker.io/acme/a:1".parse().unwrap()).unwrap();
        let mut others = Vec::new();
        for _ in 0..FETCHES_PER_ENTRY_MAX {
            others.push(entry.turn().await);
        }
        let next = entry.turn();
        tokio::pin!(next);
        let waited = tokio::time::timeout(2 * FETCH_TIME_MAX, &mut next).await;
        assert!(waited.is_err(), "no more than {FETCHES_PER_ENTRY_MAX} at once");
        drop(others.pop());
        assert_eq!(next.await.until() - Instant::now(), FETCH_TIME_MAX);
        let late = within(others[0].until(), std::future::pending::<Result<(), _>>()).await;
        assert!(matches!(late, Err(Error::Slow(_))), "{late:?}");
    }

    #[tokio::test]
    async fn dockers_own_registry_is_one_whatever_it_is_called() {
        let hub = ["docker.io", "docker.io/library/nginx"];
        for (reference, expected) in [
            ("docker.io/nginx:1", "docker.io/library/nginx"),
            ("docker.io/library/nginx:1", "docker.io/library/nginx"),
            ("index.docker.io/nginx:1", "docker.io/library/nginx"),
            ("registry-1.docker.io/library/nginx:1", "docker.io/library/nginx"),
            ("registry.hub.docker.com/nginx:1", "docker.io/library/nginx"),
            ("docker.io:443/nginx:1", "docker.io/library/nginx"),
            ("docker.io./nginx:1", "docker.io/library/nginx"),
            ("docker.io/redis:1", "docker.io"),
            ("docker.io/nginx/nginx-ingress:1", "docker.io"),
        ] {
            check(&hub, reference, expected);
        }
        // As people write it, of what docker keeps itself or of whoever has that name.
        let short = ["docker.io/library", "docker.io/nginx"];
        check(&short, "docker.io/library/nginx:1", "docker.io/nginx");
        check(&short, "docker.io/nginx/nginx-ingress:1", "docker.io/nginx");
        check(&short, "docker.io/redis:1", "docker.io/library");
        check(&["registry-1.docker.io/acme"], "docker.io/acme/a:1", "docker.io/acme");
    }
}
