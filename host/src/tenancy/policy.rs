//! Policy: what the operator lets tenants do, namespace by namespace.
//!
//! In: defaults, and rules on top of them. Out: one [`Effective`] for a namespace.
//! Never: two rules at once. Of the rules that a namespace fits, the first one counts, and only the fields it has
//! replace the defaults'; the rules behind it are not looked at. So a rule says all that is different for its
//! namespaces, and order is the operator's way to make an exception of an exception.

mod glob;
mod selector;
mod urls;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use url::Url;

pub use glob::Glob;
pub use selector::{Expression, NamespaceLabels, NamespaceSelector, Test};
pub use urls::{UrlPattern, UrlPatternError};

use crate::model::{FilterLimits, Guard, TargetType};

/// The shortest interval a tenant may ask for: half of the shortest scrape interval that is usual.
pub const INTERVAL_MIN: Duration = Duration::from_secs(5);
/// The longest interval: what is wanted less often than once a day is no metric.
pub const INTERVAL_MAX: Duration = Duration::from_secs(24 * 3600);
/// The longest interval where all samples are taken. A tick brings all of them at once, those from its beginning are as old by then, and
/// a receiver takes none of more than about an hour.
pub const RAW_INTERVAL_MAX: Duration = Duration::from_secs(1800);
/// Stands for the resource's namespace in a management label's value.
const NAMESPACE: &str = "{namespace}";
/// The interval of a resource that names none, from the documents this resource was published with.
pub const INTERVAL_DEFAULT: Duration = Duration::from_secs(30);
/// Entries in `spec.metrics`. A resource with more is better written with regular expressions.
pub const PATTERNS_MAX: usize = 500;
/// Size of one resource's regular expressions, in characters and ranges of sets, each as often as it is repeated. What people
/// write has some thousands; this takes half a second to compile, and five hundred names of their usual length fit ten times.
pub const PATTERNS_SIZE_MAX: usize = 250_000;
/// Series of one resource at a tick: as many as one answer of a source may hold unless the operator says otherwise.
pub const SERIES_MAX: usize = 1_000_000;
/// Bytes of one tick to one endpoint, compressed: four times what a million series of the usual size take.
pub const TICK_BYTES_MAX: usize = 256 << 20;
/// Memory that the series of one namespace's resources take in a cluster: 140,000 series of the usual size (twelve labels
/// of 25 bytes) from one source, 90,000 from a pair of replicas, in a replica of 1 GiB beside others.
pub const MEMORY_MAX_CLUSTER: usize = 256 << 20;
/// Endpoints of one namespace: each costs connections, and the whole of its resource's traffic.
pub const ENDPOINTS_MAX: usize = 64;
/// Filters of one resource: as many as its definition allows.
pub const FILTERS_MAX: usize = super::resource::FILTERS_MAX;
/// What one instance of a filter may take: enough for the strings of a million series, and for a batch on a slow machine.
pub const FILTER_LIMITS: FilterLimits =
    FilterLimits { memory_bytes_max: 64 << 20, call_time_max: Duration::from_secs(1) };
/// The label that says who wrote a series, added to everything.
pub const MANAGEMENT_LABEL: (&str, &str) = ("managed_by", "multi-tenant-proxy");
/// Labels whose stamp always wins over the source's value.
pub const PROTECTED_LABELS: [&str; 2] = ["tenant", "managed_by"];
/// The label that isolation compares with the resource's namespace.
pub const ISOLATION_LABEL: &str = "namespace";
/// Headers a resource may set. Only the one of the documents that this resource was published with, which no server
/// we know takes as an identity: `X-Scope-OrgID`, `THANOS-TENANT`, `AccountID`, `X-Forwarded-*` and their like name
/// another tenant or another client, and `Authorization` in a resource is a token that everybody who reads it has.
pub const HEADERS: [&str; 1] = ["x-tenant"];

/// What the operator lets tenants do.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Policy {
    /// Where no rule fits.
    pub default: Arc<Effective>,
    /// The first that fits counts.
    pub rules: Vec<Rule>,
}

/// What is different for some namespaces.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Their names; `None` for any.
    pub namespaces: Option<Vec<Glob>>,
    /// Their labels; `None` for any.
    pub selector: Option<NamespaceSelector>,
    /// The defaults with the rule's own fields in their place.
    pub effective: Arc<Effective>,
}

