//! Registry: what the watches have brought, and the sources that follow from it.
//!
//! In: changes of objects, block by block. Out: sources, and what is wrong.
//! Never: a source forgotten because of an error or a list that has not ended; a new `Arc` for a source that is as it
//! was; IO or a clock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::time::Instant;

use super::block::Block;
use super::found::{self, Mapped};
use crate::discover::Presence;
use crate::model::{Source, SourceName};

/// Sources of one block. Every tenant asks every source, so more would be a mistaken selector.
pub const SOURCES_PER_BLOCK_MAX: usize = 500;

/// Problems that are kept; who has more reads these first.
const PROBLEMS_MAX: usize = 50;

/// What is said of a source that no object stands for. Which of these it is, only the next object can tell.
const ABSENT: &str = "its object is gone from the cluster, has no address, or is no longer selected";

/// What is said of a watch whose first list was asked for.
const UNANSWERED: &str = "the API server has not listed what is there yet";

/// What a watch tells.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Change {
    /// A list begins.
    Listing,
    /// An object of that list.
    Listed(String, Vec<Mapped>),
    /// The list is complete: what is not in it is gone.
    ListEnded,
    /// An object is there, or changed.
    Applied(String, Vec<Mapped>),
    /// An object is gone.
    Deleted(String),
    /// The API server has taken the watch, and says nothing more until something changes.
    Watching,
    /// The watch goes on when it can.
    Failed(String),
}

/// All blocks.
pub(super) struct Registry {
    entries: Vec<Entry>,
}

/// One block: its watches, and the sources known of it.
struct Entry {
    block: Arc<Block>,
    scopes: Vec<Scope>,
    known: BTreeMap<SourceName, Known>,
}

/// One watch: what it watches, and the objects it has brought.
struct Scope {
    name: String,
    objects: BTreeMap<String, Vec<Mapped>>,
    listing: Option<BTreeMap<String, Vec<Mapped>>>,
    listed: bool,
    /// What went wrong last, until something went well.
    error: Option<String>,
}

struct Known {
    source: Arc<Source>,
    presence: Presence,
    gone_since: Option<Instant>,
}

impl Registry {
    /// Blocks, each with the names of its watches.
    pub(super) fn new(blocks: impl IntoIterator<Item = (Arc<Block>, Vec<String>)>) -> Registry {
        let scope =
            |name| Scope { name, objects: BTreeMap::new(), listing: None, listed: false, error: None };
        let entry = |(block, scopes): (_, Vec<String>)| Entry {
            block,
            scopes: scopes.into_iter().map(scope).collect(),
            known: BTreeMap::new(),
        };
        Registry { entries: blocks.into_iter().map(entry).collect() }
    }

    /// Takes over what a watch tells.
    pub(super) fn apply(&mut self, (entry, scope): (usize, usize), change: Change) {
        let scope = &mut self.entries[entry].scopes[scope];
        // The beginning of a list is none of these: it is announced before it is asked for.
        if matches!(change, Change::ListEnded | Change::Applied(..) | Change::Deleted(_) | Change::Watching) {
            scope.error = None;
        }
        match change {
            Change::Listing => scope.listing = Some(BTreeMap::new()),
            Change::Listed(key, mapped) => _ = scope.listing.get_or_insert_default().insert(key, mapped),
            Change::ListEnded => {
                scope.objects = scope.listing.take().unwrap_or_default();
                scope.listed = true;
            }
            Change::Applied(key, mapped) => _ = scope.objects.insert(key, mapped),
            Change::Deleted(key) => _ = scope.objects.remove(&key),
            Change::Watching => {}
            Change::Failed(error) => scope.error = Some(error),
        }
    }

    /// Whether every watch has listed its objects once.
    pub(super) fn is_complete(&self) -> bool {
        self.entries.iter().all(|entry| entry.scopes.iter().all(|scope| scope.listed))
    }

