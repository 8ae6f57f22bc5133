//! File: modules in the operator's folder.
//!
//! In: a path below it. Out: the file's bytes. Never: a file outside, whatever links lead there; a device, a pipe; more
//! than the maximum.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use bytes::Bytes;

use super::Error;
use crate::model::ModulePath;

pub(super) async fn read(folder: &Path, path: &ModulePath, bytes_max: usize) -> Result<Bytes, Error> {
    let (folder, path) = (folder.to_owned(), path.clone());
    let name = path.to_string();
    let read = tokio::task::spawn_blocking(move || read_now(&folder, &path, bytes_max)).await;
    read.unwrap_or_else(|error| Err(Error::File { path: name, source: io::Error::other(error) }))
}

fn read_now(folder: &Path, path: &ModulePath, bytes_max: usize) -> Result<Bytes, Error> {
    let failed = |source| Error::File { path: path.to_string(), source };
    let root = fs::canonicalize(folder).map_err(failed)?;
    // A mounted ConfigMap is made of links, all of them inside.
    let file = fs::canonicalize(root.join(path.as_path())).map_err(failed)?;
    if !file.starts_with(&root) {
        return Err(Error::Outside { path: path.to_string() });
    }
    if !fs::metadata(&file).map_err(failed)?.is_file() {
        return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, "it is no file")));
    }
    let mut bytes = Vec::new();
    let opened = File::open(&file).map_err(failed)?;
    opened.take(bytes_max as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > bytes_max {
        return Err(Error::TooLarge { what: path.to_string(), bytes_max, unpacked: false });
    }
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[tokio::test]
    async fn a_file_is_read_from_inside_the_folder_only() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("modules");
        fs::create_dir_all(folder.join("team/..data")).unwrap();
        fs::write(place.path().join("secret"), "secret").unwrap();
        fs::write(folder.join("team/..data/a.wasm"), "module").unwrap();
        symlink("..data/a.wasm", folder.join("team/a.wasm")).unwrap();
        symlink("../../secret", folder.join("team/out.wasm")).unwrap();
        symlink(place.path(), folder.join("up")).unwrap();
        let said = async |path: &str| {
            let read = read(&folder, &path.parse().unwrap(), 6).await;
            read.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap()).map_err(|error| error.to_string())
        };
        assert_eq!(said("team/a.wasm").await.unwrap(), "module");
        for path in ["team/out.wasm", "up/secret"] {
            let refused = said(path).await.unwrap_err();
            assert_eq!(
                refused,
                format!("{path} leads out of the folder of modules; put the file itself there")
            );
        }
        let missing = said("b.wasm").await.unwrap_err();
        assert!(missing.contains("No such file"), "{missing}");
        let no_file = said("team").await.unwrap_err();
        assert_eq!(no_file, "team cannot be read from the folder of modules: it is no file");
        fs::write(folder.join("large.wasm"), "seven b").unwrap();
        let large = said("large.wasm").await.unwrap_err();
        assert!(large.starts_with("large.wasm has more than 6 bytes: make it smaller"), "{large}");
    }
}
