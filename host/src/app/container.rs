//! Container: how much memory there is for us. In: the control group's files. Out: bytes. Never: a guess where nothing
//! is said.

use std::fs;

/// Where version 2 and version 1 of control groups say it, as seen from inside a container.
const FILES: [&str; 2] = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];

/// Version 1 says "no limit" with the largest multiple of a page.
const UNLIMITED_BYTES_MIN: usize = 1 << 60;

/// What tenants' series may take of the memory there is. The rest is for the tables of sources' answers, filters, and
/// the program.
const TABLES_PERCENT: usize = 50;

/// The most bytes that the tables of all tenants may take: half of what the container may; no limit outside of one.
pub(super) fn tables_bytes_max() -> usize {
    let said = FILES.iter().filter_map(|file| fs::read_to_string(file).ok()).find_map(|text| limit(&text));
    said.map_or(usize::MAX, |bytes| bytes / 100 * TABLES_PERCENT)
}

fn limit(text: &str) -> Option<usize> {
    text.trim().parse().ok().filter(|bytes| *bytes < UNLIMITED_BYTES_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_number_and_anything_else_is_none() {
        assert_eq!(limit("1073741824\n"), Some(1 << 30));
        for none in ["max\n", "9223372036854771712\n", "", "-1"] {
            assert_eq!(limit(none), None, "{none:?}");
        }
    }
}
