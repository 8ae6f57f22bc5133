//! Login: who a resource says it is to its receiver, and whom it trusts, with the Secrets that hold it.
//!
//! Never: a Secret of another namespace; a value of one in a message.

use url::Url;

use super::Findings;
use crate::document::Path;
use crate::model::{BasicAuth, Login, ReceiverIdentity, ReceiverTls, Secret, TenantId, Verify};
use crate::tenancy::Surroundings;
use crate::tenancy::names::{is_dns_subdomain, is_secret_key};
use crate::tenancy::policy::Transport;
use crate::tenancy::resource::{BasicAuth as BasicAuthBlock, SecretKey, TargetTls};

/// What is wrong is among the findings.
pub(super) struct Reported;

/// Where the values are.
pub(super) struct Secrets<'a> {
    pub(super) id: &'a TenantId,
    pub(super) around: &'a dyn Surroundings,
    pub(super) findings: &'a mut Findings,
}

/// What a value must be.
#[derive(Clone, Copy)]
enum Form {
    /// A password or a token, which goes into a header.
    Line,
    /// Certificates.
    Certificates,
    /// A private key.
    Key,
}

impl Form {
    /// What is wrong with a value, as the end of a sentence that begins with the Secret. Whether a certificate is one, and
    /// belongs to its key, is seen when it is used.
    fn fault(self, value: &str) -> Option<(&'static str, &'static str)> {
        // Nobody looked: there is no installation at hand.
        if value.is_empty() {
            return None;
        }
        match self {
            Form::Line if value.chars().any(char::is_control) => {
                Some(("has control characters, which HTTP cannot carry", "put one line of text into it"))
            }
            Form::Certificates if !value.contains("-----BEGIN CERTIFICATE-----") => Some((
                "holds no certificate in PEM form",
                "put -----BEGIN CERTIFICATE----- and what follows into it",
            )),
            Form::Key if !value.contains("PRIVATE KEY-----") => Some((
                "holds no private key in PEM form",
                "put -----BEGIN PRIVATE KEY----- and what follows into it",
            )),
            Form::Line | Form::Certificates | Form::Key => None,
        }
    }
}

