//! Registry: a fake one that obeys the OCI distribution specification, and can be told not to.
//!
//! In: pushes, and what a test puts into it. Out: pulls, and a record of what was asked and by whom.
//! Never: content under another digest than its own, unless a test says so; a manifest whose content is missing.

mod referrers;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use sha2::Digest as _;

pub use referrers::Referrers;

use crate::servers::Local;

/// The user whom a registry with a lock knows, and what opens it.
pub const USER: (&str, &str) = ("robot", "s3cret");
/// What stands for that user in place of a password.
pub const IDENTITY_TOKEN: &str = "identity-of-robot";

const SERVICE: &str = "fake-registry";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Who may come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Lock {
    /// Everybody.
    #[default]
    Open,
    /// Who sends the password.
    Basic,
    /// Who sends a token, which the password buys.
    Token,
}

/// One request as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Method and path, as in `GET /v2/`.
    pub line: String,
    /// The header, if it came.
    pub authorization: Option<String>,
}

#[derive(Default)]
struct Store {
    lock: Lock,
    /// By repository and digest.
    blobs: BTreeMap<(String, String), Bytes>,
    /// By repository and digest: media type and content.
    manifests: BTreeMap<(String, String), (String, Bytes)>,
    tags: BTreeMap<(String, String), String>,
    uploads: BTreeMap<String, String>,
    calls: Vec<Call>,
    blobs_at: Option<String>,
    realm: Option<String>,
    referrers: Referrers,
}

/// A running registry; it ends when dropped.
pub struct Registry {
    server: Local,
    store: Arc<Mutex<Store>>,
}

/// `sha256:` and the digits.
pub fn digest(bytes: &[u8]) -> String {
    let mut text = String::from("sha256:");
    for byte in sha2::Sha256::digest(bytes) {
        write!(text, "{byte:02x}").expect("a String takes everything");
    }
    text
}

impl Registry {
    /// Starts an empty one.
    pub async fn start(lock: Lock) -> Registry {
        let store = Arc::new(Mutex::new(Store { lock, ..Store::default() }));
        let app = Router::new().fallback(answer).with_state(store.clone());
        // Modules are larger than what axum takes by itself.
        let app = app.layer(axum::extract::DefaultBodyLimit::disable());
        Registry { server: Local::serve(app).await, store }
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().expect("no holder panics")
    }

    /// Host and port: how references begin.
    pub fn host(&self) -> String {
        self.server.address().to_string()
    }

    /// Every request so far, oldest first.
    pub fn calls(&self) -> Vec<Call> {
        self.store().calls.clone()
    }

    /// Sends whoever asks for content to `base` and the path of what was asked for.
    pub fn keeps_blobs_at(&self, base: &str) {
        self.store().blobs_at = Some(base.to_owned());
    }

    /// Sends whoever needs a token to `url`.
    pub fn has_its_realm_at(&self, url: &str) {
        self.store().realm = Some(url.to_owned());
    }

    /// Says what it knows of referrers.
    pub fn knows_referrers(&self, referrers: Referrers) {
        self.store().referrers = referrers;
    }

    /// Puts content there under its digest, which is answered.
    pub fn put_blob(&self, repository: &str, bytes: impl Into<Bytes>) -> String {
        let bytes = bytes.into();
        let name = digest(&bytes);
        self.store().blobs.insert((repository.to_owned(), name.clone()), bytes);
        name
    }

    /// Gives what is there under `digest` another content.
    pub fn corrupt(&self, repository: &str, digest: &str, bytes: impl Into<Bytes>) {
        let key = (repository.to_owned(), digest.to_owned());
        let mut store = self.store();
        let bytes = bytes.into();
        match store.manifests.get_mut(&key) {
            Some((_, content)) => *content = bytes,
            None => drop(store.blobs.insert(key, bytes)),
        }
    }

    /// Puts a manifest there under its digest, which is answered, and under `tag`.
    pub fn put_manifest(&self, repository: &str, tag: &str, manifest: &Value) -> String {
        let ty = manifest["mediaType"].as_str().unwrap_or(MANIFEST).to_owned();
        let bytes = Bytes::from(manifest.to_string());
        let name = digest(&bytes);
        let mut store = self.store();
        store.manifests.insert((repository.to_owned(), name.clone()), (ty, bytes));
        store.tags.insert((repository.to_owned(), tag.to_owned()), name.clone());
        name
    }

