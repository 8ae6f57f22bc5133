//! Compile: from a component's bytes to the engine's machine code.
//!
//! In: bytes, ours or anybody's. Out: a component. Never: anybody's bytes compiled without a bound on time and memory, where
//! there is a program to do it in; machine code run that this program did not make.

mod artefacts;
mod worker;

use std::path::PathBuf;

use wasmtime::Engine;
use wasmtime::component::Component;

use super::Error;
use crate::cache::Cache;
use crate::model::Digest;
use artefacts::Artefacts;

pub use worker::{Bounds, Pace, bounded, machine_code};

/// Processor time of one compilation. The largest modules, interpreters, take a quarter of it.
pub const CPU_SECONDS_MAX: u64 = 120;

/// How components are compiled, and where what came of it is kept.
#[derive(Debug, Clone, Default)]
pub struct Compiler {
    program: Option<Program>,
    kept: Option<Cache>,
}

/// What compiles anybody's bytes in a process of its own: called as `PATH compile-filter --memory-bytes-max N
/// --cpu-seconds-max N`, with `--waited-for` for [`Pace::WaitedFor`], it does what [`machine_code`] does with its standard input and output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Where it is.
    pub path: PathBuf,
    /// Memory of one compilation.
    pub memory_bytes_max: usize,
    /// Processor time of one compilation; in a program that runs, [`CPU_SECONDS_MAX`].
    pub cpu_seconds_max: u64,
    /// How it goes about it.
    pub pace: Pace,
}

/// Whose bytes they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// Part of the program: compiled by all cores, without bounds.
    Ours,
    /// Anybody's.
    Theirs,
}

impl Compiler {
    /// In this process, and nothing is kept: for tests, and for what is to be given a program or files.
    pub fn here() -> Compiler {
        Compiler::default()
    }

    /// Anybody's bytes are compiled by `program`, within bounds.
    #[must_use]
    pub fn with_program(self, program: Program) -> Compiler {
        Compiler { program: Some(program), ..self }
    }

    /// Machine code is kept in these files, for this process and the next.
    #[must_use]
    pub fn with_cache(self, kept: Cache) -> Compiler {
        Compiler { kept: Some(kept), ..self }
    }

    /// The component of `bytes`; `origin` names it in errors.
    ///
    /// # Errors
    /// [`Error::NotAFilter`] if it is none, or takes too much to compile; [`Error::Compiler`].
    pub(super) fn component(
        &self,
        engine: &Engine,
        whose: Whose,
        origin: &str,
        bytes: &[u8],
    ) -> Result<Component, Error> {
        let refuse = |cause: String| Error::not_a_filter(origin, &cause);
        let artefacts = self.kept.as_ref().map(|kept| Artefacts::new(kept, engine));
        let digest = Digest::of(bytes);
        if let Some(component) = artefacts.as_ref().and_then(|artefacts| artefacts.get(digest)) {
            return Ok(component);
        }
        let code = match (&self.program, whose) {
            (Some(program), Whose::Theirs) => {
                worker::call(program, bytes).map_err(|failed| failed.of(origin))?
            }
            _ => engine.precompile_component(bytes).map_err(|error| refuse(worker::no_component(&error)))?,
        };
        // What the engine has no room for shows now.
        let component =
            artefacts::load(engine, &code).map_err(|error| refuse(worker::no_component(&error)))?;
        if let Some(artefacts) = &artefacts {
            artefacts.put(digest, &code);
        }
        Ok(component)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::fixtures::guests;
    use super::super::{Builtins, Config, Error, Module, Runtime};
    use super::*;
    use crate::cache;

    fn files(folder: &Path) -> Cache {
        Cache::open(&cache::Config { folder: folder.to_owned(), bytes_max: 1 << 30 })
    }

    fn load(compiler: Compiler, bytes: &[u8]) -> Result<Module, Error> {
        let config = Config { instances_max: 4, ..Config::default() };
        Runtime::with(&config, Builtins::embedded(), compiler).unwrap().load("m.wasm", bytes)
    }

    /// A program that is none: what reaches it shows that something had to be compiled.
    fn no_program() -> Compiler {
        let path = "/nonexistent".into();
        Compiler::here().with_program(Program {
            path,
            memory_bytes_max: 0,
            cpu_seconds_max: 0,
            pace: Pace::Behind,
        })
    }

    fn kept(folder: &Path) -> Vec<std::path::PathBuf> {
        let own = std::fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
        std::fs::read_dir(own).unwrap().map(|found| found.unwrap().path()).collect()
    }

    #[test]
    fn machine_code_is_made_once_and_loaded_by_the_next_process() {
        let folder = tempfile::tempdir().unwrap();
        let bytes = &guests().totals;
        let said = load(no_program().with_cache(files(folder.path())), bytes).unwrap_err().to_string();
        assert!(said.starts_with("m.wasm could not be compiled: No such file"), "{said}");
        let made = load(Compiler::here().with_cache(files(folder.path())), bytes).unwrap();
        let loaded = load(no_program().with_cache(files(folder.path())), bytes).unwrap();
        assert_eq!((loaded.manifest(), loaded.digest()), (made.manifest(), made.digest()));
    }

    #[test]
    fn machine_code_that_changed_on_the_disk_is_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let bytes = &guests().totals;
        load(Compiler::here().with_cache(files(folder.path())), bytes).unwrap();
        let [path] = &kept(folder.path())[..] else { panic!() };
        let good = std::fs::read(path).unwrap();
        let mut bad = good.clone();
        bad[good.len() / 2] ^= 1;
        for wrong in [&bad[..], &good[..good.len() / 2], &good[..HALF_A_HASH], b""] {
            std::fs::write(path, wrong).unwrap();
            let said = load(no_program().with_cache(files(folder.path())), bytes).unwrap_err().to_string();
            assert!(said.starts_with("m.wasm could not be compiled: No such file"), "{said}");
            assert!(!path.exists());
        }
        load(Compiler::here().with_cache(files(folder.path())), bytes).unwrap();
        assert_eq!(std::fs::read(path).unwrap(), good);
    }

    const HALF_A_HASH: usize = 16;

    #[test]
    fn what_a_worker_makes_can_be_loaded() {
        let config = Config { instances_max: 4, ..Config::default() };
        let engine = Engine::new(&super::super::runtime::engine_config(&config)).unwrap();
        for pace in [Pace::Behind, Pace::WaitedFor] {
            let code = worker::unbounded(pace, &guests().totals).unwrap();
            artefacts::load(&engine, &code).unwrap();
        }
    }
}
