//! Rights: who has shown that they may have what is kept.
//!
//! In: where something was asked for, and as whom. Out: whether it was had from there by them before. Never: a credential or
//! a name that could be read; more rights than the maximum; the word of one server about what came from another.
//!
//! A digest is a name and no key: it stands in statuses and logs. What is kept is given to those who got it, or the same
//! bytes, from the same place as the same one.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use url::Url;

use super::Credentials;
use crate::model::Digest;

/// Rights to one piece of content that are kept; the newest are. Whoever's is not any more shows it again.
const RIGHTS_MAX: usize = 512;
/// What a record of so many has at most.
pub(super) const RECORD_BYTES_MAX: usize = 128 << 10;

const SALT_BYTES: usize = 32;

/// What somebody asks with: of which server, for which place there, as whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Right {
    server: Digest,
    whole: Digest,
}

impl Right {
    /// Of whoever names an address, which is all that there is to know of a download.
    pub(super) fn to_download(url: &Url) -> Right {
        Right::of(url, &["download", url.as_str()])
    }

    /// Of whoever pulls from a repository, by its address.
    pub(super) fn to_pull(repository: &Url, credentials: Option<&Credentials>) -> Right {
        let whom = match credentials {
            None => vec!["anybody"],
            Some(Credentials::Basic { username, password }) => vec!["basic", username, password.reveal()],
            Some(Credentials::Identity(token)) => vec!["identity", token.reveal()],
        };
        Right::of(repository, &[&["pull", repository.as_str()][..], &whom].concat())
    }

    fn of(url: &Url, parts: &[&str]) -> Right {
        // With their lengths, so that no other parts make the same text.
        let whole: String = parts.iter().map(|part| format!("{}:{part}", part.len())).collect();
        let server = url.origin().ascii_serialization();
        Right { server: Digest::of(server.as_bytes()), whole: Digest::of(whole.as_bytes()) }
    }
}

/// The rights to one piece of content, as they lie beside it: hashes with a key of this record's own, so that two records
/// are not known to speak of the same one, and nobody has a list of guesses ready.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    salt: String,
    /// The oldest first.
    rights: Vec<Noted>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Noted {
    server: String,
    whole: String,
}

impl Record {
    /// One without rights; none if there is no randomness to be had.
    pub(super) fn new() -> Option<Record> {
        let mut salt = [0; SALT_BYTES];
        aws_lc_rs::rand::fill(&mut salt).ok()?;
        Some(Record { salt: STANDARD.encode(salt), rights: Vec::new() })
    }

    /// Reads one; what cannot be read is none.
    pub(super) fn read(bytes: &[u8]) -> Option<Record> {
        serde_json::from_slice(bytes).ok()
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Whether this right was shown before.
    pub(super) fn holds(&self, right: Right) -> bool {
        self.rights.contains(&self.noted(right))
    }

    /// Whether the same server gave it to somebody: it may say that somebody else may have it, too.
    pub(super) fn came_from_the_server_of(&self, right: Right) -> bool {
        let Noted { server, .. } = self.noted(right);
        self.rights.iter().any(|noted| noted.server == server)
    }

    pub(super) fn note(&mut self, right: Right) {
        let noted = self.noted(right);
        self.rights.retain(|one| *one != noted);
        self.rights.push(noted);
        let too_many = self.rights.len().saturating_sub(RIGHTS_MAX);
        self.rights.drain(..too_many);
    }

    fn noted(&self, right: Right) -> Noted {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.salt.as_bytes());
        let hash = |digest: Digest| STANDARD.encode(hmac::sign(&key, digest.to_string().as_bytes()));
        Noted { server: hash(right.server), whole: hash(right.whole) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Secret;

    fn pull(repository: &str, credentials: Option<&Credentials>) -> Right {
        Right::to_pull(&repository.parse().unwrap(), credentials)
    }

    fn basic(username: &str, password: &str) -> Credentials {
        Credentials::Basic { username: username.into(), password: Secret::new(password) }
    }

    #[test]
    fn a_right_is_that_of_one_place_as_one_self() {
        let ours = pull("https://h/v2/a/", Some(&basic("robot", "s3cret")));
        let mut record = Record::new().unwrap();
        record.note(ours);
        let record = Record::read(&record.bytes()).unwrap();
        assert!(
            record.holds(ours) && record.holds(pull("https://H:443/v2/a/", Some(&basic("robot", "s3cret"))))
        );
        for other in [
            pull("https://h/v2/a/", None),
            pull("https://h/v2/b/", Some(&basic("robot", "s3cret"))),
            pull("http://h/v2/a/", Some(&basic("robot", "s3cret"))),
            pull("https://h/v2/a/", Some(&basic("robot", "wrong"))),
            pull("https://h/v2/a/", Some(&basic("robot6:s", "3cret"))),
            pull("https://h/v2/a/", Some(&Credentials::Identity(Secret::new("s3cret")))),
            Right::to_download(&"https://h/v2/a/".parse().unwrap()),
        ] {
            assert!(!record.holds(other), "{other:?}");
        }
        assert!(record.came_from_the_server_of(pull("https://h/v2/b/", None)));
        assert!(!record.came_from_the_server_of(pull("https://i/v2/a/", None)));
    }

    #[test]
    fn records_show_nothing_are_unlike_each_other_and_have_an_end() {
        let (mut one, mut other) = (Record::new().unwrap(), Record::new().unwrap());
        let right = |number: usize| pull("https://h/v2/a/", Some(&basic("robot", &number.to_string())));
        one.note(right(0));
        other.note(right(0));
        assert_ne!(one.rights, other.rights);
        for number in 0..=RIGHTS_MAX {
            one.note(right(number));
        }
        assert!(!one.holds(right(0)) && one.holds(right(1)) && one.holds(right(RIGHTS_MAX)));
        let bytes = one.bytes();
        assert!(bytes.len() <= RECORD_BYTES_MAX, "{}", bytes.len());
        let text = String::from_utf8(bytes).unwrap();
        assert!(!text.contains("robot") && !text.contains("https"), "{text}");
        assert!(Record::read(b"{}").is_none() && Record::read(b"").is_none());
    }
}
