//! Language: filters that are not made of Rust, each built with the tools of its own language, as its example shows.
//!
//! In: the filter's folder. Out: the component, `target/NAME.wasm`. Never: a tool fetched that the folder does not name; those that
//! it does name are put into the folder, once.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::build::{BuildError, Built};
use super::component;

/// What a filter is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Language {
    /// Rust, on the SDK.
    #[default]
    Rust,
    /// JavaScript, by way of `componentize-js`.
    Js,
    /// Python, by way of `componentize-py`.
    Python,
    /// C, by way of `wit-bindgen` and clang.
    C,
}

/// The file that says what a folder holds. What holds none of them is taken for Rust, of which the manifest is missing then.
const MARKERS: [(&str, Language); 4] = [
    ("Cargo.toml", Language::Rust),
    ("package.json", Language::Js),
    ("requirements.txt", Language::Python),
    ("filter.c", Language::C),
];

/// The compiler, unless the variable names another one, with arguments if need be. `CC` would be the one for this machine.
const CLANG: &str = "clang";
const CLANG_VARIABLE: &str = "CC_wasm32_wasi";
const CLANG_ARGUMENTS: [&str; 4] = ["--target=wasm32-wasi", "-mexec-model=reactor", "-O2", "-Wl,--strip-all"];

impl Language {
    pub(super) fn of(folder: &Path) -> Language {
        let marker = MARKERS.iter().find(|(file, _)| folder.join(file).is_file());
        marker.map_or(Language::Rust, |(_, language)| *language)
    }
}

/// By which files a filter's folder is known.
pub(super) fn markers() -> impl Iterator<Item = &'static str> {
    MARKERS.iter().map(|(file, _)| *file)
}

/// Builds the filter of another language than Rust that lies in `folder`. What its tools say goes to standard error.
pub(super) fn build(folder: &Path, language: Language) -> Result<Built, BuildError> {
    let folder = folder.canonicalize().map_err(|error| broken(folder, &error))?;
    let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let target = folder.join("target");
    std::fs::create_dir_all(&target).map_err(|error| broken(&target, &error))?;
    let path = target.join(&name).with_extension("wasm");
    match language {
        Language::Js => js(&folder, &path)?,
        Language::Python => python(&folder, &path)?,
        Language::Rust | Language::C => c(&folder, &name, &path)?,
    }
    let bytes = std::fs::read(&path).map_err(|error| broken(&path, &error))?;
    Ok(Built { path, bytes })
}

fn broken(path: &Path, error: &std::io::Error) -> BuildError {
    BuildError::Component(format!("{}: {error}", path.display()))
}

fn js(folder: &Path, out: &Path) -> Result<(), BuildError> {
    let cure = "install Node.js 20 or newer, with npm";
    if !folder.join("node_modules").is_dir() {
        // Not `npm ci`: it refuses a lock file that was written where a registry lacks other platforms' optional packages.
        run(folder, "npm", ["install", "--no-audit", "--no-fund"], cure)?;
    }
    run(folder, "npm", ["run".as_ref(), "build".as_ref(), "--".as_ref(), out.as_os_str()], cure)
}

fn python(folder: &Path, out: &Path) -> Result<(), BuildError> {
    let cure = "install Python 3.10 or newer, with venv";
    let tool = folder.join(".venv/bin/componentize-py");
    if !tool.is_file() {
        run(folder, "python3", ["-m", "venv", ".venv"], cure)?;
        run(folder, folder.join(".venv/bin/pip"), ["install", "--quiet", "-r", "requirements.txt"], cure)?;
    }
    let filter = folder.join("filter.py");
    let text = std::fs::read_to_string(&filter).map_err(|error| broken(&filter, &error))?;
    // What it exports says what it sees.
    let world = if text.contains("\nclass Samples(") { "sample-filter" } else { "label-filter" };
    let before = ["-q", "-d", "wit", "-w", world, "componentize", "filter", "-o"].map(OsStr::new);
    run(folder, tool, before.into_iter().chain([out.as_os_str()]), cure)
}

fn c(folder: &Path, name: &str, out: &Path) -> Result<(), BuildError> {
    let given = std::env::var(CLANG_VARIABLE).ok().filter(|clang| !clang.trim().is_empty());
    let given = given.unwrap_or_else(|| CLANG.to_owned());
    let mut command = given.split_whitespace();
    let clang = command.next().unwrap_or(CLANG);
    let module = out.with_extension("core.wasm");
    let mut arguments: Vec<&OsStr> = command.chain(CLANG_ARGUMENTS).map(OsStr::new).collect();
    let sources = sources(folder).map_err(|error| broken(folder, &error))?;
    arguments.extend(sources.iter().map(|path| path.as_os_str()));
    arguments.extend([OsStr::new("-o"), module.as_os_str()]);
    let cure = "install clang, lld and a C library for WASI (Debian: clang lld wasi-libc libclang-rt-dev-wasm32), \
                or let CC_wasm32_wasi name the clang of a wasi-sdk";
    run(folder, clang, arguments, cure)?;
    let bytes = std::fs::read(&module).map_err(|error| broken(&module, &error))?;
    let bytes = component::encode(name, &bytes).map_err(BuildError::Component)?;
    std::fs::write(out, bytes).map_err(|error| broken(out, &error))
}

/// What clang is given: all of C, and the assembly that says what the exports are.
fn sources(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut sources = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "c" || extension == "s") {
            sources.push(path);
        }
    }
    sources.sort();
    Ok(sources)
}

fn run(
    folder: &Path,
    program: impl AsRef<OsStr>,
    arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    cure: &str,
) -> Result<(), BuildError> {
    let program = program.as_ref();
    let ended = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(std::io::stderr())
        .status()
        .map_err(|error| {
            BuildError::Toolchain(format!("{} cannot be run: {error}: {cure}", program.display()))
        })?;
    if ended.success() { Ok(()) } else { Err(BuildError::Compile) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_that_is_missing_is_told_in_one_line_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let error = run(folder.path(), "no-such-tool", ["x"], "install it").unwrap_err();
        assert_eq!(
            error.to_string(),
            "no-such-tool cannot be run: No such file or directory (os error 2): install it"
        );
        let error = run(folder.path(), "false", [""; 0], "install it").unwrap_err();
        assert_eq!(error.to_string(), "the filter does not compile");
    }

    #[test]
    fn a_folder_says_by_its_files_what_it_holds() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Language::of(folder.path()), Language::Rust);
        for (file, language) in MARKERS.into_iter().rev() {
            std::fs::write(folder.path().join(file), "").unwrap();
            assert_eq!(Language::of(folder.path()), language);
        }
    }
}
