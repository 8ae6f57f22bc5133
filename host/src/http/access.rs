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
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use tokio::io::AsyncReadExt;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::Error;
use super::pool::{Pool, Pools};
use super::route::Route;
use super::tls::{Material, Unusable};
use crate::model::{Access, Credentials, Header, HeaderValue as Told, Tls};

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
    pool: Arc<Pool>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Keys {
    pub(super) fn new(access: Access) -> Keys {
        Keys { access, opened: Mutex::new(None) }
    }

    /// What to send a request with, now. Connections stay while the files they were made with do.
    pub(super) async fn open(&self, pools: &Pools, route: Route) -> Result<Arc<Opened>, Error> {
        let mut opened = self.opened.lock().await;
        if let Some(fresh) = opened.as_ref().filter(|opened| opened.at.elapsed() < FRESH) {
            return Ok(fresh.clone());
        }
        let material = read_material(self.access.tls.as_ref()).await?;
        let headers = read_headers(&self.access).await?;
        let pool = match opened.take() {
            Some(before) if before.material == material => before.pool.clone(),
            _ => Arc::new(special(pools, &self.access, &material, route)?),
        };
        let now = Arc::new(Opened { at: Instant::now(), material, pool, headers });
        *opened = Some(now.clone());
        Ok(now)
    }
}

impl Opened {
    pub(super) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Adds our credentials, and what else the operator wants said.
    pub(super) fn sign(&self, request: &mut Request<Bytes>) {
        for (name, value) in &self.headers {
            request.headers_mut().insert(name, value.clone());
        }
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("access", &self.access).finish_non_exhaustive()
    }
}

fn special(pools: &Pools, access: &Access, material: &Material, route: Route) -> Result<Pool, Error> {
    let usual = Tls::default();
    let tls = access.tls.as_ref().unwrap_or(&usual);
    pools
        .special(material, tls.verify, tls.server_name.as_deref(), route, access.proxy.as_ref())
        .map_err(|error| refused(tls, error))
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

async fn read_headers(access: &Access) -> Result<Vec<(HeaderName, HeaderValue)>, Error> {
    let mut headers = Vec::with_capacity(access.headers.len() + 1);
    for Header { name, value } in &access.headers {
        let named = HeaderName::try_from(name.as_str()).map_err(|_| Error::Header { name: name.clone() })?;
        let mut value = match value {
            Told::File(file) => header(file, &read_line(file).await?)?,
            Told::Text(text) => {
                HeaderValue::try_from(text.reveal()).map_err(|_| Error::Header { name: name.clone() })?
            }
        };
        value.set_sensitive(true);
        headers.push((named, value));
    }
    let authorization = read_authorization(access.credentials.as_ref()).await?;
    headers.extend(authorization.map(|value| (AUTHORIZATION, value)));
    Ok(headers)
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
    let mut value = header(file, &text)?;
    value.set_sensitive(true);
    Ok(Some(value))
}

fn header(file: &Path, text: &str) -> Result<HeaderValue, Error> {
    HeaderValue::try_from(text)
        .map_err(|_| unusable(file, "holds what no header may: write one line of plain characters"))
}

/// A secret is the file's content without the line's end that editors add.
pub(super) async fn read_line(file: &Path) -> Result<String, Error> {
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
