//! Addresses: where groups are that a resource once pushed to.
//!
//! In: a tenant and a group. Out: its address, by the policy and the Services of this moment.
//! Never: an address that the tenant could not have from its own specification. What was remembered is believed no more
//! than what somebody writes.

use tokio::sync::{mpsc, oneshot};

use crate::model::{PushgatewayEndpoint, PushgatewayGroup, TenantId};

/// Questions that wait; beyond it, whoever asks waits.
const QUESTIONS_MAX: usize = 16;

/// A question, and where its answer goes.
pub(super) struct Question {
    pub(super) tenant: TenantId,
    pub(super) group: PushgatewayGroup,
    pub(super) answer: oneshot::Sender<Option<PushgatewayEndpoint>>,
}

/// Whoever knows the addresses.
#[derive(Debug, Clone)]
pub struct Addresses(mpsc::Sender<Question>);

pub(super) fn open() -> (Addresses, mpsc::Receiver<Question>) {
    let (questions, asked) = mpsc::channel(QUESTIONS_MAX);
    (Addresses(questions), asked)
}

impl Addresses {
    /// Where the tenant's group is; `None` if the tenant may not push there, or its Service is not there.
    pub async fn of(&self, tenant: &TenantId, group: &PushgatewayGroup) -> Option<PushgatewayEndpoint> {
        let (answer, answered) = oneshot::channel();
        self.0.send(Question { tenant: tenant.clone(), group: group.clone(), answer }).await.ok()?;
        answered.await.ok()?
    }
}
