//! Fixtures: the filters in `tests/filters`, as components.

use std::path::Path;
use std::sync::OnceLock;

#[path = "../../../tests/filters/craft.rs"]
pub(crate) mod craft;
#[path = "../../build/guests.rs"]
mod guests;

/// One component each.
pub(crate) struct Guests {
    pub(crate) drop_everything: Vec<u8>,
    pub(crate) hostile: Vec<u8>,
    pub(crate) hostile_samples: Vec<u8>,
    pub(crate) totals: Vec<u8>,
    pub(crate) empty_world: Vec<u8>,
}

/// Built once, where the build script has built what they need already.
pub(crate) fn guests() -> &'static Guests {
    static GUESTS: OnceLock<Guests> = OnceLock::new();
    GUESTS.get_or_init(|| {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let packages = [
            "test-filter-drop-everything",
            "test-filter-hostile",
            "test-filter-hostile-samples",
            "test-filter-totals",
        ];
        let target_dir = Path::new(concat!(env!("OUT_DIR"), "/filters"));
        let built = guests::build(&workspace, &packages, target_dir).unwrap();
        let [drop_everything, hostile, hostile_samples, totals] = built.try_into().unwrap();
        let built = guests::build_with_wasi(&workspace, &["test-filter-empty-world"], target_dir).unwrap();
        let [empty_world] = built.try_into().unwrap();
        Guests { drop_everything, hostile, hostile_samples, totals, empty_world }
    })
}
