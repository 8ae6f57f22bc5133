//! Changes: what is different from a moment ago, in words.
//!
//! In: one look at everything after another. Out: a line for each edit that took effect, each that was refused, and
//! each trouble that began or ended. Never: the same line again because an age in it has grown.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::TenantId;
use crate::status::{Phase, Snapshot, TenantFacts, TenantStatus};

/// Whether a line is good news.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    /// An edit is in force, or a trouble is over.
    Good,
    /// Somebody should look.
    Bad,
}

/// One line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// Whose it is: a namespace, or `nobody's`.
    pub(super) who: String,
    /// What happened.
    pub(super) what: String,
    /// Good or bad.
    pub(super) tone: Tone,
}

/// What was seen at the last look.
#[derive(Debug, Default)]
pub(super) struct Changes {
    tenants: BTreeMap<TenantId, Seen>,
    unreadable: BTreeMap<String, Vec<String>>,
}

#[derive(Debug, Clone, PartialEq)]
struct Seen {
    phase: Phase,
    facts: Option<TenantFacts>,
    /// Kinds of trouble, see [`kind`], and how each is told.
    troubles: BTreeMap<String, String>,
}

impl Changes {
    /// What changed since the last look. The first resources that are seen are no news: the demo wrote them itself.
    pub(super) fn look(&mut self, snapshot: &Snapshot) -> Vec<Change> {
        let mut changes = Vec::new();
        let unreadable: BTreeMap<_, _> = snapshot.unreadable.iter().cloned().collect();
        for (origin, problems) in &unreadable {
            if self.unreadable.get(origin) != Some(problems) {
                changes
                    .push(bad("nobody's", format!("no resource, and left alone: {}", problems.join("; "))));
            }
        }
        self.unreadable = unreadable;
        let first = self.tenants.is_empty();
        let look = |tenant: &TenantStatus| {
            let before = self.tenants.get(&tenant.id).and_then(|before| before.facts.as_ref());
            (tenant.id.clone(), Seen::of(tenant, before, snapshot))
        };
        let now: BTreeMap<TenantId, Seen> = snapshot.tenants.iter().map(look).collect();
        for (id, seen) in &now {
            let before = self.tenants.get(id);
            match before {
                None if first => {}
                None => changes.extend(seen.arrival(id)),
                Some(before) => changes.extend(seen.edits(before, id)),
            }
            changes.extend(seen.turns(before, id));
        }
        for id in self.tenants.keys().filter(|id| !now.contains_key(id)) {
            changes.push(good(&id.namespace, format!("{} was removed: its series are ended", id.name)));
        }
        self.tenants = now;
        changes
    }
}

impl Seen {
    fn of(tenant: &TenantStatus, before: Option<&TenantFacts>, snapshot: &Snapshot) -> Seen {
        let reasons = match tenant.phase {
            // Its problems are told as such.
            Phase::Refused { .. } => Vec::new(),
            _ => [tenant.health(snapshot.now).1, tenant.warnings.clone()].concat(),
        };
        let troubles = reasons.into_iter().map(|reason| (kind(&reason), reason)).collect();
        // While it is refused, what it asked for before is what its next edit is compared with.
        let facts = tenant.facts.as_ref().or(before).cloned();
        Seen { phase: tenant.phase.clone(), facts, troubles }
    }

    fn refused(&self) -> bool {
        matches!(self.phase, Phase::Refused { .. })
    }

    fn refusal(&self, id: &TenantId) -> Option<Change> {
        let Phase::Refused { problems } = &self.phase else { return None };
        let problems = problems.join("; ");
        Some(bad(
            &id.namespace,
            format!("{} is refused, nothing is sent until it is mended: {problems}", id.name),
        ))
    }

    fn arrival(&self, id: &TenantId) -> Option<Change> {
        let asked = self.facts.as_ref().map(|facts| facts.selectors.join(", ")).unwrap_or_default();
        self.refusal(id).or_else(|| Some(good(&id.namespace, format!("{} was added: {asked}", id.name))))
    }

