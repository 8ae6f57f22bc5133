//! Module: a compiled filter, and what it says about itself.

use std::borrow::Cow;
use std::sync::{Arc, Weak};

use wasmtime::component::{Component, ComponentExportIndex, InstancePre};

use super::compile::Whose;
use super::instance::{self, Host};
use super::runtime::Shared;
use super::{Error, Wasi};
use super::{wasi, wire};
use crate::model::{Digest, printable};

const LABELS: &str = "sluice:filter/labels@0.1.0";
const SAMPLES: &str = "sluice:filter/samples@0.1.0";
/// The version of the contract that both are of.
const CONTRACT: &str = "0.1.0";
/// Everything a filter may import starts with this.
const OURS: &str = "sluice:filter/";
const NAME_BYTES_MAX: usize = 64;
const VERSION_BYTES_MAX: usize = 64;
/// The names of the usual interfaces have half of it.
const SHOWN_BYTES_MAX: usize = 100;
/// Reading one takes tens of times its size.
const SCHEMA_BYTES_MAX: usize = 1 << 20;
/// How files begin: a core module's first eight bytes, a component's, and compiled code's.
const CORE_MODULE: &[u8] = b"\0asm\x01\0\0\0";
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";
const MACHINE_CODE: &[u8] = b"\x7fELF";

/// A compiled filter. Cheap to clone; instances of all tenants share its code.
#[derive(Clone)]
pub struct Module {
    inner: Arc<Inner>,
}

/// A module that somebody else may have.
#[derive(Clone)]
pub struct WeakModule(Weak<Inner>);

impl std::fmt::Debug for WeakModule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WeakModule").finish_non_exhaustive()
    }
}

impl WeakModule {
    /// The module, if somebody has it still.
    pub fn upgrade(&self) -> Option<Module> {
        self.0.upgrade().map(|inner| Module { inner })
    }
}

struct Inner {
    shared: Arc<Shared>,
    pre: InstancePre<Host>,
    exports: Exports,
    manifest: Manifest,
    digest: String,
    bytes: usize,
    whose: Whose,
}

/// Where the contract's functions are in the component.
#[derive(Debug, Clone, Copy)]
pub(super) struct Exports {
    pub(super) describe: ComponentExportIndex,
    pub(super) configure: ComponentExportIndex,
    pub(super) classify: ComponentExportIndex,
    pub(super) forget: ComponentExportIndex,
    pub(super) process: Option<ComponentExportIndex>,
}

/// What a filter says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// A name for people, metrics and logs: `[a-z0-9-]+`.
    pub name: String,
    /// The filter's own version.
    pub version: String,
    /// JSON Schema of its configuration.
    pub config_schema: String,
    /// Whether it remembers anything between calls.
    pub state: State,
    /// The columns of samples it wants to see; `None` if it sees labels only.
    pub samples: Option<Columns>,
}

/// Whether a filter's answers depend on what it was asked before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// They do not.
    None,
    /// Those of `classify` do.
    Label,
    /// Those of `process` do.
    Sample,
}

/// Columns of samples a filter wants to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Columns {
    /// Timestamps.
    pub timestamps: bool,
    /// Values.
    pub values: bool,
}

impl std::fmt::Debug for Module {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Module")
            .field("name", &self.inner.manifest.name)
            .field("digest", &self.inner.digest)
            .finish()
    }
}

impl Module {
    /// Compiles `bytes`, checks imports and exports, and asks the filter to describe itself. `origin` names the module
    /// in errors.
    pub(super) fn load(
        shared: &Arc<Shared>,
        whose: Whose,
        origin: &str,
        bytes: &[u8],
    ) -> Result<Module, Error> {
        let refuse = |cause: String| Error::not_a_filter(origin, &cause);
        if let Some(other) = other_than_a_component(bytes) {
            return Err(refuse(other.to_owned()));
        }
        let component = shared.compiler.component(&shared.engine, whose, origin, bytes)?;
        if let Some(cause) = stranger(&component, shared.config.wasi) {
            return Err(refuse(cause));
        }
        let exports = exports(&component).map_err(refuse)?;
        let pre = shared.linker.instantiate_pre(&component).map_err(|error| refuse(format!("{error:#}")))?;
        let wire = instance::describe(shared, &pre, &exports, origin)?;
        let manifest = manifest(wire, exports.process.is_some()).map_err(refuse)?;
        let shared = shared.clone();
        let (digest, bytes) = (Digest::of(bytes).to_string(), bytes.len());
        Ok(Module { inner: Arc::new(Inner { shared, pre, exports, manifest, digest, bytes, whose }) })
    }

