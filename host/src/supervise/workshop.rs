//! Workshop: modules that were compiled, and whose turn it is to have one compiled.
//!
//! In: a component's bytes and the namespace that wants it. Out: the module. Never: the same bytes compiled twice at a time; two
//! compilations for one namespace at once, so that no namespace waits for another's whole list; a compilation lost because who
//! asked for it does not wait any more; a wait for a network in anybody's turn.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;
use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

use crate::background;
use crate::filter::{Error, Module, Runtime, WeakModule};
use crate::model::Digest;

/// Machine code that is kept although nobody may use it: an edit that is taken back finds it again.
const UNUSED_BYTES_MAX: usize = 64 << 20;
const UNUSED_MAX: usize = 64;

/// What all tenants' modules come from.
#[derive(Debug)]
pub(super) struct Workshop {
    modules: Arc<Modules>,
    namespaces: Lanes<String>,
    digests: Lanes<Digest>,
    machines: Arc<Semaphore>,
}

/// What stops a second compilation: dropped, the next one starts.
struct Turn {
    _namespace: OwnedMutexGuard<()>,
    _digest: OwnedMutexGuard<()>,
    _machine: OwnedSemaphorePermit,
}

impl Turn {
    /// Others have the machine, and the digest; the namespace's next one waits still.
    fn let_go(self) -> Entered {
        Entered(self._namespace)
    }
}

impl Workshop {
    /// One that compiles so many at a time.
    pub(super) fn new(at_once_max: usize) -> Workshop {
        Workshop {
            modules: Arc::default(),
            namespaces: Lanes::default(),
            digests: Lanes::default(),
            machines: Arc::new(Semaphore::new(at_once_max)),
        }
    }

    /// The module of that digest, if it is compiled.
    pub(super) fn known(&self, digest: Digest) -> Option<Module> {
        self.modules.get(digest)
    }

    /// A namespace's turn: its others wait in no queue but its own, and for one of it at most others do.
    pub(super) async fn enter(&self, namespace: &str) -> Entered {
        Entered(self.namespaces.enter(namespace.to_owned()).await)
    }

    /// The module of that digest, compiled if nobody has compiled it yet. Bytes and their digest, which is another one if a file
    /// was replaced meanwhile, are asked for when they are needed, so that what waits has none: first what is `kept` here, where
    /// nobody is asked, for others wait for it; if it has gone meanwhile, they are fetched `anew` while others have their turns.
    /// `filter` is whose they are in errors. `None` if what compiles broke down.
    pub(super) async fn module<E: From<Error>>(
        &self,
        runtime: &Runtime,
        filter: &str,
        digest: Digest,
        entered: Entered,
        kept: impl AsyncFnOnce() -> Option<(Digest, Bytes)>,
        anew: impl AsyncFnOnce() -> Result<(Digest, Bytes), E>,
    ) -> Option<Result<Module, E>> {
        let mut turn = self.turn(entered, digest).await;
        // Whoever had the turn before may have compiled the same.
        if let Some(module) = self.modules.get(digest) {
            return Some(Ok(module));
        }
        let (digest, bytes) = match kept().await {
            Some(came) => came,
            None => {
                let entered = turn.let_go();
                let (digest, bytes) = match anew().await {
                    Ok(came) => came,
                    Err(error) => return Some(Err(error)),
                };
                turn = self.turn(entered, digest).await;
                if let Some(module) = self.modules.get(digest) {
                    return Some(Ok(module));
                }
                (digest, bytes)
            }
        };
        let (runtime, modules) = (runtime.clone(), self.modules.clone());
        let origin = format!("filter {filter}");
        let compiling = move || {
            let _turn = turn;
            let module = runtime.load(&origin, &bytes)?;
            modules.put(digest, module.clone());
            Ok(module)
        };
        background::spawn(compiling).await.map(|compiled: Result<Module, Error>| compiled.map_err(E::from))
    }

    async fn turn(&self, Entered(_namespace): Entered, digest: Digest) -> Turn {
        let _digest = self.digests.enter(digest).await;
        let machine = self.machines.clone().acquire_owned().await;
        Turn { _namespace, _digest, _machine: machine.expect("the semaphore is never closed") }
    }
}

/// That of a namespace nothing else is on its way.
#[derive(Debug)]
pub(super) struct Entered(OwnedMutexGuard<()>);

/// The compiled ones, as long as somebody has them, and the last ones.
#[derive(Debug, Default)]
struct Modules(Mutex<Shelf>);

