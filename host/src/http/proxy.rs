//! Proxy: a tunnel through an HTTP proxy (`CONNECT`, RFC 9110, 9.3.6).
//!
//! In: a connection to the proxy, and where it is to lead. Out: the same connection, which leads there. Never: a request
//! that the proxy can read (plain HTTP goes through a tunnel as well, so that an address that was judged stays the one that
//! is dialled), a password in an error.

use std::io;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{AGENT, access};
use crate::model::{Proxy, ProxyLogin};

/// The longest head of a proxy's answer that is read.
const HEAD_BYTES_MAX: usize = 8 << 10;

/// Why there is no tunnel, the whole story: of an error's causes the innermost is shown, which would not say that it is about
/// the proxy.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoTunnel {
    #[error("the proxy {proxy} cannot be reached: {why}")]
    Unreachable { proxy: String, why: String },
    #[error("the proxy {proxy} does not let us through to {target}: {said}{}", cure(said))]
    Refused { proxy: String, target: String, said: String },
    #[error("the proxy {proxy} broke the connection before it answered: {why}")]
    Broken { proxy: String, why: String },
    #[error("what listens at {proxy} is no HTTP proxy")]
    NotAProxy { proxy: String },
    #[error("the proxy's password: {0}")]
    Password(String),
}

fn cure(said: &str) -> &'static str {
    match said.starts_with("407") {
        true => "; check username and passwordFile of the proxy",
        false => "",
    }
}

/// Has the proxy lead `stream`, which is connected to it, to `target` (`host:port`).
pub(super) async fn tunnel(stream: &mut TcpStream, proxy: &Proxy, target: &str) -> Result<(), NoTunnel> {
    let login = match &proxy.login {
        None => String::new(),
        Some(login) => format!("proxy-authorization: Basic {}\r\n", pair(login).await?),
    };
    let request =
        format!("CONNECT {target} HTTP/1.1\r\nhost: {target}\r\nuser-agent: {AGENT}\r\n{login}\r\n");
    let broken = |error: io::Error| NoTunnel::Broken { proxy: proxy.to_string(), why: error.to_string() };
    stream.write_all(request.as_bytes()).await.map_err(broken)?;
    let mut head = Vec::new();
    // Byte by byte: what follows the head belongs to whoever is behind the tunnel.
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() == HEAD_BYTES_MAX {
            return Err(NoTunnel::NotAProxy { proxy: proxy.to_string() });
        }
        head.push(stream.read_u8().await.map_err(broken)?);
    }
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    match String::from_utf8_lossy(line).split_once(' ') {
        Some((version, status)) if version.starts_with("HTTP/1.") && status.starts_with('2') => Ok(()),
        Some((version, status)) if version.starts_with("HTTP/1.") => {
            let said = status.chars().filter(|c| !c.is_control()).take(100).collect();
            Err(NoTunnel::Refused { proxy: proxy.to_string(), target: target.to_owned(), said })
        }
        _ => Err(NoTunnel::NotAProxy { proxy: proxy.to_string() }),
    }
}

async fn pair(login: &ProxyLogin) -> Result<String, NoTunnel> {
    let ProxyLogin { username, password_file } = login;
    let password =
        access::read_line(password_file).await.map_err(|error| NoTunnel::Password(error.to_string()))?;
    Ok(BASE64_STANDARD.encode(format!("{username}:{password}")))
}
