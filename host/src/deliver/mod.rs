//! Deliver: sends what left the filters to the tenant's own servers.
//!
//! In: encoded series and samples of one tick, and where they go. Out: an acknowledgement, or an error that says
//! whether, and when, trying again can help; and the cursor that remembers what was acknowledged.
//! Never: a queue of its own (the source remembers), a sample altered, a request called delivered because of
//! anything but a success.

mod answer;
pub mod cursor;
pub mod encode;
mod error;
pub mod exposition;
pub mod piece;
pub mod proto;
pub mod protocol;
pub mod pushgateway;
mod reason;
pub mod remote_write;
pub mod retry;
pub mod split;
pub mod v2;

pub use error::Error;
pub use protocol::Version;
pub use reason::Reason;

use http::Uri;
use url::Url;

/// The address to send to; credentials in it would be sent nowhere, and shown everywhere.
fn uri(url: &Url) -> Result<Uri, Error> {
    let refused = |cause| {
        let mut shown = url.clone();
        let _ = shown.set_username("");
        let _ = shown.set_password(None);
        Error::Url { url: shown.into(), cause }
    };
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(refused("it must begin with http:// or https:// and name a host"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refused("it carries credentials; write them in basicAuth"));
    }
    url.as_str().parse().map_err(|_| refused("it has characters that must be percent-encoded"))
}
