//! Answers that are no success, of receivers and of sources.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sluice_fuzz::answers(data));
