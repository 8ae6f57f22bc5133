//! Memory: what the tables of series may take, those of a namespace together, and those of the whole process.
//!
//! In: what a table is about to hold. Out: whether it may. Never: more held than was taken, or anything still held for a
//! table that is gone.
//!
//! What is counted is a price, not the allocator's figure: what a series costs at most is known before it is there,
//! and the same for the same series. So a tick is within the limit or beyond it whenever it is asked for, and one
//! tenant's million long labels cost its own ticks, and not the process.
//!
//! What a lane sends is its own: its namespace and the process pay for it ([`Payer::hold_own`]). What a source answered is shared:
//! the process pays once ([`Memory::hold_shared`]), and each namespace that asks pays in full ([`Payer::hold`]), as if it were
//! the only one, so that nobody has less room because of what others ask.
//!
//! A quarter of the process' memory is kept for namespaces that hold less than an equal share of it: however many others are at their
//! limits, there is room for who is modest. What is held for nobody by name is not: whoever takes it for somebody says whether that one is
//! ([`Held::take_for`]).

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// This part of the process' memory is for namespaces that hold less than an equal share of it.
const RESERVED_PART: usize = 4;

/// What all tables may take. Clones share everything.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    pool: Arc<Pool>,
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
        Memory { pool: Arc::new(Pool { max: bytes_max, ..Pool::default() }), namespaces: Arc::default() }
    }

    /// The namespace, whose tables may hold `bytes_max` together; if it was told otherwise before, the last word counts.
    pub fn payer(&self, namespace: &str, bytes_max: usize) -> Payer {
        let mut namespaces = self.namespaces.lock().unwrap_or_else(PoisonError::into_inner);
        let known = namespaces.get_key_value(namespace);
        let known = known.and_then(|(name, account)| Some((name.clone(), account.upgrade()?)));
        let (name, account) = known.unwrap_or_else(|| {
            namespaces.retain(|_, account| account.strong_count() > 0);
            let (name, account): (Arc<str>, _) = (namespace.into(), Arc::new(Account::new(&self.pool)));
            namespaces.insert(name.clone(), Arc::downgrade(&account));
            (name, account)
        });
        account.max.store(bytes_max, Ordering::Relaxed);
        Payer { name, account }
    }

    /// What the process has for several namespaces; nothing yet.
    pub fn hold_shared(&self) -> Held {
        Held { namespace: None, pool: Some(Arc::clone(&self.pool)), bytes: 0 }
    }
}

impl Payer {
    /// One without a limit, of a process that has none either.
    pub fn unlimited(name: &str) -> Payer {
        Memory::default().payer(name, usize::MAX)
    }

    /// The namespace.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What it has for itself; nothing yet. The process pays as well.
    pub fn hold_own(&self) -> Held {
        let pool = Some(Arc::clone(&self.account.pool));
        Held { namespace: Some(self.account.clone()), pool, bytes: 0 }
    }

    /// Its share of what the process holds for several; nothing yet.
    pub fn hold(&self) -> Held {
        Held { namespace: Some(self.account.clone()), pool: None, bytes: 0 }
    }
}

/// What the process has.
#[derive(Debug)]
struct Pool {
    used: AtomicUsize,
    max: usize,
    /// Namespaces with tables.
    namespaces: AtomicUsize,
}

/// Without a limit.
impl Default for Pool {
    fn default() -> Pool {
        Pool { used: AtomicUsize::new(0), max: usize::MAX, namespaces: AtomicUsize::new(0) }
    }
}

impl Pool {
    /// Takes all of it, or nothing. The reserve is for who `is_modest`.
    fn take(&self, bytes: usize, is_modest: bool) -> Result<(), Full> {
        let max = if is_modest { self.max } else { self.max - self.max / RESERVED_PART };
        take(&self.used, bytes, max).map_err(|()| Full::Process { max: self.max })
    }

    /// What each namespace would have if all had the same.
    fn equal_share(&self) -> usize {
        self.max / self.namespaces.load(Ordering::Relaxed).max(1)
    }
}

/// What one namespace has.
#[derive(Debug)]
struct Account {
    used: AtomicUsize,
    max: AtomicUsize,
    pool: Arc<Pool>,
}

