//! Leave: how a lane ends, or another one goes on in its place.
//!
//! In: a lane that is between two ticks. Out: stale markers, or what the next lane needs to know. Never: a second attempt.

use std::time::Duration;

use tracing::warn;

use super::RemoteLane;
use crate::deliver::encode::Request;
use crate::deliver::v2::translate::translated;
use crate::deliver::{self, Version};
use crate::model::STALE_NAN_BITS;
use crate::pipeline::Heritage;
use crate::pipeline::intake::Ask;
use crate::pipeline::lane::{Context, lock};
use crate::pipeline::sending::Sink;

impl<A: Ask, S: Sink> RemoteLane<A, S> {
    /// Ends everything the receiver holds as present, a millisecond after its last sample, in one attempt per
    /// request: the tenant is gone, and nobody waits for a dead endpoint.
    pub(crate) async fn retire(mut self) {
        self.leave_past();
        let Some(last) = self.context.end_cursor() else { return };
        let at = last.plus(Duration::from_millis(1));
        let stale = f64::from_bits(STALE_NAN_BITS);
        let outputs = self.assembler.outputs().clone();
        let encoded = match self.sink.speaks() {
            Version::V1 => self.batches.encode(|requests| {
                lock(&outputs).end_all(|labels| requests.push(labels, at, stale));
            }),
            Version::V2 => self.batches.encode_v2(self.dictionary.get_or_insert_default(), |requests| {
                lock(&outputs).end_all(|labels| requests.push(None, labels, at, stale));
            }),
        };
        for request in &encoded.1.requests {
            if let Err(error) = self.take_leave(request).await {
                let id = &self.context.tenant.id;
                warn!(namespace = %id.namespace, name = %id.name, %error, "Stale markers not delivered");
                return;
            }
        }
    }

    async fn take_leave(&self, request: &Request) -> Result<(), deliver::Error> {
        match self.sink.send(request).await {
            Err(other @ deliver::Error::InOther { .. }) => {
                for request in translated(request, self.batches.limits()).ok_or(other)? {
                    self.sink.send(&request).await?;
                }
                Ok(())
            }
            sent => sent,
        }
    }

    /// Lets the filters go.
    pub(crate) fn lay_down(&mut self) {
        self.assembler.lay_down();
    }

    /// What the receiver holds, the seat there, and what it is still owed, for the lane that replaces this one.
    pub(crate) fn into_heritage(self) -> Heritage {
        let gap = self.gap();
        let (outputs, seat) = self.assembler.into_heritage();
        Heritage { outputs, seat, gap, outages: self.context.outages }
    }

    pub(crate) fn context(&self) -> &Context {
        &self.context
    }
}
