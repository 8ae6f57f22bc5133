//! Io: streams of which one end is nowhere, and things to wait for that are always ready.

use wasmtime::component::{ComponentType, Lift, Linker, Lower, Resource, ResourceType, WasmList};

use super::world::Output;
use super::{Store, interface};
use crate::filter::instance::Host;
use crate::filter::wire::Level;

/// How much a guest may write at once, as it is told; what it writes beyond is left out.
const WRITE_BYTES_MAX: u64 = 4_096;
/// Standard error; every other stream's number is that of standard output.
const STDERR: u32 = 2;

/// A stream that has ended.
pub(super) enum Input {}
/// A stream into the log.
pub(super) enum Out {}
/// Something that is ready.
pub(super) enum Pollable {}
/// Nobody gets one: no stream fails.
pub(super) enum Failure {}

#[derive(ComponentType, Lift, Lower)]
#[component(variant)]
enum StreamError {
    #[component(name = "last-operation-failed")]
    Failed(Resource<Failure>),
    #[component(name = "closed")]
    Closed,
}

type Streamed<T> = Result<T, StreamError>;

pub(super) fn link(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    let mut error = interface(linker, "io/error")?;
    error.resource("error", ResourceType::host::<Failure>(), drop_handle)?;
    error.func_wrap("[method]error.to-debug-string", |_: Store<'_>, (_,): (Resource<Failure>,)| {
        Ok((String::from("nothing is here"),))
    })?;
    poll(linker)?;
    let mut streams = interface(linker, "io/streams")?;
    streams.resource("input-stream", ResourceType::host::<Input>(), drop_handle)?;
    streams.resource("output-stream", ResourceType::host::<Out>(), drop_handle)?;
    input(linker)?;
    output(linker)
}

/// For every kind of resource: nothing is behind it, it is only counted.
pub(super) fn drop_handle(mut store: Store<'_>, _: u32) -> wasmtime::Result<()> {
    store.data_mut().world.take_handle();
    Ok(())
}

/// Gives the guest a resource that it has not had.
pub(super) fn give<T: 'static>(store: &mut Store<'_>, number: u32) -> wasmtime::Result<Resource<T>> {
    store.data_mut().world.give_handle()?;
    Ok(Resource::new_own(number))
}

/// The stream that leads to `output`.
pub(super) fn stream_to(store: &mut Store<'_>, output: Output) -> wasmtime::Result<Resource<Out>> {
    give(store, if output == Output::Stderr { STDERR } else { 1 })
}

impl Host {
    fn print(&mut self, output: Output, bytes: &[u8]) {
        let Host { world, log, .. } = self;
        world.print(output, bytes, |line| log.write(level(output), line));
    }

    /// A call is over: what it began to print is complete.
    pub(in crate::filter) fn end_lines(&mut self) {
        let Host { world, log, .. } = self;
        for output in [Output::Stdout, Output::Stderr] {
            world.end_line(output, |line| log.write(level(output), line));
        }
    }
}

fn level(output: Output) -> Level {
    match output {
        Output::Stdout => Level::Info,
        Output::Stderr => Level::Warn,
    }
}

fn poll(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    let mut poll = interface(linker, "io/poll")?;
    poll.resource("pollable", ResourceType::host::<Pollable>(), drop_handle)?;
    poll.func_wrap("[method]pollable.ready", |_: Store<'_>, (_,): (Resource<Pollable>,)| Ok((true,)))?;
    poll.func_wrap("[method]pollable.block", |_: Store<'_>, (_,): (Resource<Pollable>,)| Ok(()))?;
    poll.func_wrap("poll", |_: Store<'_>, (all,): (WasmList<Resource<Pollable>>,)| {
        let count = u32::try_from(all.len()).expect("a guest's lists have 32-bit lengths");
        if count == 0 {
            return Err(wasmtime::Error::msg("it waits for nothing, which never comes"));
        }
        Ok(((0..count).collect::<Vec<u32>>(),))
    })
}

fn input(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    let mut streams = interface(linker, "io/streams")?;
    for name in ["[method]input-stream.read", "[method]input-stream.blocking-read"] {
        streams.func_wrap(name, |_: Store<'_>, _: (Resource<Input>, u64)| {
            Ok((Streamed::<Vec<u8>>::Err(StreamError::Closed),))
        })?;
    }
    for name in ["[method]input-stream.skip", "[method]input-stream.blocking-skip"] {
        streams.func_wrap(name, |_: Store<'_>, _: (Resource<Input>, u64)| {
            Ok((Streamed::<u64>::Err(StreamError::Closed),))
        })?;
    }
    streams.func_wrap("[method]input-stream.subscribe", |mut store: Store<'_>, (_,): (Resource<Input>,)| {
        Ok((give::<Pollable>(&mut store, 0)?,))
    })
}

fn output(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    let mut streams = interface(linker, "io/streams")?;
    streams.func_wrap("[method]output-stream.check-write", |_: Store<'_>, (_,): (Resource<Out>,)| {
        Ok((Streamed::Ok(WRITE_BYTES_MAX),))
    })?;
    for name in ["[method]output-stream.write", "[method]output-stream.blocking-write-and-flush"] {
        streams.func_wrap(
            name,
            |mut store: Store<'_>, (stream, contents): (Resource<Out>, WasmList<u8>)| {
                let output = if stream.rep() == STDERR { Output::Stderr } else { Output::Stdout };
                let bytes = contents.as_le_slice(&store);
                let bytes = bytes[..bytes.len().min(WRITE_BYTES_MAX as usize)].to_vec();
                store.data_mut().print(output, &bytes);
                Ok((Streamed::Ok(()),))
            },
        )?;
    }
    for name in ["[method]output-stream.flush", "[method]output-stream.blocking-flush"] {
        streams.func_wrap(name, |_: Store<'_>, (_,): (Resource<Out>,)| Ok((Streamed::Ok(()),)))?;
    }
    for name in
        ["[method]output-stream.write-zeroes", "[method]output-stream.blocking-write-zeroes-and-flush"]
    {
        streams.func_wrap(name, |_: Store<'_>, _: (Resource<Out>, u64)| Ok((Streamed::Ok(()),)))?;
    }
    for name in ["[method]output-stream.splice", "[method]output-stream.blocking-splice"] {
        streams.func_wrap(name, |_: Store<'_>, _: (Resource<Out>, Resource<Input>, u64)| {
            Ok((Streamed::<u64>::Err(StreamError::Closed),))
        })?;
    }
    streams.func_wrap("[method]output-stream.subscribe", |mut store: Store<'_>, (_,): (Resource<Out>,)| {
        Ok((give::<Pollable>(&mut store, 0)?,))
    })
}
