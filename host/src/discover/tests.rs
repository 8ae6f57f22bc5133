//! Sources written and found, put together into groups of replicas.

use super::*;

fn source(name: &str, group: Option<&str>) -> Arc<Source> {
    let replica_group = group.map(str::to_owned);
    Arc::new(Source { replica_group, ..Source::plain(name, "http://127.0.0.1:9090") })
}

fn shape(groups: &[SourceGroup]) -> Vec<String> {
    let one = |group: &SourceGroup| {
        let names: Vec<_> = group.sources.iter().map(|s| s.name.to_string()).collect();
        format!("{}: {}", group.name, names.join(" "))
    };
    groups.iter().map(one).collect()
}

fn fixed() -> Discovery {
    let sources = vec![source("a", Some("ha")), source("b", None), source("c", Some("ha"))];
    Discovery::new(Config { sources, ..Config::default() }, None)
}

#[test]
fn replicas_are_one_group_in_the_operators_order() {
    assert_eq!(shape(&fixed().groups().borrow()), ["ha: a c", "b: b"]);
    assert!(fixed().settled().is_cancelled());
}

#[test]
fn what_was_found_stands_behind_what_was_written_and_nothing_is_told_twice() {
    let discovery = fixed();
    let (mut groups, mut targets) = (discovery.groups(), discovery.targets());
    let found = |presence: Presence| cluster::Found {
        sources: vec![(source("k/ns/p-0", None), presence)],
        problems: BTreeMap::new(),
    };
    let publish =
        |found| super::publish(&discovery.config.sources, found, &discovery.targets, &discovery.groups);
    publish(found(Presence::Ready));
    assert_eq!(shape(&groups.borrow_and_update()), ["ha: a c", "b: b", "k/ns/p-0: k/ns/p-0"]);
    assert!(targets.has_changed().unwrap());
    targets.mark_unchanged();
    publish(found(Presence::Ready));
    assert!(!groups.has_changed().unwrap() && !targets.has_changed().unwrap());
    publish(found(Presence::NotReady("x".into())));
    assert!(!groups.has_changed().unwrap(), "pipelines do not depend on presence");
    assert!(targets.has_changed().unwrap());
    targets.mark_unchanged();
}
