//! Access: what it takes to be let in by a source: TLS, and who we are. Secrets stay in files, which are named here.

use std::path::PathBuf;

use super::{Proxy, Secret};

/// How one server is spoken to. Comes from the operator's configuration only.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Access {
    /// TLS settings other than the usual ones.
    pub tls: Option<Tls>,
    /// Who we say we are.
    pub credentials: Option<Credentials>,
    /// Headers of every request.
    pub headers: Vec<Header>,
    /// What connections are made through.
    pub proxy: Option<Proxy>,
}

/// A header of every request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Header {
    /// Its name, in lower case; none that the protocol reserves.
    pub name: String,
    /// Its value.
    pub value: HeaderValue,
}

/// What a header says.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HeaderValue {
    /// As it was written, which may be a secret.
    Text(Secret),
    /// What the file holds; read again when it changes.
    File(PathBuf),
}

/// TLS settings of one server.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Tls {
    /// PEM certificates that sign the server's, in place of the system's roots.
    pub ca_file: Option<PathBuf>,
    /// Our own certificate.
    pub identity: Option<Identity>,
    /// The name the server's certificate must carry, in place of the address's host.
    pub server_name: Option<String>,
    /// Whether the certificate is checked at all.
    pub verify: Verify,
}

/// A client certificate.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// PEM: our certificate, then those between it and the root.
    pub cert_file: PathBuf,
    /// PEM: its private key.
    pub key_file: PathBuf,
}

/// Whether a server's certificate is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Verify {
    /// It must be signed by a root and carry the server's name.
    #[default]
    Certificate,
    /// Any certificate will do: encrypted, but who answers is not known.
    Nothing,
}

/// Who we say we are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Credentials {
    /// `Authorization: Bearer`, with the file's content.
    Bearer {
        /// Holds the token; read again when it changes.
        token_file: PathBuf,
    },
    /// `Authorization: Basic`.
    Basic {
        /// The user's name.
        username: String,
        /// Holds the password; read again when it changes.
        password_file: PathBuf,
    },
}

impl Access {
    /// Whether nothing but the usual is asked for.
    pub fn is_plain(&self) -> bool {
        *self == Access::default()
    }

    /// Whether a request says anything that not everybody may hear.
    pub fn tells_secrets(&self) -> bool {
        self.credentials.is_some() || !self.headers.is_empty()
    }
}