impl Policy {
    /// What holds in the namespace of this name and these labels. Outside of a cluster namespaces have no labels.
    pub fn for_namespace(&self, name: &str, labels: &NamespaceLabels) -> Arc<Effective> {
        let rule = self.rules.iter().find(|rule| rule.fits(name, labels));
        Arc::clone(rule.map_or(&self.default, |rule| &rule.effective))
    }

    /// Whether any rule looks at namespaces' labels.
    pub fn needs_labels(&self) -> bool {
        self.rules.iter().any(|rule| rule.selector.is_some())
    }
}

impl Rule {
    fn fits(&self, name: &str, labels: &NamespaceLabels) -> bool {
        let named = |globs: &Vec<Glob>| globs.iter().any(|glob| glob.matches(name));
        self.namespaces.as_ref().is_none_or(named)
            && self.selector.as_ref().is_none_or(|selector| selector.selects(labels))
    }
}

impl From<Effective> for Policy {
    fn from(default: Effective) -> Policy {
        Policy { default: Arc::new(default), rules: Vec::new() }
    }
}

/// What the tenants of one namespace may do.
#[derive(Debug, Clone, PartialEq)]
pub struct Effective {
    /// The shortest interval.
    pub interval_min: Duration,
    /// The most entries in `spec.metrics`.
    pub patterns_max: usize,
    /// The largest size of a resource's regular expressions.
    pub patterns_size_max: usize,
    /// The most series of one resource at a tick.
    pub series_max: usize,
    /// The most bytes of one tick to one endpoint, on the wire.
    pub tick_bytes_max: usize,
    /// The most memory that the series of all of a namespace's resources take, in bytes of each replica.
    pub memory_max: usize,
    /// The most endpoints of all of a namespace's resources.
    pub endpoints_max: usize,
    /// The most filters of one resource.
    pub filters_max: usize,
    /// What one instance of a filter may take, and what it may take if the resource does not say.
    pub filter_limits: FilterLimits,
    /// Labels stamped on every series of every tenant; see [`Effective::management_of`].
    pub management: BTreeMap<String, String>,
    /// Labels whose stamp always wins over the source's value; those of `management` are, listed or not.
    pub protected: BTreeSet<String>,
    /// The label that must equal a resource's `source`, if there is one.
    pub source_label: Option<String>,
    /// Whether tenants see other namespaces' series.
    pub isolation: Isolation,
    /// The namespaces beside its own that a resource may send to; `None` for all.
    pub target_namespaces: Option<Vec<Glob>>,
    /// The kinds of target.
    pub targets: BTreeSet<TargetType>,
    /// The addresses of `remote_write` targets.
    pub urls: Urls,
    /// The headers a `remote_write` target may set, in lower case.
    pub headers: BTreeSet<String>,
    /// How a Service's name becomes an address.
    pub services: Services,
    /// Where the addresses that tenants write may lead. It is asked again, of every address, before that is dialled;
    /// here it only says sooner what can be known without a resolver.
    pub receivers: Arc<Guard>,
}

impl Effective {
    /// The management labels of one namespace: `{namespace}` in a value is its name. Such a label is what no two
    /// namespaces have in common, so that nothing of one can be taken for the other's.
    pub fn management_of(&self, namespace: &str) -> BTreeMap<&str, String> {
        self.management.iter().map(|(name, value)| (&**name, value.replace(NAMESPACE, namespace))).collect()
    }

    /// Whether a resource in `own` may send to `namespace`.
    pub fn may_send_to(&self, namespace: &str, own: &str) -> bool {
        let allowed = |globs: &Vec<Glob>| globs.iter().any(|glob| glob.matches(namespace));
        namespace == own || self.target_namespaces.as_ref().is_none_or(allowed)
    }
}

/// The addresses of `remote_write` targets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Urls {
    /// Those that may be written; `None` for all.
    pub allow: Option<Vec<UrlPattern>>,
    /// Those that may not, even if they may by `allow`.
    pub deny: Vec<UrlPattern>,
    /// Whether credentials and metrics may travel unencrypted.
    pub transport: Transport,
}

