//! Shards: how far every tenant got, who runs it, the groups it pushed to, and what its filters' tags stand for, kept in a few
//! ConfigMaps of our own namespace, and handed over from replica to replica.
//!
//! In: the tenants there are, the members, the cursors of the tenants that run here, pipelines that have stopped.
//! Out: the tenants that may run here, each with its cursors in place.
//! Never: a request per tenant; a metric that is not delivered because the API server is away; a record taken from a
//! living member that has not let go, unless it hangs.
//!
//! The records are watched, so reading costs nothing. All records of a ConfigMap that change together are written
//! together, by a merge patch that names the version it changes: whoever comes second looks again.

mod book;
mod debts;
mod engine;
mod handle;
mod handover;
mod idle;
mod line;
mod place;
mod pushed;
mod record;
mod room;
mod store;
mod terms;
mod view;

use std::time::Duration;

pub use book::VANISHED_KEPT;
pub use debts::Owed;
pub use engine::{Engine, Inputs, open};
pub use handle::{Error, Grants, Shards, Stats};
pub use handover::HANDOVER_MAX;
pub use idle::{IDLE_MAX, Idle};
pub use place::{SHARDS, config_map};
pub use pushed::Pushed;
pub use record::{ENDED_KEPT, Record, Row, Tag};
pub use terms::{Cursors, Wanted};
pub use view::SHARD_BYTES_MAX;

/// How often cursors that moved are saved. What lies between two saves is in doubt after a crash.
pub const SAVE_EVERY: Duration = Duration::from_secs(10);
