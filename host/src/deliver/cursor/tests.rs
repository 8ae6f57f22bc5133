//! Cursors over restarts, damage, and a disk that refuses.

use tokio_util::sync::CancellationToken;

use super::*;
use crate::model::{Digest, Interval};

const DAY: i64 = 24 * 3600 * 1000;

fn key(name: &str) -> Key {
    let tenant = TenantId { namespace: "team".into(), name: name.into() };
    Key { tenant, group: "infra".into(), endpoint: "http://p:9090/api/v1/write".into() }
}

fn tick(seconds: i64) -> Tick {
    Tick::at_or_before(Timestamp(seconds * 1000), Interval::new(Duration::from_secs(1)).unwrap())
}

const SAVE_EVERY: Duration = Duration::from_secs(1);

fn open(path: PathBuf) -> Result<Store, Error> {
    Store::open(path, SAVE_EVERY)
}

fn present(names: &[&str]) -> HashSet<TenantId> {
    names.iter().map(|name| key(name).tenant).collect()
}

#[test]
fn a_cursor_survives_a_restart_and_never_steps_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made/here/state.json");
    let store = open(path.clone()).unwrap();
    assert_eq!(store.get(&key("a")), None);
    store.advance(&key("a"), tick(30));
    store.advance(&key("a"), tick(15));
    assert!(store.save_if_dirty().unwrap());
    assert!(!store.save_if_dirty().unwrap());
    store.advance(&key("a"), tick(45));

    let after_a_crash = open(path).unwrap();
    assert_eq!(after_a_crash.get(&key("a")), Some(Cursor::Delivered(Timestamp(30_000))));
    assert_eq!(after_a_crash.get(&key("b")), None);
    assert_eq!(store.get(&key("a")), Some(Cursor::Delivered(Timestamp(45_000))));
}

#[tokio::test]
async fn who_catches_up_is_no_further_from_what_is_saved_than_who_is_on_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.json");
    let store = open(path.clone()).unwrap();
    let stop = CancellationToken::new();
    let saving = tokio::spawn(store.clone().run(stop.clone()));
    for second in 1..=40 {
        store.saved_for(&key("a"), Timestamp((second - 1) * 1000)).await;
        let unsaved = match Store::open_read(&path).get(&key("a")) {
            Some(Cursor::Delivered(saved)) => second - 1 - saved.0 / 1000,
            _ => second - 1,
        };
        assert!(unsaved <= 1, "at {second} s, {unsaved} ticks would be sent again");
        store.advance(&key("a"), tick(second));
    }
    stop.cancel();
    saving.await.unwrap();
    // Nobody saves any more, and nobody waits for it for long.
    store.saved_for(&key("a"), Timestamp(60_000)).await;
}

#[test]
fn a_file_that_cannot_be_understood_is_kept_aside() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.json");
    for damaged in [
        "",
        "{\"version\":1,\"curs",
        r#"{"version":2,"cursors":[]}"#,
        r#"{"version":1,"cursors":[{}]}"#,
        r#"{"version":1,"cursors":[],"tags":[{"namespace":"team","name":"a","ref":"b","digest":"c"}]}"#,
    ] {
        std::fs::write(&path, damaged).unwrap();
        assert_eq!(open(path.clone()).unwrap().get(&key("a")), None);
        assert_eq!(std::fs::read_to_string(folder.path().join("state.json.corrupt")).unwrap(), damaged);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), r#"{"version":1,"cursors":[]}"#);
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_an_error_at_the_start_that_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = open(file.join("state.json")).unwrap_err().to_string();
    assert!(error.starts_with("the state file ") && error.contains("file/state.json"), "{error}");
}

#[test]
fn a_failed_save_is_tried_again_and_leaves_the_old_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.json");
    let store = open(path.clone()).unwrap();
    store.advance(&key("a"), tick(1));
    store.save_if_dirty().unwrap();
    store.advance(&key("a"), tick(2));
    let in_the_way = folder.path().join("state.json.new");
    std::fs::create_dir(&in_the_way).unwrap();
    assert!(store.save_if_dirty().is_err());
    assert_eq!(Store::open_read(&path).get(&key("a")), Some(Cursor::Delivered(Timestamp(1000))));
    std::fs::remove_dir(&in_the_way).unwrap();
    assert!(store.save_if_dirty().unwrap());
    assert_eq!(Store::open_read(&path).get(&key("a")), Some(Cursor::Delivered(Timestamp(2000))));
}

#[test]
fn a_vanished_tenant_is_forgotten_after_a_day_unless_it_comes_back() {
    let store = Store::in_memory();
    for name in ["stays", "goes", "returns"] {
        store.advance(&key(name), tick(1));
    }
    store.forget_vanished(&present(&["stays"]), Timestamp(0));
    store.forget_vanished(&present(&["stays", "returns"]), Timestamp(DAY / 2));
    store.forget_vanished(&present(&["stays"]), Timestamp(DAY - 1));
    assert!(store.get(&key("goes")).is_some());
    store.forget_vanished(&present(&["stays"]), Timestamp(DAY));
    assert_eq!(store.get(&key("goes")), None);
    assert!(store.get(&key("returns")).is_some() && store.get(&key("stays")).is_some());
    store.forget(&key("stays").tenant);
    assert_eq!(store.get(&key("stays")), None);
}

#[tokio::test]
async fn what_was_acknowledged_last_is_saved_when_stopping() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.json");
    let store = Store::open(path.clone(), Duration::from_secs(3600)).unwrap();
    let stop = CancellationToken::new();
    let saver = tokio::spawn(store.clone().run(stop.clone()));
    store.advance(&key("a"), tick(7));
    stop.cancel();
    saver.await.unwrap();
    assert_eq!(Store::open_read(&path).get(&key("a")), Some(Cursor::Delivered(Timestamp(7000))));
}