    /// What the filter says about itself.
    pub fn manifest(&self) -> &Manifest {
        &self.inner.manifest
    }

    /// What the component imports and exports, by name.
    pub fn interfaces(&self) -> (Vec<String>, Vec<String>) {
        let component = self.inner.pre.component();
        let (ty, engine) = (component.component_type(), component.engine());
        let imports = ty.imports(engine).map(|(name, _)| name.to_owned()).collect();
        (imports, ty.exports(engine).map(|(name, _)| name.to_owned()).collect())
    }

    /// `sha256:` and the hash of the component's bytes, in hexadecimal.
    pub fn digest(&self) -> &str {
        &self.inner.digest
    }

    /// How many bytes the component has.
    pub fn bytes(&self) -> usize {
        self.inner.bytes
    }

    /// The version of the contract that it was built for.
    pub fn contract(&self) -> &'static str {
        CONTRACT
    }

    /// What its machine code takes, its data included, in bytes.
    pub fn code_bytes(&self) -> usize {
        let image = self.inner.pre.component().image_range();
        image.end.addr() - image.start.addr()
    }

    /// Whether it is part of the program.
    pub(super) fn is_ours(&self) -> bool {
        self.inner.whose == Whose::Ours
    }

    /// The module, as long as somebody else has it.
    pub fn downgrade(&self) -> WeakModule {
        WeakModule(Arc::downgrade(&self.inner))
    }

    /// Whether instances have to be kept between calls: the filter remembers, or it refers to series by number.
    pub fn is_stateful(&self) -> bool {
        self.manifest().state != State::None || self.inner.exports.process.is_some()
    }

    /// Whether its configuration is a mapping, by what it says itself. Its own reader may take a list for the fields in their order.
    pub(super) fn takes_fields(&self) -> bool {
        let schema = serde_json::from_str::<serde_json::Value>(&self.manifest().config_schema);
        schema.is_ok_and(|schema| schema["type"] == "object")
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.inner.shared
    }

    pub(super) fn pre(&self) -> &InstancePre<Host> {
        &self.inner.pre
    }

    pub(super) fn exports(&self) -> &Exports {
        &self.inner.exports
    }
}

/// Whether there is less of the last section than it says.
fn is_cut_off(mut sections: &[u8]) -> bool {
    while let Some((_, rest)) = sections.split_first() {
        // Seven bits a byte, the least first; the last byte has no eighth.
        let Some(last) = rest.iter().position(|byte| byte & 0x80 == 0) else { return true };
        let length = rest[..=last]
            .iter()
            .rev()
            .fold(0_u64, |length, byte| length.saturating_mul(0x80).saturating_add(u64::from(byte & 0x7f)));
        let content = &rest[last + 1..];
        let Some(behind) = usize::try_from(length).ok().and_then(|length| content.get(length..)) else {
            return true;
        };
        sections = behind;
    }
    false
}

/// What bytes are that are no component, or not all of one, and what to do.
fn other_than_a_component(bytes: &[u8]) -> Option<&'static str> {
    if let Some(sections) = bytes.strip_prefix(COMPONENT) {
        return is_cut_off(sections).then_some("it is cut off: its last section is longer than the file");
    }
    Some(if bytes.starts_with(CORE_MODULE) {
        "it is a core module; make a component of it, with `sluice filter build` or `wasm-tools component new`"
    } else if bytes.starts_with(MACHINE_CODE) {
        "it is machine code, which is run only if Sluice made it here; use the component that it was made of"
    } else if bytes.is_empty() {
        "it is empty"
    } else {
        "it does not begin as a WebAssembly component does"
    })
}

/// What is wrong with an import that is not the contract's.
fn stranger(component: &Component, wasi: Wasi) -> Option<String> {
    let ty = component.component_type();
    let mut names =
        ty.imports(component.engine()).map(|(name, _)| name).filter(|name| !name.starts_with(OURS));
    names.find_map(|name| match name.starts_with("wasi:") {
        true => wasi::refusal(name, wasi),
        false => Some(format!(
            "it imports {}; a filter may import {OURS}log@0.1.0 only: build it for wasm32-unknown-unknown",
            shown(name)
        )),
    })
}

