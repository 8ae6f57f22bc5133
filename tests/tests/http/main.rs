//! Http: how sources are asked and receivers sent to: by TLS, by HTTP/2, through a proxy, packed, with headers and tokens
//! that change.

#![allow(missing_docs)]

mod client;
mod receivers;
mod sources;
