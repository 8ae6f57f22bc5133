//! Keyring: the Secrets that resources name, each watched by its name.
//!
//! In: which Secrets are named. Out: what each of them holds, and every change. Never: a list of Secrets, a Secret of
//! another namespace than its resource's, or one that is not labelled for our use.
//!
//! Who may write a `MetricAccess` could otherwise send any Secret beside it to an address of their choice: the label
//! is the consent of whoever may write the Secret.
//!
//! An API server that has just started refuses what it allows a moment later, while it still reads its own roles. So a refusal
//! takes away what was known only once it has lasted.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Secret as Object;
use kube::runtime::utils::StreamBackoff;
use kube::runtime::watcher::{self, watch_object};
use kube::{Api, Client, ResourceExt as _};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::backoff::Pauses;
use crate::model::{Secret, chain};
use crate::tenancy::resource::SecretKey;
use crate::tenancy::secrets::SecretError;

/// The label that opens a Secret to us, with the value `"true"`.
pub const SECRET_LABEL: &str = "observability.ethos.io/metricaccess";
/// The longest value that is kept.
const VALUE_BYTES_MAX: usize = 64 << 10;
/// Changes that wait to be taken in.
const NEWS_MAX: usize = 64;

/// How long a refusal must have lasted, from one answer to a later one, before it takes away what was known.
const REFUSED_FOR: Duration = Duration::from_secs(60);

/// Namespace and name of a Secret.
pub(super) type SecretName = (String, String);

/// What is known of a Secret.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Known {
    /// It holds these values.
    Values(BTreeMap<String, Secret>),
    /// There is none.
    Absent,
    /// It is not labelled for our use.
    Closed,
    /// We may not read it, or cannot; the API server's words.
    Refused(String),
}

/// What holds of a Secret, by what was heard of it.
#[derive(Debug)]
struct Held {
    known: Known,
    /// Since when we are refused, while what was known before still holds.
    refused: Option<Instant>,
}

impl Held {
    fn first(known: Known) -> Held {
        Held { known, refused: None }
    }

    /// Takes in an answer. Whether something else holds now.
    fn hear(&mut self, answer: Known, now: Instant) -> bool {
        if matches!(answer, Known::Refused(_)) && !matches!(self.known, Known::Refused(_)) {
            let since = *self.refused.get_or_insert(now);
            if now - since < REFUSED_FOR {
                return false;
            }
        }
        self.refused = None;
        let changed = self.known != answer;
        self.known = answer;
        changed
    }
}

/// All Secrets that are named.
pub(super) struct Keyring {
    client: Client,
    watched: BTreeMap<SecretName, DropGuard>,
    held: BTreeMap<SecretName, Held>,
    tasks: JoinSet<()>,
    told: mpsc::Sender<(SecretName, Known)>,
    news: mpsc::Receiver<(SecretName, Known)>,
}

impl Keyring {
    pub(super) fn new(client: Client) -> Keyring {
        let (told, news) = mpsc::channel(NEWS_MAX);
        let (watched, held) = (BTreeMap::new(), BTreeMap::new());
        Keyring { client, watched, held, tasks: JoinSet::new(), told, news }
    }

    /// Watches exactly `named` from now on.
    pub(super) fn watch(&mut self, named: &BTreeSet<SecretName>) {
        self.watched.retain(|name, _| named.contains(name));
        self.held.retain(|name, _| named.contains(name));
        while self.tasks.try_join_next().is_some() {}
        for name in named {
            if self.watched.contains_key(name) {
                continue;
            }
            let stop = CancellationToken::new();
            self.tasks.spawn(follow(self.client.clone(), name.clone(), self.told.clone(), stop.clone()));
            self.watched.insert(name.clone(), stop.drop_guard());
        }
    }

    /// The next Secret of which something else is known than before. Cancel safe.
    pub(super) async fn changed(&mut self) -> SecretName {
        loop {
            // We hold a sender ourselves, so the channel never closes.
            let Some((name, known)) = self.news.recv().await else { std::future::pending().await };
            if !self.watched.contains_key(&name) {
                continue;
            }
            let changed = match self.held.get_mut(&name) {
                Some(held) => held.hear(known, Instant::now()),
                None => self.held.insert(name.clone(), Held::first(known)).is_none(),
            };
            if changed {
                return name;
            }
        }
    }

    /// Whether the API server has said what is in it, or that we may not know.
    pub(super) fn knows(&self, name: &SecretName) -> bool {
        self.held.contains_key(name)
    }
}

