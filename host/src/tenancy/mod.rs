//! Tenancy: what each team may have, from `MetricAccess` resources.
//!
//! In: resources as tenants write them, and the operator's [`Policy`]. Out: snapshots of [`crate::model::Tenant`]s
//! that can run, and for every other resource the reason why not.
//! Never: a resource that stops another one, a Secret of another namespace, a mistake without a cure.

mod assemble;
pub mod cluster;
pub mod crd;
pub mod files;
mod names;
pub mod ownership;
pub mod policy;
mod read;
#[expect(
    unreachable_pub,
    clippy::duplicated_attributes,
    reason = "the schema's derive repeats each type inside a function, and columns have fields of one name"
)]
pub mod resource;
mod review;
pub mod secrets;
mod selectors;
pub mod shards;
pub mod status;
mod surroundings;
mod tenants;
mod validate;

pub use policy::{Effective, Policy};
pub use read::{Resource, read};
pub use review::{Draft, Outcome, Review};
pub use selectors::LabelSelectors;
pub use surroundings::{Service, Surroundings};
pub use tenants::{Published, Running, Tenants};

/// How long one watch request lasts. An API server that is gone without a word is noticed a little after it. Watches of
/// single Secrets are left as long as kube makes them, since there may be a thousand: these live by the API server's
/// bookmarks, one a minute.
pub const WATCH_SECONDS: u32 = 90;
