//! Credentials: who we say we are to a registry.
//!
//! In: a `config.json` as docker writes it, which is what Secrets of type `kubernetes.io/dockerconfigjson` hold. Out: the
//! credentials for one registry. Never: those of another one; a credential in an error or in a `Debug`.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use serde::Deserialize;

use super::{Error, place};
use crate::model::Secret;

/// The largest file of credentials: a Secret has at most 1 MiB.
const FILE_BYTES_MAX: usize = 1 << 20;

/// Who we say we are to one registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// A name and a password, or a token that stands for one.
    Basic {
        /// The user's name.
        username: String,
        /// The password.
        password: Secret,
    },
    /// A token that is exchanged for others (`identitytoken`), by OAuth 2's refresh.
    Identity(Secret),
}

#[derive(Deserialize)]
struct DockerConfig {
    #[serde(default)]
    auths: BTreeMap<String, Auth>,
}

#[derive(Default, Deserialize)]
struct Auth {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
}

impl Credentials {
    /// Those that a `config.json` has for `registry` (host, and port if there is one); `None` if it has none.
    ///
    /// # Errors
    /// The file is not of that form, or the entry of this registry is not.
    pub fn from_docker_config(json: &[u8], registry: &str) -> Result<Option<Credentials>, Error> {
        if json.len() > FILE_BYTES_MAX {
            return Err(Error::Credentials(format!("they have more than {FILE_BYTES_MAX} bytes")));
        }
        // The parser's message could show what stands there.
        let config: DockerConfig = serde_json::from_slice(json).map_err(|error| {
            let place = format!("line {}, column {}", error.line(), error.column());
            Error::Credentials(format!("they are not of the form {{\"auths\": {{\"HOST\": …}}}} at {place}"))
        })?;
        let DockerConfig { auths } = config;
        let found = auths.into_iter().find(|(key, _)| is_for(key, registry));
        found.map_or(Ok(None), |(_, auth)| auth.read(registry))
    }

    /// For a header `Authorization`; a token for exchange is not shown to whoever asks for a password.
    pub(super) fn basic(&self) -> Option<HeaderValue> {
        let Credentials::Basic { username, password } = self else { return None };
        let pair = STANDARD.encode(format!("{username}:{}", password.reveal()));
        let mut value = HeaderValue::try_from(format!("Basic {pair}")).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

impl Auth {
    fn read(self, registry: &str) -> Result<Option<Credentials>, Error> {
        let Auth { auth, username, password, identitytoken } = self;
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        if let Some(token) = given(identitytoken) {
            return Ok(Some(Credentials::Identity(Secret::new(token))));
        }
        let refuse = |why: &str| Error::Credentials(format!("those for {registry} {why}"));
        if let (Some(username), Some(password)) = (given(username), given(password)) {
            return Ok(Some(Credentials::Basic { username, password: Secret::new(password) }));
        }
        let Some(auth) = given(auth) else { return Ok(None) };
        let pair = STANDARD.decode(auth.trim()).map_err(|_| refuse("have an auth that is not base64"))?;
        let pair = String::from_utf8(pair).map_err(|_| refuse("have an auth that is not text"))?;
        let (username, password) =
            pair.split_once(':').ok_or_else(|| refuse("have an auth without a colon"))?;
        let password = Secret::new(password.trim_end_matches('\0'));
        Ok(Some(Credentials::Basic { username: username.to_owned(), password }))
    }
}

/// Whether an entry is for a registry: its host and port, exactly. Old files have URLs in place of hosts.
fn is_for(key: &str, registry: &str) -> bool {
    let bare = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    let is_url = bare.len() != key.len();
    let host = match bare.split_once('/') {
        None | Some((_, "")) => bare.trim_end_matches('/'),
        Some((host, "v1/" | "v2/" | "v1" | "v2")) if is_url => host,
        Some(_) => return false,
    };
    host == registry || (place::is_hub(registry) && place::is_hub(host))
}

/// What is said of credentials: that there are some.
impl fmt::Display for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Credentials::Basic { username, .. } => write!(f, "as {username}"),
            Credentials::Identity(_) => f.write_str("with an identity token"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(json: &str, registry: &str) -> Result<Option<Credentials>, String> {
        Credentials::from_docker_config(json.as_bytes(), registry).map_err(|error| error.to_string())
    }

    fn basic(username: &str, password: &str) -> Result<Option<Credentials>, String> {
        Ok(Some(Credentials::Basic { username: username.into(), password: Secret::new(password) }))
    }

    #[test]
    fn credentials_are_those_of_exactly_that_host() {
        let json = r#"{"auths": {
            "ghcr.io": {"username": "a", "password": "b", "auth": "ignored", "email": "x@y"},
            "localhost:5000": {"auth": "YzpkOmU="},
            "https://index.docker.io/v1/": {"auth": "aHViOnB3"},
            "id.example.com": {"auth": "PDp4", "identitytoken": "t"},
            "empty.example.com": {}
        }, "credsStore": "desktop"}"#;
        assert_eq!(of(json, "ghcr.io"), basic("a", "b"));
        assert_eq!(of(json, "localhost:5000"), basic("c", "d:e"));
        for hub in ["docker.io", "index.docker.io", "registry-1.docker.io", "docker.io:443"] {
            assert_eq!(of(json, hub), basic("hub", "pw"));
        }
        assert_eq!(of(json, "id.example.com"), Ok(Some(Credentials::Identity(Secret::new("t")))));
        for registry in ["localhost", "localhost:5001", "x.ghcr.io", "ghcr.io.evil.org", "empty.example.com"]
        {
            assert_eq!(of(json, registry), Ok(None), "{registry}");
        }
        assert_eq!(of(r#"{"auths": {"ghcr.io/acme": {"auth": "YTpi"}}}"#, "ghcr.io"), Ok(None));
    }

    #[test]
    fn what_cannot_be_read_is_said_without_what_it_holds() {
        for (json, why) in [
            ("s3cret", "they are not of the form {\"auths\": {\"HOST\": …}} at line 1, column 1"),
            (r#"{"auths": {"h.x": {"auth": "s3cret!"}}}"#, "those for h.x have an auth that is not base64"),
            (r#"{"auths": {"h.x": {"auth": "czNjcmV0"}}}"#, "those for h.x have an auth without a colon"),
        ] {
            let said = of(json, "h.x").unwrap_err();
            assert_eq!(said, format!("the registries' credentials cannot be read: {why}"));
        }
        let shown = format!("{:?}", of(r#"{"auths": {"h.x": {"auth": "YTpzM2NyZXQ="}}}"#, "h.x"));
        assert!(shown.contains("***") && !shown.contains("s3cret"), "{shown}");
    }
}
