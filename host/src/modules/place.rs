//! Place: where something is that is asked for, said in one way however it was spelt.
//!
//! In: a URL, a reference. Out: the host and the parts of the path that entries are matched with. Never: two places of one
//! thing because it has two names; a request.

use percent_encoding::percent_decode_str;
use url::Url;

use super::allow::Transport;
use crate::model::Reference;

/// What docker calls its own registry, where it is, and what else leads there.
const HUB: &str = "docker.io";
pub(super) const HUB_HOST: &str = "registry-1.docker.io";
const HUB_NAMES: [&str; 4] = [HUB, "index.docker.io", HUB_HOST, "registry.hub.docker.com"];
/// Where docker keeps repositories of one part.
pub(super) const HUB_LIBRARY: &str = "library";

/// Below it a registry has its repositories (OCI distribution specification, "Endpoints").
const API: &str = "v2";
/// What follows the name of a repository there.
const KINDS: [&str; 4] = ["blobs", "manifests", "tags", "referrers"];

/// A host as hosts are compared, of one as a URL has it: without the root's dot, docker's own by one of its names.
pub(super) fn host(written: &str) -> &str {
    let bare = written.strip_suffix('.').unwrap_or(written);
    if HUB_NAMES.contains(&bare) { HUB } else { bare }
}

/// Whether a registry, with its port if it has one, is docker's own.
pub(super) fn is_hub(registry: &str) -> bool {
    let (name, port) = split(registry);
    host(name) == HUB && port.is_none_or(|port| port.parse() == Ok(443_u16))
}

fn split(registry: &str) -> (&str, Option<&str>) {
    match registry.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (registry, None),
    }
}

/// A repository, as it is called where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Repository {
    /// Host and port.
    registry: String,
    pub(super) name: String,
}

impl Repository {
    /// That of a reference.
    pub(super) fn of(reference: &Reference) -> Repository {
        let (registry, name) = (reference.registry(), reference.repository());
        if !is_hub(registry) {
            let (host, port) = split(registry);
            let bare = host.strip_suffix('.').unwrap_or(host);
            let registry = port.map_or_else(|| bare.to_owned(), |port| format!("{bare}:{port}"));
            return Repository { registry, name: name.to_owned() };
        }
        let name = if name.contains('/') { name.to_owned() } else { format!("{HUB_LIBRARY}/{name}") };
        Repository { registry: HUB_HOST.to_owned(), name }
    }

    /// Its address, with a slash at its end.
    pub(super) fn address(&self, transport: Transport) -> Result<Url, url::ParseError> {
        Url::parse(&format!("{}://{}/{API}/{}/", transport.scheme(), self.registry, self.name))
    }

    /// The parts of its name.
    pub(super) fn parts(&self) -> Vec<String> {
        self.name.split('/').map(str::to_owned).collect()
    }
}

/// The longest path that is looked at: reading it in every way takes the square of it.
pub(super) const PATH_BYTES_MAX: usize = 2048;

/// The parts of a URL's path in each way in which a server may read it: as it stands; with what is encoded in it as if it were
/// not; with that decoded again, as it is behind a proxy. One way is never no way.
pub(super) fn ways(url: &Url) -> Vec<Vec<String>> {
    let as_it_stands = url.path().split('/').filter(|part| !part.is_empty()).map(decoded).collect();
    let once = decoded(url.path());
    let mut ways: Vec<Vec<String>> = vec![as_it_stands, parts(&once)];
    // Each step makes it shorter, or is the last.
    let (mut before, mut now) = (once.clone(), decoded(&once));
    while now != before {
        (before, now) = (now.clone(), decoded(&now));
    }
    ways.push(parts(&now));
    ways.dedup();
    ways
}

/// The parts of a path as a server finds its way along them.
pub(super) fn parts(path: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    for part in path.split(['/', '\\']) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part.to_owned()),
        }
    }
    parts
}

/// A text with its `%41` read as `A`, once.
pub(super) fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// Parts that begin with a repository's name, if a path is one of a registry's own interface, wherever that is mounted.
/// Registries' names are of lower case, and servers in Java cut off what follows a semicolon.
pub(super) fn repositories(host: &str, path: &[String]) -> Vec<Vec<String>> {
    let plain: Vec<String> =
        path.iter().map(|part| part.split(';').next().unwrap_or(part).to_ascii_lowercase()).collect();
    let mut all = Vec::new();
    for at in (0..plain.len()).filter(|at| plain[*at] == API) {
        let named = plain[at + 1..].to_vec();
        if host == HUB {
            all.push([vec![HUB_LIBRARY.to_owned()], named.clone()].concat());
        }
        all.push(named);
    }
    all.retain(|parts| !parts.is_empty());
    all
}

/// The name of a repository at the beginning of `parts`, if it has an end.
pub(super) fn repository(parts: &[String]) -> Option<String> {
    let end = parts.iter().rposition(|part| KINDS.contains(&part.as_str()))?;
    (end > 0).then(|| parts[..end].join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_read_in_every_way_in_which_servers_read_it() {
        for (path, expected) in [
            ("/a//b/", vec!["a b"]),
            ("/a/../b/%2e%2E/c", vec!["c"]),
            ("/%61/b", vec!["a b"]),
            ("/a%2Fb/c", vec!["a/b c", "a b c"]),
            ("/a/..%2fb", vec!["a ../b", "b"]),
            ("/a%5Cb", vec!["a\\b", "a b"]),
            ("/%2561/b", vec!["%61 b", "a b"]),
            ("/100%/%zz", vec!["100% %zz"]),
            ("/", vec![""]),
        ] {
            let url = Url::parse(&format!("https://h{path}")).unwrap();
            let read: Vec<String> = ways(&url).iter().map(|parts| parts.join(" ")).collect();
            assert_eq!(read, expected, "{path}");
        }
    }

    #[test]
    fn a_registry_has_one_address_whatever_it_is_called() {
        for (reference, expected) in [
            ("docker.io/nginx:1", "https://registry-1.docker.io/v2/library/nginx/"),
            ("index.docker.io/nginx:1", "https://registry-1.docker.io/v2/library/nginx/"),
            ("docker.io.:443/a/b:1", "https://registry-1.docker.io/v2/a/b/"),
            ("docker.io:444/a:1", "https://docker.io:444/v2/a/"),
            ("ghcr.io./a:1", "https://ghcr.io/v2/a/"),
            ("ghcr.io:443/a:1", "https://ghcr.io/v2/a/"),
            ("[::1]:5000/a:1", "https://[::1]:5000/v2/a/"),
            ("[::1]/a:1", "https://[::1]/v2/a/"),
        ] {
            let repository = Repository::of(&reference.parse().unwrap());
            assert_eq!(repository.address(Transport::Https).unwrap().as_str(), expected, "{reference}");
        }
    }
}