impl Account {
    fn new(pool: &Arc<Pool>) -> Account {
        pool.namespaces.fetch_add(1, Ordering::Relaxed);
        Account { used: AtomicUsize::new(0), max: AtomicUsize::new(usize::MAX), pool: Arc::clone(pool) }
    }

    fn take(&self, bytes: usize) -> Result<(), Full> {
        let max = self.max.load(Ordering::Relaxed);
        take(&self.used, bytes, max).map_err(|()| Full::Namespace { max })
    }

    fn is_modest(&self, bytes: usize) -> bool {
        self.used.load(Ordering::Relaxed).saturating_add(bytes) <= self.pool.equal_share()
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.pool.namespaces.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Takes all of it, or nothing.
fn take(used: &AtomicUsize, bytes: usize, max: usize) -> Result<(), ()> {
    let within = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= max);
    used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, within).map(|_| ()).map_err(|_| ())
}

/// What one table holds. Dropping it gives everything back. The default is without a limit.
#[derive(Debug, Default)]
pub struct Held {
    namespace: Option<Arc<Account>>,
    pool: Option<Arc<Pool>>,
    bytes: usize,
}

impl Held {
    /// Takes so much more, or nothing.
    pub fn take(&mut self, bytes: usize) -> Result<(), Full> {
        let is_modest = self.is_modest(bytes);
        self.take_for(bytes, is_modest)
    }

    /// As [`Held::take`], for somebody who has less than an equal share of the process' memory, or has not.
    pub fn take_for(&mut self, bytes: usize, is_modest: bool) -> Result<(), Full> {
        if let Some(namespace) = &self.namespace {
            namespace.take(bytes)?;
        }
        let taken = self.pool.as_ref().map_or(Ok(()), |pool| pool.take(bytes, is_modest));
        match (taken, &self.namespace) {
            (Ok(()), _) => self.bytes += bytes,
            (Err(_), Some(namespace)) => _ = namespace.used.fetch_sub(bytes, Ordering::Relaxed),
            (Err(_), None) => {}
        }
        taken
    }

    /// Gives back so much of what was taken.
    pub fn give(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        for used in self.namespace.iter().map(|n| &n.used).chain(self.pool.iter().map(|p| &p.used)) {
            used.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    /// Takes so much more for what can be done without, or nothing: of the namespace and of the process as much is left for others as
    /// the process leaves for who is modest.
    pub fn take_spare(&mut self, bytes: usize) -> bool {
        let is_taken = self.take_for(bytes, false).is_ok();
        let is_spare = self.is_spare();
        if is_taken && !is_spare {
            self.give(bytes);
        }
        is_taken && is_spare
    }

    fn is_spare(&self) -> bool {
        let leaves =
            |used: &AtomicUsize, max: usize| used.load(Ordering::Relaxed) <= max - max / RESERVED_PART;
        let namespace = self.namespace.as_ref();
        namespace.is_none_or(|namespace| leaves(&namespace.used, namespace.max.load(Ordering::Relaxed)))
            && self.pool.as_ref().is_none_or(|pool| leaves(&pool.used, pool.max))
    }

    /// Another one of the same, with nothing.
    pub fn another(&self) -> Held {
        Held { namespace: self.namespace.clone(), pool: self.pool.clone(), bytes: 0 }
    }

    /// Parts from it so much of what it holds, which stays paid for until that is dropped.
    pub fn split_off(&mut self, bytes: usize) -> Held {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        let mut part = self.another();
        part.bytes = bytes;
        part
    }

    /// What is held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether its namespace would have no more than an equal share with so much more. Without one, nobody can say.
    pub fn is_modest(&self, bytes: usize) -> bool {
        self.namespace.as_ref().is_some_and(|namespace| namespace.is_modest(bytes))
    }

    /// What all tables of the namespace hold.
    pub fn of_namespace(&self) -> usize {
        self.namespace.as_ref().map_or(0, |namespace| namespace.used.load(Ordering::Relaxed))
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
        "all series of the namespace, with their labels, and its filters take more than {max} bytes (limits.maxMemory), so \
         nothing of the tick is delivered; select fewer, write fewer or shorter extraLabels, use smaller filters, or ask \
         the operator to allow more"
    )]
    Namespace {
        /// The limit.
        max: usize,
    },
    /// The process has no more.
    #[error(
        "the series and filters of all tenants here take what this replica has for them, {max} bytes, and this namespace's \
         more than an equal share; the tick waits: select fewer, or ask the operator for replicas with more memory"
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
        memory.payer(namespace, bytes_max).hold_own()
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
        let memory = Memory::new(16);
        let mut web = hold(&memory, "web", 20);
        assert_eq!((web.take(17), web.of_namespace()), (Err(Full::Process { max: 16 }), 0));
        assert_eq!((web.take(16), web.of_namespace()), (Ok(()), 16), "alone it may have all");
    }

