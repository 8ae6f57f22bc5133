//! Watch: a stream of changes.
//!
//! In: what is watched, and from which version. Out: one JSON line per change that a selector lets through, bookmarks,
//! and an `ERROR` when the version is gone. Never: a change left out, or told twice.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use serde_json::{Value, json};
use tokio::sync::watch::Receiver;
use tokio::time::{Instant, sleep_until};

use super::errors::Refusal;
use super::options;
use super::read::Read;
use super::selectors::Selector;
use super::server::Server;
use super::state::State;
use super::store::{Change, What};

/// A bookmark comes about this often.
const BOOKMARK_INTERVAL: Duration = Duration::from_secs(60);

/// And once this long before the end.
const BOOKMARK_BEFORE_END: Duration = Duration::from_secs(2);

/// A watch that lives no longer than this gets none.
const BOOKMARKLESS_LIFE: Duration = Duration::from_secs(3);

/// A watch without `timeoutSeconds` ends after this long; a real server picks between 30 and 60 minutes.
const LIFE_DEFAULT: Duration = Duration::from_secs(30 * 60);

/// An open watch.
pub(super) struct Watch {
    server: Arc<Server>,
    read: Read,
    selector: Selector,
    /// The version up to which everything was told.
    told: u64,
    lines: VecDeque<Bytes>,
    ends_at: Instant,
    next_bookmark: Option<Instant>,
    is_over: bool,
    revisions: Receiver<u64>,
    cuts: Receiver<u64>,
}

impl Watch {
    /// Opens a watch; what is there already is told first where the options say so.
    pub(super) fn open(server: &Arc<Server>, state: &State, read: Read) -> Result<Watch, Refusal> {
        let selector = read.selector()?;
        let now = Instant::now();
        let life = read.options.timeout_seconds.map_or(LIFE_DEFAULT, Duration::from_secs);
        let bookmarks = read.options.bookmarks && life > BOOKMARKLESS_LIFE;
        let last_bookmark = now + life.saturating_sub(BOOKMARK_BEFORE_END);
        let mut watch = Watch {
            server: Arc::clone(server),
            selector,
            told: state.store.revision(),
            lines: VecDeque::new(),
            ends_at: now + life,
            next_bookmark: bookmarks.then(|| last_bookmark.min(now + BOOKMARK_INTERVAL)),
            is_over: false,
            revisions: server.revision.subscribe(),
            cuts: server.cuts.subscribe(),
            read,
        };
        watch.revisions.mark_unchanged();
        watch.cuts.mark_unchanged();
        watch.begin(state)?;
        Ok(watch)
    }

