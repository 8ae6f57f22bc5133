//! Unpack: from a layer to the module in it.
//!
//! In: a layer that has its digest, and how it is packed. Out: the module. Never: more bytes than the maximum, packed or
//! unpacked; a file written; a choice among several modules.

use std::io::{self, Read};

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use tar::Archive;

use super::super::Error;
use super::manifest::{Packing, shown};

/// How every module begins, components too.
const WASM_MAGIC: &[u8] = b"\0asm";
const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];

/// What an archive may have beside the module: headers, a licence, a readme.
const BESIDE_BYTES_MAX: usize = 1 << 20;

/// The module of `layer`; `what` names the artefact in errors.
pub(super) fn module(what: &str, layer: Bytes, packing: Packing, bytes_max: usize) -> Result<Bytes, Error> {
    let refuse = |why: &str| Error::of_layout(what, why);
    let module = match packing {
        _ if layer.starts_with(WASM_MAGIC) => layer,
        Packing::Bare => return Err(refuse("its layer does not begin as WebAssembly does")),
        Packing::Archive if layer.starts_with(GZIP_MAGIC) => {
            only_module(what, MultiGzDecoder::new(&*layer), bytes_max)?
        }
        Packing::Archive => only_module(what, &*layer, bytes_max)?,
    };
    if !module.starts_with(WASM_MAGIC) {
        return Err(refuse("its file does not begin as WebAssembly does"));
    }
    if module.len() > bytes_max {
        return Err(Error::TooLarge { what: what.to_owned(), bytes_max, unpacked: true });
    }
    Ok(module)
}

/// The only file of an archive whose name ends in `.wasm`.
fn only_module(what: &str, archive: impl Read, bytes_max: usize) -> Result<Bytes, Error> {
    let broken = |error: io::Error| Error::of_layout(what, format!("its archive cannot be read: {error}"));
    let mut limited = Limited { inner: archive, left: bytes_max + BESIDE_BYTES_MAX, exceeded: false };
    let found = find(&mut limited, bytes_max);
    if limited.exceeded {
        return Err(Error::TooLarge { what: what.to_owned(), bytes_max, unpacked: true });
    }
    let found = found.map_err(broken)?;
    match <[_; 1]>::try_from(found) {
        Ok([(_, bytes)]) => Ok(bytes.into()),
        Err(none) if none.is_empty() => Err(Error::of_layout(what, "its archive has no .wasm file")),
        Err(many) => {
            let names: Vec<_> = many.iter().take(4).map(|(name, _)| name.as_str()).collect();
            Err(Error::of_layout(what, format!("its archive has several modules: {}", names.join(", "))))
        }
    }
}

fn find(archive: impl Read, bytes_max: usize) -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut found = Vec::new();
    for entry in Archive::new(archive).entries()? {
        let mut entry = entry?;
        let path = entry.path_bytes().into_owned();
        if entry.header().entry_type().is_file() && path.ends_with(b".wasm") {
            let mut bytes = Vec::new();
            // One byte more, so that what is too large is seen to be.
            entry.by_ref().take(bytes_max as u64 + 1).read_to_end(&mut bytes)?;
            found.push((shown(&String::from_utf8_lossy(&path)), bytes));
        }
    }
    Ok(found)
}

/// Reads no further than its maximum, and knows whether it was asked to.
struct Limited<R> {
    inner: R,
    left: usize,
    exceeded: bool,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = buffer.len().min(self.left);
        if room == 0 && !buffer.is_empty() {
            // Whether anything is left only a read can say.
            self.exceeded = self.inner.read(&mut [0])? > 0;
            return if self.exceeded { Err(io::Error::other("it is too large")) } else { Ok(0) };
        }
        let read = self.inner.read(&mut buffer[..room])?;
        self.left -= read;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    const MODULE: &[u8] = b"\0asm and more";

    fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, bytes) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, *bytes).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn zipped(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn unpacked(layer: impl Into<Bytes>, packing: Packing, bytes_max: usize) -> Result<Bytes, String> {
        module("ref", layer.into(), packing, bytes_max).map_err(|error| error.to_string())
    }

    #[test]
    fn a_module_is_bare_or_the_only_one_in_an_archive() {
        let one = archive(&[("README.md", b"hello"), ("app/filter.wasm", MODULE)]);
        let long = archive(&[(&format!("{}/f.wasm", "long-name/".repeat(20)), MODULE)]);
        for (layer, packing) in [
            (MODULE.to_vec(), Packing::Bare),
            (MODULE.to_vec(), Packing::Archive),
            (one.clone(), Packing::Archive),
            (zipped(&one), Packing::Archive),
            (zipped(&long), Packing::Archive),
        ] {
            assert_eq!(unpacked(layer, packing, 100).unwrap(), MODULE);
        }
    }

    #[test]
    fn what_holds_no_single_module_says_what_it_holds() {
        let two = zipped(&archive(&[("a.wasm", MODULE), ("b/c.wasm", MODULE)]));
        let mut link = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        link.append_link(&mut header, "a.wasm", "/etc/passwd").unwrap();
        for (layer, packing, why) in [
            (two, Packing::Archive, "its archive has several modules: a.wasm, b/c.wasm"),
            (archive(&[("a.txt", MODULE)]), Packing::Archive, "its archive has no .wasm file"),
            (link.into_inner().unwrap(), Packing::Archive, "its archive has no .wasm file"),
            (
                archive(&[("a.wasm", b"#!/bin/sh")]),
                Packing::Archive,
                "its file does not begin as WebAssembly does",
            ),
            (zipped(MODULE), Packing::Bare, "its layer does not begin as WebAssembly does"),
        ] {
            assert_eq!(unpacked(layer, packing, 100), Err(format!("ref holds no module: {why}")));
        }
        let cut = &zipped(&archive(&[("a.wasm", MODULE)]))[..40];
        let said = unpacked(cut.to_vec(), Packing::Archive, 100).unwrap_err();
        assert!(said.starts_with("ref holds no module: its archive cannot be read: "), "{said}");
    }

    #[test]
    fn what_grows_beyond_the_maximum_is_not_unpacked() {
        let large = [MODULE, &[0; 200]].concat();
        let bomb = zipped(&archive(&[("a.wasm", &[MODULE, &vec![0; 64 << 20]].concat())]));
        assert!(bomb.len() < 100_000);
        for layer in [zipped(&archive(&[("a.wasm", &large)])), bomb] {
            let said = unpacked(layer, Packing::Archive, 100).unwrap_err();
            assert!(said.starts_with("ref has more than 100 bytes when it is unpacked"), "{said}");
        }
        let beside = zipped(&archive(&[("padding", &vec![0; 2 << 20]), ("a.wasm", MODULE)]));
        let said = unpacked(beside, Packing::Archive, 100).unwrap_err();
        assert!(said.starts_with("ref has more than 100 bytes when it is unpacked"), "{said}");
    }
}
