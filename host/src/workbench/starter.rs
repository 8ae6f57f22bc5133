//! Starter: the files of a new filter, in each language.
//!
//! In: a name. Out: paths and contents. Those in other languages than Rust are the examples themselves, with another name.

use super::language::Language;

/// The SDK's files, by their paths.
mod sdk {
    include!(concat!(env!("OUT_DIR"), "/sdk.rs"));
}

/// The template in Rust; `{name}` and `{version}` are filled in.
const RUST: &[(&str, &str)] = &[
    ("Cargo.toml", include_str!("template/Cargo.toml.txt")),
    ("README.md", include_str!("template/README.md.txt")),
    ("src/config.schema.json", include_str!("template/config.schema.json")),
    ("src/lib.rs", include_str!("template/lib.rs.txt")),
    (".gitignore", "/target\n"),
    ("tests/drops/config.yaml", include_str!("../../../examples/filters/tests/drops/config.yaml")),
    ("tests/drops/metrics.prom", include_str!("../../../examples/filters/tests/drops/metrics.prom")),
    ("tests/drops/expected.prom", include_str!("../../../examples/filters/tests/drops/expected.prom")),
];

/// Where a filter's folder has it.
pub(super) const SDK: &str = ".sluice/sdk";

/// What the examples are called.
const EXAMPLE: &str = "drop-prefixes";

/// Files of an example, by their paths in its folder.
macro_rules! example {
    ($language:literal: $($path:literal),+) => {
        &[$(($path, include_bytes!(concat!("../../../examples/filters/", $language, "/", $path)))),+]
    };
}

type Files = &'static [(&'static str, &'static [u8])];

const JS: Files = example!("js": "README.md", "build.mjs", "filter.js", "package-lock.json", "package.json", "sluice.js",
    "tests/drops/config.yaml", "tests/drops/expected.prom", "tests/drops/metrics.prom",
    "tests/letters/config.yaml", "tests/letters/expected.prom", "tests/letters/metrics.prom", "wit/filter.wit");
const PYTHON: Files = example!("python": "README.md", "filter.py", "requirements.txt", "sluice.py",
    "tests/drops/config.yaml", "tests/drops/expected.prom", "tests/drops/metrics.prom",
    "tests/letters/config.yaml", "tests/letters/expected.prom", "tests/letters/metrics.prom", "wit/filter.wit");
const C: Files = example!("c": "README.md", "contract.c", "contract.h", "contract_component_type.s", "filter.c",
    "sluice.c", "sluice.h",
    "tests/drops/config.yaml", "tests/drops/expected.prom", "tests/drops/metrics.prom",
    "tests/letters/config.yaml", "tests/letters/expected.prom", "tests/letters/metrics.prom");

/// The files of a new filter called `name`.
pub(super) fn files(name: &str, language: Language) -> Vec<(String, Vec<u8>)> {
    let (example, ignored) = match language {
        Language::Rust => return rust(name),
        Language::Js => (JS, "/node_modules\n/target\n"),
        Language::Python => (PYTHON, "/.venv\n/target\n__pycache__\n"),
        Language::C => (C, "/target\n"),
    };
    let named = |bytes: &[u8]| match std::str::from_utf8(bytes) {
        Ok(text) => text.replace(EXAMPLE, name).into_bytes(),
        Err(_) => bytes.to_owned(),
    };
    let files = example.iter().map(|(path, bytes)| ((*path).to_owned(), named(bytes)));
    files.chain([(".gitignore".to_owned(), ignored.into())]).collect()
}

fn rust(name: &str) -> Vec<(String, Vec<u8>)> {
    let named = |text: &str| {
        text.replace("{name}", name).replace(EXAMPLE, name).replace("{version}", env!("CARGO_PKG_VERSION"))
    };
    let template = RUST.iter().map(|(path, text)| ((*path).to_owned(), named(text).into_bytes()));
    template.chain(sdk().map(|(path, text)| (path, text.as_bytes().to_owned()))).collect()
}

/// The SDK of this program, by the paths that it has in a filter's folder.
pub(super) fn sdk() -> impl Iterator<Item = (String, &'static str)> {
    sdk::FILES.iter().map(|(path, text)| (format!("{SDK}/{path}"), *text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_filter_has_its_own_name_everywhere_and_a_case() {
        for language in [Language::Rust, Language::Js, Language::Python, Language::C] {
            let files = files("keep-it-small", language);
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let old = files.iter().find(|(_, bytes)| text(bytes).contains(EXAMPLE));
            assert!(old.is_none(), "{language:?}: {}", old.unwrap().0);
            for wanted in ["README.md", ".gitignore", "tests/drops/expected.prom"] {
                let (_, bytes) = files.iter().find(|(path, _)| path == wanted).unwrap();
                assert!(
                    wanted == ".gitignore" || text(bytes).contains("keep-it-small"),
                    "{language:?}: {wanted}"
                );
            }
        }
    }
}
