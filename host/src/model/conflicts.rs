//! Conflicts: which resources could ever write one series identity to one receiver.
//!
//! In: tenants. Out: sets of tenants; only members of one set have to be kept apart, series by series, and so they
//! live in one process. Never: two tenants in different sets that could write one identity.
//!
//! Two tenants can write one identity if they write to one [`Receiver`] and no label is stamped by both, always, with
//! different values. Ten thousand tenants at one endpoint, each with a `tenant` label of its own, are ten thousand sets.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{Endpoint, Receiver, Stamps, Tenant, TenantId};

/// Whether two tenants could write one identity to one receiver.
pub fn may_collide(a: &Tenant, b: &Tenant) -> bool {
    let receivers =
        |tenant: &Tenant| -> BTreeSet<Receiver> { tenant.endpoints.iter().map(Endpoint::receiver).collect() };
    agree(&a.stamps, &b.stamps) && !receivers(a).is_disjoint(&receivers(b))
}

/// Whether a series could carry the winning stamps of both.
fn agree(a: &Stamps, b: &Stamps) -> bool {
    let theirs: BTreeMap<&str, &str> = b.winning().collect();
    a.winning().all(|(name, value)| theirs.get(name).is_none_or(|other| *other == value))
}

/// The set of every tenant, named by the id of its oldest member: whoever can collide with somebody, directly or
/// through others, is in that one's set.
///
/// Takes time in proportion to tenants × the number of different choices of label *names* at one receiver, of which
/// there are a handful: tenants of one choice are told apart by their values, with one look-up each.
pub fn conflict_sets<'a>(tenants: impl IntoIterator<Item = &'a Tenant>) -> BTreeMap<TenantId, String> {
    let mut tenants: Vec<&Tenant> = tenants.into_iter().collect();
    tenants.sort_by_key(|tenant| (tenant.since, &tenant.id));
    let stamps: Vec<Fixed<'_>> = tenants.iter().map(|tenant| tenant.stamps.winning().collect()).collect();
    let mut writers: HashMap<Receiver, BTreeSet<usize>> = HashMap::new();
    for (at, tenant) in tenants.iter().enumerate() {
        for endpoint in &tenant.endpoints {
            writers.entry(endpoint.receiver()).or_default().insert(at);
        }
    }
    let mut sets = Sets::new(tenants.len());
    for writers in writers.into_values() {
        join(writers.into_iter().collect(), &stamps, &mut sets);
    }
    let named = |at: usize| (tenants[at].id.clone(), tenants[sets.root(at)].id.to_string());
    (0..tenants.len()).map(named).collect()
}

/// The members of sets with more than one member.
pub fn contended(sets: &BTreeMap<TenantId, String>) -> BTreeSet<TenantId> {
    let mut sizes: HashMap<&str, usize> = HashMap::new();
    for set in sets.values() {
        *sizes.entry(set).or_default() += 1;
    }
    sets.iter().filter(|(_, set)| sizes[set.as_str()] > 1).map(|(id, _)| id.clone()).collect()
}

/// Winning stamps, sorted by name.
type Fixed<'a> = Vec<(&'a str, &'a str)>;

/// Joins those of `writers` whose stamps agree.
fn join(writers: Vec<usize>, stamps: &[Fixed<'_>], sets: &mut Sets) {
    if writers.len() < 2 {
        return;
    }
    // A label that all of them stamp parts them for good; usually that is the end of it.
    let common = common_names(&writers, stamps);
    let mut parts: HashMap<Vec<&str>, Vec<usize>> = HashMap::new();
    for at in &writers {
        parts.entry(values(&stamps[*at], &common)).or_default().push(*at);
    }
    if parts.len() > 1 {
        return parts.into_values().for_each(|part| join(part, stamps, sets));
    }
    // Those who stamp few labels agree with most, so they come first.
    let mut kinds: BTreeMap<(usize, Vec<&str>), Vec<usize>> = BTreeMap::new();
    for at in &writers {
        let names: Vec<&str> = stamps[*at].iter().map(|(name, _)| *name).collect();
        kinds.entry((names.len(), names)).or_default().push(*at);
    }
    let kinds: Vec<(Vec<&str>, Vec<usize>)> =
        kinds.into_iter().map(|((_, names), members)| (names, members)).collect();
    let mut left = writers.len() - 1;
    for (index, (names, members)) in kinds.iter().enumerate() {
        for (others_names, others) in &kinds[index..] {
            if left == 0 {
                return;
            }
            let shared: Vec<&str> =
                names.iter().filter(|name| others_names.binary_search(name).is_ok()).copied().collect();
            left -= meet(members, others, &shared, stamps, sets);
        }
    }
}

/// Joins every one of `some` with those of `others` that have the same values of the labels both stamp. How many joins
/// were new.
fn meet(some: &[usize], others: &[usize], shared: &[&str], stamps: &[Fixed<'_>], sets: &mut Sets) -> usize {
    let mut by_values: HashMap<Vec<&str>, Vec<usize>> = HashMap::new();
    for at in some {
        by_values.entry(values(&stamps[*at], shared)).or_default().push(*at);
    }
    let mut joined = 0;
    for other in others {
        let Some(met) = by_values.get_mut(&values(&stamps[*other], shared)) else { continue };
        joined += met.iter().filter(|at| sets.join(**at, *other)).count();
        // They are one set now, so one of them stands for all.
        met.truncate(1);
    }
    joined
}

fn common_names<'a>(writers: &[usize], stamps: &[Fixed<'a>]) -> Vec<&'a str> {
    let mut common: Vec<&str> = stamps[writers[0]].iter().map(|(name, _)| *name).collect();
    for at in writers {
        common.retain(|name| stamps[*at].binary_search_by_key(name, |(n, _)| n).is_ok());
    }
    common
}

/// The values of labels that are all there.
fn values<'a>(fixed: &Fixed<'a>, names: &[&str]) -> Vec<&'a str> {
    fixed.iter().filter(|(name, _)| names.binary_search(name).is_ok()).map(|(_, value)| *value).collect()
}

/// Disjoint sets of indexes; the smallest of each stands for it.
struct Sets(Vec<usize>);

impl Sets {
    fn new(count: usize) -> Sets {
        Sets((0..count).collect())
    }

    fn root(&self, mut at: usize) -> usize {
        while self.0[at] != at {
            at = self.0[at];
        }
        at
    }

    /// Whether they were apart.
    fn join(&mut self, a: usize, b: usize) -> bool {
        let root = self.root(a).min(self.root(b));
        let apart = self.root(a) != self.root(b);
        for mut at in [a, b] {
            // Everything on the way points to the root now, which keeps the ways short.
            while self.0[at] != root {
                at = std::mem::replace(&mut self.0[at], root);
            }
        }
        apart
    }
}

#[cfg(test)]
mod tests;
