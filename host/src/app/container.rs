//! Container: how much memory there is for us. In: the control group's files. Out: what parts of the program may take of
//! it. Never: a guess where nothing is said.

use std::fs;

/// Where version 2 and version 1 of control groups say it, as seen from inside a container.
const FILES: [&str; 2] = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];

/// Version 1 says "no limit" with the largest multiple of a page.
const UNLIMITED_BYTES_MIN: usize = 1 << 60;

/// What tenants' series may take of the memory there is. The rest is for filters, those that are being compiled, and the
/// program.
const TABLES_PERCENT: usize = 50;
/// What compiling may take of it, in processes of their own.
const COMPILING_PERCENT: usize = 25;
/// A compilation is given no more: one that needs it is an attack, or a mistake.
const COMPILATION_BYTES_MAX: usize = 1 << 30;
/// What a second compilation at the same time must have: enough for an interpreter.
const COMPILATION_BYTES_WORTH: usize = 512 << 20;
/// Compilations at a time: each takes a core, and pipelines need theirs.
const COMPILATIONS_MAX: usize = 2;

/// The most bytes that the tables of all tenants may take: half of what the container may; no limit outside of one.
pub(super) fn tables_bytes_max() -> usize {
    said().map_or(usize::MAX, |bytes| bytes / 100 * TABLES_PERCENT)
}

/// How many filters are compiled at a time, and the memory of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Compiling {
    pub(super) at_once_max: usize,
    pub(super) memory_bytes_max: usize,
}

/// Outside of a container as much as is ever given.
pub(super) fn compiling() -> Compiling {
    compiling_in(said().unwrap_or(usize::MAX))
}

fn compiling_in(container_bytes: usize) -> Compiling {
    let share = container_bytes / 100 * COMPILING_PERCENT;
    let at_once_max = (share / COMPILATION_BYTES_WORTH).clamp(1, COMPILATIONS_MAX);
    Compiling { at_once_max, memory_bytes_max: (share / at_once_max).min(COMPILATION_BYTES_MAX) }
}

fn said() -> Option<usize> {
    FILES.iter().filter_map(|file| fs::read_to_string(file).ok()).find_map(|text| limit(&text))
}

fn limit(text: &str) -> Option<usize> {
    text.trim().parse().ok().filter(|bytes| *bytes < UNLIMITED_BYTES_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compiling_takes_a_part_of_a_container_and_no_more_than_it_ever_needs() {
        let mib = |container: usize| {
            let Compiling { at_once_max, memory_bytes_max } = compiling_in(container.saturating_mul(1 << 20));
            (at_once_max, memory_bytes_max >> 20)
        };
        assert_eq!([mib(512), mib(1_024), mib(2_048)], [(1, 127), (1, 255), (1, 511)]);
        assert_eq!([mib(4_101), mib(64_000), mib(usize::MAX)], [(2, 512), (2, 1_024), (2, 1_024)]);
    }

    #[test]
    fn a_limit_is_a_number_and_anything_else_is_none() {
        assert_eq!(limit("1073741824\n"), Some(1 << 30));
        for none in ["max\n", "9223372036854771712\n", "", "-1"] {
            assert_eq!(limit(none), None, "{none:?}");
        }
    }
}
