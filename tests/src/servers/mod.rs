//! Servers: real programs as child processes on free loopback ports, and our own fakes as tasks.
//!
//! In: a binary found in `$SLUICE_SERVERS`, `.test/servers` or `PATH`. Out: a ready server with a captured log.
//! Never: a process that outlives its handle, a fixed port, a directory outside of the temporary one.

mod local;
mod process;
mod prometheus;
mod pushgateway;
mod registry;
mod sluice;

pub use local::Local;
pub use process::Process;
pub use prometheus::{Prometheus, ScrapeJob, config};
pub use pushgateway::Pushgateway;
pub use registry::DockerRegistry;
pub use sluice::{Pod, Setup, Sluice, binary, command, command_told, command_with, profile_folder};

use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Where `make servers` unpacks the system's packages, from the workspace's root.
const UNPACKED: &str = ".test/servers/usr/bin";

/// How often to try another port when one was taken between finding and using it.
pub(crate) const PORT_TRIES_MAX: usize = 5;

/// The binary called `name`; panics with what to do if there is none.
pub fn find(name: &str) -> PathBuf {
    look_for(name).unwrap_or_else(|| {
        panic!("no {name}: run `make servers`, or `apt-get install prometheus prometheus-pushgateway`")
    })
}

/// The binary called `name`, if there is one.
fn look_for(name: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("SLUICE_SERVERS").map(PathBuf::from);
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(UNPACKED);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = folders.into_iter().chain([unpacked]).chain(std::env::split_paths(&path));
    folders.map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// Where ports are looked for: below those that connections go out from, so that none takes a server's while that is away for a
/// moment.
const PORTS: Range<u16> = 12_000..32_000;

/// A port that was free a moment ago. Another process may take it first: who uses it, tries again.
pub fn free_port() -> u16 {
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    let mut ports = std::iter::repeat_with(|| rand::random_range(PORTS)).take(PORTS.len());
    ports.find(is_free).expect("loopback has a free port")
}
