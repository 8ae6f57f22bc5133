//! Builtin: the filters that come with the program.
//!
//! In: the components that the build made of `filters/`. Out: modules by name, each compiled once, when it is first asked
//! for. Never: a filter that can do what others cannot; these differ from a tenant's own in where they come from only.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::Error;
use super::compile::Whose;
use super::module::Module;
use super::runtime::Shared;

/// Takes what a tenant's patterns select.
pub const PATTERNS: &str = "patterns";
/// Relabels as Prometheus does.
pub const RELABEL: &str = "relabel";
/// Stamps whose a series is.
pub const ENRICH: &str = "enrich";

/// The ones that the chains of all tenants are made of.
pub const IN_EVERY_CHAIN: [&str; 3] = [PATTERNS, RELABEL, ENRICH];

/// By name, what the build has made.
const EMBEDDED: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/builtins.rs"));

/// The built-in filters as components, and those that were compiled.
#[derive(Debug)]
pub struct Builtins(BTreeMap<&'static str, Builtin>);

#[derive(Debug)]
struct Builtin {
    bytes: Cow<'static, [u8]>,
    module: OnceLock<Module>,
    /// Why it will never be one; whoever compiles holds the lock.
    refused: Mutex<Option<Arc<Error>>>,
}

impl Builtins {
    /// Those that the build has made.
    pub fn embedded() -> Builtins {
        let mut builtins = Builtins(BTreeMap::new());
        for (name, bytes) in EMBEDDED {
            builtins = builtins.with(name, *bytes);
        }
        builtins
    }

    /// With this component in the place of that name.
    #[must_use]
    pub fn with(mut self, name: &'static str, bytes: impl Into<Cow<'static, [u8]>>) -> Builtins {
        let builtin = Builtin { bytes: bytes.into(), module: OnceLock::new(), refused: Mutex::new(None) };
        self.0.insert(name, builtin);
        self
    }

    /// The names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().copied()
    }

    /// The component of that name.
    ///
    /// # Errors
    /// [`Error::NoBuiltin`].
    pub fn bytes(&self, name: &str) -> Result<&[u8], Error> {
        Ok(&self.get(name)?.bytes)
    }

    pub(super) fn module(&self, shared: &Arc<Shared>, name: &str) -> Result<&Module, Error> {
        let builtin = self.get(name)?;
        let whose = Whose::Ours;
        builtin.module(|| Module::load(shared, whose, &format!("the built-in filter {name}"), &builtin.bytes))
    }

    fn get(&self, name: &str) -> Result<&Builtin, Error> {
        self.0.get(name).ok_or_else(|| {
            let known: Vec<_> = self.names().collect();
            Error::NoBuiltin { name: name.to_owned(), known: known.join(", ") }
        })
    }
}

impl Builtin {
    /// The module; `load` makes it if nobody has yet, and is called by one at a time.
    fn module(&self, load: impl FnOnce() -> Result<Module, Error>) -> Result<&Module, Error> {
        if let Some(module) = self.module.get() {
            return Ok(module);
        }
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cause) = &*refused {
            return Err(Error::Builtin(cause.clone()));
        }
        if let Some(module) = self.module.get() {
            return Ok(module);
        }
        match load() {
            Ok(module) => Ok(self.module.get_or_init(|| module)),
            Err(error) if error.is_transient() => Err(error),
            Err(error) => {
                let cause = refused.insert(Arc::new(error));
                Err(Error::Builtin(cause.clone()))
            }
        }
    }
}
