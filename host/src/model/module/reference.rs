//! References: registry, repository, and tag or digest, as `docker` and `oras` take them.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use super::Digest;
use crate::model::endpoint::bounded;

/// The longest name of a repository (OCI distribution specification, "Pulling manifests").
const REPOSITORY_BYTES_MAX: usize = 255;
const TAG_BYTES_MAX: usize = 128;

/// An artefact in a registry. The registry is always named, and so is the version: what a reference means depends neither
/// on where it is read nor on a default.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reference {
    registry: String,
    repository: String,
    version: Version,
}

/// Which of a repository's artefacts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Version {
    /// Whatever the registry says this name stands for.
    Tag(String),
    /// This one.
    Digest(Digest),
}

/// What is wrong with a reference, as the end of a sentence that begins with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// Of the first part nobody can say whether it is a host.
    #[error("names no registry; write it first, as in ghcr.io/acme/drop-go:1.0")]
    Registry,
    /// The part after the registry.
    #[error("has no legal repository: use a-z, 0-9 and single . _ - between them, in parts divided by /")]
    Repository,
    /// Neither a tag nor a digest.
    #[error("says not which version; add a tag, as in :1.0, or better the digest, @sha256:…")]
    Version,
    /// The part after the last colon.
    #[error("has no legal tag: use letters, digits, and . _ - after the first, at most 128")]
    Tag,
    /// The part after the `@`.
    #[error("has no legal digest: write @sha256: and 64 hexadecimal digits in lower case")]
    Digest,
}

impl Reference {
    /// The registry's host, with a port if it has one.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The name in the registry: at least one part.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// Tag or digest.
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// The digest, if it is named by one.
    pub fn digest(&self) -> Option<Digest> {
        match self.version {
            Version::Digest(digest) => Some(digest),
            Version::Tag(_) => None,
        }
    }

    /// What one reference is told from another by where they are kept: the text, or the start of a long one and a hash.
    pub fn key(&self) -> String {
        bounded(self.to_string())
    }

    /// The same repository, by digest.
    pub fn at(&self, digest: Digest) -> Reference {
        Reference { version: Version::Digest(digest), ..self.clone() }
    }

    /// The same repository, by another tag, which must be legal.
    pub fn tagged(&self, tag: impl Into<String>) -> Reference {
        Reference { version: Version::Tag(tag.into()), ..self.clone() }
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    /// Of a tag and a digest the digest counts.
    fn from_str(text: &str) -> Result<Reference, ReferenceError> {
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest.parse().map_err(|_| ReferenceError::Digest)?)),
            None => (text, None),
        };
        let (registry, rest) = name.split_once('/').ok_or(ReferenceError::Registry)?;
        if !is_registry(registry) {
            return Err(ReferenceError::Registry);
        }
        let (repository, tag) = match rest.split_once(':') {
            Some((repository, tag)) => (repository, Some(tag)),
            None => (rest, None),
        };
        if repository.len() > REPOSITORY_BYTES_MAX || !repository.split('/').all(is_part) {
            return Err(ReferenceError::Repository);
        }
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(ReferenceError::Tag);
        }
        let version = match (digest, tag) {
            (Some(digest), _) => Version::Digest(digest),
            (None, Some(tag)) => Version::Tag(tag.to_owned()),
            (None, None) => return Err(ReferenceError::Version),
        };
        Ok(Reference { registry: registry.to_owned(), repository: repository.to_owned(), version })
    }
}

/// As docker tells a registry from a part of a name: it has a dot or a port, or it is `localhost`.
fn is_registry(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    };
    let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let is_address = inner.is_some_and(|inner| inner.parse::<Ipv6Addr>().is_ok());
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-');
    let is_name = !host.is_empty() && host.bytes().all(legal) && !host.starts_with(['.', '-']);
    let is_port = |port: &str| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok();
    (is_name || is_address)
        && port.is_none_or(is_port)
        && (host == "localhost" || host.contains('.') || is_address || port.is_some())
}

fn is_part(part: &str) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ends = |byte: Option<&u8>| byte.is_some_and(is_plain);
    let bytes = part.as_bytes();
    ends(bytes.first())
        && ends(bytes.last())
        && bytes.iter().all(|byte| is_plain(byte) || matches!(byte, b'.' | b'_' | b'-'))
        && !part.contains("..")
        && !part.contains("___")
}

fn is_tag(tag: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    tag.len() <= TAG_BYTES_MAX
        && tag.bytes().next().is_some_and(is_word)
        && tag.bytes().all(|byte| is_word(byte) || matches!(byte, b'.' | b'-'))
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Reference { registry, repository, version } = self;
        match version {
            Version::Tag(tag) => write!(f, "{registry}/{repository}:{tag}"),
            Version::Digest(digest) => write!(f, "{registry}/{repository}@{digest}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn a_reference_has_a_registry_a_repository_and_a_version() {
        for (text, parts) in [
            ("ghcr.io/acme/drop-go:1.0", ("ghcr.io", "acme/drop-go", ":1.0")),
            ("localhost/a:b", ("localhost", "a", ":b")),
            ("localhost:5000/a/b/c:latest", ("localhost:5000", "a/b/c", ":latest")),
            ("registry:5000/a:1", ("registry:5000", "a", ":1")),
            ("[::1]:5000/a:1", ("[::1]:5000", "a", ":1")),
            (&format!("127.0.0.1:5/a@{DIGEST}"), ("127.0.0.1:5", "a", &format!("@{DIGEST}"))),
            (&format!("ghcr.io/a__b/c--d:1@{DIGEST}"), ("ghcr.io", "a__b/c--d", &format!("@{DIGEST}"))),
        ] {
            let reference: Reference = text.parse().unwrap();
            let (registry, repository, version) = parts;
            assert_eq!((reference.registry(), reference.repository()), (registry, repository));
            assert_eq!(reference.to_string(), format!("{registry}/{repository}{version}"));
        }
    }

    #[test]
    fn what_is_no_reference_says_why() {
        for (text, error) in [
            ("drop-go:1", ReferenceError::Registry),
            ("acme/drop-go:1", ReferenceError::Registry),
            ("https://ghcr.io/a:1", ReferenceError::Registry),
            ("user@ghcr.io/a:1", ReferenceError::Digest),
            ("ghcr.io:port/a:1", ReferenceError::Registry),
            ("ghcr.io:99999/a:1", ReferenceError::Registry),
            ("ghcr.io?/a:1", ReferenceError::Registry),
            ("GHCR.io/a:1", ReferenceError::Registry),
            ("[host]/a:1", ReferenceError::Registry),
            ("ghcr.io/A:1", ReferenceError::Repository),
            ("ghcr.io/a/../b:1", ReferenceError::Repository),
            ("ghcr.io//a:1", ReferenceError::Repository),
            ("ghcr.io/a%2fb:1", ReferenceError::Repository),
            ("ghcr.io/:1", ReferenceError::Repository),
            ("ghcr.io/a", ReferenceError::Version),
            ("ghcr.io/a:", ReferenceError::Tag),
            ("ghcr.io/a:1/b", ReferenceError::Tag),
            ("ghcr.io/a:.1", ReferenceError::Tag),
            ("ghcr.io/a@sha512:00", ReferenceError::Digest),
        ] {
            assert_eq!(text.parse::<Reference>(), Err(error), "{text}");
        }
    }
}
