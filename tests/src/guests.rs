//! Guests: filters of this workspace, built for tests.
//!
//! In: package names. Out: the bytes of one component each. Never: built twice, if nothing of them changed: all tests share one
//! folder, in which Cargo takes turns.

#[path = "../../host/build/guests.rs"]
mod build;

use std::path::Path;

use crate::servers::profile_folder;

/// The packages' components, in their order.
pub fn built<const N: usize>(packages: [&str; N]) -> [Vec<u8>; N] {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let target = profile_folder().with_file_name("tmp").join("filters");
    let built = build::build(&workspace, &packages, &target).expect("the filters compile");
    built.try_into().expect("one component each")
}