    fn edits(&self, before: &Seen, id: &TenantId) -> Option<Change> {
        if self.refused() {
            return self.refusal(id).filter(|_| self.phase != before.phase);
        }
        let news = match (&before.facts, &self.facts) {
            (Some(before), Some(now)) => differences(before, now),
            _ => Vec::new(),
        };
        let what = match (&self.phase, before.refused()) {
            (Phase::Disabled, _) if before.phase != Phase::Disabled => {
                "is switched off: its series are ended"
            }
            (Phase::Disabled, _) => return None,
            (_, true) => "is accepted again",
            _ if before.phase == Phase::Disabled => "is switched on",
            _ if news.is_empty() => return None,
            _ => "was edited",
        };
        let news: String = news.iter().map(|new| format!("; {new}")).collect();
        Some(good(&id.namespace, format!("{} {what}{news}", id.name)))
    }

    /// Troubles that began, and whether the last of them is over.
    fn turns(&self, before: Option<&Seen>, id: &TenantId) -> Vec<Change> {
        let none = BTreeMap::new();
        let before = before.map_or(&none, |before| &before.troubles);
        let began = self.troubles.iter().filter(|(kind, _)| !before.contains_key(*kind));
        let mut changes: Vec<Change> = began.map(|(_, told)| bad(&id.namespace, told.clone())).collect();
        if !before.is_empty() && self.troubles.is_empty() && !self.refused() {
            changes.push(good(&id.namespace, "is well again".to_owned()));
        }
        changes
    }
}

/// What an edit changed, as far as it is seen from outside.
fn differences(before: &TenantFacts, now: &TenantFacts) -> Vec<String> {
    let mut news = Vec::new();
    let set = |selectors: &[String]| selectors.iter().cloned().collect::<BTreeSet<_>>();
    let (old, new) = (set(&before.selectors), set(&now.selectors));
    news.extend(new.difference(&old).map(|selector| format!("now with {selector}")));
    news.extend(old.difference(&new).map(|selector| format!("no longer {selector}")));
    if before.interval != now.interval {
        news.push(format!("every {} s", now.interval.duration().as_secs_f64()));
    }
    if before.stamps != now.stamps {
        let stamps: Vec<String> =
            now.stamps.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        news.push(format!("stamped with {}", stamps.join(", ")));
    }
    if before.endpoints != now.endpoints {
        news.push(format!("sent to {}", now.endpoints.join(", ")));
    }
    if before.relabelings != now.relabelings {
        news.push(format!("{} relabelings", now.relabelings));
    }
    news
}

/// A reason without its numbers: ages and counts in it change all the time.
fn kind(reason: &str) -> String {
    reason.chars().filter(|c| !c.is_ascii_digit()).collect()
}

fn good(who: &str, what: String) -> Change {
    Change { who: who.to_owned(), what, tone: Tone::Good }
}

