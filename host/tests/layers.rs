//! The layer rule of ARCHITECTURE.md, read off the source: which room may name which, and which foreign crate has
//! which home. A breach fails with the file, the line and the rule.

#![allow(missing_docs)]

use std::fs;
use std::path::{Path, PathBuf};

/// What each room of `host/src` may name as `crate::…`. `*` is everything.
const ROOMS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("cache", &[]),
    ("background", &[]),
    ("document", &["model"]),
    ("http", &["model"]),
    ("telemetry", &["model"]),
    ("status", &["model", "telemetry"]),
    ("discover", &["model", "http"]),
    ("tenancy", &["model", "document"]),
    ("collect", &["model", "http"]),
    ("filter", &["background", "cache", "model"]),
    ("modules", &["cache", "model", "http"]),
    ("deliver", &["model", "http"]),
    ("pipeline", &["background", "model", "http", "collect", "filter", "deliver", "status", "telemetry"]),
    ("supervise", &["background", "model", "collect", "modules", "filter", "status", "pipeline"]),
    ("serve", &["model", "status", "telemetry"]),
    ("workbench", &["model", "document", "filter"]),
    ("config", &["*"]),
    ("app", &["*"]),
    ("cli", &["*"]),
    ("lib", &["*"]),
    ("main", &["*"]),
];

/// Foreign crates that have a home; no other room may name them.
const HOMES: &[(&str, &[&str])] = &[
    ("wasmtime", &["filter"]),
    ("wit_component", &["workbench"]),
    ("prost", &["deliver", "cli"]),
    ("snap", &["deliver", "collect", "cli"]),
    ("hyper", &["http", "serve"]),
    ("hyper_util", &["http", "serve"]),
    ("hyper_rustls", &["http"]),
    ("rustls", &["http"]),
    ("rustls_pki_types", &["modules"]),
    ("aws_lc_rs", &["http", "modules"]),
    ("flate2", &["http", "modules"]),
    ("tar", &["modules"]),
    ("axum", &["serve", "cli"]),
    ("prometheus_client", &["telemetry"]),
    ("notify", &["tenancy"]),
    ("kube", &["discover", "tenancy", "app"]),
    ("k8s_openapi", &["discover", "tenancy"]),
    ("schemars", &["tenancy"]),
    ("serde_saphyr", &["document"]),
    ("promql_parser", &["model"]),
    ("clap", &["cli"]),
    ("sluice_filter_relabel", &["tenancy"]),
];

#[test]
fn every_room_names_only_what_lies_upstream_of_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut breaches = Vec::new();
    let mut files = 0;
    for file in rust_files(&root) {
        let room = room_of(file.strip_prefix(&root).unwrap());
        let text = fs::read_to_string(&file).unwrap();
        files += 1;
        breaches.extend(
            breaches_in(&room, &text).into_iter().map(|breach| format!("{}:{breach}", file.display())),
        );
    }
    assert!(files > 20, "only {files} files were read: the test looks in the wrong place");
    assert!(breaches.is_empty(), "the layer rule is broken:\n{}", breaches.join("\n"));
}

#[test]
fn a_breach_is_noticed_in_every_form_it_can_take() {
    for (room, text) in [
        ("model", "use crate::collect::Error;"),
        ("collect", "use crate::{deliver::Batch, model::Labels};"),
        ("collect", "use crate::{model::Labels, deliver::Batch};"),
        ("collect", "use crate::{\n    model::{Labels, Tick},\n    deliver,\n};"),
        ("filter", "fn f(x: crate::http::Client) {}"),
        ("pipeline", "use wasmtime::Engine;"),
        ("supervise", "use crate::tenancy;"),
    ] {
        assert_eq!(breaches_in(room, text).len(), 1, "{room}: {text}");
    }
    for (room, text) in [
        ("collect", "use crate::{http, model::{Labels, Tick}};"),
        ("collect", "//! see crate::deliver\n/// crate::filter\nuse crate::collect::scan;"),
        ("filter", "use wasmtime::component::Component; // crate::http"),
        ("app", "use crate::{collect, deliver};"),
    ] {
        assert_eq!(breaches_in(room, text), Vec::<String>::new(), "{room}: {text}");
    }
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|e| e == "rs")
            && path.file_name().is_some_and(|n| n != "tests.rs")
        {
            files.push(path);
        }
    }
    files
}

/// `collect/scan.rs` and `collect.rs` are both the room `collect`.
fn room_of(path: &Path) -> String {
    let first = path.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

fn breaches_in(room: &str, text: &str) -> Vec<String> {
    let allowed = ROOMS.iter().find(|(name, _)| *name == room).map(|(_, allowed)| *allowed);
    let Some(allowed) = allowed else {
        return vec![format!("1: the room `{room}` has no rule; give it one in ROOMS")];
    };
    let code = without_comments(text);
    let named = named_rooms(&code).into_iter().filter(|(_, name)| {
        let known = ROOMS.iter().any(|(room, _)| room == name);
        known && name != room && !allowed.contains(&"*") && !allowed.contains(&name.as_str())
    });
    let mut breaches: Vec<String> =
        named.map(|(line, name)| format!("{line}: `{room}` may not name `{name}`")).collect();
    for (foreign, homes) in HOMES {
        if homes.contains(&room) || room == "lib" || room == "main" {
            continue;
        }
        let token = format!("{foreign}::");
        for (at, _) in code.match_indices(&token) {
            let before = code[..at].chars().next_back();
            if before.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != ':') {
                breaches.push(format!("{}: `{foreign}` has its home in {homes:?}", line_of(&code, at)));
            }
        }
    }
    breaches
}

/// Every room named through `crate::`, in a plain path or in a braced list.
fn named_rooms(code: &str) -> Vec<(usize, String)> {
    let mut named = Vec::new();
    for (at, prefix) in code.match_indices("crate::") {
        let rest = &code[at + prefix.len()..];
        let line = line_of(code, at);
        match rest.strip_prefix('{') {
            Some(list) => named.extend(top_level_names(list).into_iter().map(|name| (line, name))),
            None => named.push((line, word(rest))),
        }
    }
    named
}

/// The first words of the items of a `{…}` list, whose opening brace is already read.
fn top_level_names(list: &str) -> Vec<String> {
    let (mut depth, mut start, mut names) = (0, 0, Vec::new());
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            '}' => {
                names.push(word(list[start..at].trim_start()));
                break;
            }
            ',' if depth == 0 => {
                names.push(word(list[start..at].trim_start()));
                start = at + 1;
            }
            _ => {}
        }
    }
    names
}

fn word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

fn line_of(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}

fn without_comments(text: &str) -> String {
    let strip = |line: &str| match line.find("//") {
        Some(at) if !line[..at].contains('"') => line[..at].to_owned(),
        _ => line.to_owned(),
    };
    text.lines().map(strip).collect::<Vec<_>>().join("\n")
}