/// The version of the contract that it was built for, where that is none we know.
fn other_contract(component: &Component) -> Option<String> {
    let ty = component.component_type();
    let mut names = ty.exports(component.engine()).map(|(name, _)| name);
    names.find_map(|name| Some(name.strip_prefix("sluice:filter/labels@")?.to_owned()))
}

fn exports(component: &Component) -> Result<Exports, String> {
    let Some(labels) = component.get_export_index(None, LABELS) else {
        return Err(match other_contract(component) {
            Some(version) => format!(
                "it was built for version {} of the contract, and this Sluice knows {CONTRACT}: build it with this one's SDK",
                shown(&version)
            ),
            None => format!("it does not export {LABELS}: build it with the SDK's export!"),
        });
    };
    let function = |interface: &ComponentExportIndex, path: &str, name: &str| {
        let index = component.get_export_index(Some(interface), name);
        index.ok_or_else(|| format!("its {path} has no function {name}"))
    };
    let samples = component.get_export_index(None, SAMPLES);
    Ok(Exports {
        describe: function(&labels, LABELS, "describe")?,
        configure: function(&labels, LABELS, "configure")?,
        classify: function(&labels, LABELS, "classify")?,
        forget: function(&labels, LABELS, "forget")?,
        process: samples.map(|samples| function(&samples, SAMPLES, "process")).transpose()?,
    })
}

fn manifest(wire: wire::Manifest, processes: bool) -> Result<Manifest, String> {
    let wire::Manifest { name, version, config_schema, state, columns, facts: _ } = wire;
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(legal) {
        return Err(format!("its name is {:?}: use [a-z0-9-], at most {NAME_BYTES_MAX} bytes", cut(&name)));
    }
    if version.len() > VERSION_BYTES_MAX {
        return Err(format!("its version is longer than {VERSION_BYTES_MAX} bytes: {:?}", cut(&version)));
    }
    if printable(&version) != version || version.contains('\n') {
        return Err(format!("its version is {version:?}: use characters that can be seen, as in 1.0.0"));
    }
    if config_schema.len() > SCHEMA_BYTES_MAX {
        return Err(format!("its configuration's schema is longer than {SCHEMA_BYTES_MAX} bytes"));
    }
    if let Err(error) = serde_json::from_str::<serde_json::Value>(&config_schema) {
        return Err(format!("its configuration's schema is not JSON: {error}"));
    }
    let state = match (state, processes) {
        (wire::State::None, _) => State::None,
        (wire::State::Label, _) => State::Label,
        (wire::State::Sample, true) => State::Sample,
        (wire::State::Sample, false) => return Err("it remembers samples, but does not see any".into()),
    };
    let has = |column| columns & column == column;
    let wanted = Columns { timestamps: has(wire::Columns::TIMESTAMPS), values: has(wire::Columns::VALUES) };
    Ok(Manifest { name, version, config_schema, state, samples: processes.then_some(wanted) })
}

/// What is shown of a name in a component, which may be as long as a book.
pub(super) fn shown(name: &str) -> Cow<'_, str> {
    match &name[..name.floor_char_boundary(SHOWN_BYTES_MAX)] {
        whole if whole.len() == name.len() => printable(whole),
        part => format!("{}…", printable(part)).into(),
    }
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(NAME_BYTES_MAX)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_what_can_be_seen() {
        let judged = |version: &str| {
            let (name, config_schema) = ("a".to_owned(), "{}".to_owned());
            let (state, columns) = (wire::State::None, wire::Columns::empty());
            let version = version.to_owned();
            manifest(
                wire::Manifest { name, version, config_schema, state, columns, facts: Vec::new() },
                false,
            )
        };
        assert_eq!(judged("1.0.0-ü").unwrap().version, "1.0.0-ü");
        for version in ["1\x1b[2J", "1\n2", "1\u{202e}2"] {
            let refused = judged(version).unwrap_err();
            let shown = format!("its version is {version:?}: use characters that can be seen, as in 1.0.0");
            assert_eq!(refused, shown);
            assert_eq!(printable(&refused), refused);
        }
    }
}