    /// Puts a manifest there that refers to another, with nothing but its digest for a name.
    pub fn put_referrer(&self, repository: &str, manifest: &Value) -> String {
        let name = digest(manifest.to_string().as_bytes());
        self.put_manifest(repository, &name, manifest);
        let tagged = self.store().tag_referrer(repository, manifest);
        if let Some((tag, list)) = tagged {
            self.put_manifest(repository, &tag, &list);
        }
        name
    }

    /// Puts an artefact there, of layers (media type, content); answers its manifest's digest.
    pub fn put_artefact(&self, repository: &str, tag: &str, layers: &[(&str, &[u8])]) -> String {
        let layers: Vec<Value> = layers
            .iter()
            .map(|(ty, bytes)| {
                let digest = self.put_blob(repository, bytes.to_vec());
                json!({ "mediaType": ty, "digest": digest, "size": bytes.len() })
            })
            .collect();
        self.put_manifest(repository, tag, &image(&layers))
    }

    /// The manifest that a tag stands for, as it is there.
    pub fn manifest(&self, repository: &str, tag: &str) -> Option<(String, Value)> {
        let store = self.store();
        let digest = store.tags.get(&(repository.to_owned(), tag.to_owned()))?.clone();
        let (_, bytes) = store.manifests.get(&(repository.to_owned(), digest.clone()))?;
        Some((digest, serde_json::from_slice(bytes).expect("a manifest is JSON")))
    }

    /// Content, as it is there.
    pub fn blob(&self, repository: &str, digest: &str) -> Option<Bytes> {
        self.store().blobs.get(&(repository.to_owned(), digest.to_owned())).cloned()
    }
}

/// A manifest of these layers.
pub fn image(layers: &[Value]) -> Value {
    let config =
        json!({ "mediaType": "application/vnd.oci.empty.v1+json", "digest": digest(b"{}"), "size": 2 });
    json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers })
}

