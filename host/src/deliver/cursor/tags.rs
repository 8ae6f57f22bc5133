//! Tags: what the tags of each tenant's filters stood for when its filters were last ready.
//!
//! In: what they stand for. Out: the same, after a restart and at the replica that goes on. Never: another answer for a
//! tenant of which nothing is known than that.

use std::collections::HashSet;

use super::Store;
use crate::model::{Tags, TenantId};

impl Store {
    /// What the tags of the tenant's filters stand for; `None` if nothing is known of it.
    pub fn tags(&self, tenant: &TenantId) -> Option<Tags> {
        self.lock().tags.get(tenant).cloned()
    }

    /// Notes what they stand for, of which no other counts any more.
    pub fn set_tags(&self, tenant: &TenantId, tags: Tags) {
        let mut state = self.lock();
        let held = state.tags.entry(tenant.clone()).or_default();
        if *held != tags {
            *held = tags;
            state.changed(tenant);
        }
    }

    /// Knows nothing of the tenant's tags any more: another process does.
    pub fn let_tags_go(&self, tenant: &TenantId) {
        self.lock().tags.remove(tenant);
    }

    pub(super) fn retain_tags(&self, present: &HashSet<TenantId>) {
        let mut state = self.lock();
        let gone = state.tags.extract_if(.., |tenant, _| !present.contains(tenant)).count();
        state.dirty |= gone > 0;
    }
}
