//! Memory: what the tables of series may take, those of a namespace together, and those of the whole process.
//!
//! In: what a table is about to hold. Out: whether it may. Never: more held than was taken, or anything still held for a
//! table that is gone.
//!
//! What is counted is a price, not the allocator's figure: what a series costs at most is known before it is there,
//! and the same for the same series. So a tick is within the limit or beyond it whenever it is asked for, and one
//! tenant's million long labels cost its own ticks, and not the process.
//!
//! What a lane sends is its own: its namespace and the process pay for it ([`Memory::hold`]). What a source answered is shared:
//! the process pays once ([`Memory::hold_shared`]), and each namespace that asks pays in full ([`Payer::hold`]), as if it were
//! the only one, so that nobody has less room because of what others ask.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// What all tables may take. Clones share everything.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    process: Arc<Account>,
    /// Held weakly: a namespace without tables is forgotten.
    namespaces: Arc<Mutex<HashMap<Arc<str>, Weak<Account>>>>,
}

/// A namespace that pays for what it asks for.
#[derive(Debug, Clone)]
pub struct Payer {
    name: Arc<str>,
    account: Arc<Account>,
}

impl Memory {
    /// All namespaces together may take so many bytes.
    pub fn new(bytes_max: usize) -> Memory {
        Memory { process: Arc::new(Account::new(bytes_max)), namespaces: Arc::default() }
    }

    /// The namespace, whose tables may hold `bytes_max` together; if it was told otherwise before, the last word counts.
    pub fn payer(&self, namespace: &str, bytes_max: usize) -> Payer {
        let mut namespaces = self.namespaces.lock().unwrap_or_else(PoisonError::into_inner);
        let known = namespaces.get_key_value(namespace);
        let known = known.and_then(|(name, account)| Some((name.clone(), account.upgrade()?)));
        let (name, account) = known.unwrap_or_else(|| {
            namespaces.retain(|_, account| account.strong_count() > 0);
            let (name, account): (Arc<str>, _) = (namespace.into(), Arc::new(Account::new(bytes_max)));
            namespaces.insert(name.clone(), Arc::downgrade(&account));
            (name, account)
        });
        account.max.store(bytes_max, Ordering::Relaxed);
        Payer { name, account }
    }

    /// What `payer` has for itself; nothing yet. The process pays as well.
    pub fn hold(&self, payer: &Payer) -> Held {
        Held { namespace: payer.account.clone(), process: Arc::clone(&self.process), bytes: 0 }
    }

    /// What the process has for several namespaces; nothing yet.
    pub fn hold_shared(&self) -> Held {
        Held { namespace: Arc::default(), process: Arc::clone(&self.process), bytes: 0 }
    }
}

impl Payer {
    /// The namespace.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Its share of what the process holds for several; nothing yet.
    pub fn hold(&self) -> Held {
        Held { namespace: self.account.clone(), process: Arc::default(), bytes: 0 }
    }
}

/// Bytes taken, and the most there may be.
#[derive(Debug)]
struct Account {
    used: AtomicUsize,
    max: AtomicUsize,
}

/// Without a limit.
impl Default for Account {
    fn default() -> Account {
        Account::new(usize::MAX)
    }
}

impl Account {
    fn new(max: usize) -> Account {
        Account { used: AtomicUsize::new(0), max: AtomicUsize::new(max) }
    }

