//! Page: `/`, the state of everything for a person, in one look.
//!
//! In: a snapshot. Out: one HTML document that needs nothing else and reloads itself.
//! Never: a text from outside that is not escaped, or a script.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Write as _};
use std::time::Duration;

use super::filters;
use crate::model::Timestamp;
use crate::status::{
    Collected, Health, Lane, Phase, Readiness, Snapshot, SourceStatus, TenantFacts, TenantStatus,
};

/// More resources than this are left to `/health`; a person reads the first, which are the worst.
const TENANTS_MAX: usize = 200;
/// More selectors than this of one resource are counted, not shown.
const SELECTORS_MAX: usize = 6;

const HEAD: &str = concat!(
    r#"<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Sluice</title>"#,
    r#"<meta name="viewport" content="width=device-width"><meta http-equiv="refresh" content="5"><style>"#,
    include_str!("page.css"),
    "</style></head><body>"
);

/// The page.
pub(super) fn render(snapshot: &Snapshot, readiness: &Readiness, started: Timestamp) -> String {
    let mut out = String::from(HEAD);
    // Writing to a string does not fail.
    let _ = header(&mut out, snapshot, started);
    let _ = tenants(&mut out, snapshot, readiness);
    let _ = sources(&mut out, snapshot);
    for (origin, problems) in &snapshot.unreadable {
        let _ = write!(
            out,
            "<p class=why><b>{}</b> cannot be read: {}</p>",
            Esc(origin),
            Esc(problems.join("; "))
        );
    }
    out.push_str("</main></body></html>\n");
    out
}

fn header(out: &mut String, snapshot: &Snapshot, started: Timestamp) -> fmt::Result {
    let health = snapshot.health().as_str();
    let works = |tenant: &&TenantStatus| {
        tenant.phase == Phase::Running && tenant.health(snapshot.now).0 != Health::Unhealthy
    };
    let running = snapshot.tenants.iter().filter(works).count();
    let flowing: u64 = snapshot.tenants.iter().map(|tenant| per_tick(delivering(tenant)).1).sum();
    let delivered: u64 = snapshot.tenants.iter().map(TenantStatus::delivered_total).sum();
    // Of nothing the sum of floats is -0.
    let rate = snapshot.tenants.iter().map(samples_per_second).sum::<f64>() + 0.0;
    write!(
        out,
        "<header><h1>Sluice</h1><b class=\"badge {health}\">{health}</b><small>{} · up {}</small>\
        <nav><a href=\"/health\">health</a><a href=\"/metrics\">metrics</a>\
        <a href=\"/collected-metrics\">collected samples</a><a href=\"/debug/targets\">sources</a><a href=\"/debug/filters\">filters</a></nav></header><main>\
        <dl><div><dt>remote writes running</dt><dd>{running} of {}</dd></div><div><dt>series flowing</dt><dd>{}</dd></div>\
        <div><dt>samples per second</dt><dd>{rate:.1}</dd></div><div><dt>samples delivered since start</dt><dd>{}</dd></div></dl>",
        env!("CARGO_PKG_VERSION"),
        ago(snapshot.now.since(started)),
        snapshot.tenants.len(),
        thousands(flowing),
        thousands(delivered),
    )
}

fn tenants(out: &mut String, snapshot: &Snapshot, readiness: &Readiness) -> fmt::Result {
    out.push_str("<h2>Remote writes</h2>");
    if let Some(why) = readiness.why_not() {
        write!(out, "<p>Not ready: {}.</p>", Esc(why))?;
    } else if snapshot.tenants.is_empty() {
        out.push_str(
            "<p>No MetricAccess yet: put one into the folder that <code>tenants.folder</code> names.</p>",
        );
    }
    if snapshot.tenants.is_empty() {
        return Ok(());
    }
    out.push_str(
        "<div class=wide><table><tr><th rowspan=2>who<th rowspan=2>state<th rowspan=2>asked for\
        <th rowspan=2>stamped with<th class=n colspan=2>series, last tick<th class=n>samples, since start\
        <th rowspan=2>to<tr><th class=n>collected<th class=n>kept<th class=n>delivered</tr>",
    );
    let mut worst_first: Vec<_> = snapshot.tenants.iter().collect();
    worst_first.sort_by_key(|tenant| std::cmp::Reverse(tenant.health(snapshot.now).0));
    for tenant in worst_first.iter().take(TENANTS_MAX) {
        row(out, tenant, snapshot.now)?;
    }
    out.push_str("</table></div>");
    match worst_first.len().checked_sub(TENANTS_MAX).filter(|more| *more > 0) {
        Some(more) => write!(out, "<p>and {more} more, see <a href=\"/health\">health</a>"),
        None => Ok(()),
    }
}