#[derive(Debug, Default)]
struct Shelf {
    all: HashMap<Digest, WeakModule>,
    /// Those that came last, the newest at the end.
    last: VecDeque<Module>,
    last_bytes: usize,
}

impl Modules {
    fn get(&self, digest: Digest) -> Option<Module> {
        self.lock().all.get(&digest)?.upgrade()
    }

    fn put(&self, digest: Digest, module: Module) {
        let mut shelf = self.lock();
        shelf.all.retain(|_, module| module.upgrade().is_some());
        shelf.all.insert(digest, module.downgrade());
        shelf.last_bytes += module.code_bytes();
        shelf.last.push_back(module);
        while shelf.last_bytes > UNUSED_BYTES_MAX || shelf.last.len() > UNUSED_MAX {
            let Some(first) = shelf.last.pop_front() else { return };
            shelf.last_bytes -= first.code_bytes();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shelf> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One at a time for each key, in the order they came.
#[derive(Debug)]
pub(super) struct Lanes<K>(Mutex<HashMap<K, Weak<tokio::sync::Mutex<()>>>>);

impl<K> Default for Lanes<K> {
    fn default() -> Self {
        Lanes(Mutex::default())
    }
}

impl<K: Hash + Eq> Lanes<K> {
    pub(super) async fn enter(&self, key: K) -> OwnedMutexGuard<()> {
        let lane = self.lane(key);
        lane.lock_owned().await
    }

    fn lane(&self, key: K) -> Arc<tokio::sync::Mutex<()>> {
        let mut lanes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lane) = lanes.get(&key).and_then(Weak::upgrade) {
            return lane;
        }
        lanes.retain(|_, lane| lane.strong_count() > 0);
        let lane = Arc::default();
        lanes.insert(key, Arc::downgrade(&lane));
        lane
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn digest(n: u8) -> Digest {
        Digest::of(&[n])
    }

    async fn waits(turn: &mut (impl Future<Output = Turn> + Unpin)) -> bool {
        tokio::time::timeout(Duration::from_millis(1), turn).await.is_err()
    }

    #[tokio::test(start_paused = true)]
    async fn a_namespace_with_a_long_list_makes_others_wait_for_one_of_it_only() {
        let workshop = Workshop::new(2);
        let turn = async |namespace: &str, n: u8| {
            let entered = workshop.enter(namespace).await;
            workshop.turn(entered, digest(n)).await
        };
        let first = turn("greedy", 0).await;
        let mut more: Vec<_> = (1..50).map(|n| Box::pin(turn("greedy", n))).collect();
        for turn in &mut more {
            assert!(waits(turn).await);
        }
        let other = turn("other", 100).await;
        let mut third = Box::pin(turn("third", 101));
        assert!(waits(&mut third).await, "two at once");
        drop(first);
        assert!(!waits(&mut third).await, "the greedy one's next came later");
        drop(other);
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_bytes_are_compiled_by_one_at_a_time() {
        let workshop = Workshop::new(2);
        let turn = async |namespace: &str, n: u8| {
            let entered = workshop.enter(namespace).await;
            workshop.turn(entered, digest(n)).await
        };
        let first = turn("a", 0).await;
        let mut second = Box::pin(turn("b", 0));
        assert!(waits(&mut second).await);
        drop(first);
        assert!(!waits(&mut second).await);
        drop(second);
        let _again = turn("c", 1).await;
        assert_eq!(workshop.namespaces.0.lock().unwrap().len(), 1, "lanes that nobody is in are gone");
    }

    #[tokio::test]
    async fn who_fetches_what_has_gone_holds_up_nobody_else() {
        let config = crate::filter::Config { instances_max: 8, ..Default::default() };
        let (workshop, runtime) = (Workshop::new(1), Runtime::new(&config).unwrap());
        let (begun, has_begun) = tokio::sync::oneshot::channel();
        let anew = async || {
            begun.send(()).unwrap();
            std::future::pending::<Result<(Digest, Bytes), Error>>().await
        };
        let entered = workshop.enter("slow").await;
        let slow = workshop.module(&runtime, "f", digest(0), entered, async || None, anew);
        let others = async {
            has_begun.await.unwrap();
            let entered = workshop.enter("other").await;
            drop(workshop.turn(entered, digest(0)).await);
        };
        tokio::select! {
            _ = slow => panic!("nothing comes"),
            done = tokio::time::timeout(Duration::from_secs(5), others) => done.expect("the machine is free"),
        }
    }
}
