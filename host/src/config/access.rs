//! Access: TLS settings and credentials of sources, as they are written.

use std::collections::BTreeMap;
use std::path::{Path as FilePath, PathBuf};

use http::{HeaderName, HeaderValue as HttpValue};
use serde::Deserialize;

use crate::document::{Path, Problem};
use crate::model::{
    Access, Compression, Credentials, Header, HeaderValue, Identity, Proxy, ProxyLogin, RESERVED_HEADERS,
    Secret, Tls, Verify,
};

/// The port of a proxy that names none, as curl has it.
const PROXY_PORT: u16 = 1080;

/// What stands beside a source's other fields.
#[derive(Debug, Clone, Default)]
pub(super) struct Written {
    pub(super) tls: Option<TlsFile>,
    pub(super) bearer_token_file: Option<PathBuf>,
    pub(super) basic_auth: Option<BasicAuthFile>,
    pub(super) headers: BTreeMap<String, HeaderFile>,
    pub(super) proxy: Option<ProxyFile>,
}

/// A header's value: a text, or where it is.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum HeaderFile {
    Text(String),
    File(FromFile),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct FromFile {
    file: PathBuf,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ProxyFile {
    pub(super) url: String,
    pub(super) username: Option<String>,
    pub(super) password_file: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum CompressionFile {
    #[default]
    None,
    Gzip,
}

impl From<CompressionFile> for Compression {
    fn from(file: CompressionFile) -> Compression {
        match file {
            CompressionFile::None => Compression::None,
            CompressionFile::Gzip => Compression::Gzip,
        }
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct TlsFile {
    pub(super) ca_file: Option<PathBuf>,
    pub(super) cert_file: Option<PathBuf>,
    pub(super) key_file: Option<PathBuf>,
    pub(super) server_name: Option<String>,
    #[serde(default)]
    pub(super) insecure_skip_verify: bool,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct BasicAuthFile {
    pub(super) username: String,
    pub(super) password_file: PathBuf,
}

/// Checks it; files are relative to `folder`, and read when they are used.
pub(super) fn access(
    written: Written,
    folder: &FilePath,
    place: &Path,
    found: &mut Vec<Problem>,
) -> Option<Access> {
    let before = found.len();
    let Written { tls, bearer_token_file, basic_auth, headers, proxy } = written;
    let credentials = match (bearer_token_file, basic_auth) {
        (Some(_), Some(_)) => {
            let cure = "keep one of the two: a request has one Authorization header";
            found.push(Problem::error(place.key("basicAuth"), "stands beside bearerTokenFile", cure));
            None
        }
        (Some(file), None) => Some(Credentials::Bearer { token_file: folder.join(file) }),
        (None, Some(BasicAuthFile { username, password_file })) => {
            if username.contains(':') {
                let place = place.key("basicAuth").key("username");
                let cure = "remove it; the password is in passwordFile";
                found.push(Problem::error(place, "holds a colon, which ends a user's name", cure));
            }
            Some(Credentials::Basic { username, password_file: folder.join(password_file) })
        }
        (None, None) => None,
    };
    let tls = tls.map(|written| tls_of(written, folder, &place.key("tls"), found));
    let headers = headers_of(headers, credentials.as_ref(), folder, &place.key("headers"), found);
    let proxy = proxy.and_then(|written| proxy_of(written, folder, &place.key("proxy"), found));
    (found.len() == before || found[before..].iter().all(|problem| !problem.is_error())).then_some(Access {
        tls,
        credentials,
        headers,
        proxy,
    })
}

fn tls_of(written: TlsFile, folder: &FilePath, place: &Path, found: &mut Vec<Problem>) -> Tls {
    let TlsFile { ca_file, cert_file, key_file, server_name, insecure_skip_verify } = written;
    let identity = match (cert_file, key_file) {
        (Some(cert), Some(key)) => {
            Some(Identity { cert_file: folder.join(cert), key_file: folder.join(key) })
        }
        (None, None) => None,
        (Some(_), None) => {
            found.push(Problem::error(
                place.key("keyFile"),
                "is missing beside certFile",
                "write keyFile: …",
            ));
            None
        }
        (None, Some(_)) => {
            found.push(Problem::error(
                place.key("certFile"),
                "is missing beside keyFile",
                "write certFile: …",
            ));
            None
        }
    };
    if server_name.as_deref().is_some_and(|name| name.is_empty() || name.contains([':', '/', ' '])) {
        let cure = "write the name in the server's certificate, without scheme and port";
        found.push(Problem::error(place.key("serverName"), "is not a host's name", cure));
    }
    let verify = if insecure_skip_verify { Verify::Nothing } else { Verify::Certificate };
    if verify == Verify::Nothing {
        let (message, cure) = match &ca_file {
            Some(_) => ("makes caFile mean nothing", "remove one of the two"),
            None => ("lets anyone answer in the server's place", "write caFile, unless this is meant"),
        };
        found.push(Problem::warning(place.key("insecureSkipVerify"), message, cure));
    }
    Tls { ca_file: ca_file.map(|file| folder.join(file)), identity, server_name, verify }
}

/// Names in lower case, sorted.
fn headers_of(
    written: BTreeMap<String, HeaderFile>,
    credentials: Option<&Credentials>,
    folder: &FilePath,
    place: &Path,
    found: &mut Vec<Problem>,
) -> Vec<Header> {
    let mut headers: Vec<Header> = Vec::with_capacity(written.len());
    for (name, value) in written {
        let place = place.key(&name);
        let mut refuse = |message: &str, cure: &str| found.push(Problem::error(place.clone(), message, cure));
        let Ok(name) = HeaderName::try_from(name) else {
            refuse("is not a header's name", "use letters, digits and -");
            continue;
        };
        let name = name.as_str().to_owned();
        if RESERVED_HEADERS.contains(&name.as_str()) {
            refuse("the protocol sets this header", "remove it");
        } else if name == "authorization" && credentials.is_some() {
            refuse("bearerTokenFile or basicAuth sets this header", "remove one of the two");
        } else if headers.iter().any(|known| known.name == name) {
            refuse("the header is given twice: upper and lower case are the same", "keep one");
        }
        let value = match value {
            HeaderFile::File(FromFile { file }) => HeaderValue::File(folder.join(file)),
            HeaderFile::Text(text) => {
                if HttpValue::from_str(&text).is_err() || !text.is_ascii() {
                    refuse("the value has characters that no header may have", "use printable ASCII");
                }
                HeaderValue::Text(Secret::new(text))
            }
        };
        headers.push(Header { name, value });
    }
    headers.sort_by(|a, b| a.name.cmp(&b.name));
    headers
}

/// A proxy, and who we are to it.
pub(super) fn proxy_of(
    written: ProxyFile,
    folder: &FilePath,
    place: &Path,
    found: &mut Vec<Problem>,
) -> Option<Proxy> {
    let ProxyFile { url, username, password_file } = written;
    let mut refuse = |key: &str, message: String, cure: &str| {
        found.push(Problem::error(place.key(key), message, cure));
        None
    };
    let example = "write it as http://host:port";
    let parsed = match url::Url::parse(&url) {
        Ok(url) => url,
        Err(error) => return refuse("url", format!("{url:?} is not an address: {error}"), example),
    };
    let login = match (username, password_file) {
        (None, None) => None,
        (Some(name), _) if name.contains(':') => {
            return refuse("username", "holds a colon, which ends a user's name".to_owned(), "remove it");
        }
        (Some(username), Some(file)) => Some(ProxyLogin { username, password_file: folder.join(file) }),
        (Some(_), None) => {
            return refuse("passwordFile", "is missing beside username".to_owned(), "write passwordFile: …");
        }
        (None, Some(_)) => {
            return refuse("username", "is missing beside passwordFile".to_owned(), "write username: …");
        }
    };
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return refuse("url", "holds credentials".to_owned(), "write username and passwordFile");
    }
    if parsed.scheme() != "http" {
        let cure = "write http://…: what is https goes through it encrypted all the same";
        return refuse("url", format!("{:?} is not spoken to a proxy", parsed.scheme()), cure);
    }
    if !matches!(parsed.path(), "" | "/") || parsed.query().is_some() || parsed.fragment().is_some() {
        return refuse("url", format!("{url:?} has a path"), example);
    }
    let host = parsed.host_str()?.to_owned();
    // A URL's own default port is left out of it.
    let port = match parsed.port() {
        Some(port) => port,
        None if url.trim_end_matches('/').ends_with(":80") => 80,
        None => PROXY_PORT,
    };
    Some(Proxy { host, port, login })
}
