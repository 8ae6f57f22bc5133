//! Keys: what one server asks of us, kept in files, and read again when they change.
//!
//! In: the operator's [`Access`]. Out: connections made with its TLS settings, and requests with its credentials.
//! Never: a secret in an error, a log or a `Debug`; a file read for every request.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use bytes::Bytes;
use http::Request;
use http::header::{AUTHORIZATION, HeaderValue};
use rustls::pki_types::ServerName;
use tokio::io::AsyncReadExt;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::tls::{Material, Unusable};
use super::{Client, Error, Inner, connections, tls};
use crate::model::{Access, Credentials, Tls};

/// Files are looked at again when this old: a token that was rotated is in use within it.
const FRESH: Duration = Duration::from_secs(1);

/// The largest file: a bundle of every root there is has a fifth of it.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// One server's access, and what its files held last.
pub(super) struct Keys {
    access: Access,
    opened: Mutex<Option<Arc<Opened>>>,
}

/// What the files held, ready for use.
pub(super) struct Opened {
    at: Instant,
    material: Material,
    inner: Inner,
    authorization: Option<HeaderValue>,
}

impl Keys {
    pub(super) fn new(access: Access) -> Keys {
        Keys { access, opened: Mutex::new(None) }
    }

    /// What to send a request with, now. Connections stay while the files they were made with do.
    pub(super) async fn open(&self, client: &Client) -> Result<Arc<Opened>, Error> {
        let mut opened = self.opened.lock().await;
        if let Some(fresh) = opened.as_ref().filter(|opened| opened.at.elapsed() < FRESH) {
            return Ok(fresh.clone());
        }
        let material = read_material(self.access.tls.as_ref()).await?;
        let authorization = read_authorization(self.access.credentials.as_ref()).await?;
        let inner = match (opened.take(), &self.access.tls) {
            (Some(before), _) if before.material == material => before.inner.clone(),
            (_, Some(tls)) => special(client, tls, &material)?,
            (_, None) => client.inner.clone(),
        };
        let now = Arc::new(Opened { at: Instant::now(), material, inner, authorization });
        *opened = Some(now.clone());
        Ok(now)
    }
}

impl Opened {
    pub(super) fn connections(&self) -> &Inner {
        &self.inner
    }

    /// Adds our credentials.
    pub(super) fn sign(&self, request: &mut Request<Bytes>) {
        if let Some(authorization) = &self.authorization {
            request.headers_mut().insert(AUTHORIZATION, authorization.clone());
        }
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("access", &self.access).finish_non_exhaustive()
    }
}

fn special(client: &Client, settings: &Tls, material: &Material) -> Result<Inner, Error> {
    let config = tls::special(material, settings.verify).map_err(|error| refused(settings, error))?;
    let name = settings.server_name.clone().map(ServerName::try_from).transpose();
    let name =
        name.map_err(|_| Error::Setup(rustls::Error::General("serverName is not a name".to_owned())))?;
    Ok(connections(&client.config, config, name))
}

/// Names the file.
fn refused(settings: &Tls, error: Unusable) -> Error {
    let identity = settings.identity.as_ref();
    let (path, why) = match error {
        Unusable::Setup(error) => return Error::Setup(error),
        Unusable::Roots(why) => (settings.ca_file.as_ref(), why),
        Unusable::Certificate(why) => (identity.map(|identity| &identity.cert_file), why),
        Unusable::Key(why) => (identity.map(|identity| &identity.key_file), why),
    };
    Error::File { path: path.cloned().unwrap_or_default(), why }
}

async fn read_material(settings: Option<&Tls>) -> Result<Material, Error> {
    let Some(Tls { ca_file, identity, .. }) = settings else { return Ok(Material::default()) };
    let mut material = Material::default();
    if let Some(file) = ca_file {
        material.roots = Some(read(file).await?);
    }
    if let Some(identity) = identity {
        material.identity = Some((read(&identity.cert_file).await?, read(&identity.key_file).await?));
    }
    Ok(material)
}

async fn read_authorization(credentials: Option<&Credentials>) -> Result<Option<HeaderValue>, Error> {
    let Some(credentials) = credentials else { return Ok(None) };
    let (file, text) = match credentials {
        Credentials::Bearer { token_file } => {
            (token_file, format!("Bearer {}", read_line(token_file).await?))
        }
        Credentials::Basic { username, password_file } => {
            let pair = format!("{username}:{}", read_line(password_file).await?);
            (password_file, format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair)))
        }
    };
    let mut value = HeaderValue::try_from(text)
        .map_err(|_| unusable(file, "holds what no header may: write one line of plain characters"))?;
    value.set_sensitive(true);
    Ok(Some(value))
}

/// A secret is the file's content without the line's end that editors add.
async fn read_line(file: &Path) -> Result<String, Error> {
    let text = String::from_utf8(read(file).await?).map_err(|_| unusable(file, "is not text"))?;
    match text.trim() {
        "" => Err(unusable(file, "is empty")),
        line => Ok(line.to_owned()),
    }
}

async fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let read = async {
        let mut bytes = Vec::new();
        let file = tokio::fs::File::open(path).await?;
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).await?;
        std::io::Result::Ok(bytes)
    };
    match read.await {
        Ok(bytes) if bytes.len() as u64 > FILE_BYTES_MAX => Err(unusable(path, "is larger than 1 MiB")),
        Ok(bytes) => Ok(bytes),
        Err(error) => Err(unusable(path, error.to_string())),
    }
}

fn unusable(path: &Path, why: impl Into<String>) -> Error {
    Error::File { path: PathBuf::from(path), why: why.into() }
}
