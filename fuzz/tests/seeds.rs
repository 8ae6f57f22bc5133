//! Every seed, and whatever was found once and kept as one, passes: this runs without a fuzzer.

use std::path::Path;

fn each(target: &str, check: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
    let files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()).collect();
    assert!(!files.is_empty(), "no seeds in {}", folder.display());
    for file in files {
        eprintln!("{}", file.display());
        check(&std::fs::read(file).unwrap());
    }
}

#[test]
fn what_the_scanner_reads_is_what_serde_json_reads() {
    each("scan", sluice_fuzz::scan);
}

#[test]
fn what_is_read_of_samples_is_what_prost_reads() {
    each("read", sluice_fuzz::read);
}

#[test]
fn answers_that_are_no_success_mean_what_they_say() {
    each("answers", sluice_fuzz::answers);
}
