//! Push: a module into a registry, in the CNCF's layout (Wasm OCI Artifact): one layer, `application/wasm`, and a
//! configuration that says what the component imports and exports.
//!
//! In: a component and what is known of it. Out: the artefact's digest. Never: a digest that depends on when it was pushed,
//! a credential for another server than the registry's.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, LOCATION};
use http::{HeaderValue, Method, StatusCode};
use serde_json::json;
use url::Url;

use super::super::net::{DRAIN_BYTES_MAX, Net, bare, refusal, request, target};
use super::super::{Credentials, Error};
use super::auth;
use super::manifest::{MANIFEST, WASM};
use super::session::{Action, Session};
use crate::model::{Digest, Reference, Version};

const CONFIG: &str = "application/vnd.wasm.config.v0+json";

/// The layout wants a time. This one makes the same component the same artefact, whenever it is pushed.
const CREATED: &str = "1970-01-01T00:00:00Z";

/// A component, and what is known of it.
#[derive(Debug, Clone)]
pub struct Parts {
    /// Its name.
    pub name: String,
    /// Its own version.
    pub version: String,
    /// What it imports.
    pub imports: Vec<String>,
    /// What it exports.
    pub exports: Vec<String>,
    /// The component.
    pub bytes: Bytes,
}

/// Uploads the parts that are not there yet, and then the manifest. By a digest it must be exactly that.
pub(in super::super) async fn push(
    net: &Net,
    reference: &Reference,
    credentials: Option<&Credentials>,
    parts: &Parts,
) -> Result<Digest, Error> {
    let (config, manifest) = documents(parts);
    let digest = Digest::of(&manifest);
    if let Some(expected) = reference.digest().filter(|expected| *expected != digest) {
        return Err(Error::Digest { what: reference.to_string(), expected, actual: digest });
    }
    let mut session = Session::new(net, reference, credentials, Action::Push)?;
    upload(net, &mut session, parts.bytes.clone()).await?;
    upload(net, &mut session, config).await?;
    let url = session.at(&match reference.version() {
        Version::Tag(tag) => format!("manifests/{tag}"),
        Version::Digest(digest) => format!("manifests/{digest}"),
    });
    let put = |authorization: Option<&HeaderValue>| {
        let mut put = request(Method::PUT, &url, None, authorization, manifest.clone());
        put.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(MANIFEST));
        put
    };
    let answer = session.exchange(put).await?;
    if answer.status != StatusCode::CREATED {
        return Err(refusal(bare(&url), auth::CURE, answer).await);
    }
    answer.drain(DRAIN_BYTES_MAX).await;
    Ok(digest)
}

/// The configuration and the manifest.
fn documents(parts: &Parts) -> (Bytes, Bytes) {
    let Parts { name, version, imports, exports, bytes } = parts;
    let layer = Digest::of(bytes).to_string();
    let config = json!({
        "created": CREATED,
        "architecture": "wasm",
        "os": "wasip2",
        "layerDigests": [layer],
        "component": { "imports": imports, "exports": exports },
    });
    let config = config.to_string();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {
            "mediaType": CONFIG,
            "digest": Digest::of(config.as_bytes()).to_string(),
            "size": config.len(),
        },
        "layers": [{
            "mediaType": WASM,
            "digest": layer,
            "size": bytes.len(),
            "annotations": { "org.opencontainers.image.title": format!("{name}.wasm") },
        }],
        "annotations": {
            "org.opencontainers.image.title": name,
            "org.opencontainers.image.version": version,
        },
    });
    (config.into(), manifest.to_string().into())
}

/// Uploads content in one piece: a place is asked for, and the content put there.
async fn upload(net: &Net, session: &mut Session<'_>, bytes: Bytes) -> Result<(), Error> {
    let digest = Digest::of(&bytes);
    let there = session.at(&format!("blobs/{digest}"));
    let head = |authorization: Option<&HeaderValue>| {
        request(Method::HEAD, &there, None, authorization, Bytes::new())
    };
    // A registry that keeps its content elsewhere sends a question for it there.
    let found = session.exchange(head).await?.status;
    if found.is_success() || found.is_redirection() {
        return Ok(());
    }
    let uploads = session.at("blobs/uploads/");
    let post = |authorization: Option<&HeaderValue>| {
        request(Method::POST, &uploads, None, authorization, Bytes::new())
    };
    let answer = session.exchange(post).await?;
    if answer.status != StatusCode::ACCEPTED || !answer.headers.contains_key(LOCATION) {
        return Err(refusal(bare(&uploads), auth::CURE, answer).await);
    }
    let mut place = target(&uploads, &answer.headers)?;
    answer.drain(DRAIN_BYTES_MAX).await;
    place.query_pairs_mut().append_pair("digest", &digest.to_string());
    let answer = put(net, session, &uploads, &place, bytes).await?;
    if answer.status != StatusCode::CREATED {
        return Err(refusal(bare(&place), auth::CURE, answer).await);
    }
    answer.drain(DRAIN_BYTES_MAX).await;
    Ok(())
}

/// Content to where the registry wants it; another server gets no credentials of ours.
async fn put(
    net: &Net,
    session: &mut Session<'_>,
    from: &Url,
    place: &Url,
    bytes: Bytes,
) -> Result<crate::http::Response, Error> {
    let build = |authorization: Option<&HeaderValue>| {
        let mut put = request(Method::PUT, place, None, authorization, bytes.clone());
        put.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        put
    };
    if session.is_own(place) {
        return session.exchange(build).await;
    }
    let entry = session.onward(from, place)?;
    net.send(entry, build(None)).await
}

#[cfg(test)]
mod tests {
    use super::super::manifest::{Manifest, Packing, module};
    use super::*;

    #[test]
    fn the_same_component_is_the_same_artefact_and_can_be_pulled() {
        let parts = Parts {
            name: "drop-go".into(),
            version: "1.2.3".into(),
            imports: vec![],
            exports: vec!["sluice:filter/labels@0.1.0".into()],
            bytes: Bytes::from_static(b"\0asm"),
        };
        let (config, manifest) = documents(&parts);
        assert_eq!(documents(&parts), (config, manifest.clone()));
        let Ok(Manifest::Image(layers)) = Manifest::read(&manifest, Some(MANIFEST)) else {
            panic!("an image")
        };
        let (layer, packing) = module(&layers).unwrap();
        assert_eq!((layer.sha256(), layer.size, packing), (Ok(Digest::of(b"\0asm")), 4, Packing::Bare));
    }
}
