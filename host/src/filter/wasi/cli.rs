//! Cli: no variables, arguments, folder, input or terminal; what is printed goes to the log, and an exit is a failure.

use wasmtime::component::{Linker, Resource, ResourceType};

use super::io::{Input, drop_handle, give, stream_to};
use super::world::Output;
use super::{Store, interface};
use crate::filter::instance::Host;

/// Nobody gets one.
enum TerminalInput {}
/// Nobody gets one.
enum TerminalOutput {}

pub(super) fn link(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    let mut environment = interface(linker, "cli/environment")?;
    environment.func_wrap("get-environment", |_: Store<'_>, ()| Ok((Vec::<(String, String)>::new(),)))?;
    environment.func_wrap("get-arguments", |_: Store<'_>, ()| Ok((Vec::<String>::new(),)))?;
    environment.func_wrap("initial-cwd", |_: Store<'_>, ()| Ok((None::<String>,)))?;
    let mut exit = interface(linker, "cli/exit")?;
    let ended = || wasmtime::Error::msg("it ended itself with exit");
    exit.func_wrap("exit", move |_: Store<'_>, (_,): (Result<(), ()>,)| Err::<(), _>(ended()))?;
    exit.func_wrap("exit-with-code", move |_: Store<'_>, (_,): (u8,)| Err::<(), _>(ended()))?;
    standard(linker)?;
    terminals(linker)
}

fn standard(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    interface(linker, "cli/stdin")?
        .func_wrap("get-stdin", |mut store: Store<'_>, ()| Ok((give::<Input>(&mut store, 0)?,)))?;
    interface(linker, "cli/stdout")?
        .func_wrap("get-stdout", |mut store: Store<'_>, ()| Ok((stream_to(&mut store, Output::Stdout)?,)))?;
    interface(linker, "cli/stderr")?
        .func_wrap("get-stderr", |mut store: Store<'_>, ()| Ok((stream_to(&mut store, Output::Stderr)?,)))
}

fn terminals(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    let (input, output) = (ResourceType::host::<TerminalInput>(), ResourceType::host::<TerminalOutput>());
    interface(linker, "cli/terminal-input")?.resource("terminal-input", input, drop_handle)?;
    interface(linker, "cli/terminal-output")?.resource("terminal-output", output, drop_handle)?;
    interface(linker, "cli/terminal-stdin")?
        .func_wrap("get-terminal-stdin", |_: Store<'_>, ()| Ok((None::<Resource<TerminalInput>>,)))?;
    for name in ["stdout", "stderr"] {
        interface(linker, &format!("cli/terminal-{name}"))?
            .func_wrap(&format!("get-terminal-{name}"), |_: Store<'_>, ()| {
                Ok((None::<Resource<TerminalOutput>>,))
            })?;
    }
    Ok(())
}
