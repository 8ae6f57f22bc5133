//! Wasi: the empty world. Guests of toolchains that cannot do without WASI find every interface of it, and nothing behind.
//!
//! In: calls of WASI 0.2, whichever patch release a guest was built for. Out: no arguments, variables, files or sockets; a clock
//! that stands at the tick; random numbers that follow from tenant, filter and tick; what is printed goes to the filter's log.
//! Never: anything of this machine, a wait, a different answer to the same call of the same tick, or a handle too many.

mod cli;
mod clocks;
mod io;
mod nowhere;
mod random;
#[cfg(test)]
mod tests;
mod world;

use serde::Deserialize;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, LinkerInstance};

use super::instance::Host;
use super::module;
pub(super) use world::World;

/// What a guest that imports WASI gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wasi {
    /// It is refused.
    None,
    /// A world with nothing in it. It gives a guest no more than it has without: numbers that it could have counted itself, and
    /// its own log. So it is the default.
    #[default]
    Empty,
}

/// The engine takes interfaces of one minor version for one another, so this stands for all of 0.2.
const VERSION: &str = "0.2.0";
/// What the empty world has. `wasi:http` is not among it: nobody who imports that is served by nothing.
const PACKAGES: [&str; 6] =
    ["wasi:cli/", "wasi:clocks/", "wasi:filesystem/", "wasi:io/", "wasi:random/", "wasi:sockets/"];

/// Why a component with this import of WASI's cannot be run; `None` if it can.
pub(super) fn refusal(import: &str, wasi: Wasi) -> Option<String> {
    let known = PACKAGES.iter().any(|package| import.starts_with(package)) && import.contains("@0.2.");
    let shown = module::shown(import);
    match wasi {
        Wasi::None => Some(format!(
            "it imports {shown}, and this Sluice takes no WASI (filters.wasi: none): build it for \
             wasm32-unknown-unknown, or ask the operator for filters.wasi: empty"
        )),
        Wasi::Empty if !known => Some(format!(
            "it imports {shown}; of WASI a filter may import cli, clocks, filesystem, io, random and sockets of \
             version 0.2, all of them empty: build it without"
        )),
        Wasi::Empty => None,
    }
}

/// Defines all of it.
pub(super) fn link(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    io::link(linker)?;
    cli::link(linker)?;
    clocks::link(linker)?;
    random::link(linker)?;
    nowhere::link(linker)
}

/// What a function is called with.
type Store<'a> = StoreContextMut<'a, Host>;

fn interface<'a>(linker: &'a mut Linker<Host>, name: &str) -> wasmtime::Result<LinkerInstance<'a, Host>> {
    linker.instance(&format!("wasi:{name}@{VERSION}"))
}