fn bad(who: &str, what: String) -> Change {
    Change { who: who.to_owned(), what, tone: Tone::Bad }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::{Interval, TargetType, Timestamp};

    fn facts(selectors: &[&str]) -> TenantFacts {
        TenantFacts {
            source: "web".into(),
            selectors: selectors.iter().map(|s| (*s).to_owned()).collect(),
            interval: Interval::new(Duration::from_secs(5)).unwrap(),
            target_type: TargetType::Prometheus,
            endpoints: vec!["http://a/".into()],
            stamps: vec![("tenant".into(), "web".into())],
            relabelings: 1,
        }
    }

    fn tenant(name: &str, phase: Phase, facts: Option<TenantFacts>, warnings: &[&str]) -> TenantStatus {
        TenantStatus {
            id: TenantId { namespace: "web-team".into(), name: name.into() },
            phase,
            tenant: None,
            facts,
            unmet: Vec::new(),
            warnings: warnings.iter().map(|s| (*s).to_owned()).collect(),
            filters: Vec::new(),
            lanes: Vec::new(),
            delivered_before: 0,
        }
    }

    fn snapshot(tenants: Vec<TenantStatus>) -> Snapshot {
        let (sources, unreadable) = (Vec::new(), Vec::new());
        Snapshot { now: Timestamp(0), tenants, sources, unreadable, discovery: BTreeMap::new() }
    }

    fn told(changes: &mut Changes, tenants: Vec<TenantStatus>) -> Vec<String> {
        changes.look(&snapshot(tenants)).into_iter().map(|change| change.what).collect()
    }

    fn starting(selectors: &[&str]) -> TenantStatus {
        tenant("a", Phase::Starting, Some(facts(selectors)), &[])
    }

    #[test]
    fn the_first_resources_are_no_news_and_what_follows_is() {
        let mut changes = Changes::default();
        assert_eq!(told(&mut changes, vec![]), [""; 0]);
        assert_eq!(told(&mut changes, vec![starting(&["up"])]), [""; 0]);
        let b = tenant("b", Phase::Starting, Some(facts(&["go_.+"])), &[]);
        assert_eq!(told(&mut changes, vec![starting(&["up"]), b]), ["b was added: go_.+"]);
        assert_eq!(told(&mut changes, vec![starting(&["up"])]), ["b was removed: its series are ended"]);
    }

    #[test]
    fn an_edit_says_what_it_changed() {
        let mut changes = Changes::default();
        told(&mut changes, vec![starting(&["up", "a"])]);
        let edited = told(&mut changes, vec![starting(&["up", "b"])]);
        assert_eq!(edited, ["a was edited; now with b; no longer a"]);
        let mut slower = facts(&["up", "b"]);
        slower.interval = Interval::new(Duration::from_secs(10)).unwrap();
        slower.stamps.push(("zone".into(), "x".into()));
        slower.relabelings = 2;
        let edited = told(&mut changes, vec![tenant("a", Phase::Running, Some(slower), &["w"])]);
        assert_eq!(
            edited[0],
            "a was edited; every 10 s; stamped with tenant=\"web\", zone=\"x\"; 2 relabelings"
        );
    }

    #[test]
    fn a_mistake_is_told_once_each_second_one_again_and_its_end() {
        let mut changes = Changes::default();
        told(&mut changes, vec![starting(&["up"])]);
        let refused = |problem: &str| {
            vec![tenant("a", Phase::Refused { problems: vec![problem.to_owned()] }, None, &[])]
        };
        let text = "a is refused, nothing is sent until it is mended: x";
        assert_eq!(told(&mut changes, refused("x")), [text]);
        assert_eq!(told(&mut changes, refused("x")), [""; 0]);
        assert_eq!(told(&mut changes, refused("y")), [text.replace(": x", ": y")]);
        assert_eq!(
            told(&mut changes, vec![starting(&["b"])]),
            ["a is accepted again; now with b; no longer up"]
        );
        let off = tenant("a", Phase::Disabled, None, &[]);
        assert_eq!(told(&mut changes, vec![off]), ["a is switched off: its series are ended"]);
    }

    #[test]
    fn a_second_trouble_is_told_and_a_growing_age_is_not() {
        let mut changes = Changes::default();
        let with = |warnings: &[&str]| vec![tenant("a", Phase::Starting, None, warnings)];
        told(&mut changes, with(&[]));
        assert_eq!(told(&mut changes, with(&["idle for 3 s"])), ["idle for 3 s"]);
        assert_eq!(told(&mut changes, with(&["idle for 14 s"])), [""; 0]);
        assert_eq!(told(&mut changes, with(&["idle for 15 s", "bad pattern"])), ["bad pattern"]);
        assert_eq!(told(&mut changes, with(&[])), ["is well again"]);
    }

    #[test]
    fn a_document_that_is_no_resource_is_told_once() {
        let mut look = snapshot(vec![]);
        look.unreadable.push(("x.yaml".into(), vec!["no kind".into()]));
        let mut changes = Changes::default();
        let change = &changes.look(&look)[0];
        assert_eq!((&*change.who, &*change.what), ("nobody's", "no resource, and left alone: no kind"));
        assert_eq!(changes.look(&look), []);
    }
}
