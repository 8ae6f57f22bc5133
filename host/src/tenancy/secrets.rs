//! Secrets: the values a resource names but does not hold.
//!
//! Never: a value of another namespace than the resource's own.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::Surroundings;
use super::names::{is_dns_label, is_dns_subdomain, is_secret_key};
use super::resource::SecretKey;
use crate::model::Secret;

/// The longest value that is read; Kubernetes allows 1 MiB for a whole Secret, and a password is short.
const SECRET_BYTES_MAX: u64 = 64 << 10;

/// A value cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct SecretError {
    /// What is wrong, as the end of a sentence that begins with the Secret.
    pub message: String,
    /// What to do about it.
    pub cure: String,
}

/// A folder of a standalone installation: each value is the file `<folder>/<namespace>/<name>/<key>`, as a mounted
/// Secret has it. One newline at the end of a file belongs to the file, not to the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder(pub PathBuf);

impl Folder {
    /// The file that holds a value; `None` if a name could lead out of the folder.
    pub fn file(&self, namespace: &str, key: &SecretKey) -> Option<PathBuf> {
        let SecretKey { name, key } = key;
        let legal = is_dns_label(namespace) && is_dns_subdomain(name) && is_secret_key(key);
        legal.then(|| self.0.join(namespace).join(name).join(key))
    }
}

impl Surroundings for Folder {
    fn secret(&self, namespace: &str, key: &SecretKey) -> Result<Secret, SecretError> {
        let file = self.file(namespace, key).ok_or_else(|| SecretError {
            message: "is no legal name of a Secret".to_owned(),
            cure: "write the Secret's name in lower case, and its key without slashes".to_owned(),
        })?;
        read_value(&file).map_err(|cause| SecretError {
            message: format!("cannot be read from {}: {cause}", file.display()),
            cure: "put the value into this file".to_owned(),
        })
    }
}

fn read_value(file: &Path) -> Result<Secret, String> {
    let open = File::open(file).map_err(|e| e.to_string())?;
    let mut bytes = Vec::new();
    open.take(SECRET_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    if bytes.len() as u64 > SECRET_BYTES_MAX {
        return Err(format!("it is longer than {SECRET_BYTES_MAX} bytes"));
    }
    let text = String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
    let value = text.strip_suffix('\n').map_or(text.as_str(), |t| t.strip_suffix('\r').unwrap_or(t));
    if value.is_empty() {
        return Err("it is empty".to_owned());
    }
    Ok(Secret::new(value))
}

/// No installation at hand, as in `sluice check` without a configuration: every Secret counts as present.
#[derive(Debug, Clone, Copy)]
pub struct Unchecked;

impl Surroundings for Unchecked {
    fn secret(&self, _: &str, _: &SecretKey) -> Result<Secret, SecretError> {
        Ok(Secret::new(""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str, key: &str) -> SecretKey {
        SecretKey { name: name.to_owned(), key: key.to_owned() }
    }

    #[test]
    fn a_value_is_a_file_of_the_resources_namespace() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("a/auth")).unwrap();
        std::fs::write(root.path().join("a/auth/password"), " p w\n").unwrap();
        std::fs::write(root.path().join("a/auth/empty"), "\n").unwrap();
        let folder = Folder(root.path().to_owned());
        assert_eq!(folder.secret("a", &key("auth", "password")).unwrap().reveal(), " p w");
        assert!(folder.secret("a", &key("auth", "empty")).unwrap_err().message.ends_with("it is empty"));
        assert!(folder.secret("b", &key("auth", "password")).is_err());
        for (namespace, name, secret) in
            [("..", "auth", "x"), ("b", "..", "x"), ("b", "../a/auth", "password"), ("b", "auth", "../x")]
        {
            assert_eq!(folder.file(namespace, &key(name, secret)), None);
        }
    }
}
