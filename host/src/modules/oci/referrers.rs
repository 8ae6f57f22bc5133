//! Referrers: what else in a repository is about an artefact (OCI distribution specification 1.1, "Listing Referrers").
//!
//! In: an artefact's digest, the type of what is looked for. Out: what the registry lists of it. Never: another server asked; more
//! pages of a list than the maximum, or more bytes.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, LINK};
use http::{HeaderValue, Method, StatusCode};
use url::Url;

use super::super::Error;
use super::super::net::{DRAIN_BYTES_MAX, bare, refusal, request};
use super::auth;
use super::manifest::{Descriptor, INDEX, Manifest};
use super::session::{MANIFEST_BYTES_MAX, Session};
use crate::model::Digest;

/// Answers that one list is read from. Registries need not look for a type, and then list all that anybody put there.
const PAGES_MAX: usize = 64;
/// All of these answers: 20,000 referrers.
const LIST_BYTES_MAX: usize = 8 << 20;

impl Session<'_> {
    /// What refers to `artefact` and is of type `kind`, or of any, as the registry likes, as far as it is `wanted`. `None`: it
    /// keeps no such lists.
    pub(super) async fn referrers(
        &mut self,
        artefact: Digest,
        kind: &str,
        wanted: fn(&Descriptor) -> bool,
    ) -> Result<Option<Vec<Descriptor>>, Error> {
        let mut url = self.at(&format!("referrers/{artefact}"));
        url.query_pairs_mut().append_pair("artifactType", kind);
        let (mut listed, mut bytes_left) = (Vec::new(), LIST_BYTES_MAX);
        for page in 0..PAGES_MAX {
            let get = |authorization: Option<&HeaderValue>| {
                request(Method::GET, &url, Some(INDEX), authorization, Bytes::new())
            };
            let answer = self.exchange(get).await?;
            if answer.status != StatusCode::OK || !is_index(&answer.headers) {
                if is_about_us_or_now(answer.status) {
                    return Err(refusal(bare(&url), auth::CURE, answer).await);
                }
                // Some that know nothing of referrers say that it is not there, some show a page for people.
                answer.drain(DRAIN_BYTES_MAX).await;
                return Ok(None);
            }
            let next = next(&url, &answer.headers).filter(|next| self.is_own(next));
            let bytes = match answer.read_to(MANIFEST_BYTES_MAX.min(bytes_left)).await {
                Ok(bytes) => bytes,
                // What was listed before may do.
                Err(crate::http::Error::TooLarge { .. }) if page > 0 => break,
                Err(error) => return Err(error.into()),
            };
            bytes_left -= bytes.len();
            match Manifest::read(&bytes, Some(INDEX)) {
                Ok(Manifest::Index(manifests)) => {
                    listed.extend(manifests.into_iter().filter(wanted));
                }
                Ok(Manifest::Image(_)) => {
                    return Err(Error::Answer { what: bare(&url), why: "it is no list".to_owned() });
                }
                Err(why) => return Err(Error::Answer { what: bare(&url), why }),
            }
            match next {
                Some(next) => url = next,
                None => break,
            }
        }
        Ok(Some(listed))
    }
}

fn is_index(headers: &HeaderMap) -> bool {
    let said = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    said.and_then(|text| text.split(';').next()).is_some_and(|text| text.trim() == INDEX)
}

/// Whether an answer says nothing about what a registry can do.
fn is_about_us_or_now(status: StatusCode) -> bool {
    matches!(status.as_u16(), 401 | 403 | 408 | 429 | 500..)
}

/// Where the list goes on (RFC 8288): `<…>; rel="next"`.
fn next(at: &Url, headers: &HeaderMap) -> Option<Url> {
    let links = headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok());
    links.flat_map(|text| text.split(',')).find_map(|link| {
        let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
        let is_next = parameters.split(';').any(|p| matches!(p.trim(), r#"rel="next""# | "rel=next"));
        is_next.then(|| at.join(target).ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_goes_on_where_its_link_says() {
        let at = Url::parse("https://ghcr.io/v2/a/referrers/sha256:0?artifactType=b").unwrap();
        for (link, expected) in [
            (
                r#"</v2/a/referrers/sha256:0?n=2>; rel="next""#,
                Some("https://ghcr.io/v2/a/referrers/sha256:0?n=2"),
            ),
            (r#"<?n=2>; rel=next"#, Some("https://ghcr.io/v2/a/referrers/sha256:0?n=2")),
            (r#"</first>; rel="first", </next>; title="x"; rel="next""#, Some("https://ghcr.io/next")),
            (r#"</first>; rel="first""#, None),
            ("nothing", None),
        ] {
            let headers = HeaderMap::from_iter([(LINK, HeaderValue::from_str(link).unwrap())]);
            assert_eq!(next(&at, &headers).as_ref().map(Url::as_str), expected, "{link}");
        }
    }
}
