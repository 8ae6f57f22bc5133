//! Clocks: both stand at the tick, and waiting for a later hour is over at once.

use wasmtime::component::{ComponentType, Lift, Linker, Lower};

use super::io::{Pollable, give};
use super::{Store, interface};
use crate::filter::instance::Host;

const NANOS_PER_MILLI: u64 = 1_000_000;
const MILLIS_PER_SECOND: u64 = 1_000;

#[derive(ComponentType, Lift, Lower)]
#[component(record)]
struct Datetime {
    seconds: u64,
    nanoseconds: u32,
}

impl Datetime {
    fn of_millis(millis: u64) -> Datetime {
        let nanos = millis % MILLIS_PER_SECOND * NANOS_PER_MILLI;
        let nanoseconds = u32::try_from(nanos).expect("it is less than a second");
        Datetime { seconds: millis / MILLIS_PER_SECOND, nanoseconds }
    }
}

pub(super) fn link(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    let mut wall = interface(linker, "clocks/wall-clock")?;
    wall.func_wrap("now", |store: Store<'_>, ()| Ok((Datetime::of_millis(store.data().world.now()),)))?;
    wall.func_wrap("resolution", |_: Store<'_>, ()| Ok((Datetime::of_millis(1),)))?;
    let mut monotonic = interface(linker, "clocks/monotonic-clock")?;
    monotonic.func_wrap("now", |store: Store<'_>, ()| {
        Ok((store.data().world.now().saturating_mul(NANOS_PER_MILLI),))
    })?;
    monotonic.func_wrap("resolution", |_: Store<'_>, ()| Ok((NANOS_PER_MILLI,)))?;
    for name in ["subscribe-instant", "subscribe-duration"] {
        monotonic
            .func_wrap(name, |mut store: Store<'_>, (_,): (u64,)| Ok((give::<Pollable>(&mut store, 0)?,)))?;
    }
    Ok(())
}
