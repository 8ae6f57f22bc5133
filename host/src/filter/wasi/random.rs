//! Random: numbers that look random, and are the same for the same tenant, filter, tick and call.

use wasmtime::component::Linker;

use super::{Store, interface};
use crate::filter::instance::Host;

/// Of one call, as browsers have it for `crypto.getRandomValues`.
const BYTES_MAX: u64 = 65_536;

pub(super) fn link(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    for (path, prefix) in [("random/random", "get-random"), ("random/insecure", "get-insecure-random")] {
        let mut random = interface(linker, path)?;
        random.func_wrap(&format!("{prefix}-u64"), |mut store: Store<'_>, ()| {
            Ok((store.data_mut().world.random(),))
        })?;
        random.func_wrap(&format!("{prefix}-bytes"), |mut store: Store<'_>, (count,): (u64,)| {
            Ok((bytes(&mut store, count)?,))
        })?;
    }
    interface(linker, "random/insecure-seed")?.func_wrap("insecure-seed", |mut store: Store<'_>, ()| {
        let world = &mut store.data_mut().world;
        Ok(((world.random(), world.random()),))
    })
}

fn bytes(store: &mut Store<'_>, count: u64) -> wasmtime::Result<Vec<u8>> {
    if count > BYTES_MAX {
        return Err(wasmtime::Error::msg(format!(
            "it wants {count} random bytes at once; {BYTES_MAX} are the most"
        )));
    }
    let world = &mut store.data_mut().world;
    let words = std::iter::repeat_with(|| world.random().to_le_bytes());
    Ok(words.flatten().take(usize::try_from(count).expect("it was compared")).collect())
}