impl Secrets<'_> {
    /// User name and password, or a token.
    pub(super) fn login(
        &mut self,
        basic: Option<&BasicAuthBlock>,
        token: Option<&SecretKey>,
        place: &Path,
    ) -> Result<Option<Login>, Reported> {
        match (basic, token) {
            (None, None) => Ok(None),
            (Some(auth), None) => {
                self.basic(auth, &place.key("basicAuth")).map(|auth| Some(Login::Basic(auth)))
            }
            (None, Some(key)) => {
                let token = self.value(key, Form::Line, &place.key("bearerTokenSecret"))?;
                Ok(Some(Login::Bearer(token)))
            }
            (Some(_), Some(_)) => {
                let cure = "keep one of the two: a request has one Authorization header";
                self.findings.refuse(place.key("bearerTokenSecret"), "stands beside basicAuth", cure);
                Err(Reported)
            }
        }
    }

    fn basic(&mut self, block: &BasicAuthBlock, place: &Path) -> Result<BasicAuth, Reported> {
        let BasicAuthBlock { username, password_secret } = block;
        let sound = !username.contains(':') && !username.chars().any(char::is_control);
        if !sound {
            let message =
                format!("{username:?} cannot be sent: a user name has no colon and no control character");
            let cure = "write the user name alone; the password stands in the Secret";
            self.findings.refuse(place.key("username"), message, cure);
        }
        let password = self.value(password_secret, Form::Line, &place.key("passwordSecret"))?;
        if sound { Ok(BasicAuth { username: username.clone(), password }) } else { Err(Reported) }
    }

    /// TLS settings of an address, if it is one, and what the operator says of transport.
    pub(super) fn tls(
        &mut self,
        block: &TargetTls,
        url: Option<&Url>,
        transport: Transport,
        place: &Path,
    ) -> Result<ReceiverTls, Reported> {
        let TargetTls { ca_secret, cert_secret, key_secret, server_name, insecure_skip_verify } = block;
        if url.is_some_and(|url| url.scheme() != "https") {
            self.findings.refuse(place.clone(), "means nothing beside an http:// address", "write https://…");
        }
        let verify = match insecure_skip_verify {
            Some(true) => Verify::Nothing,
            None | Some(false) => Verify::Certificate,
        };
        if verify == Verify::Nothing {
            self.unverified(ca_secret.as_ref(), transport, &place.key("insecureSkipVerify"));
        }
        if server_name.as_deref().is_some_and(|name| name.is_empty() || name.contains([':', '/', ' '])) {
            let cure = "write the name in the receiver's certificate, without scheme and port";
            self.findings.refuse(place.key("serverName"), "is not a host's name", cure);
        }
        let mut value = |key: &Option<SecretKey>, form, field| match key {
            None => Ok(None),
            Some(key) => self.value(key, form, &place.key(field)).map(Some),
        };
        let ca = value(ca_secret, Form::Certificates, "caSecret");
        let certificate = value(cert_secret, Form::Certificates, "certSecret");
        let key = value(key_secret, Form::Key, "keySecret");
        let identity = match (certificate?, key?) {
            (Some(certificate), Some(key)) => Some(ReceiverIdentity { certificate, key }),
            (None, None) => None,
            (Some(_), None) => {
                self.findings.refuse(
                    place.key("keySecret"),
                    "is missing beside certSecret",
                    "write keySecret: {name, key}",
                );
                None
            }
            (None, Some(_)) => {
                self.findings.refuse(
                    place.key("certSecret"),
                    "is missing beside keySecret",
                    "write certSecret: {name, key}",
                );
                None
            }
        };
        Ok(ReceiverTls { ca: ca?, identity, server_name: server_name.clone(), verify })
    }

    /// Whom a tenant sends its own series to is its own affair, as in Prometheus; but what the operator gives out is not to
    /// travel in reach of others where https is required.
    fn unverified(&mut self, ca: Option<&SecretKey>, transport: Transport, place: &Path) {
        let (message, cure) = match (transport, ca) {
            (Transport::Https, _) => {
                let message = "lets anyone answer, and the operator wants https (targets.requireHttps)";
                return self.findings.forbid(place.clone(), message, "remove it, and write caSecret");
            }
            (Transport::Any, Some(_)) => ("makes caSecret mean nothing", "remove one of the two"),
            (Transport::Any, None) => {
                ("lets anyone answer in the receiver's place", "write caSecret, unless this is meant")
            }
        };
        self.findings.warn(place.clone(), message, cure);
    }

    fn value(&mut self, key: &SecretKey, form: Form, place: &Path) -> Result<Secret, Reported> {
        let mut sound = true;
        let mut refuse = |path: Path, message: String, cure: &str| {
            sound = false;
            self.findings.refuse(path, message, cure);
        };
        if !is_dns_subdomain(&key.name) {
            let cure = "write the Secret's name in lower case, as kubectl get secrets shows it";
            refuse(place.key("name"), format!("{:?} is not a Secret's name", key.name), cure);
        }
        if !is_secret_key(&key.key) {
            let message = format!("{:?} is not a Secret's key", key.key);
            refuse(place.key("key"), message, "use letters, digits, -, _ and .");
        }
        if !sound {
            return Err(Reported);
        }
        let named = format!("{}/{}", key.name, key.key);
        let (message, cure) = match self.around.secret(&self.id.namespace, key) {
            Err(error) => (error.message, error.cure),
            Ok(value) => match form.fault(value.reveal()) {
                None => return Ok(value),
                Some((message, cure)) => (message.to_owned(), cure.to_owned()),
            },
        };
        self.findings.absent(place.clone(), format!("{named} {message}"), cure);
        Err(Reported)
    }
}
