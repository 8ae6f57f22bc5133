//! Gate: who asks a source next.
//!
//! In: who wants to ask, and on whose behalf. Out: permits, a bounded number at once. Never: one namespace's questions
//! before another's because there are more of them; a permit lost with a caller that goes away.
//!
//! Of the namespaces that wait the one with the fewest permits is next, whatever the number of its questions; those with
//! equally many take turns. A namespace that asks alone has most of the permits, and never all: its answers may take a
//! minute each, and who comes then must not wait for one of them.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use tokio::sync::oneshot;

use super::lock;

/// On whose behalf a question is asked.
pub(super) type Namespace = Arc<str>;

/// Of so many permits one is kept from the namespace that has all the others.
const PERMITS_PER_RESERVED: usize = 4;

/// Lets so many ask at once.
#[derive(Debug)]
pub(super) struct Gate {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    free: usize,
    /// The most permits of one namespace.
    own_max: usize,
    held: HashMap<Namespace, usize>,
    /// The namespaces for which somebody waits, the next one first.
    turns: VecDeque<Namespace>,
    /// Who waits for each of them, in the order of asking.
    waiting: HashMap<Namespace, VecDeque<Waiter>>,
}

/// Where one who waits is given a permit. Who asks for several namespaces waits in the line of each.
#[derive(Debug, Clone)]
struct Waiter(Arc<Mutex<Option<oneshot::Sender<Permit>>>>);

/// Leave to ask one question; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Permit {
    state: Arc<Mutex<State>>,
    /// In whose turn it was given; `None` once it was taken back.
    namespace: Option<Namespace>,
}

impl Gate {
    /// For so many at once, at least one.
    pub(super) fn new(permits: usize) -> Gate {
        let free = permits.max(1);
        let own_max = free - free / PERMITS_PER_RESERVED;
        let (held, turns, waiting) = (HashMap::new(), VecDeque::new(), HashMap::new());
        Gate { state: Arc::new(Mutex::new(State { free, own_max, held, turns, waiting })) }
    }

    /// A permit, in the first turn of any of these namespaces.
    pub(super) async fn pass(&self, namespaces: &[Namespace]) -> Permit {
        let (sender, given) = oneshot::channel();
        let waiter = Waiter(Arc::new(Mutex::new(Some(sender))));
        {
            let mut state = lock(&self.state);
            for namespace in namespaces {
                state.enlist(namespace, waiter.clone());
            }
            state.give(&self.state);
        }
        // A waiter is in a line until it was given its permit.
        given.await.expect("a waiter is not forgotten")
    }
}

impl State {
    fn enlist(&mut self, namespace: &Namespace, waiter: Waiter) {
        let line = self.waiting.entry(namespace.clone()).or_default();
        if line.is_empty() {
            self.turns.push_back(namespace.clone());
        }
        // Who went away is forgotten with its turn; where none comes, each time the line has doubled.
        if line.len().is_power_of_two() {
            line.retain(Waiter::waits);
        }
        line.push_back(waiter);
    }

    /// Gives permits as long as there are some and somebody may have one.
    fn give(&mut self, shared: &Arc<Mutex<State>>) {
        while self.free > 0 {
            let held = |namespace: &Namespace| self.held.get(namespace).copied().unwrap_or_default();
            // Of equals `min_by_key` takes the first.
            let next = (0..self.turns.len()).min_by_key(|at| held(&self.turns[*at]));
            let Some(next) = next.filter(|at| held(&self.turns[*at]) < self.own_max) else { return };
            let namespace = self.turns.remove(next).expect("it was just seen");
            let line = self.waiting.get_mut(&namespace).expect("a line for each turn");
            let permit = Permit { state: shared.clone(), namespace: Some(namespace.clone()) };
            let given = give_to_first(line, permit);
            if line.is_empty() {
                self.waiting.remove(&namespace);
            } else {
                self.turns.push_back(namespace.clone());
            }
            if given {
                self.free -= 1;
                *self.held.entry(namespace).or_default() += 1;
            }
        }
    }

    fn take_back(&mut self, namespace: &Namespace) {
        self.free += 1;
        let held = self.held.get_mut(namespace).expect("what was given is counted");
        *held -= 1;
        if *held == 0 {
            self.held.remove(namespace);
        }
    }
}

/// Whether anybody of a line still waited for it.
fn give_to_first(line: &mut VecDeque<Waiter>, mut permit: Permit) -> bool {
    while let Some(Waiter(waiter)) = line.pop_front() {
        let Some(sender) = lock(&waiter).take() else { continue };
        match sender.send(permit) {
            Ok(()) => return true,
            Err(unused) => permit = unused,
        }
    }
    // It was never counted, so it must not be given back.
    permit.namespace = None;
    false
}

impl Waiter {
    fn waits(&self) -> bool {
        lock(&self.0).as_ref().is_some_and(|sender| !sender.is_closed())
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let Some(namespace) = self.namespace.take() else { return };
        let mut state = lock(&self.state);
        state.take_back(&namespace);
        state.give(&self.state);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use futures::FutureExt;
    use futures::future::BoxFuture;
    use proptest::prelude::*;

    use super::*;

    fn names(names: &[&str]) -> Vec<Namespace> {
        names.iter().map(|name| Namespace::from(*name)).collect()
    }

    /// Somebody who asks on behalf of these, and what was given so far.
    struct Asker<'a> {
        waiting: Option<BoxFuture<'a, Permit>>,
        permit: Option<Permit>,
    }

