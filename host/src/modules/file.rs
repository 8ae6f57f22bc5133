//! File: modules in the operator's folder.
//!
//! In: a path below it. Out: the file's bytes. Never: a file outside, whatever links lead there; a device, a pipe; more
//! than the maximum.

use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use super::Error;
use crate::model::ModulePath;

/// How long ago a file must have been written to for its times to tell the next write apart: the coarsest clock of a file
/// system that is in use has two seconds.
const SETTLED_AFTER: Duration = Duration::from_secs(2);

/// What is another one once the file is written to or replaced.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Identity {
    file: PathBuf,
    /// Device and inode.
    place: (u64, u64),
    size: u64,
    /// Seconds and nanoseconds since 1970.
    modified: (i64, i64),
    /// The same; nobody can set it back.
    changed: (i64, i64),
}

impl Identity {
    fn of(file: &Path, metadata: &Metadata) -> Identity {
        Identity {
            file: file.to_owned(),
            place: (metadata.dev(), metadata.ino()),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    fn is_settled(&self, now: SystemTime) -> bool {
        let now = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let latest = self.modified.0.max(self.changed.0);
        now.cast_signed().saturating_sub(latest) > SETTLED_AFTER.as_secs().cast_signed()
    }
}

/// The file's bytes, and its identity if another one would tell the next write apart.
pub(super) async fn read(
    folder: &Path,
    path: &ModulePath,
    bytes_max: usize,
) -> Result<(Bytes, Option<Identity>), Error> {
    blocking(folder, path, move |folder, path| read_now(folder, path, bytes_max)).await
}

/// What the file is, without its bytes; `None` if it cannot be read.
pub(super) async fn identity(folder: &Path, path: &ModulePath) -> Option<Identity> {
    let look = |folder: &Path, path: &ModulePath| find(folder, path).map(|(_, identity)| identity);
    blocking(folder, path, look).await.ok()
}

async fn blocking<T: Send + 'static>(
    folder: &Path,
    path: &ModulePath,
    work: impl FnOnce(&Path, &ModulePath) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let (folder, path) = (folder.to_owned(), path.clone());
    let name = path.to_string();
    let done = tokio::task::spawn_blocking(move || work(&folder, &path)).await;
    done.unwrap_or_else(|error| Err(Error::File { path: name, source: io::Error::other(error) }))
}

fn find(folder: &Path, path: &ModulePath) -> Result<(PathBuf, Identity), Error> {
    let failed = |source| Error::File { path: path.to_string(), source };
    let root = fs::canonicalize(folder).map_err(failed)?;
    // A mounted ConfigMap is made of links, all of them inside.
    let file = fs::canonicalize(root.join(path.as_path())).map_err(failed)?;
    if !file.starts_with(&root) {
        return Err(Error::Outside { path: path.to_string() });
    }
    let metadata = fs::metadata(&file).map_err(failed)?;
    if !metadata.is_file() {
        return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, "it is no file")));
    }
    let identity = Identity::of(&file, &metadata);
    Ok((file, identity))
}

fn read_now(folder: &Path, path: &ModulePath, bytes_max: usize) -> Result<(Bytes, Option<Identity>), Error> {
    let failed = |source| Error::File { path: path.to_string(), source };
    let (file, before) = find(folder, path)?;
    let mut bytes = Vec::new();
    let mut opened = File::open(&file).map_err(failed)?;
    (&mut opened).take(bytes_max as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > bytes_max {
        return Err(Error::TooLarge { what: path.to_string(), bytes_max, unpacked: false });
    }
    let after = Identity::of(&file, &opened.metadata().map_err(failed)?);
    let identity = (before == after && after.is_settled(SystemTime::now())).then_some(after);
    Ok((bytes.into(), identity))
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
            read.map(|(bytes, _)| String::from_utf8(bytes.to_vec()).unwrap())
                .map_err(|error| error.to_string())
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

    #[tokio::test]
    async fn a_file_is_another_one_once_it_is_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let (path, file) = ("a.wasm".parse().unwrap(), folder.path().join("a.wasm"));
        let long_ago = SystemTime::now() - Duration::from_secs(3_600);
        let write = |content: &str| {
            fs::write(&file, content).unwrap();
            File::options().write(true).open(&file).unwrap().set_modified(long_ago).unwrap();
        };
        write("one");
        let one = identity(folder.path(), &path).await.unwrap();
        assert_eq!(identity(folder.path(), &path).await.unwrap(), one);
        assert_eq!(read(folder.path(), &path, 3).await.unwrap().1, None, "it was just written to");
        let at = |seconds: i64| {
            SystemTime::UNIX_EPOCH + Duration::from_secs((one.changed.0 + seconds).cast_unsigned())
        };
        assert!(!one.is_settled(at(2)) && one.is_settled(at(3)));
        std::thread::sleep(Duration::from_millis(20));
        write("two");
        assert_ne!(identity(folder.path(), &path).await.unwrap(), one, "of the same size and the same time");
        fs::remove_file(&file).unwrap();
        assert_eq!(identity(folder.path(), &path).await, None);
    }
}
