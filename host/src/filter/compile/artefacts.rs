//! Artefacts: machine code that was made earlier, by this program.
//!
//! In: a component's digest. Out: the component, ready. Never: code from anywhere but the cache's folder, where nobody else may
//! write; code that is not byte for byte what was put there; code for another engine.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use sha2::{Digest as _, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::cache::Cache;
use crate::model::Digest;

/// In front of the code stands its hash.
const HASH_BYTES: usize = 32;
/// An interpreter of JavaScript or Python has a quarter of this.
const CODE_BYTES_MAX: usize = 512 << 20;

/// The code for one engine.
pub(super) struct Artefacts<'a> {
    files: &'a Cache,
    engine: &'a Engine,
}

impl<'a> Artefacts<'a> {
    pub(super) fn new(files: &'a Cache, engine: &'a Engine) -> Artefacts<'a> {
        Artefacts { files, engine }
    }

    /// The component, if its code is there and good.
    pub(super) fn get(&self, digest: Digest) -> Option<Component> {
        let name = self.name(digest);
        let kept = self.files.get(&name, CODE_BYTES_MAX)?;
        let loaded = kept
            .split_at_checked(HASH_BYTES)
            .filter(|(hash, code)| Sha256::digest(code)[..] == **hash)
            .and_then(|(_, code)| load(self.engine, code).ok());
        if loaded.is_none() {
            tracing::warn!(%digest, "kept machine code has changed on the disk; it is made again");
            self.files.remove(&name);
        }
        loaded
    }

    /// Keeps what the compiler made.
    pub(super) fn put(&self, digest: Digest, code: &[u8]) {
        let hash = Sha256::digest(code);
        self.files.put(&self.name(digest), &[&hash[..], code].concat());
    }

    /// Another version of the engine, other settings or another machine make another name.
    fn name(&self, digest: Digest) -> String {
        let mut hasher = DefaultHasher::new();
        self.engine.precompile_compatibility_hash().hash(&mut hasher);
        format!("{}-{:016x}.code", digest.hex(), hasher.finish())
    }
}

/// The component that `code` is. It must come from this program's compiler.
#[allow(unsafe_code)]
pub(super) fn load(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: the engine trusts the code, so it has to be what the compiler gave, unchanged. It comes from this process's own
    // compiler; or from our own program, as a child over a pipe; or from a file in a folder that this user alone may write in
    // (`cache::Cache` refuses another), whose hash is that of the bytes that were put there. What a tenant sends never comes
    // here: it has to be a component. Code for another engine is refused by the engine itself.
    unsafe { Component::deserialize(engine, code) }
}