    /// The lines, until the end. A cut is an error in the middle of the body, as a broken connection is.
    pub(super) fn lines(self) -> impl Stream<Item = io::Result<Bytes>> + Send {
        futures::stream::unfold(Some(self), |watch| async {
            let mut watch = watch?;
            match watch.next().await {
                Ok(Some(line)) => Some((Ok(line), Some(watch))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        })
    }

    fn begin(&mut self, state: &State) -> Result<(), Refusal> {
        let options = self.read.options.clone();
        let asked = match options.resource_version.as_deref() {
            None => None,
            Some(text) => {
                let version = options::version(text).map_err(|error| Refusal::internal(error, ""))?;
                Some(version).filter(|version| *version > 0)
            }
        };
        match (options.send_initial_events, asked) {
            (Some(false), None) => {}
            (Some(true), _) | (None, None) => {
                let held = state.store.list(&self.read.kind.storage(), self.read.namespace.as_deref());
                for (_, object) in held {
                    if self.selector.matches(&self.read.kind.seen(&object)) {
                        self.tell("ADDED", &object);
                    }
                }
                if options.send_initial_events == Some(true) && options.bookmarks {
                    self.bookmark(json!({"k8s.io/initial-events-end": "true"}));
                }
            }
            (_, Some(version)) => {
                self.told = version;
                self.reaches_back(state, version);
            }
        }
        Ok(())
    }

    /// Whether the history of the kind begins before `version`.
    fn reaches_back(&mut self, state: &State, version: u64) {
        let kind = &self.read.kind;
        if version < kind.since {
            let since = kind.since;
            self.fail(&Refusal::expired(format!("too old resource version: {version} ({since})")));
        } else if kind.is_core_event && state.store.is_compacted(version) {
            self.fail(&Refusal::expired("The resourceVersion for the provided watch is too old."));
        }
    }

    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            if let Some(line) = self.lines.pop_front() {
                return Ok(Some(line));
            }
            if self.is_over {
                return Ok(None);
            }
            self.catch_up();
            if !self.lines.is_empty() || self.is_over {
                continue;
            }
            let bookmark = self.next_bookmark.unwrap_or(self.ends_at);
            tokio::select! {
                changed = self.revisions.changed() => self.is_over |= changed.is_err(),
                _ = self.cuts.changed() => {
                    return Err(io::Error::new(io::ErrorKind::ConnectionReset, "the watch was cut"));
                }
                () = sleep_until(bookmark), if self.next_bookmark.is_some() => {
                    self.bookmark(Value::Null);
                    let last = self.ends_at - BOOKMARK_BEFORE_END;
                    self.next_bookmark = (bookmark < last).then(|| last.min(bookmark + BOOKMARK_INTERVAL));
                }
                () = sleep_until(self.ends_at) => self.is_over = true,
            }
        }
    }

    /// Tells what changed since the last time.
    fn catch_up(&mut self) {
        let server = Arc::clone(&self.server);
        let state = server.state();
        let (storage, namespace) = (self.read.kind.storage(), self.read.namespace.clone());
        match state.store.since(&storage, namespace.as_deref(), self.told) {
            Ok(changes) => {
                changes.iter().for_each(|change| self.tell_change(change));
                self.told = self.told.max(state.store.revision());
            }
            Err(gone) => {
                let (told, oldest) = (self.told, gone.oldest);
                self.fail(&Refusal::expired(format!("too old resource version: {told} ({oldest})")));
            }
        }
        let kind = &self.read.kind;
        self.is_over |= state.kind_at(&kind.group, &kind.version, &kind.plural).is_none();
    }

    /// What leaves the selector is told as deleted, what enters it as added.
    fn tell_change(&mut self, change: &Change) {
        let kind = Arc::clone(&self.read.kind);
        let matches = |object: &Value| self.selector.matches(&kind.seen(object));
        let is_in = change.what != What::Deleted && matches(&change.object);
        let was_in = change.previous.as_deref().is_some_and(matches);
        match (was_in, is_in) {
            (false, true) => self.tell("ADDED", &change.object),
            (true, true) => self.tell("MODIFIED", &change.object),
            (true, false) => {
                let mut last = change.previous.as_deref().expect("it was in").clone();
                last["metadata"]["resourceVersion"] = change.revision.to_string().into();
                self.tell("DELETED", &last);
            }
            (false, false) => {}
        }
    }

    fn tell(&mut self, what: &str, object: &Value) {
        let object = self.read.view.of(&self.read.kind, object);
        self.line(what, &object);
    }

    fn bookmark(&mut self, annotations: Value) {
        let (kind, api_version) = self.read.view.name_of(&self.read.kind);
        let mut metadata = json!({"resourceVersion": self.told.to_string()});
        if !annotations.is_null() {
            metadata["annotations"] = annotations;
        }
        let object = json!({"kind": kind, "apiVersion": api_version, "metadata": metadata});
        self.line("BOOKMARK", &object);
    }

    fn fail(&mut self, refusal: &Refusal) {
        self.line("ERROR", &refusal.status());
        self.is_over = true;
    }

    /// The type comes first, as a real server writes it: then a reader knows what the object is, and need not hold all of it
    /// before.
    fn line(&mut self, what: &str, object: &Value) {
        self.lines.push_back(format!("{{\"type\":\"{what}\",\"object\":{object}}}\n").into());
    }
}
