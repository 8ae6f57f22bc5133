//! Cursor: remembers up to which tick each endpoint has acknowledged everything, and what the tags of filters stood for then.
//!
//! In: ticks that were acknowledged in full, filters that are ready. Out: where to go on, after a pause or a restart, and
//! with which filters.
//! Never: a step back, a half-written file, or a file that is thrown away because it cannot be understood.
//!
//! The file is replaced as a whole (written beside, synced, renamed), so that a crash leaves the old one or the new
//! one. What was acknowledged since the last save is sent again after a crash: no more of it than is due between two saves, since
//! who catches up waits for one ([`Store::saved_for`]).

mod file;
mod saving;
mod tags;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use saving::Saves;

use super::Error;
use crate::model::{ENDED_CURSORS_MAX, Tags, TenantId, Tick, Timestamp};

/// How long the cursors of a tenant that is gone are kept, in case it comes back.
pub const VANISHED_KEPT: Duration = Duration::from_secs(24 * 3600);

/// What has a cursor of its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Whose series.
    pub tenant: TenantId,
    /// The name of the source group they come from.
    pub group: String,
    /// Where they go: [`crate::model::Endpoint::key`].
    pub endpoint: String,
}

/// Where an endpoint stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cursor {
    /// The newest tick acknowledged in full, or, of a lane that has delivered nothing yet, a moment before its first one; what
    /// follows it is owed.
    Delivered(Timestamp),
    /// Likewise, but then the tenant or its endpoint was taken away: nothing is owed for the time since.
    Ended(Timestamp),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    delivered: Timestamp,
    ended: bool,
    vanished: Option<Timestamp>,
}

impl Entry {
    fn cursor(&self) -> Cursor {
        match self {
            Entry { delivered, ended: false, vanished: None } => Cursor::Delivered(*delivered),
            Entry { delivered, .. } => Cursor::Ended(*delivered),
        }
    }
}

#[derive(Debug, Default)]
struct State {
    cursors: BTreeMap<Key, Entry>,
    /// Of whom there is nothing, nothing is known.
    tags: BTreeMap<TenantId, Tags>,
    /// How often a cursor, or a tag, of each tenant has changed.
    epochs: HashMap<TenantId, u64>,
    dirty: bool,
    /// What the file says.
    saved: BTreeMap<Key, Entry>,
}

/// All cursors of this process; clones share them.
#[derive(Debug, Clone)]
pub struct Store {
    state: Arc<Mutex<State>>,
    /// Held while the file is written, so that an older state never overwrites a newer one.
    file: Arc<Mutex<Option<PathBuf>>>,
    saves: Arc<Saves>,
}

impl State {
    /// Of the ended cursors of a tenant only the newest are kept.
    fn forget_ended(&mut self, tenant: &TenantId) {
        let mut ended: Vec<_> =
            self.of(tenant).filter(|(_, entry)| entry.ended).map(|(k, e)| (e.delivered, k.clone())).collect();
        if ended.len() > ENDED_CURSORS_MAX {
            ended.sort_unstable();
            for (_, key) in &ended[..ended.len() - ENDED_CURSORS_MAX] {
                self.cursors.remove(key);
            }
        }
    }

    fn of(&self, tenant: &TenantId) -> impl Iterator<Item = (&Key, &Entry)> {
        let first = Key { tenant: tenant.clone(), group: String::new(), endpoint: String::new() };
        self.cursors.range(first..).take_while(move |(key, _)| key.tenant == *tenant)
    }

    fn changed(&mut self, tenant: &TenantId) {
        self.dirty = true;
        match self.epochs.get_mut(tenant) {
            Some(epoch) => *epoch += 1,
            None => _ = self.epochs.insert(tenant.clone(), 1),
        }
    }
}

impl Store {
    /// Cursors that end with the process.
    pub fn in_memory() -> Store {
        Store { state: Arc::default(), file: Arc::default(), saves: Arc::default() }
    }

    /// Cursors kept in a file that is saved so often ([`Store::run`]), made with its folder if it is not there. A file that cannot be understood is moved
    /// aside to `<path>.corrupt`, reported, and counts as none. Blocks on the disk.
    ///
    /// An error means that the file could not be kept even now: better known at the start than after a crash.
    pub fn open(path: PathBuf, every: Duration) -> Result<Store, Error> {
        let fail = |source| Error::State { path: path.clone(), source };
        let (cursors, tags) = file::read(&path).map_err(fail)?;
        file::write(&path, &cursors, &tags).map_err(fail)?;
        let state = State { saved: cursors.clone(), cursors, tags, ..State::default() };
        let saves = Arc::new(Saves::every(every));
        Ok(Store { state: Arc::new(Mutex::new(state)), file: Arc::new(Mutex::new(Some(path))), saves })
    }

    /// Where the endpoint stands, if a lane ever began.
    pub fn get(&self, key: &Key) -> Option<Cursor> {
        self.lock().cursors.get(key).map(Entry::cursor)
    }