impl Keyring {
    /// The value of `key`, in `namespace`.
    pub(super) fn value(&self, namespace: &str, key: &SecretKey) -> Result<Secret, SecretError> {
        let refuse = |message: String, cure: String| Err(SecretError { message, cure });
        match self.held.get(&(namespace.to_owned(), key.name.clone())).map(|held| &held.known) {
            Some(Known::Values(values)) => match values.get(&key.key) {
                Some(value) if value.reveal().is_empty() => refuse(
                    format!("has nothing in its key {:?}", key.key),
                    "put the value into it".to_owned(),
                ),
                Some(value) => Ok(value.clone()),
                None => {
                    let keys: Vec<&str> = values.keys().map(String::as_str).collect();
                    let cure = match keys.is_empty() {
                        true => format!("put the value into its key {:?}", key.key),
                        false => format!("name one of its keys: {}", keys.join(", ")),
                    };
                    refuse(format!("has no key {:?}", key.key), cure)
                }
            },
            Some(Known::Absent) | None => refuse(
                format!("does not exist in the namespace {namespace}"),
                format!("create it, with the label {SECRET_LABEL}: \"true\""),
            ),
            Some(Known::Closed) => refuse(
                "is not open to metric access".to_owned(),
                format!("label it {SECRET_LABEL}: \"true\""),
            ),
            Some(Known::Refused(why)) => refuse(
                format!("may not be read by Sluice: {why}"),
                format!("let the operator bind the role sluice-secrets-reader in the namespace {namespace}"),
            ),
        }
    }
}

/// Watches one Secret until `stop`.
async fn follow(
    client: Client,
    name: SecretName,
    told: mpsc::Sender<(SecretName, Known)>,
    stop: CancellationToken,
) {
    let api = Api::<Object>::namespaced(client, &name.0);
    let mut seen = std::pin::pin!(StreamBackoff::new(watch_object(api, &name.1), Pauses::default()));
    // A watch that only breaks takes nothing away that was once known.
    let mut answered = false;
    loop {
        let next = tokio::select! {
            () = stop.cancelled() => return,
            next = seen.next() => next,
        };
        let known = match next {
            None => return,
            Some(Ok(object)) => object.as_ref().map_or(Known::Absent, of),
            Some(Err(error)) => match refusal(&error) {
                Some(why) => Known::Refused(why),
                None if answered => continue,
                None => Known::Refused(chain(&error)),
            },
        };
        answered = true;
        if told.send((name.clone(), known)).await.is_err() {
            return;
        }
    }
}

fn of(object: &Object) -> Known {
    if object.labels().get(SECRET_LABEL).map(String::as_str) != Some("true") {
        return Known::Closed;
    }
    let values = object.data.iter().flatten().filter(|(_, value)| value.0.len() <= VALUE_BYTES_MAX);
    let text = |bytes: &[u8]| {
        let text = std::str::from_utf8(bytes).ok()?;
        // Many a value was made with a newline at its end, which no password has.
        Some(Secret::new(text.strip_suffix('\n').unwrap_or(text)))
    };
    Known::Values(values.filter_map(|(key, value)| Some((key.clone(), text(&value.0)?))).collect())
}

/// What the API server says if it does not let us; `None` if it could not be asked.
fn refusal(error: &watcher::Error) -> Option<String> {
    let (watcher::Error::InitialListFailed(source) | watcher::Error::WatchStartFailed(source)) = error else {
        return None;
    };
    match source {
        kube::Error::Api(status) if status.code == 403 || status.code == 401 => Some(status.message.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused() -> Known {
        Known::Refused("forbidden".to_owned())
    }

    /// What holds after each answer, heard so many seconds after the first.
    fn after(first: Known, answers: &[(u64, Known)]) -> Vec<Known> {
        let begin = Instant::now();
        let mut held = Held::first(first);
        let hear = |(seconds, answer): &(u64, Known)| {
            let before = held.known.clone();
            let changed = held.hear(answer.clone(), begin + Duration::from_secs(*seconds));
            assert_eq!(changed, before != held.known);
            held.known.clone()
        };
        answers.iter().map(hear).collect()
    }

    fn values(text: &str) -> Known {
        Known::Values([("key".to_owned(), Secret::new(text))].into())
    }

    #[test]
    fn a_refusal_takes_away_what_was_known_once_it_has_lasted() {
        let one = values("one");
        let answers =
            [(10, refused()), (20, refused()), (69, refused()), (70, refused()), (71, values("two"))];
        let expected = [one.clone(), one.clone(), one.clone(), refused(), values("two")];
        assert_eq!(after(one.clone(), &answers), expected);
        // One that passed does not count for the next.
        let answers =
            [(0, refused()), (50, one.clone()), (100, refused()), (130, refused()), (160, refused())];
        let expected = [one.clone(), one.clone(), one.clone(), one.clone(), refused()];
        assert_eq!(after(one.clone(), &answers), expected);
        // It lasts from the first answer, however late that came.
        assert_eq!(after(one.clone(), &[(1000, refused()), (1059, refused())]), [one.clone(), one]);
    }

    #[test]
    fn what_was_never_readable_and_what_the_secret_itself_says_hold_at_once() {
        assert_eq!(after(refused(), &[(1, refused()), (2, values("one"))]), [refused(), values("one")]);
        let gone = [(1, Known::Closed), (2, Known::Absent), (3, refused())];
        assert_eq!(after(values("one"), &gone), [Known::Closed, Known::Absent, Known::Absent]);
    }
}
