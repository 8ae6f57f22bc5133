//! Model: the pure nouns every room speaks in.
//!
//! In: nothing of ours but the SDK's `Selector`. Out: types.
//! Never: IO, async, clocks, or knowledge of where a value came from.

mod access;
mod cause;
mod cidr;
mod collection;
pub mod conflicts;
mod endpoint;
pub mod exposition;
mod filter;
pub mod guard;
mod labels;
pub mod memory;
pub mod metadata;
mod module;
pub mod outage;
pub mod pattern;
mod printable;
mod proxy;
mod secret;
mod source;
mod stamp;
mod standing;
mod tenant;
mod time;

pub use access::{Access, Credentials, Header, HeaderValue, Identity, Tls, Verify};
pub use cause::chain;
pub use cidr::{Cidr, CidrError};
pub use collection::Mode;
pub use endpoint::{
    Author, BasicAuth, Endpoint, Login, OnReject, Order, Protocol, PushgatewayEndpoint, PushgatewayGroup,
    RESERVED_HEADERS, Receiver, ReceiverIdentity, ReceiverTls, RemoteWriteEndpoint, TargetType,
};
pub use filter::{Filter, FilterLimits, FilterMode, OnFailure};
pub use guard::Guard;
pub use labels::{Labels, LabelsError, METRIC_NAME, is_label_name};
pub use memory::Memory;
pub use metadata::Metadata;
pub use module::{
    Digest, DigestError, ModulePath, ModulePathError, Origin, Reference, ReferenceError, TRIED, Tags, Version,
};
pub use printable::{inert, is_unseen_mark, printable};
pub use proxy::{Egress, Exception, Names, Proxy, ProxyLogin};
pub use secret::Secret;
pub use source::{Audience, Compression, Source, SourceGroup, SourceName};
pub use stamp::{HonorLabels, Stamped, Stamps, Unstamped};
pub use standing::{Standing, Standings};
pub use tenant::{ENDED_CURSORS_MAX, Tenant, TenantId, TickLimits};
pub use time::{Interval, Span, Tick, Timestamp};

/// Readers look back so far for a series' newest sample (Prometheus' `--query.lookback-delta`): what was not seen for longer is gone for them.
pub const LOOKBACK: std::time::Duration = std::time::Duration::from_secs(300);

/// The bits of the NaN by which Prometheus marks the end of a series
/// (`model/value/value.go`, `StaleNaN`).
pub const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;

/// The bits of the NaN that Prometheus stores for an ordinary NaN (`NormalNaN`).
pub const NORMAL_NAN_BITS: u64 = 0x7ff8_0000_0000_0001;
