//! Mirror: what a watch has shown, kept over its interruptions.
//!
//! In: a watch's events. Out: which keys changed. Never: anything forgotten because a watch broke; only a complete
//! list says what is gone.

use std::collections::{BTreeMap, BTreeSet};

use kube::runtime::watcher::Event;

/// The objects of one kind, by key.
#[derive(Debug)]
pub(super) struct Mirror<K, V> {
    held: BTreeMap<K, V>,
    /// What the list under way has shown so far.
    listed: BTreeSet<K>,
    complete: bool,
}

impl<K, V> Default for Mirror<K, V> {
    fn default() -> Mirror<K, V> {
        Mirror { held: BTreeMap::new(), listed: BTreeSet::new(), complete: false }
    }
}

impl<K: Ord + Clone, V: PartialEq> Mirror<K, V> {
    /// Whether a list was ever shown to its end.
    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.held.get(key)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.held.iter()
    }

    /// Takes an event in; the keys whose value is another one now, or gone.
    pub(super) fn take<O>(&mut self, event: Event<O>, of: impl FnOnce(O) -> Option<(K, V)>) -> Vec<K> {
        match event {
            Event::Init => {
                self.listed.clear();
                Vec::new()
            }
            Event::InitApply(object) => match of(object) {
                Some((key, value)) => {
                    self.listed.insert(key.clone());
                    self.put(key, value)
                }
                None => Vec::new(),
            },
            Event::InitDone => {
                self.complete = true;
                let listed = std::mem::take(&mut self.listed);
                let gone: Vec<K> = self.held.keys().filter(|key| !listed.contains(key)).cloned().collect();
                for key in &gone {
                    self.held.remove(key);
                }
                gone
            }
            Event::Apply(object) => of(object).map(|(key, value)| self.put(key, value)).unwrap_or_default(),
            Event::Delete(object) => match of(object) {
                Some((key, _)) => self.held.remove(&key).map(|_| key).into_iter().collect(),
                None => Vec::new(),
            },
        }
    }

    /// The newest is kept even if it is equal: equality leaves out what needs no judgement.
    fn put(&mut self, key: K, value: V) -> Vec<K> {
        let equal = self.held.get(&key) == Some(&value);
        self.held.insert(key.clone(), value);
        if equal { Vec::new() } else { vec![key] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(mirror: &mut Mirror<u8, u8>, event: Event<(u8, u8)>) -> Vec<u8> {
        mirror.take(event, Some)
    }

    #[test]
    fn what_a_new_list_does_not_show_is_gone_only_at_its_end() {
        let mut mirror = Mirror::default();
        for event in [Event::Init, Event::InitApply((1, 1)), Event::InitApply((2, 2))] {
            take(&mut mirror, event);
        }
        assert!(!mirror.is_complete());
        assert_eq!(take(&mut mirror, Event::InitDone), [0_u8; 0]);
        assert!(mirror.is_complete());
        // The watch broke and lists again.
        assert_eq!(take(&mut mirror, Event::Init), [0_u8; 0]);
        assert_eq!(take(&mut mirror, Event::InitApply((2, 2))), [0_u8; 0]);
        assert_eq!(mirror.get(&1), Some(&1));
        assert_eq!(take(&mut mirror, Event::InitApply((3, 3))), [3]);
        assert_eq!(take(&mut mirror, Event::InitDone), [1]);
        assert_eq!(mirror.iter().map(|(key, _)| *key).collect::<Vec<_>>(), [2, 3]);
    }

    #[test]
    fn only_changes_are_told() {
        let mut mirror = Mirror::default();
        assert_eq!(take(&mut mirror, Event::Apply((1, 1))), [1]);
        assert_eq!(take(&mut mirror, Event::Apply((1, 1))), [0_u8; 0]);
        assert_eq!(take(&mut mirror, Event::Apply((1, 2))), [1]);
        assert_eq!(take(&mut mirror, Event::Delete((1, 0))), [1]);
        assert_eq!(take(&mut mirror, Event::Delete((1, 0))), [0_u8; 0]);
    }
}
