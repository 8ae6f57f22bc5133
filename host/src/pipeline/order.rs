//! Order: which of a lane's ticks comes next, where its receiver takes them in any order.
//!
//! In: what the endpoint says of itself, where the lane is. Out: whether it works on two stretches of ticks in turn, and on which.
//! Never: a tick.

use tokio::time::Instant;

use super::lane::Context;
use super::news::Fault;
use super::schedule::Due;
use super::sending::Rejected;
use crate::model::{Endpoint, Mode, Order, Tenant, Tick};
use crate::status::Stage;
use crate::telemetry::Outcome;

/// The stretch of ticks that a lane works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stretch {
    /// All of them, one after the other.
    Whole,
    /// The newest ones, while those that were missed follow behind.
    Present,
    /// Those that were missed.
    Past,
}

/// The order in which a tenant's samples may be sent to an endpoint: every stored sample is told from those before by being newer.
pub(super) fn of(tenant: &Tenant, endpoint: &Endpoint) -> Order {
    match endpoint {
        Endpoint::RemoteWrite(remote) if tenant.mode == Mode::Sampled => remote.order,
        _ => Order::Ascending,
    }
}

/// What is shown of it, where the endpoint says anything.
pub(super) fn shown(endpoint: &Endpoint, order: Order, can_part: bool) -> Option<&'static str> {
    let Endpoint::RemoteWrite(remote) = endpoint else { return None };
    match (remote.order, order, can_part) {
        (Order::Ascending, ..) => None,
        (Order::Any, Order::Any, true) => Some("newest first"),
        (Order::Any, Order::Any, false) => {
            Some("oldest first: a filter of the resource sees samples or remembers")
        }
        (Order::Any, Order::Ascending, _) => Some("oldest first: collection.mode is raw"),
    }
}

impl Context {
    /// Whether a tick can be asked for.
    pub(super) fn is_due(&self, tick: Tick) -> bool {
        tick <= self.newest()
    }

    /// From when on it can be.
    pub(super) fn due_at(&self, tick: Tick) -> Instant {
        let left = tick.timestamp().plus(self.schedule.lag).since(self.now());
        Instant::now() + left
    }

    /// As [`Context::within_reach`], of ticks up to another stretch's first one.
    pub(super) fn within_reach_of(&self, tick: Tick, until: Tick) -> Tick {
        let Due { tick: oldest, skipped } = self.schedule.within_reach(tick, self.schedule.clock.for_sure());
        let left = self.schedule.ticks_between(tick, until);
        self.skipped(Due { tick: oldest.min(until), skipped: skipped.min(left) })
    }

    /// The endpoint refuses some of a tick that was missed, or all of it. What is new is taken all the same, so that it is no failure of
    /// the lane; but it is what went wrong last.
    pub(super) fn rejected_of_past(&self, tick: Tick, rejected: &Rejected) {
        let missed = Missed(rejected.to_string());
        self.fails(Fault::Refuse, tick, &missed);
        self.status.refused(Some(&missed));
        self.status.noted(Stage::Deliver, &missed, self.now());
    }

    /// Nothing is sent any more of ticks up to another stretch's first one.
    pub(super) fn give_up(&self, tick: Tick, until: Tick) {
        self.metrics.ticks(Outcome::GivenUp, self.schedule.ticks_between(tick, until));
    }
}

/// What is refused of a tick that was missed.
#[derive(Debug, thiserror::Error)]
#[error("of a tick that was missed {0}; does the receiver's out-of-order window reach back so far?")]
struct Missed(String);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Author, RemoteWriteEndpoint};

    #[test]
    fn who_keeps_to_the_order_all_the_same_says_why() {
        let endpoint = |order| {
            let url = "http://127.0.0.1:1/write".parse().unwrap();
            Endpoint::RemoteWrite(RemoteWriteEndpoint {
                order,
                ..RemoteWriteEndpoint::plain(url, Author::Operator)
            })
        };
        assert_eq!(shown(&endpoint(Order::Ascending), Order::Ascending, true), None);
        let any = |order, can_part| shown(&endpoint(Order::Any), order, can_part).unwrap();
        assert_eq!(any(Order::Any, true), "newest first");
        assert!(any(Order::Any, false).contains("filter"));
        assert!(any(Order::Ascending, true).contains("raw"));
    }
}
