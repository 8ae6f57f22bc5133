//! The part of `filters` that says where modules come from.

use std::path::Path as FilePath;

use super::access::{Written, access};
use super::{Purpose, file};
use crate::cache;
use crate::document::{ByteSize, Path, Problem};
use crate::model::guard::Receivers;
use crate::modules::{Allowed, CACHE_BYTES_MAX, Config, Key, MODULE_BYTES_MAX, Prefix, Reach, Transport};

/// The smallest filter that does anything has a third of this.
const MODULE_BYTES_MIN: usize = 64 << 10;
/// Modules are held in memory while they are fetched and compiled.
const MODULE_BYTES_HARD_MAX: usize = 256 << 20;

pub(super) fn modules(
    given: file::Filters,
    receivers: &Receivers,
    folder: &FilePath,
    purpose: Purpose,
    found: &mut Vec<Problem>,
) -> (Config, Option<cache::Config>) {
    let place = Path::root().key("filters");
    let file::Filters { modules_folder, max_module, cache_folder, max_cache, allow, .. } = given;
    let module_bytes_max = max_module.map_or(MODULE_BYTES_MAX, |size| size.0);
    if !(MODULE_BYTES_MIN..=MODULE_BYTES_HARD_MAX).contains(&module_bytes_max) {
        let message = format!("{} cannot be used", ByteSize(module_bytes_max));
        let (least, most) = (ByteSize(MODULE_BYTES_MIN), ByteSize(MODULE_BYTES_HARD_MAX));
        found.push(Problem::error(
            place.key("maxModule"),
            message,
            format!("write a size from {least} to {most}"),
        ));
    }
    let bytes_max = max_cache.map_or(CACHE_BYTES_MAX, |size| size.0 as u64);
    if bytes_max < module_bytes_max as u64 {
        let message = "is less than one module may have, which then is not kept";
        found.push(Problem::warning(place.key("maxCache"), message, "write more than maxModule"));
    }
    let modules_folder = modules_folder.map(|path| folder.join(path));
    let missing = modules_folder.as_ref().filter(|path| purpose != Purpose::CheckElsewhere && !path.is_dir());
    if let Some(path) = missing {
        let cure = "create it, or correct the path, which is relative to this file";
        let message = format!("there is no folder {}", path.display());
        found.push(Problem::warning(place.key("modulesFolder"), message, cure));
    }
    let cache = cache_folder.map(|path| cache::Config { folder: folder.join(path), bytes_max });
    let allow = entries(allow, folder, &place.key("allow"), found);
    let reach = Reach::Listed { allow, receivers: receivers.clone() };
    (Config { folder: modules_folder, reach, module_bytes_max }, cache)
}

fn entries(
    given: Vec<file::Allow>,
    folder: &FilePath,
    place: &Path,
    found: &mut Vec<Problem>,
) -> Vec<Allowed> {
    let mut entries: Vec<Allowed> = Vec::with_capacity(given.len());
    for (index, entry) in given.into_iter().enumerate() {
        let place = place.index(index);
        let Some(entry) = entry_of(entry, folder, &place, found) else { continue };
        if entries.iter().any(|other| other.prefix == entry.prefix) {
            let message = format!("{} stands twice", entry.prefix);
            found.push(Problem::error(place.key("host"), message, "keep one of the two"));
        }
        entries.push(entry);
    }
    entries
}

fn entry_of(
    given: file::Allow,
    folder: &FilePath,
    place: &Path,
    found: &mut Vec<Problem>,
) -> Option<Allowed> {
    let file::Allow { host, plain_http, networks, redirects, tls, verify } = given;
    let prefix = prefix(&host, &place.key("host"), found);
    let redirects = redirects.iter().enumerate();
    let at = place.key("redirects");
    let redirects =
        redirects.filter_map(|(index, text)| self::prefix(text, &at.index(index), found)).collect();
    let transport = if plain_http { Transport::PlainHttp } else { Transport::Https };
    if plain_http && tls.is_some() {
        let cure = "remove one of the two";
        found.push(Problem::error(place.key("tls"), "stands beside plainHttp: true", cure));
    }
    let written = Written { tls, ..Written::default() };
    let tls = access(written, folder, place, found).and_then(|access| access.tls);
    let networks = super::policy::ranges(&networks, &place.key("networks"), found);
    let keys = verify.map_or_else(Vec::new, |verify| keys(verify, &place.key("verify").key("keys"), found));
    Some(Allowed { prefix: prefix?, transport, networks, redirects, tls, keys })
}

fn prefix(text: &str, place: &Path, found: &mut Vec<Problem>) -> Option<Prefix> {
    let read = text.parse::<Prefix>();
    // The error says what to write, after a semicolon of its own.
    read.map_err(|error| found.push(Problem::error(place.clone(), format!("{text:?} {error}"), ""))).ok()
}

fn keys(given: file::VerifyFile, place: &Path, found: &mut Vec<Problem>) -> Vec<Key> {
    if given.keys.is_empty() {
        let cure = "write what cosign.pub holds, or remove verify";
        found.push(Problem::error(place.clone(), "has no key, so nothing could be fetched", cure));
    }
    let mut keys = Vec::with_capacity(given.keys.len());
    for (index, pem) in given.keys.iter().enumerate() {
        match Key::from_pem(pem) {
            Ok(key) => keys.push(key),
            Err(error) => found.push(Problem::error(place.index(index), error.to_string(), "")),
        }
    }
    keys
}
