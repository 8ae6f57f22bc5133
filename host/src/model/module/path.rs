//! Paths of modules: relative, and never upwards.

use std::fmt;
use std::path::{Component, Path};
use std::str::FromStr;

/// A file below the operator's folder of modules.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ModulePath(String);

/// What is wrong with a path, as the end of a sentence that begins with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ModulePathError {
    /// It names no file.
    #[error("names no file; write a path below the operator's folder of modules, as in team/drop-go.wasm")]
    Nothing,
    /// It has steps that lead nowhere.
    #[error("has a step that is only a dot; write the path without it, as in team/drop-go.wasm")]
    Dot,
    /// It leads out of the folder, or could.
    #[error("leads out of the folder of modules; write a relative path without ..")]
    Outside,
}

impl ModulePath {
    /// The path, relative to the folder.
    pub fn as_path(&self) -> &Path {
        Path::new(&self.0)
    }
}

impl FromStr for ModulePath {
    type Err = ModulePathError;

    fn from_str(text: &str) -> Result<ModulePath, ModulePathError> {
        if text.is_empty() || text.ends_with('/') || text.contains('\0') {
            return Err(ModulePathError::Nothing);
        }
        let inside = |part| matches!(part, Component::Normal(_) | Component::CurDir);
        if !Path::new(text).components().all(inside) {
            return Err(ModulePathError::Outside);
        }
        // `components` passes over a dot in the middle.
        if text.split('/').any(|part| part == ".") {
            return Err(ModulePathError::Dot);
        }
        Ok(ModulePath(text.to_owned()))
    }
}

impl fmt::Display for ModulePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_below_its_folder() {
        for text in ["a.wasm", "team/a.wasm", "..a/b..wasm", "a b.wasm"] {
            assert_eq!(text.parse::<ModulePath>().unwrap().to_string(), text);
        }
        for text in ["/etc/passwd", "..", "../a", "a/../b", "./../a", "a/.."] {
            assert_eq!(text.parse::<ModulePath>(), Err(ModulePathError::Outside), "{text}");
        }
        for text in [".", "./a", "a/./b", "a/."] {
            assert_eq!(text.parse::<ModulePath>(), Err(ModulePathError::Dot), "{text}");
        }
        for text in ["", "a/", "a\0b", "/"] {
            assert_eq!(text.parse::<ModulePath>(), Err(ModulePathError::Nothing), "{text:?}");
        }
    }
}
