//! Remote: a registry, as the one who types a command reaches it.

use std::env;
use std::io::{self, Read as _};
use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::{Context as _, anyhow, bail};

use super::desk::Most;
use super::progress::patiently;
use super::size;
use crate::model::{Digest, Origin, Reference, Secret};
use crate::modules::{self, Config, Credentials, Fetched, Key, Reach, Store, Transport};

/// A password is one line.
const PASSWORD_BYTES_MAX: u64 = 64 << 10;

/// What is the same for every command that speaks to a registry.
#[derive(Debug, clap::Args)]
pub(super) struct Remote {
    /// The user's name; without it, credentials are those of docker's config.json
    #[arg(long, value_name = "NAME", requires = "password_stdin")]
    username: Option<String>,
    /// Read the password from standard input
    #[arg(long, requires = "username")]
    password_stdin: bool,
    /// Speak plain HTTP; default: with a registry on this machine
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    plain_http: Option<bool>,
    #[command(flatten)]
    pub(super) most: Most,
}

impl Remote {
    /// Fetches the component that `reference` names.
    pub(super) fn pull(&self, reference: &Reference) -> anyhow::Result<Fetched> {
        self.with(reference, Vec::new(), &format!("pulling {reference}"), async |store, credentials| {
            Ok(store.fetch(&origin(reference), credentials).await?)
        })
    }

    /// Fetches the component that `reference` names, and says what there is of signatures. If there are keys, one of them must
    /// have signed it.
    pub(super) fn verify(
        &self,
        reference: &Reference,
        keys: Vec<Key>,
    ) -> anyhow::Result<(Fetched, Signature)> {
        self.with(reference, keys, &format!("pulling {reference}"), async |store, credentials| {
            let fetched =
                store.fetch(&origin(reference), credentials).await.map_err(|error| match error {
                    // There is no list of an operator's here.
                    modules::Error::Unsigned { what, why } => {
                        anyhow!("{what} is not signed as --key says: {why}")
                    }
                    error => error.into(),
                })?;
            let signature = match fetched.signed_by {
                Some(key) => Signature::Of(key),
                None if store.is_signed(reference, credentials).await? => Signature::OfSomebody,
                None => Signature::None,
            };
            Ok((fetched, signature))
        })
    }

    /// Does `work` with a store that reaches whatever it is told to, and the credentials for `reference`; `doing` is said
    /// of it if it takes a while.
    pub(super) fn with<T>(
        &self,
        reference: &Reference,
        keys: Vec<Key>,
        doing: &str,
        work: impl AsyncFnOnce(&Store, Option<&Credentials>) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let credentials = self.credentials(reference.registry())?;
        let plain = self.plain_http.unwrap_or_else(|| is_loopback(reference.registry()));
        let transport = if plain { Transport::PlainHttp } else { Transport::Https };
        let (reach, module_bytes_max) = (Reach::Anything { transport, keys }, self.most.max_module.0);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let store = {
            let _inside = runtime.enter();
            Store::new(Config { folder: None, reach, module_bytes_max }, None)?
        };
        let said = || match usize::try_from(store.received()) {
            Ok(0) | Err(_) => doing.to_owned(),
            Ok(bytes) => format!("{doing}, {} so far", size(bytes)),
        };
        patiently(said, || runtime.block_on(work(&store, credentials.as_ref())))
    }

    fn credentials(&self, registry: &str) -> anyhow::Result<Option<Credentials>> {
        let Some(username) = self.username.clone() else { return docker_credentials(registry) };
        let mut password = String::new();
        io::stdin().take(PASSWORD_BYTES_MAX).read_to_string(&mut password).context("standard input")?;
        let password = password.trim_end_matches(['\r', '\n']);
        if password.is_empty() {
            bail!("there is no password on standard input");
        }
        Ok(Some(Credentials::Basic { username, password: Secret::new(password) }))
    }
}

/// Who has signed an artefact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signature {
    /// Nobody.
    None,
    /// There is a signature, and no key to check it with.
    OfSomebody,
    /// Who has this key.
    Of(Digest),
}

fn origin(reference: &Reference) -> Origin {
    Origin::Oci { reference: reference.clone(), pull_secret: None }
}

/// What `docker login` left. Helpers that keep credentials elsewhere are not asked.
fn docker_credentials(registry: &str) -> anyhow::Result<Option<Credentials>> {
    let folder = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = folder("DOCKER_CONFIG").or_else(|| Some(folder("HOME")?.join(".docker")));
    let Some(file) = folder.map(|folder| folder.join("config.json")) else { return Ok(None) };
    let json = match std::fs::read(&file) {
        Ok(json) => json,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| file.display().to_string()),
    };
    Credentials::from_docker_config(&json, registry).with_context(|| file.display().to_string())
}

/// As docker judges it.
fn is_loopback(registry: &str) -> bool {
    let host = match registry.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => host,
        _ => registry,
    };
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_on_this_machine_is_spoken_to_in_the_clear() {
        for registry in ["localhost", "localhost:5000", "127.0.0.1:5000", "127.8.9.1", "[::1]:5000", "[::1]"]
        {
            assert!(is_loopback(registry), "{registry}");
        }
        for registry in ["ghcr.io", "localhost.example.com", "10.0.0.1:5000", "[2001:db8::1]:5000"] {
            assert!(!is_loopback(registry), "{registry}");
        }
    }
}