/// How a `remote_write` target may be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Transport {
    /// By http as well.
    #[default]
    Any,
    /// By https only.
    Https,
}

/// Whether tenants see other namespaces' series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Isolation {
    /// Who decides.
    pub mode: IsolationMode,
    /// The label that is compared with the resource's namespace.
    pub label: String,
}

/// Who decides whether a resource sees only its own namespace's series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IsolationMode {
    /// The resource, by `metricIsolation`.
    Optional,
    /// The operator: always.
    Enforced,
}

/// How a Service's name becomes an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Services {
    /// The cluster's own names, `http://<service>.<namespace>.svc.cluster.local:<port>`, for all that the operator has
    /// not mapped.
    ClusterDns(BTreeMap<String, Url>),
    /// Outside of a cluster: base addresses by `<service>.<namespace>:<port>`, or, for one pod of a StatefulSet, by
    /// `<pod>.<service>.<namespace>:<port>`.
    Map(BTreeMap<String, Url>),
}

impl Default for Effective {
    fn default() -> Effective {
        let (name, value) = MANAGEMENT_LABEL;
        Effective {
            interval_min: INTERVAL_MIN,
            patterns_max: PATTERNS_MAX,
            patterns_size_max: PATTERNS_SIZE_MAX,
            series_max: SERIES_MAX,
            tick_bytes_max: TICK_BYTES_MAX,
            memory_max: usize::MAX,
            endpoints_max: ENDPOINTS_MAX,
            filters_max: FILTERS_MAX,
            filter_limits: FILTER_LIMITS,
            management: BTreeMap::from([(name.to_owned(), value.to_owned())]),
            protected: PROTECTED_LABELS.map(str::to_owned).into(),
            source_label: None,
            isolation: Isolation { mode: IsolationMode::Optional, label: ISOLATION_LABEL.to_owned() },
            target_namespaces: None,
            targets: [TargetType::Prometheus, TargetType::Pushgateway, TargetType::RemoteWrite].into(),
            urls: Urls::default(),
            headers: HEADERS.map(str::to_owned).into(),
            services: Services::ClusterDns(BTreeMap::new()),
            receivers: Arc::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(namespaces: &[&str], tier: Option<&str>, patterns_max: usize) -> Rule {
        let named: Vec<Glob> = namespaces.iter().map(|name| Glob::new(*name)).collect();
        let labels = |tier: &str| [("tier".to_owned(), tier.to_owned())].into();
        Rule {
            namespaces: (!named.is_empty()).then_some(named),
            selector: tier.map(|tier| NamespaceSelector { labels: labels(tier), ..Default::default() }),
            effective: Arc::new(Effective { patterns_max, ..Effective::default() }),
        }
    }

    #[test]
    fn of_the_rules_that_fit_the_first_counts() {
        let policy = Policy {
            rules: vec![
                rule(&["infra", "infra-*"], None, 1),
                rule(&["team-*"], Some("gold"), 2),
                rule(&[], Some("gold"), 3),
                rule(&["team-a"], None, 4),
            ],
            ..Policy::default()
        };
        for (name, tier, expected) in [
            ("infra-x", "gold", 1),
            ("team-a", "gold", 2),
            ("other", "gold", 3),
            ("team-a", "", 4),
            ("team-b", "", PATTERNS_MAX),
        ] {
            let labels = NamespaceLabels::from([("tier".to_owned(), tier.to_owned())]);
            assert_eq!(policy.for_namespace(name, &labels).patterns_max, expected, "{name} {tier}");
        }
        assert!(policy.needs_labels());
        assert!(Arc::ptr_eq(&policy.for_namespace("x", &NamespaceLabels::new()), &policy.default));
    }

    #[test]
    fn ones_own_namespace_is_always_a_target() {
        let none = Effective { target_namespaces: Some(Vec::new()), ..Effective::default() };
        assert!(none.may_send_to("a", "a") && !none.may_send_to("b", "a"));
        let some = Effective { target_namespaces: Some(vec![Glob::new("shared-*")]), ..Effective::default() };
        assert!(some.may_send_to("shared-1", "a") && !some.may_send_to("b", "a"));
        assert!(Effective::default().may_send_to("b", "a"));
    }
}
