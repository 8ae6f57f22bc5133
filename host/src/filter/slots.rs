//! Slots: how many instances may be kept between calls, by one namespace and by all.
//!
//! In: who wants to keep one. Out: a slot, given back when it is dropped. Never: so many kept that filters without state find no
//! instance for their calls, or that a few namespaces have them all.
//!
//! A namespace may keep another one while it keeps fewer than are left for all. So the last quarter is for those who keep little,
//! and half of what is left is left for whoever comes next: Choudhury and Hahne, "Dynamic queue length thresholds for
//! shared-memory packet switches" (1998).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// This part of all instances is for filters without state, which have one only while they are called.
const UNKEPT_PART: u32 = 4;
/// One namespace may keep this part of what may be kept.
const NAMESPACE_PART: u32 = 4;

/// How long instances are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// As long as their pipeline runs: each takes a slot.
    ForTicks,
    /// For one trial. They come out of what is left for filters without state, so that there is room for a trial where all
    /// slots are taken; the caller bounds how many trials there are at once.
    ForTrial,
}

/// Who keeps how many.
#[derive(Debug)]
pub(super) struct Slots {
    max: u32,
    namespace_max: u32,
    taken: Mutex<HashMap<String, u32>>,
}

/// The right to keep one instance.
#[derive(Debug)]
pub(super) struct Slot {
    slots: Arc<Slots>,
    namespace: String,
}

impl Slots {
    /// Of so many instances in all.
    pub(super) fn of(instances_max: u32) -> Slots {
        let max = (instances_max - instances_max / UNKEPT_PART).max(1);
        Slots { max, namespace_max: (max / NAMESPACE_PART).max(1), taken: Mutex::default() }
    }

    /// A slot for `namespace`; how many are kept already, by it or by all, if there is none for it.
    pub(super) fn take(self: &Arc<Slots>, namespace: &str) -> Result<Slot, u32> {
        let mut taken = self.lock();
        let left = self.max.saturating_sub(taken.values().sum());
        if left == 0 {
            return Err(self.max);
        }
        let own = taken.get(namespace).copied().unwrap_or_default();
        if own >= left.min(self.namespace_max) {
            return Err(own);
        }
        *taken.entry(namespace.to_owned()).or_default() += 1;
        Ok(Slot { slots: Arc::clone(self), namespace: namespace.to_owned() })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, u32>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self.slots.lock();
        if let Some(own) = taken.get_mut(&self.namespace) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.namespace);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take_all(slots: &Arc<Slots>, namespace: &str) -> (Vec<Slot>, u32) {
        let mut taken = Vec::new();
        loop {
            match slots.take(namespace) {
                Ok(slot) => taken.push(slot),
                Err(kept) => return (taken, kept),
            }
        }
    }

    #[test]
    fn a_namespace_keeps_a_part_of_what_may_be_kept_and_gives_it_back() {
        let slots = Arc::new(Slots::of(32));
        let (mut greedy, kept) = take_all(&slots, "greedy");
        assert_eq!((greedy.len(), kept), (6, 6));
        greedy.pop();
        assert!(slots.take("greedy").is_ok() && slots.take("late").is_ok());
        drop(greedy);
        assert!(slots.lock().is_empty());
    }

    #[test]
    fn however_many_a_few_namespaces_keep_there_are_some_for_who_keeps_none() {
        let slots = Arc::new(Slots::of(512));
        let all: Vec<_> = (0..6).map(|n| take_all(&slots, &format!("greedy-{n}"))).collect();
        let kept: Vec<_> = all.iter().map(|(taken, kept)| (taken.len(), *kept)).collect();
        assert_eq!(kept, [(96, 96), (96, 96), (96, 96), (48, 48), (24, 24), (12, 12)]);
        let late: Vec<Slot> = (0..6).map(|_| slots.take("late").unwrap()).collect();
        assert_eq!(slots.take("late").unwrap_err(), 6, "somebody may come later still");
        drop((all, late));
    }

    #[test]
    fn namespaces_that_keep_a_few_each_may_have_all_of_them() {
        let slots = Arc::new(Slots::of(32));
        let few: Vec<Slot> = (0..24).map(|n| slots.take(&format!("n{n}")).unwrap()).collect();
        assert_eq!(slots.take("late").unwrap_err(), 24, "the rest is for those that keep none");
        drop(few);
    }
}
