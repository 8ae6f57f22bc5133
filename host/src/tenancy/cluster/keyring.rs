//! Keyring: what resources name by a name, Secrets and ConfigMaps, each watched by that name.
//!
//! In: which are named. Out: what each of them holds, and every change. Never: a list of them, or one of
//! another namespace than its resource's.
//!
//! An API server that has just started refuses what it allows a moment later, while it still reads its own roles. So a refusal
//! takes away what was known only once it has lasted.

mod config_maps;
mod secrets;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::NamespaceResourceScope;
use kube::runtime::utils::StreamBackoff;
use kube::runtime::watcher::{self, watch_object};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::backoff::Pauses;
use crate::model::chain;

pub(super) use config_maps::ConfigMaps;
pub use secrets::SECRET_LABEL;
pub(super) use secrets::Secrets;

/// Changes that wait to be taken in.
const NEWS_MAX: usize = 64;

/// How long a refusal must have lasted, from one answer to a later one, before it takes away what was known.
const REFUSED_FOR: Duration = Duration::from_secs(60);

/// Namespace and name.
pub(super) type Name = (String, String);

/// A kind of objects that hold values by keys.
pub(super) trait Kind: 'static {
    /// The objects.
    type Object: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + 'static;
    /// What they hold.
    type Value: Clone + Debug + PartialEq + Send + 'static;

    /// What one holds for us.
    fn of(object: &Self::Object) -> Known<Self::Value>;
}

/// What is known of an object.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Known<V> {
    /// It holds these values.
    Values(BTreeMap<String, V>),
    /// There is none.
    Absent,
    /// It is not labelled for our use.
    Closed,
    /// We may not read it, or cannot; the API server's words.
    Refused(String),
}

/// What holds of an object, by what was heard of it.
#[derive(Debug)]
struct Held<V> {
    known: Known<V>,
    /// Since when we are refused, while what was known before still holds.
    refused: Option<Instant>,
}

impl<V: PartialEq> Held<V> {
    fn first(known: Known<V>) -> Held<V> {
        Held { known, refused: None }
    }

    /// Takes in an answer. Whether something else holds now.
    fn hear(&mut self, answer: Known<V>, now: Instant) -> bool {
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

/// All objects of a kind that are named.
pub(super) struct Keyring<K: Kind> {
    client: Client,
    watched: BTreeMap<Name, DropGuard>,
    held: BTreeMap<Name, Held<K::Value>>,
    tasks: JoinSet<()>,
    told: mpsc::Sender<(Name, Known<K::Value>)>,
    news: mpsc::Receiver<(Name, Known<K::Value>)>,
}

impl<K: Kind> Keyring<K> {
    pub(super) fn new(client: Client) -> Keyring<K> {
        let (told, news) = mpsc::channel(NEWS_MAX);
        let (watched, held) = (BTreeMap::new(), BTreeMap::new());
        Keyring { client, watched, held, tasks: JoinSet::new(), told, news }
    }

    /// Watches exactly `named` from now on.
    pub(super) fn watch(&mut self, named: &BTreeSet<Name>) {
        self.watched.retain(|name, _| named.contains(name));
        self.held.retain(|name, _| named.contains(name));
        while self.tasks.try_join_next().is_some() {}
        for name in named {
            if self.watched.contains_key(name) {
                continue;
            }
            let stop = CancellationToken::new();
            self.tasks.spawn(follow::<K>(self.client.clone(), name.clone(), self.told.clone(), stop.clone()));
            self.watched.insert(name.clone(), stop.drop_guard());
        }
    }

    /// The next one of which something else is known than before. Cancel safe.
    pub(super) async fn changed(&mut self) -> Name {
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
    pub(super) fn knows(&self, name: &Name) -> bool {
        self.held.contains_key(name)
    }

    /// What is known of one.
    fn known(&self, namespace: &str, name: &str) -> Option<&Known<K::Value>> {
        self.held.get(&(namespace.to_owned(), name.to_owned())).map(|held| &held.known)
    }
}

/// Watches one object until `stop`.
async fn follow<K: Kind>(
    client: Client,
    name: Name,
    told: mpsc::Sender<(Name, Known<K::Value>)>,
    stop: CancellationToken,
) {
    let api = Api::<K::Object>::namespaced(client, &name.0);
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
            Some(Ok(object)) => object.as_ref().map_or(Known::Absent, K::of),
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
    use crate::model::Secret;

    type Known = super::Known<Secret>;

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