    /// Takes all of it, or nothing and says what the most is.
    fn take(&self, bytes: usize) -> Result<(), usize> {
        let max = self.max.load(Ordering::Relaxed);
        let within = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= max);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, within).map(|_| ()).map_err(|_| max)
    }

    fn give(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// What one table holds. Dropping it gives everything back. The default is without a limit.
#[derive(Debug, Default)]
pub struct Held {
    namespace: Arc<Account>,
    process: Arc<Account>,
    bytes: usize,
}

impl Held {
    /// Takes so much more, or nothing.
    pub fn take(&mut self, bytes: usize) -> Result<(), Full> {
        self.namespace.take(bytes).map_err(|max| Full::Namespace { max })?;
        if let Err(max) = self.process.take(bytes) {
            self.namespace.give(bytes);
            return Err(Full::Process { max });
        }
        self.bytes += bytes;
        Ok(())
    }

    /// Gives back so much of what was taken.
    pub fn give(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        self.namespace.give(bytes);
        self.process.give(bytes);
    }

    /// What is held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// What all tables of the namespace hold.
    pub fn of_namespace(&self) -> usize {
        self.namespace.used.load(Ordering::Relaxed)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.give(self.bytes);
    }
}

/// There is no room for another series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// The operator allows the namespace no more.
    #[error(
        "all series of the namespace, with their labels, take more than {max} bytes (limits.maxMemory), so nothing of the \
         tick is delivered; select fewer, write fewer or shorter extraLabels, or ask the operator to allow more"
    )]
    Namespace {
        /// The limit.
        max: usize,
    },
    /// The process has no more.
    #[error(
        "the series of all tenants here take {max} bytes, which is all that this replica has for them, so nothing of the \
         tick is delivered; select fewer, or ask the operator for replicas with more memory"
    )]
    Process {
        /// What there is.
        max: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMESPACE_FULL: Full = Full::Namespace { max: 10 };

    fn hold(memory: &Memory, namespace: &str, bytes_max: usize) -> Held {
        memory.hold(&memory.payer(namespace, bytes_max))
    }

    #[test]
    fn tables_of_a_namespace_share_and_other_namespaces_do_not_feel_it() {
        let memory = Memory::new(usize::MAX);
        let (mut a, mut b) = (hold(&memory, "web", 10), hold(&memory, "web", 10));
        let mut other = hold(&memory, "db", 10);
        assert_eq!((a.take(6), b.take(5), b.take(4)), (Ok(()), Err(NAMESPACE_FULL), Ok(())));
        assert_eq!((other.take(10), b.of_namespace()), (Ok(()), 10));
        a.give(6);
        assert_eq!((b.take(6), b.of_namespace()), (Ok(()), 10));
    }

    #[test]
    fn what_a_table_held_is_free_when_it_is_gone() {
        let memory = Memory::new(10);
        let mut a = hold(&memory, "web", 10);
        assert_eq!(a.take(10), Ok(()));
        drop(a);
        assert_eq!(hold(&memory, "web", 10).take(10), Ok(()));
        assert_eq!(hold(&memory, "db", 10).take(10), Ok(()));
    }

    #[test]
    fn the_process_has_a_limit_of_its_own_and_a_refusal_takes_nothing() {
        let memory = Memory::new(15);
        let (mut web, mut db) = (hold(&memory, "web", 10), hold(&memory, "db", 10));
        assert_eq!(web.take(10), Ok(()));
        assert_eq!(db.take(6), Err(Full::Process { max: 15 }));
        assert_eq!((db.of_namespace(), db.take(5)), (0, Ok(())));
    }

    #[test]
    fn the_last_word_about_a_limit_counts() {
        let memory = Memory::new(usize::MAX);
        let mut a = hold(&memory, "web", 10);
        assert_eq!(a.take(11), Err(NAMESPACE_FULL));
        let _edited = hold(&memory, "web", 20);
        assert_eq!(a.take(11), Ok(()));
        let _edited = hold(&memory, "web", 10);
        assert_eq!((a.take(1), a.of_namespace()), (Err(NAMESPACE_FULL), 11), "nothing is taken away");
    }

    #[test]
    fn giving_more_than_was_taken_gives_what_was_taken() {
        let memory = Memory::new(10);
        let (mut a, mut b) = (hold(&memory, "web", 10), hold(&memory, "web", 10));
        assert_eq!((a.take(4), b.take(4)), (Ok(()), Ok(())));
        a.give(100);
        assert_eq!(b.of_namespace(), 4);
    }

    #[test]
    fn what_is_shared_costs_the_process_once_and_each_namespace_in_full() {
        let memory = Memory::new(15);
        let (web, db) = (memory.payer("web", 10), memory.payer("db", 20));
        let (mut shared, mut of_web, mut of_db) = (memory.hold_shared(), web.hold(), db.hold());
        assert_eq!((shared.take(10), of_web.take(10), of_db.take(10)), (Ok(()), Ok(()), Ok(())));
        assert_eq!(of_web.take(1), Err(NAMESPACE_FULL));
        assert_eq!(shared.take(6), Err(Full::Process { max: 15 }));
        assert_eq!(memory.hold(&db).take(5), Ok(()), "of the process 5 are left");
        assert_eq!((of_web.of_namespace(), of_db.of_namespace()), (10, 10));
    }
}
