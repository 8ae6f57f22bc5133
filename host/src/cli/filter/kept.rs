//! Kept: machine code that an earlier command made, in the user's own cache.
//!
//! In: where this user's caches are. Out: files. Never: a command that fails because there is no such place, or none to write in.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::cache::{self, Cache};

/// Some interpreters of JavaScript or Python, and all that is written in Rust.
const BYTES_MAX: u64 = 1 << 30;

/// What is kept for this user; nothing, where nobody says where a user's things are.
pub(super) fn files() -> Option<Cache> {
    let folder = folder(env::var_os("XDG_CACHE_HOME"), env::var_os("HOME"))?;
    Some(Cache::open(&cache::Config { folder, bytes_max: BYTES_MAX }))
}

/// As the XDG Base Directory Specification says it: a path that is not absolute counts as none.
fn folder(caches: Option<OsString>, home: Option<OsString>) -> Option<PathBuf> {
    let absolute = |path: OsString| Some(PathBuf::from(path)).filter(|path| Path::is_absolute(path));
    let caches = caches.and_then(absolute).or_else(|| Some(home.and_then(absolute)?.join(".cache")))?;
    Some(caches.join("sluice"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_where_the_users_caches_are() {
        let at = |caches: &str, home: &str| {
            let given = |text: &str| Some(OsString::from(text)).filter(|text| !text.is_empty());
            folder(given(caches), given(home)).map(|path| path.display().to_string())
        };
        assert_eq!(at("/c", "/home/a").as_deref(), Some("/c/sluice"));
        assert_eq!(at("", "/home/a").as_deref(), Some("/home/a/.cache/sluice"));
        assert_eq!(
            at("c", "/home/a").as_deref(),
            Some("/home/a/.cache/sluice"),
            "where a command stands is no place"
        );
        assert_eq!((at("", ""), at("", "a")), (None, None));
    }
}
