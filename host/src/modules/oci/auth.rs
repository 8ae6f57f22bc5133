//! Auth: from a registry's challenge to the header that it wants.
//!
//! In: `WWW-Authenticate`, our credentials, what we want to do. Out: the value of `Authorization`. Never: credentials sent to
//! where the entry does not reach, or in plain text unless the operator says so.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, WWW_AUTHENTICATE};
use http::{HeaderValue, Method};
use serde::Deserialize;
use url::Url;
use url::form_urlencoded::Serializer;

use super::super::net::{Entry, Net, bare, refusal, request};
use super::super::{Credentials, Error};
use crate::model::Secret;

/// A token with the rights to a few hundred repositories has a tenth of this.
const TOKEN_BYTES_MAX: usize = 64 << 10;

/// Who asks for a token, where an endpoint wants to know.
const CLIENT: &str = "sluice";

/// What is said to somebody whose credentials are not enough.
pub(super) const CURE: &str =
    "it takes credentials for this registry: a pull secret in a resource, a login on the command line";

/// How a registry wants to be told who we are.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Challenge {
    /// With each request.
    Basic,
    /// With a token from elsewhere.
    Bearer { realm: Url, service: Option<String> },
}

/// The header that answers a challenge. `scope` is what we want to do, as `repository:acme/drop-go:pull`.
pub(super) async fn answer(
    net: &Net,
    entry: &Entry,
    at: &Url,
    headers: &HeaderMap,
    scope: &str,
    credentials: Option<&Credentials>,
) -> Result<HeaderValue, Error> {
    let denied = |said: &str| Error::Denied { what: bare(at), said: said.to_owned(), cure: CURE };
    match challenge(headers) {
        None => Err(denied("it says not how to log in")),
        Some(Challenge::Basic) => {
            let basic = credentials.and_then(Credentials::basic);
            basic.ok_or_else(|| denied("it wants a name and a password"))
        }
        Some(Challenge::Bearer { realm, service }) => {
            // The registry's own host is the entry's, whatever path it has.
            let entry = if realm.origin() == at.origin() { entry } else { net.onward(entry, at, &realm)? };
            let token = token(net, entry, realm, service, scope, credentials).await?;
            let mut value = HeaderValue::try_from(format!("Bearer {}", token.reveal()))
                .map_err(|_| denied("its token is not one that a header may hold"))?;
            value.set_sensitive(true);
            Ok(value)
        }
    }
}

#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
}

/// Asks for a token (distribution, "Token Authentication Specification"; with an identity token, "OAuth2 Token
/// Authentication").
async fn token(
    net: &Net,
    entry: &Entry,
    mut realm: Url,
    service: Option<String>,
    scope: &str,
    credentials: Option<&Credentials>,
) -> Result<Secret, Error> {
    let asked = match credentials {
        Some(Credentials::Identity(token)) => {
            let mut form = Serializer::new(String::new());
            form.append_pair("grant_type", "refresh_token").append_pair("refresh_token", token.reveal());
            form.append_pair("client_id", CLIENT).append_pair("scope", scope);
            form.extend_pairs(service.iter().map(|service| ("service", service)));
            let mut post = request(Method::POST, &realm, None, None, Bytes::from(form.finish()));
            let form = HeaderValue::from_static("application/x-www-form-urlencoded");
            post.headers_mut().insert(CONTENT_TYPE, form);
            post
        }
        basic => {
            realm.query_pairs_mut().extend_pairs(service.iter().map(|service| ("service", service)));
            realm.query_pairs_mut().append_pair("scope", scope);
            let basic = basic.and_then(Credentials::basic);
            request(Method::GET, &realm, None, basic.as_ref(), Bytes::new())
        }
    };
    let answer = net.send(entry, asked).await?;
    if !answer.status.is_success() {
        return Err(refusal(bare(&realm), CURE, answer).await);
    }
    let body = answer.read_to(TOKEN_BYTES_MAX).await?;
    let refuse = |why: &str| Error::Answer { what: bare(&realm), why: why.to_owned() };
    // The parser's message could show the token.
    let Answer { token, access_token } =
        serde_json::from_slice(&body).map_err(|_| refuse("it is no token"))?;
    let token = token.or(access_token).filter(|token| !token.is_empty());
    token.map(Secret::new).ok_or_else(|| refuse("it holds no token"))
}

/// The challenge that we can answer; a token before a password, which then goes to fewer servers.
fn challenge(headers: &HeaderMap) -> Option<Challenge> {
    let all = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    let all: Vec<Challenge> = all.filter_map(one).collect();
    let bearer = all.iter().find(|challenge| matches!(challenge, Challenge::Bearer { .. }));
    bearer.or(all.first()).cloned()
}

fn one(text: &str) -> Option<Challenge> {
    let (scheme, parameters) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
    if scheme.eq_ignore_ascii_case("basic") {
        return Some(Challenge::Basic);
    }
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let (mut realm, mut service) = (None, None);
    for (name, value) in parameters_of(parameters) {
        match name.to_ascii_lowercase().as_str() {
            "realm" => realm = Url::parse(&value).ok(),
            "service" => service = Some(value),
            _ => {}
        }
    }
    let legal = |url: &Url| matches!(url.scheme(), "http" | "https") && url.username().is_empty();
    Some(Challenge::Bearer { realm: realm.filter(legal)?, service })
}

/// `a="b c",d=e`: values may be quoted, and then hold commas (RFC 9110, 11.2).
fn parameters_of(mut text: &str) -> Vec<(String, String)> {
    let mut all = Vec::new();
    while let Some((name, rest)) = text.split_once('=') {
        let name = name.trim_matches([',', ' ']).to_owned();
        let rest = rest.trim_start();
        let value;
        (value, text) = match rest.strip_prefix('"') {
            Some(quoted) => unquoted(quoted),
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                (rest[..end].trim().to_owned(), &rest[end..])
            }
        };
        all.push((name, value));
    }
    all
}

/// A value up to its closing quote, and what follows.
fn unquoted(text: &str) -> (String, &str) {
    let (mut value, mut escaped) = (String::new(), false);
    for (at, c) in text.char_indices() {
        match c {
            '\\' if !escaped => escaped = true,
            '"' if !escaped => return (value, &text[at + 1..]),
            c => {
                value.push(c);
                escaped = false;
            }
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[&'static str]) -> Option<Challenge> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_static(value));
        }
        challenge(&headers)
    }

    fn bearer(realm: &str, service: Option<&str>) -> Option<Challenge> {
        Some(Challenge::Bearer { realm: realm.parse().unwrap(), service: service.map(str::to_owned) })
    }

    #[test]
    fn challenges_are_read_in_every_form_that_registries_write() {
        let quoted = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#;
        assert_eq!(of(&[quoted]), bearer("https://auth.docker.io/token", Some("registry.docker.io")));
        let loose = r#"bearer  service = a\b , realm="http://h/t?x=1,2""#;
        assert_eq!(of(&[loose]), bearer("http://h/t?x=1,2", Some("a\\b")));
        assert_eq!(of(&[r#"Bearer realm="https://h/a\"b""#]), bearer("https://h/a\"b", None));
        assert_eq!(of(&[r#"Basic realm="x""#]), Some(Challenge::Basic));
        assert_eq!(of(&["Basic", r#"Bearer realm="https://h/""#]), bearer("https://h/", None));
        for none in [
            &[][..],
            &["Negotiate"],
            &["Bearer"],
            &[r#"Bearer realm="/token""#],
            &[r#"Bearer realm="file:///x""#],
        ] {
            assert_eq!(of(none), None, "{none:?}");
        }
    }
}