    fn asker<'a>(gate: &'a Gate, on_behalf_of: &[&str]) -> Asker<'a> {
        let namespaces = names(on_behalf_of);
        let mut asker =
            Asker { waiting: Some(async move { gate.pass(&namespaces).await }.boxed()), permit: None };
        asker.look();
        asker
    }

    impl Asker<'_> {
        fn look(&mut self) -> bool {
            if let Some(permit) = self.waiting.as_mut().and_then(|waiting| waiting.now_or_never()) {
                (self.waiting, self.permit) = (None, Some(permit));
            }
            self.permit.is_some()
        }
    }

    #[test]
    fn who_comes_later_with_one_question_does_not_wait_for_a_thousand_of_another() {
        let gate = Gate::new(4);
        let mut noisy: Vec<_> = (0..1_000).map(|_| asker(&gate, &["noisy"])).collect();
        assert_eq!(noisy.iter_mut().filter_map(|asker| asker.look().then_some(())).count(), 3);
        let mut quiet = asker(&gate, &["quiet"]);
        assert!(quiet.look(), "one permit is never its");
        let mut other = asker(&gate, &["other"]);
        assert!(!other.look());
        drop(noisy.remove(0));
        assert!(other.look(), "it has the fewest");
    }

    #[test]
    fn those_with_equally_many_take_turns() {
        let gate = Gate::new(1);
        let mut holder = Some(asker(&gate, &["x"]));
        let mut line: Vec<_> =
            ["a", "a", "b", "a", "c", "b"].map(|name| (name, asker(&gate, &[name]))).into();
        let mut order = Vec::new();
        while !line.is_empty() {
            drop(holder.take());
            let next = line.iter_mut().position(|(_, asker)| asker.look()).unwrap();
            let (name, asker) = line.remove(next);
            order.push(name);
            holder = Some(asker);
        }
        assert_eq!(order, ["a", "b", "c", "a", "b", "a"]);
    }

    #[test]
    fn who_asks_for_several_is_served_in_the_first_turn_of_any() {
        let gate = Gate::new(1);
        let holder = asker(&gate, &["a"]);
        let mut line: Vec<_> = (0..3).map(|_| asker(&gate, &["a"])).collect();
        let mut shared = asker(&gate, &["a", "b"]);
        drop(holder);
        assert!(line[0].look() && !shared.look());
        line.remove(0);
        assert!(shared.look() && !line[0].look());
        drop(shared);
        assert!(line[0].look(), "and only once");
    }

    #[test]
    fn who_goes_away_leaves_no_hole() {
        let gate = Gate::new(1);
        let holder = asker(&gate, &["a"]);
        let (gone, mut next) = (asker(&gate, &["b"]), asker(&gate, &["b"]));
        drop(gone);
        drop(holder);
        assert!(next.look());
        // A permit that was given and never seen is free again.
        let unseen = gate.pass(&names(&["c"])).now_or_never();
        assert!(unseen.is_none());
        drop(next);
        assert!(asker(&gate, &["d"]).look());
    }

    #[derive(Debug, Clone)]
    enum Step {
        Ask(Vec<usize>),
        Drop(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let ask = prop::collection::vec(0_usize..4, 1..3).prop_map(Step::Ask);
        let drop = (0_usize..1_000).prop_map(Step::Drop);
        prop::collection::vec(prop_oneof![3 => ask, 2 => drop], 1..200)
    }

    proptest! {
        /// Whatever happens: never more permits than there are, never one too few as long as somebody may have it, and
        /// nobody waits for more than the others' turns.
        #[test]
        fn no_permit_is_lost_and_nobody_starves(permits in 1_usize..9, steps in steps()) {
            let all = ["a", "b", "c", "d"];
            let gate = Gate::new(permits);
            let mut askers: Vec<Asker<'_>> = Vec::new();
            for step in steps {
                match step {
                    Step::Ask(of) => {
                        let of: Vec<&str> = of.into_iter().map(|n| all[n]).collect();
                        askers.push(asker(&gate, &of));
                    }
                    Step::Drop(at) if !askers.is_empty() => drop(askers.remove(at % askers.len())),
                    Step::Drop(_) => {}
                }
                askers.iter_mut().for_each(|asker| _ = asker.look());
                let held = askers.iter().filter(|asker| asker.permit.is_some()).count();
                prop_assert!(held <= permits);
                let mut of: BTreeMap<&str, usize> = BTreeMap::new();
                for permit in askers.iter().filter_map(|asker| asker.permit.as_ref()) {
                    *of.entry(all[all.iter().position(|n| permit.namespace.as_deref() == Some(n)).unwrap()]).or_default() += 1;
                }
                let own_max = permits - permits / PERMITS_PER_RESERVED;
                prop_assert!(of.values().all(|held| *held <= own_max));
            }
            // One who comes now waits for no more than one turn of each of the others, and those that ask.
            let before = askers.len();
            askers.push(asker(&gate, &["late"]));
            let mut turns = 0;
            while !askers.last_mut().unwrap().look() {
                let at = askers[..askers.len() - 1].iter().position(|asker| asker.permit.is_some());
                askers.remove(at.expect("somebody holds what is waited for"));
                askers.iter_mut().for_each(|asker| _ = asker.look());
                turns += 1;
                prop_assert!(turns <= all.len() + 1, "{} asked", before);
            }
            // When all are gone, everything is free again.
            askers.clear();
            let state = lock(&gate.state);
            prop_assert_eq!(state.free, permits);
            prop_assert!(state.held.is_empty());
        }
    }
}