impl Store {
    /// What another process would find.
    fn open_read(path: &std::path::Path) -> Store {
        let (cursors, tags) = file::read(path).unwrap();
        let state = State { cursors, tags, ..State::default() };
        Store { state: Arc::new(Mutex::new(state)), ..Store::in_memory() }
    }
}

#[test]
fn an_ended_cursor_says_so_until_it_advances_again() {
    let store = Store::in_memory();
    assert_eq!(store.end(&key("a")), None);
    store.advance(&key("a"), tick(30));
    assert_eq!(store.end(&key("a")), Some(Timestamp(30_000)));
    assert_eq!(store.get(&key("a")), Some(Cursor::Ended(Timestamp(30_000))));
    store.advance(&key("a"), tick(60));
    assert_eq!(store.get(&key("a")), Some(Cursor::Delivered(Timestamp(60_000))));
}

#[test]
fn a_lane_that_begins_owes_what_follows_whatever_had_ended_before() {
    let store = Store::in_memory();
    store.begin(&key("a"), Timestamp(29_999));
    assert_eq!(store.get(&key("a")), Some(Cursor::Delivered(Timestamp(29_999))));
    store.begin(&key("a"), Timestamp(59_999));
    assert_eq!(store.get(&key("a")), Some(Cursor::Delivered(Timestamp(29_999))), "it was owed before");
    for (since, owed) in [(89_999, 89_999), (10, 89_999)] {
        store.end(&key("a"));
        store.begin(&key("a"), Timestamp(since));
        assert_eq!(
            store.get(&key("a")),
            Some(Cursor::Delivered(Timestamp(owed))),
            "and nothing is sent twice"
        );
    }
}

#[test]
fn a_tenants_cursors_are_its_own_and_restoring_them_moves_none_back() {
    let (here, there) = (Store::in_memory(), Store::in_memory());
    let second = Key { group: "second".into(), ..key("a") };
    for other in ["0", "aa", "b"] {
        here.advance(&key(other), tick(5));
    }
    here.advance(&key("a"), tick(30));
    here.advance(&second, tick(30));
    here.end(&second);
    let left = here.of(&key("a").tenant);
    let at = |seconds: i64| Timestamp(seconds * 1000);
    assert_eq!(left, [(key("a"), Cursor::Delivered(at(30))), (second.clone(), Cursor::Ended(at(30)))]);

    there.advance(&key("a"), tick(45));
    there.advance(&second, tick(30));
    there.restore(left);
    assert_eq!(there.get(&key("a")), Some(Cursor::Delivered(at(45))));
    assert_eq!(there.get(&second), Some(Cursor::Ended(at(30))));
    there.restore([(second.clone(), Cursor::Delivered(at(30)))]);
    assert_eq!(there.get(&second), Some(Cursor::Ended(at(30))), "what ended is owed nothing since");
    there.restore([(second.clone(), Cursor::Delivered(at(60)))]);
    assert_eq!(there.get(&second), Some(Cursor::Delivered(at(60))));
}

#[test]
fn a_tenants_epoch_changes_with_its_cursors_and_not_with_anothers() {
    let store = Store::in_memory();
    let (tenant, mut epochs) = (key("a").tenant, Vec::new());
    let mut looked = || epochs.push(store.epoch(&tenant));
    looked();
    store.advance(&key("a"), tick(30));
    looked();
    store.end(&key("a"));
    looked();
    store.restore([(key("a"), Cursor::Delivered(Timestamp(60_000)))]);
    looked();
    store.forget(&tenant);
    looked();
    let distinct: HashSet<u64> = epochs.iter().copied().collect();
    assert_eq!(distinct.len(), 5, "{epochs:?}");
    store.advance(&key("b"), tick(30));
    store.restore([]);
    store.forget_vanished(&present(&["a", "b"]), Timestamp(0));
    assert_eq!(Some(&store.epoch(&tenant)), epochs.last());
}

fn tags(content: &str) -> Tags {
    Tags::from([("ghcr.io/acme/a:1".to_owned(), Digest::of(content.as_bytes()))])
}

#[test]
fn what_a_tag_stood_for_survives_a_restart_and_is_forgotten_with_its_tenant() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.json");
    let store = open(path.clone()).unwrap();
    let (a, b) = (key("a").tenant, key("b").tenant);
    assert_eq!(store.tags(&a), None);
    store.set_tags(&a, tags("a"));
    store.set_tags(&b, tags("b"));
    assert!(store.save_if_dirty().unwrap());
    store.set_tags(&a, tags("a"));
    assert!(!store.save_if_dirty().unwrap(), "nothing changed");
    let next = Store::open_read(&path);
    assert_eq!((next.tags(&a), next.tags(&b)), (Some(tags("a")), Some(tags("b"))));

    store.forget_vanished(&present(&["b"]), Timestamp(0));
    assert!(store.save_if_dirty().unwrap());
    let next = Store::open_read(&path);
    assert_eq!((next.tags(&a), next.tags(&b)), (None, Some(tags("b"))));
    store.let_tags_go(&b);
    assert_eq!(store.tags(&b), None);
}

#[test]
fn a_tenants_epoch_changes_with_its_tags() {
    let store = Store::in_memory();
    let tenant = key("a").tenant;
    store.set_tags(&tenant, Tags::new());
    assert_eq!(store.epoch(&tenant), 0, "it had none before");
    store.set_tags(&tenant, tags("a"));
    assert_eq!(store.epoch(&tenant), 1);
    store.set_tags(&tenant, tags("b"));
    assert_eq!(store.epoch(&tenant), 2);
}