    #[test]
    fn however_much_others_take_there_is_room_for_who_is_modest() {
        let memory = Memory::new(100);
        let mut greedy = [hold(&memory, "a", 90), hold(&memory, "b", 90)];
        let mut modest = hold(&memory, "c", 90);
        assert_eq!((greedy[0].take(40), greedy[1].take(35)), (Ok(()), Ok(())));
        assert_eq!(greedy[0].take(1), Err(Full::Process { max: 100 }), "a quarter is left, and not for it");
        assert_eq!((modest.take(25), modest.take(1)), (Ok(()), Err(Full::Process { max: 100 })));
        drop(greedy);
        assert_eq!(modest.take(60), Ok(()), "who is alone has the whole for its share");
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
    fn what_is_parted_from_it_is_paid_for_until_it_is_gone_by_itself() {
        let memory = Memory::new(100);
        let mut table = hold(&memory, "web", 10);
        assert_eq!(table.take(8), Ok(()));
        let part = table.split_off(5);
        assert_eq!((table.bytes(), part.bytes(), table.of_namespace()), (3, 5, 8));
        drop(table);
        assert_eq!((part.of_namespace(), hold(&memory, "web", 10).take(6)), (5, Err(NAMESPACE_FULL)));
        drop(part);
        assert_eq!(hold(&memory, "web", 10).take(10), Ok(()));
        let mut little = hold(&memory, "web", 10);
        assert_eq!((little.take(2), little.split_off(100).bytes(), little.bytes()), (Ok(()), 2, 0));
    }

    #[test]
    fn what_can_be_done_without_leaves_a_quarter_to_others() {
        let memory = Memory::new(1_000);
        let (mut table, mut spare) = (hold(&memory, "web", 100), hold(&memory, "web", 100).another());
        assert!(table.take(50).is_ok() && spare.take_spare(25) && !spare.take_spare(1));
        assert_eq!((spare.bytes(), table.take(10)), (25, Ok(())));
        assert!(!spare.take_spare(0), "others have more by now than is left beside it");
        spare.give(25);
        assert!(spare.take_spare(15));
    }

    #[test]
    fn what_is_held_for_nobody_by_name_leaves_the_modest_their_room() {
        let memory = Memory::new(100);
        let (mut shared, mut modest) = (memory.hold_shared(), hold(&memory, "web", 90));
        assert_eq!((shared.take(75), shared.take(1)), (Ok(()), Err(Full::Process { max: 100 })));
        assert_eq!(modest.take(25), Ok(()));
    }

    #[test]
    fn what_is_shared_costs_the_process_once_and_each_namespace_in_full() {
        let memory = Memory::new(15);
        let (web, db) = (memory.payer("web", 10), memory.payer("db", 20));
        let (mut shared, mut of_web, mut of_db) = (memory.hold_shared(), web.hold(), db.hold());
        assert_eq!((shared.take(10), of_web.take(10), of_db.take(10)), (Ok(()), Ok(()), Ok(())));
        assert_eq!(of_web.take(1), Err(NAMESPACE_FULL));
        assert_eq!(shared.take_for(6, true), Err(Full::Process { max: 15 }));
        assert_eq!(shared.take_for(5, false), Err(Full::Process { max: 15 }));
        assert_eq!(shared.take_for(5, true), Ok(()), "of the process 5 are left");
        assert_eq!((of_web.of_namespace(), of_db.of_namespace()), (10, 10));
    }
}
