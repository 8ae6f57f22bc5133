//! Slots: how many instances may be kept between calls, by one namespace and by all.
//!
//! In: who wants to keep one. Out: a slot, given back when it is dropped. Never: so many kept that filters without state find no
//! instance for their calls, or that one namespace has them all.

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

    /// A slot for `namespace`; the limit that stands against it if there is none.
    pub(super) fn take(self: &Arc<Slots>, namespace: &str) -> Result<Slot, u32> {
        let mut taken = self.lock();
        if taken.values().sum::<u32>() >= self.max {
            return Err(self.max);
        }
        let own = taken.entry(namespace.to_owned()).or_default();
        if *own >= self.namespace_max {
            return Err(self.namespace_max);
        }
        *own += 1;
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

    #[test]
    fn a_namespace_keeps_a_part_of_what_may_be_kept_and_gives_it_back() {
        let slots = Arc::new(Slots::of(32));
        let mut greedy: Vec<Slot> = (0..6).map(|_| slots.take("greedy").unwrap()).collect();
        assert_eq!(slots.take("greedy").unwrap_err(), 6);
        let others: Vec<Slot> = (0..18).map(|n| slots.take(&format!("n{}", n / 6)).unwrap()).collect();
        assert_eq!(slots.take("late").unwrap_err(), 24, "the rest is for those that keep none");
        greedy.pop();
        assert!(slots.take("greedy").is_ok() && slots.take("late").is_ok());
        drop((greedy, others));
        assert!(slots.lock().is_empty());
    }
}
