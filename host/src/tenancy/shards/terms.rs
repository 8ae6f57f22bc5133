//! Terms: what the book is told, and what it says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::handover::Intent;
use super::record::{Record, Row, Tag};
use super::view::Changes;
use crate::model::{PushgatewayGroup, TenantId};

/// Where the cursors are while their tenants run, and what their filters' tags stand for.
pub trait Cursors: Send + Sync + 'static {
    /// A number that changes whenever one of the tenant's cursors or tags does.
    fn epoch(&self, tenant: &TenantId) -> u64;
    /// The tenant's cursors.
    fn rows(&self, tenant: &TenantId) -> Vec<Row>;
    /// What the tags of its filters stand for; `None` before it was restored.
    fn tags(&self, tenant: &TenantId) -> Option<Vec<Tag>>;
    /// What another replica left: no cursor of ours moves back, and its tags count.
    fn restore(&self, tenant: &TenantId, record: &Record);
    /// The tenant is another replica's from now on.
    fn let_go(&self, tenant: &TenantId);
}

/// The tenants there are.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Wanted {
    /// Those that are to run somewhere, each with its ownership key. Tenants with the same key run at one replica.
    pub run: Arc<BTreeMap<TenantId, String>>,
    /// All of which there is a resource, also those that do not run: their cursors are kept.
    pub known: Arc<BTreeSet<TenantId>>,
    /// Of those that are to run, the ones that push to Pushgateway groups, and to which.
    pub groups: Arc<BTreeMap<TenantId, BTreeSet<PushgatewayGroup>>>,
    /// Those that were refused: the groups that they pushed to wait with them.
    pub refused: Arc<BTreeSet<TenantId>>,
}

/// One ConfigMap to be written.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Write {
    /// Which.
    pub(super) shard: usize,
    /// The version it must still have; `None` if it is to be created.
    pub(super) base: Option<String>,
    /// What changes. Never empty.
    pub(super) changes: Changes,
    /// How many changes there was no room for.
    pub(super) left_out: usize,
    /// Whose records are in it, what is written of each, and the epoch of its cursors.
    pub(super) tenants: Vec<(TenantId, Intent, u64)>,
}

/// A ConfigMap as the API server has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Current {
    /// Its resourceVersion.
    pub(super) version: String,
    /// Its data.
    pub(super) data: BTreeMap<String, String>,
}

/// How a write ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The ConfigMap has this version now.
    Accepted(String),
    /// It had another version, or was there or not there against expectation. What it is, if that could be learnt:
    /// `Some(None)` is none at all.
    Conflict(Option<Option<Current>>),
    /// It was refused.
    Refused,
    /// There was no answer.
    Unknown,
}

/// Which records to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Occasion {
    /// Those that were claimed and released.
    Urgent,
    /// Also those that hold no cursor yet, of tenants that have one: without it a new owner would start at the present.
    First,
    /// Also those whose cursors moved.
    Save,
}