/// An error as the specification has it ("Error Codes").
fn refuse(status: StatusCode, code: &str, message: &str) -> Response {
    let body = json!({ "errors": [{ "code": code, "message": message }] });
    (status, [(CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

fn unknown(what: &str) -> Response {
    refuse(StatusCode::NOT_FOUND, &format!("{what}_UNKNOWN"), &format!("{} unknown", what.to_lowercase()))
}

async fn answer(State(shared): State<Arc<Mutex<Store>>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_or_else(|_| Bytes::new(), |body| body.to_bytes());
    let host = head.headers.get("host").and_then(|host| host.to_str().ok()).unwrap_or_default().to_owned();
    let authorization = head.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let query = head.uri.query().unwrap_or_default();
    let query: BTreeMap<_, _> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let path = head.uri.path().to_owned();
    let mut store = shared.lock().expect("no holder panics");
    let line = format!("{} {path}", head.method);
    store.calls.push(Call { line, authorization: authorization.map(str::to_owned) });
    if path == "/token" {
        return token(&head.method, authorization, &query, &body);
    }
    let Some(rest) = path.strip_prefix("/v2/") else { return StatusCode::NOT_FOUND.into_response() };
    let Some((repository, kind, name)) = parts(rest) else { return unknown("NAME") };
    if let Some(challenge) = store.challenge(&host, authorization, repository, &head.method) {
        return challenge;
    }
    let content_type = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    match (head.method, kind) {
        (Method::GET | Method::HEAD, "blobs") => store.get_blob(&path, repository, name),
        (Method::GET | Method::HEAD, "manifests") => store.get_manifest(repository, name),
        (Method::GET, "referrers") => store.get_referrers(&path, repository, name, &query),
        (Method::PUT, "manifests") => store.take_manifest(repository, name, content_type, body),
        (Method::POST, "uploads") => store.begin(repository),
        (Method::PUT, "uploads") => store.finish(repository, name, &query, body),
        _ => refuse(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", "not here"),
    }
}

/// Repository, kind, and the name behind it.
fn parts(path: &str) -> Option<(&str, &str, &str)> {
    if let Some((repository, id)) = path.split_once("/blobs/uploads/") {
        return Some((repository, "uploads", id));
    }
    ["manifests", "blobs", "referrers"].into_iter().find_map(|kind| {
        let (repository, name) = path.split_once(&format!("/{kind}/"))?;
        Some((repository, kind, name))
    })
}

/// A token says what it is for; whoever holds it may do that.
fn token(
    method: &Method,
    authorization: Option<&str>,
    query: &BTreeMap<String, String>,
    body: &[u8],
) -> Response {
    let form: BTreeMap<_, _> = url::form_urlencoded::parse(body).into_owned().collect();
    let is_known = match *method {
        Method::POST => form.get("refresh_token").is_some_and(|token| token == IDENTITY_TOKEN),
        _ => authorization == Some(&basic()),
    };
    let asked = if *method == Method::POST { &form } else { query };
    let field = |name: &str| asked.get(name).cloned().unwrap_or_default();
    if field("service") != SERVICE {
        return refuse(StatusCode::BAD_REQUEST, "UNSUPPORTED", "another service");
    }
    if !is_known {
        return refuse(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "authentication required");
    }
    let token = STANDARD.encode(field("scope"));
    let name = if *method == Method::POST { "access_token" } else { "token" };
    (StatusCode::OK, [(CONTENT_TYPE, "application/json")], json!({ name: token }).to_string()).into_response()
}

fn basic() -> String {
    format!("Basic {}", STANDARD.encode(format!("{}:{}", USER.0, USER.1)))
}

impl Store {
    /// What is said to somebody who may not come in.
    fn challenge(
        &self,
        host: &str,
        authorization: Option<&str>,
        repository: &str,
        method: &Method,
    ) -> Option<Response> {
        let is_read = matches!(*method, Method::GET | Method::HEAD);
        let actions: &[&str] = if is_read { &["pull", "pull,push"] } else { &["pull,push"] };
        let (may, challenge) = match self.lock {
            Lock::Open => return None,
            Lock::Basic => (authorization == Some(&basic()), "Basic realm=\"fake\"".to_owned()),
            Lock::Token => {
                let token = authorization.and_then(|value| value.strip_prefix("Bearer "));
                let may = |actions: &&str| {
                    token == Some(&STANDARD.encode(format!("repository:{repository}:{actions}")))
                };
                let realm = self.realm.clone().unwrap_or_else(|| format!("http://{host}/token"));
                let scope = format!("repository:{repository}:{}", actions[0]);
                let challenge = format!(r#"Bearer realm="{realm}",service="{SERVICE}",scope="{scope}""#);
                (actions.iter().any(may), challenge)
            }
        };
        let mut refused = refuse(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "authentication required");
        let challenge = HeaderValue::try_from(challenge).expect("a challenge is plain text");
        refused.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        (!may).then_some(refused)
    }

    fn get_blob(&self, path: &str, repository: &str, digest: &str) -> Response {
        let Some(bytes) = self.blobs.get(&(repository.to_owned(), digest.to_owned())) else {
            return unknown("BLOB");
        };
        match &self.blobs_at {
            Some(base) => {
                (StatusCode::TEMPORARY_REDIRECT, [(LOCATION, format!("{base}{path}"))]).into_response()
            }
            None => {
                (StatusCode::OK, [(CONTENT_TYPE, "application/octet-stream")], bytes.clone()).into_response()
            }
        }
    }

    fn get_manifest(&self, repository: &str, name: &str) -> Response {
        let digest = match self.tags.get(&(repository.to_owned(), name.to_owned())) {
            Some(digest) => digest.clone(),
            None => name.to_owned(),
        };
        let found = self.manifests.get(&(repository.to_owned(), digest.clone()));
        let Some((ty, bytes)) = found else { return unknown("MANIFEST") };
        let headers = [("content-type", ty.as_str()), ("docker-content-digest", &digest)];
        (StatusCode::OK, headers, bytes.clone()).into_response()
    }

    fn take_manifest(
        &mut self,
        repository: &str,
        name: &str,
        content_type: Option<&str>,
        bytes: Bytes,
    ) -> Response {
        let invalid = |why: &str| refuse(StatusCode::BAD_REQUEST, "MANIFEST_INVALID", why);
        let Ok(manifest) = serde_json::from_slice::<Value>(&bytes) else { return invalid("no JSON") };
        if content_type != manifest["mediaType"].as_str() {
            return invalid("its type is not that of the request");
        }
        let layers = manifest["layers"].as_array().into_iter().flatten();
        for content in layers.chain([&manifest["config"]]) {
            let key = (repository.to_owned(), content["digest"].as_str().unwrap_or_default().to_owned());
            match self.blobs.get(&key) {
                Some(blob) if content["size"] == blob.len() => {}
                Some(_) => return invalid("a size is wrong"),
                None => return unknown("MANIFEST_BLOB"),
            }
        }
        let digest = digest(&bytes);
        if name.contains(':') && name != digest {
            return refuse(StatusCode::BAD_REQUEST, "DIGEST_INVALID", "the manifest has another digest");
        }
        let ty = content_type.unwrap_or_default().to_owned();
        self.manifests.insert((repository.to_owned(), digest.clone()), (ty, bytes));
        self.tags.insert((repository.to_owned(), name.to_owned()), digest.clone());
        let location = format!("/v2/{repository}/manifests/{digest}");
        (StatusCode::CREATED, [("location", location), ("docker-content-digest", digest)]).into_response()
    }

    fn begin(&mut self, repository: &str) -> Response {
        let id = format!("upload-{}", self.uploads.len());
        self.uploads.insert(id.clone(), repository.to_owned());
        // A relative place with a state of its own, as real ones have.
        let location = format!("/v2/{repository}/blobs/uploads/{id}?_state=some%2Fstate");
        (StatusCode::ACCEPTED, [("location", location), ("range", "0-0".to_owned())]).into_response()
    }

    fn finish(
        &mut self,
        repository: &str,
        id: &str,
        query: &BTreeMap<String, String>,
        bytes: Bytes,
    ) -> Response {
        if self.uploads.get(id).map(String::as_str) != Some(repository) || !query.contains_key("_state") {
            return unknown("BLOB_UPLOAD");
        }
        let digest = digest(&bytes);
        if query.get("digest") != Some(&digest) {
            return refuse(StatusCode::BAD_REQUEST, "DIGEST_INVALID", "the content has another digest");
        }
        self.uploads.remove(id);
        self.blobs.insert((repository.to_owned(), digest.clone()), bytes);
        let location = format!("/v2/{repository}/blobs/{digest}");
        (StatusCode::CREATED, [("location", location)]).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{get, request};

    #[tokio::test]
    async fn content_is_taken_only_under_its_own_digest_and_a_manifest_only_when_its_content_is_there() {
        let registry = Registry::start(Lock::Open).await;
        let base = format!("http://{}", registry.host());
        let begin = request(Method::POST, &format!("{base}/v2/a/b/blobs/uploads/"), &[], "").await.unwrap();
        assert_eq!(begin.status, StatusCode::ACCEPTED);
        let place = format!("{base}{}", begin.headers["location"].to_str().unwrap());
        let put = async |digest: &str| {
            request(Method::PUT, &format!("{place}&digest={digest}"), &[], "{}").await.unwrap().status
        };
        assert_eq!(put(&digest(b"x")).await, StatusCode::BAD_REQUEST);
        let manifest = image(&[]).to_string();
        let put_manifest = async || {
            let url = format!("{base}/v2/a/b/manifests/1");
            request(Method::PUT, &url, &[("content-type", MANIFEST)], manifest.clone()).await.unwrap().status
        };
        assert_eq!(put_manifest().await, StatusCode::NOT_FOUND);
        assert_eq!(put(&digest(b"{}")).await, StatusCode::CREATED);
        assert_eq!(put_manifest().await, StatusCode::CREATED);
        assert_eq!(get(&format!("{base}/v2/a/b/manifests/1")).await.unwrap().text(), manifest);
    }

    #[tokio::test]
    async fn a_locked_registry_says_where_its_tokens_are() {
        let registry = Registry::start(Lock::Token).await;
        let url = format!("http://{}/v2/a/manifests/1", registry.host());
        let refused = get(&url).await.unwrap();
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
        let token = STANDARD.encode("repository:a:pull");
        let bearer = format!("Bearer {token}");
        let entered = request(Method::GET, &url, &[("authorization", &bearer)], "").await.unwrap();
        assert_eq!(entered.status, StatusCode::NOT_FOUND);
        let bought =
            format!("http://{}/token?service={SERVICE}&scope=repository%3Aa%3Apull", registry.host());
        let bought = request(Method::GET, &bought, &[("authorization", &basic())], "").await.unwrap();
        assert_eq!(bought.text(), json!({ "token": token }).to_string());
    }
}