    /// Notes that nothing is owed any more, and says which tick was the last.
    pub fn end(&self, key: &Key) -> Option<Timestamp> {
        let mut state = self.lock();
        let entry = state.cursors.get_mut(key)?;
        entry.ended = true;
        let delivered = entry.delivered;
        state.forget_ended(&key.tenant);
        state.changed(&key.tenant);
        Some(delivered)
    }

    /// Notes that a lane begins whose ticks after `since` are owed, unless that is known of what it stands at.
    pub fn begin(&self, key: &Key, since: Timestamp) {
        let mut state = self.lock();
        let held = state.cursors.get(key).map(Entry::cursor);
        let delivered = match held {
            Some(Cursor::Delivered(_)) => return,
            Some(Cursor::Ended(last)) => last.max(since),
            None => since,
        };
        state.cursors.insert(key.clone(), Entry { delivered, ended: false, vanished: None });
        state.changed(&key.tenant);
    }

    /// Notes that `tick` was acknowledged in full. An older tick than the one noted changes nothing.
    pub fn advance(&self, key: &Key, tick: Tick) {
        let delivered = tick.timestamp();
        let mut state = self.lock();
        if state.cursors.get(key).is_some_and(|held| held.delivered >= delivered) {
            return;
        }
        let entry = Entry { delivered, ended: false, vanished: None };
        match state.cursors.get_mut(key) {
            Some(held) => *held = entry,
            None => _ = state.cursors.insert(key.clone(), entry),
        }
        state.changed(&key.tenant);
    }

    /// All cursors of a tenant, as another process is to find them.
    pub fn of(&self, tenant: &TenantId) -> Vec<(Key, Cursor)> {
        self.lock().of(tenant).map(|(key, entry)| (key.clone(), entry.cursor())).collect()
    }

    /// Takes over cursors that another process left. None moves back: of two cursors the newer one counts, and at the
    /// same tick the one that ended.
    pub fn restore(&self, cursors: impl IntoIterator<Item = (Key, Cursor)>) {
        let mut state = self.lock();
        for (key, cursor) in cursors {
            let (delivered, ended) = match cursor {
                Cursor::Delivered(tick) => (tick, false),
                Cursor::Ended(tick) => (tick, true),
            };
            let held = state.cursors.get(&key).map(|held| (held.delivered, held.ended));
            if held.is_some_and(|held| held >= (delivered, ended)) {
                continue;
            }
            state.changed(&key.tenant);
            state.cursors.insert(key, Entry { delivered, ended, vanished: None });
        }
    }

    /// A number that is another one whenever a cursor or a tag of the tenant has changed.
    pub fn epoch(&self, tenant: &TenantId) -> u64 {
        self.lock().epochs.get(tenant).copied().unwrap_or(0)
    }

    /// Forgets all cursors of a tenant at once: it then starts at the present, as a new one does.
    pub fn forget(&self, tenant: &TenantId) {
        self.retain(|key, _| key.tenant != *tenant);
    }

    /// Notes which tenants there are; those that have been gone for [`VANISHED_KEPT`] are forgotten, what their tags stood
    /// for at once: whoever adds a filter again means what the tag stands for then.
    pub fn forget_vanished(&self, present: &HashSet<TenantId>, now: Timestamp) {
        self.retain_tags(present);
        self.retain(|key, cursor| {
            let since = *cursor.vanished.get_or_insert(now);
            if present.contains(&key.tenant) {
                cursor.vanished = None;
            }
            cursor.vanished.is_none() || now.since(since) < VANISHED_KEPT
        });
    }

    /// Saves what changed since the last time; says whether anything had. Blocks on the disk. After an error the
    /// change is still to be saved, and the file is what it was.
    pub fn save_if_dirty(&self) -> Result<bool, Error> {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(path) = &*file else { return Ok(false) };
        let (cursors, tags) = {
            let mut state = self.lock();
            if !std::mem::take(&mut state.dirty) {
                return Ok(false);
            }
            (state.cursors.clone(), state.tags.clone())
        };
        file::write(path, &cursors, &tags).map_err(|source| {
            self.lock().dirty = true;
            Error::State { path: path.clone(), source }
        })?;
        self.lock().saved = cursors;
        Ok(true)
    }

    fn retain(&self, mut keep: impl FnMut(&Key, &mut Entry) -> bool) {
        let mut state = self.lock();
        let State { cursors, epochs, dirty, .. } = &mut *state;
        let mut changed = HashSet::new();
        cursors.retain(|key, cursor| {
            let before = *cursor;
            let kept = keep(key, cursor);
            if !kept || *cursor != before {
                *dirty = true;
                changed.insert(key.tenant.clone());
            }
            kept
        });
        for tenant in changed {
            *epochs.entry(tenant).or_default() += 1;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
