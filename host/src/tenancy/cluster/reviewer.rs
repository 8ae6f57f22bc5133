//! Reviewer: drafts of resources, made where nobody waits for them.
//!
//! In: which resources to read, as they are now. Out: their drafts, as they come.
//! Never: work on the caller's task, or one namespace's resources before all others' (see `turns`).

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::task::{Id, JoinSet};
use tracing::error;

use super::turns::Turns;
use crate::document::{Document, Path, Problem};
use crate::model::TenantId;
use crate::tenancy::{Draft, Effective};

/// Drafts that are made at once. Two, so that even where each takes as long as it may nobody waits for one alone; more would
/// take the time from the pipelines.
const DRAFTS_MAX: usize = 2;

/// What a draft is made of.
#[derive(Debug, Clone)]
pub(super) struct Order {
    pub(super) document: Arc<Document>,
    pub(super) policy: Arc<Effective>,
}

/// A draft, and what it was made of.
#[derive(Debug)]
pub(super) struct Drafted {
    pub(super) draft: Draft,
    pub(super) policy: Arc<Effective>,
}

impl Drafted {
    /// Whether it is what the order asks for.
    pub(super) fn is_of(&self, order: &Order) -> bool {
        fn same<T: PartialEq>(one: &Arc<T>, other: &Arc<T>) -> bool {
            Arc::ptr_eq(one, other) || one == other
        }
        same(self.draft.document(), &order.document) && same(&self.policy, &order.policy)
    }
}

/// Makes drafts.
#[derive(Debug, Default)]
pub(super) struct Reviewer {
    turns: Turns,
    /// The newest order of each resource that waits.
    orders: BTreeMap<TenantId, Order>,
    tasks: JoinSet<Draft>,
    busy: BTreeMap<Id, (TenantId, Order)>,
}

impl Reviewer {
    /// Asks for a draft. What was asked for this resource before and was not begun yet is forgotten.
    pub(super) fn ask(&mut self, id: TenantId, order: Order) {
        if self.busy.values().any(|(other, begun)| *other == id && begun.is(&order)) {
            return;
        }
        self.orders.insert(id.clone(), order);
        self.turns.push(id);
        self.begin();
    }

    /// Nobody wants this resource's draft any more.
    pub(super) fn forget(&mut self, id: &TenantId) {
        self.orders.remove(id);
    }

    /// Whether anything that was asked for is missing.
    pub(super) fn is_idle(&self) -> bool {
        self.orders.is_empty() && self.busy.is_empty()
    }

    /// The next draft, in the order in which they are done. Cancel safe.
    pub(super) async fn drafted(&mut self) -> (TenantId, Drafted) {
        loop {
            let Some(ended) = self.tasks.join_next_with_id().await else { std::future::pending().await };
            let task = ended.as_ref().map_or_else(|error| error.id(), |(task, _)| *task);
            let Some((id, order)) = self.busy.remove(&task) else { continue };
            self.turns.done(&id.namespace);
            self.begin();
            let draft = ended.map_or_else(|failure| broken(&id, &order, &failure), |(_, draft)| draft);
            return (id, Drafted { draft, policy: order.policy });
        }
    }

    fn begin(&mut self) {
        while self.busy.len() < DRAFTS_MAX
            && let Some(id) = self.turns.next()
        {
            let Some(order) = self.orders.remove(&id) else {
                self.turns.done(&id.namespace);
                continue;
            };
            let Order { document, policy } = order.clone();
            let task = self.tasks.spawn_blocking(move || Draft::of(&document, &policy));
            self.busy.insert(task.id(), (id, order));
        }
    }
}

impl Order {
    fn is(&self, other: &Order) -> bool {
        Arc::ptr_eq(&self.document, &other.document) && Arc::ptr_eq(&self.policy, &other.policy)
    }
}

/// A resource that makes us panic is refused; it must not take the others with it.
fn broken(id: &TenantId, order: &Order, failure: &tokio::task::JoinError) -> Draft {
    error!(namespace = %id.namespace, name = %id.name, error = %failure, "resource not judged");
    let message = "the resource could not be judged, which is a mistake of Sluice";
    let cure = "tell the operator, and write its expressions in another way meanwhile";
    Draft::unread(&order.document, Problem::error(Path::root().key("spec"), message, cure))
}

#[cfg(test)]
mod tests {
    use std::path::Path as FilePath;

    use super::*;
    use crate::tenancy::{Resource, read};

    fn order(namespace: &str, name: &str, metrics: &[String]) -> (TenantId, Order) {
        let text = serde_json::json!({
            "apiVersion": "observability.ethos.io/v1alpha1", "kind": "MetricAccess",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"source": "s", "metrics": metrics},
        });
        let resources = read(&FilePath::new("a.yaml").into(), &text.to_string()).unwrap();
        let [Resource::MetricAccess(document)] = resources.as_slice() else { panic!("{resources:?}") };
        let id = TenantId { namespace: namespace.to_owned(), name: name.to_owned() };
        (id, Order { document: Arc::clone(document), policy: Arc::default() })
    }

    #[tokio::test]
    async fn one_namespaces_costly_resources_hold_nobody_else_up() {
        let costly: Vec<String> =
            (0..12).map(|i| format!(r"(?i)[\x{{80}}-\x{{10ffff}}]{{40}}I_{i}")).collect();
        let mut reviewer = Reviewer::default();
        for index in 0..30 {
            let (id, order) = order("evil", &index.to_string(), &costly);
            reviewer.ask(id, order);
        }
        for name in ["a", "b"] {
            let (id, order) = order(name, "late", &["up".to_owned()]);
            reviewer.ask(id, order);
        }
        let mut before = Vec::new();
        while !reviewer.is_idle() {
            before.push(reviewer.drafted().await.0.namespace);
        }
        assert_eq!(before.len(), 32);
        let late = |name: &str| before.iter().position(|namespace| namespace == name).unwrap();
        assert!(late("a") <= DRAFTS_MAX && late("b") <= DRAFTS_MAX + 1, "{before:?}");
    }

    #[tokio::test]
    async fn of_several_orders_for_a_resource_the_newest_is_last() {
        let mut reviewer = Reviewer::default();
        let orders: Vec<_> =
            ["one", "two", "three"].map(|metric| order("a", "r", &[metric.to_owned()])).into();
        for (id, order) in orders.iter().chain([&orders[2]]).cloned() {
            reviewer.ask(id, order);
        }
        let mut seen = Vec::new();
        while !reviewer.is_idle() {
            let (_, drafted) = reviewer.drafted().await;
            seen.push(orders.iter().position(|(_, order)| drafted.is_of(order)).unwrap());
        }
        assert_eq!(seen, [0, 2], "the one that was begun, and the newest");

        let (id, order) = order("a", "gone", &["up".to_owned()]);
        let (first, begun) = orders[0].clone();
        reviewer.ask(first.clone(), begun);
        reviewer.ask(id.clone(), order);
        reviewer.forget(&id);
        assert_eq!(reviewer.drafted().await.0, first);
        assert!(reviewer.is_idle());
    }
}
