//! Access: TLS settings and credentials of sources, as they are written.

use std::path::{Path as FilePath, PathBuf};

use serde::Deserialize;

use crate::document::{Path, Problem};
use crate::model::{Access, Credentials, Identity, Tls, Verify};

/// What stands beside a source's other fields.
#[derive(Debug, Clone, Default)]
pub(super) struct Written {
    pub(super) tls: Option<TlsFile>,
    pub(super) bearer_token_file: Option<PathBuf>,
    pub(super) basic_auth: Option<BasicAuthFile>,
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
    let Written { tls, bearer_token_file, basic_auth } = written;
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
    (found.len() == before || found[before..].iter().all(|problem| !problem.is_error()))
        .then_some(Access { tls, credentials })
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