    /// Brings the sources up to date.
    pub(super) fn refresh(&mut self, now: Instant) -> Refreshed {
        let mut refreshed = Refreshed::default();
        for entry in &mut self.entries {
            entry.refresh(now, &mut refreshed.problems);
            let known = entry.known.values();
            refreshed.sources.extend(known.map(|known| (known.source.clone(), known.presence.clone())));
        }
        let more = refreshed.problems.len().saturating_sub(PROBLEMS_MAX);
        while refreshed.problems.len() > PROBLEMS_MAX {
            refreshed.problems.pop_last();
        }
        if more > 0 {
            refreshed.problems.insert("…".to_owned(), format!("and {more} more"));
        }
        refreshed
    }

    /// When the next source has been gone for long enough.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        let of = |entry: &Entry| {
            let since = entry.known.values().filter_map(|known| known.gone_since).min();
            since.map(|since| since + entry.block.keep_absent)
        };
        self.entries.iter().filter_map(of).min()
    }
}

/// What follows from the objects, now.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Refreshed {
    /// In the blocks' order, and by name within each.
    pub(super) sources: Vec<(Arc<Source>, Presence)>,
    /// By where.
    pub(super) problems: BTreeMap<String, String>,
}

impl Entry {
    fn refresh(&mut self, now: Instant, problems: &mut BTreeMap<String, String>) {
        for scope in &self.scopes {
            problems.extend(scope.problem().map(|problem| (scope.name.clone(), problem)));
        }
        let Present { mut found, unusable } = self.present();
        let keep_absent = self.block.keep_absent;
        self.known.retain(|name, known| match (found.remove(name), unusable.get(name.as_str())) {
            (Some(found), _) => {
                known.meet(found);
                true
            }
            // Its object is there, so it is to be mended, however long that takes.
            (None, Some(why)) => {
                known.gone_since = None;
                known.presence = Presence::Gone(format!("its object cannot be used: {why}"));
                true
            }
            (None, None) => {
                let since = *known.gone_since.get_or_insert(now);
                known.presence = Presence::Gone(ABSENT.to_owned());
                now < since + keep_absent
            }
        });
        problems.extend(unusable);
        for (name, found) in found {
            if self.known.len() == SOURCES_PER_BLOCK_MAX {
                let why = format!("finds more than {SOURCES_PER_BLOCK_MAX} servers: narrow its selector");
                problems.insert(format!("discovery block {}", self.block.name), why);
                break;
            }
            let found::Found { source, presence, .. } = found;
            self.known.insert(name, Known { source: Arc::new(source), presence, gone_since: None });
        }
    }

    /// Every server there is, once: one that takes traffic before one that does not, then by its better address.
    fn present(&self) -> Present {
        let mapped = || self.scopes.iter().flat_map(|scope| scope.objects.values().flatten());
        let first = |found: &&found::Found| found.preference == found::Preference::First;
        let with_first: BTreeSet<&String> =
            mapped().flatten().filter(first).filter_map(|found| found.nameless.as_ref()).collect();
        let mut present = Present::default();
        for mapped in mapped() {
            let found = match mapped {
                Ok(found) => found,
                Err(skipped) => {
                    present.unusable.insert(skipped.name.clone(), skipped.why.clone());
                    continue;
                }
            };
            if !first(&found) && found.nameless.as_ref().is_some_and(|service| with_first.contains(service)) {
                continue;
            }
            match present.found.get_mut(&found.source.name) {
                Some(other) if rank(found) < rank(other) => *other = found.clone(),
                Some(_) => {}
                None => _ = present.found.insert(found.source.name.clone(), found.clone()),
            }
        }
        present
    }
}

/// What the objects of a block stand for.
#[derive(Default)]
struct Present {
    found: BTreeMap<SourceName, found::Found>,
    /// What would be a source and cannot be one, and why.
    unusable: BTreeMap<String, String>,
}

impl Scope {
    /// What keeps its objects from being known.
    fn problem(&self) -> Option<String> {
        let unanswered = || (!self.listed).then(|| UNANSWERED.to_owned());
        self.error.clone().or_else(unanswered)
    }
}

/// Of two finds of one server the one with the smaller rank is used; the first of equals.
fn rank(found: &found::Found) -> (bool, found::Preference) {
    (found.presence != Presence::Ready, found.preference)
}

impl Known {
    fn meet(&mut self, found: found::Found) {
        let found::Found { source, presence, .. } = found;
        if *self.source != source {
            self.source = Arc::new(source);
        }
        self.presence = presence;
        self.gone_since = None;
    }
}
