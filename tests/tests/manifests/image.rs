//! The image's build file, as far as it can be read without an engine. `make image-check` runs what it builds.

use serde_json::Value;

use crate::bundle::{deploy, objects, of_kind, text};

/// The instructions of the last stage, continuation lines joined.
fn last_stage() -> Vec<(String, String)> {
    let file = text(&deploy("image/Containerfile")).replace("\\\n", " ");
    let lines = file.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let all = lines
        .filter_map(|line| line.split_once(' '))
        .map(|(word, rest)| (word.to_owned(), rest.trim().to_owned()));
    let all: Vec<_> = all.collect();
    let from = all.iter().rposition(|(word, _)| word == "FROM").expect("a stage");
    all[from..].to_vec()
}

fn said<'a>(stage: &'a [(String, String)], word: &str) -> Vec<&'a str> {
    stage.iter().filter(|(first, _)| first == word).map(|(_, rest)| rest.as_str()).collect()
}

#[test]
fn the_image_holds_the_program_and_certificates_and_nothing_else() {
    let stage = last_stage();
    assert_eq!(said(&stage, "FROM"), ["scratch"]);
    assert_eq!(said(&stage, "RUN"), [""; 0], "an empty base has no shell");
    let targets: Vec<_> =
        said(&stage, "COPY").iter().filter_map(|copy| copy.split(' ').next_back()).collect();
    assert_eq!(targets, ["/etc/ssl/certs/ca-certificates.crt", "/sluice"]);
    assert_eq!(said(&stage, "ENTRYPOINT"), [r#"["/sluice"]"#]);
}

#[test]
fn the_image_and_the_deployment_agree_on_the_user() {
    let stage = last_stage();
    let objects = objects(&deploy(""));
    let security =
        &of_kind(&objects, "Deployment").next().unwrap()["spec"]["template"]["spec"]["securityContext"];
    let number = |key: &str| security[key].as_u64().filter(|id| *id > 0).expect("a number other than 0");
    assert_eq!(said(&stage, "USER"), [format!("{}:{}", number("runAsUser"), number("runAsGroup"))]);
    assert_eq!(security["runAsNonRoot"], Value::Bool(true));
}
