//! Desk: components, and the engine that tries them, within what they will have where they run.
//!
//! In: what was typed. Out: modules. Never: a limit that an operator would not have by default, unless it was typed; anybody's
//! bytes compiled in this process.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;

use super::progress::patiently;
use super::{kept, size};
use crate::document::{ByteSize, GoDuration};
use crate::filter::{self, Builtins, Compiler, Module, Pace, Program, Runtime};
use crate::model::FilterLimits;
use crate::modules::{Error, MODULE_BYTES_MAX};
use crate::tenancy::policy::FILTER_LIMITS;

/// What stands before a built-in filter's name where a component is asked for.
pub(super) const BUILTIN: &str = "builtin:";

/// Instances at once: one namespace may keep as many of them as a resource may have filters. It is less of a laptop's address space
/// than `sluice run` takes.
const INSTANCES_MAX: u32 = 96;

/// How large a component may be.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(super) struct Most {
    /// The largest component, as the operator's filters.maxModule
    #[arg(long, value_name = "SIZE", default_value_t = ByteSize(MODULE_BYTES_MAX), value_parser = bytes)]
    pub(super) max_module: ByteSize,
}

/// What a filter may take.
#[derive(Debug, Clone, Copy, clap::Args)]
struct Limits {
    /// Memory of the filter, as the operator's filters.memory
    #[arg(long, value_name = "SIZE", default_value_t = ByteSize(FILTER_LIMITS.memory_bytes_max), value_parser = bytes)]
    memory: ByteSize,
    /// Time of one call, as the operator's filters.timeout
    #[arg(long, value_name = "DURATION", default_value_t = GoDuration(FILTER_LIMITS.call_time_max), value_parser = time)]
    timeout: GoDuration,
}

/// A filter that is tried, and within what.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Subject {
    /// The component, or builtin:NAME; without it, the filter in this folder is built
    #[arg(value_name = "M.wasm")]
    module: Option<PathBuf>,
    #[command(flatten)]
    limits: Limits,
    #[command(flatten)]
    pub(super) most: Most,
}

impl Subject {
    /// Where the component is; it is built if it has to be.
    pub(super) fn path(&self) -> anyhow::Result<PathBuf> {
        component(self.module.as_ref())
    }

    pub(super) fn limits(&self) -> FilterLimits {
        self.limits.get()
    }

    /// The engine, within its limits.
    pub(super) fn runtime(&self) -> anyhow::Result<Runtime> {
        runtime_within(self.limits())
    }
}

impl Limits {
    fn get(self) -> FilterLimits {
        FilterLimits { memory_bytes_max: self.memory.0, call_time_max: self.timeout.0 }
    }
}

fn bytes(text: &str) -> Result<ByteSize, String> {
    let size = ByteSize::parse(text).filter(|size| size.0 > 0);
    size.ok_or_else(|| "write a size like 64Mi, or a number of bytes".into())
}

fn time(text: &str) -> Result<GoDuration, String> {
    let whole = |duration: &GoDuration| duration.0 >= Duration::from_millis(1);
    GoDuration::parse(text).filter(whole).ok_or_else(|| "write a duration like 1s or 500ms".into())
}

/// The engine with the limits that a filter has by default.
pub(super) fn runtime() -> anyhow::Result<Runtime> {
    runtime_within(FILTER_LIMITS)
}

/// The engine, as `sluice run` has it.
fn runtime_within(limits: FilterLimits) -> anyhow::Result<Runtime> {
    let FilterLimits { memory_bytes_max, call_time_max } = limits;
    let call_millis_max = u64::try_from(call_time_max.as_millis()).unwrap_or(u64::MAX);
    let (instances_max, most) = (INSTANCES_MAX, filter::Config::default());
    let config = filter::Config { instances_max, memory_bytes_max, call_millis_max, ..most };
    let program = Program { pace: Pace::WaitedFor, ..crate::app::compiler() };
    let compiler = Compiler::here().with_program(program);
    let compiler = kept::files().into_iter().fold(compiler, Compiler::with_cache);
    Ok(Runtime::with(&config, Builtins::embedded(), compiler)?)
}

/// The component that was named.
pub(super) fn load(runtime: &Runtime, path: &Path, most: Most) -> anyhow::Result<Module> {
    if let Some(name) = path.to_str().and_then(|path| path.strip_prefix(BUILTIN)) {
        return builtin(runtime, name);
    }
    compile(runtime, &path.display().to_string(), &read(path, most)?)
}

/// A filter that comes with the program.
pub(super) fn builtin(runtime: &Runtime, name: &str) -> anyhow::Result<Module> {
    Ok(patiently(|| format!("compiling {BUILTIN}{name}"), || runtime.builtin(name).cloned())?)
}

/// The component of these bytes; `origin` names it.
pub(super) fn compile(runtime: &Runtime, origin: &str, bytes: &[u8]) -> anyhow::Result<Module> {
    let what = || format!("compiling {origin}, {}", size(bytes.len()));
    Ok(patiently(what, || runtime.load(origin, bytes))?)
}

/// A component's bytes.
pub(super) fn read(path: &Path, most: Most) -> anyhow::Result<Vec<u8>> {
    let (what, bytes_max) = (path.display().to_string(), most.max_module.0);
    let bytes = std::fs::metadata(path).with_context(|| what.clone())?.len();
    if bytes > bytes_max as u64 {
        let too_large = Error::TooLarge { what, bytes_max, unpacked: false };
        return Err(anyhow::anyhow!("{too_large} (the operator in sluice.yaml, you with --max-module)"));
    }
    std::fs::read(path).context(what)
}

/// The component that was named, or the one that the crate here makes.
pub(super) fn component(named: Option<&PathBuf>) -> anyhow::Result<PathBuf> {
    match named {
        Some(path) => Ok(path.clone()),
        None => Ok(crate::workbench::build(Path::new("."))?.path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_wrote_is_compiled_by_the_program_called_anew() {
        let empty = b"\0asm\x0d\0\x01\0";
        let refused = compile(&runtime().unwrap(), "m.wasm", empty).unwrap_err().to_string();
        // The program is this test, which does not know what it is asked.
        assert!(
            refused.starts_with("m.wasm could not be compiled: the compiler's process ended"),
            "{refused}"
        );
    }

    #[test]
    fn limits_are_those_of_an_operator_who_says_nothing() {
        #[derive(clap::Parser)]
        struct Args {
            #[command(flatten)]
            limits: Limits,
            #[command(flatten)]
            most: Most,
        }
        let typed = |args: &[&str]| <Args as clap::Parser>::try_parse_from([&["x"], args].concat());
        let Ok(Args { limits, most }) = typed(&[]) else { panic!("nothing has to be said") };
        assert_eq!((limits.get(), most.max_module.0), (FILTER_LIMITS, MODULE_BYTES_MAX));
        let Ok(Args { limits, .. }) = typed(&["--memory", "32Mi", "--timeout", "500ms"]) else { panic!() };
        assert_eq!((limits.memory.0, limits.timeout.0), (32 << 20, Duration::from_millis(500)));
        for wrong in [["--memory", "0"], ["--timeout", "5"], ["--max-module", "big"]] {
            assert!(typed(&wrong).is_err(), "{wrong:?}");
        }
    }
}
