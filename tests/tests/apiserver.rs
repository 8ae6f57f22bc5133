//! The fake API server against recorded exchanges of a real one, and under a real client.

#[path = "apiserver/binding.rs"]
mod binding;
#[path = "apiserver/client.rs"]
mod client;
#[path = "apiserver/replay.rs"]
mod replay;

use replay::{Recording, Skip};

/// Skipped everywhere for one of these reasons.
const TABLE: &str = "tables are not served";
const YAML: &str = "answers in YAML are not served";
const PROTOBUF: &str = "protobuf is not served";
const CEL: &str = "CEL rules are not evaluated";
const DUPLICATES: &str = "duplicate keys are not noticed by the JSON reader";
const ELSEWHERE: &str = "shows objects of another recording";
const WORDING: &str = "the parser's own words for broken input";
const OTHER_KIND: &str = "a kind or subresource the program does not use";

#[tokio::test(start_paused = true)]
async fn create_read_update_patch_delete() {
    let skips = [Skip(8, ELSEWHERE)];
    Recording::named("01-crud", 500).replay(&skips).await;
}

#[tokio::test(start_paused = true)]
async fn lists() {
    let skips = [Skip(35, TABLE), Skip(36, TABLE), Skip(38, YAML), Skip(39, PROTOBUF)];
    Recording::named("02-list", 400).replay(&skips).await;
}

#[tokio::test(start_paused = true)]
async fn watches() {
    Recording::named("03-watch", 760).replay(&[]).await;
}

#[tokio::test(start_paused = true)]
async fn bookmarks() {
    Recording::named("03b-watch-bookmarks", 200).replay(&[]).await;
}

#[tokio::test(start_paused = true)]
async fn versions_that_are_gone() {
    Recording::named("04-gone", 200).compacted_before(14).replay(&[]).await;
}

#[tokio::test(start_paused = true)]
async fn server_side_apply() {
    Recording::named("05-apply", 100).replay(&[Skip(24, WORDING)]).await;
}

#[tokio::test(start_paused = true)]
async fn server_side_apply_of_a_built_in_kind() {
    Recording::named("05b-apply-configmap", 600).replay(&[]).await;
}

#[tokio::test(start_paused = true)]
async fn validation() {
    let skips = [
        Skip(19, CEL),
        Skip(20, CEL),
        Skip(21, CEL),
        Skip(22, CEL),
        Skip(31, DUPLICATES),
        Skip(32, DUPLICATES),
        Skip(41, "the odd warning beside the refusal of another version"),
        Skip(42, "quotes the body as it was sent, byte by byte"),
        Skip(44, CEL),
    ];
    Recording::named("06-validation", 700).replay(&skips).await;
}

#[tokio::test(start_paused = true)]
async fn leases() {
    Recording::named("07-leases", 180).replay(&[]).await;
}

#[tokio::test(start_paused = true)]
async fn secrets_config_maps_and_who_may_read_them() {
    Recording::named("08-secrets-configmaps-rbac", 230).replay(&[Skip(15, TABLE)]).await;
}

#[tokio::test(start_paused = true)]
async fn services_pods_and_endpoint_slices() {
    let skips = [
        Skip(12, "the message holds a difference of Go structs"),
        Skip(16, OTHER_KIND),
        Skip(29, OTHER_KIND),
        Skip(31, OTHER_KIND),
    ];
    Recording::named("09-services-pods-endpointslices", 140).replay(&skips).await;
}

#[tokio::test(start_paused = true)]
async fn events() {
    Recording::named("10-events", 600).replay(&[]).await;
}

#[tokio::test(start_paused = true)]
async fn errors() {
    let skips = [
        Skip(48, "a server without anonymous access"),
        Skip(49, "a server at its in-flight limit; see `Fault::TooManyRequests`"),
    ];
    Recording::named("13-errors", 100).replay(&skips).await;
}
