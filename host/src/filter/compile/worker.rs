//! Worker: a process that compiles one component, and the call to it.
//!
//! In: a component on standard input. Out: machine code on standard output, or why not, in a line on standard error. Never: more
//! than its time and memory, of which the kernel sees to both; a core that pipelines need, if they need it (unless somebody waits);
//! anything that the process that called it could lose.

use std::io::{self, Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, Signal, nice, set_parent_process_death_signal, setrlimit};
use wasmtime::Engine;

use super::super::deadline::TIMES_MAX;
use super::super::{Error, runtime};
use super::Program;
use crate::background;
use crate::model::printable;

/// The argument that makes the program a worker.
const COMMAND: &str = "compile-filter";
/// And how much it may take.
const MEMORY: &str = "--memory-bytes-max";
const CPU: &str = "--cpu-seconds-max";
const WAITED_FOR: &str = "--waited-for";
/// The exit status of a worker that got its processor time too slowly.
const LATE: i32 = 3;
/// Of what it says, in bytes.
const SAID_BYTES_MAX: u64 = 4 << 10;

/// How a worker goes about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// With one core, behind whatever has to be on time.
    Behind,
    /// With all cores: somebody has typed a command and waits.
    WaitedFor,
}

/// The bounds of this process, which is a worker.
#[derive(Debug)]
pub struct Bounds(Pace);

/// Sets this process's bounds, for good.
///
/// # Errors
/// The kernel refuses them.
pub fn bounded(memory_bytes_max: usize, cpu_seconds_max: u64, pace: Pace) -> io::Result<Bounds> {
    let limit = |max| Rlimit { current: Some(max), maximum: Some(max) };
    let time_max = Duration::from_secs(cpu_seconds_max) * TIMES_MAX;
    // At the first bound the kernel says why it ends a process, at the second it only kills it.
    let seconds = Rlimit { current: Some(cpu_seconds_max), maximum: Some(cpu_seconds_max + 1) };
    setrlimit(Resource::Cpu, seconds)?;
    setrlimit(Resource::Data, limit(memory_bytes_max as u64))?;
    setrlimit(Resource::Core, limit(0))?;
    if pace == Pace::Behind {
        nice(background::NICENESS)?;
    }
    // The thread that called waits for the end; gone, nobody does.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    std::thread::Builder::new().spawn(move || {
        std::thread::sleep(time_max);
        std::process::exit(LATE);
    })?;
    Ok(Bounds(pace))
}

/// The machine code of a component.
///
/// # Errors
/// Why the bytes are no component, in one line.
pub fn machine_code(Bounds(pace): &Bounds, component: &[u8]) -> Result<Vec<u8>, String> {
    unbounded(*pace, component)
}

pub(super) fn unbounded(pace: Pace, component: &[u8]) -> Result<Vec<u8>, String> {
    let mut config = runtime::code_config();
    config.parallel_compilation(pace == Pace::WaitedFor);
    let engine = Engine::new(&config).map_err(|error| format!("{error:#}"))?;
    engine.precompile_component(component).map_err(|error| no_component(&error))
}

pub(super) fn no_component(error: &wasmtime::Error) -> String {
    let cause = error.root_cause().to_string().replace('\n', " ");
    // wasmtime has no error of its own for it.
    if cause.contains(MEMORY_TOO_SMALL) {
        let cure = "raise filters.memory, or --memory of `sluice filter`, or make it smaller";
        return format!("it begins with more memory than a filter may have: {cause}; {cure}");
    }
    format!("it does not compile as a component: {cause}")
}

/// What the pooling allocator says of a memory that does not fit into its slots.
const MEMORY_TOO_SMALL: &str = "has a minimum byte size of";

/// Why there is no machine code.
#[derive(Debug)]
pub(super) enum Failed {
    /// Whose fault it is: the component's.
    Refused(String),
    /// Or the machine's.
    Broken(io::Error),
}

impl Failed {
    pub(super) fn of(self, origin: &str) -> Error {
        match self {
            Failed::Refused(cause) => Error::not_a_filter(origin, &cause),
            Failed::Broken(source) => Error::Compiler { filter: origin.to_owned(), source },
        }
    }
}

/// Has `program` compile a component.
pub(super) fn call(program: &Program, component: &[u8]) -> Result<Vec<u8>, Failed> {
    let worker = Command::new(&program.path)
        .args([COMMAND, MEMORY, &program.memory_bytes_max.to_string()])
        .args([CPU, &program.cpu_seconds_max.to_string()])
        .args((program.pace == Pace::WaitedFor).then_some(WAITED_FOR))
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Output { status, stdout, stderr } =
        worker.and_then(|worker| attend(worker, component)).map_err(Failed::Broken)?;
    if status.success() {
        return Ok(stdout);
    }
    Err(cause_of(program, status, String::from_utf8_lossy(&stderr).trim()))
}

/// Gives the worker its input and takes its output. It reads all before it writes anything, and ends by itself; what it says is
/// heard meanwhile, to its end, or it would wait for us with a full pipe while we wait for its code.
fn attend(mut worker: Child, component: &[u8]) -> io::Result<Output> {
    let (stdin, stdout, stderr) = (worker.stdin.take(), worker.stdout.take(), worker.stderr.take());
    // One that ended before it had read everything says why.
    let _ = stdin.map(|mut stdin| stdin.write_all(component));
    let mut code = Vec::new();
    let (read, heard) = std::thread::scope(|scope| {
        let hearing = scope.spawn(move || stderr.map_or(Ok(Vec::new()), hear));
        let read = stdout.map_or(Ok(0), |mut stdout| stdout.read_to_end(&mut code));
        (read, hearing.join().expect("hearing does not panic"))
    });
    let status = worker.wait()?;
    read?;
    Ok(Output { status, stdout: code, stderr: heard? })
}

/// The beginning of what is said; the rest goes nowhere.
fn hear(mut stderr: impl io::Read) -> io::Result<Vec<u8>> {
    let mut said = Vec::new();
    stderr.by_ref().take(SAID_BYTES_MAX).read_to_end(&mut said)?;
    io::copy(&mut stderr, &mut io::sink())?;
    Ok(said)
}

fn cause_of(program: &Program, status: ExitStatus, said: &str) -> Failed {
    let is = |signal: Signal| status.signal() == Some(signal.as_raw());
    if status.code() == Some(1) {
        return Failed::Refused(said.to_owned());
    }
    if is(Signal::XCPU) || status.code() == Some(LATE) {
        return Failed::Refused(format!(
            "it takes more than {} s of processor time to compile: make it smaller",
            program.cpu_seconds_max
        ));
    }
    // How Rust's allocator ends a process that gets no more.
    if is(Signal::ABORT) && said.contains("memory allocation") {
        let mib = program.memory_bytes_max >> 20;
        return Failed::Refused(format!(
            "it takes more than {mib} MiB of memory to compile: make it smaller, or have Sluice's memory raised, of which \
             one compilation may take a quarter"
        ));
    }
    Failed::Broken(io::Error::other(format!(
        "the compiler's process ended with {status}: {}",
        printable(said)
    )))
}
