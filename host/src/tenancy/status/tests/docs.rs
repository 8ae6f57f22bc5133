//! The list of reasons: that the documentation has all of it, and that it fits Kubernetes.

use std::fmt::Write as _;

use crate::tenancy::status::reason::{Kind, Reason};

/// The tables of `docs/status.md`, as the lists in the code make them.
fn tables() -> String {
    let mut text = String::from("| condition | is `True` when |\n|---|---|\n");
    for kind in Kind::ALL {
        writeln!(text, "| `{}` | {} |", kind.as_str(), kind.means()).unwrap();
    }
    for kind in Kind::ALL {
        let name = kind.as_str();
        write!(
            text,
            "\n### `{name}`\n\n| status | reason | what it means, and what to do |\n|---|---|---|\n"
        )
        .unwrap();
        for reason in Reason::ALL.iter().filter(|reason| reason.kinds().contains(&kind)) {
            let (status, reason, help) = (reason.truth().as_str(), reason.as_str(), reason.help());
            writeln!(text, "| {status} | `{reason}` | {} |", help.replace('|', "\\|")).unwrap();
        }
    }
    text
}

#[test]
fn the_documentation_lists_every_reason() {
    let file = include_str!("../../../../../docs/status.md");
    let (_, rest) = file.split_once("<!-- conditions -->\n").unwrap();
    let (listed, _) = rest.split_once("<!-- end of conditions -->").unwrap();
    let expected = tables();
    assert!(
        listed.trim() == expected.trim(),
        "docs/status.md is stale; between the marks write:\n\n{expected}"
    );
}

#[test]
fn every_reason_is_of_some_condition_and_fits_kubernetes() {
    for reason in Reason::ALL {
        assert!(!reason.kinds().is_empty());
        let name = reason.as_str();
        assert!(name.len() <= 64 && name.bytes().all(|b| b.is_ascii_alphabetic()), "{name}");
        assert!(reason.help().ends_with('.'), "{}", reason.help());
    }
}
