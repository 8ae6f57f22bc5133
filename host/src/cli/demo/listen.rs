//! Listen: one router on a free loopback port, for as long as the demo runs.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Context as _;
use axum::Router;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Serves `router` until `stop`, and says where.
pub(super) async fn serve(router: Router, stop: CancellationToken) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("no free loopback port")?;
    let address = listener.local_addr()?;
    tokio::spawn(crate::serve::serve(listener, router, stop));
    Ok(address)
}

/// A free loopback address for a server that opens it itself: `wanted` if nobody has it.
pub(super) async fn free(wanted: u16) -> anyhow::Result<SocketAddr> {
    let listener = match TcpListener::bind((Ipv4Addr::LOCALHOST, wanted)).await {
        Ok(listener) => listener,
        Err(_) => TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("no free loopback port")?,
    };
    Ok(listener.local_addr()?)
}
