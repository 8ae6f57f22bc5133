//! Present: whether the files that are to tell who we are to a source are there, and say something.
//!
//! In: an access as it was written. Out: a problem for every file that does not. Never: what is in one of them, in words or in memory for longer
//! than the look.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path as FilePath;

use crate::document::{Path, Problem};
use crate::model::{Access, Credentials, HeaderValue, Identity};

/// What is known of the machine that the files are on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Files {
    /// It is this one: without them nothing can be had of the source.
    Here,
    /// They may be mounted later, or elsewhere.
    Expected,
    /// It is another one.
    Elsewhere,
}

/// Nothing that is looked for is longer.
const LOOKED_AT_MAX: u64 = 64 << 10;

pub(super) fn present(access: &Access, files: Files, place: &Path, found: &mut Vec<Problem>) {
    if files == Files::Elsewhere {
        return;
    }
    for (file, place) in named(access, place) {
        if let Err((message, cure)) = looked_at(file) {
            let problem = if files == Files::Here { Problem::error } else { Problem::warning };
            found.push(problem(place, message, cure));
        }
    }
}

/// Every file, and where it is named.
fn named<'a>(access: &'a Access, place: &Path) -> Vec<(&'a FilePath, Path)> {
    let credentials = access.credentials.as_ref().map(|credentials| match credentials {
        Credentials::Bearer { token_file } => (&**token_file, place.key("bearerTokenFile")),
        Credentials::Basic { password_file, .. } => {
            (&**password_file, place.key("basicAuth").key("passwordFile"))
        }
    });
    let headers = access.headers.iter().filter_map(|header| match &header.value {
        HeaderValue::File(file) => Some((&**file, place.key("headers").key(&header.name).key("file"))),
        HeaderValue::Text(_) => None,
    });
    let tls = access.tls.iter().flat_map(|tls| {
        let place = place.key("tls");
        let identity = tls.identity.as_ref().map(|Identity { cert_file, key_file }| {
            [(&**cert_file, place.key("certFile")), (&**key_file, place.key("keyFile"))]
        });
        let authority = tls.ca_file.as_ref().map(|file| (&**file, place.key("caFile")));
        authority.into_iter().chain(identity.into_iter().flatten())
    });
    credentials.into_iter().chain(headers).chain(tls).collect()
}

/// What is wrong with it, and what to do.
fn looked_at(file: &FilePath) -> Result<(), (String, &'static str)> {
    let read = || {
        let mut bytes = Vec::new();
        File::open(file)?.take(LOOKED_AT_MAX).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    match read() {
        Ok(bytes) if bytes.trim_ascii().is_empty() => {
            Err((format!("the file {} is empty", file.display()), "put what it is to hold into it"))
        }
        Ok(_) => Ok(()),
        Err(error) if io::Error::kind(&error) == io::ErrorKind::NotFound => Err((
            format!("there is no file {}", file.display()),
            "create it, or correct the path, which is relative to this file",
        )),
        Err(error) => Err((
            format!("the file {} cannot be read: {error}", file.display()),
            "let Sluice's user read it, or correct the path",
        )),
    }
}