fn row(out: &mut String, tenant: &TenantStatus, now: Timestamp) -> fmt::Result {
    let state = tenant.state(now);
    let (collected, kept) = per_tick(tenant.lanes.iter());
    write!(
        out,
        "<tr><td><b>{}</b><br><small>{}</small><td><b class=\"badge {state}\">{state}</b>",
        Esc(&tenant.id.namespace),
        Esc(&tenant.id.name)
    )?;
    asked(out, tenant.facts.as_ref())?;
    if tenant.lanes.is_empty() {
        // Nothing runs, so there is nothing to count; a zero would look like a measurement.
        out.push_str("<td class=n>–<td class=n>–<td class=n>–<td>");
    } else {
        let share = kept.saturating_mul(100).checked_div(collected).unwrap_or_default();
        let [collected, kept, total] = [collected, kept, tenant.delivered_total()].map(thousands);
        write!(out, "<td class=n>{collected}<td class=n>{kept}<br><meter max=100 value={share}></meter>")?;
        write!(out, "<td class=n>{total}<td>")?;
    }
    for lane in &tenant.lanes {
        let when =
            lane.delivered.map_or("nothing yet".to_owned(), |d| format!("{} ago", ago(now.since(d.at))));
        let protocol = lane.protocol.map(|version| format!(" remote write {version},")).unwrap_or_default();
        let missed = lane.missed.map(|ticks| format!(", {ticks} missed ticks follow")).unwrap_or_default();
        write!(out, "<code>{}</code> <small>{protocol} {when}{missed}</small><br>", Esc(&lane.endpoint))?;
    }
    own_filters(out, tenant)?;
    for (class, said) in [("why", &tenant.health(now).1), ("note", &tenant.warnings)] {
        if !said.is_empty() {
            write!(out, "<tr class={class}><td><td colspan=7>{}", Esc(said.join("; ")))?;
        }
    }
    Ok(())
}

/// A resource's own filters, in their order: what runs, and what stands against it.
fn own_filters(out: &mut String, tenant: &TenantStatus) -> fmt::Result {
    for filter in &tenant.filters {
        let state = filters::state(tenant, filter);
        let (name, from) = (Esc(&filter.name), Esc(filter.resolved.as_deref().unwrap_or_default()));
        write!(
            out,
            "<tr class=filter><td><td><b class=\"badge {state}\">{state}</b><td colspan=6>filter <b>{name}</b> \
             <code>{from}</code>"
        )?;
        let at_work = filter.last_failure.as_ref().filter(|_| state == "failing");
        if let Some((_, failure)) = filter.failing().or(at_work.map(|(stage, failure)| (*stage, failure))) {
            write!(out, "<br>{}", Esc(&failure.message))?;
        }
    }
    Ok(())
}

fn asked(out: &mut String, facts: Option<&TenantFacts>) -> fmt::Result {
    let Some(facts) = facts else {
        out.push_str("<td><td>");
        return Ok(());
    };
    out.push_str("<td>");
    for selector in facts.selectors.iter().take(SELECTORS_MAX) {
        write!(out, "<code>{}</code><br>", Esc(selector))?;
    }
    if let Some(more) = facts.selectors.len().checked_sub(SELECTORS_MAX).filter(|more| *more > 0) {
        write!(out, "<small>and {more} more</small><br>")?;
    }
    write!(out, "<small>every {}</small><td>", ago(facts.interval.duration()))?;
    for (name, value) in &facts.stamps {
        write!(out, "<code>{}=\"{}\"</code><br>", Esc(name), Esc(value))?;
    }
    Ok(())
}

fn sources(out: &mut String, snapshot: &Snapshot) -> fmt::Result {
    out.push_str("<h2>Sources</h2><div class=wide><table><tr><th>name<th>state<th>address<th>labels<th>last answer</tr>");
    for source in &snapshot.sources {
        let SourceStatus { name, url, labels, last_seen, last_error, .. } = source;
        let state = source.state();
        let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        let seen = last_seen.map_or("never".to_owned(), |at| format!("{} ago", ago(snapshot.now.since(at))));
        write!(
            out,
            "<tr><td><b>{}</b><td><b class=\"badge {state}\">{state}</b><td><code>{}</code><td><code>{}</code><td>{seen}",
            Esc(name),
            Esc(url),
            Esc(labels.join(", ")),
        )?;
        if let Some((error, _)) = last_error.as_ref().filter(|_| state == "down") {
            write!(out, "<tr class=why><td><td colspan=4>{}", Esc(error))?;
        }
    }
    out.push_str("</table></div>");
    Ok(())
}

/// Lanes whose last attempt did not fail: what they carried last still flows.
fn delivering(tenant: &TenantStatus) -> impl Iterator<Item = &Lane> {
    tenant.lanes.iter().filter(|lane| lane.consecutive_failures == 0 && lane.delivered.is_some())
}

/// Series collected and kept per tick: lanes of one source group carry the same.
fn per_tick<'a>(lanes: impl Iterator<Item = &'a Lane>) -> (u64, u64) {
    let by_group: BTreeMap<&str, Collected> =
        lanes.filter_map(|lane| Some((&*lane.group, lane.collected?))).collect();
    by_group.values().fold((0, 0), |(selected, kept), tick| (selected + tick.selected, kept + tick.kept))
}

fn samples_per_second(tenant: &TenantStatus) -> f64 {
    let interval = tenant.facts.as_ref().map(|facts| facts.interval.duration().as_secs_f64());
    let delivered: u64 = delivering(tenant).filter_map(|lane| lane.delivered).map(|d| d.samples).sum();
    interval.map_or(0.0, |interval| delivered as f64 / interval)
}

fn ago(duration: Duration) -> String {
    match duration.as_secs() {
        s @ 0..180 => format!("{s} s"),
        s @ 180..10_800 => format!("{} min", s / 60),
        s => format!("{} h", s / 3600),
    }
}

/// `1234567` as `1 234 567`, with narrow spaces.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

/// A text from outside, safe between tags and inside quoted attributes.
struct Esc<T>(T);

impl<T: Display> Display for Esc<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.to_string().chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}
