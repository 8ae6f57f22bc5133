//! Turns: whose resource is judged next.
//!
//! In: resources to judge. Out: one at a time, the namespaces in turn. Never: two of one namespace at once, so that what one
//! has to be judged for long leaves the others their places.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::model::TenantId;

/// Resources that wait, namespace by namespace.
#[derive(Debug, Default)]
pub(super) struct Turns {
    waiting: BTreeMap<String, VecDeque<TenantId>>,
    /// The namespaces that wait and are not busy, in their order.
    order: VecDeque<String>,
    busy: BTreeSet<String>,
}

impl Turns {
    /// Puts a resource behind the others of its namespace, unless it waits already.
    pub(super) fn push(&mut self, id: TenantId) {
        let namespace = id.namespace.clone();
        let queue = self.waiting.entry(namespace.clone()).or_default();
        if queue.contains(&id) {
            return;
        }
        queue.push_back(id);
        if queue.len() == 1 && !self.busy.contains(&namespace) {
            self.order.push_back(namespace);
        }
    }

    /// The next one. Its namespace has no other until [`Turns::done`].
    pub(super) fn next(&mut self) -> Option<TenantId> {
        let namespace = self.order.pop_front()?;
        let queue = self.waiting.get_mut(&namespace)?;
        let id = queue.pop_front()?;
        if queue.is_empty() {
            self.waiting.remove(&namespace);
        }
        self.busy.insert(namespace);
        Some(id)
    }

    /// The one that was taken of this namespace is judged.
    pub(super) fn done(&mut self, namespace: &str) {
        if self.busy.remove(namespace) && self.waiting.contains_key(namespace) {
            self.order.push_back(namespace.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> TenantId {
        let (namespace, name) = text.split_once('/').unwrap();
        TenantId { namespace: namespace.to_owned(), name: name.to_owned() }
    }

    fn taken(turns: &mut Turns, most: usize) -> Vec<String> {
        (0..most).map_while(|_| turns.next()).map(|id| id.to_string()).collect()
    }

    #[test]
    fn namespaces_take_turns_however_much_one_of_them_has() {
        let mut turns = Turns::default();
        ["evil/1", "evil/2", "evil/3", "evil/2", "a/1", "b/1", "b/2"]
            .map(id)
            .into_iter()
            .for_each(|id| turns.push(id));
        assert_eq!(taken(&mut turns, 9), ["evil/1", "a/1", "b/1"], "one of each at once");
        turns.push(id("evil/1"));
        turns.done("evil");
        turns.done("b");
        turns.push(id("c/1"));
        assert_eq!(taken(&mut turns, 9), ["evil/2", "b/2", "c/1"]);
        for (done, next) in [("evil", &["evil/3"][..]), ("evil", &["evil/1"]), ("evil", &[]), ("a", &[])] {
            turns.done(done);
            assert_eq!(taken(&mut turns, 9), next);
        }
    }
}
